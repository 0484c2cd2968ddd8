// A step by a factorisation, and its refinement.
#pragma once

#include "step/step_state.hpp"

namespace fastfisher::detail {

// By the state's solver, cholesky or gram, in the state's precision; what does not work there goes on in double, and
// what does not fit in memory by conjugate gradients.  Throws NotPositiveDefinite.
void solve_directly(StepState& state);

}  // namespace fastfisher::detail
