#include "sightglass/elements/tensor_postproc_segmentation/blobs.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

namespace sightglass {

int32_t BlobFinder::root(int32_t run) {
  while (runs_[size_t(run)].blob != run) {
    int32_t& parent = runs_[size_t(run)].blob;
    parent = runs_[size_t(parent)].blob;
    run = parent;
  }
  return run;
}

void BlobFinder::find_runs(std::span<const float> map, int64_t width, int64_t height, float threshold) {
  runs_.clear();
  size_t above = 0, above_end = 0;  // the runs of the row above
  for (int64_t y = 0; y < height; ++y) {
    const float* row = map.data() + y * width;
    const size_t first = runs_.size();
    for (int64_t x = 0; x < width;) {
      if (!(row[x] >= threshold)) {
        ++x;
        continue;
      }
      const int64_t begin = x;
      float sum = 0;
      for (; x < width && row[x] >= threshold; ++x) sum += row[x];
      const auto index = int32_t(runs_.size());
      runs_.push_back({int32_t(y), int32_t(begin), int32_t(x), index, sum});
      // Those above that end left of this one meet no later one either.
      while (above < above_end && runs_[above].end < begin) ++above;
      for (size_t other = above; other < above_end && runs_[other].begin <= x; ++other) {
        const int32_t a = root(int32_t(other)), b = root(index);
        runs_[size_t(std::max(a, b))].blob = std::min(a, b);  // the first run is the root
      }
    }
    above = first, above_end = runs_.size();
  }
}

// The smallest rectangle has a side along one of the hull's edges.
void BlobFinder::enclose(Blob& blob) {
  const auto cross = [](Point o, Point a, Point b) {
    return (a.x - o.x) * (b.y - o.y) - (a.y - o.y) * (b.x - o.x);
  };
  std::ranges::sort(points_, [](Point a, Point b) { return a.x != b.x ? a.x < b.x : a.y < b.y; });
  hull_.clear();
  const auto add = [&](Point p, size_t least) {
    while (hull_.size() >= least && cross(hull_[hull_.size() - 2], hull_.back(), p) <= 0) hull_.pop_back();
    hull_.push_back(p);
  };
  for (const Point& p : points_) add(p, 2);
  const size_t lower = hull_.size() + 1;
  for (size_t i = points_.size() - 1; i-- > 0;) add(points_[i], lower);
  hull_.pop_back();  // the first again

  const auto fit = [&](double angle) {
    const double c = std::cos(angle), s = std::sin(angle);
    double u0 = std::numeric_limits<double>::infinity(), u1 = -u0, v0 = u0, v1 = -u0;
    for (const Point& p : hull_) {
      const double u = p.x * c + p.y * s, v = p.y * c - p.x * s;
      u0 = std::min(u0, u), u1 = std::max(u1, u), v0 = std::min(v0, v), v1 = std::max(v1, v);
    }
    const double u = (u0 + u1) / 2, v = (v0 + v1) / 2;
    return TurnedBox{u * c - v * s, u * s + v * c, u1 - u0, v1 - v0, angle};
  };
  blob.upright = blob.box = fit(0);
  for (size_t i = 0; i < hull_.size(); ++i) {
    const Point a = hull_[i], b = hull_[(i + 1) % hull_.size()];
    // To the nearest axis.
    const double angle = std::remainder(std::atan2(b.y - a.y, b.x - a.x), std::numbers::pi / 2);
    const TurnedBox box = fit(angle);
    if (box.area() < blob.box.area() - 1e-9) blob.box = box;
  }
}

std::span<const Blob> BlobFinder::run(std::span<const float> map, int64_t width, int64_t height,
                                      float threshold) {
  find_runs(map, width, height, threshold);
  for (size_t i = 0; i < runs_.size(); ++i) runs_[i].blob = root(int32_t(i));
  order_.resize(runs_.size());
  std::iota(order_.begin(), order_.end(), 0);
  // Runs of one blob behind each other; equal ones stay in order by their place.
  std::ranges::sort(order_, {}, [&](int32_t i) { return std::pair(runs_[size_t(i)].blob, i); });

  blobs_.clear();
  for (size_t i = 0; i < order_.size() && blobs_.size() < most_blobs;) {
    const int32_t id = runs_[size_t(order_[i])].blob;
    Blob& blob = blobs_.emplace_back();
    double sum = 0;
    points_.clear();
    for (; i < order_.size() && runs_[size_t(order_[i])].blob == id; ++i) {
      const Run& r = runs_[size_t(order_[i])];
      blob.cells += r.end - r.begin;
      sum += double(r.sum);
      for (const int32_t x : {r.begin, r.end})
        for (const int32_t y : {r.y, r.y + 1}) points_.push_back({double(x), double(y)});
    }
    blob.score = sum / double(blob.cells);
    enclose(blob);
  }
  return blobs_;
}

TurnedBox unclip(const TurnedBox& box, double ratio) {
  const double perimeter = 2 * (box.w + box.h), by = perimeter > 0 ? box.area() * ratio / perimeter : 0;
  return {box.x, box.y, box.w + 2 * by, box.h + 2 * by, box.angle};
}

}  // namespace sightglass
