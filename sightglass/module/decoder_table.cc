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

// Pictures of a decoder on a device that are not given back yet, beside those that it refers to: enough for
// what is held on the way through elements, 25 MB of a stream of 1080p. More wait.
constexpr const char *surfaces_property = "num-output-surfaces", *most_surfaces = "8";

bool is_nvidia(std::string_view decoder) { return decoder.starts_with("nv"); }
bool is_hardware(std::string_view decoder) { return is_nvidia(decoder) || decoder.starts_with("va"); }

bool has_property(const char* decoder, const char* name) {
  auto* factory = gst_element_factory_find(decoder);
  auto* loaded = factory ? gst_plugin_feature_load(GST_PLUGIN_FEATURE(factory)) : nullptr;
  if (factory) gst_object_unref(factory);
  if (!loaded) return false;
  auto* klass = g_type_class_ref(gst_element_factory_get_element_type(GST_ELEMENT_FACTORY(loaded)));
  const bool has = g_object_class_find_property(G_OBJECT_CLASS(klass), name);
  g_type_class_unref(klass);
  gst_object_unref(loaded);
  return has;
}

bool is_installed(const char* factory) {
  auto* found = gst_element_factory_find(factory);
  if (found) gst_object_unref(found);
  return found != nullptr;
}

// The element for another device of NVIDIA's than the first: GStreamer counts them through, and each says
// whose it is.
std::string on_device(const std::string& decoder, int device) {
  for (int number = 1; device > 0; ++number) {
    const std::string name = std::format("{}device{}dec", decoder.substr(0, decoder.size() - 3), number);
    const gst::ElementPtr element(gst_element_factory_make(name.c_str(), nullptr));
    if (!element) break;
    gst_object_ref_sink(element.get());
    guint own = guint(number);
    if (g_object_class_find_property(G_OBJECT_GET_CLASS(element.get()), "cuda-device-id"))
      g_object_get(element.get(), "cuda-device-id", &own, nullptr);
    if (own == guint(device)) return name;
  }
  return decoder;
}

DecoderChoice choice_of(const Codec& codec, const std::string& decoder) {
  DecoderChoice choice;
  if (codec.parser) choice.elements.push_back({codec.parser, {}});
  if (decoder == "avdec_mjpeg") choice.elements.push_back({"jpegparse", {}});  // takes what is parsed alone
  Settings settings;
  // Threads of a decoder add a delay of as many pictures, and there are as many streams as it takes to keep
  // the cores busy.
  if (decoder.starts_with("avdec_") && codec.is_inter) settings.emplace_back("max-threads", "1");
  if (is_nvidia(decoder) && has_property(decoder.c_str(), surfaces_property))
    settings.emplace_back(surfaces_property, most_surfaces);
  choice.elements.push_back({decoder, std::move(settings)});
  if (is_nvidia(decoder)) choice.memory = MemoryKind::cuda;
  if (decoder.starts_with("va")) choice.memory = MemoryKind::va;
  return choice;
}

}  // namespace

std::vector<DecoderChoice> decoder_table(std::string_view name, std::span<const std::string> preferred,
                                         int device) {
  const Codec* codec = find_codec(name);
  if (!codec) return {};
  if (codec->decoders.size() == 0) return {DecoderChoice{}};
  if (codec->parser && !is_installed(codec->parser)) return {};
  std::vector<std::string> wanted;
  for (std::string_view entry : preferred)
    if (const size_t equals = entry.find('='); equals != entry.npos && entry.substr(0, equals) == name)
      wanted.emplace_back(entry.substr(equals + 1));
  const size_t named = wanted.size();
  for (const char* usual : codec->decoders) {
    const std::string decoder = is_nvidia(usual) ? on_device(usual, device) : usual;
    if (!std::ranges::contains(wanted, decoder)) wanted.push_back(decoder);
  }
  const auto missing = [](const std::string& decoder) { return !is_installed(decoder.c_str()); };
  const auto gone = std::ranges::count_if(wanted.begin(), wanted.begin() + ptrdiff_t(named), missing);
  std::erase_if(wanted, missing);
  // What one kind of hardware cannot do, another one seldom can.
  const size_t tried_first = std::max<size_t>(named - size_t(gone), 1);
  if (wanted.size() > tried_first)
    std::stable_partition(wanted.begin() + ptrdiff_t(tried_first), wanted.end(),
                          [](const std::string& decoder) { return !is_hardware(decoder); });
  std::vector<DecoderChoice> choices;
  for (const std::string& decoder : wanted) choices.push_back(choice_of(*codec, decoder));
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
