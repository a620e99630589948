// Frames, streams and parameters for the tests of functions.
#pragma once

#include <gmock/gmock.h>

#include <map>

#include "sightglass/function/worker_process.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/module/function.h"
#include "sightglass/module/parameters.h"

namespace sightglass::module::test {

class Parameters final : public ParameterSet {
 public:
  explicit Parameters(std::map<std::string, ParameterValue, std::less<>> values)
      : values_(std::move(values)) {}
  uint64_t revision() const override { return 1; }
  const ParameterValue* find(std::string_view name, std::string_view) const override {
    const auto found = values_.find(name);
    return found == values_.end() ? nullptr : &found->second;
  }

 private:
  std::map<std::string, ParameterValue, std::less<>> values_;
};

inline Frame frame_with(const std::vector<std::string>& labels, PixelFormat format = PixelFormat::gray8) {
  Frame frame = *allocate_frame({.format = format, .width = 64, .height = 48});
  for (const Tensor& plane : frame.tensors) {
    auto mapping = map(plane, Access::write);
    for (int64_t row = 0; row < plane.shape[0]; ++row)
      std::fill_n(mapping->row<uint8_t>(row), size_t(plane.shape[1]), uint8_t(77));
  }
  for (const std::string& label : labels)
    frame.regions.push_back({.id = int32_t(frame.regions.size()),
                             .box = {0.25f, 0.25f, 0.25f, 0.25f},
                             .confidence = 0.5f,
                             .label = Label(label),
                             .model = Label("detector")});
  return frame;
}

inline bool has_tag(const Frame& frame, std::string_view tag) {
  if (frame.attributes)
    for (const Attribute& attribute : frame.attributes->items())
      if (attribute.model.view() == "tag" && attribute.name.view() == tag) return true;
  return false;
}
inline std::string text_of(const Frame& frame, std::string_view name) {
  const Attribute* found = frame.attributes ? frame.attributes->find(name) : nullptr;
  return found ? found->text : "none";
}

inline std::unique_ptr<FunctionStream> open_stream(FunctionElement& element,
                                                   const std::string& source_id = "cam-1") {
  auto stream = element.open_stream({.source_id = source_id}, nullptr);
  return std::move(*stream);
}

// Repeats until it is so, for 20 s.
template <class Condition>
bool eventually(Condition condition) {
  for (const Time end = function::now_ns() + 20'000'000'000; function::now_ns() < end;)
    if (condition()) return true;
  return false;
}

}  // namespace sightglass::module::test
