// What the tests of readers and writers share: frames, both ends of a line, and a writer of raw parts.
#pragma once

#include <gmock/gmock.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/uuid.h"
#include "sightglass/stream/zeromq/control.h"
#include "sightglass/stream/zeromq/reader.h"
#include "sightglass/stream/zeromq/writer.h"
#include "sightglass/stream/zeromq/zmq_test_support.h"

namespace sightglass::stream {

// A picture of a codec that nobody looks into.
inline Payload picture(uint32_t n, size_t size = 2000) {
  std::vector<uint8_t> bytes(size, static_cast<uint8_t>(n));
  return own(std::move(bytes));
}

inline Message frame(const std::string& source, const Payload& payload, bool keyframe = true) {
  Message message;
  message.source_id = source;
  VideoFrame& body = message.frame.emplace();
  body.uuid = make_uuid_v7();
  body.created_us = now_us();
  body.width = 64, body.height = 48;
  body.codec = "vp9x";
  body.keyframe = keyframe;
  set_part(body, payload.bytes);
  return message;
}

inline Message end(const std::string& source) {
  Message message;
  message.source_id = source;
  message.end_of_stream.emplace().reason = EndReason::end;
  return message;
}

inline std::unique_ptr<ZmqReader> reader_at(const Url& url, ZmqReaderOptions options = {}) {
  auto reader = ZmqReader::open(url, std::move(options));
  EXPECT_TRUE(reader) << reader.error().message;
  return reader ? std::move(*reader) : nullptr;
}

inline Url peer_of(Url url, SocketType type) {
  url.type = type;
  url.bind = !url.bind;
  return url;
}

inline ZmqWriterOptions quick() {
  ZmqWriterOptions options;
  options.socket.reconnect_first = 10ms;
  options.socket.reconnect_most = 50ms;
  return options;
}

inline std::unique_ptr<ZmqWriter> writer_to(const Url& url, SocketType type,
                                            ZmqWriterOptions options = quick()) {
  auto writer = ZmqWriter::open(peer_of(url, type), std::move(options));
  EXPECT_TRUE(writer) << writer.error().message;
  return writer ? std::move(*writer) : nullptr;
}

inline std::optional<Received> next(ZmqReader& reader) {
  std::optional<Received> out;
  soon([&] {
    auto received = reader.next(20ms);
    EXPECT_TRUE(received) << received.error().message;
    if (!received) return true;
    out = std::move(*received);
    return out.has_value();
  });
  return out;
}

class OverIpc : public testing::Test {
 protected:
  TempFolder folder_;
  Url ipc(std::string_view what) const { return test_url(what, "ipc", folder_.path); }
};
// A writer of raw parts, for what ZmqWriter would not send.
class RawWriter {
 public:
  RawWriter(const Url& reader, SocketType type) : socket_(*Socket::open(peer_of(reader, type), {})) {}
  void send(std::initializer_list<std::string_view> texts) {
    std::vector<MessagePart> parts;
    for (const std::string_view text : texts) parts.push_back(MessagePart::copy_of(text));
    send(parts);
  }
  void send(std::span<const MessagePart> parts) {
    EXPECT_TRUE(soon([&] {
      const auto sent = socket_.send(parts);
      if (!sent || !*sent) socket_.wait({.writable = true}, 10ms);
      return sent && *sent;
    }));
  }
  void send(Message message, const Payload& payload = {}, uint64_t fingerprint = schema_fingerprint) {
    message.kind = kind_of(message);
    if (message.producer == Uuid{}) message.producer = producer;
    MessageWriter writer;
    std::vector<uint8_t> body;
    const Status status = writer.write(message, payload.bytes, body);
    ASSERT_TRUE(status) << status.error().message;
    for (size_t i = 0; i < 8; ++i) body[2 + i] = static_cast<uint8_t>(fingerprint >> (8 * i));
    std::vector<MessagePart> parts;
    parts.push_back(MessagePart::copy_of(message.source_id));
    parts.push_back(MessagePart::copy_of(body));
    if (!payload.bytes.empty()) parts.push_back(MessagePart::share(payload));
    send(parts);
  }
  // The next answer of a router.
  Message answer(ZmqReader& reader) {
    Message message;
    std::vector<MessagePart> parts;
    EXPECT_TRUE(soon([&] {
      (void)reader.next(1ms);
      const auto got = socket_.receive(parts);
      return got && *got;
    }));
    std::vector<Bytes> bytes;
    for (const MessagePart& part : parts) bytes.push_back(part.bytes());
    MessageReader decoder;
    EXPECT_EQ(decoder.read(bytes, message).verdict, Reading::Verdict::accepted);
    return message;
  }
  void greet() {
    Message hello = hello_message("writer", "raw", 1 << 20);
    hello.source_id = control_topic;
    send(std::move(hello));
  }

  Uuid producer = make_uuid_v7();
  Socket socket_;
};

}  // namespace sightglass::stream
