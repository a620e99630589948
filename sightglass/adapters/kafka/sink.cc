// Records into Kafka: one topic for what is known of frames, one for the frames with their picture. The
// message key is the source id, so all of a source stand in one partition, in order; the header `uuid` tells
// repeats apart.
//
// A message is handed to librdkafka once and stays there until the brokers have it, however long they are
// away: the producer is idempotent and nothing times out, so neither order nor count suffers. What has no
// answer within send-timeout is `retry` for the sink's queue; when it comes again it is recognised by its
// uuid, not sent again.
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sightglass/adapters/kafka/client.h"
#include "sightglass/adapters/module_adapter.h"
#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::adapters {
namespace {

using Clock = std::chrono::steady_clock;
using Params = KafkaSinkParams;
using namespace std::chrono_literals;

constexpr int start_timeout_ms = 5000;
constexpr int slice_ms = 50;  // between two looks at cancel()
constexpr size_t inline_reserve = 4096;

struct UuidHash {
  size_t operator()(const stream::Uuid& uuid) const {
    size_t hash;
    std::memcpy(&hash, uuid.data() + uuid.size() - sizeof hash, sizeof hash);  // the random part
    return hash;
  }
};

// A record on its way: one message, or one per topic.
struct Pending {
  unsigned outstanding = 0;
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;  // the worst
};

bool is_too_large(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || error == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE;
}

bool is_final(rd_kafka_resp_err_t error) {
  return is_too_large(error) || error == RD_KAFKA_RESP_ERR_INVALID_RECORD ||
         error == RD_KAFKA_RESP_ERR_INVALID_MSG || error == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP;
}

class KafkaSink final : public Sink {
 public:
  KafkaSink(Params params, SinkContext context)
      : params_(std::move(params)), context_(std::move(context)), journal_(context_.name) {}
  ~KafkaSink() override { close(); }

  static Result<std::unique_ptr<Sink>> create(const ParamSet& set, const SinkContext& context) {
    const Params& params = set.as<Params>();
    if (params.topic.empty() && params.video_topic.empty())
      return fail(ErrorCode::invalid_argument, "{}: topic is missing, or video-topic", context.name);
    if (params.topic == params.video_topic)
      return fail(
          ErrorCode::invalid_argument,
          "{}: topic and video-topic are both '{}': frames with pictures hold what is known of them too",
          context.name, params.topic);
    auto sink = std::make_unique<KafkaSink>(params, context);
    // What is wrong with the settings is said now, whether or not brokers are there.
    if (auto conf = sink->settings(); !conf) return forward_error(conf);
    return sink;
  }

  Status start() override {
    if (auto opened = open(); !opened) return opened;
    auto checked = check_topics(start_timeout_ms);
    // Brokers that are away are waited for: records stay in the queue until then.
    if (!checked && checked.error().code == ErrorCode::unavailable) {
      journal_.log(4, "START", checked.error().message);
      return {};
    }
    return checked;
  }

  Status write(std::span<const RecordRef> records, std::span<Stored> outcome) override {
    if (journal_.is_fatal() || !client_) {
      close();  // what was in it comes again
      if (auto opened = open(); !opened) return opened;
    }
    const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                             std::chrono::duration<double>(params_.send_timeout));
    if (!is_checked_)
      if (auto checked = check_topics(int(params_.send_timeout * 1000)); !checked) return checked;
    // Of records that were given up; those that are still on their way are in librdkafka's hands.
    std::erase_if(pending_, [&](const auto& each) {
      return each.second.outstanding == 0 &&
             !std::ranges::contains(records, each.first,
                                    [](const RecordRef& record) { return record->uuid; });
    });
    batch_.assign(records.size(), nullptr);
    for (size_t i = 0; i < records.size(); ++i) {
      const auto known = pending_.find(records[i]->uuid);
      if (known != pending_.end()) {
        batch_[i] = &known->second;
        continue;
      }
      const auto sent = send(*records[i], false, deadline);
      if (!sent) break;  // no room: the rest comes again
      batch_[i] = *sent;
    }
    wait(deadline);
    return report(records, outcome, deadline);
  }

  Status flush() override {
    if (!client_ || pending_.empty()) return {};
    for (const auto end = Clock::now() + 10s; !is_cancelled_ && Clock::now() < end;)
      if (!rd_kafka_flush(client_.get(), slice_ms)) return {};
    return fail(ErrorCode::io, "{}: {} records are not acknowledged{}", context_.name, pending_.size(),
                journal_.last_error());
  }

  void stop() override { close(); }
  void cancel() override { is_cancelled_ = true; }

