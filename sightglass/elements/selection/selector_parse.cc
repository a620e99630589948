// From JSON text to a program: Selector::parse(). Recursion ends at 16 selectors within each other.
#include <algorithm>
#include <cmath>
#include <format>
#include <span>

#include "sightglass/elements/selection/json_text.h"
#include "sightglass/elements/selection/pattern.h"
#include "sightglass/elements/selection/selector.h"
#include "sightglass/elements/selection/selector_program.h"
#include "sightglass/elements/selection/selector_words.h"
#include "sightglass/model/spelling.h"

namespace sightglass {
namespace {

using Json = nlohmann::ordered_json;
using Node = SelectorNode;
using Op = Node::Op;
using Field = Node::Field;
using Scope = Selector::Scope;
using namespace selector_words;

constexpr int max_depth = 16;
constexpr size_t max_nodes = 256, max_points = 1024;

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

class Reader {
 public:
  explicit Reader(Scope scope) : scope_(scope) {}

  Status read(const Json& json, const std::string& path) {
    if (json.is_null() || (json.is_object() && json.empty())) return {};
    return selector(json, path, 1);
  }

  SelectorProgram program;

 private:
  template <class... Args>
  static std::unexpected<Error> wrong(const std::string& path, std::format_string<Args...> format,
                                      Args&&... args) {
    return fail(ErrorCode::invalid_argument, "{}: {}", path,
                std::format(format, std::forward<Args>(args)...));
  }
  static std::unexpected<Error> expects(const std::string& path, std::string_view what, const Json& got) {
    return wrong(path, "expects {}, got {}", what, shown(got));
  }

  Status check_keys(const Json& map, const std::string& path, std::span<const std::string_view> known) {
    for (const auto& item : map.items()) {
      if (std::ranges::contains(known, item.key())) continue;
      return wrong(path.empty() ? item.key() : path + "." + item.key(), "there is no such key{}; known: {}",
                   did_you_mean(item.key(), known), joined(known));
    }
    return {};
  }

  Status room(const std::string& path) {
    if (program.nodes.size() + program.texts.size() + program.numbers.size() + program.polygons.size() >=
        max_nodes)
      return wrong(path, "the selector has more than {} parts", max_nodes);
    return {};
  }

  size_t open(Op op, Field field = Field::none) {
    program.nodes.push_back({.op = op, .field = field});
    return program.nodes.size() - 1;
  }
  Node& close(size_t index) {
    program.nodes[index].end = uint16_t(program.nodes.size());
    return program.nodes[index];
  }

  // One selector as one node.
  Status selector(const Json& json, const std::string& path, int depth) {
    if (depth > max_depth) return wrong(path, "more than {} selectors within each other", max_depth);
    if (auto status = room(path); !status) return status;
    if (json.is_string()) return short_form(json.get<std::string>(), path);
    if (json.is_array()) return list(json, path, Op::any, depth);
    if (!json.is_object()) return expects(path, "a selector: a map, a list, 'frame' or ELEMENT.LABEL", json);
    if (auto status = check_keys(json, path, selector_keys); !status) return status;
    const size_t node = open(Op::all);
    for (const auto& item : json.items())
      if (auto status = predicate(item.key(), item.value(), path + "." + item.key(), depth); !status)
        return status;
    close(node);
    return {};
  }

  Status list(const Json& json, const std::string& path, Op op, int depth) {
    if (!json.is_array() || json.empty()) return expects(path, "a list of selectors", json);
    const size_t node = open(op);
    for (size_t i = 0; i < json.size(); ++i)
      if (auto status = selector(json[i], std::format("{}[{}]", path, i), depth + 1); !status) return status;
    close(node);
    return {};
  }

  Status short_form(const std::string& text, const std::string& path) {
    if (text == "frame") {
      program.of_frames = true;
      close(open(Op::all));
      return {};
    }
    const size_t dot = text.find('.');
    if (dot == std::string::npos || dot == 0 || dot + 1 == text.size())
      return wrong(path, "expects 'frame', or an element and a label as in 'faces.face', got '{}'", text);
    if (auto status = about_objects(path); !status) return status;
    const size_t node = open(Op::all);
    add_texts(Op::text_in, Field::element, {text.substr(0, dot)});
    add_texts(Op::text_in, Field::label, {text.substr(dot + 1)});
    close(node);
    return {};
  }

