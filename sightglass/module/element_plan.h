// An element of the module before there is any stream: which GStreamer element stands behind its type, what
// its properties are and which of them follow parameters or attributes of frames. The template makes one plan
// per element; a stream's pipeline is built from it, and set_parameters() goes through it again.
//
//   plan (once)  →  resolve(parameters, source id): texts that have been checked  →  GObject properties
//
// Inside of the library only. Plans are immutable but for their counters; any thread.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/histogram.h"
#include "sightglass/core/param.h"
#include "sightglass/elements/selection/selector.h"
#include "sightglass/model/description.h"
#include "sightglass/module/element_types.h"
#include "sightglass/module/frame_binding.h"
#include "sightglass/module/function.h"
#include "sightglass/module/log.h"
#include "sightglass/module/parameters.h"
#include "sightglass/module/spec.h"

namespace sightglass::module {

// What stands behind a type.
enum class ElementKind : uint8_t { ours, foreign, function };

struct PropertyPlan {
  std::string name;  // as GObject knows it
  const ParamDesc* param = nullptr;
  Value value;  // may hold references
  bool is_live = false;
};
struct BindingPlan {
  std::string name;
  const ParamDesc* param = nullptr;
  FrameBinding binding;
  // Frames that had no such attribute.
  std::shared_ptr<std::atomic<uint64_t>> defaults = std::make_shared<std::atomic<uint64_t>>(0);
};
struct ElementCounters {
  std::atomic<uint64_t> frames{0}, dropped{0}, errors{0};
  Histogram times{time_bounds};           // of frames that came out, ns
  std::atomic<uint64_t> ended_behind{0};  // of those, by a function behind the element: dropped or failed
};
// Warnings that running GStreamer elements post. Thread-safe.
class PostedWarnings {
 public:
  void add(const Log& log, std::string_view about, std::string_view text);
  uint64_t count() const { return count_; }
  std::string last() const;

 private:
  std::atomic<uint64_t> count_{0};
  LogLimit limit_;
  mutable std::mutex mutex_;
  std::string last_;  // without secrets
};

// One of the functions around the element's model.
struct FunctionStep {
  Value value;            // as it is described
  bool is_users = false;  // else {NAME: {…}} or NAME; once the template has loaded it:
  std::shared_ptr<FunctionElement> function;
  bool changes_box = false;   // hook region; else prepare
  int width = 0, height = 0;  // key `size`, of the picture that prepare works on; 0: that of the model
};

struct ElementPlan {
  const ElementSpec* spec = nullptr;  // of the template's description
  const ElementType* type = nullptr;  // null: foreign
  ElementKind kind = ElementKind::ours;
  std::string factory;
  std::span<const ParamDesc> params;  // that it has
  Settings fixed;                     // what the module sets: model, session, description
  std::vector<PropertyPlan> properties;
  std::vector<BindingPlan> bindings;
  std::vector<FunctionStep> preprocess, postprocess;
  std::string builtin_postprocess;  // JSON of those behind the element; empty: none
  Value decoder_keys;               // properties of the model's decoders, for its description
  std::vector<std::pair<std::string, Value>> thresholds;  // of attributes, by name
  std::vector<Label> hidden;                              // attributes that sinks do not get
  bool hides_all = false;                                 // nor anything else of this element
  bool writes_regions = false;                            // then `keep` is looked at
  std::shared_ptr<FunctionElement> function;
  mutable ElementCounters counters;
  mutable PostedWarnings posted;

  const std::string& name() const { return spec->name; }
  // Functions of the user's own stand in front of its model.
  bool has_object_functions() const { return std::ranges::any_of(preprocess, &FunctionStep::is_users); }
  const ParamDesc* find_param(std::string_view property) const;
};
using ElementPlans = std::vector<std::unique_ptr<ElementPlan>>;

// Functions are carried by an `identity`. Without models and functions, which are the template's business.
// Errors say which key and why.
Result<std::unique_ptr<ElementPlan>> plan_element(const ElementSpec& spec);

// Everything of a plan that depends on parameters or stream.
struct ResolvedElement {
  bool is_enabled = true;                                  // its group
  Settings settings;                                       // of all properties, as checked texts
  std::vector<std::pair<std::string, double>> thresholds;  // of attributes, by name
  Selector select, when;  // of functions; other elements have them as properties
  Selector keep;
};
struct ResolvedSet {
  uint64_t revision = 0;
  std::shared_ptr<const ParameterSet> parameters;  // null: the defaults of the description
  std::vector<ResolvedElement> elements;           // as the plans
  Selector output_when;
  Value draw;
};

// A value with parameters as they are by default.
Result<Value> resolve_defaults(const ModuleSpec& spec, const Value& value);

// Every reason why not, else the set. `source_id` empty: for the module as a whole, where references to the
// stream are left unchecked.
std::shared_ptr<const ResolvedSet> resolve(const ModuleSpec& spec, const ElementPlans& plans,
                                           std::shared_ptr<const ParameterSet> parameters,
                                           std::string_view source_id, std::vector<ParameterError>& errors);

}  // namespace sightglass::module
