#include "sightglass/module/parameters.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <mutex>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "sightglass/module/etcd_watch.h"
#include "sightglass/module/file_watch.h"
#include "sightglass/module/parameter_layers.h"
#include "sightglass/module/yaml_reader.h"

namespace sightglass::module {
namespace {

namespace fs = std::filesystem;

constexpr size_t most_revisions = 1000;
constexpr size_t most_sources = 10'000;  // values for single sources, over all layers

int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Renamed over the old one when it is complete and on the disk.
Status replace_file(const fs::path& path, std::string_view text) {
  const fs::path part = path.string() + ".part";
  const int file = ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  bool written = file >= 0;
  while (written && !text.empty()) {
    const ssize_t size = ::write(file, text.data(), text.size());
    written = size > 0;
    if (written) text.remove_prefix(size_t(size));
  }
  written = written && ::fsync(file) == 0;
  const int reason = errno;
  if (file >= 0) ::close(file);
  if (!written || ::rename(part.c_str(), path.c_str()) != 0)
    return fail(ErrorCode::io, "cannot write {}: {}", path.string(),
                std::error_code(written ? errno : reason, std::generic_category()).message());
  return {};
}

std::string upper(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) { return c >= 'a' && c <= 'z' ? char(c - 32) : c; });
  return text;
}

class Store final : public ParameterStore {
 public:
  Store(const ParameterSpecs& specs, ParameterOptions options)
      : specs_(specs), options_(std::move(options)) {}
  ~Store() override { stop_watching(); }

  Status open() {
    for (const auto& [name, spec] : specs_) {
      if (!spec.default_value.is_null()) {
        auto value = check_value(name, spec, spec.default_value);
        if (!value) return forward_error(value);
        layers_.at(Layer::yaml)[{name, {}}] = std::move(*value);
      }
      if (const auto text = environment(spec.env.empty() ? "SIGHTGLASS_PARAM_" + upper(name) : spec.env)) {
        auto value = value_of_text(name, spec, *text);
        if (!value) return forward_error(value);
        layers_.at(Layer::environment)[{name, {}}] = std::move(*value);
      }
    }
    if (!options_.file.empty()) {
      auto values = read_file();
      if (!values) return forward_error(values);
      layers_.at(Layer::file) = std::move(*values);
    }
    // What is read at start only has no other chance.
    if (!options_.etcd_url.empty()) {
      if (auto texts = EtcdWatch::read(etcd_options()))
        layers_.at(Layer::etcd) = values_of(*texts);
      else
        warn("not read at the start: " + texts.error().message);
    }
    read_kept();
    for (const auto& [name, spec] : specs_)
      if (!effective(layers_, 0)->find(name, {}))
        return fail(ErrorCode::invalid_argument, "parameter {} has no value: give it a default, or set {}",
                    name, spec.env.empty() ? "SIGHTGLASS_PARAM_" + upper(name) : spec.env);
    current_ = effective(layers_, 1);
    revisions_.push_back({.revision = {.number = 1, .at_us = now_us(), .by = "start"}, .layers = layers_});
    return {};
  }

  std::shared_ptr<const ParameterSet> current() const override {
    const std::lock_guard lock(mutex_);
    return current_;
  }

  ChangeOutcome change(const std::vector<ParameterChange>& changes, std::string_view by, uint64_t expected,
                       bool dry_run) override {
    const std::lock_guard serial(changing_);
    ChangeOutcome outcome;
    ParameterLayers next = layers_;
    std::vector<std::pair<ParameterKey, bool>> persistence;
    for (const ParameterChange& change : changes) {
      const ParameterSpec* spec = find_spec(specs_, change.name);
      const std::string path = ParameterKey{change.name, change.source_id}.to_string();
      if (!spec) {
        outcome.result = ChangeResult::not_found;
        outcome.errors.push_back({path, "there is no such parameter", {}});
        continue;
      }
      if (!change.source_id.empty() && !spec->per_source) {
        outcome.errors.push_back({path, "it has one value for the whole module; per_source is not set", {}});
        continue;
      }
      const ParameterKey key{change.name, change.source_id};
      if (change.value.is_null()) {
        next.at(change.layer).erase(key);
      } else if (auto value = check_value(change.name, *spec, change.value)) {
        next.at(change.layer)[key] = std::move(*value);
      } else {
        outcome.errors.push_back({path, value.error().message, {}});
      }
      persistence.emplace_back(key, change.persist);
    }
    if (!outcome.errors.empty()) {
      if (outcome.result != ChangeResult::not_found) outcome.result = ChangeResult::invalid;
      outcome.revision = revision();
      return audited(std::move(outcome), by, dry_run);
    }
    outcome = commit(std::move(next), by, expected, dry_run);
    if (!dry_run && (outcome.result == ChangeResult::applied || outcome.result == ChangeResult::unchanged)) {
      for (const auto& [key, persist] : persistence)
        std::ignore = persist ? kept_out_.erase(key) : kept_out_.insert(key).second;
      keep();
    }
    return audited(std::move(outcome), by, dry_run);
  }