  // A predicate of objects has been met.
  Status about_objects(const std::string& path) {
    if (scope_ == Scope::frame && !inside_child_)
      return wrong(path, "is about objects, but here whole frames are asked for; use 'frame' or 'child'");
    if (!inside_child_) program.of_objects = true;
    return {};
  }

  Status predicate(const std::string& key, const Json& value, const std::string& path, int depth) {
    if (auto status = room(path); !status) return status;
    if (key == "any") return list(value, path, Op::any, depth);
    if (key == "all") return list(value, path, Op::all, depth);
    if (key == "not") {
      const size_t node = open(Op::negate);
      if (auto status = selector(value, path, depth + 1); !status) return status;
      close(node);
      return {};
    }
    if (key == "frame") return frame(value, path);
    if (key == "source") return text(value, path, Field::source);
    if (key == "child") return child(value, path, depth);
    if (auto status = about_objects(path); !status) return status;
    if (key == "element") return text(value, path, Field::element);
    if (key == "label") return text(value, path, Field::label);
    if (key == "draw_label") return text(value, path, Field::draw_label);
    if (key == "confidence") return number(value, path, Field::confidence);
    if (key == "region") return each(value, path, &Reader::region);
    if (key == "track") return each(value, path, &Reader::track);
    if (key == "attribute") return each(value, path, &Reader::object_attribute);
    if (key == "parent") return parent(value, path, depth);
    if (key != "box") return box(key.substr(4), value, path);
    if (!value.is_object()) return expects(path, "a map of width, height, area, aspect, angle", value);
    if (auto status = check_keys(value, path, box_keys); !status) return status;
    const size_t node = open(Op::all);
    for (const auto& item : value.items())
      if (auto status = box(item.key(), item.value(), path + "." + item.key()); !status) return status;
    close(node);
    return {};
  }

  // A map, or one of several.
  Status each(const Json& json, const std::string& path,
              Status (Reader::*one)(const Json&, const std::string&)) {
    if (!json.is_array()) return (this->*one)(json, path);
    if (json.empty()) return expects(path, "a map, or a list of them", json);
    const size_t node = open(Op::any);
    for (size_t i = 0; i < json.size(); ++i) {
      const std::string place = std::format("{}[{}]", path, i);
      if (auto status = room(place); !status) return status;
      if (auto status = (this->*one)(json[i], place); !status) return status;
    }
    close(node);
    return {};
  }

  Status truth(const Json& json, const std::string& path, bool& value) {
    if (!json.is_boolean()) return expects(path, "true or false", json);
    value = json.get<bool>();
    return {};
  }

  // ---- texts

  Node& add_texts(Op op, Field field, std::vector<std::string> texts) {
    Node node{.op = op, .field = field};
    node.first = uint32_t(program.texts.size()), node.count = uint32_t(texts.size());
    node.end = uint16_t(program.nodes.size() + 1);
    std::ranges::move(texts, std::back_inserter(program.texts));
    program.nodes.push_back(node);
    return program.nodes.back();
  }

  Result<std::vector<std::string>> texts(const Json& json, const std::string& path) {
    std::vector<std::string> list;
    const auto add = [&](const Json& item, const std::string& place) -> Status {
      if (auto status = room(place); !status) return status;
      if (program.nodes.size() + program.texts.size() + list.size() >= max_nodes)
        return wrong(place, "the selector has more than {} parts", max_nodes);
      // A label such as 7 is a number in YAML.
      if (item.is_number_integer())
        list.push_back(item.dump());
      else if (item.is_string() && !item.get_ref<const std::string&>().empty())
        list.push_back(item.get<std::string>());
      else
        return expects(place, "a text", item);
      return {};
    };
    if (!json.is_array()) {
      if (auto status = add(json, path); !status) return forward_error(status);
      return list;
    }
    if (json.empty()) return expects(path, "a text, or a list of them", json);
    for (size_t i = 0; i < json.size(); ++i)
      if (auto status = add(json[i], std::format("{}[{}]", path, i)); !status) return forward_error(status);
    return list;
  }

