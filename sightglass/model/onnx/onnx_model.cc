#include "sightglass/model/onnx/onnx_model.h"

#include <algorithm>
#include <map>

#include "sightglass/model/onnx/onnx_cuda.h"
#include "sightglass/model/onnx/onnx_types.h"

namespace sightglass {
namespace {

// The memory of a tensor that ONNX Runtime has made. Keeps the session, whose allocator it came from.
class OnnxMemory final : public Memory {
 public:
  OnnxMemory(Ort::Value value, size_t size, std::shared_ptr<Ort::Session> session)
      : Memory(MemoryKind::system, size), session_(std::move(session)), value_(std::move(value)) {}
  Result<std::byte*> map(Access) override {
    return static_cast<std::byte*>(value_.GetTensorMutableRawData());
  }
  void unmap(Access) override {}

 private:
  std::shared_ptr<Ort::Session> session_;
  Ort::Value value_;
};

using Port = OnnxPort;

// The few addresses that a pool gives out come back again and again, so their Values are kept.
class ValueCache {
 public:
  const Ort::Value& get(const Port& port, const Binding& binding, const Ort::MemoryInfo& where) {
    for (Entry& entry : entries_)
      if (entry.data == binding.data && entry.shape == binding.shape) return entry.value;
    Entry entry{binding.data, binding.shape,
                Ort::Value::CreateTensor(where, binding.data,
                                         size_t(binding.shape.elements()) * size_of(port.info.type),
                                         binding.shape.begin(), std::min(binding.shape.rank(), port.rank),
                                         to_onnx(port.info.type))};
    if (entries_.size() < capacity) return entries_.emplace_back(std::move(entry)).value;
    next_ = (next_ + 1) % capacity;
    return (entries_[next_] = std::move(entry)).value;
  }

 private:
  static constexpr size_t capacity = 32;
  struct Entry {
    void* data;
    Shape shape;
    Ort::Value value;
  };
  std::vector<Entry> entries_;
  size_t next_ = 0;
};

class OnnxModel final : public LoadedModel {
 public:
  OnnxModel(std::shared_ptr<Ort::Session> session, std::vector<Port> inputs, std::vector<Port> outputs,
            ModelSignature signature, unsigned requests, std::vector<std::string> notes)
      : session_(std::move(session)),
        inputs_(std::move(inputs)),
        outputs_(std::move(outputs)),
        signature_(std::move(signature)),
        requests_(requests),
        notes_(std::move(notes)) {}

  const ModelSignature& signature() const override { return signature_; }
  std::unique_ptr<ModelRequest> request() override { return std::make_unique<Request>(*this); }
  unsigned parallel_requests() const override { return requests_; }
  std::vector<std::string> notes() const override { return notes_; }

 private:
  class Request final : public ModelRequest {
   public:
    explicit Request(const OnnxModel& model)
        : model_(model), input_caches_(model.inputs_.size()), output_caches_(model.outputs_.size()) {
      for (const Port& port : model.inputs_) input_names_.push_back(port.name.c_str());
      for (const Port& port : model.outputs_) output_names_.push_back(port.name.c_str());
      inputs_.resize(input_names_.size());
      outputs_.resize(output_names_.size());
    }

    Status run(std::span<const Binding> inputs, std::span<Binding> outputs) override {
      try {
        for (size_t i = 0; i < inputs_.size(); ++i)
          inputs_[i] = input_caches_[i].get(model_.inputs_[i], inputs[i], where_);
        for (size_t i = 0; i < outputs_.size(); ++i)
          outputs_[i] =
              outputs[i].data
                  ? static_cast<OrtValue*>(output_caches_[i].get(model_.outputs_[i], outputs[i], where_))
                  : nullptr;
        Ort::ThrowOnError(Ort::GetApi().Run(*model_.session_, options_, input_names_.data(), inputs_.data(),
                                            inputs_.size(), output_names_.data(), outputs_.size(),
                                            outputs_.data()));
        for (size_t i = 0; i < outputs_.size(); ++i)
          if (!outputs[i].data)
            adopt_output(Ort::Value(outputs_[i]), model_.outputs_[i], model_.session_, outputs[i]);
      } catch (const Ort::Exception& error) {
        return fail(ErrorCode::internal, "ONNX Runtime: {}", one_line(error.what()));
      }
      return {};
    }

    void set_interrupted(bool interrupted) override {
      interrupted ? options_.SetTerminate() : options_.UnsetTerminate();
    }

