// Adapters: where frames come from and where records go. Both kinds work inside a module and as processes of
// their own (`sightglass source NAME`, `sightglass sink NAME`).
//
// A kind of adapter is a descriptor, from which YAML keys, checks, help and reference pages follow:
//
//   const SinkRegistration json_file(SinkDesc{.name = "json_file", .doc = "…",
//                                             .params = ParamTable::of<JsonFile::Params>({…}),
//                                             .create = &JsonFile::create});
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sightglass/adapters/record.h"
#include "sightglass/core/param.h"
#include "sightglass/core/result.h"
#include "sightglass/stream/delivery.h"
#include "sightglass/stream/limits.h"

namespace sightglass::adapters {

// --- sinks
// ----------------------------------------------------------------------------------------------------

enum class Stored : uint8_t {
  yes,    // durable, as far as this sink promises it
  retry,  // not now: give the record again
  never,  // refused for good: dead letter
};

// Used by one thread, the sink's own.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual Status start() { return {}; }
  // Stores the records, in order; sets one entry of `outcome` (as long as `records`, all `yes` at first) per
  // record. An error means `retry` for all, after a pause that the caller chooses.
  virtual Status write(std::span<const RecordRef> records, std::span<Stored> outcome) = 0;
  // Why the last write() has said `never` or `retry` of some; empty: not known. For people.
  virtual std::string refusal() const { return {}; }
  virtual Status flush() { return {}; }  // everything written is durable afterwards
  virtual void stop() {}
  // From another thread: gives up what write() waits for.
  virtual void cancel() {}
  // Who is told, within write(), that a record of the batch is stored already though others of it are not.
  void tell_stored_to(std::function<void(size_t record)> told) { told_ = std::move(told); }

 protected:
  void tell_stored(size_t record) const {
    if (told_) told_(record);
  }

 private:
  std::function<void(size_t record)> told_;
};

struct SinkContext {
  std::string name;    // of the sink in the module; "sink" in a process of its own
  std::string module;  // name of the module
  std::string folder;  // that relative paths start from
  bool require_auth = false;
  uint64_t batch_bytes = 0;  // most bytes of one request, for sinks that say so in their descriptor
};

enum class SinkNature : uint8_t { data, video, display, socket };  // decides the default queue policy

struct SinkDesc {
  std::string name, doc;
  SinkNature nature = SinkNature::data;
  unsigned batch_records = 1;  // most records per write()
  Time batch_time = 0;         // ns that a record waits for others
  uint64_t batch_bytes = 0;    // most bytes of one request; 0: the sink knows no such limit
  ParamTable params;
  Result<std::unique_ptr<Sink>> (*create)(const ParamSet& params, const SinkContext& context) = nullptr;
};
struct SinkRegistration {
  explicit SinkRegistration(SinkDesc desc);
};
const SinkDesc* find_sink(std::string_view name);  // null: unknown
std::vector<const SinkDesc*> all_sinks();          // by name

// --- sources
// --------------------------------------------------------------------------------------------------

// Takes what a source delivers.
class Deliver {
 public:
  virtual ~Deliver() = default;
  // Blocks while the stream's queue is full (back-pressure); false: stop, nothing more is taken.
  virtual bool deliver(stream::Delivery delivery) = 0;
  // For a further thread of the source: each has its own, so that none waits for the stream of another.
  virtual std::unique_ptr<Deliver> another() = 0;

  // For a source that must not wait, as one that has to answer a server in time. `delivery` is moved from
  // when it is taken; full: offer it again later, and nothing else of its stream before.
  enum class Offer : uint8_t { taken, full, closed };
  virtual Offer offer(stream::Delivery& delivery) {
    return deliver(std::move(delivery)) ? Offer::taken : Offer::closed;
  }
  // Another process goes on with these streams (L-25): what was taken of them is finished in time or refused,
  // without an end for the sinks. With `at_once` they are dropped: it has begun already. Nothing more of them
  // is delivered until all that was taken is settled.
  virtual void release(std::span<const std::string> source_ids, bool at_once) {
    (void)source_ids, (void)at_once;
  }
};

// What becomes of a stream before it reaches the module: starting (no frame yet), running, blocked (a frame
// waits for downstream, which is at fault), stalled (nothing comes from upstream), ended.
enum class SourceState : uint8_t { starting, running, blocked, stalled, ended };
std::string_view to_string(SourceState state);

struct SourceStatus {
  std::string source_id;
  SourceState state = SourceState::starting;
  double since = 0;     // s in this state
  double fps = 0;       // frames that come, of late
  uint64_t frames = 0;  // delivered
  uint64_t reconnects = 0;
  double blocked_seconds = 0;  // in all
  std::string last_error;      // without secrets
};

// One source; it may carry many streams. Runs on a thread of its own.
class Source {
 public:
  virtual ~Source() = default;
  virtual Status start() { return {}; }  // bad options and missing files are errors here
  // Delivers until the end (then EOS of each stream has been delivered) or until `stop`. An error is final:
  // what can be retried is retried inside.
  virtual Status run(Deliver& out, std::stop_token stop) = 0;

  // The rest from any thread, while it runs too.
  // A start() that waits for somebody gives up soon; what it answers does not matter any more. Also before it
  // has begun. A start() that waits for nobody needs none of this.
  virtual void cancel() {}
  // Takes nothing more in, but goes on acknowledging what was delivered until it is stopped. False: it has
  // nothing to acknowledge, and may be stopped at once.
  virtual bool drain() { return false; }
  // Asks whoever sends the stream to start again at a keyframe, where that can be asked.
  virtual void request_keyframe(const stream::Uuid& producer, std::string_view source_id, int64_t epoch) {
    (void)producer, (void)source_id, (void)epoch;
  }
  // Messages that were dropped before delivery, by reason.
  virtual std::map<std::string, uint64_t> rejected() const { return {}; }
  // Of each of its streams; empty where the source does not watch them.
  virtual std::vector<SourceStatus> status() const { return {}; }
  // Where it can be reached, for people: addresses with their real ports.
  virtual std::vector<std::string> addresses() const { return {}; }
};

struct SourceContext {
  std::string name;    // "source" unless there are several
  std::string folder;  // that relative paths start from
  // Of the module; for sources that others send to.
  std::string module, shutdown_token;
  bool require_auth = false;
  stream::Limits limits;
  std::function<bool(const stream::Location&)> allow_location;  // empty: none
};

struct SourceDesc {
  std::string name, doc;
  // Relies on settlements: as a process of its own it may write only to what acknowledges, at level
  // processed.
  bool needs_acknowledgements = false;
  ParamTable params;
  Result<std::unique_ptr<Source>> (*create)(const ParamSet& params, const SourceContext& context) = nullptr;
};
struct SourceRegistration {
  explicit SourceRegistration(SourceDesc desc);
};
const SourceDesc* find_source(std::string_view name);  // null: unknown
std::vector<const SourceDesc*> all_sources();          // by name

}  // namespace sightglass::adapters
