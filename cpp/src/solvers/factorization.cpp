#include "solvers/factorization.hpp"

#include <cmath>

namespace fastfisher::detail {
namespace {

template <class Real>
class Primal final : public Factorization {
 public:
  Primal(const NormalSystem& system, MatrixCache* cache, LastRung last, std::vector<std::string>& notes)
      : factor_(factor_symmetric<Real>(
            columns(system.scores()), system.shift(), [&system](Real* c) { system.form_primal(c); }, cache, last,
            system.context(), notes)) {}

  void solve(Vector& x) const override { factor_->solve(x); }

 private:
  std::unique_ptr<SymmetricFactor> factor_;
};

template <class Real>
class Dual final : public DualFactorization {
 public:
  Dual(const NormalSystem& system, MatrixCache* cache, LastRung last, std::vector<std::string>& notes)
      : system_(&system),
        factor_(factor_symmetric<Real>(
            rows(system.scores()), system.shift(), [&system](Real* k) { system.form_dual(k); }, cache, last,
            system.context(), notes)) {}

  void solve_dual(Vector& y) const override { factor_->solve(y); }

  // M^-1 x = (x - R^T (R R^T + shift I)^-1 R x) / shift.
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
std::unique_ptr<Factorization> factor_primal(const NormalSystem& system, MatrixCache* cache, LastRung last,
                                             std::vector<std::string>& notes) {
  return std::make_unique<Primal<Real>>(system, cache, last, notes);
}

template <class Real>
std::unique_ptr<DualFactorization> factor_dual(const NormalSystem& system, MatrixCache* cache, LastRung last,
                                               std::vector<std::string>& notes) {
  return std::make_unique<Dual<Real>>(system, cache, last, notes);
}

template std::unique_ptr<Factorization> factor_primal<float>(const NormalSystem&, MatrixCache*, LastRung,
                                                             std::vector<std::string>&);
template std::unique_ptr<Factorization> factor_primal<double>(const NormalSystem&, MatrixCache*, LastRung,
                                                              std::vector<std::string>&);
template std::unique_ptr<DualFactorization> factor_dual<float>(const NormalSystem&, MatrixCache*, LastRung,
                                                               std::vector<std::string>&);
template std::unique_ptr<DualFactorization> factor_dual<double>(const NormalSystem&, MatrixCache*, LastRung,
                                                                std::vector<std::string>&);

}  // namespace fastfisher::detail
