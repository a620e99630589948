// What sinks cost: CPU per record of 10 objects, against peers that only acknowledge.
//
//   json_file       records per second and core: items_per_second
//   documents       what rendering the documents of a record costs
//   elasticsearch, mongodb
//     sink_us       the sink
//     bare_us       libcurl with zlib, libmongoc: used directly, as a program would that makes the same
//                   documents of the same records and sends them in the same batches
//     ready_us      the same with bytes that are there already
//     ratio         sink / bare; at most 1.25
//     ratio_ready   sink / ready
#include <benchmark/benchmark.h>
#include <curl/curl.h>
#include <mongoc/mongoc.h>

#include <chrono>
#include <format>

#include "sightglass/adapters/documents.h"
#include "sightglass/adapters/http/gzip.h"
#include "sightglass/adapters/sink_bench_support.h"
#include "sightglass/adapters/sink_flow_test_support.h"
#include "sightglass/core/json_writer.h"
#include "sightglass/elements/metaconvert/frame_json.h"

namespace sightglass::adapters {
namespace {

constexpr size_t batch = testing::bench_batch;
const auto& records = testing::bench_records;

std::unique_ptr<Sink> open(const std::string& type, const testing::Options& options) {
  auto sink = testing::make_sink(type, options);
  if (!sink || !(*sink)->start()) throw std::runtime_error(type);
  return std::move(*sink);
}

bool write(Sink& sink) {
  static std::vector<Stored> outcome;
  outcome.assign(batch, Stored::yes);
  return sink.write(records(), outcome) &&
         std::ranges::all_of(outcome, [](Stored one) { return one == Stored::yes; });
}

void json_file(benchmark::State& state) {
  const test::TemporaryFolder folder;
  const auto sink =
      open("json_file",
           {{"folder", folder.path()}, {"rotate-records", "0"}, {"rotate-bytes", "0"}, {"rotate-time", "0"}});
  for (auto _ : state)
    if (!write(*sink)) return state.SkipWithError("not written");
  state.SetItemsProcessed(state.iterations() * int64_t(batch));
}
BENCHMARK(json_file);

void documents(benchmark::State& state) {
  Documents made({});
  for (auto _ : state)
    for (const RecordRef& record : records()) benchmark::DoNotOptimize(made.of(*record));
  state.SetItemsProcessed(state.iterations() * int64_t(batch));
}
BENCHMARK(documents);

// Sink, client that makes the documents, client that has them.
void compare(benchmark::State& state, Sink& sink, const std::function<bool()>& bare,
             const std::function<bool()>& ready) {
  testing::Turns turns(batch);
  turns.add("ready_us", ready);
  turns.add("bare_us", bare);
  turns.add("sink_us", [&] { return write(sink); });
  turns.run(state);
  if (state.skipped()) return;
  state.counters["ratio"] = turns.ratio("sink_us", "bare_us");
  state.counters["ratio_ready"] = turns.ratio("sink_us", "ready_us");
}

// --- Elasticsearch

class BareElasticsearch {
 public:
  explicit BareElasticsearch(const std::string& address) : easy_(curl_easy_init()) {
    headers_ = curl_slist_append(headers_, "Content-Type: application/x-ndjson");
    headers_ = curl_slist_append(headers_, "Content-Encoding: gzip");
    headers_ = curl_slist_append(headers_, "Expect:");
    curl_easy_setopt(
        easy_, CURLOPT_URL,
        ("http://" + address + "/_bulk?filter_path=errors,items.*.status,items.*.error").c_str());
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers_);
    curl_easy_setopt(easy_, CURLOPT_WRITEDATA, &answer_);
    curl_easy_setopt(
        easy_, CURLOPT_WRITEFUNCTION, +[](char* data, size_t size, size_t count, std::string* to) {
          to->append(data, size * count);
          return size * count;
        });
  }
  ~BareElasticsearch() {
    curl_easy_cleanup(easy_);
    curl_slist_free_all(headers_);
  }

