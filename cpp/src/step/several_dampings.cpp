// Here a step is taken for each of several dampings, the only user of matrices that are kept and reduced to a band.
#include <memory>
#include <stdexcept>

#include "factor/several/matrix_cache.hpp"
#include "fastfisher/natural_step.hpp"
#include "step/posed_step.hpp"

namespace fastfisher {
namespace {

using detail::PosedStep;

// Returns whether two dampings have their direct solver and their unshifted matrix in common.
bool share_a_matrix(const PosedStep& a, const PosedStep& b) noexcept {
  return a.plan().choice.direct == b.plan().choice.direct && a.problem().matrix_scale == b.problem().matrix_scale;
}

// Takes the steps from `first` on that share its matrix, and have not been taken.
void take_group(std::vector<std::unique_ptr<PosedStep>>& posed, std::size_t first, std::vector<NaturalStep>& steps) {
  std::vector<std::size_t> group;
  Index in_single = 0, in_double = 0;
  for (std::size_t k = first; k < posed.size(); ++k) {
    if (posed[k] == nullptr || !share_a_matrix(*posed[first], *posed[k])) continue;
    group.push_back(k);
    const detail::Rung& rung = posed[k]->plan().first;
    if (rung.solver != posed[k]->plan().choice.direct) continue;  // CG
    // Unrefined single precision stays with Cholesky factors, which lose less where the matrix is graded.
    in_double += rung.precision == Precision::double_precision ? 1 : 0;
    in_single += rung.precision == Precision::mixed ? 1 : 0;
  }
  detail::MatrixCache cache(in_single, in_double, memory_limit(posed[first]->plan().shape));
  for (const std::size_t k : group) {
    steps[k] = posed[k]->take(group.size() > 1 ? &cache : nullptr);
    posed[k] = nullptr;
  }
}

}  // namespace

std::vector<NaturalStep> natural_steps(const Batch& batch, const std::vector<double>& dampings,
                                       const StepOptions& options, const Context& context) {
  if (dampings.empty()) throw std::invalid_argument("damping: expected at least one value, got none");
  detail::SharedBatch shared(batch, options, context);
  std::vector<std::unique_ptr<PosedStep>> posed;
  for (const double damping : dampings) {
    StepOptions own = options;
    own.damping = damping;
    posed.push_back(std::make_unique<PosedStep>(shared, own));
  }
  std::vector<NaturalStep> steps(dampings.size());
  for (std::size_t k = 0; k < posed.size(); ++k) {
    if (posed[k] != nullptr) take_group(posed, k, steps);
  }
  return steps;
}

}  // namespace fastfisher
