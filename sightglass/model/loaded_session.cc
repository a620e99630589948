#include "sightglass/model/loaded_session.h"

#include <pthread.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <thread>

#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory_pool.h"
#include "sightglass/model/gather.h"
#include "sightglass/model/request_queue.h"

namespace sightglass {
namespace {

// The model's shape with its free axes as offered; none when the two do not fit. Outer axes of 1 may be there
// or not.
std::optional<Shape> fitted(const Shape& model, const Shape& offered) {
  Shape result = model;
  const size_t common = std::min(model.rank(), offered.rank());
  for (size_t i = 1; i <= common; ++i) {
    int64_t& axis = result[model.rank() - i];
    const int64_t size = offered[offered.rank() - i];
    if (axis < 0)
      axis = size;
    else if (size >= 0 && axis != size)
      return {};
  }
  for (size_t i = 0; i < model.rank() - common; ++i) {
    if (result[i] < 0) result[i] = 1;
    if (result[i] != 1) return {};
  }
  for (size_t i = 0; i < offered.rank() - common; ++i)
    if (offered[i] != 1) return {};
  return result;
}

std::string describe(const TensorInfo& info) {
  return std::format("{} {}", to_string(info.type), info.shape.to_string());
}

bool dense(const Tensor& tensor) {
  int64_t step = int64_t(size_of(tensor.type));
  for (size_t axis = tensor.shape.rank(); axis-- > 0; step *= tensor.shape[axis])
    if (tensor.shape[axis] != 1 && tensor.strides[axis] != step) return false;
  return true;
}

// Fills a trial input. Noise only where no value can be out of range: integers other than bytes may be
// indices.
void fill_noise(std::byte* data, const TensorInfo& info, size_t bytes) {
  if (info.type == DataType::u8) {
    for (size_t i = 0; i < bytes; ++i) data[i] = std::byte(i * 37 + i / 251);
  } else if (info.type == DataType::f32) {
    auto* values = reinterpret_cast<float*>(data);
    for (size_t i = 0; i < bytes / sizeof(float); ++i) values[i] = float((i * 37 + i / 251) % 256);
  }
}

class RunningSession final : public Session, public std::enable_shared_from_this<RunningSession> {
 public:
  RunningSession(std::unique_ptr<LoadedModel> model, const LoadedSessionOptions& options)
      : model_(std::move(model)),
        name_(options.model),
        short_name_(std::filesystem::path(options.model).filename()),
        warmup_(options.warmup),
        worker_count_(options.workers ? options.workers : std::max(1u, model_->parallel_requests())),
        queue_(options.policy, options.requests ? options.requests : 2 * worker_count_,
               signature().inputs.size(), signature().outputs.size()),
        input_hop_(CopyLedger::process().hop(short_name_ + " input")) {}

  ~RunningSession() override {
    queue_.close();
    workers_.clear();
  }

  Status start() {
    std::vector<Shape> shapes;
    for (const TensorInfo& input : signature().inputs) shapes.push_back(input.shape);
    const bool open = std::ranges::any_of(shapes, [](const Shape& shape) { return !shape.fixed(); });
    if (!open)
      if (auto outputs = outputs_for(shapes); !outputs) return forward_error(outputs);
    for (unsigned i = 0; i < worker_count_; ++i)
      workers_.emplace_back([this, i] {
        pthread_setname_np(pthread_self(), std::format("sg-infer-{}", i).c_str());
        work();
      });
    return {};
  }

  const ModelSignature& signature() const override { return model_->signature(); }
  const std::string& model() const override { return name_; }
  Result<std::vector<TensorInfo>> outputs_for(std::span<const Shape> inputs) override;
  Result<std::unique_ptr<SessionStream>> open_stream(std::span<const TensorInfo> inputs) override;

 private:
  friend class Stream;
  friend class Worker;
  void work();
  Result<std::vector<TensorInfo>> try_run(const std::vector<Shape>& inputs);

  const std::unique_ptr<LoadedModel> model_;
  const std::string name_, short_name_;
  const unsigned warmup_, worker_count_;
  RequestQueue queue_;
  CopyLedger::Hop& input_hop_;

