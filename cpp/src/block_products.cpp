#include "block_products.hpp"

#include <algorithm>

#include "blocks.hpp"
#include "packed_operand.hpp"

namespace fastfisher::detail {
namespace {

constexpr Index round_up(Index value, Index step) noexcept { return ceil_divide(value, step) * step; }

// The panel's rows of every pair stay in the second-level cache, next to what a tile touches of the vectors.
constexpr Index panel_bytes = 384 * 1024;
constexpr Index least_panel_rows = 32, most_panel_rows = 256;

}  // namespace

template <class Real>
BlockProducts<Real>::BlockProducts(const ScoresView& scores) : kernel_(&kernels().real<Real>()) {
  const Index lanes = kernel_->lanes;
  Index column = 0;
  for (const BlockView& block : scores.blocks()) {
    BlockPlan plan;
    plan.view = &block;
    plan.first_column = column;
    plan.columns = columns(block);
    plan.offset = padded_size_;
    plan.size = plan.columns;
    std::visit(
        [&]<class View>(const View& view) {
          if constexpr (Pair<View>) {
            const Index p = view.left.columns, q = view.right.columns;
            plan.swapped = round_up(p, lanes) * q < p * round_up(q, lanes);
            plan.broadcasts = plan.swapped ? q : p;
            plan.packed = plan.swapped ? p : q;
            plan.entries = round_up(plan.packed, lanes);
            plan.size = plan.broadcasts * plan.entries;
            plan.panel_left = panel_values_;
            panel_values_ += round_up(plan.broadcasts, lanes);  // every side begins on a packet's boundary
            plan.panel_right = panel_values_;
            panel_values_ += plan.entries;
          }
        },
        block);
    column += plan.columns;
    padded_size_ += round_up(plan.size, lanes);
    plans_.push_back(plan);
  }
  const Index bytes = std::max<Index>(1, panel_values_) * static_cast<Index>(sizeof(Real));
  const Index rows = std::clamp(panel_bytes / bytes, least_panel_rows, most_panel_rows);
  panel_rows_ = rows - rows % 16;  // whole groups of rows, and whole cache lines of values
  scratch_size_ = panel_rows_ * (panel_values_ + lanes + 1);
}

template <class Real>
void BlockProducts<Real>::pad(const Real* v, Real* padded) const {
  std::fill_n(padded, padded_size_, Real(0));
  for (const BlockPlan& plan : plans_) {
    const Real* from = v + plan.first_column;
    Real* to = padded + plan.offset;
    if (plan.entries == 0) {
      std::copy_n(from, plan.columns, to);
      continue;
    }
    for (Index a = 0; a < plan.broadcasts; ++a) {
      for (Index b = 0; b < plan.packed; ++b) {
        to[a * plan.entries + b] = plan.swapped ? from[b * plan.broadcasts + a] : from[a * plan.packed + b];
      }
    }
  }
}

template <class Real>
void BlockProducts<Real>::add_unpadded(const Real* padded, Real* v) const {
  for (const BlockPlan& plan : plans_) {
    const Real* from = padded + plan.offset;
    Real* to = v + plan.first_column;
    if (plan.entries == 0) {
      for (Index k = 0; k < plan.columns; ++k) to[k] += from[k];
      continue;
    }
    for (Index a = 0; a < plan.broadcasts; ++a) {
      for (Index b = 0; b < plan.packed; ++b) {
        to[plan.swapped ? b * plan.broadcasts + a : a * plan.packed + b] += from[a * plan.entries + b];
      }
    }
  }
}

template <class Real>
void BlockProducts<Real>::panel(Index first, Index count, const Real* v, const Real* weights, Real* products, Real* u,
                                Real* y, Real* scratch) const {
  const RealKernels<Real>& kernel = *kernel_;
  const Index padded_rows = round_up(count, pair_row_group);
  Real* sums = scratch;
  Real* dense_u = sums + panel_rows_ * kernel.lanes;
  Real* panel = dense_u + panel_rows_;

  const auto copy_side = [&]<class In>(const MatrixView<const In>& side, const Real* scale, Real* to, Index stride) {
    const MatrixView<const In> part = side.middle_rows(first, count);
    kernel.template products<In>().copy_rows(count, part.columns, part.data, part.row_stride, part.column_stride, scale,
                                             to, stride);
    std::fill_n(to + count * stride, (padded_rows - count) * stride, Real(0));
  };
  const auto left_of = [&](const BlockPlan& plan) { return panel + plan.panel_left * panel_rows_; };
  const auto right_of = [&](const BlockPlan& plan) { return panel + plan.panel_right * panel_rows_; };

  if (v != nullptr) {
    std::fill_n(sums, padded_rows * kernel.lanes, Real(0));
    std::fill_n(u, count, Real(0));
    for (const BlockPlan& plan : plans_) {
      std::visit(
          [&]<class View>(const View& view) {
            if constexpr (Pair<View>) {
              copy_side(plan.swapped ? view.right : view.left, nullptr, left_of(plan), plan.broadcasts);
              copy_side(plan.swapped ? view.left : view.right, nullptr, right_of(plan), plan.entries);
              kernel.contract(padded_rows, plan.broadcasts, plan.entries, left_of(plan), plan.broadcasts,
                              v + plan.offset, right_of(plan), sums);
            } else {
              const View part = view.middle_rows(first, count);
              using In = ScalarOf<View>;
              kernel.template products<In>().matvec(count, part.columns, part.data, part.row_stride, part.column_stride,
                                                    v + plan.offset, dense_u);
              for (Index n = 0; n < count; ++n) u[n] += dense_u[n];
            }
          },
          *plan.view);
    }
    kernel.add_packets(count, sums, u);
    if (products != nullptr) std::copy_n(u, count, products);
  }
  if (y == nullptr) return;
  if (weights != nullptr) {
    for (Index n = 0; n < count; ++n) u[n] *= weights[n];
  }
  for (const BlockPlan& plan : plans_) {
    std::visit(
        [&]<class View>(const View& view) {
          if constexpr (Pair<View>) {
            Real* right = right_of(plan);
            if (v == nullptr) {
              copy_side(plan.swapped ? view.right : view.left, nullptr, left_of(plan), plan.broadcasts);
              copy_side(plan.swapped ? view.left : view.right, u, right, plan.entries);
            } else {  // in place: it has been copied above
              kernel.template products<Real>().copy_rows(count, plan.entries, right, plan.entries, 1, u, right,
                                                         plan.entries);
            }
            kernel.accumulate(count, plan.broadcasts, plan.entries, left_of(plan), plan.broadcasts, right,
                              y + plan.offset);
          } else {
            const View part = view.middle_rows(first, count);
            using In = ScalarOf<View>;
            kernel.template products<In>().rmatvec(count, part.columns, part.data, part.row_stride, part.column_stride,
                                                   u, y + plan.offset);
          }
        },
        *plan.view);
  }
}

template class BlockProducts<float>;
template class BlockProducts<double>;

}  // namespace fastfisher::detail