  Status text_test(Op op, Field field, const Json& json, const std::string& path) {
    auto list = texts(json, path);
    if (!list) return forward_error(list);
    if (op == Op::text_glob)
      for (const std::string& pattern : *list)
        if (auto status = check_glob(pattern); !status) return wrong(path, "{}", status.error().message);
    add_texts(op, field, std::move(*list));
    return {};
  }

  Status text(const Json& json, const std::string& path, Field field) {
    if (!json.is_object()) return text_test(Op::text_in, field, json, path);
    if (json.empty()) return expects(path, "a text, a list, or a map of " + joined(text_keys), json);
    if (auto status = check_keys(json, path, text_keys); !status) return status;
    const size_t node = open(Op::all);
    for (const auto& item : json.items()) {
      const std::string& key = item.key();
      const std::string place = path + "." + key;
      Status status;
      if (key == "exists")
        status = exists(Op::text_exists, field, item.value(), place);
      else
        status = text_test(key == "eq" || key == "in"       ? Op::text_in
                           : key == "ne" || key == "not_in" ? Op::text_not_in
                           : key == "prefix"                ? Op::text_prefix
                           : key == "suffix"                ? Op::text_suffix
                                                            : Op::text_glob,
                           field, item.value(), place);
      if (!status) return status;
    }
    close(node);
    return {};
  }

  Status exists(Op op, Field field, const Json& json, const std::string& path) {
    bool wanted = true;
    if (auto status = truth(json, path, wanted); !status) return status;
    const size_t node = open(op, field);
    close(node).first = wanted;
    return {};
  }

  // ---- numbers

  Result<double> value(const Json& json, const std::string& path, Field field) {
    if (!json.is_number() || !std::isfinite(json.get<double>())) return expects(path, "a number", json);
    const double number = json.get<double>();
    return is_single_precision(field) ? double(float(number)) : number;
  }

  Status numbers(Op op, const Json& json, const std::string& path, Field field) {
    std::vector<double> list;
    for (size_t i = 0; i < (json.is_array() ? json.size() : 1); ++i) {
      if (program.nodes.size() + program.numbers.size() + list.size() >= max_nodes)
        return wrong(path, "the selector has more than {} parts", max_nodes);
      auto number =
          json.is_array() ? value(json[i], std::format("{}[{}]", path, i), field) : value(json, path, field);
      if (!number) return forward_error(number);
      list.push_back(*number);
    }
    if (list.empty()) return expects(path, "a number, or a list of them", json);
    const size_t node = open(op, field);
    Node& made = close(node);
    made.first = uint32_t(program.numbers.size()), made.count = uint32_t(list.size());
    std::ranges::move(list, std::back_inserter(program.numbers));
    return {};
  }

  Status number_test(const std::string& key, const Json& json, const std::string& path, Field field) {
    if (key == "exists") return exists(Op::number_exists, field, json, path);
    if (key == "eq" || key == "in") return numbers(Op::number_in, json, path, field);
    if (key == "ne" || key == "not_in") return numbers(Op::number_not_in, json, path, field);
    if (key == "between") {
      if (!json.is_array() || json.size() != 2) return expects(path, "two numbers, [least, most]", json);
      auto least = value(json[0], path + "[0]", field), most = value(json[1], path + "[1]", field);
      if (!least) return forward_error(least);
      if (!most) return forward_error(most);
      if (*least > *most) return wrong(path, "the first number is greater than the second: {}", shown(json));
      Node& node = close(open(Op::number_between, field));
      node.a = *least, node.b = *most;
      return {};
    }
    auto bound = value(json, path, field);
    if (!bound) return forward_error(bound);
    close(open(key == "lt"   ? Op::number_less
               : key == "le" ? Op::number_at_most
               : key == "gt" ? Op::number_greater
                             : Op::number_at_least,
               field))
        .a = *bound;
    return {};
  }

