// Engines: the inference runtimes behind one narrow interface. An engine is found and loaded at first use,
// never when a plug-in is registered, so that this library runs without any and takes a newer one by its
// path.
//
//   Engine* engine = engine_for("yolox.onnx");
//   Result<std::unique_ptr<LoadedModel>> model = engine->load("yolox.onnx", {.device = "CPU"});
//   std::unique_ptr<ModelRequest> request = (*model)->request();
//   Status status = request->run(inputs, outputs);
//
// Elements do not use engines directly but through a session (session.h), which shares the model and keeps
// several requests in flight.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/core/tensor.h"
#include "sightglass/memory/context.h"
#include "sightglass/model/signature.h"

namespace sightglass {

class CudaStream;

// What is wanted of the machine: most frames per second in all (several single-threaded requests side by
// side, nobody spins), or the soonest answer to each (one request has all cores, and its threads may spin).
enum class SchedulingPolicy : uint8_t { throughput, latency };

struct LoadOptions {
  std::string device = "CPU";  // CPU, GPU[.n], CUDA[:n], AUTO; case does not matter, '.' and ':' are alike
  std::string config;          // KEY=VALUE,… ; the engine says which keys it knows
  SchedulingPolicy policy = SchedulingPolicy::throughput;
  std::vector<Shape> input_shapes;  // by input; fixes its free axes, -1 leaves one as it is
  // A free first axis of an input is the batch: left free, -1 in the signature, so that any number of samples
  // is run at once; else it is taken as 1.
  bool free_batch = false;
  std::vector<std::string> outputs;  // names of those wanted, in this order; empty: all, in the model's order
  bool operator==(const LoadOptions&) const = default;
};

// One tensor as a request reads or writes it: dense, of the type that the signature says, at an address of
// the CPU.
struct Binding {
  void* data = nullptr;
  Shape shape;
  MemoryRef memory;        // of an output that the engine has made itself; `data` lies in it
  bool is_placed = false;  // of an input: it has been written to ModelRequest::place(), `data` does not count
};

// What one thread needs to run a model; make one per thread and keep it, it remembers what would else be made
// anew for every run. Not thread-safe; several requests of one model run at the same time.
class ModelRequest {
 public:
  virtual ~ModelRequest() = default;
  // In the order of the signature. An output with an address is written there and has to have the shape that
  // comes out; one without gets the engine's own memory, without a copy, and the shape that came out. Blocks
  // until done.
  virtual Status run(std::span<const Binding> inputs, std::span<Binding> outputs) = 0;
  // From any thread. True: the run under way, and later ones, fail as soon as the engine can give them up, or
  // go on where it cannot; false: no more.
  virtual void set_interrupted(bool) {}

  // The rest is for models on a device (LoadedModel::device()).
  //
  // Gets ready for runs of these shapes, on the thread that is going to make all of them: what the device has
  // to do is recorded, so that a run only has to be started. Larger shapes first. The outputs are such as
  // run() is given addresses for. Takes seconds. After an error runs work as before, only not recorded.
  virtual Status prepare(std::span<const Shape> inputs, std::span<const Shape> outputs) {
    (void)inputs, (void)outputs;
    return {};
  }
  // What works on the device run by run; work on inputs is put in as well. Null: the CPU.
  virtual CudaStream* stream() { return nullptr; }
  // Address on the device of an input of the next run, to be written in stream().
  virtual Result<uint64_t> place(size_t input, const Shape& shape) {
    (void)input, (void)shape;
    return fail(ErrorCode::unsupported, "the model does not run on a device");
  }
};

// A model ready to run. Thread-safe. Its requests must not outlive it; tensors that they have made may.
class LoadedModel {
 public:
  virtual ~LoadedModel() = default;
  // The inputs, with axes fixed where the options say so, and the wanted outputs.
  virtual const ModelSignature& signature() const = 0;
  virtual std::unique_ptr<ModelRequest> request() = 0;
  // So many requests at the same time use the device fully.
  virtual unsigned parallel_requests() const = 0;
  // The device whose memory it reads inputs from; null: the CPU. Its requests belong to one thread each.
  virtual ContextRef device() const { return nullptr; }
  // What a user should know though it is no fault: which device AUTO has chosen, and why.
  virtual std::vector<std::string> notes() const { return {}; }
};

struct EngineInfo {
  std::string version;  // "1.30.0"
  std::string library;  // file that was loaded
  std::string note;     // empty, or why a library that was to be preferred is not used
};

// Thread-safe.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual std::string_view name() const = 0;  // "onnxruntime"
  virtual bool reads(const std::filesystem::path& model) const = 0;
  // Loads the library if that has not happened yet; an error says why this engine is not usable here.
  virtual Result<EngineInfo> info() = 0;
  // Whether models can be loaded onto the device; an error says what is missing, and what is usable. May take
  // a second.
  virtual Status check_device(std::string_view device) = 0;
  virtual Result<std::unique_ptr<LoadedModel>> load(const std::filesystem::path& model,
                                                    const LoadOptions& options) = 0;
  // What a name with a star stands for on this machine, such as CUDA:*: each a device that load() takes, at
  // least one. An error says what is missing, and what is usable.
  virtual Result<std::vector<std::string>> devices(std::string_view pattern);
};

// An engine from outside: what a shared object named by SIGHTGLASS_PLUGIN_PATH (elements/plugins.h) adds.
//
//   MyEngine engine;
//   const EngineRegistration registration(engine);  // while it loads; the engine is never unloaded
//
// onnx_tensor_inference and the bins run the files that it reads; it is asked before those of this build.
struct EngineRegistration {
  explicit EngineRegistration(Engine& engine);
};

std::vector<Engine*> engines();                                  // all there are, those from outside first
Engine* find_engine(std::string_view name);                      // null where there is none
Result<Engine*> engine_for(const std::filesystem::path& model);  // by the kind of file
Engine* added_engine_for(
    const std::filesystem::path& model);  // of those from outside; null where none reads it

// That the file is there, is one, can be read and is not empty.
Status check_model_file(const std::filesystem::path& model);

// A device as options name it, taken apart.
struct DeviceName {
  enum class Kind : uint8_t { cpu, gpu, automatic } kind = Kind::cpu;
  int index = 0;
  bool all = false;  // CUDA:*, every one of the kind; for sessions (session.h), which load() each
};
Result<DeviceName> parse_device(std::string_view text);

// "a=1,b=2" in order; a part without '=' or with an empty key is an error.
Result<std::vector<std::pair<std::string, std::string>>> parse_config(std::string_view text);

// Shapes in caps notation, one per input, separated by commas; 0 leaves an axis as it is: "416:416:3:1".
Result<std::vector<Shape>> parse_input_shapes(std::string_view text);

// Meaning of the axes where the place of 1, 3 or 4 channels leaves no doubt, else any.
Layout layout_of(const Shape& shape);

unsigned usable_cores();  // that this process may run on

}  // namespace sightglass
