// NEON, which every 64-bit Arm has.
//
// Popcounts: of bytes by an instruction (cnt), summed as bytes as long as they cannot overflow, then in pairs.
// Lookups: a table is sixteen sums of four channels, the lower halves of all before the upper ones, so that an instruction (tbl of
// two registers) finds those of eight outputs.
#include <arm_neon.h>

#include "epilogue_loops.h"
#include "portable.h"
#include "stem_loops.h"

namespace binarize {

namespace {

constexpr int QUARTER = LANES / 4;  // floats or words in a register

bool supported() { return true; }

void pack_planes(const float* x, size_t stride, int channels, const float* threshold, int threshold_stride, size_t count,
                 uint32_t* words) {
  size_t i = 0;
  for (; i + QUARTER <= count; i += QUARTER) {
    uint32x4_t word = vdupq_n_u32(0);
    for (int c = 0; c < channels; ++c) {
      const uint32x4_t above = vcgeq_f32(vld1q_f32(x + c * stride + i), vdupq_n_f32(threshold[c * threshold_stride]));
      word = vorrq_u32(word, vandq_u32(above, vdupq_n_u32(1u << c)));
    }
    vst1q_u32(words + i, word);
  }
  portable::pack_planes(x + i, stride, channels, threshold, threshold_stride, count - i, words + i);
}

void pack_row(const float* x, size_t count, const float* threshold, int threshold_stride, uint32_t* words) {
  static constexpr uint32_t LOWEST[] = {1, 2, 4, 8};
  size_t first = 0;
  for (; first + WORD <= count; first += WORD) {
    uint32x4_t word = vdupq_n_u32(0), bit = vld1q_u32(LOWEST);
    for (size_t at = first; at < first + WORD; at += QUARTER, bit = vshlq_n_u32(bit, QUARTER)) {
      const float32x4_t least = threshold_stride == 0 ? vdupq_n_f32(threshold[0]) : vld1q_f32(threshold + at);
      word = vorrq_u32(word, vandq_u32(vcgeq_f32(vld1q_f32(x + at), least), bit));
    }
    words[first / WORD] = vaddvq_u32(word);
  }
  portable::pack_row(x + first, count - first, threshold + (threshold_stride == 0 ? 0 : first), threshold_stride, words + first / WORD);
}

// Sums of bytes hold 31 popcounts of at most 8 each.
constexpr size_t UNTIL_FULL = 31;

template <int ROWS>
void popcount_tile(const uint32_t* rows, size_t row_stride, const uint32_t* columns, const ptrdiff_t* offsets,
                   size_t steps, int32_t* sums, size_t sum_stride) {
  for (size_t begin = 0; begin < steps; begin += UNTIL_FULL) {
    const size_t end = steps - begin < UNTIL_FULL ? steps : begin + UNTIL_FULL;
    uint8x16_t bytes[ROWS][4];
    for (int i = 0; i < ROWS; ++i) {
      for (int v = 0; v < 4; ++v) bytes[i][v] = vdupq_n_u8(0);
    }
    for (size_t s = begin; s < end; ++s) {
      for (int v = 0; v < 4; ++v) {
        const uint32x4_t column = vld1q_u32(columns + offsets[s] + v * QUARTER);
        for (int i = 0; i < ROWS; ++i) {
          const uint32x4_t both = vandq_u32(vdupq_n_u32(rows[i * row_stride + s]), column);
          bytes[i][v] = vaddq_u8(bytes[i][v], vcntq_u8(vreinterpretq_u8_u32(both)));
        }
      }
    }
    for (int i = 0; i < ROWS; ++i) {
      for (int v = 0; v < 4; ++v) {
        int32_t* sum = sums + i * sum_stride + v * QUARTER;
        const uint32x4_t before = begin == 0 ? vdupq_n_u32(0) : vreinterpretq_u32_s32(vld1q_s32(sum));
        vst1q_s32(sum, vreinterpretq_s32_u32(vpadalq_u16(before, vpaddlq_u8(bytes[i][v]))));
      }
    }
  }
}

template <int ROWS>
void popcount_rows(const uint32_t* rows, size_t row_stride, const uint32_t* columns, const ptrdiff_t* offsets,
                   size_t steps, int vectors, int32_t* sums) {
  const size_t width = static_cast<size_t>(vectors) * LANES;
  for (int v = 0; v < vectors; ++v) {
    popcount_tile<ROWS>(rows, row_stride, columns + v * LANES, offsets, steps, sums + v * LANES, width);
  }
}

void and_popcount(const uint32_t* rows, size_t row_stride, int row_count, const uint32_t* columns,
                  const ptrdiff_t* offsets, size_t steps, int vectors, int32_t* sums) {
  static constexpr decltype(&popcount_rows<1>) TILES[MAX_ROWS] = {popcount_rows<1>, popcount_rows<2>, popcount_rows<3>,
                                                                  popcount_rows<4>};
  TILES[row_count - 1](rows, row_stride, columns, offsets, steps, vectors, sums);
}

// [m]: the lanes that are set in m, as the bytes that bring them to the front, and their number.
struct SetLanes {
  alignas(16) uint8_t bytes[16][16] = {};
  uint8_t count[16] = {};
  constexpr SetLanes() {
    for (int m = 0; m < 16; ++m) {
      for (int lane = 0; lane < QUARTER; ++lane) {
        if (!(m >> lane & 1)) continue;
        for (int byte = 0; byte < 4; ++byte) bytes[m][4 * count[m] + byte] = static_cast<uint8_t>(4 * lane + byte);
        ++count[m];
      }
    }
  }
};
constexpr SetLanes SET_LANES;

inline float32x4_t scaled(float32x4_t sum, float32x4_t scale, float32x4_t bias) { return vaddq_f32(vmulq_f32(sum, scale), bias); }

// NaN and -0 stay what they are.
inline float32x4_t relu(float32x4_t y) {
  return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(y), vcltzq_f32(y)));
}

