// An episode actor chooses the actions of one episode, as the loop over its steps calls it.
#pragma once

#include "ndarray.hpp"

namespace fastfisher::bindings {

using Observation = py::array_t<double, py::array::c_style | py::array::forcecast>;

class EpisodeActor {
 public:
  EpisodeActor() = default;
  EpisodeActor(const EpisodeActor&) = delete;
  EpisodeActor& operator=(const EpisodeActor&) = delete;
  virtual ~EpisodeActor() = default;

  // Returns the environment's action at step t, a new object; the observation and the policy's action are written down.
  virtual py::object choose(Index t, const Observation& observation) = 0;
};

}  // namespace fastfisher::bindings
