// What streams on an NVIDIA GPU reach, and the parts that they are made of.
//
//   gpu_streams run CLIP STREAMS [ELEMENTS]      STREAMS pipelines decode CLIP (H.264 or HEVC in MP4) into
//   CUDA
//                                                memory and go through ELEMENTS; without: the decoder alone
//   gpu_streams model MODEL BATCH SECONDS [CONFIG]
//                                                the engine alone, on tensors that lie in CUDA memory
//
// Prints one JSON object: frames per second after the start (the first 100 frames of each stream) until the
// first stream ends, CPU milliseconds per 100 frames, and the bytes that the ledger of the process has.
#include <gst/gst.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <format>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"
#include "sightglass/model/session.h"

namespace sightglass {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Counts frames; what is measured lies between `first` frames and the first stream that ends.
class Meter {
 public:
  explicit Meter(long first) : first_(first) {}
  void frame() {
    if (++frames_ != first_) return;
    const std::lock_guard lock(mutex_);
    from_ = now(), from_cpu_ = cpu_seconds();
  }
  void ended() {
    const std::lock_guard lock(mutex_);
    if (is_over_) return;
    is_over_ = true;
    frames_in_all_ = frames_, to_ = now(), to_cpu_ = cpu_seconds();
  }
  std::string json() const {
    const long count = frames_in_all_ - first_;
    std::string ledger;
    for (const auto& hop : CopyLedger::process().snapshot())
      ledger += std::format("{}\"{}\": {}", ledger.empty() ? "" : ", ", hop.name, hop.bytes_copied);
    return std::format("\"frames\": {}, \"fps\": {:.1f}, \"cpu_ms_per_100\": {:.2f}, \"copied\": {{{}}}",
                       count, double(count) / (to_ - from_), (to_cpu_ - from_cpu_) * 1e5 / double(count),
                       ledger);
  }

 private:
  const long first_;
  std::atomic<long> frames_ = 0;
  std::mutex mutex_;
  double from_ = 0, from_cpu_ = 0, to_ = 1, to_cpu_ = 0;
  long frames_in_all_ = 0;
  bool is_over_ = false;
};

GstPadProbeReturn see(GstPad*, GstPadProbeInfo* info, gpointer meter) {
  if (info->type & GST_PAD_PROBE_TYPE_BUFFER)
    static_cast<Meter*>(meter)->frame();
  else if (GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) == GST_EVENT_EOS)
    static_cast<Meter*>(meter)->ended();
  return GST_PAD_PROBE_OK;
}

int run_streams(const std::string& clip, int streams, const std::string& elements) {
  gst_init(nullptr, nullptr);
  const std::string codec = clip.find("265") != clip.npos || clip.find("hevc") != clip.npos ? "h265" : "h264";
  const std::string text = std::format(
      "filesrc location={} ! qtdemux ! {}parse ! nv{}dec ! video/x-raw(memory:CUDAMemory) ! {}fakesink "
      "name=end "
      "sync=false async=false",
      clip, codec, codec, elements.empty() ? "" : elements + " ! ");
  Meter meter(100L * streams);
  std::vector<GstElement*> pipelines;
  for (int i = 0; i < streams; ++i) {
    GError* error = nullptr;
    auto* pipeline = gst_parse_launch(text.c_str(), &error);
    if (error) {
      std::fprintf(stderr, "%s\n", error->message);
      return 1;
    }
    auto* end = gst_bin_get_by_name(GST_BIN(pipeline), "end");
    auto* pad = gst_element_get_static_pad(end, "sink");
    gst_pad_add_probe(pad, GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
                      see, &meter, nullptr);
    gst_object_unref(pad);
    gst_object_unref(end);
    pipelines.push_back(pipeline);
  }
  // Models are loaded, and what they do recorded, before the first decoder starts.
  for (auto* pipeline : pipelines) gst_element_set_state(pipeline, GST_STATE_READY);
  for (auto* pipeline : pipelines) gst_element_set_state(pipeline, GST_STATE_PLAYING);
  int failed = 0;
  for (auto* pipeline : pipelines) {
    auto* bus = gst_element_get_bus(pipeline);
    GstClockTime patience = 120 * GST_SECOND;  // after an error only what else there is to say
    while (auto* message = gst_bus_timed_pop_filtered(
               bus, patience, GstMessageType(GST_MESSAGE_ERROR | GST_MESSAGE_WARNING | GST_MESSAGE_EOS))) {
      const auto type = GST_MESSAGE_TYPE(message);
      if (type != GST_MESSAGE_EOS) {
        GError* error = nullptr;
        gchar* debug = nullptr;
        type == GST_MESSAGE_ERROR ? gst_message_parse_error(message, &error, &debug)
                                  : gst_message_parse_warning(message, &error, &debug);
        std::fprintf(stderr, "%s (%s)\n", error->message, debug ? debug : "");
        g_clear_error(&error);
        g_free(debug);
      }
      gst_message_unref(message);
      if (type == GST_MESSAGE_EOS) break;
      if (type == GST_MESSAGE_ERROR && std::exchange(patience, GST_SECOND / 2) > GST_SECOND) ++failed;
    }
    gst_object_unref(bus);
  }
  std::printf("{\"streams\": %d, \"failed\": %d, %s}\n", streams, failed, meter.json().c_str());
  for (auto* pipeline : pipelines) {
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(pipeline);
  }
  return failed ? 1 : 0;
}

