#include "sightglass/cli/detect_command.h"

#include <gst/app/gstappsink.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "sightglass/cli/detect_pipeline.h"
#include "sightglass/cli/detect_results.h"
#include "sightglass/cli/exit.h"
#include "sightglass/cli/gst_setup.h"
#include "sightglass/cli/picture_feed.h"
#include "sightglass/cli/pipeline_runner.h"
#include "sightglass/model/engine.h"
#include "sightglass/model/spelling.h"
#include "sightglass/model/store.h"

namespace sightglass::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> inputs, classify;
  std::string model = "centernet", model_proc, output, device = "CPU";
  double threshold = -1;
  uint64_t limit = 0;
  bool is_tracked = false, is_shown = false, prints_json = false, explains = false, is_quiet = false;
};

// The file of a model; one that is known but not there yet is fetched now.
Result<fs::path> need_model(const std::string& name) {
  std::error_code ignored;
  auto manifests = known_manifests();
  if (manifests && !fs::exists(name, ignored)) {
    for (const auto& manifest : *manifests) {
      if (manifest.name != name || manifest.kind != ManifestKind::model || is_stored(manifest)) continue;
      std::println(stderr, "{} is fetched once ({})", name, manifest.package.to_string());
      const auto errors =
          fetch({&manifest, 1}, [](std::string_view line) { std::println(stderr, "{}", line); });
      if (!errors.empty()) return std::unexpected(errors.front());
    }
  }
  return resolve_model(name);
}

Status prepare_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return fail(ErrorCode::io, "{}: cannot be created: {}", folder.string(), error.message());
  if (!fs::is_directory(folder, error)) return fail(ErrorCode::io, "{}: is no folder", folder.string());
  if (access(folder.c_str(), W_OK) != 0)
    return fail(ErrorCode::io, "{}: cannot be written: {}", folder.string(), std::strerror(errno));
  // What an earlier run has left would pass for this one's.
  for (const char* name : {"annotated.mp4", "detections.jsonl", "contact.png", "summary.json"})
    fs::remove(folder / name, error);
  return {};
}

std::string engine_text(const fs::path& model) {
  auto engine = engine_for(model);
  if (!engine) return "";
  auto info = (*engine)->info();
  return std::string((*engine)->name()) + (info ? " " + info->version : "");
}

// Each record says which picture it belongs to: the text is set right before its frame is written, on the
// same thread.
void name_records(GstElement* pipeline, const std::vector<fs::path>& pictures, GstClockTime step) {
  gst::ElementPtr json(gst_bin_get_by_name(GST_BIN(pipeline), json_element));
  if (!json) return;
  struct Context {
    std::vector<fs::path> pictures;
    GstClockTime step;
  };
  gst::PadPtr pad(gst_element_get_static_pad(json.get(), "sink"));
  gst_pad_add_probe(
      pad.get(), GST_PAD_PROBE_TYPE_BUFFER,
      [](GstPad* sink, GstPadProbeInfo* info, gpointer data) {
        const auto& context = *static_cast<Context*>(data);
        const auto index = size_t(GST_BUFFER_PTS(GST_PAD_PROBE_INFO_BUFFER(info)) / context.step);
        gst::ElementPtr element(gst_pad_get_parent_element(sink));
        g_object_set(element.get(), "source", context.pictures.at(index).c_str(), nullptr);
        return GST_PAD_PROBE_OK;
      },
      new Context{pictures, step}, [](gpointer data) { delete static_cast<Context*>(data); });
}

