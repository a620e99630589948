// The sink video_file: the encoded picture of each record, as it is, into MP4 or Matroska files of one source
// each. Segments begin at keyframes; MP4 is written in fragments, so that what a crash leaves can be played.
//
// With pre_roll or post_roll the files are clips around the frames for which `when` holds: what comes before
// an event waits in memory, from a keyframe on, bounded by time and bytes.
extern "C" {
#include <libavcodec/bsf.h>
#include <libavformat/avformat.h>
}

#include <algorithm>
#include <array>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "sightglass/adapters/adapter.h"
#include "sightglass/elements/selection/selector.h"

namespace sightglass::adapters {
namespace {

namespace fs = std::filesystem;

constexpr Time second = 1'000'000'000;

enum class Container { mp4, mkv };
enum class Naming { segment, source };

struct Params {
  std::string folder;
  Container container = Container::mp4;
  Naming naming = Naming::segment;
  double segment = 60;
  bool metadata = true;
  double pre_roll = 0, post_roll = 0;
  int64_t roll_bytes = 64 << 20;
  std::string roll_when;
};

std::string av_text(int error) {
  std::array<char, AV_ERROR_MAX_STRING_SIZE> text{};
  av_strerror(error, text.data(), text.size());
  return text.data();
}

AVCodecID codec_id(std::string_view wire_name) {
  if (wire_name == "h264") return AV_CODEC_ID_H264;
  if (wire_name == "hevc") return AV_CODEC_ID_HEVC;
  if (wire_name == "av1") return AV_CODEC_ID_AV1;
  if (wire_name == "vp8") return AV_CODEC_ID_VP8;
  if (wire_name == "vp9") return AV_CODEC_ID_VP9;
  if (wire_name == "jpeg" || wire_name == "mjpeg") return AV_CODEC_ID_MJPEG;
  if (wire_name == "png") return AV_CODEC_ID_PNG;
  return AV_CODEC_ID_NONE;
}

struct CloseOutput {
  void operator()(AVFormatContext* output) const {
    avio_closep(&output->pb);
    avformat_free_context(output);
  }
};
struct FreePacket {
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
};
struct FreeFilter {
  void operator()(AVBSFContext* filter) const { av_bsf_free(&filter); }
};
struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using PacketPtr = std::unique_ptr<AVPacket, FreePacket>;

// What a header needs to know of the codec (parameter sets), out of a keyframe.
std::vector<uint8_t> header_data(AVCodecID codec, const AVPacket& keyframe) {
  AVBSFContext* made = nullptr;
  const AVBitStreamFilter* const extract = av_bsf_get_by_name("extract_extradata");
  if (!extract || av_bsf_alloc(extract, &made) < 0) return {};
  const std::unique_ptr<AVBSFContext, FreeFilter> filter(made);
  filter->par_in->codec_type = AVMEDIA_TYPE_VIDEO;
  filter->par_in->codec_id = codec;
  const PacketPtr packet(av_packet_clone(&keyframe));
  // Codecs without such data are refused here.
  if (!packet || av_bsf_init(filter.get()) < 0 || av_bsf_send_packet(filter.get(), packet.get()) < 0)
    return {};
  const PacketPtr out(av_packet_alloc());
  if (av_bsf_receive_packet(filter.get(), out.get()) < 0) return {};
  size_t size = 0;
  const uint8_t* const data = av_packet_get_side_data(out.get(), AV_PKT_DATA_NEW_EXTRADATA, &size);
  return data ? std::vector<uint8_t>(data, data + size) : std::vector<uint8_t>();
}

// Within an epoch; pictures that are shown in another order than they are decoded are closer together.
bool goes_back(Time before, Time pts) { return before != no_time && pts != no_time && pts + second < before; }

// A file being written.
class Segment {
 public:
  static Result<std::unique_ptr<Segment>> open(const std::string& path, const Params& params,
                                               const Record& first, const AVPacket& packet) {
    const stream::VideoFrame& frame = *first.message->frame;
    const AVCodecID codec = codec_id(frame.codec.value_or(""));
    AVFormatContext* made = nullptr;
    const bool is_mp4 = params.container == Container::mp4;
    if (avformat_alloc_output_context2(&made, nullptr, is_mp4 ? "mp4" : "matroska", path.c_str()) < 0)
      return fail(ErrorCode::exhausted, "{}: no memory for a writer", path);
    auto segment = std::make_unique<Segment>();
    segment->output_.reset(made);
    AVStream* const video = avformat_new_stream(made, nullptr);
    if (codec == AV_CODEC_ID_NONE || avformat_query_codec(made->oformat, codec, FF_COMPLIANCE_NORMAL) != 1)
      return fail(ErrorCode::unsupported, "{}: {} cannot hold frames of codec {}", path, made->oformat->name,
                  frame.codec.value_or("none"));
    auto& par = *video->codecpar;
    par.codec_type = AVMEDIA_TYPE_VIDEO;
    par.codec_id = codec;
    par.width = frame.width;
    par.height = frame.height;
    const auto extra =
        frame.codec_data && !frame.codec_data->empty() ? *frame.codec_data : header_data(codec, packet);
    if (!extra.empty()) {
      par.extradata = static_cast<uint8_t*>(av_mallocz(extra.size() + AV_INPUT_BUFFER_PADDING_SIZE));
      std::copy(extra.begin(), extra.end(), par.extradata);
      par.extradata_size = int(extra.size());
    }
    video->time_base = {1, 90000};
    if (frame.framerate && frame.framerate->num > 0)
      video->avg_frame_rate = {frame.framerate->num, frame.framerate->den};
    if (const int error = avio_open(&made->pb, path.c_str(), AVIO_FLAG_WRITE); error < 0)
      return fail(ErrorCode::io, "{}: {}", path, av_text(error));
    AVDictionary* options = nullptr;
    if (is_mp4) av_dict_set(&options, "movflags", "frag_keyframe+empty_moov+default_base_moof", 0);
    const int error = avformat_write_header(made, &options);
    av_dict_free(&options);
    if (error < 0) return fail(ErrorCode::io, "{}: {}", path, av_text(error));
    if (params.metadata) {
      const std::string side = fs::path(path).replace_extension(".jsonl");
      segment->side_.reset(std::fopen(side.c_str(), "w"));
      if (!segment->side_) return fail(ErrorCode::io, "{}: cannot be written", side);
    }
    segment->path_ = path;
    segment->epoch_ = first.epoch;
    segment->codec_ = codec;
    segment->width_ = frame.width;
    segment->height_ = frame.height;
    segment->first_pts_ = first.pts;
    return segment;
  }

