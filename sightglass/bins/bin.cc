#include "sightglass/bins/bin.h"

#include <algorithm>
#include <iterator>

#include "sightglass/bins/inference_bins.h"
#include "sightglass/bins/object_bins.h"
#include "sightglass/elements/availability.h"

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

const BinDesc& processbin_desc() {
  struct None {};
  static const BinDesc desc{"processbin",
                            "Processing bin",
                            "Bin/Analyzer",
                            "Sends a copy of each buffer through preprocess, process and postprocess, and "
                            "joins the results to it in aggregate. Without aggregate the stages stand one "
                            "behind the other; postaggregate alone is that element alone.",
                            ParamTable::of<None>({}),
                            nullptr,
                            nullptr};
  return desc;
}

std::optional<StageIndex> stage_property(std::string_view name) {
  const auto found = std::ranges::find(stage_names, name);
  if (found == stage_names.end()) return std::nullopt;
  return StageIndex(found - stage_names.begin());
}

std::optional<StageIndex> queue_size_property(std::string_view name) {
  constexpr std::string_view end = "-queue-size";
  if (!name.ends_with(end)) return std::nullopt;
  name.remove_suffix(end.size());
  return stage_property(name);
}

Error not_usable(const BackendNeeds& needs, const std::vector<std::string>& elements) {
  auto pieces = needs.missing;
  for (const auto& element : elements) pieces.push_back("no element " + element);
  return availability_error(needs.asked, pieces, needs.usable);
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
