// Scores are held in single precision here, for products that may be in it.
#pragma once

#include <vector>

#include "fastfisher/linalg.hpp"
#include "runtime/buffer.hpp"
#include "runtime/vector.hpp"

namespace fastfisher::detail {

// Blocks in double are copied to float, and the others viewed as they lie; the scores must outlive this.  What leaves
// the range of float becomes infinite.  With a mean to be subtracted, dense blocks are copied without it.
class NarrowScores {
 public:
  // `mean` is (d,), or null.
  NarrowScores(const ScoresView& scores, const Vector* mean, const Context& context);

  const ScoresView& view() const noexcept { return view_; }
  // Returns what of the mean is left to subtract, or null.
  const Vector* mean() const noexcept { return mean_.empty() ? nullptr : &mean_; }

 private:
  template <class Scalar>
  MatrixView<const float> narrow(const MatrixView<const Scalar>& matrix, const Context& context);

  template <class Scalar>
  MatrixView<const float> centred(const MatrixView<const Scalar>& matrix, double* mean, const Context& context);

  std::vector<Buffer<float>> memory_;
  Vector mean_;
  ScoresView view_;
};

}  // namespace fastfisher::detail
