// S^T diag(w) S and S S^T: symmetric rank-k products over packed panels of depth.

#include <cmath>
#include <vector>

#include "fastfisher/linalg.hpp"
#include "packed_operand.hpp"
#include "progress.hpp"

namespace fastfisher {
namespace {

using detail::Buffer;
using detail::ceil_divide;
using detail::RealKernels;
using detail::TileMode;

// Below this many multiply-adds a wake-up of other threads costs more than it gains.
constexpr double serial_work = 5e5;

// An operand P of C = P P^T: an (n, depth) view of the scores, with scales on either axis.
template <class In, class Real>
struct Operand {
  MatrixView<const In> view;
  const Real* row_scale = nullptr;
  const Real* depth_scale = nullptr;
};

// Rows first_row ... of the operand, `rows` of them, over part of its depth, into strips of `strip_depth` from where
// `packed` points: the first row's strip, at the part's own depth.
template <class In, class Real>
void pack(const RealKernels<Real>& kernel, const Operand<In, Real>& operand, Index first_row, Index rows,
          Index first_depth, Index depth, Real* packed, Index strip_depth) {
  const MatrixView<const In>& view = operand.view;
  kernel.template products<In>().pack(
      rows, depth, view.data + first_row * view.row_stride + first_depth * view.column_stride, view.row_stride,
      view.column_stride, operand.row_scale == nullptr ? nullptr : operand.row_scale + first_row,
      operand.depth_scale == nullptr ? nullptr : operand.depth_scale + first_depth, packed,
      kernel.strip_rows * strip_depth);
}

// The packing of one panel as tasks: cut along whichever axis leaves each with long runs of memory to read.
struct PackingTasks {
  Index rows, rows_each, depth_each, per_panel;

  PackingTasks(Index n, Index panel_depth, Index strip_rows, bool rows_are_runs)
      : rows(n),
        rows_each(rows_are_runs ? n : strip_rows * 4),
        depth_each(rows_are_runs ? 32 : panel_depth),
        per_panel(ceil_divide(n, rows_each) * ceil_divide(panel_depth, depth_each)) {}

