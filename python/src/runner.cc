#include "python/src/runner.h"

#include <algorithm>
#include <ranges>

#include "sightglass/memory/map_to.h"
#include "sightglass/memory/system/system_frame.h"

namespace sightglass::python {
namespace {

bool same(const TensorInfo& a, const TensorInfo& b) {
  return a.type == b.type && a.shape == b.shape && a.strides == b.strides && a.layout == b.layout &&
         a.name == b.name;
}

bool same(const Format& a, const Format& b) {
  if (a.memory != b.memory || a.media.index() != b.media.index()) return false;
  if (a.video()) return *a.video() == *b.video();
  if (!a.tensors()) return true;
  return a.tensors()->model == b.tensors()->model &&
         std::ranges::equal(a.tensors()->tensors, b.tensors()->tensors,
                            [](const TensorInfo& x, const TensorInfo& y) { return same(x, y); });
}

bool contains(const IntRange& range, int value) { return value >= range.min && value <= range.max; }

// Whether frames of this format are in the set, whatever memory they lie in.
bool takes(const FormatSpec& spec, const Format& format) {
  if (std::holds_alternative<AnySpec>(spec.media)) return true;
  if (const auto* video = std::get_if<VideoSpec>(&spec.media)) {
    const VideoInfo* info = format.video();
    return info && (video->formats.empty() || std::ranges::contains(video->formats, info->format)) &&
           contains(video->width, info->width) && contains(video->height, info->height);
  }
  return format.tensors() != nullptr;
}

std::string names_of(const std::vector<FormatSpec>& specs) {
  std::string names;
  const auto add = [&](std::string_view name) {
    if (!names.contains(name)) names += (names.empty() ? "" : ", ") + std::string(name);
  };
  for (const FormatSpec& spec : specs) {
    if (const auto* video = std::get_if<VideoSpec>(&spec.media)) {
      for (PixelFormat format : video->formats) add(to_string(format));
      if (video->formats.empty()) add("pictures");
    } else {
      add("tensors");
    }
  }
  return names;
}

std::optional<int> size_in(const IntRange& range, int wanted) {
  if (range.fixed()) return range.min;
  if (wanted > 0 && contains(range, wanted)) return wanted;
  return {};
}

// The one format of a set that is used where nobody downstream has a wish: the first of each list.
std::optional<Format> fixed(const FormatSpec& spec, const Format& input) {
  Format format;
  format.memory = spec.memory;
  const VideoInfo* from = input.video();
  if (std::holds_alternative<AnySpec>(spec.media)) return input;
  if (const auto* video = std::get_if<VideoSpec>(&spec.media)) {
    VideoInfo info = from ? *from : VideoInfo{};
    const bool keeps =
        from && (video->formats.empty() || std::ranges::contains(video->formats, from->format));
    if (!keeps && video->formats.empty()) return {};
    if (!keeps) info.format = video->formats.front();
    const auto width = size_in(video->width, info.width), height = size_in(video->height, info.height);
    if (!width || !height) return {};
    info.width = *width;
    info.height = *height;
    format.media = info;
    return format;
  }
  const auto& tensors = std::get<TensorsSpec>(spec.media);
  if (tensors.tensors.empty()) return input.tensors() ? std::optional(input) : std::nullopt;
  TensorsInfo info{.model = tensors.model};
  for (const TensorSpec& one : tensors.tensors) {
    if (one.shape.empty() || !one.shape.fixed()) return {};
    info.tensors.push_back({.type = one.types.empty() ? DataType::f32 : one.types.front(),
                            .shape = one.shape,
                            .strides = one.strides,
                            .layout = one.layout,
                            .name = one.name});
  }
  format.media = std::move(info);
  return format;
}

size_t block_bytes(const TensorInfo& info) {
  constexpr size_t step = SystemMemory::alignment;
  return (info.bytes() + step - 1) / step * step;
}

}  // namespace

FormatSpec spec_of(const Format& format) {
  const auto size = [](int pixels) { return pixels > 0 ? IntRange::exactly(pixels) : IntRange{}; };
  if (const VideoInfo* video = format.video())
    return {VideoSpec{{video->format}, size(video->width), size(video->height)}, format.memory};
  if (!format.tensors()) return {AnySpec{}, format.memory};
  TensorsSpec tensors{.model = format.tensors()->model};
  for (const TensorInfo& one : format.tensors()->tensors)
    tensors.tensors.push_back({{one.type}, one.shape, one.layout, one.strides, one.name});
  return {std::move(tensors), format.memory};
}

ParamSet Runner::params() const {
  std::lock_guard lock(mutex_);
  return params_;
}

Status Runner::set(std::string_view name, const ParamValue& value) {
  std::lock_guard lock(mutex_);
  const ParamDesc* desc = desc_.params.find(name);
  if (element_ && desc && !desc->is_live)
    return fail(ErrorCode::invalid_argument, "{}: can only be set before the first frame", name);
  params_changed_ = true;
  return params_.set(name, value);
}

Result<ParamValue> Runner::get(std::string_view name) {
  std::lock_guard lock(mutex_);
  const ParamDesc* desc = desc_.params.find(name);
  if (desc && desc->is_readable_only && element_) return element_->value(desc->name);
  return params_.get(name);
}

Status Runner::start() {
  if (element_) {
    if (std::exchange(params_changed_, false)) element_->update(params_);
    return {};
  }
  auto made = desc_.create(params_);
  if (!made) return forward_error(made);
  element_ = std::move(*made);
  params_changed_ = is_done_ = false;
  if (auto status = element_->start(); !status) {
    element_.reset();
    return status;
  }
  return {};
}

void Runner::stop() {
  std::lock_guard lock(mutex_);
  if (element_) element_->stop();
  element_.reset();
  is_configured_ = false;
  pool_ = nullptr;
}

void Runner::cancel() {
  // Without the lock, which the blocked call holds.
  if (auto* source = dynamic_cast<Source*>(element_.get())) source->cancel();
}

std::vector<std::string> Runner::take_warnings() {
  std::lock_guard lock(mutex_);
  if (element_)
    for (auto& warning : element_->take_warnings()) warnings_.push_back(std::move(warning));
  return std::exchange(warnings_, {});
}

Status Runner::configure(const Format& input) {
  if (is_configured_ && same(input, input_)) return {};
  is_configured_ = false;
  if (std::ranges::none_of(desc_.input, [&](const FormatSpec& spec) { return takes(spec, input); }))
    return fail(ErrorCode::not_negotiated, "takes {}, not {}", names_of(desc_.input), to_string(input));
  Format output = input;
  if (desc_.kind == ElementKind::sink) {
    output = {};
  } else if (desc_.kind == ElementKind::transform) {
    const auto& transform = static_cast<const Transform&>(*element_);
    const auto specs = transform.transform_format(Direction::input, spec_of(input));
    if (specs.empty()) return fail(ErrorCode::not_negotiated, "cannot work on {}", to_string(input));
    std::optional<Format> chosen;
    for (const FormatSpec& spec : specs)
      if ((chosen = fixed(spec, input))) break;
    if (!chosen)
      return fail(ErrorCode::not_negotiated,
                  "what it makes of {} has no fixed size; its parameters have to say it (width, height)",
                  to_string(input));
    output = std::move(*chosen);
  }
  if (auto status = element_->configure(input, output); !status) return status;
  input_ = input;
  output_ = std::move(output);
  info_ = output_.tensors() ? std::make_shared<const TensorsInfo>(*output_.tensors()) : nullptr;
  pool_ = nullptr;
  is_configured_ = true;
  return {};
}

// Frames whose memory the element does not read are mapped to the CPU for the call.
Status Runner::with_memory(Frame& frame, const Format& format) {
  const bool as_it_is = std::ranges::any_of(desc_.input, [&](const FormatSpec& spec) {
    return std::holds_alternative<AnySpec>(spec.media) ||
           (takes(spec, format) && spec.memory == format.memory);
  });
  if (as_it_is) {
    if (auto status = configure(format); !status) return status;
    return run(frame);
  }
  Form form = form_of(frame);
  form.memory = MemoryKind::system;
  auto mapping =
      map_to(frame, {.form = form, .access = desc_.writes_pixels ? Access::read_write : Access::read});
  if (!mapping) return forward_error(mapping);
  Format mapped = format;
  mapped.memory = MemoryKind::system;
  if (auto status = configure(mapped); !status) return status;
  auto tensors = std::exchange(frame.tensors, mapping->frame().tensors);
  const auto status = run(frame);
  frame.tensors = std::move(tensors);
  if (!status) return status;
  return mapping->finish();
}

Status Runner::run(Frame& frame) {
  switch (desc_.kind) {
    case ElementKind::transform:
      return static_cast<Transform&>(*element_).process(frame, *this);
    case ElementKind::sink:
      return static_cast<Sink&>(*element_).write(frame);
    case ElementKind::transform_inplace: {
      const auto verdict = static_cast<TransformInplace&>(*element_).process(frame);
      if (!verdict) return std::unexpected(verdict.error());
      int32_t next = 0;
      for (const Region& region : frame.regions) next = std::max(next, region.id + 1);
      for (Region& region : frame.regions)
        if (region.id < 0) region.id = next++;
      if (*verdict == Verdict::pass) made_.push_back({});
      return {};
    }
    case ElementKind::source:
      break;
  }
  return fail(ErrorCode::invalid_argument, "a source takes no frames; iterate over it");
}

Error Runner::named(Error error) const {
  if (error.element.empty()) error.element = desc_.name;
  return error;
}

Result<std::vector<RunFrame>> Runner::process(Frame& frame, const Format& format,
                                              const std::shared_ptr<const TensorsInfo>& info) {
  std::lock_guard lock(mutex_);
  made_.clear();
  auto status = start();
  if (status) status = with_memory(frame, format);
  if (!status) return std::unexpected(named(status.error()));
  if (desc_.kind == ElementKind::transform_inplace && !made_.empty()) made_[0] = {frame, info};
  return std::move(made_);
}

Result<std::vector<RunFrame>> Runner::drain() {
  std::lock_guard lock(mutex_);
  made_.clear();
  if (!element_ || !is_configured_) return std::vector<RunFrame>();
  Status status;
  if (desc_.kind == ElementKind::transform) status = static_cast<Transform&>(*element_).drain(*this);
  if (desc_.kind == ElementKind::transform_inplace)
    status = static_cast<TransformInplace&>(*element_).drain();
  if (desc_.kind == ElementKind::sink) status = static_cast<Sink&>(*element_).drain();
  if (!status) return std::unexpected(named(status.error()));
  return std::move(made_);
}

Result<std::vector<RunFrame>> Runner::read() {
  std::lock_guard lock(mutex_);
  const auto failed = [&](Error error) { return std::unexpected(named(std::move(error))); };
  if (desc_.kind != ElementKind::source) return failed({ErrorCode::invalid_argument, "is no source", {}, {}});
  if (auto status = start(); !status) return failed(status.error());
  auto& source = static_cast<Source&>(*element_);
  if (!is_configured_) {
    auto formats = source.formats();
    if (!formats) return failed(formats.error());
    if (formats->empty()) return failed({ErrorCode::not_negotiated, "offers no format", {}, {}});
    output_ = formats->front();
    if (auto status = source.configure({}, output_); !status) return failed(status.error());
    info_ = output_.tensors() ? std::make_shared<const TensorsInfo>(*output_.tensors()) : nullptr;
    pool_ = nullptr;
    is_configured_ = true;
  }
  std::vector<RunFrame> read;
  if (is_done_) return read;
  RunFrame next{{}, info_};
  const auto more = source.read(next.frame, *this);
  if (!more) return failed(more.error());
  is_done_ = !*more;
  if (*more) read.push_back(std::move(next));
  return read;
}

// ---- Output

Status Runner::allocate(Frame& frame) {
  const VideoInfo* video = output_.video();
  const TensorsInfo* tensors = output_.tensors();
  if (!video && !tensors) return fail(ErrorCode::not_negotiated, "the output has no fixed format");
  const FrameLayout layout = video ? FrameLayout::of(*video) : FrameLayout{};
  size_t bytes = layout.bytes;
  if (tensors)
    for (const TensorInfo& info : tensors->tensors) bytes += block_bytes(info);
  if (!pool_) pool_ = make_ref<SystemMemoryPool>(SystemMemoryPool::Options{.block_size = bytes});
  auto block = pool_->acquire();
  if (!block) return forward_error(block);
  if (video) {
    Frame made = frame_in(std::move(*block), *video, layout);
    frame.video = made.video;
    frame.tensors = std::move(made.tensors);
    return {};
  }
  frame.video.reset();
  frame.tensors.clear();
  size_t offset = 0;
  for (const TensorInfo& info : tensors->tensors) {
    frame.tensors.push_back(tensor_in(*block, info, offset));
    offset += block_bytes(info);
  }
  return {};
}

Status Runner::push(const Frame& frame) {
  made_.push_back({frame, frame.video ? nullptr : info_});
  return {};
}

}  // namespace sightglass::python
