#include "sightglass/module/stream_instance.h"

#include <gst/app/gstappsrc.h>
#include <gst/video/video.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <format>
#include <mutex>
#include <thread>

#include "sightglass/core/left_behind.h"
#include "sightglass/elements/selection/selector.h"
#include "sightglass/gst/batch/batch_stream.h"
#include "sightglass/gst/bins/stage.h"
#include "sightglass/gst/frame_probe.h"
#include "sightglass/gst/results.h"
#include "sightglass/memory/gst/handles.h"
#include "sightglass/module/decoder_table.h"
#include "sightglass/module/element_slot.h"
#include "sightglass/module/frame_trace.h"
#include "sightglass/module/output_branch.h"
#include "sightglass/module/picture_payload.h"
#include "sightglass/module/pipeline_plan.h"
#include "sightglass/module/queue_limits.h"
#include "sightglass/module/revision_switch.h"
#include "sightglass/module/ticket_table.h"

namespace sightglass::module {
namespace {

// In appsrc: enough to keep a decoder busy; the stream's own queue is in front of it.
constexpr unsigned most_waiting = 16;
constexpr uint64_t most_waiting_bytes = 64u << 20;
// Between push() and the end: far more than decoders, elements and queues hold of a stream that works.
constexpr size_t most_in_flight = 256;

gst::PadPtr pad_of(GstElement* element, const char* name) {
  return gst::PadPtr(gst_element_get_static_pad(element, name));
}

struct UnrefBus {
  void operator()(GstBus* bus) const { gst_object_unref(bus); }
};

// Everything that streaming threads use. Outlives the instance while a thread of it does not come back.
class Core {
 public:
  Core(std::shared_ptr<const PipelinePlan> plan, const InstanceOptions& options, InstanceEvents& events)
      : plan_(std::move(plan)),
        options_(options),
        events_(&events),
        tickets_(plan_->spec().output_frame.codec == "copy" && is_inter_codec(options.format.codec)
                     ? TicketTable::Order::bitstream
                     : TicketTable::Order::pictures,
                 events) {}

  Status build();
  StreamInstance::Push push(TicketRef ticket);
  Status set_format(const StreamFormat& format);
  void end();
  Status set_parameters(std::shared_ptr<const ParameterSet> parameters);
  void flush_batches();
  unsigned in_flight() const { return tickets_.in_flight(); }
  StreamInstance::Work oldest_work() const;
  void begin_stop();
  void run_to_null();
  bool wait_for_null(Time timeout);
  void forget_events();
  GstElement* pipeline() const { return pipeline_.get(); }

 private:
  Status add(const Stage& stage);
  Status connect(GstElement* first, GstElement* last);
  Status build_decoder(const DecoderChoice& choice);
  Status build_elements(const DecoderChoice& choice, const std::shared_ptr<const ResolvedSet>& set);
  void watch_source();
  GstBusSyncReply see_message(GstMessage* message);
  void see_error(GstMessage* message);
  void see_warning(GstMessage* message);
  Result<Verdict> decoded(Frame& frame);
  void attach_metadata(const Ticket& ticket, Frame& frame);
  void fail_with(FailureKind kind, std::string text, std::string element);
  template <class F>
  void tell(F&& f) {
    std::lock_guard lock(events_mutex_);
    if (events_) f(*events_);
  }
  GstBuffer* buffer_of(const Ticket& ticket, const stream::Payload& picture) const;

  const std::shared_ptr<const PipelinePlan> plan_;
  const InstanceOptions options_;
  std::mutex events_mutex_;
  InstanceEvents* events_;
  TicketTable tickets_;
  std::optional<RevisionSwitch> revisions_;
  std::optional<StreamSpread::Share> device_;  // of plan_->cuda_devices(); none: decoded elsewhere
  std::vector<std::unique_ptr<ElementSlot>> slots_;
  std::unique_ptr<OutputBranch> output_;
  gst::ElementPtr pipeline_;
  GstElement *source_ = nullptr, *last_ = nullptr;  // the pipeline's
  StreamInfo stream_;

