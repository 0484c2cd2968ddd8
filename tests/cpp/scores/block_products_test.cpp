// Products of several blocks with vectors, panel by panel.
#include "scores/block_products.hpp"

#include <utility>

#include "block_scores.hpp"

namespace fastfisher::testing {
namespace {

using detail::BlockProducts;
using detail::Buffer;

class BlockProductsTest : public PerLevel {};
FASTFISHER_AT_EVERY_LEVEL(BlockProductsTest);

struct Case {
  const char* name;
  BlockScores scores;
  Index granule;
};

// Sides round the widths of packets, the wider one left or right; one scores' whole repeats, another's skipped ones.
template <class In>
std::vector<Case> cases(Index rows) {
  std::vector<Case> all;
  const auto add = [&](const char* name, Index granule) -> BlockScores& {
    return all.emplace_back(name, BlockScores(rows), granule).scores;
  };
  add("dense blocks alone", 1).template dense<In>(7).template dense<In>(17);
  add("single values", 1).template pair<In>(1, 1).template dense<In>(1).template pair<In>(1, 2);
  add("round packets", 1).template pair<In>(3, 16).template pair<In>(16, 3).template pair<In>(15, 17);
  add("among dense ones", 1).template dense<In>(5).template pair<In>(9, 4).template dense<In>(3);
  add("both precisions", 1).template pair<float>(8, 8).template pair<double>(8, 8).template dense<In>(2);
  add("repeats", 3).template pair<In>(5, 4, 3).template pair<In>(2, 9).template dense<In>(3);
  add("two numbers of repeats", 3).template pair<In>(5, 4, 3).template pair<In>(4, 3, 2).template pair<In>(17, 2, 3);
  add("skipped rows beside whole repeats", 4).template pair<In>(3, 3, 4).template pair<In>(6, 7, 4, 3);
  add("skipped rows", 1).template pair<In>(6, 7, 4, 3).template pair<In>(2, 5);
  return all;
}

// An aligned Buffer with a band behind it that must stay as it is.
template <class Real>
class Scratch {
 public:
  explicit Scratch(Index size) : size_(size), memory_(size + band) {
    std::fill_n(memory_.data(), size, std::numeric_limits<Real>::quiet_NaN());
    std::fill_n(memory_.data() + size, band, Real(-1234.5));
  }
  Real* data() const { return memory_.data(); }
  bool intact() const {
    return std::all_of(data() + size_, data() + size_ + band, [](Real value) { return value == Real(-1234.5); });
  }

