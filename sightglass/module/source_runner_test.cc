#include "sightglass/module/source_runner.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <latch>
#include <stdexcept>

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

// Its start never comes back; nothing else is called while it is in there.
TEST_F(SourceRunnerTest, OneThatWasLeftBehindIsNotDrained) {
  class Counting final : public adapters::Source {
   public:
    Counting(std::shared_ptr<Hesitant::Gate> gate, std::shared_ptr<std::atomic<int>> drains)
        : gate_(std::move(gate)), drains_(std::move(drains)) {}
    Status start() override {
      gate_->has_begun.count_down();
      gate_->may_go_on.wait();
      return {};
    }
    bool drain() override { return ++*drains_ > 0; }
    Status run(adapters::Deliver&, std::stop_token) override { return {}; }

   private:
    const std::shared_ptr<Hesitant::Gate> gate_;
    const std::shared_ptr<std::atomic<int>> drains_;
  };
  const auto drains = std::make_shared<std::atomic<int>>(0);
  SourceRunner source("camera", std::make_unique<Counting>(gate_, drains), std::make_unique<NoDeliver>(),
                      [] {});
  auto started = std::async(std::launch::async, [&] { return source.start(); });
  gate_->has_begun.wait();
  source.cancel();
  EXPECT_FALSE(started.get());
  ASSERT_TRUE(source.is_left_behind());
  source.drain();
  EXPECT_EQ(*drains, 0);
  gate_->may_go_on.count_down();
}

TEST_F(SourceRunnerTest, WhatASourceThrowsIsItsError) {
  class Throwing final : public adapters::Source {
   public:
    explicit Throwing(bool starts) : starts_(starts) {}
    Status start() override { return starts_ ? Status{} : throw std::runtime_error("no memory"); }
    Status run(adapters::Deliver&, std::stop_token) override { throw std::runtime_error("no memory"); }

   private:
    const bool starts_;
  };
  for (const bool starts : {false, true}) {
    SourceRunner source("camera", std::make_unique<Throwing>(starts), std::make_unique<NoDeliver>(), [] {});
    Status status = source.start();
    if (starts) {
      ASSERT_TRUE(status);
      source.run();
      ASSERT_TRUE(source.join(steady_now_ns() + 60'000'000'000));
      status = source.status();
    }
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::internal);
    EXPECT_EQ(status.error().message, "no memory");
  }
}

}  // namespace
}  // namespace sightglass::module
