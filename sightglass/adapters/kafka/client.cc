#include "sightglass/adapters/kafka/client.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <format>

namespace sightglass::adapters {
namespace {

constexpr size_t text_size = 512;
constexpr int64_t log_pause_ns = 10'000'000'000;

// Ours to decide, or secrets, which come from files.
constexpr std::array reserved{"bootstrap.servers",
                              "metadata.broker.list",
                              "security.protocol",
                              "sasl.mechanism",
                              "sasl.mechanisms",
                              "sasl.username",
                              "sasl.password",
                              "sasl.oauthbearer.client.secret",
                              "ssl.key.password",
                              "ssl.key.pem",
                              "ssl.keystore.password",
                              "group.id",
                              "group.instance.id",
                              "enable.auto.commit",
                              "enable.auto.offset.store",
                              "auto.offset.reset",
                              "partition.assignment.strategy",
                              "group.protocol",
                              "enable.idempotence",
                              "acks",
                              "request.required.acks",
                              "message.timeout.ms",
                              "delivery.timeout.ms",
                              "partitioner",
                              "transactional.id"};

bool is_denied(rd_kafka_resp_err_t code) {
  return code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL ||
         code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED ||
         code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
         code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED ||
         code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED ||
         code == RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM;
}

KafkaJournal& journal_of(const rd_kafka_t* client) {
  return *static_cast<KafkaJournal*>(rd_kafka_opaque(client));
}

std::string_view to_string(KafkaParams::Sasl sasl) {
  switch (sasl) {
    case KafkaParams::Sasl::none:
      break;
    case KafkaParams::Sasl::plain:
      return "PLAIN";
    case KafkaParams::Sasl::scram_sha_256:
      return "SCRAM-SHA-256";
    case KafkaParams::Sasl::scram_sha_512:
      return "SCRAM-SHA-512";
  }
  return "";
}

}  // namespace

// ── journal ──

void KafkaJournal::log(int level, std::string_view kind, std::string_view text) {
  if (level > 4) return;  // LOG_WARNING
  const int64_t now = std::chrono::steady_clock::now().time_since_epoch().count();
  {
    const std::scoped_lock lock(mutex_);
    if (kind == last_kind_ && now - last_log_ns_ < log_pause_ns) return;
    last_kind_ = kind;
    last_log_ns_ = now;
  }
  const std::string line = std::format("warning: {}: kafka: {}\n", name_, text);
  std::fputs(line.c_str(), stderr);
}

void KafkaJournal::note_error(rd_kafka_resp_err_t code, std::string_view text) {
  const std::scoped_lock lock(mutex_);
  last_error_ = text;
  if (is_denied(code)) denied_ = text;
  if (code == RD_KAFKA_RESP_ERR__FATAL) is_fatal_ = true;
}

std::string KafkaJournal::last_error() const {
  const std::scoped_lock lock(mutex_);
  return last_error_.empty() ? "" : "; " + last_error_;
}

std::string KafkaJournal::denied() const {
  const std::scoped_lock lock(mutex_);
  return denied_;
}

bool KafkaJournal::is_fatal() const {
  const std::scoped_lock lock(mutex_);
  return is_fatal_;
}

void KafkaJournal::clear() {
  const std::scoped_lock lock(mutex_);
  last_error_.clear();
  denied_.clear();
  is_fatal_ = false;
}

// ── settings ──

Status set_option(rd_kafka_conf_t* conf, const std::string& name, const std::string& value) {
  std::array<char, text_size> text{};
  if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), text.data(), text.size()) == RD_KAFKA_CONF_OK)
    return {};
  return fail(ErrorCode::invalid_argument, "{}", text.data());
}

