// fastfisher._core: the compiled part, wrapped for users by the Python modules beside it.
#include "register.hpp"

PYBIND11_MODULE(_core, module) {
  module.doc() = "Compiled kernels and solvers of fastfisher; private, see the package for the public names.";
  fastfisher::bindings::register_configuration(module);
  fastfisher::bindings::register_linalg(module);
  fastfisher::bindings::register_fisher(module);
  fastfisher::bindings::register_natural_step(module);
  fastfisher::bindings::register_network(module);
  fastfisher::bindings::register_network_actor(module);
  fastfisher::bindings::register_episode(module);
  fastfisher::bindings::register_process(module);
  fastfisher::bindings::register_value_features(module);
  fastfisher::bindings::register_bfloat16(module);
}