  template <class In, class Real>
  void run(const RealKernels<Real>& kernel, const Operand<In, Real>& operand, Index task, Index first_depth,
           Index depth, Real* packed) const {
    const Index parts = ceil_divide(rows, rows_each);
    const Index row = task % parts * rows_each;
    const Index from = task / parts * depth_each;
    if (from >= depth) return;  // a last, shorter panel
    pack(kernel, operand, row, rows - row < rows_each ? rows - row : rows_each, first_depth + from,
         depth - from < depth_each ? depth - from : depth_each, packed + row * depth + from * kernel.strip_rows, depth);
  }
};

// Depth in equal panels of at most the kernel's depth: no short last panel, whose tiles would be all overhead.
struct Panels {
  Index size, count, depth;
  Panels(Index total, Index most)
      : size(ceil_divide(total, ceil_divide(total, most))), count(ceil_divide(total, size)), depth(total) {}
  Index first(Index panel) const noexcept { return panel * size; }
  Index length(Index panel) const noexcept { return depth - first(panel) < size ? depth - first(panel) : size; }
};

// Wide: many blocks of C.  Panels of depth follow one another without a barrier: packing runs ahead of multiplying, in
// a ring of three buffers, and the tasks are numbered so that whatever one waits for was handed out long before it:
//
//     pack 0, pack 1, multiply 0, pack 2, multiply 1, pack 3, multiply 2, ...
//
// Each block of C still adds its panels in order, so the bits do not depend on who was when where.
template <class In, class Real>
void update_wide(const Context& context, int threads, const RealKernels<Real>& kernel, const Operand<In, Real>& operand,
                 Update update, Real* c) {
  constexpr Index ring = 3;
  const Index n = operand.view.rows;
  const Index strips = ceil_divide(n, kernel.strip_rows);
  const Panels panels(operand.view.columns, kernel.depth);
  const detail::LowerBlocks blocks(n, kernel.strip_rows, detail::strips_per_block);
  const PackingTasks packing(n, panels.size, kernel.strip_rows, operand.view.row_stride == 1);

  const Index panel_size = strips * kernel.strip_rows * panels.size;
  Buffer<Real> packed(panel_size * (panels.count < ring ? panels.count : ring));
  const auto packed_panel = [&](Index panel) { return packed.data() + panel % ring * panel_size; };

  detail::Progress packs(panels.count);     // of a panel: packing tasks done
  detail::Progress products(panels.count);  // of a panel: blocks done
  detail::Progress sums(blocks.count());    // of a block: panels done

  const auto pack_part = [&](Index panel, Index part) {
    if (panel >= ring) products.wait(panel - ring, blocks.count());
    packing.run(kernel, operand, part, panels.first(panel), panels.length(panel), packed_panel(panel));
    packs.advance(panel);
  };
  const auto multiply_block = [&](Index panel, Index block) {
    packs.wait(panel, packing.per_panel);
    sums.wait(block, panel);
    const TileMode mode = panel == 0 && update == Update::assign ? TileMode::assign : TileMode::add;
    detail::update_block(kernel, mode, n, panels.length(panel), packed_panel(panel), blocks(block), c, n);
    sums.advance(block);
    products.advance(panel);
  };

  const Index round = packing.per_panel + blocks.count();
  detail::parallel_for(context, threads, panels.count * round, [&](Index task, int) {
    if (task < packing.per_panel) return pack_part(0, task);
    // Rounds of one packing ahead and one multiplication; the last has nothing left to pack.
    const Index panel = (task - packing.per_panel) / round;
    const Index step = (task - packing.per_panel) % round;
    if (panel + 1 == panels.count) return multiply_block(panel, step);
    if (step < packing.per_panel) return pack_part(panel + 1, step);
    multiply_block(panel, step - packing.per_panel);
  });
}

// Tall and narrow: C has too few blocks to share out, so the depth is cut into a number of chunks that depends on the
// shape alone; each has a sum of its own, and the sums are added in order.
template <class In, class Real>
void update_deep(const Context& context, int threads, const RealKernels<Real>& kernel, const Operand<In, Real>& operand,
                 Index chunks, Update update, Real* c) {
  const Index n = operand.view.rows;
  const Index strips = ceil_divide(n, kernel.strip_rows);
  const Panels slices(operand.view.columns, ceil_divide(operand.view.columns, chunks));
  const Index packed_size = strips * kernel.strip_rows * kernel.depth;
  if (threads > slices.count) threads = static_cast<int>(slices.count);
  Buffer<Real> packed(packed_size * threads);
  Buffer<Real> sums(slices.count * n * n);
  const detail::LowerBlocks whole(n, kernel.strip_rows, strips);
  detail::parallel_for(context, threads, slices.count, [&](Index slice, int worker) {
    Real* own = packed.data() + worker * packed_size;
    const Panels panels(slices.length(slice), kernel.depth);
    for (Index panel = 0; panel < panels.count; ++panel) {
      const Index first = slices.first(slice) + panels.first(panel);
      const Index depth = panels.length(panel);
      pack(kernel, operand, Index{0}, n, first, depth, own, depth);
      detail::update_block(kernel, panel == 0 ? TileMode::assign : TileMode::add, n, depth, own, whole(0),
                           sums.data() + slice * n * n, n);
    }
  });
  for (Index j = 0; j < n; ++j) {
    for (Index i = j; i < n; ++i) {
      Real sum = update == Update::assign ? Real(0) : c[i + j * n];
      for (Index slice = 0; slice < slices.count; ++slice) sum += sums[slice * n * n + i + j * n];
      c[i + j * n] = sum;
    }
  }
}

template <class In, class Real>
void rank_update(const Operand<In, Real>& operand, Update update, Real* c, const Context& context) {
  const Index n = operand.view.rows;
  const Index depth = operand.view.columns;
  if (n == 0) return;
  if (depth == 0) {
    if (update == Update::assign) {
      for (Index i = 0; i < n * n; ++i) c[i] = Real(0);
    }
    return;
  }
  const RealKernels<Real>& kernel = detail::kernels().real<Real>();
  const double work = 0.5 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(depth);
  const int threads = work < serial_work ? 1 : detail::thread_count(context);

  constexpr Index narrow = 512, shortest_chunk = 4096, most_chunks = 16;
  const Index chunks = depth / shortest_chunk < most_chunks ? depth / shortest_chunk : most_chunks;
  if (n <= narrow && chunks > 1) {
    update_deep(context, threads, kernel, operand, chunks, update, c);
  } else {
    update_wide(context, threads, kernel, operand, update, c);
  }
}

// sqrt(w) on both factors, rather than w on one: the product is then that of one rounded matrix with itself.
template <class Real>
std::vector<Real> square_roots(const double* weights, Index count) {
  std::vector<Real> roots(weights == nullptr ? 0 : static_cast<std::size_t>(count));
  for (std::size_t n = 0; n < roots.size(); ++n) roots[n] = static_cast<Real>(std::sqrt(weights[n]));
  return roots;
}

template <class Real>
const Real* data_or_null(const std::vector<Real>& values) noexcept {
  return values.empty() ? nullptr : values.data();
}

}  // namespace

template <class Real>
void fisher_product(const ScoresView& scores, const double* weights, Update update, Real* c, const Context& context) {
  const std::vector<Real> roots = square_roots<Real>(weights, rows(scores));
  std::visit(
      [&]<class In>(const MatrixView<const In>& view) {
        const Operand<In, Real> operand{view.transposed(), nullptr, data_or_null(roots)};
        rank_update(operand, update, c, context);
      },
      scores);
}

template <class Real>
void gram_product(const ScoresView& scores, const double* weights, Real* k, const Context& context) {
  const std::vector<Real> roots = square_roots<Real>(weights, rows(scores));
  std::visit(
      [&]<class In>(const MatrixView<const In>& view) {
        const Operand<In, Real> operand{view, data_or_null(roots), nullptr};
        rank_update(operand, Update::assign, k, context);
      },
      scores);
}

template <class Real>
void mirror_lower(Index n, Real* a, Real scale, const Context& context) {
  constexpr Index block = 64;  // both sides of a transposed block stay in the first-level cache
  const Index blocks = ceil_divide(n, block);
  const int threads = n < 256 ? 1 : detail::thread_count(context);
  detail::parallel_for(context, threads, blocks, [&](Index column_block, int) {
    const Index first_column = column_block * block;
    const Index last_column = first_column + block < n ? first_column + block : n;
    for (Index first_row = first_column; first_row < n; first_row += block) {
      const Index last_row = first_row + block < n ? first_row + block : n;
      for (Index j = first_column; j < last_column; ++j) {
        for (Index i = first_row > j ? first_row : j; i < last_row; ++i) {
          const Real value = a[i + j * n] * scale;
          a[i + j * n] = value;
          a[j + i * n] = value;
        }
      }
    }
  });
}

template void fisher_product<float>(const ScoresView&, const double*, Update, float*, const Context&);
template void fisher_product<double>(const ScoresView&, const double*, Update, double*, const Context&);
template void gram_product<float>(const ScoresView&, const double*, float*, const Context&);
template void gram_product<double>(const ScoresView&, const double*, double*, const Context&);
template void mirror_lower<float>(Index, float*, float, const Context&);
template void mirror_lower<double>(Index, double*, double, const Context&);

}  // namespace fastfisher
