#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <iterator>

#include "sightglass/core/registry.h"
#include "sightglass/model/importers.h"
#include "sightglass/model/spelling.h"

namespace sightglass {
namespace {

using Words = std::vector<std::string_view>;

const Words& choices_of(std::string_view key) {
  static const Words color = {"rgb", "bgr", "gray"}, layout = {"nchw", "nhwc"},
                     dtype = {"uint8", "int8", "int32", "float16", "float32"},
                     resize = {"stretch", "letterbox",  "letterbox-topleft", "crop",
                               "none",    "fit-height", "multiple"},
                     crop = {"central", "central-resize"},
                     interpolation = {"nearest", "bilinear", "bicubic", "area"},
                     format = {"image", "image-info", "sequence-index"}, any;
  if (key == "color") return color;
  if (key == "layout") return layout;
  if (key == "dtype") return dtype;
  if (key == "resize") return resize;
  if (key == "crop") return crop;
  if (key == "interpolation") return interpolation;
  if (key == "format") return format;
  return any;
}

const Words decoders = {"add_params", "centernet",  "ctc",   "detection",    "embedding",
                        "gfl",        "human_pose", "label", "segmentation", "ssd_anchor",
                        "text",       "ultraface",  "yolo",  "yunet"};

std::string with_dashes(std::string_view name) {
  std::string text(name);
  std::ranges::replace(text, '_', '-');
  return text;
}

}  // namespace

Result<std::string> read_description(const std::filesystem::path& path) {
  constexpr uintmax_t largest_description = 16 << 20;
  std::error_code error;
  if (!exists(path, error)) return fail(ErrorCode::not_found, "{}: no such file", path.string());
  if (!is_regular_file(path, error))
    return fail(ErrorCode::invalid_argument, "{}: not a file", path.string());
  if (file_size(path, error) > largest_description || error)
    return fail(ErrorCode::invalid_argument, "{}: too large for a model description", path.string());
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) return fail(ErrorCode::io, "{}: cannot be read", path.string());
  return text;
}

Result<std::string> check_input_value(std::string_view key, std::string value) {
  const Words& choices = choices_of(key);
  if (choices.empty()) return value;  // layer: any text
  std::string word = with_dashes(value);
  std::ranges::transform(word, word.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  if (std::ranges::find(choices, word) != choices.end()) return word;
  if (key == "crop" && (word.starts_with("top-") || word.starts_with("bottom-")))
    return fail(ErrorCode::unsupported, "crop at a corner ('{}') is not supported; central is", value);
  const std::string hint = did_you_mean(word, choices);
  if (!hint.empty()) return fail(ErrorCode::invalid_argument, "unknown value '{}'{}", value, hint);
  return fail(ErrorCode::invalid_argument, "unknown value '{}'; known are {}", value, joined(choices));
}

Status check_input_value(std::string_view key, const std::vector<double>& values) {
  if (key == "range") {
    if (values.size() != 2 || values[0] == values[1])
      return fail(ErrorCode::invalid_argument, "expects two different numbers, what 0 and 255 become");
    return {};
  }
  if (values.empty() || values.size() > 4)
    return fail(ErrorCode::invalid_argument, "expects one number, or one per channel");
  if (key == "std" && std::ranges::find(values, 0.0) != values.end())
    return fail(ErrorCode::invalid_argument, "must not be 0");
  if (key == "pad_value" && std::ranges::any_of(values, [](double v) { return v < 0 || v > 255; }))
    return fail(ErrorCode::invalid_argument, "expects values of 0 to 255");
  return {};
}

Status check_input_value(std::string_view key, double value) {
  if (key == "scale" && !(value > 0)) return fail(ErrorCode::invalid_argument, "must be greater than 0");
  if (key == "roi_expand" && !(value >= 0.1 && value <= 10))
    return fail(ErrorCode::invalid_argument, "must be 0.1 to 10");
  return {};
}

Status check_input_value(std::string_view key, int64_t value) {
  const int64_t least = key == "size_multiple" ? 1 : 0, most = key == "size_multiple" ? 1024 : 65536;
  if (value < least || value > most)
    return fail(ErrorCode::invalid_argument, "must be {} to {}", least, most);
  return {};
}

Status check_input_value(std::string_view, PictureSize value) {
  if (value.width < 1 || value.height < 1 || value.width > 32768 || value.height > 32768)
    return fail(ErrorCode::invalid_argument, "expects [width, height], each 1 to 32768 pixels");
  return {};
}

bool is_user_decoder(std::string_view decoder) {
  return decoder.ends_with(".so") || decoder.find(':') != decoder.npos;
}

std::string element_of_decoder(std::string_view decoder) {
  return "tensor_postproc_" + (is_user_decoder(decoder) ? "user" : std::string(decoder));
}

Status check_decoder(const std::string& decoder) {
  if (std::ranges::find(decoders, decoder) != decoders.end() || is_user_decoder(decoder) ||
      find_element(element_of_decoder(decoder)))
    return {};
  const std::string hint = did_you_mean(decoder, decoders);
  return fail(ErrorCode::invalid_argument, "unknown decoder '{}'{}", decoder,
              hint.empty() ? "; known are " + joined(decoders) : hint);
}

Result<std::string> check_property(const std::string& decoder, std::string_view name,
                                   const std::string& value) {
  const ElementDesc* element = find_element(element_of_decoder(decoder));
  if (!element) return value;
  const ParamDesc* param = element->params.find(name);
  if (!param) {
    std::vector<std::string> known;
    for (const ParamDesc& candidate : element->params.params) known.push_back(candidate.name);
    return fail(ErrorCode::not_found, "decoder {} has no '{}'{}", decoder, name, did_you_mean(name, known));
  }
  const std::string text = param->type == ParamType::choice ? with_dashes(value) : value;
  auto parsed = param->parse(text);
  if (!parsed) return forward_error(parsed);
  return text;
}

std::string value_text(const std::string& value) { return value; }
std::string value_text(const PictureSize& value) { return std::format("{}x{}", value.width, value.height); }
std::string value_text(double value) { return to_string(ParamValue(value)); }
std::string value_text(int64_t value) { return to_string(ParamValue(value)); }
std::string value_text(const std::vector<double>& values) { return to_string(ParamValue(values)); }
std::string value_text(const std::vector<std::string>& values) { return to_string(ParamValue(values)); }

int64_t grid_cells(int width, int height, bool with_stride_64) {
  if (width <= 0 || height <= 0) return 0;
  int64_t cells = 0;
  for (int stride = 8; stride <= (with_stride_64 ? 64 : 32); stride *= 2)
    cells += int64_t{(width + stride - 1) / stride} * ((height + stride - 1) / stride);
  return cells;
}

}  // namespace sightglass
