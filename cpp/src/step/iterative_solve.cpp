#include "step/iterative_solve.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <utility>

#include "scores/narrow.hpp"
#include "solvers/conjugate_gradient.hpp"
#include "solvers/lsmr.hpp"
#include "step/plan.hpp"

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
  const bool narrow_asked = result.precision != Precision::double_precision;
  const bool lsmr = result.solver == Solver::lsmr;
  const bool out_of_range = state.problem.matrix_scale != 1.0;
  const bool hopeless = result.precision == Precision::mixed && !mixed_products_may_work(state);
  if (!narrow_asked || (!lsmr && !out_of_range && !hopeless)) return;
  result.precision = Precision::double_precision;
  if (state.options.precision == Precision::automatic) return;
  result.notes.push_back(
      lsmr           ? "LSMR is for what single precision cannot do; double was used."
      : out_of_range ? "The products leave the range of single precision; double was used."
                     : "Mixed precision was refused: the trace of F over the damping is above 1e7; double was used.");
}

// What a run of CG in the result's precision leaves; x is the start, and then the solution.
//
// Mixed: products in single precision while the true residual, measured in double every few digits, keeps up with the
// recurrence; in double from there on.
ConjugateGradientResult run_conjugate_gradient(StepState& state, const Preconditioner* preconditioner, Index limit,
                                               std::function<bool(Index, double)> go_on) {
  NaturalStep& result = state.result;
  const NormalSystem& system = state.system;
  Vector& x = state.solution.x;
  ConjugateGradientOptions options;
  options.tolerance = state.options.tolerance;
  options.max_iterations = limit;
  options.go_on = std::move(go_on);
  if (result.precision == Precision::double_precision) {
    return conjugate_gradient<double>(system, system.scores(), system.mean(), state.b, preconditioner, options, x);
  }
  // Every product would convert the scores again: a copy pays from the third on.
  const NarrowScores narrow(system.scores(), system.mean(), system.context());
  if (result.precision == Precision::single_precision) {
    options.trust = std::numeric_limits<float>::epsilon();
    return conjugate_gradient<float>(system, narrow.view(), narrow.mean(), state.b, preconditioner, options, x);
  }
  ConjugateGradientOptions in_single = options;
  in_single.trust = 1e-4;
  in_single.least_gain = 100.0;
  // Single precision may need more iterations than double, or not get there at all.
  if (!state.options.max_iterations.has_value()) in_single.max_iterations = limit / 2;
  ConjugateGradientResult run =
      conjugate_gradient<float>(system, narrow.view(), narrow.mean(), state.b, preconditioner, in_single, x);
  if (run.converged || run.given_up || run.iterations >= limit) return run;
  result.notes.push_back("Products in single precision carried CG to a residual of " + in_words("%.1e", run.residual) +
                         "; it went on in double.");
  const Index before = run.iterations;
  options.max_iterations = limit - before;
  options.go_on = {};
  run = conjugate_gradient<double>(system, system.scores(), system.mean(), state.b, preconditioner, options, x);
  run.iterations += before;
  return run;
}

std::string name_in_notes(Solver solver) { return solver == Solver::lsmr ? "LSMR" : "CG"; }

// Null where none pays.
std::unique_ptr<Preconditioner> make_preconditioner(StepState& state, Index cap) {
  if (!state.options.precondition || !(state.system.shift() > 0.0)) return nullptr;
  const bool chosen = state.options.solver == Solver::automatic && state.choice.direct != Solver::automatic;
  const double plain = std::min(static_cast<double>(cap), iterations_bound(state.shape));
  const Index rows = chosen ? state.choice.sample_rows : preconditioner_rows(state.shape, plain);
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

// Whether CG, by its progress so far, needs no more iterations than pay.
class Prospect {
 public:
  Prospect(double tolerance, double affordable)
      : goal_(std::log(1.0 / std::max(tolerance, 1e-16))), most_(affordable) {}

  // A judgement every few iterations, since residuals go up and down, by the slower of two rates: of all iterations and
  // of the last few.  The first ones take out the largest eigenvalues and promise too much.
  bool good(Index iterations, double residual) {
    constexpr Index between = 8;
    if (iterations % between != 0 || residual <= 0.0) return true;
    const double progress = std::log(1.0 / residual);
    const double overall = progress / static_cast<double>(iterations);
    const double lately = (progress - before_) / static_cast<double>(between);
    before_ = progress;
    done_ = iterations;
    expected_ = static_cast<double>(iterations) + (goal_ - progress) / std::max(std::min(overall, lately), 1e-3);
    good_ = expected_ - static_cast<double>(iterations) <= most_ ? 2 : good_ - 1;
    return good_ > 0;
  }

  void explain(std::vector<std::string>& notes) const {
    notes.push_back("CG was stopped after " + std::to_string(done_) + " iterations, which promised about " +
                    in_words("%.0f", expected_) + " in all.");
  }

 private:
  double goal_, most_, before_ = 0.0, expected_ = 0.0;
  int good_ = 2;  // judgements in a row that end it, less those there were
  Index done_ = 0;
};

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
  const bool automatic = options.solver == Solver::automatic;
  const bool replaceable = automatic && state.choice.direct != Solver::automatic;
  const std::unique_ptr<Preconditioner> preconditioner = make_preconditioner(state, cap);
  if (automatic && !replaceable && preconditioner == nullptr && lsmr_is_safer(state)) {
    result.solver = Solver::lsmr;
    result.notes.push_back("LSMR took the place of CG, since the trace of F is above 1e8 times the damping.");
  }
  if (result.solver == Solver::lsmr) {
    solve_by_lsmr(state, preconditioner.get(), cap);
    return;
  }
  const bool capped = options.max_iterations.has_value();
  const Index limit = replaceable && !capped ? std::min(cap, state.choice.patience) : cap;
  Prospect prospect(options.tolerance, state.choice.affordable);
  const auto go_on = [&](Index iterations, double residual) { return prospect.good(iterations, residual); };
  ConjugateGradientResult run = run_conjugate_gradient(
      state, preconditioner.get(), limit, replaceable && !capped ? std::function<bool(Index, double)>(go_on) : nullptr);
  if (run.given_up) prospect.explain(result.notes);
  solution.residual = norm(run.residual_vector);
  solution.residual_vector = std::move(run.residual_vector);
  solution.scores_times_x = std::move(run.scores_times_x);
  result.iterations = run.iterations;
  state.converged = run.converged;
  if (run.given_up) return;
  const bool stagnated = !run.converged && run.iterations < limit && result.precision == Precision::double_precision;
  if (stagnated) go_on_by_lsmr(state, preconditioner.get(), limit);
  note_the_end(state, limit);
}

}  // namespace fastfisher::detail
