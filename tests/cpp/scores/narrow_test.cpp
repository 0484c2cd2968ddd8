// Scores in single precision: what is copied and what is not, the range, and the mean that copies are without.
#include "scores/narrow.hpp"

#include "block_scores.hpp"

namespace fastfisher::testing {
namespace {

using detail::NarrowScores;
using detail::Vector;

class Narrow : public PerLevel {};
FASTFISHER_AT_EVERY_LEVEL(Narrow);

using Floats = MatrixView<const float>;

const Floats& dense(const ScoresView& view, std::size_t block) { return std::get<Floats>(view.blocks()[block]); }
const PairView<const float>& pair(const ScoresView& view, std::size_t block) {
  return std::get<PairView<const float>>(view.blocks()[block]);
}

void expect_same_view(const Floats& a, const Floats& b) {
  EXPECT_EQ(a.data, b.data);
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_EQ(a.columns, b.columns);
  EXPECT_EQ(a.row_stride, b.row_stride);
  EXPECT_EQ(a.column_stride, b.column_stride);
}

template <class Wide>
void expect_rounded(const Floats& copy, const Wide& from) {
  ASSERT_EQ(copy.rows, from.rows);
  ASSERT_EQ(copy.columns, from.columns);
  for (Index n = 0; n < from.rows; ++n) {
    for (Index k = 0; k < from.columns; ++k) {
      ASSERT_EQ(copy(n, k), static_cast<float>(from(n, k))) << "row " << n << ", column " << k;
    }
  }
}

TEST_P(Narrow, WhatIsFloatLiesWhereItLay) {
  const BlockScores scores = BlockScores(29).dense<float>(5).pair<float>(3, 4, 2, 1).dense<float>(2).dense<double>(3);
  const ScoresView view = scores.view();
  const NarrowScores narrow(view, nullptr, {1, {}});
  ASSERT_EQ(narrow.view().blocks().size(), 4U);
  expect_same_view(dense(narrow.view(), 0), dense(view, 0));
  expect_same_view(pair(narrow.view(), 1).left, pair(view, 1).left);
  expect_same_view(pair(narrow.view(), 1).right, pair(view, 1).right);
  EXPECT_EQ(pair(narrow.view(), 1).repeats, 2);
  EXPECT_EQ(pair(narrow.view(), 1).skipped, 1);
  expect_same_view(dense(narrow.view(), 2), dense(view, 2));
  EXPECT_EQ(narrow.mean(), nullptr);
}

// Entries that no float holds, in every layout, with rows enough for several parts (256 each) and their remainders.
TEST_P(Narrow, WhatIsDoubleIsRounded) {
  for (const Shape& shape : {Shape{1, 1}, Shape{5, 17}, Shape{255, 3}, Shape{256, 4}, Shape{257, 5}, Shape{700, 33}}) {
    std::vector<double> memory(static_cast<std::size_t>(shape.rows * shape.columns));
    for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = value_at(static_cast<Index>(i), 3) / 3.0;
    const auto c_order = row_major<const double>(memory.data(), shape.rows, shape.columns);
    const auto fortran = row_major<const double>(memory.data(), shape.columns, shape.rows).transposed();
    const MatrixView<const double> reversed{memory.data() + memory.size() - 1, shape.rows, shape.columns,
                                            -shape.columns, -1};
    for (const auto& matrix : {c_order, fortran, reversed}) {
      for (const int threads : {1, 2, 3}) {
        SCOPED_TRACE(text(shape) + ", " + std::to_string(threads) + " threads");
        const NarrowScores narrow(matrix, nullptr, {threads, {}});
        expect_rounded(dense(narrow.view(), 0), matrix);
        if (HasFailure()) return;
      }
    }
  }
}

TEST_P(Narrow, BothSidesOfAPairKeepTheirRepeats) {
  const BlockScores scores = BlockScores(30).pair<double>(3, 7, 4, 3).dense<double>(2).pair<double>(9, 2);
  const ScoresView view = scores.view();
  const NarrowScores narrow(view, nullptr, {2, {}});
  for (const std::size_t block : {0U, 2U}) {
    const auto& wide = std::get<PairView<const double>>(view.blocks()[block]);
    const PairView<const float>& copy = pair(narrow.view(), block);
    expect_rounded(copy.left, wide.left);
    expect_rounded(copy.right, wide.right);
    EXPECT_EQ(copy.repeats, wide.repeats);
    EXPECT_EQ(copy.skipped, wide.skipped);
  }
}

TEST_P(Narrow, WhatLeavesTheRangeIsInfinite) {
  constexpr double largest = std::numeric_limits<float>::max();
  constexpr float infinite = std::numeric_limits<float>::infinity();
  // Every entry comes at each place of a packet.
  const std::vector<std::pair<double, float>> cases{
      {1e39, infinite},           {-1e300, -infinite}, {largest, static_cast<float>(largest)},
      {largest * 1.01, infinite}, {1e-60, 0.0F},       {0.5, 0.5F}};
  constexpr Index columns = 37;
  for (std::size_t turn = 0; turn < cases.size(); ++turn) {
    std::vector<double> row(columns);
    for (Index k = 0; k < columns; ++k) row[k] = cases[(turn + static_cast<std::size_t>(k)) % cases.size()].first;
    const NarrowScores narrow(row_major<const double>(row.data(), 1, columns), nullptr, {1, {}});
    for (Index k = 0; k < columns; ++k) {
      const auto& [wide, expected] = cases[(turn + static_cast<std::size_t>(k)) % cases.size()];
      EXPECT_EQ(dense(narrow.view(), 0)(0, k), expected) << wide << " at " << k;
    }
  }
}

// Dense blocks are copied without their part of the mean, subtracted in double; of the mean, that of pairs is left.
TEST_P(Narrow, MeanIsTakenFromDenseBlocksOnly) {
  constexpr float huge = 1e6F;
  const BlockScores scores =
      BlockScores(41).dense<double>(3, huge).pair<double>(2, 2).dense<float>(4, huge).pair<float>(3, 1);
  const ScoresView view = scores.view();
  const Exact exact = scores.exact();
  Vector mean;
  for (Index k = 0; k < exact.columns; ++k) mean.push_back(huge + 0.1 + static_cast<double>(k) / 7.0);
  const Vector before = mean;
  for (const int threads : {1, 2, 3}) {
    const NarrowScores narrow(view, &mean, {threads, {}});
    EXPECT_EQ(mean, before);
    ASSERT_NE(narrow.mean(), nullptr);
    Index first = 0;
    for (std::size_t block = 0; block < 4; ++block) {
      const Index width = columns(view.blocks()[block]);
      const bool is_dense = block % 2 == 0;
      for (Index k = 0; k < width; ++k) {
        EXPECT_EQ((*narrow.mean())[first + k], is_dense ? 0.0 : before[first + k]) << "column " << first + k;
        for (Index n = 0; n < exact.rows && is_dense; ++n) {
          const auto difference = static_cast<double>(exact(n, first + k)) - before[first + k];
          ASSERT_EQ(dense(narrow.view(), block)(n, k), static_cast<float>(difference)) << "row " << n << ", " << k;
        }
      }
      first += width;
    }
    expect_rounded(pair(narrow.view(), 1).left, std::get<PairView<const double>>(view.blocks()[1]).left);
    expect_same_view(pair(narrow.view(), 3).left, pair(view, 3).left);
    expect_same_view(pair(narrow.view(), 3).right, pair(view, 3).right);
  }
}

}  // namespace
}  // namespace fastfisher::testing
