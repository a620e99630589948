#include "sightglass/memory/map_to.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <utility>

#include "sightglass/memory/map_planner.h"
#include "sightglass/memory/module.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

uint32_t key_of(const Form& from, const Form& to) {
  const auto number = [](const Form& form) {
    return uint32_t(std::to_underlying(form.memory)) << 8 |
           (form.pixels ? std::to_underlying(*form.pixels) + 1u : 0u);
  };
  return number(from) << 16 | number(to);
}

// Plans by their two forms. Looking one up takes no lock: plans are added at places that were empty, and
// never move or go.
class Plans {
 public:
  const MapPlan* find(uint32_t key) const {
    for (size_t i = 0; i < slots_.size(); ++i) {
      const Slot& slot = slots_[(key * 2654435761u + i) % slots_.size()];
      const Entry* entry = slot.load(std::memory_order_acquire);
      if (!entry) return nullptr;
      if (entry->key == key) return &entry->plan;
    }
    return nullptr;
  }

  const MapPlan* add(uint32_t key, MapPlan plan) {
    std::lock_guard lock(mutex_);
    if (const MapPlan* known = find(key)) return known;
    auto* entry = new Entry{key, std::move(plan)};
    for (size_t i = 0; i < slots_.size(); ++i) {
      Slot& slot = slots_[(key * 2654435761u + i) % slots_.size()];
      if (slot.load(std::memory_order_relaxed)) continue;
      slot.store(entry, std::memory_order_release);
      break;
    }
    return &entry->plan;  // where all places are taken it serves this once
  }

 private:
  struct Entry {
    uint32_t key;
    MapPlan plan;
  };
  using Slot = std::atomic<const Entry*>;
  std::array<Slot, 8192> slots_{};
  std::mutex mutex_;  // of those who add
};

Plans& plans() {
  static Plans& instance = *new Plans;
  return instance;
}

// Loads what may know a way between the two. What is not there shows as a way that is missing.
std::string load_what_may_help(const Form& from, const Form& to) {
  std::string missing;
  const auto note = [&](Status status) {
    if (!status) missing += "; " + status.error().message;
  };
  note(load_modules_for(from.memory));
  note(load_modules_for(to.memory));
  if (from.pixels != to.pixels) note(load_module("ffmpeg"));
  return missing;
}

bool is_aligned(const Frame& frame, size_t alignment) {
  if (alignment <= 1) return true;
  return std::ranges::all_of(frame.tensors, [&](const Tensor& tensor) {
    auto start = tensor.memory->map(Access::read);
    if (!start) return false;  // whoever takes it next gives the reason
    const bool aligned = (reinterpret_cast<uintptr_t>(*start) + tensor.offset) % alignment == 0;
    tensor.memory->unmap(Access::read);
    return aligned && (tensor.shape.rank() < 2 || size_t(tensor.strides[0]) % alignment == 0);
  });
}

// Brings content to addresses that the next step can take.
class Realign final : public Mapper {
 public:
  std::string_view name() const override { return "copy to an aligned address"; }
  void edges(const Form&, std::vector<Edge>&) const override {}  // part of other ways only
  Status map(const Frame& frame, const MapTarget& target, Frame& result) const override {
    result.video = frame.video;
    if (frame.video) {
      auto aligned = allocate_frame(*frame.video);
      if (!aligned) return forward_error(aligned);
      result.tensors = std::move(aligned->tensors);
    } else {
      for (const Tensor& tensor : frame.tensors) {
        auto memory = allocate_memory(size_t(tensor.shape.elements()) * size_of(tensor.type));
        if (!memory) return forward_error(memory);
        result.tensors.push_back(tensor);
        result.tensors.back().memory = *memory;
        result.tensors.back().offset = 0;
        result.tensors.back().strides = dense_strides(tensor.shape, tensor.type);
      }
    }
    return target.access == Access::write ? Status() : copy_content(frame, result);
  }
  Status write_back(const Frame& mapped, const Frame& frame) const override {
    return copy_content(mapped, frame);
  }
};
const Realign realign;

Frame pixels_of(const Frame& frame) {
  Frame pixels;
  pixels.video = frame.video;
  pixels.tensors = frame.tensors;
  return pixels;
}

Status check(const Frame& frame) {
  if (frame.video && frame.tensors.size() != plane_count(frame.video->format))
    return fail(ErrorCode::invalid_argument, "{} has {} planes, the frame has {}",
                to_string(frame.video->format), plane_count(frame.video->format), frame.tensors.size());
  for (const Tensor& tensor : frame.tensors) {
    if (!tensor.memory) return fail(ErrorCode::invalid_argument, "a tensor without memory cannot be mapped");
    if (tensor.memory->kind() != frame.tensors[0].memory->kind())
      return fail(ErrorCode::invalid_argument, "one frame cannot lie in {} and in {} memory at a time",
                  to_string(frame.tensors[0].memory->kind()), to_string(tensor.memory->kind()));
  }
  return {};
}

}  // namespace

