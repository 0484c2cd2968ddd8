// A step by products with the scores alone.
#pragma once

#include "step_state.hpp"

namespace fastfisher::detail {

// By conjugate gradients, from options.initial, to options.tolerance; sets state.converged.
void solve_iteratively(StepState& state);

}  // namespace fastfisher::detail
