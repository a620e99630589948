// Kafka, as users see it. The code is in the module adapters-kafka, which needs librdkafka.
#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/kafka/params.h"
#include "sightglass/adapters/module_adapter.h"

namespace sightglass::adapters {
namespace {

// clang-format off
template <class P>
std::vector<ParamDesc> connection() {
  std::vector<ParamDesc> params;
  params.push_back(param("brokers", static_cast<std::vector<std::string> P::*>(&KafkaParams::brokers),
                         "HOST:PORT of some brokers; they tell of the others").required());
  params.push_back(param("user", static_cast<std::string P::*>(&KafkaParams::user), "of SASL"));
  params.push_back(param("password-file", static_cast<std::string P::*>(&KafkaParams::password_file),
                         "file with the password of SASL"));
  params.push_back(param("sasl", static_cast<KafkaParams::Sasl P::*>(&KafkaParams::sasl),
                         "how this side proves who it is")
                       .choices({"none", "plain", "scram-sha-256", "scram-sha-512"}));
  params.push_back(param("security", static_cast<KafkaParams::Security P::*>(&KafkaParams::security),
                         "of the connection; auto: tls if any key of tls is set")
                       .choices({"auto", "plaintext", "tls"}));
  add_tls_params<P>(params);
  params.push_back(param("options", static_cast<std::vector<std::string> P::*>(&KafkaParams::options),
                         "further settings of librdkafka, each NAME=VALUE"));
  return params;
}
// clang-format on

std::vector<ParamDesc> sink_params() {
  using P = KafkaSinkParams;
  auto all = connection<P>();
  all.push_back(param("topic", &P::topic, "of records: metadata without pictures"));
  all.push_back(param("video-topic", &P::video_topic,
                      "of frames with their encoded picture, as `source kafka` reads them; empty: none"));
  all.push_back(
      param("format", &P::format,
            "of records: Avro (single-object encoding), or JSON; frames with pictures are Avro always")
          .choices({"avro", "json"}));
  all.push_back(
      param("partitions", &P::partitions,
            "that the topics must have; a missing topic is made with as many. 0: any number, and none is "
            "made")
          .range(0, 100'000));
  all.push_back(
      param("replication", &P::replication, "copies of a topic that is made; -1: as the brokers are set up")
          .range(-1, 32'767));
  all.push_back(param("compression", &P::compression, "of records; encoded pictures are not compressed again")
                    .choices({"none", "lz4", "zstd", "gzip"}));
  all.push_back(param("max-message", &P::max_message,
                      "largest message that the brokers take (message.max.bytes of the topic)")
                    .range(1000, 1'000'000'000)
                    .in("bytes"));
  all.push_back(
      param("large-folder", &P::large_folder,
            "shared folder for pictures that are larger than a message may be: the message then names "
            "the file; empty: such records are dead letters"));
  all.push_back(
      param("linger", &P::linger, "that a message waits for others to fill its batch").range(0, 60).in("s"));
  all.push_back(
      param("send-timeout", &P::send_timeout,
            "without an acknowledgement, after which the sink counts as not up; nothing is given up")
          .range(0.1, 3600)
          .in("s"));
  return all;
}

std::vector<ParamDesc> source_params() {
  using P = KafkaSourceParams;
  auto all = connection<P>();
  all.push_back(param("topics", &P::topics, "that frames are read from").required());
  all.push_back(param("group", &P::group, "of consumers that share the load"));
  all.push_back(
      param("group-instance-id", &P::group_instance_id,
            "name of this member, unique in its group, that stays over a restart: its partitions wait "
            "for it then; empty: a new member each time"));
  all.push_back(
      param("start", &P::start,
            "where it begins: where the group has come to, the first time at the beginning; or, whatever "
            "the group has committed, behind the last message or at the earliest one")
          .choices({"committed", "latest", "earliest"}));
  all.push_back(param("allow-repartition", &P::allow_repartition,
                      "go on although the number of partitions has changed, so that sources may have moved"));
  all.push_back(
      param("commit-interval", &P::commit_interval, "between two commits").range(0.01, 3600).in("s"));
  all.push_back(param("revoke-timeout", &P::revoke_timeout,
                      "to finish what was taken of a partition that another member takes over; at least "
                      "streams.revoke_timeout of the module")
                    .range(0, 3600)
                    .in("s"));
  all.push_back(param("large-folders", &P::large_folders,
                      "that files named by messages may be read from; empty: none"));
  return all;
}

const SinkRegistration sink(SinkDesc{
    .name = "kafka",
    .doc = "topics of Kafka: records, frames with their pictures, or both",
    .batch_records = 500,
    .params = ParamTable::of<KafkaSinkParams>(sink_params()),
    .create = &create_sink_in_module<"adapters-kafka", "kafka">,
});

const SourceRegistration source(SourceDesc{
    .name = "kafka",
    .doc = "frames from topics of Kafka, shared with the other members of a group",
    .needs_acknowledgements = true,
    .params = ParamTable::of<KafkaSourceParams>(source_params()),
    .create = &create_source_in_module<"adapters-kafka", "kafka">,
});

}  // namespace
}  // namespace sightglass::adapters
