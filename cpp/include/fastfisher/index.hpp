// Row and column numbers.
#pragma once

#include <cstdint>

namespace fastfisher {

using Index = std::int64_t;

}  // namespace fastfisher
