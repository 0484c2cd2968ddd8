#include "step/problem.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "scores/centred.hpp"
#include "scores/checks.hpp"

namespace fastfisher::detail {
namespace {

void check(const Batch& batch) {
  if (rows(batch.scores) <= 0 || columns(batch.scores) <= 0) {
    throw std::invalid_argument("scores: expected at least one row and one column");
  }
  if ((batch.advantages == nullptr) == (batch.gradient == nullptr)) {
    throw std::invalid_argument("advantages, gradient: expected exactly one of them");
  }
  if (batch.advantages != nullptr) check_finite(batch.advantages, rows(batch.scores), "advantages");
  if (batch.gradient != nullptr) check_finite(batch.gradient, columns(batch.scores), "gradient");
  if (batch.center && batch.momentum > 0.0) {
    throw std::invalid_argument("center: expected no momentum together with it");
  }
}

// Finds the sum of the weights, the divisor and the trace of F.
void measure(const Batch& batch, const Context& context, Survey& problem) {
  Vector norms(static_cast<std::size_t>(problem.samples));
  square_norms(batch.scores, norms.data(), context);
  double sum = 0.0;
  for (std::size_t n = 0; n < norms.size(); ++n) {
    const double w = weight_of(batch, n);
    check_weight(w, n);
    problem.total_weight += w;
    sum += w * norms[n];
  }
  if (!(problem.total_weight > 0.0) || !std::isfinite(problem.total_weight)) {
    throw std::invalid_argument("weights: expected a positive finite sum");
  }
  problem.count = batch.count.value_or(problem.total_weight);
  check_count(problem.count);
  problem.trace = sum / problem.count;
  if (std::isfinite(problem.trace)) return;
  refuse_nonfinite(batch.scores, context);
  throw std::overflow_error("scores: their squares leave the range of float64; rescale the scores");
}

// Finds the mean score, and tr(F) of what it leaves of the scores.
void find_mean(const Batch& batch, const Context& context, Survey& problem) {
  if (!batch.center) return;
  Vector shares(static_cast<std::size_t>(problem.samples));
  for (std::size_t n = 0; n < shares.size(); ++n) shares[n] = weight_of(batch, n) / problem.total_weight;
  problem.mean.resize(static_cast<std::size_t>(problem.parameters));
  rmatvec<double>(batch.scores, shares.data(), problem.mean.data(), context);
  Vector& norms = shares;
  centred_square_norms(batch.scores, problem.mean, norms.data(), context);
  double sum = 0.0;
  for (std::size_t n = 0; n < norms.size(); ++n) sum += weight_of(batch, n) * norms[n];
  problem.trace = sum / problem.count;
}

// Products of two entries of the matrix occur (in CG's curvatures), and it may be held in single precision, so its own
// size must stay well inside that range.
void scale_matrix(Problem& problem) {
  const double size = problem.count * std::max(problem.trace, problem.damping);
  constexpr double small = 0x1p-50;
  constexpr double large = 0x1p50;
  if (size == 0.0 || (size > small && size < large)) return;
  problem.matrix_scale = 1.0 / power_of_two(std::isfinite(size) ? size : large);
  problem.scaled_weights.resize(static_cast<std::size_t>(problem.samples));
  for (std::size_t n = 0; n < problem.scaled_weights.size(); ++n) {
    problem.scaled_weights[n] = problem.matrix_scale * weight_of(*problem.batch, n);
  }
}

}  // namespace

void check_damping(double damping) {
  if (damping >= 0.0 && std::isfinite(damping)) return;
  throw std::invalid_argument("damping: expected a finite number >= 0");
}

void check_count(double count) {
  if (count > 0.0 && std::isfinite(count)) return;
  throw std::invalid_argument("count: expected a finite number > 0");
}

void check_momentum(double momentum) {
  if (momentum >= 0.0 && momentum < 1.0) return;
  throw std::invalid_argument("momentum: expected a number in [0, 1)");
}

void check(const StepOptions& options, Index parameters) {
  check_damping(options.damping);
  if (options.max_kl.has_value() && (!(*options.max_kl > 0.0) || !std::isfinite(*options.max_kl))) {
    throw std::invalid_argument("max_kl: expected a finite number > 0");
  }
  if (!(options.tolerance >= 0.0)) throw std::invalid_argument("tolerance: expected a number >= 0");
  if (options.max_iterations.value_or(0) < 0) throw std::invalid_argument("max_iterations: expected a number >= 0");
  if (options.initial != nullptr) check_finite(options.initial, parameters, "initial");
  if (!(options.memory_limit.value_or(0.0) >= 0.0)) {
    throw std::invalid_argument("memory_limit: expected a number >= 0");
  }
}

Vector weighted_advantages(const Batch& batch, double total_weight) {
  Vector weighted(static_cast<std::size_t>(rows(batch.scores)));
  for (std::size_t n = 0; n < weighted.size(); ++n) {
    weighted[n] = batch.advantages[n] * (weight_of(batch, n) / total_weight);
  }
  return weighted;
}

Vector Problem::right_hand_side() const {
  Vector b = gradient;
  for (double& value : b) value /= gradient_scale;
  return b;
}

Survey survey(const Batch& batch, const Context& context) {
  check(batch);
  Survey result;
  result.batch = &batch;
  result.samples = rows(batch.scores);
  result.parameters = columns(batch.scores);
  measure(batch, context, result);
  find_mean(batch, context, result);
  return result;
}

void find_gradient(const Batch& batch, const Context& context, Survey& surveyed) {
  surveyed.batch = &batch;
  const auto parameters = static_cast<std::size_t>(surveyed.parameters);
  if (batch.gradient != nullptr) {
    surveyed.gradient.assign(batch.gradient, batch.gradient + parameters);
  } else {
    Vector weighted = weighted_advantages(batch, surveyed.total_weight);
    surveyed.gradient.resize(parameters);
    if (surveyed.mean.empty()) {
      rmatvec<double>(batch.scores, weighted.data(), surveyed.gradient.data(), context);
    } else {
      transposed_product(batch.scores, batch.weights, surveyed.total_weight, surveyed.mean, std::move(weighted),
                         surveyed.gradient, context);
    }
  }
  double largest = 0.0;
  for (const double value : surveyed.gradient) {
    if (!std::isfinite(value)) {
      // A given gradient is finite: momentum has been at it.
      throw std::overflow_error(batch.gradient != nullptr
                                    ? "previous: its product with F leaves the range of float64"
                                    : "advantages: their product with the scores leaves the range of float64");
    }
    largest = std::max(largest, std::fabs(value));
  }
  surveyed.gradient_scale = unit_of(largest);
}

Problem pose(const Survey& surveyed, const StepOptions& options) {
  check(options, surveyed.parameters);
  Problem problem;
  static_cast<Survey&>(problem) = surveyed;
  problem.damping = options.damping;
  if (options.relative_damping) {
    problem.damping *= problem.trace / static_cast<double>(std::min(problem.samples, problem.parameters));
    if (!std::isfinite(problem.damping)) {
      throw std::overflow_error("damping: relative to tr(F) it leaves the range of float64; reduce it");
    }
  }
  scale_matrix(problem);
  return problem;
}

}  // namespace fastfisher::detail
