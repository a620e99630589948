#include "sightglass/model/onnx/onnx_tensor.h"

#include "sightglass/memory/mapper.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/frame_memory.h"
#include "sightglass/model/onnx/onnx_types.h"

namespace sightglass {
namespace {

class OnnxValueMemory final : public Memory {
 public:
  // `mapping` is that of our memory, where it lies in ours.
  OnnxValueMemory(Ort::Value value, size_t size, Tensor below, Mapping mapping)
      : Memory(MemoryKind::onnx, size),
        below_(std::move(below)),
        mapping_(std::move(mapping)),
        value_(std::move(value)) {}

  OrtValue* value() { return value_; }
  const Tensor& below() const { return below_; }
  Result<std::byte*> map(Access) override {
    return static_cast<std::byte*>(value_.GetTensorMutableRawData());
  }
  void unmap(Access) override {}

 private:
  Tensor below_;
  Mapping mapping_;
  Ort::Value value_;
};

OnnxValueMemory* as_onnx(const Tensor& tensor) {
  return tensor.memory ? dynamic_cast<OnnxValueMemory*>(tensor.memory.get()) : nullptr;
}

Result<Tensor> wrap(const Tensor& tensor, Access access) {
  if (!tensor.dense())
    return fail(ErrorCode::unsupported,
                "a tensor {} with strides {} has gaps, which ONNX Runtime does not know; copy it to a dense "
                "one first",
                tensor.shape.to_string(), tensor.strides.to_string());
  auto mapping = map(tensor, access);
  if (!mapping) return forward_error(mapping);
  try {
    static const auto& where =
        *new Ort::MemoryInfo(Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault));
    Ort::Value value =
        Ort::Value::CreateTensor(where, mapping->data(), mapping->bytes(), tensor.shape.begin(),
                                 tensor.shape.rank(), to_onnx(tensor.type));
    Tensor result = tensor;
    result.offset = 0;
    const size_t bytes = mapping->bytes();
    result.memory = make_ref<OnnxValueMemory>(std::move(value), bytes, tensor, *std::move(mapping));
    return result;
  } catch (const Ort::Exception& error) {
    return fail(ErrorCode::internal, "ONNX Runtime: {}", one_line(error.what()));
  }
}

class OnnxMapper final : public Mapper {
 public:
  std::string_view name() const override { return "OrtValue over memory of the CPU"; }

  Status available() const override {
    const auto library = onnx_library();
    if (!library) return std::unexpected(library.error());
    return {};
  }

  // Planes of pictures have gaps; whoever wants a picture as a value wants it as a tensor.
  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (from == Form{MemoryKind::system, {}}) out.push_back({.to = {MemoryKind::onnx, {}}});
    if (from == Form{MemoryKind::onnx, {}}) out.push_back({.to = {MemoryKind::system, {}}});
  }

  Status map(const Frame& frame, const MapTarget& target, Frame& result) const override {
    result.video = frame.video;
    if (target.form.memory == MemoryKind::system) return map_back(frame, result);
    result.tensors.clear();
    for (const Tensor& tensor : frame.tensors) {
      auto made = wrap(tensor, target.access);
      if (!made) return forward_error(made);
      result.tensors.push_back(*std::move(made));
    }
    return {};
  }

 private:
  static Status map_back(const Frame& frame, Frame& result) {
    const auto view = [](const MemoryRef& memory) -> Result<MemoryRef> {
      if (memory->kind() != MemoryKind::onnx)
        return fail(ErrorCode::invalid_argument, "one of the tensors lies in {} memory, not in an OrtValue",
                    to_string(memory->kind()));
      return host_view(memory);
    };
    if (auto status = replace_memory(frame, result, view); !status) return status;
    for (size_t i = 0; i < frame.tensors.size(); ++i) {
      const auto* onnx = as_onnx(frame.tensors[i]);
      if (!onnx || !onnx->below()) continue;
      result.tensors[i].memory = onnx->below().memory;
      result.tensors[i].offset += onnx->below().offset;
    }
    return {};
  }
};

const MapperRegistration registration(std::make_unique<OnnxMapper>());

}  // namespace

Result<Tensor> from_onnx(OrtValue* handle) {
  if (!handle) return fail(ErrorCode::invalid_argument, "the OrtValue is null");
  const auto library = onnx_library();
  if (!library) return std::unexpected(library.error());
  Ort::Value value(handle);
  const auto refuse = [&value](ErrorCode code, std::string message) {
    static_cast<void>(value.release());  // the caller's still
    return std::unexpected(Error{code, std::move(message), {}, {}});
  };
  try {
    if (!value.HasValue() || !value.IsTensor())
      return refuse(ErrorCode::unsupported, "the OrtValue is not a tensor but a sequence or map");
    const auto info = value.GetTensorTypeAndShapeInfo();
    const auto type = from_onnx(info.GetElementType());
    if (!type) return refuse(ErrorCode::unsupported, "the OrtValue holds neither numbers nor booleans");
    if (value.GetTensorMemoryInfo().GetDeviceType() != OrtMemoryInfoDeviceType_CPU)
      return refuse(ErrorCode::unavailable,
                    "the OrtValue does not lie in memory of the CPU; bring it there first");
    const std::vector<int64_t> sizes = info.GetShape();
    if (sizes.size() > Shape::max_rank)
      return refuse(ErrorCode::unsupported, std::format("an OrtValue of {} axes; at most {} are supported",
                                                        sizes.size(), Shape::max_rank));
    Tensor tensor{.type = *type};
    tensor.shape = sizes.empty() ? Shape{1} : Shape(sizes);
    if (tensor.shape.elements() <= 0) return refuse(ErrorCode::unsupported, "the OrtValue has no elements");
    tensor.strides = dense_strides(tensor.shape, *type);
    tensor.memory = make_ref<OnnxValueMemory>(std::move(value), tensor.bytes(), Tensor{}, Mapping{});
    return tensor;
  } catch (const Ort::Exception& error) {
    return refuse(ErrorCode::internal, std::format("ONNX Runtime: {}", one_line(error.what())));
  }
}

OrtValue* onnx_value(const Tensor& tensor) {
  auto* onnx = as_onnx(tensor);
  return onnx ? onnx->value() : nullptr;
}

}  // namespace sightglass
