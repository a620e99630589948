// The client library: send frames to a module, receive results, from any program.
//
//   auto sender = FrameSender::open("dealer+connect:tcp://127.0.0.1:5560");
//   if (!sender) return complain(sender.error());
//   while (camera.read(jpeg)) {
//     auto uuid = sender->send_frame("cam-1", jpeg, {.codec = "jpeg"});
//     if (!uuid) return complain(uuid.error());
//   }
//   Status status = sender->end_stream("cam-1");        // and what was not sent yet
//   status = sender->finish(30s);                       // dealer: everything is stored
//
//   auto results = ResultReceiver::open("sub+connect:tcp://127.0.0.1:5561", {.sources = {"cam-1"}});
//   while (auto result = results->next(10s)) {          // an error ends the loop
//     if (!*result) continue;                           // nothing came in that time
//     for (const Object& object : (*result)->objects()) print(object.label, object.detection_box);
//   }
//
// Delivery is that of the socket types (docs/streams.md): pub/sub may lose, push/pull waits, dealer/router
// loses nothing and repeats nothing. The other side may be away at any time; senders wait for it and
// receivers see a pause.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/stream/zeromq/reader.h"
#include "sightglass/stream/zeromq/writer.h"

namespace sightglass::stream {

// What is known of a picture. What is not said is read from its bytes where they tell (jpeg, png, h264, hevc,
// vp8, vp9).
struct FrameOptions {
  std::string codec = "jpeg";            // h264, hevc (byte-stream), av1, vp8, vp9, mjpeg, jpeg, png, raw
  std::optional<bool> keyframe;          // whether decoding can start here
  std::optional<int64_t> pts;            // ns; the time since the source's first frame if not said
  std::optional<int64_t> dts, duration;  // ns
  int32_t width = 0, height = 0;
  std::optional<Rational> framerate;
  std::optional<RawLayout> raw;  // with codec raw
  std::optional<Uuid> uuid;      // of a frame that already has one; a new one is made otherwise
  std::optional<int64_t> captured_us;
  std::vector<Attribute> attributes;
  std::vector<Object> objects;
  std::vector<std::string> tags;
};

struct SenderOptions {
  // How long a call waits for room before it fails with `exhausted`; the same call may then be repeated.
  // Without it, as long as it takes.
  std::optional<std::chrono::milliseconds> send_timeout;
  CurveOptions curve;
  std::string name;
  bool checksum = true;
  // Results of messages that were refused for good; called on a thread of the sender, must not call it.
  std::function<void(const DeadLetter&)> dead_letter;
};

struct ResultRecord;

// Thread-safe. Blocks while the reader has no room; cancel() ends that.
class FrameSender {
 public:
  // pub, push or dealer.
  static Result<FrameSender> open(std::string_view url, SenderOptions options = {});
  FrameSender(FrameSender&&) noexcept;
  FrameSender& operator=(FrameSender&&) noexcept;
  ~FrameSender();

  // The uuid by which results name the frame. The bytes are copied; those of a Payload are not.
  Result<Uuid> send_frame(std::string_view source_id, std::span<const uint8_t> bytes,
                          const FrameOptions& options = {});
  Result<Uuid> send_frame(std::string_view source_id, const Payload& payload,
                          const FrameOptions& options = {});
  // What has been received goes on as it came: uuid, times in their time base, created_us, picture, objects.
  // The attributes stand in place of those of the same namespace and name. Nothing where it is no frame (ends
  // of streams and user data go on as well) or for the hop before only.
  Result<std::optional<Uuid>> forward(const ResultRecord& record, std::span<const Attribute> attributes = {},
                                      std::span<const std::string> tags = {});
  // Something that is no picture, in its place among the frames.
  Status send_user_data(std::string_view source_id, std::vector<Attribute> attributes);
  // The next frame of this source opens a new epoch.
  Status end_stream(std::string_view source_id, EndReason reason = EndReason::end);

  // Until all is sent, on a dealer until all is acknowledged.
  Status finish(std::chrono::milliseconds timeout);
  void cancel();

  const Url& url() const;
  const std::vector<std::string>& warnings() const;
  ZmqWriter::Statistics statistics() const;

 private:
  struct State;
  explicit FrameSender(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// One message with what came with it. Values; may be kept, which keeps the payload's memory.
struct ResultRecord {
  std::shared_ptr<const Message> message;
  Payload payload;      // the picture, where it is sent along
  int64_t missing = 0;  // messages of this source that are missing right before it

  const std::string& source_id() const { return message->source_id; }
  const VideoFrame* frame() const { return message->frame ? &*message->frame : nullptr; }
  bool end_of_stream() const { return message->end_of_stream.has_value(); }
  std::span<const Object> objects() const;  // none where it is no frame
  // The first value of a frame's attribute; null if there is none.
  const Value* attribute(std::string_view namespace_, std::string_view name) const;
};

struct ReceiverOptions {
  std::vector<std::string> sources;  // only these; empty: all
  std::string source_prefix;
  CurveOptions curve;
  std::string name;
  Limits limits;
};

// One thread calls next(), all the time. On a router a result is acknowledged when the next one is asked for,
// the last one by close(): without, it comes again.
class ResultReceiver {
 public:
  // sub, pull or router.
  static Result<ResultReceiver> open(std::string_view url, ReceiverOptions options = {});

  // Nothing: the time is over, or interrupt() was called.
  Result<std::optional<ResultRecord>> next(std::chrono::milliseconds timeout);
  void interrupt() { reader_->interrupt(); }  // any thread
  // What next() has given last is done with; the socket closes. Nothing else is called afterwards but next(),
  // which is an error then, and close().
  void close();

  const Url& url() const { return reader_->url(); }
  const std::vector<std::string>& warnings() const { return reader_->warnings(); }
  ZmqReader::Statistics statistics() const { return reader_->statistics(); }
  uint64_t rejected() const { return reader_->rejected(); }

 private:
  explicit ResultReceiver(std::unique_ptr<ZmqReader> reader) : reader_(std::move(reader)) {}

  std::unique_ptr<ZmqReader> reader_;
  std::shared_ptr<Settlement> last_;
};

}  // namespace sightglass::stream
