#include "sightglass/model/onnx/onnx_cuda.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <shared_mutex>

#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/cuda/cuda_stream.h"
#include "sightglass/model/onnx/onnx_tensorrt.h"
#include "sightglass/model/onnx/onnx_types.h"

namespace sightglass {
namespace {

constexpr const char* graph_option = "gpu_graph_id";  // of a run; -1: neither recorded nor replayed
// The provider first runs as usual, then records; once more, so that the recording has been played.
constexpr int recording_runs = 3;
constexpr std::chrono::seconds recording_wait{2};  // for those who allocate

size_t bytes_of(const OnnxPort& port, const Shape& shape) {
  return size_t(shape.elements()) * size_of(port.info.type);
}

uint64_t address_of_block(const MemoryRef& block) {
  return block ? static_cast<const CudaMemory&>(*block).address() : 0;
}

Error to_error(const Ort::Exception& error) {
  const std::string text = one_line(error.what());
  const auto says = [&](std::string_view words) { return text.find(words) != text.npos; };
  if (says("out of memory") || says("Failed to allocate memory") || says("Available memory of") ||
      says("CUDNN_STATUS_ALLOC_FAILED"))
    return {ErrorCode::exhausted,
            "the GPU has not enough free memory; lower batch-size, run fewer models on it, or choose "
            "another device (ONNX Runtime: " +
                text + ")",
            {},
            {}};
  return {ErrorCode::internal, "ONNX Runtime: " + text, {}, {}};
}

// A session and the stream that all its work goes into, which others of the same request may share.
struct DeviceSession {
  std::shared_ptr<CudaStream> stream;
  std::unique_ptr<Ort::Session> session;
};

class OnnxCudaModel final : public LoadedModel {
 public:
  OnnxCudaModel(const OnnxLibrary& library, std::filesystem::path path, const Ort::SessionOptions& options,
                OnnxCuda cuda, std::vector<OnnxPort> inputs, std::vector<OnnxPort> outputs,
                ModelSignature signature, std::vector<std::string> notes)
      : library_(library),
        path_(std::move(path)),
        options_(options.Clone()),
        cuda_(std::move(cuda)),
        inputs_(std::move(inputs)),
        outputs_(std::move(outputs)),
        signature_(std::move(signature)),
        notes_(std::move(notes)) {}

  // The first session: whether there can be any.
  Status start() {
    auto first = take_session();
    if (!first) return forward_error(first);
    give_back(*std::move(first));
    return {};
  }

  // Unless the user says cuda.enable_cuda_graph=0.
  bool records() const {
    const auto last = std::ranges::find(cuda_.provider.rbegin(), cuda_.provider.rend(), "enable_cuda_graph",
                                        &std::pair<std::string, std::string>::first);
    return last == cuda_.provider.rend() || last->second != "0";
  }

  const ModelSignature& signature() const override { return signature_; }
  std::unique_ptr<ModelRequest> request() override;
  unsigned parallel_requests() const override { return 2; }  // the second one hides the copies
  ContextRef device() const override { return cuda_.context; }
  std::vector<std::string> notes() const override { return notes_; }

 private:
  class Request;

  // One that runs any shapes.
  Result<std::shared_ptr<DeviceSession>> take_session() {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        auto session = std::move(free_.back());
        free_.pop_back();
        return session;
      }
    }
    auto stream = CudaStream::make(cuda_.context);
    if (!stream) return forward_error(stream);
    return make_session(*std::move(stream), false);
  }
  void give_back(std::shared_ptr<DeviceSession> session) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(session));
  }

  // With graphs it fails where the provider does not take the whole model.
  Result<std::shared_ptr<DeviceSession>> make_session(std::shared_ptr<CudaStream> stream, bool has_graphs) {
    auto made = std::make_shared<DeviceSession>();
    made->stream = std::move(stream);
    try {
      Ort::SessionOptions options = options_.Clone();
      if (Status added = add_cuda_provider(options, cuda_, made->stream->get(), has_graphs); !added)
        return forward_error(added);
      const std::shared_lock allocates(cuda_allocations());
      made->session = std::make_unique<Ort::Session>(*library_.env, path_.c_str(), options);
    } catch (const Ort::Exception& error) {
      Error reason = to_error(error);
      reason.message = path_.string() + ": " + reason.message;
      return std::unexpected(std::move(reason));
    }
    return made;
  }

  const OnnxLibrary& library_;
  const std::filesystem::path path_;
  const Ort::SessionOptions options_;
  const OnnxCuda cuda_;
  const std::vector<OnnxPort> inputs_, outputs_;
  const ModelSignature signature_;
  const std::vector<std::string> notes_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<DeviceSession>> free_;
};

