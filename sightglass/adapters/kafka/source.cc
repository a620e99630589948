// Frames from Kafka, as one of a group of consumers that share the partitions. Everything happens on the
// source's own thread: it polls, offers what it has got to the streams without ever waiting for one, commits
// what is done, and answers when partitions come and go. So the group sees a member that is alive however
// slow the models are.
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "sightglass/adapters/kafka/assigned.h"
#include "sightglass/adapters/kafka/client.h"
#include "sightglass/adapters/kafka/large_files.h"
#include "sightglass/adapters/module_adapter.h"
#include "sightglass/stream/message_reader.h"
#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/rejection.h"

namespace sightglass::adapters {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Params = KafkaSourceParams;
using PartitionList = KafkaOwned<rd_kafka_topic_partition_list_t>;

constexpr int start_timeout_ms = 5000, ask_timeout_ms = 5000, last_commit_timeout_ms = 3000;
constexpr int ask_once_ms = 500;  // by whom a stop must not wait for
constexpr int seek_timeout_ms = 500;
constexpr auto close_timeout = 3s;
constexpr int idle_poll_ms = 100, busy_poll_ms = 2;

std::span<rd_kafka_topic_partition_t> items(rd_kafka_topic_partition_list_t& list) {
  return {list.elems, size_t(list.cnt)};
}

std::string_view note_text(const rd_kafka_topic_partition_t& partition) {
  return partition.metadata
             ? std::string_view(static_cast<const char*>(partition.metadata), partition.metadata_size)
             : std::string_view();
}

Clock::duration seconds(double s) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
}

class KafkaSource final : public Source {
 public:
  KafkaSource(Params params, SourceContext context)
      : params_(std::move(params)), context_(std::move(context)), reader_(reader_options()) {}
  ~KafkaSource() override { close(); }

  static Result<std::unique_ptr<Source>> create(const ParamSet& set, const SourceContext& context) {
    const Params& params = set.as<Params>();
    if (params.topics.empty() || std::ranges::contains(params.topics, std::string()))
      return fail(ErrorCode::invalid_argument, "{}: topics is missing: those that frames are read from",
                  context.name);
    if (params.group.empty())
      return fail(ErrorCode::invalid_argument, "{}: group is empty: the name that members share",
                  context.name);
    auto source = std::make_unique<KafkaSource>(params, context);
    if (auto conf = source->settings(); !conf) return forward_error(conf);
    return source;
  }

  Status start() override {
    auto conf = settings();
    if (!conf) return forward_error(conf);
    auto client = kafka_client(RD_KAFKA_CONSUMER, std::move(*conf), context_.name);
    if (!client) return forward_error(client);
    client_ = std::move(*client);
    rd_kafka_poll_set_consumer(client_.get());
    auto checked = check_topics(start_timeout_ms);
    if (is_cancelled_) return fail(ErrorCode::cancelled, "{}: stopped on request", context_.name);
    // Brokers that are away are waited for, for ever.
    if (!checked && checked.error().code == ErrorCode::unavailable) {
      journal_.log(4, "START", checked.error().message);
      return {};
    }
    return checked;
  }

