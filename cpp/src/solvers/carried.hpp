// Vectors of the span of the scores may be carried with their sample weights: v and then u, d + N entries, v = S^T u.
//
// All that CG and LSMR do to vectors keeps this, from a start that has it: M v = S^T (diag(w) S v + shift u), and
// b = S^T diag(w) a.  A solution that is cut short has sample weights so, which its residual does not give:
// diag(w) (a - S x) / shift misses x by the residual over the shift.  Rounding is what parts v from S^T u, more of it
// in single precision, and in a preconditioner that divides by the shift.
#pragma once

#include "solvers/normal_system.hpp"

namespace fastfisher::detail {

class Carrier {
 public:
  // Both must outlive this; `targets` is a.
  Carrier(const NormalSystem& system, const Vector& targets) : system_(&system), targets_(&targets) {}

  // Computes y = M v.
  void multiply(const Vector& v, Vector& y) const;

  // Appends to the residual r = b - M x what it is S^T of.
  void extend_residual(const Vector& x, const Vector& scores_times_x, Vector& r) const;

 private:
  const NormalSystem* system_;
  const Vector* targets_;
};

// Turns y's last entries from S v to diag(w) S v + shift u, the last step of a product.
inline void finish_product(const NormalSystem& system, const Vector& v, Vector& y) {
  const std::size_t size = system.parameters();
  for (std::size_t n = 0; n < system.samples(); ++n) {
    y[size + n] = system.weight(n) * y[size + n] + system.shift() * v[size + n];
  }
}

}  // namespace fastfisher::detail
