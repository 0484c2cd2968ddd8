#include "scores/expand.hpp"

#include <algorithm>

#include "kernels/kernel_table.hpp"
#include "scores/blocks.hpp"

namespace fastfisher::detail {

template <class Real>
void expand(const ScoresView& scores, Index first, Index count, const Real* scale, Real* dense) {
  const Index d = scores.columns();
  Index column = 0;
  for (const BlockView& block : scores.blocks()) {
    std::visit(
        [&]<class View>(const View& view) {
          const View part = view.middle_rows(first, count);
          if constexpr (Pair<View>) {
            using In = ScalarOf<decltype(part.left)>;
            const auto& l = part.left;
            const auto& r = part.right;
            const auto expand_rows = kernels().real<Real>().template products<In>().expand_rows;
            // So many rows go at once: all, or those that share a row of the left side, whose stride is then zero.
            for (Index n = 0, run = 0; n < count; n += run) {
              const bool shared = part.repeats > 1;
              run = shared ? std::min(count - n, part.repeats - (part.skipped + n) % part.repeats) : count;
              expand_rows(run, l.columns, r.columns, l.data + part.left_row(n) * l.row_stride,
                          shared ? 0 : l.row_stride, l.column_stride, r.data + n * r.row_stride, r.row_stride,
                          r.column_stride, scale == nullptr ? nullptr : scale + n, dense + n * d + column, d);
            }
          } else {
            for (Index n = 0; n < count; ++n) {
              const Real factor = scale == nullptr ? Real(1) : scale[n];
              for (Index k = 0; k < part.columns; ++k) {
                dense[n * d + column + k] = factor * static_cast<Real>(part(n, k));
              }
            }
          }
        },
        block);
    column += columns(block);
  }
}

template void expand<float>(const ScoresView&, Index, Index, const float*, float*);
template void expand<double>(const ScoresView&, Index, Index, const double*, double*);

}  // namespace fastfisher::detail
