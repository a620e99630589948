// What may stand in a description: a tree of types, of which checks, typed structs, the JSON Schema for
// editors and the reference page are made. Each key is declared once, next to the member of the struct that
// it fills:
//
//   SchemaRef queue = Schema::map_of<QueueSpec>({
//       key("records", &QueueSpec::records, "most records that wait").range(1, 1'000'000),
//       key("bytes", &QueueSpec::bytes, "most bytes that wait").bytes(),
//   });
//   validate(tree, *queue, Path(), found);   // everything that is wrong
//   read(tree, *queue, &spec);                // afterwards: the struct
//   Value again = write(*queue, &spec);
//
// Parameters of elements and adapters become keys by keys_of(). The schema of the whole file is
// module_schema() (module_schema.h). Immutable once made; any thread.
#pragma once

#include <concepts>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/core/param.h"
#include "sightglass/module/diagnostic.h"
#include "sightglass/module/value.h"

namespace sightglass::module {

struct Schema;
using SchemaRef = std::shared_ptr<const Schema>;

enum class Kind : uint8_t {
  any,  // as it is; with `alternatives` one of those
  boolean,
  integer,
  number,
  text,
  choice,
  duration,  // "10ms"; where `unit` names one of time also a number of it
  bytes,     // "64MiB"
  rate,      // "2M", per second
  fraction,  // "30/1" or a whole number
  list,
  map,    // of known keys
  table,  // NAME: item
};

// What a change of the value does to a running module.
enum class Mutability : uint8_t { inherited, live, recycle, restart };
std::string_view to_string(Mutability mutability);  // "live", "recycled", "restarted"

struct Key {
  std::string name, doc;
  std::shared_ptr<Schema> type;
  Value default_value;  // null: none
  bool is_required = false;
  Mutability mutability = Mutability::inherited;
  // Between the value and the struct; null: of a value that has no struct.
  std::function<void(void* target, const Value&)> store;
  std::function<Value(const void* source)> load;

  Key&& range(double least, double most) &&;
  Key&& in(std::string_view unit) &&;
  Key&& choices(std::vector<std::string> names) &&;  // of an enum: in order of its numbers
  Key&& matching(std::string_view pattern, std::string_view what) &&;
  Key&& duration() &&;
  Key&& bytes() &&;
  Key&& rate() &&;
  Key&& required() &&;
  Key&& referring() &&;  // may be a reference to a parameter
  Key&& changes(Mutability how) &&;
  Key&& of(const SchemaRef& schema) &&;  // of a Value: what it may be
  Key&& defaults_to(Value value) &&;
};

// Further keys of a map, by the value of one of its keys.
struct Variant {
  std::string name, doc;
  std::vector<Key> keys;
};

struct Schema {
  Kind kind = Kind::any;
  std::string name;  // of a type that is used in several places, or worth a section of its own; else empty
  std::string doc;
  double min = std::numeric_limits<double>::lowest(), max = std::numeric_limits<double>::max();
  std::string unit;
  std::vector<std::string> choices;
  std::vector<int> choice_values;    // as ParamDesc's
  std::string pattern, pattern_doc;  // of a text, and of the names of a table: a regular expression
  bool may_refer = false;            // "${parameters.NAME}" may stand in its place, or in a text
  bool may_bind = false;             // {from, map, default} may: a property that is live
  bool may_never = false;            // of a duration: "never"
  // list, table
  SchemaRef items;
  size_t min_items = 0, max_items = std::numeric_limits<size_t>::max();
  bool or_single = false;  // one item alone is a list of one
  // map
  std::vector<Key> keys;
  bool is_open = false;  // other keys go as well
  std::string tag;       // key that chooses the variant
  std::vector<Variant> variants;
  std::function<std::optional<Variant>(const std::string& name)> other_variant;  // of those not listed
  std::string other_pattern;  // of their names, for JSON Schema
  // any: the first of these that fits by its kind; for each kind of value at most one
  std::vector<SchemaRef> alternatives;
  // More than the above can say: what is wrong, or empty.
  std::function<std::string(const Value&)> check;
  std::string_view definitions;  // JSON text of a schema's $defs, of which `definition` is this one
  std::string definition;
  // Keys of the struct that no member is for.
  std::function<void(void* target, Value rest)> store_rest;
  std::function<Value(const void* source)> load_rest;
  std::function<void(void* target, const Value& whole)> finish;  // after reading: origins
  std::function<void(void* target, const Value&)> store_plain;   // a value that is no map: a short form

