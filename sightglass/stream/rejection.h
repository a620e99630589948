// Why a message, or something in it, was not taken: a closed list, so that each is a label of the metric
// sightglass_messages_rejected_total and can be counted without a map. docs/messages.md tells what each
// means.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sightglass::stream {

enum class Rejection : uint8_t {
  none,
  framing,              // too few or too many parts
  oversize,             // a part or the whole is too large
  source_id,            // no valid source id
  not_avro,             // no marker of an Avro message
  schema,               // of another major version of the protocol
  schema_unknown,       // schema not announced in time
  schema_bad,           // announced schema refused
  schema_incompatible,  // schema cannot be read as ours
  encoding,             // damaged, or over a limit
  body,                 // not exactly the body that its kind names
  source_mismatch,      // names another source id than its part 0
  kind_unknown,         // of a kind that this version does not know; ignored, not an error
  uuid,                 // a zero uuid
  geometry,             // impossible size or rate
  timestamp,            // impossible time base or time
  box,                  // object dropped: impossible box
  object_graph,         // object dropped or parent cleared: the ids do not fit together
  payload,              // parts and body do not fit together
  bitstream,            // the pictures are not what the header says
  pixels,               // picture larger than the limit
  location,             // location not allowed
  unsupported,          // a kind of payload that this version does not take
  shm,                  // shared memory is not what it should be
  cuda_ipc,             // device memory cannot be opened
  source_flood,         // too many new source ids
  ack,                  // acknowledges what was never sent
  token,                // wrong token
};
inline constexpr size_t rejection_count = size_t(Rejection::token) + 1;

std::string_view to_string(Rejection reason);  // the label of the metric, as spelt above

// Written by the thread that reads messages, read by any.
class RejectionCounters {
 public:
  void count(Rejection reason) { counts_[size_t(reason)].fetch_add(1, std::memory_order_relaxed); }
  uint64_t of(Rejection reason) const { return counts_[size_t(reason)].load(std::memory_order_relaxed); }
  uint64_t total() const {
    uint64_t sum = 0;
    for (const auto& count : counts_) sum += count.load(std::memory_order_relaxed);
    return sum;
  }

 private:
  std::array<std::atomic<uint64_t>, rejection_count> counts_{};
};

}  // namespace sightglass::stream