  // `relative_field`: the same in fractions of the frame; none: there is no such thing.
  Status number(const Json& json, const std::string& path, Field field, Field relative_field = Field::none) {
    if (json.is_number() || json.is_array()) return numbers(Op::number_in, json, path, field);
    const std::span<const std::string_view> keys =
        relative_field != Field::none ? std::span<const std::string_view>(box_number_keys) : number_keys;
    if (!json.is_object() || json.empty())
      return expects(path, "a number, a list, or a map of " + joined(keys), json);
    if (auto status = check_keys(json, path, keys); !status) return status;
    if (const auto relative = json.find("relative"); relative != json.end()) {
      bool wanted = false;
      if (auto status = truth(*relative, path + ".relative", wanted); !status) return status;
      if (wanted) field = relative_field;
      if (json.size() == 1) return wrong(path, "'relative' alone compares with nothing");
    }
    const size_t node = open(Op::all);
    for (const auto& item : json.items()) {
      if (item.key() == "relative") continue;
      if (auto status = number_test(item.key(), item.value(), path + "." + item.key(), field); !status)
        return status;
    }
    close(node);
    return {};
  }

  Status box(std::string_view key, const Json& json, const std::string& path) {
    if (key == "width") return number(json, path, Field::width, Field::relative_width);
    if (key == "height") return number(json, path, Field::height, Field::relative_height);
    if (key == "area") return number(json, path, Field::area, Field::relative_area);
    if (key == "aspect") return number(json, path, Field::aspect);
    return number(json, path, Field::angle);
  }

  // ---- zones

  static bool is_point(const Json& json) {
    return json.is_array() && json.size() == 2 && json[0].is_number() && json[1].is_number();
  }

  // [[x, y], …], or [x, y, …]
  Status polygon(const Json& json, const std::string& path) {
    SelectorProgram::Polygon made;
    std::vector<double> values;
    for (size_t i = 0; i < json.size(); ++i) {
      if (values.size() > 2 * max_points) return wrong(path, "more than {} points", max_points);
      const Json& item = json[i];
      if (is_point(item)) {
        values.push_back(item[0].get<double>());
        values.push_back(item[1].get<double>());
      } else if (item.is_number()) {
        values.push_back(item.get<double>());
      } else {
        return expects(std::format("{}[{}]", path, i), "a point, [x, y]", item);
      }
    }
    if (values.size() % 2) return wrong(path, "an odd number of coordinates");
    if (values.size() < 6) return wrong(path, "a zone needs 3 points or more, it has {}", values.size() / 2);
    for (size_t i = 0; i < values.size(); i += 2) {
      if (!(std::abs(values[i]) <= 1e6 && std::abs(values[i + 1]) <= 1e6))
        return wrong(path, "a coordinate is out of range (-1e6 to 1e6)");
      made.pixels |= values[i] > 1 || values[i + 1] > 1;
      made.points.push_back({float(values[i]), float(values[i + 1])});
    }
    program.polygons.push_back(std::move(made));
    return {};
  }

  Status region(const Json& json, const std::string& path) {
    if (!json.is_object() || !json.contains("zone"))
      return expects(path, "a map with zone: [[x, y], [x, y], [x, y], …]", json);
    if (auto status = check_keys(json, path, region_keys); !status) return status;
    Node node{.op = Op::zone, .a = 1};
    node.first = uint32_t(program.polygons.size());
    const Json& zone = json["zone"];
    const std::string place = path + ".zone";
    if (!zone.is_array() || zone.empty()) return expects(place, "a list of points, [[x, y], …]", zone);
    // One polygon, or a list of them.
    if (zone[0].is_array() && !is_point(zone[0])) {
      for (size_t i = 0; i < zone.size(); ++i) {
        const std::string item = std::format("{}[{}]", place, i);
        if (auto status = room(item); !status) return status;
        if (!zone[i].is_array()) return expects(item, "a list of points, [[x, y], …]", zone[i]);
        if (auto status = polygon(zone[i], item); !status) return status;
      }
    } else if (auto status = polygon(zone, place); !status) {
      return status;
    }
    node.count = uint32_t(program.polygons.size()) - node.first;
    if (const auto anchor = json.find("anchor"); anchor != json.end()) {
      const auto which = place_of(*anchor, path + ".anchor", anchors);
      if (!which) return std::unexpected(which.error());
      node.anchor = Node::Anchor(*which);
    }
    bool inside = true;
    if (const auto wanted = json.find("inside"); wanted != json.end())
      if (auto status = truth(*wanted, path + ".inside", inside); !status) return status;
    node.a = inside;
    node.end = uint16_t(program.nodes.size() + 1);
    program.nodes.push_back(node);
    return {};
  }

