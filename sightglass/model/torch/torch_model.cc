#include "sightglass/model/torch/torch_model.h"

#include <ATen/Parallel.h>
#include <torch/script.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "sightglass/memory/mapping.h"
#include "sightglass/model/torch/torch_outputs.h"
#include "sightglass/model/torch/torch_types.h"

namespace sightglass {
namespace {

// Sides to try where the model leaves them open; small ones are fast, and classifiers want at least 32 or so.
constexpr int64_t sides_to_try[] = {64, 224, 32, 256, 320, 640, 28, 16};

// An output that is handed on as it is.
class OutputMemory final : public Memory {
 public:
  OutputMemory(at::Tensor tensor, size_t size)
      : Memory(MemoryKind::system, size), tensor_(std::move(tensor)) {}
  Result<std::byte*> map(Access) override { return static_cast<std::byte*>(tensor_.data_ptr()); }
  void unmap(Access) override {}

 private:
  at::Tensor tensor_;
};

// Both OpenMP and the libraries below keep the number per thread.
void use_threads(unsigned count) {
  thread_local unsigned in_use = 0;
  if (std::exchange(in_use, count) != count) at::set_num_threads(int(count));
}

struct Network {
  torch::jit::Module module;
  at::Device device;
  unsigned threads;
};

Result<std::vector<NamedTensor>> run(const Network& network, std::vector<c10::IValue> inputs) {
  use_threads(network.threads);
  const c10::InferenceMode inference;
  try {
    auto module = network.module;  // a handle; forward() is not const
    return named_outputs(module.forward(std::move(inputs)));
  } catch (const std::exception& error) {
    return fail(ErrorCode::internal, "libtorch: {}", torch_message(error));
  }
}

Shape shape_of(const at::Tensor& tensor) {
  if (tensor.dim() == 0) return {1};
  return Shape(std::span(tensor.sizes().data(), tensor.sizes().size()));
}

// ---- what the file says of the inputs

Result<std::vector<TensorInfo>> describe_inputs(const torch::jit::Module& module) {
  std::vector<TensorInfo> inputs;
  DataType type = DataType::f32;
  for (const auto& parameter : module.parameters())
    if (parameter.is_floating_point()) {
      type = from_torch(parameter.scalar_type()).value_or(DataType::f32);
      break;
    }
  const auto method = module.find_method("forward");
  if (!method) return fail(ErrorCode::unsupported, "it has no method forward()");
  const auto& arguments = method->function().getSchema().arguments();
  for (size_t i = 1; i < arguments.size(); ++i) {  // the first is self
    const auto& argument = arguments[i];
    if (argument.default_value()) break;  // left to itself, and so are all that follow
    if (!argument.type()->isSubtypeOf(*c10::TensorType::get()))
      return fail(ErrorCode::unsupported, "its input '{}' is a {}, not a tensor", argument.name(),
                  argument.type()->annotation_str());
    inputs.push_back(
        {.type = type, .shape = {}, .strides = {}, .layout = Layout::any, .name = argument.name()});
  }
  if (inputs.empty()) return fail(ErrorCode::unsupported, "it has no inputs");
  return inputs;
}

// The shape that the first layer with weights wants of what comes in at `value`; empty where none is found.
Shape wanted_by_layers(const torch::jit::Value* value, int depth = 0) {
  if (depth > 8) return {};
  for (const auto& use : value->uses()) {
    const std::string_view kind = use.user->kind().toQualString();
    if (kind.starts_with("aten::conv") || kind == "aten::_convolution" || kind == "aten::linear") {
      const auto weights = torch::jit::toIValue(use.user->inputs()[1]);
      if (!weights || !weights->isTensor()) return {};
      const auto sizes = weights->toTensor().sizes();
      if (kind == "aten::linear") return {1, sizes[1]};
      int64_t groups = 1;
      const size_t place = kind == "aten::_convolution" ? 8 : 6;
      if (use.user->inputs().size() > place)
        if (const auto given = torch::jit::toIValue(use.user->inputs()[place]); given && given->isInt())
          groups = given->toInt();
      Shape shape{1, sizes[1] * groups};
      for (size_t axis = 2; axis < sizes.size(); ++axis) shape.push_back(-1);
      return shape;
    }
    if (use.user->outputs().size() == 1 && use.offset == 0)
      if (auto shape = wanted_by_layers(use.user->output(), depth + 1); !shape.empty()) return shape;
  }
  return {};
}

// A square or [height, width] that Ultralytics says the model was exported for.
void use_exported_size(const std::map<std::string, std::string>& metadata, Shape& shape) {
  const auto found = metadata.find("imgsz");
  if (found == metadata.end() || shape.rank() != 4) return;
  int height = 0, width = 0;
  if (std::sscanf(found->second.c_str(), "[%d,%d]", &height, &width) == 2 && height > 0 && width > 0) {
    if (shape[2] < 0) shape[2] = height;
    if (shape[3] < 0) shape[3] = width;
  }
}

Status fix_axes(std::vector<TensorInfo>& inputs, const std::vector<Shape>& wanted) {
  if (wanted.size() > inputs.size())
    return fail(ErrorCode::invalid_argument, "input-shape names {} inputs, the model has {}", wanted.size(),
                inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    Shape& shape = inputs[i].shape;
    if (i < wanted.size()) {
      bool fits = shape.empty() || wanted[i].rank() == shape.rank();
      for (size_t axis = 0; fits && axis < shape.rank(); ++axis)
        fits = axis == 0 || shape[axis] < 0 || wanted[i][axis] < 0 || shape[axis] == wanted[i][axis];
      if (!fits)
        return fail(ErrorCode::invalid_argument, "input-shape {} does not fit its input '{}', which is {}",
                    wanted[i].to_string(), inputs[i].name, shape.to_string());
      const Shape known = shape;
      shape = wanted[i];
      for (size_t axis = 0; axis < known.rank(); ++axis)
        if (shape[axis] < 0) shape[axis] = known[axis];
    }
    if (shape.rank() > 1 && shape[0] < 0) shape[0] = 1;  // the batch
  }
  return {};
}

// ---- what running it says

at::Tensor trial_input(const TensorInfo& info, int64_t side, bool noise, at::Device device) {
  std::vector<int64_t> sizes;
  for (int64_t axis : info.shape) sizes.push_back(axis < 0 ? side : axis);
  at::Tensor tensor = at::zeros(sizes, at::TensorOptions(to_torch(info.type)));
  if (noise && tensor.is_floating_point()) {
    tensor =
        (at::arange(tensor.numel(), at::kFloat) * 37).remainder(256).to(tensor.scalar_type()).reshape(sizes);
  }
  return tensor.to(device);
}

Result<std::vector<NamedTensor>> try_run(const Network& network, const std::vector<TensorInfo>& inputs,
                                         int64_t side, bool noise) {
  std::vector<c10::IValue> values;
  for (const TensorInfo& input : inputs) values.emplace_back(trial_input(input, side, noise, network.device));
  return run(network, std::move(values));
}

// The outputs; axes that differ between runs are free.
Result<std::vector<TensorInfo>> describe_outputs(const Network& network,
                                                 const std::vector<TensorInfo>& inputs) {
  const bool free = std::ranges::any_of(inputs, [](const TensorInfo& info) { return !info.shape.fixed(); });
  std::vector<TensorInfo> outputs;
  std::string reason;
  int runs = 0;
  const auto add = [&](const std::vector<NamedTensor>& made) -> Status {
    for (size_t i = 0; i < made.size(); ++i) {
      const Shape shape = shape_of(made[i].tensor);
      const auto type = from_torch(made[i].tensor.scalar_type());
      if (!type || made[i].tensor.layout() != at::kStrided)
        return fail(ErrorCode::unsupported, "its output '{}' holds {}, which is not supported", made[i].name,
                    c10::toString(made[i].tensor.scalar_type()));
      if (made[i].tensor.dim() > int64_t(Shape::max_rank))
        return fail(ErrorCode::unsupported, "its output '{}' has {} axes; at most {} are supported",
                    made[i].name, made[i].tensor.dim(), Shape::max_rank);
      if (runs == 0) outputs.push_back({.type = *type, .shape = shape, .name = made[i].name});
      Shape& known = outputs[i].shape;
      for (size_t axis = 0; axis < known.rank(); ++axis)
        if (shape.rank() != known.rank() || shape[axis] != known[axis] || shape[axis] == 0) known[axis] = -1;
    }
    ++runs;
    return {};
  };
  for (int64_t side : free ? std::span(sides_to_try) : std::span(sides_to_try).first(2)) {
    const auto made = try_run(network, inputs, side, runs > 0);
    if (!made) {
      if (made.error().code == ErrorCode::unsupported) return std::unexpected(made.error());
      if (reason.empty()) reason = made.error().message;
      continue;
    }
    if (runs > 0 && made->size() != outputs.size()) continue;
    if (auto status = add(*made); !status) return forward_error(status);
    if (runs == 2) break;
  }
  if (runs > 0) return outputs;
  return fail(ErrorCode::invalid_argument, "{}: {}",
              free
                  ? "the shape of its inputs is not known and could not be guessed; set input-shape, such as "
                    "224:224:3:1"
                  : "a trial run on zeros failed",
              reason);
}

class TorchModel final : public LoadedModel {
 public:
  TorchModel(Network network, ModelSignature signature, std::vector<size_t> chosen, size_t made,
             unsigned requests, std::vector<std::string> notes)
      : network_(std::move(network)),
        signature_(std::move(signature)),
        chosen_(std::move(chosen)),
        made_(made),
        requests_(requests),
        notes_(std::move(notes)) {}

