// Scratch memory for packed operands and factors.
#pragma once

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstddef>
#include <memory>
#include <new>

#include "fastfisher/views.hpp"

namespace fastfisher::detail {

// Uninitialised values on a cache line's boundary, as the kernels' aligned loads want them.  Large ones ask for huge
// pages: a tile touches eight columns of its matrix, each on another page, and first touches are fewer.
// Throws std::bad_alloc.
template <class Scalar>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(Index size) {
    const std::size_t bytes = static_cast<std::size_t>(size > 0 ? size : 1) * sizeof(Scalar);
    const std::align_val_t alignment{bytes < 2 * huge_page ? cache_line : huge_page};
    data_ = {static_cast<Scalar*>(::operator new(bytes, alignment)), Free{alignment}};
#if defined(MADV_HUGEPAGE)
    if (bytes >= 2 * huge_page) madvise(data_.get(), bytes, MADV_HUGEPAGE);  // advice: failing it costs nothing
#endif
  }

  Scalar* data() const noexcept { return data_.get(); }
  Scalar& operator[](Index i) const noexcept { return data_.get()[i]; }

 private:
  static constexpr std::size_t cache_line = 64, huge_page = std::size_t{1} << 21;
  struct Free {
    std::align_val_t alignment;
    void operator()(Scalar* memory) const noexcept { ::operator delete(memory, alignment); }
  };
  std::unique_ptr<Scalar, Free> data_{nullptr, Free{std::align_val_t{cache_line}}};
};

}  // namespace fastfisher::detail
