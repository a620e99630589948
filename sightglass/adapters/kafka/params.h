// What users say to the Kafka source and sink; shared by their descriptors, which are always there, and the
// code in the module adapters-kafka.
#pragma once

#include <string>
#include <vector>

#include "sightglass/adapters/tls_params.h"

namespace sightglass::adapters {

struct KafkaParams : TlsParams {
  enum class Sasl : uint8_t { none, plain, scram_sha_256, scram_sha_512 };
  enum class Security : uint8_t { automatic, plaintext, tls };  // automatic: tls if any tls-… is set

  std::vector<std::string> brokers;
  std::string user, password_file;
  Sasl sasl = Sasl::none;
  Security security = Security::automatic;
  std::vector<std::string> options;  // NAME=VALUE of librdkafka
};

struct KafkaSinkParams : KafkaParams {
  enum class Format : uint8_t { avro, json };
  enum class Compression : uint8_t { none, lz4, zstd, gzip };

  std::string topic, video_topic;
  Format format = Format::avro;
  Compression compression = Compression::lz4;
  int partitions = 0, replication = -1;
  unsigned max_message = 1'000'000;  // bytes
  std::string large_folder;
  double linger = 0.005, send_timeout = 5;  // s
};

struct KafkaSourceParams : KafkaParams {
  enum class Start : uint8_t { committed, latest, earliest };

  std::vector<std::string> topics;
  std::string group = "sightglass", group_instance_id;
  Start start = Start::committed;
  bool allow_repartition = false;
  double commit_interval = 1, revoke_timeout = 10;  // s
  std::vector<std::string> large_folders;
};

}  // namespace sightglass::adapters
