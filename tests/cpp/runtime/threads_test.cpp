// The promise of determinism: the same bits for any number of threads, on shapes large enough to be shared out.
// Instrumented, they are still: four panels of depth, two chunks of it, several blocks, a trailing matrix.
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

// Every product with these scores.
template <class Real>
void expect_same_products(const ScoresView& scores) {
  const Index rows = scores.rows(), columns = scores.columns();
  const auto w = weights_of(rows);
  const auto v = vector_of<Real>(columns, 1), u = vector_of<Real>(rows, 2);
  const auto size = [](Index n) { return static_cast<std::size_t>(n); };
  expect_same_bits("fisher_product", [&](const Context& context) {
    std::vector<Real> c(size(columns * columns), Real(0));
    fisher_product<Real>(scores, w.data(), Update::assign, c.data(), context);
    mirror_lower<Real>(columns, c.data(), Real(1), context);
    return c;
  });
  if (rows <= 2000) {
    expect_same_bits("gram_product", [&](const Context& context) {
      std::vector<Real> k(size(rows * rows), Real(0));
      gram_product<Real>(scores, w.data(), k.data(), context);
      mirror_lower<Real>(rows, k.data(), Real(1), context);
      return k;
    });
  }
  expect_same_bits("matvec", [&](const Context& context) {
    std::vector<Real> out(size(rows));
    matvec<Real>(scores, v.data(), out.data(), context);
    return out;
  });
  expect_same_bits("rmatvec", [&](const Context& context) {
    std::vector<Real> out(size(columns));
    rmatvec<Real>(scores, u.data(), out.data(), context);
    return out;
  });
  expect_same_bits("fisher_matvec", [&](const Context& context) {
    std::vector<Real> out(size(columns + rows));
    fisher_matvec<Real>(scores, u.data(), v.data(), out.data() + columns, out.data(), context);
    return out;
  });
  expect_same_bits("square_norms", [&](const Context& context) {
    std::vector<double> out(size(rows));
    square_norms(scores, out.data(), context);
    return out;
  });
}

TEST_P(BitIdentity, Kernels) {
  for_each_precision([]<class In, class Real>() {
    const auto shapes = instrumented ? std::vector<Shape>{{900, 130}, {8300, 33}, {130, 900}}
                                     : std::vector<Shape>{{1500, 300}, {20000, 33}, {300, 1500}};
    for (const Shape& shape : shapes) {
      SCOPED_TRACE(text(shape));
      const Laid<In> matrix(shape, Laid<In>::layouts(shape)[0]);
      expect_same_products<Real>(matrix.view());
    }
  });
}

TEST_P(BitIdentity, Blocks) {
  for_each_precision([]<class In, class Real>() {
    constexpr Index rows = 1100;  // three chunks
    std::vector<std::vector<In>> memory;
    const auto matrix = [&](Index columns) {
      memory.push_back(vector_of<In>(rows * columns, columns));
      return row_major<const In>(memory.back().data(), rows, columns);
    };
    const ScoresView scores(
        {matrix(7), PairView<const In>{matrix(19), matrix(5)}, PairView<const In>{matrix(3), matrix(33)}});
    expect_same_products<Real>(scores);
    // Two rows for each of the left side; a slice that begins between such two.
    const auto half = row_major<const In>(memory.front().data(), rows / 2, 7);
    const ScoresView shared({PairView<const In>{half, matrix(5), 2}, matrix(3)});
    expect_same_products<Real>(shared);
    expect_same_products<Real>(shared.middle_rows(1, rows - 2));
  });
}

TEST_P(BitIdentity, NetworkPasses) {
  for_each_real([]<class Real>() {
    constexpr Index rows = 1500;
    const Index widths[] = {11, 18, 16, 3};
    const auto features = vector_of<double>(rows * widths[0], 1);
    std::vector<std::vector<double>> weights;
    std::vector<LayerWeights> layers;
    for (int l = 0; l < 3; ++l) {
      weights.push_back(vector_of<double>((widths[l] + 1) * widths[l + 1], 2 + l));
      layers.push_back({weights.back().data(), widths[l], widths[l + 1]});
    }
    expect_same_bits("network", [&](const Context& context) {
      std::vector<std::vector<Real>> inputs, errors;
      std::vector<Real*> x, e;
      for (int l = 0; l < 3; ++l) {
        x.push_back(inputs.emplace_back(static_cast<std::size_t>(rows * (widths[l] + 1))).data());
        e.push_back(errors.emplace_back(static_cast<std::size_t>(rows * widths[l + 1])).data());
      }
      // The output stands in for the last layer's errors.
      network_forward<Real>(row_major(features.data(), rows, widths[0]), layers, x, e.back(), context);
      network_backward<Real>(rows, 1, layers, {x.begin(), x.end()}, e, context);
      std::vector<Real> all;
      for (const auto& part : {inputs, errors}) {
        for (const auto& values : part) all.insert(all.end(), values.begin(), values.end());
      }
      return all;
    });
  });
}

TEST_P(BitIdentity, Cholesky) {
  for_each_real([]<class Real>() {
    constexpr Index n = instrumented ? 300 : 700;
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
  constexpr Index longer = instrumented ? 300 : 900;
  for (const Shape& shape : {Shape{longer, 260}, Shape{260, longer}}) {
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
  const Shape shape = instrumented ? Shape{8300, 50} : Shape{10000, 150};
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
