// Writes the results of a frame as JSON into Frame::json, for a metapublish behind it. Pixels and results
// pass unchanged. One stream, one thread; a few microseconds per frame.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/metaconvert/frame_json.h"

namespace sightglass {

class MetaConvert final : public TransformInplace {
 public:
  enum class TextFormat : uint8_t { json, dump_detection };
  struct Params {
    TextFormat format = TextFormat::json;
    bool add_tensor_data = false;
    bool add_empty_results = false;
    bool timestamp_utc = false, timestamp_microseconds = false, add_rtp_timestamp = false,
         signal_handoffs = false;
    std::string source, tags;
    int json_indent = -1;
    JsonLayout layout = JsonLayout::sightglass;
  };

  static Result<std::unique_ptr<Element>> create(const Params& params);

  std::vector<std::string> take_warnings() override { return std::exchange(warnings_, {}); }
  void update(const ParamSet& params) override { options_.source = params.as<Params>().source; }
  Result<Verdict> process(Frame& frame) override;

 private:
  explicit MetaConvert(const Params& params) : params_(params) {}

  Params params_;
  FrameJsonOptions options_;
  std::vector<std::string> warnings_;
};

}  // namespace sightglass
