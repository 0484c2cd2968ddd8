#include "factorization.hpp"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <limits>

#include "buffer.hpp"
#include "fastfisher/natural_step.hpp"

namespace fastfisher::detail {
namespace {

std::string in_words(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1e", value);
  return text;
}

// An n x n positive definite matrix in Real and its Cholesky factor.
template <class Real>
class Cholesky {
 public:
  // `form` writes the lower triangle of a positive semi-definite matrix; `shift` is added to its diagonal.
  Cholesky(Index n, double shift, const std::function<void(Real*)>& form, MatrixCache* cache, const Context& context,
           std::vector<std::string>& notes)
      : n_(n), factor_(n * n), context_(&context) {
    // Rounding moves eigenvalues by about n * eps * the largest: start there, and give up where the jitter would be
    // the answer.
    double jitter = 0.0;
    for (int attempt = 0; attempt < most_attempts; ++attempt) {
      if (cache == nullptr) {
        form(factor_.data());
      } else {
        cache->form<Real>(n, form, factor_.data());
      }
      double largest = 0.0;
      for (Index k = 0; k < n; ++k) {
        Real& entry = factor_[k + k * n];
        largest = std::max(largest, static_cast<double>(entry));
        entry = static_cast<Real>(static_cast<double>(entry) + shift + jitter);
      }
      if (cholesky(n, factor_.data(), context) < 0) {
        if (jitter > 0.0) {
          notes.push_back(
              "The damping is below the rounding of the matrix, whose Cholesky factor broke down; a jitter of " +
              in_words(jitter / std::max(largest, std::numeric_limits<double>::min())) +
              " times its largest diagonal entry was added to the factored matrix.");
        }
        return;
      }
      if (!std::isfinite(largest)) break;
      jitter = jitter == 0.0 ? static_cast<double>(n) * std::numeric_limits<Real>::epsilon() * largest : 100.0 * jitter;
    }
    throw NotPositiveDefinite(
        "the damped Fisher matrix has no Cholesky factor in this precision, even with jitter; increase damping");
  }

  void solve(Vector& x) const {
    if constexpr (std::is_same_v<Real, double>) {
      cholesky_solve(n_, factor_.data(), x.data(), *context_);
    } else {
      // The right-hand side is scaled to one: a residual late in a refinement would be lost below single's range.
      const double scale = norm(x);
      if (scale == 0.0) return;
      std::vector<Real> narrow(x.size());
      for (std::size_t k = 0; k < x.size(); ++k) narrow[k] = static_cast<Real>(x[k] / scale);
      cholesky_solve(n_, factor_.data(), narrow.data(), *context_);
      for (std::size_t k = 0; k < x.size(); ++k) x[k] = scale * static_cast<double>(narrow[k]);
    }
  }

 private:
  static constexpr int most_attempts = 4;
  Index n_;
  Buffer<Real> factor_;
  const Context* context_;
};

template <class Real>
class Primal final : public Factorization {
 public:
  Primal(const NormalSystem& system, MatrixCache* cache, std::vector<std::string>& notes)
      : cholesky_(
            columns(system.scores()), system.shift(), [&system](Real* c) { system.form_primal(c); }, cache,
            system.context(), notes) {}

  void solve(Vector& x) const override { cholesky_.solve(x); }

 private:
  Cholesky<Real> cholesky_;
};

template <class Real>
class Dual final : public DualFactorization {
 public:
  Dual(const NormalSystem& system, MatrixCache* cache, std::vector<std::string>& notes)
      : system_(&system),
        cholesky_(
            rows(system.scores()), system.shift(), [&system](Real* k) { system.form_dual(k); }, cache, system.context(),
            notes) {}

  void solve_dual(Vector& y) const override { cholesky_.solve(y); }

  // M^-1 x = (x - R^T (R R^T + shift I)^-1 R x) / shift.
  void solve(Vector& x) const override {
    Vector y;
    system_->multiply(x, y);
    for (std::size_t n = 0; n < y.size(); ++n) y[n] *= std::sqrt(system_->weight(n));
    cholesky_.solve(y);
    for (std::size_t n = 0; n < y.size(); ++n) y[n] *= std::sqrt(system_->weight(n));
    Vector inside;
    system_->multiply_transposed(y, inside);
    for (std::size_t k = 0; k < x.size(); ++k) x[k] = (x[k] - inside[k]) / system_->shift();
  }

 private:
  const NormalSystem* system_;
  Cholesky<Real> cholesky_;
};

}  // namespace

template <class Real>
void MatrixCache::form(Index n, const std::function<void(Real*)>& form, Real* target) {
  Buffer<Real>* kept = nullptr;
  if constexpr (std::is_same_v<Real, float>) {
    kept = &single_;
  } else {
    kept = &double_;
  }
  if (kept->data() != nullptr) {
    std::copy_n(kept->data(), n * n, target);
    return;
  }
  form(target);
  Buffer<Real> copy(n * n);
  std::copy_n(target, n * n, copy.data());
  *kept = std::move(copy);
}

template <class Real>
std::unique_ptr<Factorization> factor_primal(const NormalSystem& system, MatrixCache* cache,
                                             std::vector<std::string>& notes) {
  return std::make_unique<Primal<Real>>(system, cache, notes);
}

template <class Real>
std::unique_ptr<DualFactorization> factor_dual(const NormalSystem& system, MatrixCache* cache,
                                               std::vector<std::string>& notes) {
  return std::make_unique<Dual<Real>>(system, cache, notes);
}

template std::unique_ptr<Factorization> factor_primal<float>(const NormalSystem&, MatrixCache*,
                                                             std::vector<std::string>&);
template std::unique_ptr<Factorization> factor_primal<double>(const NormalSystem&, MatrixCache*,
                                                              std::vector<std::string>&);
template std::unique_ptr<DualFactorization> factor_dual<float>(const NormalSystem&, MatrixCache*,
                                                               std::vector<std::string>&);
template std::unique_ptr<DualFactorization> factor_dual<double>(const NormalSystem&, MatrixCache*,
                                                                std::vector<std::string>&);

}  // namespace fastfisher::detail
