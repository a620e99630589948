// Crops a picture without a copy, shares it through POSIX shared memory's planner neighbour and explains the
// way.
#include <cstdio>
#include <cstring>

#include "sightglass/memory/map_to.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/view.h"

using namespace sightglass;

int main() {
  auto frame = allocate_frame({.format = PixelFormat::bgr, .width = 64, .height = 48});
  if (!frame) return 1;
  std::memset(map(frame->tensors[0], Access::write)->data(), 7, frame->tensors[0].bytes());
  auto view = view_of(*frame, {8, 8, 16, 16});
  if (!view) return 2;
  auto mapped = map_to(*view, {.form = parse_form("shm:BGR").value()});
  if (!mapped) return std::puts(mapped.error().message.c_str()), 3;
  auto bytes = map(mapped->frame().tensors[0], Access::read);
  std::printf("%d %s\n", int(*bytes->row<uint8_t>(15)), mapped->plan().to_string().c_str());
  return *bytes->row<uint8_t>(15) == 7 ? 0 : 4;
}