  ~Segment() {
    if (output_ && output_->pb && is_written_) av_write_trailer(output_.get());
  }

  bool fits(const Record& record) const {
    const stream::VideoFrame& frame = *record.message->frame;
    return record.epoch == epoch_ && codec_id(frame.codec.value_or("")) == codec_ && frame.width == width_ &&
           frame.height == height_;
  }
  bool is_full(const Record& record, double seconds) const {
    return (seconds > 0 && double(record.pts - first_pts_) / 1e9 >= seconds) ||
           goes_back(last_pts_, record.pts);
  }

  Status write(const Record& record, AVPacket& packet) {
    const stream::VideoFrame& frame = *record.message->frame;
    const AVRational ns{1, 1'000'000'000}, base = output_->streams[0]->time_base;
    packet.stream_index = 0;
    packet.pts = av_rescale_q(record.pts - first_pts_, ns, base);
    // Where the writer has told no dts, order of decoding is order of display.
    packet.dts = packet.pts;
    if (frame.dts)
      packet.dts = packet.pts - av_rescale_q(frame.pts - *frame.dts,
                                             AVRational{frame.time_base.num, frame.time_base.den}, base);
    if (packet.dts <= last_dts_) packet.dts = last_dts_ + 1;
    packet.pts = std::max(packet.pts, packet.dts);
    last_dts_ = packet.dts;
    if (frame.duration)
      packet.duration =
          av_rescale_q(*frame.duration, AVRational{frame.time_base.num, frame.time_base.den}, base);
    is_written_ = true;
    last_pts_ = record.pts;
    if (const int error = av_write_frame(output_.get(), &packet); error < 0)
      return fail(ErrorCode::io, "{}: {}", path_, av_text(error));
    if (!side_) return {};
    line_.clear();
    write_record_json(record, line_);
    line_ += '\n';
    if (std::fwrite(line_.data(), 1, line_.size(), side_.get()) != line_.size())
      return fail(ErrorCode::io, "{}: the side file cannot be written", path_);
    return {};
  }

  Status flush() {
    avio_flush(output_->pb);
    if (output_->pb->error < 0) return fail(ErrorCode::io, "{}: {}", path_, av_text(output_->pb->error));
    if (side_ && std::fflush(side_.get()))
      return fail(ErrorCode::io, "{}: the side file cannot be written", path_);
    return {};
  }

 private:
  std::unique_ptr<AVFormatContext, CloseOutput> output_;
  std::unique_ptr<std::FILE, CloseFile> side_;
  std::string path_, line_;
  int64_t epoch_ = 0, last_dts_ = INT64_MIN;
  AVCodecID codec_ = AV_CODEC_ID_NONE;
  int width_ = 0, height_ = 0;
  Time first_pts_ = 0, last_pts_ = no_time;
  bool is_written_ = false;
};

bool is_same(const Record& one, const Record& other) {
  return one.epoch == other.epoch && one.seq == other.seq && one.uuid == other.uuid;
}

// What a source has sent of late, in whole groups of pictures: it begins with a keyframe or is empty.
class Ring {
 public:
  void add(const RecordRef& record, Time seconds_before, uint64_t most_bytes) {
    if (!records_.empty() &&
        (records_.front()->epoch != record->epoch || goes_back(records_.back()->pts, record->pts)))
      clear();
    if (!records_.empty() && record->seq <= records_.back()->seq) {  // perhaps given again after a failure
      if (std::ranges::any_of(records_, [&](const RecordRef& one) { return is_same(*one, *record); })) return;
      if (record->seq < records_.back()->seq) clear();
    }
    if (records_.empty() && !record->keyframe) return;
    bytes_ += record->payload.bytes.size();
    records_.push_back(record);
    // The first group goes when the next one reaches back far enough, or when there is too much of it all.
    for (size_t next = next_group(); next > 0; next = next_group()) {
      if (records_[next]->pts > record->pts - seconds_before && bytes_ <= most_bytes) break;
      for (; next > 0; --next) {
        bytes_ -= records_.front()->payload.bytes.size();
        records_.pop_front();
      }
    }
    if (bytes_ > most_bytes) clear();  // one group alone: the next keyframe begins anew
  }
  const std::deque<RecordRef>& records() const { return records_; }