  std::mutex tried_mutex_;
  std::vector<std::pair<std::vector<Shape>, std::vector<TensorInfo>>> tried_;  // outputs by inputs

  std::vector<std::jthread> workers_;
};

// What one thread needs.
class Worker {
 public:
  explicit Worker(RunningSession& session)
      : session_(session),
        request_(session.model_->request()),
        mapped_(inputs().size()),
        bindings_(inputs().size()),
        scratch_(inputs().size()) {}

  Status run(RequestQueue::Request& request) {
    Status status = bind(request);
    if (status) {
      session_.queue_.begin(&request, *request_);
      status = request_->run(bindings_, request.outputs);
      if (session_.queue_.end(&request) && !status) status = fail(ErrorCode::cancelled, "cancelled");
    }
    for (Mapping& mapping : mapped_) mapping.reset();
    if (!status) status.error().message = session_.short_name_ + ": " + status.error().message;
    return status;
  }

 private:
  const std::vector<TensorInfo>& inputs() const { return session_.signature().inputs; }

  Status bind(const RequestQueue::Request& request) {
    for (size_t i = 0; i < bindings_.size(); ++i) {
      const Tensor& tensor = request.inputs[i];
      auto mapping = map(tensor, Access::read);
      if (!mapping) return forward_error(mapping);
      mapped_[i] = *std::move(mapping);
      const DataType type = inputs()[i].type;
      bindings_[i].shape = *fitted(inputs()[i].shape, tensor.shape);
      const size_t bytes = size_t(bindings_[i].shape.elements()) * size_of(type);
      if (tensor.type == type && dense(tensor)) {
        bindings_[i].data = mapped_[i].data();
        session_.input_hop_.shared(bytes);
        continue;
      }
      if (!scratch_[i] || scratch_[i]->size() < bytes) {
        auto block = allocate_memory(bytes);
        if (!block) return forward_error(block);
        scratch_[i] = *std::move(block);
      }
      gather(tensor, mapped_[i].data(), type, scratch_[i]->data());
      bindings_[i].data = scratch_[i]->data();
      session_.input_hop_.copied(bytes);
    }
    return {};
  }

  RunningSession& session_;
  std::unique_ptr<ModelRequest> request_;
  std::vector<Mapping> mapped_;
  std::vector<Binding> bindings_;
  std::vector<Ref<SystemMemory>> scratch_;
};

void RunningSession::work() {
  Worker worker(*this);
  while (RequestQueue::Request* request = queue_.take()) {
    const bool kept = request->kept;
    request->finish(worker.run(*request));
    if (!kept) queue_.release(request);
  }
}

class Stream final : public SessionStream {
 public:
  Stream(std::shared_ptr<RunningSession> session, std::span<const TensorInfo> inputs,
         std::vector<TensorInfo> outputs)
      : session_(std::move(session)), inputs_(inputs.begin(), inputs.end()), outputs_(std::move(outputs)) {
    for (const TensorInfo& input : inputs_) input_pools_.push_back(pool_for(input));
    for (const TensorInfo& output : outputs_) {
      output_pools_.push_back(pool_for(output));
      if (!output_pools_.back()) waits_ = true;
    }
    session_->queue_.join(member_);
  }
  ~Stream() override { session_->queue_.leave(member_); }

  const std::vector<TensorInfo>& outputs() const override { return outputs_; }
  Ref<MemoryPool> input_pool(size_t input) const override { return input_pools_[input]; }
  Status submit(std::span<const Tensor> inputs, Time pts, std::vector<Tensor>& outputs) override;
  void cancel() override { session_->queue_.cancel(member_); }
  void resume() override { session_->queue_.resume(member_); }

 private:
  static Ref<SystemMemoryPool> pool_for(const TensorInfo& info) {
    const int64_t elements = info.shape.elements();
    if (elements <= 0) return nullptr;
    return make_ref<SystemMemoryPool>(
        SystemMemoryPool::Options{.block_size = size_t(elements) * size_of(info.type)});
  }
  Status check(std::span<const Tensor> inputs) const;
  Ref<CompletionFence> closed_fence();
  Status collect(RequestQueue::Request& request, CompletionFence& done, std::vector<Tensor>& outputs);

