#include "sightglass/memory/form.h"

#include <format>

namespace sightglass {
namespace {

// Formats of more than 8 bits carry their byte order in GStreamer's names; nobody types that.
std::optional<PixelFormat> pixels_of(std::string_view name) {
  if (name == "P010") return PixelFormat::p010;
  if (name == "GRAY16") return PixelFormat::gray16;
  return pixel_format(name);
}

}  // namespace

std::string to_string(const Form& form) {
  return std::format("{}:{}", to_string(form.memory), form.pixels ? to_string(*form.pixels) : "tensor");
}

Result<Form> parse_form(std::string_view text) {
  const size_t colon = text.find(':');
  const auto memory = memory_kind(text.substr(0, colon));
  if (!memory) {
    std::string known;
    for (size_t i = 0; i < memory_kinds; ++i)
      known += std::format("{}{}", i ? ", " : "", to_string(MemoryKind(i)));
    return fail(ErrorCode::invalid_argument, "{}: no such kind of memory; there are {}",
                text.substr(0, colon), known);
  }
  if (colon == std::string_view::npos || text.substr(colon + 1) == "tensor") return Form{*memory, {}};
  const auto pixels = pixels_of(text.substr(colon + 1));
  if (!pixels) {
    std::string known = "tensor";
    for (PixelFormat format : all_pixel_formats()) known += std::format(", {}", to_string(format));
    return fail(ErrorCode::invalid_argument, "{}: no such pixel format; there are {}", text.substr(colon + 1),
                known);
  }
  return Form{*memory, pixels};
}

Form form_of(const Frame& frame) {
  Form form;
  if (!frame.tensors.empty() && frame.tensors[0].memory) form.memory = frame.tensors[0].memory->kind();
  if (frame.video) form.pixels = frame.video->format;
  return form;
}

}  // namespace sightglass
