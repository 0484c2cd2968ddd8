// What the tests of kernels share: every SIMD level, every layout, plain references, guarded outputs.
//
// References are loops in long double.  A computed sum of products is held to the textbook bound, entry by entry:
//   |computed - exact| <= (terms + slack) eps sum |products|        (Higham, "Accuracy and Stability", section 3.1)
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "fastfisher/fastfisher.hpp"

namespace fastfisher::testing {

// Under a sanitizer a multiplication costs ten times as much: tests of what is large then take the least that is.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool instrumented = true;
#elif defined(__has_feature)
inline constexpr bool instrumented = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
inline constexpr bool instrumented = false;
#endif

// A test that runs once at each level.
class PerLevel : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    before_ = simd_level();
    set_simd_level(GetParam());
  }
  void TearDown() override { set_simd_level(before_); }

 private:
  std::string before_;
};

inline std::vector<std::string> levels() {
  std::vector<std::string> names;
  for (const std::string_view name : available_simd_levels()) names.emplace_back(name);
  return names;
}

#define FASTFISHER_AT_EVERY_LEVEL(suite)                               \
  INSTANTIATE_TEST_SUITE_P(Simd, suite, ::testing::ValuesIn(levels()), \
                           [](const auto& instance) { return instance.param; })

// Calls function.operator()<Real>() for the precisions of arithmetic.
template <class Function>
void for_each_real(const Function& function) {
  {
    SCOPED_TRACE("Real = float");
    function.template operator()<float>();
  }
  {
    SCOPED_TRACE("Real = double");
    function.template operator()<double>();
  }
}

// Calls function.operator()<In, Real>() for the precisions of scores and of arithmetic.
template <class Function>
void for_each_precision(const Function& function) {
  for_each_real([&]<class Real>() {
    {
      SCOPED_TRACE("In = float");
      function.template operator()<float, Real>();
    }
    {
      SCOPED_TRACE("In = double");
      function.template operator()<double, Real>();
    }
  });
}

struct Shape {
  Index rows, columns;
};

inline std::string text(const Shape& shape) {
  return std::to_string(shape.rows) + " x " + std::to_string(shape.columns);
}

// Sides round the widths of packets (2 to 16), strips and tiles (4 to 48), blocks (128, 256).
inline std::vector<Index> odd_sides() {
  std::vector<Index> sides;
  for (Index side = 1; side <= 17; ++side) sides.push_back(side);
  for (const Index side : {23, 24, 25, 31, 32, 33, 47, 48, 49, 63, 64, 65, 95, 96, 97, 127, 128, 129}) {
    sides.push_back(side);
  }
  return sides;
}

// Each side with N = 1, d - 1, d and d + 1; a few larger; deep and narrow ones, which take another path.
inline std::vector<Shape> odd_shapes() {
  std::vector<Shape> shapes;
  for (const Index side : odd_sides()) {
    shapes.push_back({1, side});
    shapes.push_back({side, 1});
    for (Index rows = side - 1; rows <= side + 1; ++rows) {
      if (rows > 1) shapes.push_back({rows, side});
    }
  }
  for (const Shape& shape : {Shape{255, 257}, Shape{256, 256}, Shape{257, 255}, Shape{8193, 5}, Shape{5, 8193},
                             Shape{1300, 3}, Shape{3, 1300}, Shape{700, 70}}) {
    shapes.push_back(shape);
  }
  return shapes;
}

// Values in [-2, 2) without pattern, the same for every layout; exact in float.
inline float value_at(Index row, Index column) {
  auto hash = static_cast<std::uint64_t>(row) * 0x9E3779B97F4A7C15U + static_cast<std::uint64_t>(column);
  hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9U;  // the finaliser of splitmix64
  hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EBU;
  return static_cast<float>(static_cast<std::int64_t>(hash >> 40) - (1 << 23)) / static_cast<float>(1 << 22);
}

template <class Scalar>
std::vector<Scalar> vector_of(Index size, Index seed) {
  std::vector<Scalar> values(static_cast<std::size_t>(size));
  for (Index i = 0; i < size; ++i) values[static_cast<std::size_t>(i)] = static_cast<Scalar>(value_at(i, -seed));
  return values;
}

inline std::vector<double> weights_of(Index size) {
  std::vector<double> weights(static_cast<std::size_t>(size));
  for (Index i = 0; i < size; ++i) weights[static_cast<std::size_t>(i)] = i % 5 == 4 ? 0.0 : std::fabs(value_at(i, 99));
  return weights;
}

