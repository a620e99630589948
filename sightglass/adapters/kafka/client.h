// What source and sink have in common of librdkafka: its settings from ours, what it has to say, topics.
#pragma once

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "sightglass/adapters/kafka/params.h"
#include "sightglass/core/result.h"

namespace sightglass::adapters {

struct KafkaDeleter {
  void operator()(rd_kafka_conf_t* conf) const { rd_kafka_conf_destroy(conf); }
  void operator()(rd_kafka_topic_conf_t* conf) const { rd_kafka_topic_conf_destroy(conf); }
  void operator()(rd_kafka_topic_t* topic) const { rd_kafka_topic_destroy(topic); }
  void operator()(rd_kafka_message_t* message) const { rd_kafka_message_destroy(message); }
  void operator()(rd_kafka_topic_partition_list_t* list) const {
    rd_kafka_topic_partition_list_destroy(list);
  }
  void operator()(rd_kafka_error_t* error) const { rd_kafka_error_destroy(error); }
  void operator()(rd_kafka_queue_t* queue) const { rd_kafka_queue_destroy(queue); }
  void operator()(rd_kafka_event_t* event) const { rd_kafka_event_destroy(event); }
  void operator()(rd_kafka_t* client) const { rd_kafka_destroy(client); }
};
template <class T>
using KafkaOwned = std::unique_ptr<T, KafkaDeleter>;

// What librdkafka reports on its threads: its lines go to stderr, warnings and worse, each kind once in ten
// seconds; the latest error is kept for whoever reports why nothing moves. Thread-safe; outlives the client.
class KafkaJournal {
 public:
  explicit KafkaJournal(std::string name) : name_(std::move(name)) {}
  void log(int level, std::string_view kind, std::string_view text);
  void note_error(rd_kafka_resp_err_t code, std::string_view text);
  // ", BROKER: connection refused", or nothing when there was no error since clear().
  std::string last_error() const;
  // Refused as the one who we are; trying again does not help. Empty: not.
  std::string denied() const;
  bool is_fatal() const;
  void clear();

 private:
  const std::string name_;
  mutable std::mutex mutex_;
  std::string last_error_, denied_, last_kind_;
  bool is_fatal_ = false;
  int64_t last_log_ns_ = 0;
};

// Settings of both; `name` of the adapter, for messages. `journal` is what conf_opaque refers to.
Result<KafkaOwned<rd_kafka_conf_t>> kafka_conf(const KafkaParams& params, const std::string& folder,
                                               const std::string& name, KafkaJournal& journal);
Status set_option(rd_kafka_conf_t* conf, const std::string& name, const std::string& value);
// The options that the user has given, last.
Status set_user_options(rd_kafka_conf_t* conf, const KafkaParams& params, const std::string& name);
// Takes the settings over.
Result<KafkaOwned<rd_kafka_t>> kafka_client(rd_kafka_type_t type, KafkaOwned<rd_kafka_conf_t> conf,
                                            const std::string& name);

std::string error_text(rd_kafka_resp_err_t error);
// not_found: there is none; invalid_argument: denied; unavailable: no broker answers in time; cancelled: that
// became true. The client has to be a consumer: asking with it makes no topic.
// `serves`: what it has to report meanwhile is heard; not once messages stand in its queue, among the
// reports.
Result<int> partition_count(rd_kafka_t* consumer, const std::string& topic, int timeout_ms,
                            const KafkaJournal& journal, const std::atomic<bool>* is_cancelled = nullptr,
                            bool serves = true);
Status make_topic(rd_kafka_t* client, const std::string& topic, int partitions, int replication,
                  int timeout_ms);

}  // namespace sightglass::adapters
