#include <algorithm>
#include <format>
#include <set>

#include "sightglass/module/schema_text.h"

namespace sightglass::module {
namespace {

std::string anchor(std::string_view title) {
  std::string text;
  for (char c : title) {
    if (c == ' ')
      text += '-';
    else if (c != '.')
      text += c;
  }
  return text;
}

class Page {
 public:
  std::string run(const Schema& schema) {
    text_ =
        "# Keys of a module's file\n\n" + schema.doc +
        " docs/modules.md explains them with examples, docs/selectors.md what a selector is; `sightglass "
        "schema module` prints the same as JSON Schema for editors.\n\n"
        "What a change does to a running module: ▶ live, ↻ streams are renewed at their next keyframe, ■ the "
        "module has to be started again. `$`: may be a reference to a parameter.\n";
    section("Top level", schema);
    // The list grows while sections are written.
    for (size_t i = 0; i < open_.size(); ++i) {
      const auto [title, type] = open_[i];
      section(title, *type);
    }
    return text_;
  }

 private:
  // What stands in the column of types; remembers types that get a section of their own.
  std::string type_text(const Schema& schema, const std::string& path) {
    const std::string refers = schema.may_refer ? " $" : "";
    switch (schema.kind) {
      case Kind::any: {
        if (!schema.definition.empty()) return "selector" + refers;
        std::string text;
        for (const auto& one : schema.alternatives)
          text += (text.empty() ? "" : " or ") + type_text(*one, path);
        return (text.empty() ? "any value" : text) + refers;
      }
      case Kind::boolean:
        return "true or false" + refers;
      case Kind::integer:
        return "whole number" + range(schema) + refers;
      case Kind::number:
        return "number" + range(schema) + refers;
      case Kind::text:
        return "text" + refers;
      case Kind::choice: {
        std::string text;
        for (const auto& name : schema.choices) text += (text.empty() ? "" : ", ") + name;
        return text + refers;
      }
      case Kind::duration:
        return "duration" + refers;
      case Kind::bytes:
        return "size" + refers;
      case Kind::rate:
        return "rate" + refers;
      case Kind::fraction:
        return "fraction" + refers;
      case Kind::list: {
        const std::string items = schema.items ? type_text(*schema.items, path) : "any value";
        return (schema.or_single ? items + ", or a list of them" : "list of " + items) + refers;
      }
      case Kind::table:
        return "NAME: " + (schema.items ? type_text(*schema.items, path) : "any value") + refers;
      case Kind::map:
        break;
    }
    if (schema.keys.empty() && schema.variants.empty()) return "map";
    const std::string title = schema.name.empty() ? path : schema.name;
    if (written_.insert(title).second) open_.emplace_back(title, &schema);
    return std::format("[{}](#{})", title, anchor(title));
  }

  static std::string range(const Schema& schema) {
    const auto shown = [](double number) {
      return number == double(int64_t(number)) ? std::to_string(int64_t(number)) : std::format("{}", number);
    };
    std::string text;
    const bool has_least = schema.min > -2147483648. && schema.min > -1e18;
    const bool has_most = schema.max < 4294967295. && schema.max != 2147483647.;
    if (has_least && has_most)
      text = " " + shown(schema.min) + ".." + shown(schema.max);
    else if (has_least && schema.min != 0)
      text = " from " + shown(schema.min);
    return text + (schema.unit.empty() ? "" : " " + schema.unit);
  }

  void rows(const std::vector<Key>& keys, const std::string& path) {
    text_ += "\n| key | type | default | | |\n|---|---|---|---|---|\n";
    for (const Key& key : keys) {
      const std::string below = path.empty() ? key.name : path + "." + key.name;
      std::string value = key.is_required ? "required" : "";
      if (!key.default_value.is_null() && !key.default_value.entries() && !key.default_value.items())
        value = key.default_value.text() ? *key.default_value.text() : key.default_value.to_json();
      const char* mark = key.mutability == Mutability::live      ? "▶"
                         : key.mutability == Mutability::recycle ? "↻"
                         : key.mutability == Mutability::restart ? "■"
                                                                 : "";
      text_ += std::format("| `{}` | {} | {} | {} | {} |\n", key.name, type_text(*key.type, below),
                           markdown_cell(value), mark, markdown_cell(key.doc));
    }
  }

  void section(const std::string& title, const Schema& schema) {
    const std::string path = title == "Top level" ? "" : title;
    text_ += "\n## " + title + "\n";
    if (!schema.doc.empty() && title != "Top level") text_ += "\n" + schema.doc + "\n";
    rows(schema.keys, path);
    if (schema.variants.empty()) return;
    text_ += std::format("\nBy `{}`:\n\n| {} | | keys |\n|---|---|---|\n", schema.tag, schema.tag);
    for (const Variant& variant : schema.variants) {
      std::string keys;
      for (const Key& key : variant.keys) {
        // Properties of elements: their names; the rest is on the pages of elements.
        if (key.name == "properties") {
          for (const Key& property : key.type->keys)
            keys += std::format("{}`{}`{}", keys.empty() ? "" : ", ", property.name,
                                property.mutability == Mutability::live ? " ▶" : "");
          continue;
        }
        keys +=
            std::format("{}`{}`{}", keys.empty() ? "" : ", ", key.name, key.is_required ? " (required)" : "");
      }
      text_ += std::format("| `{}` | {} | {} |\n", variant.name, markdown_cell(variant.doc), keys);
    }
  }

  std::string text_;
  std::vector<std::pair<std::string, const Schema*>> open_;
  std::set<std::string> written_;
};

}  // namespace

std::string markdown_cell(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '|')
      out += "\\|";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else
      out += c;
  }
  return out;
}

std::string reference_page(const Schema& schema) { return Page().run(schema); }

}  // namespace sightglass::module
