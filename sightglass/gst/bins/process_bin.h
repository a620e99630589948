// The graph that all bins share, and the one GObject class behind them.
//
//   sink → tee → q → preprocess → q → process → q → postprocess → aggregate → q → postaggregate → src
//            └─────────────────────────────────────────────────────↗
//
// Frames wait for their results in the aggregate; where that is not ours, in a queue in front of it.
// A kind of bin is a BinDesc: its properties and a function that turns their values into stages. It is built
// at NULL→READY; stages that the user has set by the properties `preprocess` … `postaggregate` replace
// generated ones one by one.
#pragma once

#include <gst/gst.h>

#include "sightglass/bins/bin.h"

namespace sightglass::gst {

// `desc` must live as long as the process.
bool register_bin(GstPlugin* plugin, const BinDesc& desc);

using sightglass::processbin_desc;

}  // namespace sightglass::gst
