#include "sightglass/model/yaml_map.h"

#include <yaml-cpp/eventhandler.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "sightglass/model/spelling.h"

namespace sightglass {
namespace {

std::string position(const std::string& file, const YAML::Mark& mark) {
  return mark.is_null() ? file : std::format("{}:{}:{}", file, mark.line + 1, mark.column + 1);
}

class IgnoreEvents final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
  }
  void OnMapEnd() override {}
};

template <class T>
bool read_number(const std::string& text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

Result<YAML::Node> parse_yaml(std::string_view text, const std::string& file) {
  try {
    // Not LoadAll(), which finds documents without end, and memory for them, behind some broken ones.
    std::istringstream input{std::string(text)};
    YAML::Parser parser(input);
    IgnoreEvents ignore;
    if (parser.HandleNextDocument(ignore) && parser.HandleNextDocument(ignore))
      return fail(ErrorCode::corrupt, "{}: more than one YAML document", file);
    return YAML::Load(std::string(text));
  } catch (const YAML::Exception& error) {
    return sightglass::fail(ErrorCode::corrupt, "{}: not YAML: {}", position(file, error.mark), error.msg);
  }
}

std::unexpected<Error> fail_at(const std::string& file, const YAML::Node& node, std::string_view message) {
  return sightglass::fail(ErrorCode::corrupt, "{}: {}", position(file, node.Mark()), message);
}

Result<YamlMap> YamlMap::read(const YAML::Node& node, const std::string& file, std::string what,
                              std::span<const std::string_view> known) {
  const std::string prefix = what.empty() ? "" : what + ": ";
  if (!node.IsMap()) return fail_at(file, node, prefix + "expects keys with values");
  YamlMap map;
  map.node_ = node;
  map.file_ = file;
  map.what_ = std::move(what);
  for (const auto& entry : node) {
    if (!entry.first.IsScalar()) return fail_at(file, entry.first, prefix + "a key must be text");
    std::string key = entry.first.Scalar();
    std::ranges::replace(key, '-', '_');
    if (!known.empty() && std::ranges::find(known, key) == known.end())
      return fail_at(file, entry.first,
                     std::format("{}unknown key '{}'{}", prefix, key, did_you_mean(key, known)));
    if (map.find(key)) return fail_at(file, entry.first, std::format("{}key '{}' comes twice", prefix, key));
    map.entries_.emplace_back(std::move(key), entry.second);
  }
  return map;
}

const YAML::Node* YamlMap::find(std::string_view key) const {
  const auto found = std::ranges::find(entries_, key, &std::pair<std::string, YAML::Node>::first);
  return found == entries_.end() ? nullptr : &found->second;
}

std::unexpected<Error> YamlMap::fail(std::string_view key, std::string_view message) const {
  const YAML::Node* value = find(key);
  return fail_at(file_, value ? *value : node_, std::format("{}: {}", path(key), message));
}

std::unexpected<Error> YamlMap::missing(std::string_view key) const {
  return fail_at(file_, node_, std::format("{} is missing", path(key)));
}

Result<std::string> YamlMap::text(std::string_view key) const {
  const YAML::Node* value = find(key);
  if (!value) return missing(key);
  if (!value->IsScalar()) return fail(key, "expects one text");
  return value->Scalar();
}

Result<double> YamlMap::number(std::string_view key) const {
  auto values = numbers(key);
  if (!values) return forward_error(values);
  if (values->size() != 1) return fail(key, "expects one number");
  return values->front();
}

Result<int64_t> YamlMap::integer(std::string_view key) const {
  auto word = text(key);
  if (!word) return forward_error(word);
  int64_t value = 0;
  if (!read_number(*word, value)) return fail(key, std::format("expects a whole number, got '{}'", *word));
  return value;
}

Result<std::vector<double>> YamlMap::numbers(std::string_view key) const {
  auto words = texts(key);
  if (!words) return forward_error(words);
  std::vector<double> values;
  for (const std::string& word : *words) {
    double value = 0;
    if (!read_number(word, value) || !std::isfinite(value))
      return fail(key, std::format("expects numbers, got '{}'", word));
    values.push_back(value);
  }
  return values;
}

Result<std::vector<std::string>> YamlMap::texts(std::string_view key) const {
  const YAML::Node* value = find(key);
  if (!value) return missing(key);
  std::vector<std::string> words;
  if (value->IsScalar()) {
    words.push_back(value->Scalar());
  } else if (value->IsSequence()) {
    for (const auto& item : *value) {
      if (!item.IsScalar()) return fail(key, "expects a plain list");
      words.push_back(item.Scalar());
    }
  } else {
    return fail(key, "expects a value or a list");
  }
  return words;
}

std::vector<YAML::Node> yaml_items(const YAML::Node& node) {
  if (!node.IsSequence()) return {node};
  std::vector<YAML::Node> items;
  for (const auto& item : node) items.push_back(item);
  return items;
}

}  // namespace sightglass
