// Here are solutions with their residuals, and iterative refinement.
#pragma once

#include <limits>
#include <utility>

#include "solvers/linear_system.hpp"

namespace fastfisher::detail {

inline constexpr double double_rounding = std::numeric_limits<double>::epsilon();

// A solution of M x = b comes with the residual that belongs to it.
struct Solution {
  Vector x, residual_vector, scores_times_x;
  Vector dual;                                                // y with x = R^T y, where the dual was solved
  double residual = std::numeric_limits<double>::infinity();  // ||b - M x||, absolute
  Index refinements = 0;
};

inline void measure(const LinearSystem& system, const Vector& b, Solution& solution) {
  solution.residual = system.residual(b, solution.x, solution.residual_vector, &solution.scores_times_x);
}

// Refines a solution iteratively (LAPACK's DSPOSV): `correct` gives the next solution from one that has been measured.
// It goes on while the residual falls by `least_gain`, to where the rounding of the residual itself is met, and returns
// whether it got there, or as far as a float64 factor could.
template <class Correct>
bool refine(const LinearSystem& system, const Correct& correct, const Vector& b, double scale, double least_gain,
            int most, Solution& solution) {
  const auto at_rounding = [&] {
    return solution.residual <= 2.0 * double_rounding * norm(b) ||
           solution.residual <= 4.0 * double_rounding * scale * norm(solution.x);
  };
  for (int i = 0; i < most && !at_rounding(); ++i) {
    Solution better = correct(solution);
    measure(system, b, better);
    ++solution.refinements;
    if (!(better.residual < solution.residual)) return false;
    const double gain = solution.residual / better.residual;
    better.refinements = solution.refinements;
    solution = std::move(better);
    if (gain < least_gain) return at_rounding();
  }
  return at_rounding();
}

}  // namespace fastfisher::detail
