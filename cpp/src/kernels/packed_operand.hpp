// An operand is packed for the tile kernel here, and a lower triangle gets its rank-k update with it.
//
//            depth                     C (lower triangle)
//        +-----------+ strip 0        +--+
//        |           | strip_rows     |  |\            tile (i, j): strip i x tile_columns of a strip
//        +-----------+ strip 1   =>   +--+--+
//        |           |                |  |  |\         block: a square of strips, one task
//        +-----------+ ...            +--+--+--+
//
// One packed copy serves as both factors of the product.
#pragma once

#include "fastfisher/context.hpp"
#include "kernels/kernel_table.hpp"
#include "runtime/buffer.hpp"
#include "runtime/thread_pool.hpp"

namespace fastfisher::detail {

constexpr Index ceil_divide(Index a, Index b) noexcept { return (a + b - 1) / b; }

// These are the blocks of the lower triangle of an n x n matrix, in the order in which they become tasks.
class LowerBlocks {
 public:
  LowerBlocks(Index n, Index strip_rows, Index strips_per_block) noexcept
      : strips_(ceil_divide(n, strip_rows)),
        per_block_(strips_per_block),
        side_(ceil_divide(strips_, strips_per_block)) {}

  Index count() const noexcept { return side_ * (side_ + 1) / 2; }

  struct Range {
    Index first_row_strip, last_row_strip, first_column_strip, last_column_strip;
  };

  // They go column of blocks by column of blocks: tasks that run side by side share their columns' strips in the cache.
  Range operator()(Index task) const noexcept {
    Index column = 0;
    for (Index below = side_; task >= below; --below) {
      task -= below;
      ++column;
    }
    const Index row = column + task;
    const auto last = [this](Index block) { return block + 1 == side_ ? strips_ : (block + 1) * per_block_; };
    return {row * per_block_, last(row), column * per_block_, last(column)};
  }

 private:
  Index strips_, per_block_, side_;
};

// A block's strips, depth * strip_rows * strips values, stay in the second-level cache.
inline constexpr Index strips_per_block = 4;

// Returns the strips of a block of C, of so many strips altogether: larger blocks read their operands less often (3 to
// 8% of the time of large products), but there have to be enough of them to share out.
constexpr Index strips_of_block(Index strips, int threads) noexcept {
  constexpr Index large = 2 * strips_per_block;
  const Index side = ceil_divide(strips, large);
  return side * (side + 1) / 2 >= 3 * threads ? large : strips_per_block;
}

// Calls tile(strip, first column, rows of the strip above the diagonal, rows, columns) for every tile of a block of C,
// n x n: columns of tiles from left to right, each from the diagonal down.
template <class Real, class Tile>
void for_tiles_of_block(const RealKernels<Real>& kernel, Index n, const LowerBlocks::Range& range, const Tile& tile) {
  const Index strip_rows = kernel.strip_rows;
  const Index last_column = range.last_column_strip * strip_rows < n ? range.last_column_strip * strip_rows : n;
  for (Index j = range.first_column_strip * strip_rows; j < last_column; j += kernel.tile_columns) {
    const Index columns = n - j < kernel.tile_columns ? n - j : kernel.tile_columns;
    const Index diagonal_strip = j / strip_rows;
    for (Index strip = range.first_row_strip < diagonal_strip ? diagonal_strip : range.first_row_strip;
         strip < range.last_row_strip; ++strip) {
      const Index i = strip * strip_rows;
      tile(strip, j, i < j ? j - i : 0, n - i < strip_rows ? n - i : strip_rows, columns);
    }
  }
}

// Computes the tiles of one block of C (n x n, column-major) = / += / -= P P^T with P packed to `depth`.
template <class Real>
void update_block(const RealKernels<Real>& kernel, TileMode mode, Index n, Index depth, const Real* packed,
                  const LowerBlocks::Range& range, Real* c, Index stride) {
  const Index strip_rows = kernel.strip_rows;
  const Index strip_size = strip_rows * depth;
  for_tiles_of_block(kernel, n, range, [&](Index strip, Index j, Index first_row, Index rows, Index columns) {
    kernel.tile(mode, depth, packed + strip * strip_size, packed + (j / strip_rows) * strip_size + j % strip_rows,
                c + strip * strip_rows + j * stride, stride, first_row, rows, columns);
  });
}

}  // namespace fastfisher::detail
