// The direct attempts factor a matrix: M, d x d, or the Gram matrix, N x N.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <type_traits>
#include <utility>

#include "step/attempt.hpp"
#include "step/plan.hpp"

namespace fastfisher::detail {
namespace {

// A use says how a factor is made and used: `last` is the last rung of the factor's own ladder, and refinement stops at
// the first round that gains less than the factor `least_gain`, or after `most` of them.
struct Use {
  LastRung last;
  double least_gain;
  int most;
};

constexpr Use in_single{LastRung::clamp, 2.0, 0}, in_double{LastRung::clamp, 2.0, 3};
constexpr Use in_mixed{LastRung::jitter, 10.0, 30};  // double is better than a clamp in single

// Returns the damping from which on a factor in Real is sure to need neither jitter nor clamp, or zero where that is
// not known.
template <class Real>
double sufficient_damping(const Workspace& workspace, Solver solver) {
  if (workspace.rows == nullptr || workspace.rows->centred()) return 0.0;  // the mean's subtraction rounds too
  constexpr double rounding_unit = 0.5 * static_cast<double>(std::numeric_limits<Real>::epsilon());
  const auto samples = static_cast<double>(workspace.samples), parameters = static_cast<double>(workspace.parameters);
  return solver == Solver::cholesky ? guaranteed_shift(samples, parameters, rounding_unit, workspace.trace)
                                    : guaranteed_shift(parameters, samples, rounding_unit, workspace.trace);
}

template <class Real>
void tell_of_factor(const Workspace& workspace, const FactorReport& report, Outcome& outcome) {
  const double sufficient = report.exact() ? 0.0 : sufficient_damping<Real>(workspace, outcome.solver);
  if (report.relative_jitter > 0.0) {
    outcome.events.push_back({EventCode::jittered, outcome.solver, {report.relative_jitter, sufficient}});
  } else if (report.size > 0) {
    outcome.events.push_back(
        {EventCode::clamped,
         outcome.solver,
         {static_cast<double>(report.raised), static_cast<double>(report.size), report.relative_bound, sufficient}});
  }
}

// Solves x = R^T y, (R R^T + shift I) y = a with b = R^T a, R = diag(sqrt w) S, which takes one solve, and no
// difference of near-equals divided by the damping.  The solution is refined in the space of the samples, so that
// rounding never leaves the span of the scores: y += (R R^T + shift I)^-1 (a - R x - shift y).
bool solve_dual(const Workspace& workspace, const DualFactorization& factor, const Use& use, Outcome& outcome) {
  const NormalSystem& system = *workspace.rows;
  Solution& solution = outcome.solution;
  const std::size_t samples = system.samples();
  Vector roots(samples);
  for (std::size_t n = 0; n < samples; ++n) roots[n] = std::sqrt(system.weight(n));
  const auto lift = [&](Solution& lifted) {
    Vector weighted = lifted.dual;
    for (std::size_t n = 0; n < samples; ++n) weighted[n] *= roots[n];
    system.multiply_transposed(weighted, lifted.x);
  };
  solution.dual.resize(samples);
  for (std::size_t n = 0; n < samples; ++n) solution.dual[n] = roots[n] * workspace.targets[n];
  factor.solve_dual(solution.dual);
  lift(solution);
  measure(system, workspace.b, solution);
  const auto correct = [&](const Solution& found) {
    Solution better;
    better.dual.resize(samples);
    for (std::size_t n = 0; n < samples; ++n) {
      better.dual[n] = roots[n] * (workspace.targets[n] - found.scores_times_x[n]) - system.shift() * found.dual[n];
    }
    factor.solve_dual(better.dual);
    for (std::size_t n = 0; n < samples; ++n) better.dual[n] += found.dual[n];
    lift(better);
    return better;
  };
  const double scale = workspace.product_scale;
  const bool settled = refine(system, correct, workspace.b, scale, use.least_gain, use.most, solution);
  if (workspace.sample_weights) {
    Vector u = solution.dual;
    for (std::size_t n = 0; n < samples; ++n) u[n] *= roots[n];
    outcome.weights = measured(workspace, solution.x, std::move(u));
  }
  // A backward stable x is left alone: refining it as such would divide rounding outside the span of the scores by
  // the damping, for a smaller residual and a larger error.
  const auto size = static_cast<double>(std::max(workspace.samples, workspace.parameters));
  return settled || solution.residual <= 4.0 * size * double_rounding * scale * norm(solution.x);
}

// Solves x = M^-1 b by the factor, unless a dual solve has begun, and refines by x += M^-1 (b - M x).
bool solve_primal(const Workspace& workspace, const Factorization& factor, const Use& use, Outcome& outcome) {
  const LinearSystem& system = *workspace.system;
  const Vector& b = workspace.b;
  Solution& solution = outcome.solution;
  if (solution.x.empty()) {
    solution.x = b;
    factor.solve(solution.x);
    measure(system, b, solution);
  }
  const auto correct = [&](const Solution& found) {
    Solution better;
    better.x = found.residual_vector;
    factor.solve(better.x);
    for (std::size_t k = 0; k < better.x.size(); ++k) better.x[k] += found.x[k];
    return better;
  };
  const Index refined = solution.refinements;
  const bool settled = refine(system, correct, b, workspace.product_scale, use.least_gain, use.most, solution);
  if (solution.refinements > refined) outcome.weights = {};  // x has left what the dual says
  return settled;
}

template <class Real>
void by_cholesky(const Workspace& workspace, const Use& use, Outcome& outcome) {
  KeptFactor own;
  KeptFactor& kept = workspace.kept == nullptr ? own : *workspace.kept;
  if (kept.solver != outcome.solver || kept.precision != outcome.precision) {
    kept = {};  // before the next takes its memory
    kept.factor = factor_primal<Real>(*workspace.system, {use.last, workspace.matrices}, kept.report);
    kept.solver = outcome.solver;
    kept.precision = outcome.precision;
  }
  if (kept.report.reduced_to_band) outcome.events.push_back({EventCode::reduced_to_band, outcome.solver});
  outcome.ending = Ending::indefinite;
  if (kept.factor == nullptr) return;
  tell_of_factor<Real>(workspace, kept.report, outcome);
  const bool settled = solve_primal(workspace, *kept.factor, use, outcome);
  if (workspace.sample_weights) {
    outcome.weights = weights_by_factor(workspace, *kept.factor, outcome.solution);
  }
  outcome.ending = settled ? Ending::converged : Ending::stagnated;
}

template <class Real>
void by_gram(const Workspace& workspace, const Use& use, Outcome& outcome) {
  FactorReport report;
  const auto factor = factor_dual<Real>(*workspace.rows, {use.last, workspace.matrices}, report);
  if (report.reduced_to_band) outcome.events.push_back({EventCode::reduced_to_band, outcome.solver});
  const double shift = workspace.system->shift();
  // With more samples than directions the dual system has no solution, only its jitter has.
  const bool exact = factor != nullptr && report.exact();
  outcome.ending = shift == 0.0 && !exact ? Ending::singular : Ending::indefinite;
  if (factor == nullptr || outcome.ending == Ending::singular) return;
  tell_of_factor<Real>(workspace, report, outcome);
  bool settled = !workspace.targets.empty() && solve_dual(workspace, *factor, use, outcome);
  // Where the scores' rows are dependent, y has a large part that R^T takes to nothing but rounding, which only the
  // residual of x itself sees.
  if (!settled && shift > 0.0) settled = solve_primal(workspace, *factor, use, outcome);
  if (workspace.sample_weights && !(outcome.weights.miss <= most_miss) && shift > 0.0) {
    outcome.weights = weights_by_factor(workspace, *factor, outcome.solution);
  }
  outcome.ending = settled ? Ending::converged : Ending::stagnated;
}

template <class Real>
void factor_and_solve(const Workspace& workspace, const Use& use, Outcome& outcome) {
  if (outcome.solver == Solver::cholesky) {
    by_cholesky<Real>(workspace, use, outcome);
  } else {
    by_gram<Real>(workspace, use, outcome);
  }
  outcome.iterations = outcome.solution.refinements;
}

}  // namespace

Outcome attempt_direct(const Workspace& workspace, const Plan& plan, const Rung& rung) {
  Outcome outcome;
  outcome.solver = rung.solver;
  outcome.precision = rung.precision;
  if (rung.precision == Precision::double_precision) {
    SolveShape wide = plan.shape;
    wide.narrow_factor = false;
    if (!fits_in_memory(wide, rung.solver)) {  // what fitted in single precision may not in double
      outcome.ending = Ending::over_memory;
      return outcome;
    }
    factor_and_solve<double>(workspace, in_double, outcome);
  } else {
    factor_and_solve<float>(workspace, rung.precision == Precision::mixed ? in_mixed : in_single, outcome);
  }
  return outcome;
}

}  // namespace fastfisher::detail
