// ZmqWriter against ZmqReader over every pair of sockets, and the rows of the failure catalogue that are
// theirs.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "sightglass/stream/zeromq/transport_test_support.h"
#include "tests/long_form.h"

namespace sightglass::stream {
namespace {

using testing::IsEmpty;

struct Pair {
  std::string writer, reader, transport;
};

class Pairs : public testing::TestWithParam<Pair> {
 protected:
  TempFolder folder_;
};

TEST_P(Pairs, CarriesFramesWithPayloadAndEnd) {
  const auto& [writes, reads, transport] = GetParam();
  auto reader = reader_at(test_url(reads + "+bind", transport, folder_.path));
  ASSERT_TRUE(reader);
  auto writer = writer_to(reader->url(), parse_url(writes + "+bind:inproc://x")->type);
  ASSERT_TRUE(writer);
  const Payload first = picture(1, 100'000);
  std::optional<Received> got;
  if (writes == "pub") {
    // What was sent before the subscription has come is nobody's.
    ASSERT_TRUE(soon([&] {
      Message message = frame("cam-1", first);
      EXPECT_TRUE(writer->send(message, first));
      auto received = reader->next(20ms);
      if (received && *received) got = std::move(**received);
      return got.has_value();
    }));
    while (auto more = *reader->next(50ms)) {
    }
  } else {
    Message message = frame("cam-1", first);
    ASSERT_TRUE(writer->send(message, first));
    got = next(*reader);
  }
  ASSERT_TRUE(got);
  ASSERT_TRUE(got->delivery.message->frame);
  EXPECT_EQ(got->delivery.message->source_id, "cam-1");
  EXPECT_EQ(got->delivery.message->producer, writer->producer());
  ASSERT_EQ(got->delivery.payloads.size(), 1U);
  EXPECT_TRUE(std::ranges::equal(got->delivery.payloads[0].bytes, first.bytes));
  EXPECT_EQ(got->delivery.lossless, writes != "pub");
  EXPECT_EQ(got->delivery.settlement != nullptr, writes == "dealer");
  if (got->delivery.settlement) got->delivery.settlement->processed();
  const int64_t seq = got->delivery.message->seq;

  Message last = end("cam-1");
  ASSERT_TRUE(writer->send(last));
  EXPECT_GT(last.seq, seq);
  got = next(*reader);
  ASSERT_TRUE(got);
  EXPECT_TRUE(got->delivery.message->end_of_stream);
  EXPECT_THAT(got->delivery.payloads, IsEmpty());
  if (got->delivery.settlement) got->delivery.settlement->processed();

  // The next life of the source.
  Message again = frame("cam-1", first);
  ASSERT_TRUE(writer->send(again, first));
  EXPECT_EQ(again.epoch, 1);
  EXPECT_EQ(again.seq, 0);
  got = next(*reader);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->delivery.message->epoch, 1);
  if (got->delivery.settlement) got->delivery.settlement->processed();
  if (writes == "dealer") {
    std::atomic<bool> done{false};
    std::thread pump([&] {
      while (!done) (void)reader->next(5ms);
    });
    EXPECT_TRUE(writer->flush(30s));
    done = true;
    pump.join();
    EXPECT_EQ(writer->statistics().acknowledged, 3U);
  } else {
    EXPECT_TRUE(writer->flush(30s));
  }
  EXPECT_EQ(reader->rejected(), 0U);
  EXPECT_EQ(reader->statistics().duplicates, 0U);
}

INSTANTIATE_TEST_SUITE_P(All, Pairs,
                         testing::Values(Pair{"pub", "sub", "tcp"}, Pair{"pub", "sub", "ipc"},
                                         Pair{"pub", "sub", "inproc"}, Pair{"push", "pull", "tcp"},
                                         Pair{"push", "pull", "ipc"}, Pair{"push", "pull", "inproc"},
                                         Pair{"dealer", "router", "tcp"}, Pair{"dealer", "router", "ipc"},
                                         Pair{"dealer", "router", "inproc"}),
                         [](const auto& each) {
                           return each.param.writer + "_" + each.param.reader + "_" + each.param.transport;
                         });

// What a module does, as far as delivery is concerned: stores uuids, then says so. Stalls now and then.
class Store {
 public:
  void take(ZmqReader& reader, std::mt19937& random) {
    auto received = reader.next(5ms);
    ASSERT_TRUE(received);
    if (*received) held_.push_back(std::move((*received)->delivery));
    if (random() % 50 == 0) stalled_ = 30;
    if (stalled_ > 0 && --stalled_ > 0) return;
    // Results do not come in the order of the messages.
    std::ranges::shuffle(held_, random);
    while (!held_.empty()) {
      const Delivery& delivery = held_.back();
      if (delivery.message->frame && !delivery.message->frame->replay)
        ++stored[delivery.message->frame->uuid];
      if (delivery.message->end_of_stream) ++ends;
      if (delivery.settlement) delivery.settlement->processed();
      held_.pop_back();
    }
  }
  // What was not stored is lost with the process.
  void crash() { held_.clear(); }

