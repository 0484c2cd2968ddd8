// Here steps are taken of an accumulated Fisher matrix, of which there are no rows, only their sum.
#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "fastfisher/fisher.hpp"
#include "fastfisher/linalg.hpp"
#include "scores/checks.hpp"
#include "step/gradient.hpp"
#include "step/problem.hpp"
#include "step/step_rule.hpp"

namespace fastfisher {

// A snapshot is the sum as it was at one moment.  It costs no copy unless the accumulation goes on meanwhile.
class Fisher::Snapshot {
 public:
  explicit Snapshot(const Fisher& fisher) : fisher_(&fisher) {
    const std::lock_guard lock(fisher.mutex_);
    weight_ = fisher.checked_weight();
    fisher.mirror();
    count_ = fisher.count_;
    trace_ = fisher.sum_trace() / weight_;
    sum_ = fisher.sum_;
  }
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;
  ~Snapshot() {  // gives the sum up under the lock, so that whoever counts the owners there counts right
    const std::lock_guard lock(fisher_->mutex_);
    sum_.reset();
  }

  Index dimension() const noexcept { return fisher_->dimension_; }
  Index count() const noexcept { return count_; }
  double weight() const noexcept { return weight_; }
  double trace() const noexcept { return trace_; }  // tr(F)
  const double* sum() const noexcept { return sum_->data(); }

 private:
  const Fisher* fisher_;
  std::shared_ptr<std::vector<double>> sum_;
  Index count_ = 0;
  double weight_ = 0.0, trace_ = 0.0;
};

namespace detail {
namespace {

// The system is F + shift I, for F as it was summed.
class AccumulatedSystem final : public LinearSystem {
 public:
  AccumulatedSystem(const double* sum, double weight, Index dimension, double shift, const Context& context)
      : LinearSystem(dimension, shift, context), sum_(sum), weight_(weight) {}

  // Computes y = F v.
  void multiply(const Vector& v, Vector& y) const {
    const auto dimension = static_cast<Index>(parameters());
    y.resize(parameters());
    matvec<double>(row_major(sum_, dimension, dimension), v.data(), y.data(), context());
    for (double& value : y) value /= weight_;
  }

  void apply(const Vector& x, Vector& y, Vector* scores_times_x) const override {
    multiply(x, y);
    for (std::size_t k = 0; k < y.size(); ++k) y[k] += shift() * x[k];
    if (scores_times_x != nullptr) scores_times_x->clear();
  }

  double residual(const Vector& b, const Vector& x, Vector& r, Vector* scores_times_x) const override {
    multiply(x, r);
    for (std::size_t k = 0; k < r.size(); ++k) r[k] = (b[k] - r[k]) - shift() * x[k];
    if (scores_times_x != nullptr) scores_times_x->clear();
    return norm(r);
  }

  void form_primal(float* c) const override { form(c); }
  void form_primal(double* c) const override { form(c); }

 private:
  template <class Real>
  void form(Real* c) const {
    const std::size_t size = parameters() * parameters();
    for (std::size_t i = 0; i < size; ++i) c[i] = static_cast<Real>(sum_[i] / weight_);
  }

