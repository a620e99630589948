#include "sightglass/module/value.h"

#include <algorithm>
#include <cmath>
#include <format>
#include <limits>

#include <nlohmann/json.hpp>

#include "sightglass/core/json_writer.h"

namespace sightglass::module {
namespace {

constexpr size_t max_json_bytes = 1 << 20;
constexpr size_t max_json_depth = 32;

void write(JsonWriter& json, const Value& value) {
  if (const bool* boolean = value.boolean()) return json.value(*boolean);
  if (const int64_t* integer = value.integer()) return json.value(*integer);
  if (const std::string* text = value.text()) return json.value(std::string_view(*text));
  if (const auto* items = value.items()) {
    json.begin_array();
    for (const Value& item : *items) write(json, item);
    return json.end_array();
  }
  if (const auto* entries = value.entries()) {
    json.begin_object();
    for (const auto& [key, item] : *entries) {
      json.key(key);
      write(json, item);
    }
    return json.end_object();
  }
  if (double number; value.number(number)) {
    // A whole number stays floating point when it is read back.
    if (std::isfinite(number) && number == std::trunc(number) && std::abs(number) < 1e15)
      return json.raw(std::format("{:.1f}", number));
    return json.value(number);
  }
  json.value(nullptr);
}

// Builds values without recursion, so that depth is bounded before anything is.
class JsonBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  Value take() { return std::move(root_); }

  bool null() override { return add(Value()); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(int64_t(value)); }
  bool number_unsigned(number_unsigned_t value) override {
    return value > uint64_t(std::numeric_limits<int64_t>::max()) ? add(double(value)) : add(int64_t(value));
  }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return open(true); }
  bool start_array(size_t) override { return open(false); }
  bool key(string_t& name) override {
    open_.back().keys.push_back(std::move(name));
    return true;
  }
  bool end_object() override {
    auto level = std::move(open_.back());
    open_.pop_back();
    auto sorted = level.keys;
    std::ranges::sort(sorted);
    if (std::ranges::adjacent_find(sorted) != sorted.end()) return false;
    Value::Map entries;
    entries.reserve(level.items.size());
    for (size_t i = 0; i < level.items.size(); ++i)
      entries.emplace_back(std::move(level.keys[i]), std::move(level.items[i]));
    return add(Value::map(std::move(entries)));
  }
  bool end_array() override {
    auto level = std::move(open_.back());
    open_.pop_back();
    return add(Value::list(std::move(level.items)));
  }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception&) override { return false; }

 private:
  struct Level {
    bool is_map;
    std::vector<std::string> keys;
    Value::List items;
  };
  bool open(bool is_map) {
    if (open_.size() >= max_json_depth) return false;
    open_.push_back({is_map, {}, {}});
    return true;
  }
  bool add(Value value) {
    if (open_.empty())
      root_ = std::move(value);
    else
      open_.back().items.push_back(std::move(value));
    return true;
  }

  Value root_;
  std::vector<Level> open_;
};

}  // namespace

std::string Origin::to_string() const {
  if (!file) return {};
  if (line <= 0) return *file;
  return std::format("{}:{}:{}", *file, line, column);
}

Value Value::list(List items) {
  Value value;
  value.data_ = std::move(items);
  return value;
}

Value Value::map(Map entries) {
  Value value;
  value.data_ = std::move(entries);
  return value;
}

bool Value::number(double& out) const {
  if (const auto* whole = integer()) {
    out = double(*whole);
    return true;
  }
  if (const auto* real = std::get_if<double>(&data_)) {
    out = *real;
    return true;
  }
  return false;
}

const Value* Value::find(std::string_view key) const {
  if (const auto* map = entries())
    for (const auto& [name, value] : *map)
      if (name == key) return &value;
  return nullptr;
}

void Value::set(std::string_view key, Value value) {
  if (!entries()) data_ = Map();
  auto& map = std::get<Map>(data_);
  for (auto& [name, old] : map)
    if (name == key) {
      old = std::move(value);
      return;
    }
  map.emplace_back(std::string(key), std::move(value));
}

void Value::add(Value value) {
  if (!items()) data_ = List();
  std::get<List>(data_).push_back(std::move(value));
}

std::string Value::to_json() const {
  std::string text;
  JsonWriter json(text);
  write(json, *this);
  return text;
}

std::string Value::type_name() const {
  if (boolean()) return "a boolean";
  if (integer()) return "a whole number";
  if (text()) return "a text";
  if (items()) return "a list";
  if (entries()) return "a map";
  return is_null() ? "nothing" : "a number";
}

Value value_from_json_or_null(std::string_view json) {
  if (json.size() > max_json_bytes) return {};
  JsonBuilder builder;
  if (!nlohmann::json::sax_parse(json, &builder)) return {};
  return builder.take();
}

}  // namespace sightglass::module
