// Functions for function_test, one entry point each.
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "sightglass/frame_function.h"

namespace {

using sightglass::ErrorCode;
using sightglass::FrameFunction;
using sightglass::FunctionFrame;
using sightglass::Result;
using sightglass::Status;

// Shows what it has been given, and adds, changes and removes.
struct Marks : FrameFunction {
  explicit Marks(const SightglassFunctionOptions& options) : args(options.args) {
    if (args.contains("refuse")) throw std::runtime_error("these arguments are not for me");
  }
  Status start(const SightglassStreamInfo& stream) override {
    source = stream.source_id;
    parameters = stream.parameters;
    return {};
  }
  Status apply(std::string_view changed) override {
    parameters = changed;
    return {};
  }
  Status process(FunctionFrame& frame) override {
    frame.set_text(-1, "source", source.c_str());
    frame.set_text(-1, "args", args.c_str());
    frame.set_text(-1, "parameters", parameters.c_str());
    if (frame.format() == "GRAY8") frame.set_number(-1, "first", frame.plane(0).data[0]);
    for (int32_t i = 0; i < frame.region_count(); ++i) {
      SightglassRegion region = frame.region(i);
      if (region.label == std::string_view("remove")) frame.remove(i);
      if (region.label == std::string_view("drop")) frame.drop();
      if (region.label != std::string_view("grow")) continue;
      region.w *= 2;
      frame.set(i, region);
      frame.set_text(i, "colour", "red", 0.5f);
    }
    SightglassRegion added{};
    added.w = added.h = 0.5f;
    added.confidence = 1;
    added.label = "added";
    frame.add(added);
    frame.set_tag("marked");
    return {};
  }
  std::string args, source, parameters;
};

// Does on a frame what its first object is called.
struct Obeys : FrameFunction {
  static constexpr bool pixels = false;
  Status process(FunctionFrame& frame) override {
    const std::string order = frame.region_count() > 0 ? frame.region(0).label : "";
    frame.set_number(-1, "seen", 1);
    if (order == "throw") throw std::runtime_error("as ordered");
    if (order == "fail") return sightglass::fail(ErrorCode::internal, "cannot, for {} reasons", 3);
    if (order == "sleep") std::this_thread::sleep_for(std::chrono::milliseconds(30));
    if (order == "nan") frame.add({.x = 0.f / 0.f, .w = 1, .h = 1, .label = "nan"});
    return {};
  }
};

int stops_seen = 0;
struct DoesNotStart : FrameFunction {
  Status start(const SightglassStreamInfo&) override { throw std::runtime_error("no licence"); }
  Status process(FunctionFrame&) override { return {}; }
  void stop(std::string_view) override { ++stops_seen; }
};

// Until who waits for it has had enough.
struct StopsLate : FrameFunction {
  Status process(FunctionFrame&) override { return {}; }
  void stop(std::string_view) override { std::this_thread::sleep_for(std::chrono::seconds(2)); }
};

struct Paints : FrameFunction {
  static constexpr bool writes_pixels = true;
  Status process(FunctionFrame& frame) override { return paint(frame, 9); }
  Status draw(FunctionFrame& frame) override { return paint(frame, 8); }
  Status paint(FunctionFrame& frame, int value) {
    std::memset(frame.plane(0).data, value, size_t(frame.plane(0).width));
    return {};
  }
};

struct Filters : FrameFunction {
  void stop(std::string_view) override { ++stops_seen; }
  Result<bool> accept(FunctionFrame& frame) override { return frame.region_count() > 0; }
  Status region(FunctionFrame& frame, int32_t index, float (&box)[4]) override {
    if (frame.region(index).confidence < 0) return sightglass::fail(ErrorCode::internal, "not this one");
    box[0] = 0.25f;
    return {};
  }
  Result<std::string> map(std::string_view record) override {
    return record == "leave out" ? "" : "[" + std::string(record) + "]";
  }
};

// Makes red blue and blue red in what a model is to see.
struct Swaps : FrameFunction {
  explicit Swaps(const SightglassFunctionOptions& options) : args(options.args) {}
  Status prepare(FunctionFrame& picture, int32_t region) override {
    if (args.contains("throw")) throw std::runtime_error("as ordered");
    if (args.contains("sleep")) std::this_thread::sleep_for(std::chrono::milliseconds(30));
    if (picture.format() != "BGR") return sightglass::fail(ErrorCode::internal, "it is no BGR");
    if (args.contains("square") && picture.width() != picture.height())
      return sightglass::fail(ErrorCode::internal, "it is no square");
    if (region >= 0 && picture.region(region).label != std::string_view("person"))
      return sightglass::fail(ErrorCode::internal, "it is nobody");
    const SightglassPlane& plane = picture.plane(0);
    for (int y = 0; y < plane.height; ++y)
      for (int x = 0; x < plane.width; ++x) {
        uint8_t* pixel = plane.data + size_t(y) * plane.stride + size_t(x) * 3;
        std::swap(pixel[0], pixel[2]);
      }
    return {};
  }
  std::string args;
};

// Looks at the green square in the lower right of the picture in place of the object.
struct LooksAway : FrameFunction {
  static constexpr bool pixels = false;
  explicit LooksAway(const SightglassFunctionOptions& options) : args(options.args) {}
  Status region(FunctionFrame&, int32_t, float (&box)[4]) override {
    const float size = args.contains("nowhere") ? -1.0f : 44.0f;
    box[0] = 220.0f / 320, box[1] = 150.0f / 240, box[2] = size / 320, box[3] = size / 240;
    return {};
  }
  std::string args;
};

struct Counts : FrameFunction {
  static constexpr bool pixels = false;
  Status process(FunctionFrame& frame) override {
    frame.set_number(-1, "objects", frame.region_count());
    frame.set_text(-1, "secret", "for elements");
    for (int32_t i = 0; i < frame.region_count(); ++i) frame.set_number(i, "index", i);
    if (frame.region_count() == 0) frame.drop();
    return {};
  }
};

}  // namespace

SIGHTGLASS_FUNCTION_AS(swaps, Swaps)
SIGHTGLASS_FUNCTION_AS(looks_away, LooksAway)
SIGHTGLASS_FUNCTION_AS(counts, Counts)
SIGHTGLASS_FUNCTION_AS(marks, Marks)
SIGHTGLASS_FUNCTION_AS(obeys, Obeys)
SIGHTGLASS_FUNCTION_AS(does_not_start, DoesNotStart)
SIGHTGLASS_FUNCTION_AS(stops_late, StopsLate)
SIGHTGLASS_FUNCTION_AS(paints, Paints)
SIGHTGLASS_FUNCTION_AS(filters, Filters)

extern "C" __attribute__((visibility("default"))) const SightglassFunction* of_the_future(uint32_t) {
  static SightglassFunction table{};
  table.version = SIGHTGLASS_FUNCTION_VERSION + 1;
  return &table;
}
extern "C" __attribute__((visibility("default"))) const SightglassFunction* of_the_past(uint32_t) {
  return nullptr;
}
extern "C" __attribute__((visibility("default"))) int stops() { return stops_seen; }
