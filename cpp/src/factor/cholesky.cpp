// The Cholesky factorisation is blocked and multi-threaded; its solves are here too.
//
// It is right-looking: factor a diagonal block, solve the panel below it strip by strip in packed form, and use those
// same strips for the rank-k update of what is left.  The next diagonal block is updated first and factored by that
// same task, while the other threads are still at the rest.
//
//     +----+                     L11 = chol(A11)             cholesky_block, one thread
//     | 11 |                     L21 = A21 L11^-T            solve_strip, a strip a task
//     +----+--------+            A22 = A22 - L21 L21^T       update_block, a block a task
//     | 21 |   22   |

#include "fastfisher/linalg.hpp"
#include "kernels/packed_operand.hpp"

namespace fastfisher {
namespace {

using detail::Buffer;
using detail::ceil_divide;
using detail::RealKernels;
using detail::TileMode;

// The diagonal block is factored on one thread and not at full speed, so small; but the trailing update's depth is
// its size, and each step reads and writes all of what is left.
Index block_size(Index n, Index depth) noexcept {
  if (n <= 128) return n;
  return n < 1500 ? depth / 2 : depth;
}

// These are the strips of one operand, packed to the same depth.
template <class Real>
struct Strips {
  const RealKernels<Real>& kernel;
  Index rows, depth;
  Real* packed;

  Index count() const noexcept { return ceil_divide(rows, kernel.strip_rows); }
  Index rows_of(Index strip) const noexcept {
    const Index left = rows - strip * kernel.strip_rows;
    return left < kernel.strip_rows ? left : kernel.strip_rows;
  }
  Real* operator[](Index strip) const noexcept { return packed + strip * kernel.strip_rows * depth; }

  // `a` is column-major, and its first row is the strips' first row.
  void pack(Index strip, const Real* a, Index stride) const {
    kernel.template products<Real>().pack(rows_of(strip), depth, a + strip * kernel.strip_rows, 1, stride, nullptr,
                                          nullptr, (*this)[strip], 0);
  }
  void unpack(Index strip, Real* a, Index stride) const {
    kernel.unpack_strip(rows_of(strip), depth, (*this)[strip], a + strip * kernel.strip_rows, stride);
  }
};

// The update of what is left has these tasks: its leading corner, in which the next diagonal block lies, then the
// strips below that, then the others.
class Remainder {
 public:
  Remainder(Index rows, Index corner, Index strip_rows, int threads)
      : strips_(ceil_divide(rows, strip_rows)),
        corner_(ceil_divide(corner, strip_rows)),
        per_block_(detail::strips_of_block(strips_, threads)),
        below_(ceil_divide(strips_ - corner_, per_block_)),
        rest_(rows > corner_ * strip_rows ? rows - corner_ * strip_rows : 0, strip_rows, per_block_) {}

  Index count() const noexcept { return 1 + below_ + rest_.count(); }

  detail::LowerBlocks::Range operator()(Index task) const noexcept {
    if (task == 0) return {0, corner_, 0, corner_};
    if (task <= below_) {
      const Index first = corner_ + (task - 1) * per_block_;
      return {first, first + per_block_ < strips_ ? first + per_block_ : strips_, 0, corner_};
    }
    const auto range = rest_(task - 1 - below_);
    return {range.first_row_strip + corner_, range.last_row_strip + corner_, range.first_column_strip + corner_,
            range.last_column_strip + corner_};
  }

 private:
  Index strips_, corner_, per_block_, below_;
  detail::LowerBlocks rest_;
};

}  // namespace

template <class Real>
Index cholesky(Index n, Real* a, const Context& context) {
  const RealKernels<Real>& kernel = detail::kernels().real<Real>();
  const Index block = block_size(n, kernel.depth);
  if (block == n) return n == 0 ? -1 : kernel.cholesky_block(n, a, n);

  const int threads = n < 256 ? 1 : detail::thread_count(context);
  Buffer<Real> packed_panel(ceil_divide(n, kernel.strip_rows) * kernel.strip_rows * block);
  Buffer<Real> packed_factor(ceil_divide(block, kernel.strip_rows) * kernel.strip_rows * block);
  Buffer<Real> inverse_diagonal(block);
  Index failed = kernel.cholesky_block(block, a, n);
  for (Index first = 0; failed < 0; first += block) {
    const Index size = n - first < block ? n - first : block;
    Real* diagonal = a + first + first * n;
    detail::poll(context);
    const Index below = n - first - size;
    if (below == 0) return -1;

    const Strips<Real> factor{kernel, size, size, packed_factor.data()};
    for (Index strip = 0; strip < factor.count(); ++strip) factor.pack(strip, diagonal, n);
    for (Index k = 0; k < size; ++k) inverse_diagonal[k] = Real(1) / diagonal[k + k * n];

    const Strips<Real> panel{kernel, below, size, packed_panel.data()};
    Real* panel_in_place = diagonal + size;
    detail::parallel_for(context, threads, panel.count(), [&](Index strip, int) {
      panel.pack(strip, panel_in_place, n);
      kernel.solve_strip(size, factor.packed, inverse_diagonal.data(), panel[strip]);
      panel.unpack(strip, panel_in_place, n);
    });
    Real* rest = panel_in_place + size * n;
    const Index next = below < block ? below : block;
    const Remainder tasks(below, next, kernel.strip_rows, threads);
    detail::parallel_for(context, threads, tasks.count(), [&](Index task, int) {
      detail::update_block(kernel, TileMode::subtract, below, size, panel.packed, tasks(task), rest, n);
      if (task > 0) return;
      failed = kernel.cholesky_block(next, rest, n);
      if (failed >= 0) failed += first + size;
    });
  }
  return failed;
}

template <class Real>
void cholesky_solve(Index n, const Real* factor, Real* x, const Context& context) {
  if (n == 0) return;
  const RealKernels<Real>& kernel = detail::kernels().real<Real>();
  kernel.substitute(false, n, factor, n, x);
  detail::poll(context);
  kernel.substitute(true, n, factor, n, x);
}

template Index cholesky<float>(Index, float*, const Context&);
template Index cholesky<double>(Index, double*, const Context&);
template void cholesky_solve<float>(Index, const float*, float*, const Context&);
template void cholesky_solve<double>(Index, const double*, double*, const Context&);

}  // namespace fastfisher
