// These settings travel with a call.  Nothing here changes for anyone else.
#pragma once

#include <functional>

namespace fastfisher {

struct Context {
  // The call uses so many threads, the calling one included; 0 stands for default_num_threads().  Results are the same
  // bits for any count.
  int threads = 0;

  // It is called now and then, on the calling thread only, while a long operation runs.  It may throw: the operation
  // then stops, its outputs are unspecified, and the exception leaves the call.
  std::function<void()> poll;
};

}  // namespace fastfisher
