// The linear system of a step is M x = b, with M = A + shift I and A positive semi-definite.  This interface is what a
// solver needs that asks for no rows.
#pragma once

#include "fastfisher/context.hpp"
#include "fastfisher/index.hpp"
#include "runtime/vector.hpp"

namespace fastfisher::detail {

class LinearSystem {
 public:
  LinearSystem(Index size, double shift, const Context& context) : size_(size), shift_(shift), context_(&context) {}
  LinearSystem(const LinearSystem&) = delete;
  LinearSystem& operator=(const LinearSystem&) = delete;
  virtual ~LinearSystem() = default;

  virtual std::size_t samples() const noexcept { return 0; }  // entries of S x; none where there are no rows
  std::size_t parameters() const noexcept { return static_cast<std::size_t>(size_); }
  double shift() const noexcept { return shift_; }
  const Context& context() const noexcept { return *context_; }

  // Computes y = M x, always in double: residuals are measured with it, whatever precision a factor has.
  // `scores_times_x`, if not null, receives S x where the system has rows, and is emptied where it has none.
  virtual void apply(const Vector& x, Vector& y, Vector* scores_times_x = nullptr) const = 0;

  // Writes the lower triangle of A, d x d.
  virtual void form_primal(float* c) const = 0;
  virtual void form_primal(double* c) const = 0;

  // Computes r = b - M x, and returns ||r||.
  virtual double residual(const Vector& b, const Vector& x, Vector& r, Vector* scores_times_x = nullptr) const {
    apply(x, r, scores_times_x);
    for (std::size_t k = 0; k < r.size(); ++k) r[k] = b[k] - r[k];
    return norm(r);
  }

 private:
  Index size_;
  double shift_;
  const Context* context_;
};

}  // namespace fastfisher::detail