 private:
  Result<KafkaOwned<rd_kafka_conf_t>> settings() {
    auto conf = kafka_conf(params_, context_.folder, context_.name, journal_);
    if (!conf) return conf;
    static constexpr std::array compressions{"none", "lz4", "zstd", "gzip"};
    const std::pair<const char*, std::string> settings[] = {
        {"enable.idempotence", "true"},
        {"acks", "all"},
        {"message.timeout.ms", "0"},
        {"partitioner", "murmur2"},
        {"compression.codec", compressions[size_t(params_.compression)]},
        {"linger.ms", std::format("{}", params_.linger * 1000)},
        {"message.max.bytes", std::to_string(params_.max_message)},
        {"queue.buffering.max.kbytes", "131072"}};
    for (const auto& [key, value] : settings)
      if (auto set = set_option(conf->get(), key, value); !set)
        return fail(ErrorCode::invalid_argument, "{}: {}", context_.name, set.error().message);
    if (auto set = set_user_options(conf->get(), params_, context_.name); !set) return forward_error(set);
    rd_kafka_conf_set_dr_msg_cb(conf->get(), [](rd_kafka_t*, const rd_kafka_message_t* message, void*) {
      auto& pending = *static_cast<Pending*>(message->_private);
      --pending.outstanding;
      if (message->err && !is_final(pending.error)) pending.error = message->err;
    });
    return conf;
  }

  Status open() {
    journal_.clear();
    auto conf = settings();
    if (!conf) return forward_error(conf);
    auto client = kafka_client(RD_KAFKA_PRODUCER, std::move(*conf), context_.name);
    if (!client) return forward_error(client);
    client_ = std::move(*client);
    if (is_checked_) open_topics();
    return {};
  }

  void open_topics() {
    topic_ = handle(params_.topic, nullptr);
    video_topic_ = handle(params_.video_topic, "none");
  }

