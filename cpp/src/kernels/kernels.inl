// Every SIMD kernel is compiled once per instruction-set level.
//
// The including file defines FASTFISHER_LEVEL, a bare identifier: it renames Eigen's namespace and ours, so that
// what is compiled with wide instructions can never be merged by the linker with what must run on an older machine.
// For the same reason there is no standard container here, no object at namespace scope that needs a constructor,
// and no exception (these files are compiled with -fno-exceptions).

#ifndef FASTFISHER_LEVEL
#error "define FASTFISHER_LEVEL before including kernels.inl"
#endif

#define FASTFISHER_JOIN_(a, b) a##b
#define FASTFISHER_JOIN(a, b) FASTFISHER_JOIN_(a, b)
#define FASTFISHER_TEXT_(a) #a
#define FASTFISHER_TEXT(a) FASTFISHER_TEXT_(a)

#define FASTFISHER_NAMESPACE FASTFISHER_JOIN(level_, FASTFISHER_LEVEL)
#define Eigen FASTFISHER_JOIN(Eigen_, FASTFISHER_LEVEL)
#define EIGEN_DONT_PARALLELIZE
#define EIGEN_MPL2_ONLY
#define EIGEN_NO_DEBUG
#define EIGEN_NO_IO

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <cstdint>
#include <type_traits>

#include "kernels/kernel_table.hpp"

namespace fastfisher::detail::FASTFISHER_NAMESPACE {

using Index = std::int64_t;

template <class Real>
using PacketOf = typename Eigen::internal::packet_traits<Real>::type;

template <class Real>
inline constexpr Index lanes = Eigen::internal::unpacket_traits<PacketOf<Real>>::size;

constexpr Index smaller(Index a, Index b) noexcept { return a < b ? a : b; }

}  // namespace fastfisher::detail::FASTFISHER_NAMESPACE

#include "packing.inl"
#include "products.inl"
#include "tile.inl"
#include "triangular.inl"
// This one comes last, since it builds on the others.
#include "factored.inl"

namespace fastfisher::detail {

namespace FASTFISHER_NAMESPACE {

template <class In, class Real>
constexpr ProductKernels<In, Real> product_kernels() {
  return {&matvec<In, Real>, &rmatvec<In, Real>,   &fisher_matvec<In, Real>,
          &pack<In, Real>,   &copy_rows<In, Real>, &expand_rows<In, Real>};
}

template <class Real>
constexpr RealKernels<Real> real_kernels() {
  return {TileShape<Real>::rows,
          TileShape<Real>::columns,
          TileShape<Real>::depth,
          lanes<Real>,
          &tile<Real>,
          &solve_strip<Real>,
          &unpack_strip<Real>,
          &cholesky_block<Real>,
          &substitute<Real>,
          &gram_tile<Real>,
          &contract<Real>,
          &add_packets<Real>,
          &combine<Real>,
          &accumulate<Real>,
          &tile_entries<Real>,
          &dense_layer<Real>,
          &through_tanh<Real>,
          &peak_flops<Real>,
          product_kernels<float, Real>(),
          product_kernels<double, Real>()};
}

}  // namespace FASTFISHER_NAMESPACE

const KernelTable& FASTFISHER_JOIN(kernel_table_, FASTFISHER_LEVEL)() noexcept {
  namespace level = FASTFISHER_NAMESPACE;
  static constexpr KernelTable table{FASTFISHER_TEXT(FASTFISHER_LEVEL),
                                     level::real_kernels<float>(),
                                     level::real_kernels<double>(),
                                     {&level::square_norms<float>},
                                     {&level::square_norms<double>}};
  return table;
}

}  // namespace fastfisher::detail
