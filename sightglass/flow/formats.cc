#include "sightglass/flow/formats.h"

#include <algorithm>

namespace sightglass::flow {
namespace {

bool is_any(const FormatSpec& spec) { return std::holds_alternative<AnySpec>(spec.media); }

// The values that both lists have; an empty list stands for all. None: they have nothing in common.
template <class T>
std::optional<std::vector<T>> common(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.empty()) return b;
  if (b.empty()) return a;
  std::vector<T> both;
  std::ranges::copy_if(a, std::back_inserter(both), [&](T value) { return std::ranges::contains(b, value); });
  if (both.empty()) return std::nullopt;
  return both;
}

std::optional<IntRange> common(IntRange a, IntRange b) {
  const IntRange both{std::max(a.min, b.min), std::min(a.max, b.max)};
  if (both.min > both.max) return std::nullopt;
  return both;
}

// Empty or -1 leaves open.
std::optional<Shape> common(const Shape& a, const Shape& b) {
  if (a.empty()) return b;
  if (b.empty()) return a;
  if (a.rank() != b.rank()) return std::nullopt;
  Shape both = a;
  for (size_t i = 0; i < a.rank(); ++i) {
    if (a[i] < 0)
      both[i] = b[i];
    else if (b[i] >= 0 && b[i] != a[i])
      return std::nullopt;
  }
  return both;
}

std::optional<VideoSpec> common(const VideoSpec& a, const VideoSpec& b) {
  auto formats = common(a.formats, b.formats);
  const auto width = common(a.width, b.width), height = common(a.height, b.height);
  if (!formats || !width || !height) return std::nullopt;
  return VideoSpec{*std::move(formats), *width, *height};
}

std::optional<TensorSpec> common(const TensorSpec& a, const TensorSpec& b) {
  auto types = common(a.types, b.types);
  const auto shape = common(a.shape, b.shape), strides = common(a.strides, b.strides);
  const bool layouts = a.layout == Layout::any || b.layout == Layout::any || a.layout == b.layout;
  if (!types || !shape || !strides || !layouts) return std::nullopt;
  return TensorSpec{*std::move(types), *shape, a.layout == Layout::any ? b.layout : a.layout, *strides,
                    a.name.empty() ? b.name : a.name};
}

std::optional<TensorsSpec> common(const TensorsSpec& a, const TensorsSpec& b) {
  if (b.tensors.empty()) return a;
  TensorsSpec both{{}, a.model.empty() ? b.model : a.model};
  if (a.tensors.empty()) {
    both.tensors = b.tensors;
    return both;
  }
  if (a.tensors.size() != b.tensors.size()) return std::nullopt;
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    auto tensor = common(a.tensors[i], b.tensors[i]);
    if (!tensor) return std::nullopt;
    both.tensors.push_back(*std::move(tensor));
  }
  return both;
}

TensorSpec spec_of(const TensorInfo& info) {
  return {{info.type}, info.shape, info.layout, info.strides, info.name};
}

std::string range_text(IntRange range) {
  return range.fixed() ? std::to_string(range.min) : range == IntRange{} ? "any" : "some";
}

}  // namespace

FormatSpec spec_of(const Format& format) {
  if (const auto* video = format.video())
    return {VideoSpec{{video->format}, IntRange::exactly(video->width), IntRange::exactly(video->height)},
            format.memory};
  if (const auto* tensors = format.tensors()) {
    TensorsSpec spec{{}, tensors->model};
    for (const auto& info : tensors->tensors) spec.tensors.push_back(spec_of(info));
    return {std::move(spec), format.memory};
  }
  return {AnySpec{}, format.memory};
}

Format format_of(const Frame& frame) {
  Format format;
  if (!frame.tensors.empty() && frame.tensors[0].memory) format.memory = frame.tensors[0].memory->kind();
  if (frame.video) {
    format.media = *frame.video;
  } else if (!frame.tensors.empty()) {
    TensorsInfo info;
    for (const auto& tensor : frame.tensors)
      info.tensors.push_back(
          {tensor.type, tensor.shape, tensor.dense() ? Shape() : tensor.strides, tensor.layout, {}});
    format.media = std::move(info);
  }
  return format;
}

bool same(const Format& a, const Format& b) {
  if (a.memory != b.memory || a.media.index() != b.media.index()) return false;
  if (a.video()) return *a.video() == *b.video();
  if (!a.tensors()) return true;
  return a.tensors()->model == b.tensors()->model &&
         std::ranges::equal(a.tensors()->tensors, b.tensors()->tensors,
                            [](const TensorInfo& x, const TensorInfo& y) {
                              return x.type == y.type && x.shape == y.shape && x.strides == y.strides &&
                                     x.layout == y.layout && x.name == y.name;
                            });
}