  std::atomic<unsigned> waiting_{0};
  std::atomic<uint64_t> waiting_bytes_{0};
  std::atomic<bool> is_full_{false}, is_stopping_{false}, has_failed_{false};
  const std::shared_ptr<std::atomic<bool>> is_flushing_ = std::make_shared<std::atomic<bool>>(false);
  std::atomic<bool> is_built_{false};
  std::mutex error_mutex_;
  std::string build_error_;
  bool has_first_ = false;  // of the decoder's thread

  std::mutex null_mutex_;
  std::condition_variable null_reached_;
  bool is_null_ = false;
};

// ---- building

Status Core::connect(GstElement* first, GstElement* last) {
  if (last_ && !gst_element_link(last_, first))
    return fail(ErrorCode::not_negotiated, "{} and {} do not link: their formats have nothing in common",
                GST_OBJECT_NAME(last_), GST_OBJECT_NAME(first));
  last_ = last;
  return {};
}

Status Core::add(const Stage& stage) {
  for (const ElementSettings& settings : stage) {
    auto made = gst::make_element(settings);
    if (!made) return forward_error(made);
    gst_bin_add(GST_BIN(pipeline_.get()), made->get());
    if (auto status = connect(made->get(), made->get()); !status) return status;
  }
  return {};
}

Status Core::build_decoder(const DecoderChoice& choice) {
  auto caps = input_caps(options_.format);
  if (!caps) return forward_error(caps);
  if (auto status = add({{"appsrc",
                          {{"caps", *caps},
                           {"format", "time"},
                           {"block", "false"},
                           {"max-buffers", std::to_string(most_waiting)},
                           {"max-bytes", std::to_string(most_waiting_bytes)}}}});
      !status)
    return status;
  source_ = last_;
  watch_source();
  if (auto status = add(choice.elements); !status) return status;
  gst::add_frame_probe(pad_of(last_, "src").get(), {}, [this](Frame& frame) { return decoded(frame); });
  // For formats that elements do not take; passes all others through.
  return choice.memory == MemoryKind::system ? add({{"videoconvert", {}}}) : Status{};
}

Status Core::build_elements(const DecoderChoice& choice, const std::shared_ptr<const ResolvedSet>& set) {
  MemoryKind memory = choice.memory;
  for (size_t i = 0; i < plan_->plans().size(); ++i) {
    const ElementPlan& plan = *plan_->plans()[i];
    if (!set->elements[i].is_enabled) continue;
    const bool in_system = plan.kind != ElementKind::ours;
    if (in_system && memory == MemoryKind::cuda)
      if (auto status = add({{"cudadownload", {}}}); !status) return status;
    if (in_system && memory == MemoryKind::va)
      if (auto status = add({{"vapostproc", {}}, caps_filter("video/x-raw")}); !status) return status;
    if (in_system) memory = MemoryKind::system;
    slots_.push_back(std::make_unique<ElementSlot>(plan, i, options_.source_id, *revisions_, tickets_));
    auto status = slots_.back()->build(GST_BIN(pipeline_.get()), set, stream_);
    if (status) status = connect(slots_.back()->first(), slots_.back()->last());
    if (!status) {
      Error error = status.error();
      error.element = plan.name();
      return std::unexpected(std::move(error));
    }
  }
  output_ = std::make_unique<OutputBranch>(*plan_, options_.source_id, *revisions_, tickets_, [this] {
    tickets_.settle_all({});
    tell([](InstanceEvents& events) { events.ended(); });
  });
  if (auto status = output_->build(GST_BIN(pipeline_.get()), stream_, memory, *set); !status) return status;
  return connect(output_->first(), output_->first());
}

Status Core::build() {
  const StreamFormat& format = options_.format;
  stream_ = {.source_id = options_.source_id,
             .codec = format.codec,
             .epoch = options_.epoch,
             .width = format.width,
             .height = format.height,
             .framerate = format.framerate};
  device_.emplace(plan_->decoders(), format.framerate.num > 0 && format.framerate.den > 0
                                         ? double(format.framerate.num) / format.framerate.den
                                         : StreamSpread::usual_rate);
  const auto choices =
      decoder_table(format.codec, plan_->spec().streams.decoders, plan_->cuda_devices()[device_->place()]);
  if (options_.decoder_choice >= choices.size()) {
    if (auto caps = input_caps(format); !caps) return forward_error(caps);
    return fail(ErrorCode::unavailable, "there is no {}decoder for {} here",
                choices.empty() ? "" : "further ", format.codec);
  }
  std::vector<ParameterError> errors;
  auto set = resolve(plan_->spec(), plan_->plans(), options_.parameters, options_.source_id, errors);
  if (!set) return fail(ErrorCode::invalid_argument, "{}: {}", errors[0].path, errors[0].message);
  revisions_.emplace(set);

  auto* pipeline = gst_pipeline_new(nullptr);
  gst_object_ref_sink(pipeline);
  pipeline_.reset(pipeline);
  gst_pipeline_use_clock(GST_PIPELINE(pipeline), nullptr);  // nothing is to be shown in time
  const std::unique_ptr<GstBus, UnrefBus> bus(gst_element_get_bus(pipeline));
  gst_bus_set_sync_handler(
      bus.get(),
      [](GstBus*, GstMessage* message, gpointer self) {
        return static_cast<Core*>(self)->see_message(message);
      },
      this, nullptr);

  const DecoderChoice& choice = choices[options_.decoder_choice];
  // A stream in the place of whose decoder another one has stepped counts where it was: a device that fails
  // is not the one with the least to do.
  if (choice.memory != MemoryKind::cuda && options_.decoder_choice == 0) device_.reset();
  if (auto status = build_decoder(choice); !status) return status;
  if (auto status = build_elements(choice, set); !status) return status;
  if (gst_element_set_state(pipeline, GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE) {
    std::lock_guard lock(error_mutex_);
    return fail(ErrorCode::unavailable, "{}",
                build_error_.empty() ? "the pipeline of the stream does not start" : build_error_);
  }
  is_built_ = true;
  if (!options_.decoder_failure.empty())
    plan_->decoder_warnings().add(
        plan_->log(), "decoder",
        std::format("stream {}: {} takes the place of {}: {}", options_.source_id,
                    choice.elements.back().element,
                    choices[std::max(options_.decoder_choice, 1u) - 1].elements.back().element,
                    options_.decoder_failure));
  return {};
}

// ---- messages of the pipeline

GstBusSyncReply Core::see_message(GstMessage* message) {
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) see_error(message);
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_WARNING) see_warning(message);
  gst_message_unref(message);
  return GST_BUS_DROP;
}

void Core::see_warning(GstMessage* message) {
  GError* warning = nullptr;
  gst_message_parse_warning(message, &warning, nullptr);
  const std::string text = std::format("stream {}: {}", options_.source_id,
                                       warning ? warning->message : "a warning without a text");
  g_clear_error(&warning);
  GstObject* source = GST_MESSAGE_SRC(message);
  for (const auto& slot : slots_)
    if (slot->owns(source))
      return slot->plan().posted.add(plan_->log(), "element " + slot->plan().name(), text);
  if (output_ && output_->owns(source))
    return plan_->output_warnings().add(plan_->log(), "output_frame", text);
  plan_->decoder_warnings().add(plan_->log(), "decoder", text);
}

void Core::see_error(GstMessage* message) {
  GError* error = nullptr;
  char* details = nullptr;
  gst_message_parse_error(message, &error, &details);
  std::string text = error ? error->message : "unknown error";
  g_clear_error(&error);
  g_free(details);
  if (!is_built_) {
    std::lock_guard lock(error_mutex_);
    if (build_error_.empty()) build_error_ = text;
  }
  GstObject* source = GST_MESSAGE_SRC(message);
  for (const auto& slot : slots_) {
    if (!slot->owns(source)) continue;
    if (slot->plan().kind != ElementKind::function)
      slot->plan().counters.errors.fetch_add(1, std::memory_order_relaxed);
    return fail_with(slot->failed_module() ? FailureKind::module : FailureKind::element, std::move(text),
                     slot->plan().name());
  }
  if (output_ && output_->owns(source))
    return fail_with(FailureKind::output, std::move(text), "output_frame");
  fail_with(FailureKind::decoder, std::move(text), GST_OBJECT_NAME(source));
}

void Core::fail_with(FailureKind kind, std::string text, std::string element) {
  if (is_stopping_ || has_failed_.exchange(true)) return;
  if (!is_built_) return;  // build() tells
  tell([&](InstanceEvents& events) { events.failed(kind, std::move(text), std::move(element)); });
}

// ---- the way of a frame

void Core::watch_source() {
  gst_pad_add_probe(
      pad_of(source_, "src").get(), GST_PAD_PROBE_TYPE_BUFFER,
      [](GstPad*, GstPadProbeInfo* info, gpointer data) {
        auto& self = *static_cast<Core*>(data);
        self.waiting_bytes_ -= gst_buffer_get_size(GST_PAD_PROBE_INFO_BUFFER(info));
        if (--self.waiting_ <= most_waiting / 2 && self.is_full_.exchange(false))
          self.tell([](InstanceEvents& events) { events.room(); });
        return GST_PAD_PROBE_OK;
      },
      this, nullptr);
}

GstBuffer* Core::buffer_of(const Ticket& ticket, const stream::Payload& picture) const {
  auto* buffer =
      gst_buffer_new_wrapped_full(GST_MEMORY_FLAG_READONLY, const_cast<uint8_t*>(picture.bytes.data()),
                                  picture.bytes.size(), 0, picture.bytes.size(), new stream::Payload(picture),
                                  [](gpointer payload) { delete static_cast<stream::Payload*>(payload); });
  const stream::VideoFrame& frame = *ticket.delivery.message->frame;
  GST_BUFFER_PTS(buffer) = gst::to_clock_time(ticket.pts);
  if (!frame.keyframe) GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_DELTA_UNIT);
  if (frame.raw && !frame.raw->planes.empty() && frame.raw->planes.size() <= GST_VIDEO_MAX_PLANES) {
    gsize offsets[GST_VIDEO_MAX_PLANES] = {};
    gint strides[GST_VIDEO_MAX_PLANES] = {};
    const auto& planes = frame.raw->planes;
    for (size_t i = 0; i < planes.size(); ++i)
      offsets[i] = gsize(planes[i].offset), strides[i] = gint(planes[i].stride);
    gst_buffer_add_video_meta_full(
        buffer, GST_VIDEO_FRAME_FLAG_NONE, gst_video_format_from_string(frame.raw->format.c_str()),
        guint(frame.width), guint(frame.height), guint(planes.size()), offsets, strides);
  }
  return buffer;
}

