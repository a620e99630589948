// How to read what was written in another version of a schema: Avro's schema resolution as a plan that is
// made once for a pair of schemas and then turns each datum of the writer's into one of the reader's, both in
// binary. Whoever reads then needs to know the reader's schema only.
//
//   auto plan = avro::Resolution::make(theirs, ours);      // or why it cannot be
//   if (!plan->convert(body, limits, out)) …               // damaged, or holds what ours cannot
//
// Fields are matched by name or by alias, whatever their order; those that the reader lacks are skipped,
// those that the writer lacks have their default; int → long → float → double, string ↔ bytes; a symbol that
// the reader does not know becomes the default of the enum; unions are resolved branch by branch.
//
// A plan is immutable and may be used by any number of threads; it needs neither schema any more, except the
// writer's.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/stream/avro/schema.h"

namespace sightglass::stream::avro {

class Resolution {
 public:
  // Keeps the writer's schema; the reader's must have been parsed with its defaults.
  static Result<Resolution> make(Schema writer, const Schema& reader);

  // Replaces `out`. False for what is damaged, over a limit, or holds a value of which the reader has no
  // kind. Work and memory are bounded by the size of the datum. Does not allocate once `out` has grown.
  bool convert(Bytes datum, const Limits& limits, std::vector<uint8_t>& out) const;

  struct Plan;  // how one type of the writer becomes one of the reader

  Resolution(Resolution&&) noexcept;
  Resolution& operator=(Resolution&&) noexcept;
  ~Resolution();

 private:
  friend class Resolver;
  explicit Resolution(Schema writer);

  Schema writer_;
  std::vector<std::unique_ptr<Plan>> plans_;
  const Plan* root_ = nullptr;
};

}  // namespace sightglass::stream::avro
