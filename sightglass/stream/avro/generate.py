#!/usr/bin/env python3
"""Makes the structs of the messages and their codec out of the schema.

    generate.py SCHEMA RELEASED_DIR OUT_DIR

writes messages.h and messages.cc into OUT_DIR. RELEASED_DIR holds the schemas of all releases, named by
their fingerprint, which are compiled in as text. Standard library only.
"""

import json
import pathlib
import sys

KEYWORDS = {"class", "default", "delete", "enum", "namespace", "new", "operator", "private",
            "public", "struct", "union"}
PRIMITIVES = {
    "boolean": ("bool", "{x} = in.read_boolean();", "out.write_boolean({x});", 1),
    "int": ("int32_t", "{x} = in.read_int();", "out.write_long({x});", 1),
    "long": ("int64_t", "{x} = in.read_long();", "out.write_long({x});", 1),
    "float": ("float", "{x} = in.read_float();", "out.write_float({x});", 4),
    "double": ("double", "{x} = in.read_double();", "out.write_double({x});", 8),
    "string": ("std::string", "in.read_string({x}, {limit});", "out.write_string({x});", 1),
    "bytes": ("std::vector<uint8_t>", "in.read_bytes({x}, {limit});", "out.write_sized({x});", 1),
}


def identifier(name):
    name = name.lower()
    return name + "_" if name in KEYWORDS else name


def camel(name):
    return "".join(word.capitalize() for word in name.split("_"))