  template <class P>
  static std::shared_ptr<Schema> map_of(std::vector<Key> keys);
  static std::shared_ptr<Schema> of_kind(Kind kind);
  static std::shared_ptr<Schema> list_of(SchemaRef items);
  static std::shared_ptr<Schema> table_of(SchemaRef items);
  static std::shared_ptr<Schema> one_of(std::vector<SchemaRef> alternatives);

  const Key* find(std::string_view key) const;
};

// The keys that a map with this value has: its own, and those of its variant (which win).
std::vector<const Key*> keys_of(const Schema& map, const Value& value, std::optional<Variant>& storage);

// Keys from a table of parameters; names with '_' for '-'. References are allowed throughout, bindings where
// a parameter is live.
std::vector<Key> keys_of(const ParamTable& params, const std::vector<std::string>& without = {});
Key key_of(const ParamDesc& param);

// What a parameter takes, from a resolved value: lists, durations with their unit, maps as JSON text.
Result<ParamValue> param_value(const ParamDesc& param, const Value& value);

// All that is wrong with `value`. `whole`: the schema of the file, where keys of unknown name are looked for.
void validate(const Value& value, const Schema& schema, const Path& path, Diagnostics& found,
              const Schema* whole = nullptr);

// Between values and structs. read() takes what fits and leaves out what validate() has refused; write()
// leaves out what is as by default.
void read(const Value& value, const Schema& map, void* target);
Value write(const Schema& map, const void* source);

// The first keys by this name in the tree below `schema`, as paths:
// "pipeline.elements[].properties.threshold".
std::vector<std::string> places_of(const Schema& schema, std::string_view key);

// ---- declaration

namespace detail {
// Nanoseconds in one of `unit`; 0: no unit of time.
Time unit_of_time(std::string_view unit);
// The number of a quantity, in the unit of its schema; none: not read.
std::optional<double> quantity(const Schema& schema, const Value& value);
// Whether a value is of the kind that the schema wants, whatever it is.
bool fits_kind(const Schema& schema, const Value& value);

// Kind of value that a member is, and both ways.
std::shared_ptr<Schema> schema_for(const bool*);
std::shared_ptr<Schema> schema_for(const int*);
std::shared_ptr<Schema> schema_for(const unsigned*);
std::shared_ptr<Schema> schema_for(const int64_t*);
std::shared_ptr<Schema> schema_for(const uint64_t*);
std::shared_ptr<Schema> schema_for(const double*);
std::shared_ptr<Schema> schema_for(const std::string*);
std::shared_ptr<Schema> schema_for(const std::vector<std::string>*);
std::shared_ptr<Schema> schema_for(const Value*);
template <class T>
  requires std::is_enum_v<T>
std::shared_ptr<Schema> schema_for(const T*) {
  return Schema::of_kind(Kind::choice);
}

bool store(const Schema&, const Value&, bool& target);
bool store(const Schema&, const Value&, std::string& target);
bool store(const Schema&, const Value&, double& target);
bool store(const Schema&, const Value&, std::vector<std::string>& target);
bool store(const Schema&, const Value&, Value& target);
bool store_whole(const Schema&, const Value&, int64_t& target);
template <class T>
  requires(std::integral<T> && !std::same_as<T, bool>) || std::is_enum_v<T>
bool store(const Schema& schema, const Value& value, T& target) {
  int64_t whole = 0;
  if (!store_whole(schema, value, whole)) return false;
  target = T(whole);
  return true;
}

Value load_whole(const Schema&, int64_t value);
template <class T>
Value load(const Schema& schema, const T& source) {
  if constexpr (std::is_enum_v<T> || (std::is_integral_v<T> && !std::is_same_v<T, bool>)) {
    return load_whole(schema, int64_t(source));
  } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
    Value list = Value::list();
    for (const auto& item : source) list.add(item);
    return list;
  } else {
    return source;
  }
}

// Structs by their schema; values as they are.
template <class S>
void fill(const Value& value, const Schema& schema, S& target) {
  if constexpr (std::is_same_v<S, Value>)
    target = value;
  else
    read(value, schema, &target);
}
template <class S>
Value taken(const Schema& schema, const S& source) {
  if constexpr (std::is_same_v<S, Value>)
    return source;
  else
    return write(schema, &source);
}
}  // namespace detail

