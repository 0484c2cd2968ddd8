// The matrix of a direct solver is kept from one damping to the next here: this is the road of several dampings.
#pragma once

#include <memory>

#include "factor/band_form.hpp"
#include "factor/matrix_source.hpp"

namespace fastfisher::detail {

// Returns the number of dampings from which on one band form is cheaper than a Cholesky factor each, for n rows.
template <class Real>
Index band_crossover(Index n) noexcept;

// A cache serves the dampings of one batch, one solver and one scale of the matrix.
class MatrixCache final : public MatrixProvider {
 public:
  // Takes the numbers of dampings that are expected to ask for a factor in each precision, and the bytes that what is
  // kept and a factor may take together.
  MatrixCache(Index in_single, Index in_double, double memory_limit)
      : in_single_(in_single), in_double_(in_double), memory_limit_(memory_limit) {}

  // Each takes the matrix, or its band form, from what is kept.
  std::unique_ptr<MatrixSource<float>> source(Index n, Former<float> form, const Context& context) override;
  std::unique_ptr<MatrixSource<double>> source(Index n, Former<double> form, const Context& context) override;

  // Copies the matrix into `target`, a factor's memory; forms it there where it is not kept, and keeps it if it fits.
  template <class Real>
  void copy(Index n, const Former<Real>& form, Real* target);

  template <class Real>
  struct Reduced {
    BandForm<Real> form;
    double largest_diagonal;  // entry of the matrix
  };

  // Returns whether reduced() is not null.
  template <class Real>
  bool reduces(Index n) const noexcept;

  // Returns the band form of the matrix where so many dampings ask for it that it pays, else null.
  template <class Real>
  const Reduced<Real>* reduced(Index n, const Former<Real>& form, const Context& context);

 private:
  template <class Real>
  struct Kept {
    Buffer<Real> matrix;
    std::unique_ptr<Reduced<Real>> reduced;

    int matrices() const noexcept { return (matrix.data() != nullptr ? 1 : 0) + (reduced != nullptr ? 1 : 0); }
  };
  template <class Real>
  Kept<Real>& kept() noexcept;
  double kept_bytes(Index n) const noexcept;
  // Gives up what is kept in the other precision, where it leaves no room for a matrix of n rows in Real.
  template <class Real>
  void make_room(Index n) noexcept;

  Index in_single_, in_double_;
  double memory_limit_;
  Kept<float> single_;
  Kept<double> double_;
};

}  // namespace fastfisher::detail
