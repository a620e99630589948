// What streams on an NVIDIA GPU reach, and the parts that they are made of; bench.py makes the table of it.
//
//   gpu_streams turn  decoder alone, model alone and both, in turn, in one process
//   gpu_streams live  frames at their time: how late results are, what is dropped, and the processor's time;
//                     with an empty TEXT of the decoder alone; with --most N of as many streams as it takes
//                     to find the most, up to N, that nothing is dropped of
//   gpu_streams churn streams that come and go: what memory stays behind
//   gpu_streams peak  many streams at once: the most memory
//
// Options: --clip FILE  --elements TEXT  --streams N  --seconds S  --rounds N  --model FILE  --batch N
//          --at-once N  --frames N  --warm N  --rate N  --cpu (decoder in software, frames in system memory)
//          --devices N (streams are decoded on each in turn)
//
// The model is opened once, under the id that TEXT names: model-instance-id=bench. Prints JSON objects, a
// line each, as soon as they are known, so that what was cut off is worth something.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <format>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/gpu/chain.h"
#include "bench/gpu/meter.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"
#include "sightglass/model/session.h"

namespace sightglass::bench {
namespace {

struct Wishes {
  std::map<std::string, std::string> values;
  bool on_cpu = false;

  std::string text(const std::string& name, std::string usual = "") const {
    const auto found = values.find(name);
    return found == values.end() ? usual : found->second;
  }
  double number(const std::string& name, double usual) const {
    const auto found = values.find(name);
    return found == values.end() ? usual : std::atof(found->second.c_str());
  }
  long count(const std::string& name, long usual) const { return long(number(name, double(usual))); }
  ChainWishes chain(std::string elements, long stream = 0) const {
    return {.clip = text("clip"),
            .elements = std::move(elements),
            .on_cpu = on_cpu,
            .device = stream % std::max(count("devices", 1), 1L)};
  }
};

void print(const std::string& line) {
  std::puts(line.c_str());
  std::fflush(stdout);
}

void sleep_for(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

GstPadProbeReturn see_frame(GstPad*, GstPadProbeInfo* info, gpointer meter) {
  if (info->type & GST_PAD_PROBE_TYPE_BUFFER)
    static_cast<Meter*>(meter)->frame();
  else if (GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) == GST_EVENT_EOS)
    static_cast<Meter*>(meter)->end();
  return GST_PAD_PROBE_OK;
}

// ---- turn

// Streams as fast as they go, for so long. The first frames of each are not counted: decoders start slowly.
std::string run_streams(const Wishes& wishes, const std::string& elements, double seconds) {
  const long streams = wishes.count("streams", 8);
  Meter meter(streams * wishes.count("warm", 100));
  std::vector<Pipeline> pipelines;
  for (long i = 0; i < streams; ++i) {
    pipelines.push_back(make_chain(wishes.chain(elements, i)));
    if (!pipelines.back()) return "\"failed\": 1";
    watch_end(pipelines.back().get(), see_frame, &meter);
  }
  // Models are loaded, and what they do recorded, before the first decoder starts.
  for (const auto& pipeline : pipelines) gst_element_set_state(pipeline.get(), GST_STATE_READY);
  for (const auto& pipeline : pipelines) gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  meter.wait(seconds);
  meter.end();
  int failed = 0;
  for (const auto& pipeline : pipelines) failed += !read_messages(pipeline.get());
  return std::format("\"failed\": {}, {}", failed, meter.json());
}

// Four streams of samples, each as far ahead as the session lets it.
std::string run_model(Session& session, double seconds, bool on_cpu) {
  const TensorInfo input = session.signature().inputs.at(0);
  const size_t batch = session.batch_size();
  Meter meter(long(batch) * 20);
  std::atomic<bool> is_over = false;
  std::atomic<int> failed = 0;
  const auto say = [&](const Error& error) {
    if (failed++ == 0) std::fprintf(stderr, "%s\n", error.message.c_str());
    meter.end();
  };
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      auto stream = session.open_stream({&input, 1}, on_cpu ? MemoryKind::system : MemoryKind::cuda);
      if (!stream) return say(stream.error());
      auto block = (*stream)->input_pool(0)->acquire();
      if (!block) return say(block.error());
      const Tensor sample = tensor_in(*block, input);
      std::deque<std::vector<Tensor>> under_way;
      const auto take = [&] {
        auto results = std::move(under_way.front());
        under_way.pop_front();
        if (const auto mapped = map(results.at(0), Access::read); !mapped) say(mapped.error());
        meter.frame();
      };
      for (int64_t n = 0; !is_over; ++n) {
        if (Status sent = (*stream)->submit({&sample, 1}, n, under_way.emplace_back()); !sent)
          return say(sent.error());
        if (under_way.size() > 2 * batch) take();
      }
      (*stream)->drain();
      while (!under_way.empty()) take();
    });
  meter.wait(seconds);
  meter.end();
  is_over = true;
  threads.clear();
  return std::format("\"failed\": {}, {}", failed.load(), meter.json());
}

