#include "solvers/preconditioner.hpp"

#include <algorithm>
#include <functional>
#include <span>
#include <vector>

#include "runtime/buffer.hpp"
#include "scores/blocks.hpp"

namespace fastfisher::detail {
namespace {

// Directions that the sample misses are damped by the shift alone, and then look up to lambda_unseen / shift too long.
// A larger shift in P evens that out against the directions that it shortens; measured: 58 iterations become 45 or
// fewer.
constexpr double looser = 4.0;

// A sample says which rows were chosen, and their weights.
struct RowSample {
  std::vector<Index> rows;
  std::vector<double> weights;
  double trace = 0.0;  // sum w ||s||^2 over all rows of the batch
};

// Rows are taken at equal distances along the running sum of sqrt(w) ||s||: in proportion to their norms, evenly over
// the batch, and without chance.  A row that covers several distances is taken once, with their weight.
RowSample draw(const NormalSystem& system, Index count) {
  Vector size;
  system.square_norms(size);
  RowSample sample;
  double total = 0.0;
  for (std::size_t n = 0; n < size.size(); ++n) {
    sample.trace += system.weight(n) * size[n];
    size[n] = std::sqrt(system.weight(n) * size[n]);
    total += size[n];
  }
  const double distance = total / static_cast<double>(count);
  double passed = 0.0;
  double next = 0.5 * distance;
  for (std::size_t n = 0; n < size.size(); ++n) {
    passed += size[n];
    double hits = 0.0;
    for (; next < passed; next += distance) hits += 1.0;
    if (hits == 0.0) continue;
    // A row is hit size / distance times, as expected: w over that is the weight which keeps the sum unbiased.
    sample.rows.push_back(static_cast<Index>(n));
    sample.weights.push_back(system.weight(n) * hits * distance / size[n]);
  }
  return sample;
}

// The chosen rows are copied, block by block, in Real; dense blocks less their part of the mean, if there is one.
template <class Real>
class GatheredRows {
 public:
  GatheredRows(const ScoresView& scores, const Vector* mean, const std::vector<Index>& chosen) {
    const auto gather = [&](const auto& from, const double* from_mean, const auto& row_of) {
      auto& copy = memory_.emplace_back(static_cast<Index>(chosen.size()) * from.columns);
      Real* to = copy.data();
      for (const Index n : chosen) {
        for (Index k = 0; k < from.columns; ++k) {
          const double less = from_mean == nullptr ? 0.0 : from_mean[k];
          *to++ = static_cast<Real>(static_cast<double>(from(row_of(n), k)) - less);
        }
      }
      return row_major<const Real>(copy.data(), static_cast<Index>(chosen.size()), from.columns);
    };
    std::vector<BlockView> blocks;
    const double* block_mean = mean == nullptr ? nullptr : mean->data();
    for (const BlockView& block : scores.blocks()) {
      std::visit(
          [&]<class View>(const View& view) {
            if constexpr (Pair<View>) {
              const auto left = gather(view.left, nullptr, [&view](Index n) { return view.left_row(n); });
              blocks.push_back(PairView<const Real>{left, gather(view.right, nullptr, std::identity{})});
            } else {
              blocks.push_back(gather(view, block_mean, std::identity{}));
            }
          },
          block);
      if (block_mean != nullptr) block_mean += columns(block);
    }
    view_ = ScoresView(std::move(blocks));
  }

  const ScoresView& view() const noexcept { return view_; }

 private:
  std::vector<Buffer<Real>> memory_;
  ScoresView view_;
};

template <class Real>
class SamplePreconditioner final : public Preconditioner {
 public:
  SamplePreconditioner(const NormalSystem& system, const RowSample& sample)
      : context_(&system.context()),
        rows_(system.scores(), system.mean(), sample.rows),
        chosen_(sample.rows),
        shift_(looser * system.shift()),
        size_(static_cast<Index>(sample.rows.size())),
        factor_(size_ * size_) {
    roots_.reserve(sample.weights.size());
    for (const double weight : sample.weights) roots_.push_back(std::sqrt(weight));
    gram_product<Real>(rows_.view(), sample.weights.data(), factor_.data(), *context_);
    for (Index n = 0; n < size_; ++n) {
      Real& entry = factor_[n * (size_ + 1)];
      entry = static_cast<Real>(static_cast<double>(entry) + shift_);
    }
    usable_ = cholesky<Real>(size_, factor_.data(), *context_) < 0;
  }

  bool usable() const noexcept { return usable_; }
  Index rows() const noexcept override { return size_; }

  // Computes (r - R^T (R R^T + shift I)^-1 R r) / shift, in Real but for the difference.
  void apply(const Vector& r, Vector& z) const override {
    const auto size = static_cast<std::size_t>(columns(rows_.view()));
    const double scale = norm(std::span(r).first(size));
    z.assign(r.size(), 0.0);
    if (scale == 0.0) return;
    std::vector<Real> narrow(size);
    for (std::size_t k = 0; k < size; ++k) narrow[k] = static_cast<Real>(r[k] / scale);
    std::vector<Real> y(roots_.size());
    matvec<Real>(rows_.view(), narrow.data(), y.data(), *context_);
    for (std::size_t n = 0; n < y.size(); ++n) y[n] *= static_cast<Real>(roots_[n]);
    cholesky_solve<Real>(size_, factor_.data(), y.data(), *context_);
    for (std::size_t n = 0; n < y.size(); ++n) y[n] *= static_cast<Real>(roots_[n]);
    rmatvec<Real>(rows_.view(), y.data(), narrow.data(), *context_);
    for (std::size_t k = 0; k < size; ++k) z[k] = (r[k] - scale * static_cast<double>(narrow[k])) / shift_;
    if (r.size() == size) return;
    for (std::size_t k = size; k < r.size(); ++k) z[k] = r[k] / shift_;
    for (std::size_t n = 0; n < y.size(); ++n) {
      z[size + static_cast<std::size_t>(chosen_[n])] -= scale * static_cast<double>(y[n]) / shift_;
    }
  }

 private:
  const Context* context_;
  GatheredRows<Real> rows_;
  std::vector<Index> chosen_;
  double shift_;
  Index size_;
  Buffer<Real> factor_;
  Vector roots_;
  bool usable_ = false;
};

template <class Real>
std::unique_ptr<Preconditioner> make(const NormalSystem& system, const RowSample& sample) {
  auto preconditioner = std::make_unique<SamplePreconditioner<Real>>(system, sample);
  if (!preconditioner->usable()) return nullptr;
  return preconditioner;
}

}  // namespace

std::unique_ptr<Preconditioner> sample_preconditioner(const NormalSystem& system, Index count) {
  const RowSample sample = draw(system, count);
  if (sample.rows.empty()) return nullptr;
  // Single precision holds the directions of eigenvalues down to its rounding of the largest, of which the trace is a
  // bound; measured, a factor of ten below that bound still preconditions as well as double.
  constexpr double most = 5e6;
  if (sample.trace <= most * looser * system.shift()) {
    if (auto single = make<float>(system, sample)) return single;
  }
  return make<double>(system, sample);
}

}  // namespace fastfisher::detail
