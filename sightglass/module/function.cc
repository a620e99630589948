#include "sightglass/module/function.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "sightglass/core/json_writer.h"
#include "sightglass/function/worker_process.h"
#include "sightglass/module/breaker.h"
#include "sightglass/module/file_watch.h"
#include "sightglass/module/parameters.h"

namespace sightglass::module {
namespace {

using function::Call;
using function::CodeOptions;
using function::Fault;
using function::Hook;
using function::now_ns;
using function::Outcome;
using function::UserCode;
using function::UserObject;

constexpr Time start_again_after = 1'000'000'000;
constexpr Time kill_at = 20;  // × budget

CodeOptions code_options(const FunctionSpec& spec, const FunctionOptions& options) {
  // Workers run in it, so what is relative to where we are would be sought twice.
  std::error_code ignored;
  const std::filesystem::path folder =
      options.folder.empty() ? "" : std::filesystem::absolute(options.folder, ignored);
  CodeOptions code{.language = spec.language,
                   .path = spec.path,
                   .symbol = spec.symbol,
                   .args = spec.args.is_null() ? "{}" : spec.args.to_json(),
                   .isolation = spec.isolation,
                   .workers = spec.workers,
                   .element = options.element,
                   .folder = folder.string(),
                   .budget = options.budget,
                   .kill_after = options.budget * kill_at,
                   .start_limit = options.hang_limit};
  const std::filesystem::path path = spec.path;
  if (path.has_extension() && path.is_relative() && !folder.empty() &&
      (path.extension() == ".py" || spec.language == "cpp"))
    code.path = (folder / path).string();
  return code;
}

Result<std::shared_ptr<UserCode>> having(std::shared_ptr<UserCode> code, const CodeOptions& options,
                                         Hook hook) {
  if (code->has(hook)) return code;
  return fail(ErrorCode::invalid_argument, "{}{}{} has no {}", options.path,
              options.symbol.empty() ? "" : ":", options.symbol, to_string(hook));
}

// The code, if it has the hook; errors name the element.
Result<std::shared_ptr<UserCode>> open(const CodeOptions& options, Hook hook) {
  auto code = function::open_code(options);
  if (code) code = having(std::move(*code), options, hook);
  if (!code) code.error().element = options.element;
  return code;
}

bool is_box(const Box& box) {
  return std::isfinite(box.x) && std::isfinite(box.y) && std::isfinite(box.w) && std::isfinite(box.h) &&
         box.w > 0 && box.h > 0;
}

class Stream;

// What all streams of an element share.
class Element final : public FunctionElement, public std::enable_shared_from_this<Element> {
 public:
  Element(CodeOptions code_options, FunctionOptions given)
      : options(std::move(given)),
        error_tag("error." + options.element),
        overrun_tag("overrun." + options.element),
        tag_model("tag"),
        element_name(options.element),
        breaker(options.breaker),
        code_options_(std::move(code_options)),
        hook_(options.hook) {}

  Status load() {
    auto code = function::open_code(code_options_);
    if (code && hook_ == Hook::process && (*code)->has(Hook::draw) && !(*code)->has(Hook::process))
      hook_ = Hook::draw;
    if (code) code = having(std::move(*code), code_options_, hook_);
    if (!code) {
      code.error().element = options.element;
      return forward_error(code);
    }
    code_ = std::move(*code);
    if (options.development && std::filesystem::exists(code_options_.path))
      watch_.emplace(code_options_.path, [this] { reload(); });
    return {};
  }

  Result<std::unique_ptr<FunctionStream>> open_stream(
      const StreamInfo& info, std::shared_ptr<const ParameterSet> parameters) override;
  FunctionCounters counters() const override;
  bool has(Hook hook) const override { return code().second->has(hook); }
  bool wants_pixels() const override { return works_on_pictures() || code().second->wants_pixels(); }
  bool writes_pixels() const override { return works_on_pictures() || code().second->writes_pixels(); }
  bool works_on_pictures() const { return hook_ == Hook::draw || hook_ == Hook::prepare; }

