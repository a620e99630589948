#include "sightglass/module/schema.h"

#include <algorithm>
#include <cmath>
#include <format>

#include "sightglass/module/units.h"

namespace sightglass::module {
namespace {

constexpr Time forever = std::numeric_limits<Time>::max();

std::string with_underscores(std::string name) {
  std::ranges::replace(name, '-', '_');
  return name;
}

}  // namespace

std::string_view to_string(Mutability mutability) {
  switch (mutability) {
    case Mutability::live:
      return "live";
    case Mutability::recycle:
      return "recycled";
    case Mutability::restart:
    case Mutability::inherited:
      break;
  }
  return "restarted";
}

// ---- declaration

Key&& Key::range(double least, double most) && {
  type->min = least, type->max = most;
  return std::move(*this);
}
Key&& Key::in(std::string_view unit) && {
  type->unit = unit;
  return std::move(*this);
}
Key&& Key::choices(std::vector<std::string> names) && {
  type->choices = std::move(names);
  if (type->kind == Kind::text) type->kind = Kind::choice;
  return std::move(*this);
}
Key&& Key::matching(std::string_view pattern, std::string_view what) && {
  type->pattern = pattern, type->pattern_doc = what;
  return std::move(*this);
}
Key&& Key::duration() && {
  type->kind = Kind::duration, type->unit = "ns", type->min = 0;
  return std::move(*this);
}
Key&& Key::bytes() && {
  type->kind = Kind::bytes;
  return std::move(*this);
}
Key&& Key::rate() && {
  type->kind = Kind::rate;
  return std::move(*this);
}
Key&& Key::required() && {
  is_required = true;
  return std::move(*this);
}
Key&& Key::referring() && {
  type->may_refer = true;
  return std::move(*this);
}
Key&& Key::changes(Mutability how) && {
  mutability = how;
  return std::move(*this);
}
Key&& Key::of(const SchemaRef& schema) && {
  type = std::make_shared<Schema>(*schema);
  return std::move(*this);
}
Key&& Key::defaults_to(Value value) && {
  default_value = std::move(value);
  return std::move(*this);
}

std::shared_ptr<Schema> Schema::of_kind(Kind kind) {
  auto schema = std::make_shared<Schema>();
  schema->kind = kind;
  return schema;
}
std::shared_ptr<Schema> Schema::list_of(SchemaRef items) {
  auto schema = of_kind(Kind::list);
  schema->items = std::move(items);
  return schema;
}
std::shared_ptr<Schema> Schema::table_of(SchemaRef items) {
  auto schema = of_kind(Kind::table);
  schema->items = std::move(items);
  return schema;
}
std::shared_ptr<Schema> Schema::one_of(std::vector<SchemaRef> alternatives) {
  auto schema = of_kind(Kind::any);
  schema->alternatives = std::move(alternatives);
  return schema;
}

const Key* Schema::find(std::string_view key) const {
  const auto found = std::ranges::find(keys, key, &Key::name);
  return found == keys.end() ? nullptr : &*found;
}

namespace detail {

Time unit_of_time(std::string_view unit) {
  if (unit == "ns") return 1;
  if (unit == "us" || unit == "µs") return 1000;
  if (unit == "ms") return 1'000'000;
  if (unit == "s") return 1'000'000'000;
  return 0;
}

std::optional<double> quantity(const Schema& schema, const Value& value) {
  double number = 0;
  const std::string* text = value.text();
  if (schema.kind == Kind::duration) {
    const Time unit = std::max<Time>(1, unit_of_time(schema.unit));
    // A bare number of nanoseconds is a mistake.
    if (value.number(number)) {
      if (unit == 1 && number != 0) return std::nullopt;
      return number;
    }
    if (text && *text == "never" && schema.may_never) return double(forever);
    if (!text) return std::nullopt;
    auto time = parse_duration(*text);
    return time ? std::optional(double(*time) / double(unit)) : std::nullopt;
  }
  if (value.number(number)) return number;
  if (!text) return std::nullopt;
  if (schema.kind == Kind::bytes) {
    auto size = parse_size(*text);
    return size ? std::optional(double(*size)) : std::nullopt;
  }
  if (schema.kind == Kind::rate) {
    auto rate = parse_rate(*text);
    return rate ? std::optional(double(*rate)) : std::nullopt;
  }
  if (schema.kind == Kind::integer && schema.unit == "%") {
    auto percent = parse_percent(*text);
    return percent ? std::optional(std::round(*percent * 100)) : std::nullopt;
  }
  return std::nullopt;
}

bool fits_kind(const Schema& schema, const Value& value) {
  double number = 0;
  switch (schema.kind) {
    case Kind::any:
      return schema.alternatives.empty() || std::ranges::any_of(schema.alternatives, [&](const auto& one) {
               return fits_kind(*one, value);
             });
    case Kind::boolean:
      return value.boolean();
    case Kind::integer:
      return value.integer() || (schema.unit == "%" && value.text()) ||
             (value.number(number) && number == std::trunc(number));
    case Kind::number:
      return value.number(number);
    case Kind::text:
    case Kind::choice:
      return value.text();
    case Kind::duration:
    case Kind::bytes:
    case Kind::rate:
    case Kind::fraction:
      return value.text() || value.number(number);
    case Kind::list:
      return value.items() || (schema.or_single && fits_kind(*schema.items, value));
    case Kind::map:
    case Kind::table:
      return value.entries();
  }
  return false;
}

namespace {
std::shared_ptr<Schema> whole(double least, double most) {
  auto schema = Schema::of_kind(Kind::integer);
  schema->min = least, schema->max = most;
  return schema;
}
}  // namespace

std::shared_ptr<Schema> schema_for(const bool*) { return Schema::of_kind(Kind::boolean); }
std::shared_ptr<Schema> schema_for(const int*) { return whole(-2147483648., 2147483647.); }
std::shared_ptr<Schema> schema_for(const unsigned*) { return whole(0, 4294967295.); }
std::shared_ptr<Schema> schema_for(const int64_t*) { return whole(-9e18, 9e18); }
std::shared_ptr<Schema> schema_for(const uint64_t*) { return whole(0, 9e18); }
std::shared_ptr<Schema> schema_for(const double*) { return Schema::of_kind(Kind::number); }
std::shared_ptr<Schema> schema_for(const std::string*) { return Schema::of_kind(Kind::text); }
std::shared_ptr<Schema> schema_for(const std::vector<std::string>*) {
  auto schema = Schema::list_of(Schema::of_kind(Kind::text));
  schema->or_single = true;
  return schema;
}
std::shared_ptr<Schema> schema_for(const Value*) { return Schema::of_kind(Kind::any); }

bool store(const Schema&, const Value& value, bool& target) {
  if (!value.boolean()) return false;
  target = *value.boolean();
  return true;
}
bool store(const Schema&, const Value& value, std::string& target) {
  if (!value.text()) return false;
  target = *value.text();
  return true;
}
bool store(const Schema& schema, const Value& value, double& target) {
  const auto number = quantity(schema, value);
  if (number) target = *number;
  return number.has_value();
}
bool store(const Schema&, const Value& value, std::vector<std::string>& target) {
  target.clear();
  if (value.text()) target.push_back(*value.text());
  if (const auto* items = value.items())
    for (const Value& item : *items)
      if (item.text()) target.push_back(*item.text());
  return value.text() || value.items();
}
bool store(const Schema&, const Value& value, Value& target) {
  target = value;
  return true;
}
bool store_whole(const Schema& schema, const Value& value, int64_t& target) {
  if (schema.kind == Kind::choice) {
    const auto found = value.text() ? std::ranges::find(schema.choices, *value.text()) : schema.choices.end();
    if (found == schema.choices.end()) return false;
    const auto index = size_t(found - schema.choices.begin());
    target = schema.choice_values.empty() ? int64_t(index) : schema.choice_values[index];
    return true;
  }
  if (schema.kind == Kind::integer && value.integer()) {
    target = *value.integer();
    return true;
  }
  const auto number = quantity(schema, value);
  if (!number || *number < schema.min) return false;
  target = *number >= 9.2e18 ? std::numeric_limits<int64_t>::max() : std::llround(*number);
  return true;
}

Value load_whole(const Schema& schema, int64_t value) {
  switch (schema.kind) {
    case Kind::choice: {
      for (size_t i = 0; i < schema.choices.size(); ++i)
        if ((schema.choice_values.empty() ? int64_t(i) : schema.choice_values[i]) == value)
          return schema.choices[i];
      return {};
    }
    case Kind::duration: {
      if (value == forever) return "never";
      const Time unit = unit_of_time(schema.unit);
      if (value < 0 || unit == 0) return value;
      return duration_text(value * unit);
    }
    case Kind::bytes:
      return size_text(uint64_t(value));
    case Kind::rate:
      return value == 0 ? Value(0) : Value(rate_text(uint64_t(value)));
    default:
      return value;
  }
}

}  // namespace detail

// ---- parameters

namespace {

// A default as a description would write it.
Value shown_default(const Schema& schema, const ParamDesc& param) {
  const ParamValue& value = param.default_value;
  if (const auto* boolean = std::get_if<bool>(&value)) return *boolean;
  if (const auto* whole = std::get_if<int64_t>(&value)) return detail::load_whole(schema, *whole);
  if (const auto* number = std::get_if<double>(&value)) {
    // 0.7f is meant as 0.7.
    if (param.type == ParamType::number32) return std::stod(std::format("{}", float(*number)));
    return *number;
  }
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* fraction = std::get_if<Fraction>(&value)) return to_string(ParamValue(*fraction));
  Value list = Value::list();
  if (const auto* items = std::get_if<std::vector<int64_t>>(&value))
    for (int64_t item : *items) list.add(item);
  if (const auto* items = std::get_if<std::vector<double>>(&value))
    for (double item : *items) list.add(item);
  if (const auto* items = std::get_if<std::vector<std::string>>(&value))
    for (const auto& item : *items) list.add(item);
  return list;
}

std::shared_ptr<Schema> schema_of(const ParamDesc& param) {
  const auto list = [](Kind items) {
    auto schema = Schema::list_of(Schema::of_kind(items));
    schema->or_single = true;
    return schema;
  };
  switch (param.type) {
    case ParamType::boolean:
      return Schema::of_kind(Kind::boolean);
    case ParamType::integer:
    case ParamType::unsigned_integer:
    case ParamType::integer64:
      if (detail::unit_of_time(param.unit)) return Schema::of_kind(Kind::duration);
      if (param.unit == "B" || param.unit == "bytes") return Schema::of_kind(Kind::bytes);
      if (param.unit == "bit/s" || param.unit == "bits/s") return Schema::of_kind(Kind::rate);
      return Schema::of_kind(Kind::integer);
    case ParamType::number32:
    case ParamType::number:
      return Schema::of_kind(detail::unit_of_time(param.unit) ? Kind::duration : Kind::number);
    case ParamType::text:
      return Schema::of_kind(Kind::text);
    case ParamType::choice:
      return Schema::of_kind(Kind::choice);
    case ParamType::integers:
      return list(Kind::integer);
    case ParamType::numbers:
      return list(Kind::number);
    case ParamType::texts:
      return list(Kind::text);
    case ParamType::fraction:
      return Schema::of_kind(Kind::fraction);
  }
  return Schema::of_kind(Kind::any);
}

bool is_scalar(Kind kind) {
  return kind == Kind::boolean || kind == Kind::integer || kind == Kind::number || kind == Kind::duration ||
         kind == Kind::bytes || kind == Kind::rate;
}

}  // namespace

