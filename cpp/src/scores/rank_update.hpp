// Symmetric rank-k products are taken of rows that are written as they are needed.
#pragma once

#include <functional>

#include "fastfisher/context.hpp"
#include "fastfisher/views.hpp"

namespace fastfisher::detail {

// A writer writes `count` rows from `first` on, one after another; several threads call it at once.
template <class Real>
using RowWriter = std::function<void(Index first, Index count, Real* rows)>;

// Computes c (columns x columns, lower triangle) = S^T S for the (rows, columns) matrix that `write` writes.
template <class Real>
void product_of_written_rows(Index rows, Index columns, const RowWriter<Real>& write, Real* c, const Context& context);

}  // namespace fastfisher::detail
