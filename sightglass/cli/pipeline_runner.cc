#include "sightglass/cli/pipeline_runner.h"

#include <glib-unix.h>

#include <csignal>
#include <cstdlib>
#include <set>

#include "sightglass/cli/pipeline_text.h"

namespace sightglass::cli {
namespace {

constexpr guint tick_ms = 100;
constexpr int stop_ticks = 150;  // how long a stream may take to end after Ctrl-C

class Runner {
 public:
  Runner(GstElement* pipeline, FrameCounter& counter, Progress& progress, const RunOptions& options)
      : pipeline_(pipeline),
        counter_(counter),
        progress_(progress),
        options_(options),
        loop_(g_main_loop_new(nullptr, FALSE)) {}

  Outcome run() {
    auto* bus = gst_element_get_bus(pipeline_);
    gst_bus_add_watch(bus, on_message, this);
    const guint sources[] = {g_unix_signal_add(SIGINT, on_interrupt, this),
                             g_unix_signal_add(SIGTERM, on_terminate, this),
                             g_timeout_add(tick_ms, on_tick, this)};
    // An error of the change itself is on the bus.
    const auto change = gst_element_set_state(pipeline_, GST_STATE_PLAYING);
    if (change == GST_STATE_CHANGE_FAILURE && !gst_bus_have_pending(bus))
      outcome_.status = fail(ErrorCode::internal, "the pipeline does not start");
    else
      g_main_loop_run(loop_);
    progress_.clear();
    gst_element_set_state(pipeline_, GST_STATE_NULL);
    for (guint source : sources) g_source_remove(source);
    gst_bus_remove_watch(bus);
    late_messages(bus);
    gst_object_unref(bus);
    g_main_loop_unref(loop_);
    if (options_.on_tick) options_.on_tick();
    outcome_.totals = counter_.totals();
    return std::move(outcome_);
  }

 private:
  static gboolean on_message(GstBus*, GstMessage* message, gpointer self) {
    static_cast<Runner*>(self)->handle(message);
    return G_SOURCE_CONTINUE;
  }
  static gboolean on_interrupt(gpointer self) { return static_cast<Runner*>(self)->interrupt(SIGINT); }
  static gboolean on_terminate(gpointer self) { return static_cast<Runner*>(self)->interrupt(SIGTERM); }
  static gboolean on_tick(gpointer self) { return static_cast<Runner*>(self)->tick(); }

  void handle(GstMessage* message) {
    switch (GST_MESSAGE_TYPE(message)) {
      case GST_MESSAGE_EOS:
        g_main_loop_quit(loop_);
        break;
      case GST_MESSAGE_ERROR:
        set_error(message);
        break;
      case GST_MESSAGE_WARNING:
        warn(message);
        break;
      case GST_MESSAGE_LATENCY:
        gst_bin_recalculate_latency(GST_BIN(pipeline_));
        break;
      case GST_MESSAGE_CLOCK_LOST:
        gst_element_set_state(pipeline_, GST_STATE_PAUSED);
        gst_element_set_state(pipeline_, GST_STATE_PLAYING);
        break;
      default:
        break;
    }
  }

  // The first error is the cause; those that follow are its consequences.
  void set_error(GstMessage* message) {
    if (outcome_.status) {
      outcome_.status = std::unexpected(message_error(message));
      outcome_.failed_in = kind_of_child(GST_MESSAGE_SRC(message));
    }
    g_main_loop_quit(loop_);
  }

  // The kind of the pipeline's own element that the object is, or is part of.
  std::string kind_of_child(GstObject* object) {
    while (object && GST_OBJECT_PARENT(object) && GST_OBJECT_PARENT(object) != GST_OBJECT(pipeline_))
      object = GST_OBJECT_PARENT(object);
    auto* factory = object && GST_IS_ELEMENT(object) ? gst_element_get_factory(GST_ELEMENT(object)) : nullptr;
    return factory ? GST_OBJECT_NAME(factory) : "";
  }

  void warn(GstMessage* message) {
    std::string text = message_error(message).message;
    if (warned_.insert(text).second) progress_.note("warning: " + text);
  }

  // What elements say while they stop, for example that a file could not be finished.
  void late_messages(GstBus* bus) {
    while (auto* message =
               gst_bus_pop_filtered(bus, GstMessageType(GST_MESSAGE_ERROR | GST_MESSAGE_WARNING))) {
      if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR)
        set_error(message);
      else
        warn(message);
      gst_message_unref(message);
    }
  }

  gboolean interrupt(int signal) {
    if (outcome_.signal) {
      progress_.note("aborted");
      std::_Exit(128 + signal);
    }
    outcome_.signal = signal;
    progress_.note("stopping; press Ctrl-C again to abort");
    counter_.stop();
    // For sources that give no further frame. It may have to wait for the streaming threads, and this one
    // must not.
    gst_element_call_async(
        pipeline_,
        [](GstElement* pipeline, gpointer) { gst_element_send_event(pipeline, gst_event_new_eos()); },
        nullptr, nullptr);
    return G_SOURCE_CONTINUE;
  }

  gboolean tick() {
    if (outcome_.signal && ++ticks_since_stop_ > stop_ticks) {
      progress_.note("the pipeline does not end by itself and was stopped");
      g_main_loop_quit(loop_);
      return G_SOURCE_CONTINUE;
    }
    const Totals now = counter_.totals();
    if (duration_ <= 0 && now.frames > 0 && ticks_++ % 10 == 0) {
      gint64 duration = -1;
      if (gst_element_query_duration(pipeline_, GST_FORMAT_TIME, &duration) && duration > 0)
        duration_ = double(duration) / GST_SECOND;
    }
    if (options_.on_tick) options_.on_tick();
    if (now.frames > 0) {
      progress_.update({.position = now.position,
                        .duration = duration_,
                        .frames = now.frames,
                        .wanted_frames = options_.wanted_frames,
                        .fps = now.seconds > 0 ? double(now.frames) / now.seconds : 0,
                        .objects = now.objects,
                        .tracks = now.tracks});
    }
    return G_SOURCE_CONTINUE;
  }

  GstElement* pipeline_;
  FrameCounter& counter_;
  Progress& progress_;
  const RunOptions& options_;
  GMainLoop* loop_;
  Outcome outcome_;
  std::set<std::string> warned_;
  double duration_ = -1;
  int ticks_ = 0, ticks_since_stop_ = 0;
};

}  // namespace

Outcome run_pipeline(GstElement* pipeline, FrameCounter& counter, Progress& progress,
                     const RunOptions& options) {
  return Runner(pipeline, counter, progress, options).run();
}

void report(const Outcome& outcome, Progress& progress) {
  if (!outcome.status) progress.note("error: " + outcome.status.error().to_string());
}

}  // namespace sightglass::cli
