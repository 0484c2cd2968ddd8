// The symmetric rank-k products S^T diag(w) S and diag(sqrt w) S S^T diag(sqrt w).
#include "support.hpp"

namespace fastfisher::testing {
namespace {

class RankUpdate : public PerLevel {};
FASTFISHER_AT_EVERY_LEVEL(RankUpdate);

// Lower triangles of exact products, column-major.
std::vector<Sum> exact_fisher(const Shape& shape, const double* w) {
  const Index d = shape.columns;
  std::vector<Sum> c(static_cast<std::size_t>(d * d));
  for (Index n = 0; n < shape.rows; ++n) {
    for (Index j = 0; j < d; ++j) {
      const long double scaled = (w == nullptr ? 1.0L : static_cast<long double>(w[n])) * value_at(n, j);
      for (Index i = j; i < d; ++i) c[i + j * d].add(scaled * value_at(n, i));
    }
  }
  return c;
}

std::vector<Sum> exact_gram(const Shape& shape, const double* w) {
  const Index n = shape.rows;
  std::vector<Sum> k(static_cast<std::size_t>(n * n));
  for (Index j = 0; j < n; ++j) {
    for (Index i = j; i < n; ++i) {
      const long double scale = w == nullptr ? 1.0L : std::sqrt(static_cast<long double>(w[i]) * w[j]);
      Sum& sum = k[i + j * n];
      for (Index c = 0; c < shape.columns; ++c) sum.add(scale * value_at(i, c) * value_at(j, c));
    }
  }
  return k;
}

template <class Real>
void expect_lower(Index n, const std::vector<Sum>& expected, const Guarded<Real>& computed) {
  for (Index j = 0; j < n; ++j) {
    for (Index i = j; i < n; ++i) {
      ASSERT_TRUE(expected[i + j * n].holds(computed[i + j * n])) << "entry " << i << ", " << j;
    }
  }
  EXPECT_TRUE(computed.intact());
}

TEST_P(RankUpdate, FisherProductIsSTransposedWS) {
  for (const Shape& shape : odd_shapes()) {
    if (shape.columns > 1000) continue;  // a matrix of 8193 squared is no test of edges
    const auto weights = weights_of(shape.rows);
    for (const double* w : {static_cast<const double*>(nullptr), weights.data()}) {
      const auto expected = exact_fisher(shape, w);
      for_each_precision([&]<class In, class Real>() {
        in_every_layout<In>(shape, [&](const ScoresView& scores) {
          Guarded<Real> c(shape.columns * shape.columns);  // NaN at first: `assign` must not read it
          fisher_product<Real>(scores, w, Update::assign, c.data(), {1, {}});
          expect_lower(shape.columns, expected, c);
        });
      });
    }
    if (HasFailure()) return;
  }
}

TEST_P(RankUpdate, AddAddsToWhatIsThere) {
  for (const Shape& shape : {Shape{7, 5}, Shape{24, 25}, Shape{300, 49}, Shape{9000, 9}, Shape{130, 129}}) {
    const auto weights = weights_of(shape.rows);
    auto expected = exact_fisher(shape, weights.data());
    for (Sum& sum : expected) sum.add(3.0L);
    for_each_precision([&]<class In, class Real>() {
      in_every_layout<In>(shape, [&](const ScoresView& scores) {
        Guarded<Real> c(shape.columns * shape.columns, Real(3));
        fisher_product<Real>(scores, weights.data(), Update::add, c.data(), {1, {}});
        expect_lower(shape.columns, expected, c);
      });
    });
  }
}

TEST_P(RankUpdate, GramProductIsSSTransposed) {
  for (const Shape& shape : odd_shapes()) {
    if (shape.rows > 1000) continue;
    const auto weights = weights_of(shape.rows);
    for (const double* w : {static_cast<const double*>(nullptr), weights.data()}) {
      const auto expected = exact_gram(shape, w);
      for_each_precision([&]<class In, class Real>() {
        in_every_layout<In>(shape, [&](const ScoresView& scores) {
          Guarded<Real> k(shape.rows * shape.rows);
          gram_product<Real>(scores, w, k.data(), {1, {}});
          expect_lower(shape.rows, expected, k);
        });
      });
    }
    if (HasFailure()) return;
  }
}

// No rows: the empty sum.
TEST_P(RankUpdate, EmptySumsAreZero) {
  for_each_real([]<class Real>() {
    const Real nothing = 0;
    const ScoresView no_rows = MatrixView<const Real>{&nothing, 0, 3, 3, 1};
    Guarded<Real> c(9);
    fisher_product<Real>(no_rows, nullptr, Update::assign, c.data());
    for (Index i = 0; i < 9; ++i) EXPECT_EQ(c[i], Real(0));
    Guarded<Real> kept(9, Real(2));
    fisher_product<Real>(no_rows, nullptr, Update::add, kept.data());
    for (Index i = 0; i < 9; ++i) EXPECT_EQ(kept[i], Real(2));
  });
}

TEST_P(RankUpdate, MirrorLowerScalesBothTriangles) {
  for_each_real([]<class Real>() {
    for (const Index n : {0, 1, 2, 63, 64, 65, 128, 257}) {
      Guarded<Real> a(n * n);
      for (Index j = 0; j < n; ++j) {
        for (Index i = j; i < n; ++i) a.data()[i + j * n] = static_cast<Real>(value_at(i, j));
      }
      mirror_lower<Real>(n, a.data(), Real(0.5));
      for (Index j = 0; j < n; ++j) {
        for (Index i = j; i < n; ++i) {
          ASSERT_EQ(a[i + j * n], Real(0.5) * static_cast<Real>(value_at(i, j)));
          ASSERT_EQ(a[j + i * n], a[i + j * n]);
        }
      }
      EXPECT_TRUE(a.intact());
    }
  });
}

}  // namespace
}  // namespace fastfisher::testing
