// The writing end of a stream: messages of any number of sources into one ZeroMQ socket (pub, push or
// dealer).
//
//   auto writer = ZmqWriter::open(*parse_writer_url("dealer+connect:tcp://module:5560"), {});
//   Message message;                                // kind, source_id and one body, here a frame
//   set_part(*message.frame, picture.bytes);        // message_writer.h
//   Status status = (*writer)->send(message, picture);   // picture is not copied
//   status = (*writer)->flush(10s);
//
// What send() promises depends on the socket:
//   pub     never waits for readers; what a slow one has no room for is lost for it and counted here
//   (`dropped`) push    waits until there is room, at most `send_timeout`; then nothing was sent and the call
//   may be repeated dealer  the same, at the window of messages of that source that are not acknowledged;
//   what was taken is sent
//           again, over new connections too, until the reader has stored it or refused it for good
//           (ack_window.h)
//
// The writer numbers what it sends: producer (of this object), epoch (one life of a source, ended by its
// end_of_stream), seq, attempt and sent_us are set in the message it is given. It announces its schema,
// greets the reader where that can answer, and answers requests. The reader may be away for any time: nothing
// ends, senders wait.
//
// Thread-safe. A thread of its own uses the socket, about 20 µs per message. close() or the destructor may be
// called while others wait in send(), which then fails with `cancelled`; close() and cancel() by any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "sightglass/stream/delivery.h"
#include "sightglass/stream/limits.h"
#include "sightglass/stream/messages.h"
#include "sightglass/stream/zeromq/ack_window.h"
#include "sightglass/stream/zeromq/socket.h"

namespace sightglass::stream {

// A message that no reader will ever take: refused for good, with the reader's reason ("malformed", "poison",
// …).
struct DeadLetter {
  std::shared_ptr<const Packet> packet;
  std::string code;
};

struct ZmqWriterOptions {
  SocketOptions socket;
  std::chrono::milliseconds send_timeout{5000};
  size_t queue = 16;  // push, pub: messages between send() and the socket
  AckWindow::Options window;
  Limits limits;
  std::string name;  // shown to the reader
  // Called on the writer's thread; must not call the writer.
  std::function<void(const DeadLetter&)> dead_letter;
};

class ZmqWriter {
 public:
  static Result<std::unique_ptr<ZmqWriter>> open(const Url& url, ZmqWriterOptions options);
  ~ZmqWriter();
  ZmqWriter(const ZmqWriter&) = delete;
  ZmqWriter& operator=(const ZmqWriter&) = delete;

  // Errors: invalid_argument (the message is none that a reader would take), exhausted (no room in time),
  // cancelled. `payload` goes as part 2 where the body's content is a Part.
  Status send(Message& message, const Payload& payload = {});
  // With a patience other than send_timeout.
  Status send(Message& message, const Payload& payload, std::chrono::milliseconds timeout);
  // With somebody who is told, on the writer's thread, what became of what was taken: on a dealer when the
  // reader has acknowledged or refused it, else at once.
  Status send(Message& message, const Payload& payload, std::chrono::milliseconds timeout,
              std::shared_ptr<Settlement> settlement);

  // Until everything is handed to ZeroMQ, on a dealer until it is acknowledged. exhausted: not in time.
  Status flush(std::chrono::milliseconds timeout);
  // The same for one source; on a dealer.
  Status flush(std::string_view source, std::chrono::milliseconds timeout);
  // From now on acknowledged has to mean stored: a reader that acknowledges what stands in its queue is an
  // error of send(), flush() and status().
  void need_processed();
  // Why no send() will succeed any more, apart from being closed; not_negotiated.
  Status status() const;
  void close();
  // Wakes all that wait, like close(), and returns at once.
  void cancel();

  const Uuid& producer() const;
  // With the real port.
  const Url& url() const;
  const std::vector<std::string>& warnings() const;

  struct Statistics {
    uint64_t sent = 0, bytes = 0;                        // messages given to send() and taken
    uint64_t dropped = 0;                                // pub: at the high-water mark
    uint64_t acknowledged = 0, refused = 0, resent = 0;  // dealer; resent: transmissions beyond the first
    uint64_t bad_acks = 0;                               // for what was never sent
    size_t waiting = 0;                                  // not acknowledged, or not with ZeroMQ yet
    bool blocked = false;                                // somebody waits in send() right now
    bool linked = false;                                 // dealer: a reader has answered; others: connected
    Socket::Connections connections;
  };
  Statistics statistics() const;

 private:
  struct State;
  explicit ZmqWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sightglass::stream
