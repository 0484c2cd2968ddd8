#include "solvers/conjugate_gradient.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <utility>

namespace fastfisher::detail {
namespace {

// The best iterate is the x of the least residual that a recurrence has met, on which the method falls back.
class BestIterate {
 public:
  explicit BestIterate(double start) : least_(start) {}

  void see(double residual, const Vector& x) {
    if (!(residual < least_)) return;
    least_ = residual;
    x_ = x;
  }

  double least() const noexcept { return least_; }
  bool empty() const noexcept { return x_.empty(); }  // the start was the best
  const Vector& x() const noexcept { return x_; }

 private:
  double least_;
  Vector x_;
};

}  // namespace

ConjugateGradientResult conjugate_gradient(const LinearSystem& system, const Product& product, const Vector& b,
                                           const Preconditioner* preconditioner,
                                           const ConjugateGradientOptions& options, Vector& x) {
  ConjugateGradientResult result;
  const double b_norm = norm(b);
  const double goal = options.tolerance * b_norm;
  Vector r, z, p, matrix_p(x.size());
  // Lengths and angles are those of the vectors, whatever is carried with them.
  const std::size_t size = b.size();
  const auto head = [size](const Vector& v) { return std::span(v).first(size); };
  const auto measure = [&](const Vector& of, Vector& remainder, Vector& products) {
    const double length =
        options.residual ? options.residual(b, of, remainder, products) : system.residual(b, of, remainder, &products);
    if (options.carrier != nullptr) options.carrier->extend_residual(of, products, remainder);
    return length;
  };
  // z = r without a preconditioner, and rho = r^T z is then ||r||^2.
  const auto precondition = [&]() -> const Vector& {
    if (preconditioner == nullptr) return r;
    preconditioner->apply(r, z);
    return z;
  };
  Vector scores_times_x;
  // The square of a residual further off would leave the range of double, with b of the order of one.
  constexpr double most_start = 1e100;
  double true_norm = norm(head(x)) == 0.0 ? b_norm : measure(x, r, scores_times_x);
  if (r.empty() || !(true_norm <= most_start * b_norm)) {  // from zero
    std::fill(x.begin(), x.end(), 0.0);
    r = b;
    scores_times_x.assign(system.samples(), 0.0);
    if (options.carrier != nullptr) options.carrier->extend_residual(x, scores_times_x, r);
    true_norm = b_norm;
  }
  const Vector first = x;
  double before = std::numeric_limits<double>::infinity();
  BestIterate best(true_norm);
  // A restart that gains too little has met the limit of the arithmetic.
  while (true_norm > goal && options.least_gain * true_norm < before && result.iterations < options.max_iterations &&
         !result.given_up) {
    before = true_norm;
    const Vector start = x, start_r = r, start_scores_times_x = scores_times_x;
    const double stop = std::max(goal, options.trust * true_norm);
    p = precondition();
    double rho = dot(head(r), p);
    double r_norm = norm(head(r));
    while (r_norm > stop && rho > 0.0 && result.iterations < options.max_iterations) {
      product(p, matrix_p);
      ++result.iterations;
      const double curvature = dot(head(p), matrix_p);
      const double p_norm = norm(head(p));
      if (!(curvature > options.least_curvature * p_norm * p_norm)) break;  // p is in the null space to rounding
      const double alpha = rho / curvature;
      for (std::size_t k = 0; k < x.size(); ++k) {
        x[k] += alpha * p[k];
        r[k] -= alpha * matrix_p[k];
      }
      r_norm = norm(head(r));
      best.see(r_norm, x);
      if (options.go_on && !options.go_on(result.iterations, r_norm / b_norm)) {
        result.given_up = true;
        break;
      }
      const double rho_before = rho;
      const Vector& next = precondition();
      rho = dot(head(r), next);
      for (std::size_t k = 0; k < p.size(); ++k) p[k] = next[k] + (rho / rho_before) * p[k];
    }
    true_norm = measure(x, r, scores_times_x);
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
  const bool ended_early = true_norm > goal && !result.given_up;
  if (ended_early && true_norm > options.most_rise * best.least()) {
    Vector better = best.empty() ? first : best.x();
    Vector better_r, better_scores_times_x;
    const double better_norm = measure(better, better_r, better_scores_times_x);
    if (better_norm < true_norm) {
      x = std::move(better);
      r = std::move(better_r);
      scores_times_x = std::move(better_scores_times_x);
      true_norm = better_norm;
    }
  }
  r.resize(size);
  result.residual = true_norm / b_norm;
  result.residual_vector = std::move(r);
  result.scores_times_x = std::move(scores_times_x);
  result.converged = true_norm <= goal;
  return result;
}

}  // namespace fastfisher::detail
