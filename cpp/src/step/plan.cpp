#include "step/plan.hpp"

#include <limits>
#include <stdexcept>

namespace fastfisher::detail {
namespace {

// Products in single precision carry CG a few digits from each true residual while the condition number is well below
// 1 / eps; a bound on it by the trace is loose, but a wrong guess costs iterations only.
constexpr double most_condition_of_mixed = 1e7;

// Of R^T R + shift I, to a few per cent.
double largest_eigenvalue(const StepState& state) {
  Vector v = state.b, product;
  double eigenvalue = 0.0;
  constexpr int iterations = 8;
  for (int i = 0; i < iterations; ++i) {
    const double length = norm(v);
    if (length == 0.0) break;
    for (double& value : v) value /= length;
    state.system.apply(v, product);
    eigenvalue = norm(product);
    v.swap(product);
  }
  return eigenvalue;
}

}  // namespace

void choose_algorithm(StepState& state) {
  const StepOptions& options = state.options;
  const Problem& problem = state.problem;
  SolveShape& shape = state.shape;
  NaturalStep& result = state.result;
  shape = shape_of(problem.batch->scores);
  shape.condition_bound = state.system.shift() > 0.0 ? problem.system_scale() * problem.trace / state.system.shift()
                                                     : std::numeric_limits<double>::infinity();
  shape.tolerance = options.tolerance;
  shape.dual_possible = problem.batch->advantages != nullptr || problem.damping > 0.0;
  shape.memory_limit = options.memory_limit;
  result.precision = options.precision;
  const bool narrow = options.precision == Precision::single_precision || options.precision == Precision::mixed;
  shape.narrow_factor = narrow;
  shape.mixed_likely = options.precision == Precision::automatic && shape.condition_bound <= most_condition_of_mixed;
  shape.narrow_products = narrow || shape.mixed_likely;
  shape.precondition = options.precondition && state.system.shift() > 0.0;
  state.choice.direct = options.solver;
  result.solver = options.solver;
  if (options.solver == Solver::automatic) {
    state.choice = choose_solver(shape);
    result.solver = state.choice.solver;
    result.notes.push_back(state.choice.reason);
  } else if (!is_iterative(options.solver)) {
    check_memory(shape, options.solver);
  }
  if (result.solver == Solver::gram && !shape.dual_possible) {
    throw std::invalid_argument("damping: the gram solver with a gradient (not advantages) expects damping > 0, got 0");
  }
  settle_precision(state);
}

// Single-precision factors pay from a few hundred rows on, where the time is in the factorisation; products from where
// it is in the arithmetic or in reading the scores.
void settle_precision(StepState& state) {
  NaturalStep& result = state.result;
  if (result.precision != Precision::automatic) return;
  if (is_iterative(result.solver)) {
    constexpr double least_values = 1e5;
    const bool pays = state.shape.samples * state.shape.row_values >= least_values;
    const bool works = result.solver != Solver::lsmr && mixed_products_may_work(state);
    result.precision = pays && works ? Precision::mixed : Precision::double_precision;
    return;
  }
  const double side = result.solver == Solver::gram ? state.shape.samples : state.shape.parameters;
  constexpr double least_side = 512.0;
  const bool pays = side >= least_side;
  result.precision = pays && mixed_may_work(state) ? Precision::mixed : Precision::double_precision;
}

bool mixed_products_may_work(const StepState& state) {
  return state.shape.condition_bound <= most_condition_of_mixed && state.problem.matrix_scale == 1.0;
}

// A single-precision factor carries refinement only while the condition number is well below 1 / eps.  The trace
// bounds the largest eigenvalue; where that is not enough to tell, a few power iterations estimate it.
bool mixed_may_work(StepState& state) {
  const double shift = state.system.shift();
  if (!(shift > 0.0)) return false;
  constexpr double surely = 1e6, most = 5e6;
  if (state.shape.condition_bound <= surely) return true;
  std::optional<double>& known = state.shared.largest_eigenvalue;
  if (!known.has_value()) known = largest_eigenvalue(state) / state.problem.matrix_scale;
  return *known * state.problem.matrix_scale / shift <= most;
}

}  // namespace fastfisher::detail