// A member of a simple type.
template <class P, class T>
Key key(std::string_view name, T P::* member, std::string_view doc) {
  Key made{.name = std::string(name), .doc = std::string(doc), .type = detail::schema_for((const T*)nullptr)};
  const auto type = made.type;
  made.store = [member, type](void* target, const Value& value) {
    detail::store(*type, value, static_cast<P*>(target)->*member);
  };
  made.load = [member, type](const void* source) {
    return detail::load(*type, static_cast<const P*>(source)->*member);
  };
  return made;
}

// A member that is a struct of its own, with the schema of that.
template <class P, class S>
Key section(std::string_view name, S P::* member, const std::shared_ptr<Schema>& schema,
            std::string_view doc) {
  Key made{.name = std::string(name), .doc = std::string(doc), .type = schema};
  const SchemaRef type = schema;
  made.store = [member, type](void* target, const Value& value) {
    detail::fill(value, *type, static_cast<P*>(target)->*member);
  };
  made.load = [member, type](const void* source) {
    return detail::taken(*type, static_cast<const P*>(source)->*member);
  };
  return made;
}

// The same where it may be absent.
template <class P, class S>
Key section(std::string_view name, std::optional<S> P::* member, const std::shared_ptr<Schema>& schema,
            std::string_view doc) {
  Key made{.name = std::string(name), .doc = std::string(doc), .type = schema};
  const SchemaRef type = schema;
  made.store = [member, type](void* target, const Value& value) {
    detail::fill(value, *type, (static_cast<P*>(target)->*member).emplace());
  };
  made.load = [member, type](const void* source) -> Value {
    const auto& content = static_cast<const P*>(source)->*member;
    return content ? detail::taken(*type, *content) : Value();
  };
  return made;
}

// A list of structs.
template <class P, class S>
Key list(std::string_view name, std::vector<S> P::* member, const std::shared_ptr<Schema>& item,
         std::string_view doc) {
  Key made{.name = std::string(name), .doc = std::string(doc), .type = Schema::list_of(item)};
  const SchemaRef type = item;
  made.store = [member, type](void* target, const Value& value) {
    auto& items = static_cast<P*>(target)->*member;
    if (const auto* values = value.items())
      for (const Value& one : *values) detail::fill(one, *type, items.emplace_back());
    else if (!value.is_null())
      detail::fill(value, *type, items.emplace_back());
  };
  made.load = [member, type](const void* source) -> Value {
    Value values;
    for (const S& one : static_cast<const P*>(source)->*member) values.add(detail::taken(*type, one));
    return values;
  };
  return made;
}

// A list of structs by name, in the order of the file.
template <class P, class S>
Key table(std::string_view name, std::vector<std::pair<std::string, S>> P::* member,
          const std::shared_ptr<Schema>& item, std::string_view doc) {
  Key made{.name = std::string(name), .doc = std::string(doc), .type = Schema::table_of(item)};
  const SchemaRef type = item;
  made.store = [member, type](void* target, const Value& value) {
    auto& items = static_cast<P*>(target)->*member;
    if (const auto* entries = value.entries())
      for (const auto& [entry, content] : *entries)
        detail::fill(content, *type, items.emplace_back(entry, S{}).second);
  };
  made.load = [member, type](const void* source) -> Value {
    Value values;
    for (const auto& [entry, content] : static_cast<const P*>(source)->*member)
      values.set(entry, detail::taken(*type, content));
    return values;
  };
  return made;
}

template <class P>
std::shared_ptr<Schema> Schema::map_of(std::vector<Key> keys) {
  auto schema = of_kind(Kind::map);
  const P defaults{};
  for (Key& one : keys)
    if (one.load && one.default_value.is_null() && !one.is_required) one.default_value = one.load(&defaults);
  schema->keys = std::move(keys);
  return schema;
}

}  // namespace sightglass::module
