// The eigenvalues D of a symmetric tridiagonal matrix are found here, T = Z D Z^T.
#pragma once

#include <vector>

#include "factor/band_form.hpp"

namespace fastfisher::detail {

// They come by QL iterations with implicit shifts (Dubrulle, Martin and Wilkinson 1968).  Z is kept as the plane
// rotations that make it up, about n^2 of them: products with it are wanted, and those cost no more than reading them.
class TridiagonalEigen {
 public:
  // `matrix` has one subdiagonal.  Returns false where an eigenvalue does not converge, as those of a NaN do not.
  bool decompose(const Band& matrix, const Context& context);

  const Vector& eigenvalues() const noexcept { return diagonal_; }  // in no order
  void to_eigenvectors(Vector& x) const;                            // x <- Z^T x
  void from_eigenvectors(Vector& x) const;                          // x <- Z x

 private:
  struct Rotation {
    double cosine, sine;
  };
  // The rotations are of the planes (row, row + 1), row = last - 1, last - 2 ...
  struct Sweep {
    Index last;
    std::vector<Rotation> rotations;
  };

  // Takes one step on the block of rows first .. last.
  void sweep(Index first, Index last);

  Vector diagonal_, below_;
  std::vector<Sweep> sweeps_;
};

}  // namespace fastfisher::detail
