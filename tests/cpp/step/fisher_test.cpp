// The streaming Fisher matrix.
#include "fastfisher/fisher.hpp"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "support.hpp"

namespace fastfisher::testing {
namespace {

class FisherMatrix : public PerLevel {};
FASTFISHER_AT_EVERY_LEVEL(FisherMatrix);

struct Blocks {
  Shape shape;
  Laid<double> matrix;
  std::vector<double> weights;

  explicit Blocks(const Shape& size)
      : shape(size), matrix(size, Laid<double>::layouts(size)[0]), weights(weights_of(size.rows)) {}

  ScoresView rows(Index first, Index count) const { return matrix.view().middle_rows(first, count); }
};

std::vector<double> matrix_of(const Fisher& fisher) {
  std::vector<double> matrix(static_cast<std::size_t>(fisher.dimension() * fisher.dimension()));
  fisher.matrix(matrix.data());
  return matrix;
}

TEST_P(FisherMatrix, IsTheWeightedMeanOfOuterProductsOfAllRowsSeen) {
  const Blocks blocks({500, 37});
  const Index d = blocks.shape.columns;
  Fisher fisher(d);
  for (Index first = 0; first < 500; first += 125) {
    fisher.update(blocks.rows(first, 125), blocks.weights.data() + first);
  }
  EXPECT_EQ(fisher.count(), 500);
  long double total = 0.0L;
  for (const double weight : blocks.weights) total += weight;
  EXPECT_NEAR(fisher.total_weight(), static_cast<double>(total), 1e-12 * static_cast<double>(total));

  const auto matrix = matrix_of(fisher);
  double trace = 0.0;
  for (Index i = 0; i < d; ++i) {
    trace += matrix[i * (d + 1)];
    for (Index j = 0; j < d; ++j) {
      Sum sum;
      for (Index n = 0; n < 500; ++n) {
        sum.add(static_cast<long double>(blocks.weights[n]) * value_at(n, i) * value_at(n, j) / total);
      }
      ASSERT_TRUE(sum.holds(matrix[i + j * d]));
      ASSERT_EQ(matrix[i + j * d], matrix[j + i * d]);  // exactly symmetric
    }
  }
  EXPECT_NEAR(fisher.trace(), trace, 1e-12 * trace);

  const auto v = vector_of<double>(d, 1);
  std::vector<double> y(d), x(v);
  fisher.multiply(v.data(), y.data());
  constexpr double damping = 0.5;
  fisher.solve(x.data(), 1, damping);
  for (Index i = 0; i < d; ++i) {
    Sum product, back;
    for (Index j = 0; j < d; ++j) {
      product.add(static_cast<long double>(matrix[i + j * d]) * v[j]);
      back.add((static_cast<long double>(matrix[i + j * d]) + (i == j ? damping : 0.0L)) * x[j]);
    }
    EXPECT_TRUE(product.holds(y[i]));
    EXPECT_NEAR(static_cast<double>(back.value), v[i], 1e-11);
  }
}

TEST_P(FisherMatrix, MergingIsSeeingBothsRows) {
  const Blocks blocks({400, 25});
  Fisher whole(25), first(25), second(25);
  whole.update(blocks.rows(0, 150), nullptr);
  whole.update(blocks.rows(150, 250), blocks.weights.data() + 150);
  first.update(blocks.rows(0, 150), nullptr);
  second.update(blocks.rows(150, 250), blocks.weights.data() + 150);
  first.merge(second);
  EXPECT_EQ(first.count(), whole.count());
  EXPECT_DOUBLE_EQ(first.total_weight(), whole.total_weight());
  const auto merged = matrix_of(first), expected = matrix_of(whole);
  for (std::size_t i = 0; i < merged.size(); ++i) EXPECT_NEAR(merged[i], expected[i], 1e-14);

  const auto before = matrix_of(second);
  second.merge(second);  // every row twice: the same mean
  EXPECT_EQ(second.count(), 500);
  EXPECT_TRUE(same_bits(matrix_of(second), before));
}

TEST_P(FisherMatrix, CopyAndRestoreAreTheSameBits) {
  const Blocks blocks({100, 17});
  Fisher fisher(17);
  fisher.update(blocks.rows(0, 100), blocks.weights.data());
  const Fisher copy(fisher);
  Fisher restored(17);
  restored.restore(fisher.sum().data(), fisher.count(), fisher.total_weight());
  const auto expected = matrix_of(fisher);
  fisher.update(blocks.rows(0, 50), nullptr);  // of no concern to the others
  EXPECT_TRUE(same_bits(matrix_of(copy), expected));
  EXPECT_TRUE(same_bits(matrix_of(restored), expected));
}

TEST_P(FisherMatrix, ConcurrentUpdatesAllCount) {
  constexpr int threads = 6, updates = 20;
  constexpr Index rows = 64, d = 31;
  const Blocks blocks({rows, d});
  Fisher fisher(d), once(d), other(d);
  once.update(blocks.rows(0, rows), nullptr);
  other.update(blocks.rows(0, rows), nullptr);
  std::atomic<bool> done{false};
  std::thread reader([&] {
    std::vector<double> v(d, 1.0), y(d);
    while (!done) {
      if (fisher.count() > 0) fisher.multiply(v.data(), y.data());
    }
  });
  std::vector<std::thread> writers;
  for (int i = 0; i < threads; ++i) {
    writers.emplace_back([&, i] {
      for (int k = 0; k < updates; ++k) {
        if (i == 0) {
          fisher.merge(other);
        } else {
          fisher.update(blocks.rows(0, rows), nullptr, {2, {}});
        }
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  done = true;
  reader.join();
  EXPECT_EQ(fisher.count(), threads * updates * rows);
  const auto all = matrix_of(fisher), expected = matrix_of(once);
  for (std::size_t i = 0; i < all.size(); ++i) ASSERT_NEAR(all[i], expected[i], 1e-12 * (1.0 + std::fabs(expected[i])));
}

// Two objects merged into each other at once: no deadlock.
TEST_P(FisherMatrix, MutualMergesEnd) {
  Fisher a(3), b(3);
  std::thread one([&] {
    for (int i = 0; i < 40; ++i) a.merge(b);
  });
  std::thread two([&] {
    for (int i = 0; i < 40; ++i) b.merge(a);
  });
  one.join();
  two.join();
  EXPECT_EQ(a.count(), 0);
}

TEST_P(FisherMatrix, BadArgumentsLeaveItAsItWas) {
  const Blocks blocks({50, 7});
  Fisher fisher(7);
  EXPECT_THROW(fisher.trace(), std::logic_error);
  fisher.update(blocks.rows(0, 50), nullptr);
  const auto before = fisher.sum();

  std::vector<double> spoiled(7 * 3, 1.0);
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    spoiled[2 * 7 + 4] = bad;
    try {
      fisher.update(row_major<const double>(spoiled.data(), 3, 7), nullptr);
      ADD_FAILURE() << "accepted " << bad;
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find("row 2"), std::string::npos) << error.what();
    }
  }
  spoiled[2 * 7 + 4] = 1e200;
  EXPECT_THROW(fisher.update(row_major<const double>(spoiled.data(), 3, 7), nullptr), std::overflow_error);
  EXPECT_THROW(fisher.update(Blocks({5, 6}).matrix.view(), nullptr), std::invalid_argument);
  EXPECT_THROW(fisher.merge(Fisher(6)), std::invalid_argument);
  std::vector<double> x(7, 1.0);
  EXPECT_THROW(fisher.solve(x.data(), 1, -1.0), std::invalid_argument);
  for (const double bad : {-1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    std::vector<double> weights(50, 1.0);
    weights[31] = bad;
    try {
      fisher.update(blocks.rows(0, 50), weights.data());
      ADD_FAILURE() << "accepted a weight of " << bad;
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find("weights: "), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("row 31"), std::string::npos) << error.what();
    }
    auto sum = before;
    EXPECT_THROW(fisher.restore(sum.data(), 50, bad), std::invalid_argument) << bad;
    sum[8] = bad;  // on the diagonal
    EXPECT_THROW(fisher.restore(sum.data(), 50, 50.0), std::invalid_argument) << bad;
  }
  EXPECT_THROW(fisher.restore(before.data(), -1, 50.0), std::invalid_argument);
  EXPECT_TRUE(same_bits(fisher.sum(), before));
  EXPECT_EQ(fisher.count(), 50);
  EXPECT_THROW(Fisher(0), std::invalid_argument);
  EXPECT_THROW(Fisher(-3), std::invalid_argument);
}

// The sum of squares stays in range or the update is refused: no infinity gets in by weights or by accumulation.
TEST_P(FisherMatrix, OverflowIsRefused) {
  const std::vector<double> large(4, 1e153), huge_weights(2, 1e10), endless_weights(2, 1e308);
  const ScoresView scores = row_major<const double>(large.data(), 2, 2);
  Fisher fisher(2);
  EXPECT_THROW(fisher.update(scores, huge_weights.data()), std::overflow_error);
  EXPECT_THROW(fisher.update(scores, endless_weights.data()), std::exception);
  EXPECT_EQ(fisher.count(), 0);
  try {
    for (int i = 0; i < 100; ++i) fisher.update(scores, nullptr);
    ADD_FAILURE() << "accepted";
  } catch (const std::overflow_error&) {
  }
  for (const double entry : matrix_of(fisher)) EXPECT_TRUE(std::isfinite(entry));
}

TEST_P(FisherMatrix, ASolutionThatOverflowsIsRefused) {
  const std::vector<double> tiny{1e-150, 0.0, 0.0, 1e-150};
  Fisher fisher(2);
  fisher.update(row_major<const double>(tiny.data(), 2, 2), nullptr);
  std::vector<double> x{1e20, 1.0};
  EXPECT_THROW(fisher.solve(x.data(), 1, 0.0), std::overflow_error);
}

TEST_P(FisherMatrix, AnInterruptedUpdateLeavesItAsItWas) {
  constexpr Index d = 500;
  const auto row = vector_of<float>(d, 1);
  Fisher before(d);
  before.update(Blocks({10, d}).matrix.view(), nullptr);
  // A fast machine is through with few rows before the second poll: twice as many, until it is not.
  bool interrupted = false;
  for (Index n = 20000; !interrupted; n *= 2) {
    ASSERT_LT(n, Index{1} << 24) << "an update of minutes that polls less than twice";
    const ScoresView scores = MatrixView<const float>{row.data(), n, d, 0, 1};  // one row, n times, in no memory
    Fisher fisher(before);
    int polls = 0;
    const Context context{1, [&polls] {
                            if (++polls == 2) throw std::runtime_error("interrupted");
                          }};
    try {
      fisher.update(scores, nullptr, context);
    } catch (const std::runtime_error&) {
      interrupted = true;
      EXPECT_TRUE(same_bits(fisher.sum(), before.sum()));
      EXPECT_EQ(fisher.count(), 10);
      EXPECT_EQ(fisher.total_weight(), 10.0);
    }
  }
}

// A poll may run anything, members of the same object included: none is called while the lock is held.
TEST_P(FisherMatrix, APollMayUseTheObject) {
  const Blocks blocks({50, 7});
  Fisher fisher(7);
  std::vector<double> x(7, 1.0), y(7);
  int polls = 0;
  bool inside_multiply = false;
  const Context context{1, [&] {
                          ASSERT_FALSE(inside_multiply) << "polled under the lock";
                          EXPECT_GE(fisher.count(), 0);
                          ++polls;
                        }};
  const auto wait_for_a_poll = [] { std::this_thread::sleep_for(std::chrono::milliseconds(60)); };
  wait_for_a_poll();
  fisher.update(blocks.rows(0, 50), nullptr, context);
  wait_for_a_poll();
  fisher.solve(x.data(), 1, 0.5, context);
  EXPECT_GT(polls, 0);
  inside_multiply = true;
  wait_for_a_poll();
  fisher.multiply(x.data(), y.data(), context);
}

TEST(FisherDimension, WhoseSquareOverflowsIsRefused) {
  EXPECT_ANY_THROW(Fisher(Index{1} << 40));
  EXPECT_ANY_THROW(Fisher(std::numeric_limits<Index>::max()));
}

}  // namespace
}  // namespace fastfisher::testing
