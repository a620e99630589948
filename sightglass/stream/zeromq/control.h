// The control messages of both ends, and what else they share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/messages.h"
#include "sightglass/stream/zeromq/socket.h"

namespace sightglass::stream {

// Microseconds since 1970.
int64_t now_us();

// The fingerprint in part 1; 0 when it is too short.
uint64_t fingerprint_of(Bytes body);
Fixed8 fingerprint_bytes(uint64_t fingerprint);

// Whether the body's content is a part of the message.
bool uses_part(const Message& message);

Message hello_message(std::string_view role, std::string_view name, int64_t max_part,
                      Resume resume = Resume::none);
Message announce_message();
bool knows_schema(const Hello& hello, uint64_t fingerprint);

// Sets kind and sent_us and sends under the message's source id, to `route` if there is one. False: not now.
bool send_control_message(Socket& socket, MessageWriter& writer, Message& message, std::string_view route);

}  // namespace sightglass::stream