// The session that the elements use: they open it, as they would, and it is kept.
Result<std::shared_ptr<Session>> open_model(const Wishes& wishes) {
  const auto pipeline = make_chain(wishes.chain(wishes.text("elements")));
  if (!pipeline) return fail(ErrorCode::invalid_argument, "no pipeline");
  gst_element_set_state(pipeline.get(), GST_STATE_READY);
  read_messages(pipeline.get());
  auto opened = open_session({.shared_id = "bench", .model = {}, .device = {}, .config = {}});
  if (!opened) return forward_error(opened);
  return opened->session;
}

int turn(const Wishes& wishes) {
  const double seconds = wishes.number("seconds", 4);
  const double begun = now();
  auto session = open_model(wishes);
  if (!session) {
    std::fprintf(stderr, "%s\n", session.error().message.c_str());
    return 1;
  }
  print(std::format("{{\"part\": \"load\", \"seconds\": {:.1f}}}", now() - begun));
  for (long round = 0; round < wishes.count("rounds", 5); ++round) {
    const auto say = [&](const char* part, const std::string& found) {
      print(std::format("{{\"round\": {}, \"part\": \"{}\", {}}}", round, part, found));
    };
    say("decode", run_streams(wishes, "", seconds));
    say("model", run_model(**session, seconds, wishes.on_cpu));
    say("both", run_streams(wishes, wishes.text("elements"), seconds));
  }
  std::string samples;
  for (const DeviceLoad& load : (*session)->loads())
    samples += std::format(R"({}"{}": {})", samples.empty() ? "" : ", ", load.device, load.totals.samples);
  if (!samples.empty()) print(std::format(R"({{"part": "samples", "by_device": {{{}}}}})", samples));
  return 0;
}

// ---- live

// One stream that is paced. A frame is late by what has passed since it was due.
struct LiveStream {
  Pipeline pipeline;
  GstClock* clock = nullptr;
  GstClockTime base = 0, from = 0, to = 0;  // of the frames that count
  std::atomic<size_t> seen = 0;
  std::vector<float> late_ms;  // room for all

  static GstPadProbeReturn see(GstPad*, GstPadProbeInfo* info, gpointer data) {
    if (!(info->type & GST_PAD_PROBE_TYPE_BUFFER)) return GST_PAD_PROBE_OK;
    auto& self = *static_cast<LiveStream*>(data);
    const GstClockTime pts = GST_BUFFER_PTS(GST_PAD_PROBE_INFO_BUFFER(info));
    if (pts < self.from || pts >= self.to || self.seen >= self.late_ms.size()) return GST_PAD_PROBE_OK;
    const auto late = GstClockTimeDiff(gst_clock_get_time(self.clock)) - GstClockTimeDiff(self.base + pts);
    self.late_ms[self.seen] = float(double(late) * 1e-6);
    ++self.seen;
    return GST_PAD_PROBE_OK;
  }
};

struct Lateness {
  long streams = 0, failed = 0, dropped = 0;
  std::vector<float> late_ms;  // sorted
  double cores = 0, cpu_ms_per_100 = 0;

