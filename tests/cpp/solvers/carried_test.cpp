// Vectors that are carried with their sample weights: v = S^T u before a product, a residual or a solve, and after.
#include "solvers/carried.hpp"

#include "block_scores.hpp"
#include "solvers/conjugate_gradient.hpp"
#include "solvers/lsmr.hpp"
#include "solvers/narrow_product.hpp"

namespace fastfisher::testing {
namespace {

using detail::Carrier;
using detail::NormalSystem;
using detail::Vector;

class CarriedTest : public PerLevel {};
FASTFISHER_AT_EVERY_LEVEL(CarriedTest);

constexpr Index samples = 40, parameters = 7;
constexpr double shift = 0.5;

// Scores of one dense block, with weights, targets a and b = S^T diag(w) a.
struct Problem {
  std::vector<double> values;
  std::vector<double> weights = weights_of(samples);
  Vector targets = vector_of<double>(samples, 5);
  Vector b = Vector(static_cast<std::size_t>(parameters), 0.0);

  Problem() {
    for (Index n = 0; n < samples; ++n) {
      for (Index k = 0; k < parameters; ++k) values.push_back(value_at(n, k));
    }
    Vector u(targets.size());
    for (std::size_t n = 0; n < u.size(); ++n) u[n] = weights[n] * targets[n];
    const Vector lifted = lift(u);
    for (std::size_t k = 0; k < b.size(); ++k) b[k] = lifted[k];
  }

  NormalSystem system(const Context& context) const {
    return {row_major<const double>(values.data(), samples, parameters), weights.data(), shift, nullptr, context};
  }

  Vector lift(const Vector& u) const {
    Vector v;
    for (Index k = 0; k < parameters; ++k) {
      long double sum = 0.0L;
      for (Index n = 0; n < samples; ++n) sum += static_cast<long double>(values[n * parameters + k]) * u[n];
      v.push_back(static_cast<double>(sum));
    }
    return v;
  }

  Vector carried(const Vector& u) const {
    Vector v = lift(u);
    v.insert(v.end(), u.begin(), u.end());
    return v;
  }

  // Returns ||v - S^T u|| / ||v||.
  double miss(const Vector& both) const {
    EXPECT_EQ(both.size(), static_cast<std::size_t>(samples + parameters));
    Vector v(both.begin(), both.begin() + parameters), e = lift(Vector(both.begin() + parameters, both.end()));
    for (std::size_t k = 0; k < v.size(); ++k) e[k] -= v[k];
    return detail::norm(e) / detail::norm(v);
  }
};

TEST_P(CarriedTest, ProductsAndResidualsAreOfTheSpan) {
  const Problem problem;
  const Context context{2, {}};
  const NormalSystem system = problem.system(context);
  const Carrier carrier(system, problem.targets);
  const Vector x = problem.carried(vector_of<double>(samples, 2));
  Vector y, plain, narrow(x.size());
  carrier.multiply(x, y);
  system.apply(Vector(x.begin(), x.begin() + parameters), plain);
  for (std::size_t k = 0; k < plain.size(); ++k) EXPECT_EQ(y[k], plain[k]);
  EXPECT_LT(problem.miss(y), 1e-13);
  detail::NarrowProduct in_single(system);
  in_single(x, narrow);
  EXPECT_LT(problem.miss(narrow), 1e-5);
  Vector r, products;
  system.residual(problem.b, x, r, &products);
  carrier.extend_residual(x, products, r);
  EXPECT_LT(problem.miss(r), 1e-12);
}

TEST_P(CarriedTest, AnyNumberOfIterationsKeepsTheSpan) {
  const Problem problem;
  const Context context{2, {}};
  const NormalSystem system = problem.system(context);
  const Carrier carrier(system, problem.targets);
  detail::LeastSquares least_squares{&system, problem.targets};
  for (std::size_t n = 0; n < problem.targets.size(); ++n) {
    least_squares.samples[n] *= std::sqrt(problem.weights[n]);
  }
  for (const Index most : {1, 2, 4, 100}) {
    SCOPED_TRACE(most);
    detail::ConjugateGradientOptions options;
    options.max_iterations = most;
    options.carrier = &carrier;
    Vector x(static_cast<std::size_t>(samples + parameters), 0.0), alone(static_cast<std::size_t>(parameters), 0.0);
    const detail::Product carried = [&](const Vector& p, Vector& y) { carrier.multiply(p, y); };
    detail::conjugate_gradient(system, carried, problem.b, nullptr, options, x);
    EXPECT_LT(problem.miss(x), 1e-12);
    // Carrying changes no bit of the solution.
    options.carrier = nullptr;
    const detail::Product plain = [&](const Vector& p, Vector& y) { system.apply(p, y); };
    detail::conjugate_gradient(system, plain, problem.b, nullptr, options, alone);
    EXPECT_EQ(Vector(x.begin(), x.begin() + parameters), alone);

    detail::Solution with, without;
    with.x.assign(x.size(), 0.0);
    without.x.assign(alone.size(), 0.0);
    detail::lsmr(least_squares, problem.b, nullptr, 1e-8, most, with);
    detail::lsmr(least_squares, problem.b, nullptr, 1e-8, most, without);
    EXPECT_LT(problem.miss(with.x), 1e-12);
    EXPECT_EQ(Vector(with.x.begin(), with.x.begin() + parameters), without.x);
  }
}

}  // namespace
}  // namespace fastfisher::testing
