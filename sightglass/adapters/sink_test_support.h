// For tests of sinks that write to servers: records, and a caller that does not give up, as the module's is.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::adapters::test {

using Settings = std::vector<std::pair<std::string, std::string>>;

inline RecordRef note(const std::string& id, stream::EndReason reason) {
  auto message = std::make_shared<stream::Message>();
  message->kind = stream::Kind::end_of_stream;
  message->source_id = id;
  message->end_of_stream.emplace().reason = reason;
  return record_of({.message = message});
}

inline RecordRef frame(const std::string& id, int64_t seq, size_t padding = 0) {
  auto message = std::make_shared<stream::Message>();
  message->kind = stream::Kind::frame;
  message->source_id = id;
  message->seq = seq;
  stream::VideoFrame& made = message->frame.emplace();
  made.uuid = stream::make_uuid_v7();
  made.width = 640, made.height = 480;
  made.pts = seq * 40'000'000;
  if (padding > 0)
    made.attributes.push_back(
        {.namespace_ = "test", .name = "padding", .values = {{.value = std::string(padding, 'x')}}});
  return record_of({.message = message});
}

inline std::vector<RecordRef> frames(const std::string& id, size_t count) {
  std::vector<RecordRef> made;
  for (size_t i = 0; i < count; ++i) made.push_back(frame(id, int64_t(i)));
  return made;
}

inline Result<std::unique_ptr<Sink>> make_sink(const char* type, const Settings& settings) {
  const SinkDesc* desc = find_sink(type);
  if (!desc) return fail(ErrorCode::not_found, "no sink {}", type);
  ParamSet params(desc->params);
  for (const auto& [key, value] : settings)
    if (Status set = params.set_text(key, value); !set) return forward_error(set);
  return desc->create(params, {.name = "store", .module = "test"});
}

inline std::unique_ptr<Sink> open_sink(const char* type, const Settings& settings) {
  auto sink = make_sink(type, settings);
  EXPECT_TRUE(sink) << sink.error().message;
  if (!sink) return nullptr;
  const Status started = (*sink)->start();
  EXPECT_TRUE(started) << started.error().message;
  return std::move(*sink);
}

// Writes all of them in batches, again and again where it has to, for a minute at most. `between` is told how
// many records are stored. How many were refused for good.
inline size_t store_all(Sink& sink, const std::vector<RecordRef>& records, size_t batch = 64,
                        const std::function<void(size_t)>& between = {}) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  size_t refused = 0;
  for (size_t begin = 0; begin < records.size();) {
    const size_t end = std::min(begin + batch, records.size());
    std::vector<RecordRef> left(records.begin() + ptrdiff_t(begin), records.begin() + ptrdiff_t(end));
    while (!left.empty()) {
      std::vector<Stored> outcome(left.size(), Stored::yes);
      const Status written = sink.write(left, outcome);
      std::vector<RecordRef> again;
      for (size_t i = 0; i < left.size(); ++i)
        if (!written || outcome[i] == Stored::retry)
          again.push_back(left[i]);
        else
          refused += outcome[i] == Stored::never;
      left = std::move(again);
      if (left.empty()) break;
      if (std::chrono::steady_clock::now() > deadline) {
        ADD_FAILURE() << "not stored within a minute: " << (written ? "retry" : written.error().message);
        return refused;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    begin = end;
    if (between) between(begin);
  }
  return refused;
}

}  // namespace sightglass::adapters::test
