#include "sightglass/elements/object_analytics/analytics_config.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "sightglass/elements/object_analytics/object_analytics.h"
#include "sightglass/model/yaml_map.h"

namespace sightglass {
namespace {

constexpr size_t most_shapes = 256, most_points = 1024;
constexpr double most_pixels = 1e6;

struct Document {
  YAML::Node node;
  std::string name;  // for messages
};

// The text, or the file that it names.
Result<Document> load(const char* property, const std::string& text) {
  std::error_code ignored;
  const std::filesystem::path path(text);
  const auto extension = path.extension();
  const bool is_name = extension == ".yaml" || extension == ".yml" || extension == ".json";
  std::string content = text, name = property;
  if (text.size() < 4096 && (is_name || std::filesystem::is_regular_file(path, ignored))) {
    std::ifstream file(path);
    if (!file) return fail(ErrorCode::not_found, "{}={}: the file cannot be read", property, text);
    content.assign(std::istreambuf_iterator<char>(file), {});
    name = text;
  }
  auto node = parse_yaml(content, name);
  if (!node) return forward_error(node);
  return Document{std::move(*node), std::move(name)};
}

Result<float> coordinate(const std::string& file, const YAML::Node& node, const std::string& shape) {
  double value = 0;
  if (!node.IsScalar() || !YAML::convert<double>::decode(node, value) || !std::isfinite(value) ||
      std::abs(value) > most_pixels)
    return fail_at(file, node, shape + ": a coordinate must be a number");
  return float(value);
}

// [[x, y], …] or [x, y, …]
Result<std::vector<ZonePoint>> points(const std::string& file, const YAML::Node& node,
                                      const std::string& shape) {
  if (!node.IsSequence()) return fail_at(file, node, shape + ": expects a list of points [x, y]");
  std::vector<float> numbers;
  for (const auto& item : node) {
    if (item.IsSequence() && item.size() != 2)
      return fail_at(file, item, shape + ": a point is two numbers, [x, y]");
    for (size_t i = 0; i < (item.IsSequence() ? 2u : 1u); ++i) {
      auto number = coordinate(file, item.IsSequence() ? item[i] : item, shape);
      if (!number) return forward_error(number);
      numbers.push_back(*number);
    }
    if (numbers.size() > 2 * most_points)
      return fail_at(file, item, std::format("{}: more than {} points", shape, most_points));
  }
  if (numbers.size() % 2) return fail_at(file, node, shape + ": an odd number of coordinates");
  std::vector<ZonePoint> list;
  for (size_t i = 0; i + 1 < numbers.size(); i += 2) list.push_back({numbers[i], numbers[i + 1]});
  return list;
}

// Whether all points lie on one line. (The area will not do: that of a figure of eight is nothing.)
bool is_flat(std::span<const ZonePoint> polygon) {
  const auto [x, y] = polygon[0];
  return std::ranges::all_of(polygon, [&](const ZonePoint& a) {
    return std::ranges::all_of(polygon, [&](const ZonePoint& b) {
      return double(a.x - x) * double(b.y - y) == double(b.x - x) * double(a.y - y);
    });
  });
}

Status read_shapes(const std::string& file, const YAML::Node& node, bool is_zone,
                   std::vector<ZoneShape>& shapes) {
  shapes.clear();
  if (!node || node.IsNull()) return {};
  const char* what = is_zone ? "zones" : "lines";
  if (!node.IsMap()) return fail_at(file, node, std::format("{}: expects names with points", what));
  for (const auto& entry : node) {
    if (!entry.first.IsScalar() || entry.first.Scalar().empty())
      return fail_at(file, entry.first, std::format("{}: a name must be text", what));
    const std::string& name = entry.first.Scalar();
    if (std::ranges::contains(shapes, name, &ZoneShape::name))
      return fail_at(file, entry.first, std::format("{}: '{}' comes twice", what, name));
    if (name.contains('/')) return fail_at(file, entry.first, name + ": a name must not contain '/'");
    auto read = points(file, entry.second, name);
    if (!read) return forward_error(read);
    if (is_zone ? read->size() < 3 : read->size() != 2)
      return fail_at(file, entry.second,
                     std::format("{}: a {} needs {}, it has {}", name, is_zone ? "zone" : "line",
                                 is_zone ? "3 points or more" : "2 points", read->size()));
    if (is_zone ? is_flat(*read) : (*read)[0] == (*read)[1])
      return fail_at(file, entry.second,
                     std::format("{}: the points {}", name, is_zone ? "enclose nothing" : "are the same"));
    shapes.push_back({name, std::move(*read)});
    if (shapes.size() > most_shapes)
      return fail_at(file, entry.first, std::format("{}: more than {}", what, most_shapes));
  }
  return {};
}

Result<bool> yes_or_no(const YamlMap& map, std::string_view key) {
  bool value = false;
  if (!YAML::convert<bool>::decode(*map.find(key), value)) return map.fail(key, "expects true or false");
  return value;
}

Result<unsigned> count(const YamlMap& map, std::string_view key) {
  auto number = map.integer(key);
  if (!number) return forward_error(number);
  if (*number < 0 || *number > INT32_MAX) return map.fail(key, "must not be less than 0");
  return unsigned(*number);
}

Status read_config(const std::string& text, AnalyticsOptions& options) {
  auto document = load("config", text);
  if (!document) return forward_error(document);
  static constexpr std::string_view keys[] = {"zones",     "lines",          "anchor", "hysteresis",
                                              "min_dwell", "confirmed_only", "draw"};
  auto map = YamlMap::read(document->node, document->name, "", keys);
  if (!map) return forward_error(map);
  for (const bool is_zone : {true, false})
    if (const YAML::Node* node = map->find(is_zone ? "zones" : "lines"))
      if (auto read = read_shapes(document->name, *node, is_zone,
                                  is_zone ? options.counting.zones : options.counting.lines);
          !read)
        return read;
  if (map->find("anchor")) {
    auto name = map->text("anchor");
    if (!name) return forward_error(name);
    if (*name != "center" && *name != "bottom") return map->fail("anchor", "must be center or bottom");
    options.anchor = *name == "center" ? Anchor::center : Anchor::bottom;
  }
  for (const char* key : {"hysteresis", "min_dwell"}) {
    if (!map->find(key)) continue;
    auto number = count(*map, key);
    if (!number) return forward_error(number);
    if (std::string_view(key) == "hysteresis")
      options.counting.hysteresis = float(*number);
    else
      options.counting.min_dwell = Time(*number) * 1'000'000;
  }
  for (const char* key : {"confirmed_only", "draw"}) {
    if (!map->find(key)) continue;
    auto value = yes_or_no(*map, key);
    if (!value) return forward_error(value);
    (std::string_view(key) == "draw" ? options.draw : options.counting.confirmed_only) = *value;
  }
  return {};
}

}  // namespace

Result<AnalyticsOptions> read_analytics(const ParamSet& params) {
  const auto& values = params.as<ObjectAnalytics::Params>();
  AnalyticsOptions options;
  if (!values.config.empty())
    if (auto read = read_config(values.config, options); !read) return forward_error(read);
  for (const bool is_zone : {true, false}) {
    const char* property = is_zone ? "zones" : "lines";
    if (!params.is_set(property)) continue;
    auto document = load(property, is_zone ? values.zones : values.lines);
    if (!document) return forward_error(document);
    auto& shapes = is_zone ? options.counting.zones : options.counting.lines;
    if (auto read = read_shapes(document->name, document->node, is_zone, shapes); !read)
      return forward_error(read);
  }
  for (const ZoneShape& line : options.counting.lines)
    if (std::ranges::contains(options.counting.zones, line.name, &ZoneShape::name))
      return fail(ErrorCode::invalid_argument, "lines: '{}' is the name of a zone as well", line.name);
  if (params.is_set("anchor")) options.anchor = values.anchor;
  if (params.is_set("hysteresis")) options.counting.hysteresis = float(values.hysteresis);
  if (params.is_set("min-dwell")) options.counting.min_dwell = Time(values.min_dwell) * 1'000'000;
  if (params.is_set("confirmed-only")) options.counting.confirmed_only = values.confirmed_only;
  if (params.is_set("draw")) options.draw = values.draw;
  return options;
}

}  // namespace sightglass
