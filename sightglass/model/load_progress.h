// What takes minutes while a model is loaded, such as building a TensorRT engine, said to whoever waits for
// it.
//
//   const LoadProgress told([&](std::string_view text) { post(text); });   // holds for what this thread
//   loads auto opened = open_session(options);
//
// Without one it is a line on standard error. Listeners are called on the thread that loads.
#pragma once

#include <functional>
#include <string_view>

namespace sightglass {

class LoadProgress {
 public:
  using Tell = std::function<void(std::string_view text)>;
  explicit LoadProgress(Tell tell);
  ~LoadProgress();
  LoadProgress(const LoadProgress&) = delete;

 private:
  Tell tell_;
  const LoadProgress* const before_;
  friend void tell_load_progress(std::string_view text);
};

// By engines, in load().
void tell_load_progress(std::string_view text);

}  // namespace sightglass
