#include "sightglass/model/session_worker.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/cuda/cuda_stream.h"
#include "sightglass/model/gather.h"

namespace sightglass {
namespace {

bool dense(const Tensor& tensor) {
  int64_t step = int64_t(size_of(tensor.type));
  for (size_t axis = tensor.shape.rank(); axis-- > 0; step *= tensor.shape[axis])
    if (tensor.shape[axis] != 1 && tensor.strides[axis] != step) return false;
  return true;
}

int64_t steady_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

size_t bytes_of(const Shape& shape, DataType type) { return size_t(shape.elements()) * size_of(type); }

}  // namespace

SessionWorker::SessionWorker(LoadedModel& model, const SessionForms& forms, RequestQueue& queue,
                             CopyLedger::Hop& hop, std::string name)
    : model_(model),
      forms_(forms),
      queue_(queue),
      hop_(hop),
      device_(model.device()),
      on_device_(device_ ? &CopyLedger::process().hop(name + " input on the device") : nullptr),
      to_device_(device_ ? &CopyLedger::process().hop(name + " input to the device") : nullptr),
      results_(device_ ? &CopyLedger::process().hop(name + " results to the CPU") : nullptr),
      name_(std::move(name)),
      model_request_(model.request()),
      inputs_(model.signature().inputs.size()),
      outputs_(model.signature().outputs.size()),
      places_(outputs_.size()),
      scratch_(inputs_.size()) {
  batch.reserve(forms.batch());
}

Status SessionWorker::usable() {
  if (!device_ || model_request_->stream()) return {};
  // Has nothing to prepare with either, and says why.
  const Status why = model_request_->prepare({}, {});
  return why ? Status(fail(ErrorCode::unavailable, "{}: nothing runs it", name_)) : why;
}

Status SessionWorker::prepare(const Form& form) {
  if (form.depends_on_data()) return {};
  const std::vector<TensorInfo>& model = model_.signature().inputs;
  const auto prepare_for = [&](size_t rows) {
    std::vector<Shape> inputs, outputs;
    for (size_t i = 0; i < inputs_.size(); ++i)
      inputs.push_back(form.batches && model[i].shape[0] != 1 ? with_samples(form.inputs[i], rows)
                                                              : form.inputs[i]);
    for (const TensorInfo& output : form.outputs)
      outputs.push_back(form.batches ? with_samples(output.shape, rows * size_t(output.shape[0]))
                                     : output.shape);
    return model_request_->prepare(inputs, outputs);
  };
  const Status status = prepare_for(form.rows_for(form.capacity, true));
  if (!status || form.rows_for(1, true) == form.capacity) return status;
  return prepare_for(1);
}

void SessionWorker::work() {
  RequestQueue::set_of_this_thread(&queue_);
  while (queue_.take(batch)) run(batch);
  RequestQueue::set_of_this_thread(nullptr);
}

void SessionWorker::run(std::vector<Request*>& taken) {
  if (mapped_.size() < taken.size()) mapped_.resize(taken.size());
  samples_.clear();
  for (size_t i = 0; i < taken.size(); ++i) {
    Mapped& mapped = mapped_[i];
    mapped.request = taken[i];
    mapped.inputs.resize(forms_.signature().inputs.size());
    const Status status = map_inputs(mapped);
    if (status) {
      samples_.push_back(&mapped);
      continue;
    }
    for (Mapping& mapping : mapped.inputs) mapping.reset();
    if (is_result_pending(status.error())) {
      aside_.push_back(mapped.request);
      continue;
    }
    Mapped* const failed = &mapped;
    finish({&failed, 1}, status);
  }
  // Each goes to the front, so the first one last.
  for (; !aside_.empty(); aside_.pop_back()) queue_.put_aside(aside_.back());
  if (samples_.empty()) return;
  const Status status = run_samples(samples_);
  if (status || samples_.size() == 1) return finish(samples_, status);
  // Each by itself, so that the error hits whom it concerns.
  for (Mapped* const& sample : samples_) {
    const bool given_up = RequestQueue::was_cancelled(*sample->request);
    finish({&sample, 1}, given_up ? status : run_samples({&sample, 1}));
  }
}

Status SessionWorker::map_inputs(Mapped& mapped) {
  for (size_t i = 0; i < mapped.inputs.size(); ++i) {
    if (is_on_device(mapped.request->inputs[i])) continue;
    auto mapping = map(mapped.request->inputs[i], Access::read);
    if (!mapping) return forward_error(mapping);
    mapped.inputs[i] = *std::move(mapping);
  }
  return {};
}

Status SessionWorker::run_samples(std::span<Mapped* const> samples) {
  const Form& form = static_cast<const Form&>(*samples.front()->request->form);
  const size_t rows = form.rows_for(samples.size(), bool(device_));
  Status status = bind_inputs(form, samples, rows);
  if (status) status = bind_outputs(form, samples, rows);
  if (status) status = run_bound(form, samples);
  // What is on its way to the device still reads the samples, which others get back now.
  if (CudaStream* stream = status ? nullptr : model_request_->stream()) (void)stream->finish();
  for (MemoryRef& place : places_) place = nullptr;
  waiting_.clear();
  writes_.clear();
  note_outcome(samples, status);
  return status;
}

Status SessionWorker::run_bound(const Form& form, std::span<Mapped* const> samples) {
  requests_.clear();
  for (const Mapped* sample : samples) requests_.push_back(sample->request);
  queue_.begin(requests_, *model_request_);
  const int64_t begun_ns = steady_ns();
  const Status status = model_request_->run(inputs_, outputs_);
  note_times(begun_ns, steady_ns(), !status);
  queue_.end(requests_);
  if (status) give_outputs(form, samples);
  return status;
}

void SessionWorker::note_outcome(std::span<Mapped* const> samples, const Status& status) {
  RequestQueue::Totals& totals = queue_.totals();
  if (status) {
    // Read first: written it would travel between the workers at every run.
    if (totals.failed_in_a_row.load(std::memory_order_relaxed)) totals.failed_in_a_row = 0;
    return;
  }
  const auto was_given_up = [](const Mapped* sample) {
    return RequestQueue::was_cancelled(*sample->request);
  };
  if (status.error().code == ErrorCode::cancelled || std::ranges::any_of(samples, was_given_up)) return;
  ++totals.failed;
  ++totals.failed_in_a_row;
  const std::lock_guard lock(totals.failure_mutex);
  totals.last_failure = status.error().message;
  totals.last_failed_ns = steady_ns();
}

// Of the run that has ended, whose requests are in requests_.
void SessionWorker::note_times(int64_t begun_ns, int64_t ended_ns, bool has_failed) {
  RequestQueue::Totals& totals = queue_.totals();
  totals.batches.fetch_add(1, std::memory_order_relaxed);
  totals.samples.fetch_add(requests_.size(), std::memory_order_relaxed);
  totals.sizes.observe(requests_.size());
  totals.runs.observe(uint64_t(ended_ns - begun_ns));
  SampleTimes times{.model = name_,
                    .begun_ns = begun_ns,
                    .ended_ns = ended_ns,
                    .batch_size = requests_.size(),
                    .has_failed = has_failed};
  for (const Request* request : requests_) {
    totals.waits.observe(uint64_t(std::max<int64_t>(begun_ns - request->submitted_ns, 0)));
    if (!request->watch) continue;
    times.is_first = times.batch_id[0] == 0;
    if (times.is_first) times.batch_id = {random_id(), random_id(), random_id()};
    times.submitted_ns = request->submitted_ns;
    request->watch->ran(times);
  }
}

Status SessionWorker::bind_inputs(const Form& form, std::span<Mapped* const> samples, size_t rows) {
  const std::vector<TensorInfo>& model = model_.signature().inputs;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    Binding& binding = inputs_[i];
    // A constant may be the same for the whole run.
    const bool has_rows = form.batches && model[i].shape[0] != 1;
    binding.shape = has_rows ? with_samples(form.inputs[i], rows) : form.inputs[i];
    binding.is_placed = device_ && !form.constants[i];
    if (form.constants[i]) {
      binding.data = form.constants[i]->data();
      continue;
    }
    if (binding.is_placed) {
      if (Status placed = place_input(form, samples, i); !placed) return placed;
      continue;
    }
    const size_t source = *forms_.sources()[i], bytes = bytes_of(form.inputs[i], model[i].type);
    const auto data = [&](size_t k) { return samples[k]->inputs[source].data(); };
    bool in_place = rows == samples.size();
    for (size_t k = 0; in_place && k < samples.size(); ++k) {
      const Tensor& tensor = samples[k]->request->inputs[source];
      in_place = tensor.type == model[i].type && dense(tensor) && data(k) == data(0) + k * bytes;
    }
    if (in_place) {
      binding.data = data(0);
      hop_.shared(bytes * samples.size());
    } else {
      if (Status gathered = gather_input(form, samples, i, rows); !gathered) return gathered;
      binding.data = scratch_[i]->data();
    }
  }
  return {};
}

