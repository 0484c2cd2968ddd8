// Settings that travel with a call.  Nothing here changes for anyone else.
#pragma once

#include <functional>

namespace fastfisher {

struct Context {
  // Threads to use, the calling one included; 0: default_num_threads().  Results are the same bits for any count.
  int threads = 0;

  // Called now and then, on the calling thread only, while a long operation runs.  It may throw: the operation then
  // stops, its outputs are unspecified, and the exception leaves the call.
  std::function<void()> poll;
};

}  // namespace fastfisher