  const ModelSignature& signature() const override { return signature_; }
  std::unique_ptr<ModelRequest> request() override { return std::make_unique<Request>(*this); }
  unsigned parallel_requests() const override { return requests_; }
  std::vector<std::string> notes() const override { return notes_; }

 private:
  class Request final : public ModelRequest {
   public:
    explicit Request(const TorchModel& model) : model_(model) {}

    Status run(std::span<const Binding> inputs, std::span<Binding> outputs) override {
      const c10::InferenceMode inference;
      std::vector<c10::IValue> values;
      values.reserve(inputs.size());
      for (size_t i = 0; i < inputs.size(); ++i) {
        const Shape& shape = inputs[i].shape;
        values.emplace_back(at::from_blob(inputs[i].data, c10::IntArrayRef(shape.begin(), shape.end()),
                                          at::TensorOptions(to_torch(model_.signature_.inputs[i].type)))
                                .to(model_.network_.device));
      }
      auto made = sightglass::run(model_.network_, values);
      if (!made) return forward_error(made);
      if (made->size() != model_.made_)
        return fail(ErrorCode::internal, "the model returned {} tensors this time, not {}", made->size(),
                    model_.made_);
      for (size_t i = 0; i < outputs.size(); ++i)
        if (auto status = give((*made)[model_.chosen_[i]], model_.signature_.outputs[i], values, outputs[i]);
            !status)
          return status;
      return {};
    }

