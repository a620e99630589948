#include "sightglass/bins/preprocess_plan.h"

#include <algorithm>
#include <iterator>

#include "sightglass/core/registry.h"
#include "sightglass/elements/availability.h"
#include "sightglass/elements/functions/function.h"

namespace sightglass {
namespace {

// "Once per track" is the smallest ratio that there is.
constexpr const char* once = "1/2147483647";

std::string ratio(unsigned interval) { return "1/" + std::to_string(interval); }

// How a scaler calls a method; empty: it does not have it.
struct ScaleNames {
  ScaleMethod method;
  const char *videoscale, *video_to_tensor, *cropscale, *vapostproc;
};
constexpr ScaleNames scale_names[] = {
    {ScaleMethod::nearest, "nearest-neighbour", "nearest", "nearest", "default"},
    {ScaleMethod::bilinear, "bilinear", "bilinear", "bilinear", "default"},
    {ScaleMethod::bicubic, "catrom", "bicubic", "bicubic", "hq"},
    {ScaleMethod::lanczos, "lanczos", "bicubic", "lanczos", "hq"},
    {ScaleMethod::spline, "spline", "bicubic", "bicubic", "hq"},
    {ScaleMethod::fast, "", "", "", "fast"},
    {ScaleMethod::dls_vaapi, "", "", "", ""},
};

class Planner {
 public:
  Planner(const InferenceWishes& wishes, const ModelInfo& info) : wishes_(wishes), info_(info) {
    if (!wishes.letterbox.empty())
      for (InputInfo& input : info_.inputs)
        if (input.format.value_or("image") == "image") {
          input.resize.value = wishes.letterbox;
          input.crop.value.reset();
          input.pad_value.value = std::vector{double(wishes.pad_value)};
        }
    const InputInfo* picture = info_.picture();
    resize_ = picture ? picture->resize.value_or("stretch") : "stretch";
    if (picture && picture->crop) resize_ = "crop";
    color_ = picture ? picture->color.value_or("bgr") : "bgr";
  }

  Result<MemoryStage> plan(MemoryKind memory) {
    Backend backend = params().backend;
    if (backend == Backend::automatic) backend = for_memory(memory);
    if (auto status = check_scale_method(backend); !status) return forward_error(status);
    plan_.needs.asked = std::format("pre-process-backend={}", to_string(backend));
    if (params().backend == Backend::automatic && memory != MemoryKind::system)
      plan_.needs.asked += std::format(" (auto, for frames in {} memory)", to_string(memory));
    plan_.needs.usable = {"fused", "gst-opencv"};
    Status status;
    switch (backend) {
      case Backend::automatic:
      case Backend::fused:
        status = fused();
        break;
      case Backend::gst_opencv:
        status = gst_opencv();
        break;
      case Backend::vaapi:
        status = vaapi();
        break;
      case Backend::cuda:
        status = cuda();
        break;
      case Backend::vaapi_tensors:
      case Backend::vaapi_surface_sharing:
        status = not_built({Facility::va_display});
        break;
      case Backend::vaapi_opencl:
        status = not_built({Facility::va_display, Facility::opencl});
        break;
    }
    if (!status) return forward_error(status);
    return std::move(plan_);
  }

 private:
  const InferenceParams& params() const { return wishes_.params; }
  bool of_regions() const { return params().region == InferenceRegion::roi_list; }
  bool is_letterbox() const { return resize_.starts_with("letterbox"); }

  static Backend for_memory(MemoryKind memory) {
    if (memory == MemoryKind::cuda) return Backend::cuda;
    return memory == MemoryKind::va || memory == MemoryKind::dmabuf ? Backend::vaapi : Backend::fused;
  }

  Status not_built(std::initializer_list<Facility> facilities) const {
    auto pieces = missing(facilities);
    pieces.emplace_back("its elements are not part of this version");
    return std::unexpected(availability_error(plan_.needs.asked, pieces, plan_.needs.usable));
  }

  Status check_scale_method(Backend backend) const {
    const bool is_fast = params().scale_method == ScaleMethod::fast;
    if (params().scale_method != ScaleMethod::dls_vaapi && !(is_fast && backend != Backend::vaapi)) return {};
    auto pieces = missing({Facility::va_display});
    pieces.emplace_back(is_fast ? "only pre-process-backend=vaapi has it"
                                : "its elements are not part of this version");
    const std::string usable[] = {"nearest", "bilinear", "bicubic", "lanczos", "spline"};
    return std::unexpected(
        availability_error(is_fast ? "scale-method=fast" : "scale-method=dls-vaapi", pieces, usable));
  }