class Generator:
    def __init__(self, schema):
        self.named = {}   # name -> definition
        self.order = []   # definitions, each after those that it uses
        self.unions = {}  # text of a union -> its alias
        self.collect(schema, "")

    # The definitions, in the order in which C++ needs them.
    def collect(self, schema, field):
        if isinstance(schema, list):
            for branch in schema:
                self.collect(branch, field)
            if not self.is_optional(schema):
                name = camel(field)
                key = json.dumps([self.name(b) for b in schema])
                if self.unions.setdefault(key, name) != name:
                    sys.exit(f"{field}: this union is called {self.unions[key]} already")
                if not any(d.get("union") == name for d in self.order):
                    self.order.append({"union": name, "branches": schema})
        elif isinstance(schema, dict):
            kind = schema["type"]
            if kind == "array":
                self.collect(schema["items"], field)
            elif kind in ("record", "enum", "fixed"):
                self.named[schema["name"]] = schema
                for member in schema.get("fields", []):
                    self.collect(member["type"], member["name"])
                self.order.append(schema)

    @staticmethod
    def is_optional(schema):
        return isinstance(schema, list) and len(schema) == 2 and schema[0] == "null"

    @staticmethod
    def name(schema):
        return schema if isinstance(schema, str) else schema.get("name", schema["type"])

    def definition(self, schema):
        return self.named.get(schema, schema) if isinstance(schema, str) else schema

    def kind(self, schema):
        schema = self.definition(schema)
        if isinstance(schema, list):
            return "union"
        return schema if isinstance(schema, str) else schema["type"]

    def cpp(self, schema, field=""):
        kind = self.kind(schema)
        if kind in PRIMITIVES:
            return PRIMITIVES[kind][0]
        if kind == "array":
            return f"std::vector<{self.cpp(schema['items'])}>"
        if self.is_optional(schema):
            return f"std::optional<{self.cpp(schema[1])}>"
        if kind == "union":
            return "std::monostate" if kind == "null" else camel(field)
        return "std::monostate" if kind == "null" else self.name(schema)

    # The fewest bytes that a value takes.
    def least(self, schema):
        schema = self.definition(schema)
        kind = self.kind(schema)
        if kind in PRIMITIVES:
            return PRIMITIVES[kind][3]
        if kind == "record":
            return sum(self.least(field["type"]) for field in schema["fields"])
        return {"fixed": lambda: schema["size"], "null": lambda: 0}.get(kind, lambda: 1)()

    def initialiser(self, schema, default):
        kind = self.kind(schema)
        if kind == "boolean":
            return f" = {str(default or False).lower()}"
        if kind in PRIMITIVES and kind not in ("string", "bytes"):
            return f" = {default or 0}"
        if kind == "string" and default:
            return f" = {json.dumps(default)}"
        if kind == "enum":
            definition = self.definition(schema)
            symbol = default or definition.get("default") or definition["symbols"][0]
            return f" = {self.name(schema)}::{identifier(symbol)}"
        if kind == "record" and default:
            fields = self.definition(schema)["fields"]
            return "{" + ", ".join(json.dumps(default[f["name"]]) for f in fields) + "}"
        return "{}" if kind in ("fixed", "record") else ""

    def limit(self, schema, named):
        if named:
            return f"in.limits().{named}"
        by_kind = {"string": "in.limits().string", "bytes": "in.limits().body"}
        return by_kind.get(self.kind(schema), "in.limits().items")

    # The limit of the items of an array that has the limit `named`: that of their own kind, but for names.
    def item_limit(self, schema, named):
        if named in ("labels", "tags"):
            return "name"
        return None if self.kind(schema) in ("string", "bytes", "array") else named

    # Statements that read or write the value called x.
    def read(self, schema, x, limit, depth=0):
        kind = self.kind(schema)
        if kind in PRIMITIVES:
            return [PRIMITIVES[kind][1].format(x=x, limit=self.limit(schema, limit))]
        if kind == "enum":
            return [f"{x} = {self.name(schema)}(in.read_index({len(self.definition(schema)['symbols'])}));"]
        if kind == "fixed":
            return [f"in.read_fixed({x});"]
        if kind == "record":
            return [f"read(in, {x});"]
        if kind == "array":
            item = f"item{depth or ''}"
            items = schema["items"]
            body = self.read(items, item, self.item_limit(items, limit), depth + 1)
            bounds = f"{self.limit(schema, limit)}, {self.least(items)}"
            return [f"read_array(in, {x}, {bounds}, [&](auto& {item}) {{", *indent(body), "});"]
        if self.is_optional(schema):
            value = f"value{depth or ''}"
            return ["if (in.read_index(2)) {", *indent([f"auto& {value} = engaged({x});",
                    *self.read(schema[1], value, limit, depth + 1)]), "} else {", f"  {x}.reset();", "}"]
        lines = [f"switch (in.read_index({len(schema)})) {{"]
        for i, branch in enumerate(schema):
            if branch == "null":
                lines += [f"  case {i}:", f"    {x} = {{}};", "    break;"]
                continue
            lines += [f"  case {i}: {{", f"    auto& value = engaged<{i}>({x});",
                      *indent(self.read(branch, "value", limit, depth + 1), 4), "    break;", "  }"]
        return [*lines, "}"]

    def write(self, schema, x, depth=0):
        kind = self.kind(schema)
        if kind in PRIMITIVES:
            return [PRIMITIVES[kind][2].format(x=x)]
        if kind == "enum":
            return [f"out.write_long(int64_t({x}));"]
        if kind == "fixed":
            return [f"out.write({x});"]
        if kind == "record":
            return [f"write(out, {x});"]
        if kind == "array":
            item = f"item{depth or ''}"
            return [f"write_array(out, {x}, [&](const auto& {item}) {{",
                    *indent(self.write(schema["items"], item, depth + 1)), "});"]
        if self.is_optional(schema):
            inner = indent(self.write(schema[1], f"(*{x})", depth + 1))
            return [f"out.write_long({x}.has_value());", f"if ({x}) {{", *inner, "}"]
        lines = [f"out.write_long(int64_t({x}.index()));", f"switch ({x}.index()) {{"]
        for i, branch in enumerate(schema):
            if branch != "null":
                inner = indent(self.write(branch, f"std::get<{i}>({x})", depth + 1), 4)
                lines += [f"  case {i}:", *inner, "    break;"]
        return [*lines, "  default:", "    break;", "}"]

    # Statements that return the name of what is over its limit in x.
    def check(self, schema, x, limit, field, depth=0):
        kind = self.kind(schema)
        bound = self.limit(schema, limit).replace("in.limits()", "limits")
        sized = kind in ("string", "bytes", "array")
        over = [f'if ({x}.size() > {bound}) return "{field}";'] if sized else []
        if kind == "record":
            call = f"if (const char* over = over_limit({x}, limits)) return over;"
            return [call] if self.bounded(schema) else []
        if kind == "array":
            item = f"item{depth or ''}"
            bound = self.item_limit(schema["items"], limit)
            items = self.check(schema["items"], item, bound, field, depth + 1)
            return over + ([f"for (const auto& {item} : {x}) {{", *indent(items), "}"] if items else [])
        if self.is_optional(schema):
            inner = self.check(schema[1], f"(*{x})", limit, field, depth + 1)
            return [f"if ({x}) {{", *indent(inner), "}"] if inner else []
        if kind != "union":
            return over
        lines = []
        for i, branch in enumerate(schema):
            value = f"value{depth or ''}"
            inner = self.check(branch, f"(*{value})", limit, field, depth + 1)
            if inner:
                lines += [f"if (const auto* {value} = std::get_if<{i}>(&{x})) {{", *indent(inner), "}"]
        return lines

    def checks(self, record):
        lines = []
        for field in record["fields"]:
            value = f"in.{identifier(field['name'])}"
            lines += self.check(field["type"], value, field.get("limit"), field["name"])
        return indent([*lines, "return nullptr;"])

    # Whether a record has anything that can be over a limit.
    def bounded(self, schema):
        schema = self.definition(schema)
        kind = self.kind(schema)
        if kind == "record":
            return any(self.bounded(field["type"]) for field in schema["fields"])
        return any(map(self.bounded, schema)) if kind == "union" else kind in ("string", "bytes", "array")

    def header(self, fingerprint):
        used = ("array", "cstdint", "optional", "span", "string", "string_view", "variant", "vector")
        lines = ["// Made from sightglass.avsc by avro/generate.py: the messages as structs, and their codec.",
                 "#pragma once", "", *(f"#include <{name}>" for name in used), "",
                 "namespace sightglass::stream {", "", "class BinaryReader;", "struct Limits;", "",
                 "// Fingerprint (CRC-64-AVRO) and text of the schema that this was made from.",
                 f"inline constexpr uint64_t schema_fingerprint = 0x{fingerprint:016x};",
                 "std::string_view schema_text();", "",
                 "// The schemas of all releases.", "struct ReleasedSchema {", "  uint64_t fingerprint = 0;",
                 "  std::string_view text;", "};", "std::span<const ReleasedSchema> released_schemas();", ""]
        for d in self.order:
            if "union" in d:
                branches = ", ".join(self.cpp(b) for b in d["branches"])
                lines += [f"using {d['union']} = std::variant<{branches}>;", ""]
                continue
            if d.get("doc"):
                lines.append(f"// {d['doc']}")
            if d["type"] == "fixed":
                lines.append(f"using {d['name']} = std::array<uint8_t, {d['size']}>;")
                if d["name"] == "Fixed16":
                    lines.append("using Uuid = Fixed16;")
            elif d["type"] == "enum":
                symbols = ", ".join(map(identifier, d["symbols"]))
                lines += [f"enum class {d['name']} : uint8_t {{ {symbols} }};",
                          f"std::string_view to_string({d['name']} value);  // as in the schema, in capitals"]
            else:
                lines.append(f"struct {d['name']} {{")
                for field in d["fields"]:
                    if field.get("doc"):
                        lines.append(f"  // {field['doc']}")
                    start = self.initialiser(field["type"], field.get("default"))
                    kind = self.cpp(field["type"], field["name"])
                    lines.append(f"  {kind} {identifier(field['name'])}{start};")
                lines += [f"  bool operator==(const {d['name']}&) const = default;", "};"]
            lines.append("")
        lines += ["// Appends the message in Avro's binary encoding.",
                  "void encode(const Message& message, std::vector<uint8_t>& out);",
                  "// The name of the first field that a reader with these limits would refuse; null where there "
                  "is none.",
                  "const char* over_limit(const Message& message, const Limits& limits);",
                  "// Reads over what is in `message`, whose memory is used again; in.ok() says whether all was "
                  "well.",
                  "void decode(BinaryReader& in, Message& message);", "",
                  "}  // namespace sightglass::stream", ""]
        return "\n".join(lines)

    def source(self, text, released):
        records = [d for d in self.order if d.get("type") == "record"]
        lines = ["// Made from sightglass.avsc by avro/generate.py.",
                 '#include "sightglass/stream/messages.h"', "",
                 '#include "sightglass/stream/avro/binary.h"', "",
                 "namespace sightglass::stream {", "namespace {", ""]
        for d in records:
            lines.append(f"void read(BinaryReader& in, {d['name']}& out) {{")
            for field in d["fields"]:
                target = f"out.{identifier(field['name'])}"
                lines += indent(self.read(field["type"], target, field.get("limit")))
            lines += ["}", "", f"void write(BinaryWriter& out, const {d['name']}& in) {{"]
            for field in d["fields"]:
                lines += indent(self.write(field["type"], f"in.{identifier(field['name'])}"))
            lines += ["}", ""]
        for d in records:
            if self.bounded(d) and d["name"] != "Message":
                head = f"const char* over_limit(const {d['name']}& in, const Limits& limits) {{"
                lines += [head, *self.checks(d), "}", ""]
        lines += ["constexpr ReleasedSchema all_released[] = {"]
        lines += [f"  {{0x{number:016x}, R\"avsc({schema})avsc\"}}," for number, schema in released]
        lines += ["};", "", "}  // namespace", ""]
        for d in self.order:
            if d.get("type") == "enum":
                symbols = ", ".join(f'"{s}"' for s in d["symbols"])
                lines += [f"std::string_view to_string({d['name']} value) {{",
                          f"  static constexpr std::string_view names[] = {{{symbols}}};",
                          "  return names[size_t(value)];", "}", ""]
        lines += ["std::string_view schema_text() {", f"  return R\"avsc({text})avsc\";", "}", "",
                  "std::span<const ReleasedSchema> released_schemas() { return all_released; }", "",
                  "void encode(const Message& message, std::vector<uint8_t>& out) {",
                  "  BinaryWriter writer(out);",
                  "  write(writer, message);", "}", "",
                  "void decode(BinaryReader& in, Message& message) { read(in, message); }", "",
                  "const char* over_limit(const Message& in, const Limits& limits) {",
                  *self.checks(self.named["Message"]), "}", "",
                  "}  // namespace sightglass::stream", ""]
        return "\n".join(lines)


