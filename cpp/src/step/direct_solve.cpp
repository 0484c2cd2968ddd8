#include "step/direct_solve.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "solvers/factorization.hpp"
#include "step/iterative_solve.hpp"
#include "step/plan.hpp"

namespace fastfisher::detail {
namespace {

// How a factor is made and used: the last rung of its ladder, and when refinement stops: at the first that gains less
// than a factor, or after so many.
struct Plan {
  LastRung last;
  double least_gain;
  int most;
};

constexpr Plan in_single{LastRung::clamp, 2.0, 0}, in_double{LastRung::clamp, 2.0, 3};
constexpr Plan in_mixed{LastRung::jitter, 10.0, 30};  // double is better than a clamp in single

// Adds to the note of a rung below the first what can be done about it.
template <class Real>
void note_the_guarantee(StepState& state) {
  constexpr double rounding_unit = 0.5 * static_cast<double>(std::numeric_limits<Real>::epsilon());
  const Problem& problem = state.problem;
  if (state.system.centred()) return;  // the mean's subtraction rounds too
  const auto samples = static_cast<double>(problem.samples), parameters = static_cast<double>(problem.parameters);
  const double damping = state.result.solver == Solver::cholesky
                             ? guaranteed_shift(samples, parameters, rounding_unit, problem.trace)
                             : guaranteed_shift(parameters, samples, rounding_unit, problem.trace);
  state.result.notes.back() += " A damping of " + in_words("%.1e", damping) + " or more is sure to need none.";
}

// x = R^T y, (R R^T + shift I) y = a with b = R^T a, R = diag(sqrt w) S: one solve, and no difference of near-equals
// divided by the damping.  Refined in the space of the samples, so that rounding never leaves the span of the scores:
// y += (R R^T + shift I)^-1 (a - R x - shift y).
bool solve_dual(StepState& state, const DualFactorization& factor, const Plan& plan) {
  const NormalSystem& system = state.system;
  const Problem& problem = state.problem;
  Solution& solution = state.solution;
  const std::size_t samples = system.samples();
  Vector roots(samples);
  for (std::size_t n = 0; n < samples; ++n) roots[n] = std::sqrt(system.weight(n));
  const auto lift = [&](Solution& lifted) {
    Vector weighted = lifted.dual;
    for (std::size_t n = 0; n < samples; ++n) weighted[n] *= roots[n];
    system.multiply_transposed(weighted, lifted.x);
  };
  solution.dual.resize(samples);
  for (std::size_t n = 0; n < samples; ++n) solution.dual[n] = roots[n] * problem.dual_target(n);
  factor.solve_dual(solution.dual);
  lift(solution);
  measure(system, state.b, solution);
  const auto correct = [&](const Solution& found) {
    Solution better;
    better.dual.resize(samples);
    for (std::size_t n = 0; n < samples; ++n) {
      better.dual[n] = roots[n] * (problem.dual_target(n) - found.scores_times_x[n]) - system.shift() * found.dual[n];
    }
    factor.solve_dual(better.dual);
    for (std::size_t n = 0; n < samples; ++n) better.dual[n] += found.dual[n];
    lift(better);
    return better;
  };
  const double scale = problem.product_scale();
  const bool settled = refine(system, correct, state.b, scale, plan.least_gain, plan.most, solution);
  state.dual = solution.dual;
  for (std::size_t n = 0; n < samples; ++n) state.dual[n] *= roots[n];
  // A backward stable x is left alone: refining it as such would divide rounding outside the span of the scores by
  // the damping, for a smaller residual and a larger error.
  const auto size = static_cast<double>(std::max(problem.samples, problem.parameters));
  return settled || solution.residual <= 4.0 * size * double_rounding * scale * norm(solution.x);
}

// True where the residual reached the rounding of double.
template <class Real>
bool factor_and_solve(StepState& state, const Plan& plan) {
  const NormalSystem& system = state.system;
  const Vector& b = state.b;
  Solution& solution = state.solution;
  NaturalStep& result = state.result;
  std::unique_ptr<Factorization> factor;
  solution = {};
  state.dual.clear();
  const Index side = result.solver == Solver::cholesky ? state.problem.parameters : state.problem.samples;
  if (state.cache != nullptr && state.cache->reduces<Real>(side)) {
    result.notes.push_back("The matrix was reduced to a band once, which every damping then factored.");
  }
  const std::size_t notes_before = result.notes.size();
  if (result.solver == Solver::cholesky) {
    factor = factor_primal<Real>(system, state.cache, plan.last, result.notes);
    if (result.notes.size() > notes_before) note_the_guarantee<Real>(state);
  } else {
    auto dual = factor_dual<Real>(system, state.cache, plan.last, result.notes);
    if (system.shift() == 0.0 && result.notes.size() > notes_before) {
      // More samples than directions: the dual system has no solution, only its jitter's.
      result.notes.back() = "Without damping the Gram matrix is singular; CG was used.";
      result.solver = Solver::conjugate_gradient;
      solve_iteratively(state);
      return true;
    }
    if (result.notes.size() > notes_before) note_the_guarantee<Real>(state);
    if (state.problem.batch->advantages != nullptr) {
      const bool settled = solve_dual(state, *dual, plan);
      // Where the scores' rows are dependent, y has a large part that R^T takes to nothing but rounding, which only
      // the residual of x itself sees.
      if (settled || system.shift() == 0.0) {
        result.iterations = solution.refinements;
        return settled;
      }
    }
    factor = std::move(dual);
  }
  if (solution.x.empty()) {
    solution.x = b;
    factor->solve(solution.x);
    measure(system, b, solution);
  }
  // x += M^-1 (b - M x).
  const auto correct = [&](const Solution& found) {
    Solution better;
    better.x = found.residual_vector;
    factor->solve(better.x);
    for (std::size_t k = 0; k < better.x.size(); ++k) better.x[k] += found.x[k];
    return better;
  };
  const Index refined = solution.refinements;
  const bool settled = refine(system, correct, b, state.problem.product_scale(), plan.least_gain, plan.most, solution);
  if (solution.refinements > refined) state.dual.clear();  // x has left what the dual says
  if (result.solver == Solver::cholesky && state.problem.batch->advantages != nullptr && system.shift() == 0.0) {
    // S^T u = x for u = diag(w) S M^-1 x.
    Vector again = solution.x;
    factor->solve(again);
    system.multiply(again, state.dual);
    for (std::size_t n = 0; n < state.dual.size(); ++n) state.dual[n] *= system.weight(n);
  }
  result.iterations = solution.refinements;
  return settled;
}

// What fitted in memory in single precision may not in double.
void solve_in_double(StepState& state) {
  NaturalStep& result = state.result;
  result.precision = Precision::double_precision;
  state.shape.narrow_factor = false;
  if (!fits_in_memory(state.shape, result.solver)) {
    result.notes.push_back("The matrix in double takes more than the memory limit; CG was used.");
    result.solver = Solver::conjugate_gradient;
    solve_iteratively(state);
    return;
  }
  factor_and_solve<double>(state, in_double);
}

}  // namespace

void solve_directly(StepState& state) {
  NaturalStep& result = state.result;
  if (state.options.precision == Precision::mixed && !mixed_may_work(state)) {
    result.precision = Precision::double_precision;
    result.notes.push_back(
        "Mixed precision was refused: the largest eigenvalue over the damping is near or above 1e7; double was used.");
  }
  if (result.precision == Precision::double_precision) {
    solve_in_double(state);
    return;
  }
  if (result.precision == Precision::single_precision) {
    factor_and_solve<float>(state, in_single);
    return;
  }
  try {
    if (factor_and_solve<float>(state, in_mixed)) return;
    result.notes.push_back("Mixed precision stopped gaining; the matrix was factored again in double.");
  } catch (const NotPositiveDefinite&) {
    result.notes.push_back("The matrix has no single-precision Cholesky factor; it was factored again in double.");
  }
  solve_in_double(state);
}

}  // namespace fastfisher::detail
