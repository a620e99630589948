// What a frame's content looks like to whoever holds it: as which kind of memory, and in which pixel format.
// Two forms are what a way is planned between. As text: "cuda:NV12", "opencv-umat:BGR", "system:tensor".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sightglass/core/frame.h"
#include "sightglass/core/memory.h"
#include "sightglass/core/result.h"
#include "sightglass/core/video.h"

namespace sightglass {

struct Form {
  MemoryKind memory = MemoryKind::system;
  std::optional<PixelFormat> pixels;  // none: plain tensors
  bool operator==(const Form&) const = default;
};

std::string to_string(const Form& form);
Result<Form> parse_form(std::string_view text);
// The form that a frame is in, by its first tensor; a frame without tensors counts as system memory.
Form form_of(const Frame& frame);

}  // namespace sightglass
