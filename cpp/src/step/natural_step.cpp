#include "fastfisher/natural_step.hpp"

#include <memory>
#include <stdexcept>

#include "step/direct_solve.hpp"
#include "step/iterative_solve.hpp"
#include "step/plan.hpp"
#include "step/step_rule.hpp"
#include "step/step_state.hpp"

namespace fastfisher {
namespace {

using detail::StepState;

void solve(StepState& state) {
  NaturalStep& result = state.result;
  if (detail::is_iterative(result.solver)) {
    solve_iteratively(state);
    const bool chosen = state.options.solver == Solver::automatic && !state.options.max_iterations.has_value();
    if (state.converged || !chosen || state.choice.direct == Solver::automatic) return;
    result.notes.push_back("CG was given up for " + std::string(name(state.choice.direct)) + ".");
    result.solver = state.choice.direct;
    result.precision = state.options.precision;
    settle_precision(state);
  }
  solve_directly(state);
}

NaturalStep take_step(StepState& state) {
  if (detail::norm(state.b) == 0.0) {
    state.solution.x.assign(state.b.size(), 0.0);
    measure(state.system, state.b, state.solution);
    state.result.notes.push_back(
        detail::norm(state.shared.momentum.prior()) == 0.0
            ? "The gradient is zero, and so is the step."
            : "The gradient asks for no change of momentum's direction: the direction is momentum times previous.");
  } else {
    solve(state);
  }
  return finish(state);
}

// Whether two dampings have their direct solver and their unshifted matrix in common.
bool share_a_matrix(const StepState& a, const StepState& b) noexcept {
  return a.choice.direct == b.choice.direct && a.problem.matrix_scale == b.problem.matrix_scale;
}

// Takes the steps from `first` on that share its matrix, and have not been taken.
void take_group(std::vector<std::unique_ptr<StepState>>& states, std::size_t first, std::vector<NaturalStep>& steps) {
  std::vector<std::size_t> group;
  Index in_single = 0, in_double = 0;
  for (std::size_t k = first; k < states.size(); ++k) {
    if (states[k] == nullptr || !share_a_matrix(*states[first], *states[k])) continue;
    group.push_back(k);
    if (states[k]->result.solver != states[k]->choice.direct) continue;  // CG
    // Unrefined single precision stays with Cholesky factors, which lose less where the matrix is graded.
    in_double += states[k]->result.precision == Precision::double_precision ? 1 : 0;
    in_single += states[k]->result.precision == Precision::mixed ? 1 : 0;
  }
  detail::MatrixCache cache(in_single, in_double, memory_limit(states[first]->shape));
  for (const std::size_t k : group) {
    if (group.size() > 1) states[k]->cache = &cache;
    steps[k] = take_step(*states[k]);
    states[k] = nullptr;
  }
}

}  // namespace

std::string_view name(Solver solver) noexcept {
  switch (solver) {
    case Solver::cholesky:
      return "cholesky";
    case Solver::gram:
      return "gram";
    case Solver::conjugate_gradient:
      return "cg";
    case Solver::lsmr:
      return "lsmr";
    case Solver::automatic:
      break;
  }
  return "auto";
}

std::string_view name(Precision precision) noexcept {
  switch (precision) {
    case Precision::single_precision:
      return "single";
    case Precision::double_precision:
      return "double";
    case Precision::mixed:
      return "mixed";
    case Precision::automatic:
      break;
  }
  return "auto";
}

NaturalStep natural_step(const Batch& batch, const StepOptions& options, const Context& context) {
  detail::SharedBatch shared(batch, context);
  StepState state(shared, options);
  choose_algorithm(state);
  return take_step(state);
}

std::vector<NaturalStep> natural_steps(const Batch& batch, const std::vector<double>& dampings,
                                       const StepOptions& options, const Context& context) {
  if (dampings.empty()) throw std::invalid_argument("damping: expected at least one value, got none");
  detail::SharedBatch shared(batch, context);
  std::vector<StepOptions> each(dampings.size(), options);
  std::vector<std::unique_ptr<StepState>> states;
  for (std::size_t k = 0; k < dampings.size(); ++k) {
    each[k].damping = dampings[k];
    states.push_back(std::make_unique<StepState>(shared, each[k]));
    choose_algorithm(*states.back());
  }
  std::vector<NaturalStep> steps(dampings.size());
  for (std::size_t k = 0; k < states.size(); ++k) {
    if (states[k] != nullptr) take_group(states, k, steps);
  }
  return steps;
}

PredictedCosts predicted_costs(const Batch& batch, const StepOptions& options, const Context& context) {
  detail::SharedBatch shared(batch, context);
  StepState state(shared, options);
  choose_algorithm(state);
  PredictedCosts costs = predicted_costs(state.shape);
  costs.choice = state.options.solver == Solver::automatic ? state.choice.solver : options.solver;
  return costs;
}

}  // namespace fastfisher
