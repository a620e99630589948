// Runs a flow whose last element comes from a plug-in of another project.
#include <cstdio>
#include <cstring>

#include "sightglass/elements/plugins.h"
#include "sightglass/flow/flow.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_frame.h"

using namespace sightglass;

int main(int argc, char** argv) {
  if (argc > 1) {
    if (auto status = load_plugin(argv[1]); !status) return std::puts(status.error().message.c_str()), 1;
  }
  auto flow = Flow::parse("frame_source name=in ! count_regions ! frame_sink name=out");
  if (!flow) return std::puts(flow.error().message.c_str()), 2;
  auto frame = allocate_frame({.format = PixelFormat::bgr, .width = 64, .height = 48});
  frame->regions.resize(3);
  if (auto status = flow->start(); !status) return std::puts(status.error().message.c_str()), 3;
  if (!flow->push("in", *frame) || !flow->end("in")) return 4;
  auto out = flow->pull("out");
  if (!out || !*out) return 5;
  const auto* counted = (*out)->attributes ? (*out)->attributes->find("regions") : nullptr;
  std::printf("%g regions\n", counted ? counted->number : -1);
  return flow->wait() && counted && counted->number == 3 ? 0 : 6;
}