// Saves what comes out of the JPEG encoder; a failure ends the pipeline.
void save_pictures(GstElement* pipeline, DetectResults& results) {
  gst::ElementPtr sink(gst_bin_get_by_name(GST_BIN(pipeline), picture_sink));
  if (!sink) return;
  g_signal_connect(sink.get(), "new-sample", G_CALLBACK(+[](GstAppSink* from, gpointer data) {
                     auto* sample = gst_app_sink_pull_sample(from);
                     if (!sample) return GST_FLOW_EOS;
                     const auto status = static_cast<DetectResults*>(data)->save_picture(sample);
                     gst_sample_unref(sample);
                     if (status) return GST_FLOW_OK;
                     GST_ELEMENT_ERROR(from, RESOURCE, WRITE,
                                       ("%s: %s", GST_OBJECT_NAME(from), status.error().message.c_str()),
                                       (nullptr));
                     return GST_FLOW_ERROR;
                   }),
                   &results);
}

void print_summary(FILE* to, const Totals& totals, const DetectResults& results) {
  std::string text = std::format("{} in {:.1f} s", count_text(totals.frames, "frame"), totals.seconds);
  if (totals.seconds > 0) text += std::format(": {:.1f} fps", double(totals.frames) / totals.seconds);
  std::println(to, "{}", text);
  text = count_text(totals.objects, "detection");
  if (totals.objects) text += " (" + tally_text(totals.classes) + ")";
  if (totals.tracks) text += ", " + count_text(totals.tracks, "track");
  std::println(to, "{}", text);
  if (!results.output().empty())
    std::println(to, "{}: {}", results.output().string(), joined(results.written()));
}

Result<DetectSettings> settings_of(const Options& options, const Input& input) {
  DetectSettings settings;
  if (options.is_tracked && input.kind == Input::Kind::pictures)
    return fail(ErrorCode::invalid_argument,
                "--track: pictures have no tracks; leave it out, or give a video");
  auto model = need_model(options.model);
  if (!model) return forward_error(model);
  settings.model = *model;
  for (const auto& name : options.classify) {
    auto classifier = need_model(name);
    if (!classifier) return forward_error(classifier);
    settings.classifiers.push_back(*classifier);
  }
  if (options.threshold >= 0) settings.threshold = options.threshold;
  settings.model_proc = options.model_proc;
  settings.device = options.device;
  settings.is_tracked = options.is_tracked;
  settings.is_shown = options.is_shown;
  settings.prints_json = options.prints_json;
  settings.output = options.output;
  return settings;
}

