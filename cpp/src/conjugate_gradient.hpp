// The conjugate gradient method on a NormalSystem.
#pragma once

#include "normal_system.hpp"
#include "preconditioner.hpp"

namespace fastfisher::detail {

struct ConjugateGradientResult {
  Index iterations = 0;   // products with M, but for those that only measure the residual
  double residual = 0.0;  // ||b - M x|| / ||b||, measured
  Index runs = 0;         // runs of the recurrence, each from a measured residual
  bool converged = false;
  Vector residual_vector, scores_times_x;  // b - M x and S x, as measured
};

// x, on entry the start and on return the solution, with ||b - M x|| <= tolerance ||b||.
//
// Hestenes and Stiefel 1952.  The recursive residual drifts from the true one: when it says that x is good enough, the
// true one is measured, and the method restarts from it until that agrees or no longer falls.
// The preconditioner may be null.
template <class Real>
ConjugateGradientResult conjugate_gradient(const NormalSystem& system, const Vector& b,
                                           const Preconditioner* preconditioner, double tolerance, Index max_iterations,
                                           Vector& x);

}  // namespace fastfisher::detail
