#include "sightglass/adapters/gst/rtsp_input.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "sightglass/adapters/gst/debug_secrets.h"
#include "sightglass/adapters/gst/tls_certificate_interaction.h"
#include "sightglass/adapters/module_adapter.h"
#include "sightglass/adapters/sources/live/live_source.h"
#include "sightglass/adapters/sources/source_names.h"

namespace sightglass::adapters {
namespace {

// NTP counts from 1900.
constexpr int64_t ntp_to_unix_s = 2'208'988'800;

struct Codec {
  const char *encoding, *depayloader, *parser, *caps;
};
constexpr std::array<Codec, 6> codecs = {{
    {"H264", "rtph264depay", "h264parse config-interval=-1",
     "video/x-h264,stream-format=byte-stream,alignment=au"},
    {"H265", "rtph265depay", "h265parse config-interval=-1",
     "video/x-h265,stream-format=byte-stream,alignment=au"},
    {"JPEG", "rtpjpegdepay", nullptr, "image/jpeg"},
    {"VP8", "rtpvp8depay", nullptr, "video/x-vp8"},
    {"VP9", "rtpvp9depay", "vp9parse", "video/x-vp9,alignment=super-frame"},
    {"AV1", "rtpav1depay", "av1parse", "video/x-av1,stream-format=obu-stream,alignment=tu"},
}};

std::string_view field(const GstCaps* caps, const char* name) {
  const char* value = gst_structure_get_string(gst_caps_get_structure(caps, 0), name);
  return value ? value : "";
}

template <class T>
void connect(GstElement* element, const char* signal, GCallback callback, const std::shared_ptr<T>& data) {
  g_signal_connect_data(
      element, signal, callback, new std::shared_ptr<T>(data),
      [](gpointer kept, GClosure*) { delete static_cast<std::shared_ptr<T>*>(kept); }, GConnectFlags(0));
}
template <class T>
T& kept(gpointer data) {
  return **static_cast<std::shared_ptr<T>*>(data);
}

}  // namespace

RtspInput::RtspInput(std::shared_ptr<const RtspSettings> settings)
    : GstInput(settings->url.shown()), settings_(std::move(settings)) {}

Status RtspInput::build(GstBin* pipeline, GstElement* sink) {
  GstElement* source = gst_element_factory_make("rtspsrc", nullptr);
  if (!source)
    return fail(ErrorCode::unavailable, "GStreamer's rtspsrc is missing (gstreamer1.0-plugins-good)");
  gst_bin_add(pipeline, source);
  // Multicast counts as datagrams.
  constexpr int udp = 1 | 2, tcp = 4;
  const int protocols = settings_->transport == RtspParams::Transport::tcp   ? tcp
                        : settings_->transport == RtspParams::Transport::udp ? udp
                                                                             : udp | tcp;
  g_object_set(source, "location", settings_->url.plain().c_str(), "protocols", protocols, "latency",
               settings_->latency_ms, "add-reference-timestamp-meta", gboolean(settings_->rtcp_clock),
               // Datagrams that do not come are found out before the connection is given up.
               "timeout", guint64(1'500'000), "tcp-timeout", guint64(10'000'000), nullptr);
  if (!settings_->url.user.empty()) g_object_set(source, "user-id", settings_->url.user.c_str(), nullptr);
  if (!settings_->url.password.empty())
    g_object_set(source, "user-pw", settings_->url.password.c_str(), nullptr);
  shared_->pipeline = pipeline;
  shared_->sink = sink;
  if (settings_->url.scheme() != "rtsp")
    if (Status set = set_tls(source); !set) return set;
  connect(source, "select-stream", G_CALLBACK(&RtspInput::on_stream), shared_);
  connect(source, "pad-added", G_CALLBACK(&RtspInput::on_pad), shared_);
  return {};
}

Status RtspInput::set_tls(GstElement* source) {
  const TlsParams& tls = settings_->tls;
  GError* error = nullptr;
  const auto failed = [&](std::string_view key, const std::string& file) {
    const std::string reason = error ? error->message : "";
    g_clear_error(&error);
    return fail(ErrorCode::invalid_argument, "{}: {}: {}", key, file, reason);
  };
  if (!tls.tls_verify) g_object_set(source, "tls-validation-flags", GTlsCertificateFlags(0), nullptr);
  if (!tls.tls_ca.empty()) {
    GTlsDatabase* database = g_tls_file_database_new(tls.tls_ca.c_str(), &error);
    if (!database) return failed("tls-ca", tls.tls_ca);
    g_object_set(source, "tls-database", database, nullptr);
    g_object_unref(database);
  }
  if (!tls.tls_cert.empty()) {
    GTlsCertificate* certificate = g_tls_certificate_new_from_files(
        tls.tls_cert.c_str(), (tls.tls_key.empty() ? tls.tls_cert : tls.tls_key).c_str(), &error);
    if (!certificate) return failed("tls-cert", tls.tls_cert);
    GTlsInteraction* interaction = tls_certificate_interaction(certificate);
    g_object_unref(certificate);
    g_object_set(source, "tls-interaction", interaction, nullptr);
    g_object_unref(interaction);
  }
  if (!tls.tls_server_name.empty()) {
    shared_->server_name = tls.tls_server_name;
    connect(source, "accept-certificate", G_CALLBACK(&RtspInput::on_certificate), shared_);
  }
  return {};
}

// Asked when something is wrong with the certificate: that it is for the other name is what was wanted.
gboolean RtspInput::on_certificate(GstElement*, GTlsConnection*, GTlsCertificate* certificate,
                                   GTlsCertificateFlags errors, gpointer data) {
  if (errors != G_TLS_CERTIFICATE_BAD_IDENTITY) return FALSE;
  GSocketConnectable* identity = g_network_address_new(kept<Shared>(data).server_name.c_str(), 0);
  const bool fits =
      !(g_tls_certificate_verify(certificate, identity, nullptr) & G_TLS_CERTIFICATE_BAD_IDENTITY);
  g_object_unref(identity);
  return fits;
}

gboolean RtspInput::on_stream(GstElement*, guint, GstCaps* caps, gpointer) {
  return field(caps, "media") == "video" && std::ranges::any_of(codecs, [&](const Codec& codec) {
           return field(caps, "encoding-name") == codec.encoding;
         });
}

void RtspInput::on_pad(GstElement* source, GstPad* pad, gpointer data) {
  Shared& shared = kept<Shared>(data);
  GstPad* const sink_pad = gst_element_get_static_pad(shared.sink, "sink");
  const bool is_taken = gst_pad_is_linked(sink_pad);
  gst_object_unref(sink_pad);
  GstCaps* caps = gst_pad_get_current_caps(pad);
  if (!caps) return;
  const auto codec = std::ranges::find_if(
      codecs, [&](const Codec& each) { return field(caps, "encoding-name") == each.encoding; });
  gst_caps_unref(caps);
  if (is_taken || codec == codecs.end()) return;
  std::string text = codec->depayloader;
  if (codec->parser) text += std::string(" ! ") + codec->parser;
  text += std::string(" ! capsfilter caps=\"") + codec->caps + "\"";
  GError* error = nullptr;
  GstElement* chain = gst_parse_bin_from_description(text.c_str(), TRUE, &error);
  if (!chain || error) {
    GST_ELEMENT_ERROR(source, CORE, MISSING_PLUGIN, ("%s", error ? error->message : text.c_str()), (nullptr));
    g_clear_error(&error);
    if (chain) gst_object_unref(gst_object_ref_sink(chain));
    return;
  }
  gst_bin_add(shared.pipeline, chain);
  gst_element_link(chain, shared.sink);
  gst_element_sync_state_with_parent(chain);
  GstPad* const in = gst_element_get_static_pad(chain, "sink");
  gst_pad_add_probe(pad, GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST),
                    &RtspInput::on_buffer,
                    new std::shared_ptr<Shared>(*static_cast<std::shared_ptr<Shared>*>(data)),
                    [](gpointer owned) { delete static_cast<std::shared_ptr<Shared>*>(owned); });
  gst_pad_link(pad, in);
  gst_object_unref(in);
}

