// These matrix kernels are under the natural step: symmetric rank-k products, products with vectors, Cholesky.
//
// Every function is deterministic: the same bits for any number of threads (at one SIMD level).  Symmetric matrices
// are n x n, column-major with stride n (so row-major as well), and only the lower triangle is meaningful unless said
// otherwise.  Real, float or double, is the precision of the arithmetic and of the result, whatever the scores' own.
#pragma once

#include "fastfisher/context.hpp"
#include "fastfisher/views.hpp"

namespace fastfisher {

// An update says what becomes of the old content of an output.
enum class Update { assign, add };

// Computes the unnormalised Fisher matrix, C (d x d) = or += S^T diag(w) S.
//   scores:  (N, d)
//   weights: (N,), non-negative, or null for ones
//   c:       d * d values, lower triangle
template <class Real>
void fisher_product(const ScoresView& scores, const double* weights, Update update, Real* c,
                    const Context& context = {});

// Computes the Gram matrix of the scores, K (N x N) = diag(sqrt w) S S^T diag(sqrt w).  Its parameters are as above; k
// has N * N values.
template <class Real>
void gram_product(const ScoresView& scores, const double* weights, Real* k, const Context& context = {});

// Computes u = S v.  v: (d,), u: (N,).
template <class Real>
void matvec(const ScoresView& scores, const Real* v, Real* u, const Context& context = {});

// Computes y = S^T u.  u: (N,), y: (d,).
template <class Real>
void rmatvec(const ScoresView& scores, const Real* u, Real* y, const Context& context = {});

// Computes y = S^T diag(w) (S v) in one pass over S.  v: (d,); w: (N,) or null; y: (d,); u: (N,) receives S v, or null.
template <class Real>
void fisher_matvec(const ScoresView& scores, const Real* weights, const Real* v, Real* u, Real* y,
                   const Context& context = {});

// Writes what factored blocks stand for, dense (N x d, C-ordered) = S.
template <class Real>
void to_dense(const ScoresView& scores, Real* dense, const Context& context = {});

// Computes norms[n] = ||s_n||^2, in double; norms: (N,).  A norm is not finite exactly where its row holds NaN or Inf,
// or a square overflows.
void square_norms(const ScoresView& scores, double* norms, const Context& context = {});

// Computes means[k] and sum_squares[k] = sum (s_nk - means[k])^2 of each column; zero where there are no rows.
void column_moments(const MatrixView<const double>& matrix, double* means, double* sum_squares);

// Returns the first row that holds a NaN or an infinity, or -1.
Index first_nonfinite_row(const ScoresView& scores, const Context& context = {});

// Factors A = L L^T in place: the lower triangle of `a` becomes L; what is above the diagonal is scratch.
// Returns -1, or the index of the first pivot that is not a positive finite number (`a` is then spoiled).
template <class Real>
Index cholesky(Index n, Real* a, const Context& context = {});

// Computes x <- (L L^T)^-1 x for one right-hand side, L as cholesky leaves it.
template <class Real>
void cholesky_solve(Index n, const Real* factor, Real* x, const Context& context = {});

// Copies the lower triangle onto the upper one, times `scale` (both).
template <class Real>
void mirror_lower(Index n, Real* a, Real scale, const Context& context = {});

// Measures the floating-point operations a second that one thread reaches on multiply-adds between registers, the
// ceiling of the kernels above at the active SIMD level.  Takes about `seconds`.
template <class Real>
double measure_peak_flops(double seconds);

}  // namespace fastfisher
