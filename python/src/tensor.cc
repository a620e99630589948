// Tensor: zero-copy in and out by numpy, DLPack and the CUDA array interface.
#include <dlpack/dlpack.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "python/src/array_memory.h"
#include "python/src/bindings.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/dlpack/dlpack_tensor.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_frame.h"

namespace sightglass::python {
namespace {

nb::dlpack::dtype dlpack_type(DataType type) {
  using Code = nb::dlpack::dtype_code;
  const auto make = [&](Code code) {
    return nb::dlpack::dtype{uint8_t(code), uint8_t(size_of(type) * 8), 1};
  };
  switch (type) {
    case DataType::u8:
    case DataType::u16:
    case DataType::u32:
    case DataType::u64:
      return make(Code::UInt);
    case DataType::i8:
    case DataType::i16:
    case DataType::i32:
    case DataType::i64:
      return make(Code::Int);
    case DataType::f16:
    case DataType::f32:
    case DataType::f64:
      return make(Code::Float);
    case DataType::bf16:
      return make(Code::Bfloat);
    case DataType::boolean:
      return make(Code::Bool);
  }
  return {};
}

constexpr DataType all_types[] = {DataType::u8,     DataType::i8,   DataType::u16, DataType::i16,
                                  DataType::i32,    DataType::u32,  DataType::i64, DataType::u64,
                                  DataType::f16,    DataType::bf16, DataType::f32, DataType::f64,
                                  DataType::boolean};

std::optional<DataType> data_type_of(nb::dlpack::dtype type) {
  for (DataType one : all_types)
    if (dlpack_type(one) == type) return one;
  return {};
}

DataType parse_type(const std::string& name) {
  if (const auto type = data_type(name)) return *type;
  std::string known;
  for (DataType type : all_types) known += (known.empty() ? "" : ", ") + std::string(to_string(type));
  throw nb::value_error(("'" + name + "' is no data type; one of: " + known).c_str());
}

// Keeps the CPU's access to the memory open as long as an array looks at it.
struct OpenMapping {
  nb::capsule owner;
  std::byte* data;
};

OpenMapping open_mapping(const Tensor& tensor, Access access) {
  auto mapping = std::make_unique<Mapping>(unwrap(unlocked([&] { return map(tensor, access); })));
  std::byte* data = mapping->data();
  return {nb::capsule(mapping.release(), [](void* held) noexcept { delete static_cast<Mapping*>(held); }),
          data};
}

// Strides in elements, as arrays count them.
std::vector<int64_t> element_strides(DataType type, const Shape& strides) {
  const auto size = int64_t(size_of(type));
  std::vector<int64_t> counted;
  for (int64_t stride : strides) {
    if (stride % size != 0)
      throw nb::value_error("the strides are not whole elements; an array cannot show this memory");
    counted.push_back(stride / size);
  }
  return counted;
}

std::vector<size_t> sizes(const Shape& shape) { return {shape.begin(), shape.end()}; }

template <class... Kind>
nb::ndarray<Kind...> array_on(const OpenMapping& open, DataType type, const Shape& shape,
                              const Shape& strides) {
  const auto dims = sizes(shape);
  const auto counted = element_strides(type, strides);
  return nb::ndarray<Kind...>(open.data, dims.size(), dims.data(), open.owner, counted.data(),
                              dlpack_type(type));
}

// Why an object is no array for us, in words: nanobind only says that it does not fit.
std::string reason_against(nb::handle object) {
  if (nb::hasattr(object, "__cuda_array_interface__") && !nb::hasattr(object, "__dlpack__"))
    return "memory of a CUDA device has to come by DLPack";
  if (nb::hasattr(object, "dtype"))
    return "elements of type " + nb::cast<std::string>(object.attr("dtype").attr("__str__")()) +
           " are not supported; use bool, a whole number or a float in the machine's byte order";
  return "needs a numpy array or an object with __dlpack__, not " +
         nb::cast<std::string>(nb::handle(object.type()).attr("__name__"));
}

Tensor from_array(nb::handle object, const char* what) {
  if (PyObject_CheckBuffer(object.ptr()) && !nb::hasattr(object, "dtype") &&
      !nb::hasattr(object, "__dlpack__"))
    throw nb::type_error(
        (std::string(what) + ": needs a numpy array; numpy.frombuffer() makes one of bytes").c_str());
  nb::ndarray<nb::ro> array;
  bool read_only = false;
  if (nb::ndarray<> writable; nb::try_cast(object, writable, false))
    array = nb::ndarray<nb::ro>(writable);
  else if (nb::try_cast(object, array, false))
    read_only = true;
  else
    throw nb::type_error((std::string(what) + ": " + reason_against(object)).c_str());
  const auto refuse = [&](const std::string& reason) {
    throw nb::value_error((std::string(what) + ": " + reason).c_str());
  };
  const auto type = data_type_of(array.dtype());
  if (!type) throw nb::type_error((std::string(what) + ": " + reason_against(object)).c_str());
  if (const int device = array.device_type();
      device != nb::device::cpu::value && device != nb::device::cuda_host::value)
    refuse("the array lies in the memory of a device; copy it to the CPU first");
  if (array.ndim() > Shape::max_rank)
    refuse(std::format("{} axes are more than the {} that a tensor can have", array.ndim(), Shape::max_rank));
  const auto size = int64_t(size_of(*type));
  Tensor tensor{.type = *type};
  int64_t last = 0;
  for (size_t axis = 0; axis < array.ndim(); ++axis) {
    const int64_t dim = int64_t(array.shape(axis)), stride = array.stride(axis) * size;
    if (dim == 0) refuse("the array is empty");
    if (dim > 1 && stride < 0)
      refuse(
          "an axis runs backwards (negative stride); numpy.ascontiguousarray() makes a copy that does not");
    if (dim > 1 && stride == 0)
      refuse(
          "an axis repeats the same elements (stride 0); numpy.ascontiguousarray() makes a copy that does "
          "not");
    tensor.shape.push_back(dim);
    tensor.strides.push_back(stride);
    last += (dim - 1) * stride;
  }
  auto* data = static_cast<std::byte*>(const_cast<void*>(array.data()));
  if (reinterpret_cast<uintptr_t>(data) % uintptr_t(size))
    refuse("the elements are not aligned; numpy.ascontiguousarray() makes a copy that is");
  // The array's own handle: a capsule of DLPack may be used once only, so it is kept and not the object
  // alone.
  nb::capsule keeper(new nb::ndarray<nb::ro>(std::move(array)),
                     [](void* held) noexcept { delete static_cast<nb::ndarray<nb::ro>*>(held); });
  tensor.memory = MemoryRef(new ArrayMemory(std::move(keeper), data, size_t(last + size), read_only));
  return tensor;
}

// Memory of a device, by the DLPack structure itself. Our stream comes after whoever has written it, and who
// reads the tensor after our stream.
Tensor from_device(nb::handle object, int device) {
  const ContextRef context = unwrap(cuda_context(device));
  auto* const stream = static_cast<CUstream_st*>(context->handle("CUstream"));
  nb::object capsule = object.attr("__dlpack__")(nb::arg("stream") = reinterpret_cast<uintptr_t>(stream));
  auto* managed = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
  if (!managed) throw nb::python_error();
  Tensor tensor = unwrap(from_dlpack(managed));
  PyCapsule_SetName(capsule.ptr(), "used_dltensor");
  if (Status ordered = cuda_written(tensor, stream); !ordered) raise(ordered.error());
  return tensor;
}

Tensor from_dlpack_object(nb::handle object) {
  if (nb::hasattr(object, "__dlpack_device__")) {
    const nb::object place = object.attr("__dlpack_device__")();
    const int kind = nb::cast<int>(place[0]);
    if (kind == nb::device::cuda::value || kind == nb::device::cuda_managed::value)
      return from_device(object, nb::cast<int>(place[1]));
  }
  return from_array(object, "Tensor.from_dlpack");
}

Tensor empty(const std::vector<int64_t>& shape, const std::string& type) {
  if (shape.size() > Shape::max_rank) throw nb::value_error("a tensor has at most 8 axes");
  for (int64_t dim : shape)
    if (dim < 0) throw nb::value_error("the size of an axis cannot be negative");
  return unwrap(allocate_tensor({.type = parse_type(type), .shape = Shape(shape)}));
}

nb::tuple to_tuple(const Shape& shape) {
  nb::list list;
  for (int64_t dim : shape) list.append(dim);
  return nb::tuple(list);
}

Tensor copy_of(const Tensor& tensor) {
  return unwrap(unlocked([&]() -> Result<Tensor> {
    auto copy = allocate_tensor({.type = tensor.type, .shape = tensor.shape, .layout = tensor.layout});
    if (!copy) return copy;
    if (auto status = copy_tensor(tensor, *copy); !status) return forward_error(status);
    return copy;
  }));
}

// The same bytes as elements of another type of that size: the way to look at bfloat16 in numpy.
Tensor as_type(const Tensor& tensor, const std::string& name) {
  const DataType type = parse_type(name);
  if (size_of(type) != size_of(tensor.type))
    throw nb::value_error(
        "only a type of the same size shows the same bytes; use numpy's astype() to convert");
  Tensor other = tensor;
  other.type = type;
  return other;
}

bool is_on_cuda(const Tensor& tensor) { return tensor.memory && tensor.memory->kind() == MemoryKind::cuda; }

// The stream as DLPack in Python numbers it: None and 1 are the default stream, 2 is that of the thread, -1
// wants no order, others are addresses.
std::optional<CUstream_st*> stream_of(nb::handle number) {
  if (number.is_none()) return nullptr;
  const auto value = nb::cast<int64_t>(number);
  if (value == -1) return {};
  if (value < -1) throw nb::value_error("stream: -1, 1, 2, or the address of a CUDA stream");
  return value <= 1 ? nullptr : reinterpret_cast<CUstream_st*>(value);
}

// Memory of a device as the DLPack structure of the library, which says which device, and orders the stream
// behind work in flight.
nb::object device_capsule(const Tensor& tensor, std::optional<CUstream_st*> stream) {
  DLManagedTensor* managed = unwrap(unlocked([&] { return to_dlpack(tensor, Access::read_write, stream); }));
  return nb::steal(PyCapsule_New(managed, "dltensor", [](PyObject* capsule) {
    if (!PyCapsule_IsValid(capsule, "dltensor")) return;  // taken: its deleter is called by who did
    auto* left = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, "dltensor"));
    left->deleter(left);
  }));
}

