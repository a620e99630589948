#include "sightglass/model/loaded_session.h"

#include <pthread.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <latch>
#include <mutex>
#include <thread>

#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/system/system_memory_pool.h"
#include "sightglass/model/gather.h"
#include "sightglass/model/session_forms.h"
#include "sightglass/model/session_results.h"
#include "sightglass/model/session_slots.h"
#include "sightglass/model/session_worker.h"

namespace sightglass {
namespace {

std::string describe(const TensorInfo& info) {
  return std::format("{} {}", to_string(info.type), info.shape.to_string());
}

class RunningSession final : public Session, public std::enable_shared_from_this<RunningSession> {
 public:
  RunningSession(std::unique_ptr<LoadedModel> model, const LoadedSessionOptions& options)
      : model_(std::move(model)),
        options_(options),
        short_name_(std::filesystem::path(options.model).filename()),
        worker_count_(options.workers ? options.workers : std::max(1u, model_->parallel_requests())),
        enough_workers_(worker_count_),
        forms_(*model_, {.name = options.model,
                         .short_name = short_name_,
                         .batch = options.batch_size,
                         .warmup = options.warmup,
                         .constants = options.constants}),
        input_hop_(CopyLedger::process().hop(short_name_ + " input")) {}

  ~RunningSession() override {
    if (queue_) queue_->close();
    workers_.clear();
  }

  Status start() {
    if (Status described = forms_.init(); !described) return described;
    // Single samples are run faster than the host does what is between two runs: YOLOX-Nano makes 1,379
    // frames/s on an H100 with two workers and 1,781 with three.
    if (model_->device() && forms_.batch() == 1 && !options_.workers) ++worker_count_;
    const size_t requests = options_.requests ? options_.requests : 2 * worker_count_;
    queue_ = make_ref<RequestQueue>(RequestQueue::Options{.policy = options_.policy,
                                                          .limit = requests * forms_.batch(),
                                                          .inputs = signature().inputs.size(),
                                                          .outputs = signature().outputs.size(),
                                                          .batches = forms_.batch() > 1,
                                                          .timeout = options_.batch_timeout,
                                                          .clock = options_.clock,
                                                          .max_per_stream = options_.max_per_stream});
    if (model_->device()) return start_on_device();
    start_on_cpu();
    return {};
  }

  void start_on_cpu() {
    std::vector<RequestQueue::Runner*> spares;
    for (unsigned i = 0; i < worker_count_; ++i)
      spares.push_back(spares_
                           .emplace_back(std::make_unique<SessionWorker>(*model_, forms_, *queue_, input_hop_,
                                                                         short_name_))
                           .get());
    queue_->set_spare_runners(std::move(spares));
    for (unsigned i = 0; i < worker_count_; ++i)
      workers_.emplace_back([this, i] {
        name_thread(i);
        SessionWorker(*model_, forms_, *queue_, input_hop_, short_name_).work();
      });
  }

  // What is recorded on a device belongs to its thread, so nobody helps, and streams start when all is done.
  // Fewer workers than wanted are enough.
  Status start_on_device() {
    std::latch prepared(ptrdiff_t{worker_count_});
    std::mutex mutex;  // of what follows and of notes_, and of the device: one after the other
    unsigned working = 0;
    Status missing;
    for (unsigned i = 0; i < worker_count_; ++i)
      workers_.emplace_back([&, this, i] {
        name_thread(i);
        std::unique_ptr<SessionWorker> worker;
        {
          const std::lock_guard lock(mutex);
          worker = std::make_unique<SessionWorker>(*model_, forms_, *queue_, input_hop_, short_name_);
          if (Status usable = worker->usable(); !usable) {
            missing = std::move(usable);
            worker = nullptr;
          }
          working += worker ? 1 : 0;
          for (const Form& form : forms_.known())
            if (const Status recorded = worker ? worker->prepare(form) : Status{};
                !recorded && notes_.empty())
              notes_.push_back("runs are not recorded as CUDA graphs: " + recorded.error().message);
        }
        prepared.count_down();
        if (worker) worker->work();
      });
    prepared.wait();
    if (working == 0) return missing;
    if (!missing && working < enough_workers_)
      notes_.push_back(
          std::format("{} of {} workers run it: {}", working, enough_workers_, missing.error().message));
    return {};
  }

  static void name_thread(unsigned number) {
    pthread_setname_np(pthread_self(), std::format("sg-infer-{}", number).c_str());
  }

