#include "factor/band_form.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/packed_operand.hpp"

namespace fastfisher::detail {
namespace {

// V of a panel is `count` columns of a column-major matrix.
template <class Real>
struct Columns {
  const RealKernels<Real>& kernel;
  Index rows, count;
  const Real* data;
  Index stride;

  // Computes y = V^T x.
  void dot_all(const Real* x, Real* y) const {
    std::fill_n(y, count, Real(0));
    kernel.template products<Real>().rmatvec(rows, count, data, 1, stride, x, y);
  }
  // Computes x += V y.
  void add_all(const Real* y, Real* x) const {
    kernel.template products<Real>().rmatvec(count, rows, data, stride, 1, y, x);
  }
};

// Computes y <- T y or T^T y, T upper triangular.
template <class Real>
void multiply_triangle(bool transposed, Index count, const Real* t, Index stride, Real* y) {
  if (transposed) {
    for (Index c = count - 1; c >= 0; --c) {
      Real sum = Real(0);
      for (Index r = 0; r <= c; ++r) sum += t[r + c * stride] * y[r];
      y[c] = sum;
    }
    return;
  }
  for (Index r = 0; r < count; ++r) {
    Real sum = Real(0);
    for (Index c = r; c < count; ++c) sum += t[r + c * stride] * y[c];
    y[r] = sum;
  }
}

// Finds the reflector I - tau v v^T that takes x to a multiple of the first unit vector, v in place of x with v[0] = 1.
// Norms are in double: squares of single precision would leave its range.
template <class Real>
std::pair<Real, Real> reflect(Index size, Real* x) {
  double rest = 0.0;
  for (Index i = 1; i < size; ++i) rest += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const auto first = static_cast<double>(x[0]);
  x[0] = Real(1);
  if (rest == 0.0) {
    std::fill_n(x + 1, size - 1, Real(0));
    return {static_cast<Real>(first), Real(0)};
  }
  const double length = std::sqrt(first * first + rest);
  const double beta = first > 0.0 ? -length : length;
  const double scale = 1.0 / (first - beta);
  for (Index i = 1; i < size; ++i) x[i] = static_cast<Real>(static_cast<double>(x[i]) * scale);
  return {static_cast<Real>(beta), static_cast<Real>((beta - first) / beta)};
}

}  // namespace

// These are the packed operands of update_trailing, sized for the first and largest panel.
template <class Real>
struct BandForm<Real>::Workspace {
  Workspace(Index n, Index width, int threads) : Workspace(kernels().real<Real>(), n, width, threads) {}

  // These are strips of rows, each X (or V) to depth `width` and then V (or X).
  Buffer<Real> x_and_v, v_and_x;
  // These are the operands V^T and Y^T, T^T and Z^T, in strips of their `width` rows.
  Buffer<Real> v_by_column, y_by_column, t_by_column, z_by_column;
  Buffer<Real> inner, z;
  Buffer<Real> scratch;  // each thread has a packed part of a strip of A here, and that strip of A V
  Index scratch_size;
  int workers;  // it is asked for once: the process's number of threads may rise in a poll

