// The process's control group, or one that it lies in, sets these limits.
#pragma once

#include <limits>
#include <string>

namespace fastfisher::detail {

struct GroupLimits {
  double processors = std::numeric_limits<double>::infinity();  // processors' worth of time
  double memory = std::numeric_limits<double>::infinity();      // bytes
};

// Returns the least limits over the group and its ancestors, of version 2 and of version 1; `root` comes before /proc
// and /sys.
GroupLimits group_limits(const std::string& root = "");

}  // namespace fastfisher::detail
