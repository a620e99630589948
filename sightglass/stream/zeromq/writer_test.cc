#include "sightglass/stream/zeromq/writer.h"

#include <set>
#include <thread>

#include "sightglass/stream/zeromq/transport_test_support.h"

namespace sightglass::stream {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using ZmqWriterTest = OverIpc;

TEST_F(ZmqWriterTest, PushWaitsForRoomAndSaysWhy) {
  auto options = quick();
  options.send_timeout = 30ms;
  auto writer = ZmqWriter::open(*parse_url("push+connect:ipc://" + folder_.path + "/nobody"), options);
  ASSERT_TRUE(writer);
  const Payload payload = picture(1);
  Status status;
  int sent = 0;
  for (; status; ++sent) {
    Message message = frame("cam", payload);
    status = (*writer)->send(message, payload);
  }
  EXPECT_LE(sent, static_cast<int>(options.queue) + 1);
  EXPECT_EQ(status.error().code, ErrorCode::exhausted);
  EXPECT_THAT(status.error().message, HasSubstr("no reader is connected"));
  EXPECT_THAT(status.error().message, testing::Not(HasSubstr("\n")));
  EXPECT_FALSE((*writer)->flush(10ms));
}

TEST_F(ZmqWriterTest, CloseEndsWaitingSenders) {
  auto options = quick();
  options.send_timeout = 60s;
  options.queue = 1;
  auto writer = ZmqWriter::open(*parse_url("push+connect:ipc://" + folder_.path + "/nobody"), options);
  ASSERT_TRUE(writer);
  std::thread sender([&] {
    Status status;
    while (status) {
      Message message = frame("cam", picture(1));
      status = (*writer)->send(message, picture(1));
    }
    EXPECT_EQ(status.error().code, ErrorCode::cancelled);
  });
  ASSERT_TRUE(soon([&] { return (*writer)->statistics().blocked; }));
  (*writer)->close();
  sender.join();
}

TEST_F(ZmqWriterTest, RefusesWhatNobodyWouldTakeAndNumbersNothing) {
  auto reader = reader_at(ipc("pull+bind"));
  auto writer = writer_to(reader->url(), SocketType::push);
  Message bad = frame("../etc", picture(1));
  EXPECT_FALSE(writer->send(bad, picture(1)));
  Message lie = frame("cam", picture(1));
  EXPECT_FALSE(writer->send(lie, picture(1, 10)));
  Message nothing;
  nothing.source_id = "cam";
  EXPECT_FALSE(writer->send(nothing));
  Message good = frame("cam", picture(1));
  EXPECT_TRUE(writer->send(good, picture(1)));
  EXPECT_EQ(good.seq, 0);
}

TEST_F(ZmqWriterTest, PubDropsAtTheHighWaterMarkAndBothEndsCountIt) {
  auto options = quick();
  options.socket.high_water_mark = 4;
  auto writer = ZmqWriter::open(test_url("pub+bind", "inproc", folder_.path), options);
  ASSERT_TRUE(writer);
  ZmqReaderOptions reading;
  reading.socket.high_water_mark = 4;
  auto reader = reader_at(peer_of((*writer)->url(), SocketType::sub), reading);
  uint64_t sent = 0;
  const auto send = [&] {
    Message message = frame("cam", picture(1));
    EXPECT_TRUE((*writer)->send(message, picture(1)));
    ++sent;
  };
  uint64_t first = 0;
  ASSERT_TRUE(soon([&] {
    send();
    auto got = reader->next(5ms);
    if (!got || !*got) return false;
    first = static_cast<uint64_t>((*got)->delivery.message->seq);
    return true;
  }));
  uint64_t received = 1;
  while (*reader->next(20ms)) ++received;
  for (int i = 0; i < 100; ++i) send();
  ASSERT_TRUE((*writer)->flush(30s));
  while (*reader->next(20ms)) ++received;
  // The end shows that what came before it is missing.
  send();
  while (*reader->next(200ms)) ++received;
  EXPECT_GT((*writer)->statistics().dropped, 0U);
  EXPECT_EQ(reader->statistics().lost + received, sent - first);
}

TEST_F(ZmqWriterTest, RefusedMessagesAreHandedOutAsDeadLetters) {
  auto reader = reader_at(ipc("router+bind"));
  std::vector<std::string> letters;
  auto options = quick();
  options.dead_letter = [&](const DeadLetter& letter) {
    letters.push_back(std::format("{} {} {}", letter.packet->source, letter.packet->seq, letter.code));
  };
  auto writer = writer_to(reader->url(), SocketType::dealer, options);
  for (int i = 0; i < 3; ++i) {
    Message message = frame("cam", picture(1));
    ASSERT_TRUE(writer->send(message, picture(1)));
    auto got = next(*reader);
    ASSERT_TRUE(got);
    if (i == 1) {
      got->delivery.settlement->refused("blacklisted", false);
    } else {
      got->delivery.settlement->processed();
    }
  }
  ASSERT_TRUE(soon([&] { return (void)reader->next(1ms), writer->statistics().waiting == 0; }));
  writer->close();
  EXPECT_THAT(letters, ElementsAre("cam 1 blacklisted"));
  EXPECT_EQ(writer->statistics().refused, 1U);
}

TEST_F(ZmqWriterTest, WhatWasRefusedForGoodIsNeverSentAgainAndLeavesNoGap) {
  const Url url = ipc("router+bind");
  auto writer = writer_to(url, SocketType::dealer);
  {
    auto reader = reader_at(url);
    for (int i = 0; i < 4; ++i) {
      Message message = frame("cam", picture(1), i == 0);
      ASSERT_TRUE(writer->send(message, picture(1)));
    }
    for (int i = 0; i < 4; ++i) {
      auto got = next(*reader);
      ASSERT_TRUE(got);
      if (i == 1) got->delivery.settlement->refused("poison", false);
      if (i == 0) got->delivery.settlement->processed();
    }
    ASSERT_TRUE(soon([&] { return (void)reader->next(1ms), writer->statistics().refused == 1; }));
  }
  auto reader = reader_at(url);
  std::vector<std::string> seen;
  while (seen.size() < 3) {
    auto got = next(*reader);
    ASSERT_TRUE(got);
    const Message& message = *got->delivery.message;
    seen.push_back(std::format("{}{}", message.seq, message.frame->replay ? " replay" : ""));
    if (got->delivery.settlement) got->delivery.settlement->processed();
  }
  EXPECT_THAT(seen, ElementsAre("0 replay", "2", "3"));
  EXPECT_TRUE(soon([&] { return (void)reader->next(1ms), writer->statistics().waiting == 0; }));
}

TEST_F(ZmqWriterTest, RefusedForNowAndDroppedUntoldComeAgain) {
  auto reader = reader_at(ipc("router+bind"));
  auto options = quick();
  options.window.ack_timeout = 50ms;
  auto writer = writer_to(reader->url(), SocketType::dealer, options);
  for (int i = 0; i < 2; ++i) {
    Message message = frame("cam", picture(1));
    ASSERT_TRUE(writer->send(message, picture(1)));
  }
  auto got = next(*reader);
  ASSERT_TRUE(got);
  got->delivery.settlement->refused("quarantined", true);
  got = next(*reader);
  ASSERT_TRUE(got);
  got.reset();
  std::set<int64_t> again;
  while (again.size() < 2) {
    got = next(*reader);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->delivery.message->attempt, 0);
    again.insert(got->delivery.message->seq);
    got->delivery.settlement->processed();
  }
  ASSERT_TRUE(soon([&] { return (void)reader->next(1ms), writer->statistics().waiting == 0; }));
}

TEST_F(ZmqWriterTest, AcceptedLevelSettlesInTheQueue) {
  auto reader = reader_at(ipc("router+bind"), {.level = AckLevel::accepted});
  auto writer = writer_to(reader->url(), SocketType::dealer);
  Message message = frame("cam", picture(1));
  ASSERT_TRUE(writer->send(message, picture(1)));
  auto got = next(*reader);
  ASSERT_TRUE(got);
  got->delivery.settlement->accepted();
  EXPECT_TRUE(soon([&] { return (void)reader->next(1ms), writer->statistics().waiting == 0; }));
}

}  // namespace
}  // namespace sightglass::stream
