#include "sightglass/elements/video_to_tensor/kernel_simd.h"

// Instruction sets that bring nothing over one in the list: 4 over SSSE3 (which old and virtual machines
// without AES have, too), the other AVX-512 ones over AVX2 or over Zen 4, which stands for all with VBMI.
#define HWY_DISABLED_TARGETS (HWY_SSE4 | HWY_AVX3 | HWY_AVX3_DL | HWY_AVX3_SPR)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sightglass/elements/video_to_tensor/kernel_simd.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h, which includes this file once per target.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sightglass::preprocess {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// ---- bytes to samples
// -------------------------------------------------------------------------------------------

// 32 bytes where vectors are that long: both blocks of a group at once.
using Bytes = hn::CappedTag<uint8_t, 32>;
using Block = hn::FixedTag<uint8_t, 16>;

template <class D>
HWY_INLINE hn::Vec<D> load_blocks(D d, const uint8_t* row, const int32_t* base) {
  if constexpr (HWY_MAX_LANES_D(D) == 16) {
    return hn::LoadU(d, row + base[0]);
  } else {
    const Block block;
    return hn::Combine(d, hn::LoadU(block, row + base[1]), hn::LoadU(block, row + base[0]));
  }
}

template <int parts>
void resize_row_parts(const PairTable& table, const uint8_t* HWY_RESTRICT row, int16_t* HWY_RESTRICT out) {
  const Bytes d;
  const hn::RebindToSigned<Bytes> signed_d;
  const hn::RepartitionToWide<decltype(signed_d)> samples;
  constexpr size_t n = HWY_MAX_LANES_D(Bytes);
  const auto centre = hn::Set(d, 0x80);
  const int32_t* base = table.base;
  const uint8_t* shuffle = table.shuffle;
  const uint8_t* weights = table.weights;
  for (int group = 0; group < table.groups; ++group) {
    for (size_t block = 0; block < 32 / n; ++block) {
      auto pairs =
          hn::TableLookupBytesOr0(load_blocks(d, row, base + block), hn::LoadU(d, shuffle + n * block));
      for (int part = 1; part < parts; ++part)
        pairs = hn::Or(pairs, hn::TableLookupBytesOr0(load_blocks(d, row, base + 2 * part + block),
                                                      hn::LoadU(d, shuffle + 32 * part + n * block)));
      const auto centred = hn::BitCast(signed_d, hn::Xor(pairs, centre));
      hn::StoreU(hn::SatWidenMulPairwiseAdd(samples, hn::LoadU(d, weights + n * block), centred), samples,
                 out + n / 2 * block);
    }
    base += 2 * parts;
    shuffle += 32 * parts;
    weights += 32;
    out += group_outputs;
  }
}

void resize_row(const PairTable& table, const uint8_t* row, int16_t* out) {
  switch (table.parts) {
    case 1:
      return resize_row_parts<1>(table, row, out);
    case 2:
      return resize_row_parts<2>(table, row, out);
    case 4:
      return resize_row_parts<4>(table, row, out);
    default:
      return resize_row_parts<8>(table, row, out);
  }
}

// ---- samples to channels
// ----------------------------------------------------------------------------------------

using Samples = hn::CappedTag<int16_t, row_padding>;
using SampleVec = hn::Vec<Samples>;

HWY_INLINE SampleVec blend_at(const RowPair& rows, SampleVec fraction, int x) {
  const Samples d;
  const auto upper = hn::LoadU(d, rows.upper + x), lower = hn::LoadU(d, rows.lower + x);
  return hn::Add(upper, hn::MulFixedPoint15(hn::Sub(lower, upper), fraction));
}

void blend(const RowPair& rows, int count, int16_t* out) {
  const Samples d;
  const auto fraction = hn::Set(d, rows.fraction);
  for (int x = 0; x < count; x += int(hn::Lanes(d))) hn::StoreU(blend_at(rows, fraction, x), d, out + x);
}

