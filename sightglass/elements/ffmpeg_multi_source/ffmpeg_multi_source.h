// Reads and decodes any number of inputs: files, pictures, RTSP, HTTP and what else FFmpeg opens, and cameras
// (/dev/video0). The code is in the module ffmpeg-media; here is what can be set.
//
// Each input is decoded by a thread of its own, the one exception to the rule that elements have none: inputs
// block, and one that stalls must not hold up the others. The pictures are the decoders' own buffers, shared
// and not copied; as long as a decoder still refers to one it is not writable (Memory::writable()).
//
// Frames come in the order in which they were decoded, each input as far ahead as its share of `queue-size`
// allows, and carry the place of their input as `source->stream`, from 0. Times begin at 0 with each input
// and go on growing when it is looped or opened anew. Inputs may differ in size and format, and may change
// while they run: then `frame.video` changes from frame to frame.
//
// An input that fails is a warning and not the end of the others; when none has given a frame it is an error.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sightglass {

struct FfmpegMultiSourceParams {
  enum class Memory : uint8_t { automatic, system, va, cuda };
  enum class OnEos : uint8_t { stop, loop, wait };

  std::vector<std::string> inputs;
  Memory memory = Memory::automatic;
  unsigned queue_size = 16;
  OnEos on_eos = OnEos::stop;
  bool realtime = false;
  unsigned timeout = 10'000;  // ms
  int retries = -1;
};

}  // namespace sightglass