void finish_im2row(const int32_t* sums, const int32_t* ones, const Im2row& im2row, size_t from, int vectors,
                   const Affine& to, const AddRelu& add_relu, float* y) {
  if (im2row.kinds > LANES) return portable::finish_im2row(sums, ones, im2row, from, vectors, to, add_relu, y);
  const float32x4_t scale = vdupq_n_f32(to.scale), bias = vdupq_n_f32(to.bias);
  const int32x4_t shift = vdupq_n_s32(to.shift);
  int32_t corrections[LANES] = {};
  for (int kind = 0; kind < im2row.kinds; ++kind) corrections[kind] = to.correction[kind];
  const uint8x16x4_t table = vld1q_u8_x4(reinterpret_cast<const uint8_t*>(corrections));
  const int32x4_t only = vdupq_n_s32(corrections[0]);
  const auto correction = [&](const uint16_t* kinds) {
    if (im2row.kinds == 1) return only;
    const uint32x4_t bytes = vmlaq_n_u32(vdupq_n_u32(0x03020100), vmovl_u16(vld1_u16(kinds)), 0x04040404);
    return vreinterpretq_s32_u8(vqtbl4q_u8(table, vreinterpretq_u8_u32(bytes)));
  };
  const float* residual = add_relu.residual;
  const size_t end = static_cast<size_t>(im2row.first[from + static_cast<size_t>(vectors)] - im2row.first[from]);
  size_t place = 0;
  for (size_t at = 0; at < static_cast<size_t>(vectors) * LANES; at += QUARTER) {
    const unsigned valid = im2row.valid[from + at / LANES] >> at % LANES & 0xf;
    if (valid == 0) continue;
    const int32x4_t sum = vsubq_s32(vshlq_s32(vld1q_s32(sums + at), shift), vld1q_s32(ones + at));
    float32x4_t values = scaled(vcvtq_f32_s32(vaddq_s32(sum, correction(im2row.kind + from * LANES + at))), scale, bias);
    if (valid != 0xf) {
      values = vreinterpretq_f32_u8(vqtbl1q_u8(vreinterpretq_u8_f32(values), vld1q_u8(SET_LANES.bytes[valid])));
    }
    // The lanes behind the last belong to the outputs that are stored next, unless there are none or what is there is still
    // to be added to.
    const size_t count = SET_LANES.count[valid];
    if (valid == 0xf || (place + QUARTER <= end && residual != y)) {
      if (residual != nullptr) values = vaddq_f32(values, vld1q_f32(residual + place));
      vst1q_f32(y + place, add_relu.relu ? relu(values) : values);
    } else {
      float each[QUARTER];
      vst1q_f32(each, values);
      for (size_t i = 0; i < count; ++i) y[place + i] = portable::finished(each[i], add_relu, place + i);
    }
    place += count;
  }
}

