// Draws the commands of a list into a picture in device memory, in place. What a pixel is covered by, and how
// it is mixed, is the definition that the CPU's canvas has (draw_command.h): the pictures are the same.
#include "sightglass/elements/opencv_meta_overlay/draw_kernel.h"

using namespace sightglass::draw;

namespace {

// Two by two pixels, the upper row first, and the samples that stand for them.
struct Quad {
  int x, y;
  int columns, rows;            // inside the picture: 1 or 2
  unsigned char samples[4][4];  // per component; of subsampled ones fewer
  unsigned char before[4][4];
};

__device__ void mix_into(unsigned char& sample, unsigned char ink, int alpha) {
  if (alpha == 255)
    sample = ink;
  else if (alpha > 0)
    sample = mixed(sample, ink, alpha);
}

// `coverage`: of the four pixels, 0 outside of the picture.
__device__ void apply(const Canvas& canvas, Quad& quad, const int (&coverage)[4], const unsigned char* ink) {
  if ((coverage[0] | coverage[1] | coverage[2] | coverage[3]) == 0) return;
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    if (c >= canvas.component_count) break;
    const Component& part = canvas.components[c];
    unsigned char(&samples)[4] = quad.samples[c];
    if (part.shift_x == 0) {  // and no format has rows only
#pragma unroll
      for (int i = 0; i < 4; ++i) mix_into(samples[i], ink[c], coverage[i]);
    } else if (part.shift_y == 0) {
      mix_into(samples[0], ink[c], (coverage[0] + coverage[1]) / quad.columns);
      mix_into(samples[2], ink[c], (coverage[2] + coverage[3]) / quad.columns);
    } else {
      mix_into(samples[0], ink[c],
               (coverage[0] + coverage[1] + coverage[2] + coverage[3]) / (quad.columns * quad.rows));
    }
  }
}

__device__ bool is_in(const Area& area, int x, int y) {
  return x >= area.x && y >= area.y && x < area.x + area.w && y < area.y + area.h;
}

__device__ int score_coverage(const Canvas& canvas, const Mask& mask, const Area& area, int x, int y) {
  const float* const cells = reinterpret_cast<const float*>(canvas.cells + mask.first);
  const Between down = between(y, area.y, area.h, mask.height),
                across = between(x, area.x, area.w, mask.width);
  const float* const upper = cells + (long long)(down.first) * mask.width;
  const float* const lower = cells + (long long)(down.second) * mask.width;
  const float value = blended(blended(upper[across.first], lower[across.first], down.part),
                              blended(upper[across.second], lower[across.second], down.part), across.part);
  return value >= least_score ? mask_alpha : 0;
}

// Row by row of cells; in one, pixels of one label are covered at once.
__device__ void apply_labels(const Canvas& canvas, Quad& quad, const Mask& mask, const Area& area) {
  int left = -1, right = -1;  // columns of cells
  if (quad.x >= area.x && quad.x < area.x + area.w) left = cell_at(quad.x, mask.width, area.x, area.w);
  if (quad.columns > 1 && quad.x + 1 >= area.x && quad.x + 1 < area.x + area.w)
    right = cell_at(quad.x + 1, mask.width, area.x, area.w);
  int row_cell[2] = {-1, -1};
  for (int row = 0; row < quad.rows; ++row)
    if (quad.y + row >= area.y && quad.y + row < area.y + area.h)
      row_cell[row] = cell_at(quad.y + row, mask.height, area.y, area.h);
  for (int row = 0; row < 2; ++row) {
    if (row_cell[row] < 0 || (row == 1 && row_cell[1] == row_cell[0])) continue;
    const bool both = row == 0 && row_cell[1] == row_cell[0];
    const unsigned char* const cells =
        canvas.cells + mask.first + (unsigned long long)(row_cell[row]) * (unsigned long long)(mask.width);
    const int label[2] = {left < 0 ? no_label : cells[left], right < 0 ? no_label : cells[right]};
    for (int column = 0; column < 2; ++column) {
      if (label[column] == no_label || (column == 1 && label[1] == label[0])) continue;
      int coverage[4] = {};
      for (int i = 0; i < 4; ++i)
        if ((i / 2 == row || both) && label[i % 2] == label[column]) coverage[i] = mask_alpha;
      apply(canvas, quad, coverage, canvas.palette[label[column] % most_colors]);
    }
  }
}

