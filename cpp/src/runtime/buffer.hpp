// Packed operands and factors have their scratch memory from here.
#pragma once

#include <cstddef>
#include <memory>

#include "fastfisher/index.hpp"

namespace fastfisher::detail {

// Gives uninitialised memory on a cache line's boundary; large blocks lie on huge pages, and are kept for the next that
// is large.  Throws std::bad_alloc.
void* take_memory(std::size_t bytes);
void give_memory(void* memory, std::size_t bytes) noexcept;

// A buffer holds uninitialised values, aligned as the kernels' loads want them.  Throws std::bad_alloc.
template <class Scalar>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(Index size) {
    const std::size_t bytes = static_cast<std::size_t>(size > 0 ? size : 1) * sizeof(Scalar);
    data_ = {static_cast<Scalar*>(take_memory(bytes)), Free{bytes}};
  }

  Scalar* data() const noexcept { return data_.get(); }
  Scalar& operator[](Index i) const noexcept { return data_.get()[i]; }

 private:
  struct Free {
    std::size_t bytes = 0;
    void operator()(Scalar* memory) const noexcept { give_memory(memory, bytes); }
  };
  std::unique_ptr<Scalar, Free> data_;
};

}  // namespace fastfisher::detail