nb::tuple dlpack_device(const Tensor& tensor) {
  if (!is_on_cuda(tensor)) return nb::make_tuple(int(nb::device::cpu::value), 0);
  return nb::make_tuple(int(nb::device::cuda::value), cuda_number(*tensor.memory->context()));
}

nb::object dlpack(const Tensor& tensor, const nb::kwargs& options) {
  nb::object device = options.contains("dl_device") ? nb::borrow(options["dl_device"]) : nb::none();
  if (!device.is_none() && !nb::tuple(device).equal(dlpack_device(tensor)))
    throw nb::buffer_error("the tensor can only be handed out where it lies; see __dlpack_device__()");
  const bool copy = options.contains("copy") && options["copy"].is(nb::handle(Py_True));
  if (is_on_cuda(tensor)) {
    if (copy) throw nb::buffer_error("memory of a CUDA device is handed out without a copy only");
    return device_capsule(tensor, options.contains("stream") ? stream_of(options["stream"]) : nullptr);
  }
  const Tensor shown = copy ? copy_of(tensor) : tensor;
  return nb::cast(array_on<>(open_mapping(shown, Access::read), shown.type, shown.shape, shown.strides));
}

nb::object as_array(const Tensor& tensor, nb::object type, nb::object copy) {
  nb::object view = numpy_view(tensor, false);
  const bool convert =
      !type.is_none() && !view.attr("dtype").equal(nb::module_::import_("numpy").attr("dtype")(type));
  if (convert && copy.is(nb::handle(Py_False)))
    throw nb::value_error("another dtype needs a copy, which copy=False forbids");
  if (convert) return view.attr("astype")(type);
  return copy.is(nb::handle(Py_True)) ? view.attr("copy")() : view;
}

