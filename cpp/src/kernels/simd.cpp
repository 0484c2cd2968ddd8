#include "fastfisher/simd.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#include "kernels/kernel_table.hpp"

#if defined(FASTFISHER_X86_64)  // by CMake: the levels are compiled in
#include <cpuid.h>
#endif

namespace fastfisher {
namespace {

#if defined(FASTFISHER_X86_64)

// Returns which registers the operating system saves on a context switch.  A processor may have wide registers that the
// kernel does not save (XCR0): using them would be undefined, although cpuid reports them.
unsigned long long saved_register_state() noexcept {
  unsigned low = 0;
  unsigned high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<unsigned long long>(high) << 32) | low;
}

constexpr bool has_all(unsigned reg, unsigned mask) noexcept { return (reg & mask) == mask; }

// Returns the level of the System V psABI for x86-64, table 3.1: 3 for v3, 4 for v4, else 1 (v2 gets the baseline
// kernels).
int psabi_level() noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return 1;
  constexpr unsigned v3_leaf1 = bit_SSE3 | bit_SSSE3 | bit_SSE4_1 | bit_SSE4_2 | bit_POPCNT | bit_FMA | bit_MOVBE |
                                bit_F16C | bit_OSXSAVE | bit_AVX | bit_CMPXCHG16B;
  if (!has_all(c, v3_leaf1)) return 1;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 1;
  const unsigned leaf7 = b;
  if (!has_all(leaf7, bit_AVX2 | bit_BMI | bit_BMI2)) return 1;
  if (!__get_cpuid(0x80000001U, &a, &b, &c, &d) || !has_all(c, bit_LZCNT | bit_LAHF_LM)) return 1;

  const unsigned long long saved = saved_register_state();
  constexpr unsigned long long xmm_and_ymm = 0x6, opmask_and_zmm = 0xe0;
  if ((saved & xmm_and_ymm) != xmm_and_ymm) return 1;
  constexpr unsigned v4_leaf7 = bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL;
  if (!has_all(leaf7, v4_leaf7) || (saved & opmask_and_zmm) != opmask_and_zmm) return 3;
  return 4;
}

std::vector<const detail::KernelTable*> runnable_tables() {
  std::vector<const detail::KernelTable*> tables{&detail::kernel_table_baseline()};
  const int level = psabi_level();
  if (level >= 3) tables.push_back(&detail::kernel_table_v3());
  if (level >= 4) tables.push_back(&detail::kernel_table_v4());
  return tables;
}

#else

std::vector<const detail::KernelTable*> runnable_tables() { return {&detail::kernel_table_generic()}; }

#endif

const detail::KernelTable& table_named(std::string_view name) {
  std::string choices;
  for (const detail::KernelTable* table : runnable_tables()) {
    if (name == table->level) return *table;
    choices += choices.empty() ? "" : ", ";
    choices += table->level;
  }
  throw std::invalid_argument("FASTFISHER_SIMD: expected a level that this machine can run (" + choices + "), got '" +
                              std::string(name) + "'");
}

const detail::KernelTable& initial_table() {
  const char* forced = std::getenv("FASTFISHER_SIMD");
  if (forced != nullptr && *forced != '\0') return table_named(forced);
  return *runnable_tables().back();
}

std::atomic<const detail::KernelTable*>& active_table() {
  static std::atomic<const detail::KernelTable*> table{&initial_table()};
  return table;
}

}  // namespace

namespace detail {

const KernelTable& kernels() { return *active_table().load(std::memory_order_relaxed); }

}  // namespace detail

std::vector<std::string_view> available_simd_levels() {
  std::vector<std::string_view> names;
  for (const detail::KernelTable* table : runnable_tables()) names.emplace_back(table->level);
  return names;
}

std::string_view simd_level() { return active_table().load()->level; }

void set_simd_level(std::string_view name) { active_table().store(&table_named(name)); }

}  // namespace fastfisher