   private:
    static Status give(NamedTensor& made, const TensorInfo& info, const std::vector<c10::IValue>& inputs,
                       Binding& output) {
      if (made.tensor.scalar_type() != to_torch(info.type))
        return fail(ErrorCode::internal, "output '{}' came as {} this time, not as {}", info.name,
                    c10::toString(made.tensor.scalar_type()), to_string(info.type));
      at::Tensor tensor = made.tensor.to(at::kCPU).contiguous();
      const Shape shape = shape_of(tensor);
      const size_t bytes = size_t(tensor.numel()) * size_of(info.type);
      if (output.data) {
        if (shape != output.shape)
          return fail(ErrorCode::internal, "output '{}' came as {}, {} was expected", info.name,
                      shape.to_string(), output.shape.to_string());
        if (bytes) std::memcpy(output.data, tensor.data_ptr(), bytes);
        return {};
      }
      // A network that hands its input on must not hand on memory that is somebody else's.
      for (const c10::IValue& input : inputs)
        if (tensor.is_alias_of(input.toTensor())) tensor = tensor.clone();
      output.shape = shape;
      output.data = tensor.data_ptr();
      output.memory = make_ref<OutputMemory>(std::move(tensor), bytes);
      return {};
    }

    const TorchModel& model_;
  };

