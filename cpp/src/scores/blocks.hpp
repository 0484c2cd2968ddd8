// Code that visits the blocks of scores asks these questions of them.
#pragma once

#include <type_traits>
#include <utility>
#include <variant>

#include "fastfisher/views.hpp"
#include "runtime/buffer.hpp"

namespace fastfisher::detail {

// A pair is a factored block, rather than a dense one.
template <class View>
concept Pair = requires(const View& view) { view.left; };

// A view's entries are of this type, float or double.
template <class Scalar>
Scalar scalar_of(const MatrixView<const Scalar>&);
template <class View>
using ScalarOf = decltype(scalar_of(std::declval<const View&>()));

// Writes shared rows of a pair's left side out, so that it has a row for each of the pair's.
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
