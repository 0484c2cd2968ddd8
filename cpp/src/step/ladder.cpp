#include "step/ladder.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "fastfisher/errors.hpp"
#include "step/solver_table.hpp"

namespace fastfisher::detail {
namespace {

// Rounding leaves a good solution a residual of up to this, by which it is judged where no tolerance says so.
double expected_residual(Precision precision) noexcept {
  return precision == Precision::single_precision ? 1e-3 : 1e-6;
}

class Ladder {
 public:
  Ladder(const Workspace& workspace, const Plan& plan, std::vector<Event>& events)
      : workspace_(&workspace), plan_(&plan), events_(&events), b_norm_(norm(workspace.b)) {}

  Outcome climb() {
    std::optional<Rung> rung = plan_->first;
    while (rung.has_value()) {
      tried_.push_back(std::make_unique<Outcome>(row_of(rung->solver).attempt(*workspace_, *plan_, *rung)));
      Outcome& outcome = *tried_.back();
      outcome.asked_for = tried_.size() == 1;
      std::move(outcome.events.begin(), outcome.events.end(), std::back_inserter(*events_));
      const Rung tried = *rung;
      rung = next(tried, outcome);
      keep(tried, outcome);
    }
    if (best_ == nullptr || (indefinite_ && norm(best_->solution.x) == 0.0)) refuse();  // CG found nothing either
    const bool told = plan_->first.trial && best_ == tried_.front().get();              // before the trial was given up
    if (!told) note_the_end_of(*best_);
    if (!row_of(best_->solver).iterative && worse_than_none(best_->solution)) {
      best_->solution = {};
      best_->solution.x.assign(workspace_->b.size(), 0.0);
      best_->weights = {};
      measure(*workspace_->system, workspace_->b, best_->solution);
    }
    return std::move(*best_);
  }

 private:
  std::optional<Rung> next(const Rung& rung, Outcome& outcome) {
    return row_of(rung.solver).iterative ? after_iterations(rung, outcome) : after_factor(rung, outcome);
  }

  std::optional<Rung> after_iterations(const Rung& rung, Outcome& outcome) {
    if (outcome.ending == Ending::converged) return std::nullopt;
    if (rung.trial) {
      note_the_end_of(outcome);
      events_->push_back({EventCode::given_up, plan_->choice.direct});
      return rung_of(*workspace_, *plan_, plan_->choice.direct, *events_);
    }
    // Where CG has met the limit of its arithmetic, the least-squares form may go further.
    const bool in_double = outcome.precision == Precision::double_precision;
    if (rung.solver == Solver::lsmr || outcome.ending != Ending::stagnated || !in_double) return std::nullopt;
    if (!lsmr_is_safer(*workspace_, plan_->shape)) return std::nullopt;
    Rung further = rung_of(*workspace_, *plan_, Solver::lsmr, silent_);
    further.from = &outcome;
    further.limit = outcome.limit - outcome.iterations;
    return further;
  }

  std::optional<Rung> after_factor(const Rung& rung, Outcome& outcome) {
    const bool mixed = rung.precision == Precision::mixed;
    switch (outcome.ending) {
      case Ending::singular:
        return iterate_after(EventCode::gram_singular);
      case Ending::over_memory:
        return factor_what_fits(rung);
      case Ending::indefinite:
        if (mixed) return again_in_double(rung, EventCode::mixed_indefinite);
        if (!plan_->automatic) refuse();
        indefinite_ = true;
        return iterate_after(EventCode::indefinite);
      case Ending::stagnated:
        if (mixed) return again_in_double(rung, EventCode::mixed_stagnated);
        [[fallthrough]];
      default:
        return plan_->automatic ? improve(outcome) : std::nullopt;
    }
  }

  [[noreturn]] void refuse() const {
    const bool single = plan_->first.precision == Precision::single_precision, of_sums = workspace_->rows == nullptr;
    throw NotPositiveDefinite(
        std::string("the damped Fisher matrix has no Cholesky factor in this precision, even with jitter, and no "
                    "positive eigenvalue above its rounding; ") +
        (single ? "use double precision or " : "") + "increase damping" +
        (of_sums && workspace_->trace == 0.0 ? ", or rescale scores whose squares leave the range of float64" : ""));
  }

  // A factor that is all rounding may give an x that is further from the solution than zero, by the residual or by
  // x^T M x / 2 - b^T x, of which M x = b - r.
  bool worse_than_none(const Solution& solution) const noexcept {
    return solution.residual > b_norm_ ||
           dot(workspace_->b, solution.x) + dot(solution.residual_vector, solution.x) < 0.0;
  }

  std::optional<Rung> again_in_double(const Rung& rung, EventCode why) {
    events_->push_back({why, rung.solver});
    return Rung{.solver = rung.solver, .precision = Precision::double_precision};
  }

