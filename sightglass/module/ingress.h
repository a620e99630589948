// Where messages come in: each goes to the stream of its source id, which is made when it is new. Counted by
// kind; what no stream may take is refused here, before anything is kept of it.
//
//   Ingress ingress(shared);          // one per receiving thread
//   ingress.deliver(std::move(delivery));   // waits while that stream's queue is full and its policy is
//   block
#pragma once

#include <array>
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
  std::array<std::atomic<uint64_t>, 16> received_{};  // by kind
  mutable std::mutex mutex_;
  std::map<std::string, uint64_t, std::less<>> rejected_;
};

struct IngressShared {
  std::shared_ptr<const StreamServices> services;
  IngressCounters counters;
  std::atomic<bool> is_closed{false};                        // nothing is taken any more
  std::function<void(const stream::Shutdown&)> on_shutdown;  // a control message
  std::atomic<bool> is_gone{false};                          // the module; on_shutdown is not called any more
};

class Ingress final : public adapters::Deliver {
 public:
  explicit Ingress(std::shared_ptr<IngressShared> shared)
      : keeps_(std::move(shared)), shared_(*keeps_), reader_(*shared_.services->table) {}

  bool deliver(stream::Delivery delivery) override {
    return take(std::move(delivery), -1).has_value() || !shared_.is_closed;
  }
  Offer offer(stream::Delivery& delivery) override;
  void release(std::span<const std::string> source_ids, bool at_once) override;
  // Asked of each frame of a stream that is let in; false: it is settled and counted as "accept".
  void set_filter(std::function<bool(const stream::Message&)> wants) { wants_ = std::move(wants); }
  std::unique_ptr<adapters::Deliver> another() override { return std::make_unique<Ingress>(keeps_); }
  // The error: refused, no room in time (deadline_ms; -1: waits for ever), closed, given up (Module::push).
  Status take(stream::Delivery delivery, int deadline_ms, const std::function<bool()>& gives_up = {});

 private:
  const std::shared_ptr<IngressShared> keeps_;
  IngressShared& shared_;
  stream::StreamTable::Reader reader_;
  std::function<bool(const stream::Message&)> wants_;
};

}  // namespace sightglass::module
