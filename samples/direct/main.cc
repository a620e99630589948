// Finds objects in a video, blurs them on an OpenCL device and writes a new video, without GStreamer:
//
//   direct VIDEO MODEL.onnx OUT.mp4 [DESCRIPTION.yaml]
//
// Frames are decoded, looked at, blurred and encoded in one thread per source; `opencl_blur` is an element of
// this program (opencl_blur.h).
#include <cstdio>

#include "sightglass/flow/flow.h"

using sightglass::Flow;

namespace {

sightglass::Result<Flow> build(int count, char** arguments) {
  Flow flow;
  Flow::Settings model{{"model", arguments[2]}};
  if (count > 4) model.emplace_back("model-proc", arguments[4]);
  const std::pair<const char*, Flow::Settings> elements[] = {
      {"ffmpeg_multi_source", {{"inputs", arguments[1]}}},
      {"object_detect", model},
      {"opencl_blur", {{"radius", "16"}}},
      {"ffmpeg_encoder_sink", {{"location", arguments[3]}}},
  };
  std::optional<Flow::Node> before;
  for (const auto& [element, settings] : elements) {
    auto node = flow.add(element, settings);
    if (!node) return std::unexpected(node.error());
    if (before)
      if (auto linked = flow.link(*before, *node); !linked) return std::unexpected(linked.error());
    before = *node;
  }
  return flow;
}

int failed(const sightglass::Error& error) {
  std::fprintf(stderr, "direct: %s\n", error.to_string().c_str());
  return 1;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 4) {
    std::fprintf(stderr, "usage: direct VIDEO MODEL.onnx OUT.mp4 [DESCRIPTION.yaml]\n");
    return 2;
  }
  auto flow = build(count, arguments);
  if (!flow) return failed(flow.error());
  if (auto status = flow->run(); !status) return failed(status.error());
  for (const Flow::NodeStats& node : flow->stats())
    std::printf("%-24s %6lu frames, %8.3f ms each\n", node.name.c_str(), (unsigned long)node.frames_in,
                node.frames_in ? double(node.busy.count()) / 1e6 / double(node.frames_in) : 0);
  return 0;
}
