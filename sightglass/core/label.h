// Names from closed lists (class labels, attribute and model names) as one pointer: made once when a list is
// loaded, compared and copied for free, never freed. Not for text that comes with the data (OCR, ids): that
// would grow for ever and belongs into an attribute's text.
#pragma once

#include <string_view>

namespace sightglass {

class Label {
 public:
  Label() = default;
  // Finds or adds the name. Takes a lock: for set-up, not for every frame.
  explicit Label(std::string_view name);
  // Wraps a zero-terminated text that lives for ever and is unique for its content, such as that of a GQuark.
  // Two Labels of one text made in different ways compare equal by content.
  static Label from_static(const char* text);

  const char* c_str() const { return text_; }
  std::string_view view() const { return text_; }
  bool empty() const { return *text_ == 0; }
  bool operator==(Label other) const { return text_ == other.text_ || view() == other.view(); }

 private:
  const char* text_ = "";
};

}  // namespace sightglass
