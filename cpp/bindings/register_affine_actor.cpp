// One step of a rollout in one call: write the observation down, choose, write the action down, clip and convert.
#include <algorithm>

#include "fastfisher/affine_actor.hpp"
#include "ndarray.hpp"
#include "register.hpp"

namespace fastfisher::bindings {
namespace {

std::vector<double> to_vector(const Vector& values) { return {values.data(), values.data() + values.size()}; }

const Vector& checked_weights(const Vector& weights) {
  if (weights.ndim() != 2) refuse("weights", "a two-dimensional array (D, m)", weights);
  return weights;
}

Vector checked_rows(const py::array& rows, Index columns, const char* name) {
  if (!py::isinstance<Vector>(rows) || rows.ndim() != 2 || rows.shape(1) != columns || !rows.writeable()) {
    refuse(name, "a writable, C-ordered float64 array of shape (T, " + std::to_string(columns) + ")", rows);
  }
  return py::reinterpret_borrow<Vector>(rows);
}

// Belongs to one episode.  Arrays are held, not copied.
class EpisodeActor {
 public:
  EpisodeActor(const Vector& weights, py::function draw, const Vector& low, const Vector& high,
               const py::array& observations, const py::array& actions, bool single)
      : actor_(checked_weights(weights).shape(0), to_vector(weights), to_vector(low), to_vector(high)),
        draw_(std::move(draw)),
        observations_(checked_rows(observations, actor_.observation_size(), "observations")),
        actions_(checked_rows(actions, actor_.action_size(), "actions")),
        steps_(std::min(observations_.shape(0), actions_.shape(0))),
        single_(single) {}

  py::array operator()(Index t, const Vector& observation) {
    if (t < 0 || t >= steps_) throw py::index_error("t: expected a step below " + std::to_string(steps_));
    if (observation.size() != actor_.observation_size()) {
      refuse("observation", std::to_string(actor_.observation_size()) + " entries", observation);
    }
    if (noise_row_ == noise_rows_) draw();
    const double* noise = noise_.data() + noise_row_++ * actor_.action_size();
    double* action = actions_.mutable_data() + t * actor_.action_size();
    std::copy_n(observation.data(), actor_.observation_size(),
                observations_.mutable_data() + t * actor_.observation_size());
    return single_ ? act<float>(observation.data(), noise, action) : act<double>(observation.data(), noise, action);
  }

 private:
  void draw() {
    noise_ = draw_().cast<Vector>();
    if (noise_.ndim() != 2 || noise_.shape(0) == 0 || noise_.shape(1) != actor_.action_size()) {
      refuse("draw()", "rows of " + std::to_string(actor_.action_size()) + " entries", noise_);
    }
    noise_rows_ = noise_.shape(0);
    noise_row_ = 0;
  }

  template <class Bounded>
  py::array act(const double* observation, const double* noise, double* action) const {
    py::array_t<Bounded> bounded(actor_.action_size());
    actor_.act(observation, noise, action, bounded.mutable_data());
    return bounded;
  }

  AffineActor actor_;
  py::function draw_;
  Vector observations_, actions_, noise_;
  Index steps_;
  bool single_;
  Index noise_rows_ = 0, noise_row_ = 0;
};

}  // namespace

void register_affine_actor(py::module_& module) {
  py::class_<EpisodeActor>(module, "EpisodeActor")
      .def(py::init<const Vector&, py::function, const Vector&, const Vector&, const py::array&, const py::array&,
                    bool>(),
           py::arg("weights"), py::arg("draw"), py::arg("low"), py::arg("high"), py::arg("observations"),
           py::arg("actions"), py::arg("single"))
      .def("__call__", &EpisodeActor::operator(), py::arg("t"), py::arg("observation"));
}

}  // namespace fastfisher::bindings