int run(const Options& options) {
  auto input = find_input(options.inputs);
  if (!input) return complain(input.error());
  const bool has_pictures = input->kind == Input::Kind::pictures;
  if (has_pictures && options.limit && input->pictures.size() > options.limit)
    input->pictures.resize(options.limit);
  if (auto status = init_gstreamer(); !status) return complain(status.error());
  auto settings = settings_of(options, *input);
  if (!settings) return complain(settings.error());
  auto plan = plan_detect(*input, *settings);
  if (!plan) return complain(plan.error());
  if (options.explains) {
    std::println("{}", to_text(*plan));
    return 0;
  }
  if (!options.output.empty()) {
    if (auto status = prepare_folder(options.output); !status) return complain(status.error());
  }
  auto pipeline = build_pipeline(*plan);
  if (!pipeline) return complain(pipeline.error());

  Progress progress(options.is_quiet);
  // On a screen a picture stays for a while; else the time only tells them apart.
  const GstClockTime step = options.is_shown ? 2 * GST_SECOND : 100 * GST_MSECOND;
  DetectResults results(options.output, input->pictures, step);
  std::mutex warnings_mutex;
  std::vector<std::string> warnings;
  PictureFeed feed(input->pictures, step, [&](std::string text) {
    std::lock_guard lock(warnings_mutex);
    warnings.push_back(std::move(text));
  });
  if (has_pictures) {
    gst::ElementPtr source(gst_bin_get_by_name(GST_BIN(pipeline->get()), picture_source));
    feed.attach(GST_APP_SRC(source.get()));
    name_records(pipeline->get(), input->pictures, step);
    save_pictures(pipeline->get(), results);
  }
  limit_decoder_threads(pipeline->get());
  FrameCounter counter;
  counter.attach(
      pipeline->get(), has_pictures ? 0 : options.limit,
      [&](GstPad* pad, GstBuffer* buffer, const Tally& objects) { results.see(pad, buffer, objects); });

  const auto on_tick = [&] {
    std::unique_lock lock(warnings_mutex);
    for (const auto& text : std::exchange(warnings, {})) progress.note("warning: " + text);
    lock.unlock();
    const auto lines = results.take_lines();
    if (lines.empty() || options.prints_json || options.is_quiet) return;
    progress.clear();
    for (const auto& line : lines) std::println("{}", line);
    std::fflush(stdout);
  };
  Outcome outcome = run_pipeline(
      pipeline->get(), counter, progress,
      {.wanted_frames = has_pictures ? input->pictures.size() : options.limit, .on_tick = on_tick});
  if (outcome.status && has_pictures && feed.fed() == 0 && !outcome.signal)
    outcome.status = fail(ErrorCode::corrupt, "{}: no picture could be read", input->name);
  if (outcome.status && !has_pictures && outcome.totals.frames == 0 && !outcome.signal)
    outcome.status = fail(ErrorCode::corrupt, "{}: not a single frame could be decoded", input->name);
  // Elements that only read say little about what.
  for (const char* reader : {"filesrc", "decodebin", "uridecodebin", "v4l2src"})
    if (!outcome.status && outcome.failed_in == reader)
      outcome.status.error().message = input->name + ": " + outcome.status.error().message;
  const bool is_complete = outcome.status && !outcome.signal;
  if (outcome.totals.frames > 0) {
    const RunNames names{input->name, options.model, engine_text(settings->model)};
    if (auto status = results.write_files(outcome.totals, names, is_complete); !status && outcome.status)
      outcome.status = status;
  }
  report(outcome, progress);
  if (!options.is_quiet && (outcome.status || outcome.totals.frames > 0))
    print_summary(options.prints_json ? stderr : stdout, outcome.totals, results);
  return outcome.exit_code();
}

}  // namespace

void add_detect_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("detect", "Find objects in a camera, a video, pictures or a URL");
  command
      ->add_option("input", options->inputs,
                   "camera number, video, picture(s), folder of pictures, URL, or the name of a sample")
      ->required()
      ->type_name("INPUT");
  command->add_option("--model", options->model, "name (see `sightglass models list`) or file")
      ->capture_default_str()
      ->type_name("NAME|FILE");
  command
      ->add_option("--model-proc", options->model_proc,
                   "description of the model, where none lies beside it (YAML or model-proc JSON)")
      ->type_name("FILE");
  command
      ->add_option("--threshold", options->threshold,
                   "least confidence of an object; the model's own if not given")
      ->check(CLI::Range(0.0, 1.0).description(""))
      ->type_name("0..1");
  command->add_flag("--track", options->is_tracked, "number the objects, the same in every frame");
  command->add_option("--classify", options->classify, "describe each object with these models")
      ->type_name("NAME|FILE");
  command->add_flag("--show", options->is_shown, "show the annotated video on the screen");
  command
      ->add_option("--output", options->output,
                   "folder for annotated.mp4 (or pictures), detections.jsonl, contact.png, summary.json")
      ->type_name("DIR");
  command->add_option("--limit", options->limit, "end after so many frames")->type_name("N");
  command->add_option("--device", options->device, "where the models run")
      ->capture_default_str()
      ->type_name("DEVICE");
  command->add_flag("--json", options->prints_json, "print the results, a JSON object per frame");
  command->add_flag("--explain", options->explains, "print the pipeline as text instead of running it");
  command->add_flag("-q,--quiet", options->is_quiet, "neither progress nor summary");
  command->footer(
      "sightglass detect street.mp4 --track --output out\nsightglass detect 0 --show\nsightglass detect "
      "photos/*.jpg --model face --json");
  command->callback([options] { exit_with(run(*options)); });
}

}  // namespace sightglass::cli