Result<KafkaOwned<rd_kafka_conf_t>> kafka_conf(const KafkaParams& params, const std::string& folder,
                                               const std::string& name, KafkaJournal& journal) {
  if (params.brokers.empty())
    return fail(ErrorCode::invalid_argument, "{}: brokers is missing, as in kafka-1:9092", name);
  std::string brokers;
  for (const std::string& broker : params.brokers) {
    if (broker.empty() || broker.find("//") != broker.npos || broker.find('@') != broker.npos)
      return fail(
          ErrorCode::invalid_argument,
          "{}: brokers: each is HOST:PORT, without scheme and user; see security, user, password-file", name);
    brokers += (brokers.empty() ? "" : ",") + broker;
  }
  const bool has_tls =
      !params.tls_ca.empty() || !params.tls_cert.empty() || !params.tls_key.empty() || !params.tls_verify;
  const bool tls = params.security == KafkaParams::Security::tls ||
                   (params.security == KafkaParams::Security::automatic && has_tls);
  const bool sasl = params.sasl != KafkaParams::Sasl::none;
  if (has_tls && !tls)
    return fail(ErrorCode::invalid_argument, "{}: security: plaintext, but keys of tls are set", name);
  if (!params.tls_server_name.empty())
    return fail(ErrorCode::unsupported,
                "{}: tls.server_name: certificates of brokers must have the name of the broker", name);
  if (params.tls_cert.empty() != params.tls_key.empty())
    return fail(ErrorCode::invalid_argument, "{}: tls.cert and tls.key belong together", name);
  if (sasl && (params.user.empty() || params.password_file.empty()))
    return fail(ErrorCode::invalid_argument, "{}: sasl needs user and password-file", name);
  if (!sasl && (!params.user.empty() || !params.password_file.empty()))
    return fail(ErrorCode::invalid_argument,
                "{}: user and password-file are of sasl: plain, scram-sha-256, scram-sha-512", name);

  KafkaOwned<rd_kafka_conf_t> conf(rd_kafka_conf_new());
  const auto set = [&](const char* key, const std::string& value) -> Status {
    auto done = set_option(conf.get(), key, value);
    // Values may be paths or secrets: only the name is told.
    if (!done)
      return fail(ErrorCode::invalid_argument, "{}: librdkafka does not take its option {}", name, key);
    return done;
  };
  std::vector<std::pair<const char*, std::string>> settings{
      {"bootstrap.servers", brokers},
      {"client.id", "sightglass"},
      {"security.protocol", sasl ? (tls ? "sasl_ssl" : "sasl_plaintext") : (tls ? "ssl" : "plaintext")},
      {"reconnect.backoff.ms", "100"},
      {"reconnect.backoff.max.ms", "5000"},
      {"socket.keepalive.enable", "true"},
      {"log.connection.close", "false"}};
  if (tls) {
    settings.emplace_back("enable.ssl.certificate.verification", params.tls_verify ? "true" : "false");
    if (!params.tls_verify) settings.emplace_back("ssl.endpoint.identification.algorithm", "none");
    if (!params.tls_ca.empty()) settings.emplace_back("ssl.ca.location", path_from(folder, params.tls_ca));
    if (!params.tls_cert.empty()) {
      settings.emplace_back("ssl.certificate.location", path_from(folder, params.tls_cert));
      settings.emplace_back("ssl.key.location", path_from(folder, params.tls_key));
    }
  }
  if (sasl) {
    auto password = read_secret(folder, params.password_file, name + ".password-file");
    if (!password) return forward_error(password);
    settings.emplace_back("sasl.mechanisms", std::string(to_string(params.sasl)));
    settings.emplace_back("sasl.username", params.user);
    settings.emplace_back("sasl.password", std::move(*password));
  }
  for (const auto& [key, value] : settings)
    if (auto done = set(key, value); !done) return forward_error(done);
  rd_kafka_conf_set_opaque(conf.get(), &journal);
  rd_kafka_conf_set_log_cb(conf.get(),
                           [](const rd_kafka_t* client, int level, const char* kind, const char* text) {
                             if (client) journal_of(client).log(level, kind, text);
                           });
  rd_kafka_conf_set_error_cb(conf.get(), [](rd_kafka_t*, int code, const char* text, void* opaque) {
    static_cast<KafkaJournal*>(opaque)->note_error(rd_kafka_resp_err_t(code), text);
  });
  return conf;
}

Status set_user_options(rd_kafka_conf_t* conf, const KafkaParams& params, const std::string& name) {
  for (const std::string& option : params.options) {
    const size_t at = option.find('=');
    const std::string key = option.substr(0, at);
    if (at == option.npos || key.empty())
      return fail(ErrorCode::invalid_argument, "{}: options: '{}' is not NAME=VALUE", name, key);
    if (std::ranges::contains(reserved, key))
      return fail(ErrorCode::invalid_argument, "{}: options: {} is set by other keys of this adapter", name,
                  key);
    if (auto done = set_option(conf, key, option.substr(at + 1)); !done)
      return fail(ErrorCode::invalid_argument, "{}: options: {}", name, done.error().message);
  }
  return {};
}