  Status run(Deliver& out, std::stop_token stop) override {
    out_ = &out;
    stop_ = stop;
    for (auto pause = 100ms; !is_checked_; pause = std::min(pause * 2, 5000ms)) {
      if (stop.stop_requested() || is_draining_) return {};
      if (auto checked = check_topics(ask_once_ms);
          !checked && checked.error().code != ErrorCode::unavailable)
        return checked;
      for (const auto end = Clock::now() + pause;
           !is_checked_ && Clock::now() < end && !stop.stop_requested() && !is_draining_;)
        wait(100ms);
    }
    const PartitionList topics(rd_kafka_topic_partition_list_new(int(params_.topics.size())));
    for (const std::string& topic : params_.topics)
      rd_kafka_topic_partition_list_add(topics.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
    if (const auto failed = rd_kafka_subscribe(client_.get(), topics.get()))
      return fail(ErrorCode::invalid_argument, "{}: topics: {}", context_.name, error_text(failed));
    auto next_commit = Clock::now() + seconds(params_.commit_interval);
    // Without a drain, nothing more being taken is an error of whoever takes it.
    while (!stop.stop_requested() && failure_ && (!is_closed_ || is_draining_)) {
      const bool is_busy =
          std::ranges::any_of(assigned_, [](const auto& one) { return one.second->is_waiting(); });
      take(rd_kafka_consumer_poll(client_.get(),
                                  is_busy && !is_draining_ && !is_closed_ ? busy_poll_ms : idle_poll_ms));
      pump();
      if (Clock::now() < next_commit) continue;
      commit(true);
      next_commit = Clock::now() + seconds(params_.commit_interval);
    }
    close();
    return failure_;
  }

  void cancel() override { is_cancelled_ = true; }

  // Goes on as a member of the group, with nothing more taken, so that what is under way can be committed.
  bool drain() override {
    is_draining_ = true;
    return true;
  }

  std::map<std::string, uint64_t> rejected() const override { return refusals_->get(); }
  std::vector<std::string> addresses() const override {
    std::string topics, brokers;
    for (const auto& topic : params_.topics) topics += (topics.empty() ? "" : ",") + topic;
    for (const auto& broker : params_.brokers) brokers += (brokers.empty() ? "" : ",") + broker;
    return {std::format("kafka {} at {}, group {}", topics, brokers, params_.group)};
  }

 private:
  using Key = std::pair<std::string, int>;

  stream::ReaderOptions reader_options() const {
    stream::ReaderOptions options;
    options.limits = context_.limits;
    options.allow_location = [this](const stream::Location& location) {
      return find_large_file(location, context_.folder, params_.large_folders).has_value() ||
             (context_.allow_location && context_.allow_location(location));
    };
    return options;
  }

  Result<KafkaOwned<rd_kafka_conf_t>> settings() {
    auto conf = kafka_conf(params_, context_.folder, context_.name, journal_);
    if (!conf) return conf;
    std::vector<std::pair<const char*, std::string>> settings{
        {"group.id", params_.group},
        {"partition.assignment.strategy", "cooperative-sticky"},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", params_.start == Params::Start::latest ? "latest" : "earliest"},
        {"check.crcs", "true"},  // a record that was broken on its way is fetched again, not refused
        {"queued.max.messages.kbytes", "16384"},
        {"fetch.error.backoff.ms", "100"}};
    if (!params_.group_instance_id.empty())
      settings.emplace_back("group.instance.id", params_.group_instance_id);
    for (const auto& [key, value] : settings)
      if (auto set = set_option(conf->get(), key, value); !set)
        return fail(ErrorCode::invalid_argument, "{}: {}", context_.name, set.error().message);
    if (auto set = set_user_options(conf->get(), params_, context_.name); !set) return forward_error(set);
    rd_kafka_conf_set_rebalance_cb(conf->get(), [](rd_kafka_t*, rd_kafka_resp_err_t event,
                                                   rd_kafka_topic_partition_list_t* list, void* opaque) {
      static_cast<SourceJournal*>(static_cast<KafkaJournal*>(opaque))->source->rebalance(event, *list);
    });
    rd_kafka_conf_set_offset_commit_cb(conf->get(), [](rd_kafka_t*, rd_kafka_resp_err_t failed,
                                                       rd_kafka_topic_partition_list_t*, void* opaque) {
      if (failed && failed != RD_KAFKA_RESP_ERR__NO_OFFSET)
        static_cast<SourceJournal*>(static_cast<KafkaJournal*>(opaque))->source->has_to_commit_again_ = true;
    });
    return conf;
  }

  // ── topics ──

  Status check_topics(int timeout_ms) {
    journal_.clear();
    for (const std::string& topic : params_.topics) {
      auto count = partition_count(client_.get(), topic, timeout_ms, journal_, &is_cancelled_);
      if (!count) {
        count.error().message = context_.name + ": " + count.error().message;
        return forward_error(count);
      }
      partitions_[topic] = *count;
      const PartitionList all(rd_kafka_topic_partition_list_new(*count));
      rd_kafka_topic_partition_list_add_range(all.get(), topic.c_str(), 0, *count - 1);
      if (auto read = read_committed(*all, timeout_ms); !read) return read;
    }
    is_checked_ = true;
    return {};
  }

  // Fills in what the group has committed, and compares what stands beside it.
  Status read_committed(rd_kafka_topic_partition_list_t& list, int timeout_ms) {
    const auto end = Clock::now() + std::chrono::milliseconds(timeout_ms);
    for (;;) {
      const auto failed = rd_kafka_committed(client_.get(), &list, ask_once_ms);
      if (!failed) break;
      // A group that is denied is told of here; later messages come here too, and must not be dropped.
      const KafkaOwned<rd_kafka_message_t> said(is_checked_ ? nullptr
                                                            : rd_kafka_consumer_poll(client_.get(), 0));
      if (said && said->err) journal_.note_error(said->err, rd_kafka_message_errstr(said.get()));
      if (const std::string denied = journal_.denied();
          !denied.empty() || failed == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
        return fail(ErrorCode::invalid_argument, "{}: group '{}': {}", context_.name, params_.group,
                    denied.empty() ? error_text(failed) : denied);
      if (Clock::now() >= end || stop_.stop_requested() || is_cancelled_)
        return fail(ErrorCode::unavailable, "{}: the offsets of group '{}' cannot be read: {}", context_.name,
                    params_.group, error_text(failed));
    }
    if (params_.allow_repartition) return {};
    for (const auto& partition : items(list)) {
      const auto note = parse_commit_note(note_text(partition));
      const int count = partitions_[partition.topic];
      if (note && note->partitions != count)
        return fail(
            ErrorCode::invalid_argument,
            "{}: topic '{}' had {} partitions and has {} now: sources have moved between partitions, what "
            "is left of them may come out of order or twice; allow-repartition goes on all the same",
            context_.name, partition.topic, note->partitions, count);
    }
    return {};
  }

  // ── partitions come and go; called from within consumer_poll() ──

  void rebalance(rd_kafka_resp_err_t event, rd_kafka_topic_partition_list_t& list) {
    if (event == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
      if (auto assigned = assign(list); !assigned) failure_ = std::move(assigned);
      const KafkaOwned<rd_kafka_error_t> failed(rd_kafka_incremental_assign(client_.get(), &list));
      if (failed) journal_.note_error(rd_kafka_error_code(failed.get()), rd_kafka_error_string(failed.get()));
      return;
    }
    const bool is_lost = rd_kafka_assignment_lost(client_.get()) != 0;
    if (!is_lost) finish(list);
    for (const auto& partition : items(list)) {
      const auto found = assigned_.find({partition.topic, partition.partition});
      if (found == assigned_.end()) continue;
      found->second->close();
      // librdkafka would keep the pause until the partition comes back, and nobody would end it.
      if (found->second->is_paused) pause(*found->second, false);
      // Whoever has it now may have begun already.
      if (is_lost) out_->release(found->second->source_ids(), true);
      assigned_.erase(found);
    }
    const KafkaOwned<rd_kafka_error_t> failed(rd_kafka_incremental_unassign(client_.get(), &list));
    if (failed) journal_.note_error(rd_kafka_error_code(failed.get()), rd_kafka_error_string(failed.get()));
  }

  Status assign(rd_kafka_topic_partition_list_t& list) {
    if (list.cnt == 0) return {};
    for (const auto& partition : items(list)) {
      const std::string topic = partition.topic;
      auto count = partition_count(client_.get(), topic, ask_timeout_ms, journal_, nullptr, false);
      if (count) partitions_[topic] = *count;
    }
    Status read = read_committed(list, ask_timeout_ms);
    if (!read && read.error().code != ErrorCode::unavailable) return read;
    const bool is_first = !std::exchange(has_begun_, true);
    for (auto& partition : items(list)) {
      int64_t processed = -1;
      if (const auto note = parse_commit_note(note_text(partition)); note && partition.offset >= 0)
        processed = note->processed;
      if (is_first && params_.start != Params::Start::committed) {
        partition.offset =
            params_.start == Params::Start::latest ? RD_KAFKA_OFFSET_END : RD_KAFKA_OFFSET_BEGINNING;
        processed = -1;
      }
      auto& assigned = assigned_[{partition.topic, partition.partition}];
      assigned = std::make_shared<Assigned>(partition.topic, partition.partition, processed, refusals_);
      if (partition.offset >= 0) assigned->order.begin(partition.offset);
    }
    return {};
  }

  // L-25: what was taken is finished in time, and committed.
  void finish(rd_kafka_topic_partition_list_t& list) {
    std::vector<std::shared_ptr<Assigned>> leaving;
    std::vector<std::string> ids;
    for (const auto& partition : items(list)) {
      const auto found = assigned_.find({partition.topic, partition.partition});
      if (found == assigned_.end()) continue;
      found->second->stop_delivering();
      leaving.push_back(found->second);
      std::ranges::move(found->second->source_ids(), std::back_inserter(ids));
    }
    const bool is_ending = stop_.stop_requested() || !failure_;
    if (!is_ending && !ids.empty()) out_->release(ids, false);
    const auto end = Clock::now() + (is_ending ? Clock::duration() : seconds(params_.revoke_timeout));
    while (std::ranges::any_of(leaving, [](const auto& one) { return one->under_way() > 0; }) &&
           Clock::now() < end && !stop_.stop_requested()) {
      // The others go on.
      for (auto& [key, one] : assigned_)
        if (!std::ranges::contains(leaving, one)) one->pump(*out_);
      wait(5ms);
    }
    commit_these(leaving, false);
  }

  // ── messages ──

  void take(rd_kafka_message_t* polled) {
    const KafkaOwned<rd_kafka_message_t> message(polled);
    if (!message) return;
    if (message->err) return take_error(*message);
    const auto found = assigned_.find({rd_kafka_topic_name(message->rkt), message->partition});
    if (found == assigned_.end() || !is_next(found->second, *message)) return;
    Assigned& partition = *found->second;
    if (auto delivery = read(*message)) {
      partition.take(std::move(*delivery), message->offset,
                     rd_kafka_message_timestamp(message.get(), nullptr));
    } else {
      partition.skip(message->offset);
    }
    if (partition.is_overfull() && !partition.is_paused) pause(partition, true);
  }

  // False: it is not taken now. What is missing in front of it is read first, or it was taken before.
  bool is_next(std::shared_ptr<Assigned>& partition, const rd_kafka_message_t& message) {
    if (partition->seek_to >= 0) return false;
    if (partition->damage.is_searched()) {
      pass_damage(*partition, partition->damage.whole());
      return false;
    }
    OffsetSequence& order = partition->order;
    if (order.next() < 0 && params_.start != Params::Start::latest) begin(*partition, message.offset);
    const int64_t expected = order.next();
    const auto [verdict, passed_over] =
        order.check(message.offset, rd_kafka_message_leader_epoch(&message),
                    rd_kafka_message_timestamp(&message, nullptr), Clock::now());
    switch (verdict) {
      case OffsetSequence::Verdict::next:
        if (passed_over > 0) note_gap(*partition, expected, message.offset);
        partition->damage.forget();
        return true;
      case OffsetSequence::Verdict::missing:
        partition->seek_to = expected;
        break;
      case OffsetSequence::Verdict::repeated:
        // A log that ends before what was read of it is another one, however old its records are.
        if (const int64_t end = bounds(*partition).second; end < 0 || end >= order.next()) return false;
        [[fallthrough]];
      case OffsetSequence::Verdict::rewritten:
        restart(partition, message.offset);
        break;
    }
    seek(*partition);
    return false;
  }

  // Where the log begins and ends, as far as the brokers have told; -1: not known.
  std::pair<int64_t, int64_t> bounds(const Assigned& partition) {
    int64_t low = -1, high = -1;
    (void)rd_kafka_get_watermark_offsets(client_.get(), partition.topic().c_str(), partition.partition(),
                                         &low, &high);
    return {low, high};
  }

  // From the first record on that the brokers have.
  void begin(Assigned& partition, int64_t first_read) {
    const int64_t low = bounds(partition).first;
    if (low >= 0 && low < first_read) partition.order.begin(low);
  }

  void note_gap(const Assigned& partition, int64_t first, int64_t end) {
    refusals_->add("offset_gap");
    journal_.log(4, "GAP",
                 std::format("{} [{}]: nothing stands at the offsets {} to {}: transactions, compaction, "
                             "retention, or lost",
                             partition.topic(), partition.partition(), first, end - 1));
  }

  // Read again by librdkafka: on its way, or for good on the broker's disk.
  void take_damaged(const rd_kafka_message_t& message) {
    const auto found = assigned_.find({rd_kafka_topic_name(message.rkt), message.partition});
    if (found == assigned_.end() || found->second->seek_to >= 0) return;
    Assigned& partition = *found->second;
    pass_damage(partition, partition.damage.damaged(message.offset, partition.order.next(),
                                                    bounds(partition).second, Clock::now()));
  }

  void pass_damage(Assigned& partition, DamagedBatch::Action action) {
    DamagedBatch& damage = partition.damage;
    if (action == DamagedBatch::Action::wait) return;
    partition.seek_to = action == DamagedBatch::Action::seek ? damage.probe() : damage.end();
    if (action == DamagedBatch::Action::pass) {
      refusals_->add("damaged_batch");
      journal_.log(4, "DAMAGED",
                   std::format("{} [{}]: the offsets {} to {} are damaged on the broker, and are passed over",
                               partition.topic(), partition.partition(), damage.first(), damage.end() - 1));
      partition.order.begin(damage.end());
      partition.skip(damage.end() - 1);
      damage.forget();
    }
    seek(partition);
  }

  // Other records stand now where some were read: as if the partition came anew.
  void restart(std::shared_ptr<Assigned>& partition, int64_t offset) {
    journal_.log(
        4, "REWRITTEN",
        std::format("{} [{}]: another record stands at offset {}, below {}: the log was cut or made anew",
                    partition->topic(), partition->partition(), offset, partition->order.next()));
    const LogPosition old = partition->position();
    partition->close();
    const auto at_most = [&](int64_t known) { return known < 0 ? offset : std::min(known, offset); };
    auto fresh = std::make_shared<Assigned>(partition->topic(), partition->partition(),
                                            at_most(old.processed), refusals_);
    fresh->seek_to = at_most(old.offset);
    fresh->order.begin(fresh->seek_to);
    partition = std::move(fresh);
  }

  // Of what was fetched before nothing comes any more.
  void seek(Assigned& partition) {
    const PartitionList one(rd_kafka_topic_partition_list_new(1));
    auto* const item =
        rd_kafka_topic_partition_list_add(one.get(), partition.topic().c_str(), partition.partition());
    item->offset = partition.seek_to;
    const KafkaOwned<rd_kafka_error_t> failed(
        rd_kafka_seek_partitions(client_.get(), one.get(), seek_timeout_ms));
    if (!failed && !item->err) partition.seek_to = -1;
  }

  void take_error(const rd_kafka_message_t& message) {
    const char* const text = rd_kafka_message_errstr(&message);
    journal_.note_error(message.err, text ? text : "");
    journal_.log(4, "CONSUME", text ? text : error_text(message.err));
    if (message.err == RD_KAFKA_RESP_ERR__BAD_MSG && message.rkt) return take_damaged(message);
    if (message.err != RD_KAFKA_RESP_ERR__FATAL && message.err != RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID)
      return;
    std::array<char, 512> reason{};
    (void)rd_kafka_fatal_error(client_.get(), reason.data(), reason.size());
    failure_ = fail(ErrorCode::io, "{}: {}{}", context_.name, reason.data(),
                    params_.group_instance_id.empty() ? "" : "; is group-instance-id used twice?");
  }

  // None: nothing for us, counted.
  std::optional<stream::Delivery> read(const rd_kafka_message_t& polled) {
    const auto bytes = [](const void* data, size_t size) {
      return stream::Bytes(static_cast<const uint8_t*>(data), size);
    };
    const std::array parts{bytes(polled.key, polled.key_len), bytes(polled.payload, polled.len)};
    auto message = std::make_shared<stream::Message>();
    const auto reading = reader_.read(parts, *message);
    switch (reading.verdict) {
      case stream::Reading::Verdict::accepted:
        break;
      case stream::Reading::Verdict::ignored:
        return std::nullopt;
      case stream::Reading::Verdict::needs_schema:
        refusals_->add("schema_unknown");
        return std::nullopt;
      case stream::Reading::Verdict::rejected:
        refusals_->add(to_string(reading.reason));
        return std::nullopt;
    }
    if (stream::is_control(message->kind)) return std::nullopt;
    stream::Delivery delivery;
    delivery.received_ns = Clock::now().time_since_epoch().count();
    stream::Content* const content = message->frame       ? &message->frame->content
                                     : message->user_data ? &message->user_data->content
                                                          : nullptr;
    if (content) {
      std::optional<std::vector<uint8_t>> payload;
      if (auto* inlined = std::get_if<stream::Inline>(content)) {
        payload = std::move(inlined->data);
      } else if (const auto* location = std::get_if<stream::Location>(content)) {
        payload = read_large_file(*location, context_.folder, params_.large_folders, context_.limits.part);
        if (!payload || (message->frame && message->frame->crc32c &&
                         uint32_t(*message->frame->crc32c) != stream::crc32c(*payload))) {
          refusals_->add(payload ? "payload" : "location");
          return std::nullopt;
        }
      }
      if (payload) {
        *content = stream::Part{.index = 0, .size = int64_t(payload->size())};
        delivery.payloads.push_back(stream::own(std::move(*payload)));
      }
    }
    delivery.message = std::move(message);
    return delivery;
  }

  void pump() {
    for (auto& [key, partition] : assigned_) {
      if (is_draining_ || is_closed_) {
        if (!partition->is_paused) pause(*partition, true);
        continue;
      }
      if (partition->seek_to >= 0) seek(*partition);
      if (!is_closed_ && !partition->pump(*out_)) is_closed_ = true;
      if (partition->is_paused && partition->has_room()) pause(*partition, false);
    }
  }

  void pause(Assigned& partition, bool is_paused) {
    const PartitionList one(rd_kafka_topic_partition_list_new(1));
    rd_kafka_topic_partition_list_add(one.get(), partition.topic().c_str(), partition.partition());
    const auto failed = is_paused ? rd_kafka_pause_partitions(client_.get(), one.get())
                                  : rd_kafka_resume_partitions(client_.get(), one.get());
    if (!failed) partition.is_paused = is_paused;
  }

  // ── offsets ──

  void commit(bool async) {
    if (has_to_commit_again_.exchange(false))
      for (auto& [key, partition] : assigned_) partition->committed = {};
    std::vector<std::shared_ptr<Assigned>> all;
    all.reserve(assigned_.size());
    for (auto& [key, partition] : assigned_) all.push_back(partition);
    commit_these(all, async);
  }

  void commit_these(const std::vector<std::shared_ptr<Assigned>>& partitions, bool async) {
    const PartitionList list(rd_kafka_topic_partition_list_new(int(partitions.size())));
    for (const auto& partition : partitions) {
      const LogPosition position = partition->position();
      if (position.offset < 0 || position == partition->committed) continue;
      partition->committed = position;
      auto* const item =
          rd_kafka_topic_partition_list_add(list.get(), partition->topic().c_str(), partition->partition());
      item->offset = position.offset;
      const std::string note = to_string(
          CommitNote{.processed = position.processed, .partitions = partitions_[partition->topic()]});
      item->metadata = std::malloc(note.size());  // librdkafka frees it
      if (!item->metadata) continue;
      std::memcpy(item->metadata, note.data(), note.size());
      item->metadata_size = note.size();
    }
    if (list->cnt == 0) return;
    const auto failed = async ? rd_kafka_commit(client_.get(), list.get(), 1) : commit_in_time(*list);
    if (failed) {
      journal_.note_error(failed, error_text(failed));
      has_to_commit_again_ = true;
    }
  }

  // rd_kafka_commit() waits for a coordinator that is away for as long as a session lasts.
  rd_kafka_resp_err_t commit_in_time(const rd_kafka_topic_partition_list_t& list) {
    const KafkaOwned<rd_kafka_queue_t> answers(rd_kafka_queue_new(client_.get()));
    if (const auto failed = rd_kafka_commit_queue(client_.get(), &list, answers.get(), nullptr, nullptr))
      return failed;
    const KafkaOwned<rd_kafka_event_t> answer(rd_kafka_queue_poll(answers.get(), last_commit_timeout_ms));
    return answer ? rd_kafka_event_error(answer.get()) : RD_KAFKA_RESP_ERR__TIMED_OUT;
  }

  // Leaves the group, within a few seconds whatever the brokers do.
  void close() {
    if (!client_) return;
    if (!assigned_.empty()) commit(false);
    const KafkaOwned<rd_kafka_queue_t> queue(rd_kafka_queue_get_consumer(client_.get()));
    const KafkaOwned<rd_kafka_error_t> failed(rd_kafka_consumer_close_queue(client_.get(), queue.get()));
    for (const auto end = Clock::now() + close_timeout;
         !failed && !rd_kafka_consumer_closed(client_.get()) && Clock::now() < end;)
      if (rd_kafka_message_t* const message = rd_kafka_consumer_poll(client_.get(), 20))
        rd_kafka_message_destroy(message);
    for (auto& [key, partition] : assigned_) partition->close();
    assigned_.clear();
    rd_kafka_destroy_flags(client_.release(), RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
  }

  void wait(std::chrono::milliseconds time) const { std::this_thread::sleep_for(time); }

  struct SourceJournal : KafkaJournal {
    SourceJournal(const std::string& name, KafkaSource* owner) : KafkaJournal(name), source(owner) {}
    KafkaSource* const source;
  };

  const Params params_;
  const SourceContext context_;
  SourceJournal journal_{context_.name, this};
  stream::MessageReader reader_;
  const std::shared_ptr<RefusalCounts> refusals_ = std::make_shared<RefusalCounts>();
  std::atomic<bool> is_draining_{false}, is_cancelled_{false}, has_to_commit_again_{false};
  KafkaOwned<rd_kafka_t> client_;
  // The source's thread's own.
  bool is_checked_ = false, has_begun_ = false, is_closed_ = false;
  std::map<std::string, int> partitions_;  // of each topic
  std::map<Key, std::shared_ptr<Assigned>> assigned_;
  Status failure_;
  Deliver* out_ = nullptr;
  std::stop_token stop_;
};

const ModuleSource registration("kafka", &KafkaSource::create);

}  // namespace
}  // namespace sightglass::adapters
