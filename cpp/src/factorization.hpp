// Direct solvers of a NormalSystem, behind one interface: factor once, solve many times.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "buffer.hpp"
#include "normal_system.hpp"

namespace fastfisher::detail {

class Factorization {
 public:
  virtual ~Factorization() = default;
  // x <- M^-1 x, to the accuracy of the factor.
  virtual void solve(Vector& x) const = 0;
};

// The unshifted matrix of a direct solver, kept from one damping to the next where several are asked for.
class MatrixCache {
 public:
  // Writes the lower triangle into `target`: by form(target) the first time, from the copy later.
  template <class Real>
  void form(Index n, const std::function<void(Real*)>& form, Real* target);

 private:
  Buffer<float> single_;
  Buffer<double> double_;
};

// Cholesky of M, d x d, in Real.  Where it breaks down, a reported jitter is added to the diagonal.  The cache may
// be null.
// Throws NotPositiveDefinite.
template <class Real>
std::unique_ptr<Factorization> factor_primal(const NormalSystem& system, MatrixCache* cache,
                                             std::vector<std::string>& notes);

// Cholesky of R R^T + shift I, N x N, with R = diag(sqrt w) S.  M^-1 follows from the Woodbury identity, which divides
// by the shift.
class DualFactorization : public Factorization {
 public:
  // y <- (R R^T + shift I)^-1 y, (N,).
  virtual void solve_dual(Vector& y) const = 0;
};

template <class Real>
std::unique_ptr<DualFactorization> factor_dual(const NormalSystem& system, MatrixCache* cache,
                                               std::vector<std::string>& notes);

}  // namespace fastfisher::detail
