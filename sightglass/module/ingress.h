// Where messages come in: each goes to the stream of its source id, which is made when it is new. Counted by
// kind; what no stream may take is refused here, before anything is kept of it.
//
//   Ingress ingress(shared);          // one per receiving thread
//   ingress.deliver(std::move(delivery));   // waits while that stream's queue is full and its policy is
//   block
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "sightglass/adapters/adapter.h"
#include "sightglass/module/stream_runner.h"

namespace sightglass::module {

// What all ingresses of a module share. Thread-safe.
class IngressCounters {
 public:
  void count_received(stream::Kind kind);
  void count_rejected(std::string_view reason);
  std::map<std::string, uint64_t> received() const, rejected() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, uint64_t, std::less<>> received_, rejected_;
};

struct IngressShared {
  std::shared_ptr<const StreamServices> services;
  IngressCounters counters;
  std::atomic<bool> is_closed{false};                        // nothing is taken any more
  std::function<void(const stream::Shutdown&)> on_shutdown;  // a control message
};

class Ingress final : public adapters::Deliver {
 public:
  explicit Ingress(IngressShared& shared) : shared_(shared), reader_(*shared.services->table) {}

  bool deliver(stream::Delivery delivery) override {
    return take(std::move(delivery), -1).has_value() || !shared_.is_closed;
  }
  std::unique_ptr<adapters::Deliver> another() override { return std::make_unique<Ingress>(shared_); }
  // The error: refused, no room in time (deadline_ms; -1: waits for ever), closed.
  Status take(stream::Delivery delivery, int deadline_ms);

 private:
  IngressShared& shared_;
  stream::StreamTable::Reader reader_;
};

}  // namespace sightglass::module