bool contains(const FormatSpec& spec, const Format& format) {
  if (is_any(spec)) return true;
  if (format.media.index() == 0) return false;
  return spec.memory == format.memory && intersect(spec, spec_of(format));
}

bool contains(const FormatSpecs& specs, const Format& format) {
  return std::ranges::any_of(specs, [&](const FormatSpec& spec) { return contains(spec, format); });
}

std::optional<FormatSpec> intersect(const FormatSpec& a, const FormatSpec& b) {
  if (is_any(a)) return b;
  if (is_any(b)) return a;
  if (a.memory != b.memory || a.media.index() != b.media.index()) return std::nullopt;
  if (const auto* video = std::get_if<VideoSpec>(&a.media)) {
    auto both = common(*video, std::get<VideoSpec>(b.media));
    if (!both) return std::nullopt;
    return FormatSpec{*std::move(both), a.memory};
  }
  auto both = common(std::get<TensorsSpec>(a.media), std::get<TensorsSpec>(b.media));
  if (!both) return std::nullopt;
  return FormatSpec{*std::move(both), a.memory};
}

FormatSpecs intersect(const FormatSpecs& a, const FormatSpecs& b) {
  FormatSpecs both;
  for (const auto& one : a)
    for (const auto& other : b)
      if (auto spec = intersect(one, other)) both.push_back(*std::move(spec));
  return both;
}

std::optional<Format> fixate(const FormatSpec& spec, const Format& like) {
  Format format;
  format.memory = spec.memory;
  if (const auto* set = std::get_if<VideoSpec>(&spec.media)) {
    const VideoInfo* from = like.video();
    VideoInfo video = from ? *from : VideoInfo{};
    const bool keeps = from && (set->formats.empty() || std::ranges::contains(set->formats, from->format));
    if (!keeps && !set->formats.empty()) video.format = set->formats.front();
    if (!from && (!set->width.fixed() || !set->height.fixed())) return std::nullopt;
    video.width = std::clamp(video.width, set->width.min, set->width.max);
    video.height = std::clamp(video.height, set->height.min, set->height.max);
    format.media = video;
    return format;
  }
  if (const auto* set = std::get_if<TensorsSpec>(&spec.media)) {
    TensorsInfo info{{}, set->model};
    for (const auto& tensor : set->tensors) {
      if (tensor.types.empty() || tensor.shape.empty() || !tensor.shape.fixed()) return std::nullopt;
      info.tensors.push_back(
          {tensor.types.front(), tensor.shape, tensor.strides, tensor.layout, tensor.name});
    }
    if (info.tensors.empty()) return std::nullopt;
    format.media = std::move(info);
    return format;
  }
  return like;
}

std::string to_string(const FormatSpecs& specs) {
  std::string text;
  for (const auto& spec : specs) {
    std::string one = "anything";
    if (const auto* video = std::get_if<VideoSpec>(&spec.media)) {
      one.clear();
      for (size_t i = 0; i < std::min<size_t>(video->formats.size(), 6); ++i)
        one += (i ? "|" : "") + std::string(to_string(video->formats[i]));
      if (video->formats.size() > 6) one += "|…";
      if (one.empty()) one = "pictures";
      if (video->width != IntRange{} || video->height != IntRange{})
        one += " " + range_text(video->width) + "x" + range_text(video->height);
    } else if (const auto* tensors = std::get_if<TensorsSpec>(&spec.media)) {
      one.clear();
      for (const auto& tensor : tensors->tensors) {
        one += one.empty() ? "" : ", ";
        for (size_t i = 0; i < tensor.types.size(); ++i)
          one += (i ? "|" : "") + std::string(to_string(tensor.types[i]));
        if (!tensor.shape.empty()) one += (tensor.types.empty() ? "" : " ") + tensor.shape.to_string();
      }
      if (one.empty()) one = "tensors";
    }
    if (!is_any(spec) && spec.memory != MemoryKind::system)
      one += " in " + std::string(sightglass::to_string(spec.memory)) + " memory";
    if (text.contains(one)) continue;
    text += (text.empty() ? "" : " or ") + one;
  }
  return text.empty() ? "nothing" : text;
}

}  // namespace sightglass::flow
