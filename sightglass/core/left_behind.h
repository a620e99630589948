// Threads that did not come back in time, and were left to themselves inside a library which waits for
// something: a name server, a camera's driver. They may go on at any moment and use whatever their library
// does, so a process that has some must not take its libraries apart when it ends:
//
//   if (has_left_threads_behind()) { std::fflush(nullptr); std::_Exit(code); }
//
// The program `sightglass` does that. A program of one's own that runs modules decides for itself.
#pragma once

namespace sightglass {

// Whoever detaches such a thread says so. From any thread.
void note_thread_left_behind();
// Whether one was ever left behind in this process; it may have come back since.
bool has_left_threads_behind();

}  // namespace sightglass