void finish_row(const int32_t* sums, int32_t ones, int shift, const int32_t* correction, const float* scale,
                const float* bias, size_t count, float* y) {
  const int32x4_t less = vdupq_n_s32(ones), by = vdupq_n_s32(shift);
  size_t o = 0;
  for (; o + QUARTER <= count; o += QUARTER) {
    const int32x4_t sum = vsubq_s32(vshlq_s32(vld1q_s32(sums + o), by), less);
    vst1q_f32(y + o, scaled(vcvtq_f32_s32(vaddq_s32(sum, vld1q_s32(correction + o))), vld1q_f32(scale + o), vld1q_f32(bias + o)));
  }
  portable::finish_row(sums + o, ones, shift, correction + o, scale + o, bias + o, count - o, y + o);
}

constexpr int BITS = 4, FIELDS = 8, PIXELS = 4;
constexpr size_t ENTRIES = size_t{1} << BITS;

void build(const float* x, ptrdiff_t pixel, size_t pixel_count, ptrdiff_t channel, size_t channels, size_t count,
           float* tables, size_t step) {
  static constexpr float SIGN0[] = {-1, 1, -1, 1}, SIGN1[] = {-1, -1, 1, 1};
  const float32x4_t sign0 = vld1q_f32(SIGN0), sign1 = vld1q_f32(SIGN1);
  for (size_t g = 0; g < count; ++g) {
    const size_t first = g * BITS, here = first < channels ? channels - first : 0;
    for (size_t i = 0; i < pixel_count; ++i) {
      const float* values = x + static_cast<ptrdiff_t>(i) * pixel + static_cast<ptrdiff_t>(first) * channel;
      const auto value = [&](size_t c) { return vdupq_n_f32(c < here ? values[static_cast<ptrdiff_t>(c) * channel] : 0.0f); };
      // products with ±1 are exact, and so a fused multiply-add is an addition
      const float32x4_t sum = vfmaq_f32(vmulq_f32(value(0), sign0), value(1), sign1), x2 = value(2), x3 = value(3);
      const float32x4_t minus = vsubq_f32(sum, x2), plus = vaddq_f32(sum, x2);
      const uint16x8_t entries[] = {
          vreinterpretq_u16_f32(vsubq_f32(minus, x3)), vreinterpretq_u16_f32(vsubq_f32(plus, x3)),
          vreinterpretq_u16_f32(vaddq_f32(minus, x3)), vreinterpretq_u16_f32(vaddq_f32(plus, x3))};
      uint16_t* table = reinterpret_cast<uint16_t*>(tables + i * step + g * ENTRIES);
      for (int half = 0; half < 2; ++half) {
        vst1q_u16(table + 8 * half, vuzp1q_u16(entries[2 * half], entries[2 * half + 1]));
        vst1q_u16(table + ENTRIES + 8 * half, vuzp2q_u16(entries[2 * half], entries[2 * half + 1]));
      }
    }
  }
}

