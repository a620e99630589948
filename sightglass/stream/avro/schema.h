// An Avro schema: parsed from its JSON text, written as Parsing Canonical Form, named by its fingerprint.
//
// The text may come from anybody: its size is for the caller to limit, nesting and the number of types are
// bounded here, and nothing grows beyond a small multiple of it. Defaults of fields are only kept on request,
// by a reader for its own schema, since those of nested records can be made to multiply.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/stream/avro/binary.h"

namespace sightglass::stream::avro {

enum class Type : uint8_t {
  null,
  boolean,
  int_,
  long_,
  float_,
  double_,
  bytes,
  string,
  record,
  enumeration,
  fixed,
  array,
  map,
  union_
};

struct Node;

struct Field {
  std::string name;
  std::vector<std::string> aliases;
  const Node* type = nullptr;
  std::optional<std::vector<uint8_t>> default_value;  // in the binary encoding of `type`
};

struct Node {
  Type type = Type::null;
  std::string name;                      // with the namespace; record, enumeration, fixed
  std::vector<std::string> aliases;      // likewise
  std::vector<Field> fields;             // record
  std::vector<std::string> symbols;      // enumeration
  std::optional<size_t> default_symbol;  // its place
  size_t size = 0;                       // fixed
  std::vector<const Node*> branches;     // of a union; the items of an array, the values of a map
};

enum class Defaults : uint8_t { keep, leave_out };

class Schema {
 public:
  static Result<Schema> parse(std::string_view json, Defaults defaults);

  const Node& root() const { return *root_; }
  std::string canonical_form() const;

 private:
  friend class SchemaParser;
  std::vector<std::unique_ptr<Node>> nodes_;
  const Node* root_ = nullptr;
};

// CRC-64-AVRO of a canonical form.
uint64_t fingerprint(std::string_view canonical_form);

// Single-object encoding: C3 01, the fingerprint in little-endian order, the datum.
inline constexpr size_t header_size = 10;
std::optional<uint64_t> read_header(Bytes object);
void write_header(uint64_t fingerprint, std::vector<uint8_t>& out);

}  // namespace sightglass::stream::avro
