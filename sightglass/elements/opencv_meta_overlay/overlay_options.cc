#include "sightglass/elements/opencv_meta_overlay/overlay_options.h"

#include <algorithm>
#include <charconv>
#include <format>

namespace sightglass {
namespace {

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

// Takes what stands before the separator off `text`.
std::string_view next_part(std::string_view& text, char separator) {
  const size_t length = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, length);
  text.remove_prefix(std::min(length + 1, text.size()));
  return trimmed(part);
}

bool read(std::string_view text, bool& value) {
  const bool yes = text == "true" || text == "1" || text == "yes" || text == "True";
  const bool no = text == "false" || text == "0" || text == "no" || text == "False";
  if (yes || no) value = yes;
  return yes || no;
}

template <class T>
bool read_number(std::string_view text, double least, double most, T& value) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || !(number >= least && number <= most))
    return false;
  if (std::is_integral_v<T> && number != double(int64_t(number))) return false;
  value = T(number);
  return true;
}

template <class T>
bool read_number(std::string_view text, double least, double most, std::optional<T>& value) {
  T number{};
  if (!read_number(text, least, most, number)) return false;
  value = number;
  return true;
}

// Names of OpenCV's fonts, which the original knows. There is one typeface here.
constexpr std::string_view font_types[] = {"simplex", "plain",         "duplex",         "complex",
                                           "triplex", "complex_small", "script_simplex", "script_complex"};
constexpr const char* known_keys =
    "show-labels, font-scale, thickness, color-idx, font-type, draw-txt-bg, show-roi, hide-roi, enable-blur, "
    "show-blur-roi, "
    "hide-blur-roi, text-x, text-y, ff-custom-txt";

// False: the value is wrong. Nothing: the key is unknown.
std::optional<bool> apply(std::string_view key, std::string_view value, OverlayOptions& options) {
  if (key == "show-labels") return read(value, options.show_labels);
  if (key == "font-scale") return read_number(value, 0.1, 2, options.font_scale);
  if (key == "thickness") return read_number(value, 1, 100, options.thickness);
  if (key == "color-idx") return read_number(value, -1, 1000, options.color_index);
  if (key == "font-type") return std::ranges::contains(font_types, value);
  if (key == "draw-txt-bg") return read(value, options.text_background);
  if (key == "show-roi") return options.show = class_names(value), true;
  if (key == "hide-roi") return options.hide = class_names(value), true;
  if (key == "enable-blur") return read(value, options.blur);
  if (key == "show-blur-roi") return options.show_blur = class_names(value), true;
  if (key == "hide-blur-roi") return options.hide_blur = class_names(value), true;
  if (key == "text-x") return read_number(value, 0, 1e5, options.text_x);
  if (key == "text-y") return read_number(value, 0, 1e5, options.text_y);
  if (key == "ff-custom-txt") return options.frame_text = value, true;
  return {};
}

}  // namespace

std::vector<Label> class_names(std::string_view text) {
  std::vector<Label> names;
  while (!text.empty())
    if (const std::string_view name = next_part(text, ':'); !name.empty()) names.emplace_back(name);
  return names;
}

bool is_shown(Label name, const std::vector<Label>& show, const std::vector<Label>& hide) {
  return show.empty() ? !std::ranges::contains(hide, name) : std::ranges::contains(show, name);
}

void apply_display_config(std::string_view text, OverlayOptions& options,
                          std::vector<std::string>& warnings) {
  while (!text.empty()) {
    std::string_view value = next_part(text, ',');
    if (value.empty()) continue;
    const bool has_value = value.contains('=');
    const std::string_view key = next_part(value, '=');
    value = trimmed(value);
    if (!has_value) {
      warnings.push_back(std::format("displ-cfg: '{}' is ignored, it is no key=value", key));
      continue;
    }
    const auto understood = apply(key, value, options);
    if (!understood)
      warnings.push_back(std::format("displ-cfg: the key '{}' is unknown; known: {}", key, known_keys));
    else if (!*understood)
      warnings.push_back(std::format("displ-cfg: {}={} is ignored, the value is not allowed", key, value));
  }
}

}  // namespace sightglass
