// Counts the objects that go down through a line: a function of a module in C++.
//
//   g++ -std=c++23 -shared -fPIC -o crossing.so crossing.cc
//
//   elements:
//     - {name: faces, type: detector, model: face}
//     - {name: tracks, type: tracker}
//     - {name: crossing, type: cppfunc, function: {language: cpp, path: crossing.so, args: {line: 0.6}}}
//
// Each object that crosses gets the attribute crossing.direction, its frame the tag "crossing"; every frame
// the attribute crossing.count.
#include <cstdlib>
#include <map>
#include <string>

#include "sightglass/frame_function.h"

class Crossing : public sightglass::FrameFunction {
 public:
  static constexpr bool pixels = false;

  explicit Crossing(const SightglassFunctionOptions& options) : line_(number(options.args, "line", 0.5)) {}

  sightglass::Status process(sightglass::FunctionFrame& frame) override {
    for (int32_t i = 0; i < frame.region_count(); ++i) {
      const SightglassRegion object = frame.region(i);
      if (object.track == 0) continue;
      const double foot = object.y + object.h;
      const auto [before, is_new] = feet_.try_emplace(object.track, foot);
      if (!is_new && before->second < line_ && foot >= line_) {
        ++count_;
        frame.set_text(i, "direction", "down");
        frame.set_tag("crossing");
      }
      before->second = foot;
    }
    frame.set_number(-1, "count", count_);
    return {};
  }

  // A parameter `line` of the module moves it.
  sightglass::Status apply(std::string_view parameters) override {
    line_ = number(std::string(parameters).c_str(), "line", line_);
    return {};
  }

 private:
  // Of a flat JSON object; a real program takes a library.
  static double number(const std::string& json, const std::string& key, double otherwise) {
    const size_t at = json.find('"' + key + "\":");
    return at == std::string::npos ? otherwise : std::atof(json.c_str() + at + key.size() + 3);
  }

  double line_;
  int count_ = 0;
  std::map<int64_t, double> feet_;  // by track, of the frame before
};

SIGHTGLASS_FUNCTION(Crossing)
