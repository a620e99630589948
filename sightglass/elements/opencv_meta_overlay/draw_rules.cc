#include "sightglass/elements/opencv_meta_overlay/draw_rules.h"

#include <algorithm>
#include <charconv>
#include <format>

#include "sightglass/elements/selection/json_text.h"
#include "sightglass/model/spelling.h"

namespace sightglass {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t max_rules = 64, max_parts = 64;

struct NamedColor {
  std::string_view name;
  Color color;
};
constexpr NamedColor colors[] = {
    {"black", {0, 0, 0}},          {"white", {255, 255, 255}},   {"gray", {128, 128, 128}},
    {"grey", {128, 128, 128}},     {"silver", {192, 192, 192}},  {"red", {255, 0, 0}},
    {"maroon", {128, 0, 0}},       {"crimson", {220, 20, 60}},   {"tomato", {255, 99, 71}},
    {"orange", {255, 165, 0}},     {"gold", {255, 215, 0}},      {"yellow", {255, 255, 0}},
    {"olive", {128, 128, 0}},      {"lime", {0, 255, 0}},        {"green", {0, 128, 0}},
    {"teal", {0, 128, 128}},       {"aqua", {0, 255, 255}},      {"cyan", {0, 255, 255}},
    {"turquoise", {64, 224, 208}}, {"skyblue", {135, 206, 235}}, {"blue", {0, 0, 255}},
    {"navy", {0, 0, 128}},         {"indigo", {75, 0, 130}},     {"purple", {128, 0, 128}},
    {"violet", {238, 130, 238}},   {"magenta", {255, 0, 255}},   {"fuchsia", {255, 0, 255}},
    {"pink", {255, 192, 203}},     {"salmon", {250, 128, 114}},  {"brown", {165, 42, 42}},
    {"chocolate", {210, 105, 30}}, {"beige", {245, 245, 220}},
};

constexpr std::string_view rule_keys[] = {"match", "box", "label", "dot", "blur", "mask"};
constexpr std::string_view box_keys[] = {"color", "width"};
constexpr std::string_view dot_keys[] = {"color", "radius"};
constexpr std::string_view mask_keys[] = {"color"};
constexpr std::string_view label_keys[] = {"text", "color"};
constexpr std::string_view places[] = {"label", "track_id", "id", "confidence", "element"};

template <class... Args>
std::unexpected<Error> wrong(std::string_view path, std::format_string<Args...> format, Args&&... args) {
  return fail(ErrorCode::invalid_argument, "{}: {}", path, std::format(format, std::forward<Args>(args)...));
}
std::unexpected<Error> expects(std::string_view path, std::string_view what, const Json& got) {
  return wrong(path, "expects {}, got {}", what,
               got.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 60));
}

Status check_keys(const Json& map, const std::string& path, std::span<const std::string_view> known) {
  for (const auto& item : map.items())
    if (!std::ranges::contains(known, item.key()))
      return wrong(path + "." + item.key(), "there is no such key{}; known: {}",
                   did_you_mean(item.key(), known), joined(known));
  return {};
}

Status read_flag(const Json& json, const std::string& path, bool& flag) {
  if (!json.is_boolean()) return expects(path, "true or false", json);
  flag = json.get<bool>();
  return {};
}

Status read_rule_color(const Json& map, const std::string& path, std::optional<Color>& color) {
  const auto found = map.find("color");
  if (found == map.end()) return {};
  if (!found->is_string()) return expects(path + ".color", "a colour such as lime or #00ff00", *found);
  auto read = read_color(found->get_ref<const std::string&>());
  if (!read) return wrong(path + ".color", "{}", read.error().message);
  color = *read;
  return {};
}

Status read_size(const Json& map, const std::string& path, const char* key, std::optional<int>& size) {
  const auto found = map.find(key);
  if (found == map.end()) return {};
  if (!found->is_number_integer() || found->get<int64_t>() < 1 || found->get<int64_t>() > 100)
    return expects(path + "." + key, "1 to 100 pixels", *found);
  size = found->get<int>();
  return {};
}

