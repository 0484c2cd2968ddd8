// bfloat16 comes by DLPack, which NumPy does not read in that type: PyTorch's tensors have no other way to here.
//
// The structs are those of DLPack 0.8 (dlpack.h), whose layout the capsules named "dltensor" keep.
#include <algorithm>
#include <bit>
#include <cstddef>
#include <string_view>

#include "ndarray.hpp"
#include "register.hpp"

namespace fastfisher::bindings {
namespace {

struct DlpackTensor {
  const void* data;
  std::int32_t device_type, device_id;
  std::int32_t ndim;
  std::uint8_t type_code, type_bits;
  std::uint16_t type_lanes;
  const std::int64_t* shape;
  const std::int64_t* strides;  // in entries; null for C order
  std::uint64_t byte_offset;
};

constexpr std::int32_t cpu = 1;
constexpr std::uint8_t bfloat = 4;

// Returns a float32 copy of a bfloat16 tensor; None for another type, and for one that is not in this memory.
py::object from_bfloat16(const py::capsule& capsule) {
  const char* name = capsule.name();
  if (name == nullptr || std::string_view(name) != "dltensor") return py::none();
  const auto& tensor = *capsule.get_pointer<DlpackTensor>();
  const bool is_bfloat16 = tensor.type_code == bfloat && tensor.type_bits == 16 && tensor.type_lanes == 1;
  if (!is_bfloat16 || tensor.device_type != cpu) return py::none();

  const auto axes = static_cast<std::size_t>(tensor.ndim);
  std::vector<py::ssize_t> shape(tensor.shape, tensor.shape + axes);
  std::vector<py::ssize_t> strides(axes, 2);  // in bytes
  for (std::size_t axis = axes; axis-- > 0;) {
    if (tensor.strides != nullptr) {
      strides[axis] = 2 * tensor.strides[axis];
    } else if (axis + 1 < axes) {
      strides[axis] = strides[axis + 1] * shape[axis + 1];
    }
  }
  // NumPy walks the strides; the capsule, which keeps the memory, stays the tensor's own.
  const auto* first = static_cast<const std::byte*>(tensor.data) + tensor.byte_offset;
  const py::array bits(py::dtype::of<std::uint16_t>(), shape, strides, first, capsule);
  const auto contiguous = py::array_t < std::uint16_t, py::array::c_style | py::array::forcecast > (bits);
  py::array_t<float> result(shape);
  std::transform(contiguous.data(), contiguous.data() + contiguous.size(), result.mutable_data(),
                 [](std::uint16_t high) { return std::bit_cast<float>(static_cast<std::uint32_t>(high) << 16); });
  return result;
}

}  // namespace

void register_bfloat16(py::module_& module) { module.def("from_bfloat16", &from_bfloat16, py::arg("capsule")); }

}  // namespace fastfisher::bindings
