// One life of a virtual stream: a small GStreamer pipeline of its own, built from the module's template and
// never changed while it runs,
//
//   appsrc ! parser ! decoder ! [element …] ! [draw ! encoder] ! appsink
//
// with both ends bounded. Nothing here decides: the life cycle (stream/lifecycle) tells it what to do, and it
// reports what has happened. Frames that are under way carry a Ticket; results come out in the order of the
// frames, exactly one per ticket that was taken.
//
// Threads: build(), push(), end(), set_parameters() and the destructor belong to the stream's strand, stop()
// to the reaper. InstanceEvents are called on GStreamer's threads: they only post to the strand, and never
// wait.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sightglass/adapters/record.h"
#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"
#include "sightglass/stream/delivery.h"

namespace sightglass::module {

class FrameTrace;        // frame_trace.h
class ParameterSet;      // parameters.h: one revision of all values
class PipelineTemplate;  // pipeline_template.h

// A frame under way.
struct Ticket {
  stream::Delivery delivery;
  Time pts = no_time;           // ns, the instance's own clock: grows from frame to frame, unique
  Time original_pts = no_time;  // ns, of the message
  int64_t queued_ns = 0, pushed_ns = 0, decoded_ns = 0;  // steady clock
  uint64_t param_revision = 0;                           // that its results were made with
  double queue_fill = 0;              // 0..1 of the stream's queue when it was taken from there
  bool replay = false;                // rebuilds the decoder's state, yields no result
  std::shared_ptr<FrameTrace> trace;  // null: the frame is not followed
};
using TicketRef = std::shared_ptr<Ticket>;

enum class FrameOutcome : uint8_t {
  stored,      // has a record
  no_picture,  // the decoder gave nothing for it (replay, broken frame, lost reference)
  dropped,     // by a function, on_error or an element's condition; `reason` says which
};

struct InstanceResult {
  TicketRef ticket;
  FrameOutcome outcome = FrameOutcome::stored;
  std::string_view reason;  // static text; of those not stored
  Frame results;            // metadata only
  stream::Payload payload;  // encoded picture, or the original one with codec copy; may be empty
  std::string codec;        // of the payload
  std::vector<uint8_t> codec_data;
  std::optional<stream::RawLayout> raw;  // of a raw picture
  int width = 0, height = 0;             // of the payload's picture; 0: as the frame
  bool keyframe = false;
};

enum class FailureKind : uint8_t {
  decoder,
  element,
  no_decoder,
  output,
  module,  // a function whose on_error is `module`
};

class InstanceEvents {
 public:
  virtual ~InstanceEvents() = default;
  virtual void first_frame() = 0;  // decoded
  virtual void result(InstanceResult result) = 0;
  virtual void room() = 0;   // push() takes frames again
  virtual void ended() = 0;  // the EOS that was pushed has come out; all results are out
  virtual void failed(FailureKind kind, std::string text, std::string element) = 0;
};

// What the stream looks like; known from its first keyframe.
struct StreamFormat {
  std::string codec;  // of the message: h264, hevc, av1, vp8, vp9, mjpeg, jpeg, png, raw
  int width = 0, height = 0;
  Fraction framerate{0, 1};
  Fraction pixel_aspect{1, 1};
  std::string raw_format, colorimetry;  // of raw
  std::vector<uint8_t> codec_data;
  bool operator==(const StreamFormat&) const = default;
};

class StreamInstance {
 public:
  virtual ~StreamInstance() = default;

  enum class Push : uint8_t { ok, full, failed };
  virtual Push push(TicketRef ticket) = 0;
  // Another size or rate of a codec that allows it (jpeg, png, raw): from the next push() on.
  virtual Status set_format(const StreamFormat& format) = 0;
  virtual void end() = 0;  // EOS behind what was pushed
  // All of `parameters` at the next frame boundary of each element, at once when nothing flows. An error:
  // nothing was changed.
  virtual Status set_parameters(std::shared_ptr<const ParameterSet> parameters) = 0;
  virtual void flush_batches() = 0;  // nothing comes for now: partial batches run at once
  virtual unsigned in_flight() const = 0;
  // Where the oldest frame is that an element, a function or the encoder works on, and since when (steady
  // clock, ns; 0: nothing is under way). Any thread; for who looks for something that hangs.
  struct Work {
    std::string element;
    int64_t since_ns = 0;
  };
  virtual Work oldest_work() const { return {}; }
  // Names of queues in it without a limit; there are none, which tests look after (F-23).
  virtual std::vector<std::string> unbounded_queues() const { return {}; }
  // To NULL; false when it is not there in time, then call again or set it aside. Reports what was in flight
  // as dropped ("stopped").
  virtual bool stop(Time timeout) = 0;
};

// How many decoders the fixed table has for a codec here; 0: none. `choice` counts from 0, hardware first.
unsigned decoder_choices(std::string_view codec);

// The same, and the one that is meant by a choice: with those first that the module's `streams.decoders`
// names.
unsigned decoder_choices(const PipelineTemplate& pipeline, std::string_view codec);

struct InstanceOptions {
  std::string source_id;
  int64_t epoch = 0;
  StreamFormat format;
  unsigned decoder_choice = 0;
  std::string decoder_failure;  // why the choice before this one was given up; empty: there was none
  std::shared_ptr<const ParameterSet> parameters;
};
// The pipeline is PLAYING when this returns; a few milliseconds.
Result<std::unique_ptr<StreamInstance>> start_instance(const PipelineTemplate& pipeline,
                                                       const InstanceOptions& options,
                                                       InstanceEvents& events);

}  // namespace sightglass::module
