// A module that does nothing: what comes in at one address goes out at another, pictures uncopied and uuids
// unchanged.
//
//   stream_relay pull+bind:tcp://127.0.0.1:* pub+bind:tcp://127.0.0.1:*
//
// Prints both addresses with their real ports, then works until its input is closed: end of file on stdin.
#include <poll.h>
#include <unistd.h>

#include <cstdio>

#include "sightglass/stream/zeromq/reader.h"
#include "sightglass/stream/zeromq/writer.h"

using namespace sightglass;
using namespace sightglass::stream;
using namespace std::chrono_literals;

namespace {

bool input_open() {
  pollfd in{STDIN_FILENO, POLLIN, 0};
  return poll(&in, 1, 0) == 0;
}

Status relay(const char* from, const char* to) {
  const auto in = parse_reader_url(from, "first argument");
  if (!in) return std::unexpected(in.error());
  const auto out = parse_writer_url(to, "second argument");
  if (!out) return std::unexpected(out.error());
  auto reader = ZmqReader::open(*in, {});
  if (!reader) return forward_error(reader);
  auto writer = ZmqWriter::open(*out, {});
  if (!writer) return forward_error(writer);
  std::printf("%s\n%s\n", (*reader)->url().to_string().c_str(), (*writer)->url().to_string().c_str());
  std::fflush(stdout);

  while (input_open()) {
    auto received = (*reader)->next(20ms);
    if (!received) return forward_error(received);
    if (!*received) continue;
    const Delivery& delivery = (*received)->delivery;
    Message message = *delivery.message;
    const Payload payload = delivery.payloads.empty() ? Payload() : delivery.payloads.front();
    if (Status status = (*writer)->send(message, payload); !status) return status;
    if (delivery.settlement) delivery.settlement->processed();
  }
  std::printf("rejected %llu\n", static_cast<unsigned long long>((*reader)->rejected()));
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: stream_relay FROM TO\n");
    return 2;
  }
  if (Status status = relay(argv[1], argv[2]); !status) {
    std::fprintf(stderr, "%s\n", status.error().message.c_str());
    return 1;
  }
  return 0;
}
