// CPU time per record of 10 objects, of sinks and of what stands behind them alone: the same batches, in the
// same run, against peers that only acknowledge.
//
//   JsonFile                 records per second: items_per_second
//   Elasticsearch, …Bare     the sink; libcurl and zlib with the same bodies
//   Mongodb, …Bare           the sink; libmongoc with the same documents
//   Queue/memory, /durable   a sink behind its queue; the same with every record through the queue on disk
#include <benchmark/benchmark.h>
#include <mongoc/mongoc.h>

#include <filesystem>
#include <format>

#include "sightglass/adapters/documents.h"
#include "sightglass/adapters/http/gzip.h"
#include "sightglass/adapters/mongodb/json_to_bson.h"
#include "sightglass/adapters/sink_flow_test_support.h"
#include "sightglass/net/http_client.h"

namespace sightglass::adapters {
namespace {

constexpr int batch = 500;

const std::vector<RecordRef>& records() {
  static const std::vector<RecordRef> all = [] {
    std::vector<RecordRef> made;
    for (int i = 0; i < batch; ++i) made.push_back(testing::frame_record({.seq = i, .objects = 10}));
    return made;
  }();
  return all;
}

void run(benchmark::State& state, Sink& sink) {
  std::vector<Stored> outcome(batch, Stored::yes);
  for (auto _ : state)
    if (Status written = sink.write(records(), outcome); !written) {
      state.SkipWithError(written.error().message);
      break;
    }
  state.SetItemsProcessed(state.iterations() * batch);
}

std::unique_ptr<Sink> open(const std::string& type, const testing::Options& options) {
  auto sink = testing::make_sink(type, options);
  if (!sink || !(*sink)->start()) throw std::runtime_error(type);
  return std::move(*sink);
}

void BM_JsonFile(benchmark::State& state) {
  const test::TemporaryFolder folder;
  const auto sink =
      open("json_file",
           {{"folder", folder.path()}, {"rotate-records", "0"}, {"rotate-bytes", "0"}, {"rotate-time", "0"}});
  run(state, *sink);
}
BENCHMARK(BM_JsonFile);

void BM_Documents(benchmark::State& state) {
  Documents documents({});
  for (auto _ : state)
    for (const RecordRef& record : records()) benchmark::DoNotOptimize(documents.of(*record));
  state.SetItemsProcessed(state.iterations() * batch);
}
BENCHMARK(BM_Documents);

void BM_Elasticsearch(benchmark::State& state) {
  const auto server = test::ServerProcess::script("elasticsearch_double.py", {"--discard"});
  const auto sink = open("elasticsearch", {{"url", "http://" + server.address()}});
  run(state, *sink);
}
BENCHMARK(BM_Elasticsearch);

void BM_ElasticsearchBare(benchmark::State& state) {
  const auto server = test::ServerProcess::script("elasticsearch_double.py", {"--discard"});
  // As the sink cuts and writes them.
  std::vector<std::string> bodies(1);
  Documents documents({});
  for (const RecordRef& record : records()) {
    if (bodies.back().size() > (5u << 20) - 10'000) bodies.emplace_back();
    for (const Document& document : documents.of(*record))
      bodies.back() += std::format(
          "{{\"create\":{{\"_index\":\"sightglass-{}-2026.11.22\",\"_id\":\"{}\"}}}}\n"
          "{{\"@timestamp\":{},{}\n",
          plural(document.kind), document.key, documents.rows().made_ms, document.json.substr(1));
  }
  net::HttpClient client;
  Gzip gzip;
  std::string compressed;
  for (auto _ : state)
    for (const std::string& body : bodies) {
      (void)gzip.compress(body, compressed);
      net::HttpRequest request{
          .method = "POST",
          .url = "http://" + server.address() + "/_bulk?filter_path=errors,items.*.status,items.*.error",
          .body = net::bytes_of(compressed)};
      request.headers = {{"Content-Type", "application/x-ndjson"}, {"Content-Encoding", "gzip"}};
      const auto answer = client.request(request);
      if (!answer || answer->status != 200) return state.SkipWithError("refused");
    }
  state.SetItemsProcessed(state.iterations() * batch);
}
BENCHMARK(BM_ElasticsearchBare);

void BM_Mongodb(benchmark::State& state) {
  const auto server = test::ServerProcess::script("mongodb_double.py", {"--discard"});
  const auto sink = open("mongodb", {{"url", "mongodb://" + server.address()}});
  run(state, *sink);
}
BENCHMARK(BM_Mongodb);

void BM_MongodbBare(benchmark::State& state) {
  const auto server = test::ServerProcess::script("mongodb_double.py", {"--discard"});
  mongoc_init();
  struct Operation {
    const char* collection;
    bson_t *selector, *update;
  };
  std::vector<Operation> operations;
  Documents documents({});
  JsonToBson json;
  for (const RecordRef& record : records())
    for (const Document& document : documents.of(*record)) {
      Operation& operation = operations.emplace_back(
          document.kind == DocumentKind::frame ? "frames" : "objects", bson_new(), bson_new());
      bson_append_utf8(operation.selector, "_id", 3, document.key.data(), int(document.key.size()));
      bson_t set;
      bson_append_document_begin(operation.update, "$set", 4, &set);
      bson_append_date_time(&set, "time", 4, documents.rows().made_ms);
      bson_append_date_time(&set, "made", 4, documents.rows().made_ms);
      json.append(document.json, set);
      bson_append_document_end(operation.update, &set);
    }
  mongoc_client_t* const client =
      mongoc_client_new(("mongodb://" + server.address() + "/?retryWrites=true").c_str());
  bson_t* const options = BCON_NEW("ordered", BCON_BOOL(false), "writeConcern", "{", "w", "majority", "}");
  bson_t* const upsert = BCON_NEW("upsert", BCON_BOOL(true), "validate", BCON_BOOL(false));
  for (auto _ : state)
    for (const char* name : {"frames", "objects"}) {
      mongoc_collection_t* const collection = mongoc_client_get_collection(client, "sightglass", name);
      mongoc_bulk_operation_t* const bulk =
          mongoc_collection_create_bulk_operation_with_opts(collection, options);
      for (const Operation& operation : operations)
        if (std::string_view(operation.collection) == name)
          mongoc_bulk_operation_update_one_with_opts(bulk, operation.selector, operation.update, upsert,
                                                     nullptr);
      bson_t reply;
      bson_error_t error;
      const bool done = mongoc_bulk_operation_execute(bulk, &reply, &error) != 0;
      bson_destroy(&reply);
      mongoc_bulk_operation_destroy(bulk);
      mongoc_collection_destroy(collection);
      if (!done) return state.SkipWithError(error.message);
    }
  state.SetItemsProcessed(state.iterations() * batch);
  bson_destroy(options);
  bson_destroy(upsert);
  for (const Operation& operation : operations) {
    bson_destroy(operation.selector);
    bson_destroy(operation.update);
  }
  mongoc_client_destroy(client);
}
BENCHMARK(BM_MongodbBare);

// The whole process counts: queue, its file and the sink's thread.
void BM_Queue(benchmark::State& state, const std::string& type, bool durable) {
  const test::TemporaryFolder folder;
  const auto server = test::ServerProcess::script("elasticsearch_double.py", {"--discard"});
  const SinkDesc& desc = *find_sink(type);
  auto params = std::make_shared<ParamSet>(desc.params);
  if (type == "json_file")
    (void)params->set_text("folder", (folder.path() / "out").string());
  else
    (void)params->set_text("url", "http://" + server.address());
  module::SinkSettings settings{.name = "store",
                                .module = "bench",
                                .spill_folder = folder.path() / "spill",
                                .required = true,
                                .desc = &desc};
  settings.params = params;
  settings.queue.policy = durable ? module::QueuePolicy::spill : module::QueuePolicy::block;
  settings.queue.records = 2000;
  settings.queue.durable = durable;
  settings.batch_records = batch;
  settings.batch_bytes = desc.batch_bytes;
  settings.batch_time = 20'000'000;
  auto runner = module::SinkRunner::open(settings);
  if (!runner || !(*runner)->start()) return state.SkipWithError("cannot be opened");
  for (auto _ : state) {
    for (const RecordRef& record : records()) {
      const auto parcel = std::make_shared<const module::Parcel>(record, nullptr, nullptr);
      while ((*runner)->offer(parcel, 1, [] {}) == module::SinkRunner::Offer::full) std::this_thread::yield();
      parcel->done(true);
    }
    while (!(*runner)->is_idle()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  state.SetItemsProcessed(state.iterations() * batch);
}
BENCHMARK_CAPTURE(BM_Queue, json_memory, "json_file", false)->MeasureProcessCPUTime();
BENCHMARK_CAPTURE(BM_Queue, json_durable, "json_file", true)->MeasureProcessCPUTime();
BENCHMARK_CAPTURE(BM_Queue, elasticsearch_memory, "elasticsearch", false)->MeasureProcessCPUTime();
BENCHMARK_CAPTURE(BM_Queue, elasticsearch_durable, "elasticsearch", true)->MeasureProcessCPUTime();

}  // namespace
}  // namespace sightglass::adapters