StreamInstance::Push Core::push(TicketRef ticket) {
  using Push = StreamInstance::Push;
  if (has_failed_ || is_stopping_) return Push::failed;
  const stream::VideoFrame& frame = *ticket->delivery.message->frame;
  const stream::Payload picture = picture_of(ticket->delivery);
  if (picture.bytes.empty()) {
    InstanceResult result;
    adapters::to_frame(frame, result.results);
    result.results.video = VideoInfo{.width = frame.width, .height = frame.height};
    result.results.pts = ticket->original_pts;
    ticket->param_revision = revisions_->latest()->revision;
    tickets_.add_finished(std::move(ticket), std::move(result));
    return Push::ok;
  }
  if (options_.format.codec == "raw" &&
      !raw_picture_fits(frame, frame.raw ? frame.raw->format : options_.format.raw_format,
                        picture.bytes.size())) {
    tickets_.add_finished(std::move(ticket), {.outcome = FrameOutcome::dropped, .reason = "payload"});
    return Push::ok;
  }
  const auto is_full = [&] {
    return waiting_ >= most_waiting ||
           (waiting_ > 0 && waiting_bytes_ + picture.bytes.size() > most_waiting_bytes);
  };
  if (is_full()) {
    is_full_ = true;
    // Those that left in between have told nobody.
    if (is_full()) return Push::full;
    is_full_ = false;
  }
  ++waiting_;
  waiting_bytes_ += picture.bytes.size();
  tickets_.add(ticket, frame.keyframe || !is_inter_codec(options_.format.codec));
  tickets_.bound(most_in_flight);
  const auto flow = gst_app_src_push_buffer(GST_APP_SRC(source_), buffer_of(*ticket, picture));
  return flow == GST_FLOW_OK ? Push::ok : Push::failed;
}

