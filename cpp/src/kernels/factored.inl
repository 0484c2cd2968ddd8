// Factored blocks of scores, row n = vec(l_n r_n^T), are multiplied here without ever forming the rows.
//
// Products with vectors are matrix products: for V the block's part of v as a (p, q) matrix,
//
//     (S v)_n  = l_n^T V r_n            contract:    rows of L times V, multiplied by R and summed along
//     S^T u    = L^T (diag(u) R)        combine:     diag(u) R; accumulate: a (p, q) matrix
//
// and entries of the Gram matrix are products of two small ones, (L L^T) o (R R^T).  All three keep the tile kernel's
// shape: packets along one side of the pair ("packet side", padded with zeros to whole packets), broadcasts along the
// other ("broadcast side").  The caller chooses which side is which.

namespace fastfisher::detail::FASTFISHER_NAMESPACE {

// Computes a tile of `packets` packets by `columns`: the sum over k of a[k * a_step ...] times b[k * b_step + j *
// b_column].
template <Index packets, Index columns, class Real>
struct StridedTile {
  PacketOf<Real> value[columns][packets];
};

template <Index packets, Index columns, class Real>
EIGEN_STRONG_INLINE StridedTile<packets, columns, Real> multiply_strided(Index depth, const Real* a, Index a_step,
                                                                         const Real* b, Index b_step,
                                                                         Index b_column) noexcept {
  namespace simd = Eigen::internal;
  using Packet = PacketOf<Real>;
  StridedTile<packets, columns, Real> c;
#pragma GCC unroll 16
  for (Index j = 0; j < columns; ++j) {
#pragma GCC unroll 4
    for (Index i = 0; i < packets; ++i) c.value[j][i] = simd::pzero(Packet());
  }
#pragma GCC unroll 4
  for (Index k = 0; k < depth; ++k, a += a_step, b += b_step) {
    Packet row[packets];
#pragma GCC unroll 4
    for (Index i = 0; i < packets; ++i) row[i] = simd::pload<Packet>(a + i * lanes<Real>);
#pragma GCC unroll 16
    for (Index j = 0; j < columns; ++j) {
      const Packet column = simd::pset1<Packet>(b[j * b_column]);
#pragma GCC unroll 4
      for (Index i = 0; i < packets; ++i) c.value[j][i] = simd::pmadd(row[i], column, c.value[j][i]);
    }
  }
  return c;
}

// With 32 registers a tile may also be wide: 24 accumulators as 4 packets by 6 columns, so that 64 single-precision
// values, a common layer, are one tile.
inline constexpr Index wide_packets = 4;
inline constexpr bool wide_tiles = tile_packets * tile_columns == 24;

// Returns the columns of a tile of so many packets.
template <Index packets>
inline constexpr Index columns_beside = packets == wide_packets ? 6 : tile_columns;

// Returns the packets to take of `left`: whole tiles, but rather 2 + 2 than 3 + 1, whose last has too few chains for
// the latency.
constexpr Index packets_of_tile(Index left) noexcept {
  if (wide_tiles && left % wide_packets == 0) return wide_packets;
  if (left > tile_packets + 1 || left == tile_packets) return tile_packets;
  return left > tile_packets ? 2 : left;
}

// Returns the entries of the next tile, of so many that are left.
template <class Real>
Index tile_entries(Index left) {
  return packets_of_tile(left / lanes<Real>) * lanes<Real>;
}

// Calls body with the number of packets as a constant, over all packets of a row; `first` is the entry it starts at.
template <class Real, class Body>
EIGEN_STRONG_INLINE void for_tiles_of_packets(Index entries, const Body& body) {
  static_assert(tile_packets == 2 || tile_packets == 3);
  for (Index first = 0; first < entries;) {
    const Index packets = packets_of_tile((entries - first) / lanes<Real>);
    if (packets == 1) {
      body(std::integral_constant<Index, 1>{}, first);
    } else if (packets == 2) {
      body(std::integral_constant<Index, 2>{}, first);
    } else if (packets == tile_packets) {
      body(std::integral_constant<Index, tile_packets>{}, first);
    } else if constexpr (wide_tiles) {
      body(std::integral_constant<Index, wide_packets>{}, first);
    }
    first += packets * lanes<Real>;
  }
}

// Writes target[n * target_stride + k] = scale[n] * source[n, k], zero from `columns` to the stride; scale may be null.
template <class In, class Real>
void copy_rows(Index rows, Index columns, const In* source, Index row_stride, Index column_stride, const Real* scale,
               Real* target, Index target_stride) {
  namespace simd = Eigen::internal;
  constexpr Index width = lanes<Real>;
  for (Index n = 0; n < rows; ++n, source += row_stride, target += target_stride) {
    const Real factor = scale == nullptr ? Real(1) : scale[n];
    Index k = 0;
    if (column_stride == 1) {
      const PacketOf<Real> factors = simd::pset1<PacketOf<Real>>(factor);
      for (; k + width <= columns; k += width) {
        simd::pstoreu(target + k, simd::pmul(load_as<Real>(source + k), factors));
      }
    }
    for (; k < columns; ++k) target[k] = factor * static_cast<Real>(source[k * column_stride]);
    for (; k < target_stride; ++k) target[k] = Real(0);
  }
}

// Adds to the sums of rows n ... the packets that their l^T V give with the right sides.
template <Index packets, Index columns, class Real>
EIGEN_STRONG_INLINE void contract_rows(const StridedTile<packets, columns, Real>& tile, Index repeats,
                                       const Real* right, Index right_stride, Real* sums) noexcept {
  namespace simd = Eigen::internal;
  using Packet = PacketOf<Real>;
#pragma GCC unroll 16
  for (Index j = 0; j < columns; ++j) {
    for (Index k = 0; k < repeats; ++k, right += right_stride, sums += lanes<Real>) {
      Packet sum = simd::pload<Packet>(sums);
#pragma GCC unroll 4
      for (Index i = 0; i < packets; ++i) {
        sum = simd::pmadd(tile.value[j][i], simd::ploadu<Packet>(right + i * lanes<Real>), sum);
      }
      simd::pstore(sums, sum);
    }
  }
}

// Computes sums[n * lanes ...] += the products of l^T V with r_n, a packet still to be added up; `repeats` rows of the
// right side share one of the left.
template <class Real>
void contract(Index rows, Index repeats, Index broadcasts, Index entries, const Real* left, Index left_stride,
              const Real* v, const Real* right, Index right_stride, Real* sums) {
  for_tiles_of_packets<Real>(entries, [&]<Index packets>(std::integral_constant<Index, packets>, Index first) {
    const auto contract_tile = [&]<Index columns>(std::integral_constant<Index, columns>, Index n) {
      const auto tile = multiply_strided<packets, columns>(broadcasts, v + first, entries, left + n * left_stride,
                                                           Index{1}, left_stride);
      const Index row = n * repeats;
      contract_rows(tile, repeats, right + row * right_stride + first, right_stride, sums + row * lanes<Real>);
    };
    Index n = 0;
    constexpr Index columns = columns_beside<packets>;
    for (; n + columns <= rows; n += columns) contract_tile(std::integral_constant<Index, columns>{}, n);
    for (; n < rows; ++n) contract_tile(std::integral_constant<Index, 1>{}, n);
  });
}

// Computes target (rows x entries), for each row the sum of its `repeats` rows of the right side, times their scales.
template <class Real>
void combine(Index rows, Index repeats, Index entries, const Real* right, Index right_stride, const Real* scale,
             Real* target) {
  namespace simd = Eigen::internal;
  using Packet = PacketOf<Real>;
  for (Index n = 0; n < rows; ++n, target += entries) {
    for (Index k = 0; k < repeats; ++k, right += right_stride, ++scale) {
      const Packet factor = simd::pset1<Packet>(*scale);
      for (Index e = 0; e < entries; e += lanes<Real>) {
        const Packet value = simd::pmul(simd::ploadu<Packet>(right + e), factor);
        simd::pstore(target + e, k == 0 ? value : simd::padd(simd::pload<Packet>(target + e), value));
      }
    }
  }
}

// Computes u[n] += the entries of the n-th packet of sums.
template <class Real>
void add_packets(Index rows, const Real* sums, Real* u) {
  namespace simd = Eigen::internal;
  for (Index n = 0; n < rows; ++n) u[n] += simd::predux(simd::pload<PacketOf<Real>>(sums + n * lanes<Real>));
}

// Computes y (broadcasts x entries) += L^T R.
template <class Real>
void accumulate(Index rows, Index broadcasts, Index entries, const Real* left, Index left_stride, const Real* right,
                Real* y) {
  namespace simd = Eigen::internal;
  using Packet = PacketOf<Real>;
  for_tiles_of_packets<Real>(entries, [&]<Index packets>(std::integral_constant<Index, packets>, Index first) {
    const auto accumulate_tile = [&]<Index columns>(std::integral_constant<Index, columns>, Index a) {
      const auto tile =
          multiply_strided<packets, columns>(rows, right + first, entries, left + a, left_stride, Index{1});
#pragma GCC unroll 16
      for (Index j = 0; j < columns; ++j) {
#pragma GCC unroll 4
        for (Index i = 0; i < packets; ++i) {
          Real* target = y + (a + j) * entries + first + i * lanes<Real>;
          simd::pstore(target, simd::padd(simd::pload<Packet>(target), tile.value[j][i]));
        }
      }
    };
    constexpr Index columns = columns_beside<packets>;
    Index a = 0;
    for (; a + columns <= broadcasts; a += columns) accumulate_tile(std::integral_constant<Index, columns>{}, a);
    for (; a + 4 <= broadcasts; a += 4) accumulate_tile(std::integral_constant<Index, 4>{}, a);
    for (; a + 2 <= broadcasts; a += 2) accumulate_tile(std::integral_constant<Index, 2>{}, a);
    for (; a < broadcasts; ++a) accumulate_tile(std::integral_constant<Index, 1>{}, a);
  });
}

// Writes the rows after all: target[n * target_stride + a * q + b] = scale[n] left[n, a] right[n, b].
template <class In, class Real>
void expand_rows(Index rows, Index p, Index q, const In* left, Index left_row, Index left_column, const In* right,
                 Index right_row, Index right_column, const Real* scale, Real* target, Index target_stride) {
  for (Index n = 0; n < rows; ++n, left += left_row, right += right_row) {
    const Real factor = scale == nullptr ? Real(1) : scale[n];
    Real* out = target + n * target_stride;
    for (Index a = 0; a < p; ++a, out += q) {
      const Real l = factor * static_cast<Real>(left[a * left_column]);
      if (right_column == 1) {
        for (Index b = 0; b < q; ++b) out[b] = l * static_cast<Real>(right[b]);
      } else {
        for (Index b = 0; b < q; ++b) out[b] = l * static_cast<Real>(right[b * right_column]);
      }
    }
  }
}

// Computes one tile of the Gram matrix, the sum over factors of (L L^T) o (R R^T), or of L L^T alone, written once.
template <Index packets, class Real>
EIGEN_STRONG_INLINE void gram_tile_of(const GramFactor<Real>* factors, Index count, Index row, Index column, Real* c,
                                      Index stride, Index rows, Index columns) noexcept {
  namespace simd = Eigen::internal;
  using Packet = PacketOf<Real>;
  constexpr Index strip = TileShape<Real>::rows;
  constexpr Index height = packets * lanes<Real>;
  alignas(64) Real sum[height * tile_columns];
  alignas(64) Real product[height * tile_columns];
  for (Index f = 0; f < count; ++f) {
    const auto side = [&](const Real* packed, Index depth) {
      return multiply_strips<packets>(depth, packed + row / strip * strip * depth + row % strip,
                                      packed + column / strip * strip * depth + column % strip);
    };
    TileRegisters<Real, packets> value = side(factors[f].left, factors[f].left_depth);
    if (factors[f].right != nullptr) {
      store_tile<TileMode::assign>(value, product, height);
      value = side(factors[f].right, factors[f].right_depth);
#pragma GCC unroll 16
      for (Index j = 0; j < tile_columns; ++j) {
#pragma GCC unroll 4
        for (Index i = 0; i < packets; ++i) {
          const Packet other = simd::pload<Packet>(product + j * height + i * lanes<Real>);
          value.value[j][i] = simd::pmul(value.value[j][i], other);
        }
      }
    }
    if (f == 0) {
      store_tile<TileMode::assign>(value, sum, height);
    } else {
      store_tile<TileMode::add>(value, sum, height);
    }
  }
  for (Index j = 0; j < columns; ++j) {
    for (Index i = 0; i < rows; ++i) c[j * stride + i] = sum[j * height + i];
  }
}

template <class Real>
void gram_tile(const GramFactor<Real>* factors, Index count, Index strip, Index column, Real* c, Index stride,
               Index first_row, Index rows, Index columns) {
  const Index skipped = first_row - first_row % lanes<Real>;
  const Index row = strip * TileShape<Real>::rows + skipped;
  c += skipped;
  rows -= skipped;
  if (rows <= lanes<Real>) {
    gram_tile_of<1>(factors, count, row, column, c, stride, rows, columns);
  } else if (tile_packets == 2 || rows <= 2 * lanes<Real>) {
    gram_tile_of<2>(factors, count, row, column, c, stride, rows, columns);
  } else {
    gram_tile_of<tile_packets>(factors, count, row, column, c, stride, rows, columns);
  }
}

// Computes Y (rows x entries) = X W + bias, `entries` padded to whole packets; the activation is tanh if asked for.
template <class Real>
void dense_layer(Index rows, Index inputs, Index entries, const Real* x, Index x_stride, const Real* weights,
                 const Real* bias, bool activate, Real* y, Index y_stride) {
  namespace simd = Eigen::internal;
  using Packet = PacketOf<Real>;
  for_tiles_of_packets<Real>(entries, [&]<Index packets>(std::integral_constant<Index, packets>, Index first) {
    const auto layer = [&]<Index columns>(std::integral_constant<Index, columns>, Index n) {
      const auto tile =
          multiply_strided<packets, columns>(inputs, weights + first, entries, x + n * x_stride, Index{1}, x_stride);
#pragma GCC unroll 16
      for (Index j = 0; j < columns; ++j) {
#pragma GCC unroll 4
        for (Index i = 0; i < packets; ++i) {
          Packet value = tile.value[j][i];
          if (bias != nullptr) value = simd::padd(value, simd::pload<Packet>(bias + first + i * lanes<Real>));
          if (activate) value = simd::ptanh(value);
          simd::pstoreu(y + (n + j) * y_stride + first + i * lanes<Real>, value);
        }
      }
    };
    constexpr Index columns = columns_beside<packets>;
    Index n = 0;
    for (; n + columns <= rows; n += columns) layer(std::integral_constant<Index, columns>{}, n);
    for (; n < rows; ++n) layer(std::integral_constant<Index, 1>{}, n);
  });
}

// Takes an error back through tanh: e[n] *= 1 - y[n]^2.
template <class Real>
void through_tanh(Index count, const Real* y, Real* e) {
  for (Index k = 0; k < count; ++k) e[k] *= Real(1) - y[k] * y[k];
}

}  // namespace fastfisher::detail::FASTFISHER_NAMESPACE
