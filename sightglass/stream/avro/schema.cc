#include "sightglass/stream/avro/schema.h"

#include <map>
#include <set>
#include <nlohmann/json.hpp>

namespace sightglass::stream::avro {
namespace {

using Json = nlohmann::json;

constexpr size_t deepest = 64;
constexpr size_t most_types = 8192;
constexpr size_t longest_default = 4096;

constexpr std::string_view type_names[] = {"null",   "boolean", "int",  "long",  "float", "double", "bytes",
                                           "string", "record",  "enum", "fixed", "array", "map"};
constexpr size_t primitive_count = 8;

bool is_name(std::string_view name) {
  const auto word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  if (name.empty() || name.size() > 256 || !word(name[0])) return false;
  return std::ranges::all_of(name, [&](char c) { return word(c) || (c >= '0' && c <= '9'); });
}

bool is_full_name(std::string_view name) {
  for (size_t dot; (dot = name.find('.')) != name.npos; name.remove_prefix(dot + 1)) {
    if (!is_name(name.substr(0, dot))) return false;
  }
  return is_name(name);
}

std::string full_name(std::string_view name, std::string_view space) {
  if (space.empty() || name.contains('.')) return std::string(name);
  return std::format("{}.{}", space, name);
}

std::string text_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

class SchemaParser {
 public:
  SchemaParser(Schema& schema, bool defaults) : schema_(schema), defaults_(defaults) {}

  Result<const Node*> parse(const Json& json, const std::string& space, size_t depth) {
    if (depth > deepest) return fail(ErrorCode::invalid_argument, "schema: nested deeper than {}", deepest);
    if (json.is_string()) return named(json.get<std::string>(), space);
    if (json.is_array()) return parse_union(json, space, depth);
    if (!json.is_object())
      return fail(ErrorCode::invalid_argument, "schema: a type is a name, a list or an object");
    const auto type = json.find("type");
    if (type == json.end()) return fail(ErrorCode::invalid_argument, "schema: a type without `type`");
    if (!type->is_string()) return parse(*type, space, depth + 1);
    const std::string name = type->get<std::string>();
    if (name == "array" || name == "map") {
      const auto items = json.find(name == "array" ? "items" : "values");
      if (items == json.end()) return fail(ErrorCode::invalid_argument, "schema: {} of nothing", name);
      Result<const Node*> item = parse(*items, space, depth + 1);
      if (!item) return item;
      Result<Node*> node = add(name == "array" ? Type::array : Type::map);
      if (node) (*node)->branches.push_back(*item);
      return node;
    }
    if (name == "record" || name == "error") return parse_record(json, space, depth);
    if (name == "enum") return parse_enum(json, space);
    if (name == "fixed") return parse_fixed(json, space);
    return named(name, space);
  }

 private:
  Result<Node*> add(Type type) {
    if (schema_.nodes_.size() >= most_types) {
      return fail(ErrorCode::exhausted, "schema: more than {} types", most_types);
    }
    schema_.nodes_.push_back(std::make_unique<Node>());
    schema_.nodes_.back()->type = type;
    return schema_.nodes_.back().get();
  }

  Result<const Node*> named(const std::string& name, const std::string& space) {
    for (size_t i = 0; i < primitive_count; ++i) {
      if (name != type_names[i]) continue;
      if (!primitives_[i]) {
        Result<Node*> node = add(Type(i));
        if (!node) return node;
        primitives_[i] = *node;
      }
      return primitives_[i];
    }
    auto found = names_.find(full_name(name, space));
    if (found == names_.end()) found = names_.find(name);
    if (found == names_.end()) return fail(ErrorCode::invalid_argument, "schema: there is no type {}", name);
    return found->second;
  }