 private:
  void clear() {
    records_.clear();
    bytes_ = 0;
  }
  size_t next_group() const {
    for (size_t i = 1; i < records_.size(); ++i)
      if (records_[i]->keyframe) return i;
    return 0;
  }

  std::deque<RecordRef> records_;
  uint64_t bytes_ = 0;
};

class VideoFile final : public Sink {
 public:
  static Result<std::unique_ptr<Sink>> create(const ParamSet& set, const SinkContext& context) {
    auto sink = std::make_unique<VideoFile>();
    sink->params_ = set.as<Params>();
    if (sink->params_.folder.empty())
      return fail(ErrorCode::invalid_argument,
                  "folder: the folder that video files are written to is missing");
    sink->folder_ = fs::path(context.folder) / sink->params_.folder;
    auto when = Selector::parse(sink->params_.roll_when, "when", Selector::Scope::frame);
    if (!when) return forward_error(when);
    sink->when_ = *std::move(when);
    return sink;
  }

  Status start() override {
    std::error_code error;
    fs::create_directories(folder_, error);
    if (error) return fail(ErrorCode::io, "{}: {}", folder_.string(), error.message());
    return {};
  }

  Status write(std::span<const RecordRef> records, std::span<Stored> outcome) override {
    for (size_t i = 0; i < records.size(); ++i) {
      const Record& record = *records[i];
      if (record.kind == RecordKind::end_of_stream) {
        open_.erase(record.source_id);
        clips_.erase(record.source_id);
        broken_.erase(record.source_id);
      } else if (record.kind == RecordKind::frame && !record.payload.bytes.empty() && record.message &&
                 record.message->frame && !record.is_replay) {
        // What its frames refer to is in a file that has ended.
        if (!record.keyframe && broken_.contains(record.source_id)) {
          outcome[i] = Stored::never;
          continue;
        }
        if (auto written = rolls() ? write_clip(records[i]) : write(record); !written) {
          open_.erase(record.source_id);
          if (written.error().code != ErrorCode::unsupported) {
            begin_anew(record.source_id);
            if (!rolls()) broken_.insert(record.source_id);
            std::fill(outcome.begin() + ptrdiff_t(i), outcome.end(), Stored::retry);
            // What is in front of it is stored, and not to be given again.
            return i == 0 ? written : Status();
          }
          outcome[i] = Stored::never;
        } else if (record.keyframe) {
          broken_.erase(record.source_id);
        }
      }
    }
    return {};
  }

  Status flush() override {
    for (auto& [source, segment] : open_)
      if (auto flushed = segment->flush(); !flushed) return flushed;
    return {};
  }

  void stop() override {
    open_.clear();
    clips_.clear();
  }

 private:
  struct Clip {
    Ring before;
    Time until = no_time;  // of the clip that is being written; none: there is no event
    int64_t epoch = 0;
    Time until_before = no_time;  // the latest record
    Time latest = no_time;        // that record's
    bool is_broken = false;       // its file could not be written: another begins with the next record
  };
  bool rolls() const { return params_.pre_roll > 0 || params_.post_roll > 0; }

  // The record is given again, and finds the clip as it was in front of it.
  void begin_anew(const std::string& source_id) {
    const auto found = clips_.find(source_id);
    if (found == clips_.end()) return;
    Clip& clip = found->second;
    clip.until = clip.until_before;
    clip.is_broken = clip.until != no_time;
  }