  // What is to be used now, with the number of its revision.
  std::pair<uint64_t, std::shared_ptr<UserCode>> code() const {
    std::lock_guard lock(mutex_);
    return {revision.load(std::memory_order_relaxed), code_};
  }
  Hook hook() const { return hook_; }
  void set_error(std::string text) {
    std::lock_guard lock(mutex_);
    last_error_ = std::move(text);
  }
  void add(Stream& stream) {
    std::lock_guard lock(mutex_);
    streams_.insert(&stream);
  }
  void remove(Stream& stream) {
    std::lock_guard lock(mutex_);
    streams_.erase(&stream);
  }

  const FunctionOptions options;
  const Label error_tag, overrun_tag, tag_model, element_name;
  Breaker breaker;
  std::atomic<uint64_t> revision = 1;
  std::atomic<uint64_t> frames = 0, errors = 0, overruns = 0, dropped = 0, skipped = 0, nanoseconds = 0;

 private:
  // On the watch's thread: the changed code is tried beside the old one.
  void reload() {
    CodeOptions changed = code_options_;
    changed.is_reload = true;
    auto code = open(changed, hook_);
    if (!code) return set_error("the changed file is not used: " + code.error().message);
    std::lock_guard lock(mutex_);
    old_restarts_ += code_->restarts();
    code_ = std::move(*code);
    ++revision;
  }

  const CodeOptions code_options_;
  Hook hook_;  // process, draw, prepare or region; not changed after load()
  mutable std::mutex mutex_;
  std::shared_ptr<UserCode> code_;
  std::string last_error_;
  uint64_t old_restarts_ = 0;
  std::set<Stream*> streams_;
  std::optional<FileWatch> watch_;  // last: its thread ends first
};

class Stream final : public FunctionStream {
 public:
  Stream(std::shared_ptr<Element> element, const StreamInfo& info,
         std::shared_ptr<const ParameterSet> parameters)
      : element_(std::move(element)), info_(info), parameters_(std::move(parameters)) {
    std::tie(revision_, code_) = element_->code();
    element_->add(*this);
  }
  ~Stream() override {
    end("gone");
    element_->remove(*this);
  }

  Result<Verdict> process(Frame& frame, const FrameFacts& facts) override {
    const Hook hook = element_->hook();
    Call call{.hook = hook,
              .frame = &frame,
              .facts = &facts,
              .region = hook == Hook::prepare && !frame.regions.empty() ? 0 : -1};
    return run(call);
  }
  Result<Verdict> region(Frame& frame, size_t index, const FrameFacts& facts, Box& box) override {
    Call call{.hook = Hook::region, .frame = &frame, .facts = &facts, .region = int(index), .box = box};
    auto verdict = run(call);
    if (verdict && is_box(call.box)) box = call.box;
    return verdict;
  }

  void apply(std::shared_ptr<const ParameterSet> parameters) override {
    parameters_ = std::move(parameters);
    if (!is_started_) return;  // start() will be given them
    const std::string text = parameter_text();
    Call call{.hook = Hook::apply, .text = text};
    const Outcome outcome = timed(call);
    if (outcome.fault == Fault::none || outcome.fault == Fault::unavailable) return;
    ++element_->errors;
    element_->set_error("apply: " + outcome.message);
    note(outcome);
  }

  void stop(std::string_view reason) override { end(reason); }

  // Of the call under way, on other threads; 0: there is none.
  Time called_at() const { return called_at_.load(std::memory_order_relaxed); }

 private:
  Result<Verdict> run(Call& call);

  std::string parameter_text() const {
    std::string text;
    JsonWriter json(text);
    json.begin_object();
    if (parameters_)
      for (const std::string& name : element_->options.parameters)
        if (const ParameterValue* found = parameters_->find(name, info_.source_id)) {
          json.key(name);
          json.raw(found->value.to_json());
        }
    json.end_object();
    return text;
  }

