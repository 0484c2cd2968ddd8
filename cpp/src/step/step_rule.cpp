#include "step/step_rule.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

namespace fastfisher::detail {
namespace {

[[noreturn]] void out_of_range() {
  throw std::overflow_error("the step leaves the range of float64; increase damping or rescale scores or advantages");
}

Vector scaled(Vector values, double factor) {
  for (double& value : values) {
    value *= factor;
    if (!std::isfinite(value)) out_of_range();
  }
  return values;
}

// direction = S^T u.  With damping u = (A - S x) / (N lambda), weights and count in their places; without, u is what
// the dual solve found.
Vector sample_weights(StepState& state) {
  const NormalSystem& system = state.system;
  const Problem& problem = state.problem;
  if (problem.batch->advantages == nullptr) return {};
  Vector u = std::move(state.dual);
  if (u.empty()) {
    u.assign(system.samples(), 0.0);
    if (norm(state.b) == 0.0 && system.shift() == 0.0) return u;
    if (system.shift() == 0.0) {
      state.result.notes.push_back("Without damping " +
                                   std::string(state.result.solver == Solver::lsmr ? "LSMR" : "CG") +
                                   " does not find sample weights; they are left out.");
      return {};
    }
    for (std::size_t n = 0; n < u.size(); ++n) {
      u[n] = system.weight(n) * (problem.dual_target(n) - state.solution.scores_times_x[n]) / system.shift();
    }
  }
  if (system.centred()) {  // S^T u with S as it is: (S - 1 m^T)^T u = S^T (u - w sum u / sum w)
    double sum = 0.0;
    for (const double value : u) sum += value;
    for (std::size_t n = 0; n < u.size(); ++n) u[n] -= system.weight(n) * sum / system.total_weight();
  }
  return scaled(std::move(u), problem.solution_scale());
}

void note_what_the_scores_do_not_span(StepState& state) {
  const Problem& problem = state.problem;
  if (problem.batch->gradient == nullptr || problem.samples >= problem.parameters) return;
  // In the span's complement F x = 0, so lambda x is the part of the gradient there.
  const double b_norm = norm(state.b);
  const double share = b_norm == 0.0 ? 0.0 : state.system.shift() * norm(state.solution.x) / b_norm;
  if (!(share > 0.01)) return;
  state.result.notes.push_back(
      in_words("%.0f", 100.0 * std::min(share, 1.0)) +
      "% of the gradient (in norm) lies outside the span of the scores or where their curvature is "
      "below the damping: there the step is gradient / damping.");
}

// x' becomes the whole direction, and g what it was without momentum; returns g^T x in the scaled units.
double add_prior(StepState& state) {
  Solution& solution = state.solution;
  const double unit = state.problem.solution_scale();
  const Vector& prior = state.shared.momentum.prior();
  for (std::size_t k = 0; k < prior.size(); ++k) solution.x[k] += prior[k] / unit;
  for (std::size_t n = 0; n < solution.scores_times_x.size(); ++n) {
    solution.scores_times_x[n] += state.shared.momentum.scores_times_prior()[n] / unit;
  }
  Vector& gradient = state.result.gradient;
  if (state.shared.original.gradient != nullptr) {
    gradient.assign(state.shared.original.gradient, state.shared.original.gradient + prior.size());
  } else {
    const Vector weighted = weighted_advantages(state.shared.original, state.problem.total_weight);
    rmatvec<double>(state.system.scores(), weighted.data(), gradient.data(), state.shared.context);
  }
  return dot(gradient, solution.x) / state.problem.gradient_scale;
}

// The step rule: KL(alpha x) ~ alpha^2 x^T F x / 2, and x^T F x = g^T x but for the damping, so
// alpha = sqrt(2 max_kl / g^T x).  The paper's delta is 2 max_kl (its equation 5).
//
// In the scaled units of problem.hpp, with slope = b^T x' and curvature = x'^T M x' without its shift:
// g^T x = gradient_scale^2 system_scale slope, and x^T F x likewise.
void scale_to_kl(StepState& state, double slope, double curvature) {
  const Problem& problem = state.problem;
  const std::optional<double>& max_kl = state.options.max_kl;
  NaturalStep& result = state.result;
  double length = problem.solution_scale();  // of the step, in units of x'
  if (max_kl.has_value()) {
    // With momentum x is not F^-1 g: its own curvature scales it.
    const double square = state.shared.momentum.active() ? curvature : slope;
    length = square > 0.0 ? std::sqrt(2.0 * *max_kl * problem.system_scale() / square) : 0.0;
    if (length == 0.0 && (norm(state.b) != 0.0 || norm(state.solution.x) != 0.0)) {
      result.notes.push_back(std::string(state.shared.momentum.active() ? "direction^T F" : "gradient^T") +
                             " direction is not positive: no step length gives the KL; the step is zero.");
    }
  }
  result.step_size = length / problem.solution_scale();
  result.predicted_kl = 0.5 * (length / problem.system_scale()) * (length * curvature);
  result.predicted_improvement = length * slope * problem.gradient_scale;
  result.direction = scaled(state.solution.x, problem.solution_scale());
  result.step = scaled(result.direction, result.step_size);
  for (const double value : {result.step_size, result.predicted_kl, result.predicted_improvement}) {
    if (!std::isfinite(value)) out_of_range();
  }
}

}  // namespace

NaturalStep finish(StepState& state) {
  NaturalStep& result = state.result;
  const double b_norm = norm(state.b);
  result.residual = b_norm == 0.0 ? 0.0 : state.solution.residual / b_norm;
  result.damping = state.problem.damping;
  result.sample_weights = sample_weights(state);
  note_what_the_scores_do_not_span(state);
  const double expected = result.precision == Precision::single_precision ? 1e-3 : 1e-6;
  if (!is_iterative(result.solver) && result.residual > expected) {
    result.notes.push_back("The residual is " + in_words("%.1e", result.residual) +
                           ": the system is singular to rounding, and the direction is not to be trusted; "
                           "increase damping.");
  }

  double slope = dot(state.b, state.solution.x);
  result.gradient = state.problem.gradient;
  if (state.shared.momentum.active()) slope = add_prior(state);
  double curvature = 0.0;  // x'^T M x' without the shift: sum w (S x')^2
  const Vector& products = state.solution.scores_times_x;
  for (std::size_t n = 0; n < products.size(); ++n) curvature += state.system.weight(n) * products[n] * products[n];
  scale_to_kl(state, slope, curvature);
  return std::move(result);
}

}  // namespace fastfisher::detail
