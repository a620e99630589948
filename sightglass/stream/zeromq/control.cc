#include "sightglass/stream/zeromq/control.h"

#include <algorithm>
#include <chrono>

namespace sightglass::stream {

int64_t now_us() {
  using namespace std::chrono;
  return duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
}

uint64_t fingerprint_of(Bytes body) {
  uint64_t fingerprint = 0;
  if (body.size() < 10) return 0;
  for (size_t i = 0; i < 8; ++i) fingerprint |= uint64_t{body[2 + i]} << (8 * i);
  return fingerprint;
}

Fixed8 fingerprint_bytes(uint64_t fingerprint) {
  Fixed8 out{};
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<uint8_t>(fingerprint >> (8 * i));
  return out;
}

bool uses_part(const Message& message) {
  const Content* content = message.frame       ? &message.frame->content
                           : message.user_data ? &message.user_data->content
                                               : nullptr;
  return content && std::holds_alternative<Part>(*content);
}

Message hello_message(std::string_view role, std::string_view name, int64_t max_part, Resume resume) {
  Message message;
  Hello& hello = message.hello.emplace();
  hello.role = role;
  hello.name = name.substr(0, 256);
  hello.software = "sightglass";
  for (const ReleasedSchema& schema : released_schemas())
    hello.schemas.push_back(fingerprint_bytes(schema.fingerprint));
  if (!knows_schema(hello, schema_fingerprint)) {
    hello.schemas.insert(hello.schemas.begin(), fingerprint_bytes(schema_fingerprint));
  }
  hello.max_part = max_part;
  hello.features = {"inline", "part", "location"};
  hello.resume = resume;
  return message;
}

Message announce_message() {
  Message message;
  message.schema_announce.emplace().text = schema_text();
  return message;
}

bool knows_schema(const Hello& hello, uint64_t fingerprint) {
  return std::ranges::contains(hello.schemas, fingerprint_bytes(fingerprint));
}

bool send_control_message(Socket& socket, MessageWriter& writer, Message& message, std::string_view route) {
  message.kind = kind_of(message);
  message.sent_us = now_us();
  std::vector<uint8_t> body;
  if (!writer.write(message, {}, body)) return false;
  std::vector<MessagePart> parts;
  if (!route.empty()) parts.push_back(MessagePart::copy_of(route));
  parts.push_back(MessagePart::copy_of(message.source_id));
  parts.push_back(MessagePart::copy_of(body));
  const auto sent = socket.url().type == SocketType::pub ? socket.publish(parts) : socket.send(parts);
  return sent && *sent;
}

}  // namespace sightglass::stream
