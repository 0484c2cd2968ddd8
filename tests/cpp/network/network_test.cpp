// The passes of a network and its actor against plain loops.
#include "fastfisher/network.hpp"

#include <stdexcept>
#include <utility>

#include "support.hpp"

namespace fastfisher::testing {
namespace {

class Network : public PerLevel {};
FASTFISHER_AT_EVERY_LEVEL(Network);

// widths[0] features, widths[l + 1] outputs of layer l.
struct Layers {
  std::vector<std::vector<double>> weights;
  std::vector<LayerWeights> views;

  explicit Layers(const std::vector<Index>& widths, double scale = 1.0) {
    for (std::size_t l = 0; l + 1 < widths.size(); ++l) {
      weights.push_back(vector_of<double>((widths[l] + 1) * widths[l + 1], 2 + static_cast<Index>(l)));
      for (double& weight : weights.back()) weight *= scale;
    }
    for (std::size_t l = 0; l < weights.size(); ++l) views.push_back({weights[l].data(), widths[l], widths[l + 1]});
  }

  double operator()(std::size_t layer, Index input, Index output) const {
    return weights[layer][static_cast<std::size_t>(input * views[layer].outputs + output)];
  }
};

std::string text(const std::vector<Index>& widths) {
  std::string all;
  for (const Index width : widths) all += std::to_string(width) + " ";
  return all;
}

// Widths round those of packets; rows round the panels of 128, and enough of them for two threads.
const std::vector<std::vector<Index>>& odd_networks() {
  static const std::vector<std::vector<Index>> networks{{1, 1}, {5, 3}, {3, 17, 1}, {11, 16, 33, 7}, {8, 1, 31, 2}};
  return networks;
}
constexpr Index odd_rows[] = {1, 2, 127, 129, 1030};

// |computed - exact| within the bound of a sum of products, and `more` roundings of a value of at most one.
template <class Real>
::testing::AssertionResult near(Real computed, long double exact, const Sum& sum, int more) {
  const long double eps = std::numeric_limits<Real>::epsilon();
  const long double bound = static_cast<long double>(sum.terms + 8) * eps * sum.magnitude + more * eps;
  if (std::fabs(static_cast<long double>(computed) - exact) <= bound) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "got " << computed << ", exact " << static_cast<double>(exact)
                                       << ", bound on the error " << static_cast<double>(bound);
}

// One layer at a time, from what the pass itself left of the one before: errors do not pile up.
TEST_P(Network, ForwardIsLayerAfterLayer) {
  for_each_real([]<class Real>() {
    for (const auto& widths : odd_networks()) {
      const Layers layers(widths);
      const std::size_t depth = layers.views.size();
      for (const Index rows : odd_rows) {
        in_every_layout<double>({rows, widths[0]}, [&](const ScoresView& scores) {
          SCOPED_TRACE("widths " + text(widths));
          const auto features = std::get<MatrixView<const double>>(scores.blocks()[0]);
          std::vector<Guarded<Real>> inputs;
          std::vector<Real*> x;
          for (std::size_t l = 0; l < depth; ++l) inputs.emplace_back(rows * (widths[l] + 1));
          for (auto& values : inputs) x.push_back(values.data());
          Guarded<Real> output(rows * widths[depth]);
          network_forward<Real>(features, layers.views, x, output.data(), {2, {}});
          for (Index n = 0; n < rows; ++n) {
            for (Index k = 0; k < widths[0]; ++k) ASSERT_EQ(inputs[0][n * (widths[0] + 1) + k], Real(value_at(n, k)));
            for (std::size_t l = 0; l < depth; ++l) {
              const Index p = widths[l], q = widths[l + 1];
              ASSERT_EQ(inputs[l][n * (p + 1) + p], Real(1)) << "row " << n << " of layer " << l;
              for (Index j = 0; j < q; ++j) {
                Sum z;
                for (Index k = 0; k <= p; ++k) {
                  z.add(static_cast<long double>(inputs[l][n * (p + 1) + k]) * layers(l, k, j));
                }
                const bool last = l + 1 == depth;
                ASSERT_TRUE(last ? z.holds(output[n * q + j])
                                 : near(inputs[l + 1][n * (q + 1) + j], std::tanh(z.value), z, 8))
                    << "row " << n << ", output " << j << " of layer " << l;
              }
            }
          }
          for (const auto& values : inputs) EXPECT_TRUE(values.intact());
          EXPECT_TRUE(output.intact());
        });
      }
    }
  });
}

TEST_P(Network, BackwardIsTheChainRule) {
  for_each_real([]<class Real>() {
    for (const auto& widths : odd_networks()) {
      const Layers layers(widths);
      const std::size_t depth = layers.views.size();
      for (const Index rows : odd_rows) {
        for (const Index repeats : {1, 3}) {
          SCOPED_TRACE(std::to_string(rows) + " rows, " + std::to_string(repeats) + " of each, widths " + text(widths));
          std::vector<std::vector<Real>> inputs;
          std::vector<const Real*> x;
          std::vector<Guarded<Real>> errors;
          std::vector<Real*> e;
          for (std::size_t l = 0; l < depth; ++l) {
            // In (-1, 1), as tanh leaves them, and a last column that must not matter.
            inputs.push_back(vector_of<Real>(rows * (widths[l] + 1), 5 + static_cast<Index>(l)));
            for (Real& value : inputs.back()) value *= Real(0.5);
            for (Index n = 0; n < rows; ++n) inputs.back()[(n + 1) * (widths[l] + 1) - 1] = Real(1);
            errors.emplace_back(rows * repeats * widths[l + 1]);
          }
          for (const auto& values : inputs) x.push_back(values.data());
          for (auto& values : errors) e.push_back(values.data());
          for (Index i = 0; i < rows * repeats * widths[depth]; ++i) e.back()[i] = static_cast<Real>(value_at(i, 77));
          network_backward<Real>(rows, repeats, layers.views, x, e, {2, {}});
          for (Index i = 0; i < rows * repeats * widths[depth]; ++i) ASSERT_EQ(e.back()[i], Real(value_at(i, 77)));
          for (std::size_t l = 1; l < depth; ++l) {
            const Index p = widths[l], q = widths[l + 1];
            for (Index n = 0; n < rows * repeats; ++n) {
              for (Index k = 0; k < p; ++k) {
                Sum sum;
                for (Index j = 0; j < q; ++j) {
                  sum.add(static_cast<long double>(errors[l][n * q + j]) * layers(l, k, j));
                }
                const long double y = inputs[l][n / repeats * (p + 1) + k];
                ASSERT_TRUE(near(errors[l - 1][n * p + k], sum.value * (1.0L - y * y), sum, 0))
                    << "row " << n << ", input " << k << " of layer " << l;
              }
            }
          }
          for (const auto& values : errors) EXPECT_TRUE(values.intact());
        }
      }
    }
  });
}

std::vector<long double> action(const Layers& layers, bool sine_features, const std::vector<double>& observation) {
  std::vector<long double> x(observation.begin(), observation.end());
  for (std::size_t l = 0; l < layers.views.size(); ++l) {
    x.push_back(1.0L);
    std::vector<long double> z(static_cast<std::size_t>(layers.views[l].outputs), 0.0L);
    for (std::size_t j = 0; j < z.size(); ++j) {
      for (std::size_t k = 0; k < x.size(); ++k) z[j] += x[k] * layers(l, static_cast<Index>(k), static_cast<Index>(j));
      if (l == 0 && sine_features) {
        z[j] = std::sin(z[j]);
      } else if (l + 1 < layers.views.size()) {
        z[j] = std::tanh(z[j]);
      }
    }
    x = std::move(z);
  }
  return x;
}

TEST_P(Network, AnActorIsTheNetworkAndTheNoise) {
  for (const auto& widths : odd_networks()) {
    for (const bool sine_features : {false, true}) {
      SCOPED_TRACE("widths " + text(widths) + (sine_features ? "with sines" : "without"));
      Layers layers(widths, 0.25);
      const Layers original = layers;
      NetworkActor moved(layers.views, sine_features);
      for (auto& weights : layers.weights) std::fill(weights.begin(), weights.end(), 1e9);  // they were copied
      NetworkActor actor(std::move(moved));
      ASSERT_EQ(actor.observation_size(), widths.front());
      ASSERT_EQ(actor.outputs(), widths.back());
      for (Index time = 0; time < 3; ++time) {
        const auto observation = vector_of<double>(widths.front(), 10 + time);
        const auto noise = vector_of<double>(widths.back(), 20 + time);
        const auto z = action(original, sine_features, observation);
        Guarded<double> noisy(widths.back());
        actor.act(observation.data(), noise.data(), noisy.data());
        for (Index k = 0; k < widths.back(); ++k) {
          ASSERT_NEAR(noisy[k], static_cast<double>(z[k] + noise[k]), 1e-13) << "output " << k;
        }
        EXPECT_TRUE(noisy.intact());
      }
    }
  }
}

TEST_P(Network, AnActorRefusesLayersThatDoNotFit) {
  EXPECT_THROW(NetworkActor({}, false), std::invalid_argument);
  const Layers layers({5, 4, 3});
  EXPECT_THROW(NetworkActor({layers.views[1], layers.views[0]}, false), std::invalid_argument);
}

}  // namespace
}  // namespace fastfisher::testing
