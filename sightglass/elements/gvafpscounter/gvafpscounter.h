// Counts the frames per second of all gvafpscounter elements of the process and prints them (fps_meter.h).
// Frames pass unchanged. Elements with the same interval share one meter. Frames of other processes count
// with those of the element that reads their pipe (frame_pipe.h).
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/gvafpscounter/fps_meter.h"
#include "sightglass/elements/gvafpscounter/frame_pipe.h"

namespace sightglass {

class FpsCounter final : public TransformInplace {
 public:
  struct Params {
    std::string interval = "1";  // seconds; a comma list for several
    unsigned starting_frame = 0;
    std::string read_pipe, write_pipe;
    bool print_std_dev = false, print_latency = false;
    float avg_fps = 0;  // read only
  };

  static Result<std::unique_ptr<Element>> create(const Params& params);
  ~FpsCounter() override { leave(); }

  Status start() override;
  void stop() override { leave(); }
  std::vector<std::string> take_warnings() override { return std::exchange(warnings_, {}); }
  Result<ParamValue> value(std::string_view name) const override;
  Result<Verdict> process(Frame& frame) override;
  Status drain() override {
    leave();
    return {};
  }

 private:
  struct Membership {
    std::shared_ptr<FpsMeter> meter;
    FpsMeter::Stream* stream = nullptr;  // null: has not joined, or has left
  };

  FpsCounter(const Params& params, std::vector<double> intervals);
  void join();
  void leave();
  void count_others(int64_t time);

  Params params_;
  std::vector<double> intervals_;
  std::vector<Membership> memberships_;
  std::unique_ptr<FramePipeReader> reader_;
  std::unique_ptr<FramePipeWriter> writer_;
  std::map<uint64_t, std::vector<FpsMeter::Stream*>> others_;  // of other processes, one for each membership
  unsigned skipped_ = 0;
  bool joined_ = false;
  std::atomic<float> last_average_{0};
  std::vector<std::string> warnings_;
};

}  // namespace sightglass
