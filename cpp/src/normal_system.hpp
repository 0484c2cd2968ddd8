// The linear system of the natural step, unnormalised: M x = b with M = S^T diag(w) S + shift I,
// shift = count * lambda, b = count * g.  Products are taken from the scores, always in double: this is what residuals
// are measured with, whatever precision a factor has.
#pragma once

#include <cmath>
#include <vector>

#include "fastfisher/linalg.hpp"

namespace fastfisher::detail {

using Vector = std::vector<double>;

inline double dot(const Vector& a, const Vector& b) noexcept {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// Scaled by the largest entry, so that neither a square nor their sum leaves the range of double.
inline double norm(const Vector& a) noexcept {
  double largest = 0.0;
  for (const double value : a) largest = std::fmax(largest, std::fabs(value));
  if (largest == 0.0 || !std::isfinite(largest)) return largest;
  double sum = 0.0;
  for (const double value : a) sum += (value / largest) * (value / largest);
  return largest * std::sqrt(sum);
}

class NormalSystem {
 public:
  NormalSystem(const ScoresView& scores, const double* weights, double shift, const Context& context)
      : scores_(scores), weights_(weights), shift_(shift), context_(&context) {}

  const ScoresView& scores() const noexcept { return scores_; }
  const double* weights() const noexcept { return weights_; }
  double weight(std::size_t n) const noexcept { return weights_ == nullptr ? 1.0 : weights_[n]; }
  double shift() const noexcept { return shift_; }
  const Context& context() const noexcept { return *context_; }
  std::size_t samples() const noexcept { return static_cast<std::size_t>(rows(scores_)); }
  std::size_t parameters() const noexcept { return static_cast<std::size_t>(columns(scores_)); }

  // y = M x; `scores_times_x`, if not null, receives S x.
  void apply(const Vector& x, Vector& y, Vector* scores_times_x = nullptr) const {
    y.resize(parameters());
    if (scores_times_x != nullptr) scores_times_x->resize(samples());
    fisher_matvec<double>(scores_, weights_, x.data(), scores_times_x == nullptr ? nullptr : scores_times_x->data(),
                          y.data(), *context_);
    for (std::size_t k = 0; k < y.size(); ++k) y[k] += shift_ * x[k];
  }

  // r = b - M x; returns ||r||.
  double residual(const Vector& b, const Vector& x, Vector& r, Vector* scores_times_x = nullptr) const {
    apply(x, r, scores_times_x);
    for (std::size_t k = 0; k < r.size(); ++k) r[k] = b[k] - r[k];
    return norm(r);
  }

 private:
  ScoresView scores_;
  const double* weights_;
  double shift_;
  const Context* context_;
};

}  // namespace fastfisher::detail