// Four streams of samples, each as far ahead as the session lets it.
int run_model(const std::string& model, unsigned batch, double seconds, const std::string& config) {
  auto opened = open_session({.model = model, .device = "CUDA:0", .config = config, .batch_size = batch});
  if (!opened) {
    std::fprintf(stderr, "%s\n", opened.error().message.c_str());
    return 1;
  }
  for (const auto& warning : opened->warnings) std::fprintf(stderr, "%s\n", warning.c_str());
  Session& session = *opened->session;
  const TensorInfo input = session.signature().inputs.at(0);
  Meter meter(long(batch) * 20);
  std::atomic<bool> is_over = false;
  std::atomic<int> failed = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      auto stream = session.open_stream({&input, 1}, MemoryKind::cuda);
      if (!stream) {
        std::fprintf(stderr, "%s\n", stream.error().message.c_str());
        ++failed;
        return;
      }
      auto block = (*stream)->input_pool(0)->acquire();
      if (!block) return void(++failed);
      const Tensor sample = tensor_in(*block, input);
      std::deque<std::vector<Tensor>> under_way;
      const auto take = [&] {
        auto results = std::move(under_way.front());
        under_way.pop_front();
        const auto mapped = map(results.at(0), Access::read);
        if (!mapped && failed++ == 0) std::fprintf(stderr, "%s\n", mapped.error().message.c_str());
        meter.frame();
      };
      for (int64_t n = 0; !is_over; ++n) {
        auto& outputs = under_way.emplace_back();
        if (!(*stream)->submit({&sample, 1}, n, outputs)) return void(++failed);
        if (under_way.size() > 2 * batch) take();
      }
      (*stream)->drain();
      while (!under_way.empty()) take();
    });
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  meter.ended();
  is_over = true;
  threads.clear();
  std::printf("{\"batch\": %u, \"failed\": %d, %s}\n", batch, failed.load(), meter.json().c_str());
  return failed ? 1 : 0;
}

}  // namespace
}  // namespace sightglass

int main(int count, char** arguments) {
  using namespace sightglass;
  const std::string verb = count > 1 ? arguments[1] : "";
  int code = 2;
  if (verb == "run" && count >= 4)
    code = run_streams(arguments[2], std::atoi(arguments[3]), count > 4 ? arguments[4] : "");
  else if (verb == "model" && count >= 5)
    code = run_model(arguments[2], unsigned(std::atoi(arguments[3])), std::atof(arguments[4]),
                     count > 5 ? arguments[5] : "");
  else
    std::fprintf(stderr, "gpu_streams run CLIP STREAMS [ELEMENTS] | model MODEL BATCH SECONDS [CONFIG]\n");
  std::fflush(stdout);
  // Decoders of GStreamer take seconds to go.
  std::_Exit(code);
}