Key key_of(const ParamDesc& param) {
  Key key{.name = with_underscores(param.name), .doc = param.doc, .type = schema_of(param)};
  Schema& type = *key.type;
  type.unit = param.unit;
  type.min = param.min, type.max = param.max;
  type.choices = param.choice_names;
  type.choice_values = param.choice_values;
  type.may_refer = true;
  type.may_bind = param.is_live && is_scalar(type.kind) && type.kind != Kind::boolean;
  type.may_never = type.kind == Kind::duration && param.max >= double(forever);
  key.default_value = shown_default(type, param);
  key.is_required = param.is_required;
  key.mutability = param.is_live ? Mutability::live : Mutability::recycle;
  return key;
}

std::vector<Key> keys_of(const ParamTable& params, const std::vector<std::string>& without) {
  std::vector<Key> keys;
  for (const ParamDesc& param : params.params)
    if (!param.is_readable_only && !std::ranges::contains(without, param.name)) keys.push_back(key_of(param));
  return keys;
}

Result<ParamValue> param_value(const ParamDesc& param, const Value& value) {
  const auto wrong = [&](std::string_view expected) {
    return fail(ErrorCode::invalid_argument, "{}: expects {}, got {}", with_underscores(param.name), expected,
                value.type_name());
  };
  const Key key = key_of(param);
  const Schema& type = *key.type;
  ParamValue converted;
  switch (type.kind) {
    case Kind::boolean:
      if (!value.boolean()) return wrong("true or false");
      converted = *value.boolean();
      break;
    case Kind::integer:
    case Kind::duration:
    case Kind::bytes:
    case Kind::rate:
    case Kind::number: {
      const auto number = detail::quantity(type, value);
      if (!number) return wrong("a number");
      if (*number >= 9.2e18)
        converted = std::numeric_limits<int64_t>::max();
      else if (value.integer())
        converted = *value.integer();
      else
        converted = *number;
      break;
    }
    case Kind::text:
      // What its element reads as YAML or JSON: zones, lines.
      converted = value.text() ? *value.text() : value.to_json();
      break;
    case Kind::choice:
    case Kind::fraction: {
      double number = 0;
      if (value.text())
        converted = *value.text();
      else if (!value.number(number))
        return wrong("a text");
      else if (type.kind == Kind::fraction && number == std::trunc(number) && std::abs(number) < 1e9)
        converted = int64_t(number);  // 25 is 25/1
      else
        converted = number;
      break;
    }
    default: {
      const Value::List single{value};
      const auto& items = value.items() ? *value.items() : single;
      if (param.type == ParamType::texts) {
        std::vector<std::string> texts;
        for (const Value& item : items) texts.push_back(item.text() ? *item.text() : item.to_json());
        converted = std::move(texts);
      } else {
        std::vector<double> numbers;
        for (const Value& item : items) {
          double number = 0;
          if (!item.number(number)) return wrong("a list of numbers");
          numbers.push_back(number);
        }
        if (param.type == ParamType::integers)
          converted = std::vector<int64_t>(numbers.begin(), numbers.end());
        else
          converted = std::move(numbers);
      }
    }
  }
  return param.check(converted);
}