def indent(lines, by=2):
    return [" " * by + line for line in lines]


# Parsing Canonical Form of the specification; `seen` are the named types that have been written out.
def canonical(schema, namespace=""):
    if isinstance(schema, list):
        return "[" + ",".join(canonical(branch, namespace) for branch in schema) + "]"
    if isinstance(schema, str):
        is_full = schema in PRIMITIVES or schema == "null" or "." in schema or not namespace
        return json.dumps(schema if is_full else f"{namespace}.{schema}")
    kind = schema["type"]
    if kind == "array":
        return '{"type":"array","items":' + canonical(schema["items"], namespace) + "}"
    if kind not in ("record", "enum", "fixed"):
        return canonical(kind, namespace)
    namespace = schema.get("namespace", namespace)
    name = f"{namespace}.{schema['name']}" if namespace else schema["name"]
    head = '{"name":' + json.dumps(name) + f',"type":"{kind}"'
    if kind == "record":
        fields = ",".join(f'{{"name":"{field["name"]}","type":{canonical(field["type"], namespace)}}}'
                          for field in schema["fields"])
        return f'{head},"fields":[{fields}]}}'
    if kind == "enum":
        return head + ',"symbols":[' + ",".join(map(json.dumps, schema["symbols"])) + "]}"
    return f'{head},"size":{schema["size"]}}}'


# CRC-64-AVRO.
def fingerprint(text):
    empty = 0xC15D213AA4D7A795
    table = []
    for i in range(256):
        for _ in range(8):
            i = (i >> 1) ^ (empty if i & 1 else 0)
        table.append(i)
    crc = empty
    for byte in text.encode():
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc


# Only what is new, so that nobody who includes it is built again for nothing.
def write(path, text):
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def main():
    schema_path, released_path, out = map(pathlib.Path, sys.argv[1:4])
    text = schema_path.read_text()
    generator = Generator(json.loads(text))
    released = []
    for path in sorted(released_path.glob("*.avsc")):
        earlier = path.read_text()
        number = fingerprint(canonical(json.loads(earlier)))
        if path.stem != f"{number:016x}":
            sys.exit(f"{path}: the fingerprint of this schema is {number:016x}")
        released.append((number, earlier))
    out.mkdir(parents=True, exist_ok=True)
    write(out / "messages.h", generator.header(fingerprint(canonical(json.loads(text)))))
    write(out / "messages.cc", generator.source(text, released))


if __name__ == "__main__":
    main()
