// Live parameters: named values with five layers above each other (HTTP, etcd, a watched file, the
// environment, the YAML default; the highest that has a value counts), for the whole module or for one source
// id, which beats the module's of the same layer. Each committed change makes a revision.
//
//   ParameterStore store(spec.parameters, options);
//   auto applied = store.change({{Layer::http, "min_face", "", Value(0.8)}}, "token ops");
//   double value = *store.current()->find("min_face", "cam-1")...
//
// A ParameterSet is one revision of everything, immutable and shared; frames name its number. A change is
// validated as a whole, given to `apply` (the module, which applies it at frame boundaries in every stream),
// and taken back everywhere when any element refuses it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/module/spec.h"

namespace sightglass::module {

enum class Layer : uint8_t { http = 1, etcd, file, environment, yaml };
std::string_view to_string(Layer layer);

struct ParameterValue {
  Value value;
  Layer layer = Layer::yaml;
};

class ParameterSet {
 public:
  virtual ~ParameterSet() = default;
  virtual uint64_t revision() const = 0;
  // Null: no such parameter. An empty source id: the module's own value.
  virtual const ParameterValue* find(std::string_view name, std::string_view source_id) const = 0;
};

struct ParameterChange {
  Layer layer = Layer::http;
  std::string name, source_id;  // empty source id: module-wide
  Value value;                  // null: uncover the next layer
  bool persist = true;          // http only
};

struct Revision {
  uint64_t number = 0;
  int64_t at_us = 0;
  std::string by;                    // token name, "etcd", "file"
  std::vector<std::string> changes;  // "min_face@cam-1: 0.7 → 0.8", secrets masked
};

struct ParameterError {
  std::string path, message, suggestion;
};
enum class ChangeResult : uint8_t { applied, unchanged, invalid, conflict, needs_restart, not_found, failed };
struct ChangeOutcome {
  ChangeResult result = ChangeResult::applied;
  uint64_t revision = 0;
  std::vector<std::string> changes;
  std::vector<ParameterError> errors;
};

// What the module does with a new set: all or nothing within 2 s. An error names the element.
using ApplySet = std::function<Status(std::shared_ptr<const ParameterSet>)>;
// Checks of bound elements before anything is touched: every reason.
using CheckSet = std::function<std::vector<ParameterError>(const ParameterSet&)>;
// Whether a parameter is only read at start (then changes wait: 409 over HTTP, pending elsewhere).
using NeedsRestart = std::function<bool(std::string_view name)>;

// One attempt to change something, for the audit trail.
struct ParameterAudit {
  std::string by;
  std::vector<std::string> changes;  // as in Revision
  ChangeOutcome outcome;
};

struct ParameterOptions {
  std::string state_folder;  // where the http layer is kept; empty: nowhere
  std::string module_name, etcd_url, etcd_prefix, file;
  ApplySet apply;
  CheckSet check;
  NeedsRestart needs_restart;
  std::function<void(const ParameterAudit&)> audit;  // after each change that was asked for; may be empty
  std::map<std::string, std::string> environment;    // layer 4; empty: that of the process
};

// Thread-safe. current() is cheap; change() waits for apply.
class ParameterStore {
 public:
  static Result<std::unique_ptr<ParameterStore>> open(
      const std::vector<std::pair<std::string, ParameterSpec>>& parameters, ParameterOptions options);
  virtual ~ParameterStore() = default;

  virtual std::shared_ptr<const ParameterSet> current() const = 0;
  // `expected_revision` 0: whatever it is. With `dry_run` nothing is changed.
  virtual ChangeOutcome change(const std::vector<ParameterChange>& changes, std::string_view by,
                               uint64_t expected_revision = 0, bool dry_run = false) = 0;
  virtual ChangeOutcome restore(uint64_t revision, std::string_view by) = 0;
  virtual std::vector<Revision> revisions() const = 0;
  virtual std::vector<std::string> pending() const = 0;   // changes that wait for a restart
  virtual std::vector<std::string> warnings() const = 0;  // of reading what was kept; lines
  // Of the watch: connected, values equal the store. True without etcd.
  virtual bool etcd_is_current() const = 0;
  // Starts watching etcd and the file; stop_watching() before the users of `apply` go.
  virtual Status start_watching() = 0;
  virtual void stop_watching() = 0;
};

}  // namespace sightglass::module