  float part(double share) const {
    return late_ms.empty() ? 0
                           : late_ms[std::min(late_ms.size() - 1, size_t(share * double(late_ms.size())))];
  }
  bool is_sustained() const { return failed == 0 && dropped == 0 && part(0.99) < 1000; }
  std::string json() const {
    return std::format(
        "{{\"streams\": {}, \"failed\": {}, \"seen\": {}, \"dropped\": {}, \"sustained\": {}, \"p50_ms\": "
        "{:.1f}, "
        "\"p99_ms\": {:.1f}, \"max_ms\": {:.1f}, \"cores\": {:.2f}, \"cpu_ms_per_100\": {:.2f}}}",
        streams, failed, late_ms.size(), dropped, is_sustained(), part(0.5), part(0.99), part(1), cores,
        cpu_ms_per_100);
  }
};

// Ends them all at the same time: a decoder takes a while to go.
void end_all(std::deque<LiveStream>& list) {
  std::vector<std::jthread> threads;
  for (LiveStream& one : list) threads.emplace_back([&one] { one.pipeline = nullptr; });
}

Lateness run_live(const Wishes& wishes, long streams) {
  // Decoders that start all at once take seconds to do so.
  const double seconds = wishes.number("seconds", 10), warm = wishes.number("warm", 3 + double(streams) / 8);
  const double rate = wishes.number("rate", 30);  // of the clip
  Lateness found{.streams = streams, .late_ms = {}};
  GstClock* const clock = gst_system_clock_obtain();
  std::deque<LiveStream> list;
  for (long i = 0; i < streams; ++i) {
    LiveStream& one = list.emplace_back();
    ChainWishes chain = wishes.chain(wishes.text("elements"), i);
    chain.live = true;
    one.pipeline = make_chain(chain);
    if (!one.pipeline) {
      found.failed = streams;
      return found;
    }
    one.clock = clock;
    // Between two frames, so that the number of those that count is certain.
    one.from = GstClockTime((warm + 0.5 / rate) * 1e9);
    one.to = one.from + GstClockTime(seconds * 1e9);
    one.late_ms.resize(size_t(seconds * rate) + 2);
    watch_end(one.pipeline.get(), LiveStream::see, &one);
    gst_pipeline_use_clock(GST_PIPELINE(one.pipeline.get()), clock);
    gst_element_set_start_time(one.pipeline.get(), GST_CLOCK_TIME_NONE);
    gst_element_set_state(one.pipeline.get(), GST_STATE_READY);
  }
  // As cameras are: each at a time of its own within the frame.
  const GstClockTime begin = gst_clock_get_time(clock) + GST_SECOND / 2;
  long number = 0;
  for (LiveStream& one : list) {
    one.base = begin + GstClockTime(1e9 / rate * double(number++) / double(streams));
    gst_element_set_base_time(one.pipeline.get(), one.base);
    gst_element_set_state(one.pipeline.get(), GST_STATE_PLAYING);
  }
  const auto sleep_until = [&](GstClockTime time) {
    const auto left = GstClockTimeDiff(time) - GstClockTimeDiff(gst_clock_get_time(clock));
    if (left > 0) sleep_for(double(left) * 1e-9);
  };
  sleep_until(begin + list.front().from);
  const double cpu = cpu_seconds(), wall = now();
  sleep_until(begin + list.front().to);
  found.cores = (cpu_seconds() - cpu) / (now() - wall);
  found.cpu_ms_per_100 = found.cores * 1e5 / (rate * double(streams));
  sleep_for(1);  // for what is later than that there is no hope
  for (LiveStream& one : list) {
    found.failed += !read_messages(one.pipeline.get());
    const size_t seen = one.seen;
    found.dropped += std::max(long(seconds * rate) - long(seen), 0L);
    found.late_ms.insert(found.late_ms.end(), one.late_ms.begin(), one.late_ms.begin() + ptrdiff_t(seen));
  }
  std::ranges::sort(found.late_ms);
  end_all(list);
  return found;
}

int live(const Wishes& wishes) {
  std::shared_ptr<Session> kept;  // until the end; none: the decoder alone
  if (!wishes.text("elements").empty()) {
    auto session = open_model(wishes);
    if (!session) {
      std::fprintf(stderr, "%s\n", session.error().message.c_str());
      return 1;
    }
    kept = *std::move(session);
  }
  const auto run = [&](long streams) {
    const Lateness found = run_live(wishes, streams);
    print(found.json());
    return found.is_sustained();
  };
  const long streams = wishes.count("streams", 8), most = wishes.count("most", 0);
  // Doubled until it is too much, then halved between, to within a sixteenth.
  const bool is_good = run(streams);
  long good = is_good ? streams : 0, bad = is_good ? 0 : streams;
  while (good < most && (bad == 0 || bad - good > std::max(1L, good / 16))) {
    const long next = bad == 0 ? std::min(good * 2, most) : (good + bad) / 2;
    (run(next) ? good : bad) = next;
  }
  return 0;
}

