// Products of scores with vectors, cut into blocks of rows whose number depends on the shape alone.

#include <chrono>
#include <cmath>

#include "fastfisher/linalg.hpp"
#include "packed_operand.hpp"

namespace fastfisher {
namespace {

using detail::Buffer;
using detail::ceil_divide;

// Blocks of rows.  Where blocks have sums of their own (d values each), there are few of them.
struct RowBlocks {
  Index rows, size, count;

  RowBlocks(Index total_rows, Index columns, Index most_blocks) : rows(total_rows) {
    constexpr Index least_entries = 16384;  // a block worth handing to another thread
    const Index least_rows = ceil_divide(least_entries, columns > 0 ? columns : 1);
    size = ceil_divide(total_rows, most_blocks);
    if (size < least_rows) size = least_rows;
    count = ceil_divide(total_rows, size);
  }
  Index first(Index block) const noexcept { return block * size; }
  Index length(Index block) const noexcept { return rows - first(block) < size ? rows - first(block) : size; }
};

constexpr Index most_blocks_of_sums = 16;
constexpr Index most_blocks_of_rows = 256;

// y = sum over blocks of rows of what add(first row, rows, sum) adds to a sum that starts at zero: a sum for each
// block, then the blocks in order.
template <class Real, class Add>
void sum_over_blocks(const Context& context, Index rows, Index columns, Real* y, const Add& add) {
  const RowBlocks blocks(rows, columns, most_blocks_of_sums);
  Buffer<Real> sums(blocks.count * columns);
  detail::parallel_for(context, detail::thread_count(context), blocks.count, [&](Index block, int) {
    Real* own = sums.data() + block * columns;
    for (Index k = 0; k < columns; ++k) own[k] = Real(0);
    add(blocks.first(block), blocks.length(block), own);
  });
  for (Index k = 0; k < columns; ++k) y[k] = Real(0);
  for (Index block = 0; block < blocks.count; ++block) {
    for (Index k = 0; k < columns; ++k) y[k] += sums[block * columns + k];
  }
}

template <class Scalar>
const Scalar* offset_or_null(const Scalar* data, Index offset) noexcept {
  return data == nullptr ? nullptr : data + offset;
}

}  // namespace

template <class Real>
void matvec(const ScoresView& scores, const Real* v, Real* u, const Context& context) {
  std::visit(
      [&]<class In>(const MatrixView<const In>& s) {
        const auto& kernel = detail::kernels().real<Real>().template products<In>();
        const RowBlocks blocks(s.rows, s.columns, most_blocks_of_rows);
        detail::parallel_for(context, detail::thread_count(context), blocks.count, [&](Index block, int) {
          const Index first = blocks.first(block);
          kernel.matvec(blocks.length(block), s.columns, s.data + first * s.row_stride, s.row_stride, s.column_stride,
                        v, u + first);
        });
      },
      scores);
}

template <class Real>
void rmatvec(const ScoresView& scores, const Real* u, Real* y, const Context& context) {
  std::visit(
      [&]<class In>(const MatrixView<const In>& s) {
        const auto& kernel = detail::kernels().real<Real>().template products<In>();
        sum_over_blocks(context, s.rows, s.columns, y, [&](Index first, Index count, Real* sum) {
          kernel.rmatvec(count, s.columns, s.data + first * s.row_stride, s.row_stride, s.column_stride, u + first,
                         sum);
        });
      },
      scores);
}

template <class Real>
void fisher_matvec(const ScoresView& scores, const Real* weights, const Real* v, Real* u, Real* y,
                   const Context& context) {
  std::visit(
      [&]<class In>(const MatrixView<const In>& s) {
        const auto& kernel = detail::kernels().real<Real>().template products<In>();
        sum_over_blocks(context, s.rows, s.columns, y, [&](Index first, Index count, Real* sum) {
          alignas(64) Real scratch[detail::product_panel_rows];
          kernel.fisher_matvec(count, s.columns, s.data + first * s.row_stride, s.row_stride, s.column_stride, v,
                               offset_or_null(weights, first), u == nullptr ? nullptr : u + first, sum, scratch);
        });
      },
      scores);
}

void square_norms(const ScoresView& scores, double* norms, const Context& context) {
  std::visit(
      [&]<class In>(const MatrixView<const In>& s) {
        const auto& kernel = detail::kernels().rows<In>();
        const RowBlocks blocks(s.rows, s.columns, most_blocks_of_rows);
        detail::parallel_for(context, detail::thread_count(context), blocks.count, [&](Index block, int) {
          const Index first = blocks.first(block);
          kernel.square_norms(blocks.length(block), s.columns, s.data + first * s.row_stride, s.row_stride,
                              s.column_stride, norms + first);
        });
      },
      scores);
}

Index first_nonfinite_row(const ScoresView& scores, const Context& context) {
  Buffer<double> norms(rows(scores));
  square_norms(scores, norms.data(), context);
  for (Index n = 0; n < rows(scores); ++n) {
    if (std::isfinite(norms[n])) continue;
    // A finite row may have a norm whose square overflows: look at the entries.
    const bool finite = std::visit(
        [n](const auto& s) {
          for (Index k = 0; k < s.columns; ++k) {
            if (!std::isfinite(s(n, k))) return false;
          }
          return true;
        },
        scores);
    if (!finite) return n;
  }
  return -1;
}

template <class Real>
double measure_peak_flops(double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto& kernel = detail::kernels().real<Real>();
  const auto start = Clock::now();
  double best = 0.0;
  Real sink[2] = {Real(0.999), Real(1e-3)};
  while (std::chrono::duration<double>(Clock::now() - start).count() < seconds) {
    const auto begin = Clock::now();
    const double operations = kernel.peak_flops(200000, sink);
    const double rate = operations / std::chrono::duration<double>(Clock::now() - begin).count();
    if (rate > best) best = rate;
    sink[0] = Real(0.999);
  }
  return best;
}

template void matvec<float>(const ScoresView&, const float*, float*, const Context&);
template void matvec<double>(const ScoresView&, const double*, double*, const Context&);
template void rmatvec<float>(const ScoresView&, const float*, float*, const Context&);
template void rmatvec<double>(const ScoresView&, const double*, double*, const Context&);
template void fisher_matvec<float>(const ScoresView&, const float*, const float*, float*, float*, const Context&);
template void fisher_matvec<double>(const ScoresView&, const double*, const double*, double*, double*, const Context&);
template double measure_peak_flops<float>(double);
template double measure_peak_flops<double>(double);

}  // namespace fastfisher
