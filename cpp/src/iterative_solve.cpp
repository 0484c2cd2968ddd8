#include "iterative_solve.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "conjugate_gradient.hpp"

namespace fastfisher::detail {
namespace {

// options.initial, less what momentum adds in the end, in the units of the solution; zero by default.
Vector initial_solution(const StepState& state) {
  Vector x(state.b.size(), 0.0);
  if (state.options.initial == nullptr) return x;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const double prior = state.momentum.active() ? state.momentum.prior()[k] : 0.0;
    x[k] = (state.options.initial[k] - prior) / state.problem.solution_scale();
  }
  return x;
}

// Scores whose squares had to be brought into range leave single's range on the way.
void settle_precision_of_products(StepState& state) {
  NaturalStep& result = state.result;
  const bool single_asked = result.precision == Precision::single_precision;
  if (!single_asked || state.problem.matrix_scale != 1.0) result.precision = Precision::double_precision;
  if (single_asked && state.problem.matrix_scale != 1.0) {
    result.notes.push_back("The products leave the range of single precision; double was used.");
  }
  if (state.options.precision == Precision::mixed) {
    result.notes.push_back("Conjugate gradients have no factor to hold in single precision; double was used.");
  }
}

// Null where none pays.
std::unique_ptr<Preconditioner> make_preconditioner(StepState& state, Index cap) {
  if (!state.options.precondition || !(state.system.shift() > 0.0)) return nullptr;
  const double plain = std::min(static_cast<double>(cap), iterations_bound(state.shape));
  const Index rows = preconditioner_rows(state.shape, plain);
  if (rows == 0) return nullptr;
  auto preconditioner = sample_preconditioner(state.system, rows);
  if (preconditioner != nullptr) {
    state.result.notes.push_back("CG was preconditioned by a sample of " + std::to_string(preconditioner->rows()) +
                                 " rows.");
  }
  return preconditioner;
}

}  // namespace

void solve_iteratively(StepState& state) {
  const StepOptions& options = state.options;
  NaturalStep& result = state.result;
  Solution& solution = state.solution;
  const Index smaller = std::min(state.problem.samples, state.problem.parameters);
  const Index cap = options.max_iterations.value_or(std::min<Index>(10 * smaller + 100, 10000));
  solution.x = initial_solution(state);
  settle_precision_of_products(state);
  const std::unique_ptr<Preconditioner> preconditioner = make_preconditioner(state, cap);
  // Where a factorisation could still take over, CG gets what it was expected to need, and half as much again.
  constexpr Index patience = 150;
  const bool replaceable = options.solver == Solver::automatic && state.choice.direct != Solver::automatic;
  const Index limit = replaceable && !options.max_iterations.has_value() ? std::min(cap, patience) : cap;
  const auto run_in = [&]<class Real>() {
    return conjugate_gradient<Real>(state.system, state.b, preconditioner.get(), options.tolerance, limit, solution.x);
  };
  ConjugateGradientResult run = result.precision == Precision::single_precision ? run_in.template operator()<float>()
                                                                                : run_in.template operator()<double>();
  solution.residual = norm(run.residual_vector);
  solution.residual_vector = std::move(run.residual_vector);
  solution.scores_times_x = std::move(run.scores_times_x);
  result.iterations = run.iterations;
  state.converged = run.converged;
  if (run.converged) return;
  const std::string reached =
      in_words("%.1e", run.residual) + " of the tolerance " + in_words("%.1e", options.tolerance);
  result.notes.push_back(run.iterations >= limit
                             ? "CG stopped at " + std::to_string(limit) + " iterations with residual " + reached + "."
                             : "CG met the limit of the arithmetic with residual " + reached + ".");
}

}  // namespace fastfisher::detail
