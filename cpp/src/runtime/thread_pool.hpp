// The pool of threads runs the tasks of one parallel loop at a time.
#pragma once

#include <functional>

#include "fastfisher/context.hpp"
#include "fastfisher/index.hpp"

namespace fastfisher::detail {

// A task is called with its index and with the number of the loop's thread that runs it, 0 <= worker < threads, which
// is the index of that thread's scratch memory.
using Task = std::function<void(Index task, int worker)>;

// This is more than any machine has: scratch memory is allotted by thread, and a typing error must not start a million.
inline constexpr int most_threads = 1024;

// Returns the threads that a call with this context would use on enough work.
int thread_count(const Context& context) noexcept;

// Runs task(0) ... task(count - 1), each once, on the calling thread and up to threads - 1 others.
//
// Results must not depend on which thread runs a task: that is what makes them the same bits for any number of threads.
// Tasks start in the order of their indices, and one that has started ends, so a task may wait for those before it.
// Inside a task, and while another loop has the pool, a loop runs on its calling thread alone. context.poll is called
// between tasks; what it or a task throws stops the loop and leaves parallel_for.
void parallel_for(const Context& context, int threads, Index count, const Task& task);

// Calls context.poll if there is one.
inline void poll(const Context& context) {
  if (context.poll) context.poll();
}

}  // namespace fastfisher::detail
