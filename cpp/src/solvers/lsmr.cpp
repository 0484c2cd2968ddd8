#include "solvers/lsmr.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <utility>

#include "runtime/thread_pool.hpp"

namespace fastfisher::detail {
namespace {

// The residual's space has an entry a sample and an entry a parameter; these may be carried (carried.hpp).
struct Stacked {
  Vector samples, parameters;

  double norm(std::size_t columns) const {
    return std::hypot(detail::norm(samples), detail::norm(std::span(parameters).first(columns)));
  }
  void scale(double factor) {
    for (double& value : samples) value *= factor;
    for (double& value : parameters) value *= factor;
  }
};

class StackedOperator {
 public:
  explicit StackedOperator(const NormalSystem& system) : system_(&system), root_shift_(std::sqrt(system.shift())) {
    if (system.weights() == nullptr) return;
    roots_.resize(system.samples());
    for (std::size_t n = 0; n < roots_.size(); ++n) roots_[n] = std::sqrt(system.weight(n));
  }

  // Computes u = A v + factor u.
  void apply(const Vector& v, double factor, Stacked& u) {
    system_->multiply(v, products_);
    if (!roots_.empty()) weigh(products_);
    for (std::size_t n = 0; n < products_.size(); ++n) u.samples[n] = products_[n] + factor * u.samples[n];
    for (std::size_t k = 0; k < v.size(); ++k) u.parameters[k] = root_shift_ * v[k] + factor * u.parameters[k];
  }

  // Computes p = A^T u + factor p, carried where u.parameters are.
  void apply_transposed(const Stacked& u, double factor, Vector& p) {
    products_ = u.samples;
    if (!roots_.empty()) weigh(products_);
    system_->multiply_transposed(products_, sums_);
    if (p.size() > sums_.size()) sums_.insert(sums_.end(), products_.begin(), products_.end());
    for (std::size_t k = 0; k < p.size(); ++k) p[k] = sums_[k] + root_shift_ * u.parameters[k] + factor * p[k];
  }

  std::size_t columns() const noexcept { return system_->parameters(); }

 private:
  void weigh(Vector& values) const {
    for (std::size_t n = 0; n < values.size(); ++n) values[n] *= roots_[n];
  }

  const NormalSystem* system_;
  double root_shift_;
  Vector roots_, products_, sums_;
};

// The rotation (c, s) has c a + s b = length and c b - s a = 0.
struct Givens {
  double cosine = 1.0, sine = 0.0, length = 1.0;
  Givens() = default;
  Givens(double a, double b) : length(std::hypot(a, b)) {
    cosine = length == 0.0 ? 1.0 : a / length;
    sine = length == 0.0 ? 0.0 : b / length;
  }
};

// Golub and Kahan's bidiagonalisation of A P^-1/2 has A V = U B, P^-1 A^T U = V B^T and V^T P V = U^T U = I.
class Bidiagonalisation {
 public:
  Bidiagonalisation(StackedOperator& matrix, const Preconditioner* preconditioner, Stacked start)
      : matrix_(&matrix), preconditioner_(preconditioner), u_(std::move(start)), p_(u_.parameters.size(), 0.0) {
    beta = u_.norm(matrix_->columns());
    if (beta > 0.0) u_.scale(1.0 / beta);
    matrix_->apply_transposed(u_, 0.0, p_);
    normalise();
  }

  void step() {
    matrix_->apply(v, -alpha, u_);
    beta = u_.norm(matrix_->columns());
    if (beta > 0.0) u_.scale(1.0 / beta);
    matrix_->apply_transposed(u_, -beta, p_);
    normalise();
  }

  double alpha = 0.0, beta = 0.0;
  Vector v;

 private:
  // Makes v = P^-1 p, of length one in the norm of P.
  void normalise() {
    if (preconditioner_ == nullptr) {
      alpha = norm(std::span(p_).first(matrix_->columns()));
      v = p_;
    } else {
      preconditioner_->apply(p_, v);
      alpha = std::sqrt(std::max(0.0, dot(std::span(p_).first(matrix_->columns()), v)));
    }
    if (!(alpha > 0.0)) return;
    for (double& value : v) value /= alpha;
    for (double& value : p_) value /= alpha;
  }

  StackedOperator* matrix_;
  const Preconditioner* preconditioner_;
  Stacked u_;
  Vector p_;
};

// The recurrence gives ||c - A x_k|| (section 5.1 of the paper), as the distance of c from A x in the rotated basis.
class ResidualNorm {
 public:
  explicit ResidualNorm(double start) : beyond_(start) {}