  // "auto" may have chosen the larger matrix in single precision: the smaller one may then fit in double.
  std::optional<Rung> factor_what_fits(const Rung& rung) {
    const Solver other = rung.solver == Solver::gram ? Solver::cholesky : Solver::gram;
    SolveShape wide = plan_->shape;
    wide.narrow_factor = false;
    const bool possible = other == Solver::cholesky || (workspace_->rows != nullptr && wide.dual_possible);
    if (!plan_->automatic || !possible || !fits_in_memory(wide, other)) return iterate_after(EventCode::over_memory);
    events_->push_back({EventCode::over_memory, other});
    return Rung{.solver = other, .precision = Precision::double_precision};
  }

  std::optional<Rung> iterate_after(EventCode why) {
    events_->push_back({why, Solver::conjugate_gradient});
    return last_rung(*workspace_, *plan_, *events_);
  }

  // CG or LSMR goes on where a factor's solution is not what "auto" promises: to the end, or, from a solution that
  // will do, for as many iterations as cost as much as the factor.
  std::optional<Rung> improve(const Outcome& outcome) {
    const double residual = relative(outcome);
    const double expected = expected_residual(outcome.precision);
    constexpr double good = 1e-8;
    const bool will_do = residual <= expected;
    const double goal = outcome.precision == Precision::single_precision ? expected : good;
    if (residual <= std::max(goal, workspace_->tolerance)) return std::nullopt;
    events_->push_back({EventCode::iterations_went_on, Solver::conjugate_gradient, {residual}});
    Rung rung = last_rung(*workspace_, *plan_, *events_);
    // Without damping the solution is not unique, and only a start from zero leads to the shortest; and a residual
    // above one is that of a solution that is worse than none.
    if (workspace_->system->shift() > 0.0 && residual < 1.0) rung.from = &outcome;
    constexpr double cheap = 200.0;  // whatever the factor cost
    if (will_do) rung.limit = static_cast<Index>(std::clamp(plan_->choice.affordable, cheap, 1e6));
    return rung;
  }

  double relative(const Outcome& outcome) const noexcept { return outcome.solution.residual / b_norm_; }

  void keep(const Rung& rung, Outcome& outcome) {
    const bool went_on = rung.solver == Solver::lsmr && rung.from != nullptr && rung.from == best_ &&
                         best_->solver == Solver::conjugate_gradient;
    if (went_on) {
      keep_what_lsmr_gained(outcome);
    } else if (!outcome.solution.x.empty() &&
               (best_ == nullptr || outcome.solution.residual < best_->solution.residual)) {
      best_ = &outcome;
    }
  }

  // LSMR must gain something to be worth a word; the iterations that it took count either way.
  void keep_what_lsmr_gained(Outcome& outcome) {
    outcome.asked_for = best_->asked_for;
    outcome.iterations += best_->iterations;
    outcome.limit = best_->limit;
    constexpr double least_gain = 2.0;
    if (least_gain * outcome.solution.residual < best_->solution.residual) {
      events_->push_back({EventCode::lsmr_went_on, Solver::lsmr, {relative(*best_), workspace_->tolerance}});
      best_ = &outcome;
    } else {
      best_->iterations = outcome.iterations;
      if (best_->iterations >= best_->limit) best_->ending = Ending::cut;
    }
  }

  void note_the_end_of(const Outcome& outcome) {
    const double residual = relative(outcome), tolerance = workspace_->tolerance;
    if (outcome.ending == Ending::cut) {
      events_->push_back(
          {EventCode::iteration_limit, outcome.solver, {static_cast<double>(outcome.limit), residual, tolerance}});
    } else if (outcome.ending == Ending::stagnated && row_of(outcome.solver).iterative) {
      events_->push_back({EventCode::stagnated, outcome.solver, {residual, tolerance}});
    }
  }

  const Workspace* workspace_;
  const Plan* plan_;
  std::vector<Event>* events_;
  std::vector<Event> silent_;
  double b_norm_;
  std::vector<std::unique_ptr<Outcome>> tried_;  // a rung may go on from any of them
  Outcome* best_ = nullptr;
  bool indefinite_ = false;  // the matrix has no factor in double
};

}  // namespace

Outcome solve(const Workspace& workspace, const Plan& plan, std::vector<Event>& events) {
  return Ladder(workspace, plan, events).climb();
}

// A number of iterations that was asked for is an accuracy that was asked for: TRPO's step is such a one, with
// residuals of 1e-3 to 0.1.  Above one, the residual is that of a solution which is worse than none.
double trusted_residual(const Workspace& workspace, const Outcome& outcome) noexcept {
  const double expected = expected_residual(outcome.precision);
  if (!row_of(outcome.solver).iterative) return expected;
  const bool asked_for = outcome.asked_for && outcome.ending == Ending::cut && workspace.truncated();
  return std::max(asked_for ? 1.0 : expected, workspace.tolerance);
}

}  // namespace fastfisher::detail
