// The promise of determinism: the same bits for any number of threads, on shapes large enough to be shared out.
#include "support.hpp"

namespace fastfisher::testing {
namespace {

class BitIdentity : public PerLevel {};
FASTFISHER_AT_EVERY_LEVEL(BitIdentity);

// function(context) returns a vector: the same bits for 1, 2, 3 and 8 threads, and again.
template <class Function>
void expect_same_bits(const char* what, const Function& function) {
  const auto expected = function(Context{1, {}});
  for (const int threads : {2, 3, 8, 8}) {
    EXPECT_TRUE(same_bits(function(Context{threads, {}}), expected)) << what << ", " << threads << " threads";
  }
}

TEST_P(BitIdentity, Kernels) {
  for_each_precision([]<class In, class Real>() {
    for (const Shape& shape : {Shape{1500, 300}, Shape{20000, 33}, Shape{300, 1500}}) {
      SCOPED_TRACE(text(shape));
      const Laid<In> matrix(shape, Laid<In>::layouts(shape)[0]);
      const ScoresView scores = matrix.view();
      const auto w = weights_of(shape.rows);
      const auto v = vector_of<Real>(shape.columns, 1), u = vector_of<Real>(shape.rows, 2);
      const auto size = [](Index n) { return static_cast<std::size_t>(n); };
      expect_same_bits("fisher_product", [&](const Context& context) {
        std::vector<Real> c(size(shape.columns * shape.columns), Real(0));
        fisher_product<Real>(scores, w.data(), Update::assign, c.data(), context);
        mirror_lower<Real>(shape.columns, c.data(), Real(1), context);
        return c;
      });
      if (shape.rows <= 2000) {
        expect_same_bits("gram_product", [&](const Context& context) {
          std::vector<Real> k(size(shape.rows * shape.rows), Real(0));
          gram_product<Real>(scores, w.data(), k.data(), context);
          mirror_lower<Real>(shape.rows, k.data(), Real(1), context);
          return k;
        });
      }
      expect_same_bits("matvec", [&](const Context& context) {
        std::vector<Real> out(size(shape.rows));
        matvec<Real>(scores, v.data(), out.data(), context);
        return out;
      });
      expect_same_bits("rmatvec", [&](const Context& context) {
        std::vector<Real> out(size(shape.columns));
        rmatvec<Real>(scores, u.data(), out.data(), context);
        return out;
      });
      expect_same_bits("fisher_matvec", [&](const Context& context) {
        std::vector<Real> out(size(shape.columns + shape.rows));
        fisher_matvec<Real>(scores, u.data(), v.data(), out.data() + shape.columns, out.data(), context);
        return out;
      });
      expect_same_bits("square_norms", [&](const Context& context) {
        std::vector<double> out(size(shape.rows));
        square_norms(scores, out.data(), context);
        return out;
      });
    }
  });
}

TEST_P(BitIdentity, Cholesky) {
  for_each_real([]<class Real>() {
    constexpr Index n = 700;
    const Laid<Real> matrix({n, n}, Laid<Real>::layouts({n, n})[0]);
    std::vector<Real> a(n * n);
    fisher_product<Real>(matrix.view(), nullptr, Update::assign, a.data());
    for (Index k = 0; k < n; ++k) a[k + k * n] += Real(n);
    expect_same_bits("cholesky", [&](const Context& context) {
      auto factor = a;
      EXPECT_EQ(cholesky<Real>(n, factor.data(), context), -1);
      for (Index j = 0; j < n; ++j) std::fill_n(factor.begin() + j * n, j, Real(0));  // scratch
      return factor;
    });
  });
}

TEST_P(BitIdentity, NaturalStep) {
  for (const Shape& shape : {Shape{900, 260}, Shape{260, 900}}) {
    const Laid<float> matrix(shape, Laid<float>::layouts(shape)[0]);
    const auto advantages = vector_of<double>(shape.rows, 3);
    for (const Solver solver : {Solver::cholesky, Solver::gram, Solver::conjugate_gradient}) {
      for (const Precision precision : {Precision::single_precision, Precision::double_precision, Precision::mixed}) {
        SCOPED_TRACE(text(shape) + ", " + std::string(name(solver)) + ", " + std::string(name(precision)));
        Batch batch;
        batch.scores = matrix.view();
        batch.advantages = advantages.data();
        StepOptions options;
        options.solver = solver;
        options.precision = precision;
        options.damping = 0.01;
        options.max_kl = 0.01;
        expect_same_bits("natural_step", [&](const Context& context) {
          const NaturalStep result = natural_step(batch, options, context);
          std::vector<double> all = result.step;
          all.insert(all.end(), result.sample_weights.begin(), result.sample_weights.end());
          all.insert(all.end(), {result.residual, result.predicted_kl, result.step_size, result.damping});
          return all;
        });
      }
    }
  }
}

TEST_P(BitIdentity, Fisher) {
  const Shape shape{10000, 150};
  const Laid<double> matrix(shape, Laid<double>::layouts(shape)[0]);
  const auto w = weights_of(shape.rows);
  expect_same_bits("Fisher", [&](const Context& context) {
    Fisher fisher(shape.columns);
    fisher.update(matrix.view(), nullptr, context);
    fisher.update(matrix.view(), w.data(), context);
    std::vector<double> x = vector_of<double>(shape.columns, 4);
    fisher.solve(x.data(), 1, 0.1, context);
    auto all = fisher.sum();
    all.insert(all.end(), x.begin(), x.end());
    return all;
  });
}

}  // namespace
}  // namespace fastfisher::testing
