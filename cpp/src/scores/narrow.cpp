#include "scores/narrow.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "kernels/kernel_table.hpp"
#include "kernels/packed_operand.hpp"
#include "runtime/thread_pool.hpp"
#include "scores/blocks.hpp"
#include "scores/centred.hpp"

namespace fastfisher::detail {

NarrowScores::NarrowScores(const ScoresView& scores, const Vector* mean, const Context& context) {
  if (mean != nullptr) mean_ = *mean;
  double* block_mean = mean_.data();
  std::vector<BlockView> blocks;
  for (const BlockView& block : scores.blocks()) {
    std::visit(
        [&]<class View>(const View& view) {
          if constexpr (Pair<View>) {
            const auto left = narrow(view.left, context);
            blocks.push_back(PairView<const float>{left, narrow(view.right, context), view.repeats, view.skipped});
          } else if (mean != nullptr) {
            blocks.push_back(centred(view, block_mean, context));
          } else {
            blocks.push_back(narrow(view, context));
          }
        },
        block);
    if (mean != nullptr) block_mean += columns(block);
  }
  view_ = ScoresView(std::move(blocks));
}

template <class Scalar>
MatrixView<const float> NarrowScores::narrow(const MatrixView<const Scalar>& matrix, const Context& context) {
  if constexpr (std::is_same_v<Scalar, float>) {
    return matrix;
  } else {
    Buffer<float>& copy = memory_.emplace_back(matrix.rows * matrix.columns);
    constexpr Index rows_at_once = 256;
    parallel_for(context, thread_count(context), ceil_divide(matrix.rows, rows_at_once), [&](Index part, int) {
      const Index first = part * rows_at_once;
      const auto rows = matrix.middle_rows(first, std::min(rows_at_once, matrix.rows - first));
      kernels().real<float>().products<Scalar>().copy_rows(rows.rows, rows.columns, rows.data, rows.row_stride,
                                                           rows.column_stride, nullptr,
                                                           copy.data() + first * matrix.columns, matrix.columns);
    });
    return row_major<const float>(copy.data(), matrix.rows, matrix.columns);
  }
}

// Copies the matrix less its part of the mean, which then is zero.
template <class Scalar>
MatrixView<const float> NarrowScores::centred(const MatrixView<const Scalar>& matrix, double* mean,
                                              const Context& context) {
  Buffer<float>& copy = memory_.emplace_back(matrix.rows * matrix.columns);
  centred_copy(matrix, mean, copy.data(), context);
  std::fill_n(mean, matrix.columns, 0.0);
  return row_major<const float>(copy.data(), matrix.rows, matrix.columns);
}

}  // namespace fastfisher::detail