// Learns how the camera's clock runs against the times of buffers.
GstPadProbeReturn RtspInput::on_buffer(GstPad*, GstPadProbeInfo* info, gpointer data) {
  GstBuffer* buffer = nullptr;
  if (GST_PAD_PROBE_INFO_TYPE(info) & GST_PAD_PROBE_TYPE_BUFFER_LIST) {
    GstBufferList* list = GST_PAD_PROBE_INFO_BUFFER_LIST(info);
    if (gst_buffer_list_length(list) > 0) buffer = gst_buffer_list_get(list, 0);
  } else {
    buffer = GST_PAD_PROBE_INFO_BUFFER(info);
  }
  static GstStaticCaps ntp = GST_STATIC_CAPS("timestamp/x-ntp");
  if (!buffer || !GST_BUFFER_PTS_IS_VALID(buffer)) return GST_PAD_PROBE_OK;
  GstCaps* caps = gst_static_caps_get(&ntp);
  if (const auto* meta = gst_buffer_get_reference_timestamp_meta(buffer, caps))
    kept<Shared>(data).clock_offset =
        int64_t(meta->timestamp) - ntp_to_unix_s * int64_t(GST_SECOND) - int64_t(GST_BUFFER_PTS(buffer));
  gst_caps_unref(caps);
  return GST_PAD_PROBE_OK;
}