  const ModelSignature& signature() const override { return forms_.signature(); }
  const ModelSignature& signature_with_constants() const override {
    return forms_.signature_with_constants();
  }
  const std::string& model() const override { return options_.model; }
  ContextRef device() const override { return model_->device(); }
  size_t batch_size() const override { return forms_.batch(); }
  void set_batch_timeout(int milliseconds) override { queue_->set_timeout(milliseconds); }
  SessionTotals totals() const override {
    auto& totals = queue_->totals();
    const std::lock_guard lock(totals.failure_mutex);
    return {.batches = totals.batches,
            .samples = totals.samples,
            .seconds = double(totals.runs.sum()) * 1e-9,
            .sizes = totals.sizes.counts(),
            .waits = totals.waits.counts(),
            .runs = totals.runs.counts(),
            .failed = totals.failed,
            .failed_in_a_row = totals.failed_in_a_row,
            .last_failure = totals.last_failure,
            .last_failed_ns = totals.last_failed_ns};
  }
  Result<std::vector<TensorInfo>> outputs_for(std::span<const Shape> inputs) override;
  Result<std::unique_ptr<SessionStream>> open_stream(std::span<const TensorInfo> inputs,
                                                     MemoryKind memory) override;
  std::vector<std::string> notes() const {
    std::vector<std::string> all = forms_.notes();
    std::ranges::copy(notes_, std::back_inserter(all));
    return all;
  }

 private:
  friend class Stream;

  const std::unique_ptr<LoadedModel> model_;
  const LoadedSessionOptions options_;
  const std::string short_name_;
  unsigned worker_count_;
  const unsigned enough_workers_;  // fewer are worth a note
  SessionForms forms_;
  Ref<RequestQueue> queue_;
  CopyLedger::Hop& input_hop_;
  std::vector<std::string> notes_;
  std::vector<std::unique_ptr<SessionWorker>> spares_;
  std::vector<std::jthread> workers_;
};

class Stream final : public SessionStream {
 public:
  Stream(std::shared_ptr<RunningSession> session, std::span<const TensorInfo> inputs, MemoryKind memory,
         Form& form)
      : session_(std::move(session)),
        queue_(*session_->queue_),
        form_(form),
        inputs_(inputs.begin(), inputs.end()),
        memory_(memory),
        waits_(form.depends_on_data()) {
    const std::vector<TensorInfo>& wanted = session_->signature().inputs;
    for (size_t i = 0; i < inputs_.size(); ++i)
      input_pools_.push_back(memory == MemoryKind::system
                                 ? pool_for(inputs_[i], inputs_[i].type == wanted[i].type ? form.capacity : 1)
                                 : pool_on_device(inputs_[i]));
    CopyLedger::Hop* const downloads =
        session_->device() ? &CopyLedger::process().hop(session_->short_name_ + " results to the CPU")
                           : nullptr;
    for (const TensorInfo& output : outputs())
      result_pools_.push_back(
          waits_ ? nullptr
                 : make_ref<ResultPool>(size_t(output.shape.elements()) * size_of(output.type), downloads));
    queue_.join(member_, form_);
  }
  ~Stream() override { queue_.leave(member_); }

  const std::vector<TensorInfo>& outputs() const override { return form_.outputs; }
  const std::string& note() const override { return form_.note; }
  Ref<MemoryPool> input_pool(size_t input) const override { return input_pools_[input]; }
  Status submit(std::span<const Tensor> inputs, Time pts, std::vector<Tensor>& outputs) override;
  void drain() override { queue_.drain(member_); }
  void set_frame_period(Time period) override { queue_.set_period(member_, period); }
  void cancel() override { queue_.cancel(member_); }
  void resume() override { queue_.resume(member_); }

 private:
  static Ref<MemoryPool> pool_for(const TensorInfo& info, size_t samples) {
    const int64_t elements = info.shape.elements();
    if (elements <= 0) return nullptr;
    const size_t bytes = size_t(elements) * size_of(info.type);
    if (samples > 1 && bytes % SystemMemory::alignment == 0) return make_ref<SlotPool>(bytes, samples);
    return make_ref<SystemMemoryPool>(SystemMemoryPool::Options{.block_size = bytes});
  }
  Ref<MemoryPool> pool_on_device(const TensorInfo& info) const {
    const int64_t elements = info.shape.elements();
    auto pool =
        make_cuda_pool(session_->device(), elements > 0 ? size_t(elements) * size_of(info.type) : 0, true);
    return pool ? *std::move(pool) : nullptr;
  }
  Status check(std::span<const Tensor> inputs) const;
  Ref<CompletionFence> closed_fence();
  Status collect(RequestQueue::Request& request, CompletionFence& done, std::vector<Tensor>& outputs);

