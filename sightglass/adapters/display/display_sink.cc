// Windows with the latest picture of each stream.
#include <gst/app/gstappsrc.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "sightglass/adapters/display/display_params.h"
#include "sightglass/adapters/module_adapter.h"
#include "sightglass/adapters/screen/canvas.h"
#include "sightglass/adapters/screen/live_picture.h"
#include "sightglass/adapters/screen/picture_size.h"

namespace sightglass::adapters {
namespace {

// A window, fed with whole pictures.
class Window {
 public:
  static Result<std::unique_ptr<Window>> open(const Canvas& canvas, double fps, const std::string& title) {
    GError* error = nullptr;
    ElementPtr pipeline(
        gst_parse_launch("appsrc name=pictures is-live=true format=time do-timestamp=true "
                         "max-buffers=2 leaky-type=downstream ! videoconvert ! "
                         "autovideosink name=window sync=false",
                         &error));
    if (!pipeline || error) {
      const std::string reason = error ? error->message : "no reason is given";
      g_clear_error(&error);
      return fail(ErrorCode::unavailable, "no window can be opened: {}", reason);
    }
    gst_object_ref_sink(pipeline.get());
    auto window = std::make_unique<Window>();
    window->input_.reset(gst_bin_get_by_name(GST_BIN(pipeline.get()), "pictures"));
    GstCaps* const caps = canvas.caps(int(fps * 1000), 1000);
    g_object_set(window->input_.get(), "caps", caps, nullptr);
    gst_caps_unref(caps);
    // Sinks that can show a title take it from the stream's tags.
    GstTagList* const tags = gst_tag_list_new(GST_TAG_TITLE, title.c_str(), nullptr);
    window->pipeline_ = std::move(pipeline);
    const auto state = gst_element_set_state(window->pipeline_.get(), GST_STATE_PLAYING);
    gst_element_send_event(window->pipeline_.get(), gst_event_new_tag(tags));
    if (state == GST_STATE_CHANGE_FAILURE) return std::unexpected(window->failure().error());
    return window;
  }
  ~Window() {
    if (pipeline_) gst_element_set_state(pipeline_.get(), GST_STATE_NULL);
  }

  void show(const Canvas& canvas) {
    GstBuffer* const picture = canvas.buffer();
    GstBuffer* const own = gst_buffer_copy(picture);
    gst_buffer_unref(picture);
    gst_app_src_push_buffer(GST_APP_SRC(input_.get()), own);
  }
  // Closed by somebody, or a display that is gone.
  Status failure() const {
    GstBus* const bus = gst_element_get_bus(pipeline_.get());
    GstMessage* const message = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);
    gst_object_unref(bus);
    if (!message) return fail(ErrorCode::unavailable, "no window can be opened: is there a display?");
    GError* error = nullptr;
    gst_message_parse_error(message, &error, nullptr);
    const std::string reason = error ? error->message : "";
    g_clear_error(&error);
    gst_message_unref(message);
    return fail(ErrorCode::unavailable, "the window is gone: {}", reason);
  }
  bool has_failed() const {
    GstBus* const bus = gst_element_get_bus(pipeline_.get());
    GstMessage* const message = gst_bus_peek(bus);
    const bool failed = message && GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR;
    if (message && !failed) {
      GstMessage* const seen = gst_bus_pop(bus);
      if (seen) gst_message_unref(seen);
    }
    if (message) gst_message_unref(message);
    gst_object_unref(bus);
    return failed;
  }

 private:
  ElementPtr pipeline_, input_;
};

class DisplaySink final : public Sink {
 public:
  DisplaySink(DisplayParams params, int width, int height)
      : params_(std::move(params)), width_(width), height_(height) {}
  ~DisplaySink() override { stop(); }

  static Result<std::unique_ptr<Sink>> create(const ParamSet& set, const SinkContext&) {
    if (Status ready = init_gstreamer(); !ready) return forward_error(ready);
    const DisplayParams& params = set.as<DisplayParams>();
    auto size = parse_picture_size(params.size);
    if (!size) return forward_error(size);
    return std::make_unique<DisplaySink>(params, size->first, size->second);
  }

  Status start() override {
    if (params_.mosaic)
      if (auto opened = open_window(""); !opened) return opened;
    ticker_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
    return {};
  }

  Status write(std::span<const RecordRef> records, std::span<Stored> outcome) override {
    {
      const std::lock_guard lock(mutex_);
      if (!failed_) return failed_;
    }
    forget_ended();
    for (size_t i = 0; i < records.size(); ++i) {
      const Record& record = *records[i];
      if (record.kind != RecordKind::frame && record.kind != RecordKind::end_of_stream) continue;
      if (record.is_replay || (record.kind == RecordKind::frame && record.payload.bytes.empty())) continue;
      if (record.kind == RecordKind::end_of_stream)
        ended_[record.source_id] = steady_ns();
      else
        ended_.erase(record.source_id);
      if (Status shown = live(record.source_id).push(record); !shown) outcome[i] = Stored::never;
    }
    return {};
  }

