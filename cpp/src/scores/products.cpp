// Products of scores with vectors are cut into blocks of rows whose number depends on the shape alone.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <type_traits>

#include "fastfisher/linalg.hpp"
#include "kernels/packed_operand.hpp"
#include "scores/block_products.hpp"
#include "scores/blocks.hpp"
#include "scores/expand.hpp"
#include "scores/wide_sums.hpp"

namespace fastfisher {
namespace {

using detail::Buffer;
using detail::ceil_divide;
using detail::dispatch;

// The rows are cut into blocks.  Where these have sums of their own (d values each), there are few of them.
struct RowBlocks {
  Index rows, size, count;

  RowBlocks(Index total_rows, Index columns, Index most_blocks) : rows(total_rows) {
    constexpr Index least_entries = 16384;  // a block worth handing to another thread
    const Index least_rows = ceil_divide(least_entries, columns > 0 ? columns : 1);
    size = ceil_divide(total_rows, most_blocks);
    if (size < least_rows) size = least_rows;
    count = ceil_divide(total_rows, size);
  }
  static RowBlocks of_size(Index total_rows, Index block_rows) {
    RowBlocks blocks(total_rows, 1, 1);
    blocks.size = block_rows;
    blocks.count = ceil_divide(total_rows, block_rows);
    return blocks;
  }
  Index first(Index block) const noexcept { return block * size; }
  Index length(Index block) const noexcept { return rows - first(block) < size ? rows - first(block) : size; }
};

constexpr Index most_blocks_of_sums = 16;
constexpr Index most_blocks_of_rows = 256;

// A sum in double of terms in single takes them up after so many rows, which bounds what these round by.
constexpr Index rows_of_narrow_sum = 256;

// Computes y, the sum over blocks of rows of what add(first row, rows, sum) adds to a sum that starts at zero: each
// block has a sum, and these are then added in order.
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

// The same with y in double, of terms that add(...) sums in float over few rows at once.
template <class Real, class Add>
void sum_over_blocks(const Context& context, Index rows, Index columns, double* y, const Add& add)
  requires std::is_same_v<Real, float>
{
  sum_over_blocks(context, rows, columns, y, [&](Index first, Index count, double* sum) {
    Buffer<float> few(columns);
    for (const Index last = first + count; first < last; first += rows_of_narrow_sum) {
      std::fill_n(few.data(), columns, 0.0F);
      add(first, std::min(rows_of_narrow_sum, last - first), few.data());
      for (Index k = 0; k < columns; ++k) sum[k] += static_cast<double>(few[k]);
    }
  });
}

template <class Scalar>
const Scalar* offset_or_null(const Scalar* data, Index offset) noexcept {
  return data == nullptr ? nullptr : data + offset;
}

// Scores of several blocks, or factored ones, are taken by panels of rows, each through all blocks; chunks of rows have
// sums of their own.  Any of v, u and y are given as BlockProducts::panel has them, but whole.  With sums in double of
// products in single, each panel has one in single that is added to its chunk's.
template <class Real, class Sum>
void multiply_blocks(const Context& context, const ScoresView& scores, const Real* v, const Real* weights,
                     const Real* given, Real* u, Sum* y) {
  constexpr bool wider = !std::is_same_v<Real, Sum>;
  const detail::BlockProducts<Real> products(scores);
  const Index size = products.padded_size();
  Buffer<Real> padded_v(size);
  if (v != nullptr) products.pad(v, padded_v.data());

  constexpr Index least_rows = 512;  // of a chunk: its sum is zeroed, added up, and costs memory
  RowBlocks chunks(scores.rows(), scores.columns(), y == nullptr ? most_blocks_of_rows : most_blocks_of_sums);
  const Index chunk_rows = std::max(chunks.size, least_rows);
  chunks = RowBlocks::of_size(scores.rows(), detail::ceil_divide(chunk_rows, products.granule()) * products.granule());
  int threads = detail::thread_count(context);
  if (threads > chunks.count) threads = static_cast<int>(chunks.count);
  const Index panel_sum = detail::ceil_divide(products.scratch_size() + products.panel_rows(), 16) * 16;
  const Index scratch_size = detail::ceil_divide(panel_sum + (wider ? size : 0), 16) * 16;
  Buffer<Real> scratch(scratch_size * threads);
  Buffer<Sum> sums(y == nullptr ? 0 : chunks.count * size);
  detail::parallel_for(context, threads, chunks.count, [&](Index chunk, int worker) {
    Real* own_scratch = scratch.data() + worker * scratch_size;
    Real* panel_u = own_scratch + products.scratch_size();
    Sum* own_sum = y == nullptr ? nullptr : sums.data() + chunk * size;
    if (y != nullptr) std::fill_n(own_sum, size, Sum(0));
    const Index last = chunks.first(chunk) + chunks.length(chunk);
    for (Index first = chunks.first(chunk); first < last; first += products.panel_rows()) {
      const Index count = std::min(products.panel_rows(), last - first);
      if (given != nullptr) std::copy_n(given + first, count, panel_u);
      const auto add_panel = [&](Real* sum) {
        products.panel(first, count, v == nullptr ? nullptr : padded_v.data(), offset_or_null(weights, first),
                       u == nullptr ? nullptr : u + first, panel_u, sum, own_scratch);
      };
      if constexpr (wider) {
        Real* sum = own_scratch + panel_sum;
        std::fill_n(sum, size, Real(0));
        add_panel(sum);
        for (Index k = 0; k < size; ++k) own_sum[k] += static_cast<Sum>(sum[k]);
      } else {
        add_panel(own_sum);
      }
    }
  });
  if (y == nullptr) return;
  std::fill_n(y, scores.columns(), Sum(0));
  for (Index chunk = 0; chunk < chunks.count; ++chunk) products.add_unpadded(sums.data() + chunk * size, y);
}

template <class In>
void square_norms_of(const Context& context, const MatrixView<const In>& s, double* norms) {
  const auto& kernel = detail::kernels().rows<In>();
  const RowBlocks blocks(s.rows, s.columns, most_blocks_of_rows);
  detail::parallel_for(context, detail::thread_count(context), blocks.count, [&](Index block, int) {
    const Index first = blocks.first(block);
    kernel.square_norms(blocks.length(block), s.columns, s.data + first * s.row_stride, s.row_stride, s.column_stride,
                        norms + first);
  });
}

template <class In>
bool finite_row(const MatrixView<const In>& s, Index n) {
  for (Index k = 0; k < s.columns; ++k) {
    if (!std::isfinite(s(n, k))) return false;
  }
  return true;
}

}  // namespace

template <class Real>
void matvec(const ScoresView& scores, const Real* v, Real* u, const Context& context) {
  dispatch(
      scores,
      [&]<class In>(const MatrixView<const In>& s) {
        const auto& kernel = detail::kernels().real<Real>().template products<In>();
        const RowBlocks blocks(s.rows, s.columns, most_blocks_of_rows);
        detail::parallel_for(context, detail::thread_count(context), blocks.count, [&](Index block, int) {
          const Index first = blocks.first(block);
          kernel.matvec(blocks.length(block), s.columns, s.data + first * s.row_stride, s.row_stride, s.column_stride,
                        v, u + first);
        });
      },
      [&] { multiply_blocks<Real, Real>(context, scores, v, nullptr, nullptr, u, nullptr); });
}

namespace {

// y is in Sum, and its terms are in Real.
template <class Real, class Sum>
void transposed(const ScoresView& scores, const Real* u, Sum* y, const Context& context) {
  dispatch(
      scores,
      [&]<class In>(const MatrixView<const In>& s) {
        const auto& kernel = detail::kernels().real<Real>().template products<In>();
        sum_over_blocks<Real>(context, s.rows, s.columns, y, [&](Index first, Index count, Real* sum) {
          kernel.rmatvec(count, s.columns, s.data + first * s.row_stride, s.row_stride, s.column_stride, u + first,
                         sum);
        });
      },
      [&] { multiply_blocks<Real, Sum>(context, scores, nullptr, nullptr, u, nullptr, y); });
}

template <class Real, class Sum>
void fisher_product_with(const ScoresView& scores, const Real* weights, const Real* v, Real* u, Sum* y,
                         const Context& context) {
  dispatch(
      scores,
      [&]<class In>(const MatrixView<const In>& s) {
        const auto& kernel = detail::kernels().real<Real>().template products<In>();
        sum_over_blocks<Real>(context, s.rows, s.columns, y, [&](Index first, Index count, Real* sum) {
          alignas(64) Real scratch[detail::product_panel_rows];
          kernel.fisher_matvec(count, s.columns, s.data + first * s.row_stride, s.row_stride, s.column_stride, v,
                               offset_or_null(weights, first), u == nullptr ? nullptr : u + first, sum, scratch);
        });
      },
      [&] { multiply_blocks<Real, Sum>(context, scores, v, weights, nullptr, u, y); });
}

}  // namespace

template <class Real>
void rmatvec(const ScoresView& scores, const Real* u, Real* y, const Context& context) {
  transposed(scores, u, y, context);
}

template <class Real>
void fisher_matvec(const ScoresView& scores, const Real* weights, const Real* v, Real* u, Real* y,
                   const Context& context) {
  fisher_product_with(scores, weights, v, u, y, context);
}

void detail::rmatvec_to_double(const ScoresView& scores, const float* u, double* y, const Context& context) {
  transposed(scores, u, y, context);
}

void detail::fisher_matvec_to_double(const ScoresView& scores, const float* weights, const float* v, float* u,
                                     double* y, const Context& context) {
  fisher_product_with(scores, weights, v, u, y, context);
}

void square_norms(const ScoresView& scores, double* norms, const Context& context) {
  std::fill_n(norms, scores.rows(), 0.0);
  Buffer<double> left(scores.rows()), right(scores.rows());
  for (const BlockView& block : scores.blocks()) {
    std::visit(
        [&]<class View>(const View& view) {
          if constexpr (detail::Pair<View>) {  // ||l r^T||^2 = ||l||^2 ||r||^2
            square_norms_of(context, view.left, left.data());
            square_norms_of(context, view.right, right.data());
            for (Index n = 0; n < scores.rows(); ++n) norms[n] += left[view.left_row(n)] * right[n];
          } else {
            square_norms_of(context, view, left.data());
            for (Index n = 0; n < scores.rows(); ++n) norms[n] += left[n];
          }
        },
        block);
  }
}

Index first_nonfinite_row(const ScoresView& scores, const Context& context) {
  Buffer<double> norms(rows(scores));
  square_norms(scores, norms.data(), context);
  for (Index n = 0; n < rows(scores); ++n) {
    if (std::isfinite(norms[n])) continue;
    // A finite row may have a norm whose square overflows: look at the entries.
    for (const BlockView& block : scores.blocks()) {
      const bool finite = std::visit(
          [n]<class View>(const View& view) {
            if constexpr (detail::Pair<View>) {
              return finite_row(view.left, view.left_row(n)) && finite_row(view.right, n);
            } else {
              return finite_row(view, n);
            }
          },
          block);
      if (!finite) return n;
    }
  }
  return -1;
}

template <class Real>
void to_dense(const ScoresView& scores, Real* dense, const Context& context) {
  const Index d = scores.columns();
  const RowBlocks blocks(scores.rows(), d, most_blocks_of_rows);
  detail::parallel_for(context, detail::thread_count(context), blocks.count, [&](Index block, int) {
    detail::expand<Real>(scores, blocks.first(block), blocks.length(block), nullptr, dense + blocks.first(block) * d);
  });
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
template void to_dense<float>(const ScoresView&, float*, const Context&);
template void to_dense<double>(const ScoresView&, double*, const Context&);
template double measure_peak_flops<float>(double);
template double measure_peak_flops<double>(double);

}  // namespace fastfisher
