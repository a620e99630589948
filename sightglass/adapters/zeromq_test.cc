// The source and the sink of messages, each against the other end of its socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/uuid.h"
#include "sightglass/stream/zeromq/reader.h"
#include "sightglass/stream/zeromq/writer.h"
#include "tests/temporary_folder.h"

namespace sightglass::adapters {
namespace {

using namespace std::chrono_literals;

template <class Condition>
bool soon(Condition&& condition) {
  for (const auto end = std::chrono::steady_clock::now() + 30s; std::chrono::steady_clock::now() < end;)
    if (condition()) return true;
  return false;
}

class ZmqAdapters : public testing::Test {
 protected:
  std::unique_ptr<Sink> sink(const std::string& send_timeout) {
    const SinkDesc* desc = find_sink("zeromq");
    ParamSet params(desc->params);
    EXPECT_TRUE(params.set_text("url", "dealer+connect:" + address));
    EXPECT_TRUE(params.set_text("send-timeout", send_timeout));
    auto made = desc->create(params, {.name = "next", .module = "this"});
    EXPECT_TRUE(made && (*made)->start());
    return std::move(*made);
  }
  std::unique_ptr<stream::ZmqReader> reader() {
    auto opened = stream::ZmqReader::open(*stream::parse_reader_url("router+bind:" + address), {});
    EXPECT_TRUE(opened);
    return std::move(*opened);
  }
  static stream::Message frame() {
    stream::Message message;
    message.kind = stream::Kind::frame;
    message.source_id = "cam-1";
    message.frame.emplace();
    message.frame->uuid = stream::make_uuid_v7();
    message.frame->width = 64, message.frame->height = 48;
    message.frame->keyframe = true;
    return message;
  }
  static std::vector<RecordRef> records(size_t count) {
    std::vector<RecordRef> all;
    for (size_t i = 0; i < count; ++i)
      all.push_back(record_of({.message = std::make_shared<stream::Message>(frame())}));
    return all;
  }

