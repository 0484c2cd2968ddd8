#include "fastfisher/natural_step.hpp"

#include "algorithm.hpp"
#include "direct_solve.hpp"
#include "iterative_solve.hpp"
#include "step_rule.hpp"
#include "step_state.hpp"

namespace fastfisher {
namespace {

using detail::StepState;

void solve(StepState& state) {
  NaturalStep& result = state.result;
  if (result.solver == Solver::conjugate_gradient) {
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

NaturalStep take_step(const Batch& batch, const StepOptions& options, detail::MatrixCache* cache,
                      const Context& context) {
  StepState state(batch, options, cache, context);
  choose_algorithm(state);
  if (detail::norm(state.b) == 0.0) {
    state.solution.x.assign(state.b.size(), 0.0);
    measure(state.system, state.b, state.solution);
    state.result.notes.push_back("The gradient is zero, and so is the step.");
  } else {
    solve(state);
  }
  return finish(state);
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
  return take_step(batch, options, nullptr, context);
}

std::vector<NaturalStep> natural_steps(const Batch& batch, const std::vector<double>& dampings,
                                       const StepOptions& options, const Context& context) {
  if (dampings.empty()) throw std::invalid_argument("damping: expected at least one value, got none");
  detail::MatrixCache cache;
  std::vector<NaturalStep> steps;
  steps.reserve(dampings.size());
  for (const double damping : dampings) {
    StepOptions own = options;
    own.damping = damping;
    steps.push_back(take_step(batch, own, &cache, context));
  }
  return steps;
}

}  // namespace fastfisher
