// The damped natural-gradient step, theta += alpha (F + lambda I)^-1 g.
//
// Rajeswaran, Lowrey, Todorov and Kakade, "Towards Generalization and Simplicity in Continuous Control",
// arXiv 1703.02660, equations 3 to 5.
#pragma once

#include <vector>

#include "fastfisher/context.hpp"
#include "fastfisher/errors.hpp"
#include "fastfisher/step_types.hpp"

namespace fastfisher {

// Takes one step.  Throws std::invalid_argument naming the argument, std::overflow_error where squared scores, the
// gradient or the step leave double's range, NotPositiveDefinite, MemoryLimitExceeded, std::bad_alloc, and whatever
// context.poll throws. Never returns a NaN.
NaturalStep natural_step(const Batch& batch, const StepOptions& options = {}, const Context& context = {});

// Takes a step for each damping, which stands in the place of options.damping.  The batch is looked through once, and
// dampings that have their direct solver in common form its matrix once.  Few of them cost a Cholesky factor each; many
// bring the matrix to a band, at the price of four or five factors, and then cost little more than the residual.
std::vector<NaturalStep> natural_steps(const Batch& batch, const std::vector<double>& dampings,
                                       const StepOptions& options = {}, const Context& context = {});

// Looks the batch through, which the model needs for tr(F) / damping, but solves nothing.  Throws like natural_step.
PredictedCosts predicted_costs(const Batch& batch, const StepOptions& options = {}, const Context& context = {});

}  // namespace fastfisher
