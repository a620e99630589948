#include "sightglass/stream/zeromq/reader.h"

#include <algorithm>
#include <format>
#include <map>
#include <thread>

#include "sightglass/stream/schema_registry.h"
#include "sightglass/stream/zeromq/transport_test_support.h"

namespace sightglass::stream {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using ZmqReaderTest = OverIpc;

TEST_F(ZmqReaderTest, WriterMayBindAndReaderConnect) {
  auto writer = ZmqWriter::open(ipc("dealer+bind"), quick());
  ASSERT_TRUE(writer) << writer.error().message;
  auto reader = reader_at(peer_of((*writer)->url(), SocketType::router));
  const Payload payload = picture(1);
  Message message = frame("cam", payload);
  ASSERT_TRUE((*writer)->send(message, payload));
  EXPECT_TRUE(next(*reader));
}

TEST_F(ZmqReaderTest, PayloadIsThatWhichZeroMqRead) {
  auto reader = reader_at(ipc("pull+bind"));
  auto writer = writer_to(reader->url(), SocketType::push);
  const Payload payload = picture(3, 50'000);
  Message message = frame("cam", payload);
  ASSERT_TRUE(writer->send(message, payload));
  auto got = next(*reader);
  ASSERT_TRUE(got);
  // The bytes live as long as their owner, whatever happens to the rest.
  const Payload kept = got->delivery.payloads.at(0);
  got.reset();
  reader.reset();
  EXPECT_TRUE(std::ranges::equal(kept.bytes, payload.bytes));
}

TEST_F(ZmqReaderTest, SubscriptionsCompareTheWholeId) {
  auto writer = ZmqWriter::open(ipc("pub+bind"), quick());
  ASSERT_TRUE(writer);
  auto reader = reader_at(peer_of((*writer)->url(), SocketType::sub), {.sources = {"cam-1"}});
  std::optional<Received> got;
  ASSERT_TRUE(soon([&] {
    for (const char* source : {"cam-10", "cam-2", "cam-1"}) {
      Message message = frame(source, picture(1));
      EXPECT_TRUE((*writer)->send(message, picture(1)));
    }
    auto received = reader->next(20ms);
    if (received && *received) got = std::move(**received);
    return got.has_value();
  }));
  EXPECT_EQ(got->delivery.message->source_id, "cam-1");
  while (auto more = *reader->next(50ms)) EXPECT_EQ(more->delivery.message->source_id, "cam-1");
  EXPECT_GT(reader->statistics().filtered, 0U);
}

TEST_F(ZmqReaderTest, NextIsInterruptible) {
  auto reader = reader_at(ipc("pull+bind"));
  std::thread other([&] { reader->interrupt(); });
  const auto start = std::chrono::steady_clock::now();
  const auto got = reader->next(60s);
  EXPECT_TRUE(got && !*got);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 50s);
  other.join();
}

TEST_F(ZmqReaderTest, PausedReaderLeavesMessagesWithTheWriter) {
  auto reader = reader_at(ipc("router+bind"));
  auto options = quick();
  options.window.messages = 8;
  options.send_timeout = 50ms;
  auto writer = writer_to(reader->url(), SocketType::dealer, options);
  // Greetings are read as long as it is not paused.
  ASSERT_TRUE(soon([&] { return (void)reader->next(1ms), writer->statistics().linked; }));
  reader->pause();
  const Payload payload = picture(1);
  int sent = 0;
  Status status;
  for (; status && sent < 100; ++sent) {
    Message message = frame("cam", payload);
    status = writer->send(message, payload);
    EXPECT_FALSE(*reader->next(0ms));
  }
  EXPECT_EQ(sent, 9);  // the ninth did not go
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::exhausted);
  EXPECT_THAT(status.error().message, HasSubstr("has not acknowledged"));
  reader->resume();
  for (int i = 0; i < 8; ++i) {
    auto got = next(*reader);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->delivery.message->seq, i);
    got->delivery.settlement->processed();
  }
  ASSERT_TRUE(soon([&] { return (void)reader->next(1ms), writer->statistics().waiting == 0; }));
}

