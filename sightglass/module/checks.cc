#include "sightglass/module/checks.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <format>
#include <ranges>
#include <set>

#include "sightglass/elements/opencv_meta_overlay/draw_rules.h"
#include "sightglass/elements/selection/selector.h"
#include "sightglass/module/adapter_checks.h"
#include "sightglass/module/element_checks.h"
#include "sightglass/module/location_rules.h"
#include "sightglass/module/reference_checks.h"
#include "sightglass/module/spec_schema.h"

namespace sightglass::module {
namespace {

void check_parameters(const ModuleSpec& spec, const Value& tree, Diagnostics& found) {
  for (const auto& [name, parameter] : spec.parameters) {
    const Path path = Path() / "parameters" / name;
    const auto error = [&](std::string_view key, const std::string& message) {
      const Path place = key.empty() ? path : path / key;
      const Value& value = *place.nearest(tree);
      found.error(value.origin.file ? value.origin : parameter.origin, place.to_string(), message);
    };
    if (parameter.min && parameter.max && *parameter.min > *parameter.max)
      error("min", "is greater than max");
    const bool is_number =
        parameter.type == ParameterType::number || parameter.type == ParameterType::integer;
    if ((parameter.min || parameter.max) && !is_number)
      error(parameter.min ? "min" : "max", "is for numbers only");
    if (!parameter.pattern.empty() && parameter.type != ParameterType::text)
      error("pattern", "is for strings only");
    for (size_t i = 0; i < parameter.choices.size(); ++i) {
      ParameterSpec without = parameter;
      without.choices.clear();
      if (auto status = check_parameter(without, parameter.choices[i]); !status)
        error("enum", status.error().message);
    }
    const bool is_short = !path.nearest(tree)->find("default") && !parameter.default_value.is_null();
    if (!parameter.default_value.is_null())
      if (auto status = check_parameter(parameter, parameter.default_value); !status)
        error(is_short ? "" : "default", status.error().message);
    if (parameter.secret && !parameter.default_value.is_null() &&
        !(parameter.default_value.text() && parameter.default_value.text()->empty()))
      found.warning(parameter.origin, path.to_string(),
                    "a secret in a file that is read by many: set it by the environment or the API instead");
  }
}

// What is declared and used by nobody is a mistake of names.
template <class T>
void check_used(const std::vector<std::pair<std::string, T>>& declared, const std::set<std::string>& used,
                std::string_view section, std::string_view by, const Value& tree, Diagnostics& found) {
  for (const auto& entry : declared) {
    if (used.contains(entry.first)) continue;
    const Path path = Path() / section / entry.first;
    const Value& value = *path.nearest(tree);
    found.error(value.key_origin.file ? value.key_origin : value.origin, path.to_string(),
                std::format("is not used by {}", by));
  }
}

void check_streams(const ModuleSpec& spec, const Value& tree, Diagnostics& found) {
  if (auto status = stream::check(spec.streams); !status) {
    const std::string& message = status.error().message;
    Path path = Path() / "streams";
    const std::string key = message.substr(0, message.find_first_of(" :"));
    if (module_schema().find("streams")->type->find(key)) path = path / key;
    found.error(path.nearest(tree)->origin, path.to_string(), message);
  }
  for (const auto& [pattern, keys] : spec.stream_overrides) {
    const Path path = Path() / "streams" / "overrides" / pattern;
    const Value& value = *path.nearest(tree);
    if (pattern.empty() || pattern.size() > stream::max_source_id)
      found.error(value.key_origin, path.to_string(), "expects a pattern of source ids such as cam-*");
    // With references resolved the rules are those of one stream.
    const Value defaults = default_parameters(spec);
    const auto resolved = resolve(keys, default_scope(spec, defaults));
    if (!resolved || !resolved->entries()) continue;
    stream::StreamRules rules = spec.streams;
    for (const auto& [key, content] : *resolved->entries())
      if (const ParamDesc* param = stream::stream_rule_params().find(key))
        if (auto checked = param_value(*param, content)) param->store(&rules, *checked);
    if (auto status = stream::check(rules); !status)
      found.error(value.origin, path.to_string(), status.error().message);
  }
}

void check_output(const ModuleSpec& spec, const Value& tree, Diagnostics& found) {
  const auto& output = spec.output_frame;
  const auto& codecs = module_schema().find("output_frame")->type->find("codec")->type->choices;
  if (!std::ranges::contains(codecs, output.codec)) return;  // said by the schema
  const Path path = Path() / "output_frame";
  const auto error = [&](std::string_view key, std::string_view message) {
    found.error((path / key).nearest(tree)->origin, (path / key).to_string(), std::string(message));
  };
  const bool encodes = output.codec != "none" && output.codec != "copy";
  const bool is_video = output.codec == "h264" || output.codec == "hevc" || output.codec == "av1";
  const std::string by = "is not used with codec " + output.codec;
  if (!is_video && output.bitrate) error("bitrate", by);
  if (!is_video && output.gop) error("gop", by);
  if (!encodes && output.width) error("size", by);
  if (!is_video && output.encoder != "auto") error("encoder", by);
  if (output.codec == "none" && !output.when.is_null()) error("when", by);
  if (output.width < 0 || output.height < 0 || output.width > 16'384 || output.height > 16'384 ||
      (output.width == 0) != (output.height == 0))
    error("size", "expects [width, height] of 1 to 16384 pixels");
  if (output.width % 2 || output.height % 2) error("size", "video wants even sides");
  if (!spec.draw.is_null() && !encodes)
    found.warning((Path() / "draw").nearest(tree)->origin, "draw",
                  std::format("nothing is drawn: output_frame.codec is {}", output.codec));
}

void check_http(const ModuleSpec& spec, const Value& tree, Diagnostics& found) {
  const std::string& bind = spec.http.bind;
  if (bind == "off") return;
  const auto names = [&](std::string_view key) { return spec.http.tls.find(key) != nullptr; };
  if (names("cert") != names("key") || (names("ca") && !names("cert"))) {
    const Path tls = Path() / "http" / "tls";
    found.error(tls.nearest(tree)->origin, tls.to_string(),
                names("cert") != names("key") ? "cert and key belong together"
                                              : "ca asks clients for certificates, which needs cert and key");
  }
  const Path path = Path() / "http" / "bind";
  const size_t colon = bind.rfind(':');
  int port = 0;
  const bool is_port =
      colon != std::string::npos && colon + 1 < bind.size() && bind.size() - colon <= 6 &&
      std::ranges::all_of(bind.substr(colon + 1), [](char c) { return c >= '0' && c <= '9'; });
  if (is_port) port = std::stoi(bind.substr(colon + 1));
  if (!is_port || colon == 0 || port > 65'535) {
    found.error(path.nearest(tree)->origin, path.to_string(), "expects HOST:PORT or off, got '" + bind + "'");
    return;
  }
  const std::string host = bind.substr(0, colon);
  const bool is_local = host == "localhost" || host == "[::1]" || host.starts_with("127.");
  if (!is_local && spec.http.token_file.empty() && !names("ca"))
    found.error(path.nearest(tree)->origin, path.to_string(),
                "beyond this machine the API needs http.token_file, or http.tls with a ca for clients");
}

void check_draw(const ModuleSpec& spec, const Value& tree, const CheckOptions& options, Diagnostics& found) {
  if (spec.draw.entries()) {
    FunctionSpec function;
    read(spec.draw, *function_schema(), &function);
    check_function(function, spec, options, Path() / "draw", tree, found);
  }
  const auto* rules = spec.draw.items();
  if (!rules) return;
  Diagnostics wrong;
  for (size_t i = 0; i < rules->size(); ++i)
    if (const Value* match = (*rules)[i].find("match"))
      check_selector(*match, "match", false, spec, (Path() / "draw")[i] / "match", wrong);
  for (const auto& item : wrong.items()) found.add(item);
  if (wrong.has_errors()) return;
  // The rest as the overlay will read it, unless the schema has refused it.
  validate(spec.draw, *module_schema().find("draw")->type, Path() / "draw", wrong);
  const Value defaults = default_parameters(spec);
  const auto resolved = resolve(spec.draw, default_scope(spec, defaults));
  if (wrong.has_errors() || !resolved) return;
  if (auto drawn = parse_draw_rules(resolved->to_json()); !drawn)
    found.error((Path() / "draw").nearest(tree)->origin, "draw", drawn.error().message);
}

}  // namespace

void check_selector(const Value& value, std::string_view name, bool of_frames, const ModuleSpec& spec,
                    const Path& path, Diagnostics& found) {
  if (value.is_null()) return;
  const Value defaults = default_parameters(spec);
  const auto resolved = resolve(value, default_scope(spec, defaults));
  if (!resolved) return;  // said by the references
  const auto scope = of_frames ? Selector::Scope::frame : Selector::Scope::object;
  const auto selector = Selector::parse(resolved->to_json(), name, scope);
  if (selector) return;
  // "select.box.widht: there is no such key; did you mean 'width'?"
  std::string message = selector.error().message, suggestion;
  constexpr std::string_view hint = "; did you mean '", list = "; known: ";
  std::vector<std::string> known;
  if (const size_t at = message.find(list); at != std::string::npos) {
    for (const auto part :
         std::views::split(std::string_view(message).substr(at + list.size()), std::string_view(", ")))
      known.emplace_back(std::string_view(part));
  }
  if (const size_t at = message.find(hint); at != std::string::npos) {
    const size_t start = at + hint.size(), end = message.find('\'', start);
    suggestion = message.substr(start, end - start);
    message.resize(at);
  }
  const Value* place = &value;
  std::string where = path.to_string();
  bool is_key = false;
  if (const size_t colon = message.find(": "); message.starts_with(name) && colon != std::string::npos) {
    std::string_view rest = std::string_view(message).substr(name.size(), colon - name.size());
    where += rest;
    // Keys may contain points, so the longest that there is counts.
    while (!rest.empty()) {
      const Value* next = nullptr;
      size_t length = 0;
      if (rest.starts_with('[') && place->items()) {
        const size_t end = rest.find(']');
        const size_t index = size_t(std::atoi(std::string(rest.substr(1)).c_str()));
        if (end != std::string_view::npos && index < place->items()->size())
          next = &(*place->items())[index], length = end + 1;
        is_key = false;
      } else if (place->entries()) {
        const std::string_view step = rest.starts_with('.') ? rest.substr(1) : rest;
        for (const auto& [key, content] : *place->entries()) {
          const bool fits = step.starts_with(key) &&
                            (step.size() == key.size() || step[key.size()] == '.' || step[key.size()] == '[');
          if (fits && key.size() + 1 > length)
            next = &content, length = key.size() + (rest.size() - step.size());
        }
        is_key = next != nullptr;
      }
      if (!next) break;
      place = next;
      rest.remove_prefix(std::min(length, rest.size()));
    }
    message.erase(0, colon + 2);
  }
  if (const size_t at = message.find(list); suggestion.empty() && at != std::string::npos) {
    suggestion = nearest_name(std::string_view(where).substr(where.find_last_of("].") + 1), known);
    if (!suggestion.empty()) message.resize(at);
  }
  const bool about_key = is_key && place->key_origin.file && message.contains("no such key");
  found.error(about_key ? place->key_origin : place->origin, where, message, suggestion);
}

void check_function(const FunctionSpec& function, const ModuleSpec& spec, const CheckOptions& options,
                    const Path& path, const Value& tree, Diagnostics& found) {
  const Value& place = *(path / "path").nearest(tree);
  if (function.path.empty()) return;  // said by the schema
  const auto error = [&](const std::string& message) {
    found.error(place.origin, (path / "path").to_string(), message);
  };
  const bool is_module = function.language == "python" && !function.path.ends_with(".py");
  if (is_module) {
    // A name that Python finds.
    if (!std::ranges::all_of(function.path,
                             [](char c) { return std::isalnum(uint8_t(c)) || c == '_' || c == '.'; }))
      error(std::format("a function in Python is a file *.py or the name of a module, got '{}'",
                        function.path));
  } else if (function.language == "cpp" && function.path.find(".so") == std::string::npos) {
    error(std::format("a function in C++ is a file *.so, got '{}'", function.path));
  } else if (std::error_code failed;
             options.files && !is_regular_file(std::filesystem::path(spec.folder) / function.path, failed)) {
    error(std::format("{}: no such file", (std::filesystem::path(spec.folder) / function.path).string()));
  }
  if (function.language == "cpp")
    for (const char* key : {"isolation", "workers"})
      if (const Value& value = *(path / key).nearest(tree);
          value.key_origin.file && path.nearest(tree)->find(key))
        found.error(value.key_origin, (path / key).to_string(), "is for Python only");
}

void check_locations(const ModuleSpec& spec, const Value& tree, Diagnostics& found) {
  auto rules = LocationRules::make(spec.security.location_schemes, spec.security.location_roots, spec.folder);
  if (rules) return;
  const Path path = Path() / "security" / "location";
  std::string message = rules.error().message;
  if (const std::string prefix = path.to_string() + "."; message.starts_with(prefix))
    message.erase(0, prefix.size());
  found.error(path.nearest(tree)->origin, path.to_string(), message);
}

void check_meaning(const ModuleSpec& spec, const Value& tree, const CheckOptions& options,
                   Diagnostics& found) {
  std::set<std::string> used_parameters(options.used_parameters.begin(), options.used_parameters.end());
  std::set<std::string> used_models, used_groups;
  check_parameters(spec, tree, found);
  check_references(spec, tree, options, used_parameters, found);
  check_elements(spec, tree, options, used_models, used_groups, found);
  check_models(spec, tree, options, found);
  check_sources(spec, tree, options, found);
  check_sinks(spec, tree, options, found);
  check_streams(spec, tree, found);
  check_output(spec, tree, found);
  check_http(spec, tree, found);
  check_locations(spec, tree, found);
  check_draw(spec, tree, options, found);
  check_selector(spec.output_frame.when, "when", true, spec, Path() / "output_frame" / "when", found);
  if (!options.names) return;
  // The user's code gets all parameters, and may use any.
  const bool has_functions = std::ranges::any_of(
      spec.pipeline.elements, [](const ElementSpec& element) { return element.function.has_value(); });
  if (!has_functions)
    check_used(spec.parameters, used_parameters, "parameters", "anything here", tree, found);
  check_used(spec.models, used_models, "models", "any element", tree, found);
  check_used(spec.groups, used_groups, "groups", "any element", tree, found);
}

Diagnostics check(const ModuleSpec& spec, const CheckOptions& options) {
  Diagnostics found;
  const Value tree = write_spec(spec);
  validate(tree, module_schema(), Path(), found, &module_schema());
  CheckOptions rest = options;
  rest.names = rest.names && !found.has_errors();
  check_meaning(spec, tree, rest, found);
  return found;
}

}  // namespace sightglass::module