void yuv_to_rgb(const RowPair& y_rows, const RowPair& u_rows, const RowPair& v_rows, const YuvMatrix& matrix,
                int count, int16_t* const* out) {
  const Samples d;
  const auto y_fraction = hn::Set(d, y_rows.fraction), u_fraction = hn::Set(d, u_rows.fraction),
             v_fraction = hn::Set(d, v_rows.fraction);
  const auto luma_half = hn::Set(d, matrix.luma_half), luma_add = hn::Set(d, matrix.luma_add);
  const auto v0 = hn::Set(d, matrix.v0), u1 = hn::Set(d, matrix.u1), v1 = hn::Set(d, matrix.v1),
             u2 = hn::Set(d, matrix.u2);
  const auto least = hn::Set(d, sample_min), most = hn::Set(d, sample_max);
  const auto clamped = [&](SampleVec v) HWY_ATTR { return hn::Min(hn::Max(v, least), most); };
  int16_t *out0 = out[0], *out1 = out[1], *out2 = out[2];
  for (int x = 0; x < count; x += int(hn::Lanes(d))) {
    const auto y = blend_at(y_rows, y_fraction, x), u = blend_at(u_rows, u_fraction, x),
               v = blend_at(v_rows, v_fraction, x);
    const auto luma = hn::Add(hn::MulFixedPoint15(hn::Add(y, y), luma_half), luma_add);
    const auto uu = hn::Add(u, u), vv = hn::Add(v, v);
    // Saturation keeps the order: what it cuts off is far outside of 0..255, also after the smaller term.
    const auto c0 = hn::SaturatedAdd(hn::SaturatedAdd(luma, vv), hn::MulFixedPoint15(vv, v0));
    const auto c1 = hn::SaturatedAdd(hn::Add(luma, hn::MulFixedPoint15(uu, u1)), hn::MulFixedPoint15(vv, v1));
    const auto c2 = hn::SaturatedAdd(hn::SaturatedAdd(luma, uu), hn::MulFixedPoint15(uu, u2));
    hn::StoreU(clamped(c0), d, out0 + x);
    hn::StoreU(clamped(c1), d, out1 + x);
    hn::StoreU(clamped(c2), d, out2 + x);
  }
}

void rgb_to_gray(const int16_t* r, const int16_t* g, const int16_t* b, int count, int16_t* out) {
  const Samples d;
  const auto wr = hn::Set(d, int16_t(9794)), wg = hn::Set(d, int16_t(19235)), wb = hn::Set(d, int16_t(3736));
  const auto add = hn::Set(d, int16_t(-2));  // the weights sum to 0.9999, and 0 is not black here
  for (int x = 0; x < count; x += int(hn::Lanes(d))) {
    const auto sum =
        hn::Add(hn::MulFixedPoint15(hn::LoadU(d, r + x), wr), hn::MulFixedPoint15(hn::LoadU(d, g + x), wg));
    hn::StoreU(hn::Add(hn::Add(sum, add), hn::MulFixedPoint15(hn::LoadU(d, b + x), wb)), d, out + x);
  }
}

// ---- channels to tensor
// -----------------------------------------------------------------------------------------

// A Writer turns `lanes` samples into as many values of the tensor.

template <StoreAs kind>
struct Writer;

using Floats = hn::CappedTag<float, row_padding / 2>;
using FloatVec = hn::Vec<Floats>;

template <>
struct Writer<StoreAs::u8_plain> {
  using T = uint8_t;
  using Values = hn::Rebind<uint8_t, Samples>;
  using Scale = int;
  static HWY_INLINE Scale scale(float) { return 0; }
  static HWY_INLINE hn::Vec<Values> value(const int16_t* row, Scale, Scale) {
    const Samples d;
    const hn::Rebind<int8_t, Samples> bytes;
    const Values values;
    const auto rounded = hn::ShiftRight<7>(hn::SaturatedAdd(hn::LoadU(d, row), hn::Set(d, int16_t(64))));
    return hn::Xor(hn::BitCast(values, hn::DemoteTo(bytes, rounded)), hn::Set(values, 0x80));
  }
};

struct FloatWriter {
  using Scale = FloatVec;
  static HWY_INLINE Scale scale(float v) { return hn::Set(Floats(), v); }
  static HWY_INLINE FloatVec normalised(const int16_t* row, Scale mul, Scale add) {
    const Floats d;
    const hn::RebindToSigned<Floats> ints;
    const hn::Rebind<int16_t, Floats> narrow;
    return hn::MulAdd(hn::ConvertTo(d, hn::PromoteTo(ints, hn::LoadU(narrow, row))), mul, add);
  }
};

template <>
struct Writer<StoreAs::f32> : FloatWriter {
  using T = float;
  using Values = Floats;
  static HWY_INLINE FloatVec value(const int16_t* row, Scale mul, Scale add) {
    return normalised(row, mul, add);
  }
};

