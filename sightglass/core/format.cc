#include "sightglass/core/format.h"

#include <format>

namespace sightglass {

std::string to_string(const Format& format) {
  std::string text;
  if (const VideoInfo* video = format.video()) {
    text = std::format("{} {}x{}", to_string(video->format), video->width, video->height);
  } else if (const TensorsInfo* tensors = format.tensors()) {
    for (const TensorInfo& tensor : tensors->tensors) {
      if (!text.empty()) text += ", ";
      text += to_string(tensor.type);
      if (!tensor.shape.empty()) text += ' ' + tensor.shape.to_string();
    }
    if (text.empty()) text = "tensors";
  } else {
    text = "other";
  }
  if (format.memory != MemoryKind::system) text += std::format(" in {} memory", to_string(format.memory));
  return text;
}

}  // namespace sightglass
