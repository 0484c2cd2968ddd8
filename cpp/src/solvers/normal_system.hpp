// The linear system of the natural step is, unnormalised, M x = b with M = S^T diag(w) S + shift I,
// shift = count * lambda, b = count * g.  With a mean score m, S stands for S - 1 m^T throughout.  That is a correction
// of rank one to S^T diag(w) S too, but as such it would cancel twice the digits: m is subtracted from each product
// with S or S^T by itself.  Products are taken from the scores.
#pragma once

#include <cmath>

#include "fastfisher/linalg.hpp"
#include "solvers/linear_system.hpp"

namespace fastfisher::detail {

class NormalSystem final : public LinearSystem {
 public:
  // `mean` is the mean score to subtract, (d,), or null.  All pointers must outlive the system.
  NormalSystem(const ScoresView& scores, const double* weights, double shift, const Vector* mean,
               const Context& context)
      : LinearSystem(columns(scores), shift, context), scores_(scores), weights_(weights), mean_(mean) {
    if (mean_ == nullptr) return;
    for (std::size_t n = 0; n < samples(); ++n) total_weight_ += weight(n);
  }

  const ScoresView& scores() const noexcept { return scores_; }  // not centred
  const double* weights() const noexcept { return weights_; }
  double weight(std::size_t n) const noexcept { return weights_ == nullptr ? 1.0 : weights_[n]; }
  bool centred() const noexcept { return mean_ != nullptr; }
  const Vector* mean() const noexcept { return mean_; }
  double total_weight() const noexcept { return total_weight_; }  // zero unless the system is centred
  std::size_t samples() const noexcept override { return static_cast<std::size_t>(rows(scores_)); }

  // Computes u = S v.
  void multiply(const Vector& v, Vector& u) const {
    u.resize(samples());
    matvec<double>(scores_, v.data(), u.data(), context());
    if (mean_ == nullptr) return;
    const double along = dot(*mean_, v);
    for (double& value : u) value -= along;
  }

  // Computes y = S^T u.
  void multiply_transposed(const Vector& u, Vector& y) const {
    y.resize(parameters());
    if (mean_ != nullptr) return multiply_transposed_centred(u, y);
    rmatvec<double>(scores_, u.data(), y.data(), context());
  }

  // Writes norms[n] = ||s_n||^2.
  void square_norms(Vector& norms) const;

  void apply(const Vector& x, Vector& y, Vector* scores_times_x = nullptr) const override {
    y.resize(parameters());
    if (scores_times_x != nullptr) scores_times_x->resize(samples());
    apply(x.data(), y.data(), scores_times_x == nullptr ? nullptr : scores_times_x->data());
  }
  // The same on plain memory, (d,) and (N,).
  void apply(const double* x, double* y, double* scores_times_x) const {
    if (mean_ != nullptr) {
      apply_centred(x, y, scores_times_x);
    } else {
      fisher_matvec<double>(scores_, weights_, x, scores_times_x, y, context());
    }
    for (std::size_t k = 0; k < parameters(); ++k) y[k] += shift() * x[k];
  }

  void form_primal(float* c) const override { form_rows_product(c); }
  void form_primal(double* c) const override { form_rows_product(c); }

  // Writes the lower triangle of diag(sqrt w) S S^T diag(sqrt w), N x N.
  template <class Real>
  void form_dual(Real* k) const;

 private:
  void multiply_transposed_centred(const Vector& u, Vector& y) const;
  void apply_centred(const double* x, double* y, double* scores_times_x) const;
  template <class Real>
  void form_rows_product(Real* c) const;

  ScoresView scores_;
  const double* weights_;
  const Vector* mean_;
  double total_weight_ = 0.0;
};

}  // namespace fastfisher::detail
