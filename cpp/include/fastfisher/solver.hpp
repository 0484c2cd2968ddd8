// The solvers and the precisions of a step, and their names.
#pragma once

#include <span>
#include <string_view>

namespace fastfisher {

enum class Solver {
  automatic,           // the cheapest that fits in memory, by a model of what each costs
  cholesky,            // factors F + lambda I, d x d
  gram,                // factors S S^T / N + lambda I, N x N
  conjugate_gradient,  // products with F only
  lsmr,                // products with S and S^T only: conjugate gradients for an ill-conditioned F
};

enum class Precision {
  automatic,  // mixed where it pays and the condition allows it, else double
  single_precision,
  double_precision,
  mixed,  // factor in single, residual and refinement in double
};

std::string_view name(Solver solver) noexcept;
std::string_view name(Precision precision) noexcept;

// These return all of them, the automatic ones first.
std::span<const Solver> solvers() noexcept;
std::span<const Precision> precisions() noexcept;

}  // namespace fastfisher
