// A matrix source says where the matrix of a direct solver comes from, and what may factor it.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "fastfisher/context.hpp"
#include "runtime/buffer.hpp"
#include "runtime/vector.hpp"

namespace fastfisher::detail {

// A former writes the lower triangle of an unshifted matrix, n x n, column-major.
template <class Real>
using Former = std::function<void(Real*)>;

// Returns the largest diagonal entry of an n x n matrix.
template <class Real>
double largest_diagonal(Index n, const Buffer<Real>& matrix) noexcept {
  double largest = 0.0;
  for (Index k = 0; k < n; ++k) largest = std::max(largest, static_cast<double>(matrix[k * (n + 1)]));
  return largest;
}

class SymmetricFactor {
 public:
  virtual ~SymmetricFactor() = default;
  virtual void solve(Vector& x) const = 0;  // x <- (A + shift I)^-1 x
};

// A factor that can be tried for one shift after another.
class ShiftedFactor : public SymmetricFactor {
 public:
  virtual bool factor(double shift) = 0;        // returns false where a pivot is not a positive finite number
  virtual double largest() const noexcept = 0;  // the largest diagonal entry of A, once there was a try
};

// A source has the matrix A of one solve, in Real.
template <class Real>
class MatrixSource {
 public:
  virtual ~MatrixSource() = default;
  virtual void write(Real* target) = 0;  // writes the lower triangle of A
  // Returns a factor that is cheaper than a Cholesky factor of A would be, or null where there is none.
  virtual std::unique_ptr<ShiftedFactor> cheaper_factor() { return nullptr; }
};

template <class Real>
class FormedMatrix final : public MatrixSource<Real> {
 public:
  explicit FormedMatrix(Former<Real> form) : form_(std::move(form)) {}
  void write(Real* target) override { form_(target); }

 private:
  Former<Real> form_;
};

// A provider gives sources of the same matrix to several solves, and may keep what one of them made.
class MatrixProvider {
 public:
  virtual ~MatrixProvider() = default;
  virtual std::unique_ptr<MatrixSource<float>> source(Index n, Former<float> form, const Context& context) = 0;
  virtual std::unique_ptr<MatrixSource<double>> source(Index n, Former<double> form, const Context& context) = 0;
};

}  // namespace fastfisher::detail
