// A preconditioner is an approximate inverse of M = S^T diag(w) S + shift I, from a sample of the rows.
#pragma once

#include <memory>
#include <string>

#include "solvers/normal_system.hpp"

namespace fastfisher::detail {

// M is approached by P = R^T R + looser shift I, R a few thousand rows drawn in proportion to their norms and weighted
// so that R^T R estimates S^T diag(w) S; P^-1 costs two products with R and a solve with its Gram matrix (Woodbury).
//
// It was chosen by measurement, on batches of a 17-64-64-6 policy on HalfCheetah (N = 50,000, lambda = 1e-4, to 1e-8):
// plain CG has gained two digits after 400 iterations; rank-1,024 Nystrom needs 108 and costs 1,024 products to make;
// blocks of Kronecker factors (also with rescaled eigenvalues) stall at 5e-5; this takes 30 to 60, by the number of
// rows.
class Preconditioner {
 public:
  virtual ~Preconditioner() = default;
  // Computes z = P^-1 r, for a carried r (carried.hpp) a carried z.
  virtual void apply(const Vector& r, Vector& z) const = 0;
  virtual Index rows() const noexcept = 0;  // of the sample
};

// Makes one from `rows` rows; returns null where the sample's matrix has no Cholesky factor.
std::unique_ptr<Preconditioner> sample_preconditioner(const NormalSystem& system, Index rows);

}  // namespace fastfisher::detail
