#include "sightglass/bins/inference_params.h"

#include <algorithm>

namespace sightglass {
namespace {

// A parameter that a base class declares, with the default of P.
template <class P, class Base, class T>
ParamDesc own(std::string_view name, T Base::* member, std::string_view doc) {
  return param(name, static_cast<T P::*>(member), doc);
}

std::vector<std::string> backend_names() {
  return {"auto",
          "gst-opencv",
          "vaapi",
          "vaapi-tensors",
          "vaapi-surface-sharing",
          "vaapi-opencl",
          "fused",
          "cuda",
          "ie",
          "opencv",
          "va",
          "va-surface-sharing"};
}
// The later names are other words for earlier ones.
std::vector<int> backend_values() { return {0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 4}; }

template <class P>
std::vector<ParamDesc> common() {
  std::vector<ParamDesc> list;
  list.push_back(own<P>("model", &P::model, "model file, or a name that `sightglass models list` shows"));
  list.push_back(own<P>("device", &P::device, "where the model runs: CPU, GPU, CUDA:0, AUTO"));
  list.push_back(own<P>("ie-config", &P::ie_config, "settings of the engine, KEY=VALUE,…"));
  list.push_back(
      own<P>("model-instance-id", &P::model_instance_id, "elements with the same id share one loaded model"));
  list.push_back(own<P>("nireq", &P::nireq, "requests in flight; 0: chosen for the machine").range(0, 1024));
  list.push_back(
      own<P>("batch-size", &P::batch_size, "frames or regions per request; 0: 1, or what the model fixes")
          .range(0, 1024));
  list.push_back(own<P>("batch-timeout", &P::batch_timeout, "longest wait for a batch to fill; -1: chosen")
                     .range(-1, 1e6)
                     .in("ms")
                     .live());
  list.push_back(
      own<P>("model-proc", &P::model_proc, "description of the model: model-proc JSON or neutral YAML"));
  list.push_back(
      own<P>("inference-interval", &P::inference_interval, "infer on every Nth frame, the first included")
          .range(1, 4294967295.));
  list.push_back(own<P>("inference-region", &P::region, "the whole frame, or each object in it")
                     .choices({"full-frame", "roi-list"}));
  list.push_back(
      own<P>("object-class", &P::object_class, "only objects with one of these labels; empty: all").live());
  list.push_back(own<P>("labels", &P::labels,
                        "class names: a list, a file, or layer=file,…; before those of the description"));
  list.push_back(own<P>("labels-file", &P::labels_file, "file with a class name per line"));
  list.push_back(
      own<P>("threshold", &P::threshold, "least score that is kept; 0: as described").range(0, 1).live());
  list.push_back(
      own<P>("scale-method", &P::scale_method, "how pictures are scaled")
          .choices({"default", "nearest", "bilinear", "bicubic", "lanczos", "spline", "fast", "dls-vaapi"}));
  list.push_back(
      own<P>("scheduling-policy", &P::scheduling_policy, "most frames in all, or the soonest answer to each")
          .choices({"throughput", "latency"}));
  list.push_back(own<P>("write-roi-meta", &P::write_roi_meta,
                        "write GstVideoRegionOfInterestMeta as well, for older elements"));
  return list;
}

template <class P>
std::vector<ParamDesc> of_bins() {
  auto list = common<P>();
  list.push_back(own<P>("config", &P::ie_config, "the same as ie-config"));
  list.push_back(own<P>("pre-process-backend", &P::backend, "how pictures become tensors")
                     .choices(backend_names(), backend_values()));
  list.push_back(
      own<P>("roi-inference-interval", &P::roi_inference_interval, "infer on every Nth frame of each track")
          .range(1, 4294967295.));
  list.push_back(
      own<P>("attach-tensor-data", &P::attach_tensor_data, "keep the raw tensors with the results"));
  list.push_back(
      own<P>("repeat-metadata", &P::repeat_metadata, "repeat the last result where inference is skipped"));
  list.push_back(
      own<P>("roi-expand", &P::roi_expand, "grow regions about their centre by this factor; 0: as described")
          .range(0, 10));
  list.push_back(own<P>("strict-zero-copy", &P::strict_zero_copy,
                        "an input of the engine that would have to be copied is an error"));
  return list;
}

template <class P>
std::vector<ParamDesc> of_gva() {
  auto list = common<P>();
  list.push_back(
      own<P>("pre-process-backend", &P::backend_name, "how pictures become tensors; empty: chosen"));
  list.push_back(own<P>("pre-process-config", &P::pre_process_config,
                        "older setting, mapped where it has a counterpart"));
  list.push_back(own<P>("no-block", &P::no_block, "drop frames rather than wait for the model"));
  list.push_back(own<P>("reshape", &P::reshape, "older setting; ignored for models of fixed size"));
  list.push_back(
      own<P>("reshape-width", &P::reshape_width, "older setting; ignored for models of fixed size"));
  list.push_back(
      own<P>("reshape-height", &P::reshape_height, "older setting; ignored for models of fixed size"));
  list.push_back(own<P>("cpu-throughput-streams", &P::cpu_throughput_streams, "of OpenVINO only; ignored"));
  list.push_back(own<P>("gpu-throughput-streams", &P::gpu_throughput_streams, "of OpenVINO only; ignored"));
  list.push_back(own<P>("share-va-display-ctx", &P::share_va_display_ctx, "ignored"));
  list.push_back(
      own<P>("custom-preproc-lib", &P::custom_preproc_lib, "refused: built for another binary interface"));
  list.push_back(
      own<P>("custom-postproc-lib", &P::custom_postproc_lib, "refused: built for another binary interface"));
  list.push_back(own<P>("ov-extension-lib", &P::ov_extension_lib, "refused: OpenVINO is not in use"));
  return list;
}

template <class P>
ParamTable table(std::vector<ParamDesc> list, std::vector<ParamDesc> more = {}) {
  std::ranges::move(more, std::back_inserter(list));
  return ParamTable::of<P>(std::move(list));
}

template <class P>
ParamDesc iou() {
  return own<P>("iou-threshold", &P::iou_threshold,
                "boxes of one class that overlap more are one object; 0: as described")
      .range(0, 1)
      .live();
}

template <class P>
ParamDesc reclassify() {
  return own<P>("reclassify-interval", &P::reclassify_interval,
                "classify each track every Nth frame and repeat the result between; 0: once")
      .range(-1, 4294967295.);
}

}  // namespace

ParamTable video_inference_params() { return table<InferenceParams>(of_bins<InferenceParams>()); }
ParamTable object_detect_params() {
  return table<DetectParams>(of_bins<DetectParams>(), {iou<DetectParams>()});
}
ParamTable object_classify_params() {
  return table<ClassifyParams>(of_bins<ClassifyParams>(), {reclassify<ClassifyParams>()});
}
ParamTable gvainference_params() { return table<InferenceParams>(of_gva<InferenceParams>()); }
ParamTable gvadetect_params() { return table<DetectParams>(of_gva<DetectParams>(), {iou<DetectParams>()}); }
ParamTable gvaclassify_params() {
  return table<ClassifyParams>(of_gva<ClassifyParams>(),
                               {reclassify<ClassifyParams>(),
                                own<ClassifyParams>("skip-raw-tensors", &ClassifyParams::skip_raw_tensors,
                                                    "do not keep the raw tensors with the results")});
}

Result<Backend> chosen_backend(const InferenceParams& params) {
  if (params.backend_name.empty()) return params.backend;
  const auto names = backend_names();
  const auto found = std::ranges::find(names, params.backend_name);
  if (found == names.end()) {
    return fail(
        ErrorCode::invalid_argument,
        "pre-process-backend={} is not known; known: auto, fused, gst-opencv, opencv, vaapi, va, cuda, …",
        params.backend_name);
  }
  return Backend(backend_values()[size_t(found - names.begin())]);
}

}  // namespace sightglass
