#include "factor/symmetric_factor.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <type_traits>

#include "factor/tridiagonal.hpp"
#include "fastfisher/errors.hpp"
#include "fastfisher/linalg.hpp"

namespace fastfisher::detail {
namespace {

std::string in_words(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1e", value);
  return text;
}

template <class Real>
class DenseCholesky final : public SymmetricFactor {
 public:
  DenseCholesky(Index n, const Context& context) : n_(n), factor_(n * n), context_(&context) {}

  // Tries A + shift I; `form` writes A's lower triangle.
  template <class Form>
  bool factor(double shift, const Form& form) {
    form(factor_.data());
    largest_diagonal_ = largest_diagonal(n_, factor_);
    for (Index k = 0; k < n_; ++k) {
      Real& entry = factor_[k * (n_ + 1)];
      entry = static_cast<Real>(static_cast<double>(entry) + shift);
    }
    return cholesky(n_, factor_.data(), *context_) < 0;
  }
  double largest() const noexcept { return largest_diagonal_; }

  void solve(Vector& x) const override {
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
  Index n_;
  Buffer<Real> factor_;
  const Context* context_;
  double largest_diagonal_ = 0.0;
};

// Shares the band form with the factors of other dampings.
template <class Real>
class BandedCholesky final : public SymmetricFactor {
 public:
  explicit BandedCholesky(const MatrixCache::Reduced<Real>& reduced) : reduced_(&reduced) {}

  bool factor(double shift) { return factor_.factor(reduced_->form.band(), shift); }
  double largest() const noexcept { return reduced_->largest_diagonal; }

  void solve(Vector& x) const override {
    reduced_->form.to_band(x);
    factor_.solve(x);
    reduced_->form.from_band(x);
  }

 private:
  const MatrixCache::Reduced<Real>* reduced_;
  BandCholesky factor_;
};

template <class Real>
class Clamped final : public SymmetricFactor {
 public:
  Clamped(Index n, Buffer<Real>&& matrix, const Context& context) : form_(n, std::move(matrix), 1, context) {}

  // Rounding of a positive semi-definite matrix moves its eigenvalues by n eps of the largest, or as far as the most
  // negative one tells.  False where there is nothing above that.
  bool factor(double shift, const Context& context) {
    if (!eigen_.decompose(form_.band(), context)) return false;
    double least = std::numeric_limits<double>::infinity(), largest = -least;
    for (const double value : eigen_.eigenvalues()) {
      least = std::min(least, value);
      largest = std::max(largest, value);
    }
    const auto size = static_cast<double>(eigen_.eigenvalues().size());
    const double bound = std::max(-least, size * std::numeric_limits<Real>::epsilon() * largest);
    if (!(largest > bound) || !std::isfinite(largest)) return false;
    relative_bound_ = bound / largest;
    for (const double value : eigen_.eigenvalues()) {
      raised_ += value < bound ? 1 : 0;
      inverse_.push_back(1.0 / (std::max(value, bound) + shift));
    }
    return true;
  }

  Index raised() const noexcept { return raised_; }
  double relative_bound() const noexcept { return relative_bound_; }

  void solve(Vector& x) const override {
    form_.to_band(x);
    eigen_.to_eigenvectors(x);
    for (std::size_t k = 0; k < x.size(); ++k) x[k] *= inverse_[k];
    eigen_.from_eigenvectors(x);
    form_.from_band(x);
  }

 private:
  BandForm<Real> form_;
  TridiagonalEigen eigen_;
  Vector inverse_;
  Index raised_ = 0;
  double relative_bound_ = 0.0;
};

// Rounding moves eigenvalues by about n eps of the largest: that is the first jitter, a hundred times as much the
// second.  True if attempt(shift) succeeded with one of them or with none.
template <class Attempt, class Largest>
bool climb(Index n, double shift, double rounding, const Attempt& attempt, const Largest& largest,
           std::vector<std::string>& notes) {
  if (attempt(shift)) return true;
  const double scale = largest();
  if (!(scale > 0.0) || !std::isfinite(scale)) return false;
  double jitter = static_cast<double>(n) * rounding * scale;
  for (int rung = 0; rung < 2; ++rung, jitter *= 100.0) {
    if (!attempt(shift + jitter)) continue;
    notes.push_back("The damping is below the rounding of the matrix, whose Cholesky factor broke down; a jitter of " +
                    in_words(jitter / scale) + " times its largest diagonal entry was added to the factored matrix.");
    return true;
  }
  return false;
}

}  // namespace

template <class Real>
std::unique_ptr<SymmetricFactor> factor_symmetric(Index n, double shift, const Former<Real>& form, MatrixCache* cache,
                                                  LastRung last, const Context& context,
                                                  std::vector<std::string>& notes) {
  const double rounding = std::numeric_limits<Real>::epsilon();
  const auto copy = [&](Real* target) {
    if (cache == nullptr) {
      form(target);
    } else {
      cache->copy<Real>(n, form, target);
    }
  };
  if (const auto* reduced = cache == nullptr ? nullptr : cache->reduced<Real>(n, form, context)) {
    auto banded = std::make_unique<BandedCholesky<Real>>(*reduced);
    if (climb(
            n, shift, rounding, [&](double shifted) { return banded->factor(shifted); },
            [&] { return banded->largest(); }, notes)) {
      return banded;
    }
  } else {
    auto dense = std::make_unique<DenseCholesky<Real>>(n, context);
    if (climb(
            n, shift, rounding, [&](double shifted) { return dense->factor(shifted, copy); },
            [&] { return dense->largest(); }, notes)) {
      return dense;
    }
  }
  if (last == LastRung::clamp && n <= most_clamped) {
    Buffer<Real> matrix(n * n);
    copy(matrix.data());
    auto clamped = std::make_unique<Clamped<Real>>(n, std::move(matrix), context);
    if (clamped->factor(shift, context)) {
      notes.push_back("Rounding has left the matrix indefinite beyond a jitter; " + std::to_string(clamped->raised()) +
                      " of its " + std::to_string(n) + " eigenvalues were below the bound on its rounding, " +
                      in_words(clamped->relative_bound()) + " times the largest, and were raised to that.");
      return clamped;
    }
  }
  throw NotPositiveDefinite(
      "the damped Fisher matrix has no Cholesky factor in this precision, even with jitter, and no positive "
      "eigenvalue above its rounding; increase damping");
}

double guaranteed_shift(double depth, double n, double rounding_unit, double square_norm) noexcept {
  return 11.0 * (depth * n + n * (n + 1.0)) * rounding_unit * square_norm;
}

template std::unique_ptr<SymmetricFactor> factor_symmetric<float>(Index, double, const Former<float>&, MatrixCache*,
                                                                  LastRung, const Context&, std::vector<std::string>&);
template std::unique_ptr<SymmetricFactor> factor_symmetric<double>(Index, double, const Former<double>&, MatrixCache*,
                                                                   LastRung, const Context&, std::vector<std::string>&);

}  // namespace fastfisher::detail