  Status write_clip(const RecordRef& record) {
    const stream::VideoFrame& frame = *record->message->frame;
    const bool is_event = when_.matches(record->results, {.source = record->source_id,
                                                          .keyframe = record->keyframe,
                                                          .width = frame.width,
                                                          .height = frame.height});
    Clip& clip = clips_[record->source_id];
    if (std::exchange(clip.epoch, record->epoch) != record->epoch && clip.until != no_time) {
      clip.until = no_time;  // of another time
      open_.erase(record->source_id);
    }
    if (goes_back(std::exchange(clip.latest, record->pts), record->pts) && clip.until != no_time) {
      clip.until = no_time;
      open_.erase(record->source_id);
    }
    clip.until_before = clip.until;
    clip.before.add(record, Time(params_.pre_roll * 1e9), uint64_t(params_.roll_bytes));
    if (clip.until != no_time && !is_event && record->pts > clip.until) {
      clip.until = no_time;
      open_.erase(record->source_id);
      return {};
    }
    const bool begins = (is_event && clip.until == no_time) || clip.is_broken;
    if (is_event) clip.until = record->pts + Time(params_.post_roll * 1e9);
    if (clip.until == no_time) return {};
    clip.is_broken = false;
    if (!begins || clip.before.records().empty()) return write(*record);
    for (const RecordRef& one : clip.before.records()) {
      if (auto written = write(*one); !written) return written;
      if (is_same(*one, *record)) break;  // behind it there is only what is given again
    }
    return {};
  }

  Status write(const Record& record) {
    const PacketPtr packet(av_packet_alloc());
    if (!packet || av_new_packet(packet.get(), int(record.payload.bytes.size())) < 0)
      return fail(ErrorCode::exhausted, "no memory for a frame of {} bytes", record.payload.bytes.size());
    std::ranges::copy(record.payload.bytes, packet->data);
    if (record.keyframe) packet->flags |= AV_PKT_FLAG_KEY;
    auto found = open_.find(record.source_id);
    if (found != open_.end()) {
      const Segment& segment = *found->second;
      if (!segment.fits(record) || (record.keyframe && segment.is_full(record, params_.segment))) {
        open_.erase(found);
        found = open_.end();
      }
    }
    if (found == open_.end()) {
      // Nothing can be played before a keyframe.
      if (!record.keyframe) return {};
      auto made = Segment::open(next_path(record), params_, record, *packet);
      if (!made) return forward_error(made);
      found = open_.emplace(record.source_id, std::move(*made)).first;
    }
    return found->second->write(record, *packet);
  }

  std::string next_path(const Record& record) {
    const std::string ending = params_.container == Container::mp4 ? ".mp4" : ".mkv";
    if (params_.naming == Naming::source) {
      // Those of an earlier process stay.
      for (std::error_code ignored;;) {
        const unsigned number = ++made_[record.source_id];
        const fs::path path =
            folder_ / (number == 1 ? record.source_id + ending
                                   : std::format("{}-{}{}", record.source_id, number, ending));
        if (!fs::exists(path, ignored)) return path;
      }
    }
    std::string uuid;
    for (const uint8_t byte : record.uuid) uuid += std::format("{:02x}", byte);
    return folder_ / std::format("{}_{}_{}{}", record.source_id, record.epoch, uuid, ending);
  }

  Params params_;
  fs::path folder_;
  std::map<std::string, std::unique_ptr<Segment>> open_;
  std::map<std::string, unsigned> made_;
  Selector when_;
  std::map<std::string, Clip> clips_;
  std::set<std::string> broken_;  // sources whose file could not be written: until their next keyframe
};

const SinkRegistration registration(SinkDesc{
    .name = "video_file",
    .doc = "Writes the encoded frames of each source to video files, in segments that begin at keyframes",
    .nature = SinkNature::video,
    .params = ParamTable::of<Params>({
        param("folder", &Params::folder, "folder of the files"),
        param("container", &Params::container, "of the files").choices({"mp4", "mkv"}),
        param("naming", &Params::naming,
              "segment: SOURCE_EPOCH_UUID, with the UUID of the first frame; source: SOURCE, then SOURCE-2…")
            .choices({"segment", "source"}),
        param("segment", &Params::segment,
              "length after which the next keyframe begins a file; 0: one per epoch")
            .in("s")
            .range(0, 86400),
        param("metadata", &Params::metadata, "write the results beside each file, as FILE.jsonl"),
        param("pre-roll", &Params::pre_roll,
              "before the first frame for which `when` holds, from the keyframe before that on")
            .in("s")
            .range(0, 600),
        param("post-roll", &Params::post_roll, "after the last one").in("s").range(0, 600),
        param("roll-bytes", &Params::roll_bytes, "most memory that waits for an event, of each source")
            .range(1, 1e12)
            .in("bytes"),
        param("roll-when", &Params::roll_when,
              "selector of the events; in a module it is `when` of the sink"),
    }),
    .create = &VideoFile::create,
});

}  // namespace
}  // namespace sightglass::adapters
