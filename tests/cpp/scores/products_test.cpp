// Products of scores with vectors, and the statistics of rows.
#include "support.hpp"

namespace fastfisher::testing {
namespace {

class Products : public PerLevel {};
FASTFISHER_AT_EVERY_LEVEL(Products);

TEST_P(Products, MatvecIsSv) {
  for_each_precision([]<class In, class Real>() {
    for (const Shape& shape : odd_shapes()) {
      const auto v = vector_of<Real>(shape.columns, 1);
      std::vector<Sum> expected(static_cast<std::size_t>(shape.rows));
      for (Index n = 0; n < shape.rows; ++n) {
        for (Index k = 0; k < shape.columns; ++k) expected[n].add(static_cast<long double>(value_at(n, k)) * v[k]);
      }
      in_every_layout<In>(shape, [&](const ScoresView& scores) {
        Guarded<Real> u(shape.rows);
        matvec<Real>(scores, v.data(), u.data(), {1, {}});
        for (Index n = 0; n < shape.rows; ++n) ASSERT_TRUE(expected[n].holds(u[n])) << "row " << n;
        EXPECT_TRUE(u.intact());
      });
    }
  });
}

TEST_P(Products, RmatvecIsSTransposedU) {
  for_each_precision([]<class In, class Real>() {
    for (const Shape& shape : odd_shapes()) {
      const auto u = vector_of<Real>(shape.rows, 2);
      std::vector<Sum> expected(static_cast<std::size_t>(shape.columns));
      for (Index n = 0; n < shape.rows; ++n) {
        for (Index k = 0; k < shape.columns; ++k) expected[k].add(static_cast<long double>(value_at(n, k)) * u[n]);
      }
      in_every_layout<In>(shape, [&](const ScoresView& scores) {
        Guarded<Real> y(shape.columns);
        rmatvec<Real>(scores, u.data(), y.data(), {1, {}});
        for (Index k = 0; k < shape.columns; ++k) ASSERT_TRUE(expected[k].holds(y[k])) << "column " << k;
        EXPECT_TRUE(y.intact());
      });
    }
  });
}

// S^T diag(w) (S v), with and without weights, with and without S v on the side.
TEST_P(Products, FisherMatvecIsBothInOnePass) {
  for_each_precision([]<class In, class Real>() {
    for (const Shape& shape : odd_shapes()) {
      const auto v = vector_of<Real>(shape.columns, 3);
      const auto wide_weights = weights_of(shape.rows);
      const std::vector<Real> w(wide_weights.begin(), wide_weights.end());
      for (const bool weighted : {false, true}) {
        SCOPED_TRACE(weighted ? "weighted" : "not weighted");
        std::vector<Sum> inner(static_cast<std::size_t>(shape.rows)), outer(static_cast<std::size_t>(shape.columns));
        for (Index n = 0; n < shape.rows; ++n) {
          for (Index k = 0; k < shape.columns; ++k) inner[n].add(static_cast<long double>(value_at(n, k)) * v[k]);
          const long double weight = weighted ? w[n] : 1.0L;
          for (Index k = 0; k < shape.columns; ++k) {
            outer[k].add(value_at(n, k) * weight * inner[n].value);
            // The rounding of S v, at most its terms times eps of its magnitude, is carried along.
            outer[k].magnitude += std::fabs(value_at(n, k)) * weight * inner[n].magnitude;
          }
        }
        for (Sum& sum : outer) sum.terms += shape.columns;
        in_every_layout<In>(shape, [&](const ScoresView& scores) {
          Guarded<Real> u(shape.rows), y(shape.columns), alone(shape.columns);
          const Real* weights = weighted ? w.data() : nullptr;
          fisher_matvec<Real>(scores, weights, v.data(), u.data(), y.data(), {1, {}});
          for (Index k = 0; k < shape.columns; ++k) ASSERT_TRUE(outer[k].holds(y[k])) << "column " << k;
          for (Index n = 0; n < shape.rows; ++n) ASSERT_TRUE(inner[n].holds(u[n])) << "row " << n;
          fisher_matvec<Real>(scores, weights, v.data(), nullptr, alone.data(), {1, {}});
          for (Index k = 0; k < shape.columns; ++k) ASSERT_EQ(alone[k], y[k]) << "column " << k;
          EXPECT_TRUE(u.intact() && y.intact() && alone.intact());
        });
      }
    }
  });
}

template <class In>
void expect_square_norms() {
  for (const Shape& shape : odd_shapes()) {
    std::vector<Sum> expected(static_cast<std::size_t>(shape.rows));
    for (Index n = 0; n < shape.rows; ++n) {
      for (Index k = 0; k < shape.columns; ++k) {
        expected[n].add(static_cast<long double>(value_at(n, k)) * value_at(n, k));
      }
    }
    in_every_layout<In>(shape, [&](const ScoresView& scores) {
      Guarded<double> norms(shape.rows);
      square_norms(scores, norms.data(), {1, {}});
      for (Index n = 0; n < shape.rows; ++n) ASSERT_TRUE(expected[n].holds(norms[n])) << "row " << n;
      EXPECT_TRUE(norms.intact());
    });
  }
}

TEST_P(Products, SquareNormsAreInDouble) {
  expect_square_norms<float>();
  expect_square_norms<double>();
}

template <class In>
void expect_first_nonfinite_row() {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  constexpr float inf = std::numeric_limits<float>::infinity();
  for (const Shape& shape : {Shape{1, 1}, Shape{5, 3}, Shape{40, 17}, Shape{3, 65}, Shape{1000, 40}}) {
    for (const auto& layout : Laid<In>::layouts(shape)) {
      SCOPED_TRACE(text(shape) + ", " + layout.name);
      EXPECT_EQ(first_nonfinite_row(Laid<In>(shape, layout).view()), -1);
      for (const float bad : {nan, inf, -inf}) {
        for (const Index row : {Index{0}, shape.rows / 2, shape.rows - 1}) {
          for (const Index column : {Index{0}, shape.columns / 2, shape.columns - 1}) {
            // The last row is bad too: the first one is asked for.
            const Laid<In> matrix(shape, layout, [&](Index i, Index j) {
              return (i == row && j == column) || (i == shape.rows - 1 && j == 0) ? bad : value_at(i, j);
            });
            ASSERT_EQ(first_nonfinite_row(matrix.view()), row) << "column " << column << ", " << bad;
          }
        }
      }
    }
  }
}

TEST_P(Products, FirstNonfiniteRow) {
  expect_first_nonfinite_row<float>();
  expect_first_nonfinite_row<double>();
}

TEST_P(Products, LargeFiniteValuesAreFinite) {
  const std::vector<double> scores{1.0, 2.0, 1e300, -1e300, 3.0, 4.0};  // the squares of the second row overflow
  const ScoresView view = row_major<const double>(scores.data(), 3, 2);
  EXPECT_EQ(first_nonfinite_row(view), -1);
  std::vector<double> norms(3);
  square_norms(view, norms.data());
  EXPECT_EQ(norms[0], 5.0);
  EXPECT_FALSE(std::isfinite(norms[1]));
  EXPECT_EQ(norms[2], 25.0);
}

// A row that is repeated by a zero stride, as np.broadcast_to makes it.
TEST_P(Products, ZeroStridesRepeatARow) {
  for_each_precision([]<class In, class Real>() {
    constexpr Index n = 37;
    const std::vector<In> row{1, 2, 3, 4, 5};
    const ScoresView scores = MatrixView<const In>{row.data(), n, 5, 0, 1};
    const std::vector<Real> v{1, -1, 1, -1, 1};  // row . v = 3
    std::vector<Real> u(n), y(5), c(25);
    matvec<Real>(scores, v.data(), u.data());
    EXPECT_EQ(u, std::vector<Real>(n, Real(3)));
    rmatvec<Real>(scores, u.data(), y.data());
    EXPECT_EQ(y, (std::vector<Real>{111, 222, 333, 444, 555}));
    fisher_product<Real>(scores, nullptr, Update::assign, c.data());
    for (Index j = 0; j < 5; ++j) {
      for (Index i = j; i < 5; ++i) EXPECT_EQ(c[i + 5 * j], Real(n * (i + 1) * (j + 1)));
    }
  });
}

TEST_P(Products, NoRowsOrNoColumns) {
  for_each_real([]<class Real>() {
    const Real nothing = 0;
    const ScoresView no_rows = MatrixView<const Real>{&nothing, 0, 3, 3, 1};
    const ScoresView no_columns = MatrixView<const Real>{&nothing, 3, 0, 0, 1};
    const std::vector<Real> three(3, Real(7)), zero(3, Real(0));
    std::vector<Real> out(three);
    rmatvec<Real>(no_rows, &nothing, out.data());
    EXPECT_EQ(out, zero);
    out = three;
    matvec<Real>(no_columns, &nothing, out.data());
    EXPECT_EQ(out, zero);
  });
}

// Means far from zero, where a sum of squares less the square of the sum has no digits left.
TEST(ColumnMoments, AreThoseOfTheColumns) {
  const auto entry = [](Index row, Index column) {
    return value_at(row, column) + (column % 3 == 1 ? 65536.0F : 0.0F);  // what float leaves of it is the entry
  };
  for (const Shape& shape : {Shape{1, 1}, Shape{1, 9}, Shape{9, 1}, Shape{17, 5}, Shape{1001, 3}}) {
    for (const auto& layout : Laid<double>::layouts(shape)) {
      SCOPED_TRACE(text(shape) + ", " + layout.name);
      const Laid<double> laid(shape, layout, entry);
      const ScoresView view = laid.view();
      const auto matrix = std::get<MatrixView<const double>>(view.blocks()[0]);
      Guarded<double> means(shape.columns), sum_squares(shape.columns);
      column_moments(matrix, means.data(), sum_squares.data());
      for (Index k = 0; k < shape.columns; ++k) {
        long double mean = 0.0L, squares = 0.0L;
        for (Index n = 0; n < shape.rows; ++n) mean += entry(n, k);
        mean /= shape.rows;
        for (Index n = 0; n < shape.rows; ++n) squares += (entry(n, k) - mean) * (entry(n, k) - mean);
        ASSERT_NEAR(means[k], static_cast<double>(mean), 1e-15 * (k % 3 == 1 ? 65536.0 : 2.0)) << "column " << k;
        ASSERT_NEAR(sum_squares[k], static_cast<double>(squares), 1e-12 * static_cast<double>(squares))
            << "column " << k;
      }
      EXPECT_TRUE(means.intact() && sum_squares.intact());
    }
  }
}

TEST(ColumnMoments, OfNoRowsAreZero) {
  const double nothing = 0.0;
  Guarded<double> means(3), sum_squares(3);
  column_moments({&nothing, 0, 3, 3, 1}, means.data(), sum_squares.data());
  for (Index k = 0; k < 3; ++k) EXPECT_TRUE(means[k] == 0.0 && sum_squares[k] == 0.0);
  EXPECT_TRUE(means.intact() && sum_squares.intact());
}

}  // namespace
}  // namespace fastfisher::testing
