// Waiting that Ctrl-C can end: Python handles signals in its main thread and only between two instructions,
// so whatever blocks there runs in a thread of its own while the main thread looks for signals.
#pragma once

#include <functional>

namespace sightglass::python {

// Runs `work` without the interpreter's lock. When a signal handler raises meanwhile, calls `cancel` (also
// without the lock), waits for `work` to return, and passes the exception on. Takes some 20 µs in the main
// thread, and nothing more than the call in others.
void interruptible(const std::function<void()>& work, const std::function<void()>& cancel);

}  // namespace sightglass::python
