#include "sightglass/cli/detect_results.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>

#include "sightglass/cli/text.h"
#include "sightglass/core/json_writer.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass::cli {
namespace {

constexpr const char* picture_folder = "annotated";

// Rounded, since nobody wants to read sixteen digits.
double rounded(double value, double parts) { return double(int64_t(value * parts + 0.5)) / parts; }

Status write_text(const std::filesystem::path& file, const std::string& text) {
  std::ofstream stream(file, std::ios::binary);
  stream << text;
  stream.close();
  if (!stream) return fail(ErrorCode::io, "{}: cannot be written: {}", file.string(), std::strerror(errno));
  return {};
}

}  // namespace

DetectResults::DetectResults(std::filesystem::path output, std::vector<std::filesystem::path> pictures,
                             GstClockTime picture_step)
    : output_(std::move(output)), pictures_(std::move(pictures)), picture_step_(picture_step) {
  std::set<std::string> used;
  for (const auto& picture : pictures_) {
    std::string name = picture.stem().string() + ".jpg";
    for (int i = 2; !used.insert(name).second; ++i)
      name = std::format("{}-{}.jpg", picture.stem().string(), i);
    picture_names_.push_back(name);
  }
}

void DetectResults::see(GstPad* pad, GstBuffer* buffer, const Tally& objects) {
  if (!output_.empty()) {
    gst::CapsPtr caps(gst_pad_get_current_caps(pad));
    GstVideoInfo info;
    if (caps && gst_video_info_from_caps(&info, caps.get())) sheet_.offer(info, buffer);
  }
  if (!GST_BUFFER_PTS_IS_VALID(buffer)) return;
  const std::string found = objects.empty() ? "nothing" : tally_text(objects);
  std::lock_guard lock(mutex_);
  if (!pictures_.empty()) {
    lines_.push_back(std::format("{}: {}", pictures_.at(picture_of(buffer)).filename().string(), found));
    return;
  }
  const auto second = int64_t(GST_BUFFER_PTS(buffer) / GST_SECOND);
  if (output_.empty() && second != last_second_)
    lines_.push_back(std::format("{:>7}  {}", clock_text(double(second)), found));
  last_second_ = second;
}

Status DetectResults::save_picture(GstSample* jpeg) {
  auto* buffer = gst_sample_get_buffer(jpeg);
  const auto file = output_ / picture_folder / picture_names_.at(picture_of(buffer));
  GstMapInfo map;
  if (!gst_buffer_map(buffer, &map, GST_MAP_READ))
    return fail(ErrorCode::internal, "{}: cannot be read from memory", file.string());
  std::error_code ignored;
  std::filesystem::create_directories(file.parent_path(), ignored);
  auto status = write_text(file, {reinterpret_cast<const char*>(map.data), map.size});
  gst_buffer_unmap(buffer, &map);
  std::lock_guard lock(mutex_);
  if (status) ++saved_;
  return status;
}

std::vector<std::string> DetectResults::take_lines() {
  std::lock_guard lock(mutex_);
  std::vector<std::string> lines(lines_.begin(), lines_.end());
  lines_.clear();
  return lines;
}

Status DetectResults::write_files(const Totals& totals, const RunNames& names, bool is_complete) {
  if (output_.empty()) return {};
  const auto sheet = sheet_.write(output_ / "contact.png");
  std::string text;
  JsonWriter json(text, 2);
  json.begin_object();
  json.field("input", names.input);
  json.field("model", names.model);
  json.field("engine", names.engine);
  json.field("frames", totals.frames);
  json.field("seconds", rounded(totals.seconds, 1000));
  json.field("fps", totals.seconds > 0 ? rounded(double(totals.frames) / totals.seconds, 100) : 0.0);
  json.field("detections", totals.objects);
  json.field("tracks", totals.tracks);
  json.key("classes");
  json.begin_object();
  for (const auto& [label, times] : totals.classes) json.field(label, times);
  json.end_object();
  json.field("complete", is_complete);
  json.end_object();
  auto summary = write_text(output_ / "summary.json", text + "\n");
  return sheet ? summary : sheet;
}

std::vector<std::string> DetectResults::written() const {
  std::vector<std::string> names;
  std::error_code ignored;
  if (pictures_.empty()) {
    names.emplace_back("annotated.mp4");
  } else {
    std::lock_guard lock(mutex_);
    if (saved_) names.push_back(std::format("{}/ ({})", picture_folder, count_text(saved_, "picture")));
  }
  for (const char* name : {"detections.jsonl", "contact.png", "summary.json"}) names.emplace_back(name);
  std::erase_if(names, [&](const std::string& name) {
    return !name.contains('/') && !std::filesystem::exists(output_ / name, ignored);
  });
  return names;
}

}  // namespace sightglass::cli
