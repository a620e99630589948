#include "sightglass/module/references.h"

#include <algorithm>

namespace sightglass::module {
namespace {

constexpr std::string_view parameters_prefix = "parameters.";

Result<Reference> reference(std::string_view name) {
  if (name == "module.name") return Reference{Reference::Kind::module_name, {}};
  if (name == "stream.source_id") return Reference{Reference::Kind::source_id, {}};
  if (name.starts_with(parameters_prefix) && is_parameter_name(name.substr(parameters_prefix.size())))
    return Reference{Reference::Kind::parameter, std::string(name.substr(parameters_prefix.size()))};
  return fail(
      ErrorCode::invalid_argument,
      "${{{}}} is no reference; there are ${{parameters.NAME}}, ${{module.name}} and ${{stream.source_id}}",
      name.substr(0, 80));
}

// Calls literal(text) and refer(reference) for the pieces of a text, in order; stops at the first error.
template <class Literal, class Refer>
Status for_each_piece(std::string_view text, Literal&& literal, Refer&& refer) {
  while (!text.empty()) {
    const size_t dollar = text.find('$');
    literal(text.substr(0, dollar));
    if (dollar == text.npos) return {};
    text.remove_prefix(dollar);
    if (text.starts_with("$$")) {
      literal("$");
      text.remove_prefix(2);
    } else if (text.starts_with("${")) {
      const size_t end = text.find('}');
      if (end == text.npos)
        return fail(ErrorCode::invalid_argument, "'{}': a reference that does not end", text.substr(0, 80));
      auto found = reference(text.substr(2, end - 2));
      if (!found) return forward_error(found);
      if (auto status = refer(*found); !status) return status;
      text.remove_prefix(end + 1);
    } else {
      literal("$");
      text.remove_prefix(1);
    }
  }
  return {};
}

Result<Value> value_of(const Reference& reference, const ReferenceScope& scope) {
  switch (reference.kind) {
    case Reference::Kind::module_name:
      return Value(scope.module_name);
    case Reference::Kind::source_id:
      if (!scope.source_id)
        return fail(ErrorCode::invalid_argument, "${{stream.source_id}}: there is no stream here");
      return Value(*scope.source_id);
    case Reference::Kind::parameter:
      break;
  }
  const Value* value = scope.parameter ? scope.parameter(reference.name) : nullptr;
  if (!value)
    return fail(ErrorCode::not_found, "${{parameters.{0}}}: no parameter is called {0}", reference.name);
  return *value;
}

Result<Value> resolve_text(const Value& value, const ReferenceScope& scope) {
  if (const auto whole = as_reference(value)) return value_of(*whole, scope);
  std::string result;
  auto status = for_each_piece(
      *value.text(), [&](std::string_view piece) { result += piece; },
      [&](const Reference& found) -> Status {
        auto content = value_of(found, scope);
        if (!content) return forward_error(content);
        result += content->text() ? *content->text() : content->to_json();
        return {};
      });
  if (!status) return forward_error(status);
  return Value(std::move(result));
}

template <class F>
void for_each_text(const Value& value, F&& f) {
  if (value.text()) f(*value.text());
  if (const auto* items = value.items())
    for (const Value& item : *items) for_each_text(item, f);
  if (const auto* entries = value.entries())
    for (const auto& entry : *entries) for_each_text(entry.second, f);
}

}  // namespace

bool is_parameter_name(std::string_view name) {
  if (name.empty() || name.size() > 64 || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::ranges::all_of(
      name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

Result<std::vector<Reference>> references_in(std::string_view text) {
  std::vector<Reference> list;
  auto status = for_each_piece(
      text, [](std::string_view) {},
      [&](const Reference& found) -> Status {
        list.push_back(found);
        return {};
      });
  if (!status) return forward_error(status);
  return list;
}

std::optional<Reference> as_reference(const Value& value) {
  const auto* text = value.text();
  if (!text || !text->starts_with("${") || text->find('}') != text->size() - 1) return std::nullopt;
  auto found = reference(std::string_view(*text).substr(2, text->size() - 3));
  return found ? std::optional(*found) : std::nullopt;
}

bool has_references(const Value& value) {
  bool found = false;
  for_each_text(value, [&](const std::string& text) { found = found || text.find("${") != text.npos; });
  return found;
}

std::vector<std::string> referenced_parameters(const Value& value) {
  std::vector<std::string> names;
  for_each_text(value, [&](const std::string& text) {
    auto list = references_in(text);
    if (!list) return;
    for (const auto& found : *list)
      if (found.kind == Reference::Kind::parameter && !std::ranges::contains(names, found.name))
        names.push_back(found.name);
  });
  return names;
}

bool refers_to_source(const Value& value) {
  bool refers = false;
  for_each_text(value, [&](const std::string& text) {
    if (auto list = references_in(text))
      for (const auto& found : *list) refers = refers || found.kind == Reference::Kind::source_id;
  });
  return refers;
}

Result<Value> resolve(const Value& value, const ReferenceScope& scope) {
  Value result;
  if (value.text()) {
    if (value.text()->find('$') == std::string::npos) return value;
    auto resolved = resolve_text(value, scope);
    if (!resolved) return forward_error(resolved);
    result = *std::move(resolved);
  } else if (const auto* items = value.items()) {
    result = Value::list();
    for (const Value& item : *items) {
      auto resolved = resolve(item, scope);
      if (!resolved) return forward_error(resolved);
      result.add(*std::move(resolved));
    }
  } else if (const auto* entries = value.entries()) {
    Value::Map map;
    for (const auto& [key, item] : *entries) {
      auto resolved = resolve(item, scope);
      if (!resolved) return forward_error(resolved);
      map.emplace_back(key, *std::move(resolved));
    }
    result = Value::map(std::move(map));
  } else {
    return value;
  }
  result.origin = value.origin;
  result.key_origin = value.key_origin;
  return result;
}

}  // namespace sightglass::module
