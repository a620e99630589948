// What is wrong with a value by its schema, and where a key may have been meant to stand.
#include <algorithm>
#include <cmath>
#include <format>
#include <regex>

#include "sightglass/module/frame_binding.h"
#include "sightglass/module/references.h"
#include "sightglass/module/schema.h"
#include "sightglass/module/units.h"

namespace sightglass::module {
namespace {

// What `value`, which is none of it, might have been.
std::string range_text(const Schema& schema, double value) {
  const auto shown = [&](double number) -> std::string {
    if (schema.kind == Kind::duration) {
      const double time = number * double(std::max<Time>(1, detail::unit_of_time(schema.unit)));
      if (time >= 0 && time < 9e18) return duration_text(Time(std::llround(time)));
    }
    if (schema.kind == Kind::bytes && number >= 0) return size_text(uint64_t(number));
    const bool is_whole = std::abs(number) < 1e15 && number == std::trunc(number);
    return (is_whole ? std::format("{:.0f}", number) : std::format("{}", number)) +
           (schema.unit.empty() ? "" : " " + schema.unit);
  };
  // What the type alone allows is no news, unless it is what is wrong.
  const bool has_least = schema.min > -2147483648. || value < schema.min,
             has_most = (schema.max < 4294967295. && schema.max != 2147483647.) || value > schema.max;
  if (has_least && has_most) return shown(schema.min) + " to " + shown(schema.max);
  if (has_least) return "at least " + shown(schema.min);
  return "at most " + shown(schema.max);
}

std::string expectation(const Schema& schema) {
  switch (schema.kind) {
    case Kind::boolean:
      return "true or false";
    case Kind::integer:
      return schema.unit == "%" ? "a percentage" : "a whole number";
    case Kind::number:
      return "a number";
    case Kind::text:
      return "a text";
    case Kind::choice:
      return "a name";
    case Kind::duration:
      return detail::unit_of_time(schema.unit) > 1
                 ? std::format("a duration such as 10ms, or a number of {}", schema.unit)
                 : "a duration such as 10ms";
    case Kind::bytes:
      return "a size such as 64MiB";
    case Kind::rate:
      return "a rate such as 2M";
    case Kind::fraction:
      return "a fraction such as 30/1";
    case Kind::list:
      return schema.or_single && schema.items ? expectation(*schema.items) + " or a list" : "a list";
    case Kind::map:
    case Kind::table:
      return "a map";
    case Kind::any:
      break;
  }
  std::string text;
  for (const auto& one : schema.alternatives) text += (text.empty() ? "" : " or ") + expectation(*one);
  return text.empty() ? "a value" : text;
}

class Validation {
 public:
  Validation(Diagnostics& found, const Schema* whole) : found_(found), whole_(whole) {}

  void run(const Value& value, const Schema& schema, const Path& path) {
    if (value.text() && value.text()->find("${") != std::string::npos && refers(value, schema, path)) return;
    if (schema.kind != Kind::map && schema.kind != Kind::any && FrameBinding::is_binding(value))
      return binding(value, schema, path);
    if (value.is_null()) return null(value, schema, path);
    if (!detail::fits_kind(schema, value)) return wrong_type(value, schema, path);
    switch (schema.kind) {
      case Kind::any:
        for (const auto& one : schema.alternatives)
          if (detail::fits_kind(*one, value)) {
            run(value, *one, path);
            break;
          }
        break;
      case Kind::boolean:
        break;
      case Kind::integer:
      case Kind::number:
      case Kind::duration:
      case Kind::bytes:
      case Kind::rate:
        number(value, schema, path);
        break;
      case Kind::text:
        text(value, schema, path);
        break;
      case Kind::choice:
        choice(value, schema, path);
        break;
      case Kind::fraction:
        fraction(value, path);
        break;
      case Kind::list:
        list(value, schema, path);
        break;
      case Kind::map:
        map(value, schema, path);
        break;
      case Kind::table:
        table(value, schema, path);
        break;
    }
    if (schema.check)
      if (auto wrong = schema.check(value); !wrong.empty())
        found_.error(value.origin, path.to_string(), wrong);
  }

 private:
  // Whether the text is done with: a reference that may be here, or may not.
  bool refers(const Value& value, const Schema& schema, const Path& path) {
    const auto references = references_in(*value.text());
    if (!references) {
      found_.error(value.origin, path.to_string(), references.error().message);
      return true;
    }
    if (references->empty()) return false;
    const bool is_text = schema.kind == Kind::text || schema.kind == Kind::any;
    if (schema.may_refer || schema.kind == Kind::any) return !is_text || as_reference(value).has_value();
    found_.error(
        value.origin, path.to_string(),
        "may not be a reference: only properties of elements, models, selectors, sinks and stream rules "
        "may");
    return true;
  }

  void null(const Value& value, const Schema& schema, const Path& path) {
    const bool may_be_empty = schema.kind == Kind::any || schema.kind == Kind::list ||
                              schema.kind == Kind::map || schema.kind == Kind::table;
    if (!may_be_empty)
      found_.error(value.origin, path.to_string(), "expects " + expectation(schema) + ", got nothing");
    // What is required is missing from an empty map as well.
    if (schema.kind == Kind::map) map(value, schema, path);
  }

