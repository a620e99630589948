// The typed description of a module: what a YAML file says, and what programs may build without one.
//
//   ModuleSpec spec;
//   spec.name = "gate";
//   spec.models = {{"face", {.path = "face.onnx"}}};
//   spec.pipeline.elements = {{.name = "faces", .type = "detector", .model = "face"}};
//   auto module = Module::create(spec);
//
// Read from YAML by load_module() (module_file.h); checked by check() (checks.h) in either case. Texts and
// numbers that may be bound to parameters are kept as Value until an element is built. Names of fields are
// the keys of the file. Plain values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/module/value.h"
#include "sightglass/stream/lifecycle/stream_rules.h"

namespace sightglass::module {

enum class ParameterType : uint8_t { boolean, integer, number, text, line, polygon };  // number: "float"

struct ParameterSpec {
  ParameterType type = ParameterType::text;
  Value default_value;  // key `default`
  std::optional<double> min, max;
  std::vector<Value> choices;  // key `enum`
  std::string pattern, unit, env, doc;
  bool secret = false, per_source = false;
  Origin origin;
};

struct ModelSpec {
  std::string path, url, sha256;
  std::string engine = "auto", device = "auto", precision;  // precision empty: the model's
  unsigned instances = 1, warmup = 1;
  Value auth;      // of `url`; secrets by *_file only
  Value document;  // the rest: the neutral model document, keys with '_'; a map or null
  Origin origin;
};

enum class OnError : uint8_t { pass, drop_frame, stream, module };
struct BreakerSpec {  // opens after `failures` within `window`
  unsigned failures = 20;
  Time window = 10'000'000'000, pause = 30'000'000'000;
};
struct FunctionSpec {
  std::string language = "python";  // python, cpp
  std::string path, symbol;
  Value args;                         // a map or null, given to the function
  std::string isolation = "process";  // python: process, inline
  unsigned workers = 1;
  Origin origin;
};

struct ElementSpec {
  std::string name, type;  // type: detector, …, pyfunc, cppfunc, "gst:FACTORY"
  std::string model;       // name in `models`; an inline block has been given a name by the loader
  std::optional<FunctionSpec> function;
  Value select, keep, when;  // selectors, 3.4; null: everything
  std::string group;
  std::vector<Value> preprocess, postprocess;  // a name, a map {name: {parameter: value}} or a function
  double reuse_growth = 0;                     // 0: off
  OnError on_error = OnError::pass;
  Time budget = 50'000'000;
  BreakerSpec breaker;
  std::string tag;
  Value properties;  // a map or null
  Origin origin;
};

struct SourceSpec {  // of the pipeline
  std::string type = "zeromq";
  Value properties;  // keys of the type, with `url` (text or list), `curve`, `sources`, `accept`…
  Origin origin;
};

enum class QueuePolicy : uint8_t { automatic, block, drop_oldest, drop_to_keyframe, latest, spill };
enum class SpillSync : uint8_t { none, segment, record };  // as stream::SpillSync
struct QueueSpec {
  unsigned records = 256;
  uint64_t bytes = 128u << 20;
  QueuePolicy policy = QueuePolicy::automatic;  // by the type of the sink
  uint64_t spill_bytes = uint64_t(1) << 30;
  bool durable = false;  // policy spill: to disk at once, not only when memory is full
  SpillSync sync = SpillSync::segment;
};
struct SinkSpec {
  std::string name, type;
  Value when;  // selector
  bool required = false;
  QueueSpec queue;
  std::optional<FunctionSpec> map;  // record → record
  Value properties;                 // keys of the type
  Origin origin;
};

struct PipelineSpec {
  std::vector<SourceSpec> sources;  // key `source`: one, or a list; empty: frames are pushed by the program
  std::vector<ElementSpec> elements;
  std::vector<SinkSpec> sinks;
};

struct OutputFrameSpec {
  std::string codec = "none";    // none, copy, h264, hevc, av1, jpeg, png, raw
  std::string encoder = "auto";  // auto, hardware, software
  int width = 0, height = 0;     // key `size`; 0: as the frames are
  uint64_t bitrate = 0;          // bits/s; 0: the encoder's default
  unsigned gop = 0;              // frames; 0: one per second
  unsigned quality = 85;         // jpeg
  Value when;                    // selector
  bool operator==(const OutputFrameSpec&) const = default;
};

struct BatchingSpec {
  unsigned batch_size = 1, max_per_stream = 0;
  Time batch_timeout = 5'000'000;
};
struct BufferSpec {  // key `buffers.stream`
  unsigned frames = 64;
  uint64_t bytes = 64u << 20;
  QueuePolicy policy = QueuePolicy::automatic;  // by the type of the source
};
struct HttpSpec {
  std::string bind = "127.0.0.1:8080";  // "off": none
  std::string token_file;
  Value tls;
};
struct SecuritySpec {
  std::string shutdown_token_file;
  bool require_auth = false;
  std::vector<std::string> location_schemes, location_roots;
};
struct TelemetrySpec {
  std::map<std::string, std::string> labels;  // of metrics
  std::string metrics_otlp_url, traces_otlp_url;
  unsigned trace_sample = 100;  // one frame of so many; 0: none
  std::string log_level = "info", log_format = "text";
  Time flow_timeout = 10'000'000'000;  // a frame older than this says that nothing moves: not ready
};
struct StorageSpec {  // folders; empty: below the user's cache or state folder
  std::string models, compiled, downloads, spill, state;
};
struct GroupSpec {
  Value enabled = true;
};

struct ModuleSpec {
  int version = 1;
  std::string name = "module";
  std::vector<std::pair<std::string, ParameterSpec>> parameters;
  std::vector<std::pair<std::string, ModelSpec>> models;
  std::vector<std::pair<std::string, GroupSpec>> groups;
  PipelineSpec pipeline;
  stream::StreamRules streams;
  Value stream_values;  // keys of `streams` whose value is a reference to a parameter; a map or null
  std::vector<std::pair<std::string, Value>> stream_overrides;  // source-id pattern → keys of `streams`
  Value limits;                                                 // keys of 1.5; a map or null
  BatchingSpec batching;
  BufferSpec buffers;
  Value draw;  // list of rules, a function, or null: off
  OutputFrameSpec output_frame;
  TelemetrySpec telemetry;
  HttpSpec http;
  SecuritySpec security;
  StorageSpec storage;
  std::string etcd_url, etcd_prefix = "/sightglass";  // parameters' layer 2; empty: none
  std::string parameter_file;                         // layer 3
  std::string folder;        // that relative paths start from; empty: the current one
  bool development = false;  // no key of the file: changed code of functions is taken while streams run
};

}  // namespace sightglass::module
