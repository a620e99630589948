// How good a tracker is, for tests: CLEAR-MOT (MOTA, identity switches) and IDF1, at an overlap of 0.5.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <vector>

#include "sightglass/core/region.h"

namespace sightglass::mot {

struct Entry {
  int64_t id = 0;
  Box box;
  float score = 0;  // column 7: confidence, or the flag of ground truth
};
using Sequence = std::map<int, std::vector<Entry>>;  // by frame number

// The text format of MOTChallenge: frame,id,left,top,width,height,score,…
std::optional<Sequence> read(const std::filesystem::path& path);

struct Scores {
  double mota = 0, idf1 = 0, recall = 0, precision = 0;
  int switches = 0, misses = 0, false_positives = 0, objects = 0;
};
Scores judge(const Sequence& truth, const Sequence& result);

}  // namespace sightglass::mot
