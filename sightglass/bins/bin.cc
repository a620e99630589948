#include "sightglass/bins/bin.h"

#include <algorithm>
#include <iterator>

#include "sightglass/bins/inference_bins.h"
#include "sightglass/bins/object_bins.h"

namespace sightglass {

std::vector<const BinDesc*> all_bins() {
  auto bins = inference_bins();
  std::ranges::copy(object_bins(), std::back_inserter(bins));
  return bins;
}

const BinDesc* find_bin(std::string_view name) {
  for (const auto* bin : all_bins())
    if (bin->name == name) return bin;
  return nullptr;
}

Error no_model_error() {
  return {ErrorCode::invalid_argument,
          "no model is set: give model=FILE, or a name that `sightglass models list` shows (or process and "
          "postprocess of your own)",
          {},
          {}};
}

ElementSettings caps_filter(std::string caps) { return {"capsfilter", {{"caps", std::move(caps)}}}; }

}  // namespace sightglass