  void close() {
    topic_.reset();
    video_topic_.reset();
    if (client_) rd_kafka_purge(client_.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    client_.reset();
    pending_.clear();
  }

  // Both topics are there, and as the user says.
  Status check_topics(int timeout_ms) {
    journal_.clear();
    // A producer that asks for a topic would make it, with as many partitions as the brokers like.
    auto conf = kafka_conf(params_, context_.folder, context_.name, journal_);
    if (!conf) return forward_error(conf);
    auto asking = kafka_client(RD_KAFKA_CONSUMER, std::move(*conf), context_.name);
    if (!asking) return forward_error(asking);
    for (const std::string& topic : {params_.topic, params_.video_topic})
      if (!topic.empty())
        if (auto checked = check_topic(asking->get(), topic, timeout_ms); !checked) {
          checked.error().message = context_.name + ": " + checked.error().message;
          return checked;
        }
    open_topics();
    is_checked_ = true;
    return {};
  }

  Status check_topic(rd_kafka_t* asking, const std::string& topic, int timeout_ms) {
    auto count = partition_count(asking, topic, timeout_ms, journal_, &is_cancelled_);
    if (!count && count.error().code == ErrorCode::not_found && params_.partitions > 0) {
      if (auto made = make_topic(client_.get(), topic, params_.partitions, params_.replication, timeout_ms);
          !made)
        return made;
      // The brokers tell one another.
      for (const auto end = Clock::now() + std::chrono::milliseconds(timeout_ms); Clock::now() < end;) {
        count = partition_count(asking, topic, timeout_ms, journal_, &is_cancelled_);
        if (count || is_cancelled_) break;
        rd_kafka_poll(client_.get(), slice_ms);
      }
    }
    if (!count && count.error().code == ErrorCode::not_found && params_.partitions == 0)
      count.error().message += "; with the key partitions it would be made";
    if (!count) return forward_error(count);
    if (params_.partitions > 0 && *count != params_.partitions)
      return fail(ErrorCode::invalid_argument, "topic '{}' has {} partitions, the key partitions says {}",
                  topic, *count, params_.partitions);
    return {};
  }

  KafkaOwned<rd_kafka_topic_t> handle(const std::string& topic, const char* compression) {
    if (topic.empty()) return nullptr;
    std::array<char, 512> text{};
    KafkaOwned<rd_kafka_topic_conf_t> conf(rd_kafka_default_topic_conf_dup(client_.get()));
    if (compression)
      (void)rd_kafka_topic_conf_set(conf.get(), "compression.codec", compression, text.data(), text.size());
    return KafkaOwned<rd_kafka_topic_t>(rd_kafka_topic_new(client_.get(), topic.c_str(), conf.release()));
  }

  // The record's messages, handed to librdkafka. The error: there was no room until the deadline.
  Result<Pending*> send(const Record& record, bool is_large, Clock::time_point deadline) {
    Pending& pending = pending_[record.uuid];
    pending = {};
    if (topic_ && !is_large) {
      if (params_.format == Params::Format::json) {
        text_.clear();
        write_record_json(record, text_);
        pending.error =
            produce(topic_.get(), record, {reinterpret_cast<const uint8_t*>(text_.data()), text_.size()},
                    pending, deadline);
      } else {
        to_message(record, message_);
        if (message_.frame) {
          message_.frame->content = {};
          message_.frame->crc32c.reset();
        }
        if (message_.user_data) message_.user_data->content = {};
        pending.error = encode_and_produce(topic_.get(), record, pending, deadline);
      }
    }
    const bool has_video = record.kind != RecordKind::frame || !record.payload.bytes.empty();
    if (video_topic_ && has_video && record.kind != RecordKind::frame_update && !pending.error)
      pending.error = send_video(record, is_large, pending, deadline);
    if (pending.error != RD_KAFKA_RESP_ERR__QUEUE_FULL) return &pending;
    if (pending.outstanding == 0) {
      pending_.erase(record.uuid);
    } else {
      // The one half is under way; the record as a whole comes again.
      pending.error = RD_KAFKA_RESP_ERR__QUEUE_FULL;
    }
    return fail(ErrorCode::exhausted, "{}: no room", context_.name);
  }

  rd_kafka_resp_err_t send_video(const Record& record, bool is_large, Pending& pending,
                                 Clock::time_point deadline) {
    to_message(record, message_);
    const stream::Bytes payload = record.payload.bytes;
    if (message_.frame) {
      stream::VideoFrame& frame = *message_.frame;
      frame.keyframe = record.keyframe;
      frame.crc32c = stream::crc32c(payload);
      if (is_large ||
          payload.size() + inline_reserve > std::min<size_t>(params_.max_message, stream::Limits().body)) {
        auto location = store_large(record);
        if (!location)
          return location.error().code == ErrorCode::invalid_argument ? RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE
                                                                      : RD_KAFKA_RESP_ERR__FS;
        frame.content = std::move(*location);
      } else {
        auto* place = std::get_if<stream::Inline>(&frame.content);
        if (!place) place = &frame.content.emplace<stream::Inline>();
        place->data.assign(payload.begin(), payload.end());
      }
    } else if (message_.user_data && !payload.empty()) {
      message_.user_data->content = stream::Inline{.data = {payload.begin(), payload.end()}};
    }
    return encode_and_produce(video_topic_.get(), record, pending, deadline);
  }

  rd_kafka_resp_err_t encode_and_produce(rd_kafka_topic_t* topic, const Record& record, Pending& pending,
                                         Clock::time_point deadline) {
    if (auto written = writer_.write(message_, {}, body_); !written) {
      journal_.note_error(RD_KAFKA_RESP_ERR_INVALID_RECORD, written.error().message);
      return RD_KAFKA_RESP_ERR_INVALID_RECORD;
    }
    return produce(topic, record, body_, pending, deadline);
  }

  rd_kafka_resp_err_t produce(rd_kafka_topic_t* topic, const Record& record, stream::Bytes value,
                              Pending& pending, Clock::time_point deadline) {
    std::array<rd_kafka_vu_t, 6> fields{};
    const std::string uuid = stream::to_string(record.uuid);
    fields[0].vtype = RD_KAFKA_VTYPE_RKT;
    fields[0].u.rkt = topic;
    fields[1].vtype = RD_KAFKA_VTYPE_KEY;
    fields[1].u.mem = {const_cast<char*>(record.source_id.data()), record.source_id.size()};
    fields[2].vtype = RD_KAFKA_VTYPE_VALUE;
    fields[2].u.mem = {const_cast<uint8_t*>(value.data()), value.size()};
    fields[3].vtype = RD_KAFKA_VTYPE_HEADER;
    fields[3].u.header = {"uuid", uuid.data(), ssize_t(uuid.size())};
    fields[4].vtype = RD_KAFKA_VTYPE_OPAQUE;
    fields[4].u.ptr = &pending;
    fields[5].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
    fields[5].u.i = RD_KAFKA_MSG_F_COPY;
    for (;;) {
      const KafkaOwned<rd_kafka_error_t> failed(
          rd_kafka_produceva(client_.get(), fields.data(), fields.size()));
      if (!failed) {
        ++pending.outstanding;
        return RD_KAFKA_RESP_ERR_NO_ERROR;
      }
      const auto code = rd_kafka_error_code(failed.get());
      if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        journal_.note_error(code, rd_kafka_error_string(failed.get()));
        return code;
      }
      if (is_cancelled_ || Clock::now() >= deadline) return code;
      rd_kafka_poll(client_.get(), slice_ms);
    }
  }

