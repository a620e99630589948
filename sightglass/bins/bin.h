// Bins: whole steps such as object_detect, as typed lists of elements. A kind of bin is a BinDesc: its
// parameters, and a function that turns their values into stages. Both runtimes build the same graph from
// them:
//
//   frame → tee → preprocess → process → postprocess → aggregate → postaggregate →
//            └─────────────────────────────────────────↗
//
// What is wrong with the values (a model that does not exist, a back-end that this machine lacks) is said
// when the stages are made, in one line, before a frame flows.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/core/memory.h"
#include "sightglass/core/param.h"
#include "sightglass/core/result.h"
#include "sightglass/model/description.h"

namespace sightglass {

// Elements to be linked one behind the other; ElementSettings is {element name, {parameter, text}…}.
using Stage = std::vector<ElementSettings>;

enum StageIndex : size_t { preprocess, process, postprocess, aggregate, postaggregate, stage_count };
inline constexpr std::array<const char*, stage_count> stage_names = {"preprocess", "process", "postprocess",
                                                                     "aggregate", "postaggregate"};

// For the line that says that stages cannot be used here, should an element of theirs not be there.
struct BackendNeeds {
  std::string asked;                 // "pre-process-backend=vaapi"
  std::vector<std::string> missing;  // what this machine is known to lack for it
  std::vector<std::string> usable;   // other values
};
// The line; `elements` are those that were looked for in vain.
Error not_usable(const BackendNeeds& needs, const std::vector<std::string>& elements);

// The first stage for frames in one kind of memory.
struct MemoryStage {
  Stage stage;
  BackendNeeds needs;
  // The stage first brings the frames into system memory. Upstream is not offered such memory: what can give
  // both gives system memory then, which costs nobody anything more.
  bool downloads = false;
};

// What a kind of bin generates. An empty stage is not generated; without `aggregate` the stages stand one
// behind the other.
struct Stages {
  std::array<Stage, stage_count> stages;
  // Frames in the queue before each stage, where the user has not set a size; `aggregate` counts frames
  // between tee and aggregate, which wait inside of it. None: no queue.
  std::array<std::optional<unsigned>, stage_count> queues;
  // In front of preprocess a queue of one frame that drops older ones, so that upstream never waits.
  bool leaky = false;
  BackendNeeds needs;
  // `preprocess`, or `postaggregate` where that is the only stage, is for frames in system memory; this makes
  // it for others, known when their format is agreed. Null: it is the same for all.
  std::function<Result<MemoryStage>(MemoryKind)> preprocess_for;
  std::shared_ptr<void> keep_alive;  // until the elements run: what they would else load twice
  std::vector<std::string> warnings;
};

struct BinDesc {
  std::string name, title, klass, doc;
  ParamTable params;
  Result<Stages> (*build)(const ParamSet& params) = nullptr;  // null: stages come from the user alone
  // Live parameters have changed: what that means for an element of the running bin.
  Settings (*live)(const ParamSet& params, const ElementDesc& element) = nullptr;
};

std::vector<const BinDesc*> all_bins();          // those that generate their stages
const BinDesc* find_bin(std::string_view name);  // null: unknown
const BinDesc& processbin_desc();                // the one whose stages all come from the user

// The properties that every bin has beside its own: the stages as text, and the sizes of the queues in front
// of them (-1: none, 0: the bin's own choice).
std::optional<StageIndex> stage_property(std::string_view name);       // "preprocess"
std::optional<StageIndex> queue_size_property(std::string_view name);  // "preprocess-queue-size"

// The error of a bin that got no model.
Error no_model_error();

// A caps filter.
ElementSettings caps_filter(std::string caps);

}  // namespace sightglass
