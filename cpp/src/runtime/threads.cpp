#include "fastfisher/threads.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "runtime/control_group.hpp"
#include "runtime/thread_pool.hpp"

#if defined(__linux__)
#include <sched.h>
#endif

namespace fastfisher {
namespace {

using detail::most_threads;

std::atomic<int> chosen_threads{0};

int affinity_processors() noexcept {
#if defined(__linux__)
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0) return CPU_COUNT(&mask);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

// Both return 0 where the variable is not set, or holds something else than they expect.

int from_our_variable() noexcept {
  const char* text = std::getenv("FASTFISHER_NUM_THREADS");
  if (text == nullptr) return 0;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  return end != text && *end == '\0' && value > 0 ? static_cast<int>(std::min<long>(value, most_threads)) : 0;
}

// OpenMP has a list here, a number for each level of nesting: "4,2".  Loops here do not nest, so the first one counts.
// Its runtimes ignore a list that is wrong anywhere, and so does this.
int from_openmp_variable() noexcept {
  const char* text = std::getenv("OMP_NUM_THREADS");
  if (text == nullptr) return 0;
  int first = 0;
  for (;; ++text) {
    char* end = nullptr;
    errno = 0;
    const long value = std::strtol(text, &end, 10);  // it passes over blanks before the number
    if (end == text || errno != 0 || value <= 0) return 0;
    if (first == 0) first = static_cast<int>(std::min<long>(value, most_threads));
    text = end + std::strspn(end, " \t\n");
    if (*text == '\0') return first;
    if (*text != ',') return 0;
  }
}

int environment_threads() noexcept {
  const int ours = from_our_variable();
  return ours > 0 ? ours : from_openmp_variable();
}

}  // namespace

int usable_processors() noexcept {
  static const int processors = [] {
    int count = std::max(1, affinity_processors());
    try {
      const double quota = detail::group_limits().processors;
      if (quota < count) count = std::max(1, static_cast<int>(std::ceil(quota)));
    } catch (...) {  // out of memory: no limit is known
    }
    return count;
  }();
  return processors;
}

int default_num_threads() noexcept {
  if (const int chosen = chosen_threads.load(std::memory_order_relaxed); chosen > 0) return chosen;
  static const int from_environment = environment_threads();
  return from_environment > 0 ? from_environment : std::min(usable_processors(), most_threads);
}

void set_default_num_threads(int threads) noexcept {
  chosen_threads.store(std::clamp(threads, 0, most_threads), std::memory_order_relaxed);
}

}  // namespace fastfisher
