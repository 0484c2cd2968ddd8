#include "solvers/narrow_product.hpp"

#include <algorithm>

namespace fastfisher::detail {

NarrowProduct::NarrowProduct(const NormalSystem& system)
    : system_(&system),
      scores_(system.scores(), system.mean(), system.context()),
      x_(system.parameters()),
      y_(system.parameters()) {
  if (system.weights() != nullptr) weights_.assign(system.weights(), system.weights() + system.samples());
}

void NarrowProduct::operator()(const Vector& x, Vector& y) {
  std::copy(x.begin(), x.end(), x_.begin());
  const double sum = multiply(x);
  std::copy(y_.begin(), y_.end(), y.begin());
  const Vector* mean = scores_.mean();
  for (std::size_t k = 0; mean != nullptr && k < y.size(); ++k) y[k] -= sum * (*mean)[k];
  for (std::size_t k = 0; k < x.size(); ++k) y[k] += system_->shift() * x[k];
}

// Computes y_ = S^T u with u = diag(w) (S - 1 m^T) x, and returns the sum of u: the mean times that sum is still to be
// subtracted from y_.
double NarrowProduct::multiply(const Vector& x) {
  const float* weights = weights_.empty() ? nullptr : weights_.data();
  const Vector* mean = scores_.mean();
  if (mean == nullptr) {
    fisher_matvec<float>(scores_.view(), weights, x_.data(), nullptr, y_.data(), system_->context());
    return 0.0;
  }
  std::vector<float> u(system_->samples());
  matvec<float>(scores_.view(), x_.data(), u.data(), system_->context());
  const double along = dot(*mean, x);
  double sum = 0.0;
  for (std::size_t n = 0; n < u.size(); ++n) {
    u[n] = static_cast<float>(system_->weight(n) * (static_cast<double>(u[n]) - along));
    sum += static_cast<double>(u[n]);
  }
  rmatvec<float>(scores_.view(), u.data(), y_.data(), system_->context());
  return sum;
}

}  // namespace fastfisher::detail
