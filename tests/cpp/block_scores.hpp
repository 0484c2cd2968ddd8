// Scores of several blocks, dense and factored, beside the matrix that they stand for.
#pragma once

#include <memory>
#include <utility>

#include "fastfisher/views.hpp"
#include "support.hpp"

namespace fastfisher::testing {

// A (rows, columns) matrix of long double, row by row.
struct Exact {
  Index rows = 0, columns = 0;
  std::vector<long double> values;

  long double& operator()(Index n, Index k) { return values[static_cast<std::size_t>(n * columns + k)]; }
  long double operator()(Index n, Index k) const { return values[static_cast<std::size_t>(n * columns + k)]; }
};

// Blocks are added one by one.  Each matrix lies in memory of another layout, with NaN between its entries, and has
// entries of its own: mean + value_at(...), rounded to float.
class BlockScores {
 public:
  explicit BlockScores(Index rows) : rows_(rows) {}

  template <class In>
  BlockScores& dense(Index columns, float mean = 0.0F) {
    const auto [view, entry] = lay<In>({rows_, columns}, mean);
    blocks_.push_back(view);
    for (Index k = 0; k < columns; ++k) {
      columns_.push_back([entry, k](Index n) -> long double { return entry(n, k); });
    }
    return *this;
  }

  // Row n is left[(skipped + n) / repeats] right[n]^T.
  template <class In>
  BlockScores& pair(Index p, Index q, Index repeats = 1, Index skipped = 0, float mean = 0.0F) {
    const Index left_rows = (skipped + rows_ + repeats - 1) / repeats;
    const auto [left, left_entry] = lay<In>({left_rows, p}, mean);
    const auto [right, right_entry] = lay<In>({rows_, q}, mean);
    blocks_.push_back(PairView<const In>{left, right, repeats, skipped});
    for (Index a = 0; a < p; ++a) {
      for (Index b = 0; b < q; ++b) {
        columns_.push_back([=, l = left_entry, r = right_entry](Index n) {
          return static_cast<long double>(l((skipped + n) / repeats, a)) * r(n, b);
        });
      }
    }
    return *this;
  }

  ScoresView view() const { return ScoresView(blocks_); }

  Exact exact() const {
    Exact matrix{rows_, static_cast<Index>(columns_.size()), {}};
    matrix.values.reserve(static_cast<std::size_t>(matrix.rows * matrix.columns));
    for (Index n = 0; n < rows_; ++n) {
      for (const auto& column : columns_) matrix.values.push_back(column(n));
    }
    return matrix;
  }

 private:
  template <class In>
  auto lay(const Shape& shape, float mean) {
    const Index seed = 1000 * ++matrices_;
    const auto entry = [=](Index n, Index k) { return mean + value_at(n, seed + k); };
    const auto layouts = Laid<In>::layouts(shape);
    const auto& layout = layouts[static_cast<std::size_t>(matrices_) % layouts.size()];
    const auto matrix = std::make_shared<Laid<In>>(shape, layout, entry);
    memory_.push_back(matrix);
    return std::pair(std::get<MatrixView<const In>>(matrix->view().blocks().front()), entry);
  }

  Index rows_;
  Index matrices_ = 0;
  std::vector<std::shared_ptr<const void>> memory_;  // what the views point to, which copies of this share
  std::vector<BlockView> blocks_;
  std::vector<std::function<long double(Index)>> columns_;
};

}  // namespace fastfisher::testing
