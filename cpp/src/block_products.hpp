// Products with vectors for scores of several blocks, dense or factored, in one pass over the rows.
#pragma once

#include <vector>

#include "buffer.hpp"
#include "fastfisher/views.hpp"
#include "kernel_table.hpp"

namespace fastfisher::detail {

// Where a block's columns lie, and for a pair which side is broadcast and which is held in packets.
struct BlockPlan {
  const BlockView* view = nullptr;
  Index first_column = 0;
  Index columns = 0;
  Index offset = 0;  // of the block's values in a padded vector
  Index size = 0;    // of them there: columns, or broadcasts * entries
  // Of a pair; zero for a dense block.
  bool swapped = false;   // broadcasts are the right side
  Index broadcasts = 0;   // values of the broadcast side
  Index packed = 0;       // values of the packet side
  Index entries = 0;      // those padded to whole packets
  Index panel_left = 0;   // values of the panel before this block's broadcast side, per row
  Index panel_right = 0;  // and before its packet side
};

// The blocks of some scores as the pair kernels want them.  A "padded vector" holds, for each block in turn, the
// block's part of a (d,) vector: as it is for a dense block, and as a (broadcasts, entries) matrix for a pair.
template <class Real>
class BlockProducts {
 public:
  explicit BlockProducts(const ScoresView& scores);

  Index padded_size() const noexcept { return padded_size_; }
  Index panel_rows() const noexcept { return panel_rows_; }
  Index scratch_size() const noexcept { return scratch_size_; }

  void pad(const Real* v, Real* padded) const;
  void add_unpadded(const Real* padded, Real* v) const;

  // For `count` <= panel_rows() rows from `first`: u = S v, then u *= weights (if any), then y += S^T u.
  // Either half is left out where its vector (v, or y) is null; u is then input.  `products`, if not null, receives
  // S v before the weights.  u holds `count` values; v and y are padded vectors.
  void panel(Index first, Index count, const Real* v, const Real* weights, Real* products, Real* u, Real* y,
             Real* scratch) const;

 private:
  const RealKernels<Real>* kernel_;
  std::vector<BlockPlan> plans_;
  Index padded_size_ = 0;
  Index panel_rows_ = 0;
  Index panel_values_ = 0;  // values of a panel's row, all pairs together
  Index scratch_size_ = 0;
};

}  // namespace fastfisher::detail
