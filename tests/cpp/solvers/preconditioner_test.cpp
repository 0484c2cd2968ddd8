// The preconditioner by a sample of the rows: P^-1 against P written out, and the sample's weights.
#include "solvers/preconditioner.hpp"

#include <numeric>

#include "block_scores.hpp"

namespace fastfisher::testing {
namespace {

using detail::NormalSystem;
using detail::Preconditioner;
using detail::sample_preconditioner;
using detail::Vector;

class PreconditionerTest : public PerLevel {};
FASTFISHER_AT_EVERY_LEVEL(PreconditionerTest);

constexpr long double looser = 4.0L;  // P's shift over M's

// A batch, what is subtracted from it, and the entries that the sampled rows have.
struct Problem {
  BlockScores scores;
  std::vector<double> weights;  // empty: ones
  bool centred = false;
  Vector mean = {};
  Context context = {2, {}};
  ScoresView view = {};
  Exact centred_rows = {}, sampled_rows = {};

  explicit Problem(BlockScores blocks, std::vector<double> by = {}, bool centre = false)
      : scores(std::move(blocks)), weights(std::move(by)), centred(centre), view(scores.view()) {
    centred_rows = sampled_rows = scores.exact();
    if (!centred) return;
    long double total = 0.0L;
    std::vector<long double> sum(static_cast<std::size_t>(columns()), 0.0L);
    for (Index n = 0; n < rows(); ++n) {
      total += weight(n);
      for (Index k = 0; k < columns(); ++k) sum[k] += weight(n) * centred_rows(n, k);
    }
    for (const long double value : sum) mean.push_back(static_cast<double>(value / total));
    Index k = 0;
    for (const BlockView& block : view.blocks()) {
      const bool pair = block.index() >= 2;  // BlockView's alternatives: dense, dense, pair, pair
      for (const Index end = k + fastfisher::columns(block); k < end; ++k) {
        for (Index n = 0; n < rows(); ++n) {
          centred_rows(n, k) -= mean[k];
          // What is sampled of a pair stays one: its part of the mean is not subtracted.
          if (!pair) sampled_rows(n, k) -= mean[k];
        }
      }
    }
  }

  Index rows() const { return centred_rows.rows; }
  Index columns() const { return centred_rows.columns; }
  long double weight(Index n) const { return weights.empty() ? 1.0L : weights[n]; }

  // sum w ||s||^2
  long double trace() const {
    long double sum = 0.0L;
    for (Index n = 0; n < rows(); ++n) sum += weight(n) * square_norm(n);
    return sum;
  }
  long double square_norm(Index n) const {
    long double sum = 0.0L;
    for (Index k = 0; k < columns(); ++k) sum += centred_rows(n, k) * centred_rows(n, k);
    return sum;
  }