  Outcome timed(Call& call) { return timed(*object_, call); }
  Outcome timed(UserObject& object, Call& call) {
    const Time begin = now_ns();
    called_at_.store(begin, std::memory_order_relaxed);
    Outcome outcome = object.call(call);
    called_at_.store(0, std::memory_order_relaxed);
    // Workers say themselves how long they had it; otherwise the wait for others would count.
    if (outcome.took == 0 && outcome.fault != Fault::unavailable) outcome.took = now_ns() - begin;
    return outcome;
  }

  // An object of `code` that has been started.
  Outcome start(UserCode& code, std::unique_ptr<UserObject>& object) {
    auto made = code.create(info_.source_id);
    if (!made) return {Fault::error, made.error().message};
    const std::string text = parameter_text();
    Call call{.hook = Hook::start, .stream = &info_, .text = text};
    Outcome outcome = timed(**made, call);
    if (outcome.fault == Fault::none) object = std::move(*made);
    return outcome;
  }

  void end(std::string_view reason) {
    if (object_ && is_started_) {
      Call call{.hook = Hook::stop, .text = reason};
      if (const Outcome outcome = timed(call); outcome.fault == Fault::error) {
        ++element_->errors;
        element_->set_error("stop: " + outcome.message);
      }
    }
    object_.reset();
    is_started_ = false;
  }

  void take_changed_code() {
    auto [revision, code] = element_->code();
    revision_ = revision;
    std::unique_ptr<UserObject> object;
    if (const Outcome outcome = start(*code, object); outcome.fault != Fault::none)
      return element_->set_error("the changed file is not used: start: " + outcome.message);
    end("reloaded");
    code_ = std::move(code);
    object_ = std::move(object);
    is_started_ = true;
  }

  void note(const Outcome& outcome) {
    if (outcome.fault == Fault::none) return element_->breaker.succeeded(gate_);
    if (outcome.fault == Fault::unavailable) return;
    const bool is_crash = outcome.fault == Fault::crash || outcome.fault == Fault::timeout;
    element_->breaker.failed(gate_, is_crash ? Breaker::Kind::crash : Breaker::Kind::error, now_ns());
  }

  void tag(Frame& frame, Label name) const {
    frame.attributes =
        with(frame.attributes,
             {.name = name, .kind = AttributeKind::number, .number = 1, .model = element_->tag_model});
  }

  // The frame goes on as it came, but for the tag.
  Verdict pass_by(Frame& frame, bool may_drop) {
    ++element_->skipped;
    tag(frame, element_->error_tag);
    if (!may_drop || element_->options.on_error != OnError::drop_frame) return Verdict::pass;
    ++element_->dropped;
    return Verdict::drop;
  }

  Result<Verdict> failed(Frame& frame, const Outcome& outcome, std::string_view what) {
    ++element_->errors;
    element_->set_error(outcome.message);
    tag(frame, element_->error_tag);
    switch (element_->options.on_error) {
      case OnError::pass:
        break;
      case OnError::drop_frame:
        ++element_->dropped;
        return Verdict::drop;
      case OnError::stream:
      case OnError::module:
        return std::unexpected(
            Error{element_->options.on_error == OnError::module ? ErrorCode::cancelled : ErrorCode::internal,
                  std::format("{}: {}", what, outcome.message), element_->options.element, info_.source_id});
    }
    return Verdict::pass;
  }

  void sign(Frame& frame) const;

