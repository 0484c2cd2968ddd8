// The seam between portable code and SIMD code is tables of plain function pointers.
//
// Each file of kernels/ that names a level (x86-64 psABI levels, or "generic") compiles kernels.inl once and
// exports one KernelTable.  Everything that crosses the seam is a raw pointer, an integer or a scalar, so that
// no inline function, container or Eigen type compiled for one level can be merged with another's by the linker.
//
// Strides count elements, not bytes, and may be negative.  "Strip" is a block of `strip_rows` rows of an operand,
// packed so that the tile kernel reads it with unit stride; packed_operand.hpp draws it.
#pragma once

#include <cstdint>

namespace fastfisher::detail {

// An update is what a tile kernel does with the product of its two strips.
enum class TileMode : int { assign, add, subtract };

// A factored block packed in strips for the Gram matrix: its part is (L L^T) o (R R^T), or L L^T where right is null.
template <class Real>
struct GramFactor {
  const Real* left;
  std::int64_t left_depth;
  const Real* right;
  std::int64_t right_depth;
};

// Products with scores of type In are accumulated in Real.  A call sees a block of rows; the caller splits and sums.
template <class In, class Real>
struct ProductKernels {
  // u[n] = s_n . v; u is written.
  void (*matvec)(std::int64_t rows, std::int64_t columns, const In* scores, std::int64_t row_stride,
                 std::int64_t column_stride, const Real* v, Real* u);

  // y += S^T u; y is read and written.
  void (*rmatvec)(std::int64_t rows, std::int64_t columns, const In* scores, std::int64_t row_stride,
                  std::int64_t column_stride, const Real* u, Real* y);

  // y += S^T diag(w) (S v) in one pass over S; w may be null (ones); u, if not null, receives S v (not weighted).
  // `scratch` holds product_panel_rows() values.
  void (*fisher_matvec)(std::int64_t rows, std::int64_t columns, const In* scores, std::int64_t row_stride,
                        std::int64_t column_stride, const Real* v, const Real* weights, Real* u, Real* y,
                        Real* scratch);

  // Packs any number of rows into strips that lie `strip_stride` values apart: for row i of a strip
  //   strip[k * strip_rows + i] = row_scale[i] * depth_scale[k] * source[i, k],
  // zero where the last strip has no more rows.  The scales may be null (ones).  Rows and depth name the operand's
  // axes: for S^T S the operand is S^T.
  void (*pack)(std::int64_t rows, std::int64_t depth, const In* source, std::int64_t row_stride,
               std::int64_t depth_stride, const Real* row_scale, const Real* depth_scale, Real* packed,
               std::int64_t strip_stride);

  // target[n * target_stride + k] = scale[n] * source[n, k], and zero from `columns` to the stride; scale may be null.
  void (*copy_rows)(std::int64_t rows, std::int64_t columns, const In* source, std::int64_t row_stride,
                    std::int64_t column_stride, const Real* scale, Real* target, std::int64_t target_stride);

  // target[n * target_stride + a * q + b] = scale[n] * left[n, a] * right[n, b]; scale may be null.
  void (*expand_rows)(std::int64_t rows, std::int64_t p, std::int64_t q, const In* left, std::int64_t left_row_stride,
                      std::int64_t left_column_stride, const In* right, std::int64_t right_row_stride,
                      std::int64_t right_column_stride, const Real* scale, Real* target, std::int64_t target_stride);
};

// These kernels have their arithmetic in Real.
template <class Real>
struct RealKernels {
  std::int64_t strip_rows;    // rows of a strip and of a tile
  std::int64_t tile_columns;  // columns of a tile; divides strip_rows, so that a tile's columns lie in one strip
  std::int64_t depth;         // to which operands are packed at once; half of it is a multiple of tile_columns
  std::int64_t lanes;         // entries of a packet

  // C[first_row:rows, 0:columns] = / += / -= A B^T, C column-major.  A is a whole strip; B starts at a tile's first
  // column inside a strip.  `rows` <= strip_rows and `columns` <= tile_columns say how much of the tile exists; rows
  // before `first_row` need not be computed, but may be written.
  void (*tile)(TileMode mode, std::int64_t depth, const Real* strip_a, const Real* strip_b, Real* c,
               std::int64_t c_stride, std::int64_t first_row, std::int64_t rows, std::int64_t columns);

  // X <- X L^-T in place, X a packed strip of depth n, L the n x n lower factor packed in strips, n a multiple of
  // tile_columns.  `inverse_diagonal` holds 1 / L[k, k].
  void (*solve_strip)(std::int64_t n, const Real* packed_factor, const Real* inverse_diagonal, Real* strip);

  // destination[i + k * stride] = strip[k * strip_rows + i]: a strip back into a column-major matrix.
  void (*unpack_strip)(std::int64_t rows, std::int64_t depth, const Real* strip, Real* destination,
                       std::int64_t stride);

  // Factors one small column-major block by Cholesky, in place; only the lower triangle is read and written.
  // Returns -1, or the index of the first pivot that is not a positive finite number.
  std::int64_t (*cholesky_block)(std::int64_t n, Real* a, std::int64_t stride);

