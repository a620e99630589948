// A model of the module: its file, its session, which stays open as long as the module and which all streams
// share, and the descriptions that its elements get. Inside of the library only.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/model/session.h"
#include "sightglass/module/model_fetch.h"
#include "sightglass/module/pipeline_template.h"
#include "sightglass/module/spec.h"

namespace sightglass::module {

// A document that is a file for whoever reads it, and is gone with this object.
class DocumentFile {
 public:
  static Result<DocumentFile> make(const std::string& name, const std::string& text);
  DocumentFile(DocumentFile&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  DocumentFile& operator=(DocumentFile&& other) noexcept;
  ~DocumentFile();
  std::string path() const;

 private:
  explicit DocumentFile(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

struct SessionWishes {  // of the elements that use the model, together
  unsigned batch_size = 1, max_per_stream = 0;
  Time batch_timeout = 5'000'000;
};

class ModelPlan {
 public:
  // Finds its file, and fetches one that is named by a URL and not there yet, if it may. `spec` outlives it.
  static Result<std::unique_ptr<ModelPlan>> find(
      const std::string& name, const ModelSpec& spec, const ModuleSpec& module, bool may_fetch = false,
      const ModelProgress& progress = [](const Progress&) {});
  const std::string& name() const { return name_; }
  const std::string& path() const { return path_; }
  const std::string& instance_id() const { return instance_id_; }

  // Loads the model and runs it `warmup` times, on a thread of its own, since that may take minutes:
  // `progress` is told every second, here. What the user should know is added to `warnings`.
  Status load(const SessionWishes& wishes, std::vector<std::string>& warnings, const ModelProgress& progress);
  // The neutral document for one element: the inline keys, the element's name, and what the element's own
  // properties say of decoder and attributes.
  Result<std::string> document_for(const ElementSpec& element, const Value& decoder_keys,
                                   const Value& attributes);
  ModelState state() const;
  // Numbers of the CUDA devices that it runs on, or will when it is loaded, as far as its device= says;
  // empty: on none.
  std::vector<int> cuda_devices() const;

 private:
  ModelPlan(const std::string& name, const ModelSpec& spec) : name_(name), spec_(spec) {}

  const std::string name_;
  const ModelSpec& spec_;
  std::string folder_, path_, instance_id_, compiled_;
  std::shared_ptr<Session> session_;
  std::vector<DocumentFile> documents_;
  std::string note_;
};

}  // namespace sightglass::module