  ChangeOutcome restore(uint64_t number, std::string_view by) override {
    const std::lock_guard serial(changing_);
    const auto found =
        std::ranges::find(revisions_, number, [](const Kept& kept) { return kept.revision.number; });
    if (found == revisions_.end()) {
      ChangeOutcome unknown{.result = ChangeResult::not_found, .revision = revision()};
      unknown.errors.push_back({"revision", std::format("there is no revision {}", number), {}});
      return unknown;
    }
    // Values that other layers have set since are covered by the topmost one.
    ParameterLayers next = layers_;
    next.at(Layer::http) = found->layers.at(Layer::http);
    for (const Difference& difference : differences(next, found->layers))
      if (!difference.after.is_null()) next.at(Layer::http)[difference.key] = difference.after;
    ChangeOutcome outcome = commit(std::move(next), by, 0, false);
    if (outcome.result == ChangeResult::applied) keep();
    return audited(std::move(outcome), by, false);
  }

  std::vector<Revision> revisions() const override {
    const std::lock_guard lock(mutex_);
    std::vector<Revision> all;
    for (const Kept& kept : revisions_) all.push_back(kept.revision);
    return all;
  }

  std::vector<std::string> pending() const override {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> all;
    for (const auto& [layer, changes] : pending_) all.insert(all.end(), changes.begin(), changes.end());
    return all;
  }
  std::vector<std::string> warnings() const override {
    const std::lock_guard lock(mutex_);
    return warnings_;
  }
  bool etcd_is_current() const override {
    const std::lock_guard lock(mutex_);
    return !etcd_ || etcd_->is_current();
  }

  Status start_watching() override {
    if (!options_.etcd_url.empty()) {
      auto watch = std::make_unique<EtcdWatch>(
          etcd_options(), [this](const EtcdWatch::Values& values) { return take_etcd(values); });
      const std::lock_guard lock(mutex_);
      etcd_ = std::move(watch);
    }
    if (!options_.file.empty()) {
      file_watch_ = std::make_unique<FileWatch>(options_.file, [this] { take_file(); });
      take_file();  // what has changed since open()
    }
    return {};
  }

  void stop_watching() override {
    std::unique_ptr<EtcdWatch> etcd;  // others may be asking it
    {
      const std::lock_guard lock(mutex_);
      etcd = std::move(etcd_);
    }
    etcd.reset();
    file_watch_.reset();
  }

 private:
  struct Kept {
    Revision revision;
    ParameterLayers layers;
  };

  uint64_t revision() const { return revisions_.back().revision.number; }

  EtcdWatch::Options etcd_options() const {
    EtcdWatch::Options options;
    for (size_t begin = 0; begin <= options_.etcd_url.size();) {
      const size_t end = std::min(options_.etcd_url.find(',', begin), options_.etcd_url.size());
      if (end > begin) options.urls.push_back(options_.etcd_url.substr(begin, end - begin));
      begin = end + 1;
    }
    options.prefix = options_.etcd_prefix + "/" + options_.module_name + "/";
    return options;
  }

  std::optional<std::string> environment(const std::string& name) const {
    if (!options_.environment.empty()) {
      const auto found = options_.environment.find(name);
      return found == options_.environment.end() ? std::nullopt : std::optional(found->second);
    }
    const char* text = std::getenv(name.c_str());
    return text ? std::optional<std::string>(text) : std::nullopt;
  }

