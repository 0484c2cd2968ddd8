#include "fastfisher/fisher.hpp"

#include <algorithm>
#include <cmath>
#include <new>
#include <stdexcept>
#include <string>

#include "fastfisher/linalg.hpp"
#include "runtime/buffer.hpp"
#include "scores/checks.hpp"
#include "step/cost_model.hpp"

namespace fastfisher {
namespace {

std::size_t squared(Index n) noexcept { return static_cast<std::size_t>(n) * static_cast<std::size_t>(n); }

// Products under the lock have no poll: it may use the object, and would wait for what its own thread holds.
Context unpolled(const Context& context) { return {context.threads, {}}; }

// The entries of a positive semi-definite matrix are bounded by its trace: where this is finite, so are they.
void check_range(double trace, double total_weight) {
  if (!std::isfinite(total_weight)) throw std::invalid_argument("weights: expected a positive finite sum");
  if (!std::isfinite(trace)) {
    throw std::overflow_error("scores: their weighted squares leave the range of float64; rescale the scores");
  }
}

}  // namespace

Fisher::Fisher(Index dimension, std::optional<double> memory_limit) : dimension_(dimension) {
  if (dimension <= 0) {
    throw std::invalid_argument("d: expected a positive number of parameters, got " + std::to_string(dimension));
  }
  constexpr Index largest = Index{1} << 30;  // 2^63 bytes of matrix
  if (dimension >= largest) throw std::bad_alloc();
  detail::SolveShape shape;
  shape.parameters = static_cast<double>(dimension);
  shape.memory_limit = memory_limit;
  detail::check_memory(shape, Solver::cholesky);
  sum_ = std::make_shared<std::vector<double>>(squared(dimension), 0.0);
}

Fisher::Fisher(const Fisher& other) : dimension_(other.dimension_) {
  const std::lock_guard lock(other.mutex_);
  count_ = other.count_;
  total_weight_ = other.total_weight_;
  sum_ = std::make_shared<std::vector<double>>(*other.sum_);
  mirrored_ = other.mirrored_;
}

Index Fisher::count() const {
  const std::lock_guard lock(mutex_);
  return count_;
}

double Fisher::total_weight() const {
  const std::lock_guard lock(mutex_);
  return total_weight_;
}

void Fisher::update(const ScoresView& scores, const double* weights, const Context& context) {
  const Index samples = rows(scores);
  if (columns(scores) != dimension_) {
    throw std::invalid_argument("scores: expected " + std::to_string(dimension_) + " columns, got " +
                                std::to_string(columns(scores)));
  }
  std::vector<double> square_norms(static_cast<std::size_t>(samples));
  fastfisher::square_norms(scores, square_norms.data(), context);
  double weight = 0.0;
  double trace = 0.0;
  for (std::size_t n = 0; n < square_norms.size(); ++n) {
    const double w = weights == nullptr ? 1.0 : weights[n];
    detail::check_weight(w, n);
    weight += w;
    trace += w * square_norms[n];
  }
  if (!std::isfinite(trace)) detail::refuse_nonfinite(scores, context);

  // A long product may be interrupted, and then must not be half added: it gets a matrix of its own.
  constexpr double long_work = 1e9;
  const double work = static_cast<double>(samples) * static_cast<double>(dimension_) * static_cast<double>(dimension_);
  const std::size_t size = squared(dimension_);
  detail::Buffer<double> product;
  if (work > long_work && context.poll) {
    product = detail::Buffer<double>(static_cast<Index>(size));
    fisher_product<double>(scores, weights, Update::assign, product.data(), context);
  }
  const std::lock_guard lock(mutex_);
  check_range(sum_trace() + trace, total_weight_ + weight);
  std::vector<double>& sum = own_sum();
  if (product.data() != nullptr) {
    for (Index j = 0; j < dimension_; ++j) {
      for (Index i = j; i < dimension_; ++i) {
        sum[static_cast<std::size_t>(i + j * dimension_)] += product[i + j * dimension_];
      }
    }
  } else {
    fisher_product<double>(scores, weights, Update::add, sum.data(), unpolled(context));
  }
  mirrored_ = false;
  count_ += samples;
  total_weight_ += weight;
}

void Fisher::merge(const Fisher& other) {
  if (other.dimension_ != dimension_) {
    throw std::invalid_argument("other: expected a Fisher of " + std::to_string(dimension_) + " parameters, got " +
                                std::to_string(other.dimension_));
  }
  const Fisher copy(other);  // no two locks at once, and merging with oneself is well defined
  const std::lock_guard lock(mutex_);
  check_range(sum_trace() + copy.sum_trace(), total_weight_ + copy.total_weight_);
  std::vector<double>& sum = own_sum();
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += (*copy.sum_)[i];
  mirrored_ = mirrored_ && copy.mirrored_;
  count_ += copy.count_;
  total_weight_ += copy.total_weight_;
}

std::vector<double>& Fisher::own_sum() {
  if (sum_.use_count() > 1) sum_ = std::make_shared<std::vector<double>>(*sum_);
  return *sum_;
}

// A snapshot is taken of a mirrored sum, so this changes none.
void Fisher::mirror() const {
  if (mirrored_) return;
  mirror_lower<double>(dimension_, sum_->data(), 1.0);
  mirrored_ = true;
}

double Fisher::checked_weight() const {
  if (total_weight_ > 0.0) return total_weight_;
  throw std::logic_error("the Fisher matrix is undefined before an update with a positive weight");
}

void Fisher::matrix(double* matrix) const {
  const std::lock_guard lock(mutex_);
  const double weight = checked_weight();
  mirror();
  for (std::size_t i = 0; i < sum_->size(); ++i) matrix[i] = (*sum_)[i] / weight;
}

void Fisher::multiply(const double* v, double* y, const Context& context) const {
  const std::lock_guard lock(mutex_);
  const double weight = checked_weight();
  mirror();
  matvec<double>(row_major<const double>(sum_->data(), dimension_, dimension_), v, y, unpolled(context));
  for (Index k = 0; k < dimension_; ++k) y[k] /= weight;
}

double Fisher::sum_trace() const noexcept {
  double sum = 0.0;
  for (Index k = 0; k < dimension_; ++k) sum += (*sum_)[static_cast<std::size_t>(k * (dimension_ + 1))];
  return sum;
}

double Fisher::trace() const {
  const std::lock_guard lock(mutex_);
  return sum_trace() / checked_weight();
}

std::vector<double> Fisher::sum() const {
  const std::lock_guard lock(mutex_);
  mirror();
  return *sum_;
}

void Fisher::restore(const double* sum, Index count, double total_weight) {
  if (count < 0) throw std::invalid_argument("count: expected a number >= 0, got " + std::to_string(count));
  if (!(total_weight >= 0.0) || !std::isfinite(total_weight)) {
    throw std::invalid_argument("total_weight: expected a finite number >= 0, got " + std::to_string(total_weight));
  }
  for (Index k = 0; k < dimension_; ++k) {
    const double entry = sum[k * (dimension_ + 1)];
    if (!(entry >= 0.0) || !std::isfinite(entry)) {
      throw std::invalid_argument("sum: expected a diagonal of finite values >= 0, row " + std::to_string(k) +
                                  " holds " + std::to_string(entry));
    }
  }
  const std::lock_guard lock(mutex_);
  std::copy_n(sum, sum_->size(), own_sum().begin());
  mirrored_ = false;
  count_ = count;
  total_weight_ = total_weight;
}

}  // namespace fastfisher
