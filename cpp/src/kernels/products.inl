// Products of scores with vectors are bound by memory, so each reads the scores once.
//
// Two primitives over runs of contiguous memory carry all of them: dots (several runs with one vector) and
// add_scaled (several runs into one vector).  C-ordered scores have their rows as runs, Fortran-ordered ones their
// columns; any other stride takes the plain loops at the end.

namespace fastfisher::detail::FASTFISHER_NAMESPACE {

// So many runs are taken at once: the vector is loaded, and the result loaded and stored, once for all of them.
inline constexpr Index runs_at_once = 4;

// Loads one packet of Real from consecutive values of In, converted on the way.
template <class Real, class In>
EIGEN_STRONG_INLINE PacketOf<Real> load_as(const In* from) noexcept {
  if constexpr (sizeof(In) == sizeof(Real)) {
    return Eigen::internal::ploadu<PacketOf<Real>>(from);
  } else if constexpr (lanes<Real> == 1) {
    return static_cast<Real>(*from);
  } else {
    using Narrow [[gnu::vector_size(lanes<Real> * sizeof(In))]] = In;
    using Wide [[gnu::vector_size(lanes<Real> * sizeof(Real))]] = Real;
    Narrow values;
    __builtin_memcpy(&values, from, sizeof(values));
    const Wide converted = __builtin_convertvector(values, Wide);
    PacketOf<Real> packet;
    static_assert(sizeof(packet) == sizeof(converted));
    __builtin_memcpy(&packet, &converted, sizeof(packet));
    return packet;
  }
}

// Computes result[r] = run_r . v.
template <Index runs, class In, class Real>
EIGEN_STRONG_INLINE void dots(Index length, const In* first, Index stride, const Real* v, Real* result) noexcept {
  namespace simd = Eigen::internal;
  using Packet = PacketOf<Real>;
  constexpr Index width = lanes<Real>;
  // A multiply-add's latency times its rate is about eight, so that with few runs each gets more chains.
  constexpr Index chains = runs >= runs_at_once ? 2 : 4;
  Packet sum[runs][chains];
#pragma GCC unroll 4
  for (Index r = 0; r < runs; ++r) {
#pragma GCC unroll 4
    for (Index c = 0; c < chains; ++c) sum[r][c] = simd::pzero(Packet());
  }
  Index i = 0;
  for (; i + chains * width <= length; i += chains * width) {
#pragma GCC unroll 4
    for (Index c = 0; c < chains; ++c) {
      const Packet value = simd::ploadu<Packet>(v + i + c * width);
#pragma GCC unroll 4
      for (Index r = 0; r < runs; ++r) {
        sum[r][c] = simd::pmadd(load_as<Real>(first + r * stride + i + c * width), value, sum[r][c]);
      }
    }
  }
  for (; i + width <= length; i += width) {
    const Packet value = simd::ploadu<Packet>(v + i);
#pragma GCC unroll 4
    for (Index r = 0; r < runs; ++r) sum[r][0] = simd::pmadd(load_as<Real>(first + r * stride + i), value, sum[r][0]);
  }
#pragma GCC unroll 4
  for (Index r = 0; r < runs; ++r) {
    Packet total = sum[r][0];
#pragma GCC unroll 4
    for (Index c = 1; c < chains; ++c) total = simd::padd(total, sum[r][c]);
    Real dot = simd::predux(total);
    for (Index tail = i; tail < length; ++tail) dot += static_cast<Real>(first[r * stride + tail]) * v[tail];
    result[r] = dot;
  }
}

// Computes y += sum_r coefficient[r] run_r.
template <Index runs, class In, class Real>
EIGEN_STRONG_INLINE void add_scaled(Index length, const In* first, Index stride, const Real* coefficient,
                                    Real* y) noexcept {
  namespace simd = Eigen::internal;
  using Packet = PacketOf<Real>;
  constexpr Index width = lanes<Real>;
  Packet scale[runs];
#pragma GCC unroll 4
  for (Index r = 0; r < runs; ++r) scale[r] = simd::pset1<Packet>(coefficient[r]);
  Index i = 0;
  for (; i + width <= length; i += width) {
    Packet sum = simd::ploadu<Packet>(y + i);
#pragma GCC unroll 4
    for (Index r = 0; r < runs; ++r) sum = simd::pmadd(load_as<Real>(first + r * stride + i), scale[r], sum);
    simd::pstoreu(y + i, sum);
  }
  for (; i < length; ++i) {
    for (Index r = 0; r < runs; ++r) y[i] += static_cast<Real>(first[r * stride + i]) * coefficient[r];
  }
}

// Computes result[r] = run_r . v for any number of runs.
template <class In, class Real>
void all_dots(Index runs, Index length, const In* first, Index stride, const Real* v, Real* result) noexcept {
  Index r = 0;
  for (; r + runs_at_once <= runs; r += runs_at_once) {
    dots<runs_at_once>(length, first + r * stride, stride, v, result + r);
  }
  for (; r < runs; ++r) dots<1>(length, first + r * stride, stride, v, result + r);
}

// Computes y += sum_r coefficient[r] run_r for any number of runs.
template <class In, class Real>
void add_all_scaled(Index runs, Index length, const In* first, Index stride, const Real* coefficient,
                    Real* y) noexcept {
  Index r = 0;
  for (; r + runs_at_once <= runs; r += runs_at_once) {
    add_scaled<runs_at_once>(length, first + r * stride, stride, coefficient + r, y);
  }
  for (; r < runs; ++r) add_scaled<1>(length, first + r * stride, stride, coefficient + r, y);
}

template <class In, class Real>
void matvec(Index rows, Index columns, const In* scores, Index row_stride, Index column_stride, const Real* v,
            Real* u) {
  if (column_stride == 1) {
    all_dots(rows, columns, scores, row_stride, v, u);
    return;
  }
  for (Index n = 0; n < rows; ++n) u[n] = Real(0);
  if (row_stride == 1) {
    add_all_scaled(columns, rows, scores, column_stride, v, u);
    return;
  }
  for (Index n = 0; n < rows; ++n) {
    for (Index k = 0; k < columns; ++k) {
      u[n] += static_cast<Real>(scores[n * row_stride + k * column_stride]) * v[k];
    }
  }
}

template <class In, class Real>
void rmatvec(Index rows, Index columns, const In* scores, Index row_stride, Index column_stride, const Real* u,
             Real* y) {
  if (column_stride == 1) {
    add_all_scaled(rows, columns, scores, row_stride, u, y);
    return;
  }
  if (row_stride == 1) {
    Index k = 0;
    Real dot[runs_at_once];
    for (; k + runs_at_once <= columns; k += runs_at_once) {
      dots<runs_at_once>(rows, scores + k * column_stride, column_stride, u, dot);
      for (Index r = 0; r < runs_at_once; ++r) y[k + r] += dot[r];
    }
    for (; k < columns; ++k) {
      dots<1>(rows, scores + k * column_stride, column_stride, u, dot);
      y[k] += dot[0];
    }
    return;
  }
  for (Index n = 0; n < rows; ++n) {
    for (Index k = 0; k < columns; ++k) {
      y[k] += static_cast<Real>(scores[n * row_stride + k * column_stride]) * u[n];
    }
  }
}

// Takes both products on a panel of rows small enough to be still in the second-level cache when it is needed again.
template <class In, class Real>
void fisher_matvec(Index rows, Index columns, const In* scores, Index row_stride, Index column_stride, const Real* v,
                   const Real* weights, Real* u, Real* y, Real* scratch) {
  constexpr Index cache = 512 * 1024 / sizeof(In);
  Index panel = column_stride == 1 ? runs_at_once : smaller(product_panel_rows, cache / (columns + 1));
  if (panel < runs_at_once) panel = runs_at_once;
  for (Index first = 0; first < rows; first += panel) {
    const Index count = smaller(panel, rows - first);
    const In* from = scores + first * row_stride;
    matvec(count, columns, from, row_stride, column_stride, v, scratch);
    if (u != nullptr) {
      for (Index n = 0; n < count; ++n) u[first + n] = scratch[n];
    }
    if (weights != nullptr) {
      for (Index n = 0; n < count; ++n) scratch[n] *= weights[first + n];
    }
    rmatvec(count, columns, from, row_stride, column_stride, scratch, y);
  }
}

template <class In>
void square_norms(Index rows, Index columns, const In* scores, Index row_stride, Index column_stride, double* norms) {
  if (column_stride == 1) {
    namespace simd = Eigen::internal;
    using Packet = PacketOf<double>;
    constexpr Index width = lanes<double>;
    for (Index n = 0; n < rows; ++n) {
      const In* from = scores + n * row_stride;
      Packet sum[4] = {simd::pzero(Packet()), simd::pzero(Packet()), simd::pzero(Packet()), simd::pzero(Packet())};
      Index i = 0;
      for (; i + 4 * width <= columns; i += 4 * width) {
#pragma GCC unroll 4
        for (Index c = 0; c < 4; ++c) {
          const Packet value = load_as<double>(from + i + c * width);
          sum[c] = simd::pmadd(value, value, sum[c]);
        }
      }
      double norm = simd::predux(simd::padd(simd::padd(sum[0], sum[1]), simd::padd(sum[2], sum[3])));
      for (; i < columns; ++i) norm += static_cast<double>(from[i]) * static_cast<double>(from[i]);
      norms[n] = norm;
    }
    return;
  }
  for (Index n = 0; n < rows; ++n) norms[n] = 0.0;
  for (Index k = 0; k < columns; ++k) {
    const In* from = scores + k * column_stride;
    for (Index n = 0; n < rows; ++n) {
      const double value = static_cast<double>(from[n * row_stride]);
      norms[n] += value * value;
    }
  }
}

}  // namespace fastfisher::detail::FASTFISHER_NAMESPACE