Result<KafkaOwned<rd_kafka_t>> kafka_client(rd_kafka_type_t type, KafkaOwned<rd_kafka_conf_t> conf,
                                            const std::string& name) {
  std::array<char, text_size> text{};
  KafkaOwned<rd_kafka_t> client(rd_kafka_new(type, conf.get(), text.data(), text.size()));
  // Certificates that cannot be read, features that the library was built without.
  if (!client) return fail(ErrorCode::invalid_argument, "{}: {}", name, text.data());
  (void)conf.release();
  return client;
}

// ── topics ──

std::string error_text(rd_kafka_resp_err_t error) { return rd_kafka_err2str(error); }

Result<int> partition_count(rd_kafka_t* consumer, const std::string& topic, int timeout_ms,
                            const KafkaJournal& journal, const std::atomic<bool>* is_cancelled, bool serves) {
  const KafkaOwned<rd_kafka_topic_t> handle(rd_kafka_topic_new(consumer, topic.c_str(), nullptr));
  if (!handle) return fail(ErrorCode::invalid_argument, "'{}' is no name of a topic", topic);
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    const struct rd_kafka_metadata* found = nullptr;
    const auto asked = rd_kafka_metadata(consumer, 0, handle.get(), &found, 500);
    if (serves) rd_kafka_poll(consumer, 0);  // error_cb
    if (!asked && found->topic_cnt == 1) {
      const auto error = found->topics[0].err;
      const int partitions = found->topics[0].partition_cnt;
      rd_kafka_metadata_destroy(found);
      if (error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || (!error && partitions == 0))
        return fail(ErrorCode::not_found, "there is no topic '{}'", topic);
      if (is_denied(error) || error == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION)
        return fail(ErrorCode::invalid_argument, "topic '{}': {}", topic, error_text(error));
      if (!error) return partitions;
    } else if (!asked) {
      rd_kafka_metadata_destroy(found);
    }
    if (const std::string denied = journal.denied(); !denied.empty())
      return fail(ErrorCode::invalid_argument, "the brokers refuse this client: {}", denied);
    if (is_cancelled && *is_cancelled) return fail(ErrorCode::cancelled, "topic '{}': given up", topic);
    if (std::chrono::steady_clock::now() >= end)
      return fail(ErrorCode::unavailable, "no broker answers{}", journal.last_error());
  }
}

Status make_topic(rd_kafka_t* client, const std::string& topic, int partitions, int replication,
                  int timeout_ms) {
  std::array<char, text_size> text{};
  rd_kafka_NewTopic_t* wanted =
      rd_kafka_NewTopic_new(topic.c_str(), partitions, replication, text.data(), text.size());
  if (!wanted) return fail(ErrorCode::invalid_argument, "topic '{}': {}", topic, text.data());
  const KafkaOwned<rd_kafka_queue_t> queue(rd_kafka_queue_new(client));
  auto* options = rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_CREATETOPICS);
  (void)rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text.data(), text.size());
  rd_kafka_CreateTopics(client, &wanted, 1, options, queue.get());
  rd_kafka_AdminOptions_destroy(options);
  rd_kafka_NewTopic_destroy(wanted);
  const KafkaOwned<rd_kafka_event_t> event(rd_kafka_queue_poll(queue.get(), timeout_ms + 1000));
  if (!event) return fail(ErrorCode::unavailable, "topic '{}' could not be made: no answer", topic);
  if (rd_kafka_event_error(event.get()))
    return fail(ErrorCode::unavailable, "topic '{}' could not be made: {}", topic,
                rd_kafka_event_error_string(event.get()));
  size_t count = 0;
  const auto* const made =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event.get()), &count);
  if (count != 1) return fail(ErrorCode::unavailable, "topic '{}' could not be made", topic);
  const auto error = rd_kafka_topic_result_error(made[0]);
  if (!error || error == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) return {};  // another process was faster
  return fail(ErrorCode::invalid_argument, "topic '{}' could not be made: {}", topic,
              rd_kafka_topic_result_error_string(made[0]) ? rd_kafka_topic_result_error_string(made[0])
                                                          : error_text(error));
}

}  // namespace sightglass::adapters
