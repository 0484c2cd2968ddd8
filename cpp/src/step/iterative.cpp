// The iterative attempts need products with the scores only.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "solvers/carried.hpp"
#include "solvers/conjugate_gradient.hpp"
#include "solvers/lsmr.hpp"
#include "solvers/narrow_product.hpp"
#include "step/attempt.hpp"
#include "step/plan.hpp"

namespace fastfisher::detail {
namespace {

// A prospect judges whether CG, by its progress so far, needs no more iterations than pay.
class Prospect {
 public:
  Prospect(double tolerance, double affordable)
      : goal_(std::log(1.0 / std::max(tolerance, 1e-16))), most_(affordable) {}

  // Residuals go up and down, so a judgement is passed every few iterations only, by the slower of two rates, that of
  // all iterations and that of the last few: the first ones take out the largest eigenvalues and promise too much.
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

  Event verdict() const {
    return {EventCode::trial_stopped, Solver::conjugate_gradient, {static_cast<double>(done_), expected_}};
  }

 private:
  double goal_, most_, before_ = 0.0, expected_ = 0.0;
  int good_ = 2;  // bad judgements in a row that are still to come before it ends
  Index done_ = 0;
};

Outcome begin(const Workspace& workspace, const Rung& rung) {
  Outcome outcome;
  outcome.solver = rung.solver;
  outcome.precision = rung.precision;
  outcome.limit = std::min(workspace.iteration_cap(), rung.limit.value_or(workspace.iteration_cap()));
  outcome.solution.x = rung.from != nullptr ? rung.from->solution.x : workspace.start;
  return outcome;
}

// Lets the start carry its sample weights, and with it all that is made of it, where they are asked for and the start
// has any.  Without damping they are not unique.
std::optional<Carrier> carry(const Workspace& workspace, const Rung& rung, Vector& start) {
  if (!workspace.sample_weights || !(workspace.system->shift() > 0.0)) return std::nullopt;
  Vector u;
  if (norm(start) == 0.0) {
    u.assign(workspace.rows->samples(), 0.0);
  } else if (rung.from != nullptr && rung.from->weights.miss <= most_miss) {
    u = rung.from->weights.u;
  } else {
    return std::nullopt;
  }
  start.insert(start.end(), u.begin(), u.end());
  return Carrier(*workspace.rows, workspace.targets);
}

// Parts the solution from the sample weights that it carries, if it does.
void part(const Workspace& workspace, Outcome& outcome) {
  Vector& x = outcome.solution.x;
  if (x.size() == workspace.b.size()) return;
  const auto end = x.begin() + static_cast<std::ptrdiff_t>(workspace.b.size());
  Vector u(end, x.end());
  x.erase(end, x.end());
  outcome.weights = measured(workspace, x, std::move(u));
}

void precondition(const Workspace& workspace, const Plan& plan, const Rung& rung, Outcome& outcome) {
  if (rung.from != nullptr && rung.from->preconditioner != nullptr) {
    outcome.preconditioner = rung.from->preconditioner;
    return;
  }
  const Index rows = sample_rows(workspace, plan, rung);
  if (rows == 0) return;
  outcome.preconditioner = sample_preconditioner(*workspace.rows, rows);
  if (outcome.preconditioner == nullptr) return;
  outcome.events.push_back(
      {EventCode::preconditioned, rung.solver, {static_cast<double>(outcome.preconditioner->rows())}});
}

// In mixed precision, products are in single precision while the true residual, measured in double every few digits,
// keeps up with the recurrence, and in double from there on.
ConjugateGradientResult run_conjugate_gradient(const Workspace& workspace, ConjugateGradientOptions options,
                                               Outcome& outcome) {
  const LinearSystem& system = *workspace.system;
  const Preconditioner* preconditioner = outcome.preconditioner.get();
  Vector& x = outcome.solution.x;
  const bool carried = options.carrier != nullptr;
  const Product in_double = [&, carried](const Vector& p, Vector& y) {
    carried ? options.carrier->multiply(p, y) : system.apply(p, y);
  };
  if (outcome.precision == Precision::double_precision) {
    return conjugate_gradient(system, in_double, workspace.b, preconditioner, options, x);
  }
  NarrowProduct narrow(*workspace.rows);
  const Product in_single = std::ref(narrow);
  if (outcome.precision == Precision::single_precision) {
    options.trust = std::numeric_limits<float>::epsilon();
    if (const double most = workspace.measured_rounding; most > 0.0) {
      options.residual = [&, most](const Vector& b, const Vector& of, Vector& r, Vector& scores_times_x) {
        return narrow.residual(workspace.matrix_trace, most, b, of, r, scores_times_x);
      };
    }
    return conjugate_gradient(system, in_single, workspace.b, preconditioner, options, x);
  }
  ConjugateGradientOptions first = options;
  first.trust = 1e-4;
  first.least_gain = 100.0;
  first.most_rise = std::numeric_limits<double>::infinity();
  // Single precision may need more iterations than double, or not get there at all.
  if (!workspace.max_iterations.has_value()) first.max_iterations = options.max_iterations / 2;
  ConjugateGradientResult run = conjugate_gradient(system, in_single, workspace.b, preconditioner, first, x);
  if (run.converged || run.given_up || run.iterations >= options.max_iterations) return run;
  outcome.events.push_back({EventCode::products_widened, outcome.solver, {run.residual}});
  const Index before = run.iterations;
  options.max_iterations -= before;
  options.go_on = {};
  run = conjugate_gradient(system, in_double, workspace.b, preconditioner, options, x);
  run.iterations += before;
  return run;
}

// Entries of S p round by eps ||s|| ||p|| for each of their terms, at random, and their squares are what is summed.
// Where only the sum A is kept, A p rounds itself.
double rounding_of_curvature(const Workspace& workspace) {
  constexpr double eps = std::numeric_limits<double>::epsilon();
  const auto size = static_cast<double>(workspace.parameters);
  return workspace.matrix_trace * (workspace.rows != nullptr ? 4.0 * size * eps * eps : std::sqrt(size) * eps);
}

}  // namespace

Outcome attempt_conjugate_gradient(const Workspace& workspace, const Plan& plan, const Rung& rung) {
  Outcome outcome = begin(workspace, rung);
  precondition(workspace, plan, rung, outcome);
  Prospect prospect(workspace.tolerance, plan.choice.affordable);
  ConjugateGradientOptions options;
  options.tolerance = workspace.tolerance;
  options.least_curvature = rounding_of_curvature(workspace);
  if (rung.trial) {
    outcome.limit = std::min(outcome.limit, plan.choice.patience);
    options.go_on = [&](Index iterations, double residual) { return prospect.good(iterations, residual); };
  }
  options.max_iterations = outcome.limit;
  const std::optional<Carrier> carrier = carry(workspace, rung, outcome.solution.x);
  options.carrier = carrier.has_value() ? &*carrier : nullptr;
  // Where a number of iterations was asked for, the last x is the best in the norm that CG lowers, whose residual may
  // be above those before it, but not without end.
  constexpr double ordinary_rise = 100.0;
  if (workspace.truncated()) options.most_rise = ordinary_rise;
  ConjugateGradientResult run = run_conjugate_gradient(workspace, options, outcome);
  if (run.given_up) outcome.events.push_back(prospect.verdict());
  outcome.solution.residual = norm(run.residual_vector);
  outcome.solution.residual_vector = std::move(run.residual_vector);
  outcome.solution.scores_times_x = std::move(run.scores_times_x);
  outcome.iterations = run.iterations;
  part(workspace, outcome);
  outcome.ending = run.converged                     ? Ending::converged
                   : run.given_up                    ? Ending::gave_up
                   : run.iterations >= outcome.limit ? Ending::cut
                                                     : Ending::stagnated;
  return outcome;
}

Outcome attempt_lsmr(const Workspace& workspace, const Plan& plan, const Rung& rung) {
  Outcome outcome = begin(workspace, rung);
  precondition(workspace, plan, rung, outcome);
  LeastSquares problem{workspace.rows, Vector(workspace.rows->samples())};
  for (std::size_t n = 0; n < problem.samples.size(); ++n) {
    problem.samples[n] = std::sqrt(workspace.rows->weight(n)) * workspace.targets[n];
  }
  carry(workspace, rung, outcome.solution.x);
  const LsmrResult run =
      lsmr(problem, workspace.b, outcome.preconditioner.get(), workspace.tolerance, outcome.limit, outcome.solution);
  outcome.iterations = run.iterations;
  part(workspace, outcome);
  outcome.ending = run.converged                     ? Ending::converged
                   : run.iterations >= outcome.limit ? Ending::cut
                                                     : Ending::stagnated;
  return outcome;
}

}  // namespace fastfisher::detail
