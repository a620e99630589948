// The inner loops of the fused pre-processing, compiled once per instruction set; the best one is chosen at
// run time. Internal to this folder.
//
// Between the loops a sample is an int16: (value - 128)·128, so that 0..255 is -16384..16256 and every
// intermediate fits. Rows of samples have room for a multiple of `row_padding` of them; what lies behind the
// last one is written, too, and never read as a result.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sightglass::preprocess {

inline constexpr int row_padding = 64;    // samples
inline constexpr int window = 16;         // bytes of a load
inline constexpr int group_outputs = 16;  // in 2 blocks
inline constexpr int16_t sample_min = -16384, sample_max = 16256;

// How a row of bytes becomes a row of samples: each output is the weighted mean of two neighbours. A block of
// 8 outputs takes `parts` loads (1, 2, 4 or 8) of 16 bytes; byte shuffles pick the pairs, and one
// multiply-add makes the samples. Two blocks are a group. Everything is stored in the order in which it is
// used: [group][part][block]. Longer windows (64 bytes, on AVX-512) brought nothing: their loads cross cache
// lines.
struct PairTable {
  int parts = 1;
  int groups = 0;
  const int32_t* base = nullptr;     // first byte of the load
  const uint8_t* shuffle = nullptr;  // 16 bytes each; 0x80: from another part
  const uint8_t* weights = nullptr;  // [group][block] of 16 bytes: pairs that sum to 128
};

// Two rows and the way between them, 0..32767 for 0..1.
struct RowPair {
  const int16_t* upper;
  const int16_t* lower;
  int16_t fraction;
};

// first = y + c·second_chroma…: channels of one pixel from centred samples, fixed point with 15 bits.
//   luma = 2·(luma_half·Y) + luma_add
//   channel 0 = luma + 2·V + 2·(v0·V),  channel 1 = luma + 2·(u1·U) + 2·(v1·V),  channel 2 = luma + 2·U +
//   2·(u2·U)
// For blue first, U and V change places.
struct YuvMatrix {
  int16_t luma_half, luma_add;
  int16_t v0, u1, v1, u2;
};

enum class StoreAs : uint8_t { u8_plain, u8, i8, i32, f16, f32 };
inline constexpr int store_kinds = 6;

// value = sample·mul + add, per channel.
struct Normalise {
  std::array<float, 3> mul, add;
};

using StoreInterleaved = void (*)(const int16_t* const* rows, int count, const Normalise&, void* out);
using StorePlanar = void (*)(const int16_t* row, int count, float mul, float add, void* out);

struct Kernels {
  const char* target;  // "AVX2"
  void (*resize_row)(const PairTable& table, const uint8_t* row, int16_t* out);
  void (*blend)(const RowPair& rows, int count, int16_t* out);
  void (*yuv_to_rgb)(const RowPair& y, const RowPair& u, const RowPair& v, const YuvMatrix& matrix, int count,
                     int16_t* const* out);
  // gray = .2989 R + .587 G + .114 B; `out` may be one of the inputs.
  void (*rgb_to_gray)(const int16_t* r, const int16_t* g, const int16_t* b, int count, int16_t* out);
  StoreInterleaved store_interleaved[store_kinds];  // three channels, by StoreAs
  StorePlanar store_planar[store_kinds];            // one channel
};

// For the best instruction set of this machine.
const Kernels& kernels();
// The instruction sets there are, one bit each as Highway counts them, for tests of every one.
int64_t compiled_targets();

}  // namespace sightglass::preprocess
