// What the host hands to the CUDA kernel of this folder and gets back: plain numbers, since nvcc, NVRTC and
// the C++23 compiler all read it. One launch turns the outputs of a detector, one sample of them, into the
// boxes that stay after non-maximum suppression, best first.
#pragma once

// The kernels are boxes_f32 and boxes_f16, by the type of the outputs.
namespace sightglass::cuda {

enum BoxHead {
  rows_head,     // cx, cy, w, h, perhaps objectness, class scores: YOLOv8, and v5 and v7 as decoded
  x_head,        // YOLOX: centres relative to their cell, logarithms of sizes
  end2end_head,  // corners or centres, score, class
  anchor_head,   // grids with anchors: YOLOv2 to v5 and v7
  yunet_head,    // class, objectness, box and points in tensors of their own
};

constexpr int most_levels = 4, most_anchors = 8;  // grids, boxes of a cell
constexpr int box_threads = 256;                  // of a block

// A grid, or all rows. Number k of row i (of cell x, y, box b of anchor_head) lies at values[0] + i·box_step
// (b·box_step + y·y_step + x·x_step) + k·entry_step, steps in numbers. The sources of a level, the rows in
// the order in which the decoder of the CPU looks at them, begin at first_source.
struct BoxLevel {
  const void* values[4];  // of yunet_head: two scores whose product is squared, boxes, points
  unsigned first_source;
  int width, height;  // cells
  long long box_step, y_step, x_step, entry_step;
  float stride_x, stride_y;         // pixels per cell
  float anchors[2 * most_anchors];  // pixels
};

// A box that stays; `extra` numbers follow it as they are in the output.
struct FoundBox {
  float x1, y1, x2, y2, score, angle;
  int class_id;
  unsigned source;
};

// Of a box among those kept, for the boxes behind it: the Gaussian of a turned one (candidates.h).
struct BoxShape {
  double a, b, c, determinant, x, y;
};
struct KeptBox {
  float x1, y1, x2, y2;
  int class_id;
  BoxShape shape;
};

struct BoxTask {
  BoxHead head;
  BoxLevel level[most_levels];
  int levels;
  unsigned sources;  // of all levels
  float threshold;
  // Of heads with rows: numbers of a row.
  int first_class, classes;
  int angle;                                    // -1: none
  int is_centred;                               // end2end_head
  int softmax, sigmoid, squared_sizes, points;  // anchor_head, see AnchorRules
  float least_logit;                            // below it the sigmoid is surely below the threshold
  // Suppression.
  float iou_threshold;  // 1 and more: none
  double shape_limit;   // of the distance of two turned boxes
  int per_class, oriented, most;
  int first_extra, extras;  // numbers of a row that come along
  // Memory of the device: `sources` numbers each, `most` boxes, and two numbers that are 0 before and after.
  unsigned long long* keys;
  int* classes_found;
  KeptBox* kept;
  unsigned* counters;
  // Memory of the CPU that the device writes: FoundBox and its extras, `found_bytes` from one to the next.
  unsigned* count;
  unsigned char* found;
  int found_bytes;
};

}  // namespace sightglass::cuda