Result<Verdict> Core::decoded(Frame& frame) {
  if (frame.pts == no_time) return Verdict::drop;
  const TicketRef ticket = tickets_.decoded(frame.pts, revisions_->begin(frame.pts));
  if (!ticket) return Verdict::drop;
  if (ticket->trace) ticket->trace->add("decode", ticket->pushed_ns, ticket->decoded_ns);
  if (!std::exchange(has_first_, true)) tell([](InstanceEvents& events) { events.first_frame(); });
  if (ticket->replay) {
    tickets_.drop(frame.pts, "replay", FrameOutcome::no_picture);
    return Verdict::drop;
  }
  attach_metadata(*ticket, frame);
  return Verdict::pass;
}

// What came with the message, as results that elements find on the frame.
void Core::attach_metadata(const Ticket& ticket, Frame& frame) {
  const stream::VideoFrame& message = *ticket.delivery.message->frame;
  if (!message.objects.empty() || !message.attributes.empty() || !message.tags.empty()) {
    Frame came;
    adapters::to_frame(message, came);
    // The ids of the wire are the writer's; on the buffer they are numbered anew, parents in front.
    std::vector<int32_t> wire_ids;
    for (size_t placed = 0; placed < came.regions.size();) {
      const size_t before = placed;
      for (size_t i = placed; i < came.regions.size(); ++i) {
        Region& region = came.regions[i];
        const auto parent = std::ranges::find(wire_ids, region.parent);
        if (region.parent >= 0 && parent == wire_ids.end()) continue;
        if (region.parent >= 0) region.parent = gst::first_foreign_id - int32_t(parent - wire_ids.begin());
        wire_ids.push_back(region.id);
        region.id = gst::first_foreign_id - int32_t(placed);
        std::swap(came.regions[placed++], region);
      }
      if (placed > before) continue;
      for (size_t i = placed; i < came.regions.size(); ++i)
        came.regions[i].parent = -1;  // parents that are not there
    }
    frame.regions = std::move(came.regions);
    frame.attributes = std::move(came.attributes);
  }
  if (!plan_->needs_stream_facts()) return;
  static const Label model(stream_model), source("source"), keyframe("keyframe"), queue_fill("queue-fill");
  std::vector<Attribute> attributes;
  if (frame.attributes) attributes = frame.attributes->items();
  attributes.push_back(
      {.name = source, .kind = AttributeKind::text, .text = options_.source_id, .model = model});
  attributes.push_back({.name = keyframe,
                        .kind = AttributeKind::number,
                        .number = message.keyframe ? 1.0 : 0.0,
                        .model = model});
  attributes.push_back(
      {.name = queue_fill, .kind = AttributeKind::number, .number = ticket.queue_fill, .model = model});
  frame.attributes = make_ref<const AttributeList>(std::move(attributes));
}

