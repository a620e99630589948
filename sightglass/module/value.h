// A value as a module description holds it before anybody has given it a meaning: a tree like JSON's, each
// node of which knows where it was written. Typed structs (spec.h) are read from it; properties of elements,
// which only their descriptors understand, stay values until an element is built.
//
//   Value v = Value::map();
//   v.set("threshold", 0.5);
//   v.set("lines", Value::list({1, 2}));
//
// A text may contain references, `${parameters.NAME}`, `${module.name}`, `${stream.source_id}`; see
// references.h. Plain values without threads or locks.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace sightglass::module {

// Where a node comes from: of a file, or of a layer of parameters ("etcd", "http", "default").
struct Origin {
  std::shared_ptr<const std::string> file;  // null: made in code
  int line = 0, column = 0;                 // from 1; 0: unknown
  std::string to_string() const;            // "gate.yml:12:7"; empty when unknown
};

class Value {
 public:
  using List = std::vector<Value>;
  using Map = std::vector<std::pair<std::string, Value>>;  // in the order in which it was written

  Value() = default;  // null
  Value(bool v) : data_(v) {}
  Value(int v) : data_(int64_t(v)) {}
  Value(int64_t v) : data_(v) {}
  Value(double v) : data_(v) {}
  Value(const char* v) : data_(std::string(v)) {}
  Value(std::string v) : data_(std::move(v)) {}
  static Value list(List items = {});
  static Value map(Map entries = {});

  bool is_null() const { return std::holds_alternative<std::monostate>(data_); }
  const bool* boolean() const { return std::get_if<bool>(&data_); }
  const int64_t* integer() const { return std::get_if<int64_t>(&data_); }
  const std::string* text() const { return std::get_if<std::string>(&data_); }
  const List* items() const { return std::get_if<List>(&data_); }
  const Map* entries() const { return std::get_if<Map>(&data_); }
  bool number(double& out) const;  // of integers and floating point alike

  const Value* find(std::string_view key) const;  // of a map; null: not there, or no map
  void set(std::string_view key, Value value);    // of a map (or null, which becomes one); replaces
  void add(Value value);                          // to a list (or null, which becomes one)

  std::string to_json() const;    // compact
  std::string type_name() const;  // "a text", "a list", … for messages
  bool operator==(const Value& other) const { return data_ == other.data_; }  // origins do not count

  Origin origin;
  Origin key_origin;  // of a map's entry read from a file: where its key stands

 private:
  std::variant<std::monostate, bool, int64_t, double, std::string, List, Map> data_;
};

// Reads JSON, with limits: 1 MiB, 32 levels.
Value value_from_json_or_null(std::string_view json);

}  // namespace sightglass::module
