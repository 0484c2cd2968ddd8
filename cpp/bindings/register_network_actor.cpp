// One step of a rollout is one call: write the observation down, choose, write the action down, and give the
// environment's action.
#include <algorithm>

#include "episode_actor.hpp"
#include "fastfisher/network_actor.hpp"
#include "layers.hpp"
#include "ndarray.hpp"
#include "pickling.hpp"
#include "register.hpp"

namespace fastfisher::bindings {
namespace {

template <class Scalar>
using Rows = py::array_t<Scalar, py::array::c_style>;

// The rows of a slot are held and written, so they are never a converted copy.
template <class Scalar>
Rows<Scalar> checked_rows(const py::array& rows, std::optional<Index> columns, const char* name) {
  const bool fits = columns ? rows.ndim() == 2 && rows.shape(1) == *columns : rows.ndim() == 1;
  if (!py::isinstance<Rows<Scalar>>(rows) || !fits || !rows.writeable()) {
    const std::string shape = columns ? "(T, " + std::to_string(*columns) + ")" : "(T,)";
    const auto dtype = py::str(py::dtype::of<Scalar>()).cast<std::string>();
    refuse(name, "a writable, C-ordered " + dtype + " array of shape " + shape, rows);
  }
  return py::reinterpret_borrow<Rows<Scalar>>(rows);
}

// It holds a network, its noise and the rows that observations are written to.
class NetworkEpisodeActor : public EpisodeActor {
 public:
  NetworkEpisodeActor(const std::vector<Matrix>& weights, bool sine_features, py::function draw,
                      const py::array& observations)
      : network_(layers_of(weights), sine_features),
        draw_(std::move(draw)),
        observations_(checked_rows<double>(observations, network_.observation_size(), "observations")),
        steps_(observations_.shape(0)) {}

  Index outputs() const noexcept { return network_.outputs(); }

 protected:
  // There are no more steps than rows.
  void limit_steps(Index rows) { steps_ = std::min(steps_, rows); }

  // Writes the observation of step t down, and the network's outputs for it, plus the next row of noise, to `noisy`.
  void step(Index t, const Observation& observation, double* noisy) {
    if (t < 0 || t >= steps_) throw py::index_error("t: expected a step below " + std::to_string(steps_));
    const Index size = network_.observation_size();
    if (observation.size() != size) refuse("observation", std::to_string(size) + " entries", observation);
    if (noise_row_ == noise_rows_) draw();
    double* row = observations_.mutable_data() + t * size;
    std::copy_n(observation.data(), size, row);
    network_.act(row, noise_.data() + noise_row_++ * outputs(), noisy);
  }

 private:
  void draw() {
    noise_ = draw_().cast<Vector>();
    if (noise_.ndim() != 2 || noise_.shape(0) == 0 || noise_.shape(1) != outputs()) {
      refuse("draw()", "rows of " + std::to_string(outputs()) + " entries", noise_);
    }
    noise_rows_ = noise_.shape(0);
    noise_row_ = 0;
  }

  NetworkActor network_;
  py::function draw_;
  Rows<double> observations_;
  Vector noise_;
  Index steps_;
  Index noise_rows_ = 0, noise_row_ = 0;
};

// Centre and half range of each entry of the environment's actions, which the policy's are measured in.
using Units = std::pair<Vector, Vector>;

// The noisy outputs are the action; the environment takes it in its own units, and within its bounds.
class BoxActor : public NetworkEpisodeActor {
 public:
  BoxActor(const std::vector<Matrix>& weights, bool sine_features, py::function draw, const py::array& observations,
           const py::array& actions, const Vector& low, const Vector& high, const std::optional<Units>& units,
           bool single)
      : NetworkEpisodeActor(weights, sine_features, std::move(draw), observations),
        actions_(checked_rows<double>(actions, outputs(), "actions")),
        low_(low),
        high_(high),
        units_(units),
        single_(single) {
    vector_data(low_, outputs(), "low");
    vector_data(high_, outputs(), "high");
    if (units_) {
      vector_data(units_->first, outputs(), "units[0]");
      vector_data(units_->second, outputs(), "units[1]");
    }
    limit_steps(actions_.shape(0));
  }

