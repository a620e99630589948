// Where a source of a process of its own delivers: a socket. The writer numbers what it sends; a message
// counts as processed when its reader has acknowledged it (on push and pub: when ZeroMQ has it).
//
//   auto outlet = std::make_shared<SocketOutlet>(std::move(writer), stop_token);
//   IntoSocket out(outlet);
//   source->run(out, stop_token);
//   outlet->end_streams(stream::EndReason::drain, stop);   // of streams whose source did not end them itself
//
// SocketOutlet may be shared by any number of sources: on a dealer each stream has a window of its own, so
// that none waits for another. Thread-safe; an IntoSocket is used by one thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/stream/zeromq/writer.h"

namespace sightglass::adapters {

class SocketOutlet {
 public:
  explicit SocketOutlet(std::shared_ptr<stream::ZmqWriter> writer) : writer_(std::move(writer)) {}

  stream::ZmqWriter& writer() const { return *writer_; }
  uint64_t frames() const { return frames_; }
  // Why nothing more is taken, apart from being stopped.
  std::optional<Error> error() const;
  // Messages that the writer cannot send: too large for its reader, or for the limits of messages.
  uint64_t unsendable() const { return unsendable_; }
  std::string unsendable_reason() const;  // of the last one
  // Of each stream that has come through here, by name: for sources that do not watch their streams.
  std::vector<SourceStatus> status() const;
  // An EOS into every stream that has none. exhausted: the reader did not take it in time.
  Status end_streams(stream::EndReason reason, std::chrono::milliseconds timeout);

 private:
  friend class IntoSocket;
  struct Stream {
    bool is_open = false;
    int64_t frames = 0;  // of this epoch
    std::optional<stream::Uuid> last_frame;
    SourceStatus status;
    int64_t since_ns = 0, sending_ns = 0, last_ns = 0, interval_ns = 0;  // steady clock; sending 0: not
  };
  void forget_one();
  void begin(const stream::Message& message);
  void sent(const stream::Message& message, bool taken);
  void count_unsendable(const Error& error);
  void release(std::span<const std::string> source_ids);

  const std::shared_ptr<stream::ZmqWriter> writer_;
  std::atomic<uint64_t> frames_ = 0, unsendable_ = 0;
  mutable std::mutex mutex_;
  std::optional<Error> error_;
  std::string unsendable_reason_;
  std::map<std::string, Stream, std::less<>> streams_;
};

class IntoSocket final : public Deliver {
 public:
  IntoSocket(std::shared_ptr<SocketOutlet> outlet, std::stop_token stop)
      : outlet_(std::move(outlet)), stop_(std::move(stop)) {}

  bool deliver(stream::Delivery delivery) override;
  Offer offer(stream::Delivery& delivery) override;
  void release(std::span<const std::string> source_ids, bool at_once) override;
  std::unique_ptr<Deliver> another() override { return std::make_unique<IntoSocket>(outlet_, stop_); }

 private:
  Offer try_for(stream::Delivery& delivery, std::chrono::milliseconds timeout);

  const std::shared_ptr<SocketOutlet> outlet_;
  const std::stop_token stop_;
  stream::Message message_;
};

}  // namespace sightglass::adapters
