// Functions of one's own in C++: sightglass/function.h as a class whose hooks return Result<T>.
//
//   class Report : public sightglass::FrameFunction {
//     sightglass::Status process(sightglass::FunctionFrame& frame) override {
//       for (int32_t i = 0; i < frame.region_count(); ++i)
//         if (frame.region(i).label == "face"sv) frame.set_tag("face");
//       return {};
//     }
//   };
//   SIGHTGLASS_FUNCTION(Report)
//
// A class may have a constructor that takes the options; what it throws is told to the user. Nothing of the
// library is linked: g++ -std=c++23 -shared -fPIC -o report.so report.cc. One object per element and stream,
// called by one thread at a time.
#pragma once

#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

#include "sightglass/core/result.h"
#include "sightglass/function.h"

namespace sightglass {

// A frame for the time of one call. Strings that it gives live as long.
class FunctionFrame {
 public:
  explicit FunctionFrame(SightglassFunctionFrame& frame) : frame_(frame) {}
  SightglassFunctionFrame& native() { return frame_; }

  int64_t pts() const { return frame_.pts; }
  bool is_keyframe() const { return frame_.keyframe; }
  std::string_view format() const { return frame_.format; }
  int width() const { return frame_.width; }
  int height() const { return frame_.height; }
  const SightglassPlane& plane(uint32_t index) const { return frame_.planes[index]; }

  int32_t region_count() const { return int32_t(frame_.region_count); }  // at the start of the call
  SightglassRegion region(int32_t index) const {
    SightglassRegion region{};
    region.size = sizeof region;
    frame_.get_region(frame_.host, index, &region);
    return region;
  }
  int32_t add(SightglassRegion region) {
    region.size = sizeof region;
    return frame_.add_region(frame_.host, &region);
  }
  void set(int32_t index, SightglassRegion region) {
    region.size = sizeof region;
    frame_.set_region(frame_.host, index, &region);
  }
  void remove(int32_t index) { frame_.remove_region(frame_.host, index); }

  // Region -1: of the frame. False: there is none of that name.
  bool attribute(int32_t region, std::string_view name, SightglassAttribute& found) const {
    const char* element = nullptr;
    for (uint32_t i = 0; frame_.get_attribute(frame_.host, region, i, &found, &element) == 0; ++i)
      if (name == found.name) return true;
    return false;
  }
  void set(int32_t region, const SightglassAttribute& attribute) {
    frame_.set_attribute(frame_.host, region, &attribute);
  }
  void set_text(int32_t region, const char* name, const char* text, float confidence = 0) {
    set(region, {.name = name,
                 .kind = confidence > 0 ? SIGHTGLASS_CLASS : SIGHTGLASS_TEXT,
                 .text = text,
                 .label_id = -1,
                 .confidence = confidence});
  }
  void set_number(int32_t region, const char* name, double number) {
    set(region, {.name = name, .kind = SIGHTGLASS_NUMBER, .label_id = -1, .number = number});
  }
  bool has_tag(const char* tag) const { return frame_.has_tag(frame_.host, tag); }
  void set_tag(const char* tag, bool is_set = true) { frame_.set_tag(frame_.host, tag, is_set); }
  void drop() { frame_.drop(frame_.host); }

 private:
  SightglassFunctionFrame& frame_;
};

class FrameFunction {
 public:
  static constexpr bool pixels = true;          // the picture is wanted
  static constexpr bool writes_pixels = false;  // … and changed
  virtual ~FrameFunction() = default;

  virtual Status start(const SightglassStreamInfo&) { return {}; }
  virtual Status process(FunctionFrame&) { return {}; }
  virtual Status apply(std::string_view parameters) { return (void)parameters, Status{}; }  // must not block
  virtual void stop(std::string_view reason) { (void)reason; }  // also after a start that has failed

  virtual Result<bool> accept(FunctionFrame&) { return true; }
  virtual Status region(FunctionFrame&, int32_t region, float (&box)[4]) {
    return (void)region, (void)box, Status{};
  }
  virtual Status prepare(FunctionFrame& picture, int32_t region) {  // region -1: the whole picture
    return (void)picture, (void)region, Status{};
  }
  virtual Status draw(FunctionFrame&) { return {}; }
  virtual Result<std::string> map(std::string_view record) { return std::string(record); }  // "": left out
};

namespace function_detail {

inline void copy(char* error, size_t size, std::string_view text) {
  if (size > 0) std::snprintf(error, size, "%.*s", int(text.size()), text.data());
}

// Runs a hook; no exception leaves.
template <class Hook, class Tell>
int guarded(Hook hook, Tell tell) {
  try {
    auto result = hook();
    if (result) return 0;
    tell(result.error().message.c_str());
  } catch (const std::exception& exception) {
    tell(exception.what());
  } catch (...) {
    tell("it threw an exception");
  }
  return -1;
}

template <class F>
struct Table {
  static F& of(void* function) { return *static_cast<F*>(function); }

