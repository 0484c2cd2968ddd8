// The Fisher matrix is accumulated here over blocks of rows, in d^2 memory, for any number of rows.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "fastfisher/context.hpp"
#include "fastfisher/errors.hpp"
#include "fastfisher/step_types.hpp"

namespace fastfisher {

class Fisher;

// Of such a batch only sums are kept.
struct AccumulatedBatch {
  const Fisher* fisher = nullptr;    // of at least one row of positive weight
  const double* gradient = nullptr;  // g, (d,), finite
  std::optional<double> count;       // divisor of F; default: the sum of the weights
  double momentum = 0.0;             // as of Batch
  const double* previous = nullptr;
  // sqrt(sum w A^2) where the gradient was summed as S^T (w A) / sum w, so that it can be told from the rounding of its
  // sums.
  std::optional<double> norm_advantages;
  // Where the rows can be read again: writes F x for each direction x, from the rows, and returns nothing; or returns
  // an event that says why it could not, and F x is then that of the matrix.  May be empty.
  std::function<std::optional<Event>(const std::vector<std::vector<double>>& directions,
                                     std::vector<std::vector<double>>& products)>
      multiply;
};

// Takes a step for each damping, without sample weights: by "cholesky" in double, or, where no factor is good enough
// and the solver is "automatic", by CG.  Throws like natural_step, and std::invalid_argument where another solver or
// precision is asked for.
std::vector<NaturalStep> natural_steps(const AccumulatedBatch& batch, const std::vector<double>& dampings,
                                       const StepOptions& options = {}, const Context& context = {});

// F = sum w s s^T / sum w over all rows seen, in double.  Every member may be called from several threads at once, and
// from a context's poll, which is never called under the object's lock.
class Fisher {
 public:
  // d > 0.  Throws std::invalid_argument, or MemoryLimitExceeded where the matrix takes more than so many bytes; null:
  // 40% of the machine's.
  explicit Fisher(Index dimension, std::optional<double> memory_limit = {});
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

  // x <- (F + damping I)^-1 x for `right_hand_sides` columns, one after another in memory, as natural_step solves:
  // factored once, with a jitter or raised eigenvalues where rounding asks for them, refined, and by CG where that is
  // not enough.
  // Throws NotPositiveDefinite where a residual is not to be trusted, and std::overflow_error where x leaves the range
  // of double.
  void solve(double* x, Index right_hand_sides, double damping, const Context& context = {}) const;

  double trace() const;  // tr(F)

  // These give the unnormalised sum, d * d values, and take it back, for storage.  restore throws std::invalid_argument
  // where no rows with finite weights >= 0 have such a sum, count or weight.
  std::vector<double> sum() const;
  void restore(const double* sum, Index count, double total_weight);

  class Snapshot;  // the sum at one moment, for the library's own steps

 private:
  std::vector<double>& own_sum();
  void mirror() const;
  double sum_trace() const noexcept;
  double checked_weight() const;

  Index dimension_;
  Index count_ = 0;
  double total_weight_ = 0.0;
  // sum w s s^T: the lower triangle, and both once mirrored_.  Whoever changes it copies it first where a snapshot has
  // it too.
  mutable std::shared_ptr<std::vector<double>> sum_;
  mutable bool mirrored_ = true;
  mutable std::mutex mutex_;
};

}  // namespace fastfisher