// The lowest bytes of 16 words.
inline uint8x16_t lowest_bytes(const char* words) {
  const uint16x8x4_t parts = vld1q_u16_x4(reinterpret_cast<const uint16_t*>(words));
  const uint16x8_t first = vuzp1q_u16(parts.val[0], parts.val[1]), second = vuzp1q_u16(parts.val[2], parts.val[3]);
  return vuzp1q_u8(vreinterpretq_u8_u16(first), vreinterpretq_u8_u16(second));
}

template <int COUNT>
void lookup_tile(const float* const* tables_of, const ptrdiff_t* taps, size_t tap_count, size_t tables,
                 const uint32_t* index, bool add, float* y) {
  float32x4_t sum[COUNT][4];
#pragma GCC unroll 4
  for (int p = 0; p < COUNT; ++p) {
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) sum[p][q] = add ? vld1q_f32(y + p * LANES + q * QUARTER) : vdupq_n_f32(0.0f);
  }
  for (size_t g = 0; g < tables; ++g) {
    // a load that begins a byte later is a shift that costs nothing
    const char* words = reinterpret_cast<const char*>(index + g / FIELDS * tap_count * LANES) + g % FIELDS / 2;
    const int8x16_t shift = vdupq_n_s8(g % 2 == 0 ? 1 : -3);
    for (size_t t = 0; t < tap_count; ++t, words += LANES * sizeof(uint32_t)) {
      const ptrdiff_t offset = taps[t] + static_cast<ptrdiff_t>(g * ENTRIES);
      // an entry's two bytes in either half of a table
      const uint8x16_t first = vandq_u8(vshlq_u8(lowest_bytes(words), shift), vdupq_n_u8(2 * (ENTRIES - 1)));
      const uint8x16_t second = vorrq_u8(first, vdupq_n_u8(1)), bytes[] = {vzip1q_u8(first, second), vzip2q_u8(first, second)};
#pragma GCC unroll 4
      for (int p = 0; p < COUNT; ++p) {
        const uint8_t* table = reinterpret_cast<const uint8_t*>(tables_of[p] + offset);
        const uint8x16x2_t low = vld1q_u8_x2(table), high = vld1q_u8_x2(table + 2 * ENTRIES);
#pragma GCC unroll 2
        for (int eight = 0; eight < 2; ++eight) {
          const uint16x8_t lower = vreinterpretq_u16_u8(vqtbl2q_u8(low, bytes[eight]));
          const uint16x8_t upper = vreinterpretq_u16_u8(vqtbl2q_u8(high, bytes[eight]));
          sum[p][2 * eight] = vaddq_f32(sum[p][2 * eight], vreinterpretq_f32_u16(vzip1q_u16(lower, upper)));
          sum[p][2 * eight + 1] = vaddq_f32(sum[p][2 * eight + 1], vreinterpretq_f32_u16(vzip2q_u16(lower, upper)));
        }
        // one pixel after the other: gcc begins all of them at once, and then has too few registers
        asm volatile("" : "+w"(sum[p][0]), "+w"(sum[p][1]), "+w"(sum[p][2]), "+w"(sum[p][3]));
      }
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < COUNT; ++p) {
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) vst1q_f32(y + p * LANES + q * QUARTER, sum[p][q]);
  }
}

void lookup(const float* const* tables_of, int pixel_count, const ptrdiff_t* taps, size_t tap_count, size_t tables,
            const uint32_t* index, int, bool add, float* y) {
  static constexpr decltype(&lookup_tile<1>) TILES[PIXELS] = {lookup_tile<1>, lookup_tile<2>, lookup_tile<3>, lookup_tile<4>};
  TILES[pixel_count - 1](tables_of, taps, tap_count, tables, index, add, y);
}