Status SessionWorker::gather_input(const Form& form, std::span<Mapped* const> samples, size_t input,
                                   size_t rows) {
  const DataType type = model_.signature().inputs[input].type;
  const size_t source = *forms_.sources()[input], bytes = bytes_of(form.inputs[input], type);
  auto scratch = scratch_for(input, bytes * rows);
  if (!scratch) return forward_error(scratch);
  std::byte* const target = *scratch;
  for (size_t k = 0; k < samples.size(); ++k) {
    gather(samples[k]->request->inputs[source], samples[k]->inputs[source].data(), type, target + k * bytes);
    hop_.copied(bytes);
  }
  // What a model makes of the padding does not matter, but it should be something that it knows.
  for (size_t k = samples.size(); k < rows; ++k) std::memcpy(target + k * bytes, target, bytes);
  return {};
}

// Sample by sample to where the model reads it on the device.
Status SessionWorker::place_input(const Form& form, std::span<Mapped* const> samples, size_t input) {
  const DataType type = model_.signature().inputs[input].type;
  const size_t source = *forms_.sources()[input], bytes = bytes_of(form.inputs[input], type);
  auto place = model_request_->place(input, inputs_[input].shape);
  if (!place) return forward_error(place);
  CudaStream& stream = *model_request_->stream();
  for (size_t k = 0; k < samples.size(); ++k) {
    const Tensor& tensor = samples[k]->request->inputs[source];
    const uint64_t target = *place + k * bytes;
    uint64_t from = 0;
    if (is_on_device(tensor)) {
      if (tensor.type != type || !dense(tensor))
        return fail(ErrorCode::not_negotiated, "on the device inputs are dense {}, not {}", to_string(type),
                    to_string(tensor.type));
      if (auto write = static_cast<CudaMemory&>(*tensor.memory).deferred();
          write && tensor.memory->size() == bytes) {
        waiting_.push_back({write.get(), target});
        writes_.push_back(std::move(write));
        continue;
      }
      if (Status ordered = stream.wait_for(tensor); !ordered) return ordered;
      from = cuda_pointer(tensor);
      on_device_->copied(bytes);
    } else {
      const std::byte* data = samples[k]->inputs[source].data();
      if (tensor.type != type || !dense(tensor)) {
        auto gathered = scratch_for(input, bytes * samples.size());
        if (!gathered) return forward_error(gathered);
        gather(tensor, data, type, *gathered + k * bytes);
        hop_.copied(bytes);
        data = *gathered + k * bytes;
      }
      from = address_of(data);
      to_device_->copied(bytes);
    }
    if (Status copied = stream.copy(target, from, bytes); !copied) return copied;
  }
  const size_t deferred = waiting_.size();
  const Status written = run_deferred();
  if (written) on_device_->shared(bytes * deferred);
  return written;
}

