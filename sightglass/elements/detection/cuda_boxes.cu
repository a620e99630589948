// Detectors' outputs to boxes in one launch. Every thread looks at one row; what passes the threshold is put
// into a list, as a key that orders by score and then by row. The block that comes last takes the best of the
// list, a chunk at a time, and goes on until as many boxes stay as are wanted or the list is at its end, so
// the result is that of the CPU (yolo_heads.h, yolo_anchors.h, candidates.h) however many pass. Arithmetic
// that decides is in the CPU's order and without fused multiply-add; exp may differ in its last digit.
#include "sightglass/elements/detection/cuda_boxes.h"
#include "sightglass/memory/cuda/cuda_half.h"

using namespace sightglass::cuda;

namespace {

typedef unsigned long long Key;  // score, and rows from behind; 0: none

constexpr int chunk_size = 512;

// What the last block works on.
struct Chunk {
  Key key[chunk_size];
  FoundBox box[chunk_size];
  BoxShape shape[chunk_size];
  unsigned char is_gone[chunk_size];
  short rank[chunk_size];  // of those that stay
  unsigned histogram[256];
  unsigned taken;
  Key pivot;
  unsigned wanted;
};
static_assert(sizeof(Chunk) <= 48 << 10, "more than a block has without being asked");

__device__ float read(const float* values, long long at) { return values[at]; }
__device__ float read(const Half* values, long long at) { return to_float(values[at]); }

__device__ bool is_finite(float value) { return fabsf(value) <= 3.402823466e38f; }
__device__ float sigmoid(float x) { return 1 / (1 + expf(-x)); }

// A row: where its numbers begin, and its place in its grid.
template <class Value>
struct Row {
  const BoxLevel* level;
  const Value* values;
  long long step;  // from number to number
  int box, x, y;
  long long index;  // in its level
  __device__ float operator[](long long number) const { return read(values, number * step); }
};

template <class Value>
__device__ Row<Value> row_at(const BoxTask& task, unsigned source) {
  int l = 0;
  while (l + 1 < task.levels && source >= task.level[l + 1].first_source) ++l;
  const BoxLevel& level = task.level[l];
  Row<Value> row{};
  row.level = &level;
  row.index = source - level.first_source;
  row.step = level.entry_step;
  long long at = row.index * level.box_step;
  if (level.width > 0) {
    row.x = int(row.index % level.width), row.y = int(row.index / level.width % level.height);
    row.box = int(row.index / level.width / level.height);
    if (task.head == anchor_head) at = row.box * level.box_step + row.y * level.y_step + row.x * level.x_step;
  }
  row.values = static_cast<const Value*>(level.values[0]) + at;
  return row;
}

// The best class score of a row; what is not a number is never the best. -1: all are none.
template <class Value>
__device__ int best_class(const Row<Value>& row, int first, int classes, float& score) {
  int best = -1;
  float most = 0;
#pragma unroll 8
  for (int c = 0; c < classes; ++c) {
    const float value = row[first + c];
    if (value == value && (best < 0 || value > most)) best = c, most = value;
  }
  score = most;
  return best;
}

// Whether the row passes the threshold.
template <class Value>
__device__ bool find_score(const BoxTask& task, const Row<Value>& row, float& score, int& class_id) {
  const float threshold = task.threshold;
  if (task.head == yunet_head) {
    const float one = read(static_cast<const Value*>(row.level->values[0]), row.index),
                other = read(static_cast<const Value*>(row.level->values[1]), row.index);
    class_id = 0;
    // fmaxf takes 0 where the other is not a number.
    score = sqrtf(fminf(1.f, fmaxf(0.f, one)) * fminf(1.f, fmaxf(0.f, other)));
    return score >= threshold;
  }
  if (task.head == end2end_head) {
    score = row[4];
    const float number = row[5];
    if (!(score >= threshold && number >= 0 && number < 1e9f)) return false;
    class_id = int(roundf(number));
    return true;
  }
  const bool is_anchor = task.head == anchor_head;
  float objectness = 1;
  if (task.first_class > 4) {
    objectness = row[4];
    // No class score is above 1, so most rows end here. What is not a number ends here too.
    if (!(objectness >= (is_anchor && task.sigmoid ? task.least_logit : threshold))) return false;
    if (is_anchor && task.sigmoid) objectness = sigmoid(objectness);
    if (!(objectness >= threshold)) return false;
  }
  class_id = best_class(row, task.first_class, task.classes, score);
  if (class_id < 0) return false;
  if (is_anchor && task.softmax) {
    float sum = 0;
    for (int c = 0; c < task.classes; ++c) sum += expf(row[task.first_class + c] - score);
    score = 1 / sum;
  } else if (is_anchor && task.sigmoid) {
    score = sigmoid(score);
  }
  score = __fmul_rn(objectness, score);
  return score >= threshold;
}

// The box of a row, without score and class. False: it is none.
template <class Value>
__device__ bool find_box(const BoxTask& task, const Row<Value>& row, FoundBox& found) {
  const BoxLevel& level = *row.level;
  float x, y, w, h;
  found.angle = 0;
  if (task.head == anchor_head) {
    const auto activated = [&](int number) { return task.sigmoid ? sigmoid(row[number]) : row[number]; };
    const float anchor_w = level.anchors[2 * row.box], anchor_h = level.anchors[2 * row.box + 1];
    x = activated(0), y = activated(1);
    if (task.squared_sizes) {
      x = 2 * x - .5f, y = 2 * y - .5f;
      const float a = 2 * activated(2), b = 2 * activated(3);
      w = a * a * anchor_w, h = b * b * anchor_h;
    } else {
      w = expf(row[2]) * anchor_w, h = expf(row[3]) * anchor_h;
    }
    x = (x + float(row.x)) * level.stride_x, y = (y + float(row.y)) * level.stride_y;
  } else if (task.head == yunet_head) {
    const Value* const box = static_cast<const Value*>(level.values[2]) + 4 * row.index;
    x = (float(row.x) + read(box, 0)) * level.stride_x, y = (float(row.y) + read(box, 1)) * level.stride_y;
    w = expf(read(box, 2)) * level.stride_x, h = expf(read(box, 3)) * level.stride_y;
  } else {
    x = row[0], y = row[1], w = row[2], h = row[3];
    if (task.head == x_head) {
      x = (x + float(row.x)) * level.stride_x, y = (y + float(row.y)) * level.stride_y;
      w = expf(w) * level.stride_x, h = expf(h) * level.stride_y;
    }
    if (task.angle >= 0) found.angle = row[task.angle];
  }
  if (task.head == end2end_head && !task.is_centred)
    found.x1 = x, found.y1 = y, found.x2 = w, found.y2 = h;
  else
    found.x1 = x - w / 2, found.y1 = y - h / 2, found.x2 = x + w / 2, found.y2 = y + h / 2;
  const float area = (found.x2 - found.x1) * (found.y2 - found.y1);
  return found.x2 > found.x1 && found.y2 > found.y1 && is_finite(area) && is_finite(found.x1) &&
         is_finite(found.y1) && is_finite(found.angle);
}

__device__ BoxShape shape_of(const FoundBox& box) {
  BoxShape shape;
  const double w = double(box.x2 - box.x1) * double(box.x2 - box.x1) / 12,
               h = double(box.y2 - box.y1) * double(box.y2 - box.y1) / 12;
  // Of a float, as the CPU has them.
  const double cosine = cosf(box.angle), sine = sinf(box.angle);
  shape.a = w * cosine * cosine + h * sine * sine, shape.b = w * sine * sine + h * cosine * cosine;
  shape.c = (w - h) * cosine * sine;
  shape.determinant = shape.a * shape.b - shape.c * shape.c;
  shape.x = (double(box.x1) + double(box.x2)) / 2, shape.y = (double(box.y1) + double(box.y2)) / 2;
  return shape;
}

// Whether two turned boxes overlap by more than the threshold.
__device__ bool is_near(const BoxShape& p, const BoxShape& q, double limit) {
  const double a = p.a + q.a, b = p.b + q.b, c = p.c + q.c, both = a * b - c * c;
  const double x = p.x - q.x, y = p.y - q.y;
  if (!(both > 0)) return false;
  const double place = (a * y * y + b * x * x - 2 * c * x * y) / both / 4;
  if (!(place < limit)) return false;
  const double alone = fmax(0.0, p.determinant) * fmax(0.0, q.determinant);
  return fmax(0.0, place + log(both / (4 * sqrt(alone)) + 1e-12) / 2) < limit;
}

template <class Better>
__device__ bool overlaps(const Better& a, const FoundBox& b, float threshold) {
  const float w = fminf(a.x2, b.x2) - fmaxf(a.x1, b.x1), h = fminf(a.y2, b.y2) - fmaxf(a.y1, b.y1);
  if (w <= 0 || h <= 0) return false;
  const float both = __fmul_rn(w, h), area_a = __fmul_rn(a.x2 - a.x1, a.y2 - a.y1),
              area_b = __fmul_rn(b.x2 - b.x1, b.y2 - b.y1);
  return both / __fsub_rn(__fadd_rn(area_a, area_b), both) > threshold;
}

template <class Better>
__device__ bool suppresses(const BoxTask& task, const Better& better, const BoxShape& its_shape,
                           const FoundBox& box, const BoxShape& shape) {
  if (task.per_class && better.class_id != box.class_id) return false;
  return task.oriented ? is_near(its_shape, shape, task.shape_limit)
                       : overlaps(better, box, task.iou_threshold);
}

// What other blocks have written.
__device__ Key fresh(const Key* at) { return *static_cast<const volatile Key*>(at); }
__device__ int fresh(const int* at) { return *static_cast<const volatile int*>(at); }

// The best chunk_size of the keys below `upper`, or all `left` of them, sorted; how many they are.
__device__ int take_chunk(Chunk& chunk, const Key* keys, unsigned count, Key upper, unsigned left) {
  const unsigned thread = threadIdx.x, threads = blockDim.x;
  if (thread == 0) chunk.taken = 0, chunk.pivot = 1, chunk.wanted = chunk_size;
  __syncthreads();
  if (left > chunk_size) {
    // From the highest byte on: in which part of the keys the last one wanted lies.
    Key known = 0;  // bits of the pivot that have been found
    for (int shift = 56; shift >= 0; shift -= 8) {
      for (unsigned i = thread; i < 256; i += threads) chunk.histogram[i] = 0;
      __syncthreads();
      const Key pivot = shift == 56 ? 0 : chunk.pivot;
      for (unsigned i = thread; i < count; i += threads) {
        const Key key = fresh(keys + i);
        if (key < upper && (key & known) == pivot)
          atomicAdd(&chunk.histogram[unsigned(key >> shift) & 255], 1u);
      }
      __syncthreads();
      if (thread == 0) {
        unsigned wanted = chunk.wanted;
        int digit = 255;
        while (chunk.histogram[digit] < wanted) wanted -= chunk.histogram[digit--];
        chunk.wanted = wanted;
        chunk.pivot = pivot | Key(digit) << shift;
      }
      known |= Key(255) << shift;
      __syncthreads();
    }
  }
  const Key pivot = chunk.pivot;
  for (unsigned i = thread; i < count; i += threads) {
    const Key key = fresh(keys + i);
    if (key < upper && key >= pivot) chunk.key[atomicAdd(&chunk.taken, 1u)] = key;
  }
  __syncthreads();
  const unsigned taken = chunk.taken;
  unsigned size = 2;
  while (size < taken) size *= 2;
  for (unsigned i = taken + thread; i < size; i += threads) chunk.key[i] = 0;
  for (unsigned k = 2; k <= size; k *= 2)
    for (unsigned j = k / 2; j > 0; j /= 2) {
      __syncthreads();
      for (unsigned i = thread; i < size; i += threads) {
        const unsigned other = i ^ j;
        if (other < i) continue;
        const Key a = chunk.key[i], b = chunk.key[other];
        if ((i & k) == 0 ? a < b : a > b) chunk.key[i] = b, chunk.key[other] = a;
      }
    }
  __syncthreads();
  return int(taken);
}

template <class Value>
__device__ void write_box(const BoxTask& task, const FoundBox& box, int place) {
  FoundBox* const to = reinterpret_cast<FoundBox*>(task.found + (long long)(place)*task.found_bytes);
  *to = box;
  float* const extra = reinterpret_cast<float*>(to + 1);
  const Row<Value> row = row_at<Value>(task, box.source);
  for (int k = 0; k < task.extras; ++k)
    extra[k] = task.head == yunet_head
                   ? read(static_cast<const Value*>(row.level->values[3]), task.extras * row.index + k)
                   : row[task.first_extra + k];
}

template <class Value>
__device__ void suppress(const BoxTask& task, unsigned count) {
  __shared__ Chunk chunk;
  const int thread = int(threadIdx.x), threads = int(blockDim.x);
  int kept = 0;
  Key upper = ~Key(0);
  for (unsigned left = count; left > 0 && kept < task.most;) {
    const int taken = take_chunk(chunk, task.keys, count, upper, left);
    left -= unsigned(taken);
    upper = chunk.key[taken - 1];
    for (int i = thread; i < taken; i += threads) {
      FoundBox box;
      box.score = __uint_as_float(unsigned(chunk.key[i] >> 32));
      box.source = ~unsigned(chunk.key[i]);
      find_box(task, row_at<Value>(task, box.source), box);
      box.class_id = fresh(task.classes_found + box.source);
      BoxShape shape{};
      if (task.oriented) shape = shape_of(box);
      bool is_gone = false;
      for (int k = 0; k < kept && task.iou_threshold < 1 && !is_gone; ++k)
        is_gone = suppresses(task, task.kept[k], task.kept[k].shape, box, shape);
      chunk.box[i] = box, chunk.shape[i] = shape, chunk.is_gone[i] = is_gone;
    }
    __syncthreads();
    int stay = 0;
    for (int i = 0; i < taken && kept + stay < task.most; ++i) {
      if (chunk.is_gone[i]) continue;
      if (thread == 0) chunk.rank[stay] = short(i);
      ++stay;
      if (task.iou_threshold >= 1) continue;
      for (int j = i + 1 + thread; j < taken; j += threads)
        if (!chunk.is_gone[j] && suppresses(task, chunk.box[i], chunk.shape[i], chunk.box[j], chunk.shape[j]))
          chunk.is_gone[j] = 1;
      __syncthreads();
    }
    __syncthreads();
    for (int i = thread; i < stay; i += threads) {
      const FoundBox& box = chunk.box[chunk.rank[i]];
      write_box<Value>(task, box, kept + i);
      task.kept[kept + i] = {box.x1, box.y1, box.x2, box.y2, box.class_id, chunk.shape[chunk.rank[i]]};
    }
    kept += stay;
    __syncthreads();
  }
  if (thread == 0) *task.count = unsigned(kept);
}

template <class Value>
__device__ void find_boxes(const BoxTask& task) {
  __shared__ unsigned is_last;
  const unsigned source = blockIdx.x * blockDim.x + threadIdx.x;
  if (source < task.sources) {
    const Row<Value> row = row_at<Value>(task, source);
    float score = 0;
    int class_id = 0;
    FoundBox box;
    if (find_score(task, row, score, class_id) && is_finite(score) && find_box(task, row, box)) {
      task.classes_found[source] = class_id;
      // Scores are not negative; a zero has one sign.
      task.keys[atomicAdd(&task.counters[0], 1u)] = Key(__float_as_uint(score + 0.f)) << 32 | Key(~source);
    }
  }
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) is_last = atomicAdd(&task.counters[1], 1u) == gridDim.x - 1;
  __syncthreads();
  if (!is_last) return;
  __threadfence();
  suppress<Value>(task, *static_cast<volatile unsigned*>(&task.counters[0]));
  __syncthreads();
  if (threadIdx.x == 0) task.counters[0] = task.counters[1] = 0;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(box_threads) boxes_f32(const __grid_constant__ BoxTask task) {
  find_boxes<float>(task);
}
extern "C" __global__ void __launch_bounds__(box_threads) boxes_f16(const __grid_constant__ BoxTask task) {
  find_boxes<Half>(task);
}
