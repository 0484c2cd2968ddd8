// Scores of several blocks, dense or factored, are multiplied with vectors here in one pass over the rows.
#pragma once

#include <vector>

#include "fastfisher/views.hpp"
#include "kernels/kernel_table.hpp"
#include "runtime/buffer.hpp"

namespace fastfisher::detail {

// A place says where a block's columns lie, and for a pair which side is broadcast and which is held in packets.
struct BlockPlan {
  BlockView view;
  Index first_column = 0;
  Index columns = 0;
  Index offset = 0;  // of the block's values in a padded vector
  Index size = 0;    // of them there: columns, or broadcasts * entries
  // These describe a pair; they are zero for a dense block.
  bool swapped = false;              // broadcasts are the right side
  bool broadcasts_in_place = false;  // the kernels read that side where it lies; else a panel is copied
  bool packets_in_place = false;
  Index repeats = 1;
  Index broadcasts = 0;   // values of the broadcast side
  Index packed = 0;       // values of the packet side
  Index entries = 0;      // those padded to whole packets
  Index panel_left = 0;   // where a panel's copy of the broadcast side begins in the scratch memory
  Index panel_right = 0;  // and of the packet side
};

// Here are the blocks of some scores as the pair kernels want them.  A "padded vector" holds, for each block in turn,
// the block's part of a (d,) vector: as it is for a dense block, and for a pair as a (broadcasts, entries) matrix that
// is cut into strips, one after another, of the entries of a kernel's tile.  Rows of a whole matrix lie a power of two
// apart in wide layers, where few of them fit into the first-level cache together: strips are read from end to end.
template <class Real>
class BlockProducts {
 public:
  explicit BlockProducts(const ScoresView& scores);

  Index padded_size() const noexcept { return padded_size_; }
  Index panel_rows() const noexcept { return panel_rows_; }
  Index scratch_size() const noexcept { return scratch_size_; }
  // Rows that share the left side of a pair are not to be parted: panels begin at multiples of this.
  Index granule() const noexcept { return granule_; }

  void pad(const Real* v, Real* padded) const;
  template <class Sum>  // Real, or double
  void add_unpadded(const Sum* padded, Sum* v) const;

  // Computes, for `count` <= panel_rows() rows from `first`, u = S v, then u *= weights (if any), then y += S^T u.
  // Either half is left out where its vector (v, or y) is null; u is then input.  `products`, if not null, receives
  // S v before the weights.  u holds `count` values; v and y are padded vectors.
  void panel(Index first, Index count, const Real* v, const Real* weights, Real* products, Real* u, Real* y,
             Real* scratch) const;

 private:
  // Puts rows of one side of a pair where the kernels may read them.
  struct Rows {
    const Real* data;
    Index stride;
  };
  template <class In>
  Rows rows_of(const MatrixView<const In>& side, bool in_place, Index width, Real* copy, bool copied) const;
  template <class In>
  Rows broadcast_rows(const BlockPlan& plan, const PairView<const In>& part, Real* scratch, bool copied) const;
  template <class In>
  Rows packet_rows(const BlockPlan& plan, const PairView<const In>& part, Real* scratch, bool copied) const;

  template <class Body>
  void for_strips(const BlockPlan& plan, const Body& body) const;

  void add_plan(const BlockView& block);
  void allot_scratch();

  const RealKernels<Real>* kernel_;
  std::vector<BlockPlan> plans_;
  std::vector<std::variant<Buffer<float>, Buffer<double>>> written_out_;  // left sides that could not be shared
  Index granule_ = 1;
  Index padded_size_ = 0;
  Index panel_rows_ = 0;
  Index combined_ = 0;  // where the packet side, times u, lies in the scratch memory
  Index dense_u_ = 0;
  Index scratch_size_ = 0;
};

}  // namespace fastfisher::detail
