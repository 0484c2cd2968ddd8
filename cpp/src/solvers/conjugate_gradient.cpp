#include "solvers/conjugate_gradient.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace fastfisher::detail {
namespace {

// y = M x with the products in Real; vectors stay in double.
template <class Real>
class Operator {
 public:
  Operator(const NormalSystem& system, const ScoresView& scores, const Vector* mean)
      : system_(&system), scores_(&scores), mean_(mean) {
    if constexpr (!std::is_same_v<Real, double>) {
      narrow_x_.resize(system.parameters());
      narrow_y_.resize(system.parameters());
      if (system.weights() != nullptr) {
        weights_.assign(system.weights(), system.weights() + system.samples());
      }
    }
  }

  void apply(const Vector& x, Vector& y) {
    if constexpr (std::is_same_v<Real, double>) {
      system_->apply(x, y);
    } else {
      std::copy(x.begin(), x.end(), narrow_x_.begin());
      const double sum = multiply(x);
      std::copy(narrow_y_.begin(), narrow_y_.end(), y.begin());
      for (std::size_t k = 0; mean_ != nullptr && k < y.size(); ++k) y[k] -= sum * (*mean_)[k];
      for (std::size_t k = 0; k < x.size(); ++k) y[k] += system_->shift() * x[k];
    }
  }

 private:
  // narrow_y = S^T u with u = diag(w) (S - 1 m^T) narrow_x; returns the sum of u, which the mean is still to be taken
  // off by.
  double multiply(const Vector& x) {
    const Real* weights = weights_.empty() ? nullptr : weights_.data();
    if (mean_ == nullptr) {
      fisher_matvec<Real>(*scores_, weights, narrow_x_.data(), nullptr, narrow_y_.data(), system_->context());
      return 0.0;
    }
    std::vector<Real> u(system_->samples());
    matvec<Real>(*scores_, narrow_x_.data(), u.data(), system_->context());
    const double along = dot(*mean_, x);
    double sum = 0.0;
    for (std::size_t n = 0; n < u.size(); ++n) {
      u[n] = static_cast<Real>(system_->weight(n) * (static_cast<double>(u[n]) - along));
      sum += static_cast<double>(u[n]);
    }
    rmatvec<Real>(*scores_, u.data(), narrow_y_.data(), system_->context());
    return sum;
  }

  const NormalSystem* system_;
  const ScoresView* scores_;
  const Vector* mean_;
  std::vector<Real> narrow_x_, narrow_y_, weights_;
};

}  // namespace

template <class Real>
ConjugateGradientResult conjugate_gradient(const NormalSystem& system, const ScoresView& scores, const Vector* mean,
                                           const Vector& b, const Preconditioner* preconditioner,
                                           const ConjugateGradientOptions& options, Vector& x) {
  ConjugateGradientResult result;
  const double b_norm = norm(b);
  const double goal = options.tolerance * b_norm;
  Operator<Real> matrix(system, scores, mean);
  Vector r, z, p, matrix_p(b.size());
  // z = r without a preconditioner, and rho = r^T z is then ||r||^2.
  const auto precondition = [&]() -> const Vector& {
    if (preconditioner == nullptr) return r;
    preconditioner->apply(r, z);
    return z;
  };
  Vector scores_times_x;
  const bool from_zero = norm(x) == 0.0;
  if (from_zero) {
    r = b;
    scores_times_x.assign(system.samples(), 0.0);
  }
  double true_norm = from_zero ? norm(b) : system.residual(b, x, r, &scores_times_x);
  double before = std::numeric_limits<double>::infinity();
  // A restart that gains too little has met the limit of the arithmetic.
  while (true_norm > goal && options.least_gain * true_norm < before && result.iterations < options.max_iterations &&
         !result.given_up) {
    before = true_norm;
    const Vector start = x, start_r = r, start_scores_times_x = scores_times_x;
    const double stop = std::max(goal, options.trust * true_norm);
    p = precondition();
    double rho = dot(r, p);
    while (norm(r) > stop && rho > 0.0 && result.iterations < options.max_iterations) {
      matrix.apply(p, matrix_p);
      ++result.iterations;
      const double curvature = dot(p, matrix_p);
      if (!(curvature > 0.0)) break;  // p is in the null space to rounding
      const double alpha = rho / curvature;
      for (std::size_t k = 0; k < x.size(); ++k) {
        x[k] += alpha * p[k];
        r[k] -= alpha * matrix_p[k];
      }
      if (options.go_on && !options.go_on(result.iterations, norm(r) / b_norm)) {
        result.given_up = true;
        break;
      }
      const double rho_before = rho;
      const Vector& next = precondition();
      rho = dot(r, next);
      for (std::size_t k = 0; k < p.size(); ++k) p[k] = next[k] + (rho / rho_before) * p[k];
    }
    true_norm = system.residual(b, x, r, &scores_times_x);
    // The residual of a truncated first run may lie above the start's: what CG lowers at each step is the error's
    // energy norm.  A restart that raises it only stirs rounding errors: the x before it is the answer.
    const bool restarted = ++result.runs > 1;
    if (!std::isfinite(true_norm) || (restarted && true_norm > before)) {
      x = start;
      r = start_r;
      scores_times_x = start_scores_times_x;
      true_norm = before;
      break;
    }
  }
  result.residual = true_norm / b_norm;
  result.residual_vector = std::move(r);
  result.scores_times_x = std::move(scores_times_x);
  result.converged = true_norm <= goal;
  return result;
}

template ConjugateGradientResult conjugate_gradient<float>(const NormalSystem&, const ScoresView&, const Vector*,
                                                           const Vector&, const Preconditioner*,
                                                           const ConjugateGradientOptions&, Vector&);
template ConjugateGradientResult conjugate_gradient<double>(const NormalSystem&, const ScoresView&, const Vector*,
                                                            const Vector&, const Preconditioner*,
                                                            const ConjugateGradientOptions&, Vector&);

}  // namespace fastfisher::detail
