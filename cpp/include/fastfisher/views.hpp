// Views of the caller's arrays: a pointer, a shape and strides; nothing is owned or copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>

namespace fastfisher {

using Index = std::int64_t;

// An (rows, columns) matrix in memory of any layout.  Strides count elements and may be negative or zero.
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

// C-ordered and contiguous.
template <class Scalar>
MatrixView<Scalar> row_major(Scalar* data, Index rows, Index columns) noexcept {
  return {data, rows, columns, columns, 1};
}

// Scores, (N, d): row n is grad log pi(a_n | s_n), in single or double precision.
using ScoresView = std::variant<MatrixView<const float>, MatrixView<const double>>;

inline Index rows(const ScoresView& scores) noexcept {
  return std::visit([](const auto& view) { return view.rows; }, scores);
}

inline Index columns(const ScoresView& scores) noexcept {
  return std::visit([](const auto& view) { return view.columns; }, scores);
}

}  // namespace fastfisher
