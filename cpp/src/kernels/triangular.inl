// Eigen does the small triangular work: a diagonal block's Cholesky factor, and substitution with one right-hand side.

namespace fastfisher::detail::FASTFISHER_NAMESPACE {

template <class Real>
using ColumnMajor = Eigen::Map<Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic>, Eigen::Unaligned,
                               Eigen::OuterStride<Eigen::Dynamic>>;

template <class Real>
std::int64_t cholesky_block(Index n, Real* a, Index stride) {
  ColumnMajor<Real> block(a, n, n, Eigen::OuterStride<Eigen::Dynamic>(stride));
  const Index failed = Eigen::internal::llt_inplace<Real, Eigen::Lower>::blocked(block);
  // Eigen asks whether a pivot is <= 0, which a NaN is not: ask the other way round.
  const Index checked = failed < 0 ? n : failed;
  for (Index k = 0; k < checked; ++k) {
    const Real pivot = a[k * stride + k];
    if (!(pivot > Real(0)) || !(Eigen::numext::isfinite)(pivot)) return k;
  }
  return failed;
}

template <class Real>
void substitute(bool transposed, Index n, const Real* factor, Index stride, Real* x) {
  using Factor = Eigen::Map<const Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic>, Eigen::Unaligned,
                            Eigen::OuterStride<Eigen::Dynamic>>;
  const Factor lower(factor, n, n, Eigen::OuterStride<Eigen::Dynamic>(stride));
  Eigen::Map<Eigen::Matrix<Real, Eigen::Dynamic, 1>> solution(x, n);
  if (transposed) {
    lower.transpose().template triangularView<Eigen::Upper>().solveInPlace(solution);
  } else {
    lower.template triangularView<Eigen::Lower>().solveInPlace(solution);
  }
}

}  // namespace fastfisher::detail::FASTFISHER_NAMESPACE
