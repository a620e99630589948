// For tests and benchmarks: messages of each kind with every field set, the same each time, and the parts
// they go as.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/stream/avro/schema.h"
#include "sightglass/stream/message_reader.h"
#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/messages.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::stream::test {

inline Uuid uuid(uint8_t last) {
  Uuid made = *parse_uuid("0199c1a0-5f3e-7abc-8def-012345678900");
  made.back() = last;
  return made;
}

inline Message message(Kind kind) {
  Message m;
  m.kind = kind;
  m.source_id = is_control(kind) ? std::string(control_topic) : "cam-1";
  m.producer = uuid(1);
  m.epoch = 3;
  m.seq = 41;
  m.sent_us = 1'763'800'000'000'001;
  return m;
}

// Metadata only: 1080p, H.264, 25 fps, the 41st frame.
inline Message frame() {
  Message m = message(Kind::frame);
  VideoFrame& f = m.frame.emplace();
  f.uuid = uuid(2);
  f.created_us = 1'763'800'000'000'000;
  f.width = 1920;
  f.height = 1080;
  f.framerate = Rational{25, 1};
  f.pts = 1'640'000'000;
  f.codec = "h264";
  f.keyframe = true;
  return m;
}

inline Object object(int64_t id) {
  Object o;
  o.id = id;
  o.namespace_ = "people";
  o.label = "person";
  o.confidence = 0.75f;
  o.detection_box = Box{100.f + float(id), 200, 50, 120, {}};
  o.track_box = Box{101.f + float(id), 200, 50, 120, {}};
  o.track_id = 1000 + id;
  o.track_state = TrackState::confirmed;
  Attribute colour;
  colour.namespace_ = "colours";
  colour.name = "coat";
  colour.values.push_back({0.5f, std::string("red")});
  o.attributes.push_back(colour);
  return o;
}

inline Message frame_with_objects(int64_t count) {
  Message m = frame();
  for (int64_t id = 1; id <= count; ++id) m.frame->objects.push_back(object(id));
  return m;
}

