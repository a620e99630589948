#include "sightglass/elements/opencv_object_association/mot_scores.h"

#include <charconv>
#include <fstream>
#include <string>

#include "sightglass/elements/opencv_object_association/assignment.h"

namespace sightglass::mot {

std::optional<Sequence> read(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  Sequence sequence;
  for (std::string line; std::getline(file, line);) {
    float column[7] = {};
    const char *at = line.data(), *end = at + line.size();
    for (float& value : column) {
      const auto [next, error] = std::from_chars(at, end, value);
      if (error != std::errc{}) return std::nullopt;
      at = next + (next != end);
    }
    sequence[int(column[0])].push_back(
        {int64_t(column[1]), {column[2], column[3], column[4], column[5]}, column[6]});
  }
  return sequence;
}

Scores judge(const Sequence& truth, const Sequence& result) {
  Scores scores;
  std::map<int64_t, int64_t> partner;                        // of a true object, when last matched
  std::map<std::pair<int64_t, int64_t>, int> common_frames;  // (truth, track) → frames in which they overlap
  std::map<int64_t, int> truth_index, track_index;
  int results = 0, matches = 0;
  Assignment assignment;
  static const std::vector<Entry> nothing;

  for (const auto& [frame, entries] : result) {
    results += int(entries.size());
    for (const Entry& entry : entries) track_index.try_emplace(entry.id, int(track_index.size()));
  }
  for (const auto& [frame, objects] : truth) {
    scores.objects += int(objects.size());
    const auto found = result.find(frame);
    const std::vector<Entry>& tracks = found == result.end() ? nothing : found->second;
    std::vector<float> costs(objects.size() * tracks.size(), 2);
    for (size_t i = 0; i < objects.size(); ++i) {
      truth_index.try_emplace(objects[i].id, int(truth_index.size()));
      const auto last = partner.find(objects[i].id);
      for (size_t k = 0; k < tracks.size(); ++k) {
        const float overlap = iou(objects[i].box, tracks[k].box);
        if (overlap < 0.5f) continue;
        ++common_frames[{objects[i].id, tracks[k].id}];
        // A pair that goes on counts before any new one.
        const bool goes_on = last != partner.end() && last->second == tracks[k].id;
        costs[i * tracks.size() + k] = goes_on ? -1000 : 1 - overlap;
      }
    }
    // As many pairs as possible first, then the best ones: every pair is worth more than all differences in
    // overlap.
    const auto track_of = assignment.solve(int(objects.size()), int(tracks.size()), costs, 1.999f);
    for (size_t i = 0; i < objects.size(); ++i) {
      if (track_of[i] == Assignment::none) continue;
      ++matches;
      const auto [last, first_time] = partner.try_emplace(objects[i].id, tracks[track_of[i]].id);
      if (!first_time && last->second != tracks[track_of[i]].id) ++scores.switches;
      last->second = tracks[track_of[i]].id;
    }
  }
  scores.misses = scores.objects - matches;
  scores.false_positives = results - matches;
  scores.mota = 1 - double(scores.misses + scores.false_positives + scores.switches) / scores.objects;
  scores.recall = double(matches) / scores.objects;
  scores.precision = results ? double(matches) / results : 0;

  // IDF1: one track per true object over the whole sequence, so that as many frames as possible agree.
  std::vector<float> costs(truth_index.size() * track_index.size(), 0);
  for (const auto& [pair, frames] : common_frames)
    costs[truth_index[pair.first] * track_index.size() + track_index[pair.second]] = -float(frames);
  const auto track_of = assignment.solve(int(truth_index.size()), int(track_index.size()), costs, 0);
  double common = 0;
  for (size_t i = 0; i < track_of.size(); ++i)
    if (track_of[i] != Assignment::none) common -= costs[i * track_index.size() + track_of[i]];
  scores.idf1 = 2 * common / (scores.objects + results);
  return scores;
}

}  // namespace sightglass::mot
