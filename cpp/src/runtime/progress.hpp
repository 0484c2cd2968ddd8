// By these counters tasks of one parallel loop wait for earlier ones.
#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include "fastfisher/index.hpp"

namespace fastfisher::detail {

// The counters only grow.  A wait is expected to be short or none, so it spins, then yields.
class Progress {
 public:
  explicit Progress(Index counters) : done_(new std::atomic<Index>[static_cast<std::size_t>(counters)]) {
    for (Index k = 0; k < counters; ++k) done_[static_cast<std::size_t>(k)].store(0, std::memory_order_relaxed);
  }

  // Everything this thread wrote before is visible to whoever waited for the count that this completes.
  void advance(Index counter) noexcept {
    done_[static_cast<std::size_t>(counter)].fetch_add(1, std::memory_order_acq_rel);
  }

  void wait(Index counter, Index count) const noexcept {
    constexpr int spins = 1000;
    const std::atomic<Index>& done = done_[static_cast<std::size_t>(counter)];
    for (int spin = 0; done.load(std::memory_order_acquire) < count; ++spin) {
      if (spin > spins) std::this_thread::yield();
    }
  }

 private:
  std::unique_ptr<std::atomic<Index>[]> done_;
};

}  // namespace fastfisher::detail
