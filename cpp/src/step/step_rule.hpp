// The step rule leads from a solution of the linear system to the step.
#pragma once

#include <optional>

#include "step/ladder.hpp"

namespace fastfisher::detail {

// x' stands for x = solution_scale x', and M for system_scale (F + lambda I).
struct Units {
  double solution_scale = 1.0;
  double system_scale = 1.0;
};

// Returns values * factor.  Throws std::overflow_error where that leaves the range of double.
Vector scaled(Vector values, double factor);

// The step rule goes by these properties of x'.
struct Along {
  double slope = 0.0;           // g^T x' / slope_unit
  double curvature = 0.0;       // x'^T M x' without the shift, / curvature_unit^2
  bool momentum = false;        // x' is not M^-1 b, so that its own curvature scales it
  bool zero = false;            // both b and x' are zero
  double slope_unit = 1.0;      // a power of two; without momentum that of b
  double curvature_unit = 1.0;  // a power of two, so that no square underflows
};

// Fills step, direction, step_size, predicted_kl and predicted_improvement in, and tells where no length gives the KL.
//
// KL(alpha x) ~ alpha^2 x^T F x / 2, and x^T F x = g^T x but for the damping, so alpha = sqrt(2 max_kl / g^T x).  The
// paper's delta is 2 max_kl (its equation 5).
//
// Throws std::overflow_error where the step leaves the range of double.
void scale_to_kl(const Vector& solution, const Units& units, const Along& along, std::optional<double> max_kl,
                 NaturalStep& result);

// The event that a residual is above what can be relied on, by one rule for every solver, or none.  `second_pass`: the
// residual may be of other rows than those that were solved for.
std::optional<Event> judge(const Workspace& workspace, const Outcome& outcome, double residual, bool second_pass);

// Renders the notes, which is the last thing to be done to a result.
NaturalStep told(NaturalStep&& result);

}  // namespace fastfisher::detail