  const sightglass::test::TemporaryFolder temporary{};
  const std::string folder = temporary.path(), address = "ipc://" + folder + "/s";
};

// A window holds 64 messages of a source: the 65th does not go.
TEST_F(ZmqAdapters, F07SinkCallsNothingStoredThatIsNotAcknowledged) {
  auto next = sink("0");
  const auto given = records(70);
  std::vector<Stored> outcome(given.size());
  std::atomic<bool> returned{false};
  Status status;
  std::thread writing([&] {
    status = next->write(given, outcome);
    returned = true;
  });
  std::this_thread::sleep_for(100ms);
  EXPECT_FALSE(returned);
  next->cancel();
  writing.join();
  ASSERT_FALSE(status);  // as good as `retry` for all
  EXPECT_EQ(status.error().code, ErrorCode::cancelled);
}

TEST_F(ZmqAdapters, SinkTellsWhatIsStoredFromWhatDidNotGo) {
  auto far = reader();
  auto next = sink("0");
  const auto given = records(70);
  std::vector<Stored> outcome(given.size());
  std::atomic<bool> returned{false};
  Status status;
  std::thread writing([&] {
    status = next->write(given, outcome);
    returned = true;
  });
  EXPECT_TRUE(soon([&] {
    auto got = far->next(1ms);
    if (got && *got && (*got)->delivery.settlement) (*got)->delivery.settlement->processed();
    return returned.load();
  }));
  writing.join();
  EXPECT_TRUE(status);
  const auto stored = std::ranges::count(outcome, Stored::yes);
  EXPECT_GE(stored, 64);
  EXPECT_EQ(std::ranges::count(outcome, Stored::retry), 70 - stored);
}

TEST_F(ZmqAdapters, SinkGivesUpWhatNoMessageCanHold) {
  auto far = reader();
  auto next = sink("5");
  auto large = std::make_shared<Record>(*records(1)[0]);
  large->results.regions.resize(stream::Limits().objects + 1);
  const std::vector<RecordRef> given = {large};
  std::vector<Stored> outcome(1);
  EXPECT_TRUE(next->write(given, outcome));
  EXPECT_EQ(outcome[0], Stored::never);
}

TEST_F(ZmqAdapters, SinkPassesUserDataOnWithItsPayload) {
  auto far = reader();
  auto next = sink("5");
  auto message = std::make_shared<stream::Message>();
  message->kind = stream::Kind::user_data;
  message->source_id = "cam-1";
  message->user_data.emplace();
  auto with_payload = std::make_shared<Record>(*record_of({.message = message}));
  with_payload->payload = stream::own({1, 2, 3});
  const std::vector<RecordRef> all = {with_payload};
  std::vector<Stored> outcome(1);
  std::atomic<bool> returned{false};
  std::jthread writing([&] {
    EXPECT_TRUE(next->write(all, outcome));
    returned = true;
  });
  std::vector<uint8_t> got_bytes;
  EXPECT_TRUE(soon([&] {
    auto got = far->next(1ms);
    if (got && *got && (*got)->delivery.settlement) {
      for (const auto& payload : (*got)->delivery.payloads)
        got_bytes.assign(payload.bytes.begin(), payload.bytes.end());
      (*got)->delivery.settlement->processed();
    }
    return returned.load();
  }));
  writing.join();
  EXPECT_EQ(outcome[0], Stored::yes);
  EXPECT_EQ(got_bytes, (std::vector<uint8_t>{1, 2, 3}));
}

// As between `sightglass sink zeromq` and whoever reads what it sends on.
TEST_F(ZmqAdapters, UserDataThatWasReceivedIsSentOnWithItsContent) {
  const std::string first = "ipc://" + folder + "/first";
  auto writer = stream::ZmqWriter::open(*stream::parse_writer_url("push+connect:" + first), {});
  auto near = stream::ZmqReader::open(*stream::parse_reader_url("pull+bind:" + first), {});
  ASSERT_TRUE(writer && near);
  auto far = reader();
  auto next = sink("5");
  const std::vector<uint8_t> part = {0xff, 0, 1, 2}, inlined = {7, 8};
  for (const bool is_part : {true, false}) {
    stream::Message message;
    message.kind = stream::Kind::user_data;
    message.source_id = "gate";
    message.user_data.emplace();
    const stream::Payload payload = is_part ? stream::own(part) : stream::Payload();
    if (is_part)
      message.user_data->content = stream::part_content(payload.bytes);
    else
      message.user_data->content = stream::Inline{.data = inlined};
    message.seq = is_part ? 0 : 1;
    ASSERT_TRUE((*writer)->send(message, payload, 5s));
    RecordRef record;
    EXPECT_TRUE(soon([&] {
      auto got = (*near)->next(1ms);
      if (got && *got) record = record_of((*got)->delivery);
      return record != nullptr;
    }));
    std::atomic<bool> returned{false};
    std::jthread writing([&] {
      std::vector<Stored> outcome(1);
      EXPECT_TRUE(next->write(std::vector<RecordRef>{record}, outcome));
      EXPECT_EQ(outcome[0], Stored::yes);
      returned = true;
    });
    RecordRef sent_on;
    EXPECT_TRUE(soon([&] {
      auto got = far->next(1ms);
      if (got && *got) {
        sent_on = record_of((*got)->delivery);
        (*got)->delivery.settlement->processed();
      }
      return returned.load();
    }));
    ASSERT_TRUE(sent_on);
    const auto bytes = sent_on->payload.bytes;
    EXPECT_EQ(std::vector(bytes.begin(), bytes.end()), is_part ? part : inlined);
    std::string json;
    write_record_json(*sent_on, json);
    EXPECT_THAT(json, testing::HasSubstr(is_part ? R"("content_size":4,"content":"/wABAg==")"
                                                 : R"("content_size":2,"content":"Bwg=")"));
  }
}

TEST_F(ZmqAdapters, SinkMayBeCancelledWhileItStops) {
  for (int i = 0; i < 30; ++i) {
    auto next = sink("0");
    std::thread other([&] { next->cancel(); });
    next->stop();
    other.join();
  }
}

// F-07: what was taken before the module began to drain is acknowledged when it is done, however late.
TEST_F(ZmqAdapters, SourceAcknowledgesWhileTheModuleDrains) {
  struct Full final : Deliver {
    bool deliver(stream::Delivery delivery) override {
      const std::lock_guard lock(mutex);
      taken.push_back(std::move(delivery));
      return taken.size() < 3;
    }
    std::unique_ptr<Deliver> another() override { return nullptr; }
    std::mutex mutex;
    std::vector<stream::Delivery> taken;
  } out;
  const SourceDesc* desc = find_source("zeromq");
  ParamSet params(desc->params);
  ASSERT_TRUE(params.set_text("url", "router+bind:" + address));
  auto source = desc->create(params, {.name = "source"});
  ASSERT_TRUE(source && (*source)->start());
  std::atomic<bool> returned{false};
  std::jthread running([&](const std::stop_token& stop) {
    EXPECT_TRUE((*source)->run(out, stop));
    returned = true;
  });
  auto writer = stream::ZmqWriter::open(*stream::parse_writer_url("dealer+connect:" + address), {});
  ASSERT_TRUE(writer);
  for (int i = 0; i < 3; ++i) {
    stream::Message message = frame();
    ASSERT_TRUE((*writer)->send(message));
  }
  ASSERT_TRUE(soon([&] {
    const std::lock_guard lock(out.mutex);
    return out.taken.size() == 3;
  }));
  std::this_thread::sleep_for(200ms);  // longer than the last look for acknowledgements
  EXPECT_FALSE(returned);
  for (const stream::Delivery& each : out.taken) each.settlement->processed();
  EXPECT_TRUE((*writer)->flush(10s));
  running.request_stop();
  running.join();
  EXPECT_EQ(out.taken.size(), 3u);
}

}  // namespace
}  // namespace sightglass::adapters