  const std::shared_ptr<RunningSession> session_;
  const std::vector<TensorInfo> inputs_, outputs_;
  std::vector<Ref<SystemMemoryPool>> input_pools_, output_pools_;  // null: the size depends on the data
  bool waits_ = false;
  RequestQueue::Member member_;
  std::vector<Ref<CompletionFence>> fences_;
  size_t next_fence_ = 0;
};

Status Stream::check(std::span<const Tensor> inputs) const {
  if (inputs.size() != inputs_.size())
    return fail(ErrorCode::not_negotiated, "{} has {} inputs, {} tensors came", session_->short_name_,
                inputs_.size(), inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i].type != inputs_[i].type || !(inputs[i].shape == inputs_[i].shape))
      return fail(ErrorCode::not_negotiated, "{}: a tensor {} {} came where {} was agreed",
                  session_->short_name_, to_string(inputs[i].type), inputs[i].shape.to_string(),
                  describe(inputs_[i]));
  return {};
}

// One that nobody looks at any more, else a new one.
Ref<CompletionFence> Stream::closed_fence() {
  for (size_t i = 0; i < fences_.size(); ++i) {
    next_fence_ = (next_fence_ + 1) % fences_.size();
    if (!fences_[next_fence_]->unique()) continue;
    fences_[next_fence_]->reset();
    return fences_[next_fence_];
  }
  return fences_.emplace_back(make_ref<CompletionFence>());
}

Status Stream::submit(std::span<const Tensor> inputs, Time pts, std::vector<Tensor>& outputs) {
  if (Status fits = check(inputs); !fits) return fits;
  outputs.resize(outputs_.size());
  for (Tensor& output : outputs)
    output.memory = nullptr;  // so that their memory and fence may be used again at once
  RequestQueue::Request* request = session_->queue_.acquire(member_);
  if (!request) return fail(ErrorCode::cancelled, "cancelled");

  const Ref<CompletionFence> done = closed_fence();
  for (size_t i = 0; i < outputs.size(); ++i) {
    request->outputs[i] = {.data = nullptr, .shape = outputs_[i].shape, .memory = nullptr};
    if (!output_pools_[i]) continue;
    auto block = output_pools_[i]->acquire_block();
    if (!block) {
      request->fence = done;
      request->finish({});
      session_->queue_.release(request);
      return forward_error(block);
    }
    // The thread that waits here anyway needs no fence.
    if (!waits_) (*block)->set_fence(done);
    request->outputs[i].data = (*block)->data();
    request->memory[i] = *block;
    outputs[i] = tensor_in(*std::move(block), outputs_[i]);
  }
  std::ranges::copy(inputs, request->inputs.begin());
  request->fence = done;
  request->pts = pts;
  request->kept = waits_;
  session_->queue_.put(request);
  return waits_ ? collect(*request, *done, outputs) : Status{};
}

Status Stream::collect(RequestQueue::Request& request, CompletionFence& done, std::vector<Tensor>& outputs) {
  Status status = done.wait();
  for (size_t i = 0; i < outputs.size(); ++i) {
    Binding& made = request.outputs[i];
    if (status && made.memory)
      outputs[i] = tensor_in(std::move(made.memory),
                             {.type = outputs_[i].type, .shape = made.shape, .layout = outputs_[i].layout});
    made.memory = nullptr;
  }
  session_->queue_.release(&request);
  return status;
}

Result<std::unique_ptr<SessionStream>> RunningSession::open_stream(std::span<const TensorInfo> inputs) {
  const std::vector<TensorInfo>& wanted = signature().inputs;
  if (inputs.size() != wanted.size())
    return fail(ErrorCode::not_negotiated, "{} has {} inputs, {} tensors are offered", short_name_,
                wanted.size(), inputs.size());
  std::vector<Shape> shapes;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto shape = fitted(wanted[i].shape, inputs[i].shape);
    if (!inputs[i].shape.fixed() || !shape || !can_gather(inputs[i].type, wanted[i].type))
      return fail(ErrorCode::not_negotiated, "input '{}' of {} takes {}; {} is offered", wanted[i].name,
                  short_name_, describe(wanted[i]), describe(inputs[i]));
    shapes.push_back(*shape);
  }
  auto outputs = outputs_for(shapes);
  if (!outputs) return forward_error(outputs);
  return std::make_unique<Stream>(shared_from_this(), inputs, *std::move(outputs));
}

