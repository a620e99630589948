// The schemas that messages may be written in: those of all releases, which are compiled in, and those that
// producers announce. For each a plan how to read it as ours is made once, and kept.
//
//   SchemaRegistry schemas;
//   if (schemas.announce(message.producer, message.schema_announce->text, now) == Rejection::none) …  // read
//   the parked
//
// The fingerprint of a text is always computed here. What is compiled in cannot be replaced, nor can a schema
// that was announced before. Who invents producers and schemas pushes out what is not used: at the bounds the
// producer that was silent for longest is forgotten, and of schemas first those that cannot be read, then the
// one that no message was in for longest. Any thread; a lock is held for the search alone, and only messages
// in foreign schemas need one.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/stream/avro/resolution.h"
#include "sightglass/stream/limits.h"
#include "sightglass/stream/messages.h"
#include "sightglass/stream/rejection.h"

namespace sightglass::stream {

class SchemaRegistry {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr size_t schemas_per_producer = 8;
  static constexpr size_t most_schemas = 1024;
  static constexpr size_t most_producers = 1024;
  static constexpr std::chrono::seconds remember_incompatible{60};

  explicit SchemaRegistry(Limits limits = {});

  // Takes the text of a schema that `producer` announces. schema_bad: too large, damaged, no Message, another
  // one than that of the same fingerprint, or the producer has announced too many. schema_incompatible: a
  // proper schema that cannot be read as ours. `fingerprint` is set where the text could be parsed.
  Rejection announce(const Uuid& producer, std::string_view text, Time now, uint64_t* fingerprint = nullptr);

  struct Found {
    std::shared_ptr<const avro::Resolution> resolution;  // null: not known, or not readable
    bool incompatible = false;                           // known not to be readable
  };
  Found find(uint64_t fingerprint, Time now);

  // Forgets what the producer announced, if nobody else announced it too.
  void forget(const Uuid& producer);

 private:
  struct Entry {
    std::string canonical;
    std::shared_ptr<const avro::Resolution> resolution;  // null: incompatible
    bool compiled_in = false;
    Time at{};
    uint64_t used = 0;  // when a message came in it last, or it was announced
    bool has_messages = false;
    std::vector<Uuid> producers;
  };
  struct Announcer {
    size_t schemas = 0;
    uint64_t used = 0;
  };
  void forget_locked(const Uuid& producer, bool keep_used);
  void make_room();
  Limits limits_;
  avro::Schema ours_;
  std::mutex mutex_;
  std::map<uint64_t, Entry> entries_;
  std::map<Uuid, Announcer> announced_;
  uint64_t uses_ = 0;
};

}  // namespace sightglass::stream
