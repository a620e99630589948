#include "sightglass/memory/ffmpeg/swscale.h"

extern "C" {
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
}

#include <algorithm>
#include <array>
#include <climits>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "sightglass/memory/ffmpeg/pixel_formats.h"
#include "sightglass/memory/mapper.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/system/system_memory_pool.h"

namespace sightglass {
namespace {

int coefficients(ColorMatrix matrix) {
  switch (matrix) {
    case ColorMatrix::bt709:
      return SWS_CS_ITU709;
    case ColorMatrix::bt2020:
      return SWS_CS_BT2020;
    case ColorMatrix::bt601:
      break;
  }
  return SWS_CS_ITU601;
}

bool is_gray(PixelFormat format) { return format == PixelFormat::gray8 || format == PixelFormat::gray16; }
bool is_rgb(PixelFormat format) { return !is_yuv(format) && !is_gray(format); }

// The picture in another format, its colour as one would expect: matrix and range stay, also through RGB,
// where they mean nothing; grey that is made of RGB uses all levels.
VideoInfo in_format(const VideoInfo& video, PixelFormat format) {
  VideoInfo to = video;
  to.format = format;
  if (is_rgb(video.format) && is_gray(format)) to.full_range = true;
  if (is_gray(video.format) && is_rgb(format)) to.full_range = false;
  return to;
}

// Everything of a picture that a conversion depends on.
VideoInfo essence(const VideoInfo& video) {
  VideoInfo key = video;
  key.pixel_aspect = {1, 1};
  key.frame_rate = {0, 1};
  return key;
}

bool is_planar_rgb(PixelFormat format) { return format == PixelFormat::rgbp || format == PixelFormat::bgrp; }

// From planes of half chroma to RGB swscale has SIMD of its own, with chroma repeated and within three
// levels; the exact way takes ten times as long and more. To planes of RGB it leaves pixels out.
bool has_fast_way(const VideoInfo& from, PixelFormat to) {
  const bool planar = from.format == PixelFormat::i420 || from.format == PixelFormat::yv12 ||
                      from.format == PixelFormat::y42b;
  return planar && is_rgb(to) && !is_planar_rgb(to) && from.height % 2 == 0;
}

// A conversion that is set up, for one thread at a time.
struct Scaler {
  VideoInfo from, to;
  std::unique_ptr<SwsContext, decltype([](SwsContext* context) { sws_freeContext(context); })> context;
  FrameLayout layout;  // of what it makes
  Ref<SystemMemoryPool> memory;
};
using ScalerPtr = std::unique_ptr<Scaler>;

constexpr size_t behind = 64;  // bytes, of which swscale writes up to 16 behind the last row

Result<ScalerPtr> make_scaler(const VideoInfo& from, const VideoInfo& to) {
  auto scaler = std::make_unique<Scaler>();
  scaler->from = from;
  scaler->to = to;
  const int flags = has_fast_way(from, to.format)
                        ? SWS_BILINEAR
                        : SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP;
  scaler->context.reset(sws_alloc_context());
  SwsContext* const context = scaler->context.get();
  if (!context) return fail(ErrorCode::exhausted, "no memory for a conversion");
  av_opt_set_int(context, "srcw", from.width, 0);
  av_opt_set_int(context, "srch", from.height, 0);
  av_opt_set_int(context, "src_format", to_av(from.format), 0);
  av_opt_set_int(context, "dstw", to.width, 0);
  av_opt_set_int(context, "dsth", to.height, 0);
  av_opt_set_int(context, "dst_format", to_av(to.format), 0);
  av_opt_set_int(context, "sws_flags", flags, 0);
  // The range of the source has to be known before the tables are made.
  av_opt_set_int(context, "src_range", from.full_range, 0);
  av_opt_set_int(context, "dst_range", to.full_range, 0);
  const int* const from_matrix = sws_getCoefficients(coefficients(from.matrix));
  const int* const to_matrix = sws_getCoefficients(coefficients(to.matrix));
  sws_setColorspaceDetails(context, from_matrix, from.full_range, to_matrix, to.full_range, 0, 1 << 16,
                           1 << 16);
  if (const int error = sws_init_context(context, nullptr, nullptr); error < 0)
    return fail(ErrorCode::unsupported, "swscale cannot convert {} {}x{} to {}: {}", to_string(from.format),
                from.width, from.height, to_string(to.format), av_message(error));
  scaler->layout = FrameLayout::of(to);
  scaler->memory =
      make_ref<SystemMemoryPool>(SystemMemoryPool::Options{.block_size = scaler->layout.bytes + behind});
  return scaler;
}

// Conversions that nobody uses at the moment. The one that has waited longest goes first.
class Scalers {
 public:
  Scalers() { idle_.reserve(limit + 1); }