TEST_F(ZmqReaderTest, RubbishIsCountedAndItsProducerMutedNotTheSource) {
  auto reader = reader_at(ipc("router+bind"));
  RawWriter bad(reader->url(), SocketType::dealer);
  auto good = writer_to(reader->url(), SocketType::dealer);
  for (int i = 0; i < 120; ++i) bad.send({"cam", "no message"});
  ASSERT_TRUE(soon([&] { return (void)reader->next(1ms), reader->statistics().received >= 120; }));
  EXPECT_EQ(reader->rejected(Rejection::not_avro), 100U);
  EXPECT_EQ(reader->statistics().muted, 20U);
  EXPECT_EQ(reader->statistics().mutes, 1U);
  Message message = frame("cam", picture(1));
  ASSERT_TRUE(good->send(message, picture(1)));
  EXPECT_TRUE(next(*reader));
}

TEST_F(ZmqReaderTest, MutesByProducerWhereThereIsNoRoutingId) {
  auto reader = reader_at(ipc("pull+bind"));
  RawWriter bad(reader->url(), SocketType::push);
  Message lie = frame("cam", picture(1));
  for (int i = 0; i < 105; ++i) {
    lie.seq = i;
    lie.frame->uuid = make_uuid_v7();
    lie.frame->crc32c = 1;
    bad.send(lie, picture(1));
  }
  lie.frame->crc32c.reset();
  lie.seq = 200;
  bad.send(lie, picture(1));
  lie.producer = make_uuid_v7();
  lie.frame->uuid = make_uuid_v7();
  bad.send(lie, picture(1));
  const auto got = next(*reader);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->delivery.message->producer, lie.producer);
  EXPECT_GE(reader->rejected(Rejection::payload), 100U);
  EXPECT_GT(reader->statistics().muted, 0U);
}

TEST_F(ZmqReaderTest, ParksMessagesUntilTheirSchemaIsAnnounced) {
  auto reader = reader_at(ipc("router+bind"));
  RawWriter writer(reader->url(), SocketType::dealer);
  writer.greet();
  EXPECT_TRUE(writer.answer(*reader).hello);
  // With a further kind at the end of the enum it is another schema, and the bytes are the same.
  std::string text(schema_text());
  const size_t kinds = text.find("\"FRAME\"");
  ASSERT_NE(kinds, text.npos);
  text.insert(text.find(']', kinds), ", \"LATER\"");
  SchemaRegistry judge;
  uint64_t fingerprint = 0;
  ASSERT_EQ(judge.announce(writer.producer, text, std::chrono::steady_clock::now(), &fingerprint),
            Rejection::none);
  ASSERT_NE(fingerprint, schema_fingerprint);

  for (int i = 0; i < 3; ++i) {
    Message message = frame("cam", picture(1));
    message.seq = i;
    writer.send(message, picture(1), fingerprint);
  }
  const Message request = writer.answer(*reader);
  ASSERT_TRUE(request.schema_request);
  EXPECT_EQ(request.schema_request->fingerprint, fingerprint_bytes(fingerprint));
  EXPECT_FALSE(*reader->next(10ms));
  EXPECT_EQ(reader->statistics().parked, 3U);
  Message announce;
  announce.source_id = control_topic;
  announce.schema_announce.emplace().text = text;
  writer.send(announce);
  for (int i = 0; i < 3; ++i) {
    const auto got = next(*reader);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->delivery.message->seq, i);
  }
  EXPECT_EQ(reader->rejected(Rejection::schema_unknown), 0U);
}

TEST_F(ZmqReaderTest, UnknownSchemaIsDroppedInTheEnd) {
  auto reader = reader_at(ipc("pull+bind"));
  RawWriter writer(reader->url(), SocketType::push);
  for (int i = 0; i < 70; ++i) writer.send(frame("cam", picture(1)), picture(1), 0x1234);
  ASSERT_TRUE(
      soon([&] { return (void)reader->next(1ms), reader->rejected(Rejection::schema_unknown) == 70; }));
  EXPECT_EQ(reader->statistics().parked, 64U);
  EXPECT_EQ(reader->statistics().mutes, 0U);
}

