// Regression on polynomial features of observation and time needs sums and products of features that are never all in
// memory: a value function that is linear in them takes these for its fit and for its values.
#pragma once

#include <cstdint>

#include "fastfisher/context.hpp"
#include "fastfisher/views.hpp"

namespace fastfisher {

// Row n is [1, s, s^2, s^3, s^4, x, (x_i x_j for i <= j)], where s is times[n] / time_unit and x the observation, less
// `shift` and over `scale`, clipped at 5 and divided by that.
struct ValueFeatures {
  MatrixView<const double> observations;  // (N, D)
  const std::int64_t* times = nullptr;    // (N,)
  const double* shift = nullptr;          // (D,)
  const double* scale = nullptr;          // (D,)
  bool products = true;                   // false: the rows end with x
  double time_unit = 1000.0;              // > 0, the length of an episode

  Index rows() const noexcept { return observations.rows; }
  Index columns() const noexcept {
    const Index size = observations.columns;
    return 5 + size + (products ? size * (size + 1) / 2 : 0);
  }
};

// Computes c ((d + 1) x (d + 1), lower triangle) = [X y]^T [X y]: with X^T X also X^T y, in the last row.  y: (N,).
void regression_product(const ValueFeatures& features, const double* y, double* c, const Context& context = {});

// Writes x (N x d, a row after the other) = X, which a problem of fewer rows than features has room for.
void to_dense(const ValueFeatures& features, double* x, const Context& context = {});

// Computes u = X v.  v: (d,), u: (N,).
void matvec(const ValueFeatures& features, const double* v, double* u, const Context& context = {});

}  // namespace fastfisher
