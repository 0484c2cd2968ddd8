// The Gram matrix of factored blocks: all their Hadamard products fused in each tile, K written once.
//
//     K = sum over pairs (L L^T) o (R R^T)  +  sum over narrow dense blocks D D^T
//
// A (p, q) pair costs p + q multiply-adds an entry in place of p q.
#pragma once

#include "fastfisher/context.hpp"
#include "fastfisher/views.hpp"

namespace fastfisher::detail {

template <class Real>
class FactoredGram {
 public:
  // row_scale, (N,), multiplies the rows; null: ones.
  FactoredGram(const ScoresView& scores, const Real* row_scale);

  // No pair among the blocks: dense products alone serve.
  bool empty() const noexcept { return empty_; }

  // Whether a block is part of this: pairs, and dense blocks too narrow to be worth a product of their own.
  bool takes(const BlockView& block) const noexcept;

  // k (N x N), lower triangle.
  void assign_to(Real* k, const Context& context) const;

 private:
  const ScoresView* scores_;
  const Real* row_scale_;
  bool empty_ = true;
};

}  // namespace fastfisher::detail
