#include "sightglass/adapters/preview/rtsp_outputs.h"

#include <gst/app/gstappsrc.h>
#include <gst/rtsp-server/rtsp-server.h>

#include <algorithm>
#include <filesystem>
#include <format>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "sightglass/adapters/screen/live_picture.h"

namespace sightglass::adapters {
namespace {

bool has_element(const char* name) {
  GstElementFactory* const factory = gst_element_factory_find(name);
  if (!factory) return false;
  gst_object_unref(factory);
  return true;
}

// From raw pictures to what players take; without H.264 encoder as JPEG.
std::string encoder(unsigned bitrate, double fps, bool is_hls) {
  const int group = std::max(1, int(fps * 2));
  if (has_element("x264enc"))
    return std::format(
        "x264enc tune=zerolatency speed-preset=ultrafast key-int-max={} bitrate={} ! "
        "video/x-h264,profile=baseline",
        group, bitrate);
  if (has_element("openh264enc"))
    return std::format("openh264enc gop-size={} bitrate={} ! h264parse", group, bitrate * 1000);
  return is_hls ? "" : "jpegenc";
}

constexpr const char* input =
    "appsrc name=pictures is-live=true format=time do-timestamp=true block=false max-buffers=4 "
    "leaky-type=downstream";

// Where the pictures of one stream go: medias that are watched, and HLS. Medias hold it too, and may outlive
// the server by a moment.
struct Output {
  explicit Output(GstCaps* of) : caps(gst_caps_ref(of)) {}
  ~Output() { gst_caps_unref(caps); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  GstCaps* const caps;
  std::mutex mutex;
  std::vector<ElementPtr> inputs;
  ElementPtr hls;
};
using OutputRef = std::shared_ptr<Output>;

OutputRef& output_of(gpointer data) { return *static_cast<OutputRef*>(data); }

// The handler gets the output, which the object keeps.
void connect(gpointer object, const char* signal, GCallback handler, const OutputRef& output) {
  g_signal_connect_data(
      object, signal, handler, new OutputRef(output),
      [](gpointer data, GClosure*) { delete static_cast<OutputRef*>(data); }, GConnectFlags(0));
}

void unprepared(GstRTSPMedia* media, gpointer data) {
  const OutputRef& output = output_of(data);
  const void* const gone = g_object_get_data(G_OBJECT(media), "sightglass-input");
  const std::lock_guard lock(output->mutex);
  std::erase_if(output->inputs, [&](const ElementPtr& each) { return each.get() == gone; });
}

void configure(GstRTSPMediaFactory*, GstRTSPMedia* media, gpointer data) {
  const OutputRef& output = output_of(data);
  const ElementPtr element(gst_rtsp_media_get_element(media));
  ElementPtr pictures(gst_bin_get_by_name_recurse_up(GST_BIN(element.get()), "pictures"));
  if (!pictures) return;
  g_object_set(pictures.get(), "caps", output->caps, nullptr);
  g_object_set_data(G_OBJECT(media), "sightglass-input", pictures.get());
  connect(media, "unprepared", G_CALLBACK(&unprepared), output);
  const std::lock_guard lock(output->mutex);
  output->inputs.push_back(std::move(pictures));
}

}  // namespace

struct RtspOutputs::State {
  Options options;
  GMainContext* context = nullptr;
  GMainLoop* loop = nullptr;
  GstRTSPServer* server = nullptr;
  guint attached = 0;
  std::jthread thread;

  mutable std::mutex mutex;
  std::map<std::string, OutputRef> outputs;

  ~State() {
    if (thread.joinable()) {
      // From inside the loop: it may not have begun yet, and would not hear of it.
      GSource* const quit = g_idle_source_new();
      g_source_set_priority(quit, G_PRIORITY_HIGH);
      const auto end = [](gpointer data) -> gboolean {
        g_main_loop_quit(static_cast<GMainLoop*>(data));
        return G_SOURCE_REMOVE;
      };
      g_source_set_callback(quit, end, loop, nullptr);
      g_source_attach(quit, context);
      g_source_unref(quit);
      thread.join();
    }
    if (server) {
      const auto drop = [](GstRTSPServer*, GstRTSPClient*, gpointer) { return GST_RTSP_FILTER_REMOVE; };
      g_list_free_full(gst_rtsp_server_client_filter(server, drop, nullptr), g_object_unref);
    }
    for (auto& [id, output] : outputs)
      if (output->hls) gst_element_set_state(output->hls.get(), GST_STATE_NULL);
    if (attached) {
      GSource* const source = g_main_context_find_source_by_id(context, attached);
      if (source) g_source_destroy(source);
    }
    if (server) g_object_unref(server);
    if (loop) g_main_loop_unref(loop);
    if (context) g_main_context_unref(context);
  }