template <>
struct Writer<StoreAs::i32> : FloatWriter {
  using T = int32_t;
  using Values = hn::RebindToSigned<Floats>;
  static HWY_INLINE hn::Vec<Values> value(const int16_t* row, Scale mul, Scale add) {
    return hn::NearestInt(normalised(row, mul, add));
  }
};

template <>
struct Writer<StoreAs::f16> : FloatWriter {
  using T = uint16_t;  // the bits
  using Values = hn::Rebind<uint16_t, Floats>;
  static HWY_INLINE hn::Vec<Values> value(const int16_t* row, Scale mul, Scale add) {
    const hn::Rebind<hwy::float16_t, Floats> half;
    return hn::BitCast(Values(), hn::DemoteTo(half, normalised(row, mul, add)));
  }
};

template <class Byte>
struct ByteWriter : FloatWriter {
  using T = Byte;
  using Values = hn::Rebind<Byte, Floats>;
  static HWY_INLINE hn::Vec<Values> value(const int16_t* row, Scale mul, Scale add) {
    const hn::Rebind<int16_t, Floats> narrow;
    return hn::DemoteTo(Values(), hn::DemoteTo(narrow, hn::NearestInt(normalised(row, mul, add))));
  }
};
template <>
struct Writer<StoreAs::u8> : ByteWriter<uint8_t> {};
template <>
struct Writer<StoreAs::i8> : ByteWriter<int8_t> {};

template <StoreAs kind>
void store_interleaved(const int16_t* const* rows, int count, const Normalise& normalise, void* out) {
  using W = Writer<kind>;
  const typename W::Values values;
  const int lanes = int(hn::Lanes(values));
  auto* to = static_cast<typename W::T*>(out);
  const int16_t *r0 = rows[0], *r1 = rows[1], *r2 = rows[2];
  const auto mul0 = W::scale(normalise.mul[0]), mul1 = W::scale(normalise.mul[1]),
             mul2 = W::scale(normalise.mul[2]);
  const auto add0 = W::scale(normalise.add[0]), add1 = W::scale(normalise.add[1]),
             add2 = W::scale(normalise.add[2]);
  const auto store = [&](int x, typename W::T* at) HWY_ATTR {
    hn::StoreInterleaved3(W::value(r0 + x, mul0, add0), W::value(r1 + x, mul1, add1),
                          W::value(r2 + x, mul2, add2), values, at);
  };
  int x = 0;
  for (; x + lanes <= count; x += lanes) store(x, to + 3 * x);
  if (x == count) return;
  if (count >= lanes) {
    store(count - lanes, to + 3 * (count - lanes));  // the last ones once more
  } else {
    typename W::T part[3 * row_padding];
    store(0, part);
    for (int i = 0; i < 3 * count; ++i) to[i] = part[i];
  }
}

template <StoreAs kind>
void store_planar(const int16_t* row, int count, float mul, float add, void* out) {
  using W = Writer<kind>;
  const typename W::Values values;
  const int lanes = int(hn::Lanes(values));
  auto* to = static_cast<typename W::T*>(out);
  const auto mul_all = W::scale(mul), add_all = W::scale(add);
  int x = 0;
  for (; x + lanes <= count; x += lanes) hn::StoreU(W::value(row + x, mul_all, add_all), values, to + x);
  if (x == count) return;
  if (count >= lanes) {
    hn::StoreU(W::value(row + count - lanes, mul_all, add_all), values, to + count - lanes);
  } else {
    typename W::T part[row_padding];
    hn::StoreU(W::value(row, mul_all, add_all), values, part);
    for (int i = 0; i < count; ++i) to[i] = part[i];
  }
}

const Kernels* get_kernels() {
  using enum StoreAs;
  static const Kernels all{
      hwy::TargetName(HWY_TARGET),
      resize_row,
      blend,
      yuv_to_rgb,
      rgb_to_gray,
      {store_interleaved<u8_plain>, store_interleaved<u8>, store_interleaved<i8>, store_interleaved<i32>,
       store_interleaved<f16>, store_interleaved<f32>},
      {store_planar<u8_plain>, store_planar<u8>, store_planar<i8>, store_planar<i32>, store_planar<f16>,
       store_planar<f32>},
  };
  return &all;
}

}  // namespace HWY_NAMESPACE
}  // namespace sightglass::preprocess
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sightglass::preprocess {

HWY_EXPORT(get_kernels);
const Kernels& kernels() { return *HWY_DYNAMIC_DISPATCH(get_kernels)(); }
int64_t compiled_targets() { return HWY_TARGETS; }

}  // namespace sightglass::preprocess
#endif
