#include "sightglass/stream/rejection.h"

namespace sightglass::stream {

std::string_view to_string(Rejection reason) {
  static constexpr std::string_view names[] = {"none",           "framing",      "oversize",
                                               "source_id",      "not_avro",     "schema",
                                               "schema_unknown", "schema_bad",   "schema_incompatible",
                                               "encoding",       "body",         "source_mismatch",
                                               "kind_unknown",   "uuid",         "geometry",
                                               "timestamp",      "box",          "object_graph",
                                               "payload",        "bitstream",    "pixels",
                                               "location",       "unsupported",  "shm",
                                               "cuda_ipc",       "source_flood", "ack",
                                               "token"};
  static_assert(std::size(names) == rejection_count);
  return names[size_t(reason)];
}

}  // namespace sightglass::stream
