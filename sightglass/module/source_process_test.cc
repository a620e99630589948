// Sources in a process of their own, with the other end of their sockets.
#include "sightglass/module/source_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <set>
#include <thread>

#include "sightglass/stream/zeromq/reader.h"
#include "tests/temporary_folder.h"

namespace sightglass::module {
namespace {

using namespace std::chrono_literals;
using adapters::SourceState;
using testing::HasSubstr;

// Reads an address, and acknowledges what it gets.
class Reader {
 public:
  explicit Reader(const std::string& address, stream::ZmqReaderOptions options = {}, bool settles = true) {
    auto opened = stream::ZmqReader::open(*stream::parse_reader_url(address), std::move(options));
    EXPECT_TRUE(opened) << opened.error().message;
    reader_ = std::move(*opened);
    thread_ = std::jthread([this, settles](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        auto got = reader_->next(20ms);
        if (!got || !*got) continue;
        const stream::Delivery& delivery = (*got)->delivery;
        {
          const std::lock_guard lock(mutex_);
          if (delivery.message->frame && !delivery.message->frame->replay)
            uuids_.insert(delivery.message->frame->uuid), ++frames_;
          if (delivery.message->end_of_stream) ends_.push_back(*delivery.message);
        }
        if (settles && delivery.settlement) delivery.settlement->processed();
      }
    });
  }
  size_t frames() const {
    const std::lock_guard lock(mutex_);
    return frames_;
  }
  size_t distinct() const {
    const std::lock_guard lock(mutex_);
    return uuids_.size();
  }
  std::vector<stream::Message> ends() const {
    const std::lock_guard lock(mutex_);
    return ends_;
  }

 private:
  mutable std::mutex mutex_;
  std::set<stream::Uuid> uuids_;
  size_t frames_ = 0;
  std::vector<stream::Message> ends_;
  std::unique_ptr<stream::ZmqReader> reader_;
  std::jthread thread_;
};

template <class Condition>
bool soon(Condition&& condition) {
  for (const auto end = std::chrono::steady_clock::now() + 60s; std::chrono::steady_clock::now() < end;) {
    if (condition()) return true;
    std::this_thread::sleep_for(5ms);
  }
  return false;
}

class SourceProcesses : public testing::Test {
 protected:
  std::string at(const std::string& type, const std::string& name = "s") const {
    return type + ":ipc://" + folder + "/" + name;
  }
  static SourceProcess::Entry camera(const std::string& id, const std::string& out,
                                     const std::string& more = "") {
    SourceProcess::Entry entry{.type = "camera", .name = id, .out = out};
    entry.properties.set("device", "gst:videotestsrc is-live=true" + more);
    entry.properties.set("size", "64x48");
    entry.properties.set("source_id", id);
    entry.properties.set("block_after", 0.2);
    return entry;
  }
  // Where it delivers, to a reader that need not be there.
  std::shared_ptr<adapters::SocketOutlet> outlet() const {
    auto writer = stream::ZmqWriter::open(*stream::parse_writer_url(at("dealer+connect")), {});
    EXPECT_TRUE(writer) << writer.error().message;
    return std::make_shared<adapters::SocketOutlet>(std::move(*writer));
  }
  static std::shared_ptr<stream::Message> message_of(const std::string& id) {
    auto message = std::make_shared<stream::Message>();
    message->source_id = id;
    message->user_data.emplace();
    return message;
  }
  static SourceState state(const SourceProcess& process, const std::string& id) {
    for (const auto& source : process.status())
      if (source.source_id == id) return source.state;
    return SourceState::starting;
  }