  void binding(const Value& value, const Schema& schema, const Path& path) {
    if (!schema.may_bind) {
      found_.error(
          value.origin, path.to_string(),
          "may not follow an attribute of the frame: only numbers that may change while frames flow may");
      return;
    }
    const bool whole = schema.kind != Kind::number;
    const auto parsed = FrameBinding::parse(value, {schema.min, schema.max, whole});
    if (parsed) return;
    // "map: inputs have to rise"
    const std::string& message = parsed.error().message;
    const size_t colon = message.find(": ");
    const Value* part = colon == std::string::npos ? nullptr : value.find(message.substr(0, colon));
    found_.error(part ? part->origin : value.origin, path.to_string(), message);
  }

  void wrong_type(const Value& value, const Schema& schema, const Path& path) {
    std::string got = value.type_name();
    if (!value.items() && !value.entries()) got = value.to_json().substr(0, 60);
    found_.error(value.origin, path.to_string(), std::format("expects {}, got {}", expectation(schema), got));
  }

  void number(const Value& value, const Schema& schema, const Path& path) {
    const auto number = detail::quantity(schema, value);
    if (!number) {
      std::string why;
      if (value.text()) {
        if (schema.kind == Kind::duration)
          why = parse_duration(*value.text()).error_or(Error{}).message;
        else if (schema.kind == Kind::bytes)
          why = parse_size(*value.text()).error_or(Error{}).message;
        else if (schema.kind == Kind::rate)
          why = parse_rate(*value.text()).error_or(Error{}).message;
      }
      if (why.empty())
        wrong_type(value, schema, path);
      else
        found_.error(value.origin, path.to_string(), why);
    } else if ((*number < schema.min || *number > schema.max) && !(schema.may_never && *number >= 9.2e18)) {
      found_.error(value.origin, path.to_string(),
                   std::format("{} is out of range ({})", value.text() ? *value.text() : value.to_json(),
                               range_text(schema, double(*number))));
    }
  }

  void text(const Value& value, const Schema& schema, const Path& path) {
    if (schema.pattern.empty()) return;
    if (value.text()->size() > 4096 || !std::regex_match(*value.text(), std::regex(schema.pattern)))
      found_.error(value.origin, path.to_string(),
                   std::format("'{}' is no {}", value.text()->substr(0, 60), schema.pattern_doc));
  }

  void choice(const Value& value, const Schema& schema, const Path& path) {
    if (std::ranges::contains(schema.choices, *value.text())) return;
    std::string known;
    for (const auto& name : schema.choices) known += (known.empty() ? "" : ", ") + name;
    found_.error(value.origin, path.to_string(),
                 std::format("'{}' is unknown; one of: {}", value.text()->substr(0, 60), known),
                 nearest_name(*value.text(), schema.choices));
  }

  void fraction(const Value& value, const Path& path) {
    static const std::regex form("[0-9]{1,9}/[1-9][0-9]{0,8}");
    double number = 0;
    const bool is_whole = !value.text() && value.number(number) && number >= 0 && number < 1e9 &&
                          number == std::trunc(number);  // 25 is 25/1
    if (is_whole || (value.text() && std::regex_match(value.text()->substr(0, 32), form))) return;
    const std::string shown = value.text() ? "'" + value.text()->substr(0, 60) + "'" : value.to_json();
    found_.error(value.origin, path.to_string(),
                 std::format("expects a fraction such as 30/1, got {}", shown));
  }

  void list(const Value& value, const Schema& schema, const Path& path) {
    const auto* items = value.items();
    if (!items) return run(value, *schema.items, path);
    if (items->size() < schema.min_items || items->size() > schema.max_items) {
      const std::string wanted = schema.min_items == schema.max_items ? std::format("{}", schema.min_items)
                                 : schema.max_items == size_t(-1)
                                     ? std::format("{} or more", schema.min_items)
                                     : std::format("{} to {}", schema.min_items, schema.max_items);
      found_.error(value.origin, path.to_string(),
                   std::format("expects {} items, got {}", wanted, items->size()));
    }
    if (schema.items)
      for (size_t i = 0; i < items->size(); ++i) run((*items)[i], *schema.items, path[i]);
  }

  void table(const Value& value, const Schema& schema, const Path& path) {
    for (const auto& [name, item] : *value.entries()) {
      if (!schema.pattern.empty() &&
          (name.size() > 128 || !std::regex_match(name, std::regex(schema.pattern))))
        found_.error(item.key_origin, (path / name).to_string(),
                     std::format("'{}' is no {}", name.substr(0, 60), schema.pattern_doc));
      if (schema.items) run(item, *schema.items, path / name);
    }
  }

