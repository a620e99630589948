// What the host hands to the CUDA kernels of this folder: plain numbers, since nvcc, NVRTC and the C++23
// compiler all read it. A picture is drawn in tiles: a block of threads each, two by two pixels per thread,
// which take the commands of their tile in order.
#pragma once

#include "sightglass/elements/opencv_meta_overlay/draw_command.h"

namespace sightglass::draw {

enum { tile_width = 64, tile_height = 16 };  // pixels

// Sample (x, y) of a component lies at data + y·stride + x·step, and stands for 2^shift pixels.
struct Component {
  unsigned char* data;
  long long stride;
  int step, shift_x, shift_y;
};

// The commands references[first] up to first + count touch the tile at (x, y), pixels.
struct Tile {
  int x, y;
  unsigned first, count;
};

// Cells in rows without gaps, `first` bytes into the masks: floats or bytes.
struct Mask {
  int width, height;
  unsigned long long first;
};

constexpr int most_colors = 20;

struct Canvas {
  Component components[4];
  int component_count, width, height;
  const Command* commands;
  const Tile* tiles;
  const unsigned* references;
  const Mask* masks;
  const unsigned char* cells;
  const unsigned char* atlas;
  unsigned char palette[most_colors][4];  // of labels, in the components of the picture
};

// Squares of one colour each, the mean of what was there; they share no sample.
struct Mosaic {
  Component components[4];
  int component_count;
  const Area* squares;  // a block each
};

}  // namespace sightglass::draw