bool MapPlan::copies() const {
  return std::ranges::any_of(steps, [](const Step& step) { return step.edge.cost_per_byte > 0; });
}

std::string MapPlan::to_string() const {
  std::string text = sightglass::to_string(from);
  for (const Step& step : steps)
    text += std::format(" → {} ({}, {})", sightglass::to_string(step.edge.to),
                        step.edge.cost_per_byte > 0 ? "copy" : "shared", step.mapper->name());
  return text;
}

Result<const MapPlan*> plan_map(const Form& from, const Form& to) {
  const uint32_t key = key_of(from, to);
  if (const MapPlan* known = plans().find(key)) return known;
  const std::string missing = load_what_may_help(from, to);
  auto plan = find_way(all_mappers(), from, to);
  if (!plan) {
    plan.error().message += missing;
    return forward_error(plan);
  }
  return plans().add(key, std::move(*plan));
}

FrameMapping::FrameMapping(FrameMapping&&) noexcept = default;

FrameMapping& FrameMapping::operator=(FrameMapping&& other) noexcept {
  if (this == &other) return *this;
  (void)finish();
  plan_ = other.plan_;
  access_ = other.access_;
  stages_ = std::move(other.stages_);
  return *this;
}

FrameMapping::~FrameMapping() { (void)finish(); }

Status FrameMapping::finish() {
  if (access_ == Access::read) return {};
  access_ = Access::read;
  for (size_t i = stages_.size(); i-- > 1;) {
    const Stage& stage = stages_[i];
    auto status = stage.is_copy ? stage.mapper->write_back(stage.frame, stages_[i - 1].frame)
                                : stage.mapper->publish(stage.frame, stages_[i - 1].frame);
    if (!status) return status;
  }
  return {};
}

Result<FrameMapping> map_to(const Frame& frame, const MapTarget& target, const MapOptions& options) {
  if (auto status = check(frame); !status) return forward_error(status);
  const Form from = form_of(frame);
  auto plan = plan_map(from, target.form);
  if (!plan) return forward_error(plan);
  if (options.strict_zero_copy && (*plan)->copies())
    return fail(
        ErrorCode::not_negotiated,
        "{} to {} cannot go without a copy: {}; to avoid it, have the one make {} or the other take {}",
        to_string(from), to_string(target.form), (*plan)->to_string(), to_string(target.form),
        to_string(from));

  FrameMapping mapping(**plan, target.access);
  mapping.stages_.reserve((*plan)->steps.size() + 1);
  mapping.stages_.push_back({pixels_of(frame), nullptr});
  static CopyLedger::Hop& of_process = CopyLedger::process().hop("map");
  CopyLedger::Hop& hop = options.hop ? *options.hop : of_process;
  size_t copied = 0;
  const auto go = [&](const Mapper& mapper, const MapTarget& to, bool copies) -> Status {
    FrameMapping::Stage next{{}, &mapper, copies};
    if (auto status = mapper.map(mapping.stages_.back().frame, to, next.frame); !status) {
      mapping.access_ = Access::read;  // nobody has written anything yet
      status.error().message =
          std::format("{} to {}: {}", to_string(from), to_string(target.form), status.error().message);
      return status;
    }
    if (copies) copied += content_bytes(next.frame);
    mapping.stages_.push_back(std::move(next));
    return {};
  };
  for (const MapPlan::Step& step : (*plan)->steps) {
    const MapTarget to{step.edge.to, target.access, target.context};
    if (!is_aligned(mapping.stages_.back().frame, step.edge.alignment)) {
      if (options.strict_zero_copy) {
        mapping.access_ = Access::read;
        return fail(
            ErrorCode::not_negotiated,
            "{} to {} cannot go without a copy: {} needs addresses and strides that are multiples of {}",
            to_string(from), to_string(target.form), step.mapper->name(), step.edge.alignment);
      }
      if (auto status = go(realign, {step.from, target.access, nullptr}, true); !status)
        return forward_error(status);
    }
    if (auto status = go(*step.mapper, to, step.edge.cost_per_byte > 0); !status)
      return forward_error(status);
  }
  if (copied > 0)
    hop.copied(copied);
  else
    hop.shared(content_bytes(frame));
  return mapping;
}

}  // namespace sightglass
