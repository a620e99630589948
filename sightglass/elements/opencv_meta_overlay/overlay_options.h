// What is drawn and how: the properties of the overlay and the keys of its `displ-cfg` text, which win.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/label.h"

namespace sightglass {

struct OverlayOptions {
  std::optional<int> thickness;      // pixels; none: by the height of the picture
  std::optional<double> font_scale;  // 1 is 30 pixels per em; none: by the height of the picture
  int font_thickness = 1;
  bool show_labels = true;
  bool text_background = true;
  int color_index = -1;  // of the palette; -1: by track or class
  // A class is drawn if it is in `show`, or if that is empty and it is not in `hide`.
  std::vector<Label> show, hide;
  bool blur = false;
  std::vector<Label> show_blur, hide_blur;
  int text_x = 0, text_y = 25;  // base line of texts that belong to the whole frame
  std::string frame_text;
  bool average_rate = false;    // write the frames per second
  bool oriented_boxes = false;  // in place of masks
};

// "a:b" → a, b
std::vector<Label> class_names(std::string_view text);
bool is_shown(Label name, const std::vector<Label>& show, const std::vector<Label>& hide);

// Reads "key=value,key=value". What cannot be understood is left out and a line about it is added to
// `warnings`.
void apply_display_config(std::string_view text, OverlayOptions& options, std::vector<std::string>& warnings);

}  // namespace sightglass