  static void* create(const SightglassFunctionOptions* options, char* error, size_t size) {
    try {
      if constexpr (std::is_constructible_v<F, const SightglassFunctionOptions&>)
        return new F(*options);
      else
        return new F();
    } catch (const std::exception& exception) {
      copy(error, size, exception.what());
    } catch (...) {
      copy(error, size, "its constructor threw an exception");
    }
    return nullptr;
  }
  static void destroy(void* function) { delete &of(function); }
  static int start(void* function, const SightglassStreamInfo* stream, char* error, size_t size) {
    return guarded([&] { return of(function).start(*stream); },
                   [&](const char* text) { copy(error, size, text); });
  }
  static int process(void* function, SightglassFunctionFrame* native) {
    FunctionFrame frame(*native);
    return guarded([&] { return of(function).process(frame); },
                   [&](const char* text) { native->fail(native->host, text); });
  }
  static int apply(void* function, const char* parameters, char* error, size_t size) {
    return guarded([&] { return of(function).apply(parameters); },
                   [&](const char* text) { copy(error, size, text); });
  }
  static void stop(void* function, const char* reason) {
    guarded(
        [&] {
          of(function).stop(reason);
          return Status{};
        },
        [](const char*) {});
  }
  static int accept(void* function, SightglassFunctionFrame* native) {
    FunctionFrame frame(*native);
    bool accepted = true;
    const int code = guarded(
        [&] {
          auto result = of(function).accept(frame);
          if (result) accepted = *result;
          return result;
        },
        [&](const char* text) { native->fail(native->host, text); });
    return code == 0 ? int(accepted) : code;
  }
  static int region(void* function, SightglassFunctionFrame* native, int32_t index, float box[4]) {
    FunctionFrame frame(*native);
    return guarded([&] { return of(function).region(frame, index, *reinterpret_cast<float(*)[4]>(box)); },
                   [&](const char* text) { native->fail(native->host, text); });
  }
  static int prepare(void* function, SightglassFunctionFrame* native, int32_t region) {
    FunctionFrame picture(*native);
    return guarded([&] { return of(function).prepare(picture, region); },
                   [&](const char* text) { native->fail(native->host, text); });
  }
  static int draw(void* function, SightglassFunctionFrame* native) {
    FunctionFrame frame(*native);
    return guarded([&] { return of(function).draw(frame); },
                   [&](const char* text) { native->fail(native->host, text); });
  }
  static int map(void* function, const char* record, void (*give)(void*, const char*), void* host,
                 char* error, size_t size) {
    return guarded(
        [&] {
          auto mapped = of(function).map(record);
          if (mapped && !mapped->empty()) give(host, mapped->c_str());
          return mapped;
        },
        [&](const char* text) { copy(error, size, text); });
  }

  // Hooks that the class leaves alone are not there.
  static constexpr SightglassFunction table(const char* name) {
    using Base = FrameFunction;
    SightglassFunction made{};
    made.version = SIGHTGLASS_FUNCTION_VERSION;
    made.size = sizeof made;
    made.name = name;
    made.pixels = F::pixels;
    made.writes_pixels = F::writes_pixels;
    made.create = create;
    made.destroy = destroy;
    made.start = start;
    made.apply = apply;
    made.stop = stop;
    if (!std::is_same_v<decltype(&F::process), decltype(&Base::process)>) made.process = process;
    if (!std::is_same_v<decltype(&F::accept), decltype(&Base::accept)>) made.accept = accept;
    if (!std::is_same_v<decltype(&F::region), decltype(&Base::region)>) made.region = region;
    if (!std::is_same_v<decltype(&F::prepare), decltype(&Base::prepare)>) made.prepare = prepare;
    if (!std::is_same_v<decltype(&F::draw), decltype(&Base::draw)>) made.draw = draw;
    if (!std::is_same_v<decltype(&F::map), decltype(&Base::map)>) made.map = map;
    return made;
  }
};

}  // namespace function_detail
}  // namespace sightglass

// The entry point of a shared object with one function, named sightglass_function; of one among several, with
// a name of its own for `symbol`. The hooks of the class are public.
#define SIGHTGLASS_FUNCTION(Class) SIGHTGLASS_FUNCTION_AS(sightglass_function, Class)
#define SIGHTGLASS_FUNCTION_AS(symbol, Class)                                                             \
  extern "C" __attribute__((visibility("default"))) const SightglassFunction* symbol(uint32_t version) {  \
    static constexpr SightglassFunction table = sightglass::function_detail::Table<Class>::table(#Class); \
    return version >= SIGHTGLASS_FUNCTION_VERSION ? &table : nullptr;                                     \
  }
