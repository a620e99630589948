// Reading of small, strict YAML documents: every mistake is an error with file, line and column. Private to
// the model folder, since it shows yaml-cpp's types.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <yaml-cpp/yaml.h>

#include "sightglass/core/result.h"

namespace sightglass {

Result<YAML::Node> parse_yaml(std::string_view text, const std::string& file);

// "file.yaml:3:5: message"; the position of `node`.
std::unexpected<Error> fail_at(const std::string& file, const YAML::Node& node, std::string_view message);

// A mapping with its keys checked: '_' and '-' are alike, none comes twice, none is unknown.
class YamlMap {
 public:
  // `what` names the mapping in messages ("input[0]"; empty: the document). Empty `known`: any key goes.
  static Result<YamlMap> read(const YAML::Node& node, const std::string& file, std::string what,
                              std::span<const std::string_view> known);

  const YAML::Node* find(std::string_view key) const;  // key with '_'
  const std::vector<std::pair<std::string, YAML::Node>>& entries() const { return entries_; }
  const YAML::Node& node() const { return node_; }
  const std::string& file() const { return file_; }
  std::string path(std::string_view key) const {
    return what_.empty() ? std::string(key) : what_ + "." + std::string(key);
  }

  // Fails at the value of `key`: "file.yaml:3:5: input[0].size: message".
  std::unexpected<Error> fail(std::string_view key, std::string_view message) const;
  std::unexpected<Error> missing(std::string_view key) const;

  // The value of `key`, which must be there.
  Result<std::string> text(std::string_view key) const;
  Result<double> number(std::string_view key) const;
  Result<int64_t> integer(std::string_view key) const;
  Result<std::vector<double>> numbers(std::string_view key) const;     // one number or a list
  Result<std::vector<std::string>> texts(std::string_view key) const;  // one text or a list

 private:
  YAML::Node node_;
  std::string file_, what_;
  std::vector<std::pair<std::string, YAML::Node>> entries_;
};

// A list of mappings, or one mapping.
std::vector<YAML::Node> yaml_items(const YAML::Node& node);

}  // namespace sightglass
