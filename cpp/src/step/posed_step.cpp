#include "step/posed_step.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "step/ladder.hpp"
#include "step/step_rule.hpp"

namespace fastfisher::detail {
namespace {

// The start is options.initial, less what momentum adds in the end, in the units of the solution; zero by default.
Vector start_of(const StepOptions& options, const Momentum& momentum, const Problem& problem) {
  Vector x(static_cast<std::size_t>(problem.parameters), 0.0);
  if (options.initial == nullptr) return x;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const double prior = momentum.active() ? momentum.prior()[k] : 0.0;
    x[k] = (options.initial[k] - prior) / problem.solution_scale();
  }
  return x;
}

Workspace workspace_of(const StepOptions& options, SharedBatch& shared, const Problem& problem,
                       const NormalSystem& system) {
  Workspace workspace;
  workspace.system = &system;
  workspace.rows = &system;
  workspace.b = problem.right_hand_side();
  if (problem.batch->advantages != nullptr) {
    workspace.targets.resize(system.samples());
    for (std::size_t n = 0; n < workspace.targets.size(); ++n) workspace.targets[n] = problem.dual_target(n);
  }
  workspace.start = start_of(options, shared.momentum, problem);
  workspace.samples = problem.samples;
  workspace.parameters = problem.parameters;
  workspace.trace = problem.trace;
  workspace.matrix_trace = problem.system_scale() * problem.trace;
  workspace.product_scale = problem.product_scale();
  workspace.matrix_scale = problem.matrix_scale;
  workspace.tolerance = options.tolerance;
  workspace.max_iterations = options.max_iterations;
  workspace.measured_rounding = measured_rounding(*problem.batch, options);
  workspace.precondition = options.precondition;
  workspace.sample_weights = options.sample_weights && problem.batch->advantages != nullptr;
  workspace.largest_eigenvalue = &shared.largest_eigenvalue;
  return workspace;
}

SolveShape posed_shape(const StepOptions& options, const Problem& problem, const NormalSystem& system) {
  SolveShape shape = shape_of(problem.batch->scores);
  shape.condition_bound = system.shift() > 0.0 ? problem.system_scale() * problem.trace / system.shift()
                                               : std::numeric_limits<double>::infinity();
  shape.tolerance = options.tolerance;
  shape.dual_possible = problem.batch->advantages != nullptr || problem.damping > 0.0;
  shape.memory_limit = options.memory_limit;
  return shape;
}

}  // namespace

PosedStep::PosedStep(SharedBatch& shared, const StepOptions& options)
    : options_(options),
      shared_(&shared),
      problem_(pose(shared.surveyed, options, shared.context)),
      system_(shared.original.scores, problem_.system_weights(), problem_.shift(), problem_.system_mean(),
              shared.context),
      workspace_(workspace_of(options_, shared, problem_, system_)),
      plan_(make_plan(workspace_, posed_shape(options_, problem_, system_), options_)) {}

NaturalStep PosedStep::take(MatrixProvider* matrices) {
  workspace_.matrices = matrices;
  NaturalStep result;
  result.events = plan_.events;
  Outcome outcome = solve_or_stay(result.events);
  result.solver = outcome.solver;
  result.precision = outcome.precision;
  result.iterations = outcome.iterations;
  result.damping = problem_.damping;
  result.sample_weights = sample_weights(outcome, result.events);
  tell_what_the_scores_do_not_span(outcome, result.events);
  const double b_norm = norm(workspace_.b);
  result.residual = b_norm == 0.0 ? 0.0 : outcome.solution.residual / b_norm;
  if (auto untrusted = judge(workspace_, outcome, result.residual, false)) {
    result.events.push_back(std::move(*untrusted));
  }

  Units units{problem_.solution_scale(), problem_.system_scale()};
  Along along;
  along.momentum = shared_->momentum.active();
  along.slope = dot(workspace_.b, outcome.solution.x);
  along.slope_unit = problem_.gradient_scale;
  result.gradient = problem_.gradient;
  if (along.momentum) {
    units.solution_scale = add_prior(outcome.solution, result.gradient);
    along.slope_unit = unit_of(result.gradient);
    along.slope = dot(scaled(result.gradient, 1.0 / along.slope_unit), outcome.solution.x);
  }
  const Vector& products = outcome.solution.scores_times_x;  // x'^T M x' without the shift: sum w (S x')^2
  along.curvature_unit = unit_of(products);
  for (std::size_t n = 0; n < products.size(); ++n) {
    const double product = products[n] / along.curvature_unit;
    along.curvature += system_.weight(n) * product * product;
  }
  along.zero = b_norm == 0.0 && norm(outcome.solution.x) == 0.0;
  scale_to_kl(outcome.solution.x, units, along, options_.max_kl, result);
  return told(std::move(result));
}