// The same matrix in memory of some layout.  All that lies between and around its entries is NaN: a kernel that
// touches it gives itself away.
template <class Scalar>
class Laid {
 public:
  struct Layout {
    const char* name;
    Index row_stride, column_stride, offset;
  };

  // C and Fortran order, with gaps, one element off alignment, reversed, and with no unit stride.
  static std::vector<Layout> layouts(const Shape& shape) {
    const Index n = shape.rows;
    const Index d = shape.columns;
    return {{"C", d, 1, 0},
            {"C with gaps, unaligned", d + 3, 1, 1},
            {"C, rows reversed", -d, 1, (n - 1) * d},
            {"C, columns reversed", d, -1, d - 1},
            {"Fortran", 1, n, 0},
            {"Fortran with gaps, unaligned", 1, n + 5, 1},
            {"Fortran, columns reversed", 1, -n, (d - 1) * n},
            {"strided", 2 * (3 * d + 1), 3, 1}};
  }

  Laid(const Shape& shape, const Layout& layout, const std::function<float(Index, Index)>& entry = value_at) {
    const Index ends[] = {0, (shape.rows - 1) * layout.row_stride, (shape.columns - 1) * layout.column_stride,
                          (shape.rows - 1) * layout.row_stride + (shape.columns - 1) * layout.column_stride};
    const Index last = layout.offset + *std::max_element(std::begin(ends), std::end(ends));
    memory_.assign(static_cast<std::size_t>(last + 1), std::numeric_limits<Scalar>::quiet_NaN());
    view_ = {memory_.data() + layout.offset, shape.rows, shape.columns, layout.row_stride, layout.column_stride};
    for (Index i = 0; i < shape.rows; ++i) {
      for (Index j = 0; j < shape.columns; ++j) {
        memory_[static_cast<std::size_t>(layout.offset + i * layout.row_stride + j * layout.column_stride)] =
            static_cast<Scalar>(entry(i, j));
      }
    }
  }

  ScoresView view() const { return view_; }

 private:
  std::vector<Scalar> memory_;
  MatrixView<const Scalar> view_;
};

// Calls check(scores) for the matrix value_at in every layout.
template <class In, class Check>
void in_every_layout(const Shape& shape, const Check& check) {
  for (const auto& layout : Laid<In>::layouts(shape)) {
    SCOPED_TRACE(text(shape) + ", " + layout.name);
    const Laid<In> matrix(shape, layout);
    check(matrix.view());
    if (::testing::Test::HasFailure()) return;  // one is enough to read
  }
}

// An output between two bands that must stay as they are; it begins one element off alignment.
template <class Scalar>
class Guarded {
 public:
  explicit Guarded(Index size, Scalar initial = std::numeric_limits<Scalar>::quiet_NaN())
      : memory_(static_cast<std::size_t>(size) + 2 * band, sentinel), size_(static_cast<std::size_t>(size)) {
    std::fill_n(memory_.begin() + band, size_, initial);
  }

  Scalar* data() { return memory_.data() + band; }
  Scalar operator[](Index i) const { return memory_[band + static_cast<std::size_t>(i)]; }

  ::testing::AssertionResult intact() const {
    for (std::size_t i = 0; i < band; ++i) {
      if (memory_[i] != sentinel)
        return ::testing::AssertionFailure() << "written " << band - i << " before the output";
      if (memory_[band + size_ + i] != sentinel)
        return ::testing::AssertionFailure() << "written " << i << " past the output";
    }
    return ::testing::AssertionSuccess();
  }

 private:
  static constexpr std::size_t band = 129;
  static constexpr Scalar sentinel = Scalar(-1234.5);
  std::vector<Scalar> memory_;
  std::size_t size_;
};

// A sum of products, and the sum of their magnitudes.
struct Sum {
  long double value = 0.0L;
  long double magnitude = 0.0L;
  Index terms = 0;

  void add(long double product) {
    value += product;
    magnitude += std::fabs(product);
    ++terms;
  }

  // `slack` counts the roundings that are not of the sum: conversions, weights and their roots.
  template <class Real>
  ::testing::AssertionResult holds(Real computed, int slack = 8) const {
    const long double bound =
        static_cast<long double>(terms + slack) * std::numeric_limits<Real>::epsilon() * magnitude;
    if (std::fabs(static_cast<long double>(computed) - value) <= bound) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "got " << computed << ", exact " << static_cast<double>(value)
                                         << ", bound on the error " << static_cast<double>(bound);
  }
};

template <class Scalar>
bool same_bits(const std::vector<Scalar>& a, const std::vector<Scalar>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(Scalar)) == 0;
}

}  // namespace fastfisher::testing