  Network network_;
  ModelSignature signature_;
  std::vector<size_t> chosen_;  // the wanted ones of what the model returns
  size_t made_;
  unsigned requests_;
  std::vector<std::string> notes_;
};

Result<std::vector<size_t>> choose(const std::vector<TensorInfo>& outputs,
                                   const std::vector<std::string>& wanted) {
  std::vector<size_t> chosen;
  if (wanted.empty())
    for (size_t i = 0; i < outputs.size(); ++i) chosen.push_back(i);
  for (const std::string& name : wanted) {
    const auto found = std::ranges::find(outputs, name, &TensorInfo::name);
    if (found == outputs.end()) {
      std::string all;
      for (const TensorInfo& info : outputs) all += (all.empty() ? "" : ", ") + info.name;
      return fail(ErrorCode::not_found, "it has no output '{}'; there are: {}", name, all);
    }
    chosen.push_back(size_t(found - outputs.begin()));
  }
  return chosen;
}

}  // namespace

std::string torch_message(const std::exception& error) {
  const auto* torch = dynamic_cast<const c10::Error*>(&error);
  std::string text = torch ? torch->what_without_backtrace() : error.what();
  // An error within the network comes as the trace of the script, the reason at its end.
  if (const size_t reason = text.rfind("RuntimeError: "); reason != text.npos)
    text = text.substr(reason + 14);
  const size_t end = text.find('\n');
  if (end != text.npos) text.resize(end);
  return text.empty() ? "no reason is given" : text;
}

Result<std::unique_ptr<LoadedModel>> load_torch_model(torch::jit::Module module,
                                                      const std::filesystem::path& path,
                                                      const LoadOptions& wanted, TorchSettings settings,
                                                      std::map<std::string, std::string> metadata) {
  const auto in_file = [&](Error error) {
    error.message = path.string() + ": " + error.message;
    return std::unexpected(std::move(error));
  };
  try {
    auto inputs = describe_inputs(module);
    if (!inputs) return in_file(inputs.error());
    // Weights become constants, which is faster and shows the shapes that the layers want.
    module = torch::jit::freeze(module);
    const auto graph = module.get_method("forward").graph();
    for (size_t i = 0; i < inputs->size() && i + 1 < graph->inputs().size(); ++i) {
      TensorInfo& input = (*inputs)[i];
      input.shape = wanted_by_layers(graph->inputs()[i + 1]);
      use_exported_size(metadata, input.shape);
      if (input.shape.empty() && i >= wanted.input_shapes.size()) input.shape = {1, 3, -1, -1};
    }
    if (auto fixed = fix_axes(*inputs, wanted.input_shapes); !fixed) return in_file(fixed.error());

    Network network{std::move(module), settings.device, settings.threads};
    auto outputs = describe_outputs(network, *inputs);
    if (!outputs) return in_file(outputs.error());
    auto chosen = choose(*outputs, wanted.outputs);
    if (!chosen) return in_file(chosen.error());
    ModelSignature signature;
    for (TensorInfo& input : *inputs) {
      input.layout = layout_of(input.shape);
      signature.inputs.push_back(std::move(input));
    }
    for (size_t index : *chosen) signature.outputs.push_back((*outputs)[index]);
    // The file does not fix a batch; whether its code does, the session finds by trying.
    if (wanted.free_batch) {
      for (auto* tensors : {&signature.inputs, &signature.outputs})
        for (TensorInfo& tensor : *tensors)
          if (tensor.shape.rank() > 1 && tensor.shape[0] == 1) tensor.shape[0] = -1;
    }
    signature.metadata = std::move(metadata);
    signature.producer = "TorchScript";
    return std::make_unique<TorchModel>(std::move(network), std::move(signature), *std::move(chosen),
                                        outputs->size(), settings.requests, std::move(settings.notes));
  } catch (const std::exception& error) {
    return fail(ErrorCode::unsupported, "{}: libtorch cannot prepare this model: {}", path.string(),
                torch_message(error));
  }
}

}  // namespace sightglass