Result<std::vector<TensorInfo>> RunningSession::outputs_for(std::span<const Shape> inputs) {
  const std::vector<TensorInfo>& wanted = signature().inputs;
  if (inputs.size() != wanted.size())
    return fail(ErrorCode::not_negotiated, "{} has {} inputs, not {}", short_name_, wanted.size(),
                inputs.size());
  std::vector<Shape> shapes;
  bool fixed = true;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto shape = fitted(wanted[i].shape, inputs[i]);
    if (!shape)
      return fail(ErrorCode::not_negotiated, "input '{}' of {} is {}, not {}", wanted[i].name, short_name_,
                  wanted[i].shape.to_string(), inputs[i].to_string());
    shapes.push_back(*shape);
    fixed = fixed && shape->fixed();
  }
  if (!fixed) return signature().outputs;

  const std::lock_guard lock(tried_mutex_);
  for (const auto& [known, outputs] : tried_)
    if (known == shapes) return outputs;
  const bool declared =
      std::ranges::all_of(signature().outputs, [](const TensorInfo& info) { return info.shape.fixed(); });
  auto outputs = declared && warmup_ == 0 ? signature().outputs : try_run(shapes);
  if (outputs) tried_.emplace_back(std::move(shapes), *outputs);
  return outputs;
}

// What a model says of its outputs may be incomplete or wrong; what it does is right. Also its warm-up.
Result<std::vector<TensorInfo>> RunningSession::try_run(const std::vector<Shape>& shapes) {
  std::vector<Ref<SystemMemory>> memory;
  std::vector<Binding> inputs;
  for (size_t i = 0; i < shapes.size(); ++i) {
    const size_t bytes = size_t(shapes[i].elements()) * size_of(signature().inputs[i].type);
    auto block = allocate_memory(bytes);
    if (!block) return forward_error(block);
    std::memset((*block)->data(), 0, bytes);
    inputs.push_back({.data = (*block)->data(), .shape = shapes[i], .memory = nullptr});
    memory.push_back(*std::move(block));
  }
  const std::unique_ptr<ModelRequest> request = model_->request();
  std::vector<TensorInfo> outputs = signature().outputs;
  std::vector<Binding> made(outputs.size());
  const auto run = [&] {
    std::ranges::fill(made, Binding{});
    return request->run(inputs, made);
  };
  for (unsigned i = 0; i < std::max(1u, warmup_); ++i)
    if (const Status status = run(); !status)
      return fail(status.error().code, "{}: a trial run on zeros failed: {}", name_, status.error().message);

  bool depends = false;
  for (size_t i = 0; i < outputs.size(); ++i) {
    depends = depends || !outputs[i].shape.fixed();
    outputs[i].shape = made[i].shape;
  }
  if (!depends) return outputs;
  for (size_t i = 0; i < inputs.size(); ++i)
    fill_noise(memory[i]->data(), signature().inputs[i], memory[i]->size());
  const bool ran = run().has_value();
  for (size_t i = 0; i < outputs.size(); ++i) {
    Shape& shape = outputs[i].shape;
    const bool same_rank = ran && made[i].shape.rank() == shape.rank();
    // A list with nothing in it will have something in it on real pictures.
    for (size_t axis = 0; axis < shape.rank(); ++axis)
      if (shape[axis] == 0 || (same_rank && shape[axis] != made[i].shape[axis])) shape[axis] = -1;
  }
  return outputs;
}

}  // namespace

Result<std::shared_ptr<Session>> start_session(std::unique_ptr<LoadedModel> model,
                                               const LoadedSessionOptions& options) {
  auto session = std::make_shared<RunningSession>(std::move(model), options);
  if (Status started = session->start(); !started) return forward_error(started);
  return session;
}

}  // namespace sightglass
