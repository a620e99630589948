#include "sightglass/module/model_plan.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <format>
#include <future>
#include <mutex>
#include <optional>

#include "sightglass/memory/context.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/model/compiled_cache.h"
#include "sightglass/model/description.h"
#include "sightglass/model/engine.h"
#include "sightglass/model/load_progress.h"
#include "sightglass/model/sha256.h"
#include "sightglass/model/store.h"

namespace sightglass::module {
namespace {

namespace fs = std::filesystem;

std::atomic<uint64_t> next_instance{1};  // modules of one process share nothing

std::unexpected<Error> refuse(const std::string& model, std::string_view why) {
  return fail(ErrorCode::invalid_argument, "models.{}: {}", model, why);
}

// The file that `path` names.
Result<fs::path> locate(const std::string& name, const ModelSpec& spec, const fs::path& folder) {
  if (spec.path.empty()) return refuse(name, "it has neither path nor url");
  std::error_code ignored;
  const fs::path beside = folder / spec.path;
  const fs::path found = fs::exists(beside, ignored) ? beside : fs::path();
  auto resolved = found.empty() ? resolve_model(spec.path) : Result<fs::path>(found);
  if (!resolved) return refuse(name, resolved.error().message);
  if (spec.sha256.empty()) return resolved;
  auto sum = sha256_of_file(*resolved);
  if (!sum) return forward_error(sum);
  if (*sum != spec.sha256)
    return fail(ErrorCode::corrupt, "models.{}: {} has the checksum {}, not {}", name, resolved->string(),
                *sum, spec.sha256);
  return resolved;
}

fs::path compiled_folder(const ModuleSpec& module) {
  if (module.storage.compiled.empty()) return cache_dir() / "compiled";
  return fs::path(module.folder) / module.storage.compiled;
}

// Files that the document names lie beside the module's.
void make_absolute(Value& output, const fs::path& folder) {
  Value absolute = Value::map();
  for (const auto& [key, value] : *output.entries()) {
    Value changed = value;
    std::error_code ignored;
    const auto beside = [&](const std::string& path) {
      return fs::absolute(folder / path, ignored).string();
    };
    const auto is_file = [&](const std::string* path) { return path && fs::exists(folder / *path, ignored); };
    if (key == "labels" && value.entries()) {
      const Value* file = value.find("file");
      if (file && file->text()) changed.set("file", beside(*file->text()));
    } else if ((key == "labels" || key.ends_with("_file") || key == "decoder") && is_file(value.text())) {
      changed = Value(beside(*value.text()));
    }
    absolute.set(key, std::move(changed));
  }
  output = std::move(absolute);
}

}  // namespace

// ---- documents

Result<DocumentFile> DocumentFile::make(const std::string& name, const std::string& text) {
  const int descriptor = memfd_create(name.c_str(), MFD_CLOEXEC);
  if (descriptor < 0) return fail(ErrorCode::exhausted, "no file in memory can be made for {}", name);
  DocumentFile file(descriptor);
  for (size_t done = 0; done < text.size();) {
    const ssize_t wrote = write(descriptor, text.data() + done, text.size() - done);
    if (wrote <= 0) return fail(ErrorCode::exhausted, "the file in memory for {} cannot be written", name);
    done += size_t(wrote);
  }
  return file;
}

DocumentFile& DocumentFile::operator=(DocumentFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

DocumentFile::~DocumentFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

std::string DocumentFile::path() const { return std::format("/proc/self/fd/{}", descriptor_); }

// ---- the model

Result<std::unique_ptr<ModelPlan>> ModelPlan::find(const std::string& name, const ModelSpec& spec,
                                                   const ModuleSpec& module, bool may_fetch,
                                                   const ModelProgress& progress) {
  std::unique_ptr<ModelPlan> plan(new ModelPlan(name, spec));
  plan->folder_ = module.folder.empty() ? "." : module.folder;
  plan->compiled_ = compiled_folder(module).string();
  auto path = spec.url.empty() ? locate(name, spec, plan->folder_)
                               : fetch_model(name, spec, module, may_fetch, progress);
  if (!path) return forward_error(path);
  plan->path_ = path->string();
  plan->instance_id_ = std::format("{}/{}#{}", module.name, name, next_instance++);
  return plan;
}

Status ModelPlan::load(const SessionWishes& wishes, std::vector<std::string>& warnings,
                       const ModelProgress& progress) {
  SessionOptions options;
  options.shared_id = instance_id_;
  options.model = path_;
  options.device = spec_.device == "auto" ? "AUTO" : spec_.device;
  options.batch_size = wishes.batch_size;
  options.batch_timeout = int((wishes.batch_timeout + 999'999) / 1'000'000);
  options.max_per_stream = wishes.max_per_stream;
  options.warmup = spec_.warmup;
  if (spec_.instances > 1) options.workers = spec_.instances;
  if (spec_.engine != "auto") {
    const std::string engine = spec_.engine == "onnx" ? "onnxruntime" : spec_.engine;
    options.engine = find_engine(engine);
    if (!options.engine)
      return fail(ErrorCode::unavailable, "models.{}: there is no engine '{}' here", name_, spec_.engine);
  }
  if (!spec_.precision.empty())
    warnings.push_back(
        std::format("models.{}: precision {}: the model runs as it is", name_, spec_.precision));
  std::mutex step_mutex;
  std::string step = std::format("loading model {}", name_);
  auto opening = std::async(std::launch::async, [&] {
    const CompiledFolder folder(compiled_);
    const LoadProgress told([&](std::string_view text) {
      const std::lock_guard lock(step_mutex);
      step = std::format("model {}: {}", name_, text);
    });
    return open_session(options);
  });
  progress({.step = std::format("loading model {}", name_)});
  for (int seconds = 1; opening.wait_for(std::chrono::seconds(1)) != std::future_status::ready; ++seconds) {
    std::unique_lock lock(step_mutex);
    std::string now = std::format("{} ({} s)", step, seconds);
    lock.unlock();
    progress({.step = std::move(now)});
  }
  auto opened = opening.get();
  if (!opened) {
    Error error = opened.error();
    error.message = std::format("models.{}: {}", name_, error.message);
    if (error.code != ErrorCode::not_found && error.code != ErrorCode::corrupt)
      error.code = ErrorCode::unavailable;
    return std::unexpected(std::move(error));
  }
  for (const std::string& warning : opened->warnings) {
    warnings.push_back(std::format("models.{}: {}", name_, warning));
    note_ += (note_.empty() ? "" : "; ") + warning;
  }
  session_ = std::move(opened->session);
  return {};
}

Result<std::string> ModelPlan::document_for(const ElementSpec& element, const Value& decoder_keys,
                                            const Value& attributes) {
  Value document = spec_.document.entries() ? spec_.document : Value::map();
  document.set("sightglass_model", 1);
  document.set("name", element.name);
  Value outputs = document.find("output") ? *document.find("output") : Value();
  const auto* of_element = decoder_keys.entries();
  const auto* of_attributes = attributes.entries();
  const bool changes = (of_element && !of_element->empty()) || of_attributes;
  if (!outputs.items() && changes) {
    // What another source says of the outputs is taken over, so that it can be changed.
    const ModelSignature none;
    auto info = describe_model(path_, session_ ? session_->signature_with_constants() : none);
    if (!info) return forward_error(info);
    for (const OutputInfo& output : info->outputs) {
      if (!output.decoder) continue;
      Value entry = Value::map();
      entry.set("decoder", *output.decoder);
      if (output.layers) {
        Value layers = Value::list();
        for (const std::string& layer : *output.layers) layers.add(layer);
        entry.set("layers", std::move(layers));
      }
      if (output.attribute) entry.set("attribute", *output.attribute);
      outputs.add(std::move(entry));
    }
    if (!outputs.items())
      return fail(ErrorCode::invalid_argument,
                  "nothing says how the outputs of {} are decoded, so there is nothing to change", path_);
  }
  if (const auto* items = outputs.items()) {
    Value changed = Value::list();
    for (Value output : *items) {
      if (output.entries()) {
        make_absolute(output, folder_);
        if (of_element)
          for (const auto& [key, value] : *of_element) output.set(key, value);
        const Value* attribute = output.find("attribute");
        if (!attribute) attribute = output.find("attribute_name");
        const Value* wanted = attribute && attribute->text() ? attributes.find(*attribute->text()) : nullptr;
        if (const auto* keys = wanted ? wanted->entries() : nullptr)
          for (const auto& [key, value] : *keys)
            if (key != "hidden") output.set(key, value);
      }
      changed.add(std::move(output));
    }
    document.set("output", std::move(changed));
  }
  auto file = DocumentFile::make(element.name, document.to_json());
  if (!file) return forward_error(file);
  documents_.push_back(*std::move(file));
  return documents_.back().path();
}

ModelState ModelPlan::state() const {
  ModelState state{
      .name = name_, .path = path_, .device = spec_.device, .precision = spec_.precision, .note = note_};
  if (auto engine = engine_for(path_)) state.engine = (*engine)->name();
  if (!session_) return state;
  const SessionTotals totals = session_->totals();
  state.batch_size = unsigned(session_->batch_size());
  state.batches = totals.batches;
  state.samples = totals.samples;
  state.seconds = totals.seconds;
  state.batch_sizes = totals.sizes;
  state.batch_waits = totals.waits;
  state.runs = totals.runs;
  state.failed = totals.failed;
  state.failed_in_a_row = totals.failed_in_a_row;
  state.last_failure = totals.last_failure;
  state.last_failed_ns = totals.last_failed_ns;
  for (const DeviceLoad& load : session_->loads())
    state.devices.push_back({.name = load.device,
                             .streams = load.streams,
                             .frames_per_second = load.frames_per_second,
                             .samples = load.totals.samples,
                             .seconds = load.totals.seconds});
  return state;
}

std::vector<int> ModelPlan::cuda_devices() const {
  const auto number_of = [](const std::string& device) -> std::optional<int> {
    const auto parsed = parse_device(device);
    if (!parsed || parsed->kind != DeviceName::Kind::gpu || parsed->all) return {};
    return parsed->index;
  };
  std::vector<int> numbers;
  const auto add = [&](std::optional<int> number) {
    if (number) numbers.push_back(*number);
  };
  if (!session_) {
    add(number_of(spec_.device));
    return numbers;
  }
  for (const DeviceLoad& load : session_->loads()) add(number_of(load.device));
  const ContextRef device = session_->device();
  if (numbers.empty() && device && device->kind() == MemoryKind::cuda)
    numbers.push_back(cuda_number(*device));
  return numbers;
}

}  // namespace sightglass::module