  bool send(const std::string& body) {
    if (!gzip_.compress(body, compressed_)) return false;
    answer_.clear();
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, compressed_.data());
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(compressed_.size()));
    long status = 0;
    return curl_easy_perform(easy_) == CURLE_OK &&
           curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status == 200 &&
           answer_.contains(R"("errors":false)");
  }

  // `full` gets each body of at most 5 MiB.
  bool make(const std::function<bool(const std::string&)>& full) {
    body_.clear();
    for (const RecordRef& record : records()) {
      if (body_.size() > (5u << 20) - 10'000) {
        if (!full(body_)) return false;
        body_.clear();
      }
      add(*record);
    }
    return body_.empty() || full(body_);
  }

 private:
  void begin(std::string_view kind, std::string_view day, std::string_view key) {
    body_ += R"({"create":{"_index":"sightglass-)";
    body_ += kind;
    body_ += '-';
    body_ += day;
    body_ += R"(","_id":")";
    body_ += key;
    body_ += "\"}}\n";
  }
  void add(const Record& record) {
    const std::string uuid = stream::to_string(record.uuid);
    const int64_t ms = stream::unix_ms(record.uuid);
    const std::string day =
        std::format("{:%Y.%m.%d}", std::chrono::sys_time<std::chrono::days>(
                                       std::chrono::floor<std::chrono::days>(std::chrono::milliseconds(ms))));
    begin("frames", day, uuid);
    body_ += std::format("{{\"@timestamp\":{},", ms);
    text_.clear();
    write_record_json(record, text_);
    body_.append(text_, 1);
    body_ += '\n';
    const FrameIdentity identity{.uuid = uuid,
                                 .source_id = record.source_id,
                                 .epoch = record.epoch,
                                 .seq = record.seq,
                                 .pts = record.pts};
    FrameJsonOptions options;
    options.identity = &identity;
    for (const Region& region : record.results.regions) {
      begin("objects", day, std::format("{}:{}", uuid, region.id));
      JsonWriter json(body_);
      json.begin_object();
      json.field("@timestamp", ms);
      write_identity_fields(json, identity);
      write_object_fields(json, record.results, region, options);
      json.end_object();
      body_ += '\n';
    }
  }

  CURL* const easy_;
  curl_slist* headers_ = nullptr;
  Gzip gzip_;
  std::string body_, text_, compressed_, answer_;
};

void elasticsearch(benchmark::State& state) {
  const auto server = test::ServerProcess::script("elasticsearch_double.py", {"--discard"});
  const auto sink = open("elasticsearch", {{"url", "http://" + server.address()}});
  BareElasticsearch bare(server.address());
  std::vector<std::string> bodies;
  bare.make([&](const std::string& body) {
    bodies.push_back(body);
    return true;
  });
  compare(
      state, *sink, [&] { return bare.make([&](const std::string& body) { return bare.send(body); }); },
      [&] { return std::ranges::all_of(bodies, [&](const std::string& body) { return bare.send(body); }); });
}
BENCHMARK(elasticsearch)->Iterations(1)->Unit(benchmark::kMillisecond);

// --- MongoDB

class BareMongodb {
 public:
  explicit BareMongodb(const std::string& address) {
    mongoc_init();
    client_ = mongoc_client_new(("mongodb://" + address + "/?retryWrites=true").c_str());
    options_ = BCON_NEW("ordered", BCON_BOOL(false), "writeConcern", "{", "w", "majority", "}");
    upsert_ = BCON_NEW("upsert", BCON_BOOL(true), "validate", BCON_BOOL(false));
  }
  ~BareMongodb() {
    for (const auto* made : {&frames_, &objects_})
      for (const Operation& operation : *made) {
        bson_destroy(operation.selector);
        bson_destroy(operation.update);
      }
    bson_destroy(options_);
    bson_destroy(upsert_);
    mongoc_client_destroy(client_);
  }

  // Makes the documents, and sends them at once or keeps them for send_kept().
  bool make(bool keeps) {
    Bulk frames(*this, "frames"), objects(*this, "objects");
    const auto take = [&](Bulk& bulk, std::vector<Operation>& kept, bson_t* selector, bson_t* update) {
      if (keeps)
        kept.push_back({selector, update});
      else
        bulk.add(selector, update, upsert_);
      if (!keeps) bson_destroy(selector), bson_destroy(update);
    };
    for (const RecordRef& record : records()) {
      const std::string uuid = stream::to_string(record->uuid);
      take(frames, frames_, selector(uuid), update(*record, uuid, nullptr));
      for (const Region& region : record->results.regions)
        take(objects, objects_, selector(std::format("{}:{}", uuid, region.id)),
             update(*record, uuid, &region));
    }
    return keeps || (frames.execute() && objects.execute());
  }

  bool send_kept() {
    for (const auto& [kept, name] : {std::pair(&frames_, "frames"), {&objects_, "objects"}}) {
      Bulk bulk(*this, name);
      for (const Operation& operation : *kept) bulk.add(operation.selector, operation.update, upsert_);
      if (!bulk.execute()) return false;
    }
    return true;
  }

 private:
  struct Operation {
    bson_t *selector, *update;
  };
  struct Bulk {
    Bulk(BareMongodb& of, const char* name)
        : collection(mongoc_client_get_collection(of.client_, "sightglass", name)),
          bulk(mongoc_collection_create_bulk_operation_with_opts(collection, of.options_)) {}
    ~Bulk() {
      mongoc_bulk_operation_destroy(bulk);
      mongoc_collection_destroy(collection);
    }
    void add(const bson_t* selector, const bson_t* update, const bson_t* options) {
      mongoc_bulk_operation_update_one_with_opts(bulk, selector, update, options, nullptr);
    }
    bool execute() {
      bson_t reply;
      bson_error_t error;
      const bool done = mongoc_bulk_operation_execute(bulk, &reply, &error) != 0;
      bson_destroy(&reply);
      return done;
    }
    mongoc_collection_t* const collection;
    mongoc_bulk_operation_t* const bulk;
  };

