#include "fastfisher/value_features.hpp"

#include <algorithm>
#include <vector>

#include "kernels/kernel_table.hpp"
#include "kernels/packed_operand.hpp"
#include "runtime/thread_pool.hpp"
#include "scores/rank_update.hpp"

namespace fastfisher {
namespace {

using detail::Buffer;
using detail::ceil_divide;

constexpr double clip = 5.0;

// Writes rows of features one after another, `stride` values apart.
class Writer {
 public:
  explicit Writer(const ValueFeatures& features)
      : features_(&features), factors_(static_cast<std::size_t>(features.observations.columns)) {
    for (std::size_t k = 0; k < factors_.size(); ++k) factors_[k] = 1.0 / (clip * features.scale[k]);
  }

  void write(Index first, Index count, double* rows, Index stride) const {
    for (Index n = 0; n < count; ++n) write(first + n, rows + n * stride);
  }

 private:
  void write(Index n, double* row) const {
    const MatrixView<const double>& observations = features_->observations;
    const Index size = observations.columns;
    const double time = static_cast<double>(features_->times[n]) / features_->time_unit;
    row[0] = 1.0;
    for (Index power = 1; power <= 4; ++power) row[power] = row[power - 1] * time;
    double* x = row + 5;
    for (Index k = 0; k < size; ++k) {
      const double value = (observations(n, k) - features_->shift[k]) * factors_[static_cast<std::size_t>(k)];
      x[k] = std::clamp(value, -1.0, 1.0);
    }
    if (!features_->products) return;
    double* next = x + size;
    for (Index i = 0; i < size; ++i) {
      const double first = x[i];
      for (Index j = i; j < size; ++j) next[j - i] = first * x[j];
      next += size - i;
    }
  }

  const ValueFeatures* features_;
  std::vector<double> factors_;
};

}  // namespace

void regression_product(const ValueFeatures& features, const double* y, double* c, const Context& context) {
  const Writer writer(features);
  const Index d = features.columns();
  const auto write = [&](Index first, Index count, double* rows) {
    writer.write(first, count, rows, d + 1);
    for (Index n = 0; n < count; ++n) rows[n * (d + 1) + d] = y[first + n];
  };
  detail::product_of_written_rows<double>(features.rows(), d + 1, write, c, context);
}

void to_dense(const ValueFeatures& features, double* x, const Context& context) {
  constexpr Index rows_each = 16;
  const Writer writer(features);
  const Index d = features.columns(), tasks = ceil_divide(features.rows(), rows_each);
  const int threads = static_cast<int>(std::min<Index>(detail::thread_count(context), std::max<Index>(1, tasks)));
  detail::parallel_for(context, threads, tasks, [&](Index task, int) {
    const Index first = task * rows_each;
    writer.write(first, std::min(rows_each, features.rows() - first), x + first * d, d);
  });
}

void matvec(const ValueFeatures& features, const double* v, double* u, const Context& context) {
  constexpr Index rows_at_once = 8, rows_each = 256;  // in the first-level cache; a task
  const Writer writer(features);
  const Index d = features.columns();
  const auto& kernel = detail::kernels().real<double>().products<double>();
  const Index tasks = ceil_divide(features.rows(), rows_each);
  const int threads = static_cast<int>(std::min<Index>(detail::thread_count(context), std::max<Index>(1, tasks / 4)));
  Buffer<double> scratch(rows_at_once * d * threads);
  detail::parallel_for(context, threads, tasks, [&](Index task, int worker) {
    double* rows = scratch.data() + worker * rows_at_once * d;
    const Index last = std::min((task + 1) * rows_each, features.rows());
    for (Index first = task * rows_each; first < last; first += rows_at_once) {
      const Index count = std::min(rows_at_once, last - first);
      writer.write(first, count, rows, d);
      kernel.matvec(count, d, rows, d, 1, v, u + first);
    }
  });
}

}  // namespace fastfisher