// ---- changes

Status Core::set_format(const StreamFormat& format) {
  auto caps = input_caps(format);
  if (!caps) return forward_error(caps);
  if (is_inter_codec(format.codec) || format.codec != options_.format.codec)
    return fail(ErrorCode::unsupported, "{} cannot change to {} {}x{} while the stream runs",
                options_.format.codec, format.codec, format.width, format.height);
  const gst::CapsPtr parsed(gst_caps_from_string(caps->c_str()));
  gst_app_src_set_caps(GST_APP_SRC(source_), parsed.get());
  return {};
}

Status Core::set_parameters(std::shared_ptr<const ParameterSet> parameters) {
  std::vector<ParameterError> errors;
  auto set = resolve(plan_->spec(), plan_->plans(), std::move(parameters), options_.source_id, errors);
  if (!set) return fail(ErrorCode::invalid_argument, "{}: {}", errors[0].path, errors[0].message);
  revisions_->set_next(std::move(set));
  return {};
}

void Core::flush_batches() {
  if (slots_.empty() || is_flushing_->exchange(true)) return;
  // On a thread of its own: an element that is busy makes the event wait.
  using Flag = std::shared_ptr<std::atomic<bool>>;
  gst_element_call_async(
      slots_.front()->first(),
      [](GstElement* element, gpointer flag) {
        if (const gst::PadPtr sink = pad_of(element, "sink")) {
          gst_pad_send_event(sink.get(),
                             gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM,
                                                  gst_structure_new_empty(gst::drained_event_name)));
        }
        **static_cast<Flag*>(flag) = false;
      },
      new Flag(is_flushing_), [](gpointer flag) { delete static_cast<Flag*>(flag); });
}

