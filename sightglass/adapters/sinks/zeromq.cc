// Records as messages, to the next module or any other reader. On a dealer a record counts as stored once the
// reader has acknowledged it, on push and pub once ZeroMQ has it.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>
#include <variant>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/zeromq_params.h"
#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/zeromq/writer.h"

namespace sightglass::adapters {
namespace {

using namespace std::chrono_literals;

struct Params : ZmqParams {
  double send_timeout = 5;
  bool payload = true;
};

class ZmqSink final : public Sink {
 public:
  ZmqSink(Params params, stream::Url url, stream::ZmqWriterOptions options)
      : params_(std::move(params)), url_(std::move(url)), options_(std::move(options)) {}

  static Result<std::unique_ptr<Sink>> create(const ParamSet& set, const SinkContext& context) {
    Params params = set.as<Params>();
    if (params.url.size() != 1)
      return fail(ErrorCode::invalid_argument, "{}: one url is needed, as in push+connect:ipc:///run/next",
                  context.name);
    auto url = stream::parse_writer_url(params.url[0], context.name + ".url");
    if (!url) return forward_error(url);
    stream::ZmqWriterOptions options;
    options.socket.high_water_mark = int(params.high_water_mark);
    options.socket.curve = curve_options(params, context.folder);
    options.socket.require_auth = context.require_auth;
    options.send_timeout = std::chrono::milliseconds(int64_t(params.send_timeout * 1000));
    options.name = context.module;
    return std::make_unique<ZmqSink>(std::move(params), std::move(*url), std::move(options));
  }

  Status start() override {
    auto writer = stream::ZmqWriter::open(url_, options_);
    if (!writer) return forward_error(writer);
    const std::lock_guard lock(writer_mutex_);
    writer_ = std::move(*writer);
    return {};
  }

  Status write(std::span<const RecordRef> records, std::span<Stored> outcome) override {
    const auto batch = std::make_shared<Batch>(records.size());
    for (size_t i = 0; i < records.size(); ++i) {
      const Record& record = *records[i];
      to_message(record, message_);
      if (message_.frame) set_content(record);
      if (message_.user_data) {
        auto& content = message_.user_data->content;
        if (params_.payload && !record.payload.bytes.empty())
          content = stream::part_content(record.payload.bytes);
        else if (!params_.payload || std::holds_alternative<stream::Part>(content))
          content = {};
      }
      const Status sent = writer_->send(message_, params_.payload ? record.payload : stream::Payload(),
                                        options_.send_timeout, std::make_shared<Answer>(batch, i));
      if (!sent) {
        // What no reader would take is not sent again.
        const bool never = sent.error().code == ErrorCode::invalid_argument;
        std::fill(outcome.begin() + ptrdiff_t(i), outcome.end(), Stored::retry);
        if (never) outcome[i] = Stored::never;
        if (i == 0) return never ? Status() : sent;
        batch->drop_behind(i);
        break;
      }
    }
    // Also of those that went before one that did not.
    return stream::acknowledges(url_.type) ? wait_for_acks(*batch, outcome) : Status();
  }

  Status flush() override { return writer_ ? writer_->flush(10s) : Status(); }
  void stop() override {
    std::shared_ptr<stream::ZmqWriter> ended;
    {
      const std::lock_guard lock(writer_mutex_);
      ended = std::move(writer_);
    }
    if (ended) ended->close();
  }
  void cancel() override {
    cancelled_ = true;
    const std::lock_guard lock(writer_mutex_);
    if (writer_) writer_->cancel();
  }

 private:
  // What has become of the messages of one write(), told by the writer's thread.
  struct Batch {
    explicit Batch(size_t size) : states(size) {}
    enum class State : uint8_t { open, stored, refused, counted };
    void set(size_t index, State state) {
      const std::lock_guard lock(mutex);
      if (index < states.size() && states[index] == State::open) states[index] = state;
      changed.notify_all();
    }
    void drop_behind(size_t size) {
      const std::lock_guard lock(mutex);
      states.resize(size);
    }
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<State> states;
  };
  class Answer final : public stream::Settlement {
   public:
    Answer(std::shared_ptr<Batch> batch, size_t index) : batch_(std::move(batch)), index_(index) {}
    void processed() override { batch_->set(index_, Batch::State::stored); }
    void refused(std::string_view, bool) override { batch_->set(index_, Batch::State::refused); }

   private:
    const std::shared_ptr<Batch> batch_;
    const size_t index_;
  };

  void set_content(const Record& record) {
    stream::VideoFrame& frame = *message_.frame;
    if (params_.payload && !record.payload.bytes.empty()) {
      stream::set_part(frame, record.payload.bytes);
      frame.keyframe = record.keyframe;
    } else {
      frame.content = {};
      frame.crc32c.reset();
    }
  }

  // The writer goes on sending by itself, for as long as the reader is away. Each record is settled when its
  // own acknowledgement comes: a reader may leave without those that stand behind an end of stream.
  Status wait_for_acks(Batch& batch, std::span<Stored> outcome) {
    std::unique_lock lock(batch.mutex);
    for (size_t left = batch.states.size(); left > 0;) {
      for (size_t i = 0; i < batch.states.size(); ++i) {
        auto& state = batch.states[i];
        if (state == Batch::State::open || state == Batch::State::counted) continue;
        if (state == Batch::State::stored)
          tell_stored(i);
        else
          outcome[i] = Stored::never;
        state = Batch::State::counted;
        --left;
      }
      if (left == 0) break;
      if (cancelled_) return fail(ErrorCode::cancelled, "{}: not acknowledged", url_.to_string());
      batch.changed.wait_for(lock, 100ms);
    }
    return {};
  }

  const Params params_;
  const stream::Url url_;
  stream::ZmqWriterOptions options_;
  std::mutex writer_mutex_;  // the pointer is changed by the sink's thread, and read by cancel()
  std::shared_ptr<stream::ZmqWriter> writer_;
  stream::Message message_;
  std::atomic<bool> cancelled_ = false;
};

std::vector<ParamDesc> params() {
  auto all = zmq_params<Params>("address of the reader: push+connect:ipc:///run/next");
  all.push_back(param("send-timeout", &Params::send_timeout, "after which the policy of the queue decides")
                    .range(0, 3600)
                    .in("s"));
  all.push_back(param("payload", &Params::payload, "also the pictures, not only what is known of them"));
  return all;
}

const SinkRegistration registration(SinkDesc{
    .name = "zeromq",
    .doc = "the next module, or any reader of messages",
    .nature = SinkNature::socket,
    .batch_records = 64,
    .params = ParamTable::of<Params>(params()),
    .create = &ZmqSink::create,
});

}  // namespace
}  // namespace sightglass::adapters