  const std::shared_ptr<Element> element_;
  const StreamInfo info_;
  std::shared_ptr<const ParameterSet> parameters_;
  uint64_t revision_ = 0;
  std::shared_ptr<UserCode> code_;
  std::unique_ptr<UserObject> object_;
  bool is_started_ = false;
  Time start_at_ = 0;
  Breaker::Gate gate_;
  std::atomic<Time> called_at_ = 0;
};

Result<Verdict> Stream::run(Call& call) {
  Frame& frame = *call.frame;
  ++element_->frames;
  const Time now = now_ns();
  if (!element_->breaker.may_run(gate_, now)) return pass_by(frame, false);
  if (revision_ != element_->revision.load(std::memory_order_relaxed)) {
    if (is_started_)
      take_changed_code();
    else
      std::tie(revision_, code_) = element_->code();
  }
  if (!is_started_) {
    if (now < start_at_) return pass_by(frame, true);
    const Outcome outcome = start(*code_, object_);
    if (outcome.fault == Fault::unavailable) return pass_by(frame, true);
    if (outcome.fault != Fault::none) {
      start_at_ = now_ns() + start_again_after;
      note(outcome);
      return failed(frame, outcome, "start");
    }
    is_started_ = true;
  }

  call.writes_pixels =
      element_->options.writes_pixels && (element_->works_on_pictures() || code_->writes_pixels());
  Outcome outcome = timed(call);
  if (outcome.fault == Fault::unavailable) return pass_by(frame, true);
  if (outcome.fault == Fault::none && call.hook == Hook::region && !is_box(call.box))
    outcome = {Fault::error, "region gave a box that is no numbers, or has no area", outcome.took};
  element_->nanoseconds += uint64_t(outcome.took);
  note(outcome);
  const bool is_late = outcome.took > element_->options.budget;
  if (is_late) ++element_->overruns;
  if (outcome.fault != Fault::none) {
    if (is_late) tag(frame, element_->overrun_tag);
    return failed(frame, outcome, to_string(call.hook));
  }
  sign(frame);
  if (is_late) tag(frame, element_->overrun_tag);
  if (call.verdict == Verdict::drop) ++element_->dropped;
  return call.verdict;
}

// What nobody has put his name to is this element's.
void Stream::sign(Frame& frame) const {
  const auto sign_list = [this](AttributesRef& list) {
    if (!list || std::ranges::none_of(list->items(), [](const Attribute& a) { return a.model.empty(); }))
      return;
    std::vector<Attribute> items;
    for (const Attribute& attribute : list->items()) {
      Attribute& added = items.emplace_back(attribute);
      if (!added.model.empty()) continue;
      added.model = element_->element_name;
      // In place of one that it had before.
      const auto same = std::find_if(items.begin(), items.end() - 1, [&](const Attribute& other) {
        return other.name == added.name && other.model == added.model;
      });
      if (same != items.end() - 1) items.erase(same);
    }
    list = make_ref<const AttributeList>(std::move(items));
  };
  for (Region& region : frame.regions) {
    if (region.model.empty()) region.model = element_->element_name;
    sign_list(region.attributes);
  }
  sign_list(frame.attributes);
}

Result<std::unique_ptr<FunctionStream>> Element::open_stream(const StreamInfo& info,
                                                             std::shared_ptr<const ParameterSet> parameters) {
  return std::make_unique<Stream>(shared_from_this(), info, std::move(parameters));
}

FunctionCounters Element::counters() const {
  FunctionCounters all{.frames = frames,
                       .errors = errors,
                       .overruns = overruns,
                       .dropped = dropped,
                       .skipped = skipped,
                       .seconds = double(nanoseconds) / 1e9,
                       .is_open = breaker.is_open()};
  const Time now = now_ns();
  std::lock_guard lock(mutex_);
  all.restarts = old_restarts_ + code_->restarts();
  all.last_error = last_error_;
  for (const Stream* stream : streams_)
    if (const Time since = stream->called_at(); since > 0)
      all.hang_seconds = std::max(all.hang_seconds, double(now - since) / 1e9);
  return all;
}

// Keeps the shared state alive for as long as its streams.
class Loaded final : public FunctionElement {
 public:
  explicit Loaded(std::shared_ptr<Element> element) : element_(std::move(element)) {}
  Result<std::unique_ptr<FunctionStream>> open_stream(
      const StreamInfo& info, std::shared_ptr<const ParameterSet> parameters) override {
    return element_->open_stream(info, std::move(parameters));
  }
  FunctionCounters counters() const override { return element_->counters(); }
  bool has(Hook hook) const override { return element_->has(hook); }
  bool wants_pixels() const override { return element_->wants_pixels(); }
  bool writes_pixels() const override { return element_->writes_pixels(); }

