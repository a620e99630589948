// What goes into and comes out of the runs of one model: which axis is the batch, how many samples a run
// holds, what comes out for inputs of a given shape. What the model file says may be incomplete or wrong, so
// it is found by trial runs, which are the warm-up as well.
#pragma once

#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sightglass/memory/system/system_memory_pool.h"
#include "sightglass/model/engine.h"
#include "sightglass/model/request_queue.h"
#include "sightglass/model/session.h"

namespace sightglass {

// Requests whose inputs have these shapes. `capacity` of them make a run.
struct Form final : RequestQueue::Form {
  std::vector<Shape> inputs;        // of a request, by the model's inputs, those that are constant included
  std::vector<TensorInfo> outputs;  // of a request; -1 where the size depends on the data
  bool batches = false;             // the first axis counts requests; else a run is one request as it is
  bool padded = false;              // a run always holds `capacity` of them
  std::vector<Ref<SystemMemory>> constants;  // for a full run; null: an input that is not constant
  std::vector<Ref<MemoryPool>> places;  // SystemMemory for the outputs of a full run, pinned where the model
                                        // is on a device; null: the size depends on the data
  std::vector<Ref<MemoryPool>> device_places;  // the same on the device; null without one
  std::string note;                            // why there are no batches though they were wanted; else empty

  bool depends_on_data() const;
  // The rows of a run of so many samples. On a device there are runs of one and of all only: those are
  // recorded (ModelRequest::prepare()).
  size_t rows_for(size_t samples, bool on_device) const {
    return padded || (on_device && batches && samples > 1) ? capacity : samples;
  }
};

class SessionForms {
 public:
  struct Options {
    std::string name;  // of the model, for messages
    std::string short_name;
    std::optional<unsigned> batch;  // samples per run that are wanted; 0: as in the model
    unsigned warmup = 1;
    std::vector<ConstantInput> constants;
  };
  SessionForms(LoadedModel& model, Options options);
  Status init();  // first

  // Of one sample, without the constant inputs.
  const ModelSignature& signature() const { return signature_; }
  const ModelSignature& signature_with_constants() const { return full_signature_; }
  // The most samples of a run.
  size_t batch() const { return batch_; }
  // Where the model's inputs come from: the index in signature().inputs; none: constant.
  const std::vector<std::optional<size_t>>& sources() const { return sources_; }
  // What the user should know.
  const std::vector<std::string>& notes() const { return notes_; }

  // Whether one sample may have this shape, as far as it is fixed.
  bool takes(size_t input, const Shape& offered) const;
  // Those that are known so far; while nobody asks for others.
  const std::deque<Form>& known() const { return forms_; }
  // Of fixed shapes, one per input of the signature: a sample each, with or without outer axes of 1, or
  // several. Remembered for the life of this object. Thread-safe.
  Result<Form*> form_for(std::span<const Shape> offered);

 private:
  Status find_constants();
  void find_batch();
  void make_signature();
  std::optional<std::vector<Shape>> fit(std::span<const Shape> offered, bool whole) const;
  Status make_form(Form& form);
  Status make_constants(Form& form) const;
  Result<std::vector<TensorInfo>> try_run(const Form& form, size_t samples) const;
  std::string not_fixed_at(std::string_view why) const;

  LoadedModel& model_;
  const Options options_;
  ModelSignature signature_, full_signature_;
  std::vector<std::optional<size_t>> sources_;
  std::vector<const ConstantInput*> constants_;  // by the model's inputs; null: not constant
  bool free_ = false;                            // any number of samples may be run at once
  size_t fixed_ = 0;                             // so many always are; 0: no batch axis, or a free one
  size_t batch_ = 1;
  std::vector<std::string> notes_;
  std::mutex mutex_;
  std::deque<Form> forms_;
};

// A tensor's shape with so many samples along the first axis.
Shape with_samples(Shape shape, size_t samples);

}  // namespace sightglass
