// Packing brings an operand of a matrix product, of any stride and either precision, into strips that the tile kernel
// reads with unit stride.  Conversion, scaling by weights and padding with zeros happen here, on the way.

namespace fastfisher::detail::FASTFISHER_NAMESPACE {

template <class Real>
struct TileShape;

// Rows lie side by side in memory (S^T S of C-ordered scores): each step in depth is one run of memory, read from end
// to end and dealt out to all the strips, so that the processor's own prefetching keeps up.
template <class In, class Real>
void pack_along_rows(Index rows, Index depth, const In* source, Index depth_stride, const Real* depth_scale,
                     Real* packed, Index strip_stride) noexcept {
  constexpr Index all_rows = TileShape<Real>::rows;
  for (Index k = 0; k < depth; ++k, source += depth_stride, packed += all_rows) {
    const Real scale = depth_scale == nullptr ? Real(1) : depth_scale[k];
    Real* strip = packed;
    Index row = 0;
    for (; row + all_rows <= rows; row += all_rows, strip += strip_stride) {
      for (Index i = 0; i < all_rows; ++i) strip[i] = scale * static_cast<Real>(source[row + i]);
    }
    if (row == rows) continue;
    for (Index i = 0; i < rows - row; ++i) strip[i] = scale * static_cast<Real>(source[row + i]);
    for (Index i = rows - row; i < all_rows; ++i) strip[i] = Real(0);
  }
}

// The depth lies side by side in memory (S S^T of C-ordered scores): square blocks are transposed in registers.
// Reads and writes whole blocks only; returns the depth that it covered, a multiple of the block.
template <class Real>
Index pack_along_depth(Index depth, const Real* source, Index row_stride, Real* strip) noexcept {
  namespace simd = Eigen::internal;
  using Packet = PacketOf<Real>;
  constexpr Index all_rows = TileShape<Real>::rows;
  constexpr Index side = lanes<Real>;
  const Index covered = depth - depth % side;
  for (Index k = 0; k < covered; k += side) {
    for (Index i = 0; i < all_rows; i += side) {
      simd::PacketBlock<Packet, static_cast<int>(side)> block;
#pragma GCC unroll 16
      for (Index r = 0; r < side; ++r) {
        const Real* from = source + (i + r) * row_stride + k;
        __builtin_prefetch(from + 64 / sizeof(Real));  // the next block of this row: too many rows for the prefetcher
        block.packet[r] = simd::ploadu<Packet>(from);
      }
      simd::ptranspose(block);
#pragma GCC unroll 16
      for (Index r = 0; r < side; ++r) simd::pstore(strip + (k + r) * all_rows + i, block.packet[r]);
    }
  }
  return covered;
}

// Packs one strip, of any layout.
template <class In, class Real>
void pack_strip(Index rows, Index depth, const In* source, Index row_stride, Index depth_stride, const Real* row_scale,
                const Real* depth_scale, Real* strip) {
  constexpr Index all_rows = TileShape<Real>::rows;
  Index done = 0;
  if constexpr (sizeof(In) == sizeof(Real)) {
    if (depth_stride == 1 && rows == all_rows) done = pack_along_depth(depth, source, row_stride, strip);
  }
  // Whatever is left goes in blocks of depth that keep both sides in the first-level cache.
  constexpr Index block = 16;
  for (Index first = done; first < depth; first += block) {
    const Index last = smaller(first + block, depth);
    for (Index i = 0; i < rows; ++i) {
      const In* from = source + i * row_stride;
      for (Index k = first; k < last; ++k) {
        strip[k * all_rows + i] = static_cast<Real>(from[k * depth_stride]);
      }
    }
    for (Index k = first; k < last; ++k) {
      for (Index i = rows; i < all_rows; ++i) strip[k * all_rows + i] = Real(0);
    }
  }
  if (row_scale == nullptr && depth_scale == nullptr) return;
  for (Index k = 0; k < depth; ++k) {
    const Real scale = depth_scale == nullptr ? Real(1) : depth_scale[k];
    for (Index i = 0; i < rows; ++i) {
      strip[k * all_rows + i] *= row_scale == nullptr ? scale : scale * row_scale[i];
    }
  }
}

template <class In, class Real>
void pack(Index rows, Index depth, const In* source, Index row_stride, Index depth_stride, const Real* row_scale,
          const Real* depth_scale, Real* packed, Index strip_stride) {
  if (row_stride == 1 && row_scale == nullptr) {
    pack_along_rows(rows, depth, source, depth_stride, depth_scale, packed, strip_stride);
    return;
  }
  constexpr Index all_rows = TileShape<Real>::rows;
  for (Index row = 0; row < rows; row += all_rows, packed += strip_stride) {
    pack_strip(smaller(all_rows, rows - row), depth, source + row * row_stride, row_stride, depth_stride,
               row_scale == nullptr ? nullptr : row_scale + row, depth_scale, packed);
  }
}

template <class Real>
void unpack_strip(Index rows, Index depth, const Real* strip, Real* destination, Index stride) {
  constexpr Index all_rows = TileShape<Real>::rows;
  for (Index k = 0; k < depth; ++k) {
    for (Index i = 0; i < rows; ++i) destination[k * stride + i] = strip[k * all_rows + i];
  }
}

}  // namespace fastfisher::detail::FASTFISHER_NAMESPACE