// ---- churn, peak

// Every stream lasts for some frames; so many run at once, and the next one begins when one has ended.
int churn(const Wishes& wishes) {
  const long streams = wishes.count("streams", 1000), at_once = wishes.count("at-once", 32);
  auto session = open_model(wishes);
  if (!session) {
    std::fprintf(stderr, "%s\n", session.error().message.c_str());
    return 1;
  }
  ChainWishes chain = wishes.chain(wishes.text("elements"));
  chain.frames = wishes.count("frames", 30);
  std::atomic<long> begun = 0, ended = 0, failed = 0;
  std::mutex mutex;
  std::vector<std::jthread> threads;
  const double start = now();
  for (long i = 0; i < std::min(at_once, streams); ++i)
    threads.emplace_back([&] {
      while (begun++ < streams) {
        {
          const Pipeline pipeline = make_chain(chain);
          if (pipeline) gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
          if (!pipeline || !wait_for_end(pipeline.get(), 60 * GST_SECOND)) ++failed;
        }
        const long done = ++ended;
        if (done % at_once != 0 && done != streams) continue;
        const std::lock_guard lock(mutex);
        print(std::format("{{\"ended\": {}, \"failed\": {}, \"memory\": {}, \"seconds\": {:.1f}}}", done,
                          failed.load(), memory_in_use(), now() - start));
      }
    });
  threads.clear();
  print(
      std::format("{{\"ended\": {}, \"failed\": {}, \"memory\": {}, \"seconds\": {:.1f}, \"at_rest\": true}}",
                  ended.load(), failed.load(), memory_in_use(), now() - start));
  return failed ? 1 : 0;
}

int peak(const Wishes& wishes) {
  const long streams = wishes.count("streams", 128);
  const uint64_t nothing = memory_in_use();
  auto session = open_model(wishes);
  if (!session) {
    std::fprintf(stderr, "%s\n", session.error().message.c_str());
    return 1;
  }
  const uint64_t model = memory_in_use();
  std::atomic<uint64_t> most = 0;
  std::atomic<bool> is_over = false;
  std::jthread watcher([&] {
    while (!is_over) {
      most = std::max(most.load(), memory_in_use());
      sleep_for(0.02);
    }
  });
  const std::string found = run_streams(wishes, wishes.text("elements"), wishes.number("seconds", 5));
  is_over = true;
  watcher.join();
  print(std::format("{{\"streams\": {}, \"before\": {}, \"with_model\": {}, \"most\": {}, {}}}", streams,
                    nothing, model, most.load(), found));
  return 0;
}

}  // namespace
}  // namespace sightglass::bench

int main(int count, char** arguments) {
  using namespace sightglass::bench;
  const std::map<std::string, int (*)(const Wishes&)> verbs = {
      {"turn", turn}, {"live", live}, {"churn", churn}, {"peak", peak}};
  const auto verb = verbs.find(count > 1 ? arguments[1] : "");
  Wishes wishes;
  bool is_good = verb != verbs.end();
  for (int i = 2; i < count && is_good; ++i) {
    const std::string name = arguments[i];
    is_good = name.starts_with("--");
    if (name == "--cpu")
      wishes.on_cpu = true;
    else if (is_good && (is_good = i + 1 < count))
      wishes.values[name.substr(2)] = arguments[++i];
  }
  if (!is_good || !wishes.values.contains("clip") || !wishes.values.contains("elements")) {
    std::fprintf(stderr, "gpu_streams turn|live|churn|peak --clip FILE --elements TEXT [--streams N …]\n");
    return 2;
  }
  gst_init(nullptr, nullptr);
  const int code = verb->second(wishes);
  std::fflush(stdout);
  // Decoders of GStreamer take seconds to go.
  std::_Exit(code);
}
