#include "sightglass/module/decoder_table.h"

#include <gst/video/video.h>

#include <algorithm>
#include <format>

#include "sightglass/memory/gst/handles.h"

namespace sightglass::module {
namespace {

struct Codec {
  const char* name;
  const char* caps;
  const char* parser;  // null: frames need none
  bool is_inter;
  // In order of preference; what begins with "nv" or "va" is hardware.
  std::initializer_list<const char*> decoders;
};

const Codec codecs[] = {
    {"h264",
     "video/x-h264,stream-format=byte-stream,alignment=au",
     "h264parse",
     true,
     {"nvh264dec", "vah264dec", "avdec_h264", "openh264dec"}},
    {"hevc",
     "video/x-h265,stream-format=byte-stream,alignment=au",
     "h265parse",
     true,
     {"nvh265dec", "vah265dec", "avdec_h265", "libde265dec"}},
    {"av1",
     "video/x-av1,stream-format=obu-stream,alignment=tu",
     "av1parse",
     true,
     {"nvav1dec", "vaav1dec", "dav1ddec", "av1dec"}},
    {"vp8", "video/x-vp8", nullptr, true, {"nvvp8dec", "vavp8dec", "vp8dec", "avdec_vp8"}},
    {"vp9", "video/x-vp9", "vp9parse", true, {"nvvp9dec", "vavp9dec", "vp9dec", "avdec_vp9"}},
    {"jpeg", "image/jpeg", nullptr, false, {"nvjpegdec", "vajpegdec", "jpegdec", "avdec_mjpeg"}},
    {"mjpeg", "image/jpeg", nullptr, false, {"nvjpegdec", "vajpegdec", "jpegdec", "avdec_mjpeg"}},
    {"png", "image/png", nullptr, false, {"pngdec", "avdec_png"}},
    {"raw", "video/x-raw", nullptr, false, {}},
};

const Codec* find_codec(std::string_view name) {
  for (const Codec& codec : codecs)
    if (codec.name == name) return &codec;
  return nullptr;
}

bool is_installed(const char* factory) {
  auto* found = gst_element_factory_find(factory);
  if (found) gst_object_unref(found);
  return found != nullptr;
}

DecoderChoice choice_of(const Codec& codec, std::string_view decoder) {
  DecoderChoice choice;
  if (codec.parser) choice.elements.push_back({codec.parser, {}});
  if (decoder == "avdec_mjpeg") choice.elements.push_back({"jpegparse", {}});  // takes what is parsed alone
  Settings settings;
  // Threads of a decoder add a delay of as many pictures, and there are as many streams as it takes to keep
  // the cores busy.
  if (decoder.starts_with("avdec_") && codec.is_inter) settings.emplace_back("max-threads", "1");
  choice.elements.push_back({std::string(decoder), std::move(settings)});
  if (decoder.starts_with("nv")) choice.memory = MemoryKind::cuda;
  if (decoder.starts_with("va")) choice.memory = MemoryKind::va;
  return choice;
}

}  // namespace

std::vector<DecoderChoice> decoder_table(std::string_view name, std::span<const std::string> preferred) {
  const Codec* codec = find_codec(name);
  if (!codec) return {};
  if (codec->decoders.size() == 0) return {DecoderChoice{}};
  if (codec->parser && !is_installed(codec->parser)) return {};
  std::vector<std::string> wanted;
  for (std::string_view entry : preferred)
    if (const size_t equals = entry.find('='); equals != entry.npos && entry.substr(0, equals) == name)
      wanted.emplace_back(entry.substr(equals + 1));
  for (const char* decoder : codec->decoders)
    if (std::find(wanted.begin(), wanted.end(), decoder) == wanted.end()) wanted.emplace_back(decoder);
  std::vector<DecoderChoice> choices;
  for (const std::string& decoder : wanted)
    if (is_installed(decoder.c_str())) choices.push_back(choice_of(*codec, decoder));
  return choices;
}

bool is_inter_codec(std::string_view name) {
  const Codec* codec = find_codec(name);
  return codec && codec->is_inter;
}

Result<std::string> input_caps(const StreamFormat& format) {
  const Codec* codec = find_codec(format.codec);
  if (!codec) {
    std::string known;
    for (const Codec& one : codecs) known += std::format("{}{}", known.empty() ? "" : ", ", one.name);
    return fail(ErrorCode::unsupported, "there is no decoder for codec '{}'; known: {}", format.codec, known);
  }
  std::string caps = codec->caps;
  if (format.codec == "raw") {
    const auto known = gst_video_format_from_string(format.raw_format.c_str());
    if (known == GST_VIDEO_FORMAT_UNKNOWN || known == GST_VIDEO_FORMAT_ENCODED || format.width <= 0 ||
        format.height <= 0)
      return fail(ErrorCode::unsupported, "raw pictures of format '{}' and {}x{} pixels cannot be read",
                  format.raw_format, format.width, format.height);
    caps += std::format(",format={}", format.raw_format);
    if (!format.colorimetry.empty()) caps += std::format(",colorimetry=(string)\"{}\"", format.colorimetry);
  }
  if (format.width > 0 && format.height > 0)
    caps += std::format(",width={},height={}", format.width, format.height);
  const bool has_rate = format.framerate.num > 0 && format.framerate.den > 0;
  caps += std::format(",framerate={}/{}", has_rate ? format.framerate.num : 0,
                      has_rate ? format.framerate.den : 1);
  if (format.pixel_aspect.num > 0 && format.pixel_aspect.den > 0)
    caps += std::format(",pixel-aspect-ratio={}/{}", format.pixel_aspect.num, format.pixel_aspect.den);
  return caps;
}

unsigned decoder_choices(std::string_view codec) { return unsigned(decoder_table(codec).size()); }

}  // namespace sightglass::module
