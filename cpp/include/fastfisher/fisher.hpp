// The Fisher matrix accumulated over blocks of rows: d^2 memory, any number of rows.
#pragma once

#include <mutex>
#include <vector>

#include "fastfisher/context.hpp"
#include "fastfisher/views.hpp"

namespace fastfisher {

// F = sum w s s^T / sum w over all rows seen, in double.  Every member may be called from several threads at once, and
// from a context's poll, which is never called under the object's lock.
class Fisher {
 public:
  // d > 0.  Throws std::invalid_argument.
  explicit Fisher(Index dimension);
  Fisher(const Fisher& other);
  Fisher& operator=(const Fisher&) = delete;

  Index dimension() const noexcept { return dimension_; }
  Index count() const;          // rows seen
  double total_weight() const;  // sum w; equal to count where no weights were given

  // Adds the rows of `scores`, (N, d), weights (N,), finite and non-negative, or null.  All or nothing: an exception
  // leaves the matrix as it was.  Throws std::invalid_argument naming the row, or std::overflow_error.
  void update(const ScoresView& scores, const double* weights, const Context& context = {});

  // Adds another accumulation of the same dimension, which may be this one.
  void merge(const Fisher& other);

  // F into `matrix`, d * d values, exactly symmetric.  Throws std::logic_error where no weight has been seen.
  void matrix(double* matrix) const;

  // y = F v, without a poll.
  void multiply(const double* v, double* y, const Context& context = {}) const;

  // x <- (F + damping I)^-1 x for `right_hand_sides` columns, one after another in memory.
  // Throws NotPositiveDefinite where the damping is too small for the matrix, and std::overflow_error where x leaves
  // the range of double.
  void solve(double* x, Index right_hand_sides, double damping, const Context& context = {}) const;

  double trace() const;  // tr(F)

  // The unnormalised sum, d * d values, and back: for storage.  restore throws std::invalid_argument where no rows with
  // finite weights >= 0 have such a sum, count or weight.
  std::vector<double> sum() const;
  void restore(const double* sum, Index count, double total_weight);

 private:
  void mirror() const;
  double sum_trace() const noexcept;
  double checked_weight() const;

  Index dimension_;
  Index count_ = 0;
  double total_weight_ = 0.0;
  mutable std::vector<double> sum_;  // sum w s s^T, lower triangle; both once mirrored_
  mutable bool mirrored_ = true;
  mutable std::mutex mutex_;
};

}  // namespace fastfisher
