// Regression on value features against the features written out.
#include "fastfisher/value_features.hpp"

#include "support.hpp"

namespace fastfisher::testing {
namespace {

class Values : public PerLevel {};
FASTFISHER_AT_EVERY_LEVEL(Values);

// Observations in some layout, of which some are clipped from below, some from above.
struct Episode {
  std::vector<double> shift, scale;
  std::vector<std::int64_t> times;
  ValueFeatures features;

  Episode(const ScoresView& observations, bool products)
      : shift(vector_of<double>(observations.columns(), 31)), scale(weights_of(observations.columns())) {
    for (std::size_t k = 0; k < scale.size(); ++k) scale[k] = k % 2 == 0 ? 0.25 : 1.0 + scale[k];
    for (Index n = 0; n < observations.rows(); ++n) times.push_back(7 * n % 1000);
    features = {std::get<MatrixView<const double>>(observations.blocks()[0]),
                times.data(),
                shift.data(),
                scale.data(),
                products,
                700.0};
  }

  std::vector<long double> row(Index n) const {
    std::vector<long double> x, row;
    for (std::size_t k = 0; k < shift.size(); ++k) {
      const long double value = value_at(n, static_cast<Index>(k));
      x.push_back(std::clamp((value - shift[k]) / scale[k], -5.0L, 5.0L) / 5.0L);
    }
    const long double s = static_cast<long double>(times[n]) / 700.0L;
    row = {1.0L, s, s * s, s * s * s, s * s * s * s};
    row.insert(row.end(), x.begin(), x.end());
    for (std::size_t i = 0; features.products && i < x.size(); ++i) {
      for (std::size_t j = i; j < x.size(); ++j) row.push_back(x[i] * x[j]);
    }
    return row;
  }
};

// Rows round the eight that are written at once and the 256 of a task, and enough of them for two threads.
const std::vector<Shape>& odd_episodes() {
  static const std::vector<Shape> shapes{{1, 1}, {7, 3}, {8, 4}, {9, 1}, {257, 9}, {2060, 2}};
  return shapes;
}

constexpr int roundings = 40;  // of two features: powers and products of what was shifted and scaled

template <class Check>
void for_each_episode(const Check& check) {
  for (const Shape& shape : odd_episodes()) {
    for (const bool products : {true, false}) {
      SCOPED_TRACE(products ? "with products" : "without");
      in_every_layout<double>(shape, [&](const ScoresView& observations) {
        const Episode episode(observations, products);
        ASSERT_EQ(static_cast<std::size_t>(episode.features.columns()), episode.row(0).size());
        ASSERT_EQ(episode.features.rows(), shape.rows);
        check(episode);
      });
    }
  }
}

TEST_P(Values, RegressionProductIsThatOfTheRowsWrittenOut) {
  for_each_episode([](const Episode& episode) {
    const Index rows = episode.features.rows(), side = episode.features.columns() + 1;
    const auto y = vector_of<double>(rows, 6);
    std::vector<Sum> expected(static_cast<std::size_t>(side * side));
    for (Index n = 0; n < rows; ++n) {
      auto row = episode.row(n);
      row.push_back(y[n]);
      for (Index j = 0; j < side; ++j) {
        for (Index i = j; i < side; ++i) expected[i + j * side].add(row[i] * row[j]);
      }
    }
    Guarded<double> c(side * side);
    regression_product(episode.features, y.data(), c.data(), {2, {}});
    for (Index j = 0; j < side; ++j) {
      for (Index i = j; i < side; ++i) {
        ASSERT_TRUE(expected[i + j * side].holds(c[i + j * side], roundings)) << "entry " << i << ", " << j;
      }
    }
    EXPECT_TRUE(c.intact());
  });
}

TEST_P(Values, RowsAreWrittenOut) {
  for_each_episode([](const Episode& episode) {
    const Index rows = episode.features.rows(), d = episode.features.columns();
    Guarded<double> x(rows * d);
    to_dense(episode.features, x.data(), {2, {}});
    for (Index n = 0; n < rows; ++n) {
      const auto row = episode.row(n);
      for (Index j = 0; j < d; ++j) ASSERT_NEAR(x[n * d + j], static_cast<double>(row[j]), 1e-14) << n << ", " << j;
    }
    EXPECT_TRUE(x.intact());
  });
}

TEST_P(Values, MatvecIsThatOfTheRowsWrittenOut) {
  for_each_episode([](const Episode& episode) {
    const auto v = vector_of<double>(episode.features.columns(), 7);
    Guarded<double> u(episode.features.rows());
    matvec(episode.features, v.data(), u.data(), {2, {}});
    for (Index n = 0; n < episode.features.rows(); ++n) {
      const auto row = episode.row(n);
      Sum expected;
      for (std::size_t k = 0; k < row.size(); ++k) expected.add(row[k] * v[k]);
      ASSERT_TRUE(expected.holds(u[n], roundings)) << "row " << n;
    }
    EXPECT_TRUE(u.intact());
  });
}

}  // namespace
}  // namespace fastfisher::testing
