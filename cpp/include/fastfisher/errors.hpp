// A step throws these beyond the standard library's exceptions.
#pragma once

#include <stdexcept>

namespace fastfisher {

// The damping was too small for the rounding of the matrix, and neither a jitter nor a clamp of its eigenvalues helped.
class NotPositiveDefinite : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The matrix that the solver asked for would factor takes more than the memory limit.
class MemoryLimitExceeded : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace fastfisher
