#include <stdexcept>
#include <string>

#include "fastfisher/simd.hpp"
#include "fastfisher/threads.hpp"
#include "ndarray.hpp"
#include "register.hpp"

#define FASTFISHER_EXPORTED __attribute__((visibility("default")))

// They are for programs that find the shared library and not the Python module, as threadpoolctl does.
extern "C" {

FASTFISHER_EXPORTED int fastfisher_get_num_threads() { return fastfisher::default_num_threads(); }

FASTFISHER_EXPORTED void fastfisher_set_num_threads(int threads) { fastfisher::set_default_num_threads(threads); }

FASTFISHER_EXPORTED const char* fastfisher_version() { return FASTFISHER_VERSION; }
}

namespace fastfisher::bindings {

void register_configuration(py::module_& module) {
  try {
    simd_level();  // the first use reads FASTFISHER_SIMD
  } catch (const std::invalid_argument& error) {
    throw py::import_error(error.what());
  }
  module.attr("__version__") = FASTFISHER_VERSION;
  module.attr("eigen_version") = FASTFISHER_EIGEN_VERSION;
  module.attr("compiler") = FASTFISHER_COMPILER;
  module.attr("build_type") = FASTFISHER_BUILD_TYPE;

  module.def("simd_level", [] { return std::string(simd_level()); });
  module.def("available_simd_levels", [] {
    std::vector<std::string> names;
    for (const std::string_view name : available_simd_levels()) names.emplace_back(name);
    return names;
  });
  module.def("set_simd_level", [](const std::string& name) { set_simd_level(name); }, py::arg("name"));
  module.def("get_num_threads", &default_num_threads);
  module.def("set_num_threads", &set_default_num_threads, py::arg("threads"));
  module.def("usable_processors", &usable_processors);
}

}  // namespace fastfisher::bindings