// Those of a kind together.
Status SessionWorker::run_deferred() {
  Status status;
  while (!waiting_.empty() && status) {
    const void* const kind = waiting_.front().write->kind();
    parts_.clear();
    std::erase_if(waiting_, [&](const DeferredWrite::Part& part) {
      if (part.write->kind() != kind) return false;
      parts_.push_back(part);
      return true;
    });
    status = parts_.front().write->run(parts_, model_request_->stream()->get());
  }
  waiting_.clear();
  return status;
}

bool SessionWorker::is_on_device(const Tensor& tensor) const {
  return device_ && tensor.memory->kind() == device_->kind() && tensor.memory->context() &&
         tensor.memory->context()->same_device(*device_);
}

Result<std::byte*> SessionWorker::scratch_for(size_t input, size_t bytes) {
  if (!scratch_[input] || scratch_[input]->size() < bytes) {
    auto block = allocate_memory(bytes);
    if (!block) return forward_error(block);
    scratch_[input] = *std::move(block);
  }
  return scratch_[input]->data();
}

Status SessionWorker::bind_outputs(const Form& form, std::span<Mapped* const> samples, size_t rows) {
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const Shape& shape = form.outputs[i].shape;
    outputs_[i] = {
        .data = nullptr,
        .shape = form.batches && form.places[i] ? with_samples(shape, rows * size_t(shape[0])) : shape,
        .memory = nullptr};
    if (!form.places[i]) continue;
    const auto is_for_cpu = [&](const Mapped* sample) {
      const Ref<ResultMemory>& result = sample->request->results[i];
      return !result || result->is_for_cpu();
    };
    // Where the device has no memory left, the CPU has.
    if (form.device_places[i] && !std::ranges::all_of(samples, is_for_cpu) && bind_on_device(form, i))
      continue;
    auto block = form.places[i]->acquire();
    if (!block) return forward_error(block);
    outputs_[i].data = static_cast<SystemMemory&>(**block).data();
    places_[i] = *std::move(block);
    if (results_) results_->copied(bytes_of(outputs_[i].shape, form.outputs[i].type));
  }
  return {};
}

