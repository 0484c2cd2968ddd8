// The system of one step as attempts at it see it: none of them changes it.
#pragma once

#include <algorithm>
#include <optional>

#include "fastfisher/step_types.hpp"
#include "solvers/factorization.hpp"
#include "solvers/normal_system.hpp"

namespace fastfisher::detail {

// A factor that later right-hand sides of the same system use again.
struct KeptFactor {
  Solver solver = Solver::automatic;
  Precision precision = Precision::automatic;
  std::unique_ptr<Factorization> factor;
  FactorReport report;
};

// M x = b, in the units of problem.hpp.
struct Workspace {
  const LinearSystem* system = nullptr;
  const NormalSystem* rows = nullptr;  // the same system with its rows; null where only their sum is kept
  Vector b;
  Vector targets;  // a, (N,), with S^T diag(w) a = b, where advantages were given; else empty
  Vector start;    // x, (d,): where CG and LSMR begin

  Index samples = 0, parameters = 0;
  double trace = 0.0;          // tr(F)
  double matrix_trace = 0.0;   // tr(M) without its shift
  double product_scale = 0.0;  // what the rounding of a product with M is measured by
  double matrix_scale = 1.0;   // of M, beside the divisor of F

  // Of the options.
  double tolerance = 1e-8;
  std::optional<Index> max_iterations;
  bool precondition = true;

  // Where solves share what they find: matrices of several dampings, a factor of several right-hand sides, and the
  // largest eigenvalue of M over its matrix_scale, once estimated.  Each may be null.
  MatrixProvider* matrices = nullptr;
  KeptFactor* kept = nullptr;
  std::optional<double>* largest_eigenvalue = nullptr;

  Index iteration_cap() const noexcept {
    return max_iterations.value_or(std::min<Index>(10 * std::min(samples, parameters) + 100, 10000));
  }
};

}  // namespace fastfisher::detail
