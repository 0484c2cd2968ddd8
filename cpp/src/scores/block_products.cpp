#include "scores/block_products.hpp"

#include <algorithm>

#include "kernels/packed_operand.hpp"
#include "scores/blocks.hpp"

namespace fastfisher::detail {
namespace {

constexpr Index round_up(Index value, Index step) noexcept { return ceil_divide(value, step) * step; }

// The part of the scores that a panel touches stays in the second-level cache between its two halves.
constexpr Index panel_bytes = 640 * 1024;
constexpr Index least_units = 64, most_units = 256;

// So many values lie on a cache line's boundary in either precision.
constexpr Index alignment = 16;

}  // namespace

template <class Real>
BlockProducts<Real>::BlockProducts(const ScoresView& scores) : kernel_(&kernels().real<Real>()) {
  // All blocks have one number of repeats, and only from the first row of a group to the last of one; pairs that have
  // another get their left sides written out.
  for (const BlockView& block : scores.blocks()) {
    std::visit(
        [&]<class View>(const View& view) {
          if constexpr (Pair<View>) {
            const bool whole = view.skipped == 0 && view.rows() % view.repeats == 0;
            if (granule_ == 1 && whole) granule_ = view.repeats;
          }
        },
        block);
  }
  for (const BlockView& block : scores.blocks()) {
    std::visit(
        [&]<class View>(const View& view) {
          if constexpr (Pair<View>) {
            if (view.repeats > 1 && (view.repeats != granule_ || view.skipped != 0)) {
              using In = ScalarOf<decltype(view.left)>;
              Buffer<In> rows = repeated_left(view);
              const auto left = row_major<const In>(rows.data(), view.rows(), view.left.columns);
              written_out_.push_back(std::move(rows));
              add_plan(PairView<const In>{left, view.right});
              return;
            }
          }
          add_plan(view);
        },
        block);
  }
  allot_scratch();
}

template <class Real>
void BlockProducts<Real>::add_plan(const BlockView& block) {
  const Index lanes = kernel_->lanes;
  BlockPlan plan;
  plan.view = block;
  plan.first_column = plans_.empty() ? 0 : plans_.back().first_column + plans_.back().columns;
  plan.columns = columns(block);
  plan.offset = padded_size_;
  plan.size = plan.columns;
  std::visit(
      [&]<class View>(const View& view) {
        if constexpr (Pair<View>) {
          const Index p = view.left.columns, q = view.right.columns;
          plan.repeats = view.repeats;
          plan.swapped = view.repeats == 1 && round_up(p, lanes) * q < p * round_up(q, lanes);
          plan.broadcasts = plan.swapped ? q : p;
          plan.packed = plan.swapped ? p : q;
          plan.entries = round_up(plan.packed, lanes);
          plan.size = plan.broadcasts * plan.entries;
          const auto contiguous = [](const auto& side) {
            return sizeof(*side.data) == sizeof(Real) && side.column_stride == 1;
          };
          plan.broadcasts_in_place = contiguous(plan.swapped ? view.right : view.left);
          plan.packets_in_place = contiguous(plan.swapped ? view.left : view.right) && plan.packed == plan.entries;
        }
      },
      block);
  padded_size_ += round_up(plan.size, lanes);
  plans_.push_back(std::move(plan));
}

// A panel has its rows, and scratch memory: sums by packets, u of a dense block, copies of sides, and the packet side
// times u.
template <class Real>
void BlockProducts<Real>::allot_scratch() {
  Index unit_values = 0, widest = 0;  // of the rows that share a left side
  for (const BlockPlan& plan : plans_) {
    if (plan.entries == 0) continue;
    unit_values += granule_ / plan.repeats * plan.broadcasts + granule_ * plan.entries;
    widest = std::max(widest, plan.entries);
  }
  const Index bytes = std::max<Index>(1, unit_values) * static_cast<Index>(sizeof(Real));
  const Index units = std::clamp(panel_bytes / bytes, least_units, most_units) / alignment * alignment;
  panel_rows_ = units * granule_;
  Index size = panel_rows_ * kernel_->lanes;
  const auto allot = [&](Index values) {
    const Index begin = size;
    size += round_up(values, alignment);
    return begin;
  };
  dense_u_ = allot(panel_rows_);
  for (BlockPlan& plan : plans_) {
    if (plan.entries == 0) continue;
    if (!plan.broadcasts_in_place) plan.panel_left = allot(panel_rows_ / plan.repeats * plan.broadcasts);
    if (!plan.packets_in_place) plan.panel_right = allot(panel_rows_ * plan.entries);
  }
  combined_ = allot(panel_rows_ * widest);
  scratch_size_ = size;
}

// Calls body(first entry, entries) for each strip of a pair.
template <class Real>
template <class Body>
void BlockProducts<Real>::for_strips(const BlockPlan& plan, const Body& body) const {
  for (Index first = 0; first < plan.entries;) {
    const Index width = kernel_->tile_entries(plan.entries - first);
    body(first, width);
    first += width;
  }
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
    for_strips(plan, [&](Index first, Index width) {
      Real* strip = to + plan.broadcasts * first;
      const Index last = std::min(first + width, plan.packed);
      for (Index a = 0; a < plan.broadcasts; ++a, strip += width) {
        for (Index b = first; b < last; ++b) {
          strip[b - first] = plan.swapped ? from[b * plan.broadcasts + a] : from[a * plan.packed + b];
        }
      }
    });
  }
}