  py::object choose(Index t, const Observation& observation) override {
    double* action = actions_.mutable_data() + t * outputs();
    step(t, observation, action);
    return single_ ? bounded<float>(action) : bounded<double>(action);
  }

 private:
  template <class Real>
  py::array bounded(const double* action) const {
    py::array_t<Real> result(outputs());
    Real* entries = result.mutable_data();
    const double *low = low_.data(), *high = high_.data();
    const double* center = units_ ? units_->first.data() : nullptr;
    const double* half_range = units_ ? units_->second.data() : nullptr;
    for (Index k = 0; k < outputs(); ++k) {
      const double value = units_ ? center[k] + half_range[k] * action[k] : action[k];
      entries[k] = static_cast<Real>(std::min(std::max(value, low[k]), high[k]));
    }
    return result;
  }

  Rows<double> actions_;
  Vector low_, high_;
  std::optional<Units> units_;
  bool single_;
};

// The action is the index of the largest noisy output; the environment counts from `start`.
class DiscreteActor : public NetworkEpisodeActor {
 public:
  DiscreteActor(const std::vector<Matrix>& weights, bool sine_features, py::function draw,
                const py::array& observations, const py::array& actions, std::int64_t start)
      : NetworkEpisodeActor(weights, sine_features, std::move(draw), observations),
        actions_(checked_rows<std::int64_t>(actions, std::nullopt, "actions")),
        start_(start),
        noisy_(static_cast<std::size_t>(outputs())) {
    limit_steps(actions_.shape(0));
  }

  py::object choose(Index t, const Observation& observation) override {
    step(t, observation, noisy_.data());
    const std::int64_t index = std::max_element(noisy_.begin(), noisy_.end()) - noisy_.begin();
    actions_.mutable_data()[t] = index;
    return py::int_(start_ + index);
  }

 private:
  Rows<std::int64_t> actions_;
  std::int64_t start_;
  std::vector<double> noisy_;
};

// Returns the outputs alone, for heads that choose in Python.
class Outputs {
 public:
  Outputs(const std::vector<Matrix>& weights, bool sine_features)
      : network_(layers_of(weights), sine_features), no_noise_(static_cast<std::size_t>(network_.outputs())) {}

  Vector operator()(const Observation& observation) {
    const Index size = network_.observation_size();
    if (observation.size() != size) refuse("observation", std::to_string(size) + " entries", observation);
    Vector z(network_.outputs());
    network_.act(observation.data(), no_noise_.data(), z.mutable_data());
    return z;
  }

 private:
  NetworkActor network_;
  std::vector<double> no_noise_;
};

}  // namespace

void register_network_actor(py::module_& module) {
  const auto weights = py::arg("weights"), sine_features = py::arg("sine_features"), draw = py::arg("draw");
  const auto observations = py::arg("observations"), t = py::arg("t"), observation = py::arg("observation");
  py::class_<EpisodeActor>(module, "EpisodeActor")
      .def("__call__", &EpisodeActor::choose, t, observation)
      .def("__reduce_ex__", &refuse_to_reduce, py::arg("protocol"));
  py::class_<BoxActor, EpisodeActor>(module, "BoxActor")
      .def(py::init<const std::vector<Matrix>&, bool, py::function, const py::array&, const py::array&, const Vector&,
                    const Vector&, const std::optional<Units>&, bool>(),
           weights, sine_features, draw, observations, py::arg("actions"), py::arg("low"), py::arg("high"),
           py::arg("units"), py::arg("single"));
  py::class_<DiscreteActor, EpisodeActor>(module, "DiscreteActor")
      .def(py::init<const std::vector<Matrix>&, bool, py::function, const py::array&, const py::array&, std::int64_t>(),
           weights, sine_features, draw, observations, py::arg("actions"), py::arg("start"));
  py::class_<Outputs>(module, "NetworkActor")
      .def(py::init<const std::vector<Matrix>&, bool>(), weights, sine_features)
      .def("__call__", &Outputs::operator(), observation)
      .def("__reduce_ex__", &refuse_to_reduce, py::arg("protocol"));
}

}  // namespace fastfisher::bindings