  Result<size_t> place_of(const Json& json, const std::string& path,
                          std::span<const std::string_view> known) {
    if (!json.is_string()) return expects(path, "one of " + joined(known), json);
    const std::string& name = json.get_ref<const std::string&>();
    const auto found = std::ranges::find(known, name);
    if (found == known.end())
      return wrong(path, "'{}' is unknown{}; one of: {}", name, did_you_mean(name, known), joined(known));
    return size_t(found - known.begin());
  }

  // ---- tracks, attributes, relatives, frames

  Status track(const Json& json, const std::string& path) {
    if (!json.is_object() || json.empty()) return expects(path, "a map of " + joined(track_keys), json);
    if (auto status = check_keys(json, path, track_keys); !status) return status;
    const size_t node = open(Op::all);
    for (const auto& item : json.items()) {
      const std::string place = path + "." + item.key();
      const Json& operand = item.value();
      Status status;
      if (item.key() == "state") {
        uint32_t bits = 0;
        if (operand.is_array() && operand.empty()) return expects(place, "a state", operand);
        for (size_t i = 0; i < (operand.is_array() ? operand.size() : 1); ++i) {
          const auto state = operand.is_array()
                                 ? place_of(operand[i], std::format("{}[{}]", place, i), states)
                                 : place_of(operand, place, states);
          if (!state) return std::unexpected(state.error());
          bits |= 1u << *state;
        }
        close(open(Op::state)).first = bits;
      } else if (item.key() == "exists") {
        status = exists(Op::number_exists, Field::track_id, operand, place);
      } else if (item.key() == "age") {
        program.uses_track_age = true;
        status = number(operand, place, Field::track_age);
      } else {
        status = number(operand, place, Field::track_id);
      }
      if (!status) return status;
    }
    close(node);
    return {};
  }

  Status object_attribute(const Json& json, const std::string& path) {
    return attribute(json, path, Op::attribute);
  }
  Status of_frame(const Json& json, const std::string& path) {
    return attribute(json, path, Op::frame_attribute);
  }

  Status attribute(const Json& json, const std::string& path, Op op) {
    if (!json.is_object() || json.empty()) return expects(path, "a map of " + joined(attribute_keys), json);
    if (auto status = check_keys(json, path, attribute_keys); !status) return status;
    bool wanted = true;
    if (const auto said = json.find("exists"); said != json.end()) {
      if (auto status = truth(*said, path + ".exists", wanted); !status) return status;
      if (!wanted && (json.contains("value") || json.contains("confidence")))
        return wrong(path + ".exists", "of an attribute that is not there nothing can be compared");
    }
    const size_t negation = wanted ? 0 : open(Op::negate);
    const size_t node = open(op);
    for (const auto& item : json.items()) {
      const std::string place = path + "." + item.key();
      Status status;
      if (item.key() == "namespace")
        status = text(item.value(), place, Field::attribute_namespace);
      else if (item.key() == "name")
        status = text(item.value(), place, Field::attribute_name);
      else if (item.key() == "confidence")
        status = number(item.value(), place, Field::attribute_confidence);
      else if (item.key() == "value")
        status = attribute_value(item.value(), place);
      if (!status) return status;
    }
    close(node);
    if (!wanted) close(negation);
    return {};
  }

