#include "step/plan.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "step/solver_table.hpp"

namespace fastfisher::detail {
namespace {

// Products in single precision carry CG a few digits from each true residual while the condition number is well below
// 1 / eps; a bound on it by the trace is loose, but a wrong guess costs iterations only.
constexpr double most_condition_of_mixed = 1e7;

// Estimates the largest eigenvalue of M to a few per cent, by power iterations.
double largest_eigenvalue(const Workspace& workspace) {
  Vector v = workspace.b, product;
  double eigenvalue = 0.0;
  constexpr int iterations = 8;
  for (int i = 0; i < iterations; ++i) {
    const double length = norm(v);
    if (length == 0.0) break;
    for (double& value : v) value /= length;
    workspace.system->apply(v, product);
    eigenvalue = norm(product);
    v.swap(product);
  }
  return eigenvalue;
}

// Scores whose squares had to be brought into range leave single's range on the way.
bool mixed_products_may_work(const Workspace& workspace, const SolveShape& shape) noexcept {
  return shape.condition_bound <= most_condition_of_mixed && workspace.matrix_scale == 1.0;
}

// A single-precision factor carries refinement only while the condition number is well below 1 / eps.  The trace
// bounds the largest eigenvalue; where that is not enough to tell, a few power iterations estimate it.
bool mixed_may_work(const Workspace& workspace, const SolveShape& shape) {
  const double shift = workspace.system->shift();
  if (!(shift > 0.0)) return false;
  constexpr double surely = 1e6, most = 5e6;
  if (shape.condition_bound <= surely) return true;
  std::optional<double> own;
  std::optional<double>& known = workspace.largest_eigenvalue == nullptr ? own : *workspace.largest_eigenvalue;
  if (!known.has_value()) known = largest_eigenvalue(workspace) / workspace.matrix_scale;
  return *known * workspace.matrix_scale / shift <= most;
}

// Single-precision factors pay from a few hundred rows on, where the time is in the factorisation; products from where
// it is in the arithmetic or in reading the scores.
Precision settled(const Workspace& workspace, const SolveShape& shape, Solver solver) {
  if (row_of(solver).iterative) {
    constexpr double least_values = 1e5;
    const bool pays = workspace.rows != nullptr && shape.samples * shape.row_values >= least_values;
    const bool works = solver != Solver::lsmr && mixed_products_may_work(workspace, shape);
    return pays && works ? Precision::mixed : Precision::double_precision;
  }
  const double side = solver == Solver::gram ? shape.samples : shape.parameters;
  constexpr double least_side = 512.0;
  const bool pays = side >= least_side;
  return pays && mixed_may_work(workspace, shape) ? Precision::mixed : Precision::double_precision;
}

// Returns the precision that was asked for, or double, with an event that says why the other cannot be had.
Precision granted(const Workspace& workspace, const Plan& plan, Solver solver, std::vector<Event>& events) {
  const Precision asked = plan.asked;
  if (asked == Precision::double_precision) return asked;
  const auto refused = [&](EventCode why) {
    events.push_back({why, solver});
    return Precision::double_precision;
  };
  if (!row_of(solver).iterative) {
    if (asked != Precision::mixed || mixed_may_work(workspace, plan.shape)) return asked;
    return refused(EventCode::mixed_refused_by_eigenvalue);
  }
  if (solver == Solver::lsmr) return refused(EventCode::lsmr_is_double);
  if (workspace.matrix_scale != 1.0) return refused(EventCode::products_out_of_range);
  if (asked == Precision::mixed && !mixed_products_may_work(workspace, plan.shape)) {
    return refused(EventCode::mixed_refused_by_trace);
  }
  return asked;
}

}  // namespace

Plan make_plan(const Workspace& workspace, SolveShape shape, const StepOptions& options) {
  Plan plan;
  plan.shape = std::move(shape);
  plan.automatic = options.solver == Solver::automatic;
  plan.asked = options.precision;
  const bool narrow = options.precision == Precision::single_precision || options.precision == Precision::mixed;
  plan.shape.narrow_factor = narrow;
  plan.shape.mixed_likely =
      options.precision == Precision::automatic && plan.shape.condition_bound <= most_condition_of_mixed;
  plan.shape.narrow_products = narrow || plan.shape.mixed_likely;
  plan.shape.precondition = options.precondition && workspace.system->shift() > 0.0;
  Solver solver = options.solver;
  plan.choice.direct = solver;
  if (plan.automatic) {
    plan.choice = choose_solver(plan.shape);
    solver = plan.choice.solver;
    plan.events.push_back(plan.choice.reason);
  } else if (!row_of(solver).iterative) {
    check_memory(plan.shape, solver);
  }
  if (solver == Solver::gram && !plan.shape.dual_possible && norm(workspace.b) != 0.0) {
    throw std::invalid_argument("damping: the gram solver with a gradient (not advantages) expects damping > 0, got 0");
  }
  const bool replaced = solver == Solver::lsmr && workspace.targets.empty();
  if (replaced) {
    plan.events.push_back({EventCode::lsmr_needs_advantages, solver});
    solver = Solver::conjugate_gradient;
  }
  if (plan.automatic && plan.choice.direct == Solver::automatic) {
    plan.first = last_rung(workspace, plan, plan.events);
  } else {
    plan.first = rung_of(workspace, plan, solver, plan.events);
    // Whoever asks for LSMR wants the digits that single precision has not.
    if (replaced && plan.asked == Precision::automatic) plan.first.precision = Precision::double_precision;
    // A number of iterations that was asked for is what is to be done.
    plan.first.trial = plan.automatic && row_of(solver).iterative && !workspace.max_iterations.has_value();
  }
  return plan;
}

Rung rung_of(const Workspace& workspace, const Plan& plan, Solver solver, std::vector<Event>& events) {
  Rung rung;
  rung.solver = solver;
  rung.precision = plan.asked == Precision::automatic ? settled(workspace, plan.shape, solver)
                                                      : granted(workspace, plan, solver, events);
  return rung;
}

Rung last_rung(const Workspace& workspace, const Plan& plan, std::vector<Event>& events) {
  Rung rung;
  rung.solver = Solver::conjugate_gradient;
  const bool lsmr = sample_rows(workspace, plan, rung) == 0 && lsmr_is_safer(workspace, plan.shape);
  if (lsmr) events.push_back({EventCode::lsmr_chosen, Solver::lsmr});
  return rung_of(workspace, plan, lsmr ? Solver::lsmr : Solver::conjugate_gradient, events);
}

// The least-squares form needs advantages; it pays from where half the digits are lost to the condition of F.
bool lsmr_is_safer(const Workspace& workspace, const SolveShape& shape) noexcept {
  constexpr double cg_is_safe = 1e8;
  return workspace.rows != nullptr && !workspace.targets.empty() && shape.condition_bound > cg_is_safe;
}

Index sample_rows(const Workspace& workspace, const Plan& plan, const Rung& rung) {
  if (workspace.rows == nullptr || !workspace.precondition || !(workspace.system->shift() > 0.0)) return 0;
  const bool first_choice = plan.automatic && plan.choice.direct != Solver::automatic &&
                            plan.choice.solver == rung.solver && (rung.trial || workspace.max_iterations.has_value());
  if (first_choice) return plan.choice.sample_rows;
  const double plain = std::min(static_cast<double>(workspace.iteration_cap()), iterations_bound(plan.shape));
  return preconditioner_rows(plan.shape, plain);
}

}  // namespace fastfisher::detail
