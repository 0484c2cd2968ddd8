#include "step/step_rule.hpp"

#include <cmath>
#include <stdexcept>
#include <utility>

namespace fastfisher::detail {
namespace {

[[noreturn]] void out_of_range() {
  throw std::overflow_error("the step leaves the range of float64; increase damping or rescale scores or advantages");
}

// Returns length^2 x'^T M x' / (2 system_scale).  The factors may be further apart than float64 reaches, so that their
// exponents are added up apart.
double half_square(double length, const Units& units, const Along& along) {
  int of_length = 0, of_scale = 0, of_curvature = 0;
  const double part = std::frexp(length, &of_length), scale = std::frexp(units.system_scale, &of_scale);
  const double curvature = std::frexp(along.curvature, &of_curvature);
  const int exponent = 2 * (of_length + std::ilogb(along.curvature_unit)) - of_scale + of_curvature;
  return std::ldexp(0.5 * (part / scale) * (part * curvature), exponent);
}

}  // namespace

Vector scaled(Vector values, double factor) {
  for (double& value : values) {
    value *= factor;
    if (!std::isfinite(value)) out_of_range();
  }
  return values;
}

void scale_to_kl(const Vector& solution, const Units& units, const Along& along, std::optional<double> max_kl,
                 NaturalStep& result) {
  double length = units.solution_scale;  // of the step, in units of x'
  if (max_kl.has_value()) {
    const double square = along.momentum ? along.curvature : along.slope;
    length = square > 0.0 ? std::sqrt(2.0 * *max_kl * units.system_scale / square) : 0.0;
    if (along.momentum) length /= along.curvature_unit;
    if (length == 0.0 && !along.zero) {
      result.events.push_back({EventCode::no_step_length, result.solver, {along.momentum ? 1.0 : 0.0}});
    }
  }
  result.step_size = length / units.solution_scale;
  result.predicted_kl = half_square(length, units, along);
  result.predicted_improvement = length * along.slope * along.slope_unit;
  result.direction = scaled(solution, units.solution_scale);
  result.step = scaled(result.direction, result.step_size);
  for (const double value : {result.step_size, result.predicted_kl, result.predicted_improvement}) {
    if (!std::isfinite(value)) out_of_range();
  }
  constexpr double slack = 1.01;  // x^T F x <= g^T x but for rounding
  if (max_kl.has_value() && result.predicted_kl > slack * *max_kl) {
    result.events.push_back({EventCode::kl_exceeded, result.solver, {result.predicted_kl, *max_kl}});
  }
}

std::optional<Event> judge(const Workspace& workspace, const Outcome& outcome, double residual, bool second_pass) {
  const double trusted = trusted_residual(workspace, outcome);
  if (residual <= trusted) return std::nullopt;
  const auto flag = [](bool value) { return value ? 1.0 : 0.0; };
  const bool cut = outcome.ending == Ending::cut, single = outcome.precision == Precision::single_precision;
  return Event{EventCode::untrusted, outcome.solver, {residual, trusted, flag(second_pass), flag(cut), flag(single)}};
}

NaturalStep told(NaturalStep&& result) {
  for (const Event& event : result.events) result.notes.push_back(sentence(event));
  return std::move(result);
}

}  // namespace fastfisher::detail
