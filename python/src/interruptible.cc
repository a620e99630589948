#include "python/src/interruptible.h"

#include <chrono>
#include <future>

#include "python/src/bindings.h"

namespace sightglass::python {
namespace {

bool in_main_thread() {
  static const auto main_thread =
      nb::cast<unsigned long>(nb::module_::import_("threading").attr("main_thread")().attr("ident"));
  return PyThread_get_thread_ident() == main_thread;
}

}  // namespace

void interruptible(const std::function<void()>& work, const std::function<void()>& cancel) {
  if (!in_main_thread()) return unlocked(work);
  auto done = std::async(std::launch::async, work);
  using namespace std::chrono_literals;
  while (unlocked([&] { return done.wait_for(50ms); }) != std::future_status::ready) {
    if (PyErr_CheckSignals() == 0) continue;
    nb::python_error interrupt;
    unlocked([&] {
      cancel();
      done.wait();
    });
    throw interrupt;
  }
}

}  // namespace sightglass::python
