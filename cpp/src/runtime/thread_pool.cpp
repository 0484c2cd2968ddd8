#include "runtime/thread_pool.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

#include "fastfisher/threads.hpp"

namespace fastfisher::detail {
namespace {

// A long loop asks this often whether it should stop.
constexpr auto poll_interval = std::chrono::milliseconds(50);

// A thread looks out this long for the next loop, or for the end of this one, before it sleeps.  Waking up takes some
// 50 microseconds on a virtual machine; the loops of a factorisation or of CG follow one another faster.
constexpr auto watch_time = std::chrono::microseconds(80);

inline void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until `value` is no longer `old`; returns what it is.
template <class Value>
Value await_change(const std::atomic<Value>& value, Value old) noexcept {
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int look = 0; look < 64; ++look) {
      const Value now = value.load(std::memory_order_acquire);
      if (now != old) return now;
      pause();
    }
  } while (std::chrono::steady_clock::now() - start < watch_time);
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

// It is set in every thread while it runs tasks: a loop inside a loop runs plainly.
thread_local bool inside_loop = false;

// A parallel loop lives on the calling thread's stack until every thread has left it.
struct Loop {
  Index count;
  const Task* task;
  std::atomic<Index> next{0};
  std::atomic<bool> stopped{false};
  std::mutex failure_mutex;
  std::exception_ptr failure;

  Loop(Index task_count, const Task& body) : count(task_count), task(&body) {}

  void fail() {
    const std::lock_guard lock(failure_mutex);
    if (!failure) failure = std::current_exception();
    stopped.store(true, std::memory_order_relaxed);
  }

  // `between` runs after each task.
  template <class Between>
  void run(int worker, Between between) noexcept {
    inside_loop = true;
    try {
      while (!stopped.load(std::memory_order_relaxed)) {
        const Index index = next.fetch_add(1, std::memory_order_relaxed);
        if (index >= count) break;
        (*task)(index, worker);
        between();
      }
    } catch (...) {
      fail();
    }
    inside_loop = false;
  }
};

class ThreadPool {
 public:
  explicit ThreadPool(pid_t owner) : owner_(owner) {}

  pid_t owner() const noexcept { return owner_; }

  // Returns false where another loop has the pool: the caller then runs its tasks itself.
  template <class Between>
  bool try_run(Loop& loop, int threads, Between between) {
    const std::unique_lock busy(busy_, std::try_to_lock);
    if (!busy.owns_lock()) return false;
    grow(threads - 1);
    const int helpers = std::min(threads - 1, static_cast<int>(workers_.size()));
    loop_ = &loop;
    running_.store(helpers, std::memory_order_relaxed);
    for (int i = 0; i < helpers; ++i) workers_[i].call();
    loop.run(0, between);
    for (int left = running_.load(std::memory_order_acquire); left != 0;) left = await_change(running_, left);
    return true;
  }

 private:
  // Threads are called one by one: a loop neither wakes nor waits for the threads that it does without, of which there
  // may be many on a machine of many cores.
  struct alignas(64) Worker {
    std::atomic<unsigned> calls{0};

    void call() noexcept {
      calls.fetch_add(1, std::memory_order_release);
      calls.notify_one();
    }
  };

  // Threads are never joined: at exit their code may be unloaded already.  Where the system has no more threads, the
  // loop makes do with those that there are.
  void grow(int workers) {
    while (static_cast<int>(workers_.size()) < workers) {
      Worker& worker = workers_.emplace_back();
      const int number = static_cast<int>(workers_.size());
      try {
        std::thread([this, number, &worker] { work(number, worker); }).detach();
      } catch (const std::system_error&) {
        workers_.pop_back();
        return;
      }
    }
  }

  [[noreturn]] void work(int number, const Worker& worker) {
    for (unsigned seen = 0;;) {
      seen = await_change(worker.calls, seen);
      loop_->run(number, [] {});
      if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_all();
    }
  }

  const pid_t owner_;
  std::mutex busy_;
  std::deque<Worker> workers_;  // which stay where they are
  Loop* loop_ = nullptr;
  std::atomic<int> running_{0};
};

// A process has one pool.  A child of fork has none of its parent's threads: it gets a pool of its own, and the
// parent's (whose locks may be held by threads that do not exist here) is left alone.
ThreadPool& pool() {
  static std::atomic<ThreadPool*> current{nullptr};
  const pid_t process = getpid();
  ThreadPool* found = current.load(std::memory_order_acquire);
  while (found == nullptr || found->owner() != process) {
    auto fresh = std::make_unique<ThreadPool>(process);
    if (current.compare_exchange_strong(found, fresh.get(), std::memory_order_acq_rel)) return *fresh.release();
  }
  return *found;
}

}  // namespace

int thread_count(const Context& context) noexcept {
  return context.threads > 0 ? std::min(context.threads, most_threads) : default_num_threads();
}

void parallel_for(const Context& context, int threads, Index count, const Task& task) {
  Loop loop(count, task);
  // The time is kept from loop to loop: an iterative solver is many loops, each shorter than the interval.
  static thread_local auto last_poll = std::chrono::steady_clock::now();
  const auto poll_now_and_then = [&] {
    if (!context.poll) return;
    const auto now = std::chrono::steady_clock::now();
    if (now - last_poll < poll_interval) return;
    last_poll = now;
    context.poll();
  };
  if (static_cast<Index>(threads) > count) threads = static_cast<int>(count);
  const bool nested = inside_loop;
  if (nested || threads <= 1 || !pool().try_run(loop, threads, poll_now_and_then)) {
    loop.run(0, poll_now_and_then);
    inside_loop = nested;
  }
  if (loop.failure) std::rethrow_exception(loop.failure);
}

}  // namespace fastfisher::detail
