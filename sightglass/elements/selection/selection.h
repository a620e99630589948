// The selector of a running element: its property as text, parsed when it changes, with what the selector has
// to remember from frame to frame.
//
//   Selection select_{"select"};
//   if (auto status = select_.set(params.select); !status) …   // keeps the one before
//   select_.begin(frame);                                      // once per frame
//   for (const Region& region : frame.regions) if (select_.matches(frame, region)) …
//
// One stream, one thread. Costs nothing while the property is empty; no allocation once warm.
#pragma once

#include <string>
#include <string_view>

#include "sightglass/elements/selection/selector.h"

namespace sightglass {

class Selection {
 public:
  explicit Selection(std::string_view name, Selector::Scope scope = Selector::Scope::object)
      : name_(name), scope_(scope) {}

  // Whether `json` would do for set().
  static Status check(std::string_view json, std::string_view name,
                      Selector::Scope scope = Selector::Scope::object);
  // Empty: everything. A text that does not hold changes nothing.
  Status set(std::string_view json);
  bool everything() const { return selector_.everything(); }
  const Selector& selector() const { return selector_; }

  void begin(const Frame& frame);
  bool matches(const Frame& frame, const Region& region) const {
    return selector_.everything() || selector_.matches(frame, region, context_);
  }
  bool matches(const Frame& frame) const {
    return selector_.everything() || selector_.matches(frame, context_);
  }
  // Where frames have no picture, or another size counts.
  void set_size(int width, int height) { context_.width = width, context_.height = height; }
  void reset();  // forgets frames and tracks

 private:
  std::string name_, text_;
  Selector::Scope scope_;
  Selector selector_;
  SelectionContext context_;
  TrackAges ages_;
};

// What the user is told when a property cannot be changed.
std::string kept_as_it_was(const Error& error);

}  // namespace sightglass
