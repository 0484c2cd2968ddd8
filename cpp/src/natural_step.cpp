#include "fastfisher/natural_step.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <utility>

#include "conjugate_gradient.hpp"
#include "factorization.hpp"
#include "momentum.hpp"
#include "problem.hpp"
#include "refinement.hpp"
#include "solver_choice.hpp"

namespace fastfisher {
namespace {

using detail::dot;
using detail::Momentum;
using detail::norm;
using detail::NormalSystem;
using detail::Problem;
using detail::Solution;
using detail::Vector;

std::string in_words(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

// Works on x / solution_scale, whose size does not depend on the units of scores and advantages (problem.hpp).
class Step {
 public:
  Step(const Batch& batch, const StepOptions& options, detail::MatrixCache* cache, const Context& context)
      : options_(options),
        context_(context),
        cache_(cache),
        original_(batch),
        momentum_(batch, context),
        problem_(detail::pose(momentum_.batch(), options, context)),
        system_(batch.scores, problem_.system_weights(), problem_.shift(), problem_.system_mean(), context),
        b_(problem_.right_hand_side()) {}

  NaturalStep take() {
    choose_algorithm();
    if (norm(b_) == 0.0) {
      solution_.x.assign(b_.size(), 0.0);
      measure(system_, b_, solution_);
      result_.notes.push_back("The gradient is zero, and so is the step.");
    } else {
      solve();
    }
    return finish();
  }

 private:
  void choose_algorithm() {
    shape_ = detail::shape_of(problem_.batch->scores);
    shape_.condition_bound = system_.shift() > 0.0 ? problem_.system_scale() * problem_.trace / system_.shift()
                                                   : std::numeric_limits<double>::infinity();
    shape_.tolerance = options_.tolerance;
    shape_.dual_possible = problem_.batch->advantages != nullptr || problem_.damping > 0.0;
    shape_.memory_limit = options_.memory_limit;
    result_.precision = options_.precision;
    const bool narrow = options_.precision == Precision::single_precision || options_.precision == Precision::mixed;
    shape_.narrow_factor = narrow;
    choice_.direct = options_.solver;
    result_.solver = options_.solver;
    if (options_.solver == Solver::automatic) {
      choice_ = detail::choose_solver(shape_);
      result_.solver = choice_.solver;
      result_.notes.push_back(choice_.reason);
    } else if (options_.solver != Solver::conjugate_gradient) {
      detail::check_memory(shape_, options_.solver);
    }
    if (result_.solver == Solver::gram && !shape_.dual_possible) {
      throw std::invalid_argument(
          "damping: the gram solver with a gradient (not advantages) expects damping > 0, got 0");
    }
    settle_precision();
  }

  // Single-precision factors pay from a few hundred rows on, where the time is in the factorisation.
  void settle_precision() {
    if (result_.precision != Precision::automatic) return;
    const double side = result_.solver == Solver::gram ? shape_.samples : shape_.parameters;
    constexpr double least_side = 512.0;
    const bool pays = result_.solver != Solver::conjugate_gradient && side >= least_side;
    result_.precision = pays && mixed_may_work() ? Precision::mixed : Precision::double_precision;
  }

  void solve() {
    if (result_.solver == Solver::conjugate_gradient) {
      solve_iteratively();
      const bool chosen = options_.solver == Solver::automatic && !options_.max_iterations.has_value();
      if (converged_ || !chosen || choice_.direct == Solver::automatic) return;
      result_.notes.push_back("CG was given up for " + std::string(name(choice_.direct)) + ".");
      result_.solver = choice_.direct;
      result_.precision = options_.precision;
      settle_precision();
    }
    if (options_.precision == Precision::mixed && !mixed_may_work()) {
      result_.precision = Precision::double_precision;
      result_.notes.push_back(
          "Mixed precision was refused: the largest eigenvalue over the damping is near or above 1e7; double was "
          "used.");
    }
    if (result_.precision == Precision::double_precision) {
      solve_in_double();
      return;
    }
    if (result_.precision == Precision::single_precision) {
      solve_directly<float>(2.0, 0);
      return;
    }
    try {
      if (solve_directly<float>(10.0, 30)) return;
      result_.notes.push_back("Mixed precision stopped gaining; the matrix was factored again in double.");
    } catch (const NotPositiveDefinite&) {
      result_.notes.push_back("The matrix has no single-precision Cholesky factor; it was factored again in double.");
    }
    solve_in_double();
  }

  // What fitted in memory in single precision may not in double.
  void solve_in_double() {
    result_.precision = Precision::double_precision;
    shape_.narrow_factor = false;
    if (!detail::fits_in_memory(shape_, result_.solver)) {
      result_.notes.push_back("The matrix in double takes more than the memory limit; CG was used.");
      result_.solver = Solver::conjugate_gradient;
      solve_iteratively();
      return;
    }
    solve_directly<double>(2.0, 3);
  }

  // A single-precision factor carries refinement only while the condition number is well below 1 / eps.  The trace
  // bounds the largest eigenvalue; where that is not enough to tell, a few power iterations estimate it.
  bool mixed_may_work() {
    if (!(system_.shift() > 0.0)) return false;
    constexpr double surely = 1e6, most = 5e6;
    if (shape_.condition_bound <= surely) return true;
    Vector v = b_, product;
    double eigenvalue = 0.0;
    constexpr int iterations = 8;
    for (int i = 0; i < iterations; ++i) {
      const double length = norm(v);
      if (length == 0.0) break;
      for (double& value : v) value /= length;
      system_.apply(v, product);
      eigenvalue = norm(product);
      v.swap(product);
    }
    return eigenvalue / system_.shift() <= most;
  }

  // True where the residual reached the rounding of double.
  template <class Real>
  bool solve_directly(double least_gain, int most_refinements) {
    std::unique_ptr<detail::Factorization> factor;
    solution_ = {};
    dual_.clear();
    const std::size_t notes_before = result_.notes.size();
    bool settled = false;
    if (result_.solver == Solver::cholesky) {
      factor = detail::factor_primal<Real>(system_, cache_, result_.notes);
      solution_.x = b_;
      factor->solve(solution_.x);
      measure(system_, b_, solution_);
    } else {
      auto dual = detail::factor_dual<Real>(system_, cache_, result_.notes);
      if (system_.shift() == 0.0 && result_.notes.size() > notes_before) {
        // More samples than directions: the dual system has no solution, only its jitter's.
        result_.notes.back() = "Without damping the Gram matrix is singular; CG was used.";
        result_.solver = Solver::conjugate_gradient;
        solve_iteratively();
        return true;
      }
      if (problem_.batch->advantages != nullptr) {
        settled = solve_dual(*dual, least_gain, most_refinements);
        // Where the scores' rows are dependent, y has a large part that R^T takes to nothing but rounding, which only
        // the residual of x itself sees.
        if (settled || system_.shift() == 0.0) {
          result_.iterations = solution_.refinements;
          return settled;
        }
        factor = std::move(dual);
      } else {
        solution_.x = b_;
        dual->solve(solution_.x);
        measure(system_, b_, solution_);
        factor = std::move(dual);
      }
    }
    // x += M^-1 (b - M x).
    const auto correct = [&](const Solution& solution) {
      Solution better;
      better.x = solution.residual_vector;
      factor->solve(better.x);
      for (std::size_t k = 0; k < better.x.size(); ++k) better.x[k] += solution.x[k];
      return better;
    };
    const Index refined = solution_.refinements;
    settled = refine(system_, correct, b_, problem_.mean_eigenvalue() + system_.shift(), least_gain, most_refinements,
                     solution_);
    if (solution_.refinements > refined) dual_.clear();  // x has left what the dual says
    if (result_.solver == Solver::cholesky && problem_.batch->advantages != nullptr && system_.shift() == 0.0) {
      // S^T u = x for u = diag(w) S M^-1 x.
      Vector again = solution_.x;
      factor->solve(again);
      system_.multiply(again, dual_);
      for (std::size_t n = 0; n < dual_.size(); ++n) dual_[n] *= system_.weight(n);
    }
    result_.iterations = solution_.refinements;
    return settled;
  }

  // x = R^T y, (R R^T + shift I) y = a with b = R^T a, R = diag(sqrt w) S: one solve, and no difference of near-equals
  // divided by the damping.  Refined in the space of the samples, so that rounding never leaves the span of the scores:
  // y += (R R^T + shift I)^-1 (a - R x - shift y).
  bool solve_dual(const detail::DualFactorization& factor, double least_gain, int most_refinements) {
    const std::size_t samples = system_.samples();
    Vector roots(samples);
    for (std::size_t n = 0; n < samples; ++n) roots[n] = std::sqrt(system_.weight(n));
    const auto lift = [&](Solution& solution) {
      Vector weighted = solution.dual;
      for (std::size_t n = 0; n < samples; ++n) weighted[n] *= roots[n];
      system_.multiply_transposed(weighted, solution.x);
    };
    solution_.dual.resize(samples);
    for (std::size_t n = 0; n < samples; ++n) solution_.dual[n] = roots[n] * problem_.dual_target(n);
    factor.solve_dual(solution_.dual);
    lift(solution_);
    measure(system_, b_, solution_);
    const auto correct = [&](const Solution& solution) {
      Solution better;
      better.dual.resize(samples);
      for (std::size_t n = 0; n < samples; ++n) {
        better.dual[n] =
            roots[n] * (problem_.dual_target(n) - solution.scores_times_x[n]) - system_.shift() * solution.dual[n];
      }
      factor.solve_dual(better.dual);
      for (std::size_t n = 0; n < samples; ++n) better.dual[n] += solution.dual[n];
      lift(better);
      return better;
    };
    const double scale = problem_.mean_eigenvalue() + system_.shift();
    const bool settled = refine(system_, correct, b_, scale, least_gain, most_refinements, solution_);
    dual_ = solution_.dual;
    for (std::size_t n = 0; n < samples; ++n) dual_[n] *= roots[n];
    // A backward stable x is left alone: refining it as such would divide rounding outside the span of the scores by
    // the damping, for a smaller residual and a larger error.
    const double size = static_cast<double>(std::max(problem_.samples, problem_.parameters));
    return settled || solution_.residual <= 4.0 * size * detail::double_rounding * scale * norm(solution_.x);
  }

  void solve_iteratively() {
    const Index smaller = std::min(problem_.samples, problem_.parameters);
    const Index cap = options_.max_iterations.value_or(std::min<Index>(10 * smaller + 100, 10000));
    solution_.x.assign(b_.size(), 0.0);
    if (options_.initial != nullptr) {
      for (std::size_t k = 0; k < b_.size(); ++k) {
        const double prior = momentum_.active() ? momentum_.prior()[k] : 0.0;
        solution_.x[k] = (options_.initial[k] - prior) / problem_.solution_scale();
      }
    }
    // Scores whose squares had to be brought into range leave single's range on the way.
    const bool single = result_.precision == Precision::single_precision && problem_.matrix_scale == 1.0;
    if (result_.precision == Precision::single_precision && !single) {
      result_.notes.push_back("The products leave the range of single precision; double was used.");
    }
    if (!single) result_.precision = Precision::double_precision;
    if (options_.precision == Precision::mixed) {
      result_.notes.push_back("Conjugate gradients have no factor to hold in single precision; double was used.");
    }
    std::unique_ptr<detail::Preconditioner> preconditioner;
    if (options_.precondition && system_.shift() > 0.0) {
      const double plain = std::min(static_cast<double>(cap), detail::iterations_bound(shape_));
      if (const Index rows = detail::preconditioner_rows(shape_, plain); rows > 0) {
        preconditioner = detail::sample_preconditioner(system_, rows);
        if (preconditioner != nullptr) {
          result_.notes.push_back("CG was preconditioned by a sample of " + std::to_string(preconditioner->rows()) +
                                  " rows.");
        }
      }
    }
    // Where a factorisation could still take over, CG gets what it was expected to need, and half as much again.
    constexpr Index patience = 150;
    const bool replaceable = options_.solver == Solver::automatic && choice_.direct != Solver::automatic;
    const Index limit = replaceable && !options_.max_iterations.has_value() ? std::min(cap, patience) : cap;
    const auto run_in = [&]<class Real>() {
      return detail::conjugate_gradient<Real>(system_, b_, preconditioner.get(), options_.tolerance, limit,
                                              solution_.x);
    };
    detail::ConjugateGradientResult run =
        single ? run_in.template operator()<float>() : run_in.template operator()<double>();
    solution_.residual = norm(run.residual_vector);
    solution_.residual_vector = std::move(run.residual_vector);
    solution_.scores_times_x = std::move(run.scores_times_x);
    result_.iterations = run.iterations;
    converged_ = run.converged;
    if (run.converged) return;
    const std::string reached =
        in_words("%.1e", run.residual) + " of the tolerance " + in_words("%.1e", options_.tolerance);
    result_.notes.push_back(run.iterations >= limit
                                ? "CG stopped at " + std::to_string(limit) + " iterations with residual " + reached +
                                      "."
                                : "CG met the limit of the arithmetic with residual " + reached + ".");
  }

  NaturalStep finish() {
    const double b_norm = norm(b_);
    result_.residual = b_norm == 0.0 ? 0.0 : solution_.residual / b_norm;
    result_.damping = problem_.damping;
    result_.sample_weights = sample_weights();
    note_what_the_scores_do_not_span();
    const double expected = result_.precision == Precision::single_precision ? 1e-3 : 1e-6;
    if (result_.solver != Solver::conjugate_gradient && result_.residual > expected) {
      result_.notes.push_back("The residual is " + in_words("%.1e", result_.residual) +
                              ": the system is singular to rounding, and the direction is not to be trusted; "
                              "increase damping.");
    }

    double slope = dot(b_, solution_.x);
    result_.gradient = problem_.gradient;
    if (momentum_.active()) slope = add_prior();
    double curvature = 0.0;  // x'^T M x' without the shift: sum w (S x')^2
    for (std::size_t n = 0; n < solution_.scores_times_x.size(); ++n) {
      curvature += system_.weight(n) * solution_.scores_times_x[n] * solution_.scores_times_x[n];
    }
    scale_to_kl(slope, curvature);
    return std::move(result_);
  }

  // x' becomes the whole direction, and g what it was without momentum; returns g^T x in the scaled units.
  double add_prior() {
    const Vector& prior = momentum_.prior();
    for (std::size_t k = 0; k < prior.size(); ++k) solution_.x[k] += prior[k] / problem_.solution_scale();
    for (std::size_t n = 0; n < solution_.scores_times_x.size(); ++n) {
      solution_.scores_times_x[n] += momentum_.scores_times_prior()[n] / problem_.solution_scale();
    }
    if (original_.gradient != nullptr) {
      result_.gradient.assign(original_.gradient, original_.gradient + prior.size());
    } else {
      const Vector weighted = detail::weighted_advantages(original_, problem_.total_weight);
      rmatvec<double>(system_.scores(), weighted.data(), result_.gradient.data(), context_);
    }
    return dot(result_.gradient, solution_.x) / problem_.gradient_scale;
  }

  // The step rule: KL(alpha x) ~ alpha^2 x^T F x / 2, and x^T F x = g^T x but for the damping, so
  // alpha = sqrt(2 max_kl / g^T x).  The paper's delta is 2 max_kl (its equation 5).
  //
  // In the scaled units of problem.hpp, with slope = b^T x' and curvature = x'^T M x' without its shift:
  // g^T x = gradient_scale^2 system_scale slope, and x^T F x likewise.
  void scale_to_kl(double slope, double curvature) {
    double length = problem_.solution_scale();  // of the step, in units of x'
    if (options_.max_kl.has_value()) {
      // With momentum x is not F^-1 g: its own curvature scales it.
      const double square = momentum_.active() ? curvature : slope;
      length = square > 0.0 ? std::sqrt(2.0 * *options_.max_kl * problem_.system_scale() / square) : 0.0;
      if (length == 0.0 && norm(b_) != 0.0) {
        result_.notes.push_back("gradient^T direction is not positive: no step length gives the KL; the step is zero.");
      }
    }
    result_.step_size = length / problem_.solution_scale();
    result_.predicted_kl = 0.5 * (length / problem_.system_scale()) * (length * curvature);
    result_.predicted_improvement = length * slope * problem_.gradient_scale;
    result_.direction = scaled(solution_.x, problem_.solution_scale());
    result_.step = scaled(result_.direction, result_.step_size);
    for (const double value : {result_.step_size, result_.predicted_kl, result_.predicted_improvement}) {
      if (!std::isfinite(value)) out_of_range();
    }
  }

  static Vector scaled(Vector values, double factor) {
    for (double& value : values) {
      value *= factor;
      if (!std::isfinite(value)) out_of_range();
    }
    return values;
  }

  [[noreturn]] static void out_of_range() {
    throw std::overflow_error("the step leaves the range of float64; increase damping or rescale scores or advantages");
  }

  // direction = S^T u.  With damping u = (A - S x) / (N lambda), weights and count in their places; without, u is what
  // the dual solve found.
  Vector sample_weights() {
    if (problem_.batch->advantages == nullptr) return {};
    Vector u = std::move(dual_);
    if (u.empty()) {
      u.assign(system_.samples(), 0.0);
      if (norm(b_) == 0.0 && system_.shift() == 0.0) return u;
      if (system_.shift() == 0.0) {
        result_.notes.push_back("Without damping CG does not find sample weights; they are left out.");
        return {};
      }
      for (std::size_t n = 0; n < u.size(); ++n) {
        u[n] = system_.weight(n) * (problem_.dual_target(n) - solution_.scores_times_x[n]) / system_.shift();
      }
    }
    if (system_.centred()) {  // S^T u with S as it is: (S - 1 m^T)^T u = S^T (u - w sum u / sum w)
      double sum = 0.0;
      for (const double value : u) sum += value;
      for (std::size_t n = 0; n < u.size(); ++n) u[n] -= system_.weight(n) * sum / system_.total_weight();
    }
    return scaled(std::move(u), problem_.solution_scale());
  }

  void note_what_the_scores_do_not_span() {
    if (problem_.batch->gradient == nullptr || problem_.samples >= problem_.parameters) return;
    // In the span's complement F x = 0, so lambda x is the part of the gradient there.
    const double b_norm = norm(b_);
    const double share = b_norm == 0.0 ? 0.0 : system_.shift() * norm(solution_.x) / b_norm;
    if (!(share > 0.01)) return;
    result_.notes.push_back(
        in_words("%.0f", 100.0 * std::min(share, 1.0)) +
        "% of the gradient (in norm) lies outside the span of the scores or where their curvature is "
        "below the damping: there the step is gradient / damping.");
  }

  const StepOptions& options_;
  const Context& context_;
  detail::MatrixCache* cache_;
  const Batch& original_;
  Momentum momentum_;
  Problem problem_;
  NormalSystem system_;
  Vector b_;
  Vector dual_;  // sample weights from a direct solve; empty: from the formula
  Solution solution_;
  detail::SolveShape shape_;
  detail::SolverChoice choice_;
  bool converged_ = false;  // of CG
  NaturalStep result_;
};

}  // namespace

std::string_view name(Solver solver) noexcept {
  switch (solver) {
    case Solver::cholesky:
      return "cholesky";
    case Solver::gram:
      return "gram";
    case Solver::conjugate_gradient:
      return "cg";
    case Solver::automatic:
      break;
  }
  return "auto";
}

std::string_view name(Precision precision) noexcept {
  switch (precision) {
    case Precision::single_precision:
      return "single";
    case Precision::double_precision:
      return "double";
    case Precision::mixed:
      return "mixed";
    case Precision::automatic:
      break;
  }
  return "auto";
}

NaturalStep natural_step(const Batch& batch, const StepOptions& options, const Context& context) {
  return Step(batch, options, nullptr, context).take();
}

std::vector<NaturalStep> natural_steps(const Batch& batch, const std::vector<double>& dampings,
                                       const StepOptions& options, const Context& context) {
  if (dampings.empty()) throw std::invalid_argument("damping: expected at least one value, got none");
  detail::MatrixCache cache;
  std::vector<NaturalStep> steps;
  steps.reserve(dampings.size());
  for (const double damping : dampings) {
    StepOptions own = options;
    own.damping = damping;
    steps.push_back(Step(batch, own, &cache, context).take());
  }
  return steps;
}

}  // namespace fastfisher
