// This ladder leads to (A + shift I)^-1 for a positive semi-definite matrix A that rounding may have made indefinite.
//
//   1. Cholesky, which cannot break down where the shift is at least guaranteed_shift();
//   2. Cholesky with a jitter on the diagonal, of the size of rounding, reported;
//   3. the eigendecomposition, with eigenvalues below the rounding bound raised to it, reported;
//   4. none.
#pragma once

#include <memory>

#include "factor/matrix_source.hpp"

namespace fastfisher::detail {

enum class LastRung { jitter, clamp };

// The report says which rung the factor is from; it is all zero where that is the first.
struct FactorReport {
  bool reduced_to_band = false;
  double relative_jitter = 0.0;  // over the largest diagonal entry
  Index raised = 0, size = 0;    // eigenvalues that were raised, of how many
  double relative_bound = 0.0;   // what they were raised to, over the largest

  bool exact() const noexcept { return relative_jitter == 0.0 && size == 0; }
};

// Factors A + shift I, n x n, in Real; returns null where the last rung is not enough.
template <class Real>
std::unique_ptr<SymmetricFactor> factor_symmetric(Index n, double shift, MatrixSource<Real>& matrix, LastRung last,
                                                  const Context& context, FactorReport& report);

// Beyond so many rows the eigendecomposition is not tried: its reduction is bound by memory, and takes minutes there.
inline constexpr Index most_clamped = 4096;

// Returns the shift from which on the Cholesky factorisation of S^T S + shift I, formed and factored with this rounding
// unit, cannot break down: 11 (depth n + n (n + 1)) u ||S||_2^2, for n rows and entries that are sums of `depth`
// products.
//
// Fukaya, Kannan, Nakatsukasa, Yamamoto and Yanagisawa, "Shifted Cholesky QR for computing the QR factorization of
// ill-conditioned matrices", SIAM J. Sci. Comput. 42(1), 2020, section 3.
double guaranteed_shift(double depth, double n, double rounding_unit, double square_norm) noexcept;

}  // namespace fastfisher::detail
