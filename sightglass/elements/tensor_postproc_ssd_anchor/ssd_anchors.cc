#include "sightglass/elements/tensor_postproc_ssd_anchor/ssd_anchors.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace sightglass {
namespace {

constexpr int64_t most_anchors = 1'000'000;

int64_t cells(int64_t side, int64_t stride) { return (side + stride - 1) / stride; }

int64_t cells(std::span<const int64_t> strides, int64_t width, int64_t height) {
  int64_t sum = 0;
  for (const int64_t stride : strides) sum += cells(width, stride) * cells(height, stride);
  return sum;
}

}  // namespace

Result<std::vector<SsdAnchor>> make_anchors(std::span<const int64_t> strides, std::span<const double> sizes,
                                            int64_t width, int64_t height, int64_t count) {
  for (const int64_t stride : strides)
    if (stride < 1 || stride > 4096)
      return fail(ErrorCode::invalid_argument, "strides are 1 to 4096 pixels, not {}", stride);
  const int64_t in_all = cells(strides, width, height);
  if (strides.empty() || in_all == 0 || count > most_anchors)
    return fail(ErrorCode::invalid_argument, "no anchors without strides and the size of the model input");
  if (!sizes.empty() && sizes.size() % strides.size() != 0)
    return fail(ErrorCode::invalid_argument, "{} anchor-sizes are not equally many for {} strides",
                sizes.size(), strides.size());
  const int64_t each = sizes.empty() ? count / in_all : int64_t(sizes.size() / strides.size());
  if (each < 1 || each * in_all != count)
    return fail(
        ErrorCode::invalid_argument,
        "an input of {}x{} has {} cells at these strides, {} boxes with {} for each; the output has {}",
        width, height, in_all, in_all * std::max<int64_t>(1, each), std::max<int64_t>(1, each), count);

  std::vector<SsdAnchor> anchors;
  anchors.reserve(size_t(count));
  for (size_t first = 0; first < strides.size();) {
    const int64_t stride = strides[first];
    size_t end = first;
    while (end < strides.size() && strides[end] == stride) ++end;
    const int64_t columns = cells(width, stride), rows = cells(height, stride);
    for (int64_t y = 0; y < rows; ++y) {
      for (int64_t x = 0; x < columns; ++x) {
        for (int64_t i = 0; i < each * int64_t(end - first); ++i) {
          SsdAnchor anchor{(float(x) + .5f) / float(columns), (float(y) + .5f) / float(rows)};
          if (!sizes.empty()) {
            // Boxes with a size sit on pixels: the last cell may reach beyond the picture.
            const double size = sizes[first * size_t(each) + size_t(i)];
            anchor = {float((double(x) + .5) * double(stride) / double(width)),
                      float((double(y) + .5) * double(stride) / double(height)), float(size / double(width)),
                      float(size / double(height))};
          }
          anchors.push_back(anchor);
        }
      }
    }
    first = end;
  }
  return anchors;
}

std::vector<int64_t> usual_strides(int64_t width, int64_t height, int64_t count) {
  if (width <= 0 || height <= 0) return {};
  // MediaPipe's short-range face and palm detectors, and its full-range face detector.
  if (const std::vector<int64_t> strides = {8, 16, 16, 16}; 2 * cells(strides, width, height) == count)
    return strides;
  if (const std::vector<int64_t> strides = {4}; cells(strides, width, height) == count) return strides;
  return {};
}

Result<std::vector<SsdAnchor>> read_anchors(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error))
    return fail(ErrorCode::not_found, "anchor-file {}: no such file", path);
  std::ifstream file(path);
  if (!file) return fail(ErrorCode::io, "anchor-file {}: cannot be opened", path);
  std::vector<SsdAnchor> anchors;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    std::ranges::replace(line, ',', ' ');
    std::istringstream text(line);
    SsdAnchor anchor;
    std::string rest;
    if (line.starts_with('#') || !(std::istringstream(line) >> rest)) continue;
    rest.clear();
    const bool read = bool(text >> anchor.x >> anchor.y >> anchor.w >> anchor.h);
    if (!read || (text >> rest) || !std::isfinite(anchor.x + anchor.y + anchor.w + anchor.h) ||
        anchors.size() >= size_t(most_anchors))
      return fail(ErrorCode::corrupt, "anchor-file {}: line {}: four numbers are expected, x y w h", path,
                  number);
    anchors.push_back(anchor);
  }
  if (anchors.empty()) return fail(ErrorCode::corrupt, "anchor-file {}: there are no anchors", path);
  return anchors;
}

}  // namespace sightglass