  void map(const Value& value, const Schema& schema, const Path& path) {
    std::optional<Variant> storage;
    const auto keys = keys_of(schema, value, storage);
    if (const auto* entries = value.entries())
      for (const auto& [name, content] : *entries) {
        const auto known = std::ranges::find(keys, name, [](const Key* key) { return key->name; });
        if (known != keys.end())
          run(content, *(*known)->type, path / name);
        else if (!schema.is_open && !hides_variant(value, schema, name))
          unknown(name, content, schema, keys, path);
      }
    if (const Value* tag = schema.tag.empty() ? nullptr : value.find(schema.tag);
        tag && tag->text() && !variant_of(schema, *tag->text())) {
      std::vector<std::string> names;
      std::string known;
      for (const Variant& variant : schema.variants) {
        names.push_back(variant.name);
        known += (known.empty() ? "" : ", ") + variant.name;
      }
      found_.error(tag->origin, (path / schema.tag).to_string(),
                   std::format("'{}' is unknown; one of: {}", tag->text()->substr(0, 60), known),
                   nearest_name(*tag->text(), names));
    }
    for (const Key* key : keys)
      if (key->is_required && !value.find(key->name)) {
        // A key that is misspelt has been reported as that.
        const auto* entries = value.entries();
        const bool is_misspelt =
            entries && std::ranges::any_of(*entries, [&](const auto& entry) {
              return std::ranges::none_of(keys, [&](const Key* k) { return k->name == entry.first; }) &&
                     nearest_name(entry.first, std::vector{key->name}) == key->name;
            });
        if (!is_misspelt)
          found_.error(value.origin, path.to_string(), std::format("the key '{}' is missing", key->name));
      }
  }

  static bool variant_of(const Schema& schema, const std::string& name) {
    return std::ranges::contains(schema.variants, name, &Variant::name) ||
           (schema.other_variant && schema.other_variant(name));
  }

  // Where the variant is not known, which keys there may be is neither; that itself is an error elsewhere.
  bool hides_variant(const Value& value, const Schema& schema, const std::string& name) const {
    if (schema.tag.empty()) return false;
    const Value* tag = value.find(schema.tag);
    if (tag && tag->text() && variant_of(schema, *tag->text())) return false;
    if (!tag && schema.find(schema.tag) && !schema.find(schema.tag)->is_required) return false;
    return std::ranges::any_of(schema.variants, [&](const Variant& variant) {
      return std::ranges::contains(variant.keys, name, &Key::name);
    });
  }

  void unknown(const std::string& name, const Value& content, const Schema& schema,
               const std::vector<const Key*>& keys, const Path& path) {
    std::vector<std::string> names;
    names.reserve(keys.size());
    for (const Key* key : keys) names.push_back(key->name);
    for (const Variant& variant : schema.variants)
      if (keys.size() == schema.keys.size())
        for (const Key& key : variant.keys) names.push_back(key.name);
    std::string suggestion = nearest_name(name, names);
    if (suggestion.empty()) {
      auto places = places_of(schema, name);
      if (places.empty() && whole_) places = places_of(*whole_, name);
      if (!places.empty()) suggestion = places.front();
    }
    std::string message = "there is no such key here";
    if (suggestion.empty() && names.size() <= 16) {
      std::ranges::sort(names);
      const auto repeated = std::ranges::unique(names);
      names.erase(repeated.begin(), repeated.end());
      for (size_t i = 0; i < names.size(); ++i) message += (i ? ", " : "; known are ") + names[i];
    }
    found_.error(content.key_origin.file ? content.key_origin : content.origin, (path / name).to_string(),
                 std::move(message), std::move(suggestion));
  }

  Diagnostics& found_;
  const Schema* whole_;
};

void collect(const Schema& schema, std::string_view wanted, const std::string& path, int depth,
             std::vector<std::string>& places) {
  if (depth > 12 || places.size() >= 8) return;
  const auto take = [&](const Key& key) {
    const std::string below = path.empty() ? key.name : path + "." + key.name;
    if (key.name == wanted && !std::ranges::contains(places, below)) places.push_back(below);
    if (key.type) collect(*key.type, wanted, below, depth + 1, places);
  };
  for (const Key& key : schema.keys) take(key);
  for (const Variant& variant : schema.variants)
    for (const Key& key : variant.keys) take(key);
  if (schema.items) {
    const bool is_list = schema.kind == Kind::list;
    collect(*schema.items, wanted, is_list ? path + "[]" : path + (path.empty() ? "NAME" : ".NAME"),
            depth + 1, places);
  }
  for (const auto& one : schema.alternatives) collect(*one, wanted, path, depth + 1, places);
}

}  // namespace

void validate(const Value& value, const Schema& schema, const Path& path, Diagnostics& found,
              const Schema* whole) {
  Validation(found, whole).run(value, schema, path);
}

std::vector<std::string> places_of(const Schema& schema, std::string_view key) {
  std::vector<std::string> places;
  collect(schema, key, "", 0, places);
  // The nearest first.
  std::ranges::stable_sort(places, {},
                           [](const std::string& place) { return std::ranges::count(place, '.'); });
  return places;
}

}  // namespace sightglass::module
