// The Gram matrix of factored blocks, against all their products.
#include "scores/factored_gram.hpp"

#include "block_scores.hpp"

namespace fastfisher::testing {
namespace {

using detail::FactoredGram;

class FactoredGramTest : public PerLevel {};
FASTFISHER_AT_EVERY_LEVEL(FactoredGramTest);

// Of columns at `first` and after: of those that the object does not take there are none.
template <class Real>
void expect_gram(const ScoresView& scores, const Exact& exact, const Real* scale, Index first = 0) {
  const Index n = exact.rows;
  const FactoredGram<Real> gram(scores, scale);
  ASSERT_FALSE(gram.empty());
  Guarded<Real> k(n * n);  // NaN at first: what is there must not be read
  gram.assign_to(k.data(), {1, {}});
  for (Index j = 0; j < n; ++j) {
    for (Index i = j; i < n; ++i) {
      const long double both = scale == nullptr ? 1.0L : static_cast<long double>(scale[i]) * scale[j];
      Sum sum;
      for (Index c = first; c < exact.columns; ++c) sum.add(both * exact(i, c) * exact(j, c));
      ASSERT_TRUE(sum.holds(k[i + j * n])) << "entry " << i << ", " << j << " of " << n;
    }
  }
  EXPECT_TRUE(k.intact());
}

template <class Real>
std::vector<Real> scale_of(Index rows) {
  const auto weights = weights_of(rows);  // some of them zero
  return {weights.begin(), weights.end()};
}

template <class Real>
void expect_gram_scaled_and_not(const BlockScores& scores) {
  const Exact exact = scores.exact();
  expect_gram<Real>(scores.view(), exact, nullptr);
  expect_gram<Real>(scores.view(), exact, scale_of<Real>(exact.rows).data());
}

// Each side of a pair lies in memory of another layout (BlockScores).
TEST_P(FactoredGramTest, PairsOfEveryNumberOfRows) {
  for (const Index rows : odd_sides()) {
    if (instrumented && rows > 65) continue;
    SCOPED_TRACE(std::to_string(rows) + " rows");
    for_each_precision([&]<class In, class Real>() {
      expect_gram_scaled_and_not<Real>(BlockScores(rows).pair<In>(3, 5).template pair<In>(4, 1).template dense<In>(2));
    });
    if (HasFailure()) return;
  }
}

TEST_P(FactoredGramTest, SidesOfEveryWidth) {
  for (const Index width : odd_sides()) {
    if (instrumented && width > 33) continue;
    SCOPED_TRACE("a side of " + std::to_string(width));
    for_each_precision([&]<class In, class Real>() {
      expect_gram_scaled_and_not<Real>(BlockScores(19).pair<In>(width, 2));
      expect_gram_scaled_and_not<Real>(BlockScores(19).pair<In>(1, width));
    });
    if (HasFailure()) return;
  }
}

// Rows that share their left side, from the first of a group or from within one, and the last group cut short.
TEST_P(FactoredGramTest, RepeatsAndSkippedRows) {
  for_each_precision([]<class In, class Real>() {
    for (const Index rows : {1, 12, 50}) {
      for (const Index repeats : {2, 3, 7}) {
        for (Index skipped = 0; skipped < repeats; ++skipped) {
          SCOPED_TRACE(std::to_string(rows) + " rows, " + std::to_string(repeats) + " repeats, skipped " +
                       std::to_string(skipped));
          expect_gram_scaled_and_not<Real>(BlockScores(rows).pair<In>(4, 3, repeats, skipped).template pair<In>(2, 2));
        }
      }
    }
  });
}

TEST_P(FactoredGramTest, BlocksOfBothPrecisions) {
  for_each_real([]<class Real>() {
    expect_gram_scaled_and_not<Real>(
        BlockScores(37).dense<float>(9).pair<double>(6, 5).pair<float>(5, 6, 2).dense<double>(3));
  });
}

// A wide dense block has a product of its own; where there is no pair, so has a narrow one.
TEST_P(FactoredGramTest, WideDenseBlocksAreLeftOut) {
  for_each_precision([]<class In, class Real>() {
    BlockScores scores(21);
    scores.template dense<In>(257).template dense<In>(256).template pair<In>(2, 3);
    const ScoresView view = scores.view();
    const FactoredGram<Real> gram(view, nullptr);
    EXPECT_FALSE(gram.takes(view.blocks()[0]));
    EXPECT_TRUE(gram.takes(view.blocks()[1]));
    EXPECT_TRUE(gram.takes(view.blocks()[2]));
    expect_gram<Real>(view, scores.exact(), nullptr, 257);

    BlockScores dense(21);
    const ScoresView alone = dense.template dense<In>(4).template dense<In>(3).view();
    const FactoredGram<Real> none(alone, nullptr);
    EXPECT_TRUE(none.empty());
    EXPECT_FALSE(none.takes(alone.blocks()[0]));
  });
}

// Enough strips for several blocks of K.
TEST_P(FactoredGramTest, TheSameBitsForAnyNumberOfThreads) {
  constexpr Index rows = instrumented ? 420 : 900;
  for_each_precision([]<class In, class Real>() {
    BlockScores scores(rows);
    scores.template pair<In>(17, 9).template pair<In>(5, 40, 3, 1).template dense<In>(11);
    const ScoresView view = scores.view();
    const auto scale = scale_of<Real>(rows);
    const auto gram = [&](int threads) {
      std::vector<Real> k(static_cast<std::size_t>(rows * rows), Real(0));
      FactoredGram<Real>(view, scale.data()).assign_to(k.data(), {threads, {}});
      mirror_lower<Real>(rows, k.data(), Real(1));
      return k;
    };
    const auto expected = gram(1);
    for (const int threads : {2, 3, 3}) EXPECT_TRUE(same_bits(gram(threads), expected)) << threads << " threads";
    const Exact exact = scores.exact();
    for (const Index i : {Index(0), Index(255), rows / 2, rows - 1}) {  // and they are the right ones
      for (Index j = 0; j < rows; j += 37) {
        Sum sum;
        const long double both = static_cast<long double>(scale[i]) * scale[j];
        for (Index c = 0; c < exact.columns; ++c) sum.add(both * exact(i, c) * exact(j, c));
        EXPECT_TRUE(sum.holds(expected[i + j * rows])) << "entry " << i << ", " << j;
      }
    }
  });
}

}  // namespace
}  // namespace fastfisher::testing
