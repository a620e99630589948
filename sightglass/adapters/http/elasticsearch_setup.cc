#include "sightglass/adapters/http/elasticsearch_setup.h"

#include <format>
#include <vector>
#include <nlohmann/json.hpp>

namespace sightglass::adapters {
namespace {

using Json = nlohmann::json;

Json type(const char* name) { return {{"type", name}}; }
Json stored() { return {{"type", "object"}, {"enabled", false}}; }  // kept, not searched

Json attributes() {
  return {{"properties",
           {{"name", type("keyword")},
            {"kind", type("keyword")},
            {"label", {{"type", "keyword"}, {"ignore_above", 1024}}},
            {"label_id", type("integer")},
            {"confidence", type("float")},
            {"value", type("double")},
            {"points", stored()},
            {"model", type("keyword")},
            {"age", type("integer")}}}};
}

// Fields that are not named here are kept without being searched: a function of a user may add any.
Json mappings(std::string_view kind) {
  Json fields = {{"@timestamp", {{"type", "date"}, {"format", "epoch_millis||strict_date_optional_time"}}},
                 {"schema", type("keyword")},
                 {"uuid", type("keyword")},
                 {"source_id", type("keyword")},
                 {"epoch", type("long")},
                 {"seq", type("long")},
                 {"pts", type("long")},
                 {"late", stored()}};
  if (kind == "frames") {
    fields["timestamp"] = type("long");
    fields["source"] = type("keyword");
    fields["resolution"] = {{"properties", {{"width", type("integer")}, {"height", type("integer")}}}};
    fields["tags"] = {{"type", "object"}, {"dynamic", true}};
    fields["objects"] = stored();
    fields["attributes"] = attributes();
  } else if (kind == "objects") {
    for (const char* name : {"x", "y", "w", "h"}) fields[name] = type("integer");
    for (const char* name : {"region_id", "parent_id", "id"}) fields[name] = type("long");
    fields["roi_type"] = type("keyword");
    fields["angle"] = type("float");
    Json box;
    for (const char* name : {"x_min", "y_min", "x_max", "y_max"}) box["properties"][name] = type("float");
    fields["detection"] = {{"properties",
                            {{"bounding_box", box},
                             {"confidence", type("float")},
                             {"label_id", type("integer")},
                             {"label", type("keyword")}}}};
    fields["attributes"] = attributes();
  } else if (kind == "events") {
    const Json attribute = attributes();
    for (const auto& [name, field] : attribute["properties"].items()) fields[name] = field;
    fields["element"] = type("keyword");
    fields["n"] = type("integer");
    fields["track"] = type("long");
  } else {
    fields["kind"] = type("keyword");
    for (const char* name : {"state", "reason", "codec", "frame", "last_frame"})
      fields[name] = type("keyword");
    fields["frames"] = type("long");
    fields["results"] = stored();
  }
  return {{"dynamic", false}, {"properties", fields}};
}

std::string type_of(const Json& field) {
  const std::string type = text_of(field, "type");
  return type.empty() ? "object" : type;
}

// The first field that both have, of another type there.
Status compare(const std::string& name, const Json& there, const Json& ours, const std::string& path = "") {
  const Json& properties = member_of(there, "properties");
  for (const auto& [key, field] : ours["properties"].items()) {
    const Json& found = member_of(properties, key);
    if (!found.is_object()) continue;
    if (type_of(found) != type_of(field))
      return fail(ErrorCode::invalid_argument,
                  "index template {}: the field {}{} is of type {} there, this program writes {}; `index` "
                  "with another "
                  "prefix, or another template is needed",
                  name, path, key, type_of(found), type_of(field));
    if (field.contains("properties"))
      if (Status same = compare(name, found, field, path + key + "."); !same) return same;
  }
  return {};
}

Json parsed(const net::HttpAnswer& answer) { return Json::parse(answer.body, nullptr, false); }

// Whatever the server refuses may be mended there: no conflict.
Status made(const Result<net::HttpAnswer>& answer) {
  if (!answer) return std::unexpected(answer.error());
  if (answer->status / 100 == 2) return {};
  Error error = net::to_error(*answer);
  error.code = ErrorCode::io;
  return std::unexpected(std::move(error));
}

Status make_template(const ElasticsearchSetup& setup, const std::string& kind, bool has_life_cycle,
                     bool is_ilm, const AskNode& ask) {
  const std::string name = setup.prefix + "-" + kind, path = "/_index_template/" + name;
  const std::string pattern = name + "-*";
  auto answer = ask("GET", path, {});
  if (!answer) return forward_error(answer);
  if (answer->status == 404) {
    Json body = {
        {"index_patterns", {pattern}}, {"priority", 200}, {"template", {{"mappings", mappings(kind)}}}};
    if (has_life_cycle && is_ilm) body["template"]["settings"]["index.lifecycle.name"] = setup.prefix;
    answer = ask("PUT", path + "?create=true", body.dump());
    if (!answer || answer->status / 100 == 2) return made(answer);
    // Another process may have been faster.
    answer = ask("GET", path, {});
  }
  if (Status got = made(answer); !got) return got;
  const Json all = parsed(*answer);
  const Json& templates = member_of(all, "index_templates");
  if (!templates.is_array() || templates.empty())
    return fail(ErrorCode::corrupt, "index template {}: the answer is none", name);
  const Json& there = member_of(templates[0], "index_template");
  Json patterns = member_of(there, "index_patterns");
  if (!patterns.is_array()) patterns = Json::array({patterns});
  bool has_pattern = false;
  for (const Json& one : patterns) has_pattern = has_pattern || one == pattern;
  if (!has_pattern)
    return fail(ErrorCode::invalid_argument, "index template {}: is for {} there, this program writes to {}",
                name, patterns.dump(), pattern);
  return compare(name, member_of(member_of(there, "template"), "mappings"), mappings(kind));
}

Status make_life_cycle(const ElasticsearchSetup& setup, bool is_ilm, const AskNode& ask) {
  const std::string path = (is_ilm ? "/_ilm/policy/" : "/_plugins/_ism/policies/") + setup.prefix;
  auto answer = ask("GET", path, {});
  if (!answer) return forward_error(answer);
  const std::string age = std::format("{}s", int64_t(setup.keep));
  if (answer->status == 404) {
    const Json ilm = {
        {"policy",
         {{"phases", {{"delete", {{"min_age", age}, {"actions", {{"delete", Json::object()}}}}}}}}}};
    const Json ism = {
        {"policy",
         {{"description", "indexes of Sightglass go when they are old"},
          {"default_state", "kept"},
          {"states",
           {{{"name", "kept"},
             {"actions", Json::array()},
             {"transitions", {{{"state_name", "gone"}, {"conditions", {{"min_index_age", age}}}}}}},
            {{"name", "gone"}, {"actions", {{{"delete", Json::object()}}}}, {"transitions", Json::array()}}}},
          {"ism_template", {{{"index_patterns", {setup.prefix + "-*"}}, {"priority", 200}}}}}}};
    answer = ask("PUT", path, (is_ilm ? ilm : ism).dump());
    if (answer && answer->status == 409) return {};  // another process was faster
    return made(answer);
  }
  if (Status got = made(answer); !got) return got;
  // Where people keep it longer or shorter, that is theirs; the same name for something else is not.
  const Json all = parsed(*answer);
  const Json& there = member_of(all, setup.prefix);
  if (is_ilm && there.is_object() && !member_of(member_of(there, "policy"), "phases").contains("delete"))
    return fail(ErrorCode::invalid_argument,
                "life cycle {}: deletes nothing there, `keep` is {} here; keep: 0 leaves it to the policy",
                setup.prefix, age);
  return {};
}

}  // namespace

const Json& member_of(const Json& json, std::string_view key) {
  static const Json none;
  const auto found = json.is_object() ? json.find(key) : json.end();
  return found == json.end() ? none : *found;
}

std::string text_of(const Json& json, std::string_view key) {
  const Json& member = member_of(json, key);
  return member.is_string() ? member.get<std::string>() : std::string();
}

int number_of(const Json& json, std::string_view key, int otherwise) {
  const Json& member = member_of(json, key);
  return member.is_number_integer() ? member.get<int>() : otherwise;
}

Status set_up_elasticsearch(const ElasticsearchSetup& setup, const AskNode& ask) {
  auto hello = ask("GET", "/", {});
  if (Status got = made(hello); !got) return got;
  const Json about = parsed(*hello);
  const Json& version = member_of(about, "version");
  if (!version.is_object())
    return fail(ErrorCode::corrupt, "{}: is neither Elasticsearch nor OpenSearch", hello->url);
  const bool is_ilm = text_of(version, "distribution") != "opensearch";
  if (setup.keep > 0)
    if (Status done = make_life_cycle(setup, is_ilm, ask); !done) return done;
  std::vector<std::string> kinds = {"frames", "events"};
  if (setup.objects) kinds.emplace_back("objects");
  if (setup.notes) kinds.emplace_back("notes");
  for (const std::string& kind : kinds)
    if (Status done = make_template(setup, kind, setup.keep > 0, is_ilm, ask); !done) return done;
  return {};
}

}  // namespace sightglass::adapters
