// Scratch memory for packed operands and factors.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include "fastfisher/views.hpp"

namespace fastfisher::detail {

// Uninitialised values on a cache line's boundary, as the kernels' aligned loads want them.
// Throws std::bad_alloc.
template <class Scalar>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(Index size)
      : data_(static_cast<Scalar*>(
            ::operator new(static_cast<std::size_t>(size > 0 ? size : 1) * sizeof(Scalar), alignment))) {}

  Scalar* data() const noexcept { return data_.get(); }
  Scalar& operator[](Index i) const noexcept { return data_.get()[i]; }

 private:
  static constexpr std::align_val_t alignment{64};
  struct Free {
    void operator()(Scalar* memory) const noexcept { ::operator delete(memory, alignment); }
  };
  std::unique_ptr<Scalar, Free> data_;
};

}  // namespace fastfisher::detail