  const double* sum_;
  double weight_;
};

void check_batch(const AccumulatedBatch& batch) {
  if (batch.fisher == nullptr) throw std::invalid_argument("fisher: expected one, got null");
  if (batch.gradient == nullptr) throw std::invalid_argument("gradient: expected one, got null");
  check_finite(batch.gradient, batch.fisher->dimension(), "gradient");
  if (batch.count.has_value()) check_count(*batch.count);
  check_momentum(batch.momentum);
  if (batch.previous != nullptr) check_finite(batch.previous, batch.fisher->dimension(), "previous");
}

// Returns whether all of the gradient is zero against rounding (gradient.hpp), by a bound on the terms of its sums:
// sum |s_k| w |A| <= sqrt(sum w s_k^2 sum w A^2).
bool is_rounding(const Fisher::Snapshot& sums, double norm_advantages, const Vector& gradient) {
  if (norm(gradient) == 0.0) return false;
  const double advantages = norm_advantages / std::sqrt(sums.weight());
  for (std::size_t k = 0; k < gradient.size(); ++k) {
    const double scores = std::sqrt(sums.sum()[k * (gradient.size() + 1)] / sums.weight());
    if (std::fabs(gradient[k]) > rounding_of_terms * scores * advantages) return false;
  }
  return true;
}

// Refuses sums of which a part has vanished.  Where all has, only a `gradient` that is made of the scores, and not
// zero, tells them from scores that are zero.
void check_squares(const Fisher::Snapshot& sums, double shift, const Vector* gradient) {
  const double sum = sums.trace() * sums.weight();
  if (!squares_vanish(sum, shift) || (sum == 0.0 && (gradient == nullptr || norm(*gradient) == 0.0))) return;
  throw std::overflow_error("scores: their weighted squares leave the range of float64; rescale the scores");
}

void check_sums_suffice(const StepOptions& options) {
  if (options.solver != Solver::automatic && options.solver != Solver::cholesky) {
    throw std::invalid_argument("solver: expected 'auto' or 'cholesky' where only sums of the rows are kept, got '" +
                                std::string(name(options.solver)) + "'");
  }
  if (options.precision != Precision::automatic && options.precision != Precision::double_precision) {
    throw std::invalid_argument("precision: expected 'auto' or 'double' where only sums of the rows are kept, got '" +
                                std::string(name(options.precision)) + "'");
  }
}

// One damping and its right-hand side make the system (F' + lambda / scale I) x' = b / scale / gradient_scale, for
// F = scale F' and F' the sum over the weights.
class AccumulatedStep {
 public:
  AccumulatedStep(const Fisher::Snapshot& sums, double scale, double damping, const StepOptions& options,
                  const Context& context)
      : scale_(scale),
        damping_(damping),
        system_(sums.sum(), sums.weight(), sums.dimension(), damping / scale, context) {
    workspace_.system = &system_;
    workspace_.samples = sums.count();
    workspace_.parameters = sums.dimension();
    workspace_.start.assign(system_.parameters(), 0.0);
    workspace_.trace = workspace_.matrix_trace = sums.trace();
    const auto smaller = static_cast<double>(std::min(sums.count(), sums.dimension()));
    workspace_.product_scale = sums.trace() / smaller + system_.shift();
    workspace_.tolerance = options.tolerance;
    workspace_.max_iterations = options.max_iterations;
    const bool automatic = options.solver == Solver::automatic;
    plan_.automatic = automatic;
    plan_.asked = Precision::double_precision;
    plan_.choice.solver = plan_.choice.direct = Solver::cholesky;
    plan_.shape.samples = static_cast<double>(sums.count());
    plan_.shape.parameters = static_cast<double>(sums.dimension());
    plan_.shape.condition_bound =
        system_.shift() > 0.0 ? sums.trace() / system_.shift() : std::numeric_limits<double>::infinity();
    plan_.shape.tolerance = options.tolerance;
    plan_.shape.precondition = false;
    plan_.shape.memory_limit = options.memory_limit;
    plan_.choice.affordable = plan_.shape.parameters / 6.0;  // d^3 / 3 operations, 2 d^2 a product
    plan_.first = {.solver = Solver::cholesky, .precision = Precision::double_precision};
    if (automatic) {
      plan_.events.push_back({EventCode::chosen_for_sums, Solver::cholesky});
    } else {
      check_memory(plan_.shape, Solver::cholesky);
    }
  }
  AccumulatedStep(const AccumulatedStep&) = delete;  // the workspace points into it
  AccumulatedStep& operator=(const AccumulatedStep&) = delete;

  // The factor is kept for further right-hand sides.  A step that is solved once leaves it, so that the memory of
  // several dampings is that of one.
  void keep_factor() noexcept { workspace_.kept = &kept_; }