  Result<ScalerPtr> take(const VideoInfo& from, const VideoInfo& to) {
    {
      std::lock_guard lock(mutex_);
      for (size_t i = idle_.size(); i-- > 0;) {
        if (idle_[i]->from != from || idle_[i]->to != to) continue;
        ScalerPtr found = std::move(idle_[i]);
        idle_.erase(idle_.begin() + std::ptrdiff_t(i));
        return found;
      }
    }
    return make_scaler(from, to);
  }

  void give_back(ScalerPtr scaler) {
    ScalerPtr dropped;  // freed without the lock
    std::lock_guard lock(mutex_);
    idle_.push_back(std::move(scaler));
    if (idle_.size() <= limit) return;
    dropped = std::move(idle_.front());
    idle_.erase(idle_.begin());
  }

  static Scalers& of_process() {
    static Scalers& instance = *new Scalers;
    return instance;
  }

 private:
  static constexpr size_t limit = 16;
  std::mutex mutex_;
  std::vector<ScalerPtr> idle_;
};

Status check(const Frame& frame) {
  if (!frame.video || frame.tensors.size() != plane_count(frame.video->format))
    return fail(ErrorCode::invalid_argument, "only a picture with all its planes can be converted");
  for (size_t plane = 0; plane < frame.tensors.size(); ++plane) {
    const Tensor& tensor = frame.tensors[plane];
    const int64_t row =
        int64_t(plane_width(*frame.video, plane)) * plane_layout(frame.video->format, plane).pixel_bytes;
    if (!tensor.memory || tensor.type != DataType::u8 || tensor.shape.rank() != 2 ||
        tensor.shape[0] != plane_height(*frame.video, plane) || tensor.shape[1] != row ||
        tensor.strides.rank() != 2 || tensor.strides[1] != 1 || tensor.strides[0] > INT_MAX)
      return fail(ErrorCode::corrupt, "plane {} is {} {} (strides {}), which is no plane of {} {}x{}", plane,
                  to_string(tensor.type), tensor.shape.to_string(), tensor.strides.to_string(),
                  to_string(frame.video->format), frame.video->width, frame.video->height);
  }
  return {};
}

// The planes in FFmpeg's order, for as long as this lives.
struct MappedPlanes {
  std::array<Mapping, 3> mappings;
  std::array<uint8_t*, 4> data{};
  std::array<int, 4> stride{};

