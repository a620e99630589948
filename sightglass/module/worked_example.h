// The worked example of docs/modules.md, for tests: the text, and a folder with the files that it names.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/temporary_folder.h"

namespace sightglass::module {

inline constexpr const char* worked_example = R"yaml(version: 1
name: gate-counter
parameters:
  min_face: {type: float, default: 0.7, min: 0.05, max: 1.0, per_source: true, doc: detector threshold}
  gate: {type: line, default: [[0.1, 0.6], [0.9, 0.6]], per_source: true}
  ignored: {type: polygon, default: [[0, 0], [1, 0], [1, 0.1], [0, 0.1]], per_source: true}
models:
  face_rfb: {path: models/face_rfb_320.onnx, task: detect,
    input: [{layer: input, layout: nchw, size: [320, 240], resize: stretch, color: rgb, mean: [127, 127, 127], std: [128, 128, 128]}],
    output: [{decoder: ultraface, layers: [scores, boxes], labels: [background, face], iou_threshold: 0.4}]}
  emotion: {path: models/emotion_64.onnx, task: classify,
    input: [{layer: input_1, layout: nhwc, size: [64, 64], resize: stretch, color: gray, mean: [127.5], std: [127.5], roi_expand: 1.2}],
    output: [{decoder: label, layer: Identity, attribute: emotion, method: max, labels: [angry, disgust, fear, happy, sad, surprise, neutral]}]}
pipeline:
  source: {type: zeromq, url: "router+bind:tcp://0.0.0.0:5560", curve: {secret_key_file: gate.key, allowed_keys_dir: peers}}
  elements:
    - {name: faces, type: detector, model: face_rfb, properties: {threshold: "${parameters.min_face}", batch_size: 8}}
    - {name: tracks, type: tracker, properties: {algorithm: byte, max_age: 30, min_hits: 3}}
    - {name: mood, type: attribute_model, model: emotion, reuse_growth: 1.3,
       select: {label: face, track: {state: confirmed}, any: [{box.width: {ge: 48}}, {confidence: {ge: 0.9}}], not: {region: {zone: "${parameters.ignored}"}}},
       properties: {batch_size: 16, reclassify_interval: 30, attributes: {emotion: {threshold: 0.6, top_k: 1}}}}
    - {name: gate, type: lines, select: faces.face, properties: {lines: {main: "${parameters.gate}"}, anchor: center, hysteresis: 4}, tag: crossing}
    - {name: report, type: pyfunc, budget: 10ms, when: {frame: {tag: crossing}}, function: {language: python, path: report.py, symbol: Report}}
  sinks:
    - {name: events, type: kafka, brokers: ["kafka:9092"], topic: gate.events, when: {frame: {tag: crossing}}, required: true, queue: {policy: spill}}
    - {name: local, type: sqlite, path: "state/${module.name}.db", keep: 14d}
    - {name: preview, type: preview, protocols: [rtsp, hls], queue: {policy: drop_to_keyframe}}
draw: [{match: faces.face, box: {color: lime, width: 2}, label: "{label} #{track_id} {mood.emotion}"}]
output_frame: {codec: h264, encoder: auto, bitrate: 2M}
)yaml";

// Gone with the object.
class TestFolder {
 public:
  const std::filesystem::path& path() const { return folder_.path(); }
  std::filesystem::path write(const std::string& name, std::string_view text) const {
    const auto file = path() / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
    return file;
  }
  // What the worked example names.
  void write_example_files() const {
    for (const char* name :
         {"models/face_rfb_320.onnx", "models/emotion_64.onnx", "report.py", "gate.key", "peers/a.key"})
      write(name, "");
  }

 private:
  test::TemporaryFolder folder_;
};

}  // namespace sightglass::module
