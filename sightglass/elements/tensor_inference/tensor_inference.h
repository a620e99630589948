// Runs a model on tensors; what onnx_tensor_inference and pytorch_tensor_inference are, each with its engine.
//
// in   tensors of the model's input shapes, with or without outer axes of 1; of the model's type, uint8 or
// float32. Written into the blocks of
//      input_pool() they are read where they lie, else converted or gathered on a worker thread, which is one
//      counted copy. On an NVIDIA device (device=CUDA:0) also tensors in its memory, of the model's own
//      types: they stay there
// out  the model's outputs, named as in the model, pushed at once: each waits for its own run when it is
// mapped. pts, duration, source,
//      affine and batch are those of the input
//
// With batch-size above 1 the samples of all elements of one session are run together (model/session.h). At
// the end of the stream what is pending leaves at once. Tensors that hold a batch already (of batch_create
// and a fused pass) run as they are.
//
// A run that fails shows as the error of mapping its outputs; the frames after it are not affected. Outputs
// whose size depends on the data (the model's own suppression of boxes, for example) have to be waited for
// before they are pushed.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/model/session.h"

namespace sightglass {

class TensorInference final : public Transform {
 public:
  struct Params {
    std::string model;
    std::string model_weights;  // pytorch_tensor_inference only
    std::string device = "CPU";
    std::string config;
    int batch_size = 1;
    int batch_timeout = -1;
    int buffer_pool_size = 16;
    std::string shared_instance_id;
    std::string input_shape;
    std::vector<std::string> outputs;
    std::vector<std::string> constant_inputs;  // NAME:value:value…
    unsigned warmup = 1;
    std::string model_name;
    SchedulingPolicy scheduling_policy = SchedulingPolicy::throughput;
    bool strict_zero_copy = false;
    std::string device_load;  // read only
  };

  // `engine` is the name of the one to use.
  TensorInference(const ParamSet& params, std::string_view engine);

  // What the elements have in common: all but name, texts and create(), and with parameters that only need
  // the name of the engine in their description.
  static ElementDesc descriptor(std::string_view config_keys);

  // The session in use; null before start() and where it is opened later.
  const std::shared_ptr<Session>& session() const { return session_; }
  // Whether others had opened it before.
  bool joined() const { return joined_; }

  // Given with the element's own.
  void add_warning(std::string text) { warnings_.push_back(std::move(text)); }

  Status start() override;
  void stop() override;
  std::vector<std::string> take_warnings() override;
  std::vector<FormatSpec> transform_format(Direction from, const FormatSpec& spec) const override;
  Status configure(const Format& input, const Format& output) override;
  Ref<MemoryPool> input_pool() override;
  Status process(const Frame& frame, Output& output) override;
  Status gap(const Gap& gap, Output& output) override;
  Status drain(Output& output) override;
  void update(const ParamSet& params) override;
  Result<ParamValue> value(std::string_view name) const override;
  void flush() override;
  void cancel() override;

 private:
  // Who only names an id may start before the one who names the model; such a session is opened at its first
  // use.
  std::string model_name() const;
  Status open() const;
  enum class Outer : uint8_t { present, left_out, batch };  // the first axis: 1, not there, a whole batch
  FormatSpec input_spec(Outer outer, MemoryKind memory) const;
  void note_time(Time pts, Time duration);

  const Result<SessionOptions> options_;
  const bool strict_zero_copy_;
  const std::string model_name_;  // empty: by the file
  mutable std::shared_ptr<Session> session_;
  mutable std::mutex session_mutex_;  // of those who replace the session, and of value()
  mutable bool joined_ = false;
  mutable std::vector<std::string> warnings_;
  std::vector<std::string> said_;  // warnings that are given once
  std::unique_ptr<SessionStream> stream_;
  std::mutex stream_mutex_;                     // of those who replace the stream, and of cancel()
  Frame made_;                                  // reused, for the room that its lists have
  Time last_pts_ = no_time, period_ = no_time;  // of whole frames
};

}  // namespace sightglass