class OnnxCudaModel::Request final : public ModelRequest {
 public:
  Request(OnnxCudaModel& model, Result<std::shared_ptr<DeviceSession>> session)
      : model_(model), input_blocks_(model.inputs_.size()), output_blocks_(model.outputs_.size()) {
    if (session)
      session_ = *std::move(session);
    else
      missing_ = std::move(session.error());
  }
  ~Request() override {
    bound_.clear();
    if (session_) model_.give_back(std::move(session_));
  }

  CudaStream* stream() override { return session_ ? session_->stream.get() : nullptr; }

  Result<uint64_t> place(size_t input, const Shape& shape) override {
    if (!session_) return std::unexpected(missing_);
    return place_in(input_blocks_[input], bytes_of(model_.inputs_[input], shape));
  }

  // What is recorded stays valid only as long as its session runs nothing else: nodes keep buffers by the
  // shapes of the last run. So each has a session of its own.
  Status prepare(std::span<const Shape> inputs, std::span<const Shape> outputs) override {
    if (!session_) return std::unexpected(missing_);
    if (!model_.records()) return {};
    if (Status made = make_places(inputs, outputs); !made) return made;
    // Recording fails when others allocate on the device meanwhile, as decoders that start do, which cannot
    // all be held back.
    Status status;
    for (int attempt = 0; attempt < 2; ++attempt) {
      auto session = model_.make_session(session_->stream, true);
      if (!session) return forward_error(session);
      auto bound = bind(*session, inputs, outputs, true);
      if (!bound) return forward_error(bound);
      status = record(**bound);
      if (!status && status.error().code == ErrorCode::unavailable) break;  // the same again, and a long wait
      if (!status) continue;
      bound_.push_back(*std::move(bound));
      break;
    }
    return status;
  }

  Status run(std::span<const Binding> inputs, std::span<Binding> outputs) override {
    if (!session_) return std::unexpected(missing_);
    shapes_.clear();
    for (size_t i = 0; i < inputs.size(); ++i) {
      const size_t bytes = bytes_of(model_.inputs_[i], inputs[i].shape);
      shapes_.push_back(inputs[i].shape);
      if (inputs[i].is_placed) continue;
      auto to = place(i, inputs[i].shape);
      Status copied = to ? stream()->copy(*to, address_of(inputs[i].data), bytes) : forward_error(to);
      if (copied) continue;
      (void)stream()->finish();  // what is copied already is the caller's again
      return copied;
    }
    const bool known = std::ranges::all_of(outputs, [](const Binding& output) { return output.data; });
    const Status status = known ? run_bound(outputs) : run_once(outputs);
    if (!status) (void)stream()->finish();  // the inputs are the caller's again
    return status;
  }

  void set_interrupted(bool interrupted) override { is_interrupted_ = interrupted; }

 private:
  // Runs of these shapes: where their inputs and outputs lie, and what runs them.
  struct Bound {
    std::shared_ptr<DeviceSession> session;
    std::vector<Shape> inputs, outputs;
    bool is_recorded = false;
    Ort::IoBinding binding{nullptr};
    Ort::RunOptions options;
  };
  static constexpr size_t most_bound = 32;

  // Grows a block where it has to. What was recorded with the old one is forgotten.
  Result<uint64_t> place_in(MemoryRef& block, size_t bytes) {
    if (block && block->size() >= bytes) return address_of_block(block);
    auto made = allocate_cuda(model_.cuda_.context, std::max<size_t>(bytes, 1));
    if (!made) return forward_error(made);
    // Lanes of a batch that hold no sample are computed as well, from something finite.
    if (Status filled = stream()->fill(address_of_block(*made), std::byte(0), bytes); !filled)
      return forward_error(filled);
    bound_.clear();
    block = *std::move(made);
    return address_of_block(block);
  }

  Ort::Value value_at(uint64_t address, const OnnxPort& port, const Shape& shape) const {
    return Ort::Value::CreateTensor(where_, reinterpret_cast<void*>(address), bytes_of(port, shape),
                                    shape.begin(), std::min(shape.rank(), port.rank),
                                    to_onnx(port.info.type));
  }

