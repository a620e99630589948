// Groups the peaks of heat maps to persons by part-affinity fields (OpenPose). A field points from one end of
// a link to the other wherever that link is, so two points belong together as far as the field along the line
// between them agrees with it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace sightglass {

struct PoseLink {
  uint16_t from = 0, to = 0;  // points
  uint16_t x = 0, y = 0;      // maps of the field
};

// The 19 links of OpenPose's model of 18 points and the maps of their fields, in the order in which persons
// are put together; the last two close circles and begin no person.
std::span<const PoseLink> openpose_links();

class OpenPose {
 public:
  struct Maps {
    std::span<const float> heat, fields;  // one behind the other
    int64_t height = 0, width = 0;
  };
  struct Options {
    std::span<const PoseLink> links;
    size_t closing = 0;  // so many of the last ones begin no person
    size_t points = 0, least_points = 3;
    float threshold = 0.1f;  // of a peak
  };
  static constexpr size_t most_peaks = 128;  // of a kind of point
  static constexpr size_t most_persons = 128;

  // Calls person(points), x, y (0..1), score for each point, score 0 where it was not found.
  template <class F>
  void run(const Maps& maps, const Options& options, F person) {
    find_peaks(maps, options);
    group(maps, options);
    std::vector<float>& points = points_;
    for (const Person& found : persons_) {
      if (found.count < options.least_points) continue;
      points.clear();
      for (size_t k = 0; k < options.points; ++k) {
        const int32_t index = members_[found.first + k];
        if (index < 0) {
          points.insert(points.end(), {-1, -1, 0});
        } else {
          const Peak& peak = peaks_[size_t(index)];
          points.insert(points.end(), {(peak.x + .5f) / float(maps.width),
                                       (peak.y + .5f) / float(maps.height), peak.score});
        }
      }
      person(std::span<const float>(points));
    }
  }

 private:
  struct Peak {
    float x, y, score;  // cells
  };
  struct Person {
    size_t first = 0;  // of its points in members_, an index of peaks_ or -1 each
    size_t count = 0;
  };
  struct Pair {
    int32_t from, to;  // peaks
    float score;
  };

  void find_peaks(const Maps& maps, const Options& options);
  void group(const Maps& maps, const Options& options);
  void find_pairs(const Maps& maps, const PoseLink& link);
  void connect(const PoseLink& link, const Pair& pair, size_t points, bool may_begin);

  std::vector<Peak> peaks_;         // by kind of point
  std::vector<size_t> first_peak_;  // of each kind, and one behind the last
  std::vector<Pair> pairs_;
  std::vector<bool> taken_;
  std::vector<Person> persons_;
  std::vector<int32_t> members_;
  std::vector<float> points_;
};

}  // namespace sightglass
