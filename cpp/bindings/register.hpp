// There is one function for each concept that the extension module offers; module.cpp calls them all.
#pragma once

#include <pybind11/pybind11.h>

namespace fastfisher::bindings {

void register_bfloat16(pybind11::module_& module);
void register_configuration(pybind11::module_& module);
void register_episode(pybind11::module_& module);
void register_linalg(pybind11::module_& module);
void register_fisher(pybind11::module_& module);
void register_natural_step(pybind11::module_& module);
void register_network(pybind11::module_& module);
void register_network_actor(pybind11::module_& module);
void register_process(pybind11::module_& module);
void register_value_features(pybind11::module_& module);

}  // namespace fastfisher::bindings
