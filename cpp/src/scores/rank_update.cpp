// S^T diag(w) S and S S^T are symmetric rank-k products over packed panels of depth.

#include "scores/rank_update.hpp"

#include <cmath>
#include <vector>

#include "fastfisher/linalg.hpp"
#include "kernels/packed_operand.hpp"
#include "runtime/progress.hpp"
#include "scores/blocks.hpp"
#include "scores/expand.hpp"
#include "scores/factored_gram.hpp"

namespace fastfisher {
namespace {

using detail::Buffer;
using detail::ceil_divide;
using detail::RealKernels;
using detail::TileMode;

// Below this many multiply-adds a wake-up of other threads costs more than it gains.
constexpr double serial_work = 5e5;

// These are operands P of C = P P^T, of `rows` by `depth`.  pack() writes rows first_row ..., `rows` of them, over part
// of the depth, into strips of `strip_depth` from where `packed` points: the first row's strip, at the part's own
// depth.

// This operand is one dense matrix, with scales on either axis.
template <class In, class Real>
struct DenseOperand {
  MatrixView<const In> view;
  const Real* row_scale = nullptr;
  const Real* depth_scale = nullptr;

  Index rows() const noexcept { return view.rows; }
  Index depth() const noexcept { return view.columns; }
  bool rows_are_runs() const noexcept { return view.row_stride == 1; }
  Index scratch_size() const noexcept { return 0; }

  void pack(const RealKernels<Real>& kernel, Index first_row, Index count, Index first_depth, Index part_depth,
            Real* packed, Index strip_depth, Real* /*scratch*/) const {
    kernel.template products<In>().pack(
        count, part_depth, view.data + first_row * view.row_stride + first_depth * view.column_stride, view.row_stride,
        view.column_stride, row_scale == nullptr ? nullptr : row_scale + first_row,
        depth_scale == nullptr ? nullptr : depth_scale + first_depth, packed, kernel.strip_rows * strip_depth);
  }
};

// This operand is S^T of rows that are written a few at a time, in the cache, and packed from there.
template <class Real>
struct WrittenOperand {
  Index samples, columns;
  const detail::RowWriter<Real>& write;
  static constexpr Index samples_at_once = 8;

  Index rows() const noexcept { return columns; }
  Index depth() const noexcept { return samples; }
  bool rows_are_runs() const noexcept { return true; }
  Index scratch_size() const noexcept { return samples_at_once * columns; }

  void pack(const RealKernels<Real>& kernel, Index /*first_row: all rows are packed at once*/, Index count,
            Index first_depth, Index part_depth, Real* packed, Index strip_depth, Real* scratch) const {
    for (Index k = 0; k < part_depth; k += samples_at_once) {
      const Index written = part_depth - k < samples_at_once ? part_depth - k : samples_at_once;
      write(first_depth + k, written, scratch);
      kernel.template products<Real>().pack(count, written, scratch, 1, count, nullptr, nullptr,
                                            packed + k * kernel.strip_rows, kernel.strip_rows * strip_depth);
    }
  }
};

// The depth is cut into equal panels of at most the kernel's depth: the tiles of a short last one would be all
// overhead.
struct Panels {
  Index size, count, depth;
  Panels(Index total, Index most)
      : size(ceil_divide(total, ceil_divide(total, most))), count(ceil_divide(total, size)), depth(total) {}
  Index first(Index panel) const noexcept { return panel * size; }
  Index length(Index panel) const noexcept { return depth - first(panel) < size ? depth - first(panel) : size; }
};

// The packing of one panel is cut into tasks along whichever axis leaves each with long runs of memory to read.
struct PackingTasks {
  Index rows, rows_each, depth_each, per_panel;

  PackingTasks(Index n, Index panel_depth, Index strip_rows, bool rows_are_runs)
      : rows(n),
        rows_each(rows_are_runs ? n : strip_rows * 4),
        depth_each(rows_are_runs ? 32 : panel_depth),
        per_panel(ceil_divide(n, rows_each) * ceil_divide(panel_depth, depth_each)) {}

