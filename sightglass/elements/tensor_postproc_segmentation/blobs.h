// Connected cells of a map, and the boxes around them.
//
//   BlobFinder finder;                                   // one per element, reuses its memory
//   for (const Blob& blob : finder.run(map, 96, 64, 0.3f)) …
//
// Cells that touch, corners included, belong together. Blobs come in the order of their topmost, then
// leftmost cell. Cost: one pass over the map, and sorting the ends of the blobs' rows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sightglass {

// A rectangle; the angle is in radians, clockwise, -π/4 … π/4, and the sides are those before the rotation
// about the centre. Cells of the map.
struct TurnedBox {
  double x = 0, y = 0, w = 0, h = 0;  // of the centre; sides
  double angle = 0;
  double area() const { return w * h; }
};

struct Blob {
  TurnedBox box;      // the smallest around it
  TurnedBox upright;  // the smallest that is not turned
  int64_t cells = 0;
  double score = 0;  // mean of its cells
};

class BlobFinder {
 public:
  static constexpr size_t most_blobs = 20'000;

  // Of the cells with at least `threshold`; what is not a number is none. Valid until the next call.
  std::span<const Blob> run(std::span<const float> map, int64_t width, int64_t height, float threshold);

 private:
  struct Run {
    int32_t y, begin, end;  // cells of a row, end exclusive
    int32_t blob;           // its parent while they are joined
    float sum;
  };
  struct Point {
    double x, y;
  };

  int32_t root(int32_t run);
  void find_runs(std::span<const float> map, int64_t width, int64_t height, float threshold);
  void enclose(Blob& blob);  // points_

  std::vector<Run> runs_;
  std::vector<int32_t> order_;
  std::vector<Point> points_, hull_;
  std::vector<Blob> blobs_;
};

// Grown on each side by area · ratio / perimeter: text detectors learn lines that are shrunk by such an
// amount.
TurnedBox unclip(const TurnedBox& box, double ratio);

}  // namespace sightglass
