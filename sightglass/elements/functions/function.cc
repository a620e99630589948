#include "sightglass/elements/functions/function.h"

#include <algorithm>
#include <format>

#include "sightglass/elements/functions/attribute_smoother.h"
#include "sightglass/elements/functions/objects.h"
#include "sightglass/elements/functions/user_hooks.h"
#include "sightglass/elements/functions/vectors.h"
#include "sightglass/elements/selection/json_text.h"
#include "sightglass/model/spelling.h"

namespace sightglass {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t max_functions = 32;

PictureExtent extent_of(const Frame& frame) {
  return frame.video ? PictureExtent{float(frame.video->width), float(frame.video->height)} : PictureExtent{};
}

template <class F, class P>
std::unique_ptr<Function> make(const ParamSet& params) {
  return std::make_unique<F>(params.as<P>());
}

template <class F, class P>
FunctionDesc describe(std::string name, FunctionHook hook, std::string doc, std::vector<ParamDesc> params) {
  return {std::move(name), hook, std::move(doc), ParamTable::of<P>(std::move(params)), &make<F, P>};
}

// ---- region

struct ExpandParams {
  double factor = 1, aspect = 0;
};
class CropExpand final : public RegionFunction {
 public:
  explicit CropExpand(const ExpandParams& params) : params_(params) {}
  Result<std::optional<Box>> region(const Frame& frame, size_t, const Box& box) override {
    return crop_expand(box, float(params_.factor), float(params_.aspect), extent_of(frame));
  }

 private:
  ExpandParams params_;
};

// ---- prepare

struct LetterboxParams {
  enum class Position { center, topleft };
  Position position = Position::center;
  unsigned pad_value = 0;
  std::vector<int64_t> size;
};
int side(const std::vector<int64_t>& size, size_t axis, int standard) {
  return size.size() == 2 ? int(std::clamp<int64_t>(size[axis], 1, 4096)) : standard;
}

class Letterbox final : public PrepareFunction {
 public:
  explicit Letterbox(const LetterboxParams& params) : params_(params) {}
  int width() const override { return side(params_.size, 0, 0); }
  int height() const override { return side(params_.size, 1, 0); }
  uint8_t border() const override { return uint8_t(params_.pad_value); }
  bool within_crop() const override { return true; }
  std::optional<Projection> projection(const Crop& crop, const Region&, PictureExtent, int width,
                                       int height) const override {
    Projection made =
        letterbox(crop.w, crop.h, width, height, params_.position == LetterboxParams::Position::center);
    made.m[2] += crop.x, made.m[5] += crop.y;
    return made;
  }

 private:
  LetterboxParams params_;
};

// The points of an attribute: keypoints are x, y, score triples, contours x, y pairs; 0..1 of the picture.
template <size_t count>
bool read_points(const Region& object, Label name, PictureExtent picture, std::array<Pixel, count>& points) {
  if (!object.attributes) return false;
  for (const Attribute& attribute : object.attributes->items()) {
    if (!name.empty() && !(attribute.name == name)) continue;
    const size_t step = attribute.kind == AttributeKind::keypoints ? 3
                        : attribute.kind == AttributeKind::contour ? 2
                                                                   : 0;
    if (step == 0 || attribute.values.size() != step * count) continue;
    for (size_t i = 0; i < count; ++i) {
      const float x = attribute.values[step * i], y = attribute.values[step * i + 1];
      if (step == 3 && (x < 0 || y < 0)) return false;  // not found
      points[i] = {double(x) * double(picture.width), double(y) * double(picture.height)};
    }
    return true;
  }
  return false;
}

struct FaceParams {
  std::vector<int64_t> size{112, 112};
  std::string landmarks;
};
class AlignFace final : public PrepareFunction {
 public:
  explicit AlignFace(const FaceParams& params) : size_(params.size), name_(params.landmarks) {}
  int width() const override { return side(size_, 0, 112); }
  int height() const override { return side(size_, 1, 112); }
  std::optional<Projection> projection(const Crop&, const Region& object, PictureExtent picture, int width,
                                       int height) const override {
    std::array<Pixel, 5> points;
    if (!read_points(object, name_, picture, points)) return std::nullopt;
    return align_face_5pt(points, width, height);
  }

