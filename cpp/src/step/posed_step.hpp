// A posed step takes one step of a batch, from its options to its result.
#pragma once

#include <optional>
#include <vector>

#include "step/gradient.hpp"
#include "step/momentum.hpp"
#include "step/plan.hpp"
#include "step/problem.hpp"

namespace fastfisher::detail {

// The steps of several dampings share this, so that the batch is looked through once.
struct SharedBatch {
  SharedBatch(const Batch& batch, const StepOptions& options, const Context& call)
      : moderate(batch),
        original(moderate.batch()),
        context(call),
        surveyed(survey(original, call)),
        momentum(original, surveyed, call) {
    // Sample weights hold to 1e-6 of the direction, which a gradient in single precision alone may use up.
    find_gradient(momentum.batch(), options.sample_weights ? 0.0 : measured_rounding(batch, options), call, surveyed);
  }
  SharedBatch(const SharedBatch&) = delete;  // what is surveyed points into the momentum
  SharedBatch& operator=(const SharedBatch&) = delete;

  ModerateBatch moderate;
  const Batch& original;
  const Context& context;
  Survey surveyed;
  Momentum momentum;
  std::optional<double> largest_eigenvalue;  // of count F; estimated only where it was needed
};

// The step is found as x / solution_scale, whose size does not depend on the units of scores and advantages
// (problem.hpp).
class PosedStep {
 public:
  // Poses the problem and plans its solution.  Throws like natural_step.
  PosedStep(SharedBatch& shared, const StepOptions& options);
  PosedStep(const PosedStep&) = delete;  // the system points into the problem
  PosedStep& operator=(const PosedStep&) = delete;

  const Problem& problem() const noexcept { return problem_; }
  const Plan& plan() const noexcept { return plan_; }

  // Solves the system and scales the step.  `matrices`, if not null, holds the matrices of other dampings.
  NaturalStep take(MatrixProvider* matrices = nullptr);

 private:
  Outcome solve_or_stay(std::vector<Event>& events);
  std::vector<double> sample_weights(Outcome& outcome, std::vector<Event>& events) const;
  void uncentre(const Vector& x, SampleWeights& weights) const;
  void tell_what_the_scores_do_not_span(const Outcome& outcome, std::vector<Event>& events) const;
  double add_prior(Solution& solution, Vector& gradient) const;

  StepOptions options_;
  SharedBatch* shared_;
  Problem problem_;
  NormalSystem system_;
  Workspace workspace_;
  Plan plan_;
};

}  // namespace fastfisher::detail
