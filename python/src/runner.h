// Runs one element of the registry frame by frame, without a flow: starts it at the first frame, agrees on
// formats from what comes in, and keeps what it makes. None of this needs the interpreter's lock; calls from
// several threads take turns.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/core/frame.h"
#include "sightglass/memory/system/system_memory_pool.h"

namespace sightglass::python {

struct RunFrame {
  Frame frame;
  std::shared_ptr<const TensorsInfo> info;  // null for pictures
};

// A fixed format as a set of one.
FormatSpec spec_of(const Format& format);

class Runner final : private Output {
 public:
  Runner(const ElementDesc& desc, ParamSet params) : desc_(desc), params_(std::move(params)) {}
  ~Runner() override { stop(); }

  const ElementDesc& desc() const { return desc_; }
  ParamSet params() const;
  // Live parameters any time, the others before the first frame.
  Status set(std::string_view name, const ParamValue& value);
  Result<ParamValue> get(std::string_view name);

  // An element that works in place changes `frame` and gives it as the only result, or none.
  Result<std::vector<RunFrame>> process(Frame& frame, const Format& format,
                                        const std::shared_ptr<const TensorsInfo>& info);
  Result<std::vector<RunFrame>> drain();
  // Sources: the next frame; empty at the end.
  Result<std::vector<RunFrame>> read();
  void cancel();
  void stop();
  std::vector<std::string> take_warnings();

 private:
  Status start();
  Status configure(const Format& input);
  Status run(Frame& frame);
  Status with_memory(Frame& frame, const Format& format);
  Error named(Error error) const;

  // Output
  Status allocate(Frame& frame) override;
  Status push(const Frame& frame) override;
  Status gap(const Gap&) override { return {}; }

  const ElementDesc& desc_;
  mutable std::mutex mutex_;  // guards all below
  ParamSet params_;
  bool params_changed_ = false;
  std::unique_ptr<Element> element_;
  bool is_configured_ = false;
  bool is_done_ = false;  // a source that has ended
  Format input_, output_;
  std::shared_ptr<const TensorsInfo> info_;  // of what goes out
  Ref<SystemMemoryPool> pool_;
  std::vector<RunFrame> made_;
  std::vector<std::string> warnings_;
};

}  // namespace sightglass::python