  Result<const Node*> parse_union(const Json& json, const std::string& space, size_t depth) {
    Result<Node*> node = add(Type::union_);
    if (!node) return node;
    std::set<const Node*> seen;
    for (const Json& branch : json) {
      Result<const Node*> type = parse(branch, space, depth + 1);
      if (!type) return type;
      if ((*type)->type == Type::union_ || !seen.insert(*type).second) {
        return fail(ErrorCode::invalid_argument, "schema: a union with a union, or with the same type twice");
      }
      (*node)->branches.push_back(*type);
    }
    if (json.empty()) return fail(ErrorCode::invalid_argument, "schema: an empty union");
    return node;
  }

  // A node with its name and aliases; `space` becomes the namespace inside.
  Result<Node*> add_named(Type type, const Json& json, std::string& space) {
    const std::string name = text_of(json, "name");
    if (!name.contains('.') && json.contains("namespace")) space = text_of(json, "namespace");
    const std::string full = full_name(name, space);
    space = full.substr(0, full.contains('.') ? full.rfind('.') : 0);
    Result<Node*> node = add(type);
    if (!node) return node;
    (*node)->name = full;
    (*node)->aliases = aliases(json);
    for (std::string& alias : (*node)->aliases) alias = full_name(alias, space);
    if (!is_full_name(full) || std::ranges::contains(type_names, std::string_view(name)) ||
        !names_.emplace(full, *node).second) {
      return fail(ErrorCode::invalid_argument, "schema: '{}' cannot be the name of a type, or is one already",
                  full.substr(0, 100));
    }
    return node;
  }

  static std::vector<std::string> aliases(const Json& json) {
    std::vector<std::string> names;
    const auto found = json.find("aliases");
    if (found == json.end() || !found->is_array()) return names;
    for (const Json& alias : *found) {
      if (alias.is_string()) names.push_back(alias.get<std::string>());
    }
    return names;
  }

  Result<const Node*> parse_record(const Json& json, std::string space, size_t depth) {
    Result<Node*> node = add_named(Type::record, json, space);
    if (!node) return node;
    const auto fields = json.find("fields");
    if (fields == json.end() || !fields->is_array()) {
      return fail(ErrorCode::invalid_argument, "schema: record {} has no fields", (*node)->name);
    }
    std::set<std::string> seen;
    for (const Json& json_field : *fields) {
      if (!json_field.is_object() || !json_field.contains("type")) {
        return fail(ErrorCode::invalid_argument, "schema: a field of {} is no object with a type",
                    (*node)->name);
      }
      Field field{text_of(json_field, "name"), aliases(json_field), nullptr, std::nullopt};
      if (!is_name(field.name) || !seen.insert(field.name).second) {
        return fail(ErrorCode::invalid_argument, "schema: {} has a field without a name, or two of one name",
                    (*node)->name);
      }
      Result<const Node*> type = parse(json_field["type"], space, depth + 1);
      if (!type) return type;
      field.type = *type;
      if (const auto value = json_field.find("default"); defaults_ && value != json_field.end()) {
        std::vector<uint8_t> bytes;
        if (!encode(*value, **type, bytes, 0)) {
          return fail(ErrorCode::invalid_argument, "schema: {}.{} cannot have the default {}", (*node)->name,
                      field.name, value->dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 100));
        }
        field.default_value = std::move(bytes);
      }
      (*node)->fields.push_back(std::move(field));
    }
    return node;
  }

  Result<const Node*> parse_enum(const Json& json, std::string space) {
    Result<Node*> node = add_named(Type::enumeration, json, space);
    if (!node) return node;
    const auto symbols = json.find("symbols");
    std::set<std::string> seen;
    if (symbols != json.end() && symbols->is_array()) {
      for (const Json& symbol : *symbols) {
        if (!symbol.is_string() || !is_name(symbol.get<std::string>()) ||
            !seen.insert(symbol.get<std::string>()).second) {
          return fail(ErrorCode::invalid_argument, "schema: {} has a symbol that is none, or twice",
                      (*node)->name);
        }
        (*node)->symbols.push_back(symbol.get<std::string>());
      }
    }
    if (const std::string value = text_of(json, "default"); !value.empty()) {
      const auto place = std::ranges::find((*node)->symbols, value);
      if (place == (*node)->symbols.end()) {
        return fail(ErrorCode::invalid_argument, "schema: the default of {} is none of its symbols",
                    (*node)->name);
      }
      (*node)->default_symbol = size_t(place - (*node)->symbols.begin());
    }
    if (seen.empty()) return fail(ErrorCode::invalid_argument, "schema: {} has no symbols", (*node)->name);
    return node;
  }

