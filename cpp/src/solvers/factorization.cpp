#include "solvers/factorization.hpp"

#include <cmath>
#include <utility>

namespace fastfisher::detail {
namespace {

template <class Real>
std::unique_ptr<SymmetricFactor> factor(Index n, const LinearSystem& system, Former<Real> form,
                                        const FactorOptions& options, FactorReport& report) {
  const Context& context = system.context();
  std::unique_ptr<MatrixSource<Real>> matrix;
  if (options.provider == nullptr) {
    matrix = std::make_unique<FormedMatrix<Real>>(std::move(form));
  } else {
    matrix = options.provider->source(n, std::move(form), context);
  }
  return factor_symmetric<Real>(n, system.shift(), *matrix, options.last, context, report);
}

class Primal final : public Factorization {
 public:
  explicit Primal(std::unique_ptr<SymmetricFactor> factor) : factor_(std::move(factor)) {}
  void solve(Vector& x) const override { factor_->solve(x); }

 private:
  std::unique_ptr<SymmetricFactor> factor_;
};

class Dual final : public DualFactorization {
 public:
  Dual(const NormalSystem& system, std::unique_ptr<SymmetricFactor> factor)
      : system_(&system), factor_(std::move(factor)) {}

  void solve_dual(Vector& y) const override { factor_->solve(y); }

  // By Woodbury, M^-1 x = (x - R^T (R R^T + shift I)^-1 R x) / shift.
  void solve(Vector& x) const override {
    Vector y;
    system_->multiply(x, y);
    for (std::size_t n = 0; n < y.size(); ++n) y[n] *= std::sqrt(system_->weight(n));
    factor_->solve(y);
    for (std::size_t n = 0; n < y.size(); ++n) y[n] *= std::sqrt(system_->weight(n));
    Vector inside;
    system_->multiply_transposed(y, inside);
    for (std::size_t k = 0; k < x.size(); ++k) x[k] = (x[k] - inside[k]) / system_->shift();
  }

 private:
  const NormalSystem* system_;
  std::unique_ptr<SymmetricFactor> factor_;
};

}  // namespace

template <class Real>
std::unique_ptr<Factorization> factor_primal(const LinearSystem& system, const FactorOptions& options,
                                             FactorReport& report) {
  auto made = factor<Real>(
      static_cast<Index>(system.parameters()), system, [&system](Real* c) { system.form_primal(c); }, options, report);
  if (made == nullptr) return nullptr;
  return std::make_unique<Primal>(std::move(made));
}

template <class Real>
std::unique_ptr<DualFactorization> factor_dual(const NormalSystem& system, const FactorOptions& options,
                                               FactorReport& report) {
  auto made = factor<Real>(
      static_cast<Index>(system.samples()), system, [&system](Real* k) { system.form_dual(k); }, options, report);
  if (made == nullptr) return nullptr;
  return std::make_unique<Dual>(system, std::move(made));
}

template std::unique_ptr<Factorization> factor_primal<float>(const LinearSystem&, const FactorOptions&, FactorReport&);
template std::unique_ptr<Factorization> factor_primal<double>(const LinearSystem&, const FactorOptions&, FactorReport&);
template std::unique_ptr<DualFactorization> factor_dual<float>(const NormalSystem&, const FactorOptions&,
                                                               FactorReport&);
template std::unique_ptr<DualFactorization> factor_dual<double>(const NormalSystem&, const FactorOptions&,
                                                                FactorReport&);

}  // namespace fastfisher::detail
