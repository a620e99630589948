// Frames per second of all streams of the process, printed at an interval in the form that scripts know:
//
//   FpsCounter(last 1.00sec): total=48.00 fps, number-streams=2, per-stream=24.00 fps (25.00, 23.00)
//   FpsCounter(average 5.00sec): …            since the first frame
//   FpsCounter(overall 9.80sec): …            when the last stream has ended
//
// count() is called by any number of threads, each with a stream of its own: two atomic operations per frame;
// text is made and a lock is taken only once per interval. The clock is the caller's, in nanoseconds.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace sightglass {

class FpsMeter {
 public:
  class Stream;
  using Print = std::function<void(std::string_view lines)>;

  struct Options {
    double interval = 1;  // seconds
    bool print_overall = true;
    bool print_std_dev = false;  // of the times between the frames
  };
  FpsMeter(const Options& options, Print print);
  ~FpsMeter();

  Stream* join();
  void count(Stream& stream, int64_t now);
  void leave(Stream* stream, int64_t now);  // its frames still count in what is printed overall
  bool deserted() const;                    // every stream has left

  double average(int64_t now) const;  // frames per second of all streams since the first frame

 private:
  enum class Span : uint8_t { last, average, overall };
  void print_interval(int64_t now);
  void append(Span span, int64_t now);

  const Options options_;
  const Print print_;
  std::atomic<int64_t> first_{0}, next_{0};  // first frame; when to print again. 0: no frame yet
  mutable std::mutex mutex_;                 // of all that follows
  std::vector<std::unique_ptr<Stream>> streams_;
  int64_t printed_ = 0;
  std::string text_;
  std::vector<double> rates_;
};

}  // namespace sightglass
