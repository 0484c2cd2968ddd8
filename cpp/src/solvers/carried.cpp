#include "solvers/carried.hpp"

namespace fastfisher::detail {

void Carrier::multiply(const Vector& v, Vector& y) const {
  const std::size_t size = system_->parameters();
  y.resize(size + system_->samples());
  system_->apply(v.data(), y.data(), y.data() + size);
  finish_product(*system_, v, y);
}

void Carrier::extend_residual(const Vector& x, const Vector& scores_times_x, Vector& r) const {
  const std::size_t size = system_->parameters();
  r.resize(size + system_->samples());
  for (std::size_t n = 0; n < system_->samples(); ++n) {
    r[size + n] = system_->weight(n) * ((*targets_)[n] - scores_times_x[n]) - system_->shift() * x[size + n];
  }
}

}  // namespace fastfisher::detail
