#include "fastfisher/natural_step.hpp"

#include "step/posed_step.hpp"

namespace fastfisher {

NaturalStep natural_step(const Batch& batch, const StepOptions& options, const Context& context) {
  detail::SharedBatch shared(batch, options, context);
  return detail::PosedStep(shared, options).take();
}

PredictedCosts predicted_costs(const Batch& batch, const StepOptions& options, const Context& context) {
  detail::SharedBatch shared(batch, options, context);
  const detail::PosedStep posed(shared, options);
  PredictedCosts costs = predicted_costs(posed.plan().shape);
  costs.choice = posed.plan().automatic ? posed.plan().choice.solver : options.solver;
  return costs;
}

}  // namespace fastfisher