void finish_sums(const float* sums, const float* scale, const float* bias, size_t count, float* y) {
  size_t o = 0;
  for (; o + QUARTER <= count; o += QUARTER) vst1q_f32(y + o, scaled(vld1q_f32(sums + o), vld1q_f32(scale + o), vld1q_f32(bias + o)));
  portable::finish_sums(sums + o, scale + o, bias + o, count - o, y + o);
}

// 4 x 4 in registers: pairs of 4-byte, then 8-byte parts change places.
inline void transpose_registers(float32x4_t row[QUARTER]) {
  float64x2_t other[QUARTER];
  for (int i = 0; i < QUARTER; i += 2) {
    other[i] = vreinterpretq_f64_f32(vtrn1q_f32(row[i], row[i + 1]));
    other[i + 1] = vreinterpretq_f64_f32(vtrn2q_f32(row[i], row[i + 1]));
  }
  for (int k = 0; k < 2; ++k) {
    row[k] = vreinterpretq_f32_f64(vtrn1q_f64(other[k], other[k + 2]));
    row[k + 2] = vreinterpretq_f32_f64(vtrn2q_f64(other[k], other[k + 2]));
  }
}

void transpose(const float* sums, size_t step, size_t pixels, size_t outputs, const float* scale, const float* bias,
               const AddRelu& add_relu, float* y, size_t plane) {
  const auto residual = [&](size_t place) { return add_relu.residual == nullptr ? nullptr : add_relu.residual + place; };
  const size_t whole = outputs / QUARTER * QUARTER, wide = pixels / QUARTER * QUARTER;
  for (size_t o = 0; o < whole; o += QUARTER) {
    const float32x4_t factor = vld1q_f32(scale + o), term = vld1q_f32(bias + o);
    for (size_t p = 0; p < wide; p += QUARTER) {
      float32x4_t row[QUARTER];
      for (size_t i = 0; i < QUARTER; ++i) row[i] = scaled(vld1q_f32(sums + (p + i) * step + o), factor, term);
      transpose_registers(row);
      for (size_t i = 0; i < QUARTER; ++i) {
        const size_t place = (o + i) * plane + p;
        if (add_relu.residual != nullptr) row[i] = vaddq_f32(row[i], vld1q_f32(add_relu.residual + place));
        vst1q_f32(y + place, add_relu.relu ? relu(row[i]) : row[i]);
      }
    }
  }
  portable::transpose(sums + whole, step, pixels, outputs - whole, scale + whole, bias + whole,
                      {residual(whole * plane), add_relu.relu}, y + whole * plane, plane);
  portable::transpose(sums + wide * step, step, pixels - wide, whole, scale, bias, {residual(wide), add_relu.relu}, y + wide, plane);
}

struct Vector {
  using V = float32x4_t;
  static constexpr int WIDTH = QUARTER;
  static V load(const float* from) { return vld1q_f32(from); }
  static void store(float* to, V a) { vst1q_f32(to, a); }
  static V all(float value) { return vdupq_n_f32(value); }
  static V add(V a, V b) { return vaddq_f32(a, b); }
  static V sub(V a, V b) { return vsubq_f32(a, b); }
  static V max(V a, V b) { return vmaxq_f32(a, b); }
  static V min(V a, V b) { return vminq_f32(a, b); }
  static V mul(V a, V b) { return vmulq_f32(a, b); }
  static V div(V a, V b) { return vdivq_f32(a, b); }
  static V fma(V a, V b, V c) { return vfmaq_f32(c, a, b); }
};

}  // namespace

const Tier NEON = {
    "neon",
    supported,
    pack_planes,
    pack_row,
    and_popcount,
    finish_im2row,
    finish_row,
    BITS,
    FIELDS,
    /*field_stride=*/4,
    PIXELS,
    /*outputs=*/LANES,
    build,
    lookup,
    finish_sums,
    transpose,
    epilogue<Vector>,
    stem::loops<Vector, 4>(),
    /*int8=*/nullptr,
    &NEON_PLANES,
};

}  // namespace binarize
