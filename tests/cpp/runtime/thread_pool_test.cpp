// Parallel loops: every task once, exceptions out, nested and concurrent loops, polls on the calling thread.
#include "runtime/thread_pool.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "fastfisher/threads.hpp"

namespace fastfisher::detail {
namespace {

using std::chrono::milliseconds;

// Longer than the interval at which loops poll.
constexpr milliseconds a_while(60);

class ThreadPool : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Threads, ThreadPool, ::testing::Values(1, 2, 3, 8));

TEST_P(ThreadPool, EachTaskRunsOnceAndWorkersDoNotOverlap) {
  for (const Index count : {0, 1, 2, 7, 1000}) {
    std::vector<std::atomic<int>> runs(static_cast<std::size_t>(count));
    std::vector<std::atomic<int>> busy(static_cast<std::size_t>(GetParam()));
    std::atomic<bool> overlap{false}, outside{false};
    parallel_for({}, GetParam(), count, [&](Index task, int worker) {
      if (worker < 0 || worker >= GetParam()) {
        outside = true;
        return;
      }
      if (busy[worker].fetch_add(1) != 0) overlap = true;
      runs[task].fetch_add(1);
      busy[worker].fetch_sub(1);
    });
    EXPECT_FALSE(overlap);
    EXPECT_FALSE(outside);
    for (const auto& times : runs) ASSERT_EQ(times, 1);
  }
}

TEST_P(ThreadPool, ATasksExceptionLeavesTheLoop) {
  for (const Index thrower : {0, 1, 50, 99}) {
    std::atomic<int> started{0};
    try {
      parallel_for({}, GetParam(), 100, [&](Index task, int) {
        started.fetch_add(1);
        if (task == thrower) throw std::runtime_error("task " + std::to_string(thrower));
      });
      FAIL() << "no exception";
    } catch (const std::runtime_error& error) {
      EXPECT_EQ(error.what(), "task " + std::to_string(thrower));
    }
    EXPECT_LE(started, 100);
  }
  // The pool works as before.
  std::atomic<int> runs{0};
  parallel_for({}, GetParam(), 100, [&](Index, int) { runs.fetch_add(1); });
  EXPECT_EQ(runs, 100);
}

TEST_P(ThreadPool, OneOfManyExceptionsLeavesTheLoop) {
  EXPECT_THROW(parallel_for({}, GetParam(), 1000, [](Index, int) { throw std::logic_error("each"); }),
               std::logic_error);
}

TEST_P(ThreadPool, PollRunsOnTheCallingThreadOnly) {
  const auto caller = std::this_thread::get_id();
  int polls = 0;
  bool elsewhere = false;
  const Context context{GetParam(), [&] {
                          ++polls;
                          elsewhere |= std::this_thread::get_id() != caller;
                        }};
  parallel_for(context, GetParam(), 2 * GetParam(), [](Index, int) { std::this_thread::sleep_for(a_while); });
  EXPECT_GE(polls, 1);
  EXPECT_FALSE(elsewhere);
}

TEST_P(ThreadPool, APollsExceptionStopsTheLoop) {
  constexpr Index many = 10000;
  std::atomic<Index> runs{0};
  const Context context{GetParam(), [] { throw std::runtime_error("stop"); }};
  EXPECT_THROW(parallel_for(context, GetParam(), many,
                            [&](Index, int) {
                              runs.fetch_add(1);
                              std::this_thread::sleep_for(milliseconds(1));
                            }),
               std::runtime_error);
  EXPECT_LT(runs, many / 2);
}

TEST_P(ThreadPool, NestedLoopsRunPlainly) {
  std::atomic<int> runs{0};
  std::atomic<bool> moved{false};
  parallel_for({}, GetParam(), 20, [&](Index, int) {
    const auto outer = std::this_thread::get_id();
    parallel_for({}, GetParam(), 20, [&](Index, int worker) {
      if (worker != 0 || std::this_thread::get_id() != outer) moved = true;
      runs.fetch_add(1);
    });
  });
  EXPECT_EQ(runs, 400);
  EXPECT_FALSE(moved);
}

TEST_P(ThreadPool, ANestedExceptionLeavesBothLoops) {
  EXPECT_THROW(parallel_for({}, GetParam(), 20,
                            [&](Index, int) {
                              parallel_for({}, GetParam(), 20, [](Index task, int) {
                                if (task == 7) throw std::domain_error("inner");
                              });
                            }),
               std::domain_error);
}

TEST_P(ThreadPool, LoopsOfSeveralThreadsDoNotMix) {
  constexpr int callers = 4, loops = 200;
  constexpr Index count = 64;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int caller = 0; caller < callers; ++caller) {
    threads.emplace_back([&wrong, this] {
      for (int loop = 0; loop < loops; ++loop) {
        std::vector<std::atomic<int>> runs(count);
        parallel_for({}, GetParam(), count, [&](Index task, int) { runs[task].fetch_add(1); });
        for (const auto& times : runs) wrong.fetch_add(times != 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

// How often each thread of this process has gone to sleep of its own accord; empty where the system does not say.
std::map<std::string, long> sleeps_by_thread() {
  std::map<std::string, long> sleeps;
  std::error_code none;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task", none)) {
    std::ifstream status(thread.path() / "status");
    for (std::string key; status >> key;) {
      if (key == "voluntary_ctxt_switches:") status >> sleeps[thread.path().filename()];
    }
  }
  return sleeps;
}

// A thread that is woken goes to sleep again.
TEST(ThreadPoolOfMany, WakesThoseThatALoopUses) {
  constexpr int loops = 50;
  const Task nothing = [](Index, int) {};
  parallel_for({}, 8, 64, nothing);
  const auto before = sleeps_by_thread();
  if (before.empty()) GTEST_SKIP() << "needs Linux's account of threads";
  for (int loop = 0; loop < loops; ++loop) {
    std::this_thread::sleep_for(milliseconds(1));  // until all of them sleep
    parallel_for({}, 2, 64, nothing);
  }
  int woken = 0;
  for (const auto& [thread, sleeps] : sleeps_by_thread()) {
    const auto found = before.find(thread);
    woken += found != before.end() && sleeps - found->second >= loops / 2 ? 1 : 0;
  }
  EXPECT_LE(woken, 3) << "of 8: this one, its helper, and perhaps a sanitizer's";
}

TEST(ThreadCount, TheContextComesBeforeTheDefault) {
  set_default_num_threads(3);
  EXPECT_EQ(default_num_threads(), 3);
  EXPECT_EQ(thread_count({}), 3);
  EXPECT_EQ(thread_count({5, {}}), 5);
  set_default_num_threads(0);
  EXPECT_GE(default_num_threads(), 1);
  EXPECT_GE(usable_processors(), 1);
}

}  // namespace
}  // namespace fastfisher::detail
