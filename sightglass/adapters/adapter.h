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
  virtual Status flush() { return {}; }  // everything written is durable afterwards
  virtual void stop() {}
  // From another thread: gives up what write() waits for.
  virtual void cancel() {}
};

struct SinkContext {
  std::string name;    // of the sink in the module; "sink" in a process of its own
  std::string module;  // name of the module
  std::string folder;  // that relative paths start from
  bool require_auth = false;
};

enum class SinkNature : uint8_t { data, video, display, socket };  // decides the default queue policy

struct SinkDesc {
  std::string name, doc;
  SinkNature nature = SinkNature::data;
  unsigned batch_records = 1;  // most records per write()
  Time batch_time = 0;         // ns that a record waits for others
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
  // Takes nothing more in, but goes on acknowledging what was delivered until it is stopped. False: it has
  // nothing to acknowledge, and may be stopped at once.
  virtual bool drain() { return false; }
  // Asks whoever sends the stream to start again at a keyframe, where that can be asked.
  virtual void request_keyframe(const stream::Uuid& producer, std::string_view source_id, int64_t epoch) {
    (void)producer, (void)source_id, (void)epoch;
  }
  // Messages that were dropped before delivery, by reason.
  virtual std::map<std::string, uint64_t> rejected() const { return {}; }
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
  ParamTable params;
  Result<std::unique_ptr<Source>> (*create)(const ParamSet& params, const SourceContext& context) = nullptr;
};
struct SourceRegistration {
  explicit SourceRegistration(SourceDesc desc);
};
const SourceDesc* find_source(std::string_view name);  // null: unknown
std::vector<const SourceDesc*> all_sources();          // by name

}  // namespace sightglass::adapters
