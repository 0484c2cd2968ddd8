// Scores less their mean, against the subtraction written out in long double, under a mean a million times the rest.
#include "scores/centred.hpp"

#include "block_scores.hpp"

namespace fastfisher::testing {
namespace {

using detail::CentredForGram;
using detail::Vector;

class Centred : public PerLevel {};
FASTFISHER_AT_EVERY_LEVEL(Centred);

// Sides of pairs have the root of the mean of dense blocks: products are as large as those.
constexpr float huge = 1e6F, root = 1e3F;

template <class In>
BlockScores blocks(Index rows) {
  BlockScores scores(rows);
  scores.template dense<In>(5, huge).template pair<In>(3, 4, 1, 0, root).template dense<In>(3);
  scores.template pair<In>(2, 5, 3, 1, root).template pair<In>(3, 2, 2);
  return scores;
}

// By weights, or null.
std::vector<long double> exact_mean(const Exact& scores, const double* weights) {
  std::vector<long double> mean(static_cast<std::size_t>(scores.columns), 0.0L);
  long double total = 0.0L;
  for (Index n = 0; n < scores.rows; ++n) {
    const long double weight = weights == nullptr ? 1.0L : weights[n];
    total += weight;
    for (Index k = 0; k < scores.columns; ++k) mean[k] += weight * scores(n, k);
  }
  for (long double& value : mean) value /= total;
  return mean;
}

Vector rounded(const std::vector<long double>& exact) { return {exact.begin(), exact.end()}; }

Exact less(Exact scores, const std::vector<long double>& mean) {
  for (Index n = 0; n < scores.rows; ++n) {
    for (Index k = 0; k < scores.columns; ++k) scores(n, k) -= mean[k];
  }
  return scores;
}

template <class Real>
bool near(Real computed, long double exact, long double roundings) {
  return std::fabs(computed - exact) <= roundings * std::numeric_limits<Real>::epsilon() * std::fabs(exact);
}

// The mean in double is what is subtracted: then the difference is exact to a few roundings of itself, not of the mean.
TEST_P(Centred, RowsAreScaledDifferences) {
  for_each_precision([]<class In, class Real>() {
    constexpr Index rows = 23, first = 4, count = 17;
    const BlockScores scores = blocks<In>(rows);
    const Exact exact = scores.exact();
    const Vector mean = rounded(exact_mean(exact, nullptr));
    const auto scale = vector_of<double>(count, 5);
    for (const double* factors : {static_cast<const double*>(nullptr), scale.data()}) {
      Guarded<Real> out(count * exact.columns);
      detail::centred_rows<Real>(scores.view(), mean, first, count, factors, out.data());
      EXPECT_TRUE(out.intact());
      for (Index n = 0; n < count; ++n) {
        for (Index k = 0; k < exact.columns; ++k) {
          const long double difference = exact(first + n, k) - static_cast<long double>(mean[k]);
          const long double expected = (factors == nullptr ? 1.0L : factors[n]) * difference;
          ASSERT_TRUE(near(out[n * exact.columns + k], expected, 3)) << "row " << n << ", column " << k;
        }
      }
    }
  });
}

TEST_P(Centred, CopyOfADenseBlock) {
  for_each_precision([]<class In, class Real>() {
    const Shape shape{37, 6};
    const auto entry = [](Index n, Index k) { return huge + value_at(n, k); };
    const Vector mean(6, static_cast<double>(huge) + 0.3);
    for (const auto& layout : Laid<In>::layouts(shape)) {
      SCOPED_TRACE(layout.name);
      const Laid<In> matrix(shape, layout, entry);
      for (const int threads : {1, 2, 3}) {
        Guarded<Real> copy(shape.rows * shape.columns);
        detail::centred_copy(std::get<MatrixView<const In>>(matrix.view().blocks().front()), mean.data(), copy.data(),
                             {threads, {}});
        EXPECT_TRUE(copy.intact());
        for (Index n = 0; n < shape.rows; ++n) {
          for (Index k = 0; k < shape.columns; ++k) {
            ASSERT_TRUE(near(copy[n * shape.columns + k], static_cast<long double>(entry(n, k)) - mean[k], 1))
                << "row " << n << ", column " << k;
          }
        }
      }
    }
  });
}

template <class In>
void expect_square_norms() {
  for (const Index rows : {1, 63, 64, 65, 200}) {
    SCOPED_TRACE(std::to_string(rows) + " rows");
    const BlockScores scores = blocks<In>(rows);
    const Exact exact = scores.exact();
    const Vector mean(static_cast<std::size_t>(exact.columns), static_cast<double>(huge));
    const Exact centred = less(exact, {mean.begin(), mean.end()});
    for (const int threads : {1, 2, 3}) {
      Guarded<double> norms(rows);
      detail::centred_square_norms(scores.view(), mean, norms.data(), {threads, {}});
      EXPECT_TRUE(norms.intact());
      for (Index n = 0; n < rows; ++n) {
        Sum sum;
        for (Index k = 0; k < exact.columns; ++k) sum.add(centred(n, k) * centred(n, k));
        ASSERT_TRUE(sum.holds(norms[n])) << "row " << n;
      }
    }
  }
}

TEST_P(Centred, SquareNormsAreThoseOfTheDifferences) {
  expect_square_norms<float>();
  expect_square_norms<double>();
}

// u is a large multiple of w and a small rest.  (S - 1 m^T)^T w = 0 for the mean by w, so the large part must leave no
// more than its own rounding, times what is left of the scores: not times the mean.
template <class In>
void expect_transposed_product(const double* weights) {
  constexpr Index rows = 150;
  const BlockScores scores = blocks<In>(rows);
  const Exact exact = scores.exact();
  const auto mean = exact_mean(exact, weights);
  const Exact centred = less(exact, mean);
  constexpr double large = 1e8;
  Vector u = vector_of<double>(rows, 6);
  const Vector rest = u;
  double total = 0.0;
  for (Index n = 0; n < rows; ++n) {
    const double weight = weights == nullptr ? 1.0 : weights[n];
    u[n] += large * weight;
    total += weight;
  }
  Vector y(mean.size(), std::numeric_limits<double>::quiet_NaN());
  detail::transposed_product(scores.view(), weights, total, rounded(mean), u, y, {2, {}});
  for (Index k = 0; k < exact.columns; ++k) {
    long double expected = 0.0L, magnitude = 0.0L;
    for (Index n = 0; n < rows; ++n) {
      expected += centred(n, k) * u[n];
      const long double kept = std::fabs(static_cast<long double>(rest[n])) + 2.0L * (weights ? weights[n] : 1.0L);
      magnitude += std::fabs(exact(n, k)) * kept + std::fabs(centred(n, k)) * std::fabs(u[n]);
    }
    const long double bound = (rows + 8) * std::numeric_limits<double>::epsilon() * magnitude;
    ASSERT_LE(std::fabs(y[k] - expected), bound) << "column " << k << ", of " << static_cast<double>(expected);
  }
}

TEST_P(Centred, TransposedProductForgetsWhatLiesAlongTheWeights) {
  auto weights = weights_of(150);
  for (double& weight : weights) weight += weight == 0.0 ? 0.0 : 0.25;
  for (const double* w : {static_cast<const double*>(nullptr), static_cast<const double*>(weights.data())}) {
    SCOPED_TRACE(w == nullptr ? "not weighted" : "weighted");
    expect_transposed_product<float>(w);
    expect_transposed_product<double>(w);
  }
}

// The rows of the view, less what is left of a mean, have the inner products of the centred scores, to the rounding of
// rows that are no longer than `longest` times these, and to that of the subtraction in double.
template <class Real>
void expect_centred_gram(const BlockScores& scores, const double* weights, long double longest) {
  const Exact exact = scores.exact();
  const auto mean = exact_mean(exact, weights);
  const Exact centred = less(exact, mean);
  Vector shares(static_cast<std::size_t>(exact.rows));
  double total = 0.0;
  for (Index n = 0; n < exact.rows; ++n) total += weights == nullptr ? 1.0 : weights[n];
  for (Index n = 0; n < exact.rows; ++n) shares[n] = (weights == nullptr ? 1.0 : weights[n]) / total;
  const ScoresView view = scores.view();
  const Vector wide_mean = rounded(mean);
  const CentredForGram<Real> nearly(view, wide_mean, shares, {2, {}});

  Exact rows{exact.rows, nearly.view().columns(), {}};
  std::vector<double> dense(static_cast<std::size_t>(rows.rows * rows.columns));
  to_dense<double>(nearly.view(), dense.data());
  rows.values.assign(dense.begin(), dense.end());
  const Exact left = less(rows, exact_mean(rows, weights));

  const auto inner = [](const Exact& matrix, Index i, Index j) {
    long double sum = 0.0L;
    for (Index k = 0; k < matrix.columns; ++k) sum += matrix(i, k) * matrix(j, k);
    return sum;
  };
  long double nearly_largest = 0.0L, largest = 0.0L;
  for (Index n = 0; n < exact.rows; ++n) {
    nearly_largest = std::max(nearly_largest, inner(rows, n, n));
    largest = std::max(largest, inner(centred, n, n));
  }
  EXPECT_LE(std::sqrt(nearly_largest), longest * std::sqrt(largest));
  long double mean_square = 0.0L;
  for (const long double value : mean) mean_square += value * value;
  const long double bound = 8.0L * std::numeric_limits<Real>::epsilon() * nearly_largest +
                            std::numeric_limits<double>::epsilon() * std::sqrt(mean_square * nearly_largest);
  for (Index i = 0; i < exact.rows; ++i) {
    for (Index j = 0; j <= i; ++j) {
      ASSERT_LE(std::fabs(inner(left, i, j) - inner(centred, i, j)), bound) << "rows " << i << ", " << j;
    }
  }
}

TEST_P(Centred, ForGramHasTheCentredGramMatrix) {
  const auto weights = weights_of(47);
  for (const double* w : {static_cast<const double*>(nullptr), weights.data()}) {
    SCOPED_TRACE(w == nullptr ? "not weighted" : "weighted");
    for_each_precision([&]<class In, class Real>() {
      expect_centred_gram<Real>(BlockScores(47).dense<In>(5, huge).template dense<In>(3), w, 1.01L);
      expect_centred_gram<Real>(BlockScores(47).pair<In>(3, 4, 1, 0, root), w, 3.0L);
      expect_centred_gram<Real>(BlockScores(47).pair<In>(4, 3, 5, 2, root).template pair<In>(2, 2), w, 3.0L);
      expect_centred_gram<Real>(blocks<In>(47), w, 3.0L);
    });
  }
}

// A left side whose mean is nothing has no direction to take apart.
TEST_P(Centred, ForGramOfAPairWithoutALeftMean) {
  for_each_real([]<class Real>() {
    const std::vector<float> left{1.0F, -2.0F, -1.0F, 2.0F, 0.5F, 3.0F, -0.5F, -3.0F};
    const std::vector<float> right{7.0F, 1.0F, 7.5F, -1.0F, 6.0F, 0.0F, 7.0F, 0.25F};
    const PairView<const float> pair{row_major(left.data(), 4, 2), row_major(right.data(), 4, 2)};
    const ScoresView view{std::vector<BlockView>{pair}};
    Vector mean(4, 0.0);
    for (Index n = 0; n < 4; ++n) {
      for (Index k = 0; k < 4; ++k) mean[k] += 0.25 * left[2 * n + k / 2] * right[2 * n + k % 2];
    }
    const CentredForGram<Real> nearly(view, mean, Vector(4, 0.25), {1, {}});
    std::vector<double> dense(static_cast<std::size_t>(4 * nearly.view().columns()));
    to_dense<double>(nearly.view(), dense.data());
    for (Index n = 0; n < 4; ++n) {
      for (Index k = 0; k < nearly.view().columns(); ++k) {
        const double expected = k < 4 ? double(left[2 * n + k / 2]) * right[2 * n + k % 2] : 0.0;
        EXPECT_EQ(dense[n * nearly.view().columns() + k], expected) << "row " << n << ", column " << k;
      }
    }
  });
}

}  // namespace
}  // namespace fastfisher::testing
