#include "sightglass/stream/zeromq/ack_desk.h"

#include <atomic>
#include <utility>

namespace sightglass::stream {
namespace {

class RouterSettlement final : public Settlement {
 public:
  RouterSettlement(std::shared_ptr<AckDesk> desk, const Message& message, AckLevel level)
      : desk_(std::move(desk)),
        key_{message.producer, message.source_id, message.epoch},
        seq_(message.seq),
        level_(level) {
    if (message.frame) uuid_ = message.frame->uuid;
  }
  ~RouterSettlement() override {
    if (!told_.load()) forget();
  }

  void accepted() override {
    if (level_ == AckLevel::accepted) settle();
  }
  void processed() override { settle(); }
  void refused(std::string_view code, bool retry) override {
    if (told_.exchange(true)) return;
    if (retry) forget();
    desk_->change([&](AckDesk::Clock::time_point now) {
      ++desk_->refused;
      desk_->collector.refuse(key_, seq_, code, retry, now);
    });
  }

 private:
  void settle() {
    if (told_.exchange(true)) return;
    desk_->change([&](AckDesk::Clock::time_point now) { desk_->collector.settle(key_, seq_, now); });
  }
  void forget() {
    std::lock_guard lock(desk_->mutex);
    desk_->forgotten.push_back({key_, seq_, uuid_});
  }

  std::shared_ptr<AckDesk> desk_;
  EpochKey key_;
  int64_t seq_;
  std::optional<Uuid> uuid_;
  AckLevel level_;
  std::atomic<bool> told_{false};
};

}  // namespace

std::shared_ptr<Settlement> desk_settlement(std::shared_ptr<AckDesk> desk, const Message& message,
                                            AckLevel level) {
  return std::make_shared<RouterSettlement>(std::move(desk), message, level);
}

}  // namespace sightglass::stream