TEST_F(ZmqReaderTest, BadAnnouncementsCountAndMute) {
  auto reader = reader_at(ipc("pull+bind"));
  RawWriter writer(reader->url(), SocketType::push);
  Message announce;
  announce.source_id = control_topic;
  for (int i = 0; i < 101; ++i) {
    announce.schema_announce.emplace().text = R"({"type": "record")";
    writer.send(announce);
  }
  ASSERT_TRUE(soon([&] { return (void)reader->next(1ms), reader->statistics().muted == 1; }));
  EXPECT_EQ(reader->rejected(Rejection::schema_bad), 100U);
}

TEST_F(ZmqReaderTest, FloodOfSourcesIsHeldBack) {
  auto reader = reader_at(ipc("pull+bind"), {.new_sources = {.per_second = 0, .burst = 5}});
  auto writer = writer_to(reader->url(), SocketType::push);
  std::thread sender([&] {
    for (int i = 0; i < 50; ++i) {
      Message message = frame("s" + std::to_string(i), picture(1));
      EXPECT_TRUE(writer->send(message, picture(1), 30s));
    }
    Message message = frame("s0", picture(1));
    EXPECT_TRUE(writer->send(message, picture(1), 30s));
  });
  int delivered = 0;
  ASSERT_TRUE(soon([&] {
    auto got = reader->next(1ms);
    if (got && *got) ++delivered;
    return delivered == 6;
  }));
  sender.join();
  EXPECT_EQ(reader->rejected(Rejection::source_flood), 45U);
}

TEST_F(ZmqReaderTest, ShutdownNeedsTheToken) {
  auto reader = reader_at(ipc("pull+bind"), {.shutdown_token = "abc", .shutdown_target = "here"});
  RawWriter writer(reader->url(), SocketType::push);
  const auto order = [&](const char* token, const char* target) {
    Message message;
    message.source_id = control_topic;
    message.shutdown.emplace().token = token;
    message.shutdown->target = target;
    writer.send(message);
  };
  order("abd", ""), order("abc", "elsewhere"), order("abc", "here");
  const auto got = next(*reader);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->delivery.message->shutdown->target, "here");
  EXPECT_EQ(reader->rejected(Rejection::token), 1U);
  EXPECT_EQ(reader->statistics().delivered, 0U);
}

