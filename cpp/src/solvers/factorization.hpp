// Direct solvers of a linear system stand behind one interface: factor once, solve many times.
#pragma once

#include <memory>

#include "factor/symmetric_factor.hpp"
#include "solvers/normal_system.hpp"

namespace fastfisher::detail {

class Factorization {
 public:
  virtual ~Factorization() = default;
  // Computes x <- M^-1 x, to the accuracy of the factor.
  virtual void solve(Vector& x) const = 0;
};

// The options say how a factor is made: by which rungs, and, if the provider is not null, from matrices that other
// solves share.
struct FactorOptions {
  LastRung last = LastRung::clamp;
  MatrixProvider* provider = nullptr;
};

// Factors M, d x d, in Real, by the ladder of symmetric_factor.hpp as far as its last rung; returns null where that is
// not enough.
template <class Real>
std::unique_ptr<Factorization> factor_primal(const LinearSystem& system, const FactorOptions& options,
                                             FactorReport& report);

// The dual factors R R^T + shift I, N x N, with R = diag(sqrt w) S.  M^-1 follows from the Woodbury identity, which
// divides by the shift.
class DualFactorization : public Factorization {
 public:
  // Computes y <- (R R^T + shift I)^-1 y, (N,).
  virtual void solve_dual(Vector& y) const = 0;
};

template <class Real>
std::unique_ptr<DualFactorization> factor_dual(const NormalSystem& system, const FactorOptions& options,
                                               FactorReport& report);

}  // namespace fastfisher::detail