// ---- maps with variants

std::vector<const Key*> keys_of(const Schema& map, const Value& value, std::optional<Variant>& storage) {
  std::vector<const Key*> keys;
  const Variant* variant = nullptr;
  const Value* tag = map.tag.empty() ? nullptr : value.find(map.tag);
  const Key* tag_key = map.find(map.tag);
  if (!tag && tag_key && !tag_key->default_value.is_null()) tag = &tag_key->default_value;
  if (tag && tag->text()) {
    const auto found = std::ranges::find(map.variants, *tag->text(), &Variant::name);
    if (found != map.variants.end())
      variant = &*found;
    else if (map.other_variant) {
      storage = map.other_variant(*tag->text());
      if (storage) variant = &*storage;
    }
  }
  for (const Key& key : map.keys)
    if (!variant || !std::ranges::contains(variant->keys, key.name, &Key::name)) keys.push_back(&key);
  if (variant)
    for (const Key& key : variant->keys) keys.push_back(&key);
  return keys;
}

// ---- structs

void read(const Value& value, const Schema& schema, void* target) {
  for (const auto& one : schema.alternatives)
    if (detail::fits_kind(*one, value)) return read(value, *one, target);
  if (!value.entries()) {
    if (schema.store_plain) schema.store_plain(target, value);
    if (schema.finish) schema.finish(target, value);
    return;
  }
  Value rest;
  for (const auto& [name, content] : *value.entries()) {
    const Key* key = schema.find(name);
    if (key && key->store)
      key->store(target, content);
    else
      rest.set(name, content);
  }
  if (schema.store_rest && !rest.is_null()) {
    rest.origin = value.origin;
    schema.store_rest(target, std::move(rest));
  }
  if (schema.finish) schema.finish(target, value);
}

Value write(const Schema& schema, const void* source) {
  if (schema.kind == Kind::any && !schema.alternatives.empty()) {
    const auto map =
        std::ranges::find(schema.alternatives, Kind::map, [](const auto& one) { return one->kind; });
    if (map != schema.alternatives.end()) return write(**map, source);
  }
  Value result = Value::map();
  for (const Key& key : schema.keys) {
    if (!key.load) continue;
    Value value = key.load(source);
    const bool is_empty = value.is_null() || (value.entries() && value.entries()->empty()) ||
                          (value.items() && value.items()->empty());
    if (is_empty || (value == key.default_value && !key.is_required)) continue;
    result.set(key.name, std::move(value));
  }
  if (schema.load_rest) {
    const Value rest = schema.load_rest(source);
    if (const auto* entries = rest.entries())
      for (const auto& [name, value] : *entries) result.set(name, value);
  }
  return result;
}

}  // namespace sightglass::module
