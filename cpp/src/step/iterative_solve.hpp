// A step by products with the scores alone.
#pragma once

#include "step/step_state.hpp"

namespace fastfisher::detail {

// By conjugate gradients or LSMR, as the state's solver says, from options.initial, to options.tolerance; sets
// state.converged.  Conjugate gradients that stagnate on an ill-conditioned F hand over to LSMR.
void solve_iteratively(StepState& state);

}  // namespace fastfisher::detail