  static bson_t* selector(const std::string& key) {
    bson_t* const made = bson_new();
    bson_append_utf8(made, "_id", 3, key.data(), int(key.size()));
    return made;
  }
  static void add_text(bson_t* to, const char* name, std::string_view text) {
    bson_append_utf8(to, name, -1, text.data(), int(text.size()));
  }
  static bson_t* update(const Record& record, const std::string& uuid, const Region* region) {
    bson_t* const made = bson_new();
    bson_t set, part, list, object;
    const int64_t ms = stream::unix_ms(record.uuid);
    BSON_APPEND_DOCUMENT_BEGIN(made, "$set", &set);
    BSON_APPEND_DATE_TIME(&set, "time", ms);
    BSON_APPEND_DATE_TIME(&set, "made", ms);
    if (!region) {
      BSON_APPEND_UTF8(&set, "schema", "sightglass.frame/1");
      BSON_APPEND_DOCUMENT_BEGIN(&set, "resolution", &part);
      BSON_APPEND_INT32(&part, "width", record.results.video->width);
      BSON_APPEND_INT32(&part, "height", record.results.video->height);
      bson_append_document_end(&set, &part);
      BSON_APPEND_INT64(&set, "timestamp", record.results.pts);
    }
    add_text(&set, "uuid", uuid);
    add_text(&set, "source_id", record.source_id);
    BSON_APPEND_INT32(&set, "epoch", int32_t(record.epoch));
    BSON_APPEND_INT32(&set, "seq", int32_t(record.seq));
    BSON_APPEND_INT64(&set, "pts", record.pts);
    if (region) {
      add_object(&set, record, *region);
    } else {
      BSON_APPEND_ARRAY_BEGIN(&set, "objects", &list);
      uint32_t i = 0;
      for (const Region& each : record.results.regions) {
        char digits[16];
        const char* key = nullptr;
        const size_t size = bson_uint32_to_string(i++, &key, digits, sizeof digits);
        bson_append_document_begin(&list, key, int(size), &object);
        add_object(&object, record, each);
        bson_append_document_end(&list, &object);
      }
      bson_append_array_end(&set, &list);
    }
    bson_append_document_end(made, &set);
    return made;
  }
  static void add_object(bson_t* to, const Record& record, const Region& region) {
    const auto width = float(record.results.video->width), height = float(record.results.video->height);
    bson_t part, box, list;
    BSON_APPEND_INT32(to, "x", int32_t(std::lround(region.box.x * width)));
    BSON_APPEND_INT32(to, "y", int32_t(std::lround(region.box.y * height)));
    BSON_APPEND_INT32(to, "w", int32_t(std::lround(region.box.w * width)));
    BSON_APPEND_INT32(to, "h", int32_t(std::lround(region.box.h * height)));
    BSON_APPEND_INT32(to, "region_id", region.id);
    BSON_APPEND_INT32(to, "id", int32_t(region.track));
    add_text(to, "roi_type", region.label.view());
    BSON_APPEND_DOCUMENT_BEGIN(to, "detection", &part);
    BSON_APPEND_DOCUMENT_BEGIN(&part, "bounding_box", &box);
    BSON_APPEND_DOUBLE(&box, "x_min", double(region.box.x));
    BSON_APPEND_DOUBLE(&box, "y_min", double(region.box.y));
    BSON_APPEND_DOUBLE(&box, "x_max", double(region.box.right()));
    BSON_APPEND_DOUBLE(&box, "y_max", double(region.box.bottom()));
    bson_append_document_end(&part, &box);
    BSON_APPEND_DOUBLE(&part, "confidence", double(region.confidence));
    BSON_APPEND_INT32(&part, "label_id", region.label_id);
    add_text(&part, "label", region.label.view());
    bson_append_document_end(to, &part);
    BSON_APPEND_ARRAY_BEGIN(to, "attributes", &list);
    for (const Attribute& attribute : region.attributes->items()) {
      BSON_APPEND_DOCUMENT_BEGIN(&list, "0", &part);
      add_text(&part, "name", attribute.name.view());
      BSON_APPEND_UTF8(&part, "kind", "class");
      add_text(&part, "label", attribute.text);
      BSON_APPEND_INT32(&part, "label_id", attribute.label_id);
      BSON_APPEND_DOUBLE(&part, "confidence", double(attribute.confidence));
      add_text(&part, "model", attribute.model.view());
      bson_append_document_end(&list, &part);
    }
    bson_append_array_end(to, &list);
  }

  mongoc_client_t* client_;
  bson_t *options_, *upsert_;
  std::vector<Operation> frames_, objects_;
};

void mongodb(benchmark::State& state) {
  const auto server = test::ServerProcess::script("mongodb_double.py", {"--discard"});
  const auto sink = open("mongodb", {{"url", "mongodb://" + server.address()}});
  BareMongodb bare(server.address());
  bare.make(true);
  compare(state, *sink, [&] { return bare.make(false); }, [&] { return bare.send_kept(); });
}
BENCHMARK(mongodb)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sightglass::adapters