 private:
  std::vector<int64_t> size_;
  Label name_;
};

struct PlateParams {
  std::vector<int64_t> size{96, 32};
  std::string corners;
};
class WarpPlate final : public PrepareFunction {
 public:
  explicit WarpPlate(const PlateParams& params) : size_(params.size), name_(params.corners) {}
  int width() const override { return side(size_, 0, 96); }
  int height() const override { return side(size_, 1, 32); }
  std::optional<Projection> projection(const Crop&, const Region& object, PictureExtent picture, int width,
                                       int height) const override {
    std::array<Pixel, 4> points;
    if (!read_points(object, name_, picture, points)) return std::nullopt;
    return warp_plate(points, width, height);
  }

 private:
  std::vector<int64_t> size_;
  Label name_;
};

// ---- of the user

struct UserRegionParams {
  std::string key;
};
class UserRegion final : public RegionFunction {
 public:
  explicit UserRegion(const UserRegionParams& params) : hooks_(hooks_offered(params.key)) {}
  Result<std::optional<Box>> region(const Frame& frame, size_t index, const Box& box) override {
    if (!hooks_) return std::nullopt;
    return hooks_->region(frame, index, box);
  }

 private:
  const std::shared_ptr<UserHooks> hooks_;
};

struct UserPrepareParams {
  std::string key;
  std::vector<int64_t> size;
};
class UserPrepare final : public PrepareFunction {
 public:
  explicit UserPrepare(const UserPrepareParams& params)
      : hooks_(hooks_offered(params.key)), size_(params.size) {}
  int width() const override { return side(size_, 0, 0); }
  int height() const override { return side(size_, 1, 0); }
  // Where it stands first: the crop, stretched.
  std::optional<Projection> projection(const Crop& crop, const Region&, PictureExtent, int width,
                                       int height) const override {
    Projection made;
    made.m[0] = double(crop.w) / width, made.m[2] = crop.x;
    made.m[4] = double(crop.h) / height, made.m[5] = crop.y;
    return made;
  }
  Result<bool> change(Frame& picture, const Region* object) override {
    if (!hooks_) return false;
    return hooks_->prepare(picture, object);
  }

 private:
  const std::shared_ptr<UserHooks> hooks_;
  std::vector<int64_t> size_;
};

// ---- decode

// What chooses among the objects.
class Choice : public DecodeFunction {
 public:
  void run(Frame& frame, Label model) final {
    choose(frame, model, before_);
    after_ = before_;
    decide(frame, after_);
    if (after_.size() != before_.size()) keep(frame, before_, after_);
  }

 protected:
  virtual void decide(Frame& frame, Chosen& chosen) = 0;

 private:
  Chosen before_, after_;
};

struct NmsParams {
  double iou_threshold = 0.5;
  bool per_class = true;
  NmsOptions options() const { return {float(iou_threshold), per_class}; }
};
class Nms final : public Choice {
 public:
  explicit Nms(const NmsParams& params) : options_(params.options()) {}

 private:
  void decide(Frame& frame, Chosen& chosen) override { nms(frame.regions, chosen, options_); }
  NmsOptions options_;
};
class NmsRotated final : public Choice {
 public:
  explicit NmsRotated(const NmsParams& params) : options_(params.options()) {}

 private:
  void decide(Frame& frame, Chosen& chosen) override {
    nms_rotated(frame.regions, chosen, options_, extent_of(frame));
  }
  NmsOptions options_;
};

struct SoftNmsParams {
  SoftNmsOptions::Method method = SoftNmsOptions::Method::gaussian;
  double sigma = 0.5, threshold = 0.001, iou_threshold = 0.5;
  bool per_class = true;
};
class SoftNms final : public Choice {
 public:
  explicit SoftNms(const SoftNmsParams& params)
      : options_{params.method, float(params.sigma), float(params.iou_threshold), float(params.threshold),
                 params.per_class} {}