  // All of them first: one that grows takes away what is bound.
  Status make_places(std::span<const Shape> inputs, std::span<const Shape> outputs) {
    for (size_t i = 0; i < inputs.size(); ++i)
      if (auto there = place(i, inputs[i]); !there) return forward_error(there);
    for (size_t i = 0; i < outputs.size(); ++i)
      if (auto there = place_in(output_blocks_[i], bytes_of(model_.outputs_[i], outputs[i])); !there)
        return forward_error(there);
    return {};
  }

  Result<Bound*> bound_for(std::span<const Shape> inputs, std::span<const Shape> outputs) {
    for (const auto& known : bound_)
      if (std::ranges::equal(known->inputs, inputs) && std::ranges::equal(known->outputs, outputs))
        return known.get();
    if (Status made = make_places(inputs, outputs); !made) return forward_error(made);
    auto bound = bind(session_, inputs, outputs, false);
    if (!bound) return forward_error(bound);
    if (bound_.size() >= most_bound) std::erase_if(bound_, [](const auto& one) { return !one->is_recorded; });
    return bound_.emplace_back(*std::move(bound)).get();
  }

  Result<std::unique_ptr<Bound>> bind(const std::shared_ptr<DeviceSession>& session,
                                      std::span<const Shape> inputs, std::span<const Shape> outputs,
                                      bool records) {
    try {
      auto bound = std::make_unique<Bound>();
      bound->session = session;
      bound->inputs.assign(inputs.begin(), inputs.end());
      bound->outputs.assign(outputs.begin(), outputs.end());
      bound->binding = Ort::IoBinding(*session->session);
      for (size_t i = 0; i < inputs.size(); ++i)
        bound->binding.BindInput(model_.inputs_[i].name.c_str(),
                                 value_at(address_of_block(input_blocks_[i]), model_.inputs_[i], inputs[i]));
      for (size_t i = 0; i < outputs.size(); ++i)
        bound->binding.BindOutput(
            model_.outputs_[i].name.c_str(),
            value_at(address_of_block(output_blocks_[i]), model_.outputs_[i], outputs[i]));
      set_options(bound->options, records);
      return bound;
    } catch (const Ort::Exception& error) {
      return std::unexpected(to_error(error));
    }
  }

  static void set_options(Ort::RunOptions& options, bool records) {
    options.AddConfigEntry(graph_option, records ? "1" : "-1");
    // Who runs waits for the stream, once for the run and the copies behind it.
    options.AddConfigEntry("disable_synchronize_execution_providers", "1");
  }

  Status record(Bound& bound) {
    try {
      // What takes seconds, the search for the fastest convolutions and getting memory, without a recording,
      // so that others are held up by what is left only.
      Ort::RunOptions warm;
      set_options(warm, false);
      const std::shared_lock allocates(cuda_allocations());
      bound.session->session->Run(warm, bound.binding);
      if (const Status finished = stream()->finish(); !finished) return finished;
    } catch (const Ort::Exception& error) {
      (void)stream()->finish();
      return std::unexpected(to_error(error));
    }
    // Another model that is being loaded may hold it for minutes, and who waits here holds up everybody.
    const std::unique_lock nobody_allocates(cuda_allocations(), recording_wait);
    if (!nobody_allocates)
      return fail(ErrorCode::unavailable,
                  "the device is in use by what allocates on it, such as a model that is loaded");
    try {
      for (int i = 0; i < recording_runs; ++i) bound.session->session->Run(bound.options, bound.binding);
    } catch (const Ort::Exception& error) {
      (void)stream()->finish();
      return std::unexpected(to_error(error));
    }
    const Status finished = stream()->finish();
    bound.is_recorded = finished.has_value();
    return finished;
  }

  Status run_bound(std::span<Binding> outputs) {
    output_shapes_.clear();
    for (const Binding& output : outputs) output_shapes_.push_back(output.shape);
    auto bound = bound_for(shapes_, output_shapes_);
    if (!bound) return forward_error(bound);
    if (is_interrupted_) return fail(ErrorCode::cancelled, "cancelled");
    try {
      std::shared_lock allocates(cuda_allocations(), std::defer_lock);
      if (!(*bound)->is_recorded) allocates.lock();
      (*bound)->session->session->Run((*bound)->options, (*bound)->binding);
    } catch (const Ort::Exception& error) {
      return std::unexpected(to_error(error));
    }
    Status status;
    for (size_t i = 0; i < outputs.size() && status; ++i)
      status = stream()->copy(address_of(outputs[i].data), address_of_block(output_blocks_[i]),
                              bytes_of(model_.outputs_[i], outputs[i].shape));
    const Status finished = stream()->finish();
    return status ? finished : status;
  }

