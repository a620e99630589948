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

// Units of this many wait for a viewer; then the viewer goes on at a keyframe.
constexpr guint64 most_waiting = 256;
// Of the group that is kept for those who come.
constexpr size_t most_units = 1024, most_bytes = size_t(16) << 20;

constexpr const char* input = "appsrc name=units is-live=true format=time do-timestamp=true block=false";

struct UnrefBuffer {
  void operator()(GstBuffer* buffer) const { gst_buffer_unref(buffer); }
};
using BufferPtr = std::unique_ptr<GstBuffer, UnrefBuffer>;

// Where the units of one stream go: medias that are watched, and HLS. Medias hold it too, and may outlive
// the server by a moment.
struct Output {
  struct Input {
    ElementPtr element;
    bool needs_group = true, needs_key = true;
  };

  void push(GstBuffer& unit) {
    const bool is_key = !GST_BUFFER_FLAG_IS_SET(&unit, GST_BUFFER_FLAG_DELTA_UNIT);
    if (is_key) group.clear(), group_bytes = 0, has_group = true;
    if (group.size() >= most_units || group_bytes + gst_buffer_get_size(&unit) > most_bytes)
      group.clear(), group_bytes = 0, has_group = false;
    if (has_group) {
      group.emplace_back(gst_buffer_ref(&unit));
      group_bytes += gst_buffer_get_size(&unit);
    }
    for (Input& to : inputs) {
      auto* const source = GST_APP_SRC(to.element.get());
      if (std::exchange(to.needs_group, false) && has_group) {
        // Whoever comes in the middle of a group gets it from its beginning.
        for (const BufferPtr& each : group) give(source, *each);
        to.needs_key = false;
        continue;
      }
      if (gst_app_src_get_current_level_buffers(source) > most_waiting) to.needs_key = true;
      if (to.needs_key && !is_key) continue;
      to.needs_key = false;
      give(source, unit);
    }
  }

  std::mutex mutex;
  std::vector<Input> inputs;
  ElementPtr hls;

 private:
  static void give(GstAppSrc* to, GstBuffer& unit) {
    // Its own times, the same bytes.
    GstBuffer* const buffer = gst_buffer_copy(&unit);
    GST_BUFFER_PTS(buffer) = GST_BUFFER_DTS(buffer) = GST_CLOCK_TIME_NONE;
    gst_app_src_push_buffer(to, buffer);
  }

  std::vector<BufferPtr> group;  // a keyframe and what follows it
  size_t group_bytes = 0;
  bool has_group = false;
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
  std::erase_if(output->inputs, [&](const Output::Input& each) { return each.element.get() == gone; });
}

void configure(GstRTSPMediaFactory*, GstRTSPMedia* media, gpointer data) {
  const OutputRef& output = output_of(data);
  const ElementPtr element(gst_rtsp_media_get_element(media));
  ElementPtr units(gst_bin_get_by_name_recurse_up(GST_BIN(element.get()), "units"));
  if (!units) return;
  g_object_set_data(G_OBJECT(media), "sightglass-input", units.get());
  connect(media, "unprepared", G_CALLBACK(&unprepared), output);
  const std::lock_guard lock(output->mutex);
  output->inputs.push_back({.element = std::move(units)});
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

  const char* caps() const {
    return options.is_h264 ? "video/x-h264,stream-format=byte-stream,alignment=au" : "image/jpeg";
  }

  void mount(const std::string& id, const OutputRef& output) {
    GstRTSPMediaFactory* const factory = gst_rtsp_media_factory_new();
    gst_rtsp_media_factory_set_launch(
        factory, std::format("( {} caps={} ! {} name=pay0 pt=96 )", input, caps(),
                             options.is_h264 ? "h264parse ! rtph264pay config-interval=1" : "rtpjpegpay")
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
    if (!options.is_h264)
      return fail(ErrorCode::unavailable, "hls-folder: GStreamer has no encoder for H.264 here");
    ElementPtr pipeline(gst_parse_launch(
        std::format("{} caps={} ! h264parse ! hlssink2 name=files target-duration=2 max-files=10", input,
                    caps())
            .c_str(),
        nullptr));
    if (!pipeline) return fail(ErrorCode::unavailable, "hls-folder: GStreamer has no hlssink2 here");
    gst_object_ref_sink(pipeline.get());
    const ElementPtr files(gst_bin_get_by_name(GST_BIN(pipeline.get()), "files"));
    g_object_set(files.get(), "location", (folder / "%05d.ts").c_str(), "playlist-location",
                 (folder / "index.m3u8").c_str(), nullptr);
    ElementPtr units(gst_bin_get_by_name(GST_BIN(pipeline.get()), "units"));
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
    output.inputs.push_back({.element = std::move(units)});
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

Status RtspOutputs::add(const std::string& id) {
  const std::lock_guard lock(state_->mutex);
  auto& output = state_->outputs[id];
  if (output) return {};
  output = std::make_shared<Output>();
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

void RtspOutputs::push(const std::string& id, GstBuffer& unit) {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->outputs.find(id);
  if (found == state_->outputs.end()) return;
  const std::lock_guard of_output(found->second->mutex);
  found->second->push(unit);
}

}  // namespace sightglass::adapters
