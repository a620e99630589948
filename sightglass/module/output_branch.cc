#include "sightglass/module/output_branch.h"

#include <gst/app/gstappsink.h>
#include <gst/video/video.h>

#include <algorithm>
#include <format>

#include "sightglass/gst/bins/stage.h"
#include "sightglass/gst/frame_probe.h"
#include "sightglass/memory/gst/handles.h"
#include "sightglass/module/picture_payload.h"

namespace sightglass::module {
namespace {

constexpr unsigned frames_before_encoder = 4;

gst::PadPtr pad_of(GstElement* element, const char* name) {
  return gst::PadPtr(gst_element_get_static_pad(element, name));
}

// A buffer's bytes, mapped as long as anybody holds them.
struct MappedBuffer {
  explicit MappedBuffer(GstBuffer* wanted) : buffer(gst_buffer_ref(wanted)) {
    if (!gst_buffer_map(buffer.get(), &map, GST_MAP_READ)) buffer.reset();
  }
  ~MappedBuffer() {
    if (buffer) gst_buffer_unmap(buffer.get(), &map);
  }
  MappedBuffer(const MappedBuffer&) = delete;
  gst::BufferPtr buffer;
  GstMapInfo map{};
};

stream::Payload payload_of(GstBuffer* buffer) {
  auto mapped = std::make_shared<MappedBuffer>(buffer);
  if (!mapped->buffer) return {};
  return {{mapped->map.data, mapped->map.size}, mapped};
}

// The planes one behind the other, rows without padding.
bool copy_picture(GstSample* sample, InstanceResult& result) {
  GstVideoInfo info;
  GstVideoFrame frame;
  if (!gst_video_info_from_caps(&info, gst_sample_get_caps(sample)) ||
      !gst_video_frame_map(&frame, &info, gst_sample_get_buffer(sample), GST_MAP_READ))
    return false;
  GstVideoInfo dense;
  gst_video_info_set_format(&dense, GST_VIDEO_INFO_FORMAT(&info), guint(info.width), guint(info.height));
  auto& raw = result.raw.emplace();
  raw.format = gst_video_format_to_string(GST_VIDEO_INFO_FORMAT(&info));
  if (char* colors = gst_video_colorimetry_to_string(&info.colorimetry)) {
    raw.colorimetry = colors;
    g_free(colors);
  }
  std::vector<uint8_t> bytes;
  for (guint plane = 0; plane < GST_VIDEO_FRAME_N_PLANES(&frame); ++plane) {
    gint components[GST_VIDEO_MAX_COMPONENTS];
    gst_video_format_info_component(info.finfo, plane, components);
    const guint rows = guint(GST_VIDEO_FRAME_COMP_HEIGHT(&frame, components[0]));
    const size_t row = size_t(GST_VIDEO_FRAME_COMP_WIDTH(&frame, components[0])) *
                       size_t(GST_VIDEO_FRAME_COMP_PSTRIDE(&frame, components[0]));
    raw.planes.push_back({int64_t(bytes.size()), int64_t(row), int64_t(row * rows)});
    const auto* from = static_cast<const uint8_t*>(GST_VIDEO_FRAME_PLANE_DATA(&frame, plane));
    for (guint y = 0; y < rows; ++y, from += GST_VIDEO_FRAME_PLANE_STRIDE(&frame, plane))
      bytes.insert(bytes.end(), from, from + row);
  }
  gst_video_frame_unmap(&frame);
  result.payload = stream::own(std::move(bytes));
  result.width = info.width;
  result.height = info.height;
  result.keyframe = true;
  return true;
}

// Brings pictures into system memory.
Stage download(MemoryKind memory) {
  if (memory == MemoryKind::cuda) return {{"cudadownload", {}}};
  if (memory == MemoryKind::va) return {{"vapostproc", {}}, caps_filter("video/x-raw")};
  return {};
}

bool is_keyframe(const Ticket& ticket) {
  const auto& frame = ticket.delivery.message->frame;
  return frame && frame->keyframe;
}

}  // namespace

OutputBranch::OutputBranch(const PipelinePlan& plan, std::string_view source_id, RevisionSwitch& revisions,
                           TicketTable& tickets, std::function<void()> on_end)
    : plan_(plan),
      output_(plan.spec().output_frame),
      source_id_(source_id),
      revisions_(revisions),
      tickets_(tickets),
      on_end_(std::move(on_end)) {}

OutputBranch::~OutputBranch() = default;

Status OutputBranch::add(GstBin* bin, const Stage& stage) {
  for (const ElementSettings& settings : stage) {
    auto made = gst::make_element(settings);
    if (!made) return forward_error(made);
    GstElement* element = made->get();
    gst_bin_add(bin, element);
    all_.push_back(element);
    if (!first_) first_ = element;
    if (last_ && !gst_element_link(last_, element))
      return fail(ErrorCode::not_negotiated, "output_frame: {} and {} do not link", GST_OBJECT_NAME(last_),
                  GST_OBJECT_NAME(element));
    last_ = element;
  }
  return {};
}

Status OutputBranch::build(GstBin* bin, const StreamInfo& stream, MemoryKind memory, const ResolvedSet& set) {
  const bool encodes = is_encoded(output_.codec), raw = output_.codec == "raw";
  GstElement* queue = nullptr;
  if (encodes || raw) {
    if (auto status = add(bin, download(memory)); !status) return status;
    if (auto status = add(bin, {gst::queue_of(frames_before_encoder)}); !status) return status;
    queue = last_;
    if (encodes && set.draw.items()) {
      drawn_ = set.draw.to_json();
      if (auto status = add(bin, {{"opencv_meta_overlay", {{"draw", drawn_}}}}); !status) return status;
      overlay_ = last_;
    }
    Stage stage{{"videoconvert", {}}};
    if (output_.width > 0 && output_.height > 0) {
      stage.push_back({"videoscale", {{"add-borders", "false"}}});
      stage.push_back(caps_filter(std::format("video/x-raw,width={},height={},pixel-aspect-ratio=1/1",
                                              output_.width, output_.height)));
    }
    if (auto status = add(bin, stage); !status) return status;
  }
  if (encodes) {
    const Stage stage = encoder_stage(*plan_.encoder_choice(), output_, stream.framerate);
    if (auto status = add(bin, {stage[0]}); !status) return status;
    encoder_ = last_;
    if (auto status = add(bin, Stage(stage.begin() + 1, stage.end())); !status) return status;
  }
  const Stage sink{{"appsink",
                    {{"sync", "false"},
                     {"async", "false"},
                     {"max-buffers", "8"},
                     {"wait-on-eos", "false"},
                     {"enable-last-sample", "false"}}}};
  if (auto status = add(bin, sink); !status) return status;
  sink_ = last_;
  GstAppSinkCallbacks callbacks{};
  callbacks.eos = [](GstAppSink*, gpointer self) { static_cast<OutputBranch*>(self)->on_end_(); };
  callbacks.new_sample = [](GstAppSink*, gpointer self) {
    return static_cast<OutputBranch*>(self)->take_payload();
  };
  gst_app_sink_set_callbacks(GST_APP_SINK(sink_), &callbacks, this, nullptr);

  if (!queue) {
    gst::add_frame_probe(pad_of(sink_, "sink").get(), {}, [this](Frame& frame) { return take(frame); });
    return {};
  }
  const gst::PadPtr pad = pad_of(queue, "src");
  gst::add_frame_probe(pad.get(), {}, [this](Frame& frame) { return take_and_hold(frame); });
  FunctionElement* function = encodes ? plan_.draw_function() : nullptr;
  if (!function) return {};
  auto opened = function->open_stream(stream, set.parameters);
  if (!opened) return forward_error(opened);
  draw_function_ = *std::move(opened);
  gst::add_frame_probe(pad.get(), {.results = true, .pixels = true, .writes_pixels = true},
                       [this](Frame& frame) { return draw_function_->process(frame, {.pts = frame.pts}); });
  return {};
}

// Results for the record: metadata only, with the time that the frame came with.
InstanceResult OutputBranch::results_of(Frame& frame, const Ticket& ticket) const {
  InstanceResult result;
  result.results.video = frame.video;
  result.results.pts = ticket.original_pts;
  result.results.duration = frame.duration;
  result.results.regions = frame.regions;
  result.results.attributes = frame.attributes;
  strip(result.results);
  return result;
}

// What only elements are to see.
void OutputBranch::strip(Frame& frame) const {
  static const Label facts(stream_model);
  const auto is_hidden = [&](const Attribute& attribute) {
    if (attribute.model == facts) return true;
    return std::ranges::any_of(plan_.plans(), [&](const auto& plan) {
      return (plan->hides_all || !plan->hidden.empty()) && attribute.model.view() == plan->name() &&
             (plan->hides_all || std::ranges::contains(plan->hidden, attribute.name));
    });
  };
  for (const auto& plan : plan_.plans())
    if (plan->hides_all && std::erase_if(frame.regions, [&](const Region& region) {
                             return region.model.view() == plan->name();
                           }) > 0)
      for (Region& one : frame.regions)
        if (one.parent >= 0 && !std::ranges::contains(frame.regions, one.parent, &Region::id))
          one.parent = -1;
  const auto strip_list = [&](AttributesRef& list) {
    if (!list || std::ranges::none_of(list->items(), is_hidden)) return;
    std::vector<Attribute> kept;
    for (const Attribute& attribute : list->items())
      if (!is_hidden(attribute)) kept.push_back(attribute);
    list = kept.empty() ? nullptr : make_ref<const AttributeList>(std::move(kept));
  };
  strip_list(frame.attributes);
  for (Region& region : frame.regions) strip_list(region.attributes);
}

bool OutputBranch::is_wanted(const Frame& frame, const Ticket& ticket) {
  if (auto set = revisions_.changed(frame.pts, set_.get())) {
    set_ = std::move(set);
    if (overlay_ && set_->draw.to_json() != drawn_) {
      drawn_ = set_->draw.to_json();
      g_object_set(overlay_, "draw", drawn_.c_str(), nullptr);
    }
  }
  const SelectionContext context{.source = source_id_,
                                 .keyframe = is_keyframe(ticket),
                                 .queue_fill = float(ticket.queue_fill),
                                 .frame_number = frame_number_++};
  return set_->output_when.matches(frame, context);
}

// Without a picture of its own to be made: the frame ends here.
Result<Verdict> OutputBranch::take(Frame& frame) {
  const TicketRef ticket = tickets_.find(frame.pts);
  if (!ticket) return Verdict::drop;  // nobody knows this picture: an element has made up its time
  InstanceResult result = results_of(frame, *ticket);
  if (output_.codec == "copy" && is_wanted(frame, *ticket)) {
    const auto& message = *ticket->delivery.message->frame;
    result.payload = picture_of(ticket->delivery);
    result.codec = message.codec.value_or("");
    if (message.codec_data) result.codec_data = *message.codec_data;
    result.raw = message.raw;
    result.keyframe = message.keyframe;
  }
  tickets_.finish(frame.pts, std::move(result));
  return Verdict::drop;
}

Result<Verdict> OutputBranch::take_and_hold(Frame& frame) {
  const TicketRef ticket = tickets_.find(frame.pts);
  if (!ticket) return Verdict::drop;
  InstanceResult result = results_of(frame, *ticket);
  if (!is_wanted(frame, *ticket)) {
    tickets_.finish(frame.pts, std::move(result));
    was_left_out_ = true;
    return Verdict::drop;
  }
  if (std::exchange(was_left_out_, false) && encoder_) {
    // The frame before it is not there for the reader of this one.
    const gst::PadPtr src = pad_of(encoder_, "src");
    gst_pad_send_event(src.get(), gst_video_event_new_upstream_force_key_unit(GST_CLOCK_TIME_NONE, TRUE, 0));
  }
  tickets_.hold(frame.pts, std::move(result));
  return Verdict::pass;
}

GstFlowReturn OutputBranch::take_payload() {
  struct UnrefSample {
    void operator()(GstSample* sample) const { gst_sample_unref(sample); }
  };
  const std::unique_ptr<GstSample, UnrefSample> sample(gst_app_sink_try_pull_sample(GST_APP_SINK(sink_), 0));
  if (!sample) return GST_FLOW_OK;
  GstBuffer* buffer = gst_sample_get_buffer(sample.get());
  // Encoders move timestamps, and the segment with them.
  const auto time = gst_segment_to_running_time(gst_sample_get_segment(sample.get()), GST_FORMAT_TIME,
                                                GST_BUFFER_PTS(buffer));
  InstanceResult result;
  if (output_.codec == "raw") {
    if (!copy_picture(sample.get(), result)) return GST_FLOW_ERROR;
  } else {
    result.payload = payload_of(buffer);
    result.keyframe = !GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DELTA_UNIT);
    const auto* structure = gst_caps_get_structure(gst_sample_get_caps(sample.get()), 0);
    gst_structure_get_int(structure, "width", &result.width);
    gst_structure_get_int(structure, "height", &result.height);
  }
  result.codec = output_.codec;
  tickets_.finish(gst::from_clock_time(time), std::move(result));
  return GST_FLOW_OK;
}

bool OutputBranch::owns(GstObject* object) const {
  return std::ranges::any_of(all_, [&](GstElement* one) {
    return object == GST_OBJECT(one) || gst_object_has_as_ancestor(object, GST_OBJECT(one));
  });
}

void OutputBranch::stop_function(std::string_view reason) {
  if (draw_function_) draw_function_->stop(reason);
  draw_function_ = nullptr;
}

}  // namespace sightglass::module
