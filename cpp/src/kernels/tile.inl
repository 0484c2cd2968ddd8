// The tile kernel is the innermost loop of every matrix product in the library.
//
// A tile of C is held in registers while its two strips stream by: rows = packets of the strip, columns = broadcasts.
// Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34(3), 2008; Van Zee and van
// de Geijn, "BLIS", ACM TOMS 41(3), 2015.  Unlike theirs, both operands share one packed form, since in S^T S, S S^T
// and L L^T they are the same matrix: the columns of a tile are read inside a strip, at stride strip_rows.

namespace fastfisher::detail::FASTFISHER_NAMESPACE {

// A tile takes these registers: rows / lanes * columns accumulators, rows / lanes packets of A, one broadcast.
#if defined(__AVX512F__)  // 32 registers: 24 + 3 + 1
inline constexpr Index tile_packets = 3, tile_columns = 8;
#elif defined(__AVX__)                             // 16 registers: 12 + 3 + 1
inline constexpr Index tile_packets = 3, tile_columns = 4;
#elif defined(__aarch64__) && defined(__ARM_NEON)  // 32 registers: 18 + 3 + 1; strips have 6 rows of double
inline constexpr Index tile_packets = 3, tile_columns = 6;
#else                                              // 16 registers, and a multiply needs one of its own: 8 + 2 + 2
inline constexpr Index tile_packets = 2, tile_columns = lanes<double> == 1 ? 2 : 4;
#endif

template <class Real>
struct TileShape {
  static constexpr Index rows = tile_packets * lanes<Real>;
  static constexpr Index columns = tile_columns;
  // A tile's columns stay in the first-level cache (depth * 64 bytes at the most) and are used by a block of strips.
  // Half of it, a block of the Cholesky factorisation, is whole tiles.
  static constexpr Index depth = 256 - 256 % (2 * columns);
  static_assert(rows % columns == 0, "a tile's columns must lie in one strip");
};

// So many steps in depth lie between a strip's prefetch from the second-level cache and its use.
inline constexpr Index prefetch_distance = 8;

template <class Real, Index packets = tile_packets>
struct TileRegisters {
  PacketOf<Real> value[tile_columns][packets];
};

// Computes A B^T over `depth`, into registers, for `packets` packets of A's rows.
template <Index packets, class Real>
EIGEN_STRONG_INLINE TileRegisters<Real, packets> multiply_strips(Index depth, const Real* a, const Real* b) noexcept {
  namespace simd = Eigen::internal;
  using Packet = PacketOf<Real>;
  constexpr Index rows = TileShape<Real>::rows;
  TileRegisters<Real, packets> c;
#pragma GCC unroll 16
  for (Index j = 0; j < tile_columns; ++j) {
#pragma GCC unroll 4
    for (Index i = 0; i < packets; ++i) c.value[j][i] = simd::pzero(Packet());
  }
#pragma GCC unroll 4
  for (Index k = 0; k < depth; ++k, a += rows, b += rows) {
    Packet row[packets];
#pragma GCC unroll 4
    for (Index i = 0; i < packets; ++i) {
      row[i] = simd::pload<Packet>(a + i * lanes<Real>);
      __builtin_prefetch(a + prefetch_distance * rows + i * lanes<Real>);
    }
#pragma GCC unroll 16
    for (Index j = 0; j < tile_columns; ++j) {
      const Packet column = simd::pset1<Packet>(b[j]);
#pragma GCC unroll 4
      for (Index i = 0; i < packets; ++i) c.value[j][i] = simd::pmadd(row[i], column, c.value[j][i]);
    }
  }
  return c;
}

template <TileMode mode, Index packets, class Real>
EIGEN_STRONG_INLINE void store_tile(const TileRegisters<Real, packets>& product, Real* c, Index stride) noexcept {
  namespace simd = Eigen::internal;
  using Packet = PacketOf<Real>;
#pragma GCC unroll 16
  for (Index j = 0; j < tile_columns; ++j) {
#pragma GCC unroll 4
    for (Index i = 0; i < packets; ++i) {
      Real* target = c + j * stride + i * lanes<Real>;
      Packet value = product.value[j][i];
      if constexpr (mode == TileMode::add) value = simd::padd(simd::ploadu<Packet>(target), value);
      if constexpr (mode == TileMode::subtract) value = simd::psub(simd::ploadu<Packet>(target), value);
      simd::pstoreu(target, value);
    }
  }
}

// Computes a tile of `packets` packets of rows, of which the first `rows` rows and `columns` columns exist.
template <TileMode mode, Index packets, class Real>
EIGEN_STRONG_INLINE void tile_of(Index depth, const Real* a, const Real* b, Real* c, Index stride, Index rows,
                                 Index columns) noexcept {
  constexpr Index all_rows = packets * lanes<Real>;
  if (rows == all_rows && columns == tile_columns) {
    if constexpr (mode != TileMode::assign) {
      constexpr Index line = 64 / sizeof(Real);
      for (Index j = 0; j < tile_columns; ++j) {
        for (Index i = 0; i < all_rows; i += line) __builtin_prefetch(c + j * stride + i, 1);
      }
    }
    store_tile<mode>(multiply_strips<packets>(depth, a, b), c, stride);
    return;
  }
  // A tile that hangs over the matrix's edge goes through a buffer, so that nothing outside is touched.
  alignas(64) Real whole[all_rows * tile_columns];
  store_tile<TileMode::assign>(multiply_strips<packets>(depth, a, b), whole, all_rows);
  for (Index j = 0; j < columns; ++j) {
    for (Index i = 0; i < rows; ++i) {
      Real& target = c[j * stride + i];
      const Real value = whole[j * all_rows + i];
      target = mode == TileMode::assign ? value : mode == TileMode::add ? target + value : target - value;
    }
  }
}

// Packets that lie wholly above `first_row`, or below the last row, are left out: at the diagonal and at the lower
// edge of a small matrix they would be a good part of the work.
template <TileMode mode, class Real>
EIGEN_STRONG_INLINE void tile_in_mode(Index depth, const Real* a, const Real* b, Real* c, Index stride, Index first_row,
                                      Index rows, Index columns) noexcept {
  const Index skipped = first_row - first_row % lanes<Real>;
  a += skipped;
  c += skipped;
  rows -= skipped;
  static_assert(tile_packets == 2 || tile_packets == 3);
  if (rows <= lanes<Real>) {
    tile_of<mode, 1>(depth, a, b, c, stride, rows, columns);
  } else if (tile_packets == 2 || rows <= 2 * lanes<Real>) {
    tile_of<mode, 2>(depth, a, b, c, stride, rows, columns);
  } else {
    tile_of<mode, tile_packets>(depth, a, b, c, stride, rows, columns);
  }
}

template <class Real>
void tile(TileMode mode, Index depth, const Real* a, const Real* b, Real* c, Index stride, Index first_row, Index rows,
          Index columns) {
  switch (mode) {
    case TileMode::assign:
      return tile_in_mode<TileMode::assign>(depth, a, b, c, stride, first_row, rows, columns);
    case TileMode::add:
      return tile_in_mode<TileMode::add>(depth, a, b, c, stride, first_row, rows, columns);
    case TileMode::subtract:
      return tile_in_mode<TileMode::subtract>(depth, a, b, c, stride, first_row, rows, columns);
  }
}

// Computes X <- X L^-T for one packed strip: column blocks from left to right, each the tile product with what is
// solved already, then a triangle of tile_columns in registers.  The strip is both read and written.
template <class Real>
void solve_strip(Index n, const Real* packed_factor, const Real* inverse_diagonal, Real* strip) {
  namespace simd = Eigen::internal;
  using Packet = PacketOf<Real>;
  constexpr Index rows = TileShape<Real>::rows;
  for (Index first = 0; first < n; first += tile_columns) {
    // These are rows first .. first + tile_columns of L, depth 0 .. n.
    const Real* factor = packed_factor + (first / rows) * rows * n + first % rows;
    TileRegisters<Real> x = multiply_strips<tile_packets>(first, strip, factor);
    Real* target = strip + first * rows;
#pragma GCC unroll 16
    for (Index j = 0; j < tile_columns; ++j) {
#pragma GCC unroll 4
      for (Index i = 0; i < tile_packets; ++i) {
        x.value[j][i] = simd::psub(simd::pload<Packet>(target + j * rows + i * lanes<Real>), x.value[j][i]);
      }
    }
#pragma GCC unroll 16
    for (Index j = 0; j < tile_columns; ++j) {
      const Packet inverse = simd::pset1<Packet>(inverse_diagonal[first + j]);
      const Real* column = factor + (first + j) * rows;  // L[first : first + tile_columns, first + j]
#pragma GCC unroll 4
      for (Index i = 0; i < tile_packets; ++i) {
        x.value[j][i] = simd::pmul(x.value[j][i], inverse);
        simd::pstore(target + j * rows + i * lanes<Real>, x.value[j][i]);
      }
#pragma GCC unroll 16
      for (Index later = j + 1; later < tile_columns; ++later) {
        const Packet factor_entry = simd::pset1<Packet>(column[later]);
#pragma GCC unroll 4
        for (Index i = 0; i < tile_packets; ++i) {
          x.value[later][i] = simd::pnmadd(x.value[j][i], factor_entry, x.value[later][i]);
        }
      }
    }
  }
}

// Measures the rate at which this core multiplies and adds when nothing has to be loaded: benchmarks divide by it.
template <class Real>
double peak_flops(Index iterations, Real* sink) {
  namespace simd = Eigen::internal;
  using Packet = PacketOf<Real>;
  constexpr Index chains = 12;  // covers latency 4-5 x 2 units, and leaves registers for the two operands
  Packet sum[chains];
  for (Index c = 0; c < chains; ++c) sum[c] = simd::pset1<Packet>(static_cast<Real>(c));
  const Packet x = simd::pset1<Packet>(sink[0]);
  const Packet y = simd::pset1<Packet>(sink[1]);
  for (Index i = 0; i < iterations; ++i) {
#pragma GCC unroll 12
    for (Index c = 0; c < chains; ++c) sum[c] = simd::pmadd(sum[c], x, y);
  }
  Packet total = sum[0];
  for (Index c = 1; c < chains; ++c) total = simd::padd(total, sum[c]);
  sink[0] += simd::predux(total);
  return 2.0 * static_cast<double>(chains * lanes<Real> * iterations);
}

}  // namespace fastfisher::detail::FASTFISHER_NAMESPACE
