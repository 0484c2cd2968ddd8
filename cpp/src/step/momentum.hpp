// Momentum of natural steps: SPRING (Goldshlager, Abrahamsen and Lin, arXiv 2401.10190).
#pragma once

#include <cmath>
#include <stdexcept>

#include "fastfisher/natural_step.hpp"
#include "scores/checks.hpp"
#include "solvers/normal_system.hpp"
#include "step/problem.hpp"

namespace fastfisher::detail {

// Momentum turns the batch into another one of the same system: x = momentum previous + y, where
// (F + lambda I) y = g - F (momentum previous), which is what advantages A - S (momentum previous) give.
class Momentum {
 public:
  // `surveyed` is the survey of this batch, whose arguments are therefore good.
  Momentum(const Batch& batch, const Survey& surveyed, const Context& context) : batch_(batch) {
    check_momentum(batch.momentum);
    if (batch.momentum == 0.0 || batch.previous == nullptr) return;
    const auto samples = static_cast<std::size_t>(surveyed.samples);
    check_finite(batch.previous, surveyed.parameters, "previous");
    prior_.assign(batch.previous, batch.previous + surveyed.parameters);
    for (double& value : prior_) value *= batch.momentum;
    scores_times_prior_.resize(samples);
    matvec<double>(batch.scores, prior_.data(), scores_times_prior_.data(), context);
    for (const double value : scores_times_prior_) {
      if (!std::isfinite(value)) {
        throw std::overflow_error("previous: its product with the scores leaves the range of float64");
      }
    }
    if (batch.advantages != nullptr) {
      // Since g is divided by sum w and F by count, S^T (w A') / sum w = g - F prior.
      changed_.resize(samples);
      for (std::size_t n = 0; n < samples; ++n) {
        changed_[n] = batch.advantages[n] - surveyed.total_weight / surveyed.count * scores_times_prior_[n];
      }
      batch_.advantages = changed_.data();
    } else {
      Vector weighted = scores_times_prior_;
      for (std::size_t n = 0; n < samples; ++n) weighted[n] *= weight_of(batch, n);
      changed_.resize(prior_.size());
      rmatvec<double>(batch.scores, weighted.data(), changed_.data(), context);
      for (std::size_t k = 0; k < changed_.size(); ++k) {
        changed_[k] = batch.gradient[k] - changed_[k] / surveyed.count;
      }
      batch_.gradient = changed_.data();
    }
  }

  const Batch& batch() const noexcept { return batch_; }
  bool active() const noexcept { return !prior_.empty(); }
  const Vector& prior() const noexcept { return prior_; }  // momentum previous
  const Vector& scores_times_prior() const noexcept { return scores_times_prior_; }

 private:
  Batch batch_;
  Vector prior_, scores_times_prior_, changed_;
};

}  // namespace fastfisher::detail