  // Takes the rotations of this step, those of the bidiagonal and of its normal equations, with theta_bar and zeta.
  double advance(const Givens& inner, const Givens& outer, double theta_bar, double zeta) {
    const double beta_hat = inner.cosine * beyond_;
    beyond_ *= -inner.sine;
    const double theta_before = theta_;
    const Givens tilde(rho_, theta_bar);
    theta_ = tilde.sine * outer.length;
    rho_ = tilde.cosine * outer.length;
    within_ = tilde.cosine * beta_hat - tilde.sine * within_;
    tau_ = (zeta_before_ - theta_before * tau_) / tilde.length;
    zeta_before_ = zeta;
    return std::hypot(within_ - (zeta - theta_ * tau_) / rho_, beyond_);
  }

 private:
  double beyond_, within_ = 0.0;  // beta_double_dot and beta_dot
  double rho_ = 1.0, theta_ = 0.0, tau_ = 0.0, zeta_before_ = 0.0;
};

struct Run {
  Index iterations = 0;
  bool at_rounding = false;  // the solution is one of a problem that differs from this one by rounding
};

// Adds to x the correction for the residual c - A x that `bidiagonal` started from, until its normal residual, in the
// norm of P^-1, has fallen to `share` of what it was.
Run correct(Bidiagonalisation& bidiagonal, double share, Index most, Vector& x) {
  Run run;
  Vector h = bidiagonal.v, h_bar(x.size(), 0.0);
  double alpha_bar = bidiagonal.alpha, zeta_bar = bidiagonal.alpha * bidiagonal.beta;
  const double goal = share * zeta_bar;
  double square_norm = bidiagonal.alpha * bidiagonal.alpha;  // of the bidiagonal, for that of A
  double residual_norm = bidiagonal.beta;
  ResidualNorm residual(residual_norm);
  Givens inner, outer;  // P_k and P_bar_k of the paper; rho and rho_bar are their lengths
  while (bidiagonal.alpha > 0.0 && run.iterations < most) {
    run.at_rounding = std::fabs(zeta_bar) <= double_rounding * std::sqrt(square_norm) * residual_norm;
    if (run.at_rounding || std::fabs(zeta_bar) <= goal) break;
    bidiagonal.step();
    ++run.iterations;
    const double rho_before = inner.length, rho_bar_before = outer.length;
    inner = Givens(alpha_bar, bidiagonal.beta);
    const double theta = inner.sine * bidiagonal.alpha;
    alpha_bar = inner.cosine * bidiagonal.alpha;
    const double theta_bar = outer.sine * inner.length;
    outer = Givens(outer.cosine * inner.length, theta);
    if (inner.length == 0.0 || outer.length == 0.0) break;
    const double zeta = outer.cosine * zeta_bar;
    zeta_bar = -outer.sine * zeta_bar;

    const double of_h_bar = theta_bar * inner.length / (rho_before * rho_bar_before);
    const double of_x = zeta / (inner.length * outer.length);
    const double of_h = theta / inner.length;
    for (std::size_t k = 0; k < x.size(); ++k) {
      h_bar[k] = h[k] - of_h_bar * h_bar[k];
      x[k] += of_x * h_bar[k];
      h[k] = bidiagonal.v[k] - of_h * h[k];
    }
    square_norm += bidiagonal.alpha * bidiagonal.alpha + bidiagonal.beta * bidiagonal.beta;
    residual_norm = residual.advance(inner, outer, theta_bar, zeta);
  }
  return run;
}

}  // namespace

LsmrResult lsmr(const LeastSquares& problem, const Vector& b, const Preconditioner* preconditioner, double tolerance,
                Index max_iterations, Solution& solution) {
  const NormalSystem& system = *problem.system;
  const double goal = tolerance * norm(b);
  StackedOperator matrix(system);
  LsmrResult result;
  measure(system, b, solution);
  constexpr double most_start = 1e100;  // as in CG
  if (!(solution.residual <= most_start * norm(b))) {
    std::fill(solution.x.begin(), solution.x.end(), 0.0);
    measure(system, b, solution);
  }
  double before = std::numeric_limits<double>::infinity();
  bool at_rounding = false;
  // A restart that does not halve the measured residual has met the limit of the arithmetic.
  while (solution.residual > goal && !at_rounding && solution.residual < 0.5 * before &&
         result.iterations < max_iterations) {
    before = solution.residual;
    Stacked remainder{problem.samples, Vector(solution.x.size(), 0.0)};
    if (norm(solution.x) > 0.0) {
      matrix.apply(solution.x, -1.0, remainder);
      remainder.scale(-1.0);
    }
    Bidiagonalisation bidiagonal(matrix, preconditioner, std::move(remainder));
    // A preconditioner halves the share, since the norm of P^-1 is another than that of the goal.
    const double share = (preconditioner == nullptr ? 1.0 : 0.5) * goal / before;
    Solution next;
    next.x = solution.x;
    const Run run = correct(bidiagonal, share, max_iterations - result.iterations, next.x);
    at_rounding = run.at_rounding;
    result.iterations += run.iterations;
    measure(system, b, next);
    if (!(next.residual < before)) break;
    solution = std::move(next);
    poll(system.context());
  }
  result.converged = solution.residual <= goal;
  return result;
}

}  // namespace fastfisher::detail