  // The name of the wished method for one scaler; empty: its default.
  std::string scaling(const char* ScaleNames::* scaler) const {
    const auto found = std::ranges::find(scale_names, params().scale_method, &ScaleNames::method);
    return found == std::end(scale_names) ? "" : (*found).*scaler;
  }

  void add(std::string element, Settings settings = {}) {
    plan_.stage.push_back({std::move(element), std::move(settings)});
  }

  // Which frames and regions there are to be looked at at all.
  void select(bool downloads_first = false) {
    if (find_element("capsrelax")) add("capsrelax");
    Settings frames;
    if (params().inference_interval > 1) frames.emplace_back("ratio", ratio(params().inference_interval));
    if (!wishes_.when.empty()) frames.emplace_back("when", wishes_.when);
    if (!frames.empty()) add("rate_adjust", std::move(frames));
    if (downloads_first) download({});
    std::ranges::copy(downloads_, std::back_inserter(plan_.stage));
    if (wishes_.has_user_prepare) {
      // What a user's function is given is one array of pixels, whatever the frames are.
      add("videoconvert");
      plan_.stage.push_back(caps_filter("video/x-raw,format=BGR"));
    }
    if (of_regions()) split();
    if (!wishes_.prepare_functions.empty()) add("prepare_objects", {{"functions", prepare_functions()}});
  }

  // A user's function in front sees the crop as the model would.
  std::string prepare_functions() const {
    const InputInfo* picture = info_.picture();
    if (!wishes_.has_user_prepare || !picture || !picture->size) return wishes_.prepare_functions;
    const auto size = *picture->size;
    std::string list = wishes_.prepare_functions;
    if (is_letterbox() && wishes_.letterbox.empty() && begins_with_user() && !list.contains(R"("size")"))
      list.insert(1, std::format(R"({{"letterbox":{{"position":"{}"}}}},)",
                                 resize_ == "letterbox-topleft" ? "topleft" : "center"));
    return with_size(list, "preprocess-functions", size.width, size.height).value_or(list);
  }

  bool begins_with_user() const { return wishes_.prepare_functions.starts_with(R"([{"user_prepare")"); }

  // video_to_tensor would grow the box, but sees only the picture that has been made of it.
  std::string region_functions() const {
    const InputInfo* picture = info_.picture();
    const double factor = params().roi_expand > 0 ? double(params().roi_expand)
                          : picture               ? picture->roi_expand.value_or(1)
                                                  : 1;
    if (!begins_with_user() || factor <= 1) return wishes_.region_functions;
    const std::string grows = std::format(R"({{"crop_expand":{{"factor":{}}}}})", factor);
    return wishes_.region_functions.empty() ? "[" + grows + "]"
                                            : "[" + grows + "," + wishes_.region_functions.substr(1);
  }

  void split() {
    Settings objects{{"object-class", params().object_class}};
    if (!wishes_.select.empty()) objects.emplace_back("select", wishes_.select);
    if (auto functions = region_functions(); !functions.empty())
      objects.emplace_back("functions", std::move(functions));
    add("roi_split", std::move(objects));
    if (wishes_.roi_interval != 1) {
      Settings turns{{"ratio", wishes_.roi_interval ? ratio(wishes_.roi_interval) : once}};
      if (params().reuse_growth > 0)
        turns.emplace_back("reuse-growth", std::format("{}", params().reuse_growth));
      add("rate_adjust", std::move(turns));
    }
  }

  void add_expand(Settings& settings) const {
    if (params().roi_expand <= 0) return;
    std::erase_if(settings, [](const auto& setting) { return setting.first == "roi-expand"; });
    settings.emplace_back("roi-expand", std::format("{}", params().roi_expand));
  }

  void to_tensor(const std::string& interpolation) {
    Settings settings = preprocess_params(info_);
    if (!interpolation.empty()) {
      std::erase_if(settings, [](const auto& setting) { return setting.first == "interpolation"; });
      settings.emplace_back("interpolation", interpolation);
    }
    add_expand(settings);
    add("video_to_tensor", std::move(settings));
  }

  Status fused() {
    select();
    to_tensor(scaling(&ScaleNames::video_to_tensor));
    return {};
  }