// true, false, a colour, or a map of a colour and a size.
Status read_shape(const Json& json, const std::string& path, std::span<const std::string_view> keys,
                  bool& shown, std::optional<Color>& color, std::optional<int>& size) {
  if (json.is_boolean()) return read_flag(json, path, shown);
  shown = true;
  if (json.is_string()) {
    auto read = read_color(json.get_ref<const std::string&>());
    if (!read) return wrong(path, "{}", read.error().message);
    color = *read;
    return {};
  }
  if (!json.is_object()) return expects(path, "true, a colour, or a map of " + joined(keys), json);
  if (auto status = check_keys(json, path, keys); !status) return status;
  if (auto status = read_rule_color(json, path, color); !status) return status;
  return keys.size() > 1 ? read_size(json, path, keys[1].data(), size) : Status();
}

Status read_label(const Json& json, const std::string& path, DrawRule& rule) {
  const Json* text = &json;
  if (json.is_object()) {
    if (auto status = check_keys(json, path, label_keys); !status) return status;
    if (auto status = read_rule_color(json, path, rule.label_color); !status) return status;
    if (!json.contains("text")) return expects(path, "a map with text", json);
    text = &json["text"];
  }
  if (text->is_boolean() && !text->get<bool>()) return {};
  if (!text->is_string()) return expects(path, "a text such as \"{label} #{track_id}\"", *text);
  auto label = LabelTemplate::parse(text->get_ref<const std::string&>());
  if (!label) return wrong(path, "{}", label.error().message);
  rule.label = *std::move(label);
  return {};
}

Status read_rule(const Json& json, const std::string& path, DrawRule& rule) {
  if (!json.is_object()) return expects(path, "a map of " + joined(rule_keys), json);
  if (auto status = check_keys(json, path, rule_keys); !status) return status;
  for (const auto& item : json.items()) {
    const std::string& key = item.key();
    const std::string place = path + "." + key;
    Status status;
    if (key == "match") {
      rule.match = Selection(place);
      status = rule.match.set(item.value().dump(-1, ' ', false, Json::error_handler_t::replace));
    } else if (key == "box") {
      status = read_shape(item.value(), place, box_keys, rule.box, rule.color, rule.width);
    } else if (key == "dot") {
      status = read_shape(item.value(), place, dot_keys, rule.dot, rule.dot_color, rule.radius);
    } else if (key == "label") {
      status = read_label(item.value(), place, rule);
    } else if (key == "mask") {
      std::optional<int> no_size;
      status = read_shape(item.value(), place, mask_keys, rule.mask, rule.mask_color, no_size);
    } else {
      status = read_flag(item.value(), place, rule.blur);
    }
    if (!status) return status;
  }
  return {};
}

template <class T, class... Options>
void append_number(std::string& text, T number, Options... options) {
  char digits[40];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number, options...);
  if (error == std::errc{}) text.append(digits, end);
}

}  // namespace

Result<Color> read_color(std::string_view text) {
  if (text.starts_with('#') && text.size() == 7) {
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data() + 1, text.data() + 7, value, 16);
    if (error == std::errc{} && end == text.data() + 7)
      return Color{uint8_t(value >> 16), uint8_t(value >> 8), uint8_t(value)};
  }
  std::vector<std::string_view> names;
  for (const NamedColor& known : colors) {
    if (known.name == text) return known.color;
    names.push_back(known.name);
  }
  return fail(ErrorCode::invalid_argument, "'{}' is no colour{}; #rrggbb, or one of: {}", text,
              did_you_mean(text, names), joined(names));
}

// Parts of a word stand behind each other; the last of a word says so. Spaces begin the words that they
// stand before.
Result<LabelTemplate> LabelTemplate::parse(std::string_view text) {
  LabelTemplate made;
  std::string literal;
  const auto finish_literal = [&](bool ends_word) {
    if (!literal.empty()) made.parts_.push_back({.text = std::exchange(literal, {})});
    if (ends_word && !made.parts_.empty()) made.parts_.back().ends_word = true;
  };
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == ' ') {
      finish_literal(true);
      ++at;
    } else if ((c == '{' || c == '}') && at + 1 < text.size() && text[at + 1] == c) {
      literal += c;
      at += 2;
    } else if (c == '}') {
      return fail(ErrorCode::invalid_argument, "'{}': a '}}' without '{{'; write two for one", text);
    } else if (c == '{') {
      const size_t end = text.find('}', at);
      if (end == std::string_view::npos)
        return fail(ErrorCode::invalid_argument, "'{}': a '{{' is not closed", text);
      const std::string_view name = text.substr(at + 1, end - at - 1);
      finish_literal(false);
      Part part;
      const auto known = std::ranges::find(places, name);
      const size_t dot = name.find('.');
      if (known != std::end(places)) {
        part.place = Place(known - std::begin(places) + 1);
      } else if (dot != std::string_view::npos && dot > 0 && dot + 1 < name.size()) {
        part.place = Place::attribute;
        part.text = name.substr(0, dot), part.name = name.substr(dot + 1);
      } else {
        return fail(ErrorCode::invalid_argument, "'{{{}}}' is unknown{}; one of: {}, or NAMESPACE.ATTRIBUTE",
                    name, did_you_mean(name, places), joined(places));
      }
      made.parts_.push_back(std::move(part));
      at = end + 1;
    } else {
      literal += c;
      ++at;
    }
    if (made.parts_.size() > max_parts)
      return fail(ErrorCode::invalid_argument, "more than {} parts", max_parts);
  }
  finish_literal(true);
  return made;
}

