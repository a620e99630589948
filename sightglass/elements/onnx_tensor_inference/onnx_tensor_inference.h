// Runs an ONNX model on tensors.
//
// in   tensors of the model's input shapes, with or without outer axes of 1; of the model's type, uint8 or
// float32. Written into the blocks of
//      input_pool() they are read where they lie, else converted or gathered on a worker thread, which is one
//      counted copy
// out  the model's outputs, named as in the model, pushed at once: each waits for its own run when it is
// mapped. pts, duration, source and
//      affine are those of the input
//
// A run that fails shows as the error of mapping its outputs; the frames after it are not affected. Outputs
// whose size depends on the data (the model's own suppression of boxes, for example) have to be waited for
// before they are pushed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/model/session.h"

namespace sightglass {

class OnnxTensorInference final : public Transform {
 public:
  struct Params {
    std::string model;
    std::string device = "CPU";
    std::string config;
    int batch_size = 1;
    int buffer_pool_size = 16;
    std::string shared_instance_id;
    std::string input_shape;
    std::vector<std::string> outputs;
    unsigned warmup = 1;
    SchedulingPolicy scheduling_policy = SchedulingPolicy::throughput;
  };

  explicit OnnxTensorInference(const ParamSet& params);
  static ElementDesc descriptor();
  static Result<std::unique_ptr<Element>> create(const ParamSet& params);

  // The session in use; null before start() and where it is opened later.
  const std::shared_ptr<Session>& session() const { return session_; }

  Status start() override;
  void stop() override;
  std::vector<std::string> take_warnings() override;
  std::vector<FormatSpec> transform_format(Direction from, const FormatSpec& spec) const override;
  Status configure(const Format& input, const Format& output) override;
  Ref<MemoryPool> input_pool() override;
  Status process(const Frame& frame, Output& output) override;
  void flush() override;

 private:
  // Who only names an id may start before the one who names the model; such a session is opened at its first
  // use.
  Status open() const;
  FormatSpec input_spec(bool with_outer_axes) const;

  const SessionOptions options_;
  mutable std::shared_ptr<Session> session_;
  mutable std::vector<std::string> warnings_;
  std::unique_ptr<SessionStream> stream_;
  Frame made_;  // reused, for the room that its lists have
};

}  // namespace sightglass
