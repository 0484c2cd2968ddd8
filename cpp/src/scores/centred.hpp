// The mean is subtracted from scores before a product and not after it: the rounding of a product is as large as what
// it multiplies, so that a mean a thousand times the deviations would take the square of a thousand from the digits of
// a covariance.
#pragma once

#include <vector>

#include "fastfisher/context.hpp"
#include "fastfisher/linalg.hpp"
#include "runtime/buffer.hpp"
#include "runtime/thread_pool.hpp"
#include "runtime/vector.hpp"

namespace fastfisher::detail {

// Writes rows[(n - first) * d + k] = scale[n - first] * (S[n, k] - mean[k]); scale may be null.
template <class Real>
void centred_rows(const ScoresView& scores, const Vector& mean, Index first, Index count, const double* scale,
                  Real* rows);

// Writes a dense block less its part of the mean into `copy`, row by row.
template <class Scalar, class Real>
void centred_copy(const MatrixView<Scalar>& block, const double* mean, Real* copy, const Context& context) {
  parallel_for(context, thread_count(context), block.rows, [&](Index n, int) {
    Real* row = copy + n * block.columns;
    for (Index k = 0; k < block.columns; ++k) row[k] = static_cast<Real>(static_cast<double>(block(n, k)) - mean[k]);
  });
}

// Computes y = (S - 1 m^T)^T u, m the mean by `weights`, which may be null.
void transposed_product(const ScoresView& scores, const double* weights, double total_weight, const Vector& mean,
                        Vector u, Vector& y, const Context& context);

// Writes norms[n] = ||s_n - m||^2.
void centred_square_norms(const ScoresView& scores, const Vector& mean, double* norms, const Context& context);

// These are other scores in Real, whose Gram matrix is that of the scores less a mean of the order of the deviations.
//
// Dense blocks are centred.  A pair is not one any more: with l = l0 + a and r = r0 + b, l0 and r0 the means of its
// sides,
//   l r^T - l0 r0^T = a r^T + l0 b^T = (a - c l0) r^T + l0 (c r + b)^T,   c = a . l0 / l0 . l0,
// whose two parts are orthogonal: a pair, and the dense block |l0| (c r + b).
template <class Real>
class CentredForGram {
 public:
  // `shares` are the weights over their sum, by which `mean` is the mean.
  CentredForGram(const ScoresView& scores, const Vector& mean, const Vector& shares, const Context& context);

  const ScoresView& view() const noexcept { return view_; }

 private:
  template <class View>
  void add_dense(const View& block, const double* mean, const Context& context);
  template <class View>
  void add_pair(const View& pair, const Vector& shares);
  MatrixView<const Real> keep(Buffer<Real>&& copy, Index rows, Index columns);

  std::vector<Buffer<Real>> memory_;
  std::vector<BlockView> blocks_;
  ScoresView view_;
};

}  // namespace fastfisher::detail
