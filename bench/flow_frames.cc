// Runs a pipeline in the flow runtime until N frames have left it: flow_frames N PIPELINE
#include <cstdio>
#include <cstdlib>

#include "sightglass/flow/flow.h"

using namespace sightglass;

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: flow_frames N PIPELINE\n", stderr), 2;
  const long wanted = std::atol(argv[1]);
  auto flow = Flow::parse(argv[2]);
  if (!flow) return std::fprintf(stderr, "%s\n", flow.error().to_string().c_str()), 1;
  long frames = 0;
  flow->on_frame([&](const Frame&) -> Status {
    if (++frames == wanted) flow->cancel();
    return {};
  });
  if (auto status = flow->run(); !status && status.error().code != ErrorCode::cancelled)
    return std::fprintf(stderr, "%s\n", status.error().to_string().c_str()), 1;
  if (frames < wanted) return std::fprintf(stderr, "only %ld frames\n", frames), 1;
}