 private:
  void decide(Frame& frame, Chosen& chosen) override { soft_nms(frame.regions, chosen, options_); }
  SoftNmsOptions options_;
};

struct TopKParams {
  unsigned k = 100;
  bool per_class = false;
};
class TopK final : public Choice {
 public:
  explicit TopK(const TopKParams& params) : params_(params) {}

 private:
  void decide(Frame& frame, Chosen& chosen) override {
    top_k(frame.regions, chosen, params_.k, params_.per_class);
  }
  TopKParams params_;
};

struct SizeParams {
  double min_side = 0, max_side = 0, min_area = 0, max_area = 0, min_aspect = 0, max_aspect = 0;
};
class FilterSize final : public Choice {
 public:
  explicit FilterSize(const SizeParams& p)
      : limits_{float(p.min_side), float(p.max_side),   float(p.min_area),
                float(p.max_area), float(p.min_aspect), float(p.max_aspect)} {}

 private:
  void decide(Frame& frame, Chosen& chosen) override {
    filter_size(frame.regions, chosen, limits_, extent_of(frame));
  }
  SizeLimits limits_;
};

class MergeTiles final : public Choice {
 public:
  explicit MergeTiles(const NmsParams& params) : options_{float(params.iou_threshold), params.per_class} {}

 private:
  void decide(Frame& frame, Chosen& chosen) override { merger_.run(frame.regions, chosen, options_); }
  TileMerger merger_;
  TileMerger::Options options_;
};

// Changes the vectors among the attributes, of objects and of the frame.
class VectorFunction : public DecodeFunction {
 public:
  explicit VectorFunction(std::string_view attribute) : name_(attribute) {}
  void run(Frame& frame, Label model) final {
    frame.attributes = changed(frame.attributes, model);
    for (Region& region : frame.regions) region.attributes = changed(region.attributes, model);
  }

 protected:
  virtual bool change(std::vector<float>& values) = 0;  // false: they stay as they were

 private:
  AttributesRef changed(const AttributesRef& list, Label model) {
    if (!list) return list;
    std::optional<std::vector<Attribute>> made;
    for (size_t i = 0; i < list->items().size(); ++i) {
      const Attribute& attribute = list->items()[i];
      // What is repeated has been changed when it was new.
      if (attribute.kind != AttributeKind::vector || attribute.values.empty() || attribute.age > 0) continue;
      if (!(model.empty() || attribute.model == model) || !(name_.empty() || attribute.name == name_))
        continue;
      std::vector<float> values = attribute.values;
      if (!change(values)) continue;
      if (!made) made = list->items();
      (*made)[i].values = std::move(values);
    }
    return made ? AttributesRef(make_ref<const AttributeList>(std::move(*made))) : list;
  }

  Label name_;
};

struct SoftmaxParams {
  int axis = -1;
  double temperature = 1;
  std::string attribute;
};
class Softmax final : public VectorFunction {
 public:
  explicit Softmax(const SoftmaxParams& params)
      : VectorFunction(params.attribute), temperature_(float(params.temperature)) {}

 private:
  bool change(std::vector<float>& values) override {
    softmax(values, temperature_);  // a vector has one axis
    return true;
  }
  float temperature_;
};

struct NormalizeParams {
  std::string attribute;
};
class Normalize final : public VectorFunction {
 public:
  explicit Normalize(const NormalizeParams& params) : VectorFunction(params.attribute) {}
  uint64_t counted() const override { return zeros_; }

 private:
  bool change(std::vector<float>& values) override {
    if (l2_normalize(values)) return true;
    ++zeros_;
    return false;
  }
  uint64_t zeros_ = 0;
};

struct SmoothParams {
  std::string attribute;
  AttributeSmoother::Method method = AttributeSmoother::Method::mean;
  unsigned n = 5;
  double alpha = 0.5;
};
class Smooth final : public DecodeFunction {
 public:
  explicit Smooth(const SmoothParams& params)
      : smoother_({Label(params.attribute), params.method, params.n, float(params.alpha)}) {}
  void run(Frame& frame, Label model) override { smoother_.run(frame, model); }
  void reset() override { smoother_.reset(); }