  Status protect() {
    if (options.user.empty() && options.tls_cert.empty()) return {};
    GstRTSPAuth* const auth = gst_rtsp_auth_new();
    Status status;
    if (!options.user.empty()) {
      GstRTSPToken* const viewer =
          gst_rtsp_token_new(GST_RTSP_TOKEN_MEDIA_FACTORY_ROLE, G_TYPE_STRING, "viewer", nullptr);
      gst_rtsp_auth_set_supported_methods(auth, GST_RTSP_AUTH_DIGEST);
      gst_rtsp_auth_add_digest(auth, options.user.c_str(), options.password.c_str(), viewer);
      gst_rtsp_token_unref(viewer);
    } else {
      GstRTSPToken* const anybody =
          gst_rtsp_token_new(GST_RTSP_TOKEN_MEDIA_FACTORY_ROLE, G_TYPE_STRING, "viewer", nullptr);
      gst_rtsp_auth_set_default_token(auth, anybody);
      gst_rtsp_token_unref(anybody);
    }
    if (!options.tls_cert.empty()) {
      GError* error = nullptr;
      GTlsCertificate* const certificate =
          g_tls_certificate_new_from_files(options.tls_cert.c_str(), options.tls_key.c_str(), &error);
      if (certificate) {
        gst_rtsp_auth_set_tls_certificate(auth, certificate);
        g_object_unref(certificate);
      } else {
        status = fail(ErrorCode::invalid_argument, "tls-cert: {}: {}", options.tls_cert, error->message);
        g_error_free(error);
      }
    }
    gst_rtsp_server_set_auth(server, auth);
    g_object_unref(auth);
    return status;
  }

  Status start() {
    if (!options.has_rtsp) return {};
    context = g_main_context_new();
    loop = g_main_loop_new(context, false);
    server = gst_rtsp_server_new();
    gst_rtsp_server_set_address(server, options.host.c_str());
    gst_rtsp_server_set_service(server, options.port.c_str());
    if (Status safe = protect(); !safe) return safe;
    attached = gst_rtsp_server_attach(server, context);
    if (attached == 0)
      return fail(ErrorCode::unavailable, "bind: {}:{} cannot be listened on", options.host, options.port);
    // Sessions of players that are gone without a word.
    GSource* const cleaner = g_timeout_source_new_seconds(5);
    const auto clean = [](gpointer data) -> gboolean {
      GstRTSPSessionPool* const pool = gst_rtsp_server_get_session_pool(static_cast<GstRTSPServer*>(data));
      gst_rtsp_session_pool_cleanup(pool);
      g_object_unref(pool);
      return G_SOURCE_CONTINUE;
    };
    g_source_set_callback(cleaner, clean, server, nullptr);
    g_source_attach(cleaner, context);
    g_source_unref(cleaner);
    thread = std::jthread([this] {
      g_main_context_push_thread_default(context);
      g_main_loop_run(loop);
      g_main_context_pop_thread_default(context);
    });
    return {};
  }

  void mount(const std::string& id, const OutputRef& output) {
    const std::string encoding = encoder(options.bitrate, options.fps, false);
    GstRTSPMediaFactory* const factory = gst_rtsp_media_factory_new();
    gst_rtsp_media_factory_set_launch(
        factory, std::format("( {} ! videoconvert ! {} ! {} name=pay0 pt=96 )", input, encoding,
                             encoding == "jpegenc" ? "rtpjpegpay" : "rtph264pay config-interval=1")
                     .c_str());
    gst_rtsp_media_factory_set_shared(factory, true);
    if (!options.user.empty() || !options.tls_cert.empty())
      gst_rtsp_media_factory_add_role(factory, "viewer", GST_RTSP_PERM_MEDIA_FACTORY_ACCESS, G_TYPE_BOOLEAN,
                                      TRUE, GST_RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, G_TYPE_BOOLEAN, TRUE,
                                      nullptr);
    connect(factory, "media-configure", G_CALLBACK(&configure), output);
    GstRTSPMountPoints* const mounts = gst_rtsp_server_get_mount_points(server);
    gst_rtsp_mount_points_add_factory(mounts, ("/" + id).c_str(), factory);
    g_object_unref(mounts);
  }