template <class Real>
template <class Sum>
void BlockProducts<Real>::add_unpadded(const Sum* padded, Sum* v) const {
  for (const BlockPlan& plan : plans_) {
    const Sum* from = padded + plan.offset;
    Sum* to = v + plan.first_column;
    if (plan.entries == 0) {
      for (Index k = 0; k < plan.columns; ++k) to[k] += from[k];
      continue;
    }
    for_strips(plan, [&](Index first, Index width) {
      const Sum* strip = from + plan.broadcasts * first;
      const Index last = std::min(first + width, plan.packed);
      for (Index a = 0; a < plan.broadcasts; ++a, strip += width) {
        for (Index b = first; b < last; ++b) {
          to[plan.swapped ? b * plan.broadcasts + a : a * plan.packed + b] += strip[b - first];
        }
      }
    });
  }
}

template <class Real>
template <class In>
auto BlockProducts<Real>::rows_of(const MatrixView<const In>& side, bool in_place, Index width, Real* copy,
                                  bool copied) const -> Rows {
  if constexpr (std::is_same_v<In, Real>) {
    if (in_place) return {side.data, side.row_stride};
  }
  if (!copied) {
    kernel_->template products<In>().copy_rows(side.rows, side.columns, side.data, side.row_stride, side.column_stride,
                                               nullptr, copy, width);
  }
  return {copy, width};
}

template <class Real>
template <class In>
auto BlockProducts<Real>::broadcast_rows(const BlockPlan& plan, const PairView<const In>& part, Real* scratch,
                                         bool copied) const -> Rows {
  return rows_of(plan.swapped ? part.right : part.left, plan.broadcasts_in_place, plan.broadcasts,
                 scratch + plan.panel_left, copied);
}

template <class Real>
template <class In>
auto BlockProducts<Real>::packet_rows(const BlockPlan& plan, const PairView<const In>& part, Real* scratch,
                                      bool copied) const -> Rows {
  return rows_of(plan.swapped ? part.left : part.right, plan.packets_in_place, plan.entries, scratch + plan.panel_right,
                 copied);
}

template <class Real>
void BlockProducts<Real>::panel(Index first, Index count, const Real* v, const Real* weights, Real* products, Real* u,
                                Real* y, Real* scratch) const {
  const RealKernels<Real>& kernel = *kernel_;
  Real* sums = scratch;
  Real* dense_u = scratch + dense_u_;
  Real* combined = scratch + combined_;

  if (v != nullptr) {
    std::fill_n(sums, count * kernel.lanes, Real(0));
    std::fill_n(u, count, Real(0));
    for (const BlockPlan& plan : plans_) {
      std::visit(
          [&]<class View>(const View& view) {
            const View part = view.middle_rows(first, count);
            if constexpr (Pair<View>) {
              const Rows left = broadcast_rows(plan, part, scratch, false);
              const Rows right = packet_rows(plan, part, scratch, false);
              for_strips(plan, [&](Index start, Index width) {
                kernel.contract(count / plan.repeats, plan.repeats, plan.broadcasts, width, left.data, left.stride,
                                v + plan.offset + plan.broadcasts * start, right.data + start, right.stride, sums);
              });
            } else {
              using In = ScalarOf<View>;
              kernel.template products<In>().matvec(count, part.columns, part.data, part.row_stride, part.column_stride,
                                                    v + plan.offset, dense_u);
              for (Index n = 0; n < count; ++n) u[n] += dense_u[n];
            }
          },
          plan.view);
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
          const View part = view.middle_rows(first, count);
          if constexpr (Pair<View>) {
            const bool copied = v != nullptr;
            const Rows left = broadcast_rows(plan, part, scratch, copied);
            const Rows right = packet_rows(plan, part, scratch, copied);
            const Index units = count / plan.repeats;
            for_strips(plan, [&](Index start, Index width) {
              kernel.combine(units, plan.repeats, width, right.data + start, right.stride, u, combined);
              kernel.accumulate(units, plan.broadcasts, width, left.data, left.stride, combined,
                                y + plan.offset + plan.broadcasts * start);
            });
          } else {
            using In = ScalarOf<View>;
            kernel.template products<In>().rmatvec(count, part.columns, part.data, part.row_stride, part.column_stride,
                                                   u, y + plan.offset);
          }
        },
        plan.view);
  }
}

template class BlockProducts<float>;
template class BlockProducts<double>;
template void BlockProducts<float>::add_unpadded(const float*, float*) const;
template void BlockProducts<float>::add_unpadded(const double*, double*) const;
template void BlockProducts<double>::add_unpadded(const double*, double*) const;

}  // namespace fastfisher::detail
