#include "sightglass/module/source_runner.h"

#include <gtest/gtest.h>

#include <future>
#include <latch>

namespace sightglass::module {
namespace {

class NoDeliver final : public adapters::Deliver {
 public:
  bool deliver(stream::Delivery) override { return false; }
  std::unique_ptr<Deliver> another() override { return nullptr; }
};

// Starts once the test lets it, or when it is cancelled and hears of that.
class Hesitant final : public adapters::Source {
 public:
  struct Gate {
    std::latch has_begun{1}, may_go_on{1};
  };
  Hesitant(std::shared_ptr<Gate> gate, bool hears) : gate_(std::move(gate)), hears_(hears) {}
  Status start() override {
    gate_->has_begun.count_down();
    gate_->may_go_on.wait();
    return fail(ErrorCode::io, "no answer");
  }
  void cancel() override {
    if (hears_) gate_->may_go_on.count_down();
  }
  Status run(adapters::Deliver&, std::stop_token) override { return {}; }

 private:
  const std::shared_ptr<Gate> gate_;
  const bool hears_;
};

class SourceRunnerTest : public testing::Test {
 protected:
  std::unique_ptr<SourceRunner> runner(bool hears) {
    return std::make_unique<SourceRunner>("camera", std::make_unique<Hesitant>(gate_, hears),
                                          std::make_unique<NoDeliver>(), [] {});
  }
  const std::shared_ptr<Hesitant::Gate> gate_ = std::make_shared<Hesitant::Gate>();
};

TEST_F(SourceRunnerTest, StartIsCancelledFromAnotherThread) {
  const auto source = runner(true);
  auto started = std::async(std::launch::async, [&] { return source->start(); });
  gate_->has_begun.wait();
  source->cancel();
  source->cancel();
  const Status status = started.get();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::cancelled);
  EXPECT_FALSE(source->is_left_behind());
}

TEST_F(SourceRunnerTest, StartThatDoesNotEvenComeBackIsLeftBehind) {
  const auto source = runner(false);
  auto started = std::async(std::launch::async, [&] { return source->start(); });
  gate_->has_begun.wait();
  source->cancel();
  const Status status = started.get();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::cancelled);
  EXPECT_TRUE(source->is_left_behind());
  gate_->may_go_on.count_down();
}

TEST_F(SourceRunnerTest, StartThatWasCancelledBeforeDoesNothing) {
  const auto source = runner(true);
  source->cancel();
  const Status status = source->start();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::cancelled);
  EXPECT_FALSE(gate_->has_begun.try_wait());
}

TEST_F(SourceRunnerTest, ErrorOfAStartNamesTheSource) {
  const auto source = runner(true);
  gate_->may_go_on.count_down();
  const Status status = source->start();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::io);
  EXPECT_EQ(status.error().element, "camera");
}

}  // namespace
}  // namespace sightglass::module
