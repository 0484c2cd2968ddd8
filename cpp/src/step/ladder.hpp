// The ladder of attempts decides which attempt comes next, by what the last one came to.
#pragma once

#include <vector>

#include "step/plan.hpp"

namespace fastfisher::detail {

// Returns the best outcome of the attempts, by the residual, and appends what happened on the way to `events`.
//
//   auto     CG on trial, where that promises to be cheaper -> the cheaper direct solver -> CG or LSMR
//   direct   mixed -> double -> CG, where the matrix does not fit or, without damping, is singular
//   CG       -> LSMR from where it stagnates in double, if F is ill-conditioned
//
// The last rung is never a trial: it goes on to the tolerance or to its number of iterations.  Throws
// NotPositiveDefinite where the direct solver that was asked for has no factor.
Outcome solve(const Workspace& workspace, const Plan& plan, std::vector<Event>& events);

// An outcome is what was asked for up to this relative residual.  This is the one rule, for every solver.
double trusted_residual(const Workspace& workspace, const Outcome& outcome) noexcept;

}  // namespace fastfisher::detail