   private:
    const OnnxModel& model_;
    Ort::MemoryInfo where_ = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
    Ort::RunOptions options_;
    std::vector<const char*> input_names_, output_names_;
    std::vector<ValueCache> input_caches_, output_caches_;
    std::vector<const OrtValue*> inputs_;
    std::vector<OrtValue*> outputs_;
  };

  std::shared_ptr<Ort::Session> session_;
  std::vector<Port> inputs_, outputs_;
  ModelSignature signature_;
  unsigned requests_;
  std::vector<std::string> notes_;
};

Result<Port> describe(const Ort::TypeInfo& type, std::string name) {
  if (type.GetONNXType() != ONNX_TYPE_TENSOR)
    return fail(ErrorCode::unsupported, "'{}' is not a tensor but a sequence or map", name);
  const auto tensor = type.GetTensorTypeAndShapeInfo();
  const auto element = from_onnx(tensor.GetElementType());
  if (!element) return fail(ErrorCode::unsupported, "'{}' holds neither numbers nor booleans", name);
  const std::vector<int64_t> dims = tensor.GetShape();
  if (dims.size() > Shape::max_rank)
    return fail(ErrorCode::unsupported, "'{}' has {} axes; at most {} are supported", name, dims.size(),
                Shape::max_rank);

  Port port{.name = std::move(name), .info = {}, .rank = dims.size(), .symbols = {}};
  port.info.type = *element;
  port.info.shape = dims.empty() ? Shape{1} : Shape(dims);
  port.info.name = port.name;
  std::vector<const char*> symbols(dims.size(), "");
  if (!dims.empty()) tensor.GetSymbolicDimensions(symbols.data(), symbols.size());
  for (const char* symbol : symbols) port.symbols.emplace_back(symbol ? symbol : "");
  return port;
}

struct Ports {
  std::vector<Port> inputs, outputs;
};

Result<Ports> describe(const Ort::Session& session, const std::vector<std::string>& wanted) {
  Ort::AllocatorWithDefaultOptions allocator;
  Ports ports;
  for (size_t i = 0; i < session.GetInputCount(); ++i) {
    auto port = describe(session.GetInputTypeInfo(i), session.GetInputNameAllocated(i, allocator).get());
    if (!port) return fail(port.error().code, "its input {}", port.error().message);
    ports.inputs.push_back(*std::move(port));
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < session.GetOutputCount(); ++i)
    names.emplace_back(session.GetOutputNameAllocated(i, allocator).get());
  for (const std::string& name : wanted.empty() ? names : wanted) {
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) {
      std::string all;
      for (const std::string& n : names) all += (all.empty() ? "" : ", ") + n;
      return fail(ErrorCode::not_found, "it has no output '{}'; there are: {}", name, all);
    }
    auto port = describe(session.GetOutputTypeInfo(size_t(found - names.begin())), name);
    if (!port) return fail(port.error().code, "its output {}", port.error().message);
    ports.outputs.push_back(*std::move(port));
  }
  return ports;
}

// Fixes the free axes of the inputs as wanted, and gives the values of those that have names: knowing them,
// the library plans its memory once and folds away what follows from them.
Result<std::map<std::string, int64_t>> fix_axes(std::vector<Port>& inputs, const std::vector<Shape>& wanted,
                                                bool free_batch) {
  std::map<std::string, int64_t> symbols;
  if (wanted.size() > inputs.size())
    return fail(ErrorCode::invalid_argument, "input-shape names {} inputs, the model has {}", wanted.size(),
                inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    Port& port = inputs[i];
    Shape& shape = port.info.shape;
    const Shape original = shape;
    if (i < wanted.size()) {
      bool fits = wanted[i].rank() == shape.rank();
      for (size_t axis = 0; fits && axis < shape.rank(); ++axis) {
        fits = shape[axis] < 0 || wanted[i][axis] < 0 || shape[axis] == wanted[i][axis];
        if (shape[axis] < 0) shape[axis] = wanted[i][axis];
      }
      if (!fits)
        return fail(ErrorCode::invalid_argument, "input-shape {} does not fit its input '{}', which is {}",
                    wanted[i].to_string(), port.name, original.to_string());
    }
    if (shape.rank() > 1 && shape[0] < 0 && !free_batch) shape[0] = 1;  // the batch
    for (size_t axis = 0; axis < port.symbols.size(); ++axis)
      if (original[axis] < 0 && shape[axis] > 0 && !port.symbols[axis].empty())
        symbols.emplace(port.symbols[axis], shape[axis]);
  }
  // An axis of the same name has the same size.
  for (Port& port : inputs)
    for (size_t axis = 0; axis < port.symbols.size(); ++axis)
      if (const auto known = symbols.find(port.symbols[axis]);
          port.info.shape[axis] < 0 && known != symbols.end())
        port.info.shape[axis] = known->second;
  return symbols;
}

ModelSignature make_signature(const Ort::Session& session, const Ports& ports) {
  ModelSignature signature;
  for (const Port& port : ports.inputs) {
    signature.inputs.push_back(port.info);
    signature.inputs.back().layout = layout_of(port.info.shape);
  }
  for (const Port& port : ports.outputs) signature.outputs.push_back(port.info);
  Ort::AllocatorWithDefaultOptions allocator;
  const Ort::ModelMetadata metadata = session.GetModelMetadata();
  signature.producer = metadata.GetProducerNameAllocated(allocator).get();
  for (const auto& key : metadata.GetCustomMetadataMapKeysAllocated(allocator)) {
    const auto value = metadata.LookupCustomMetadataMapAllocated(key.get(), allocator);
    signature.metadata[key.get()] = value ? value.get() : "";
  }
  return signature;
}

}  // namespace