  // The one way to a new revision. Of parameters that are read at start only, a change by hand is refused,
  // one of a layer as a whole, by etcd or the file, waits.
  ChangeOutcome commit(ParameterLayers next, std::string_view by, uint64_t expected, bool dry_run,
                       std::optional<Layer> whole = std::nullopt) {
    comes_again_ = false;
    ChangeOutcome outcome{.revision = revision()};
    if (expected != 0 && expected != revision()) {
      outcome.result = ChangeResult::conflict;
      outcome.errors.push_back(
          {"revision", std::format("the revision is {}, not {}", revision(), expected), {}});
      return outcome;
    }
    size_t sources = 0;
    for (const auto& values : next.layers)
      sources += size_t(
          std::ranges::count_if(values, [](const auto& entry) { return !entry.first.source_id.empty(); }));
    if (sources > most_sources) {
      outcome.result = ChangeResult::invalid;
      outcome.errors.push_back({"", std::format("more than {} values for single sources", most_sources), {}});
      return outcome;
    }
    std::vector<std::string> waiting;
    for (const Difference& difference : differences(layers_, next)) {
      const std::string text = to_text(difference, specs_);
      if (options_.needs_restart && options_.needs_restart(difference.key.name)) {
        waiting.push_back(text);
        continue;
      }
      outcome.changes.push_back(text);
    }
    if (!waiting.empty() && !whole) {
      outcome.result = ChangeResult::needs_restart;
      outcome.changes.clear();
      for (const std::string& text : waiting) outcome.errors.push_back({text, "is read at start only", {}});
      return outcome;
    }
    if (!waiting.empty()) {
      // They stay as they are, everything else is taken.
      for (size_t i = 0; i < next.layers.size(); ++i) {
        std::erase_if(next.layers[i],
                      [&](const auto& entry) { return options_.needs_restart(entry.first.name); });
        for (const auto& [key, value] : layers_.layers[i])
          if (options_.needs_restart(key.name)) next.layers[i].emplace(key, value);
      }
    }
    if (!dry_run) {
      const std::lock_guard lock(mutex_);
      if (whole) pending_[*whole] = std::move(waiting);
    }
    if (outcome.changes.empty()) {
      outcome.result = ChangeResult::unchanged;
      // A layer that is covered may have changed nevertheless.
      if (!dry_run) layers_ = std::move(next);
      return outcome;
    }
    const uint64_t number = revision() + 1;
    std::shared_ptr<const ParameterSet> set = effective(next, number);
    if (options_.check) outcome.errors = options_.check(*set);
    if (!outcome.errors.empty()) {
      outcome.result = ChangeResult::invalid;
      outcome.changes.clear();
      return outcome;
    }
    if (dry_run) return outcome;
    if (options_.apply)
      if (Status applied = options_.apply(set); !applied) {
        // No element has refused it: it may well be taken a little later.
        comes_again_ =
            applied.error().code == ErrorCode::unavailable || applied.error().code == ErrorCode::internal;
        outcome.result = ChangeResult::failed;
        outcome.changes.clear();
        outcome.errors.push_back({applied.error().element, applied.error().message, {}});
        return outcome;
      }
    layers_ = std::move(next);
    outcome.revision = number;
    const std::lock_guard lock(mutex_);
    current_ = std::move(set);
    revisions_.push_back({{number, now_us(), std::string(by), outcome.changes}, layers_});
    if (revisions_.size() > most_revisions) revisions_.pop_front();
    return outcome;
  }

  ChangeOutcome audited(ChangeOutcome outcome, std::string_view by, bool dry_run) {
    if (options_.audit && !dry_run) options_.audit({std::string(by), outcome.changes, outcome});
    return outcome;
  }

  // A layer as a whole, as etcd and the file give it. False: not now, it has to come again.
  bool take_layer(Layer layer, ParameterLayers::Values values, std::string_view by) {
    const std::lock_guard serial(changing_);
    ParameterLayers next = layers_;
    next.at(layer) = std::move(values);
    ChangeOutcome outcome = commit(std::move(next), by, 0, false, layer);
    for (const ParameterError& error : outcome.errors)
      warn(std::format("{}: {} {}", by, error.path, error.message));
    if (outcome.result != ChangeResult::unchanged) audited(std::move(outcome), by, false);
    return !comes_again_;
  }

  // A value that cannot be taken leaves the others as they are: etcd has no transactions over a prefix.
  bool take_etcd(const EtcdWatch::Values& texts) { return take_layer(Layer::etcd, values_of(texts), "etcd"); }

  ParameterLayers::Values values_of(const EtcdWatch::Values& texts) {
    ParameterLayers::Values values;
    for (const auto& [name, text] : texts) {
      const ParameterKey key = parse_key(name);
      const ParameterSpec* spec = find_spec(specs_, key.name);
      auto value = !spec ? Result<Value>(fail(ErrorCode::not_found, "{}: there is no such parameter", name))
                   : !key.source_id.empty() && !spec->per_source
                       ? Result<Value>(fail(ErrorCode::invalid_argument, "{}: per_source is not set", name))
                       : value_of_text(key.name, *spec, text);
      if (value) {
        values[key] = std::move(*value);
        continue;
      }
      warn("etcd: " + value.error().message);
      // The last good value holds.
      const std::lock_guard serial(changing_);
      if (const auto old = layers_.at(Layer::etcd).find(key); old != layers_.at(Layer::etcd).end())
        values[key] = old->second;
    }
    return values;
  }

