// What fills a tensor in CUDA memory once its reader is known: the pre-processing of a picture waits until a
// model has formed the batch that the picture is part of, and then writes all pictures of the batch by one
// launch to where the model reads them, instead of each to a block of its own that is copied there.
//
//   if (memory.takes_deferred()) memory.defer(write);        // instead of writing it
//   …
//   if (auto write = memory.deferred())                      // its reader: straight to where it is needed
//     write->run(std::array{DeferredWrite::Part{write.get(), place}}, stream);
//
// Everybody else who wants the block, CudaMemory::wait_in() and mapping, has it filled first. Held by the
// block until that is done, or, where its reader has written for himself, until the block is not used any
// more: so keep no tensor longer than it is needed. Thread-safe.
#pragma once

#include <cstdint>
#include <span>

#include "sightglass/core/ref.h"
#include "sightglass/core/result.h"

struct CUstream_st;

namespace sightglass {

class DeferredWrite : public RefCounted {
 public:
  struct Part {
    DeferredWrite* write;
    uint64_t to;  // device address, of a dense tensor
  };
  // Those of one kind may be run together.
  virtual const void* kind() const = 0;
  // Puts the writing of parts of this kind into the stream, behind whoever writes what they read. They have
  // to be held until that is done: what they read goes with them. May be called again, and by several
  // threads.
  virtual Status run(std::span<const Part> parts, CUstream_st* stream) = 0;
};

}  // namespace sightglass
