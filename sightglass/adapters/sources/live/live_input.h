// One connection to something that sends pictures by its own clock: a camera, a server. It is made, opened
// once and read until it breaks; the next attempt has an input of its own, which looks names up again.
//
//   std::shared_ptr<LiveInput> input = make();
//   if (Status opened = input->open(); opened)
//     while (auto unit = input->next()) …       // an error: the connection is gone
//
// open(), next() and the destructor by one thread, the rest by any.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "sightglass/adapters/sources/access_units.h"

namespace sightglass::adapters {

struct LiveUnit {
  std::shared_ptr<const MediaInfo> info;  // of this unit; another object when it has changed
  AccessUnit unit;
  bool gap = false;  // something was lost in front of it
};

class LiveInput {
 public:
  virtual ~LiveInput() = default;
  virtual Status open() = 0;                           // until it is known what comes, or cancel()
  virtual Result<std::optional<LiveUnit>> next() = 0;  // waits, until cancel(); none: the end
  virtual void cancel() = 0;                           // for good
  virtual void request_keyframe() {}
  // A unit is there, and only not due yet: such silence is none of the connection.
  virtual bool is_pacing() const { return false; }
  // By the thread that reads, when it is done with it: others may hold on to it for a moment longer.
  virtual void close() {}
};

using MakeLiveInput = std::function<std::shared_ptr<LiveInput>()>;

}  // namespace sightglass::adapters
