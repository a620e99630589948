// Runs batches: one thread's share of a session. The samples' inputs are bound where they lie when they lie
// behind each other, else gathered; on a device they are copied, or written straight, to where the model
// reads them. The outputs become parts of the run's outputs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/cuda/deferred_write.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/model/engine.h"
#include "sightglass/model/request_queue.h"
#include "sightglass/model/session_forms.h"

namespace sightglass {

// Not thread-safe; one per thread.
class SessionWorker final : public RequestQueue::Runner {
 public:
  SessionWorker(LoadedModel& model, const SessionForms& forms, RequestQueue& queue, CopyLedger::Hop& hop,
                std::string name);
  // On a device: whether there is what is needed to run anything; an error says what is missing, such as
  // memory.
  Status usable();
  // On a device: what runs of this form need, on the thread that is going to make them. An error says why
  // they are not recorded.
  Status prepare(const Form& form);
  // Until the queue is closed.
  void work();
  void run(std::vector<RequestQueue::Request*>& taken) override;

 private:
  using Request = RequestQueue::Request;
  struct Mapped {  // the inputs of one sample
    Request* request;
    std::vector<Mapping> inputs;
  };

  Status map_inputs(Mapped& mapped);
  Status run_samples(std::span<Mapped* const> samples);
  Status run_bound(const Form& form, std::span<Mapped* const> samples);
  void note_outcome(std::span<Mapped* const> samples, const Status& status);
  void note_times(int64_t begun_ns, int64_t ended_ns, bool has_failed);
  Status bind_inputs(const Form& form, std::span<Mapped* const> samples, size_t rows);
  Status gather_input(const Form& form, std::span<Mapped* const> samples, size_t input, size_t rows);
  Status place_input(const Form& form, std::span<Mapped* const> samples, size_t input);
  Status run_deferred();
  bool is_on_device(const Tensor& tensor) const;
  Result<std::byte*> scratch_for(size_t input, size_t bytes);
  Status bind_outputs(const Form& form, std::span<Mapped* const> samples, size_t rows);
  Status bind_on_device(const Form& form, size_t output);
  void give_outputs(const Form& form, std::span<Mapped* const> samples);
  void finish(std::span<Mapped* const> samples, const Status& status);

  LoadedModel& model_;
  const SessionForms& forms_;
  RequestQueue& queue_;
  CopyLedger::Hop& hop_;
  const ContextRef device_;                             // null: the CPU
  CopyLedger::Hop *on_device_, *to_device_, *results_;  // null without a device
  const std::string name_;
  const std::unique_ptr<ModelRequest> model_request_;

  // Kept for their capacity.
  std::vector<Mapped> mapped_;
  std::vector<Mapped*> samples_;
  std::vector<Request*> requests_, aside_;
  std::vector<Binding> inputs_, outputs_;
  std::vector<MemoryRef> places_;  // of the outputs
  std::vector<Ref<SystemMemory>> scratch_;
  std::vector<Ref<DeferredWrite>> writes_;  // until the run is done
  std::vector<DeferredWrite::Part> waiting_, parts_;
};

}  // namespace sightglass
