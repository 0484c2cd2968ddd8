// The Gram matrix of factored blocks has all their Hadamard products fused in each tile, so that K is written once.
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
  // row_scale, (N,), multiplies the rows; null stands for ones.
  FactoredGram(const ScoresView& scores, const Real* row_scale);

  // Returns whether there is no pair among the blocks, so that dense products alone serve.
  bool empty() const noexcept { return empty_; }

  // Returns whether a block is part of this: pairs are, and dense blocks too narrow to be worth a product of their own.
  bool takes(const BlockView& block) const noexcept;

  // Writes the lower triangle of k, N x N.
  void assign_to(Real* k, const Context& context) const;

 private:
  const ScoresView* scores_;
  const Real* row_scale_;
  bool empty_ = true;
};

}  // namespace fastfisher::detail
