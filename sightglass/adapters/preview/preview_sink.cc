// Each stream for players: whatever it does, they see a picture, of the stream or one that stands for it.
// H.264 is passed on as it comes, from a keyframe on; while there is none, and for other codecs, the latest
// picture is encoded at a constant rate. Nothing is decoded or encoded that nobody looks at.
#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "sightglass/adapters/module_adapter.h"
#include "sightglass/adapters/preview/frame_interval.h"
#include "sightglass/adapters/preview/picture_encoder.h"
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
                                 .is_h264 = PictureEncoder::makes_h264()};
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
      if (record.kind == RecordKind::stream_update) note_state(record);
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
      if (to.ended_ns)
        to.interval.pause();
      else
        to.interval.frame(steady_ns(), rate_of(record));
      to.patience_ns = to.interval.patience_ns();
      if (passes(to, record)) {
        if (to.is_decoding) to.live.reset(), to.is_decoding = false;
        continue;
      }
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
    {
      const std::lock_guard lock(mutex_);
      channels_.clear();  // their encoders write to the outputs
    }
    outputs_.reset();
  }
  void cancel() override {
    const std::lock_guard lock(mutex_);
    for (auto& [id, channel] : channels_) channel->live.cancel();
  }

 private:
  struct Channel {
    Channel(int width, int height, int64_t max_delay_ns)
        : live({}), interval(max_delay_ns), patience_ns(max_delay_ns), canvas(width, height) {}
    LivePicture live;
    // Of the sink's thread.
    bool is_decoding = false, waits_for_key = true, is_reordered = false;
    int64_t ended_ns = 0;  // when its stream ended; 0: it has not
    stream::Uuid last{};   // frame that was passed
    Time last_pts = no_time;
    FrameInterval interval;
    std::atomic<int64_t> patience_ns;  // of `interval`; for the ticker
    // Who writes to the output: the sink's thread, which passes the stream on, or the encoder.
    std::mutex gate;
    bool is_passing = false;
    bool is_encoder_old = false;  // what it makes would stand in the middle of the stream's own
    int64_t passed_ns = 0;        // steady clock, the last one
    // The ticker's.
    Canvas canvas;
    SamplePtr stub, shown;
    std::unique_ptr<PictureEncoder> encoder;
  };

  // Whether this frame goes, or would go, to players as it is.
  bool passes(Channel& to, const Record& record) {
    if (!params_.passthrough || !options_.is_h264) return false;
    if (record.kind == RecordKind::end_of_stream) {
      to.waits_for_key = true;
      to.is_reordered = false;
      return false;
    }
    const stream::VideoFrame& frame = *record.message->frame;
    // Players get frames when they come, which is no order to show them in when there are others between.
    if ((frame.dts && *frame.dts != frame.pts) ||
        (!record.keyframe && !to.waits_for_key && record.pts < to.last_pts))
      to.is_reordered = true;
    if (frame.codec.value_or("") != "h264" || to.is_reordered) {
      const std::lock_guard lock(to.gate);
      to.is_passing = false;
      to.waits_for_key = true;
      return false;
    }
    // What others refer to is missing: a queue was too short.
    if (!record.keyframe && frame.previous_frame && *frame.previous_frame != to.last) to.waits_for_key = true;
    to.last = record.uuid;
    to.last_pts = record.pts;
    GstBuffer* const unit = buffer_of(record);
    {
      const std::lock_guard lock(to.gate);
      // The ticker has put the other picture there: that of the stream comes back with a keyframe.
      if (record.keyframe)
        to.is_passing = true, to.is_encoder_old = true, to.waits_for_key = false;
      else if (!to.is_passing)
        to.waits_for_key = true;
      if (!to.waits_for_key) {
        to.passed_ns = steady_ns();
        outputs_->push(record.source_id, *unit);
      }
    }
    gst_buffer_unref(unit);
    return true;
  }

  int64_t max_delay_ns() const { return int64_t(params_.max_delay * 1e9); }

  static Fraction rate_of(const Record& record) {
    const auto& rate = record.message->frame->framerate;
    return rate ? Fraction{rate->num, rate->den} : Fraction{0, 1};
  }

  // A stream that says itself that nothing comes is not waited for.
  void note_state(const Record& record) {
    if (!record.message || !record.message->stream_update) return;
    using enum stream::StreamState;
    const stream::StreamState state = record.message->stream_update->state;
    if (state != stalled && state != ended && state != quarantined && state != rejected) return;
    const std::lock_guard lock(mutex_);
    const auto found = channels_.find(record.source_id);
    if (found == channels_.end()) return;
    Channel& to = *found->second;
    to.interval.pause();
    to.patience_ns = to.interval.patience_ns();
  }

  // Of those whose streams have ended: nobody watches them, and what they have shown is old.
  void forget_ended() {
    const int64_t oldest = steady_ns() - max_delay_ns();
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
    auto made = std::make_unique<Channel>(width_, height_, max_delay_ns());
    auto stub = stub_picture(width_, height_, id);
    if (!stub) return forward_error(stub);
    const std::lock_guard lock(mutex_);
    if (channels_.size() >= most_channels)
      return fail(ErrorCode::exhausted, "{}: there are {} previews already", id, most_channels);
    made->stub = std::move(*stub);
    if (Status added = outputs_->add(id); !added) return forward_error(added);
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
          if (outputs_->is_watched(id))
            show(id, *channel);
          else
            channel->encoder.reset();
      }
      due = std::max(due + step, std::chrono::steady_clock::now() - step);
      std::unique_lock lock(mutex);
      stopped.wait_until(lock, stop, due, [] { return false; });
    }
  }

  void show(const std::string& id, Channel& channel) {
    const int64_t oldest = steady_ns() - channel.patience_ns;
    bool is_passing = false, is_old = false;
    {
      const std::lock_guard lock(channel.gate);
      if (channel.is_passing && channel.passed_ns < oldest) channel.is_passing = false;
      is_passing = channel.is_passing;
      is_old = channel.is_encoder_old;
    }
    if (is_old) {
      channel.encoder.reset();  // its thread may wait at the gate
      channel.shown.reset();
      const std::lock_guard lock(channel.gate);
      channel.is_encoder_old = false;
    }
    if (is_passing) return;
    if (!channel.encoder) {
      GstCaps* const caps = channel.canvas.caps(int(params_.fps * 1000), 1000);
      channel.encoder = std::make_unique<PictureEncoder>(
          *caps, PictureEncoder::Options{.bitrate = params_.bitrate, .fps = params_.fps},
          [this, id, &channel](GstBuffer& unit) {
            const std::lock_guard lock(channel.gate);
            if (!channel.is_passing && !channel.is_encoder_old) outputs_->push(id, unit);
          });
      gst_caps_unref(caps);
    }
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
    channel.encoder->push(*buffer);
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