  // The same by single-purpose elements: scaling and colour by GStreamer, the tensor by reinterpretation.
  Status gst_opencv() {
    if (resize_ != "stretch" && !is_letterbox()) {
      return fail(ErrorCode::unsupported,
                  "pre-process-backend=gst-opencv has no way to resize={}, which the model wants; usable: "
                  "fused",
                  resize_);
    }
    select();
    if (!of_regions() && resize_ == "stretch") {
      Settings scale{{"add-borders", "false"}};
      if (auto method = scaling(&ScaleNames::videoscale); !method.empty())
        scale.emplace_back("method", std::move(method));
      add("videoscale", std::move(scale));
    } else {
      Settings scale{{"add-borders", is_letterbox() ? "true" : "false"}};
      if (auto method = scaling(&ScaleNames::cropscale); !method.empty())
        scale.emplace_back("method", std::move(method));
      for (const auto& [name, value] : preprocess_params(info_))
        if (name == "pad-value" || name == "roi-expand") scale.emplace_back(name, value);
      add_expand(scale);
      add("videoconvert");
      add("opencv_cropscale", std::move(scale));
    }
    add("videoconvert");
    plan_.stage.push_back(caps_filter(color_ == "gray"  ? "video/x-raw,format=GRAY8"
                                      : color_ == "rgb" ? "video/x-raw,format={RGB,RGBP}"
                                                        : "video/x-raw,format={BGR,BGRP}"));
    add("tensor_convert");
    if (auto settings = normalization(); !settings.empty())
      add("opencv_tensor_normalize", std::move(settings));
    return {};
  }

  // It knows no `scale`, the divisor before mean: (v / s − m) / d is (v − s·m) / (s·d).
  Settings normalization() const {
    const InputInfo* picture = info_.picture();
    if (!picture) return {};
    Settings settings;
    const double scale = picture->scale.value_or(1);
    const auto list = [&](std::vector<double> values) {
      std::string text;
      for (double value : values) text += std::format("{}{}", text.empty() ? "" : ",", value * scale);
      return "<" + text + ">";
    };
    for (const auto& [name, value] : preprocess_params(info_))
      if (name == "range" || (scale == 1 && (name == "mean" || name == "std")))
        settings.emplace_back(name, value);
    if (scale == 1) return settings;
    if (picture->mean) settings.emplace_back("mean", list(*picture->mean));
    settings.emplace_back("std", list(picture->std.value_or({1})));
    return settings;
  }

  // On the device where the model and the way of scaling are there as well, else on the CPU.
  Status cuda() {
    plan_.needs.missing = missing({Facility::cuda});
    const std::string method = scaling(&ScaleNames::video_to_tensor);
    const bool stays = wishes_.is_on_cuda && wishes_.prepare_functions.empty() && is_sampled_on_cuda(method);
    if (stays) {
      if (params().backend == Backend::cuda)
        plan_.stage.push_back(caps_filter("video/x-raw(memory:CUDAMemory)"));
      select();
      to_tensor(method);
      return {};
    }
    if (params().backend == Backend::cuda)
      return std::unexpected(availability_error(
          plan_.needs.asked,
          {!wishes_.is_on_cuda ? std::string("the model does not run on an NVIDIA device (device=CUDA:0)")
           : !wishes_.prepare_functions.empty() ? "preprocess-functions run on the CPU"
                                                : "pictures are sampled bilinear or nearest there"},
          {"fused", "gst-opencv"}));
    downloads_ = {{"cudadownload", {}}};
    plan_.downloads = true;
    select();
    to_tensor(method);
    return {};
  }

  bool is_sampled_on_cuda(std::string method) const {
    if (method.empty())
      for (const auto& [name, value] : preprocess_params(info_))
        if (name == "interpolation") method = value;
    return method.empty() || method == "auto" || method == "bilinear" || method == "nearest";
  }

  // From VA memory to system memory, `size` in the middle.
  void download(const std::string& size) {
    plan_.stage.push_back(caps_filter("video/x-raw(memory:VAMemory)"));
    Settings settings;
    if (auto method = scaling(&ScaleNames::vapostproc); !method.empty() && method != "default")
      settings.emplace_back("scale-method", std::move(method));
    add("vapostproc", std::move(settings));
    plan_.stage.push_back(caps_filter("video/x-raw" + size));
  }

  Status vaapi() {
    plan_.needs.missing = missing({Facility::va_display});
    const InputInfo* picture = info_.picture();
    const bool scales_on_device = !of_regions() && wishes_.prepare_functions.empty() &&
                                  resize_ == "stretch" && picture && picture->size;
    select(!scales_on_device);
    if (scales_on_device)
      download(std::format(",width={},height={}", picture->size->width, picture->size->height));
    const bool is_fast = params().scale_method == ScaleMethod::fast;
    to_tensor(scales_on_device || is_fast ? "" : scaling(&ScaleNames::video_to_tensor));
    return {};
  }

  const InferenceWishes& wishes_;
  ModelInfo info_;
  std::string resize_, color_;
  Stage downloads_;  // in front of what looks at pixels
  MemoryStage plan_;
};

}  // namespace

Result<MemoryStage> plan_preprocess(const InferenceWishes& wishes, const ModelInfo& info, MemoryKind memory) {
  return Planner(wishes, info).plan(memory);
}

}  // namespace sightglass