  // Text or number, by what it is compared with.
  Status attribute_value(const Json& json, const std::string& path) {
    const auto is_number = [](const Json& item) {
      return item.is_number() || (item.is_array() && !item.empty() && item[0].is_number());
    };
    if (json.is_boolean())
      return numbers(Op::number_in, Json(json.get<bool>() ? 1 : 0), path, Field::attribute_number);
    if (!json.is_object())
      return is_number(json) ? number(json, path, Field::attribute_number)
                             : text(json, path, Field::attribute_text);
    for (const auto& item : json.items()) {
      const std::string& key = item.key();
      if (std::ranges::contains(number_keys, key) && !std::ranges::contains(text_keys, key))
        return number(json, path, Field::attribute_number);
      if (std::ranges::contains(text_keys, key) && key != "exists" && is_number(item.value()))
        return number(json, path, Field::attribute_number);
    }
    return text(json, path, Field::attribute_text);
  }

  Status parent(const Json& json, const std::string& path, int depth) {
    if (json.is_object() && json.size() == 1 && json.contains("exists")) {
      bool wanted = true;
      if (auto status = truth(json["exists"], path + ".exists", wanted); !status) return status;
      const size_t negation = wanted ? 0 : open(Op::negate);
      close(open(Op::parent));
      if (!wanted) close(negation);
      return {};
    }
    const size_t node = open(Op::parent);
    if (auto status = selector(json, path, depth + 1); !status) return status;
    close(node);
    return {};
  }

  Status child(const Json& json, const std::string& path, int depth) {
    if (scope_ == Scope::object)
      if (auto status = about_objects(path); !status) return status;
    if (!json.is_object()) return expects(path, "a map of match and count", json);
    if (auto status = check_keys(json, path, child_keys); !status) return status;
    const size_t node = open(Op::child);
    if (const auto match = json.find("match"); match != json.end()) {
      const bool outer = std::exchange(inside_child_, true);
      auto status = selector(*match, path + ".match", depth + 1);
      inside_child_ = outer;
      if (!status) return status;
    }
    program.nodes[node].split = uint16_t(program.nodes.size());
    if (const auto count = json.find("count"); count != json.end()) {
      if (auto status = number(*count, path + ".count", Field::count); !status) return status;
    } else {
      close(open(Op::number_at_least, Field::count)).a = 1;
    }
    close(node);
    return {};
  }

  Status frame(const Json& json, const std::string& path) {
    if (!inside_child_) program.of_frames = true;
    if (json.is_boolean() && json.get<bool>()) {
      close(open(Op::all));
      return {};
    }
    if (!json.is_object()) return expects(path, "a map of " + joined(frame_keys), json);
    if (auto status = check_keys(json, path, frame_keys); !status) return status;
    const size_t node = open(Op::all);
    for (const auto& item : json.items())
      if (auto status = frame_predicate(item.key(), item.value(), path + "." + item.key()); !status)
        return status;
    close(node);
    return {};
  }

  Status frame_predicate(const std::string& key, const Json& json, const std::string& path) {
    if (auto status = room(path); !status) return status;
    if (key == "width") return number(json, path, Field::frame_width);
    if (key == "height") return number(json, path, Field::frame_height);
    if (key == "queue_fill") return number(json, path, Field::queue_fill);
    if (key == "attribute") return each(json, path, &Reader::of_frame);
    if (key == "keyframe") {
      bool wanted = true;
      if (auto status = truth(json, path, wanted); !status) return status;
      close(open(Op::keyframe)).first = wanted;
      return {};
    }
    if (key == "every") {
      if (!json.is_number_integer() || json.get<int64_t>() < 1 || json.get<int64_t>() > UINT32_MAX)
        return expects(path, "a number of frames, 1 or more", json);
      close(open(Op::every)).first = uint32_t(json.get<int64_t>());
      return {};
    }
    const size_t node = open(Op::tag);
    if (auto status = text(json, path, Field::tag); !status) return status;
    close(node);
    return {};
  }

  const Scope scope_;
  bool inside_child_ = false;
};

}  // namespace

Result<Selector> Selector::parse(std::string_view json, std::string_view name, Scope scope) {
  Selector made;
  if (json.find_first_not_of(" \t\r\n") == std::string_view::npos) return made;
  auto parsed = parse_json(json, name);
  if (!parsed) return forward_error(parsed);
  Reader reader(scope);
  if (auto status = reader.read(*parsed, std::string(name)); !status) return forward_error(status);
  made.program_ = std::make_shared<const SelectorProgram>(std::move(reader.program));
  return made;
}

}  // namespace sightglass
