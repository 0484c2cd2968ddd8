// The blocked Cholesky factorisation and its solves, by LAPACK's test ratios (threshold 30).
#include <algorithm>
#include <numeric>

#include "support.hpp"

namespace fastfisher::testing {
namespace {

constexpr double threshold = 30.0;
constexpr Index no_failure = -1;

class Cholesky : public PerLevel {};
FASTFISHER_AT_EVERY_LEVEL(Cholesky);

std::vector<Index> sizes() {
  std::vector<Index> all(66);
  std::iota(all.begin(), all.end(), 0);
  for (const Index n : {95, 96, 97, 127, 128, 129, 130, 143, 144, 145, 191, 193, 255, 256, 257, 300, 385})
    all.push_back(n);
  return all;
}

// A positive definite matrix: entries of variance 4 / 3 have their spectrum within 2.31 sqrt(n), the diagonal is above.
// Lower triangle; NaN above it, which is scratch and must not be read.
template <class Real>
std::vector<Real> positive_definite(Index n) {
  std::vector<Real> a(static_cast<std::size_t>(n * n), std::numeric_limits<Real>::quiet_NaN());
  for (Index j = 0; j < n; ++j) {
    for (Index i = j; i < n; ++i) a[i + j * n] = static_cast<Real>(value_at(i, j));
    a[j + j * n] = static_cast<Real>(3.0 * std::sqrt(static_cast<double>(n)) + 3.0 + std::fabs(value_at(j, j)));
  }
  return a;
}

// ||A||_1 of a symmetric matrix of which the lower triangle is given.
template <class Real>
long double norm_1(Index n, const std::vector<Real>& a) {
  std::vector<long double> columns(static_cast<std::size_t>(n), 0.0L);
  for (Index j = 0; j < n; ++j) {
    for (Index i = j; i < n; ++i) {
      const long double magnitude = std::fabs(static_cast<long double>(a[i + j * n]));
      columns[j] += magnitude;
      if (i != j) columns[i] += magnitude;
    }
  }
  return n == 0 ? 0.0L : *std::max_element(columns.begin(), columns.end());
}

// ||L L^T - A||_1 / (n ||A||_1 eps), LAPACK's DPOT01.
template <class Real>
double factor_ratio(Index n, const std::vector<Real>& a, const Real* factor) {
  std::vector<long double> difference(a.begin(), a.end());
  for (Index k = 0; k < n; ++k) {
    for (Index j = k; j < n; ++j) {
      const long double left = factor[j + k * n];
      for (Index i = j; i < n; ++i) difference[i + j * n] -= left * factor[i + k * n];
    }
  }
  const long double scale = static_cast<long double>(n) * norm_1(n, a) * std::numeric_limits<Real>::epsilon();
  return n == 0 ? 0.0 : static_cast<double>(norm_1(n, difference) / scale);
}

TEST_P(Cholesky, FactorsToLapacksRatio) {
  for_each_real([]<class Real>() {
    for (const Index n : sizes()) {
      SCOPED_TRACE(n);
      const auto a = positive_definite<Real>(n);
      Guarded<Real> factor(n * n);
      std::copy(a.begin(), a.end(), factor.data());
      ASSERT_EQ(cholesky<Real>(n, factor.data(), {1, {}}), no_failure);
      ASSERT_LT(factor_ratio(n, a, factor.data()), threshold);
      ASSERT_TRUE(factor.intact());
    }
  });
}

// ||b - A x||_1 / (||A||_1 ||x||_1 eps), LAPACK's DPOT02.
TEST_P(Cholesky, SolvesToLapacksRatio) {
  for_each_real([]<class Real>() {
    for (const Index n : sizes()) {
      SCOPED_TRACE(n);
      const auto a = positive_definite<Real>(n);
      auto factor = a;
      ASSERT_EQ(cholesky<Real>(n, factor.data(), {1, {}}), no_failure);
      const auto b = vector_of<Real>(n, 5);
      Guarded<Real> x(n);
      std::copy(b.begin(), b.end(), x.data());
      cholesky_solve<Real>(n, factor.data(), x.data(), {1, {}});
      long double residual = 0.0L, solution = 0.0L;
      for (Index i = 0; i < n; ++i) {
        long double difference = b[i];
        for (Index j = 0; j < n; ++j) {
          difference -= static_cast<long double>(i >= j ? a[i + j * n] : a[j + i * n]) * x[j];
        }
        residual += std::fabs(difference);
        solution += std::fabs(static_cast<long double>(x[i]));
      }
      ASSERT_LE(residual, threshold * norm_1(n, a) * solution * std::numeric_limits<Real>::epsilon());
      ASSERT_TRUE(x.intact());
    }
  });
}

// Too large for a product in long double: L (L^T v) against A v for a few v.
TEST_P(Cholesky, LargeMatricesByProbes) {
  for_each_real([]<class Real>() {
    constexpr Index n = 1537;  // past the size at which the block grows
    const auto a = positive_definite<Real>(n);
    auto factor = a;
    ASSERT_EQ(cholesky<Real>(n, factor.data(), {2, {}}), no_failure);
    for (const Index seed : {1, 2}) {
      const auto v = vector_of<double>(n, seed);
      std::vector<long double> inner(n, 0.0L), difference(n, 0.0L);
      long double length = 0.0L;
      for (Index j = 0; j < n; ++j) {
        length += std::fabs(v[j]);
        for (Index i = j; i < n; ++i) {
          inner[j] += static_cast<long double>(factor[i + j * n]) * v[i];
          difference[i] += static_cast<long double>(a[i + j * n]) * v[j];
          if (i != j) difference[j] += static_cast<long double>(a[i + j * n]) * v[i];
        }
      }
      for (Index j = 0; j < n; ++j) {
        for (Index i = j; i < n; ++i) difference[i] -= factor[i + j * n] * inner[j];
      }
      long double error = 0.0L;
      for (const long double entry : difference) error += std::fabs(entry);
      EXPECT_LT(error / (n * norm_1(n, a) * length * std::numeric_limits<Real>::epsilon()), threshold);
    }
  });
}

// Positions in the first, a middle and the last block, and on both sides of their edges.
std::vector<Index> positions(Index n) {
  std::vector<Index> all;
  for (const Index k : {Index{0}, Index{1}, Index{63}, Index{127}, Index{128}, Index{129}, n / 2, n - 2, n - 1}) {
    if (k >= 0 && k < n) all.push_back(k);
  }
  return all;
}

TEST_P(Cholesky, TheFirstBadPivotIsReported) {
  for_each_real([]<class Real>() {
    constexpr Real nan = std::numeric_limits<Real>::quiet_NaN();
    constexpr Real inf = std::numeric_limits<Real>::infinity();
    for (const Index n : {1, 2, 5, 33, 128, 129, 300}) {
      const auto good = positive_definite<Real>(n);
      for (const Index k : positions(n)) {
        for (const Real bad : {Real(-1), Real(0), nan, inf, -inf}) {
          SCOPED_TRACE(::testing::Message() << "n = " << n << ", entry " << k << ", " << k << " = " << bad);
          auto a = good;
          a[k + k * n] = bad;
          a[n * n - 1] = bad;  // a later one, which is not the first
          ASSERT_EQ(cholesky<Real>(n, a.data(), {1, {}}), k);
        }
        // Left of the diagonal the trouble reaches the row's own pivot.
        for (const Real bad : {nan, inf, -inf}) {
          if (k == 0) continue;
          for (const Index column : {Index{0}, k / 2, k - 1}) {
            SCOPED_TRACE(::testing::Message() << "n = " << n << ", entry " << k << ", " << column << " = " << bad);
            auto a = good;
            a[k + column * n] = bad;
            ASSERT_EQ(cholesky<Real>(n, a.data(), {1, {}}), k);
          }
        }
      }
    }
  });
}

// Indefinite by rounding's standards and not by a negative diagonal: [[1, 2], [2, 1]] deep inside.
TEST_P(Cholesky, AnIndefiniteMinorIsReported) {
  for_each_real([]<class Real>() {
    for (const Index n : {40, 200, 300}) {
      for (Index k = 0; k + 1 < n; k += 13) {
        std::vector<Real> a(static_cast<std::size_t>(n * n), Real(0));
        for (Index i = 0; i < n; ++i) a[i + i * n] = Real(1);
        a[k + 1 + k * n] = Real(2);
        ASSERT_EQ(cholesky<Real>(n, a.data(), {1, {}}), k + 1) << "n = " << n;
      }
    }
  });
}

TEST_P(Cholesky, ExtremeScalesFactor) {
  for_each_real([]<class Real>() {
    constexpr Index n = 150;
    for (const Real scale :
         {std::numeric_limits<Real>::min() * Real(1e4), std::numeric_limits<Real>::max() / Real(1e4)}) {
      auto a = positive_definite<Real>(n);
      for (Real& entry : a) entry *= scale;
      auto factor = a;
      ASSERT_EQ(cholesky<Real>(n, factor.data(), {1, {}}), no_failure) << scale;
      EXPECT_LT(factor_ratio(n, a, factor.data()), threshold) << scale;
    }
  });
}

}  // namespace
}  // namespace fastfisher::testing
