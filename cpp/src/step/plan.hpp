// Which solver runs in which precision.
#pragma once

#include "step/step_state.hpp"

namespace fastfisher::detail {

// Sets the state's shape, choice, solver and precision.
// Throws std::invalid_argument or MemoryLimitExceeded where the solver asked for cannot run.
void choose_algorithm(StepState& state);

// Turns an automatic precision into one for the solver that is now to run.
void settle_precision(StepState& state);

// Whether a single-precision factor would carry refinement.
bool mixed_may_work(StepState& state);

// Whether CG's products may be taken in single precision.
bool mixed_products_may_work(const StepState& state);

}  // namespace fastfisher::detail
