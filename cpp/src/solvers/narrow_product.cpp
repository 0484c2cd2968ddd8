#include "solvers/narrow_product.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "scores/wide_sums.hpp"
#include "solvers/carried.hpp"

namespace fastfisher::detail {

NarrowProduct::NarrowProduct(const NormalSystem& system)
    : system_(&system),
      scores_(system.scores(), system.mean(), system.context()),
      x_(system.parameters()),
      y_(system.parameters()) {
  if (system.weights() != nullptr) weights_.assign(system.weights(), system.weights() + system.samples());
}

void NarrowProduct::operator()(const Vector& x, Vector& y) {
  const std::size_t size = x_.size();
  const bool carried = x.size() > size;
  std::copy_n(x.begin(), size, x_.begin());
  const double sum = multiply(x, carried ? y.data() + size : nullptr);
  std::copy(y_.begin(), y_.end(), y.begin());
  const Vector* mean = scores_.mean();
  for (std::size_t k = 0; mean != nullptr && k < size; ++k) y[k] -= sum * (*mean)[k];
  for (std::size_t k = 0; k < size; ++k) y[k] += system_->shift() * x[k];
  if (carried) finish_product(*system_, x, y);
}

double NarrowProduct::residual(double trace, double most_rounding, const Vector& b, const Vector& x, Vector& r,
                               Vector& scores_times_x) {
  constexpr double rounding = std::numeric_limits<float>::epsilon() / 2.0;
  const std::size_t size = x_.size();
  if (rounding * trace * norm(std::span(x).first(size)) <= most_rounding * norm(b)) {
    std::copy_n(x.begin(), size, x_.begin());
    products_.resize(system_->samples());
    r.resize(size);
    fisher_matvec_to_double(scores_.view(), weights_.empty() ? nullptr : weights_.data(), x_.data(), products_.data(),
                            r.data(), system_->context());
    scores_times_x.assign(products_.begin(), products_.end());
    for (std::size_t k = 0; k < size; ++k) r[k] = b[k] - (r[k] + system_->shift() * x[k]);
    if (const double length = norm(r); std::isfinite(length)) return length;
  }
  return system_->residual(b, x, r, &scores_times_x);
}

// Computes y_ = S^T u with u = diag(w) (S - 1 m^T) x, and returns the sum of u: the mean times that sum is still to be
// subtracted from y_.  `scores_times_x`, if not null, receives (S - 1 m^T) x.
double NarrowProduct::multiply(const Vector& x, double* scores_times_x) {
  const float* weights = weights_.empty() ? nullptr : weights_.data();
  const Vector* mean = scores_.mean();
  if (mean == nullptr) {
    float* products = nullptr;
    if (scores_times_x != nullptr) {
      products_.resize(system_->samples());
      products = products_.data();
    }
    fisher_matvec<float>(scores_.view(), weights, x_.data(), products, y_.data(), system_->context());
    if (products != nullptr) std::copy(products_.begin(), products_.end(), scores_times_x);
    return 0.0;
  }
  std::vector<float> u(system_->samples());
  matvec<float>(scores_.view(), x_.data(), u.data(), system_->context());
  const double along = dot(*mean, x);
  double sum = 0.0;
  for (std::size_t n = 0; n < u.size(); ++n) {
    const double product = static_cast<double>(u[n]) - along;
    if (scores_times_x != nullptr) scores_times_x[n] = product;
    u[n] = static_cast<float>(system_->weight(n) * product);
    sum += static_cast<double>(u[n]);
  }
  rmatvec<float>(scores_.view(), u.data(), y_.data(), system_->context());
  return sum;
}

}  // namespace fastfisher::detail
