// The product with M is taken in single precision here, for CG's recurrence.
#pragma once

#include <vector>

#include "scores/narrow.hpp"
#include "solvers/normal_system.hpp"

namespace fastfisher::detail {

// y = M x is computed from a copy of the scores in single precision, while vectors stay in double.  The copy pays from
// the third product on, since each would convert the scores again.
class NarrowProduct {
 public:
  explicit NarrowProduct(const NormalSystem& system);

  // A carried x (carried.hpp) gives a carried y.
  void operator()(const Vector& x, Vector& y);

  // Computes r = b - M x and S x by products in single precision, where a bound on their rounding, which goes by
  // `trace`, that of M without its shift, is at most `most_rounding` of ||b||, and otherwise in double.  Returns ||r||.
  // The system is not centred.
  double residual(double trace, double most_rounding, const Vector& b, const Vector& x, Vector& r,
                  Vector& scores_times_x);

 private:
  double multiply(const Vector& x, double* scores_times_x);

  const NormalSystem* system_;
  NarrowScores scores_;
  std::vector<float> x_, y_, weights_, products_;
};

}  // namespace fastfisher::detail