void adopt_output(Ort::Value value, const OnnxPort& port, std::shared_ptr<Ort::Session> session,
                  Binding& output) {
  const std::vector<int64_t> dims = value.GetTensorTypeAndShapeInfo().GetShape();
  output.shape = dims.empty() ? Shape{1} : Shape(dims);
  output.data = value.GetTensorMutableRawData();
  const size_t size = size_t(output.shape.elements()) * size_of(port.info.type);
  output.memory = make_ref<OnnxMemory>(std::move(value), size, std::move(session));
}

Result<std::unique_ptr<LoadedModel>> load_onnx_model(const OnnxLibrary& library,
                                                     const std::filesystem::path& path,
                                                     const LoadOptions& wanted, Ort::SessionOptions& options,
                                                     const LoadedThreads& threads,
                                                     std::optional<OnnxCuda> cuda,
                                                     std::vector<std::string> notes) {
  const auto in_file = [&](Error error) {
    error.message = path.string() + ": " + error.message;
    return std::unexpected(std::move(error));
  };
  try {
    auto session = std::make_shared<Ort::Session>(*library.env, path.c_str(), options);
    auto ports = describe(*session, wanted.outputs);
    if (!ports) return in_file(ports.error());
    const auto symbols = fix_axes(ports->inputs, wanted.input_shapes, wanted.free_batch);
    if (!symbols) return in_file(symbols.error());
    if (!symbols->empty()) {
      for (const auto& [name, size] : *symbols)
        Ort::ThrowOnError(Ort::GetApi().AddFreeDimensionOverrideByName(options, name.c_str(), size));
      session = std::make_shared<Ort::Session>(*library.env, path.c_str(), options);
      // The library may now know the sizes of the outputs as well.
      const auto again = describe(*session, wanted.outputs);
      if (!again) return in_file(again.error());
      ports->outputs = again->outputs;
    }
    ModelSignature signature = make_signature(*session, *ports);
    if (cuda) {
      session = nullptr;
      return load_onnx_cuda_model(library, path, options, *std::move(cuda), std::move(ports->inputs),
                                  std::move(ports->outputs), std::move(signature), std::move(notes));
    }
    return std::make_unique<OnnxModel>(std::move(session), std::move(ports->inputs),
                                       std::move(ports->outputs), std::move(signature), threads.requests,
                                       std::move(notes));
  } catch (const Ort::Exception& error) {
    switch (error.GetOrtErrorCode()) {
      case ORT_INVALID_PROTOBUF:
        return fail(ErrorCode::corrupt,
                    "{}: not a complete ONNX model; fetch or export it again (ONNX Runtime {}: {})",
                    path.string(), library.info.version, one_line(error.what()));
      case ORT_NO_SUCHFILE:
        return fail(ErrorCode::not_found, "{}: a file of the model is missing (ONNX Runtime {}: {})",
                    path.string(), library.info.version, one_line(error.what()));
      default:
        return fail(ErrorCode::unsupported, "{}: ONNX Runtime {} cannot load this model: {}", path.string(),
                    library.info.version, one_line(error.what()));
    }
  }
}

}  // namespace sightglass