  Status start_hls(const std::string& id, Output& output) {
    std::error_code failed;
    const auto folder = std::filesystem::path(options.hls_folder) / id;
    std::filesystem::create_directories(folder, failed);
    if (failed) return fail(ErrorCode::io, "hls-folder: {}: {}", folder.string(), failed.message());
    const std::string encoding = encoder(options.bitrate, options.fps, true);
    if (encoding.empty() || !has_element("hlssink2"))
      return fail(ErrorCode::unavailable, "hls-folder: GStreamer has no {} here",
                  encoding.empty() ? "encoder for H.264" : "hlssink2");
    ElementPtr pipeline(gst_parse_launch(
        std::format("{} ! videoconvert ! {} ! h264parse ! hlssink2 name=files target-duration=2 max-files=10",
                    input, encoding)
            .c_str(),
        nullptr));
    gst_object_ref_sink(pipeline.get());
    const ElementPtr files(gst_bin_get_by_name(GST_BIN(pipeline.get()), "files"));
    g_object_set(files.get(), "location", (folder / "%05d.ts").c_str(), "playlist-location",
                 (folder / "index.m3u8").c_str(), nullptr);
    ElementPtr pictures(gst_bin_get_by_name(GST_BIN(pipeline.get()), "pictures"));
    g_object_set(pictures.get(), "caps", output.caps, nullptr);
    // Nobody reads its bus: nothing may gather there. What goes wrong is told to GStreamer's log.
    GstBus* const bus = gst_element_get_bus(pipeline.get());
    const auto note = [](GstBus*, GstMessage* message, gpointer) -> GstBusSyncReply {
      if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
        GError* error = nullptr;
        gst_message_parse_error(message, &error, nullptr);
        GST_ERROR_OBJECT(GST_MESSAGE_SRC(message), "HLS: %s", error ? error->message : "");
        g_clear_error(&error);
      }
      gst_message_unref(message);
      return GST_BUS_DROP;
    };
    gst_bus_set_sync_handler(bus, note, nullptr, nullptr);
    gst_object_unref(bus);
    gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
    const std::lock_guard lock(output.mutex);
    output.hls = std::move(pipeline);
    output.inputs.push_back(std::move(pictures));
    return {};
  }
};

RtspOutputs::RtspOutputs(std::unique_ptr<State> state) : state_(std::move(state)) {}
RtspOutputs::~RtspOutputs() = default;

Result<std::unique_ptr<RtspOutputs>> RtspOutputs::open(const Options& options) {
  auto state = std::make_unique<State>();
  state->options = options;
  if (Status started = state->start(); !started) return forward_error(started);
  return std::unique_ptr<RtspOutputs>(new RtspOutputs(std::move(state)));
}

Status RtspOutputs::add(const std::string& id, GstCaps& caps) {
  const std::lock_guard lock(state_->mutex);
  auto& output = state_->outputs[id];
  if (output) return {};
  output = std::make_shared<Output>(&caps);
  if (!state_->options.hls_folder.empty())
    if (Status started = state_->start_hls(id, *output); !started) {
      state_->outputs.erase(id);
      return started;
    }
  if (state_->server) state_->mount(id, output);
  return {};
}

bool RtspOutputs::remove_unwatched(const std::string& id) {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->outputs.find(id);
  if (found == state_->outputs.end()) return true;
  ElementPtr hls;
  {
    const std::lock_guard of_output(found->second->mutex);
    if (found->second->inputs.size() > (found->second->hls ? 1 : 0)) return false;
    found->second->inputs.clear();
    hls = std::move(found->second->hls);
  }
  if (hls) gst_element_set_state(hls.get(), GST_STATE_NULL);
  if (state_->server) {
    GstRTSPMountPoints* const mounts = gst_rtsp_server_get_mount_points(state_->server);
    gst_rtsp_mount_points_remove_factory(mounts, ("/" + id).c_str());
    g_object_unref(mounts);
  }
  state_->outputs.erase(found);
  return true;
}

bool RtspOutputs::is_watched(const std::string& id) const {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->outputs.find(id);
  if (found == state_->outputs.end()) return false;
  const std::lock_guard of_output(found->second->mutex);
  return !found->second->inputs.empty();
}

void RtspOutputs::push(const std::string& id, GstBuffer& picture) {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->outputs.find(id);
  if (found == state_->outputs.end()) return;
  const std::lock_guard of_output(found->second->mutex);
  for (const ElementPtr& to : found->second->inputs) {
    // Its own times, the same pixels.
    GstBuffer* const buffer = gst_buffer_copy(&picture);
    GST_BUFFER_PTS(buffer) = GST_BUFFER_DTS(buffer) = GST_CLOCK_TIME_NONE;
    gst_app_src_push_buffer(GST_APP_SRC(to.get()), buffer);
  }
}

}  // namespace sightglass::adapters