Outcome PosedStep::solve_or_stay(std::vector<Event>& events) {
  if (norm(workspace_.b) != 0.0) return solve(workspace_, plan_, events);
  Outcome outcome;
  outcome.solver = plan_.first.solver;
  outcome.precision = plan_.first.precision;
  outcome.solution.x.assign(workspace_.b.size(), 0.0);
  measure(system_, workspace_.b, outcome.solution);
  const bool prior = norm(shared_->momentum.prior()) != 0.0;
  if (prior) {
    events.push_back({EventCode::momentum_kept, outcome.solver});
  } else {
    events.push_back({EventCode::zero_gradient, outcome.solver, {problem_.gradient_of_rounding ? 1.0 : 0.0}});
  }
  return outcome;
}

// They are measured against the whole direction, momentum's part included.  May move the solution to what they say.
std::vector<double> PosedStep::sample_weights(Outcome& outcome, std::vector<Event>& events) const {
  if (!workspace_.sample_weights) return {};
  const double length = norm(outcome.solution.x);
  if (length == 0.0) return std::vector<double>(system_.samples(), 0.0);
  Vector direction = outcome.solution.x;
  const Vector& prior = shared_->momentum.prior();
  for (std::size_t k = 0; k < prior.size(); ++k) direction[k] += prior[k] / problem_.solution_scale();
  const double share = length / norm(direction);
  SampleWeights weights = final_weights(workspace_, most_miss / share, outcome);
  if (system_.centred()) uncentre(outcome.solution.x, weights);
  if (weights.miss * share <= most_miss) {
    Vector u = scaled(std::move(weights.u), problem_.solution_scale());
    if (std::isnormal(norm(u))) return u;
    weights.miss = 1.0;  // what underflows is lost
  }
  if (weights.u.empty() && system_.shift() == 0.0) {
    events.push_back({EventCode::no_sample_weights, outcome.solver});
  } else {
    events.push_back({EventCode::sample_weights_missed, outcome.solver, {weights.miss * share}});
  }
  return {};
}

// Makes S^T u hold with S as it is: (S - 1 m^T)^T u = S^T (u - w sum u / sum w), whose rounding is that of the mean.
void PosedStep::uncentre(const Vector& x, SampleWeights& weights) const {
  Vector& u = weights.u;
  if (u.empty()) return;
  double sum = 0.0;
  for (const double value : u) sum += value;
  for (std::size_t n = 0; n < u.size(); ++n) u[n] -= system_.weight(n) * sum / system_.total_weight();
  Vector missed(x.size());
  rmatvec<double>(system_.scores(), u.data(), missed.data(), system_.context());
  for (std::size_t k = 0; k < x.size(); ++k) missed[k] = x[k] - missed[k];
  weights.miss = norm(missed) / norm(x);
}

void PosedStep::tell_what_the_scores_do_not_span(const Outcome& outcome, std::vector<Event>& events) const {
  if (problem_.batch->gradient == nullptr || problem_.samples >= problem_.parameters) return;
  // In the span's complement F x = 0, so lambda x is the part of the gradient there.
  const double b_norm = norm(workspace_.b);
  const double share = b_norm == 0.0 ? 0.0 : system_.shift() * norm(outcome.solution.x) / b_norm;
  if (share > 0.01) events.push_back({EventCode::outside_span, outcome.solver, {std::min(share, 1.0)}});
}

// Turns x' into the whole direction, and g into what it was without momentum.  Returns the unit of the direction: that
// of x', or where the direction would vanish in it, the prior's, a power of two away.
double PosedStep::add_prior(Solution& solution, Vector& gradient) const {
  double unit = problem_.solution_scale();
  const Momentum& momentum = shared_->momentum;
  const Vector& prior = momentum.prior();
  constexpr double small = 0x1p-900;
  if (norm(prior) > 0.0 && norm(solution.x) < small && unit_of(prior) / unit < small) {
    const int lift = std::ilogb(unit) - std::ilogb(unit_of(prior));
    unit = std::scalbn(unit, -lift);
    for (double& value : solution.x) value = std::scalbn(value, lift);
    for (double& value : solution.scores_times_x) value = std::scalbn(value, lift);
  }
  for (std::size_t k = 0; k < prior.size(); ++k) solution.x[k] += prior[k] / unit;
  for (std::size_t n = 0; n < solution.scores_times_x.size(); ++n) {
    solution.scores_times_x[n] += momentum.scores_times_prior()[n] / unit;
  }
  const Batch& original = shared_->original;
  if (original.gradient != nullptr) {
    gradient.assign(original.gradient, original.gradient + prior.size());
  } else {
    const Vector weighted = weighted_advantages(original, problem_.total_weight);
    rmatvec<double>(system_.scores(), weighted.data(), gradient.data(), shared_->context);
  }
  return unit;
}

}  // namespace fastfisher::detail
