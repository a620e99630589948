#include "sightglass/core/left_behind.h"

#include <atomic>

namespace sightglass {
namespace {
std::atomic<bool> is_any_left_behind = false;
}  // namespace

void note_thread_left_behind() { is_any_left_behind = true; }
bool has_left_threads_behind() { return is_any_left_behind; }

}  // namespace sightglass
