// Frame counts of other processes, by a named pipe: `read-pipe` of one gvafpscounter and `write-pipe` of
// those in the other processes name the same path. The reader makes the pipe and removes it.
//
// A writer that nobody reads, or that has fallen behind, keeps its counts and writes them when it can; video
// is never held up. A message is 16 bytes, so that writers do not mix. Neither starts a thread: both work
// when a frame passes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "sightglass/core/result.h"

namespace sightglass {

class FramePipeWriter {
 public:
  explicit FramePipeWriter(std::string path);
  ~FramePipeWriter();
  FramePipeWriter(const FramePipeWriter&) = delete;

  void count();  // one frame
  void end();    // the stream has ended

 private:
  void write();

  const std::string path_;
  const uint64_t stream_;  // different for every writer on the machine
  int file_ = -1;          // -1: nobody reads
  uint32_t waiting_ = 0;   // frames
  bool ended_ = false;
};

class FramePipeReader {
 public:
  // The pipe is there when this returns; fails where there is another file or it cannot be made.
  static Result<std::unique_ptr<FramePipeReader>> open(const std::string& path);
  ~FramePipeReader();
  FramePipeReader(const FramePipeReader&) = delete;

  // What has arrived: frames of a stream, and whether it has ended with them.
  void read(const std::function<void(uint64_t stream, uint32_t frames, bool ended)>& visit);

 private:
  FramePipeReader(std::string path, int file, bool made) : path_(std::move(path)), file_(file), made_(made) {}

  const std::string path_;
  const int file_;
  const bool made_;
};

}  // namespace sightglass
