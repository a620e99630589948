// The first stage of an inference bin: what turns pictures into the tensors that a model wants, by each of
// the back-ends. All begin alike:
//
//   capsrelax → [vaapi, regions: download] → rate_adjust 1/N → roi_split → rate_adjust 1/M → …
#pragma once

#include <string>
#include <vector>

#include "sightglass/bins/bin.h"
#include "sightglass/bins/inference_params.h"
#include "sightglass/core/memory.h"

namespace sightglass {

// `info` describes the model, or is empty where the user's own stage runs it. `memory` is that of the frames,
// by which auto decides. Errors say what is missing and what is usable.
Result<MemoryStage> plan_preprocess(const InferenceWishes& wishes, const ModelInfo& info, MemoryKind memory);

}  // namespace sightglass
