// The workspace is the system of one step as attempts see it: none of them changes it.
#pragma once

#include <algorithm>
#include <optional>

#include "fastfisher/step_types.hpp"
#include "solvers/factorization.hpp"
#include "solvers/normal_system.hpp"

namespace fastfisher::detail {

// Later right-hand sides of the same system use this factor again.
struct KeptFactor {
  Solver solver = Solver::automatic;
  Precision precision = Precision::automatic;
  std::unique_ptr<Factorization> factor;
  FactorReport report;
};

// The system is M x = b, in the units of problem.hpp.
struct Workspace {
  const LinearSystem* system = nullptr;
  const NormalSystem* rows = nullptr;  // the same system, with its rows; null where only their sum is kept
  Vector b;
  Vector targets;  // a, (N,), with S^T diag(w) a = b, where advantages were given; else empty
  Vector start;    // x, (d,), from which CG and LSMR begin

  Index samples = 0, parameters = 0;
  double trace = 0.0;          // tr(F)
  double matrix_trace = 0.0;   // tr(M) without its shift
  double product_scale = 0.0;  // the rounding of a product with M is measured by it
  double matrix_scale = 1.0;   // of M, beside the divisor of F

  // These are the options that solvers go by.
  double tolerance = 1e-8;
  std::optional<Index> max_iterations;
  double measured_rounding = 0.0;  // of residuals in single precision, over ||b||; zero: they are in double
  bool precondition = true;
  bool sample_weights = false;  // are to be found

  // Solves share what they find through these, each of which may be null: the matrices of several dampings, a factor of
  // several right-hand sides, and the largest eigenvalue of M over its matrix_scale, once it has been estimated.
  MatrixProvider* matrices = nullptr;
  KeptFactor* kept = nullptr;
  std::optional<double>* largest_eigenvalue = nullptr;

  Index ordinary_cap() const noexcept { return std::min<Index>(10 * std::min(samples, parameters) + 100, 10000); }
  Index iteration_cap() const noexcept { return max_iterations.value_or(ordinary_cap()); }
  // Fewer iterations than the ordinary ones were asked for, and so less accuracy.
  bool truncated() const noexcept { return iteration_cap() < ordinary_cap(); }
};

}  // namespace fastfisher::detail
