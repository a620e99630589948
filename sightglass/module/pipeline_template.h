// The checked pipeline of a module, ready to be built for any stream: models loaded as shared sessions,
// functions loaded, every property resolved but for what depends on the stream or on parameters.
//
// Made once per module by prepare_template(), which loads and warms up the models (that may take minutes; it
// tells how far it is). Immutable and thread-safe afterwards.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/histogram.h"
#include "sightglass/core/result.h"
#include "sightglass/module/parameters.h"
#include "sightglass/module/spec.h"

namespace sightglass::module {

struct Progress {
  std::string step;                     // "loading model face_rfb"
  double done = 0;                      // 0..1 of the whole
  Time remaining = no_time;             // ns, as far as known
  uint64_t bytes = 0, total_bytes = 0;  // of a download under way; total 0: there is none, or it is not known
};

// Of one element or model, for /v1/elements, /v1/models and metrics; counters only grow.
struct ElementState {
  std::string name, type, device;
  uint64_t frames = 0, dropped = 0, errors = 0, overruns = 0;
  double seconds = 0;
  bool is_open = false;           // its breaker
  uint64_t binding_defaults = 0;  // properties that follow an attribute and had none
  std::vector<std::pair<std::string, uint64_t>> binding_defaults_of;  // the same by property
  double hang_seconds = 0;                                            // of a function's call under way
  std::string last_error;                                             // of a function
  HistogramCounts times;                                              // that frames were in it, ns
  uint64_t ended_behind = 0;                                          // of those, by a function behind it
  uint64_t warnings = 0;  // that its GStreamer elements have posted
  std::string last_warning;
};
struct ModelState {
  std::string name, path, engine, device, precision, note;
  unsigned batch_size = 1;
  uint64_t batches = 0, samples = 0;
  double seconds = 0;
  HistogramCounts batch_sizes, batch_waits, runs;  // samples; ns of samples for their batch; ns of batches
  uint64_t failed = 0, failed_in_a_row = 0;        // batches; since the last that did not
  std::string last_failure;
  int64_t last_failed_ns = 0;  // steady clock; 0: none has
  // What each of several devices has to do; empty: there is one.
  struct Device {
    std::string name;
    size_t streams = 0;
    double frames_per_second = 0;
    uint64_t samples = 0;
    double seconds = 0;
  };
  std::vector<Device> devices;
};

// One element of the graph as `explain` shows it.
struct ExplainedStep {
  std::string name, type, format, memory;
  std::string bound;          // "threshold ← parameters.min_face (etcd)"
  uint64_t copied_bytes = 0;  // per frame, at a size of 1920×1080 unless known
};

// What becomes of a running stream when a parameter changes.
enum class ParameterEffect : uint8_t {
  none,     // nothing refers to it
  live,     // from the next frame on
  recycle,  // with the stream's next instance: renew it at a keyframe
  restart,  // with the next start of the module
};

class PipelineTemplate {
 public:
  virtual ~PipelineTemplate() = default;
  virtual const ModuleSpec& spec() const = 0;
  virtual std::vector<ElementState> elements() const = 0;
  virtual std::vector<ModelState> models() const = 0;
  // The chosen encoder, or why there is none; empty without encoded output.
  virtual std::string encoder() const = 0;
  virtual std::vector<std::string> warnings() const = 0;

  virtual ParameterEffect effect_of(std::string_view parameter) const = 0;
  // Whether every element takes these values, for one source or (empty) for all of them: every reason why
  // not. Touches nothing; the bound elements of a ParameterStore's CheckSet.
  virtual std::vector<ParameterError> check(std::shared_ptr<const ParameterSet> parameters,
                                            std::string_view source_id) const = 0;
};

// The graph with formats, memory and copies per link, and what properties are bound to. Without a stream the
// size is taken to be 1920×1080.
std::vector<ExplainedStep> explain(const PipelineTemplate& pipeline);

struct PrepareOptions {
  std::function<void(const Progress&)> on_progress;  // on the calling thread
  bool load_models = true;                           // false: for explain and checks that touch no device
};
Result<std::shared_ptr<PipelineTemplate>> prepare_template(const ModuleSpec& spec,
                                                           const PrepareOptions& options = {});

}  // namespace sightglass::module
