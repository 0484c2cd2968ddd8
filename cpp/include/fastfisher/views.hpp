// Views of the caller's arrays are a pointer, a shape and strides; nothing is owned or copied.
#pragma once

#include <variant>
#include <vector>

#include "fastfisher/index.hpp"

namespace fastfisher {

// A matrix view is a (rows, columns) matrix in memory of any layout.  Strides count elements and may be negative or
// zero.
template <class Scalar>
struct MatrixView {
  Scalar* data = nullptr;
  Index rows = 0;
  Index columns = 0;
  Index row_stride = 0;
  Index column_stride = 0;

  Scalar& operator()(Index row, Index column) const noexcept { return data[row * row_stride + column * column_stride]; }

  MatrixView middle_rows(Index first, Index count) const noexcept {
    return {data + first * row_stride, count, columns, row_stride, column_stride};
  }

  MatrixView transposed() const noexcept { return {data, columns, rows, column_stride, row_stride}; }
};

// Views a matrix that is C-ordered and contiguous.
template <class Scalar>
MatrixView<Scalar> row_major(Scalar* data, Index rows, Index columns) noexcept {
  return {data, rows, columns, columns, 1};
}

// A pair view is a factored block of scores, (N, p q): row n is the outer product left[n] right[n]^T, flattened in C
// order.  A dense layer's score is one: its inputs and its back-propagated errors.  The products are never stored.
//
// With `repeats` m > 1, m consecutive rows share a row of `left`: row n is left[n / m] right[n]^T.  An exact Fisher
// matrix has such rows, m outputs of a network for each of its inputs; products with the left side are done once.
template <class Scalar>
struct PairView {
  MatrixView<Scalar> left;   // (N / m, p)
  MatrixView<Scalar> right;  // (N, q)
  Index repeats = 1;         // m
  Index skipped = 0;         // rows, < m, of left[0] that lie before this view's first: of a slice

  Index rows() const noexcept { return right.rows; }
  Index columns() const noexcept { return left.columns * right.columns; }
  Index left_row(Index row) const noexcept { return (skipped + row) / repeats; }

  PairView middle_rows(Index first, Index count) const noexcept {
    const Index from = left_row(first), to = count == 0 ? from : left_row(first + count - 1) + 1;
    return {left.middle_rows(from, to - from), right.middle_rows(first, count), repeats, (skipped + first) % repeats};
  }
};

// A block is a run of columns of the scores: dense or factored, in single or double precision.
using BlockView =
    std::variant<MatrixView<const float>, MatrixView<const double>, PairView<const float>, PairView<const double>>;

Index rows(const BlockView& block) noexcept;
Index columns(const BlockView& block) noexcept;

// The scores are (N, d), with row n = grad log pi(a_n | s_n), in blocks of columns that lie side by side.
class ScoresView {
 public:
  ScoresView() = default;

  // These are scores of one dense block.
  ScoresView(const MatrixView<const float>& dense);   // NOLINT(google-explicit-constructor): a matrix is scores
  ScoresView(const MatrixView<const double>& dense);  // NOLINT(google-explicit-constructor)

  // Throws std::invalid_argument, naming the block, where blocks or the two sides of a pair differ in rows.
  explicit ScoresView(std::vector<BlockView> blocks);

  const std::vector<BlockView>& blocks() const noexcept { return blocks_; }
  Index rows() const noexcept { return rows_; }
  Index columns() const noexcept { return columns_; }

  ScoresView middle_rows(Index first, Index count) const;

 private:
  std::vector<BlockView> blocks_;
  Index rows_ = 0;
  Index columns_ = 0;
};

inline Index rows(const ScoresView& scores) noexcept { return scores.rows(); }
inline Index columns(const ScoresView& scores) noexcept { return scores.columns(); }

}  // namespace fastfisher
