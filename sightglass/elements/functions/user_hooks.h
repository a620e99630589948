// What users' own functions do in front of a model. They are loaded by who knows how to (a module), and
// offered under a key to the elements of one pipeline; the list of functions names them by it:
//
//   const OfferedHooks offered(hooks);   // as long as the pipeline
//   functions=[{"user_prepare": {"key": KEY, "size": [112, 112]}}]
//
// user_region changes the box that is looked at, user_prepare the picture that has been made of it. An empty
// key stands for one that nobody has offered yet, for checks; who finds nothing under its key passes over
// every object.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"

namespace sightglass {

class UserHooks {  // each hook is called by one thread at a time
 public:
  virtual ~UserHooks() = default;
  // The box that is to be looked at in place of `box`, 0..1; none: the object is passed over. An error ends
  // the stream.
  virtual Result<std::optional<Box>> region(const Frame& frame, size_t index, const Box& box) = 0;
  // Changes the pixels of `picture`, in system memory. `object` is null where the whole picture is looked at.
  // False: it is passed over.
  virtual Result<bool> prepare(Frame& picture, const Region* object) = 0;
};

class OfferedHooks {
 public:
  OfferedHooks() = default;
  explicit OfferedHooks(std::shared_ptr<UserHooks> hooks);
  OfferedHooks(OfferedHooks&& other) noexcept : key_(std::exchange(other.key_, {})) {}
  OfferedHooks& operator=(OfferedHooks&& other) noexcept {
    std::swap(key_, other.key_);
    return *this;
  }
  ~OfferedHooks();
  const std::string& key() const { return key_; }

 private:
  std::string key_;
};
std::shared_ptr<UserHooks> hooks_offered(std::string_view key);  // null: none

}  // namespace sightglass