nb::dict cuda_interface(const Tensor& tensor) {
  if (!is_on_cuda(tensor))
    throw nb::attribute_error(
        "__cuda_array_interface__: the tensor does not lie in the memory of a CUDA device");
  nb::list shape, strides;
  for (int64_t dim : tensor.shape) shape.append(dim);
  for (int64_t stride : tensor.strides) strides.append(stride);
  if (tensor.type == DataType::bf16)
    throw nb::attribute_error("__cuda_array_interface__: it has no bfloat16; use __dlpack__");
  // What is told here has no stream: so nothing is under way.
  unwrap(unlocked([&] { return cuda_finish(tensor); }));
  nb::dict made;
  made["shape"] = nb::tuple(shape);
  made["strides"] = nb::tuple(strides);
  made["typestr"] =
      nb::module_::import_("numpy").attr("dtype")(std::string(to_string(tensor.type))).attr("str");
  made["data"] = nb::make_tuple(cuda_pointer(tensor), false);
  made["version"] = 3;
  return made;
}

}  // namespace

nb::object numpy_view(const Tensor& tensor, DataType type, const Shape& shape, const Shape& strides,
                      bool writable) {
  if (type == DataType::bf16)
    throw nb::type_error(
        "numpy has no bfloat16; torch.from_dlpack() takes it, and as_type('uint16') shows its bits");
  const auto open = open_mapping(tensor, writable ? Access::read_write : Access::read);
  if (writable) return nb::cast(array_on<nb::numpy>(open, type, shape, strides));
  return nb::cast(array_on<nb::numpy, nb::ro>(open, type, shape, strides));
}

