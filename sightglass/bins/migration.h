// What has become of the names of older pipelines: the elements and properties of Intel DL Streamer. One set
// of tables, read by the bins themselves (what is ignored or refused), by `sightglass doctor NAME` and by
// docs/migrating.md.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/bins/inference_params.h"

namespace sightglass {

// A name that is registered here under which another element stands.
struct ElementAlias {
  std::string_view name, target, differences;
};
std::span<const ElementAlias> element_aliases();

// A name that is not registered: a failing element that exists would mislead tools that look for it.
struct DroppedElement {
  std::string_view name;         // ends in '*' where it stands for several
  std::string_view replacement;  // empty: there is none
  bool is_element;               // the replacement is an element of ours or of GStreamer
};
std::span<const DroppedElement> dropped_elements();
const DroppedElement* find_dropped(std::string_view name);  // null: not one of them
std::string replacement_text(const DroppedElement& dropped);

// What becomes of a property that the gva inference elements have in common.
enum class Treatment { same, mapped, ignored, refused };
std::string_view to_string(Treatment treatment);
struct GvaProperty {
  std::string_view name;
  Treatment treatment;
  std::string_view meaning;  // what it is mapped to, or why it is ignored or refused
};
std::span<const GvaProperty> gva_properties();

// A key of the configuration texts of gvatrack and gvawatermark.
struct ConfigKey {
  std::string_view property, key, meaning;
};
std::span<const ConfigKey> config_keys();

// What the values that are set mean here: warnings for what is ignored, an error for what is refused.
// `params` are those of a gva element; others have nothing of the kind.
Result<std::vector<std::string>> check_gva_properties(const ParamSet& params);

// "VAAPI_FAST_SCALE_LOAD_FACTOR=1,OTHER=2": scale-method=fast for the first; the other keys are returned, to
// be warned of.
Result<std::vector<std::string>> apply_pre_process_config(InferenceParams& params);

}  // namespace sightglass
