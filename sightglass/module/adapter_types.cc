#include "sightglass/module/adapter_types.h"

#include <algorithm>

#include "sightglass/adapters/adapter.h"
#include "sightglass/module/spec_schema.h"

namespace sightglass::module {
namespace {

Key key_with(std::string name, std::string doc, std::shared_ptr<Schema> type, Value default_value = {}) {
  type->may_refer = true;
  return {.name = std::move(name),
          .doc = std::move(doc),
          .type = std::move(type),
          .default_value = std::move(default_value),
          .mutability = Mutability::restart};
}
Key text(std::string name, std::string doc, Value default_value = {}) {
  return key_with(std::move(name), std::move(doc), Schema::of_kind(Kind::text), std::move(default_value));
}
Key texts(std::string name, std::string doc) {
  auto list = Schema::list_of(Schema::of_kind(Kind::text));
  list->or_single = true;
  return key_with(std::move(name), std::move(doc), list);
}
Key whole(std::string name, std::string doc, int64_t default_value, double most = 1e9) {
  auto type = Schema::of_kind(Kind::integer);
  type->min = 0, type->max = most;
  return key_with(std::move(name), std::move(doc), type, default_value);
}
Key number(std::string name, std::string doc, double default_value, double most = 1e9) {
  auto type = Schema::of_kind(Kind::number);
  type->min = 0, type->max = most;
  return key_with(std::move(name), std::move(doc), type, default_value);
}
Key flag(std::string name, std::string doc, bool default_value) {
  return key_with(std::move(name), std::move(doc), Schema::of_kind(Kind::boolean), default_value);
}
Key one_of(std::string name, std::string doc, std::vector<std::string> names, Value default_value = {}) {
  auto type = Schema::of_kind(Kind::choice);
  type->choices = std::move(names);
  return key_with(std::move(name), std::move(doc), type, std::move(default_value));
}
Key time(std::string name, std::string doc, Value default_value = {}) {
  auto type = Schema::of_kind(Kind::duration);
  type->unit = "ns", type->min = 0;
  return key_with(std::move(name), std::move(doc), type, std::move(default_value));
}
Key rate(std::string name, std::string doc, Value default_value = {}) {
  return key_with(std::move(name), std::move(doc), Schema::of_kind(Kind::fraction), std::move(default_value));
}
Key of(std::string name, std::string doc, SchemaRef schema) {
  return key_with(std::move(name), std::move(doc), std::make_shared<Schema>(*schema));
}
Key required(Key key) {
  key.is_required = true;
  return key;
}

std::vector<Key> with(std::vector<Key> keys, std::vector<Key> more) {
  std::ranges::move(more, std::back_inserter(keys));
  return keys;
}

// 1.1, 3.1
std::vector<Key> zeromq_source() {
  return {
      required(texts("url", "addresses that frames come from: router+bind:tcp://0.0.0.0:5560")),
      of("curve", "encryption and who may connect", curve_schema()),
      texts("sources", "source ids, or prefixes that end in *; empty: all"),
      of("accept", "function that says whether a frame is taken", function_schema()),
      one_of("ack", "when a message is acknowledged: in its stream's queue, or stored by all required sinks",
             {"accepted", "processed"}, "processed"),
      whole("high_water_mark", "messages that wait in a socket", 64, 100'000)};
}

std::vector<Key> kafka_connection() {
  return {required(texts("brokers", "HOST:PORT of some brokers")), text("user", "of SASL"),
          text("password_file", "file with the password"),
          one_of("sasl", "how users prove who they are", {"none", "plain", "scram-sha-256", "scram-sha-512"},
                 "none"),
          of("tls", "encryption", tls_schema())};
}

std::vector<Key> reading_files() {
  return {text("source_id", "name of the stream; empty: from the name of the file", ""),
          text("pace", "asap, realtime, or a factor of the recorded speed", "asap"),
          whole("loop", "how often it is repeated", 0),
          number("max_fps", "most frames per second; 0: all", 0, 1000),
          text("metadata", "side file with what is known of the frames")};
}

std::vector<Key> reading_folders() {
  return {text("pattern", "names of the files", "*"),
          one_of("order", "in which they come", {"name", "mtime"}, "name"),
          flag("watch", "wait for further files", false),
          one_of("after", "what becomes of a file that has been read", {"keep", "move", "delete"}, "keep"),
          text("checkpoint", "file that remembers how far it got")};
}

struct Known {
  const char *name, *doc;
  std::vector<Key> keys;
};

// 4.2
std::vector<Known> known_sources() {
  return {
      {"kafka", "Frames from a topic; this module is one of a group that shares the load.",
       with(kafka_connection(),
            {required(texts("topics", "that are read")), text("group", "of modules", "sightglass"),
             one_of("start", "where a new group begins", {"committed", "latest", "earliest"}, "committed"),
             flag("allow_repartition", "another count of partitions is no error", false)})},
      {"video_file", "A video file or URL.",
       with(reading_files(),
            {required(text("location", "file or URL (mp4, mkv, ts, avi, …)")),
             time("start", "where to begin", "0s"), time("stop", "where to end; 0: at the end", "0s"),
             one_of("eos", "whether the stream is ended behind the file", {"file", "list", "never"},
                    "file")})},
      {"video_dir", "The video files of a folder.",
       with(with(reading_files(), reading_folders()), {required(text("location", "folder"))})},
      {"image_file", "A picture.",
       with(reading_files(),
            {required(text("location", "file or URL; JPEG, PNG")), rate("rate", "of frames", "30/1")})},
      {"image_dir", "The pictures of a folder.",
       with(with(reading_files(), reading_folders()),
            {required(text("location", "folder")), rate("rate", "of frames", "30/1")})},
      {"rtsp",
       "A network camera.",
       {required(text("url", "rtsp://HOST/PATH")), text("source_id", "name of the stream"),
        one_of("transport", "of the frames", {"tcp", "udp", "auto"}, "tcp"),
        time("latency", "of the jitter buffer", "200ms"), text("user", "of the camera"),
        text("password_file", "file with the password"),
        one_of("clock", "where times come from", {"rtcp", "none"}, "rtcp"),
        of("tls", "encryption", tls_schema())}},
      {"camera",
       "A camera of this machine.",
       {required(text("device", "its stable id")), text("source_id", "name of the stream"),
        text("format", "of the pictures"), text("size", "WIDTHxHEIGHT"), rate("rate", "of frames"),
        of("controls", "of the camera, by name", Schema::table_of(Schema::of_kind(Kind::any)))}},
      {"multi",
       "One file as many streams, for tests of load.",
       {required(text("location", "file")), whole("count", "streams", 1, 10'000),
        text("id_pattern", "names of the streams; {n} counts from 0", "s{n}"),
        number("rate", "frames per second", 0)}},
      {"replay",
       "Recorded segments.",
       {required(text("location", "folder of a recording")), text("from", "time or uuid of a keyframe"),
        text("to", "time where it ends"), number("speed", "1: as recorded", 1, 1000),
        text("source_id", "another name for the stream")}},
      {"mqtt",
       "Messages of a broker as user data.",
       {required(text("url", "mqtt://HOST:PORT")), required(texts("topics", "that are read")),
        text("user", "name"), text("password_file", "file with the password"),
        of("tls", "encryption", tls_schema())}},
  };
}

// 4.3
std::vector<Known> known_sinks() {
  const auto files = [] { return std::vector<Key>{required(text("folder", "where the files are written"))}; };
  return {
      {"sqlite",
       "A database in a file: frames, objects, attributes, events, counters.",
       {required(text("path", "of the database")), time("keep", "after which records are deleted", "7d")}},
      {"json_file", "Files with one JSON record a line, per source.", files()},
      {"video_file",
       "Video files, cut at keyframes.",
       {required(text("location", "folder")), time("segment", "length of a file", "60s"),
        time("pre_roll", "before what `when` selects", "0s"), time("post_roll", "behind it", "0s")}},
      {"image_files", "A picture per record.", files()},
      {"elasticsearch",
       "Elasticsearch or OpenSearch, an index a day.",
       {required(texts("url", "of some nodes")), text("index", "prefix of the names", "sightglass"),
        text("user", "name"), text("password_file", "file with the password"),
        text("api_key_file", "file with the key"), of("tls", "encryption", tls_schema())}},
      {"mongodb",
       "Collections of frames, objects and events.",
       {required(text("url", "mongodb://HOST")), text("database", "name", "sightglass"), text("user", "name"),
        text("password_file", "file with the password"), time("keep", "after which records are deleted"),
        of("tls", "encryption", tls_schema())}},
      {"kafka", "A topic for records, another for video.",
       with(kafka_connection(),
            {required(text("topic", "of records")), text("video_topic", "of frames"),
             whole("partitions", "of topics that are made; 0: none are made", 0, 100'000),
             one_of("compression", "of records", {"none", "lz4", "zstd", "gzip"}, "lz4")})},
      {"mqtt",
       "Messages to a broker.",
       {required(text("url", "mqtt://HOST:PORT")),
        text("topic", "may contain {source_id}", "sightglass/{source_id}"), whole("qos", "0 to 2", 1, 2),
        text("user", "name"), text("password_file", "file with the password"),
        of("tls", "encryption", tls_schema())}},
      {"webhook",
       "HTTP requests with records.",
       {required(text("url", "that is posted to")), text("token_file", "file with a bearer token"),
        text("secret_file", "file with the key of signatures"), of("tls", "encryption", tls_schema())}},
      {"redis",
       "Entries of a stream, or keys.",
       {required(text("url", "redis://HOST:PORT")), text("stream", "name", "sightglass"),
        whole("length", "most entries", 10'000), text("password_file", "file with the password"),
        of("tls", "encryption", tls_schema())}},
      {"s3",
       "Objects in a bucket.",
       {required(text("url", "s3://BUCKET/PREFIX")), text("endpoint", "of the service"),
        text("region", "name"), text("access_key", "name"), text("secret_key_file", "file with the secret"),
        of("tls", "encryption", tls_schema())}},
      {"preview",
       "Always-on streams for players.",
       {texts("protocols", "rtsp, hls"), number("fps", "constant rate", 15, 240),
        time("max_delay", "behind the camera", "1s"), text("bind", "HOST:PORT"), text("user", "of viewers"),
        text("password_file", "file with their password")}},
      {"display",
       "A window.",
       {flag("mosaic", "all streams side by side", true), flag("sync", "by the clock", true)}},
      {"zeromq",
       "The next module, or any reader.",
       {required(text("url", "pub+bind:tcp://0.0.0.0:5561")),
        of("curve", "encryption and who may connect", curve_schema()),
        time("send_timeout", "after which the queue's policy decides", "5s"),
        whole("high_water_mark", "messages that wait in a socket", 64, 100'000)}},
  };
}

template <class Desc>
std::vector<Variant> variants(const std::vector<const Desc*>& here, std::vector<Known> known) {
  std::vector<Variant> list;
  for (const Desc* desc : here) list.push_back({desc->name, desc->doc, keys_of(desc->params)});
  for (Known& entry : known)
    if (!std::ranges::contains(list, entry.name, &Variant::name))
      list.push_back({entry.name, entry.doc, std::move(entry.keys)});
  for (Variant& variant : list)
    for (Key& key : variant.keys)
      if (key.mutability == Mutability::recycle) key.mutability = Mutability::restart;
  std::ranges::sort(list, {}, &Variant::name);
  return list;
}

}  // namespace

std::vector<Variant> source_variants() {
  auto list = variants(adapters::all_sources(), known_sources());
  std::erase_if(list, [](const Variant& variant) { return variant.name == "zeromq"; });
  list.insert(list.begin(), {"zeromq", "Messages of other programs, over ZeroMQ.", zeromq_source()});
  return list;
}

std::vector<Variant> sink_variants() {
  auto list = variants(adapters::all_sinks(), known_sinks());
  // 4.3, common keys.
  for (Variant& variant : list) {
    const auto add = [&](Key key) {
      if (!std::ranges::contains(variant.keys, key.name, &Key::name)) variant.keys.push_back(std::move(key));
    };
    add(of("batch", "records that are written together", batch_schema()));
    add(of("retry", "after failures", retry_schema()));
    add(text("dead_letter", "folder for records that are refused for good"));
  }
  return list;
}

bool is_source_available(std::string_view type) { return type == "zeromq" || adapters::find_source(type); }
bool is_sink_available(std::string_view type) { return adapters::find_sink(type) != nullptr; }

}  // namespace sightglass::module
