#include "factor/symmetric_factor.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "factor/tridiagonal.hpp"
#include "fastfisher/linalg.hpp"

namespace fastfisher::detail {
namespace {

template <class Real>
class DenseCholesky final : public ShiftedFactor {
 public:
  DenseCholesky(Index n, MatrixSource<Real>& matrix, const Context& context)
      : n_(n), matrix_(&matrix), factor_(n * n), context_(&context) {}

  bool factor(double shift) override {
    matrix_->write(factor_.data());
    largest_diagonal_ = largest_diagonal(n_, factor_);
    for (Index k = 0; k < n_; ++k) {
      Real& entry = factor_[k * (n_ + 1)];
      entry = static_cast<Real>(static_cast<double>(entry) + shift);
    }
    return cholesky(n_, factor_.data(), *context_) < 0;
  }
  double largest() const noexcept override { return largest_diagonal_; }

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
  MatrixSource<Real>* matrix_;  // the tries read it; a solve does not, and may outlive it
  Buffer<Real> factor_;
  const Context* context_;
  double largest_diagonal_ = 0.0;
};

template <class Real>
class Clamped final : public SymmetricFactor {
 public:
  Clamped(Index n, Buffer<Real>&& matrix, const Context& context) : form_(n, std::move(matrix), 1, context) {}

  // Rounding of a positive semi-definite matrix moves its eigenvalues by n eps of the largest, or as far as the most
  // negative one tells.  Returns false where there is nothing above that.
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

// Rounding moves eigenvalues by about n eps of the largest, which is therefore the first jitter; the second is a
// hundred times as much.  Returns whether the factor exists with one of them or with none.
bool climb(Index n, double shift, double rounding, ShiftedFactor& tried, FactorReport& report) {
  if (tried.factor(shift)) return true;
  const double scale = tried.largest();
  if (!(scale > 0.0) || !std::isfinite(scale)) return false;
  double jitter = static_cast<double>(n) * rounding * scale;
  for (int rung = 0; rung < 2; ++rung, jitter *= 100.0) {
    if (!tried.factor(shift + jitter)) continue;
    report.relative_jitter = jitter / scale;
    return true;
  }
  return false;
}

}  // namespace

template <class Real>
std::unique_ptr<SymmetricFactor> factor_symmetric(Index n, double shift, MatrixSource<Real>& matrix, LastRung last,
                                                  const Context& context, FactorReport& report) {
  report = {};
  std::unique_ptr<ShiftedFactor> tried = matrix.cheaper_factor();
  report.reduced_to_band = tried != nullptr;
  if (tried == nullptr) tried = std::make_unique<DenseCholesky<Real>>(n, matrix, context);
  if (climb(n, shift, std::numeric_limits<Real>::epsilon(), *tried, report)) return tried;
  tried.reset();
  if (last == LastRung::clamp && n <= most_clamped) {
    Buffer<Real> copy(n * n);
    matrix.write(copy.data());
    auto clamped = std::make_unique<Clamped<Real>>(n, std::move(copy), context);
    if (clamped->factor(shift, context)) {
      report.raised = clamped->raised();
      report.size = n;
      report.relative_bound = clamped->relative_bound();
      return clamped;
    }
  }
  return nullptr;
}

double guaranteed_shift(double depth, double n, double rounding_unit, double square_norm) noexcept {
  return 11.0 * (depth * n + n * (n + 1.0)) * rounding_unit * square_norm;
}

template std::unique_ptr<SymmetricFactor> factor_symmetric<float>(Index, double, MatrixSource<float>&, LastRung,
                                                                  const Context&, FactorReport&);
template std::unique_ptr<SymmetricFactor> factor_symmetric<double>(Index, double, MatrixSource<double>&, LastRung,
                                                                   const Context&, FactorReport&);

}  // namespace fastfisher::detail
