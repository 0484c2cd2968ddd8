// The band form, the tridiagonal eigenvalues, and the ladder of factorisations that they serve.
#include "factor/symmetric_factor.hpp"

#include <random>

#include "factor/band_form.hpp"
#include "factor/several/matrix_cache.hpp"
#include "factor/tridiagonal.hpp"
#include "support.hpp"

namespace fastfisher::testing {
namespace {

using detail::Band;
using detail::Buffer;
using detail::Vector;

class SymmetricFactor : public PerLevel {};
FASTFISHER_AT_EVERY_LEVEL(SymmetricFactor);

// Column-major, both triangles.
using Matrix = std::vector<double>;

// P diag(eigenvalues) P with P = I - 2 v v^T / v^T v: known eigenvalues, and entries without pattern.
Matrix with_eigenvalues(const Vector& eigenvalues) {
  const auto n = static_cast<Index>(eigenvalues.size());
  Vector v = vector_of<double>(n, 7);
  v[0] += 3.0;
  double square = 0.0, inner = 0.0;
  for (Index i = 0; i < n; ++i) {
    square += v[i] * v[i];
    inner += v[i] * v[i] * eigenvalues[i];
  }
  Matrix a(static_cast<std::size_t>(n * n));
  for (Index j = 0; j < n; ++j) {
    for (Index i = 0; i < n; ++i) {
      const double cross = v[i] * v[j] * (4.0 * inner / square - 2.0 * (eigenvalues[i] + eigenvalues[j])) / square;
      a[i + j * n] = cross + (i == j ? eigenvalues[i] : 0.0);
    }
  }
  return a;
}

Vector geometric(Index n, double last) {
  Vector values(static_cast<std::size_t>(n));
  for (Index k = 0; k < n; ++k)
    values[k] = std::pow(last, n == 1 ? 0.0 : static_cast<double>(k) / static_cast<double>(n - 1));
  return values;
}

double error_of(const Matrix& a, double shift, const Vector& x, const Vector& b) {
  const auto n = static_cast<Index>(b.size());
  double worst = 0.0;
  for (Index i = 0; i < n; ++i) {
    long double sum = static_cast<long double>(shift) * x[i] - b[i];
    for (Index j = 0; j < n; ++j) sum += static_cast<long double>(a[i + j * n]) * x[j];
    worst = std::max(worst, static_cast<double>(std::fabs(sum)));
  }
  return worst;
}

template <class Real>
detail::Former<Real> former_of(const Matrix& a, Index n) {
  return [&a, n](Real* target) {
    for (Index j = 0; j < n; ++j) {
      for (Index i = j; i < n; ++i) target[i + j * n] = static_cast<Real>(a[i + j * n]);
    }
  };
}

template <class Real>
Buffer<Real> buffer_of(const Matrix& a, Index n) {
  Buffer<Real> buffer(n * n);
  std::fill_n(buffer.data(), n * n, std::numeric_limits<Real>::quiet_NaN());
  former_of<Real>(a, n)(buffer.data());
  return buffer;
}

TEST_P(SymmetricFactor, TheBandFormIsTheMatrixInAnotherBasis) {
  for_each_real([]<class Real>() {
    for (const Index n : {1, 2, 3, 7, 31, 33, 34, 65, 96, 97, 150, 300}) {
      for (const Index width : {1, 5, 32}) {
        SCOPED_TRACE(std::to_string(n) + " rows to width " + std::to_string(width));
        const Matrix a = with_eigenvalues(geometric(n, 1e-3));
        const detail::BandForm<Real> form(n, buffer_of<Real>(a, n), width, Context{2, {}});
        const Vector x = vector_of<double>(n, 1);
        // Q B Q^T x = A x, and Q is orthogonal.
        Vector y = x;
        form.to_band(y);
        Vector back = y;
        form.from_band(back);
        const Band& band = form.band();
        Vector product(y.size(), 0.0);
        for (Index j = 0; j < n; ++j) {
          product[j] += band.column(j)[0] * y[j];
          for (Index k = 1; k <= band.below(j); ++k) {
            product[j + k] += band.column(j)[k] * y[j];
            product[j] += band.column(j)[k] * y[j + k];
          }
        }
        form.from_band(product);
        const double bound = 20.0 * static_cast<double>(n) * std::numeric_limits<Real>::epsilon();
        EXPECT_LT(error_of(a, 0.0, x, product), bound);
        for (Index k = 0; k < n; ++k) EXPECT_NEAR(back[k], x[k], bound);
      }
    }
  });
}

// Forms a matrix in Real by way of the cache; the number of times that it had to.
template <class Real>
int formed(detail::MatrixCache& cache, const Matrix& a, Index n, int copies) {
  int forms = 0;
  const detail::Former<Real> form = [&](Real* target) {
    ++forms;
    former_of<Real>(a, n)(target);
  };
  for (int k = 0; k < copies; ++k) {
    Buffer<Real> copy(n * n);
    std::fill_n(copy.data(), n * n, Real(0));
    cache.copy(n, form, copy.data());
    for (Index i = 0; i < n; ++i) EXPECT_EQ(copy[i * (n + 1)], static_cast<Real>(a[i * (n + 1)]));
  }
  return forms;
}

TEST_P(SymmetricFactor, AMatrixIsKeptWhereItFitsBesideAFactor) {
  const Index n = 30;
  const Matrix a = with_eigenvalues(geometric(n, 1e-3));
  const double in_double = static_cast<double>(n * n) * sizeof(double);
  for (const double limit : {1.0, 1.9, 2.0}) {
    SCOPED_TRACE(limit);
    detail::MatrixCache cache(0, 0, limit * in_double);
    EXPECT_EQ(formed<double>(cache, a, n, 3), limit < 2.0 ? 3 : 1);
  }
  // A matrix in single precision gives way to a factor in double, or stays beside that and its copy.
  for (const double limit : {1.0, 2.0, 2.5}) {
    SCOPED_TRACE(limit);
    detail::MatrixCache cache(0, 0, limit * in_double);
    EXPECT_EQ(formed<float>(cache, a, n, 3), 1);
    EXPECT_EQ(formed<double>(cache, a, n, 3), limit < 2.5 ? 3 : 1);
    EXPECT_EQ(formed<float>(cache, a, n, 3), limit == 1.0 ? 1 : 0);
  }
}

// The process's number of threads may rise at any time: in a poll, or by another thread.
TEST_P(SymmetricFactor, TheBandFormKeepsTheThreadsThatItBeganWith) {
  const Index n = 330;
  const Matrix a = with_eigenvalues(geometric(n, 1e-3));
  const detail::BandForm<double> expected(n, buffer_of<double>(a, n), 32, Context{1, {}});
  set_default_num_threads(1);
  const detail::BandForm<double> form(n, buffer_of<double>(a, n), 32, Context{0, [] { set_default_num_threads(8); }});
  set_default_num_threads(0);
  EXPECT_TRUE(same_bits(form.band().entries, expected.band().entries));
}

TEST_P(SymmetricFactor, TheBandFormHasTheSameBitsForAnyNumberOfThreads) {
  const Index n = 330;
  const Matrix a = with_eigenvalues(geometric(n, 1e-6));
  const detail::BandForm<double> one(n, buffer_of<double>(a, n), 32, Context{1, {}});
  for (const int threads : {2, 3, 8}) {
    const detail::BandForm<double> many(n, buffer_of<double>(a, n), 32, Context{threads, {}});
    EXPECT_TRUE(same_bits(one.band().entries, many.band().entries));
  }
}

TEST(TridiagonalEigen, FindsTheEigenvaluesOfTheSecondDifference) {
  for (const Index n : {1, 2, 3, 10, 100}) {
    Band matrix(n, 1);
    for (Index j = 0; j < n; ++j) {
      matrix.column(j)[0] = 2.0;
      matrix.column(j)[1] = -1.0;
    }
    detail::TridiagonalEigen eigen;
    ASSERT_TRUE(eigen.decompose(matrix, Context{}));
    Vector found = eigen.eigenvalues();
    std::sort(found.begin(), found.end());
    for (Index k = 0; k < n; ++k) {
      const double angle = std::acos(-1.0) * static_cast<double>(k + 1) / static_cast<double>(n + 1);
      EXPECT_NEAR(found[k], 2.0 - 2.0 * std::cos(angle), 1e-14);
    }
    // Z D Z^T x = T x.
    const Vector x = vector_of<double>(n, 5);
    Vector y = x;
    eigen.to_eigenvectors(y);
    for (Index k = 0; k < n; ++k) y[k] *= eigen.eigenvalues()[k];
    eigen.from_eigenvectors(y);
    for (Index k = 0; k < n; ++k) {
      const double left = k > 0 ? x[k - 1] : 0.0, right = k + 1 < n ? x[k + 1] : 0.0;
      EXPECT_NEAR(y[k], 2.0 * x[k] - left - right, 1e-13);
    }
  }
}

TEST(TridiagonalEigen, SaysThatANaNHasNone) {
  Band matrix(3, 1);
  matrix.column(1)[1] = std::numeric_limits<double>::quiet_NaN();
  detail::TridiagonalEigen eigen;
  EXPECT_FALSE(eigen.decompose(matrix, Context{}));
}

enum class Reached { cholesky, jitter, clamp };

// Each rung, from a matrix whose least eigenvalue is as far below zero as it takes.
template <class Real>
void expect_rung(double least, double shift, Reached reached, detail::MatrixCache* cache = nullptr) {
  SCOPED_TRACE("least eigenvalue " + std::to_string(least));
  const Index n = 520;
  Vector eigenvalues = geometric(n, 1e-2);
  eigenvalues.back() = least;
  const Matrix a = with_eigenvalues(eigenvalues);
  const Context context;
  detail::FormedMatrix<Real> formed_matrix(former_of<Real>(a, n));
  const auto cached = cache == nullptr ? nullptr : cache->source(n, former_of<Real>(a, n), context);
  detail::MatrixSource<Real>& matrix = cached == nullptr ? formed_matrix : *cached;
  detail::FactorReport report;
  const auto factor = detail::factor_symmetric<Real>(n, shift, matrix, detail::LastRung::clamp, context, report);
  ASSERT_NE(factor, nullptr);
  EXPECT_EQ(report.exact(), reached == Reached::cholesky);
  EXPECT_EQ(report.relative_jitter > 0.0, reached == Reached::jitter);
  EXPECT_EQ(report.raised > 0 && report.size == n && report.relative_bound > 0.0, reached == Reached::clamp);
  EXPECT_EQ(report.reduced_to_band, cache != nullptr);
  // Along every other eigenvector it is the inverse.
  Vector x = vector_of<double>(n, 3), v = vector_of<double>(n, 7), last(x.size(), 0.0);
  v[0] += 3.0;
  double square = 0.0;
  for (const double value : v) square += value * value;
  for (Index k = 0; k < n; ++k) last[k] = (k + 1 == n ? 1.0 : 0.0) - 2.0 * v[k] * v[n - 1] / square;
  const auto project = [&last](Vector& y) {
    const double along = detail::dot(last, y);
    for (std::size_t k = 0; k < y.size(); ++k) y[k] -= along * last[k];
  };
  project(x);
  Vector solution = x;
  factor->solve(solution);
  for (const double value : solution) ASSERT_TRUE(std::isfinite(value));
  project(solution);
  const double loss = reached == Reached::jitter ? 1e8 : 1e3;  // a jitter is on all of them
  EXPECT_LT(error_of(a, shift, solution, x), loss * static_cast<double>(std::numeric_limits<Real>::epsilon()));
}

TEST_P(SymmetricFactor, EachRungOfTheLadderIsReached) {
  expect_rung<double>(1e-3, 0.0, Reached::cholesky);
  expect_rung<double>(-1e-14, 0.0, Reached::jitter);
  expect_rung<double>(-1e-12, 0.0, Reached::jitter);
  expect_rung<double>(-1e-6, 0.0, Reached::clamp);
  expect_rung<double>(-1e-3, 1e-4, Reached::clamp);
  expect_rung<double>(-1e-3, 2e-3, Reached::cholesky);
  expect_rung<float>(-1e-6, 0.0, Reached::jitter);
  expect_rung<float>(-8e-3, 0.0, Reached::clamp);
}

TEST_P(SymmetricFactor, EachRungOfTheLadderIsReachedFromABand) {
  for (const auto& [least, reached] :
       {std::pair{1e-3, Reached::cholesky}, {-1e-14, Reached::jitter}, {-1e-6, Reached::clamp}}) {
    detail::MatrixCache cache(0, 100, 1e9);
    ASSERT_TRUE(cache.reduces<double>(520));
    expect_rung<double>(least, 0.0, reached, &cache);
  }
}

TEST_P(SymmetricFactor, BelowTheLastRungThereIsNone) {
  const auto expect_refused = [](const Matrix& a, Index n, detail::LastRung last) {
    detail::FormedMatrix<double> matrix(former_of<double>(a, n));
    detail::FactorReport report;
    EXPECT_EQ(detail::factor_symmetric<double>(n, 0.0, matrix, last, Context{}, report), nullptr);
    EXPECT_TRUE(report.exact());
  };
  const Index n = 40;
  expect_refused(Matrix(n * n, 0.0), n, detail::LastRung::clamp);
  Vector eigenvalues = geometric(n, 1e-2);
  eigenvalues.back() = -2.0;  // more than the largest: no rounding of a semi-definite matrix
  expect_refused(with_eigenvalues(eigenvalues), n, detail::LastRung::clamp);
  eigenvalues.back() = -1e-3;
  expect_refused(with_eigenvalues(eigenvalues), n, detail::LastRung::jitter);
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    for (const Index place : {Index{0}, n * n / 2 + n / 2, n * n - 1, n - 1}) {
      Matrix spoilt = with_eigenvalues(geometric(n, 1e-2));
      spoilt[place] = bad;
      expect_refused(spoilt, n, detail::LastRung::clamp);
    }
  }
}

// S of unit spectral norm at the most, rows graded or not, of rank 1 or full: the shift is all that holds it.
template <class Real>
void expect_guarantee(Index depth, Index n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::uniform_int_distribution<int> kind(0, 3);
  std::vector<Real> scores(static_cast<std::size_t>(depth * n));
  const int made = kind(random);
  Vector common(static_cast<std::size_t>(n));
  for (double& value : common) value = normal(random);
  double square = 0.0;
  for (Index i = 0; i < depth; ++i) {
    for (Index j = 0; j < n; ++j) {
      const double grade = made >= 2 ? std::pow(10.0, -8.0 * static_cast<double>(j) / static_cast<double>(n)) : 1.0;
      const double value = grade * (made % 2 == 0 ? normal(random) : common[static_cast<std::size_t>(j)]);
      scores[static_cast<std::size_t>(i * n + j)] = static_cast<Real>(value);
      square += value * value;
    }
  }
  const double unit = 0.5 * static_cast<double>(std::numeric_limits<Real>::epsilon());
  const double shift = detail::guaranteed_shift(static_cast<double>(depth), static_cast<double>(n), unit, square);
  std::vector<Real> c(static_cast<std::size_t>(n * n));
  fisher_product<Real>(row_major<const Real>(scores.data(), depth, n), nullptr, Update::assign, c.data());
  for (Index k = 0; k < n; ++k) {
    Real& entry = c[static_cast<std::size_t>(k * (n + 1))];
    entry = static_cast<Real>(static_cast<double>(entry) + shift);
  }
  EXPECT_LT(cholesky<Real>(n, c.data()), 0) << depth << " x " << n << ", kind " << made << ", seed " << seed;
}

TEST_P(SymmetricFactor, TheGuaranteedShiftIsOne) {
  for_each_real([]<class Real>() {
    std::uint64_t seed = 0;
    for (int round = 0; round < 20; ++round) {
      for (const Shape& shape : {Shape{1, 1}, Shape{1, 20}, Shape{20, 5}, Shape{5, 40}, Shape{33, 33}, Shape{60, 64}}) {
        expect_guarantee<Real>(shape.rows, shape.columns, ++seed);
      }
    }
    expect_guarantee<Real>(40, 300, ++seed);
  });
}

}  // namespace
}  // namespace fastfisher::testing
