// The properties of the inference bins: object_detect, object_classify and the gva names are video_inference
// with other defaults, so they share one set of values, each showing the part that it has.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sightglass/core/param.h"

namespace sightglass {

enum class Backend {
  automatic,
  gst_opencv,
  vaapi,
  vaapi_tensors,
  vaapi_surface_sharing,
  vaapi_opencl,
  fused,
  cuda
};
enum class InferenceRegion { full_frame, roi_list };
enum class ScaleMethod { standard, nearest, bilinear, bicubic, lanczos, spline, fast, dls_vaapi };
enum class Policy { throughput, latency };

struct InferenceParams {
  std::string model, device = "CPU", ie_config, model_instance_id, model_proc;
  unsigned nireq = 0, batch_size = 0;
  int batch_timeout = -1;
  Backend backend = Backend::automatic;
  unsigned inference_interval = 1, roi_inference_interval = 1;
  unsigned reclassify_interval = 1;  // object_classify
  InferenceRegion region = InferenceRegion::full_frame;
  std::string object_class, labels, labels_file;
  std::string select, when;  // selectors (elements/selection/selector.h)
  double reuse_growth = 0;
  std::string preprocess_functions;  // JSON (elements/functions/function.h)
  bool attach_tensor_data = true, repeat_metadata = false, write_roi_meta = false;
  bool skip_raw_tensors = false;
  float threshold = 0, iou_threshold = 0;
  ScaleMethod scale_method = ScaleMethod::standard;
  Policy scheduling_policy = Policy::throughput;
  double roi_expand = 0;
  bool strict_zero_copy = false;
  // Of the gva elements, where these are texts; empty: the default.
  std::string backend_name, scale_method_name, policy_name;
  // Accepted from older pipelines (migration.h says what becomes of them).
  bool no_block = false, share_va_display_ctx = true, reshape = false, core_pinning = false, qos = false;
  unsigned reshape_width = 0, reshape_height = 0, cpu_throughput_streams = 0, gpu_throughput_streams = 0;
  std::string pre_process_config, custom_preproc_lib, custom_postproc_lib, ov_extension_lib;
};

struct DetectParams : InferenceParams {
  DetectParams() { attach_tensor_data = false; }
};
struct ClassifyParams : InferenceParams {
  ClassifyParams() { region = InferenceRegion::roi_list; }
};
struct GvaDetectParams : DetectParams {
  GvaDetectParams() { threshold = 0.5f; }
};

ParamTable video_inference_params();
ParamTable object_detect_params();
ParamTable object_classify_params();
ParamTable gvainference_params();
ParamTable gvadetect_params();
ParamTable gvaclassify_params();

// The values of one bin, with what they mean together worked out.
struct InferenceWishes {
  InferenceParams params;  // backend, scale_method and scheduling_policy whichever way they were given
  std::optional<float> threshold, iou_threshold;  // none: as the model's description says
  std::optional<float> usual_threshold;           // where that says nothing; none: the decoder's default
  unsigned roi_interval = 1;                      // infer on every Nth frame of a track; 0: on its first only
  bool repeat = false;                            // the last result where inference is skipped
  bool attach_tensors = true;
  std::string select;  // selector of the objects; empty: all
  std::string when;    // selector of the frames; empty: all
  // `preprocess-functions`, each part as the element that runs it is told: roi_split and prepare_objects; the
  // model's own fitting where that is all that letterbox asks for.
  std::string region_functions, prepare_functions;
  bool has_user_prepare = false;  // among prepare_functions, which may lack their size
  std::string letterbox;          // a `resize` of video_to_tensor; empty: as described
  int pad_value = 0;
  bool is_on_cuda = false;  // the model reads tensors in CUDA memory
};
// `values` are those of `params`, whatever their type.
Result<InferenceWishes> wishes(const InferenceParams& values, const ParamSet& params);

// `select` and `when` as the parts of a bin are told them: what selects whole frames is a condition.
struct Selectors {
  std::string objects, frames;
  bool whole_frame = false;  // `select` asks for the whole picture
};
Result<Selectors> read_selectors(const std::string& select, const std::string& when);
// One selector for both; either may be empty.
std::string both(const std::string& one, const std::string& other);

// As properties call it: "gst-opencv".
std::string_view to_string(Backend backend);

}  // namespace sightglass
