#include "solvers/normal_system.hpp"

#include <algorithm>

#include "kernels/packed_operand.hpp"
#include "scores/centred.hpp"
#include "scores/rank_update.hpp"

namespace fastfisher::detail {

void NormalSystem::square_norms(Vector& norms) const {
  norms.resize(samples());
  if (mean_ == nullptr) {
    fastfisher::square_norms(scores_, norms.data(), context());
  } else {
    centred_square_norms(scores_, *mean_, norms.data(), context());
  }
}

void NormalSystem::multiply_transposed_centred(const Vector& u, Vector& y) const {
  transposed_product(scores_, weights_, total_weight_, *mean_, u, y, context());
}

// Computes u = S x and y = S^T diag(w) u, where the mean is subtracted from each factor.
void NormalSystem::apply_centred(const double* x, double* y, double* scores_times_x) const {
  Vector u, product;
  multiply(Vector(x, x + parameters()), u);
  if (scores_times_x != nullptr) std::copy(u.begin(), u.end(), scores_times_x);
  for (std::size_t n = 0; n < u.size(); ++n) u[n] *= weight(n);
  multiply_transposed(u, product);
  std::copy(product.begin(), product.end(), y);
}

template <class Real>
void NormalSystem::form_rows_product(Real* c) const {
  if (mean_ == nullptr) {
    fisher_product<Real>(scores_, weights_, Update::assign, c, context());
    return;
  }
  Vector roots(samples());
  for (std::size_t n = 0; n < roots.size(); ++n) roots[n] = std::sqrt(weight(n));
  const RowWriter<Real> write = [&](Index first, Index count, Real* rows) {
    centred_rows<Real>(scores_, *mean_, first, count, roots.data() + first, rows);
  };
  product_of_written_rows<Real>(rows(scores_), columns(scores_), write, c, context());
}

template <class Real>
void NormalSystem::form_dual(Real* k) const {
  if (mean_ == nullptr) {
    gram_product<Real>(scores_, weights_, k, context());
    return;
  }
  Vector shares(samples());
  for (std::size_t n = 0; n < shares.size(); ++n) shares[n] = weight(n) / total_weight_;
  const CentredForGram<Real> nearly(scores_, *mean_, shares, context());
  gram_product<Real>(nearly.view(), weights_, k, context());
  // What is left of the mean, m, goes by (s - m)^T (t - m) = s^T t - (s^T m - m^T m / 2) - (t^T m - m^T m / 2).
  Vector mean(static_cast<std::size_t>(columns(nearly.view()))), along(samples());
  rmatvec<double>(nearly.view(), shares.data(), mean.data(), context());
  matvec<double>(nearly.view(), mean.data(), along.data(), context());
  const double half_square = 0.5 * dot(mean, mean);
  for (double& value : along) value -= half_square;
  const Index size = rows(scores_);
  parallel_for(context(), thread_count(context()), size, [&](Index j, int) {
    const double root = std::sqrt(weight(static_cast<std::size_t>(j)));
    for (Index i = j; i < size; ++i) {
      const double share = std::sqrt(weight(static_cast<std::size_t>(i))) * root * (along[i] + along[j]);
      k[i + j * size] -= static_cast<Real>(share);
    }
  });
}

template void NormalSystem::form_rows_product<float>(float*) const;
template void NormalSystem::form_rows_product<double>(double*) const;
template void NormalSystem::form_dual<float>(float*) const;
template void NormalSystem::form_dual<double>(double*) const;

}  // namespace fastfisher::detail
