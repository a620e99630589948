// Announced schemas, and messages written in them. An input is the text of a schema, a zero, and a datum.
#include <algorithm>
#include <cstring>

#include "sightglass/stream/message_reader.h"
#include "sightglass/stream/schema_registry.h"
#include "sightglass/stream/uuid.h"

using namespace sightglass::stream;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(data, size);
  const auto zero = std::ranges::find(input, 0);
  const auto text_size = size_t(zero - input.begin());
  static const Uuid producer = make_uuid_v7();
  static SchemaRegistry registry;
  static Message message;
  uint64_t fingerprint = 0;
  const std::string_view text(reinterpret_cast<const char*>(data), text_size);
  if (registry.announce(producer, text, {}, &fingerprint) == Rejection::none && zero != input.end()) {
    static MessageReader reader({}, &registry);
    std::vector<uint8_t> body;
    avro::write_header(fingerprint, body);
    body.insert(body.end(), zero + 1, input.end());
    static constexpr uint8_t topic[] = {'c', 'a', 'm', '-', '1'};
    const Bytes parts[] = {topic, body};
    (void)reader.read(parts, message, {});
  }
  registry.forget(producer);
  return 0;
}