bool LabelTemplate::write(const Part& part, const Region& region, std::string& text) {
  switch (part.place) {
    case Place::literal:
      text += part.text;
      return true;
    case Place::label:
      text += region.label.view();
      return !region.label.empty();
    case Place::track_id:
      if (region.track != 0) append_number(text, region.track);
      return region.track != 0;
    case Place::id:
      append_number(text, region.id);
      return region.id != -1;
    case Place::confidence:
      if (region.confidence != 0) append_number(text, region.confidence, std::chars_format::fixed, 2);
      return region.confidence != 0;
    case Place::element:
      text += region.model.view();
      return !region.model.empty();
    case Place::attribute:
      if (region.attributes)
        for (const Attribute& attribute : region.attributes->items()) {
          if (attribute.model.view() != part.text || attribute.name.view() != part.name) continue;
          if (attribute.kind == AttributeKind::number && attribute.text.empty())
            append_number(text, attribute.number, std::chars_format::general, 4);
          else
            text += attribute.text;
          return attribute.kind == AttributeKind::number || !attribute.text.empty();
        }
      return false;
  }
  return false;
}

void LabelTemplate::append(const Region& region, std::string& text) const {
  for (size_t i = 0; i < parts_.size();) {
    const size_t before = text.size();
    if (!text.empty()) text += ' ';
    bool has_places = false, any = false;
    for (bool more = true; more && i < parts_.size(); ++i) {
      const bool is_place = parts_[i].place != Place::literal;
      const bool written = write(parts_[i], region, text);
      has_places |= is_place, any |= is_place && written;
      more = !parts_[i].ends_word;
    }
    if (has_places && !any) text.resize(before);
  }
}

Result<std::vector<DrawRule>> parse_draw_rules(std::string_view json, std::string_view name) {
  std::vector<DrawRule> rules;
  if (json.find_first_not_of(" \t\r\n") == std::string_view::npos) return rules;
  auto parsed = parse_json(json, name);
  if (!parsed) return forward_error(parsed);
  if (parsed->is_object()) *parsed = Json::array({*parsed});
  if (!parsed->is_array()) return expects(name, "a list of rules", *parsed);
  if (parsed->size() > max_rules) return wrong(name, "more than {} rules", max_rules);
  for (size_t i = 0; i < parsed->size(); ++i)
    if (auto status = read_rule((*parsed)[i], std::format("{}[{}]", name, i), rules.emplace_back()); !status)
      return forward_error(status);
  return rules;
}

std::string_view draw_schema() {
  return R"json({"type": "array", "maxItems": 64, "items": {"type": "object", "additionalProperties": false,
 "properties": {
  "match": {"$ref": "#/$defs/selector"},
  "box": {"anyOf": [{"type": "boolean"}, {"type": "string"}, {"type": "object", "additionalProperties": false,
    "properties": {"color": {"type": "string"}, "width": {"type": "integer", "minimum": 1, "maximum": 100}}}]},
  "label": {"anyOf": [{"const": false}, {"type": "string"}, {"type": "object", "additionalProperties": false,
    "required": ["text"], "properties": {"text": {"type": "string"}, "color": {"type": "string"}}}]},
  "dot": {"anyOf": [{"type": "boolean"}, {"type": "string"}, {"type": "object", "additionalProperties": false,
    "properties": {"color": {"type": "string"}, "radius": {"type": "integer", "minimum": 1, "maximum": 100}}}]},
  "blur": {"type": "boolean"},
  "mask": {"anyOf": [{"type": "boolean"}, {"type": "string"}, {"type": "object", "additionalProperties": false,
    "properties": {"color": {"type": "string"}}}]}}}})json";
}

}  // namespace sightglass