__device__ void apply(const Canvas& canvas, Quad& quad, const Command& command) {
  if (command.kind == labels) {
    apply_labels(canvas, quad, canvas.masks[command.data], command.place.area);
    return;
  }
  const Stroke line_stroke = command.kind == line ? stroke(command.place.segment, command.radius) : Stroke{};
  int covered[4] = {};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int x = quad.x + i % 2, y = quad.y + i / 2;
    if (i % 2 >= quad.columns || i / 2 >= quad.rows) continue;
    if (command.kind == line) {
      covered[i] = coverage(line_stroke, x, y);
      continue;
    }
    const Area& area = command.place.area;
    if (!is_in(area, x, y)) continue;
    if (command.kind == fill)
      covered[i] = command.alpha;
    else if (command.kind == glyph)
      covered[i] = canvas.atlas[command.data + (long long)(y - area.y) * area.w + (x - area.x)];
    else if (command.kind == scores)
      covered[i] = score_coverage(canvas, canvas.masks[command.data], area, x, y);
  }
  apply(canvas, quad, covered, command.ink);
}

// Calls each(component, sample of it, the sample's address); samples lie as the coverage of pixels does.
template <class Each>
__device__ void for_each_sample(const Canvas& canvas, const Quad& quad, Each each) {
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    if (c >= canvas.component_count) break;
    const Component& part = canvas.components[c];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = i % 2, row = i / 2;
      if (column >= quad.columns || row >= quad.rows) continue;
      if ((column > 0 && part.shift_x > 0) || (row > 0 && part.shift_y > 0)) continue;
      each(c, i,
           part.data + ((quad.y + row) >> part.shift_y) * part.stride +
               (long long)((quad.x + column) >> part.shift_x) * part.step);
    }
  }
}

}  // namespace

extern "C" __global__ void draw_tiles(const __grid_constant__ Canvas canvas) {
  const Tile tile = canvas.tiles[blockIdx.x];
  Quad quad = {};
  quad.x = tile.x + 2 * int(threadIdx.x), quad.y = tile.y + 2 * int(threadIdx.y);
  if (quad.x >= canvas.width || quad.y >= canvas.height) return;
  quad.columns = min(2, canvas.width - quad.x), quad.rows = min(2, canvas.height - quad.y);
  for_each_sample(canvas, quad,
                  [&](int c, int i, unsigned char* at) { quad.samples[c][i] = quad.before[c][i] = *at; });
  for (unsigned i = 0; i < tile.count; ++i)
    apply(canvas, quad, canvas.commands[canvas.references[tile.first + i]]);
  for_each_sample(canvas, quad, [&](int c, int i, unsigned char* at) {
    if (quad.samples[c][i] != quad.before[c][i]) *at = quad.samples[c][i];
  });
}

extern "C" __global__ void draw_mosaic(const __grid_constant__ Mosaic mosaic) {
  __shared__ unsigned sums[4];
  const Area square = mosaic.squares[blockIdx.x];
  const int me = int(threadIdx.y * blockDim.x + threadIdx.x);
  if (me < 4) sums[me] = 0;
  __syncthreads();
  for (int c = 0; c < mosaic.component_count; ++c) {
    const Component& part = mosaic.components[c];
    const int left = square.x >> part.shift_x, right = ((square.x + square.w - 1) >> part.shift_x) + 1;
    const int top = square.y >> part.shift_y, bottom = ((square.y + square.h - 1) >> part.shift_y) + 1;
    unsigned sum = 0;
    for (int y = top + int(threadIdx.y); y < bottom; y += int(blockDim.y))
      for (int x = left + int(threadIdx.x); x < right; x += int(blockDim.x))
        sum += part.data[y * part.stride + (long long)(x)*part.step];
    atomicAdd(&sums[c], sum);
  }
  __syncthreads();
  for (int c = 0; c < mosaic.component_count; ++c) {
    const Component& part = mosaic.components[c];
    const int left = square.x >> part.shift_x, right = ((square.x + square.w - 1) >> part.shift_x) + 1;
    const int top = square.y >> part.shift_y, bottom = ((square.y + square.h - 1) >> part.shift_y) + 1;
    const auto mean = (unsigned char)(sums[c] / (unsigned)((right - left) * (bottom - top)));
    for (int y = top + int(threadIdx.y); y < bottom; y += int(blockDim.y))
      for (int x = left + int(threadIdx.x); x < right; x += int(blockDim.x))
        part.data[y * part.stride + (long long)(x)*part.step] = mean;
  }
}