nb::object numpy_view(const Tensor& tensor, bool writable) {
  return numpy_view(tensor, tensor.type, tensor.shape, tensor.strides, writable);
}

Tensor tensor_of_array(nb::handle array, const char* what) { return from_array(array, what); }

void bind_tensor(nb::module_& module) {
  nb::class_<Tensor>(module, "Tensor",
                     "Elements of one type in some memory. A small handle: copies of it share the memory.")
      .def_static("empty", &empty, nb::arg("shape"), nb::arg("dtype") = "float32",
                  "A new tensor whose content is not set.")
      .def_static(
          "from_numpy", [](nb::handle array) { return from_array(array, "Tensor.from_numpy"); },
          nb::arg("array"),
          "The memory of a numpy array, shared. The array may be read-only, and may have gaps between its "
          "rows.")
      .def_static("from_dlpack", &from_dlpack_object, nb::arg("array"),
                  "The memory of any array with __dlpack__ (torch, jax, cupy…), shared.")
      .def_prop_ro(
          "shape", [](const Tensor& t) { return to_tuple(t.shape); }, "Sizes, outermost first.")
      .def_prop_ro(
          "strides", [](const Tensor& t) { return to_tuple(t.strides); }, "Bytes from one to the next.")
      .def_prop_ro(
          "dtype", [](const Tensor& t) { return std::string(to_string(t.type)); }, "'float32', 'uint8', …")
      .def_prop_ro(
          "layout", [](const Tensor& t) { return std::string(to_string(t.layout)); },
          "'NCHW', …; empty where it is unknown.")
      .def_prop_ro("ndim", [](const Tensor& t) { return t.shape.rank(); })
      .def_prop_ro("nbytes", &Tensor::bytes, "From the first to behind the last element.")
      .def_prop_ro(
          "memory", [](const Tensor& t) { return std::string(t.memory ? to_string(t.memory->kind()) : ""); },
          "Where it lies: 'system', 'cuda', 'opencv', …")
      .def("numpy", nb::overload_cast<const Tensor&, bool>(&numpy_view), nb::arg("writable") = false,
           "A view without a copy, after waiting for work in flight. It may outlive the tensor.")
      .def("copy", &copy_of, "The same elements, dense, in memory of their own.")
      .def("as_type", &as_type, nb::arg("dtype"), "The same bytes as elements of another type of that size.")
      .def("__array__", &as_array, nb::arg("dtype") = nb::none(), nb::arg("copy") = nb::none())
      .def("__dlpack__", &dlpack)
      .def("__dlpack_device__", &dlpack_device)
      .def_prop_ro("__cuda_array_interface__", &cuda_interface)
      .def("__repr__", [](const Tensor& t) {
        return std::format("Tensor({} {}{})", to_string(t.type), t.shape.to_string(),
                           t.memory ? std::format(", {}", to_string(t.memory->kind())) : ", no memory");
      });
}

}  // namespace sightglass::python
