// An RTSP connection: rtspsrc, and behind it what unpacks and parses its video. Nothing is decoded.
#pragma once

#include <gio/gio.h>

#include <atomic>
#include <memory>
#include <string>

#include "sightglass/adapters/gst/gst_input.h"
#include "sightglass/adapters/sources/live/rtsp_params.h"

namespace sightglass::adapters {

struct RtspSettings {
  StreamUrl url;
  RtspParams::Transport transport = RtspParams::Transport::tcp;
  unsigned latency_ms = 200;
  bool rtcp_clock = true;
  TlsParams tls;  // with paths that can be opened
};

class RtspInput final : public GstInput {
 public:
  explicit RtspInput(std::shared_ptr<const RtspSettings> settings);

 private:
  // What GStreamer's threads use, which may outlive the input for a while.
  struct Shared {
    std::atomic<int64_t> clock_offset = no_offset;  // ns from times of buffers to 1970
    static constexpr int64_t no_offset = INT64_MIN;
    GstBin* pipeline = nullptr;
    GstElement* sink = nullptr;
    std::string server_name, host;
  };

  Status build(GstBin* pipeline, GstElement* sink) override;
  std::optional<int64_t> captured_us(GstClockTime pts) override;
  std::string explain(const GError& error) const override;
  Status set_tls(GstElement* source);

  static gboolean on_stream(GstElement* source, guint number, GstCaps* caps, gpointer data);
  static void on_pad(GstElement* source, GstPad* pad, gpointer data);
  static gboolean on_certificate(GstElement* source, GTlsConnection* connection, GTlsCertificate* certificate,
                                 GTlsCertificateFlags errors, gpointer data);
  static GstPadProbeReturn on_buffer(GstPad* pad, GstPadProbeInfo* info, gpointer data);

  const std::shared_ptr<const RtspSettings> settings_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace sightglass::adapters
