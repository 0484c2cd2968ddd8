#include "factor/several/matrix_cache.hpp"

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>

namespace fastfisher::detail {
namespace {

// The band is wide enough for the speed of products of matrices; a wider one costs more to solve with.
constexpr Index band_width = 32;

template <class Real>
double bytes_of(Index n) noexcept {
  return static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(sizeof(Real));
}

// This factor shares the band form with those of other dampings.
template <class Real>
class BandedCholesky final : public ShiftedFactor {
 public:
  explicit BandedCholesky(const MatrixCache::Reduced<Real>& reduced) : reduced_(&reduced) {}

  bool factor(double shift) override { return factor_.factor(reduced_->form.band(), shift); }
  double largest() const noexcept override { return reduced_->largest_diagonal; }

  void solve(Vector& x) const override {
    reduced_->form.to_band(x);
    factor_.solve(x);
    reduced_->form.from_band(x);
  }

 private:
  const MatrixCache::Reduced<Real>* reduced_;
  BandCholesky factor_;
};

template <class Real>
class CachedMatrix final : public MatrixSource<Real> {
 public:
  CachedMatrix(MatrixCache& cache, Index n, Former<Real> form, const Context& context)
      : cache_(&cache), n_(n), form_(std::move(form)), context_(&context) {}

  void write(Real* target) override { cache_->copy<Real>(n_, form_, target); }

  std::unique_ptr<ShiftedFactor> cheaper_factor() override {
    const auto* reduced = cache_->reduced<Real>(n_, form_, *context_);
    if (reduced == nullptr) return nullptr;
    return std::make_unique<BandedCholesky<Real>>(*reduced);
  }

 private:
  MatrixCache* cache_;
  Index n_;
  Former<Real> form_;
  const Context* context_;
};

}  // namespace

// The crossover was measured on two cores with AVX-512, where a band form costs 4 to 5 factors, and a step from it 0.15
// (n = 2,048) to 0.6 (n = 512) of one.
template <class Real>
Index band_crossover(Index n) noexcept {
  constexpr bool narrow = std::is_same_v<Real, float>;
  if (n < 512) return std::numeric_limits<Index>::max();
  if (n < 1024) return narrow ? 12 : 8;
  return narrow ? 8 : 6;
}

template <>
MatrixCache::Kept<float>& MatrixCache::kept<float>() noexcept {
  return single_;
}
template <>
MatrixCache::Kept<double>& MatrixCache::kept<double>() noexcept {
  return double_;
}

double MatrixCache::kept_bytes(Index n) const noexcept {
  return bytes_of<float>(n) * single_.matrices() + bytes_of<double>(n) * double_.matrices();
}

template <class Real>
void MatrixCache::make_room(Index n) noexcept {
  if (kept_bytes(n) + bytes_of<Real>(n) <= memory_limit_) return;
  if constexpr (std::is_same_v<Real, float>) {
    double_ = {};
  } else {
    single_ = {};
  }
}

template <class Real>
void MatrixCache::copy(Index n, const Former<Real>& form, Real* target) {
  Buffer<Real>& matrix = kept<Real>().matrix;
  if (matrix.data() != nullptr) {
    std::copy_n(matrix.data(), n * n, target);
    return;
  }
  make_room<Real>(n);
  form(target);
  // There must be room beside the largest factor that there may be.
  const double factor = double_.matrices() > 0 ? bytes_of<double>(n) : bytes_of<Real>(n);
  if (kept_bytes(n) + bytes_of<Real>(n) + factor > memory_limit_) return;
  matrix = Buffer<Real>(n * n);
  std::copy_n(target, n * n, matrix.data());
}

std::unique_ptr<MatrixSource<float>> MatrixCache::source(Index n, Former<float> form, const Context& context) {
  return std::make_unique<CachedMatrix<float>>(*this, n, std::move(form), context);
}

std::unique_ptr<MatrixSource<double>> MatrixCache::source(Index n, Former<double> form, const Context& context) {
  return std::make_unique<CachedMatrix<double>>(*this, n, std::move(form), context);
}

template <class Real>
bool MatrixCache::reduces(Index n) const noexcept {
  return (std::is_same_v<Real, float> ? in_single_ : in_double_) >= band_crossover<Real>(n);
}

template <class Real>
const MatrixCache::Reduced<Real>* MatrixCache::reduced(Index n, const Former<Real>& form, const Context& context) {
  if (!reduces<Real>(n)) return nullptr;
  std::unique_ptr<Reduced<Real>>& reduced = kept<Real>().reduced;
  if (reduced == nullptr) {
    make_room<Real>(n);
    Buffer<Real> matrix(n * n);
    form(matrix.data());
    const double largest = largest_diagonal(n, matrix);
    reduced = std::make_unique<Reduced<Real>>(
        Reduced<Real>{BandForm<Real>(n, std::move(matrix), band_width, context), largest});
  }
  return reduced.get();
}

template Index band_crossover<float>(Index) noexcept;
template Index band_crossover<double>(Index) noexcept;
template bool MatrixCache::reduces<float>(Index) const noexcept;
template bool MatrixCache::reduces<double>(Index) const noexcept;
template void MatrixCache::copy<float>(Index, const Former<float>&, float*);
template void MatrixCache::copy<double>(Index, const Former<double>&, double*);
template const MatrixCache::Reduced<float>* MatrixCache::reduced<float>(Index, const Former<float>&, const Context&);
template const MatrixCache::Reduced<double>* MatrixCache::reduced<double>(Index, const Former<double>&, const Context&);

}  // namespace fastfisher::detail
