// Elements and frames for tests of the flow.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/flow/flow.h"
#include "sightglass/memory/system/system_frame.h"

namespace sightglass {

inline constexpr VideoInfo small_video{.format = PixelFormat::bgr, .width = 16, .height = 8};

// Counts upwards: pts n, the first byte n.
class CountingSource final : public Source {
 public:
  struct Options {
    int frames = 3;
    std::vector<Format> formats = {{.media = small_video}};
    std::function<void(int n, Frame&)> change = {};  // before the frame goes out
    int error_at = -1;
  };
  explicit CountingSource(Options options) : options_(std::move(options)) {}
  CountingSource() : CountingSource(Options{}) {}

  Result<std::vector<Format>> formats() override { return options_.formats; }
  Result<bool> read(Frame& frame, Output& memory) override {
    if (next_ == options_.error_at) return fail(ErrorCode::io, "the cable is gone");
    if (next_ == options_.frames) return false;
    if (auto status = memory.allocate(frame); !status) return forward_error(status);
    frame.pts = next_;
    if (options_.change) options_.change(next_, frame);
    ++next_;
    return true;
  }

 private:
  const Options options_;
  int next_ = 0;
};

// Blocks in read() until it is cancelled.
class BlockingSource final : public Source {
 public:
  Result<std::vector<Format>> formats() override { return std::vector<Format>{{.media = small_video}}; }
  Result<bool> read(Frame&, Output&) override {
    std::unique_lock lock(mutex_);
    blocked_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return cancelled_; });
    return fail(ErrorCode::cancelled, "cancelled");
  }
  void cancel() override {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
    changed_.notify_all();
  }
  void wait_until_blocked() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return blocked_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool blocked_ = false, cancelled_ = false;
};

// In place; what it does is a function.
class Inplace final : public TransformInplace {
 public:
  using Do = std::function<Result<Verdict>(Frame&)>;
  explicit Inplace(Do action = [](Frame&) { return Verdict::pass; }) : do_(std::move(action)) {}
  Result<Verdict> process(Frame& frame) override { return do_(frame); }
  Status configure(const Format& input, const Format&) override {
    formats.push_back(input);
    return {};
  }
  void gap(const Gap& gap) override { gaps.push_back(gap.pts); }
  Status drain() override {
    ++drained;
    return drain_status;
  }
  std::vector<Format> formats;
  std::vector<Time> gaps;
  int drained = 0;
  Status drain_status;

 private:
  Do do_;
};

inline ElementDesc desc_of(std::string name, ElementKind kind,
                           std::vector<FormatSpec> formats = {{AnySpec{}}}) {
  ElementDesc desc;
  desc.name = std::move(name);
  desc.kind = kind;
  desc.input = desc.output = std::move(formats);
  return desc;
}

inline FormatSpec video_spec(std::vector<PixelFormat> formats = {}, MemoryKind memory = MemoryKind::system) {
  return {VideoSpec{std::move(formats), {}, {}}, memory};
}

// Makes a flow of nodes one behind the other.
class Chain {
 public:
  explicit Chain(FlowOptions options = {}) : flow(options) {}
  template <class T, class... Args>
  T* add(std::string name, ElementKind kind, Args&&... args) {
    auto made = std::make_unique<T>(std::forward<Args>(args)...);
    T* element = made.get();
    append(flow.add(std::move(made), desc_of(name, kind), name));
    return element;
  }
  CountingSource* source(CountingSource::Options options = {}) {
    return add<CountingSource>("source", ElementKind::source, std::move(options));
  }
  Inplace* inplace(std::string name, Inplace::Do action = [](Frame&) { return Verdict::pass; }) {
    return add<Inplace>(std::move(name), ElementKind::transform_inplace, std::move(action));
  }
  Flow::Node element(std::string_view kind, const Flow::Settings& settings = {}, std::string_view name = {}) {
    append(flow.add(kind, settings, name));
    return last;
  }
  // What is added next is linked behind this one; none: behind nothing.
  void from(std::optional<Flow::Node> node) { before_ = node; }
  void append(Result<Flow::Node> node) {
    ASSERT_TRUE(node) << node.error().to_string();
    last = *node;
    if (before_) {
      auto linked = flow.link(*before_, last);
      ASSERT_TRUE(linked) << linked.error().to_string();
    }
    before_ = last;
  }
  // Runs it and keeps the times of what leaves it.
  Status run() {
    flow.on_frame([this](const Frame& frame) -> Status {
      times.push_back(frame.pts);
      return {};
    });
    return flow.run();
  }

  Flow flow;
  Flow::Node last = 0;
  std::vector<Time> times;

 private:
  std::optional<Flow::Node> before_;
};

inline std::string text_of(const Status& status) { return status ? "" : status.error().to_string(); }

inline Frame small_frame(Time pts) {
  Frame frame = *allocate_frame(small_video);
  frame.pts = pts;
  return frame;
}

}  // namespace sightglass
