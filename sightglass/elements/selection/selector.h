// Selectors: the one language that says which objects, or which frames, are meant. JSON text;
// docs/selectors.md has all of it.
//
//   auto faces = Selector::parse(R"({"label": "face", "box.width": {"ge": 48}})");
//   if (!faces) return forward_error(faces);  // "select.labell: there is no such key; did you mean 'label'?"
//   for (const Region& region : frame.regions)
//     if (faces->matches(frame, region)) …
//
// Keys of a map all have to hold, of a list one. A predicate whose value is missing (no label, a confidence
// of 0, no track, a size in pixels of a frame whose size is not known) is false, also `ne` and `not_in`;
// `not` then turns that into true, for it knows true and false only. Absence itself is tested by `exists:
// false`.
//
// A value type, parsed once, shared when it is copied; matching is thread-safe, allocates nothing and costs
// about 10 ns per predicate (parent, child: they look through the frame's regions).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "sightglass/core/frame.h"
#include "sightglass/elements/selection/track_state.h"

namespace sightglass {

// Reserved models of frame attributes. Of `tag` the name is the tag itself; of `stream` the attributes
// `source` (text), `keyframe` (number, 0 or 1) and `queue-fill` (number, 0..1) are read where the context
// does not say them.
inline constexpr const char* tag_model = "tag";
inline constexpr const char* stream_model = "stream";

// What a frame does not say about itself. Everything may be missing.
struct SelectionContext {
  std::string_view source;                // source id
  std::optional<bool> keyframe;           // it was one when it came in
  std::optional<float> queue_fill;        // of the stream's queue, 0..1
  std::optional<uint64_t> frame_number;   // counted by who asks, from 0; for `every`
  const TrackAges* track_ages = nullptr;  // for track.age
  int width = 0, height = 0;              // pixels, for frames without a picture
};

struct SelectorProgram;

class Selector {
 public:
  enum class Scope : uint8_t {
    object,  // of the objects in a frame, or of the whole frame where only `frame` and `source` are asked
    frame,   // `when`: predicates of objects are refused
  };

  Selector();  // {}: everything matches
  // `name` begins the paths in errors. Empty text is {}.
  static Result<Selector> parse(std::string_view json, std::string_view name = "select",
                                Scope scope = Scope::object);

  bool matches(const Frame& frame, const Region& region, const SelectionContext& context = {}) const;
  // The whole picture as an object.
  bool matches(const Frame& frame, const SelectionContext& context = {}) const;

  bool everything() const;   // there is no condition
  bool whole_frame() const;  // asks for `frame` (and `source`) alone: the whole picture is what is selected
  bool uses_track_age() const;

 private:
  std::shared_ptr<const SelectorProgram> program_;
};

// The JSON Schema of a selector: an object of definitions ("selector", "selector_text", …) that refer to each
// other as #/$defs/NAME, to be put into the `$defs` of a schema.
std::string_view selector_schema();

}  // namespace sightglass
