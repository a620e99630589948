// Messages as they come from a socket. An input is: length of part 0 (a byte), part 0, length of part 1 (two
// bytes, the lower first), part 1, and the payload, which is part 2 unless it is empty.
//
// Whatever is accepted must keep the promises of message_reader.h, and be accepted again when it is sent on.
#include <cmath>
#include <cstdlib>
#include <set>

#include "sightglass/stream/avro/schema.h"
#include "sightglass/stream/message_reader.h"
#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/uuid.h"

using namespace sightglass::stream;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

Bytes take(Bytes& bytes, size_t size) {
  const Bytes taken = bytes.first(std::min(size, bytes.size()));
  bytes = bytes.subspan(taken.size());
  return taken;
}

void check_promises(const Message& message) {
  require(kind_of(message) == message.kind && message.kind != Kind::unknown);
  require(is_source_id(message.source_id) || message.source_id == control_topic);
  require(!is_zero(message.producer));
  if (!message.frame) return;
  const VideoFrame& frame = *message.frame;
  require(frame.width > 0 && frame.height > 0 && !is_zero(frame.uuid));
  std::set<int64_t> ids;
  for (const Object& object : frame.objects) require(ids.insert(object.id).second);
  for (const Object& object : frame.objects) {
    const Box& box = object.detection_box;
    require(std::isfinite(box.xc) && std::isfinite(box.yc) && box.width >= 0 && box.height >= 0);
    require(!object.confidence || (*object.confidence >= 0 && *object.confidence <= 1));
    require(!object.parent_id || ids.contains(*object.parent_id));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static MessageReader reader;
  static Message message, again;
  static std::vector<uint8_t> body;
  Bytes rest(data, size);
  const Bytes lengths = take(rest, 1);
  const Bytes topic = take(rest, lengths.empty() ? 0 : lengths[0]);
  const Bytes body_size = take(rest, 2);
  const Bytes datum = take(rest, body_size.size() < 2 ? 0 : body_size[0] | size_t(body_size[1]) << 8);
  std::vector<Bytes> parts = {topic, datum};
  if (!rest.empty()) parts.push_back(rest);
  if (reader.read(parts, message).verdict != Reading::Verdict::accepted) return 0;
  check_promises(message);
  body.clear();
  avro::write_header(schema_fingerprint, body);
  encode(message, body);
  parts[1] = body;
  require(reader.read(parts, again).verdict == Reading::Verdict::accepted);
  return 0;
}