  const AccumulatedSystem& system() const noexcept { return system_; }
  const Workspace& workspace() const noexcept { return workspace_; }
  const std::vector<Event>& planned() const noexcept { return plan_.events; }
  double damping() const noexcept { return damping_; }
  double gradient_scale() const noexcept { return gradient_scale_; }

  // Finds x' for b, of any size; the direction is gradient_scale x'.
  Outcome solve_for(const Vector& b, std::vector<Event>& events) {
    gradient_scale_ = unit_of(b);
    workspace_.b = b;
    for (double& value : workspace_.b) value = value / gradient_scale_ / scale_;
    if (norm(b) > 0.0) return solve(workspace_, plan_, events);
    Outcome outcome;
    outcome.solver = Solver::cholesky;
    outcome.precision = Precision::double_precision;
    outcome.solution.x.assign(b.size(), 0.0);
    outcome.solution.residual = 0.0;
    return outcome;
  }

 private:
  double scale_, damping_, gradient_scale_ = 1.0;
  AccumulatedSystem system_;
  KeptFactor kept_;
  Workspace workspace_;
  Plan plan_;
};

}  // namespace
}  // namespace detail

void Fisher::solve(double* x, Index right_hand_sides, double damping, const Context& context) const {
  detail::check_damping(damping);
  const Snapshot sums(*this);
  detail::check_squares(sums, sums.weight() * damping, nullptr);
  detail::AccumulatedStep step(sums, 1.0, damping, {}, context);
  step.keep_factor();
  const auto size = static_cast<std::size_t>(dimension_);
  for (Index j = 0; j < right_hand_sides; ++j) {
    double* column = x + j * dimension_;
    std::vector<Event> events;
    const detail::Outcome outcome = step.solve_for(detail::Vector(column, column + size), events);
    const double b_norm = detail::norm(step.workspace().b);
    const double residual = b_norm == 0.0 ? 0.0 : outcome.solution.residual / b_norm;
    if (const std::optional<Event> untrusted = detail::judge(step.workspace(), outcome, residual, false)) {
      throw NotPositiveDefinite("F + damping I has no solution to rounding. " + sentence(*untrusted));
    }
    try {
      const detail::Vector solution = detail::scaled(outcome.solution.x, step.gradient_scale());
      std::copy(solution.begin(), solution.end(), column);
    } catch (const std::overflow_error&) {
      throw std::overflow_error("the solution leaves the range of float64; increase damping or rescale the scores");
    }
  }
}

std::vector<NaturalStep> natural_steps(const AccumulatedBatch& batch, const std::vector<double>& dampings,
                                       const StepOptions& options, const Context& context) {
  using detail::AccumulatedStep;
  using detail::Vector;
  if (dampings.empty()) throw std::invalid_argument("damping: expected at least one value, got none");
  detail::check_batch(batch);
  const Fisher::Snapshot sums(*batch.fisher);
  detail::check(options, sums.dimension());
  detail::check_sums_suffice(options);
  const double scale = batch.count.has_value() ? sums.weight() / *batch.count : 1.0;
  const auto size = static_cast<std::size_t>(sums.dimension());
  Vector gradient(batch.gradient, batch.gradient + size);
  const bool of_scores = batch.norm_advantages.has_value();
  const bool of_rounding = of_scores && detail::is_rounding(sums, *batch.norm_advantages, gradient);
  if (of_rounding) std::fill(gradient.begin(), gradient.end(), 0.0);
  const bool momentum = batch.previous != nullptr && batch.momentum > 0.0;
  const double unit = options.relative_damping
                          ? scale * sums.trace() / static_cast<double>(std::min(sums.count(), sums.dimension()))
                          : 1.0;

  // x = momentum previous + y, as in momentum.hpp: (F + lambda I) y = g - F (momentum previous).
  Vector prior(size, 0.0), b = gradient;
  if (momentum) {
    for (std::size_t k = 0; k < size; ++k) prior[k] = batch.momentum * batch.previous[k];
    const detail::AccumulatedSystem undamped(sums.sum(), sums.weight(), sums.dimension(), 0.0, context);
    Vector product;
    undamped.multiply(prior, product);
    for (std::size_t k = 0; k < size; ++k) b[k] -= scale * product[k];
  }

  std::vector<NaturalStep> steps(dampings.size());
  std::vector<Vector> directions, products(dampings.size(), Vector(size, 0.0));
  std::vector<std::unique_ptr<AccumulatedStep>> posed;
  std::vector<detail::Outcome> outcomes;
  for (std::size_t k = 0; k < dampings.size(); ++k) {
    const double damping = dampings[k] * unit;
    detail::check_damping(damping);
    detail::check_squares(sums, sums.weight() / scale * damping, of_scores ? &gradient : nullptr);
    posed.push_back(std::make_unique<AccumulatedStep>(sums, scale, damping, options, context));
    steps[k].events = posed[k]->planned();
    outcomes.push_back(posed[k]->solve_for(b, steps[k].events));
    // The solution is 1 / gradient_scale of y.
    directions.push_back(detail::scaled(outcomes[k].solution.x, posed[k]->gradient_scale()));
    if (detail::norm(directions[k]) == 0.0 && detail::norm(outcomes[k].solution.x) != 0.0) {
      throw std::overflow_error(
          "the step leaves the range of float64; increase damping or rescale scores or advantages");
    }
    for (std::size_t i = 0; i < size; ++i) directions[k][i] += prior[i];
  }

  std::optional<Event> unread;
  if (batch.multiply) unread = batch.multiply(directions, products);
  for (std::size_t k = 0; k < steps.size(); ++k) {
    const AccumulatedStep& step = *posed[k];
    const Vector& x = directions[k];
    Vector& product = products[k];
    const bool from_rows = batch.multiply && !unread.has_value();
    if (!from_rows) {
      step.system().multiply(x, product);
      for (double& value : product) value *= scale;
    }
    NaturalStep& result = steps[k];
    result.solver = outcomes[k].solver;
    result.precision = outcomes[k].precision;
    result.iterations = outcomes[k].iterations;
    result.damping = step.damping();
    result.gradient = gradient;
    if (unread.has_value()) result.events.insert(result.events.begin() + (step.planned().empty() ? 0 : 1), *unread);
    Vector remainder(size);
    for (std::size_t i = 0; i < size; ++i) {
      remainder[i] = (gradient[i] - product[i]) - step.damping() * (x[i] - prior[i]);
    }
    const double b_norm = detail::norm(b);
    const double residual = detail::norm(remainder) / (b_norm == 0.0 ? 1.0 : b_norm);
    result.residual = residual;
    if (auto untrusted = detail::judge(step.workspace(), outcomes[k], residual, from_rows)) {
      result.events.push_back(std::move(*untrusted));
    }
    if (b_norm == 0.0) {
      const bool kept = detail::norm(prior) != 0.0;
      Event zero{kept ? EventCode::momentum_kept : EventCode::zero_gradient, Solver::cholesky};
      if (!kept) zero.numbers = {of_rounding ? 1.0 : 0.0};
      result.events.push_back(std::move(zero));
    }

    // The rule works in units of x', so that no product of two vectors leaves the range of double.
    const double part = step.gradient_scale();
    double own = detail::unit_of(x);
    if (!std::isnormal(own / part)) own = part;
    Vector solution = x;
    detail::Along along;
    along.slope_unit = detail::unit_of(gradient);
    for (std::size_t i = 0; i < size; ++i) {
      solution[i] /= own;
      along.slope += gradient[i] / along.slope_unit * solution[i];
      along.curvature += solution[i] * (product[i] / part);
    }
    along.curvature = std::max(along.curvature, 0.0);
    along.momentum = momentum;
    along.zero = b_norm == 0.0 && detail::norm(solution) == 0.0;
    detail::scale_to_kl(solution, {own, own / part}, along, options.max_kl, result);
    result = detail::told(std::move(result));
  }
  return steps;
}

}  // namespace fastfisher
