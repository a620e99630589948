// A record as bytes and back, for queues on disk: its message, which is in Avro, its results and its payload.
// One thread at a time.
#pragma once

#include <span>
#include <vector>

#include "sightglass/adapters/record.h"
#include "sightglass/module/results_codec.h"

namespace sightglass::module {

class RecordCodec {
 public:
  // Appends; adds nothing when the record cannot be said (over 4 GiB). Allocates nothing once warm.
  void encode(const adapters::Record& record, std::vector<uint8_t>& bytes);
  Result<adapters::RecordRef> decode(std::span<const uint8_t> bytes);

 private:
  ResultsWriter results_;
  stream::Message message_;  // without what stands elsewhere in the record; keeps what it has allocated
};

}  // namespace sightglass::module
