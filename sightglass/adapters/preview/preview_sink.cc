// The latest picture of each stream, at a constant rate, for players: whatever the stream does, they see a
// picture, of the stream or one that stands for it. Nothing is decoded or encoded that nobody looks at.
#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "sightglass/adapters/module_adapter.h"
#include "sightglass/adapters/preview/preview_params.h"
#include "sightglass/adapters/preview/rtsp_outputs.h"
#include "sightglass/adapters/screen/canvas.h"
#include "sightglass/adapters/screen/live_picture.h"
#include "sightglass/adapters/screen/picture_size.h"
#include "sightglass/adapters/sources/source_names.h"
#include "sightglass/adapters/tls_params.h"

namespace sightglass::adapters {
namespace {

class PreviewSink final : public Sink {
 public:
  PreviewSink(PreviewParams params, RtspOutputs::Options options, int width, int height)
      : params_(std::move(params)), options_(std::move(options)), width_(width), height_(height) {}
  ~PreviewSink() override { stop(); }

  static Result<std::unique_ptr<Sink>> create(const ParamSet& set, const SinkContext& context) {
    if (Status ready = init_gstreamer(); !ready) return forward_error(ready);
    PreviewParams params = set.as<PreviewParams>();
    auto size = parse_picture_size(params.size);
    if (!size) return forward_error(size);
    for (const std::string& id : params.sources)
      if (Status valid = check_source_id(id); !valid) return forward_error(valid);
    const size_t colon = params.bind.rfind(':');
    int port = -1;
    if (colon != params.bind.npos)
      (void)std::from_chars(params.bind.data() + colon + 1, params.bind.data() + params.bind.size(), port);
    if (port < 0 || port > 65535)
      return fail(ErrorCode::invalid_argument, "{}: bind: '{}' is not HOST:PORT", context.name, params.bind);
    if (params.tls_cert.empty() != params.tls_key.empty())
      return fail(ErrorCode::invalid_argument, "{}: tls-cert and tls-key go together", context.name);
    if (params.user.empty() != params.password_file.empty())
      return fail(ErrorCode::invalid_argument, "{}: user and password-file go together", context.name);
    std::string host = params.bind.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    bool has_rtsp = false, has_hls = false;
    for (const std::string& protocol : params.protocols) {
      if (protocol != "rtsp" && protocol != "hls")
        return fail(ErrorCode::invalid_argument, "{}: protocols: '{}' is neither rtsp nor hls", context.name,
                    protocol);
      (protocol == "rtsp" ? has_rtsp : has_hls) = true;
    }
    RtspOutputs::Options options{.has_rtsp = has_rtsp,
                                 .host = host.empty() ? "0.0.0.0" : host,
                                 .port = std::to_string(port),
                                 .user = params.user,
                                 .password = {},
                                 .tls_cert = path_from(context.folder, params.tls_cert),
                                 .tls_key = path_from(context.folder, params.tls_key),
                                 .hls_folder = has_hls ? path_from(context.folder, params.hls_folder) : "",
                                 .bitrate = params.bitrate,
                                 .fps = params.fps};
    if (!params.user.empty()) {
      auto password = read_secret(context.folder, params.password_file, "password-file");
      if (!password) return forward_error(password);
      options.password = std::move(*password);
    }
    if (context.require_auth && params.user.empty() && host != "127.0.0.1" && host != "localhost" &&
        host != "::1")
      return fail(ErrorCode::invalid_argument, "{}: bind: {} needs a user: require_auth is set", context.name,
                  params.bind);
    return std::make_unique<PreviewSink>(std::move(params), std::move(options), size->first, size->second);
  }

  Status start() override {
    auto outputs = RtspOutputs::open(options_);
    if (!outputs) return forward_error(outputs);
    outputs_ = std::move(*outputs);
    for (const std::string& id : params_.sources)
      if (auto added = channel(id); !added) return forward_error(added);
    ticker_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
    return {};
  }

  Status write(std::span<const RecordRef> records, std::span<Stored> outcome) override {
    refusal_.clear();
    forget_ended();
    for (size_t i = 0; i < records.size(); ++i) {
      const Record& record = *records[i];
      if (record.kind != RecordKind::frame && record.kind != RecordKind::end_of_stream) continue;
      if (record.is_replay || (record.kind == RecordKind::frame && record.payload.bytes.empty())) continue;
      auto place = channel(record.source_id);
      if (!place) {
        // One that is too many is no reason to show none.
        outcome[i] = Stored::never;
        refusal_ = place.error().message;
        continue;
      }
      Channel& to = **place;
      to.ended_ns = record.kind == RecordKind::end_of_stream ? steady_ns() : 0;
      if (!outputs_->is_watched(record.source_id)) {
        if (to.is_decoding) to.live.reset(), to.is_decoding = false;
        continue;
      }
      to.is_decoding = true;
      if (Status shown = to.live.push(record); !shown) outcome[i] = Stored::never;
    }
    return {};
  }
  std::string refusal() const override { return refusal_; }