  Status open(const Frame& frame, Access access) {
    const auto order = plane_order(frame.video->format);
    for (size_t plane = 0; plane < frame.tensors.size(); ++plane) {
      auto mapping = map(frame.tensors[plane], access);
      if (!mapping) return forward_error(mapping);
      mappings[plane] = std::move(*mapping);
      data[order[plane]] = reinterpret_cast<uint8_t*>(mappings[plane].data());
      stride[order[plane]] = int(frame.tensors[plane].strides[0]);
    }
    return {};
  }
};

Status run(Scaler& scaler, const Frame& from, const Frame& to) {
  if (scaler.from == scaler.to) return copy_content(from, to);
  MappedPlanes source, target;
  if (auto status = source.open(from, Access::read); !status) return status;
  if (auto status = target.open(to, Access::write); !status) return status;
  const int rows = sws_scale(scaler.context.get(), source.data.data(), source.stride.data(), 0,
                             from.video->height, target.data.data(), target.stride.data());
  if (rows == to.video->height) return {};
  return fail(ErrorCode::internal, "swscale has converted {} of {} rows", rows, to.video->height);
}

Status check_sizes(const VideoInfo& from, const VideoInfo& to) {
  if (from.width == to.width && from.height == to.height) return {};
  return fail(ErrorCode::invalid_argument, "a conversion keeps the size; {}x{} cannot become {}x{}",
              from.width, from.height, to.width, to.height);
}

// swscale reads some bytes behind the end of a row. Harmless within a block, not at the end of the last page.
bool can_be_read_beyond(const Frame& frame) {
  constexpr size_t beyond = 64, page = 4096;
  for (const Tensor& tensor : frame.tensors) {
    const size_t end = tensor.offset + tensor.bytes();
    if (end + beyond <= tensor.memory->size()) continue;
    auto mapping = map(tensor, Access::read);
    if (!mapping) continue;  // said by whoever maps it next
    const auto address = reinterpret_cast<uintptr_t>(mapping->data() + tensor.bytes());
    if ((address - 1) / page != (address + beyond - 1) / page) return false;
  }
  return true;
}

Result<Frame> convert(const Frame& given, const VideoInfo& to, bool with_content);

// The format to go over where swscale 8.3 leaves a part of the chroma as it was, or is slow.
std::optional<PixelFormat> detour(const VideoInfo& from, PixelFormat to) {
  if (is_gray(from.format) && (to == PixelFormat::nv12 || to == PixelFormat::nv21)) return PixelFormat::i420;
  const bool planar = from.format == PixelFormat::i420 || from.format == PixelFormat::yv12;
  if (planar && to == PixelFormat::p010 && from.width % 2) return PixelFormat::nv12;
  const bool semiplanar = from.format == PixelFormat::nv12 || from.format == PixelFormat::nv21;
  if (semiplanar && is_rgb(to) && from.height % 2 == 0) return PixelFormat::i420;
  if (is_planar_rgb(to) && has_fast_way(from, PixelFormat::rgb)) return PixelFormat::rgb;
  return {};
}

// swscale 8.3 leaves the chroma of this pair as it was, and puts the luma into the wrong bits.
Result<Frame> p010_of_gray(const Frame& frame, const VideoInfo& to, bool with_content) {
  VideoInfo as_wanted = *frame.video;
  as_wanted.format = PixelFormat::gray16;
  as_wanted.full_range = to.full_range;
  auto grey = convert(frame, as_wanted, with_content);
  auto made = allocate_frame(to);
  if (!grey) return grey;
  if (!made || !with_content) return made;
  auto from = map(grey->tensors[0], Access::read);
  auto luma = map(made->tensors[0], Access::write), chroma = map(made->tensors[1], Access::write);
  if (!from || !luma || !chroma) return fail(ErrorCode::internal, "memory of the CPU cannot be mapped");
  for (int64_t y = 0; y < luma->shape()[0]; ++y) {
    const auto* const row = reinterpret_cast<const uint16_t*>(from->row<uint8_t>(y));
    auto* const out = reinterpret_cast<uint16_t*>(luma->row<uint8_t>(y));
    for (int x = 0; x < to.width; ++x) out[x] = row[x] & 0xffc0;
  }
  for (int64_t y = 0; y < chroma->shape()[0]; ++y)
    std::fill_n(reinterpret_cast<uint16_t*>(chroma->row<uint8_t>(y)), chroma->shape()[1] / 2,
                uint16_t(0x8000));
  return made;
}

Result<Frame> convert(const Frame& given, const VideoInfo& to, bool with_content) {
  if (auto status = check(given); !status) return forward_error(status);
  Frame copy;
  if (with_content && !can_be_read_beyond(given)) {
    VideoInfo padded = *given.video;
    padded.height += 2;  // rows behind the last
    auto allocated = allocate_frame(padded);
    if (!allocated) return forward_error(allocated);
    copy = std::move(*allocated);
    copy.video = given.video;
    for (size_t plane = 0; plane < copy.tensors.size(); ++plane)
      copy.tensors[plane].shape = given.tensors[plane].shape;
    if (auto status = copy_content(given, copy); !status) return forward_error(status);
  }
  const Frame& frame = copy.tensors.empty() ? given : copy;
  if (auto status = check_sizes(*frame.video, to); !status) return forward_error(status);
  if (is_gray(frame.video->format) && to.format == PixelFormat::p010)
    return p010_of_gray(frame, to, with_content);
  if (const auto between = detour(*frame.video, to.format); between && with_content) {
    VideoInfo on_the_way = to;
    on_the_way.format = *between;
    auto half = convert(frame, on_the_way, true);
    return half ? convert(*half, to, true) : half;
  }
  auto scaler = Scalers::of_process().take(essence(*frame.video), essence(to));
  if (!scaler) return forward_error(scaler);
  Result<Frame> result = [&]() -> Result<Frame> {
    auto memory = (*scaler)->memory->acquire();
    if (!memory) return forward_error(memory);
    Frame made = frame_in(std::move(*memory), to, (*scaler)->layout);
    if (with_content)
      if (auto status = run(**scaler, frame, made); !status) return forward_error(status);
    return made;
  }();
  Scalers::of_process().give_back(std::move(*scaler));
  return result;
}

// Between all formats of memory of the CPU.
class SwscaleMapper final : public Mapper {
 public:
  std::string_view name() const override { return "FFmpeg's swscale"; }

  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (from.memory != MemoryKind::system || !from.pixels || !sws_isSupportedInput(to_av(*from.pixels)))
      return;
    for (const PixelFormat format : all_pixel_formats()) {
      if (format == *from.pixels || !sws_isSupportedOutput(to_av(format))) continue;
      // Between Y'CbCr and R'G'B' a matrix is multiplied; else bytes change their places. Grey is never worth
      // a detour, since it loses the colours.
      const double cost = is_gray(format) && !is_gray(*from.pixels) ? 40
                          : is_yuv(format) == is_yuv(*from.pixels)  ? 3
                                                                    : 8;
      // It reads samples of 16 bits as such.
      const bool wide = *from.pixels == PixelFormat::p010 || *from.pixels == PixelFormat::gray16;
      out.push_back({{MemoryKind::system, format}, cost, wide ? size_t(2) : size_t(1)});
    }
  }

  Status map(const Frame& frame, const MapTarget& target, Frame& result) const override {
    if (auto status = check(frame); !status) return status;
    auto made = convert(frame, in_format(*frame.video, *target.form.pixels), target.access != Access::write);
    if (!made) return forward_error(made);
    result.video = made->video;
    result.tensors = std::move(made->tensors);
    return {};
  }

  Status write_back(const Frame& mapped, const Frame& frame) const override {
    return convert_picture_into(mapped, frame);
  }
};

const MapperRegistration registration(std::make_unique<SwscaleMapper>());

}  // namespace

Result<Frame> convert_picture(const Frame& frame, const VideoInfo& to) { return convert(frame, to, true); }

Status convert_picture_into(const Frame& from, const Frame& to) {
  if (auto status = check(to); !status) return status;
  // swscale writes whole groups of pixels, also beyond the end of a row. So it writes to rows with room, and
  // only what counts is brought over.
  auto converted = convert(from, *to.video, true);
  if (!converted) return forward_error(converted);
  return copy_content(*converted, to);
}

}  // namespace sightglass
