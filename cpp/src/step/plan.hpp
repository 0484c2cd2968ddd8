// A plan says which solver runs first, in which precision, and holds what is known for choosing the next.
#pragma once

#include <vector>

#include "step/attempt.hpp"
#include "step/cost_model.hpp"

namespace fastfisher::detail {

struct Plan {
  SolveShape shape;
  SolverChoice choice;     // its `direct` is the solver that was asked for, where that is a direct one
  bool automatic = false;  // no solver was asked for
  Precision asked = Precision::automatic;
  Rung first;
  std::vector<Event> events;
};

// Plans the solution.  Throws std::invalid_argument or MemoryLimitExceeded where the solver asked for cannot run.
Plan make_plan(const Workspace& workspace, SolveShape shape, const StepOptions& options);

// Returns a rung of this solver in the precision that was asked for; where that cannot be had, the events say what
// takes its place.
Rung rung_of(const Workspace& workspace, const Plan& plan, Solver solver, std::vector<Event>& events);

// Returns the rung that nothing comes after: CG or LSMR, whichever loses less.
Rung last_rung(const Workspace& workspace, const Plan& plan, std::vector<Event>& events);

// Returns whether the least-squares form loses fewer digits than CG, and can run.
bool lsmr_is_safer(const Workspace& workspace, const SolveShape& shape) noexcept;

// Returns the number of rows of the preconditioner's sample; zero says that none pays.
Index sample_rows(const Workspace& workspace, const Plan& plan, const Rung& rung);

}  // namespace fastfisher::detail
