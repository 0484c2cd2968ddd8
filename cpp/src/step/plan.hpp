// Which solver runs first, in which precision, and what is known for choosing the next.
#pragma once

#include <vector>

#include "step/attempt.hpp"
#include "step/cost_model.hpp"

namespace fastfisher::detail {

struct Plan {
  SolveShape shape;
  SolverChoice choice;     // its `direct` is the solver asked for where that is a direct one
  bool automatic = false;  // no solver was asked for
  Precision asked = Precision::automatic;
  Rung first;
  std::vector<Event> events;
};

// Throws std::invalid_argument or MemoryLimitExceeded where the solver asked for cannot run.
Plan make_plan(const Workspace& workspace, SolveShape shape, const StepOptions& options);

// A rung of this solver in the precision that was asked for, or what becomes of it, which the events then say.
Rung rung_of(const Workspace& workspace, const Plan& plan, Solver solver, std::vector<Event>& events);

// CG or LSMR, whichever loses less, where nothing comes after it.
Rung last_rung(const Workspace& workspace, const Plan& plan, std::vector<Event>& events);

// Whether the least-squares form loses fewer digits than CG, and can run.
bool lsmr_is_safer(const Workspace& workspace, const SolveShape& shape) noexcept;

// Rows of the preconditioner's sample; 0: it does not pay.
Index sample_rows(const Workspace& workspace, const Plan& plan, const Rung& rung);

}  // namespace fastfisher::detail
