// A camera for tests: an RTSP server with moving test pictures at /live, one encoder for all clients.
//
//   rtsp_server [--port 0] [--codec h264|hevc|mjpeg] [--size 320x240] [--rate 25] [--gop 25]
//               [--user NAME --password TEXT] [--cert FILE --key FILE] [--broken-sei]
//
// Prints "listening HOST PORT 0" when it is ready, and ends when its standard input does.
#include <gst/gst.h>
#include <gst/rtsp-server/rtsp-server.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <format>
#include <map>
#include <string>
#include <string_view>

namespace {

std::map<std::string, std::string, std::less<>> read_options(int argc, char** argv) {
  std::map<std::string, std::string, std::less<>> options{
      {"port", "0"}, {"codec", "h264"}, {"size", "320x240"}, {"rate", "25"}, {"gop", "25"},
      {"user", ""},  {"password", ""},  {"cert", ""},        {"key", ""},    {"broken-sei", ""}};
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = std::string_view(argv[i]).substr(2);
    const auto option = options.find(name);
    if (!std::string_view(argv[i]).starts_with("--") || option == options.end()) {
      std::fprintf(stderr, "no option %s\n", argv[i]);
      std::exit(2);
    }
    option->second = name == "broken-sei" ? "yes" : i + 1 < argc ? argv[++i] : "";
  }
  return options;
}

std::string pipeline(const std::map<std::string, std::string, std::less<>>& options) {
  const std::string& size = options.at("size");
  const size_t x = size.find('x');
  const std::string gop = options.at("gop"), codec = options.at("codec");
  std::string text = std::format(
      "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width={},height={},framerate={}/1 "
      "! ",
      size.substr(0, x), size.substr(x + 1), options.at("rate"));
  if (codec == "mjpeg")
    text += "jpegenc ! rtpjpegpay name=pay0 pt=26 )";
  else if (codec == "hevc")
    text += std::format(
        "x265enc tune=zerolatency speed-preset=ultrafast bitrate=300 key-int-max={} ! h265parse ! "
        "rtph265pay name=pay0 pt=96 )",
        gop);
  else
    text += std::format(
        "x264enc tune=zerolatency speed-preset=ultrafast threads=1 bitrate=300 key-int-max={} ! "
        "video/x-h264,profile=baseline,stream-format=byte-stream ! rtph264pay name=pay0 pt=96 "
        "config-interval=0 )",
        gop);
  return text;
}

// A SEI whose payload claims to be longer than it is, in front of every picture.
GstPadProbeReturn break_sei(GstPad*, GstPadProbeInfo* info, gpointer) {
  static constexpr guint8 sei[] = {0, 0, 0, 1, 6, 5, 0xff, 0xff, 0xff, 0x7f, 0x11, 0x22, 0x80};
  GstMemory* memory = gst_memory_new_wrapped(GST_MEMORY_FLAG_READONLY, const_cast<guint8*>(sei), sizeof sei,
                                             0, sizeof sei, nullptr, nullptr);
  GstBuffer* buffer = gst_buffer_make_writable(GST_PAD_PROBE_INFO_BUFFER(info));
  gst_buffer_prepend_memory(buffer, memory);
  info->data = buffer;
  return GST_PAD_PROBE_OK;
}

void on_media(GstRTSPMediaFactory*, GstRTSPMedia* media, gpointer) {
  GstElement* bin = gst_rtsp_media_get_element(media);
  GstElement* payloader = gst_bin_get_by_name(GST_BIN(bin), "pay0");
  GstPad* pad = gst_element_get_static_pad(payloader, "sink");
  gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, &break_sei, nullptr, nullptr);
  gst_object_unref(pad);
  gst_object_unref(payloader);
  gst_object_unref(bin);
}

gboolean on_input(GIOChannel*, GIOCondition, gpointer loop) {
  g_main_loop_quit(static_cast<GMainLoop*>(loop));
  return G_SOURCE_REMOVE;
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = read_options(argc, argv);
  gst_init(nullptr, nullptr);
  GMainLoop* loop = g_main_loop_new(nullptr, FALSE);
  GstRTSPServer* server = gst_rtsp_server_new();
  gst_rtsp_server_set_address(server, "127.0.0.1");
  gst_rtsp_server_set_service(server, options.at("port").c_str());
  gst_rtsp_server_set_backlog(server, 256);

  GstRTSPMediaFactory* factory = gst_rtsp_media_factory_new();
  gst_rtsp_media_factory_set_launch(factory, pipeline(options).c_str());
  gst_rtsp_media_factory_set_shared(factory, TRUE);
  if (!options.at("broken-sei").empty())
    g_signal_connect(factory, "media-configure", G_CALLBACK(&on_media), nullptr);

  if (!options.at("user").empty() || !options.at("cert").empty()) {
    GstRTSPAuth* auth = gst_rtsp_auth_new();
    if (!options.at("cert").empty()) {
      GError* error = nullptr;
      GTlsCertificate* certificate =
          g_tls_certificate_new_from_files(options.at("cert").c_str(), options.at("key").c_str(), &error);
      if (!certificate) {
        std::fprintf(stderr, "%s\n", error->message);
        return 2;
      }
      gst_rtsp_auth_set_tls_certificate(auth, certificate);
      g_object_unref(certificate);
    }
    GstRTSPToken* token =
        gst_rtsp_token_new(GST_RTSP_TOKEN_MEDIA_FACTORY_ROLE, G_TYPE_STRING, "viewer", nullptr);
    if (options.at("user").empty()) {
      gst_rtsp_auth_set_default_token(auth, token);
    } else {
      char* basic = gst_rtsp_auth_make_basic(options.at("user").c_str(), options.at("password").c_str());
      gst_rtsp_auth_add_basic(auth, basic, token);
      g_free(basic);
    }
    gst_rtsp_token_unref(token);
    gst_rtsp_media_factory_add_role(factory, "viewer", GST_RTSP_PERM_MEDIA_FACTORY_ACCESS, G_TYPE_BOOLEAN,
                                    TRUE, GST_RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, G_TYPE_BOOLEAN, TRUE,
                                    nullptr);
    gst_rtsp_server_set_auth(server, auth);
    g_object_unref(auth);
  }

  GstRTSPMountPoints* mounts = gst_rtsp_server_get_mount_points(server);
  gst_rtsp_mount_points_add_factory(mounts, "/live", factory);
  g_object_unref(mounts);
  if (gst_rtsp_server_attach(server, nullptr) == 0) {
    std::fprintf(stderr, "port %s cannot be used\n", options.at("port").c_str());
    return 2;
  }
  std::printf("listening 127.0.0.1 %d 0\n", gst_rtsp_server_get_bound_port(server));
  std::fflush(stdout);
  GIOChannel* input = g_io_channel_unix_new(0);
  g_io_add_watch(input, GIOCondition(G_IO_HUP | G_IO_ERR | G_IO_NVAL), &on_input, loop);
  g_main_loop_run(loop);
  return 0;
}
