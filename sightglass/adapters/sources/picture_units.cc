#include "sightglass/adapters/sources/picture_units.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "sightglass/adapters/sources/media_io.h"
#include "sightglass/core/masked_url.h"
#include "sightglass/stream/bitstream.h"

extern "C" {
#include <libavformat/avio.h>
#include <libavutil/error.h>
}

namespace sightglass::adapters {
namespace {

constexpr size_t most_bytes = size_t(64) << 20;  // what a message may carry

struct CloseIo {
  void operator()(AVIOContext* io) const { avio_close(io); }
};

std::string_view codec_of(std::span<const uint8_t> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("\xff\xd8\xff")) return "jpeg";
  if (text.starts_with("\x89PNG\r\n\x1a\n")) return "png";
  return {};
}

class Picture final : public AccessUnits {
 public:
  Picture(MediaInfo info, std::vector<uint8_t> bytes)
      : info_(std::move(info)), payload_(stream::own(std::move(bytes))) {}

  const MediaInfo& info() const override { return info_; }
  Result<std::optional<AccessUnit>> next() override {
    if (std::exchange(is_given_, true)) return std::nullopt;
    return AccessUnit{.payload = payload_, .duration = 1, .keyframe = true};
  }
  Status seek(double) override {
    is_given_ = false;
    return {};
  }
  void cancel() override {}

 private:
  const MediaInfo info_;
  const stream::Payload payload_;
  bool is_given_ = false;
};

Result<std::vector<uint8_t>> read_all(const std::string& location, const std::stop_token& stop) {
  const std::string shown = masked_url(location);
  const auto failed = [&](int error) { return media_error(shown, error); };
  AVIOContext* made = nullptr;
  MediaDeadline deadline(10'000);
  const std::stop_callback cancelled(stop, [&] { deadline.cancel(); });
  AVDictionary* options = media_options(location);
  // A name is no URL, whatever is in it.
  const std::string url = location.find("://") == location.npos ? "file:" + location : location;
  const int opened = avio_open2(&made, url.c_str(), AVIO_FLAG_READ, deadline.callback(), &options);
  av_dict_free(&options);
  if (opened < 0) return failed(opened);
  const std::unique_ptr<AVIOContext, CloseIo> io(made);
  std::vector<uint8_t> bytes;
  for (size_t size = 0;;) {
    if (size > most_bytes) return fail(ErrorCode::exhausted, "{}: larger than 64 MiB", shown);
    bytes.resize(size + 65536);
    deadline.renew();
    const int got = avio_read(io.get(), bytes.data() + size, 65536);
    if (got < 0 && got != AVERROR_EOF) return failed(got);
    size += size_t(std::max(got, 0));
    bytes.resize(size);
    if (got <= 0) return bytes;
  }
}

}  // namespace

Result<std::unique_ptr<AccessUnits>> open_picture(const std::string& location, Fraction rate,
                                                  const std::stop_token& stop) {
  auto bytes = read_all(location, stop);
  if (!bytes) return forward_error(bytes);
  const std::string_view codec = codec_of(*bytes);
  if (codec.empty())
    return fail(ErrorCode::unsupported, "{}: is neither a JPEG nor a PNG", masked_url(location));
  const auto size = stream::picture_size(codec, *bytes);
  if (!size)
    return fail(ErrorCode::corrupt, "{}: the header of the {} is damaged", masked_url(location), codec);
  MediaInfo info{.codec = std::string(codec),
                 .width = size->width,
                 .height = size->height,
                 .framerate = rate,
                 .time_base = {rate.den, rate.num}};
  return std::make_unique<Picture>(std::move(info), std::move(*bytes));
}

}  // namespace sightglass::adapters
