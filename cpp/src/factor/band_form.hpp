// The band form is A = Q B Q^T with Q orthogonal and B banded.  One reduction serves every damping, since
// (A + shift I)^-1 = Q (B + shift I)^-1 Q^T, and B + shift I has a Cholesky factor of n width^2 operations.
//
// It is a band and not the tridiagonal form, since that needs a product of the whole matrix with one vector for each of
// its columns, at memory's speed; the band needs one with `width` vectors for each `width` columns, at that of
// arithmetic.
//
// Bischof, Lang and Sun, "A framework for symmetric band reduction", ACM TOMS 26(4), 2000, its first stage; the
// reflectors are kept as I - V T V^T (Schreiber and Van Loan 1989).
#pragma once

#include <vector>

#include "fastfisher/context.hpp"
#include "fastfisher/linalg.hpp"
#include "runtime/buffer.hpp"
#include "runtime/vector.hpp"

namespace fastfisher::detail {

// A band is a symmetric matrix of `width` subdiagonals, in double, with entry (j + k, j) at
// entries[k + j * (width + 1)].
struct Band {
  Index size = 0, width = 0;
  std::vector<double> entries;

  Band() = default;
  Band(Index n, Index subdiagonals)
      : size(n), width(subdiagonals), entries(static_cast<std::size_t>(n * (subdiagonals + 1)), 0.0) {}
  double* column(Index j) noexcept { return entries.data() + j * (width + 1); }
  const double* column(Index j) const noexcept { return entries.data() + j * (width + 1); }
  Index below(Index j) const noexcept { return size - 1 - j < width ? size - 1 - j : width; }
};

template <class Real>
class BandForm {
 public:
  // The lower triangle of `a`, n x n, column-major, is reduced in Real; its memory then holds the reflectors.
  BandForm(Index n, Buffer<Real>&& a, Index width, const Context& context);

  const Band& band() const noexcept { return band_; }
  void to_band(Vector& x) const;    // x <- Q^T x
  void from_band(Vector& x) const;  // x <- Q x

 private:
  struct Panel {
    Index row, column, count;  // V begins at a[row, column] and has `count` columns
  };

  struct Workspace;

  void factor_panel(const Panel& panel, Index columns);
  void update_trailing(const Panel& panel, const Workspace& workspace, const Context& context);
  void apply(const Panel& panel, bool transposed, Real* x) const;
  template <class Apply>
  void in_real(Vector& x, const Apply& apply) const;
  Real* v(const Panel& panel) const noexcept { return a_.data() + panel.row + panel.column * n_; }
  // T is upper triangular, count x count, column-major with stride width.
  Real* t(const Panel& panel) const noexcept { return t_.data() + panel.column * band_.width; }

  Index n_;
  Buffer<Real> a_, t_;
  Band band_;
  std::vector<Panel> panels_;
};

// The factor is L with B + shift I = L L^T.
class BandCholesky {
 public:
  // Returns false where a pivot is not a positive finite number.
  bool factor(const Band& band, double shift);
  void solve(Vector& x) const;  // x <- (B + shift I)^-1 x

 private:
  Band factor_;
};

}  // namespace fastfisher::detail
