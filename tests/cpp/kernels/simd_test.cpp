#include "fastfisher/simd.hpp"

#include <cstdlib>
#include <stdexcept>

#include "support.hpp"

namespace fastfisher::testing {
namespace {

TEST(SimdLevel, TheNarrowestIsAlwaysThere) {
  const auto names = available_simd_levels();
  ASSERT_FALSE(names.empty());
  EXPECT_TRUE(names.front() == "baseline" || names.front() == "generic") << names.front();
}

TEST(SimdLevel, SetAndGet) {
  const std::string before(simd_level());
  for (const std::string& name : levels()) {
    set_simd_level(name);
    EXPECT_EQ(simd_level(), name);
  }
  set_simd_level(before);
}

TEST(SimdLevel, AnUnknownNameListsTheChoicesAndChangesNothing) {
  const std::string before(simd_level());
  for (const char* name : {"", "v5", "V3", "baseline ", "avx2"}) {
    try {
      set_simd_level(name);
      ADD_FAILURE() << "accepted '" << name << "'";
    } catch (const std::invalid_argument& error) {
      for (const std::string& choice : levels()) {
        EXPECT_NE(std::string(error.what()).find(choice), std::string::npos) << error.what();
      }
    }
    EXPECT_EQ(simd_level(), before);
  }
}

// In a process of its own: the environment is read at the first use.
TEST(SimdLevelDeathTest, AnUnknownNameInTheEnvironmentIsAnExceptionAtTheFirstUse) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto first_use = [] {
    setenv("FASTFISHER_SIMD", "v5", 1);
    const double one = 1.0;
    double product = 0.0;
    try {
      matvec<double>(row_major(&one, 1, 1), &one, &product);
    } catch (const std::invalid_argument&) {
      std::exit(3);
    }
    std::exit(0);
  };
  EXPECT_EXIT(first_use(), ::testing::ExitedWithCode(3), "");
}

class Peak : public PerLevel {};
FASTFISHER_AT_EVERY_LEVEL(Peak);

TEST_P(Peak, IsMeasured) {
  EXPECT_GT(measure_peak_flops<float>(0.01), 1e8);
  EXPECT_GT(measure_peak_flops<double>(0.01), 1e8);
}

}  // namespace
}  // namespace fastfisher::testing