  std::map<Uuid, int> stored;
  int ends = 0;

 private:
  std::vector<Delivery> held_;
  int stalled_ = 0;
};

TEST(F07, NothingIsLostOverDealerAndRouterWithStallsAndRestarts) {
  TempFolder folder;
  const Url url = test_url("router+bind", "ipc", folder.path);
  const int frames = test::long_or(10'000, 1000);
  std::map<Uuid, int> sent;
  std::atomic<bool> finished{false};
  auto options = quick();
  options.send_timeout = 60s;
  options.window.ack_timeout = 500ms;
  auto writer = writer_to(url, SocketType::dealer, options);
  std::thread sender([&] {
    for (int i = 0; i < frames; ++i) {
      const Payload payload = picture(static_cast<uint32_t>(i), 500);
      Message message = frame("cam", payload, i % 25 == 0);
      sent[message.frame->uuid] = 1;
      ASSERT_TRUE(writer->send(message, payload));
    }
    Message last = end("cam");
    ASSERT_TRUE(writer->send(last));
    EXPECT_TRUE(writer->flush("cam", 60s));
    finished = true;
  });

  std::mt19937 random(7);
  Store store;
  uint64_t duplicates = 0;
  auto restarts = test::long_or<std::vector<size_t>>({3000, 6500, 8000}, {300, 650});
  restarts.push_back(size_t(frames) + 1);  // the last one goes on to the end
  for (const size_t until : restarts) {
    auto reader = reader_at(url);
    ASSERT_TRUE(reader);
    EXPECT_TRUE(soon([&] { return store.take(*reader, random), store.stored.size() >= until || finished; }));
    duplicates += reader->statistics().duplicates;
    EXPECT_EQ(reader->rejected(), 0U);
    store.crash();
  }
  sender.join();
  EXPECT_EQ(sent.size(), static_cast<size_t>(frames));
  // What was stored and not yet acknowledged when the reader died comes twice and bears the same uuid; the
  // sinks see to that. Here the last acknowledgements are sent when the reader ends, so each is there once.
  EXPECT_TRUE(store.stored == sent) << store.stored.size();
  EXPECT_EQ(store.ends, 1);
  EXPECT_GT(writer->statistics().resent, 0U);
  EXPECT_EQ(writer->statistics().waiting, 0U);
}

TEST(F08, RandomLossIsSeenAsGapsAndCounted) {
  TempFolder folder;
  // A line that loses five messages in a hundred.
  auto writer = ZmqWriter::open(test_url("push+bind", "inproc", folder.path), quick());
  ASSERT_TRUE(writer);
  auto in = Socket::open(peer_of((*writer)->url(), SocketType::pull), {});
  auto reader = reader_at(test_url("pull+bind", "inproc", folder.path));
  auto out = Socket::open(peer_of(reader->url(), SocketType::push), {});
  ASSERT_TRUE(in && out && reader);
  std::atomic<int> lost{0};
  std::thread line([&] {
    std::mt19937 random(3);
    std::vector<MessagePart> parts;
    for (int frames = 0; frames < 1000;) {
      const auto got = in->receive(parts);
      if (!got || !*got) {
        in->wait({.readable = true}, 10ms);
        continue;
      }
      const bool is_frame = parts[0].text() != control_topic;
      if (is_frame) ++frames;
      // The first and the last one show how many there were.
      if (is_frame && frames > 1 && frames < 1000 && random() % 20 == 0) {
        ++lost;
        continue;
      }
      EXPECT_TRUE(soon([&] {
        const auto sent = out->send(parts);
        if (!sent || !*sent) out->wait({.writable = true}, 10ms);
        return sent && *sent;
      }));
    }
  });
  std::thread sender([&] {
    for (int i = 0; i < 1000; ++i) {
      Message message = frame("cam", picture(1));
      EXPECT_TRUE((*writer)->send(message, picture(1), 60s));
    }
  });
  int64_t missing = 0, delivered = 0;
  ASSERT_TRUE(soon([&] {
    auto got = reader->next(20ms);
    if (!got || !*got) return false;
    missing += (*got)->missing;
    ++delivered;
    return (*got)->delivery.message->seq == 999;
  }));
  line.join();
  sender.join();
  EXPECT_GT(lost, 20);
  EXPECT_EQ(missing, lost);
  EXPECT_EQ(delivered + missing, 1000);
  EXPECT_EQ(reader->statistics().lost, static_cast<uint64_t>(lost.load()));
}

TEST(F10, EverySourceOfARestartedWriterIsTakenAgain) {
  TempFolder folder;
  auto reader = reader_at(test_url("router+bind", "ipc", folder.path));
  for (int restart = 0; restart <= test::long_or(20, 3); ++restart) {
    auto writer = writer_to(reader->url(), SocketType::dealer);
    std::set<std::string> seen;
    for (int i = 0; i < 8; ++i) {
      Message message = frame("cam-" + std::to_string(i), picture(1));
      ASSERT_TRUE(writer->send(message, picture(1)));
    }
    while (seen.size() < 8) {
      auto got = next(*reader);
      ASSERT_TRUE(got) << "restart " << restart << ", " << seen.size() << " sources";
      seen.insert(got->delivery.message->source_id);
      got->delivery.settlement->processed();
    }
    ASSERT_TRUE(soon([&] { return (void)reader->next(1ms), writer->statistics().waiting == 0; }));
  }
  EXPECT_EQ(reader->statistics().duplicates, 0U);
}

TEST(F11, WriterStaysBlockedWhileTheModuleIsAwayAndGoesOn) {
  const auto away = test::long_or(300s, 10s);
  TempFolder folder;
  for (const auto& [writes, reads] : {std::pair{"dealer", "router"}, std::pair{"push", "pull"}}) {
    const Url url = test_url(std::string(reads) + "+bind", "ipc", folder.path);
    auto options = quick();
    options.send_timeout = 600s;
    auto writer = writer_to(url, parse_url(std::string(writes) + "+bind:inproc://x")->type, options);
    constexpr int frames = 300;
    std::thread sender([&] {
      for (int i = 0; i < frames; ++i) {
        const Payload payload = picture(1, 500);
        Message message = frame("cam", payload, i % 25 == 0);
        const Status status = writer->send(message, payload);
        ASSERT_TRUE(status) << status.error().message;
      }
    });
    EXPECT_TRUE(soon([&] { return writer->statistics().blocked; }));
    const auto back = std::chrono::steady_clock::now() + (std::string_view(writes) == "dealer" ? away : 1s);
    while (std::chrono::steady_clock::now() < back) std::this_thread::sleep_for(10ms);
    EXPECT_TRUE(writer->statistics().blocked);
    auto reader = reader_at(url);
    const auto start = std::chrono::steady_clock::now();
    std::set<int64_t> seen;
    while (seen.size() < frames) {
      auto got = next(*reader);
      ASSERT_TRUE(got);
      if (seen.empty()) {
        EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
      }
      seen.insert(got->delivery.message->seq);
      if (got->delivery.settlement) got->delivery.settlement->processed();
    }
    sender.join();
    EXPECT_EQ(seen.size(), static_cast<size_t>(frames));
  }
}

TEST(ZmqPair, ManySourcesFromManyThreads) {
  TempFolder folder;
  auto reader = reader_at(test_url("router+bind", "tcp", folder.path));
  auto writer = writer_to(reader->url(), SocketType::dealer);
  std::vector<std::thread> senders;
  for (int n = 0; n < 4; ++n) {
    senders.emplace_back([&, n] {
      for (int i = 0; i < 200; ++i) {
        Message message = frame("cam-" + std::to_string(n), picture(1));
        EXPECT_TRUE(writer->send(message, picture(1), 60s));
      }
    });
  }
  std::map<std::string, int64_t> last;
  int count = 0;
  // Another thread settles.
  std::vector<Delivery> handed;
  std::mutex mutex;
  std::jthread settler([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      std::vector<Delivery> mine;
      {
        std::lock_guard lock(mutex);
        mine.swap(handed);
      }
      for (const Delivery& each : mine) each.settlement->processed();
      std::this_thread::yield();
    }
  });
  ASSERT_TRUE(soon([&] {
    auto got = reader->next(5ms);
    if (!got || !*got) return false;
    const Message& message = *(*got)->delivery.message;
    const auto [place, first] = last.try_emplace(message.source_id, -1);
    EXPECT_EQ(message.seq, place->second + 1);
    place->second = message.seq;
    std::lock_guard lock(mutex);
    handed.push_back(std::move((*got)->delivery));
    return ++count == 800;
  }));
  EXPECT_TRUE(soon([&] { return (void)reader->next(1ms), writer->statistics().waiting == 0; }));
  for (std::thread& each : senders) each.join();
}

}  // namespace
}  // namespace sightglass::stream