  Result<const Node*> parse_fixed(const Json& json, std::string space) {
    Result<Node*> node = add_named(Type::fixed, json, space);
    if (!node) return node;
    const auto size = json.find("size");
    if (size == json.end() || !size->is_number_unsigned() || size->get<uint64_t>() > INT32_MAX) {
      return fail(ErrorCode::invalid_argument, "schema: {} has no size", (*node)->name);
    }
    (*node)->size = size->get<size_t>();
    return node;
  }

  // A default of a field in binary.
  static bool encode(const Json& value, const Node& type, std::vector<uint8_t>& bytes, size_t depth) {
    if (depth > deepest || bytes.size() > longest_default) return false;
    BinaryWriter out(bytes);
    // JSON has bytes as text, a character for each.
    const auto write_latin1 = [&](bool sized) {
      std::vector<uint8_t> data;
      const std::string& text = value.get_ref<const std::string&>();
      for (size_t i = 0; i < text.size(); ++i) {
        const auto byte = uint8_t(text[i]);
        if (byte < 0x80) {
          data.push_back(byte);
        } else if ((byte == 0xc2 || byte == 0xc3) && i + 1 < text.size()) {
          data.push_back(uint8_t((byte & 3) << 6 | (uint8_t(text[++i]) & 0x3f)));
        } else {
          return false;
        }
      }
      if (!sized && data.size() != type.size) return false;
      sized ? out.write_sized(data) : out.write(data);
      return true;
    };
    switch (type.type) {
      case Type::null:
        return value.is_null();
      case Type::boolean:
        if (value.is_boolean()) out.write_boolean(value.get<bool>());
        return value.is_boolean();
      case Type::int_:
      case Type::long_:
        if (value.is_number_integer()) out.write_long(value.get<int64_t>());
        return value.is_number_integer();
      case Type::float_:
        if (value.is_number()) out.write_float(value.get<float>());
        return value.is_number();
      case Type::double_:
        if (value.is_number()) out.write_double(value.get<double>());
        return value.is_number();
      case Type::string:
        if (value.is_string()) out.write_string(value.get_ref<const std::string&>());
        return value.is_string();
      case Type::bytes:
        return value.is_string() && write_latin1(true);
      case Type::fixed:
        return value.is_string() && write_latin1(false);
      case Type::enumeration: {
        const auto place = value.is_string() ? std::ranges::find(type.symbols, value.get<std::string>())
                                             : type.symbols.end();
        if (place == type.symbols.end()) return false;
        out.write_long(place - type.symbols.begin());
        return true;
      }
      case Type::array:
      case Type::map: {
        const bool is_map = type.type == Type::map;
        if (is_map ? !value.is_object() : !value.is_array()) return false;
        if (!value.empty()) out.write_long(int64_t(value.size()));
        for (const auto& [key, item] : value.items()) {
          if (is_map) out.write_string(key);
          if (!encode(item, *type.branches[0], bytes, depth + 1)) return false;
        }
        out.write_long(0);
        return true;
      }
      case Type::union_:  // a default is one of the first branch
        out.write_long(0);
        return encode(value, *type.branches[0], bytes, depth + 1);
      case Type::record:
        if (!value.is_object()) return false;
        for (const Field& field : type.fields) {
          if (const auto found = value.find(field.name); found != value.end()) {
            if (!encode(*found, *field.type, bytes, depth + 1)) return false;
          } else if (field.default_value) {
            out.write(*field.default_value);
          } else {
            return false;
          }
        }
        return true;
    }
    return false;
  }