StreamInstance::Work Core::oldest_work() const {
  StreamInstance::Work oldest;
  const auto see = [&](int64_t since, const std::string& name) {
    if (since > 0 && (oldest.since_ns == 0 || since < oldest.since_ns)) oldest = {name, since};
  };
  for (const auto& slot : slots_) see(slot->oldest_ns(), slot->plan().name());
  see(tickets_.oldest_held_ns(), "output_frame");
  return oldest;
}

// ---- the end

void Core::end() {
  device_.reset();  // free for the stream's next instance, which starts while this one drains
  gst_app_src_end_of_stream(GST_APP_SRC(source_));
}

void Core::begin_stop() {
  is_stopping_ = true;
  device_.reset();  // free for the next stream, however long this one takes to stop
  for (const auto& slot : slots_) slot->cancel();
}

void Core::run_to_null() {
  if (pipeline_) gst_element_set_state(pipeline_.get(), GST_STATE_NULL);
  // Code of the user's, which may hang as well.
  for (const auto& slot : slots_) slot->stop_function("stopped");
  if (output_) output_->stop_function("stopped");
  std::lock_guard lock(null_mutex_);
  is_null_ = true;
  null_reached_.notify_all();
}

bool Core::wait_for_null(Time timeout) {
  {
    std::unique_lock lock(null_mutex_);
    if (!null_reached_.wait_for(lock, std::chrono::nanoseconds(timeout), [&] { return is_null_; }))
      return false;
  }
  tickets_.settle_all("stopped");
  return true;
}

void Core::forget_events() {
  tickets_.detach();
  std::lock_guard lock(events_mutex_);
  events_ = nullptr;
}

class Instance final : public StreamInstance {
 public:
  explicit Instance(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  ~Instance() override {
    constexpr Time patience = 5'000'000'000;
    if (!is_stopped_) stop(patience);
    core_->forget_events();
    if (!stopper_.joinable()) return;
    if (is_stopped_) {
      stopper_.join();
    } else {
      stopper_.detach();  // it is stuck, and keeps the core for as long
      note_thread_left_behind();
    }
  }

  Push push(TicketRef ticket) override { return core_->push(std::move(ticket)); }
  Status set_format(const StreamFormat& format) override { return core_->set_format(format); }
  void end() override { core_->end(); }
  Status set_parameters(std::shared_ptr<const ParameterSet> parameters) override {
    return core_->set_parameters(std::move(parameters));
  }
  void flush_batches() override { core_->flush_batches(); }
  unsigned in_flight() const override { return core_->in_flight(); }
  Work oldest_work() const override { return core_->oldest_work(); }
  std::vector<std::string> unbounded_queues() const override {
    return module::unbounded_queues(GST_BIN(core_->pipeline()));
  }

  bool stop(Time timeout) override {
    if (is_stopped_) return true;
    if (!std::exchange(is_stopping_, true)) {
      core_->begin_stop();
      // Joining the streaming threads may take long, or for ever; so may stop() of a function.
      stopper_ = std::thread([core = core_] { core->run_to_null(); });
    }
    is_stopped_ = core_->wait_for_null(timeout);
    return is_stopped_;
  }

 private:
  const std::shared_ptr<Core> core_;
  std::thread stopper_;
  bool is_stopping_ = false, is_stopped_ = false;
};

}  // namespace

unsigned decoder_choices(const PipelineTemplate& pipeline, std::string_view codec) {
  return unsigned(decoder_table(codec, pipeline.spec().streams.decoders).size());
}

Result<std::unique_ptr<StreamInstance>> start_instance(const PipelineTemplate& pipeline,
                                                       const InstanceOptions& options,
                                                       InstanceEvents& events) {
  auto plan = static_cast<const PipelinePlan&>(pipeline).shared_from_this();
  auto core = std::make_shared<Core>(std::move(plan), options, events);
  auto instance = std::make_unique<Instance>(core);
  if (auto status = core->build(); !status) {
    Error error = status.error();
    error.stream = options.source_id;
    core->forget_events();
    return std::unexpected(std::move(error));
  }
  return instance;
}

}  // namespace sightglass::module
