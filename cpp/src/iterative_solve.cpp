#include "iterative_solve.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "conjugate_gradient.hpp"
#include "lsmr.hpp"

namespace fastfisher::detail {
namespace {

// options.initial, less what momentum adds in the end, in the units of the solution; zero by default.
Vector initial_solution(const StepState& state) {
  Vector x(state.b.size(), 0.0);
  if (state.options.initial == nullptr) return x;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const double prior = state.shared.momentum.active() ? state.shared.momentum.prior()[k] : 0.0;
    x[k] = (state.options.initial[k] - prior) / state.problem.solution_scale();
  }
  return x;
}

// Scores whose squares had to be brought into range leave single's range on the way.
void settle_precision_of_products(StepState& state) {
  NaturalStep& result = state.result;
  const bool lsmr = result.solver == Solver::lsmr;
  const bool single_asked = result.precision == Precision::single_precision;
  if (!single_asked || lsmr || state.problem.matrix_scale != 1.0) result.precision = Precision::double_precision;
  if (single_asked && lsmr) {
    result.notes.push_back("LSMR is for what single precision cannot do; double was used.");
  } else if (single_asked && state.problem.matrix_scale != 1.0) {
    result.notes.push_back("The products leave the range of single precision; double was used.");
  }
  if (state.options.precision == Precision::mixed) {
    result.notes.push_back(std::string(lsmr ? "LSMR has" : "Conjugate gradients have") +
                           " no factor to hold in single precision; double was used.");
  }
}

std::string name_in_notes(Solver solver) { return solver == Solver::lsmr ? "LSMR" : "CG"; }

// Null where none pays.
std::unique_ptr<Preconditioner> make_preconditioner(StepState& state, Index cap) {
  if (!state.options.precondition || !(state.system.shift() > 0.0)) return nullptr;
  const double plain = std::min(static_cast<double>(cap), iterations_bound(state.shape));
  const Index rows = preconditioner_rows(state.shape, plain);
  if (rows == 0) return nullptr;
  auto preconditioner = sample_preconditioner(state.system, rows);
  if (preconditioner != nullptr) {
    state.result.notes.push_back(name_in_notes(state.result.solver) + " was preconditioned by a sample of " +
                                 std::to_string(preconditioner->rows()) + " rows.");
  }
  return preconditioner;
}

// The least-squares form needs advantages; it pays from where half the digits are lost to the condition of F.
bool lsmr_is_safer(const StepState& state) noexcept {
  constexpr double cg_is_safe = 1e8;
  return state.problem.batch->advantages != nullptr && state.shape.condition_bound > cg_is_safe;
}

LeastSquares least_squares(const StepState& state) {
  LeastSquares problem{&state.system, Vector(state.system.samples())};
  for (std::size_t n = 0; n < problem.samples.size(); ++n) {
    problem.samples[n] = std::sqrt(state.system.weight(n)) * state.problem.dual_target(n);
  }
  return problem;
}

std::string reached(double residual, double tolerance) {
  return in_words("%.1e", residual) + " of the tolerance " + in_words("%.1e", tolerance);
}

void note_the_end(StepState& state, Index limit) {
  if (state.converged) return;
  const std::string name = name_in_notes(state.result.solver);
  const std::string residual = reached(state.solution.residual / norm(state.b), state.options.tolerance);
  state.result.notes.push_back(state.result.iterations >= limit
                                   ? name + " stopped at " + std::to_string(limit) + " iterations with residual " +
                                         residual + "."
                                   : name + " met the limit of the arithmetic with residual " + residual + ".");
}

void solve_by_lsmr(StepState& state, const Preconditioner* preconditioner, Index limit) {
  const LsmrResult run =
      lsmr(least_squares(state), state.b, preconditioner, state.options.tolerance, limit, state.solution);
  state.result.iterations = run.iterations;
  state.converged = run.converged;
  note_the_end(state, limit);
}

// Where CG has met the limit of its arithmetic on an ill-conditioned F, the least-squares form may go further.
void go_on_by_lsmr(StepState& state, const Preconditioner* preconditioner, Index limit) {
  NaturalStep& result = state.result;
  if (!lsmr_is_safer(state)) return;
  Solution further = state.solution;
  const LsmrResult run =
      lsmr(least_squares(state), state.b, preconditioner, state.options.tolerance, limit - result.iterations, further);
  result.iterations += run.iterations;
  constexpr double least_gain = 2.0;
  if (!(least_gain * further.residual < state.solution.residual)) return;
  result.notes.push_back("CG met the limit of the arithmetic with residual " +
                         reached(state.solution.residual / norm(state.b), state.options.tolerance) +
                         "; LSMR went on from there.");
  state.solution = std::move(further);
  state.converged = run.converged;
  result.solver = Solver::lsmr;
}

}  // namespace

void solve_iteratively(StepState& state) {
  const StepOptions& options = state.options;
  NaturalStep& result = state.result;
  Solution& solution = state.solution;
  const Index smaller = std::min(state.problem.samples, state.problem.parameters);
  const Index cap = options.max_iterations.value_or(std::min<Index>(10 * smaller + 100, 10000));
  solution.x = initial_solution(state);
  if (result.solver == Solver::lsmr && state.problem.batch->advantages == nullptr) {
    result.solver = Solver::conjugate_gradient;
    result.notes.push_back("LSMR needs advantages: a gradient is not of least squares; CG was used.");
  }
  settle_precision_of_products(state);
  const std::unique_ptr<Preconditioner> preconditioner = make_preconditioner(state, cap);
  const bool automatic = options.solver == Solver::automatic;
  const bool replaceable = automatic && state.choice.direct != Solver::automatic;
  if (automatic && !replaceable && preconditioner == nullptr && lsmr_is_safer(state)) {
    result.solver = Solver::lsmr;
    result.notes.push_back("LSMR took the place of CG, since the trace of F is above 1e8 times the damping.");
  }
  if (result.solver == Solver::lsmr) {
    solve_by_lsmr(state, preconditioner.get(), cap);
    return;
  }
  // Where a factorisation could still take over, CG gets what it was expected to need, and half as much again.
  constexpr Index patience = 150;
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
  const bool stagnated = !run.converged && run.iterations < limit && result.precision == Precision::double_precision;
  if (stagnated) go_on_by_lsmr(state, preconditioner.get(), limit);
  note_the_end(state, limit);
}

}  // namespace fastfisher::detail