  // x <- L^-1 x (transposed: L^-T x), L lower, column-major.
  void (*substitute)(bool transposed, std::int64_t n, const Real* factor, std::int64_t stride, Real* x);

  // Computes the tile of the Gram matrix that starts at row strip * strip_rows and the given column: c = the sum over
  // factors; the rest is as for `tile`.
  void (*gram_tile)(const GramFactor<Real>* factors, std::int64_t count, std::int64_t strip, std::int64_t column,
                    Real* c, std::int64_t c_stride, std::int64_t first_row, std::int64_t rows, std::int64_t columns);

  // These multiply factored blocks with vectors (factored.inl).  `entries` is a whole number of packets.  A row of the
  // left side serves `repeats` of the right one: left (rows, broadcasts), right (rows * repeats, entries); these two
  // may lie anywhere, all else is aligned.
  //   contract:    sums[n * lanes ...] += the packets of (l^T V) o r_n; v (broadcasts, entries)
  //   add_packets: u[n] += the entries of packet n of sums
  //   combine:     target (rows, entries) = the sum over a row's repeats of scale[n] r_n
  //   accumulate:  y (broadcasts, entries) += L^T R, R (rows, entries) without gaps
  // Each goes through its entries tile by tile, and is fastest on operands whose entries are those of one tile.
  void (*contract)(std::int64_t rows, std::int64_t repeats, std::int64_t broadcasts, std::int64_t entries,
                   const Real* left, std::int64_t left_stride, const Real* v, const Real* right,
                   std::int64_t right_stride, Real* sums);
  void (*add_packets)(std::int64_t rows, const Real* sums, Real* u);
  void (*combine)(std::int64_t rows, std::int64_t repeats, std::int64_t entries, const Real* right,
                  std::int64_t right_stride, const Real* scale, Real* target);
  void (*accumulate)(std::int64_t rows, std::int64_t broadcasts, std::int64_t entries, const Real* left,
                     std::int64_t left_stride, const Real* right, Real* y);
  // Returns the entries of the next tile, where so many are left.
  std::int64_t (*tile_entries)(std::int64_t left);

  // y (rows, entries) = x W + bias, through tanh where `activate`; bias may be null.
  void (*dense_layer)(std::int64_t rows, std::int64_t inputs, std::int64_t entries, const Real* x,
                      std::int64_t x_stride, const Real* weights, const Real* bias, bool activate, Real* y,
                      std::int64_t y_stride);
  // e[k] *= 1 - y[k]^2.
  void (*through_tanh)(std::int64_t count, const Real* y, Real* e);

  // Runs independent chains of fused multiply-adds from registers alone; returns the floating-point operations done.
  double (*peak_flops)(std::int64_t iterations, Real* sink);

  ProductKernels<float, Real> from_float;
  ProductKernels<double, Real> from_double;

  template <class In>
  const ProductKernels<In, Real>& products() const noexcept;
};

template <>
template <>
inline const ProductKernels<float, float>& RealKernels<float>::products() const noexcept {
  return from_float;
}
template <>
template <>
inline const ProductKernels<double, float>& RealKernels<float>::products() const noexcept {
  return from_double;
}
template <>
template <>
inline const ProductKernels<float, double>& RealKernels<double>::products() const noexcept {
  return from_float;
}
template <>
template <>
inline const ProductKernels<double, double>& RealKernels<double>::products() const noexcept {
  return from_double;
}

// Statistics of rows are always in double.
template <class In>
struct RowKernels {
  // norms[n] = ||s_n||^2 in double: infinite or NaN where the row is, or where a square overflows.
  void (*square_norms)(std::int64_t rows, std::int64_t columns, const In* scores, std::int64_t row_stride,
                       std::int64_t column_stride, double* norms);
};

struct KernelTable {
  const char* level;  // "baseline", "v3", "v4" or "generic"
  RealKernels<float> single_precision;
  RealKernels<double> double_precision;
  RowKernels<float> float_rows;
  RowKernels<double> double_rows;

  template <class Real>
  const RealKernels<Real>& real() const noexcept;
  template <class In>
  const RowKernels<In>& rows() const noexcept;
};

template <>
inline const RealKernels<float>& KernelTable::real<float>() const noexcept {
  return single_precision;
}
template <>
inline const RealKernels<double>& KernelTable::real<double>() const noexcept {
  return double_precision;
}
template <>
inline const RowKernels<float>& KernelTable::rows<float>() const noexcept {
  return float_rows;
}
template <>
inline const RowKernels<double>& KernelTable::rows<double>() const noexcept {
  return double_rows;
}

// Returns the rows that ProductKernels::fisher_matvec takes through the cache at once, the size of its scratch.
inline constexpr std::int64_t product_panel_rows = 512;

// These tables were compiled in; each lives in its own translation unit.
const KernelTable& kernel_table_generic() noexcept;
const KernelTable& kernel_table_baseline() noexcept;
const KernelTable& kernel_table_v3() noexcept;
const KernelTable& kernel_table_v4() noexcept;

// Returns the table chosen for this process (simd.cpp).  Throws std::invalid_argument where the first use finds an
// unknown or unsupported FASTFISHER_SIMD.
const KernelTable& kernels();

}  // namespace fastfisher::detail