std::optional<int64_t> RtspInput::captured_us(GstClockTime pts) {
  const int64_t offset = shared_->clock_offset;
  if (offset == Shared::no_offset) return std::nullopt;
  return (int64_t(pts) + offset) / 1000;
}

std::string RtspInput::explain(const GError& error) const {
  if (error.domain == GST_RESOURCE_ERROR && error.code == GST_RESOURCE_ERROR_NOT_AUTHORIZED)
    return "the camera refuses this user and password";
  if (error.domain == GST_RESOURCE_ERROR && error.code == GST_RESOURCE_ERROR_NOT_FOUND)
    return "there is nothing of this name on the camera";
  if (error.domain == GST_RESOURCE_ERROR && error.code == GST_RESOURCE_ERROR_OPEN_READ_WRITE)
    return "cannot be reached";
  return GstInput::explain(error);
}

namespace {

Result<std::unique_ptr<Source>> create(const ParamSet& set, const SourceContext& context) {
  RtspParams params = set.as<RtspParams>();
  auto url = stream_url(params, context);
  if (!url) return forward_error(url);
  static constexpr std::array schemes = {"rtsp", "rtsps", "rtspt", "rtspu"};
  if (!std::ranges::contains(schemes, url->scheme()))
    return fail(ErrorCode::invalid_argument, "{}: url: '{}' is no protocol of RTSP; one of: rtsp, rtsps",
                context.name, url->scheme());
  if (url->scheme() != "rtsps")
    if (Status used = refuse_unused_tls(params, context.name, "rtsps"); !used) return forward_error(used);
  if (Status ready = init_gst(); !ready) return forward_error(ready);
  if (params.source_id.empty()) params.source_id = source_id_of(url->shown());
  if (Status valid = check_source_id(params.source_id); !valid) return forward_error(valid);
  auto settings =
      std::make_shared<RtspSettings>(RtspSettings{.url = std::move(*url),
                                                  .transport = params.transport,
                                                  .latency_ms = params.latency,
                                                  .rtcp_clock = params.clock == RtspParams::Clock::rtcp,
                                                  .tls = params});
  for (std::string TlsParams::* file : {&TlsParams::tls_ca, &TlsParams::tls_cert, &TlsParams::tls_key})
    settings->tls.*file = path_from(context.folder, settings->tls.*file);
  hide_in_debug_output(settings->url);
  return std::make_unique<LiveSource>(params, [settings] { return std::make_shared<RtspInput>(settings); });
}

const ModuleSource registration("rtsp", &create);

}  // namespace
}  // namespace sightglass::adapters
