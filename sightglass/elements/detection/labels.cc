#include "sightglass/elements/detection/labels.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>

namespace sightglass {
namespace {

bool is_file(const std::string& path) {
  std::error_code error;  // a name that is no path at all is no error
  return !path.empty() && std::filesystem::is_regular_file(path, error);
}

Result<LabelList> read_lines(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error))
    return fail(ErrorCode::not_found, "label file {}: no such file", path);
  if (!is_file(path)) return fail(ErrorCode::io, "label file {}: not a file", path);
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(ErrorCode::io, "label file {}: cannot be opened", path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (line.ends_with('\r')) line.pop_back();
    lines.push_back(std::move(line));
  }
  if (!file.eof()) return fail(ErrorCode::io, "label file {}: cannot be read", path);
  return LabelList(lines);
}

// A lone item that nobody would call a class.
bool looks_like_path(std::string_view item) {
  return item.starts_with('/') || item.starts_with("./") || item.starts_with("../") || item.ends_with(".txt");
}

struct LayerFile {
  std::string_view layer;
  std::string
      path;  // empty: the item is not of this form. A class may be called "a=b", so the path has to exist.
};
LayerFile layer_file(std::string_view item) {
  const size_t equals = item.find('=');
  if (equals == item.npos || equals == 0) return {};
  LayerFile found{item.substr(0, equals), std::string(item.substr(equals + 1))};
  return is_file(found.path) ? found : LayerFile{};
}

bool means_background(std::string_view name) {
  std::string letters;
  for (char c : name)
    if (c != '_') letters += char(std::tolower(static_cast<unsigned char>(c)));
  return letters == "background";
}

}  // namespace

LabelList::LabelList(std::span<const std::string> names) {
  labels_.reserve(names.size());
  for (const std::string& name : names) {
    if (background_ < 0 && means_background(name)) background_ = int32_t(labels_.size());
    labels_.emplace_back(name);
  }
}

Result<LabelList> load_labels(std::span<const std::string> labels, const std::string& labels_file,
                              std::string_view layer) {
  if (!labels_file.empty()) return read_lines(labels_file);
  if (labels.empty()) return LabelList();
  if (labels.size() == 1 && (is_file(labels[0]) || looks_like_path(labels[0]))) return read_lines(labels[0]);
  if (!std::ranges::all_of(labels, [](const std::string& item) { return !layer_file(item).path.empty(); }))
    return LabelList(labels);
  for (const std::string& item : labels) {
    const LayerFile file = layer_file(item);
    if (file.layer == layer || (layer.empty() && labels.size() == 1)) return read_lines(file.path);
  }
  return LabelList();
}

}  // namespace sightglass