  void stop() override {
    ticker_ = {};
    const std::lock_guard lock(mutex_);
    windows_.clear();
    streams_.clear();
  }
  void cancel() override {
    const std::lock_guard lock(mutex_);
    is_cancelled_ = true;
    for (auto& [id, stream] : streams_) stream->cancel();
  }

 private:
  struct Pane {
    Pane(int width, int height) : canvas(width, height) {}
    Canvas canvas;
    std::unique_ptr<Window> window;
    std::map<std::string, SamplePtr> shown;
    std::vector<std::string> layout;
  };

  LivePicture& live(const std::string& id) {
    const std::lock_guard lock(mutex_);
    auto& stream = streams_[id];
    if (!stream) {
      stream = std::make_unique<LivePicture>(LivePicture::Options{.by_clock = params_.sync});
      if (is_cancelled_) stream->cancel();
    }
    return *stream;
  }

  // Of those whose last picture is not shown any more.
  void forget_ended() {
    const int64_t oldest = steady_ns() - int64_t(params_.linger * 1e9);
    std::vector<std::unique_ptr<LivePicture>> gone;  // ends without the mutex
    const std::lock_guard lock(mutex_);
    std::erase_if(ended_, [&](const auto& each) {
      if (each.second > oldest) return false;
      if (const auto stream = streams_.find(each.first); stream != streams_.end()) {
        gone.push_back(std::move(stream->second));
        streams_.erase(stream);
      }
      return true;
    });
  }

  Status open_window(const std::string& id) {
    auto pane = std::make_unique<Pane>(width_, height_);
    auto window =
        Window::open(pane->canvas, params_.fps, id.empty() ? params_.title : params_.title + ": " + id);
    if (!window) return forward_error(window);
    pane->window = std::move(*window);
    const std::lock_guard lock(mutex_);
    windows_.emplace(id, std::move(pane));
    return {};
  }

  void run(const std::stop_token& stop) {
    const auto step = std::chrono::nanoseconds(int64_t(1e9 / params_.fps));
    auto due = std::chrono::steady_clock::now();
    std::mutex mutex;
    std::condition_variable_any stopped;
    while (!stop.stop_requested()) {
      if (Status drawn = draw(); !drawn) {
        const std::lock_guard lock(mutex_);
        failed_ = drawn;
        return;
      }
      due = std::max(due + step, std::chrono::steady_clock::now() - step);
      std::unique_lock lock(mutex);
      stopped.wait_until(lock, stop, due, [] { return false; });
    }
  }

  Status draw() {
    std::map<std::string, SamplePtr> pictures;
    const int64_t oldest = steady_ns() - int64_t(params_.linger * 1e9);
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [id, stream] : streams_)
        if (SamplePtr picture = stream->latest(oldest)) pictures.emplace(id, std::move(picture));
    }
    if (params_.mosaic) return draw(*windows_.at(""), std::move(pictures));
    std::erase_if(windows_, [&](const auto& each) { return !pictures.contains(each.first); });
    for (auto& [id, picture] : pictures) {
      if (!windows_.contains(id))
        if (Status opened = open_window(id); !opened) return opened;
      std::map<std::string, SamplePtr> one;
      one.emplace(id, std::move(picture));
      if (Status drawn = draw(*windows_.at(id), std::move(one)); !drawn) return drawn;
    }
    return {};
  }

  Status draw(Pane& pane, std::map<std::string, SamplePtr> pictures) {
    if (pane.window->has_failed()) return pane.window->failure();
    std::vector<std::string> layout;
    for (const auto& [id, picture] : pictures) layout.push_back(id);
    const bool is_new = layout != pane.layout;
    if (is_new) pane.canvas.clear(), pane.layout = layout;
    const int columns = std::max(1, int(std::ceil(std::sqrt(double(layout.size())))));
    const int rows = std::max(1, (int(layout.size()) + columns - 1) / columns);
    const int width = (width_ / columns) & ~1, height = (height_ / rows) & ~1;
    for (int n = 0; n < int(layout.size()); ++n) {
      SamplePtr& picture = pictures[layout[size_t(n)]];
      if (is_new || picture != pane.shown[layout[size_t(n)]])
        pane.canvas.draw(layout[size_t(n)], *picture,
                         {n % columns * width, n / columns * height, width, height});
    }
    pane.shown = std::move(pictures);
    pane.window->show(pane.canvas);
    return {};
  }

  const DisplayParams params_;
  const int width_, height_;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<LivePicture>> streams_;
  std::map<std::string, std::unique_ptr<Pane>> windows_;  // changed by the ticker; "": the mosaic
  std::map<std::string, int64_t> ended_;                  // when; of the sink's thread
  bool is_cancelled_ = false;
  Status failed_;
  std::jthread ticker_;
};

const ModuleSink registration("display", &DisplaySink::create);

}  // namespace
}  // namespace sightglass::adapters
