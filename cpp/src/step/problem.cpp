#include "step/problem.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "runtime/buffer.hpp"
#include "runtime/thread_pool.hpp"
#include "scores/centred.hpp"
#include "scores/checks.hpp"
#include "scores/expand.hpp"
#include "step/cost_model.hpp"

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
  if (std::isfinite(sum)) {
    throw std::overflow_error("count: tr(F), of which it is the divisor, leaves the range of float64; increase it");
  }
  refuse_nonfinite(batch.scores, context);
  throw std::overflow_error("scores: their squares leave the range of float64; rescale the scores");
}

// Of scores, less their mean where that is taken from them, that are all zero, so are the squares.
void check_squares(const Problem& problem, const Context& context) {
  if (!squares_vanish(problem.trace * problem.count, problem.count * problem.damping)) return;
  const ScoresView& scores = problem.batch->scores;
  Buffer<double> row(problem.parameters);
  for (Index n = 0; n < problem.samples; ++n) {
    if (n % 1024 == 0) poll(context);
    if (problem.mean.empty()) {
      expand<double>(scores, n, 1, nullptr, row.data());
    } else {
      centred_rows<double>(scores, problem.mean, n, 1, nullptr, row.data());
    }
    for (Index k = 0; k < problem.parameters; ++k) {
      if (row[k] == 0.0 || weight_of(*problem.batch, static_cast<std::size_t>(n)) == 0.0) continue;
      throw std::overflow_error("scores: their squares leave the range of float64; rescale the scores");
    }
  }
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

bool squares_vanish(double sum, double shift) noexcept {
  constexpr double least = std::numeric_limits<double>::min();
  return !(sum > least) && !(shift > sum);
}

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

double measured_rounding(const Batch& batch, const StepOptions& options) noexcept {
  constexpr double loose = 1e-4, share = 0.1;
  const bool iterative = options.solver == Solver::automatic || options.solver == Solver::conjugate_gradient;
  const bool plain = batch.advantages != nullptr && !batch.center && !(batch.momentum > 0.0);
  const bool narrow = options.precision == Precision::single_precision && options.tolerance >= loose;
  return iterative && plain && narrow ? share * std::min(options.tolerance, 1e-2) : 0.0;
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

ModerateBatch::ModerateBatch(const Batch& batch) : batch_(batch) {
  const auto samples = static_cast<std::size_t>(std::max<Index>(rows(batch.scores), 0));
  double total = 0.0;
  for (std::size_t n = 0; n < samples; ++n) total += weight_of(batch, n);
  const double count = batch.count.value_or(total);
  constexpr double least = 0x1p-300, most = 0x1p300;
  const auto positive = [](double value) { return value > 0.0 && std::isfinite(value); };
  if (!positive(count) || !positive(total) || (count > least && count < most)) return;
  const double unit = power_of_two(count);
  if (!(total / unit > least && total / unit < most)) return;
  weights_.resize(samples);
  for (std::size_t n = 0; n < samples; ++n) weights_[n] = weight_of(batch, n) / unit;
  batch_.weights = weights_.data();
  if (batch.count.has_value()) batch_.count = count / unit;
}

Survey survey(const Batch& batch, const Context& context) {
  check(batch);
  Survey result;
  result.batch = &batch;
  result.samples = rows(batch.scores);
  result.parameters = columns(batch.scores);
  check_vectors(result.parameters);
  measure(batch, context, result);
  find_mean(batch, context, result);
  return result;
}

Problem pose(const Survey& surveyed, const StepOptions& options, const Context& context) {
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
  check_squares(problem, context);
  scale_matrix(problem);
  const double weight = problem.matrix_scale * problem.total_weight;
  if (!std::isfinite(problem.shift()) || !std::isnormal(problem.solution_scale()) || !std::isnormal(weight)) {
    throw std::overflow_error(
        "damping, count, weights: their products leave the range of float64; rescale the weights");
  }
  return problem;
}

}  // namespace fastfisher::detail
