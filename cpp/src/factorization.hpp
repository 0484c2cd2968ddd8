// Direct solvers of a NormalSystem, behind one interface: factor once, solve many times.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "normal_system.hpp"

namespace fastfisher::detail {

class Factorization {
 public:
  virtual ~Factorization() = default;
  // x <- M^-1 x, to the accuracy of the factor.
  virtual void solve(Vector& x) const = 0;
};

// Cholesky of M, d x d, in Real.  Where it breaks down, a reported jitter is added to the diagonal.
// Throws NotPositiveDefinite.
template <class Real>
std::unique_ptr<Factorization> factor_primal(const NormalSystem& system, std::vector<std::string>& notes);

// Cholesky of R R^T + shift I, N x N, with R = diag(sqrt w) S.  M^-1 follows from the Woodbury identity, which divides
// by the shift.
class DualFactorization : public Factorization {
 public:
  // y <- (R R^T + shift I)^-1 y, (N,).
  virtual void solve_dual(Vector& y) const = 0;
};

template <class Real>
std::unique_ptr<DualFactorization> factor_dual(const NormalSystem& system, std::vector<std::string>& notes);

}  // namespace fastfisher::detail
