#include "scores/factored_gram.hpp"

#include <algorithm>
#include <vector>

#include "kernels/packed_operand.hpp"
#include "scores/blocks.hpp"

namespace fastfisher::detail {
namespace {

constexpr Index narrow = 256;

// An operand is one side of a pair, or a dense block: (N, depth), with its place among the packed ones.
struct Side {
  std::variant<MatrixView<const float>, MatrixView<const double>> view;
  bool scaled;  // by the rows' scale: one side of a pair only
  Index depth, offset;
};

struct Factor {
  std::size_t left;
  std::size_t right;  // of sides; equal to left for a dense block
};

// The strips of a block of K, over all operands, stay in the second-level cache.
Index strips_of_block(Index values_of_strip, Index value_size) noexcept {
  constexpr Index cache = 384 * 1024;
  return std::clamp<Index>(cache / std::max<Index>(1, values_of_strip * value_size), 1, strips_per_block);
}

}  // namespace

template <class Real>
FactoredGram<Real>::FactoredGram(const ScoresView& scores, const Real* row_scale)
    : scores_(&scores), row_scale_(row_scale) {
  for (const BlockView& block : scores.blocks()) {
    empty_ = empty_ && std::visit([]<class View>(const View&) { return !Pair<View>; }, block);
  }
}

template <class Real>
bool FactoredGram<Real>::takes(const BlockView& block) const noexcept {
  if (empty_) return false;
  return std::visit(
      []<class View>(const View& view) {
        if constexpr (Pair<View>) {
          return true;
        } else {
          return view.columns <= narrow;
        }
      },
      block);
}

template <class Real>
void FactoredGram<Real>::assign_to(Real* k, const Context& context) const {
  const RealKernels<Real>& kernel = kernels().real<Real>();
  const Index n = scores_->rows();
  const Index strips = ceil_divide(n, kernel.strip_rows);
  const Index padded_rows = strips * kernel.strip_rows;

  std::vector<Side> sides;
  std::vector<Factor> factors;
  std::vector<std::variant<Buffer<float>, Buffer<double>>> written_out;  // left sides of pairs that share their rows
  Index depth = 0;
  const auto add_side = [&](const auto& view, bool scaled) {
    sides.push_back({view, scaled, view.columns, depth});
    depth += view.columns;
    return sides.size() - 1;
  };
  for (const BlockView& block : scores_->blocks()) {
    if (!takes(block)) continue;
    std::visit(
        [&]<class View>(const View& view) {
          if constexpr (Pair<View>) {
            auto left_view = view.left;
            if (view.repeats > 1) {
              auto rows = repeated_left(view);
              left_view = row_major<const ScalarOf<decltype(view.left)>>(rows.data(), view.rows(), view.left.columns);
              written_out.push_back(std::move(rows));
            }
            const std::size_t left = add_side(left_view, true);
            factors.push_back({left, add_side(view.right, false)});
          } else {
            const std::size_t only = add_side(view, true);
            factors.push_back({only, only});
          }
        },
        block);
  }

  // Every operand of every row is packed once: N (p + q) values, for use by all blocks of K.
  Buffer<Real> packed(padded_rows * depth);
  const auto packed_side = [&](const Side& side) { return packed.data() + padded_rows * side.offset; };
  const int threads = n < 128 ? 1 : thread_count(context);
  parallel_for(context, threads, strips, [&](Index strip, int) {
    const Index first = strip * kernel.strip_rows;
    const Index count = std::min(kernel.strip_rows, n - first);
    for (const Side& side : sides) {
      std::visit(
          [&]<class In>(const MatrixView<const In>& view) {
            kernel.template products<In>().pack(count, side.depth, view.data + first * view.row_stride, view.row_stride,
                                                view.column_stride,
                                                row_scale_ == nullptr || !side.scaled ? nullptr : row_scale_ + first,
                                                nullptr, packed_side(side) + first * side.depth, 0);
          },
          side.view);
    }
  });

  std::vector<GramFactor<Real>> operands;
  for (const Factor& factor : factors) {
    const Side& left = sides[factor.left];
    const Side& right = sides[factor.right];
    const bool dense = factor.left == factor.right;
    operands.push_back({packed_side(left), left.depth, dense ? nullptr : packed_side(right), dense ? 0 : right.depth});
  }
  const Index per_block = strips_of_block(kernel.strip_rows * depth, static_cast<Index>(sizeof(Real)));
  const LowerBlocks blocks(n, kernel.strip_rows, per_block);
  parallel_for(context, threads, blocks.count(), [&](Index task, int) {
    for_tiles_of_block(kernel, n, blocks(task), [&](Index strip, Index j, Index first_row, Index rows, Index columns) {
      kernel.gram_tile(operands.data(), static_cast<Index>(operands.size()), strip, j,
                       k + strip * kernel.strip_rows + j * n, n, first_row, rows, columns);
    });
  });
}

template class FactoredGram<float>;
template class FactoredGram<double>;

}  // namespace fastfisher::detail