  NormalSystem system(double shift) const {
    return {view, weights.empty() ? nullptr : weights.data(), shift, centred ? &mean : nullptr, context};
  }
};

// sum of weights[n] s_n s_n^T + shift I, of the rows that are sampled.
Exact weighted_product(const Exact& rows, const std::vector<long double>& weights, long double shift) {
  const Index d = rows.columns;
  Exact p{d, d, std::vector<long double>(static_cast<std::size_t>(d * d), 0.0L)};
  for (Index k = 0; k < d; ++k) p(k, k) = shift;
  for (Index n = 0; n < rows.rows; ++n) {
    if (weights[n] == 0.0L) continue;
    for (Index i = 0; i < d; ++i) {
      for (Index j = 0; j < d; ++j) p(i, j) += weights[n] * rows(n, i) * rows(n, j);
    }
  }
  return p;
}

// Marks at (1/2, 3/2, ...) of total / count along the running sum of sqrt(w) ||s||: a row's marks, times that distance,
// over its own length, are its weight over w.  Zero for a row without a mark.
std::vector<long double> drawn_weights(const Problem& problem, Index count) {
  std::vector<long double> length(static_cast<std::size_t>(problem.rows()));
  for (Index n = 0; n < problem.rows(); ++n) {
    length[n] = std::sqrt(problem.weight(n) * problem.square_norm(n));
  }
  const long double distance = std::accumulate(length.begin(), length.end(), 0.0L) / static_cast<long double>(count);
  std::vector<long double> weights(length.size(), 0.0L);
  long double begin = 0.0L;
  for (std::size_t n = 0; n < length.size(); ++n) {
    const long double end = begin + length[n];
    const long double marks = std::ceil(end / distance - 0.5L) - std::ceil(begin / distance - 0.5L);
    if (marks > 0.0L) weights[n] = problem.weight(static_cast<Index>(n)) * marks * distance / length[n];
    begin = end;
  }
  return weights;
}

// The largest entry of P P^-1 r - r over that of r, for several r.
long double error_of(const Preconditioner& preconditioner, const Exact& p) {
  long double worst = 0.0L;
  for (const Index seed : {1, 2, 3}) {
    const Vector r = vector_of<double>(p.rows, seed);
    Vector z;
    preconditioner.apply(r, z);
    EXPECT_EQ(z.size(), r.size());
    long double error = 0.0L, largest = 0.0L;
    for (Index i = 0; i < p.rows; ++i) {
      long double product = -r[i];
      for (Index j = 0; j < p.rows; ++j) product += p(i, j) * z[j];
      error = std::max(error, std::fabs(product));
      largest = std::max(largest, std::fabs(static_cast<long double>(r[i])));
    }
    worst = std::max(worst, error / largest);
  }
  return worst;
}

// trace / P's shift bounds the condition of P, and with it what rounding does to P P^-1.
void expect_inverse(const Problem& problem, Index count, double condition, long double epsilon) {
  const auto shift = static_cast<double>(problem.trace() / (looser * condition));
  const NormalSystem system = problem.system(shift);
  const auto preconditioner = sample_preconditioner(system, count);
  ASSERT_NE(preconditioner, nullptr);
  const auto weights = drawn_weights(problem, count);
  EXPECT_EQ(preconditioner->rows(), std::count_if(weights.begin(), weights.end(), [](auto w) { return w > 0.0L; }));
  const Exact p = weighted_product(problem.sampled_rows, weights, looser * shift);
  const long double error = error_of(*preconditioner, p);
  EXPECT_LE(error, 32.0L * epsilon * condition);
  EXPECT_GT(error, 0.0L);  // computed, and not read off
}

constexpr long double single_precision = std::numeric_limits<float>::epsilon();
constexpr long double double_precision = std::numeric_limits<double>::epsilon();

void expect_inverse_in_both_precisions(const Problem& problem) {
  for (const Index count : {1, 5, 33, 64, 400}) {
    SCOPED_TRACE(std::to_string(count) + " marks");
    expect_inverse(problem, count, 1e3, single_precision);
    expect_inverse(problem, count, 1e8, double_precision);
  }
}

template <class Function>
void for_each_scalar(const Function& function) {
  function.template operator()<float>();
  function.template operator()<double>();
}

TEST_P(PreconditionerTest, InvertsTheSampleOfDenseRows) {
  for_each_scalar([]<class In>() {
    expect_inverse_in_both_precisions(Problem(BlockScores(130).dense<In>(23)));
    expect_inverse_in_both_precisions(Problem(BlockScores(97).dense<In>(5).template dense<In>(16), weights_of(97)));
  });
}

TEST_P(PreconditionerTest, InvertsTheSampleOfPairsThatShareRows) {
  for_each_scalar([]<class In>() {
    const auto scores = BlockScores(120).pair<In>(3, 5, 4).template dense<In>(3).template pair<In>(4, 2);
    expect_inverse_in_both_precisions(Problem(scores));
    expect_inverse_in_both_precisions(Problem(scores, weights_of(120)));
    expect_inverse_in_both_precisions(Problem(BlockScores(119).pair<In>(3, 5, 4, 2).template pair<In>(2, 3, 3, 1)));
  });
}

// Under a mean that single precision would not see the scores beside.
TEST_P(PreconditionerTest, InvertsTheSampleOfCentredRows) {
  for_each_scalar([]<class In>() {
    const auto scores = BlockScores(110).dense<In>(7, 1e6F).template dense<In>(4);
    expect_inverse_in_both_precisions(Problem(scores, {}, true));
    expect_inverse_in_both_precisions(Problem(scores, weights_of(110), true));
    const auto with_pairs = BlockScores(110).dense<In>(6, 1e6F).template pair<In>(3, 3, 2, 1);
    expect_inverse_in_both_precisions(Problem(with_pairs, weights_of(110), true));
  });
}

// Single precision up to 5e6 times P's shift in the trace, double beyond: in single, an error is of the order of its
// rounding, and beyond it would leave nothing.
TEST_P(PreconditionerTest, PrecisionFollowsTheCondition) {
  const Problem problem(BlockScores(60).dense<double>(19));
  constexpr Index count = 40;
  const auto error = [&](double condition) {
    const auto shift = static_cast<double>(problem.trace() / (looser * condition));
    const auto preconditioner = sample_preconditioner(problem.system(shift), count);
    return error_of(*preconditioner,
                    weighted_product(problem.sampled_rows, drawn_weights(problem, count), looser * shift));
  };
  EXPECT_GT(error(1e4), single_precision);
  EXPECT_GT(error(4.9e6), 100.0L * single_precision);
  EXPECT_LT(error(5.1e6), 5.1e6 * double_precision);
  EXPECT_LT(error(1e11), 1e-3L);
}

// Marks by the thousand leave each row near its own weight: P is then M with the larger shift.
TEST_P(PreconditionerTest, ManyMarksGiveTheWholeMatrix) {
  const Problem problem(BlockScores(40).pair<double>(2, 4).dense<double>(3), weights_of(40));
  const auto shift = static_cast<double>(problem.trace() / 1e3);
  constexpr Index count = 400000;
  const auto preconditioner = sample_preconditioner(problem.system(shift), count);
  ASSERT_NE(preconditioner, nullptr);
  std::vector<long double> weights;
  for (Index n = 0; n < problem.rows(); ++n) weights.push_back(problem.weight(n));
  const Exact p = weighted_product(problem.sampled_rows, weights, looser * shift);
  EXPECT_LT(error_of(*preconditioner, p), 0.02L);  // 250 in the condition, 1e-4 and less in a row's weight
}

// P from P^-1 of the unit vectors, by Gauss and Jordan.
Exact matrix_of(const Preconditioner& preconditioner, Index d) {
  Exact inverse{d, d, {}}, p{d, d, std::vector<long double>(static_cast<std::size_t>(d * d), 0.0L)};
  for (Index k = 0; k < d; ++k) {
    Vector unit(static_cast<std::size_t>(d), 0.0), z;
    unit[k] = 1.0;
    preconditioner.apply(unit, z);
    inverse.values.insert(inverse.values.end(), z.begin(), z.end());
    p(k, k) = 1.0L;
  }
  for (Index k = 0; k < d; ++k) {  // symmetric and positive definite: no pivots to look for
    const long double pivot = inverse(k, k);
    for (Index j = 0; j < d; ++j) {
      inverse(k, j) /= pivot;
      p(k, j) /= pivot;
    }
    for (Index i = 0; i < d; ++i) {
      const long double factor = inverse(i, k);
      if (i == k) continue;
      for (Index j = 0; j < d; ++j) {
        inverse(i, j) -= factor * inverse(k, j);
        p(i, j) -= factor * p(k, j);
      }
    }
  }
  return p;
}

// Averaged over where the first mark falls, R^T R is S^T diag(w) S.  A row before the others, as long as t, and one
// behind them, as long as one distance less t, both in a column of their own, move the marks along by t and leave the
// distance between them.  With t at `phases` places, a row meets a mark to within one part in them.
TEST_P(PreconditionerTest, WeightsKeepTheSampleUnbiased) {
  constexpr Index rows = 30, d = 4, count = 12;
  constexpr int phases = instrumented ? 100 : 400;
  const std::vector<double> weights = weights_of(rows);
  std::vector<double> length(rows);
  double total = 0.0;
  const auto entry = [](Index n, Index k) { return static_cast<double>(value_at(n, k)) * (n % 7 == 0 ? 6.0 : 1.0); };
  for (Index n = 0; n < rows; ++n) {
    double square = 0.0;
    for (Index k = 0; k < d; ++k) square += entry(n, k) * entry(n, k);
    length[n] = std::sqrt(weights[n] * square);
    total += length[n];
  }
  const double distance = total / (count - 1);  // with the two more rows: count distances
  const double shift = total * total / rows / 100.0;
  std::vector<double> all_weights(rows + 2, 1.0);
  std::copy(weights.begin(), weights.end(), all_weights.begin() + 1);

  Exact mean{d, d, std::vector<long double>(d * d, 0.0L)};
  for (int phase = 0; phase < phases; ++phase) {
    const double before = distance * (phase + 0.5) / phases;
    std::vector<double> memory((rows + 2) * (d + 1), 0.0);
    memory[d] = before;
    memory[(rows + 2) * (d + 1) - 1] = distance - before;
    for (Index n = 0; n < rows; ++n) {
      for (Index k = 0; k < d; ++k) memory[(n + 1) * (d + 1) + k] = entry(n, k);
    }
    const ScoresView scores = row_major<const double>(memory.data(), rows + 2, d + 1);
    const Context context{1, {}};
    const NormalSystem system(scores, all_weights.data(), shift, nullptr, context);
    const auto preconditioner = sample_preconditioner(system, count);
    ASSERT_NE(preconditioner, nullptr);
    const Exact p = matrix_of(*preconditioner, d + 1);
    for (Index i = 0; i < d; ++i) {
      for (Index j = 0; j < d; ++j) {
        mean(i, j) += (p(i, j) - (i == j ? looser * shift : 0.0L)) / static_cast<long double>(phases);
      }
    }
  }

  for (Index i = 0; i < d; ++i) {
    for (Index j = 0; j < d; ++j) {
      long double expected = 0.0L, bound = 1e-3L * shift;  // of single precision
      for (Index n = 0; n < rows; ++n) {
        if (weights[n] == 0.0) continue;
        const long double product = static_cast<long double>(weights[n]) * entry(n, i) * entry(n, j);
        expected += product;
        bound += std::fabs(product) * distance / length[n] / phases;
      }
      EXPECT_LE(std::fabs(mean(i, j) - expected), bound) << i << ", " << j << ": " << static_cast<double>(expected);
    }
  }
}

// r is brought to a scale at which single precision holds it.
TEST_P(PreconditionerTest, ApplyIsLinearAtEveryScale) {
  const Problem problem(BlockScores(50).dense<double>(9));
  const NormalSystem system = problem.system(static_cast<double>(problem.trace() / 100.0L));
  const auto preconditioner = sample_preconditioner(system, 20);
  const Vector r = vector_of<double>(9, 1);
  Vector z, scaled;
  preconditioner->apply(r, z);
  for (const double scale : {0x1p+500, 0x1p-500}) {
    Vector large = r;
    for (double& value : large) value *= scale;
    preconditioner->apply(large, scaled);
    for (std::size_t k = 0; k < z.size(); ++k) EXPECT_EQ(scaled[k], scale * z[k]) << "entry " << k;
  }
  preconditioner->apply(Vector(9, 0.0), scaled);
  EXPECT_EQ(scaled, Vector(9, 0.0));
}

TEST_P(PreconditionerTest, TheSameBitsForAnyNumberOfThreads) {
  for (const double condition : {1e3, 1e9}) {
    Problem problem(BlockScores(700).pair<double>(7, 5, 2).dense<double>(30), weights_of(700));
    const auto shift = static_cast<double>(problem.trace() / condition);
    Vector expected;
    for (const int threads : {1, 2, 3}) {
      problem.context = {threads, {}};
      const NormalSystem system = problem.system(shift);
      Vector z;
      sample_preconditioner(system, 300)->apply(vector_of<double>(problem.columns(), 1), z);
      if (threads == 1) expected = z;
      EXPECT_TRUE(same_bits(z, expected)) << threads << " threads";
    }
  }
}

// Without a shift, equal rows have a singular matrix; rows of zeros have nothing to draw.
TEST_P(PreconditionerTest, NullWhereThereIsNoFactor) {
  for_each_scalar([]<class In>() {
    std::vector<In> memory{2, 0, 0, 2, 0, 0, 2, 0, 0, 2, 0, 0};
    const ScoresView scores = row_major<const In>(memory.data(), 4, 3);
    const Context context{1, {}};
    EXPECT_EQ(sample_preconditioner(NormalSystem(scores, nullptr, 0.0, nullptr, context), 4), nullptr);
    const NormalSystem damped(scores, nullptr, 1.0, nullptr, context);
    const auto preconditioner = sample_preconditioner(damped, 4);
    ASSERT_NE(preconditioner, nullptr);
    EXPECT_EQ(preconditioner->rows(), 4);
    std::fill(memory.begin(), memory.end(), In(0));
    EXPECT_EQ(sample_preconditioner(damped, 4), nullptr);
  });
}

}  // namespace
}  // namespace fastfisher::testing
