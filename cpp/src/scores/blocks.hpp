// What code that visits the blocks of scores asks of them.
#pragma once

#include <type_traits>
#include <utility>
#include <variant>

#include "fastfisher/views.hpp"
#include "runtime/buffer.hpp"

namespace fastfisher::detail {

// A factored block, rather than a dense one.
template <class View>
concept Pair = requires(const View& view) { view.left; };

// float or double: what a view's entries are.
template <class Scalar>
Scalar scalar_of(const MatrixView<const Scalar>&);
template <class View>
using ScalarOf = decltype(scalar_of(std::declval<const View&>()));

// The left side of a pair with a row for each of the pair's: shared rows written out.
template <class Scalar>
Buffer<Scalar> repeated_left(const PairView<const Scalar>& pair) {
  Buffer<Scalar> rows(pair.rows() * pair.left.columns);
  for (Index n = 0; n < pair.rows(); ++n) {
    const Index from = pair.left_row(n);
    for (Index k = 0; k < pair.left.columns; ++k) rows[n * pair.left.columns + k] = pair.left(from, k);
  }
  return rows;
}

// Calls dense(view) for scores that are one dense block, and blocks() for all others.
template <class Dense, class Blocks>
void dispatch(const ScoresView& scores, const Dense& dense, const Blocks& blocks) {
  if (scores.blocks().size() != 1) return blocks();
  std::visit(
      [&]<class View>(const View& view) {
        if constexpr (Pair<View>) {
          blocks();
        } else {
          dense(view);
        }
      },
      scores.blocks().front());
}

}  // namespace fastfisher::detail
