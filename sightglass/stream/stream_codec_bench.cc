// Messages in and out: the body is encoded and decoded with all checks of the reader. Goal: 10 µs each for
// ten objects.
#include <benchmark/benchmark.h>

#include "sightglass/stream/schema_registry.h"
#include "sightglass/stream/test_messages.h"

namespace sightglass::stream {
namespace {

void encode_message(benchmark::State& state) {
  const Message m = test::frame_with_objects(state.range(0));
  MessageWriter writer;
  std::vector<uint8_t> body;
  for (auto _ : state) {
    if (!writer.write(m, {}, body)) state.SkipWithError("not written");
  }
  state.counters["bytes"] = double(body.size());
}
BENCHMARK(encode_message)->Name("encode")->Arg(0)->Arg(10)->Arg(100);

void decode_message(benchmark::State& state) {
  const test::Parts parts = test::parts_of(test::frame_with_objects(state.range(0)));
  const auto views = parts.views();
  MessageReader reader;
  Message m;
  const auto now = std::chrono::steady_clock::now();
  for (auto _ : state) {
    if (reader.read(views, m, now).verdict != Reading::Verdict::accepted) state.SkipWithError("not read");
  }
}
BENCHMARK(decode_message)->Name("decode")->Arg(0)->Arg(10)->Arg(100);

// Of a producer with another schema: ours, with one more field.
void decode_foreign(benchmark::State& state) {
  std::string text(schema_text());
  text.insert(text.find("{\"name\": \"protocol\""), R"({"name": "extra", "type": "string", "default": ""},)");
  SchemaRegistry registry;
  uint64_t fingerprint = 0;
  registry.announce(test::uuid(1), text, {}, &fingerprint);
  auto theirs = avro::Schema::parse(text, avro::Defaults::keep);
  auto ours = avro::Schema::parse(schema_text(), avro::Defaults::leave_out);
  const auto plan = avro::Resolution::make(std::move(*ours), *theirs);
  std::vector<uint8_t> body, datum;
  encode(test::frame_with_objects(state.range(0)), body);
  plan->convert(body, {}, datum);
  body.clear();
  avro::write_header(fingerprint, body);
  body.insert(body.end(), datum.begin(), datum.end());
  test::Parts parts = test::parts_of(test::frame());
  parts.bytes[1] = body;
  const auto views = parts.views();
  MessageReader reader({}, &registry);
  Message m;
  for (auto _ : state) {
    if (reader.read(views, m, {}).verdict != Reading::Verdict::accepted) state.SkipWithError("not read");
  }
}
BENCHMARK(decode_foreign)->Name("decode foreign")->Arg(10);

void checksum(benchmark::State& state) {
  const std::vector<uint8_t> payload(size_t(state.range(0)), 7);
  for (auto _ : state) benchmark::DoNotOptimize(crc32c(payload));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(checksum)->Name("crc32c")->Arg(100'000)->Arg(3'110'400);

void make_uuid(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(make_uuid_v7());
}
BENCHMARK(make_uuid)->Name("uuid");

}  // namespace
}  // namespace sightglass::stream
