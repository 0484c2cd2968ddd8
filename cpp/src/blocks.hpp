// What code that visits the blocks of scores asks of them.
#pragma once

#include <type_traits>
#include <utility>
#include <variant>

#include "fastfisher/views.hpp"

namespace fastfisher::detail {

// A factored block, rather than a dense one.
template <class View>
concept Pair = requires(const View& view) { view.left; };

// float or double: what a view's entries are.
template <class Scalar>
Scalar scalar_of(const MatrixView<const Scalar>&);
template <class View>
using ScalarOf = decltype(scalar_of(std::declval<const View&>()));

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