  Schema& schema_;
  bool defaults_;
  std::map<std::string, const Node*> names_;
  const Node* primitives_[primitive_count] = {};
};

Result<Schema> Schema::parse(std::string_view json, Defaults defaults) {
  const Json parsed = Json::parse(json, nullptr, false);
  if (parsed.is_discarded()) return fail(ErrorCode::corrupt, "schema: this is no JSON");
  Schema schema;
  Result<const Node*> root = SchemaParser(schema, defaults == Defaults::keep).parse(parsed, "", 0);
  if (!root) return forward_error(root);
  schema.root_ = *root;
  return schema;
}

namespace {

// Names and symbols have been checked to need no escapes.
void write_canonical(const Node& node, std::set<const Node*>& seen, std::string& out) {
  const bool has_name = !node.name.empty();
  if (has_name && !seen.insert(&node).second) {
    out += '"' + node.name + '"';
    return;
  }
  if (has_name)
    std::format_to(std::back_inserter(out), R"({{"name":"{}","type":"{}")", node.name,
                   type_names[size_t(node.type)]);
  const auto list = [&](const auto& items, auto&& write) {
    out += '[';
    for (bool first = true; const auto& item : items) {
      if (!std::exchange(first, false)) out += ',';
      write(item);
    }
    out += ']';
  };
  switch (node.type) {
    case Type::record:
      out += R"(,"fields":)";
      list(node.fields, [&](const Field& field) {
        out += R"({"name":")" + field.name + R"(","type":)";
        write_canonical(*field.type, seen, out);
        out += '}';
      });
      break;
    case Type::enumeration:
      out += R"(,"symbols":)";
      list(node.symbols, [&](const std::string& symbol) { out += '"' + symbol + '"'; });
      break;
    case Type::fixed:
      out += std::format(R"(,"size":{})", node.size);
      break;
    case Type::array:
    case Type::map:
      out += node.type == Type::array ? R"({"type":"array","items":)" : R"({"type":"map","values":)";
      write_canonical(*node.branches[0], seen, out);
      out += '}';
      break;
    case Type::union_:
      list(node.branches, [&](const Node* branch) { write_canonical(*branch, seen, out); });
      break;
    default:
      out += '"';
      out += type_names[size_t(node.type)];
      out += '"';
  }
  if (has_name) out += '}';
}

constexpr uint64_t empty_fingerprint = 0xc15d213aa4d7a795;
constexpr auto fingerprint_table = [] {
  std::array<uint64_t, 256> table{};
  for (uint64_t i = 0; i < table.size(); ++i) {
    table[i] = i;
    for (int bit = 0; bit < 8; ++bit) table[i] = table[i] >> 1 ^ (table[i] & 1 ? empty_fingerprint : 0);
  }
  return table;
}();

}  // namespace

std::string Schema::canonical_form() const {
  std::string out;
  std::set<const Node*> seen;
  write_canonical(*root_, seen, out);
  return out;
}

uint64_t fingerprint(std::string_view canonical_form) {
  uint64_t crc = empty_fingerprint;
  for (const char c : canonical_form) crc = crc >> 8 ^ fingerprint_table[(crc ^ uint8_t(c)) & 0xff];
  return crc;
}

std::optional<uint64_t> read_header(Bytes object) {
  if (object.size() < header_size || object[0] != 0xc3 || object[1] != 0x01) return std::nullopt;
  uint64_t number;
  std::memcpy(&number, object.data() + 2, sizeof number);
  return number;
}

void write_header(uint64_t number, std::vector<uint8_t>& out) {
  uint8_t bytes[header_size] = {0xc3, 0x01};
  std::memcpy(bytes + 2, &number, sizeof number);
  out.insert(out.end(), bytes, bytes + header_size);
}

}  // namespace sightglass::stream::avro