  template <class Operand, class Real>
  void run(const RealKernels<Real>& kernel, const Operand& operand, Index task, Index first_depth, Index depth,
           Real* packed, Real* scratch) const {
    const Index parts = ceil_divide(rows, rows_each);
    const Index row = task % parts * rows_each;
    const Index from = task / parts * depth_each;
    if (from >= depth) return;  // a last, shorter panel
    operand.pack(kernel, row, rows - row < rows_each ? rows - row : rows_each, first_depth + from,
                 depth - from < depth_each ? depth - from : depth_each, packed + row * depth + from * kernel.strip_rows,
                 depth, scratch);
  }
};

// A wide product has many blocks of C.  Panels of depth follow one another without a barrier: packing runs ahead of
// multiplying, in a ring of three buffers, and the tasks are numbered so that whatever one waits for was handed out
// long before it:
//
//     pack 0, pack 1, multiply 0, pack 2, multiply 1, pack 3, multiply 2, ...
//
// Each block of C still adds its panels in order, so the bits do not depend on who was when where.
template <class Operand, class Real>
void update_wide(const Context& context, int threads, const RealKernels<Real>& kernel, const Operand& operand,
                 Update update, Real* c) {
  constexpr Index ring = 3;
  const Index n = operand.rows();
  const Index strips = ceil_divide(n, kernel.strip_rows);
  const Panels panels(operand.depth(), kernel.depth);
  const detail::LowerBlocks blocks(n, kernel.strip_rows, detail::strips_of_block(strips, threads));
  const PackingTasks packing(n, panels.size, kernel.strip_rows, operand.rows_are_runs());

  const Index panel_size = strips * kernel.strip_rows * panels.size;
  Buffer<Real> packed(panel_size * (panels.count < ring ? panels.count : ring));
  const auto packed_panel = [&](Index panel) { return packed.data() + panel % ring * panel_size; };

  detail::Progress packs(panels.count);     // of a panel: packing tasks done
  detail::Progress products(panels.count);  // of a panel: blocks done
  detail::Progress sums(blocks.count());    // of a block: panels done

  Buffer<Real> scratch(operand.scratch_size() * threads);
  const auto pack_part = [&](Index panel, Index part, int worker) {
    if (panel >= ring) products.wait(panel - ring, blocks.count());
    packing.run(kernel, operand, part, panels.first(panel), panels.length(panel), packed_panel(panel),
                scratch.data() + worker * operand.scratch_size());
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
  detail::parallel_for(context, threads, panels.count * round, [&](Index task, int worker) {
    if (task < packing.per_panel) return pack_part(0, task, worker);
    // Each round is one packing ahead and one multiplication; the last has nothing left to pack.
    const Index panel = (task - packing.per_panel) / round;
    const Index step = (task - packing.per_panel) % round;
    if (panel + 1 == panels.count) return multiply_block(panel, step);
    if (step < packing.per_panel) return pack_part(panel + 1, step, worker);
    multiply_block(panel, step - packing.per_panel);
  });
}

// In a tall and narrow product C has too few blocks to share out, so the depth is cut into a number of chunks that
// depends on the shape alone; each has a sum of its own, and the sums are added in order.
template <class Operand, class Real>
void update_deep(const Context& context, int threads, const RealKernels<Real>& kernel, const Operand& operand,
                 Index chunks, Update update, Real* c) {
  const Index n = operand.rows();
  const Index strips = ceil_divide(n, kernel.strip_rows);
  const Panels slices(operand.depth(), ceil_divide(operand.depth(), chunks));
  const Index packed_size = strips * kernel.strip_rows * kernel.depth;
  if (threads > slices.count) threads = static_cast<int>(slices.count);
  Buffer<Real> packed(packed_size * threads);
  Buffer<Real> sums(slices.count * n * n);
  Buffer<Real> scratch(operand.scratch_size() * threads);
  const detail::LowerBlocks whole(n, kernel.strip_rows, strips);
  detail::parallel_for(context, threads, slices.count, [&](Index slice, int worker) {
    Real* own = packed.data() + worker * packed_size;
    const Panels panels(slices.length(slice), kernel.depth);
    for (Index panel = 0; panel < panels.count; ++panel) {
      const Index first = slices.first(slice) + panels.first(panel);
      const Index depth = panels.length(panel);
      operand.pack(kernel, 0, n, first, depth, own, depth, scratch.data() + worker * operand.scratch_size());
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

template <class Operand, class Real>
void rank_update(const Operand& operand, Update update, Real* c, const Context& context) {
  const Index n = operand.rows();
  const Index depth = operand.depth();
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

// Both factors have sqrt(w), rather than one of them w: the product is then that of one rounded matrix with itself.
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
  const std::vector<Real> roots = square_roots<Real>(weights, scores.rows());
  detail::dispatch(
      scores,
      [&]<class In>(const MatrixView<const In>& view) {
        rank_update(DenseOperand<In, Real>{view.transposed(), nullptr, data_or_null(roots)}, update, c, context);
      },
      [&] {
        const detail::RowWriter<Real> write = [&](Index first, Index count, Real* rows) {
          detail::expand(scores, first, count, roots.empty() ? nullptr : roots.data() + first, rows);
        };
        rank_update(WrittenOperand<Real>{scores.rows(), scores.columns(), write}, update, c, context);
      });
}

template <class Real>
void gram_product(const ScoresView& scores, const double* weights, Real* k, const Context& context) {
  const std::vector<Real> roots = square_roots<Real>(weights, scores.rows());
  const detail::FactoredGram<Real> factored(scores, data_or_null(roots));
  Update update = Update::assign;
  if (!factored.empty()) {
    factored.assign_to(k, context);
    update = Update::add;
  }
  for (const BlockView& block : scores.blocks()) {
    if (factored.takes(block)) continue;
    std::visit(
        [&]<class View>(const View& view) {
          if constexpr (!detail::Pair<View>) {
            using In = detail::ScalarOf<View>;
            rank_update(DenseOperand<In, Real>{view, data_or_null(roots), nullptr}, update, k, context);
          }
        },
        block);
    update = Update::add;
  }
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

template <class Real>
void detail::product_of_written_rows(Index rows, Index columns, const RowWriter<Real>& write, Real* c,
                                     const Context& context) {
  rank_update(WrittenOperand<Real>{rows, columns, write}, Update::assign, c, context);
}

template void fisher_product<float>(const ScoresView&, const double*, Update, float*, const Context&);
template void fisher_product<double>(const ScoresView&, const double*, Update, double*, const Context&);
template void gram_product<float>(const ScoresView&, const double*, float*, const Context&);
template void gram_product<double>(const ScoresView&, const double*, double*, const Context&);
template void detail::product_of_written_rows<float>(Index, Index, const RowWriter<float>&, float*, const Context&);
template void detail::product_of_written_rows<double>(Index, Index, const RowWriter<double>&, double*, const Context&);
template void mirror_lower<float>(Index, float*, float, const Context&);
template void mirror_lower<double>(Index, double*, double, const Context&);

}  // namespace fastfisher