  // Outputs of sizes that nobody knows before.
  Status run_once(std::span<Binding> outputs) {
    try {
      Ort::IoBinding binding(*session_->session);
      for (size_t i = 0; i < shapes_.size(); ++i)
        binding.BindInput(model_.inputs_[i].name.c_str(),
                          value_at(address_of_block(input_blocks_[i]), model_.inputs_[i], shapes_[i]));
      const Ort::MemoryInfo cpu = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
      for (const OnnxPort& port : model_.outputs_) binding.BindOutput(port.name.c_str(), cpu);
      Ort::RunOptions options;
      options.AddConfigEntry(graph_option, "-1");
      const std::shared_lock allocates(cuda_allocations());
      session_->session->Run(options, binding);
      std::vector<Ort::Value> values = binding.GetOutputValues();
      for (size_t i = 0; i < outputs.size(); ++i)
        adopt_output(std::move(values[i]), model_.outputs_[i],
                     std::shared_ptr<Ort::Session>(session_, session_->session.get()), outputs[i]);
    } catch (const Ort::Exception& error) {
      return std::unexpected(to_error(error));
    }
    return {};
  }

  OnnxCudaModel& model_;
  const Ort::MemoryInfo where_{"Cuda", OrtDeviceAllocator, model_.cuda_.index, OrtMemTypeDefault};
  std::shared_ptr<DeviceSession> session_;
  Error missing_;  // why there is no session
  std::vector<MemoryRef> input_blocks_, output_blocks_;
  std::vector<std::unique_ptr<Bound>> bound_;
  std::vector<Shape> shapes_, output_shapes_;  // of the run; kept for their capacity
  std::atomic<bool> is_interrupted_ = false;
};

std::unique_ptr<ModelRequest> OnnxCudaModel::request() {
  return std::make_unique<Request>(*this, take_session());
}

}  // namespace

Status add_cuda_provider(Ort::SessionOptions& options, const OnnxCuda& cuda, CUstream_st* stream,
                         bool has_graphs) {
  if (!cuda.tensorrt.empty())
    if (Status added = add_tensorrt_provider(options, cuda.tensorrt, cuda.index, stream, has_graphs); !added)
      return added;
  std::vector<std::pair<std::string, std::string>> settings = {{"device_id", std::to_string(cuda.index)},
                                                               {"cudnn_conv_algo_search", "EXHAUSTIVE"},
                                                               {"enable_cuda_graph", has_graphs ? "1" : "0"}};
  for (const auto& [name, value] : cuda.provider) {
    if (name == "enable_cuda_graph" && !has_graphs) continue;
    std::erase_if(settings, [&](const auto& setting) { return setting.first == name; });
    settings.emplace_back(name, value);
  }
  std::vector<const char*> names, values;
  for (const auto& [name, value] : settings) names.push_back(name.c_str()), values.push_back(value.c_str());
  const OrtApi& api = Ort::GetApi();
  OrtCUDAProviderOptionsV2* provider = nullptr;
  Status status;
  try {
    Ort::ThrowOnError(api.CreateCUDAProviderOptions(&provider));
    Ort::ThrowOnError(api.UpdateCUDAProviderOptions(provider, names.data(), values.data(), names.size()));
    if (stream)
      Ort::ThrowOnError(api.UpdateCUDAProviderOptionsWithValue(provider, "user_compute_stream", stream));
    options.AppendExecutionProvider_CUDA_V2(*provider);
  } catch (const Ort::Exception& error) {
    status = fail(ErrorCode::unavailable, "{}", one_line(error.what()));
  }
  if (provider) api.ReleaseCUDAProviderOptions(provider);
  return status;
}

Result<std::unique_ptr<LoadedModel>> load_onnx_cuda_model(
    const OnnxLibrary& library, const std::filesystem::path& path, const Ort::SessionOptions& options,
    OnnxCuda cuda, std::vector<OnnxPort> inputs, std::vector<OnnxPort> outputs, ModelSignature signature,
    std::vector<std::string> notes) {
  // Tensor cores take half precision by rows of channels; converting once is cheaper than in every node.
  if (std::ranges::any_of(inputs, [](const OnnxPort& port) { return port.info.type == DataType::f16; }))
    cuda.provider.insert(cuda.provider.begin(), {"prefer_nhwc", "1"});
  auto model = std::make_unique<OnnxCudaModel>(library, path, options, std::move(cuda), std::move(inputs),
                                               std::move(outputs), std::move(signature), std::move(notes));
  if (Status started = model->start(); !started) return forward_error(started);
  return model;
}

}  // namespace sightglass
