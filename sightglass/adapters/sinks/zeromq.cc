// Records as messages, to the next module or any other reader. On a dealer a record counts as stored once the
// reader has acknowledged it, on push and pub once ZeroMQ has it.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
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
    if (Status read = check_key(options.socket.curve, context.name); !read) return forward_error(read);
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
    // Nobody waits for what is told of a socket without acknowledgements.
    const bool waits = stream::acknowledges(url_.type);
    if (waits) begin_batch(records.size());
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
                                        options_.send_timeout, waits ? settlement(i) : nullptr);
      if (!sent) {
        // What no reader would take is not sent again.
        const bool never = sent.error().code == ErrorCode::invalid_argument;
        std::fill(outcome.begin() + ptrdiff_t(i), outcome.end(), Stored::retry);
        if (never) outcome[i] = Stored::never;
        if (i == 0) return never ? Status() : sent;
        if (waits) batch_->drop_behind(i);
        break;
      }
    }
    // Also of those that went before one that did not.
    return waits ? wait_for_acks(*batch_, outcome) : Status();
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
  // What has become of the messages of one write(), told by the writer's thread. Used again once nobody else
  // has it: each settlement is a part of it.
  struct Batch {
    enum class State : uint8_t { open, stored, refused, counted };
    void set(size_t index, State state) {
      const std::lock_guard lock(mutex);
      if (index < states.size() && states[index] == State::open) states[index] = state;
      changed.notify_all();
    }
    void begin(size_t size) {
      while (answers.size() < size) answers.emplace_back(*this, answers.size());
      const std::lock_guard lock(mutex);
      states.assign(size, State::open);
    }
    void drop_behind(size_t size) {
      const std::lock_guard lock(mutex);
      states.resize(size);
    }
    class Answer final : public stream::Settlement {
     public:
      Answer(Batch& batch, size_t index) : batch_(batch), index_(index) {}
      void processed() override { batch_.set(index_, State::stored); }
      void refused(std::string_view, bool) override { batch_.set(index_, State::refused); }

     private:
      Batch& batch_;
      const size_t index_;
    };
    std::deque<Answer> answers;  // stay where they are
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<State> states;
  };
  // The writer lets go of the last one a little later, and of one that was given up some day.
  void begin_batch(size_t size) {
    constexpr size_t most = 4;
    batch_.reset();
    auto free = std::ranges::find_if(batches_, [](const auto& batch) { return batch.use_count() == 1; });
    if (free == batches_.end()) {
      if (batches_.size() == most) batches_.erase(batches_.begin());
      free = batches_.insert(batches_.end(), std::make_shared<Batch>());
    }
    batch_ = *free;
    batch_->begin(size);
  }
  std::shared_ptr<stream::Settlement> settlement(size_t index) const {
    return {batch_, &batch_->answers[index]};
  }

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
  std::vector<std::shared_ptr<Batch>> batches_;
  std::shared_ptr<Batch> batch_;  // of them, that of the write() under way
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