 private:
  static constexpr Index band = 129;
  Index size_;
  Buffer<Real> memory_;
};

template <class Real>
Scratch<Real> padded(const BlockProducts<Real>& products, const std::vector<Real>& v) {
  Scratch<Real> memory(products.padded_size());
  products.pad(v.data(), memory.data());
  return memory;
}

// Every row, a panel at a time.  A null v takes the u that is given; a null y leaves the second half out.
template <class Real>
void multiply(const BlockProducts<Real>& products, Index rows, const std::vector<Real>* v, const Real* weights,
              Real* scores_times_v, std::vector<Real>& u, std::vector<Real>* y) {
  const auto wide_v = v == nullptr ? Scratch<Real>(0) : padded(products, *v);
  const auto sums = y == nullptr ? Scratch<Real>(0) : padded(products, *y);
  const Scratch<Real> scratch(products.scratch_size());
  for (Index first = 0; first < rows; first += products.panel_rows()) {
    const Index count = std::min(products.panel_rows(), rows - first);
    Guarded<Real> panel_u(count);
    std::copy_n(u.begin() + first, count, panel_u.data());
    products.panel(first, count, v == nullptr ? nullptr : wide_v.data(), weights == nullptr ? nullptr : weights + first,
                   scores_times_v == nullptr ? nullptr : scores_times_v + first, panel_u.data(),
                   y == nullptr ? nullptr : sums.data(), scratch.data());
    EXPECT_TRUE(panel_u.intact());
    std::copy_n(panel_u.data(), count, u.begin() + first);
  }
  EXPECT_TRUE(wide_v.intact() && sums.intact() && scratch.intact());
  if (y == nullptr) return;
  std::fill(y->begin(), y->end(), Real(0));
  products.add_unpadded(sums.data(), y->data());
}

template <class Function>
void for_each_case(Index rows, const Function& function) {
  for_each_precision([&]<class In, class Real>() {
    for (const Case& example : cases<In>(rows)) {
      SCOPED_TRACE(std::string(example.name) + ", " + std::to_string(rows) + " rows");
      const ScoresView view = example.scores.view();
      function.template operator()<Real>(example, BlockProducts<Real>(view), example.scores.exact());
      if (::testing::Test::HasFailure()) return;
    }
  });
}

TEST_P(BlockProductsTest, PaddingIsUndoneByAddUnpadded) {
  for_each_case(12, []<class Real>(const Case&, const BlockProducts<Real>& products, const Exact& exact) {
    const auto v = vector_of<Real>(exact.columns, 1);
    auto twice = v;
    products.add_unpadded(padded(products, v).data(), twice.data());
    for (Index k = 0; k < exact.columns; ++k) ASSERT_EQ(twice[k], 2 * v[k]) << "column " << k;
    // What is padded is zero, and nothing is there twice.
    const auto ones = padded(products, std::vector<Real>(v.size(), Real(1)));
    ASSERT_TRUE(ones.intact());
    Real sum = 0;
    for (Index k = 0; k < products.padded_size(); ++k) sum += ones.data()[k];
    ASSERT_EQ(sum, static_cast<Real>(exact.columns));
  });
}

TEST_P(BlockProductsTest, GranuleIsTheRepeatsThatPanelsMayNotPart) {
  for_each_case(12, []<class Real>(const Case& example, const BlockProducts<Real>& products, const Exact&) {
    ASSERT_EQ(products.granule(), example.granule);
    ASSERT_EQ(products.panel_rows() % products.granule(), 0);
    ASSERT_GT(products.panel_rows(), 0);
  });
}

// u = S v, w o u, y = S^T (w o u); then each half alone gives the same bits.
TEST_P(BlockProductsTest, PanelIsBothProducts) {
  const std::vector<Index> sizes = instrumented ? std::vector<Index>{12, 780} : std::vector<Index>{12, 60, 780, 1548};
  for (const Index rows : sizes) {
    for_each_case(rows, [&]<class Real>(const Case&, const BlockProducts<Real>& products, const Exact& exact) {
      const auto v = vector_of<Real>(exact.columns, 3);
      const auto wide_weights = weights_of(rows);
      const std::vector<Real> weights(wide_weights.begin(), wide_weights.end());
      for (const Real* w : {static_cast<const Real*>(nullptr), weights.data()}) {
        const auto size = static_cast<std::size_t>(rows);
        std::vector<Sum> inner(size), outer(static_cast<std::size_t>(exact.columns));
        for (Index n = 0; n < rows; ++n) {
          for (Index k = 0; k < exact.columns; ++k) inner[n].add(exact(n, k) * v[k]);
          const long double weight = w == nullptr ? 1.0L : w[n];
          for (Index k = 0; k < exact.columns; ++k) {
            outer[k].add(exact(n, k) * weight * inner[n].value);
            outer[k].magnitude += std::fabs(exact(n, k)) * weight * inner[n].magnitude;  // the rounding of S v
          }
        }
        for (Sum& sum : outer) sum.terms += exact.columns;

        std::vector<Real> u(size), weighted(size), y(v.size());
        multiply(products, rows, &v, w, u.data(), weighted, &y);
        for (Index n = 0; n < rows; ++n) {
          ASSERT_TRUE(inner[n].holds(u[n])) << "row " << n;
          ASSERT_EQ(weighted[n], w == nullptr ? u[n] : w[n] * u[n]) << "row " << n;
        }
        for (Index k = 0; k < exact.columns; ++k) ASSERT_TRUE(outer[k].holds(y[k])) << "column " << k;

        std::vector<Real> alone(size), transposed(v.size());
        multiply<Real>(products, rows, &v, nullptr, nullptr, alone, nullptr);
        ASSERT_TRUE(same_bits(alone, u));
        multiply<Real>(products, rows, nullptr, w, nullptr, alone, &transposed);
        ASSERT_TRUE(same_bits(transposed, y));
      }
    });
    if (HasFailure()) return;
  }
}

// The sum goes on where it stood: rows in two parts, at a multiple of the granule, are the rows at once.
TEST_P(BlockProductsTest, PanelsAddToTheSum) {
  constexpr Index rows = 24, part = 12;
  for_each_case(rows, [&]<class Real>(const Case&, const BlockProducts<Real>& products, const Exact& exact) {
    auto u = vector_of<Real>(rows, 4);
    const Scratch<Real> sums = padded(products, std::vector<Real>(static_cast<std::size_t>(exact.columns), Real(3)));
    const Scratch<Real> scratch(products.scratch_size());
    for (const Index first : {part, Index(0)}) {
      products.panel(first, part, nullptr, nullptr, nullptr, u.data() + first, sums.data(), scratch.data());
    }
    std::vector<Real> y(static_cast<std::size_t>(exact.columns), Real(0));
    products.add_unpadded(sums.data(), y.data());
    for (Index k = 0; k < exact.columns; ++k) {
      Sum sum;
      sum.add(3.0L);
      for (Index n = 0; n < rows; ++n) sum.add(exact(n, k) * u[n]);
      ASSERT_TRUE(sum.holds(y[k])) << "column " << k;
    }
  });
}

}  // namespace
}  // namespace fastfisher::testing