  void wait(Clock::time_point deadline) {
    const auto is_answered = [](const Pending* pending) { return !pending || pending->outstanding == 0; };
    // flush() sends at once what lingers, and serves the reports.
    while (!std::ranges::all_of(batch_, is_answered) && !is_cancelled_ && Clock::now() < deadline &&
           !journal_.is_fatal())
      rd_kafka_flush(client_.get(), slice_ms);
  }

  Status report(std::span<const RecordRef> records, std::span<Stored> outcome, Clock::time_point deadline) {
    size_t settled = 0;
    for (size_t i = 0; i < records.size(); ++i) {
      Pending* const pending = batch_[i];
      outcome[i] = Stored::retry;
      if (!pending || pending->outstanding > 0) continue;
      if (!pending->error)
        outcome[i] = Stored::yes;
      else if (is_too_large(pending->error) && goes_large(*records[i]))
        continue;  // is under way again, as a file's name
      else if (is_final(pending->error))
        outcome[i] = Stored::never;
      settled += outcome[i] != Stored::retry;
    }
    // A record may stand in the batch twice, as one of its frame that came again: they share what is pending.
    for (size_t i = 0; i < records.size(); ++i)
      if (const auto known = pending_.find(records[i]->uuid);
          batch_[i] && known != pending_.end() && known->second.outstanding == 0)
        pending_.erase(known);
    if (settled > 0 || records.empty()) return {};
    if (is_cancelled_) return fail(ErrorCode::cancelled, "{}: given up", context_.name);
    if (Clock::now() < deadline)
      return fail(ErrorCode::io, "{}: not stored{}", context_.name, journal_.last_error());
    return fail(ErrorCode::io, "{}: no acknowledgement for {} s{}", context_.name, params_.send_timeout,
                journal_.last_error());
  }

  // The brokers take less than max-message says.
  bool goes_large(const Record& record) {
    if (params_.large_folder.empty() || !video_topic_ || record.kind != RecordKind::frame ||
        record.payload.bytes.empty())
      return false;
    const auto sent = send(record, true, Clock::now());
    return sent && !(*sent)->error;
  }

  // The picture in a file of its own, under a name that a repeat gives again.
  Result<stream::Location> store_large(const Record& record) {
    if (params_.large_folder.empty())
      return fail(ErrorCode::invalid_argument, "{}: larger than max-message, and there is no large-folder",
                  context_.name);
    namespace fs = std::filesystem;
    std::error_code failed;
    const fs::path folder = fs::absolute(path_from(context_.folder, params_.large_folder)) / record.source_id;
    fs::create_directories(folder, failed);
    const fs::path path =
        folder / (stream::to_string(record.uuid) + "." + record.message->frame->codec.value_or("bin"));
    const fs::path unfinished = path.string() + ".part";
    const auto bytes = record.payload.bytes;
    {
      std::ofstream file(unfinished, std::ios::binary);
      file.write(reinterpret_cast<const char*>(bytes.data()), std::streamsize(bytes.size()));
      if (!file.flush()) failed = std::make_error_code(std::errc::io_error);
    }
    if (!failed) fs::rename(unfinished, path, failed);
    if (failed) {
      journal_.note_error(RD_KAFKA_RESP_ERR__FS, path.string() + " cannot be written");
      return fail(ErrorCode::io, "{}: cannot be written", path.string());
    }
    return stream::Location{.uri = "file://" + path.string(), .size = int64_t(bytes.size())};
  }

  const Params params_;
  const SinkContext context_;
  KafkaJournal journal_;  // outlives the client
  std::atomic<bool> is_cancelled_{false};
  bool is_checked_ = false;
  // Its nodes stay where they are; librdkafka refers to them.
  std::unordered_map<stream::Uuid, Pending, UuidHash> pending_;
  KafkaOwned<rd_kafka_t> client_;
  KafkaOwned<rd_kafka_topic_t> topic_, video_topic_;
  std::vector<Pending*> batch_;
  stream::MessageWriter writer_;
  stream::Message message_;
  std::vector<uint8_t> body_;
  std::string text_;
};

const ModuleSink registration("kafka", &KafkaSink::create);

}  // namespace
}  // namespace sightglass::adapters
