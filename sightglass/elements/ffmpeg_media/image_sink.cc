// The sink of sightglass/elements/image_sink/image_sink.h.
#include "sightglass/elements/image_sink/image_sink.h"

extern "C" {
#include <libavutil/log.h>
}

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "sightglass/core/element.h"
#include "sightglass/elements/ffmpeg_media/video_encoder.h"
#include "sightglass/elements/module_element.h"

namespace sightglass {
namespace {

using Kind = ImageSinkParams::Format;

struct PictureFormat {
  Kind format;
  std::array<std::string_view, 3> endings;
  AVCodecID codec;
};
constexpr PictureFormat picture_formats[] = {{Kind::jpeg, {"jpg", "jpeg", "jpe"}, AV_CODEC_ID_MJPEG},
                                             {Kind::png, {"png"}, AV_CODEC_ID_PNG},
                                             {Kind::bmp, {"bmp"}, AV_CODEC_ID_BMP},
                                             {Kind::tiff, {"tif", "tiff"}, AV_CODEC_ID_TIFF},
                                             {Kind::webp, {"webp"}, AV_CODEC_ID_WEBP},
                                             {Kind::ppm, {"ppm"}, AV_CODEC_ID_PPM}};

// A name with at most one place for a number: "%d" or "%05d", and "%%" for a percent sign.
struct NamePattern {
  std::string before, after;
  int digits = 0;
  bool numbered = false;

  static Result<NamePattern> parse(std::string_view text) {
    NamePattern pattern;
    std::string* part = &pattern.before;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '%') {
        part->push_back(text[i]);
        continue;
      }
      size_t end = i + 1;
      while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
      if (end == i + 1 && end < text.size() && text[end] == '%') {
        part->push_back('%');
        i = end;
        continue;
      }
      const std::string_view width = text.substr(i + 1, end - i - 1);
      if (end == text.size() || text[end] != 'd' || pattern.numbered || width.size() > 2)
        return fail(ErrorCode::invalid_argument,
                    "location={}: the number of the frame is written %d or %05d, once; a percent sign %%",
                    text);
      for (const char digit : width) pattern.digits = pattern.digits * 10 + (digit - '0');
      pattern.numbered = true;
      part = &pattern.after;
      i = end;
    }
    return pattern;
  }

  std::string name(uint64_t number) const {
    return numbered ? std::format("{}{:0{}}{}", before, number, digits, after) : before;
  }
};

Status write_file(const std::string& name, const uint8_t* data, size_t size) {
  const auto failed = [&](int reason) {
    return fail(reason == ENOENT ? ErrorCode::not_found : ErrorCode::io, "{}: {}", name,
                std::strerror(reason));
  };
  const int file = ::open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) return failed(errno);
  while (size > 0) {
    const ssize_t written = ::write(file, data, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int reason = written < 0 ? errno : ENOSPC;
      ::close(file);
      return failed(reason);
    }
    data += written;
    size -= size_t(written);
  }
  if (::close(file) != 0) return failed(errno);
  return {};
}

class ImageSink final : public Sink {
 public:
  explicit ImageSink(const ImageSinkParams& params) : params_(params) {}
  static Result<std::unique_ptr<Element>> create(const ParamSet& params) {
    if (av_log_get_level() == AV_LOG_INFO) av_log_set_level(AV_LOG_FATAL);
    return std::make_unique<ImageSink>(params.as<ImageSinkParams>());
  }

  Status start() override;
  void stop() override { encoder_.close(); }
  Status write(const Frame& frame) override;

 private:
  const ImageSinkParams params_;
  NamePattern pattern_;
  const AVCodec* codec_ = nullptr;
  VideoEncoder encoder_;
  uint64_t count_ = 0;
};

Status ImageSink::start() {
  if (params_.location.empty())
    return fail(ErrorCode::invalid_argument,
                "location is empty; name a pattern or folder: location=out-%05d.jpg");
  std::error_code ignored;
  const bool is_folder =
      params_.location.ends_with('/') || std::filesystem::is_directory(params_.location, ignored);
  const auto* picture = std::ranges::find(picture_formats, params_.format, &PictureFormat::format);
  if (params_.format == Kind::automatic) {
    std::string ending = std::filesystem::path(params_.location).extension().string();
    std::ranges::transform(ending, ending.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
    picture = std::ranges::find_if(picture_formats, [&](const PictureFormat& each) {
      return is_folder ? each.format == Kind::jpeg
                       : ending.size() > 1 &&
                             std::ranges::find(each.endings, ending.substr(1)) != each.endings.end();
    });
    if (picture == std::end(picture_formats))
      return fail(ErrorCode::invalid_argument,
                  "location={}: the ending says no picture format; usable: jpg, png, bmp, tiff, webp, ppm",
                  params_.location);
  }
  codec_ = avcodec_find_encoder(picture->codec);
  if (!codec_)
    return fail(ErrorCode::unsupported, "this FFmpeg has no encoder for {}",
                avcodec_get_name(picture->codec));
  std::string location = params_.location;
  if (is_folder) {
    std::error_code error;
    std::filesystem::create_directories(location, error);
    if (error) return fail(ErrorCode::io, "{}: {}", location, error.message());
    std::string folder;
    for (const char c : location) folder += c == '%' ? "%%" : std::string(1, c);
    location = std::format("{}/%05d.{}", folder, picture->endings[0]);
  }
  auto pattern = NamePattern::parse(location);
  if (!pattern) return forward_error(pattern);
  pattern_ = std::move(*pattern);
  const auto parent = std::filesystem::path(pattern_.name(0)).parent_path();
  if (!parent.empty() && !std::filesystem::is_directory(parent, ignored))
    return fail(ErrorCode::not_found, "{}: there is no such folder", parent.string());
  count_ = 0;
  encoder_.close();
  return {};
}

Status ImageSink::write(const Frame& frame) {
  if (!frame.video) return fail(ErrorCode::invalid_argument, "a frame without a picture cannot be written");
  if (!codec_) return fail(ErrorCode::internal, "written to before it was started");
  if (!encoder_.is_open() || encoder_.input() != *frame.video) {
    VideoEncoder::Settings settings;
    settings.codec = codec_;
    settings.time_base = {1, 25};
    if (codec_->id == AV_CODEC_ID_MJPEG) settings.quality = 2 + int(100 - params_.quality) * 29 / 99;
    if (codec_->id == AV_CODEC_ID_WEBP) settings.quality = int(params_.quality);
    if (auto opened = encoder_.open(*frame.video, settings); !opened) return opened;
  }
  bool written = false;
  const std::string name = pattern_.name(count_);
  const auto status = encoder_.encode(frame, int64_t(count_), 1, [&](AVPacket& packet) {
    written = true;
    return write_file(name, packet.data, size_t(packet.size));
  });
  ++count_;
  if (status && !written)
    return fail(ErrorCode::internal, "{}: the encoder holds the picture back", codec_->name);
  return status;
}

const ModuleElement registration("image_sink", &ImageSink::create);

}  // namespace
}  // namespace sightglass
