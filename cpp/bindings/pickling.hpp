// How objects of the core are pickled and copied, or why they are not.
#pragma once

#include <algorithm>
#include <string>

#include "ndarray.hpp"

namespace fastfisher::bindings {

// Reduces an object that has py::pickle's methods, as protocol 2 does: protocols 0 and 1 would make one that no
// constructor has seen, and end the process.
inline py::object reduce(const py::object& self, int protocol) {
  return py::module_::import("builtins").attr("object").attr("__reduce_ex__")(self, std::max(protocol, 2));
}

// Refuses an object that belongs to one episode of one process.
[[noreturn]] inline py::object refuse_to_reduce(const py::object& self, int /*protocol*/) {
  const auto name = py::type::of(self).attr("__name__").cast<std::string>();
  throw py::type_error("cannot pickle or copy " + name + ", which is of one episode: pickle the policy that made it");
}

}  // namespace fastfisher::bindings
