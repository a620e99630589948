#include "sightglass/module/encoder_table.h"

#include <gst/gst.h>

#include <algorithm>
#include <cmath>
#include <format>

#include "sightglass/memory/gst/handles.h"

namespace sightglass::module {
namespace {

struct Codec {
  const char* name;
  std::vector<const char*> hardware, software;
  const char* parser;
  const char* caps;
};

const std::vector<Codec>& codecs() {
  static const std::vector<Codec> list = {
      {"h264",
       {"nvh264enc", "vah264enc"},
       {"x264enc", "openh264enc"},
       "h264parse",
       "video/x-h264,stream-format=byte-stream,alignment=au"},
      {"hevc",
       {"nvh265enc", "vah265enc"},
       {"x265enc"},
       "h265parse",
       "video/x-h265,stream-format=byte-stream,alignment=au"},
      {"av1",
       {"nvav1enc", "vaav1enc"},
       {"svtav1enc", "av1enc"},
       "av1parse",
       "video/x-av1,stream-format=obu-stream,alignment=tu"},
      {"jpeg", {"nvjpegenc", "vajpegenc"}, {"jpegenc", "avenc_mjpeg"}, nullptr, nullptr},
      {"png", {}, {"pngenc"}, nullptr, nullptr},
  };
  return list;
}

const Codec* find_codec(std::string_view name) {
  const auto found =
      std::ranges::find(codecs(), name, [](const Codec& one) { return std::string_view(one.name); });
  return found == codecs().end() ? nullptr : &*found;
}

// Why it cannot be used; empty: it can. Hardware has to open its device.
std::string why_not(const char* factory, bool open) {
  auto* made = gst_element_factory_make(factory, nullptr);
  if (!made) return "not installed";
  gst_object_ref_sink(made);
  const gst::ElementPtr element(made);
  if (!open) return {};
  const auto change = gst_element_set_state(made, GST_STATE_READY);
  gst_element_set_state(made, GST_STATE_NULL);
  return change == GST_STATE_CHANGE_FAILURE ? "its device does not open" : "";
}

std::string tell(const std::vector<const char*>& factories, bool open) {
  std::string text;
  for (const char* factory : factories)
    text += std::format("{}{}: {}", text.empty() ? "" : ", ", factory, why_not(factory, open));
  return text.empty() ? "there is none" : text;
}

const char* first_usable(const std::vector<const char*>& factories, bool open) {
  for (const char* factory : factories)
    if (why_not(factory, open).empty()) return factory;
  return nullptr;
}

std::string kilobits(uint64_t bits) { return std::to_string(std::max<uint64_t>(bits / 1000, 1)); }

Settings settings_of(std::string_view factory, const OutputFrameSpec& output, unsigned gop) {
  const std::string distance = std::to_string(gop);
  Settings settings;
  const auto set = [&](const char* name, std::string value) {
    settings.emplace_back(name, std::move(value));
  };
  const bool rate = output.bitrate > 0;
  if (factory == "x264enc") {
    set("tune", "zerolatency");
    set("speed-preset", "veryfast");
    set("threads", "1");
    set("key-int-max", distance);
    if (rate) set("bitrate", kilobits(output.bitrate));
  } else if (factory == "openh264enc") {
    set("gop-size", distance);
    set("multi-thread", "1");
    if (rate) set("bitrate", std::to_string(output.bitrate));
  } else if (factory == "x265enc") {
    set("tune", "zerolatency");
    set("speed-preset", "superfast");
    set("key-int-max", distance);
    set("option-string", "bframes=0:pools=1:frame-threads=1:log-level=none");
    if (rate) set("bitrate", kilobits(output.bitrate));
  } else if (factory == "svtav1enc") {
    set("preset", "12");
    set("intra-period-length", std::to_string(gop - 1));
    set("parameters-string", "pred-struct=1:lookahead=0:lp=1");
    if (rate) set("target-bitrate", kilobits(output.bitrate));
  } else if (factory == "av1enc") {
    set("cpu-used", "10");
    set("usage-profile", "realtime");
    set("lag-in-frames", "0");
    set("keyframe-max-dist", distance);
    if (rate) set("target-bitrate", kilobits(output.bitrate));
  } else if (factory == "jpegenc" || factory == "nvjpegenc" || factory == "vajpegenc") {
    set("quality", std::to_string(output.quality));
  } else if (factory == "pngenc") {
    set("snapshot", "false");
    set("compression-level", "2");
  } else if (factory.starts_with("nv")) {
    set("gop-size", distance);
    set("bframes", "0");
    set("zerolatency", "true");
    if (rate) set("bitrate", kilobits(output.bitrate));
  } else if (factory.starts_with("va")) {
    set("key-int-max", distance);
    set("b-frames", "0");
    if (rate) set("bitrate", kilobits(output.bitrate));
  }
  return settings;
}

}  // namespace

bool is_encoded(std::string_view codec) { return find_codec(codec) != nullptr; }

Result<EncoderChoice> choose_encoder(const OutputFrameSpec& output) {
  const Codec* codec = find_codec(output.codec);
  if (!codec) return fail(ErrorCode::unsupported, "output_frame: '{}' cannot be encoded", output.codec);
  if (output.encoder != "software") {
    if (const char* found = first_usable(codec->hardware, true)) return EncoderChoice{found, true, {}};
    if (output.encoder == "hardware") {
      return fail(
          ErrorCode::unavailable,
          "output_frame: there is no hardware encoder for {} here ({}); `encoder: auto` falls back to "
          "software",
          output.codec, tell(codec->hardware, true));
    }
  }
  const char* found = first_usable(codec->software, false);
  if (!found)
    return fail(ErrorCode::unavailable, "output_frame: there is no encoder for {} here ({})", output.codec,
                tell(codec->software, false));
  EncoderChoice choice{found, false, {}};
  if (output.encoder == "auto" && !codec->hardware.empty())
    choice.warning = std::format("output_frame: no hardware encoder for {} here ({}); encoding with {}",
                                 output.codec, tell(codec->hardware, true), found);
  return choice;
}

Stage encoder_stage(const EncoderChoice& choice, const OutputFrameSpec& output, Fraction framerate) {
  const Codec* codec = find_codec(output.codec);
  unsigned gop = output.gop;
  if (gop == 0)
    gop = framerate.num > 0 && framerate.den > 0
              ? unsigned(std::clamp(std::lround(double(framerate.num) / framerate.den), 1L, 240L))
              : 25;
  Stage stage{{choice.factory, settings_of(choice.factory, output, gop)}};
  if (codec->parser) {
    // Parameter sets at every keyframe, so that a reader may begin at any.
    const bool repeats = std::string_view(codec->parser) != "av1parse";
    stage.push_back({codec->parser, repeats ? Settings{{"config-interval", "-1"}} : Settings{}});
    stage.push_back(caps_filter(codec->caps));
  }
  return stage;
}

}  // namespace sightglass::module
