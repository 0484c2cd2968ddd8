#include "fastfisher/views.hpp"

#include <stdexcept>
#include <string>
#include <utility>

#include "scores/blocks.hpp"

namespace fastfisher {
namespace {

template <class Scalar>
Index rows_of(const MatrixView<Scalar>& block) noexcept {
  return block.rows;
}
template <class Scalar>
Index rows_of(const PairView<Scalar>& block) noexcept {
  return block.rows();
}
template <class Scalar>
Index columns_of(const MatrixView<Scalar>& block) noexcept {
  return block.columns;
}
template <class Scalar>
Index columns_of(const PairView<Scalar>& block) noexcept {
  return block.columns();
}

[[noreturn]] void refuse(std::size_t block, const char* what, Index expected, Index got) {
  throw std::invalid_argument("scores[" + std::to_string(block) + "]: expected " + std::to_string(expected) + " rows" +
                              what + ", got " + std::to_string(got));
}

// Returns a block's number of columns, which for a pair is a product that may leave the range of an index, beside those
// before it.
Index checked_columns(const BlockView& block, std::size_t number, Index before) {
  constexpr Index most = Index{1} << 48;
  const Index columns = std::visit(
      []<class View>(const View& view) {
        if constexpr (detail::Pair<View>) {
          const Index p = view.left.columns, q = view.right.columns;
          return p > 0 && q > most / p ? most + 1 : p * q;
        } else {
          return view.columns;
        }
      },
      block);
  if (columns <= most - before) return columns;
  throw std::invalid_argument("scores[" + std::to_string(number) + "]: expected at most 2^48 columns in all, got more");
}

}  // namespace

Index rows(const BlockView& block) noexcept {
  return std::visit([](const auto& view) { return rows_of(view); }, block);
}

Index columns(const BlockView& block) noexcept {
  return std::visit([](const auto& view) { return columns_of(view); }, block);
}

ScoresView::ScoresView(const MatrixView<const float>& dense) : ScoresView(std::vector<BlockView>{dense}) {}
ScoresView::ScoresView(const MatrixView<const double>& dense) : ScoresView(std::vector<BlockView>{dense}) {}

ScoresView::ScoresView(std::vector<BlockView> blocks) : blocks_(std::move(blocks)) {
  for (std::size_t k = 0; k < blocks_.size(); ++k) {
    const Index count = fastfisher::rows(blocks_[k]);
    if (k == 0) rows_ = count;
    if (count != rows_) refuse(k, " as in scores[0]", rows_, count);
    std::visit(
        [k]<class View>(const View& view) {
          if constexpr (detail::Pair<View>) {
            const Index wanted = view.rows() == 0 ? 0 : view.left_row(view.rows() - 1) + 1;
            if (view.left.rows != wanted) refuse(k, " of the pair's left side", wanted, view.left.rows);
          }
        },
        blocks_[k]);
    columns_ += checked_columns(blocks_[k], k, columns_);
  }
}

ScoresView ScoresView::middle_rows(Index first, Index count) const {
  std::vector<BlockView> parts;
  parts.reserve(blocks_.size());
  for (const BlockView& block : blocks_) {
    parts.push_back(std::visit([&](const auto& view) -> BlockView { return view.middle_rows(first, count); }, block));
  }
  return ScoresView(std::move(parts));
}

}  // namespace fastfisher
