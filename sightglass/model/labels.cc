#include "sightglass/model/labels.h"

#include <fstream>

#include "sightglass/core/param.h"

namespace sightglass {
namespace {

constexpr uintmax_t largest_file = 64 << 20;

// As an element's list parameter reads it.
Result<std::vector<std::string>> split(std::string_view text) {
  ParamDesc list;
  list.name = "labels";
  list.type = ParamType::texts;
  auto value = list.parse(text);
  if (!value) return forward_error(value);
  return std::get<std::vector<std::string>>(*value);
}

bool is_file(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

// One item, surely meant as a file: a list of one label is not written with a slash or such an ending.
bool looks_like_path(std::string_view text) {
  return text.find_first_of(",<>") == text.npos && (text.find('/') != text.npos || text.ends_with(".txt") ||
                                                    text.ends_with(".names") || text.ends_with(".labels"));
}

}  // namespace

Result<std::vector<std::string>> read_labels_file(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error))
    return fail(ErrorCode::not_found, "{}: no such file of labels", path.string());
  if (!is_file(path)) return fail(ErrorCode::invalid_argument, "{}: not a file of labels", path.string());
  if (std::filesystem::file_size(path, error) > largest_file || error)
    return fail(ErrorCode::invalid_argument, "{}: too large for a file of labels", path.string());
  std::ifstream file(path, std::ios::binary);
  std::vector<std::string> labels;
  for (std::string line; std::getline(file, line);) {
    if (line.ends_with('\r')) line.pop_back();
    labels.push_back(std::move(line));
  }
  if (file.bad() || !file.eof()) return fail(ErrorCode::io, "{}: the labels cannot be read", path.string());
  if (!labels.empty() && labels[0].starts_with("\xEF\xBB\xBF")) labels[0].erase(0, 3);  // byte order mark
  return labels;
}

Result<std::vector<std::string>> resolve_labels(std::string_view text, const std::filesystem::path& base_dir,
                                                std::string_view layer) {
  const auto at = [&](std::string_view path) { return base_dir / std::filesystem::path(path); };
  if (text.find('\n') == text.npos && text.size() < 4096 && is_file(at(text)))
    return read_labels_file(at(text));

  auto items = split(text);
  if (!items) return forward_error(items);

  std::vector<std::pair<std::string, std::string>> by_layer;
  for (const std::string& item : *items) {
    const size_t equals = item.find('=');
    if (equals == item.npos || !is_file(at(item.substr(equals + 1)))) break;
    by_layer.emplace_back(item.substr(0, equals), item.substr(equals + 1));
  }
  if (!by_layer.empty() && by_layer.size() == items->size()) {
    for (const auto& [name, path] : by_layer)
      if (name == layer) return read_labels_file(at(path));
    if (by_layer.size() == 1 && layer.empty()) return read_labels_file(at(by_layer[0].second));
    return fail(ErrorCode::invalid_argument, "labels: '{}' names no file for layer '{}'", text, layer);
  }
  if (items->size() == 1 && looks_like_path(text))
    return fail(ErrorCode::not_found, "labels: no such file '{}'", at(text).string());
  return items;
}

std::string labels_text(const std::vector<std::string>& labels) { return to_string(ParamValue(labels)); }

}  // namespace sightglass
