// One step, small enough for paper and pencil; exits with the number of values that differ from it.
#include <cmath>
#include <cstdio>
#include <fastfisher/fastfisher.hpp>

int main() {
  //     [1 0]        [2]   F = S^T S / 2 = [1 1]   g = S^T A / 2 = [3]   F + I = [2 1]   x = [1]
  // S = [1 2],   A = [4],                  [1 2],                  [4],          [1 3],      [1]
  const double scores[] = {1, 0, 1, 2};
  const double advantages[] = {2, 4};
  fastfisher::Batch batch;
  batch.scores = fastfisher::row_major<const double>(scores, 2, 2);
  batch.advantages = advantages;
  fastfisher::StepOptions options;
  options.damping = 1.0;
  options.max_kl = 14.0;  // alpha = sqrt(2 max_kl / g^T x) = sqrt(28 / 7)
  const fastfisher::NaturalStep result = fastfisher::natural_step(batch, options);

  const double x[] = {result.direction.at(0), result.direction.at(1)};
  const struct {
    const char* name;
    double computed, expected;
  } values[] = {{"x[0]", x[0], 1},
                {"x[1]", x[1], 1},
                {"first row of (F + I) x", 2 * x[0] + x[1], 3},
                {"second row of (F + I) x", x[0] + 3 * x[1], 4},
                {"g[0]", result.gradient.at(0), 3},
                {"g[1]", result.gradient.at(1), 4},
                {"alpha", result.step_size, 2},
                {"step[0]", result.step.at(0), 2},
                {"step[1]", result.step.at(1), 2},
                {"KL", result.predicted_kl, 10},
                {"improvement", result.predicted_improvement, 14},
                {"residual", result.residual, 0}};
  int different = 0;
  for (const auto& value : values) {
    if (std::fabs(value.computed - value.expected) <= 1e-14 * std::fmax(1, value.expected)) continue;
    std::printf("%s: expected %g, got %.17g\n", value.name, value.expected, value.computed);
    ++different;
  }
  return different;
}