Status SessionWorker::bind_on_device(const Form& form, size_t output) {
  CudaStream* const stream = model_request_->stream();
  if (!stream) return fail(ErrorCode::unavailable, "there is no CUDA stream");
  auto block = form.device_places[output]->acquire();
  if (!block) return forward_error(block);
  auto& memory = static_cast<CudaMemory&>(**block);
  // Whoever had the block before may still be reading it.
  if (Status ordered = memory.wait_in(stream->get()); !ordered) return ordered;
  outputs_[output].data = reinterpret_cast<void*>(memory.address());
  places_[output] = *std::move(block);
  return {};
}

void SessionWorker::give_outputs(const Form& form, std::span<Mapped* const> samples) {
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const size_t bytes = form.places[i] ? bytes_of(form.outputs[i].shape, form.outputs[i].type) : 0;
    const bool is_on_device = places_[i] && places_[i]->kind() == MemoryKind::cuda;
    for (size_t k = 0; k < samples.size(); ++k) {
      Request& request = *samples[k]->request;
      if (request.kept) request.outputs[i] = std::exchange(outputs_[i], {});
      if (request.kept && places_[i]) request.outputs[i].memory = places_[i];
      if (!request.results[i]) continue;
      if (is_on_device)
        request.results[i]->bind_on_device(places_[i], k * bytes);
      else
        request.results[i]->bind(places_[i], static_cast<std::byte*>(outputs_[i].data) + k * bytes);
    }
  }
}

void SessionWorker::finish(std::span<Mapped* const> samples, const Status& status) {
  size_t released = 0;
  requests_.clear();
  for (Mapped* sample : samples) {
    for (Mapping& mapping : sample->inputs) mapping.reset();
    Request* const request = sample->request;
    Status its = status;
    if (!its && RequestQueue::was_cancelled(*request)) its = fail(ErrorCode::cancelled, "cancelled");
    if (!its) its.error().message = name_ + ": " + its.error().message;
    // Not touched any more once it is finished and belongs to its stream.
    if (!request->kept) requests_.push_back(request), ++released;
    request->finish(std::move(its));
  }
  if (released) queue_.release(requests_);
}

}  // namespace sightglass
