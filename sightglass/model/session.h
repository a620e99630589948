// A session: one loaded model with the threads that run it, shared by everybody who names the same id, or
// uses the same model and options. Each user has a stream of requests of its own:
//
//   auto opened = open_session({.model = "yolox.onnx"});
//   auto stream = opened->session->open_stream({{.type = DataType::f32, .shape = {1, 3, 416, 416}}});
//   Ref<MemoryPool> pool = (*stream)->input_pool(0);          // what is written here is not copied
//   Status status = (*stream)->submit(inputs, pts, outputs);  // at once; mapping an output waits for it
//
// Order is kept without waiting: outputs come back in the order of submission, each with a fence of its own.
// A run that fails gives its error through that fence, and the session goes on. How many requests may be
// under way at once is bounded; beyond that submit() waits, the streams that have fewest under way being
// served first. Once warm, nothing is allocated per request but by the engine itself.
//
// With a batch size of more than 1 the samples of all streams are run together, see request_queue.h: no
// sample waits longer than the batch time-out for others, nor for a stream that cannot send any. The outputs
// of a sample are its part of the batch's, without a copy. The inputs are one counted copy per sample, or
// none where the samples of a batch lie behind each other: a stream's input_pool() gives out places in that
// order. A batch that fails is run again sample by sample, so that an error hits whom it concerns.
//
// device=CUDA:* opens the model on each device (spread_session.h) and binds each stream to one of them when
// it starts: the one that its tensors lie on, for tensors in system memory the one that has least to do.
//
// Threads: open_session() and Session are thread-safe, a SessionStream belongs to one thread but for cancel()
// and resume(). The last user closes the session: it waits for the runs under way and ends its threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/core/histogram.h"
#include "sightglass/core/memory.h"
#include "sightglass/core/result.h"
#include "sightglass/core/tensor.h"
#include "sightglass/model/engine.h"
#include "sightglass/model/signature.h"

namespace sightglass {

// An input that is the same for every sample: all its values, or some that are repeated.
struct ConstantInput {
  std::string name;
  std::vector<float> values;
  bool operator==(const ConstantInput&) const = default;
};

// What is not set has its default; with a shared id, what the first user of the id has set.
struct SessionOptions {
  std::string shared_id;             // empty: shared only where all is equal
  std::optional<std::string> model;  // file
  std::optional<std::string> device;
  std::optional<std::string> config;
  std::optional<SchedulingPolicy> policy;
  std::optional<std::string> input_shape;  // caps notation, see parse_input_shapes()
  std::optional<std::vector<std::string>> outputs;
  std::optional<unsigned> batch_size;  // most samples of a run; 0: as in the model, else 1
  std::optional<int> batch_timeout;    // ms that a sample waits for others; 0: not at all; -1: two frame
                                       // periods of the slowest stream, 40 ms if none is known
  std::optional<std::vector<ConstantInput>> constants;
  std::optional<unsigned> requests;  // runs under way over all streams; 0: two per worker
  std::optional<unsigned> warmup;    // runs before the first request; default 1
  unsigned max_per_stream = 0;       // samples of one stream in a batch; 0: any number
  unsigned workers = 0;              // requests run at the same time; 0: as many as the model wants
  Engine* engine = nullptr;          // null: by the kind of file
};

class SessionStream;

// What a session has done since it was opened; only grows.
struct SessionTotals {
  uint64_t batches = 0, samples = 0;
  double seconds = 0;     // that the engine has run, over all workers
  HistogramCounts sizes;  // of the batches, in samples
  HistogramCounts waits;  // of samples for their batch, ns
  HistogramCounts runs;   // of the batches, ns
  // Of the batches, those that failed other than by being given up: all, and those since the last that did
  // not.
  uint64_t failed = 0, failed_in_a_row = 0;
  std::string last_failure;
  int64_t last_failed_ns = 0;  // steady clock; 0: none has
};

// What one device of a session on several has to do (device=CUDA:*).
struct DeviceLoad {
  std::string device;            // "CUDA:1"
  size_t streams = 0;            // bound to it now
  double frames_per_second = 0;  // of these; one that has not said its frame period counts as 30
  SessionTotals totals;          // of what ran on it, also for others who name this device alone
};

class Session {
 public:
  virtual ~Session() = default;
  // Of one sample, without the constant inputs. Axes are -1 where the model leaves them to the user.
  virtual const ModelSignature& signature() const = 0;
  virtual const ModelSignature& signature_with_constants() const = 0;
  virtual const std::string& model() const = 0;
  // The device that it runs on, from whose memory inputs are taken as well; null: the CPU.
  virtual ContextRef device() const = 0;
  // The most samples of a run. Tensors that hold so many, or with a free batch axis any number, are taken as
  // well, and run as they are.
  virtual size_t batch_size() const = 0;
  virtual void set_batch_timeout(int milliseconds) = 0;  // as in SessionOptions; for everybody
  virtual SessionTotals totals() const = 0;
  // By device, of a session on several; else empty.
  virtual std::vector<DeviceLoad> loads() const { return {}; }
  // The outputs for inputs of these shapes, found by a trial run where the model does not say; -1 where a
  // size depends on the data. Remembered. Also fails when the shapes do not fit.
  virtual Result<std::vector<TensorInfo>> outputs_for(std::span<const Shape> inputs) = 0;
  // Inputs of the model's shapes, with or without outer axes of 1; of its types, or of others that can be
  // converted (see gather.h).
  // `memory`: where they lie; that of the device has to be of the model's types.
  virtual Result<std::unique_ptr<SessionStream>> open_stream(std::span<const TensorInfo> inputs,
                                                             MemoryKind memory = MemoryKind::system) = 0;
};

class SessionStream {
 public:
  virtual ~SessionStream() = default;  // waits for what is under way; cancel() before makes that short
  virtual const std::vector<TensorInfo>& outputs() const = 0;
  // Why its samples are run one by one though batches were wanted; else empty.
  virtual const std::string& note() const = 0;
  // Blocks that the engine reads directly, or copies once within its device; as many as are asked for.
  virtual Ref<MemoryPool> input_pool(size_t input) const = 0;
  // `outputs` are replaced. When the size of an output depends on the data, this waits until they are there.
  virtual Status submit(std::span<const Tensor> inputs, Time pts, std::vector<Tensor>& outputs) = 0;
  // Nothing comes for now: what waits for a full batch is run at once, and others do not wait for more. Until
  // the next submit().
  virtual void drain() = 0;
  // Time from one frame to the next, ns; for the automatic batch time-out.
  virtual void set_frame_period(Time period) = 0;
  // Fails, with `cancelled`, what has not begun and what the engine can give up, and submit() until resume().
  // From any thread.
  virtual void cancel() = 0;
  virtual void resume() = 0;
};

struct OpenedSession {
  std::shared_ptr<Session> session;
  bool joined = false;  // others use it already
  std::vector<std::string> warnings;
};
// Loads the model, or joins those who use it already.
Result<OpenedSession> open_session(const SessionOptions& options);

}  // namespace sightglass