  Result<ParameterLayers::Values> read_file() const {
    auto text = read_text_file(options_.file, size_t(1) << 20);
    if (!text) return forward_error(text);
    Diagnostics found;
    const Value tree = read_yaml(*text, options_.file, found);
    if (found.has_errors()) return fail(ErrorCode::corrupt, "{}: {}", options_.file, found.to_string());
    if (!tree.entries() && !tree.is_null())
      return fail(ErrorCode::invalid_argument, "{}: a map of parameters is expected", options_.file);
    ParameterLayers::Values values;
    if (tree.entries())
      for (const auto& [name, entry] : *tree.entries()) {
        const ParameterKey key = parse_key(name);
        const ParameterSpec* spec = find_spec(specs_, key.name);
        if (!spec)
          return fail(ErrorCode::not_found, "{}: {}: there is no such parameter",
                      entry.key_origin.to_string(), name);
        if (!key.source_id.empty() && !spec->per_source)
          return fail(ErrorCode::invalid_argument, "{}: {}: per_source is not set",
                      entry.key_origin.to_string(), name);
        auto value = check_value(key.name, *spec, entry);
        if (!value)
          return fail(ErrorCode::invalid_argument, "{}: {}", entry.origin.to_string(), value.error().message);
        values[key] = std::move(*value);
      }
    return values;
  }

  void take_file() {
    if (auto values = read_file())
      (void)take_layer(Layer::file, std::move(*values), "file");
    else
      warn(values.error().message);
  }

  fs::path kept_path() const {
    return fs::path(options_.state_folder) / (options_.module_name + ".parameters.json");
  }

  // What HTTP has set is there again after a restart. What does not fit any more is left out.
  void read_kept() {
    if (options_.state_folder.empty()) return;
    std::error_code error;
    if (!fs::exists(kept_path(), error)) return;
    auto text = read_text_file(kept_path(), size_t(16) << 20);
    const Value tree = text ? value_from_json_or_null(*text) : Value();
    if (!tree.entries()) {
      warn(kept_path().string() + ": cannot be read; what had been set over HTTP is forgotten");
      return;
    }
    for (const auto& [name, entry] : *tree.entries()) {
      const ParameterKey key = parse_key(name);
      const ParameterSpec* spec = find_spec(specs_, key.name);
      auto value =
          spec ? check_value(key.name, *spec, entry)
               : Result<Value>(fail(ErrorCode::not_found, "{}: there is no such parameter any more", name));
      if (value)
        layers_.at(Layer::http)[key] = std::move(*value);
      else
        warn(kept_path().string() + ": " + value.error().message);
    }
  }

  void keep() {
    if (options_.state_folder.empty()) return;
    Value tree = Value::map();
    for (const auto& [key, value] : layers_.at(Layer::http))
      if (!kept_out_.contains(key)) tree.set(key.to_string(), value);
    std::error_code error;
    fs::create_directories(options_.state_folder, error);
    if (Status kept = replace_file(kept_path(), tree.to_json()); !kept) warn(kept.error().message);
  }

  void warn(std::string text) {
    const std::lock_guard lock(mutex_);
    if (warnings_.size() < most_warnings && std::ranges::find(warnings_, text) == warnings_.end())
      warnings_.push_back(std::move(text));
  }

  static constexpr size_t most_warnings = 100;
  const ParameterSpecs specs_;
  const ParameterOptions options_;
  std::mutex changing_;  // one change at a time; held while it is applied
  ParameterLayers layers_;
  bool comes_again_ = false;         // of the last change
  std::set<ParameterKey> kept_out_;  // of http: until the restart only
  mutable std::mutex mutex_;         // of what is read
  std::shared_ptr<const ParameterSet> current_;
  std::deque<Kept> revisions_;
  std::map<Layer, std::vector<std::string>> pending_;
  std::vector<std::string> warnings_;
  std::unique_ptr<EtcdWatch> etcd_;
  std::unique_ptr<FileWatch> file_watch_;
};

}  // namespace

std::string_view to_string(Layer layer) {
  switch (layer) {
    case Layer::http:
      return "http";
    case Layer::etcd:
      return "etcd";
    case Layer::file:
      return "file";
    case Layer::environment:
      return "environment";
    case Layer::yaml:
      return "yaml";
  }
  return "?";
}

Result<std::unique_ptr<ParameterStore>> ParameterStore::open(const ParameterSpecs& parameters,
                                                             ParameterOptions options) {
  auto store = std::make_unique<Store>(parameters, std::move(options));
  if (Status opened = store->open(); !opened) return forward_error(opened);
  return store;
}

}  // namespace sightglass::module