  const test::TemporaryFolder temporary{};
  const std::string folder = temporary.path();
};
using F11 = SourceProcesses;

TEST_F(SourceProcesses, EndsStreamsThatGoOnAndWaitsForTheAcknowledgement) {
  SourceProcess process({});
  ASSERT_TRUE(process.add(camera("a", at("dealer+connect"))));
  ASSERT_TRUE(process.add(camera("b", at("dealer+connect"))));
  const Reader reader(at("router+bind"));
  ASSERT_TRUE(process.start());
  ASSERT_TRUE(soon([&] { return reader.frames() >= 20; }));
  EXPECT_EQ(state(process, "a"), SourceState::running);
  std::stop_source stop;
  stop.request_stop();
  const auto outcome = process.finish(30s, stop.get_token());
  EXPECT_THAT(outcome.failures, testing::IsEmpty());
  EXPECT_TRUE(outcome.in_time);
  const auto ends = reader.ends();
  ASSERT_EQ(ends.size(), 2u);
  EXPECT_EQ(ends[0].end_of_stream->reason, stream::EndReason::drain);
  // They count what came before.
  EXPECT_EQ(size_t(ends[0].end_of_stream->frames + ends[1].end_of_stream->frames), reader.frames());
  EXPECT_EQ(outcome.frames, reader.frames());
}

TEST_F(SourceProcesses, OneWithoutAReaderDoesNotHoldUpTheOthers) {
  SourceProcess process({});
  ASSERT_TRUE(process.add(camera("stuck", at("dealer+connect", "nobody"))));
  ASSERT_TRUE(process.add(camera("free", at("dealer+connect"))));
  const Reader reader(at("router+bind"));
  ASSERT_TRUE(process.start());
  ASSERT_TRUE(soon([&] { return state(process, "stuck") == SourceState::blocked; }));
  const size_t before = reader.frames();
  ASSERT_TRUE(soon([&] { return reader.frames() >= before + 30; }));
  EXPECT_EQ(state(process, "free"), SourceState::running);
  std::stop_source stop;
  stop.request_stop();
  const auto outcome = process.finish(200ms, stop.get_token());
  EXPECT_FALSE(outcome.in_time);
  ASSERT_FALSE(outcome.failures.empty());
  EXPECT_TRUE(soon([&] { return reader.ends().size() == 1; }));
}

TEST_F(SourceProcesses, OneThatFailsLeavesTheOthersAlone) {
  SourceProcess process({});
  ASSERT_TRUE(process.add(camera("a", at("dealer+connect"))));
  SourceProcess::Entry absent = camera("b", at("dealer+connect"));
  absent.properties.set("device", "/dev/v4l/by-id/usb-not-there");
  ASSERT_TRUE(process.add(absent));
  const Reader reader(at("router+bind"));
  ASSERT_TRUE(process.start());
  ASSERT_TRUE(soon([&] { return reader.frames() >= 20; }));
  ASSERT_TRUE(soon([&] { return process.status().at(1).last_error.contains("is not there"); }));
}

TEST_F(SourceProcesses, MistakesAreSaidBeforeAnythingStarts) {
  SourceProcess process({});
  const auto error = [&](const SourceProcess::Entry& entry) {
    const Status added = process.add(entry);
    return added ? "" : added.error().message;
  };
  EXPECT_THAT(error({.type = "kamera", .name = "sources[0]", .out = at("push+connect")}),
              HasSubstr("'kamera'"));
  EXPECT_THAT(error(camera("a", at("router+bind"))), HasSubstr("pub, push, dealer"));
  auto wrong = camera("a", at("push+connect"));
  wrong.properties.set("siez", "64x48");
  EXPECT_THAT(error(wrong), HasSubstr("siez"));
}

// The module is away, and comes back: nothing is lost, nobody exits.
TEST_F(F11, FileSourceWaitsForTheModuleAndLosesNothing) {
  const char* inputs = std::getenv("SIGHTGLASS_TEST_INPUTS");
  const auto file = std::filesystem::path(inputs ? inputs : "") / "v.mp4";
  if (!inputs || !std::filesystem::exists(file)) GTEST_SKIP() << "no test videos";
  SourceProcess process({});
  SourceProcess::Entry entry{.type = "video_file", .name = "file", .out = at("dealer+connect")};
  entry.properties.set("location", file.string());
  entry.properties.set("source_id", "file");
  entry.properties.set("loop", 20);
  ASSERT_TRUE(process.add(entry));
  ASSERT_TRUE(process.start());
  ASSERT_TRUE(soon([&] { return state(process, "file") == SourceState::blocked; }));
  size_t first = 0;
  {
    const Reader reader(at("router+bind"), {}, false);  // comes, acknowledges nothing and goes again
    ASSERT_TRUE(soon([&] { return reader.frames() > 10; }));
    first = reader.frames();
  }
  const Reader reader(at("router+bind"));
  const std::stop_source stop;
  ASSERT_TRUE(soon([&] { return process.wait(10ms, stop.get_token()); }));
  const auto outcome = process.finish(30s, stop.get_token());
  EXPECT_THAT(outcome.failures, testing::IsEmpty());
  EXPECT_GT(first, 0u);
  EXPECT_EQ(reader.distinct(), outcome.frames);
  ASSERT_EQ(reader.ends().size(), 1u);
  EXPECT_EQ(size_t(reader.ends()[0].end_of_stream->frames), outcome.frames);
}

// What a source learns of its messages.
TEST_F(SourceProcesses, MessageIsProcessedWhenTheReaderHasSettledIt) {
  struct Told final : stream::Settlement {
    void processed() override { ++count; }
    void refused(std::string_view, bool) override {}
    std::atomic<int> count = 0;
  };
  const auto outlet = this->outlet();
  std::stop_source stop;
  adapters::IntoSocket out(outlet, stop.get_token());
  const auto told = std::make_shared<Told>();
  const auto message = message_of("a");
  ASSERT_TRUE(out.deliver({.message = message, .settlement = told}));
  EXPECT_EQ(told->count, 0);
  const Reader reader(at("router+bind"));
  EXPECT_TRUE(soon([&] { return told->count == 1; }));
  // As many as its window holds wait; then the source is asked to come again.
  stream::Delivery delivery{.message = message, .settlement = told};
  EXPECT_EQ(out.offer(delivery), adapters::Deliver::Offer::taken);
}

// Also where nothing is left to send, which would be told.
TEST_F(SourceProcesses, ReaderThatAcknowledgesWhatItMayLoseIsAnError) {
  const auto outlet = this->outlet();
  outlet->writer().need_processed();
  std::stop_source stop;
  adapters::IntoSocket out(outlet, stop.get_token());
  const auto message = message_of("a");
  ASSERT_TRUE(out.deliver({.message = message}));
  EXPECT_FALSE(outlet->error());
  const Reader reader(at("router+bind"), {.level = stream::AckLevel::accepted});
  ASSERT_TRUE(soon([&] { return outlet->error().has_value(); }));
  EXPECT_EQ(outlet->error()->code, ErrorCode::not_negotiated);
  EXPECT_THAT(outlet->error()->message, HasSubstr("ack: processed"));
  EXPECT_FALSE(out.deliver({.message = message}));
}

TEST_F(SourceProcesses, MessageThatCannotBeSentIsRefusedAndTheNextOneGoes) {
  struct Told final : stream::Settlement {
    void processed() override {}
    void refused(std::string_view code, bool retry) override {
      text = std::string(code) + (retry ? "?" : "");
    }
    std::string text;
  };
  const auto outlet = this->outlet();
  std::stop_source stop;
  adapters::IntoSocket out(outlet, stop.get_token());
  const auto told = std::make_shared<Told>();
  auto message = message_of("a");
  message->user_data->attributes.push_back(
      {.namespace_ = "n", .name = std::string(1 << 20, 'x'), .values = {}});
  ASSERT_TRUE(out.deliver({.message = message, .settlement = told}));
  EXPECT_EQ(told->text, "malformed");
  EXPECT_EQ(outlet->unsendable(), 1u);
  EXPECT_THAT(outlet->unsendable_reason(), testing::HasSubstr("longer than"));
  EXPECT_FALSE(outlet->error());
  EXPECT_TRUE(out.deliver({.message = message_of("a")}));
}

TEST_F(SourceProcesses, StreamWhoseReaderIsAwayIsBlockedAlsoForSourcesThatOnlyOffer) {
  const auto outlet = this->outlet();
  std::stop_source stop;
  adapters::IntoSocket out(outlet, stop.get_token());
  const auto message = message_of("a");
  stream::Delivery delivery{.message = message};
  EXPECT_TRUE(soon([&] {
    (void)out.offer(delivery);
    return outlet->status().at(0).state == adapters::SourceState::blocked;
  }));
  out.release(std::vector<std::string>{"a"}, false);
  EXPECT_NE(outlet->status().at(0).state, adapters::SourceState::blocked);
}

}  // namespace
}  // namespace sightglass::module
