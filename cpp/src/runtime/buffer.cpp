#include "runtime/buffer.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <array>
#include <bit>
#include <mutex>
#include <new>

namespace fastfisher::detail {
namespace {

constexpr std::size_t cache_line = 64, huge_page = std::size_t{1} << 21;

// From this size on memory comes fresh from the system, zeroed page by page, and goes back to it: for a matrix of a few
// thousand rows that takes a tenth of the time of its factorisation.  So it is kept, up to a limit.
constexpr std::size_t large = std::size_t{1} << 20;
constexpr std::size_t most_kept = std::size_t{256} << 20;

// Sizes go in steps of an eighth: what one call gave back fits the next of nearly the same shape.
std::size_t size_class(std::size_t bytes) noexcept {
  const std::size_t step = std::max(std::bit_floor(bytes) / 8, cache_line);
  return (bytes + step - 1) / step * step;
}

void* allocate(std::size_t bytes) {
  if (bytes < 2 * huge_page) return ::operator new(bytes, std::align_val_t{cache_line});
  void* memory = ::operator new(bytes, std::align_val_t{huge_page});
#if defined(MADV_HUGEPAGE)
  // A tile touches eight columns of its matrix, each on another page.  This is advice: failing it costs nothing.
  madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return memory;
}

void release(void* memory, std::size_t bytes) noexcept {
  ::operator delete(memory, std::align_val_t{bytes < 2 * huge_page ? cache_line : huge_page});
}

// Here are large blocks that nobody uses, the most recently given first.  Where another thread is at it, or was when
// this process was forked, there is no waiting: memory then comes from the system and goes back to it.
class Kept {
 public:
  void* take(std::size_t bytes) noexcept {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return nullptr;
    const auto found = std::find_if(blocks_.begin(), end(), [bytes](const Block& b) { return b.bytes == bytes; });
    return found == end() ? nullptr : remove(found);
  }

  bool give(void* memory, std::size_t bytes) noexcept {
    if (bytes > most_kept) return false;
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return false;
    while (count_ == blocks_.size() || total_ + bytes > most_kept) {
      const std::size_t size = blocks_[count_ - 1].bytes;
      release(remove(end() - 1), size);
    }
    std::move_backward(blocks_.begin(), end(), end() + 1);
    blocks_.front() = {memory, bytes};
    ++count_;
    total_ += bytes;
    return true;
  }

 private:
  struct Block {
    void* memory;
    std::size_t bytes;
  };
  using Iterator = std::array<Block, 16>::iterator;

  Iterator end() noexcept { return blocks_.begin() + static_cast<std::ptrdiff_t>(count_); }

  void* remove(Iterator block) noexcept {
    void* memory = block->memory;
    total_ -= block->bytes;
    std::move(block + 1, end(), block);
    --count_;
    return memory;
  }

  std::mutex mutex_;
  std::array<Block, 16> blocks_{};
  std::size_t count_ = 0, total_ = 0;
};

// It is never destroyed: threads that outlive main may still give something back.
Kept& kept() {
  static Kept* const instance = new Kept;
  return *instance;
}

}  // namespace

void* take_memory(std::size_t bytes) {
  if (bytes < large) return allocate(bytes);
  void* memory = kept().take(size_class(bytes));
  return memory != nullptr ? memory : allocate(size_class(bytes));
}

void give_memory(void* memory, std::size_t bytes) noexcept {
  if (bytes < large) return release(memory, bytes);
  if (!kept().give(memory, size_class(bytes))) release(memory, size_class(bytes));
}

}  // namespace fastfisher::detail
