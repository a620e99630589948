// The delivered functions around a model, by name: what YAML lists under `preprocess` and `postprocess`, and
// what the elements postprocess_objects, roi_split and prepare_objects take as JSON.
//
//   ["top_k"]                                                a name
//   [{"nms": {"iou_threshold": 0.4}}, {"top_k": {"k": 10}}]  names with parameters, run in this order
//
//   for (const FunctionDesc& desc : all_functions()) …    // name, hook, parameters, doc
//   auto functions = make_functions(json, "functions", FunctionHook::decode);
//
// Three hooks: `region` changes the box that a model looks at, per object; `prepare` makes the picture that
// it sees, per object; `decode` works on the objects that an element has just written. A function is made per
// stream and called by one thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/core/param.h"
#include "sightglass/elements/functions/crops.h"

namespace sightglass {

enum class FunctionHook : uint8_t { prepare, region, decode };
std::string_view to_string(FunctionHook hook);

class Function {
 public:
  virtual ~Function() = default;
};

class RegionFunction : public Function {
 public:
  // The box that is to be looked at of the frame's region with this index, in place of `box`, 0..1; the
  // object keeps its own. None: it is passed over.
  virtual Result<std::optional<Box>> region(const Frame& frame, size_t index, const Box& box) = 0;
};

class PrepareFunction : public Function {
 public:
  // Size of the picture that it makes; 0: that of what follows.
  virtual int width() const = 0;
  virtual int height() const = 0;
  virtual uint8_t border() const { return 0; }
  virtual bool within_crop() const { return false; }  // what lies outside of the crop is border
  // What of the picture the object is to be seen by: pixels of a crop of this size → pixels of the picture.
  // None: the object lacks what is needed (landmarks).
  virtual std::optional<Projection> projection(const Crop& crop, const Region& object, PictureExtent picture,
                                               int width, int height) const = 0;
  // What is done to the picture that it, or one before it, has made; `object` may be null. False: the object
  // is passed over.
  virtual Result<bool> change(Frame& picture, const Region* object) {
    return (void)picture, (void)object, true;
  }
};

class DecodeFunction : public Function {
 public:
  // On the regions (and their attributes) of `model`; an empty one: of all.
  virtual void run(Frame& frame, Label model) = 0;
  virtual void reset() {}                         // another stream, or a seek
  virtual uint64_t counted() const { return 0; }  // of l2_normalize: vectors that were zero
};

struct FunctionDesc {
  std::string name;  // words joined by '_'
  FunctionHook hook = FunctionHook::decode;
  std::string doc;  // one line, no full stop
  ParamTable params;
  std::unique_ptr<Function> (*make)(const ParamSet& params) = nullptr;
};

std::span<const FunctionDesc> all_functions();  // in the order in which they are shown
// Also user_region and user_prepare (user_hooks.h), which are not for descriptions.
const FunctionDesc* find_function(std::string_view name);  // null: unknown

struct NamedFunction {
  const FunctionDesc* desc = nullptr;
  std::unique_ptr<Function> function;
};
// Of a list as above; empty text: none. Other hooks than that one are refused; none: all are taken. Errors
// say where: "functions[0].nms.iou_treshold: there is no parameter …".
Result<std::vector<NamedFunction>> make_functions(std::string_view json, std::string_view name,
                                                  std::optional<FunctionHook> hook = std::nullopt);
// The part of such a list that has this hook, as JSON; without a letterbox where that is left out.
Result<std::string> functions_of(std::string_view json, std::string_view name, FunctionHook hook,
                                 bool without_letterbox = false);
// The list with this size for its first function, should that have none.
Result<std::string> with_size(std::string_view json, std::string_view name, int width, int height);

inline constexpr std::string_view user_prepare = "user_prepare", user_region = "user_region";
inline bool is_users(const NamedFunction& function) {
  return function.desc->name == user_prepare || function.desc->name == user_region;
}

}  // namespace sightglass