 private:
  Workspace(const RealKernels<Real>& kernel, Index n, Index width, int threads)
      : Workspace(kernel, ceil_divide(n, kernel.strip_rows) * kernel.strip_rows,
                  ceil_divide(width, kernel.strip_rows) * kernel.strip_rows, threads, width) {}
  Workspace(const RealKernels<Real>& kernel, Index rows, Index narrow, int threads, Index width)
      : x_and_v(2 * rows * width),
        v_and_x(2 * rows * width),
        v_by_column(narrow * rows),
        y_by_column(narrow * rows),
        t_by_column(narrow * width),
        z_by_column(narrow * width),
        inner(narrow * width),
        z(width * width),
        scratch(kernel.strip_rows * (kernel.depth + width) * threads),
        scratch_size(kernel.strip_rows * (kernel.depth + width)),
        workers(threads) {}
};

template <class Real>
BandForm<Real>::BandForm(Index n, Buffer<Real>&& a, Index width, const Context& context)
    : n_(n), a_(std::move(a)), t_(n * width), band_(n, width) {
  std::fill_n(t_.data(), n * width, Real(0));
  const Workspace workspace(n, width, thread_count(context));
  Index column = 0;
  for (; n - column - width > 1; column += width) {
    const Panel panel{column + width, column, std::min(width, n - column - width - 1)};
    for (Index j = column; j < column + width; ++j) {
      for (Index i = j; i < panel.row; ++i) band_.column(j)[i - j] = static_cast<double>(a_[i + j * n]);
    }
    factor_panel(panel, width);
    poll(context);
    update_trailing(panel, workspace, context);
    panels_.push_back(panel);
  }
  for (Index j = column; j < n; ++j) {
    for (Index i = j; i <= j + band_.below(j); ++i) band_.column(j)[i - j] = static_cast<double>(a_[i + j * n]);
  }
}

// Finds the Q R of what lies below the diagonal block, column by column: each takes the reflectors before it and makes
// its own.  R goes to the band; V stays, with its zeros and ones written out.
template <class Real>
void BandForm<Real>::factor_panel(const Panel& panel, Index columns) {
  const RealKernels<Real>& kernel = kernels().real<Real>();
  const Index rows = n_ - panel.row, stride = band_.width;
  std::vector<Real> products(static_cast<std::size_t>(columns));
  Real* factor = t(panel);
  for (Index c = 0; c < columns; ++c) {
    Real* x = v(panel) + c * n_;
    const Columns<Real> before{kernel, rows, std::min(c, panel.count), v(panel), n_};
    if (c > 0) {
      before.dot_all(x, products.data());
      multiply_triangle(true, before.count, factor, stride, products.data());
      for (Index k = 0; k < before.count; ++k) products[k] = -products[k];
      before.add_all(products.data(), x);
    }
    double* entries = band_.column(panel.column + c);
    for (Index r = 0; r < std::min(c, rows); ++r) entries[band_.width + r - c] = static_cast<double>(x[r]);
    if (c >= panel.count) {
      if (c < rows) entries[band_.width] = static_cast<double>(x[c]);
      continue;
    }
    std::fill_n(x, c, Real(0));
    const auto [diagonal, tau] = reflect(rows - c, x + c);
    entries[band_.width] = static_cast<double>(diagonal);
    // The next column of T is T[:, c] = -tau T (V^T v_c).
    Real* last = factor + c * stride;
    if (c > 0) {
      before.dot_all(x, last);
      multiply_triangle(false, c, factor, stride, last);
      for (Index k = 0; k < c; ++k) last[k] *= -tau;
    }
    last[c] = tau;
  }
}

// Updates what is left, A <- Q^T A Q = A - X V^T - V X^T, with Y = A V T, X = Y - V (T^T V^T Y) / 2.  All of it works
// on packed strips of rows, a strip a task, and X overwrites Y.
template <class Real>
void BandForm<Real>::update_trailing(const Panel& panel, const Workspace& workspace, const Context& context) {
  const RealKernels<Real>& kernel = kernels().real<Real>();
  const auto& products = kernel.template products<Real>();
  const Index rows = n_ - panel.row, count = panel.count, strip_rows = kernel.strip_rows;
  const Index strips = ceil_divide(rows, strip_rows), narrow_strips = ceil_divide(count, strip_rows);
  Real* trailing = a_.data() + panel.row * (n_ + 1);
  const Index strip_size = 2 * count * strip_rows;
  const Index chunk = kernel.depth;
  const auto& [x_and_v, v_and_x, v_by_column, y_by_column, t_by_column, z_by_column, inner, z, scratch, scratch_size,
               workers] = workspace;
  const int threads = rows < 256 ? 1 : workers;
  const auto rows_of = [&](Index strip) { return std::min(strip_rows, rows - strip * strip_rows); };
  // Computes C (rows of a strip x count) = or -= A B^T, B packed to `depth` of `packed_depth` from `first` on.
  const auto multiply = [&](TileMode mode, Index depth, const Real* strip, const Real* packed, Index packed_depth,
                            Index first, Real* c, Index existing) {
    for (Index j = 0; j < count; j += kernel.tile_columns) {
      kernel.tile(mode, depth, strip,
                  packed + (j / strip_rows) * strip_rows * packed_depth + first * strip_rows + j % strip_rows,
                  c + j * strip_rows, strip_rows, 0, existing, std::min(kernel.tile_columns, count - j));
    }
  };

  products.pack(count, rows, v(panel), n_, 1, nullptr, nullptr, v_by_column.data(), strip_rows * rows);
  products.pack(count, count, t(panel), band_.width, 1, nullptr, nullptr, t_by_column.data(), strip_rows * count);
  parallel_for(context, threads, strips, [&](Index strip, int worker) {
    const Index first = strip * strip_rows, existing = rows_of(strip), after = first + existing;
    // The strip's own diagonal block is needed whole; nobody else reads above the diagonal.
    for (Index j = first; j < after; ++j) {
      for (Index i = j + 1; i < after; ++i) trailing[j + i * n_] = trailing[i + j * n_];
    }
    Real* part = scratch.data() + worker * scratch_size;
    Real* sum = part + strip_rows * chunk;
    const auto accumulate = [&](Index from, Index to, const Real* source, Index row_stride, Index depth_stride) {
      for (Index k = from; k < to; k += chunk) {
        const Index depth = std::min(chunk, to - k);
        products.pack(existing, depth, source + (k - from) * depth_stride, row_stride, depth_stride, nullptr, nullptr,
                      part, strip_rows * chunk);
        multiply(k == 0 ? TileMode::assign : TileMode::add, depth, part, v_by_column.data(), rows, k, sum, existing);
      }
    };
    accumulate(0, after, trailing + first, 1, n_);
    accumulate(after, rows, trailing + after + first * n_, n_, 1);

    Real* y = x_and_v.data() + strip * strip_size;
    if (existing < strip_rows) std::fill_n(y, strip_size, Real(0));
    multiply(TileMode::assign, count, sum, t_by_column.data(), count, 0, y, existing);
    products.pack(existing, count, v(panel) + first, 1, n_, nullptr, nullptr, y + count * strip_rows, 0);
    std::copy_n(y + count * strip_rows, count * strip_rows, v_and_x.data() + strip * strip_size);
    products.pack(count, existing, y, strip_rows, 1, nullptr, nullptr, y_by_column.data() + first * strip_rows,
                  strip_rows * rows);
  });

  // Here Z = T^T (V^T Y) / 2 is found, and Z^T packed.
  for (Index strip = 0; strip < narrow_strips; ++strip) {
    multiply(TileMode::assign, rows, v_by_column.data() + strip * strip_rows * rows, y_by_column.data(), rows, 0,
             inner.data() + strip * strip_rows * count, std::min(strip_rows, count - strip * strip_rows));
  }
  for (Index j = 0; j < count; ++j) {
    Real* column = z.data() + j * count;
    for (Index k = 0; k < count; ++k) {
      column[k] = inner[(k / strip_rows) * strip_rows * count + j * strip_rows + k % strip_rows];
    }
    multiply_triangle(true, count, t(panel), band_.width, column);
    for (Index k = 0; k < count; ++k) column[k] *= Real(0.5);
  }
  products.pack(count, count, z.data(), count, 1, nullptr, nullptr, z_by_column.data(), strip_rows * count);

  parallel_for(context, threads, strips, [&](Index strip, int) {
    Real* x = x_and_v.data() + strip * strip_size;
    multiply(TileMode::subtract, count, x + count * strip_rows, z_by_column.data(), count, 0, x, rows_of(strip));
    std::copy_n(x, count * strip_rows, v_and_x.data() + strip * strip_size + count * strip_rows);
  });

  const LowerBlocks blocks(rows, strip_rows, strips_per_block);
  parallel_for(context, threads, blocks.count(), [&](Index task, int) {
    for_tiles_of_block(kernel, rows, blocks(task), [&](Index strip, Index j, Index above, Index existing, Index width) {
      kernel.tile(TileMode::subtract, 2 * count, x_and_v.data() + strip * strip_size,
                  v_and_x.data() + (j / strip_rows) * strip_size + j % strip_rows,
                  trailing + strip * strip_rows + j * n_, n_, above, existing, width);
    });
  });
}

// Computes x <- (I - V T V^T) x, or with T^T.
template <class Real>
void BandForm<Real>::apply(const Panel& panel, bool transposed, Real* x) const {
  const Columns<Real> reflectors{kernels().real<Real>(), n_ - panel.row, panel.count, v(panel), n_};
  std::vector<Real> products(static_cast<std::size_t>(panel.count));
  reflectors.dot_all(x + panel.row, products.data());
  multiply_triangle(transposed, panel.count, t(panel), band_.width, products.data());
  for (Real& value : products) value = -value;
  reflectors.add_all(products.data(), x + panel.row);
}

// The vector is brought to length one on the way: a residual late in a refinement would be lost below single's range.
template <class Real>
template <class Apply>
void BandForm<Real>::in_real(Vector& x, const Apply& apply_all) const {
  if constexpr (std::is_same_v<Real, double>) {
    apply_all(x.data());
  } else {
    const double scale = norm(x);
    if (scale == 0.0) return;
    std::vector<Real> narrow(x.size());
    for (std::size_t k = 0; k < x.size(); ++k) narrow[k] = static_cast<Real>(x[k] / scale);
    apply_all(narrow.data());
    for (std::size_t k = 0; k < x.size(); ++k) x[k] = scale * static_cast<double>(narrow[k]);
  }
}

template <class Real>
void BandForm<Real>::to_band(Vector& x) const {
  in_real(x, [this](Real* values) {
    for (const Panel& panel : panels_) apply(panel, true, values);
  });
}

template <class Real>
void BandForm<Real>::from_band(Vector& x) const {
  in_real(x, [this](Real* values) {
    for (auto panel = panels_.rbegin(); panel != panels_.rend(); ++panel) apply(*panel, false, values);
  });
}

bool BandCholesky::factor(const Band& band, double shift) {
  factor_ = band;
  for (Index j = 0; j < band.size; ++j) factor_.column(j)[0] += shift;
  for (Index j = 0; j < band.size; ++j) {
    double* column = factor_.column(j);
    const Index below = factor_.below(j);
    if (!(column[0] > 0.0) || !std::isfinite(column[0])) return false;
    const double root = std::sqrt(column[0]);
    column[0] = root;
    for (Index i = 1; i <= below; ++i) column[i] /= root;
    for (Index k = 1; k <= below; ++k) {
      double* target = factor_.column(j + k);
      const double factor = column[k];
      for (Index i = k; i <= below; ++i) target[i - k] -= factor * column[i];
    }
  }
  return true;
}

void BandCholesky::solve(Vector& x) const {
  for (Index j = 0; j < factor_.size; ++j) {
    const double* column = factor_.column(j);
    const double value = x[static_cast<std::size_t>(j)] /= column[0];
    for (Index i = 1; i <= factor_.below(j); ++i) x[static_cast<std::size_t>(j + i)] -= column[i] * value;
  }
  for (Index j = factor_.size - 1; j >= 0; --j) {
    const double* column = factor_.column(j);
    double value = x[static_cast<std::size_t>(j)];
    for (Index i = 1; i <= factor_.below(j); ++i) value -= column[i] * x[static_cast<std::size_t>(j + i)];
    x[static_cast<std::size_t>(j)] = value / column[0];
  }
}

template class BandForm<float>;
template class BandForm<double>;

}  // namespace fastfisher::detail