TEST_F(ZmqReaderTest, W14OversizePartIsCountedAndOthersGoOn) {
  ZmqReaderOptions options;
  options.messages.limits.part = 50'000;
  auto reader = reader_at(ipc("pull+bind"), options);
  auto good = writer_to(reader->url(), SocketType::push);
  RawWriter bad(reader->url(), SocketType::push);
  ASSERT_TRUE(soon([&] { return (void)reader->next(1ms), reader->statistics().connections.connected == 2; }));
  bad.send({"cam", "x", std::string(5'000'000, 'x')});
  ASSERT_TRUE(soon([&] { return (void)reader->next(1ms), reader->rejected(Rejection::oversize) == 1; }));
  Message message = frame("cam", picture(1));
  ASSERT_TRUE(good->send(message, picture(1)));
  EXPECT_TRUE(next(*reader));
  // Our own writer checks before.
  auto careful = quick();
  careful.limits.part = 50'000;
  auto writer = writer_to(reader->url(), SocketType::push, careful);
  Message giant = frame("cam", picture(1, 60'000));
  EXPECT_FALSE(writer->send(giant, picture(1, 60'000)));
}

TEST_F(ZmqReaderTest, DataBeforeTheGreetingIsNotTakenAndTheGreetingAskedFor) {
  auto reader = reader_at(ipc("router+bind"));
  RawWriter writer(reader->url(), SocketType::dealer);
  Message message = frame("cam", picture(1));
  message.seq = 7;
  writer.send(message, picture(1));
  const Message reply = writer.answer(*reader);
  ASSERT_TRUE(reply.hello);
  EXPECT_EQ(reply.hello->resume, Resume::keyframe);
  writer.greet();
  EXPECT_EQ(writer.answer(*reader).hello->resume, Resume::none);
  writer.send(message, picture(1));
  auto got = next(*reader);
  ASSERT_TRUE(got);
  got->delivery.settlement->processed();
  const Message ack = writer.answer(*reader);
  ASSERT_TRUE(ack.ack);
  EXPECT_EQ(ack.source_id, "cam");
  EXPECT_EQ(ack.ack->through, 7);
  EXPECT_EQ(ack.ack->level, AckLevel::processed);
  EXPECT_EQ(ack.ack->producer, writer.producer);
  // Once more: acknowledged again and dropped.
  writer.send(message, picture(1));
  EXPECT_EQ(writer.answer(*reader).ack->through, 7);
  EXPECT_EQ(reader->statistics().duplicates, 1U);
  EXPECT_EQ(reader->statistics().not_greeted, 1U);
}

TEST_F(ZmqReaderTest, MalformedMessagesAreRefusedForGood) {
  auto reader = reader_at(ipc("router+bind"));
  RawWriter writer(reader->url(), SocketType::dealer);
  writer.greet();
  EXPECT_TRUE(writer.answer(*reader).hello);
  Message lie = frame("cam", picture(1));
  lie.frame->crc32c = 1;
  writer.send(lie, picture(1));
  const Message answer = writer.answer(*reader);
  ASSERT_TRUE(answer.ack);
  EXPECT_EQ(answer.ack->through, 0);
  EXPECT_THAT(answer.ack->refused, ElementsAre(Refusal{0, "malformed", false}));
}

TEST_F(ZmqReaderTest, WhatCannotBeReadIsRefusedForGoodToo) {
  auto reader = reader_at(ipc("router+bind"));
  RawWriter writer(reader->url(), SocketType::dealer);
  writer.greet();
  EXPECT_TRUE(writer.answer(*reader).hello);
  Message later = end("cam");
  later.protocol = 2;
  writer.send(later);
  Message answer = writer.answer(*reader);
  ASSERT_TRUE(answer.ack);
  EXPECT_EQ(answer.ack->through, 0);
  EXPECT_THAT(answer.ack->refused, ElementsAre(Refusal{0, "schema", false}));
  // Damaged behind its first fields.
  Message message = end("cam");
  message.kind = Kind::end_of_stream;
  message.producer = writer.producer;
  message.seq = 1;
  std::vector<uint8_t> body;
  ASSERT_TRUE(MessageWriter().write(message, {}, body));
  body.push_back(0);
  const std::string text(body.begin(), body.end());
  writer.send({"cam", text});
  answer = writer.answer(*reader);
  ASSERT_TRUE(answer.ack);
  EXPECT_EQ(answer.ack->through, 1);
  EXPECT_THAT(answer.ack->refused, ElementsAre(Refusal{1, "malformed", false}));
}

TEST_F(ZmqReaderTest, F07SourcesThatHaveToWaitLoseNothing) {
  auto reader = reader_at(ipc("router+bind"), {.new_sources = {.per_second = 40, .burst = 4}});
  auto options = quick();
  options.window.ack_timeout = 100ms;
  auto writer = writer_to(reader->url(), SocketType::dealer, options);
  constexpr int sources = 16, frames = 8;
  std::map<Uuid, int> stored;
  std::map<std::string, int64_t> last;
  const auto pump = [&] {
    auto got = reader->next(1ms);
    if (!got || !*got) return;
    const Message& message = *(*got)->delivery.message;
    ++stored[message.frame->uuid];
    // Each in its order.
    EXPECT_EQ(message.seq, last[message.source_id]++);
    (*got)->delivery.settlement->processed();
  };
  for (int n = 0; n < frames; ++n) {
    for (int i = 0; i < sources; ++i) {
      Message message = frame("cam-" + std::to_string(i), picture(1), n == 0);
      ASSERT_TRUE(writer->send(message, picture(1)));
      pump();
    }
  }
  EXPECT_TRUE(soon([&] { return pump(), writer->statistics().waiting == 0; }));
  EXPECT_GT(reader->rejected(Rejection::source_flood), 0U);
  EXPECT_EQ(stored.size(), size_t(sources) * frames);
  for (const auto& [uuid, count] : stored) EXPECT_EQ(count, 1);
}

TEST_F(ZmqReaderTest, F07WhatCameBeforeTheFirstMessageIsNotAcknowledgedUnseen) {
  auto reader = reader_at(ipc("router+bind"));
  RawWriter writer(reader->url(), SocketType::dealer);
  writer.greet();
  EXPECT_TRUE(writer.answer(*reader).hello);
  // Nobody knows whose messages these were.
  writer.send({"cam", "no message"});
  Message message = frame("cam", picture(1));
  message.seq = 1;
  writer.send(message, picture(1));
  Message answer = writer.answer(*reader);
  ASSERT_TRUE(answer.ack);
  EXPECT_EQ(answer.ack->through, -1);
  EXPECT_EQ(answer.ack->resume, Resume::keyframe);
  EXPECT_EQ(reader->statistics().delivered, 0U);
  EXPECT_EQ(reader->statistics().out_of_place, 1U);
  // It starts again.
  for (int64_t seq = 0; seq < 2; ++seq) {
    message = frame("cam", picture(1));
    message.seq = seq;
    writer.send(message, picture(1));
    auto got = next(*reader);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->delivery.message->seq, seq);
    got->delivery.settlement->processed();
  }
  do {
    answer = writer.answer(*reader);
    ASSERT_TRUE(answer.ack);
  } while (answer.ack->through < 1);
}

TEST_F(ZmqReaderTest, PoisonBecomesADeadLetter) {
  auto reader = reader_at(ipc("router+bind"), {.max_attempts = 5});
  RawWriter writer(reader->url(), SocketType::dealer);
  writer.greet();
  EXPECT_TRUE(writer.answer(*reader).hello);
  Message message = frame("cam", picture(1));
  message.attempt = 6;
  writer.send(message, picture(1));
  const Message answer = writer.answer(*reader);
  ASSERT_TRUE(answer.ack);
  EXPECT_THAT(answer.ack->refused, ElementsAre(Refusal{0, "poison", false}));
  EXPECT_EQ(reader->statistics().poison, 1U);
}

TEST_F(ZmqReaderTest, KeyframeAskedForIsReplayed) {
  auto reader = reader_at(ipc("router+bind"));
  auto writer = writer_to(reader->url(), SocketType::dealer);
  for (int i = 0; i < 4; ++i) {
    Message message = frame("cam", picture(1), i % 3 == 0);
    ASSERT_TRUE(writer->send(message, picture(1)));
    auto got = next(*reader);
    ASSERT_TRUE(got);
    got->delivery.settlement->processed();
  }
  ASSERT_TRUE(soon([&] { return (void)reader->next(1ms), writer->statistics().waiting == 0; }));
  reader->request_keyframe(writer->producer(), "cam", 0);
  const auto got = next(*reader);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->delivery.message->seq, 3);
  EXPECT_TRUE(got->delivery.message->frame->replay);
}

TEST_F(ZmqReaderTest, L01KeyframeAskedForIsReplayedBehindWhatWasOnItsWay) {
  auto reader = reader_at(ipc("router+bind"));
  auto writer = writer_to(reader->url(), SocketType::dealer);
  const auto send = [&](bool keyframe) {
    Message message = frame("cam", picture(1), keyframe);
    ASSERT_TRUE(writer->send(message, picture(1)));
  };
  send(true);
  auto got = next(*reader);
  ASSERT_TRUE(got);
  got->delivery.settlement->processed();
  ASSERT_TRUE(soon([&] { return (void)reader->next(1ms), writer->statistics().waiting == 0; }));
  // The reader does not look while these come in.
  send(false);
  send(false);
  std::this_thread::sleep_for(50ms);
  reader->request_keyframe(writer->producer(), "cam", 0);
  std::vector<std::string> seen;
  while (seen.size() < 3) {
    got = next(*reader);
    ASSERT_TRUE(got);
    const Message& message = *got->delivery.message;
    seen.push_back(std::format("{}{}", message.seq, message.frame->replay ? " replay" : ""));
    if (got->delivery.settlement) got->delivery.settlement->processed();
  }
  EXPECT_THAT(seen, ElementsAre("1", "2", "0 replay"));
}

}  // namespace
}  // namespace sightglass::stream