inline Attribute attribute_of_all_values() {
  Attribute a;
  a.namespace_ = "sensor";
  a.name = "all";
  a.hint = "none of these means anything: ü 漢 🎥";
  a.persistent = false;
  a.hidden = true;
  const Points triangle{{{0, 0}, {4, 0}, {0, 3}}};
  for (Value value : std::initializer_list<Value>{{},
                                                  true,
                                                  int64_t(-5'000'000'000),
                                                  0.1,
                                                  std::string("text"),
                                                  Booleans{{true, false}},
                                                  Longs{{1, -1, 9'007'199'254'740'990}},
                                                  Doubles{{1.5, -2.25}},
                                                  Strings{{"a", ""}},
                                                  Tensor{"f32", {1, 2}, {0, 0, 128, 63, 0, 0, 0, 64}},
                                                  Box{10, 20, 30, 40, 0.5f},
                                                  Boxes{{Box{1, 2, 3, 4, {}}}},
                                                  triangle,
                                                  Polygons{{triangle, {}}},
                                                  Mask{4, 2, {3, 2, 3}},
                                                  Crossing{"gate", "forward"},
                                                  Opaque{"some.type", {1, 2, 255}}}) {
    a.values.push_back({std::nullopt, std::move(value)});
  }
  a.values[1].confidence = 0.25f;
  return a;
}

// Every field of a frame is set.
inline Message full_frame() {
  Message m = frame_with_objects(2);
  m.attempt = 1;
  m.labels = {"site:north", "test"};
  m.trace = TraceContext{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1"};
  VideoFrame& f = *m.frame;
  f.captured_us = 1'763'799'999'900'000;
  f.previous_frame = uuid(3);
  f.previous_keyframe = uuid(4);
  f.param_revision = 7;
  f.replay = true;
  f.pixel_aspect = {4, 3};
  f.orientation = 90;
  f.time_base = {1, 90'000};
  f.pts = 147'600;
  f.dts = 147'000;
  f.duration = 3600;
  f.codec = "raw";
  f.codec_data = {1, 2, 3};
  f.encoding = Encoding::original;
  f.content = Inline{{9, 8, 7, 6, 5, 4}};
  f.raw = RawLayout{"NV12", 1, "bt709", {{0, 2, 4}, {4, 2, 2}}};
  f.crc32c = int32_t(crc32c(std::get<Inline>(f.content).data));
  f.transformations = {{TransformationOp::initial, {1920, 1080}}, {TransformationOp::crop, {0, 0, 960, 540}}};
  f.attributes = {attribute_of_all_values()};
  f.objects[1].parent_id = 1;
  f.objects[1].draw_label = "somebody";
  f.objects[1].detection_box.angle = 0.25f;
  f.tags = {"night", "crossing"};
  return m;
}

// By name: one of each kind, and frames with each kind of content.
inline std::vector<std::pair<std::string, Message>> samples() {
  std::vector<std::pair<std::string, Message>> all;
  const auto add = [&](std::string name, Message m) { all.emplace_back(std::move(name), std::move(m)); };
  add("frame", frame());
  add("frame_full", full_frame());
  add("frame_objects", frame_with_objects(10));
  Message m = frame();
  m.frame->content = Location{"file:///videos/a.mp4", 100, 200, Fixed32{1, 2, 3}};
  add("frame_location", m);
  m.frame->content = Opaque{"some.type", {1, 2}};
  add("frame_opaque", m);
  m.frame->content = Part{0, 4};
  m.frame->codec = "av1";
  m.frame->crc32c = int32_t(crc32c(std::vector<uint8_t>{1, 2, 3, 4}));
  add("frame_part", m);
  m.frame->content = SharedMemory{"/run/frames", uuid(9), 1, 2, 3, 4, 500};
  add("frame_shared_memory", m);
  m.frame->content = CudaIpc{uuid(9), Fixed64{1}, Fixed64{2}, 2, 3, 4, 500};
  add("frame_cuda_ipc", m);

  m = message(Kind::frame_update);
  FrameUpdate& update = m.frame_update.emplace();
  update.frame = uuid(2);
  update.attributes = {attribute_of_all_values()};
  update.object_attributes = {{1, object(1).attributes[0]}};
  update.objects = {{object(7), 1}, {object(8), {}}};
  update.attribute_policy = AttributePolicy::keep;
  update.object_policy = ObjectPolicy::replace_same_label;
  add("frame_update", m);

  m = message(Kind::stream_update);
  StreamUpdate& stream = m.stream_update.emplace();
  stream.state = StreamState::running;
  stream.codec = "hevc";
  stream.width = 640;
  stream.height = 480;
  stream.framerate = Rational{30'000, 1001};
  stream.codec_data = {{1, 2}};
  stream.discontinuity = true;
  stream.attributes = {object(1).attributes[0]};
  stream.reason = "size changed";
  add("stream_update", m);

  m = message(Kind::end_of_stream);
  m.end_of_stream = EndOfStream{EndReason::drain, 42, uuid(2)};
  add("end_of_stream", m);

  m = message(Kind::user_data);
  m.user_data = UserData{{attribute_of_all_values()}, Inline{{1, 2, 3}}};
  add("user_data", m);

  m = message(Kind::shutdown);
  m.shutdown = Shutdown{"open sesame", "gate", ShutdownMode::now, 1000};
  add("shutdown", m);

  m = message(Kind::ack);
  m.ack = Ack{uuid(1), 3, 41, AckLevel::processed, {{40, "draining", true}}, Resume::keyframe};
  add("ack", m);

  m = message(Kind::hello);
  m.hello =
      Hello{"writer",           "gate",      "sightglass 1.0", {Fixed8{1, 2, 3, 4, 5, 6, 7, 8}}, 1 << 20,
            {"part", "inline"}, Resume::none};
  add("hello", m);

  m = message(Kind::schema_request);
  m.schema_request = SchemaRequest{{1, 2, 3, 4, 5, 6, 7, 8}};
  add("schema_request", m);

  m = message(Kind::schema_announce);
  m.schema_announce = SchemaAnnounce{R"({"type":"record","name":"Message","fields":[]})"};
  add("schema_announce", m);
  return all;
}

// The parts of a message, as a socket delivers them.
struct Parts {
  std::vector<std::vector<uint8_t>> bytes;
  std::vector<Bytes> views() const { return {bytes.begin(), bytes.end()}; }
};

// Part 1 without any check, so that it can be anything; the header's fingerprint is that of our schema.
inline std::vector<uint8_t> body_of(const Message& m) {
  std::vector<uint8_t> body;
  avro::write_header(schema_fingerprint, body);
  encode(m, body);
  return body;
}
inline Parts parts_of(const Message& m) { return {{{m.source_id.begin(), m.source_id.end()}, body_of(m)}}; }
inline Parts parts_of(const Message& m, std::vector<uint8_t> payload) {
  Parts parts = parts_of(m);
  parts.bytes.push_back(std::move(payload));
  return parts;
}

}  // namespace sightglass::stream::test