  const std::shared_ptr<RunningSession> session_;
  RequestQueue& queue_;
  Form& form_;
  const std::vector<TensorInfo> inputs_;
  const MemoryKind memory_;
  const bool waits_;
  std::vector<Ref<MemoryPool>> input_pools_;
  std::vector<Ref<ResultPool>> result_pools_;
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
  if (memory_ == MemoryKind::system) return {};
  for (const Tensor& input : inputs)
    if (const Context* device = input.memory ? input.memory->context() : nullptr;
        device && !device->same_device(*session_->device()))
      return fail(ErrorCode::not_negotiated,
                  "the pictures lie on another CUDA device ({}) than the model {} ({}); decode them on that "
                  "device (nvh264device1dec is the decoder of the second one), or run the model on theirs "
                  "(device=CUDA:N, or device=CUDA:* for all devices)",
                  device->description(), session_->short_name_, session_->device()->description());
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
  return fences_.emplace_back(make_ref<ResultFence>(session_->queue_));
}

Status Stream::submit(std::span<const Tensor> inputs, Time pts, std::vector<Tensor>& outputs) {
  if (Status fits = check(inputs); !fits) return fits;
  outputs.resize(form_.outputs.size());
  for (Tensor& output : outputs)
    output.memory = nullptr;  // so that their memory and fence may be used again at once
  RequestQueue::Request* request = queue_.acquire(member_);
  if (!request) return fail(ErrorCode::cancelled, "cancelled");

  const Ref<CompletionFence> done = closed_fence();
  for (size_t i = 0; !waits_ && i < outputs.size(); ++i) {
    Ref<ResultMemory> result = result_pools_[i]->acquire();
    result->set_fence(done);
    request->results[i] = result;
    outputs[i] = tensor_in(std::move(result), form_.outputs[i]);
  }
  std::ranges::copy(inputs, request->inputs.begin());
  request->fence = done;
  request->pts = pts;
  request->kept = waits_;
  request->submitted_ns = std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
  request->watch = sample_watch();
  queue_.put(request);
  return waits_ ? collect(*request, *done, outputs) : Status{};
}

Status Stream::collect(RequestQueue::Request& request, CompletionFence& done, std::vector<Tensor>& outputs) {
  Status status = done.wait();
  for (size_t i = 0; i < outputs.size(); ++i) {
    Binding& made = request.outputs[i];
    if (status && made.memory)
      outputs[i] =
          tensor_in(std::move(made.memory),
                    {.type = form_.outputs[i].type, .shape = made.shape, .layout = form_.outputs[i].layout});
    made.memory = nullptr;
  }
  RequestQueue::Request* const released = &request;
  queue_.release({&released, 1});
  return status;
}

Result<std::unique_ptr<SessionStream>> RunningSession::open_stream(std::span<const TensorInfo> inputs,
                                                                   MemoryKind memory) {
  const std::vector<TensorInfo>& wanted = signature().inputs;
  const bool on_device = memory != MemoryKind::system;
  if (on_device && (!device() || device()->kind() != memory))
    return fail(ErrorCode::not_negotiated, "{} takes tensors in {} memory, not in {} memory", short_name_,
                device() ? "system or " + std::string(to_string(device()->kind())) : "system",
                to_string(memory));
  if (inputs.size() != wanted.size())
    return fail(ErrorCode::not_negotiated, "{} has {} inputs, {} tensors are offered", short_name_,
                wanted.size(), inputs.size());
  std::vector<Shape> shapes;
  std::optional<size_t> misfit;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].shape.fixed() || !can_gather(inputs[i].type, wanted[i].type) ||
        (on_device && (inputs[i].type != wanted[i].type || !inputs[i].dense())))
      misfit = i;
    shapes.push_back(inputs[i].shape);
  }
  auto form = misfit ? Result<Form*>(nullptr) : forms_.form_for(shapes);
  if (form && *form) return std::make_unique<Stream>(shared_from_this(), inputs, memory, **form);
  if (!form && form.error().code != ErrorCode::not_negotiated) return forward_error(form);
  for (size_t i = 0; !misfit && i < inputs.size(); ++i)
    if (!forms_.takes(i, shapes[i])) misfit = i;
  if (!misfit) return forward_error(form);
  return fail(ErrorCode::not_negotiated, "input '{}' of {} takes {}; {} is offered", wanted[*misfit].name,
              short_name_, describe(wanted[*misfit]), describe(inputs[*misfit]));
}

Result<std::vector<TensorInfo>> RunningSession::outputs_for(std::span<const Shape> inputs) {
  const bool fixed = std::ranges::all_of(inputs, &Shape::fixed);
  if (fixed && !inputs.empty()) {
    auto form = forms_.form_for(inputs);
    if (!form) return forward_error(form);
    return (*form)->outputs;
  }
  for (size_t i = 0; i < std::min(inputs.size(), signature().inputs.size()); ++i)
    if (!forms_.takes(i, inputs[i]))
      return fail(ErrorCode::not_negotiated, "input '{}' of {} is {}, not {}", signature().inputs[i].name,
                  short_name_, signature().inputs[i].shape.to_string(), inputs[i].to_string());
  return signature().outputs;
}

}  // namespace

Result<std::shared_ptr<Session>> start_session(std::unique_ptr<LoadedModel> model,
                                               const LoadedSessionOptions& options,
                                               std::vector<std::string>& notes) {
  auto session = std::make_shared<RunningSession>(std::move(model), options);
  if (Status started = session->start(); !started) return forward_error(started);
  std::ranges::move(session->notes(), std::back_inserter(notes));
  return session;
}

}  // namespace sightglass
