// Scores in single precision, for products that may be.
#pragma once

#include <vector>

#include "buffer.hpp"
#include "fastfisher/context.hpp"
#include "fastfisher/views.hpp"

namespace fastfisher::detail {

// Blocks in double copied to float, the others as they lie; the scores must outlive this.  What leaves the range of
// float becomes infinite.
class NarrowScores {
 public:
  NarrowScores(const ScoresView& scores, const Context& context);

  const ScoresView& view() const noexcept { return view_; }

 private:
  template <class Scalar>
  MatrixView<const float> narrow(const MatrixView<const Scalar>& matrix, const Context& context);

  std::vector<Buffer<float>> memory_;
  ScoresView view_;
};

}  // namespace fastfisher::detail