  void stop() override {
    ticker_ = {};
    outputs_.reset();
    const std::lock_guard lock(mutex_);
    channels_.clear();
  }
  void cancel() override {
    const std::lock_guard lock(mutex_);
    for (auto& [id, channel] : channels_) channel->live.cancel();
  }

 private:
  struct Channel {
    Channel(int width, int height) : live({}), canvas(width, height) {}
    LivePicture live;
    bool is_decoding = false;  // of the sink's thread, as the next; the rest is the ticker's
    int64_t ended_ns = 0;      // when its stream ended; 0: it has not
    Canvas canvas;
    SamplePtr stub, shown;
  };

  // Of those whose streams have ended: nobody watches them, and what they have shown is old.
  void forget_ended() {
    const int64_t oldest = steady_ns() - int64_t(params_.max_delay * 1e9);
    std::vector<std::unique_ptr<Channel>> gone;  // ends without the mutex
    const std::lock_guard lock(mutex_);
    for (auto each = channels_.begin(); each != channels_.end();) {
      const auto& [id, channel] = *each;
      if (!channel->ended_ns || channel->ended_ns > oldest || std::ranges::contains(params_.sources, id) ||
          !outputs_->remove_unwatched(id)) {
        ++each;
        continue;
      }
      gone.push_back(std::move(each->second));
      each = channels_.erase(each);
    }
  }

  // Added by one thread at a time: that of start(), then that of write().
  Result<Channel*> channel(const std::string& id) {
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = channels_.find(id); found != channels_.end()) return found->second.get();
    }
    auto made = std::make_unique<Channel>(width_, height_);
    auto stub = stub_picture(width_, height_, id);
    if (!stub) return forward_error(stub);
    const std::lock_guard lock(mutex_);
    if (channels_.size() >= most_channels)
      return fail(ErrorCode::exhausted, "{}: there are {} previews already", id, most_channels);
    made->stub = std::move(*stub);
    GstCaps* const caps = made->canvas.caps(int(params_.fps * 1000), 1000);
    Status added = outputs_->add(id, *caps);
    gst_caps_unref(caps);
    if (!added) return forward_error(added);
    return channels_.emplace(id, std::move(made)).first->second.get();
  }

  void run(const std::stop_token& stop) {
    const auto step = std::chrono::nanoseconds(int64_t(1e9 / params_.fps));
    auto due = std::chrono::steady_clock::now();
    std::mutex mutex;
    std::condition_variable_any stopped;
    while (!stop.stop_requested()) {
      {
        const std::lock_guard lock(mutex_);
        for (auto& [id, channel] : channels_)
          if (outputs_->is_watched(id)) show(id, *channel);
      }
      due = std::max(due + step, std::chrono::steady_clock::now() - step);
      std::unique_lock lock(mutex);
      stopped.wait_until(lock, stop, due, [] { return false; });
    }
  }

  void show(const std::string& id, Channel& channel) {
    const int64_t oldest = steady_ns() - int64_t(params_.max_delay * 1e9);
    SamplePtr picture = channel.live.latest(oldest);
    if (!picture) picture.reset(gst_sample_ref(channel.stub.get()));
    if (picture != channel.shown) {
      const bool was_stub = channel.shown == channel.stub, is_stub = picture == channel.stub;
      // What the one does not cover would be seen beside the other.
      if (!channel.shown || was_stub != is_stub) channel.canvas.clear();
      channel.canvas.draw(is_stub ? "stub" : "live", *picture, {0, 0, width_, height_});
      channel.shown = std::move(picture);
    }
    GstBuffer* const buffer = channel.canvas.buffer();
    outputs_->push(id, *buffer);
    gst_buffer_unref(buffer);
  }

  static constexpr size_t most_channels = 1024;
  const PreviewParams params_;
  const RtspOutputs::Options options_;
  const int width_, height_;
  std::unique_ptr<RtspOutputs> outputs_;
  std::string refusal_;
  std::mutex mutex_;  // of the list; the sink's thread alone changes it
  std::map<std::string, std::unique_ptr<Channel>> channels_;
  std::jthread ticker_;
};

const ModuleSink registration("preview", &PreviewSink::create);

}  // namespace
}  // namespace sightglass::adapters
