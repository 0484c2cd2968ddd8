// From a solution of the linear system to the step.
#pragma once

#include "step/step_state.hpp"

namespace fastfisher::detail {

// Everything of the result that follows from the state's solution: step, gradient, sample weights, what is predicted
// and what is to be said of it.  The state is spent.
// Throws std::overflow_error where the step leaves the range of double.
NaturalStep finish(StepState& state);

}  // namespace fastfisher::detail