 private:
  const std::shared_ptr<Element> element_;
};

// The hooks without a life of their own: one object for all calls, or one per stream.
class Hooks final : public AcceptFunction, public MapFunction {
 public:
  Hooks(std::shared_ptr<UserCode> code, std::string element)
      : code_(std::move(code)), element_(std::move(element)) {}

  Result<bool> accept(const Frame& frame, const StreamInfo& info) override {
    Frame copy = frame;
    Call call{.hook = Hook::accept, .frame = &copy};
    if (auto done = run(call, &info); !done) return forward_error(done);
    return call.accepted;
  }
  Status map(std::string& json) override {
    Call call{.hook = Hook::map, .text = json};
    if (auto done = run(call, nullptr); !done) return done;
    json = std::move(call.answer);
    return {};
  }

 private:
  static constexpr size_t most_streams = 1024;  // whose objects are kept

  Status run(Call& call, const StreamInfo* info) {
    std::lock_guard lock(mutex_);
    if (objects_.size() > most_streams) forget_all();
    auto& object = objects_[info ? info->source_id : ""];
    const auto failed = [&](std::string message) {
      return std::unexpected(
          Error{ErrorCode::internal, std::move(message), element_, info ? info->source_id : ""});
    };
    if (!object) {
      auto made = code_->create(info ? info->source_id : "");
      if (!made) return failed(made.error().message);
      const StreamInfo none;
      Call start{.hook = Hook::start, .stream = info ? info : &none, .text = "{}"};
      if (Outcome outcome = (*made)->call(start); outcome.fault != Fault::none)
        return failed(outcome.message);
      object = std::move(*made);
    }
    Outcome outcome = object->call(call);
    if (outcome.fault == Fault::none) return {};
    return failed(std::move(outcome.message));
  }

  void forget_all() {
    for (auto& [source_id, object] : objects_) {
      if (!object) continue;  // its start has failed
      Call stop{.hook = Hook::stop, .text = "too many streams"};
      object->call(stop);  // whether it ends well changes nothing
    }
    objects_.clear();
  }

  const std::shared_ptr<UserCode> code_;
  const std::string element_;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<UserObject>> objects_;  // by source id
};

template <class T>
Result<std::unique_ptr<T>> load_hook(const FunctionSpec& spec, const FunctionOptions& options, Hook hook) {
  auto code = open(code_options(spec, options), hook);
  if (!code) return forward_error(code);
  return std::make_unique<Hooks>(std::move(*code), options.element);
}

}  // namespace

Result<std::unique_ptr<FunctionElement>> load_function(const FunctionSpec& spec,
                                                       const FunctionOptions& options) {
  auto element = std::make_shared<Element>(code_options(spec, options), options);
  if (auto loaded = element->load(); !loaded) return forward_error(loaded);
  return std::make_unique<Loaded>(std::move(element));
}
Result<std::unique_ptr<AcceptFunction>> load_accept(const FunctionSpec& spec,
                                                    const FunctionOptions& options) {
  return load_hook<AcceptFunction>(spec, options, Hook::accept);
}
Result<std::unique_ptr<MapFunction>> load_map(const FunctionSpec& spec, const FunctionOptions& options) {
  return load_hook<MapFunction>(spec, options, Hook::map);
}

}  // namespace sightglass::module