 private:
  AttributeSmoother smoother_;
};

std::vector<ParamDesc> nms_params() {
  return {param("iou-threshold", &NmsParams::iou_threshold, "overlap above which two are one").range(0, 1),
          param("per-class", &NmsParams::per_class, "only objects of one label drop each other")};
}

std::vector<FunctionDesc> make_all() {
  using enum FunctionHook;
  std::vector<FunctionDesc> all;
  all.push_back(describe<Letterbox, LetterboxParams>(
      "letterbox", prepare, "fit the picture with its aspect kept",
      {param("position", &LetterboxParams::position, "where it stands").choices({"center", "topleft"}),
       param("pad-value", &LetterboxParams::pad_value, "of the border").range(0, 255),
       param("size", &LetterboxParams::size, "width and height of the result; empty: those of the model")
           .range(1, 4096)
           .in("px")}));
  all.push_back(describe<CropExpand, ExpandParams>(
      "crop_expand", region, "grow the box about its centre, clipped at the picture",
      {param("factor", &ExpandParams::factor, "by which width and height grow").range(0.1, 10),
       param("aspect", &ExpandParams::aspect, "width / height that it grows to; 0: as it is")
           .range(0, 100)}));
  all.push_back(describe<AlignFace, FaceParams>(
      "align_face_5pt", prepare,
      "turn and scale a face so that five landmarks lie where the model wants them",
      {param("size", &FaceParams::size, "width and height of the result").range(1, 4096).in("px"),
       param("landmarks", &FaceParams::landmarks, "attribute with the points; empty: the first with five")}));
  all.push_back(describe<WarpPlate, PlateParams>(
      "warp_plate", prepare, "turn four corners into an upright rectangle",
      {param("size", &PlateParams::size, "width and height of the result").range(1, 4096).in("px"),
       param("corners", &PlateParams::corners, "attribute with the points; empty: the first with four")}));
  all.push_back(describe<Nms, NmsParams>("nms", decode, "drop what overlaps something better", nms_params()));
  all.push_back(describe<NmsRotated, NmsParams>("nms_rotated", decode, "the same for boxes with an angle",
                                                nms_params()));
  all.push_back(describe<SoftNms, SoftNmsParams>(
      "soft_nms", decode, "lower scores by overlap",
      {param("method", &SoftNmsParams::method, "how much").choices({"linear", "gaussian"}),
       param("sigma", &SoftNmsParams::sigma, "width of the Gaussian").range(0.01, 10),
       param("threshold", &SoftNmsParams::threshold, "least score that is kept").range(0, 1),
       param("iou-threshold", &SoftNmsParams::iou_threshold, "overlap above which linear lowers").range(0, 1),
       param("per-class", &SoftNmsParams::per_class, "only objects of one label lower each other")}));
  all.push_back(
      describe<TopK, TopKParams>("top_k", decode, "keep those of the highest confidence",
                                 {param("k", &TopKParams::k, "how many").range(1, 100'000),
                                  param("per-class", &TopKParams::per_class, "of each label, not of all")}));
  all.push_back(describe<FilterSize, SizeParams>(
      "filter_size", decode, "drop objects by size and shape",
      {param("min-side", &SizeParams::min_side,
             "least width and height; up to 1: part of the picture, above: pixels")
           .range(0, 16384),
       param("max-side", &SizeParams::max_side, "greatest width and height; 0: any").range(0, 16384),
       param("min-area", &SizeParams::min_area, "least area, in the same way").range(0, 1e9),
       param("max-area", &SizeParams::max_area, "greatest area; 0: any").range(0, 1e9),
       param("min-aspect", &SizeParams::min_aspect, "least width / height").range(0, 1000),
       param("max-aspect", &SizeParams::max_aspect, "greatest width / height; 0: any").range(0, 1000)}));
  all.push_back(describe<MergeTiles, NmsParams>(
      "merge_tiles", decode, "join objects that tiles of a picture cut apart",
      {param("iou-threshold", &NmsParams::iou_threshold,
             "shared part of the smaller one above which two are one")
           .range(0, 1),
       param("per-class", &NmsParams::per_class, "only objects of one label are one")}));
  all.push_back(describe<Softmax, SoftmaxParams>(
      "softmax", decode, "scores of a vector to probabilities",
      {param("axis", &SoftmaxParams::axis, "along which; a vector has one").range(-1, 0),
       param("temperature", &SoftmaxParams::temperature, "above 1: flatter").range(0.001, 1000),
       param("attribute", &SoftmaxParams::attribute, "which; empty: every vector")}));
  all.push_back(describe<Normalize, NormalizeParams>(
      "l2_normalize", decode, "a vector to length 1",
      {param("attribute", &NormalizeParams::attribute, "which; empty: every vector")}));
  all.push_back(describe<Smooth, SmoothParams>(
      "smooth_attribute", decode, "smooth an attribute along its object's track",
      {param("attribute", &SmoothParams::attribute, "which; empty: all"),
       param("method", &SmoothParams::method, "how").choices({"mean", "majority", "exponential"}),
       param("n", &SmoothParams::n, "results that count").range(1, 1000),
       param("alpha", &SmoothParams::alpha, "weight of the newest (method=exponential)").range(0, 1)}));
  return all;
}

std::vector<FunctionDesc> make_users() {
  std::vector<FunctionDesc> all;
  all.push_back(describe<UserRegion, UserRegionParams>(
      std::string(user_region), FunctionHook::region, "a function of the user's own",
      {param("key", &UserRegionParams::key, "under which it is offered")}));
  all.push_back(describe<UserPrepare, UserPrepareParams>(
      std::string(user_prepare), FunctionHook::prepare, "a function of the user's own",
      {param("key", &UserPrepareParams::key, "under which it is offered"),
       param("size", &UserPrepareParams::size,
             "width and height of its picture; empty: those of the one before")
           .range(1, 4096)
           .in("px")}));
  return all;
}

template <class... Args>
std::unexpected<Error> wrong(std::string_view path, std::format_string<Args...> format, Args&&... args) {
  return fail(ErrorCode::invalid_argument, "{}: {}", path, std::format(format, std::forward<Args>(args)...));
}

Result<ParamValue> value_from(const Json& json, const std::string& path) {
  if (json.is_boolean()) return ParamValue(json.get<bool>());
  if (json.is_number_integer()) return ParamValue(json.get<int64_t>());
  if (json.is_number()) return ParamValue(json.get<double>());
  if (json.is_string()) return ParamValue(json.get<std::string>());
  if (json.is_array() && std::ranges::all_of(json, [](const Json& item) { return item.is_number_integer(); }))
    return ParamValue(json.get<std::vector<int64_t>>());
  if (json.is_array() && std::ranges::all_of(json, [](const Json& item) { return item.is_number(); }))
    return ParamValue(json.get<std::vector<double>>());
  return wrong(path, "expects a number, a text, true or false, or a list of numbers");
}

std::vector<std::string_view> names_of(std::optional<FunctionHook> hook) {
  std::vector<std::string_view> names;
  for (const FunctionDesc& desc : all_functions())
    if (!hook || desc.hook == *hook) names.push_back(desc.name);
  return names;
}

// One item of a list: its name and what stands beside it.
struct Item {
  std::string name, path;
  Json parameters;
};

Result<std::vector<Item>> items_of(std::string_view text, std::string_view name) {
  std::vector<Item> items;
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return items;
  auto json = parse_json(text, name);
  if (!json) return forward_error(json);
  if (!json->is_array()) *json = Json::array({*json});
  if (json->size() > max_functions) return wrong(name, "more than {} functions", max_functions);
  for (size_t i = 0; i < json->size(); ++i) {
    const Json& item = (*json)[i];
    const std::string path = std::format("{}[{}]", name, i);
    if (item.is_string()) {
      items.push_back({item.get<std::string>(), path, Json::object()});
    } else if (item.is_object() && item.size() == 1) {
      const auto entry = item.items().begin();
      if (!entry.value().is_object() && !entry.value().is_null())
        return wrong(path + "." + entry.key(), "expects a map of parameters");
      items.push_back({entry.key(), path + "." + entry.key(),
                       entry.value().is_null() ? Json::object() : Json(entry.value())});
    } else {
      return wrong(path, "expects the name of a function, or a map of one name with its parameters");
    }
  }
  return items;
}

Result<NamedFunction> make_one(const Item& item, std::optional<FunctionHook> hook) {
  const FunctionDesc* desc = find_function(item.name);
  const auto known = names_of(hook);
  if (!desc)
    return wrong(item.path, "there is no function '{}'{}; known: {}", item.name,
                 did_you_mean(item.name, known), joined(known));
  if (hook && desc->hook != *hook)
    return wrong(item.path, "'{}' is a function of the hook {}, here stand those of {}: {}", item.name,
                 to_string(desc->hook), to_string(*hook), joined(known));
  ParamSet params(desc->params);
  for (const auto& entry : item.parameters.items()) {
    const std::string path = item.path + "." + entry.key();
    if (!desc->params.find(entry.key())) {
      std::vector<std::string> names;
      for (const ParamDesc& one : desc->params.params) {
        names.push_back(one.name);
        std::ranges::replace(names.back(), '-', '_');
      }
      return wrong(path, "there is no such parameter{}; known: {}", did_you_mean(entry.key(), names),
                   joined(names));
    }
    auto value = value_from(entry.value(), path);
    if (!value) return forward_error(value);
    if (auto status = params.set(entry.key(), *value); !status)
      return wrong(path, "{}", status.error().message);
    if (entry.key() == "size" && entry.value().size() != 2) return wrong(path, "expects [width, height]");
  }
  return NamedFunction{desc, desc->make(params)};
}

}  // namespace

std::string_view to_string(FunctionHook hook) {
  constexpr std::string_view names[] = {"prepare", "region", "decode"};
  return names[size_t(hook)];
}

std::span<const FunctionDesc> all_functions() {
  static const std::vector<FunctionDesc> all = make_all();
  return all;
}

const FunctionDesc* find_function(std::string_view name) {
  static const std::vector<FunctionDesc> users = make_users();
  for (const std::span<const FunctionDesc> list : {all_functions(), std::span<const FunctionDesc>(users)})
    if (const auto found = std::ranges::find(list, name, &FunctionDesc::name); found != list.end())
      return &*found;
  return nullptr;
}

Result<std::vector<NamedFunction>> make_functions(std::string_view json, std::string_view name,
                                                  std::optional<FunctionHook> hook) {
  auto items = items_of(json, name);
  if (!items) return forward_error(items);
  std::vector<NamedFunction> functions;
  for (const Item& item : *items) {
    auto made = make_one(item, hook);
    if (!made) return forward_error(made);
    functions.push_back(std::move(*made));
  }
  return functions;
}

Result<std::string> functions_of(std::string_view json, std::string_view name, FunctionHook hook,
                                 bool without_letterbox) {
  auto items = items_of(json, name);
  if (!items) return forward_error(items);
  Json list = Json::array();
  for (const Item& item : *items)
    if (const FunctionDesc* desc = find_function(item.name);
        desc && desc->hook == hook && !(without_letterbox && item.name == "letterbox"))
      list.push_back(Json::object({{item.name, item.parameters}}));
  return list.empty() ? std::string() : list.dump();
}

Result<std::string> with_size(std::string_view json, std::string_view name, int width, int height) {
  auto items = items_of(json, name);
  if (!items) return forward_error(items);
  Json list = Json::array();
  for (Item& item : *items) {
    if (list.empty() && !item.parameters.contains("size") && find_function(item.name) &&
        find_function(item.name)->hook == FunctionHook::prepare && item.name != "align_face_5pt" &&
        item.name != "warp_plate")
      item.parameters["size"] = {width, height};
    list.push_back(Json::object({{item.name, item.parameters}}));
  }
  return list.dump();
}

}  // namespace sightglass
