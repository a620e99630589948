// The graph that all bins share, and the one GObject class behind them.
//
//   sink → tee → q → preprocess → q → process → q → postprocess → aggregate → q → postaggregate → src
//            └──────────────────── q ──────────────────────────────↗
//
// A kind of bin is a BinDesc: its properties and a function that turns their values into stages. It is built
// at NULL→READY; stages that the user has set by the properties `preprocess` … `postaggregate` replace
// generated ones one by one.
#pragma once

#include <gst/gst.h>

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "sightglass/core/param.h"
#include "sightglass/core/result.h"
#include "sightglass/gst/bins/stage.h"

namespace sightglass::gst {

enum StageIndex : size_t { preprocess, process, postprocess, aggregate, postaggregate, stage_count };

// What a kind of bin generates. An empty stage is not generated.
struct Stages {
  std::array<Stage, stage_count> stages;
  // Buffers in the queue before each stage, where the user has not set a size; `aggregate` counts frames
  // between tee and aggregate. None: no queue.
  std::array<std::optional<unsigned>, stage_count> queues;
  std::shared_ptr<void> keep_alive;  // until the elements run: what they would else load twice
  std::vector<std::string> warnings;
};

struct BinDesc {
  std::string name, title, klass, doc;
  ParamTable params;
  Result<Stages> (*build)(const ParamSet& params) = nullptr;  // null: stages come from the user alone
  // Live properties have changed: brings them to the elements of the running bin.
  void (*update)(GstBin* bin, const ParamSet& params) = nullptr;
};

// `desc` must live as long as the process.
bool register_bin(GstPlugin* plugin, const BinDesc& desc);

const BinDesc& processbin_desc();

}  // namespace sightglass::gst
