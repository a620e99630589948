#include "sightglass/module/module_diff.h"

#include <gmock/gmock.h>

#include "sightglass/module/module_file.h"
#include "sightglass/module/worked_example.h"

namespace sightglass::module {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ModuleDiff : public testing::Test {
 protected:
  ModuleDiff() { folder_.write_example_files(); }
  ModuleSpec load(std::string text, std::string_view from = "", std::string_view to = "") {
    if (!from.empty()) {
      const size_t at = text.find(from);
      EXPECT_NE(at, text.npos) << from;
      text.replace(at, from.size(), to);
    }
    auto loaded = load_module_text(text, "gate.yml", folder_.path());
    EXPECT_TRUE(loaded) << loaded.diagnostics.to_string();
    return loaded.value.value_or(ModuleSpec());
  }
  std::vector<std::string> changed(std::string_view from, std::string_view to) {
    std::vector<std::string> lines;
    for (const Change& change : differences(load(worked_example), load(worked_example, from, to)))
      lines.push_back(change.to_string());
    return lines;
  }
  TestFolder folder_;
};

TEST_F(ModuleDiff, NothingChangesNothing) {
  EXPECT_THAT(changed("", ""), IsEmpty());
  // What says the same in other words is the same.
  EXPECT_THAT(changed("budget: 10ms", "budget: 0.01s"), IsEmpty());
}

TEST_F(ModuleDiff, SaysWhatEachChangeDoes) {
  EXPECT_THAT(changed("hysteresis: 4", "hysteresis: 5"),
              ElementsAre("live       pipeline.elements.gate.properties.hysteresis: 4 → 5"));
  EXPECT_THAT(changed("max_age: 30", "max_age: 40"),
              ElementsAre("recycled   pipeline.elements.tracks.properties.max_age: 30 → 40"));
  EXPECT_THAT(changed("name: gate-counter", "name: counter"),
              ElementsAre("restarted  name: \"gate-counter\" → \"counter\""));
  EXPECT_THAT(changed("default: 0.7", "default: 0.6"),
              ElementsAre("live       parameters.min_face.default: 0.7 → 0.6"));
  EXPECT_THAT(changed("policy: spill", "policy: drop_oldest"),
              ElementsAre("live       pipeline.sinks.events.queue.policy: \"spill\" → \"drop_oldest\""));
  EXPECT_THAT(
      changed("path: models/emotion_64.onnx", "path: models/face_rfb_320.onnx"),
      ElementsAre(
          "recycled   models.emotion.path: \"models/emotion_64.onnx\" → \"models/face_rfb_320.onnx\""));
}

TEST_F(ModuleDiff, ComparesElementsByName) {
  EXPECT_THAT(
      changed("    - {name: tracks", "    - {name: pause, type: gst:identity}\n    - {name: tracks"),
      ElementsAre(
          "recycled   pipeline.elements.pause: {\"name\":\"pause\",\"type\":\"gst:identity\"} (new)"));
}

TEST_F(ModuleDiff, MasksSecrets) {
  const std::string text =
      "version: 1\nparameters: {p: {type: string, default: hunter1, secret: true}}\nstreams: {idle_timeout: "
      "20s}\n"
      "pipeline: {elements: [{name: f, type: pyfunc, function: {path: report.py}, select: {label: "
      "\"${parameters.p}\"}}]}\n";
  const auto changes = differences(load(text), load(text, "hunter1", "hunter2"));
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].to_string().find("hunter"), std::string::npos);
}

}  // namespace
}  // namespace sightglass::module
