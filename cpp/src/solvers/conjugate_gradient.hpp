// The conjugate gradient method on a linear system.
#pragma once

#include <functional>
#include <limits>

#include "solvers/carried.hpp"
#include "solvers/linear_system.hpp"
#include "solvers/preconditioner.hpp"

namespace fastfisher::detail {

struct ConjugateGradientResult {
  Index iterations = 0;   // products with M, but for those that only measure the residual
  double residual = 0.0;  // ||b - M x|| / ||b||, measured
  Index runs = 0;         // of the recurrence, each from a measured residual
  bool converged = false;
  bool given_up = false;                   // because go_on said so
  Vector residual_vector, scores_times_x;  // b - M x and S x, as measured
};

// A product computes y = M p, in the arithmetic that the recurrence is to have; of a carried p a carried y.
using Product = std::function<void(const Vector& p, Vector& y)>;

struct ConjugateGradientOptions {
  double tolerance = 1e-8;
  Index max_iterations = 0;
  // The true residual is measured where the recurrence has brought its own down by this factor ...
  double trust = std::numeric_limits<double>::epsilon();
  // ... and the method stops where that has not brought the true one down by this.
  double least_gain = 2.0;
  // The rounding of p^T M p over ||p||^2.  M is zero along a p whose curvature is below it, and a step along that has
  // no end.
  double least_curvature = 0.0;
  // An x whose residual is above this many times the least one that was met on the way is given up for that one, where
  // neither the tolerance nor go_on has ended the method.
  double most_rise = 1.0;
  // It is asked after each iteration, with the residual of the recurrence over ||b||.  It may be empty.
  std::function<bool(Index iterations, double residual)> go_on;
  // Measures r = b - M x and S x of an x that may be carried, and returns ||r||; empty: the system's, in double.
  std::function<double(const Vector& b, const Vector& x, Vector& r, Vector& scores_times_x)> residual;
  const Carrier* carrier = nullptr;  // of x with its sample weights (carried.hpp); null: x is not carried
};

// Solves M x = b to ||b - M x|| <= tolerance ||b||, or as far as it gets; x is the start on entry and the solution on
// return.
//
// Hestenes and Stiefel 1952.  The recursive residual drifts from the true one: when it says that x is good enough, the
// true one is measured, and the method restarts from it until that agrees or no longer falls.
// Residuals are measured with the system's product, in double, unless the options have another.  The preconditioner may
// be null.
ConjugateGradientResult conjugate_gradient(const LinearSystem& system, const Product& product, const Vector& b,
                                           const Preconditioner* preconditioner,
                                           const ConjugateGradientOptions& options, Vector& x);

}  // namespace fastfisher::detail
