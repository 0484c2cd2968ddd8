// A problem is a batch, checked and brought to moderate size.
#pragma once

#include <algorithm>
#include <cmath>

#include "fastfisher/natural_step.hpp"
#include "solvers/normal_system.hpp"

namespace fastfisher::detail {

// Returns 2^exponent with value = 2^exponent * [1, 2).
inline double power_of_two(double value) noexcept { return std::ldexp(1.0, std::ilogb(value)); }

// Each throws std::invalid_argument naming the argument.
void check(const StepOptions& options, Index parameters);
void check_damping(double damping);
void check_momentum(double momentum);
void check_count(double count);

// Tells whether squares of scores, which add up to `sum`, vanish or have lost digits, and so make no F beside which the
// damping, which adds `shift` to it, is small.
bool squares_vanish(double sum, double shift) noexcept;

// The power of two that a right-hand side whose largest entry is this is measured in.
inline double unit_of(double largest) noexcept {
  return largest > 0.0 ? power_of_two(std::max(largest, 0x1p-1000)) : 1.0;  // a subnormal unit would have no reciprocal
}

inline double unit_of(const Vector& values) noexcept {
  double largest = 0.0;
  for (const double value : values) largest = std::max(largest, std::fabs(value));
  return unit_of(largest);
}

// Returns w_n, which is one where no weights were given.
inline double weight_of(const Batch& batch, std::size_t n) noexcept {
  return batch.weights == nullptr ? 1.0 : batch.weights[n];
}

// Returns w A / sum w, (N,), of which g is the product with S^T.
Vector weighted_advantages(const Batch& batch, double total_weight);

// Returns how much of ||g|| the rounding of the gradient and of the residual's products may come to, in single
// precision; zero where these are in double.  Who asks for single precision and a loose tolerance has no use for the
// digits beyond.  A given gradient is a system of its own maker's, momentum's is a difference, and a centred one loses
// digits to the mean: these are kept to double.
double measured_rounding(const Batch& batch, const StepOptions& options) noexcept;

// A survey is what of a batch is the same for every damping.
struct Survey {
  const Batch* batch = nullptr;
  Index samples = 0;
  Index parameters = 0;
  double total_weight = 0.0;  // sum w
  double count = 0.0;         // divisor of F
  double trace = 0.0;         // tr(F) = sum w ||s||^2 / count: free of the algorithm, so relative damping is too
  Vector gradient;            // g
  Vector mean;                // the mean score, where the batch is to be centred; else empty
  double gradient_scale = 1.0;
  bool gradient_of_rounding = false;  // it was no more than rounding, and is zero for that (gradient.hpp)
};

// The same batch with weights and count brought to moderate size by a power of two, which F and g do not see, so that
// products with the damping stay in range.
class ModerateBatch {
 public:
  explicit ModerateBatch(const Batch& batch);
  ModerateBatch(const ModerateBatch&) = delete;  // the batch points into it
  ModerateBatch& operator=(const ModerateBatch&) = delete;

  const Batch& batch() const noexcept { return batch_; }

 private:
  Batch batch_;
  Vector weights_;
};

// Surveys all but the gradient.  Throws std::invalid_argument naming the argument, or std::overflow_error.
Survey survey(const Batch& batch, const Context& context);

// The system that is solved is matrix_scale count (F + lambda I) x' = g / gradient_scale, so the direction is
// x = solution_scale() x'.  The two scales are powers of two: gradient_scale brings the largest entry of g to one, and
// matrix_scale is one unless squares of the scores are beyond 2^50 or below 2^-50.
struct Problem : Survey {
  double damping = 0.0;  // lambda
  double matrix_scale = 1.0;
  Vector scaled_weights;  // matrix_scale w; empty where the batch's own will do

  const double* system_weights() const noexcept {
    return scaled_weights.empty() ? batch->weights : scaled_weights.data();
  }
  const Vector* system_mean() const noexcept { return mean.empty() ? nullptr : &mean; }
  double system_scale() const noexcept { return matrix_scale * count; }
  double solution_scale() const noexcept { return gradient_scale * system_scale(); }
  double shift() const noexcept { return system_scale() * damping; }
  double mean_eigenvalue() const noexcept {
    return system_scale() * trace / static_cast<double>(samples < parameters ? samples : parameters);
  }
  // The rounding of a product with the matrix is measured by this.  The product of a centred one rounds as much as that
  // of the mean with the deviations.
  double product_scale() const noexcept {
    const double deviations = mean_eigenvalue();
    const double scale = deviations + shift();
    return mean.empty() ? scale : scale + 2.0 * norm(mean) * std::sqrt(matrix_scale * total_weight * deviations);
  }
  Vector right_hand_side() const;

  // Returns a_n, with S^T diag(system weights) a = right_hand_side(), where advantages were given.
  double dual_target(std::size_t n) const noexcept {
    return batch->advantages[n] / gradient_scale / matrix_scale / total_weight;
  }
};

// Throws std::invalid_argument naming the argument, or std::overflow_error.
Problem pose(const Survey& surveyed, const StepOptions& options, const Context& context);

}  // namespace fastfisher::detail
