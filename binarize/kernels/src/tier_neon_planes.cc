// The loops of planes.cc for NEON: tbl looks 16 bytes up at once, those of 16 outputs in the same table.
#include <arm_neon.h>

#include <limits>

#include "portable_planes.h"

namespace binarize {

namespace {

constexpr size_t WIDE = 4;          // floats or words in a register
constexpr size_t BYTES = 4 * WIDE;  // in a register

// Of bytes that are added up as words, those at even places come out before the others.
constexpr uint8_t PLACE[PLANES_BLOCK] = {0,  2,  4,  6,  8,  10, 12, 14, 1,  3,  5,  7,  9,  11, 13, 15,
                                         16, 18, 20, 22, 24, 26, 28, 30, 17, 19, 21, 23, 25, 27, 29, 31};

void range(const float* x, size_t count, float* least, float* largest) {
  const float32x4_t zero = vdupq_n_f32(0.0f);
  float32x4_t low = zero, high = zero, odd = zero;
  size_t i = 0;
  for (; i + WIDE <= count; i += WIDE) {
    const float32x4_t value = vld1q_f32(x + i);
    low = vminq_f32(low, value);
    high = vmaxq_f32(high, value);
    odd = vfmaq_f32(odd, value, zero);  // NaN from NaN and infinities on
  }
  portable::range(x + i, count - i, least, largest);
  if (vaddvq_f32(odd) != 0.0f) *least = *largest = std::numeric_limits<float>::quiet_NaN();
  const float below = vminvq_f32(low), above = vmaxvq_f32(high);
  *least = below < *least ? below : *least;
  *largest = above > *largest ? above : *largest;
}

void quantise(const float* x, size_t count, const Unit& unit, int32_t* q) {
  const int32x4_t zero = vdupq_n_s32(unit.zero_point);
  size_t i = 0;
  for (; i + WIDE <= count; i += WIDE) {
    vst1q_s32(q + i, vaddq_s32(vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + i), unit.inverse)), zero));
  }
  portable::quantise(x + i, count - i, unit, q + i);
}

// Two planes of 16 sums: their lowest bits, and those above these.
template <int BITS>
inline void store_pair(const uint32x4_t sums[4], uint8_t* to) {
  const uint8x16_t part = vdupq_n_u8((1 << BITS) - 1);
  const uint16x8_t first = vuzp1q_u16(vreinterpretq_u16_u32(sums[0]), vreinterpretq_u16_u32(sums[1]));
  const uint16x8_t second = vuzp1q_u16(vreinterpretq_u16_u32(sums[2]), vreinterpretq_u16_u32(sums[3]));
  vst1q_u8(to, vandq_u8(vuzp1q_u8(vreinterpretq_u8_u16(first), vreinterpretq_u8_u16(second)), part));
  vst1q_u8(to + BYTES, vandq_u8(vshrn_high_n_u16(vshrn_n_u16(first, BITS), second, BITS), part));
}

template <int PLANES, int BITS>
void build_tables(const int32_t* q, ptrdiff_t channel, ptrdiff_t item, size_t count, uint8_t* to, size_t step) {
  static constexpr uint32_t WITH0[] = {0, ~0u, 0, ~0u}, WITH1[] = {0, 0, ~0u, ~0u};
  const uint32x4_t with0 = vld1q_u32(WITH0), with1 = vld1q_u32(WITH1);
  for (size_t i = 0; i < count; ++i, q += item, to += step) {
    const auto value = [&](ptrdiff_t b) { return vdupq_n_u32(static_cast<uint32_t>(q[b * channel])); };
    const uint32x4_t sum = vaddq_u32(vandq_u32(value(0), with0), vandq_u32(value(1), with1)), third = vaddq_u32(sum, value(2));
    uint32x4_t sums[] = {sum, third, vaddq_u32(sum, value(3)), vaddq_u32(third, value(3))};
    store_pair<BITS>(sums, to);
    if (PLANES == 2) continue;
    for (uint32x4_t& each : sums) each = vshrq_n_u32(each, 2 * BITS);
    if (PLANES == 4) {
      store_pair<BITS>(sums, to + 2 * BYTES);
    } else {
      uint8_t pair[2 * BYTES];  // the upper one is not wanted
      store_pair<BITS>(sums, pair);
      vst1q_u8(to + 2 * BYTES, vld1q_u8(pair));
    }
  }
}

// Of one pixel. Parts of `AT_ONCE` tables are added in bytes, and their sums in words: `all` of the whole word, `odd` of its
// upper byte, so that all - 256·odd is the sum of the lower one. The barriers keep gcc from looking up more than it has registers for.
template <int PLANES, int BITS>
void sum_pixel(const uint8_t* at, const ptrdiff_t* taps, size_t tap_count, size_t tables, const uint8_t* index, bool add,
               int32_t* sums) {
  constexpr int AT_ONCE = BITS == 5 ? 8 : 4, HALVES = 2;  // of 32 bytes
  uint16x8_t all[PLANES][HALVES], odd[PLANES][HALVES];
#pragma GCC unroll 4
  for (int p = 0; p < PLANES; ++p) {
#pragma GCC unroll 2
    for (int h = 0; h < HALVES; ++h) all[p][h] = odd[p][h] = vdupq_n_u16(0);
  }
  for (size_t t = 0; t < tap_count; ++t) {
    const uint8_t* table = at + taps[t];
    for (size_t g = 0; g < tables; g += AT_ONCE) {
      uint8x16_t bytes[PLANES][HALVES];
#pragma GCC unroll 8
      for (int u = 0; u < AT_ONCE; ++u, index += PLANES_BLOCK) {
        const uint8x16_t entries[] = {vld1q_u8(index), vld1q_u8(index + BYTES)};
#pragma GCC unroll 4
        for (int p = 0; p < PLANES; ++p, table += BYTES) {
          const uint8x16_t part = vld1q_u8(table);
#pragma GCC unroll 2
          for (int h = 0; h < HALVES; ++h) {
            const uint8x16_t found = vqtbl1q_u8(part, entries[h]);
            bytes[p][h] = u == 0 ? found : vaddq_u8(bytes[p][h], found);
            asm volatile("" : "+w"(bytes[p][h]));
          }
        }
      }
#pragma GCC unroll 4
      for (int p = 0; p < PLANES; ++p) {
#pragma GCC unroll 2
        for (int h = 0; h < HALVES; ++h) {
          const uint16x8_t words = vreinterpretq_u16_u8(bytes[p][h]);
          all[p][h] = vaddq_u16(all[p][h], words);
          odd[p][h] = vsraq_n_u16(odd[p][h], words, 8);
        }
      }
    }
  }
  for (int p = 0; p < PLANES; p += 2, sums += PLANES_BLOCK) {
    for (int h = 0; h < HALVES; ++h) {
      const auto widen = [&](uint16x8_t lower, uint16x8_t upper, int32_t* to) {
        uint32x4_t low = vaddw_u16(vshll_n_u16(vget_low_u16(upper), BITS), vget_low_u16(lower));
        uint32x4_t high = vaddw_high_u16(vshll_high_n_u16(upper, BITS), lower);
        if (add) {
          low = vaddq_u32(low, vreinterpretq_u32_s32(vld1q_s32(to)));
          high = vaddq_u32(high, vreinterpretq_u32_s32(vld1q_s32(to + WIDE)));
        }
        vst1q_s32(to, vreinterpretq_s32_u32(low));
        vst1q_s32(to + WIDE, vreinterpretq_s32_u32(high));
      };
      const auto even = [&](int plane) { return vsubq_u16(all[plane][h], vshlq_n_u16(odd[plane][h], 8)); };
      const bool pair = p + 1 < PLANES;
      const uint16x8_t none = vdupq_n_u16(0);
      widen(even(p), pair ? even(p + 1) : none, sums + h * BYTES);
      widen(odd[p][h], pair ? odd[p + 1][h] : none, sums + h * BYTES + 2 * WIDE);
    }
  }
}

template <int PLANES, int BITS>
void sum_pixels(const uint8_t* const* at, size_t count, const ptrdiff_t* taps, size_t tap_count, size_t tables,
                const uint8_t* index, const uint8_t* second, bool add, int32_t* sums) {
  for (size_t i = 0; i < count; ++i, sums += PLANES_SUMS) {
    sum_pixel<PLANES, BITS>(at[i], taps, tap_count, tables, index, add, sums);
    if (second != nullptr) sum_pixel<PLANES, BITS>(at[i], taps, tap_count, tables, second, add, sums + PLANES_BLOCK);
  }
}

template <int BITS, int HALVES>
void combine_halves(const int32_t* sums, size_t count, const int32_t* plus, const int64_t* total, const Unit* units,
                    size_t unit_step, float* values) {
  constexpr int SHIFT = 2 * BITS, BASE = 1 << SHIFT;
  for (size_t i = 0; i < count; ++i, sums += PLANES_SUMS, values += PLANES_BLOCK) {
    const Unit& unit = units[i * unit_step];
    const int32_t zero_point[2] = {HALVES == 2 ? unit.zero_point % BASE : unit.zero_point, unit.zero_point / BASE};
    const int64_t less[2] = {HALVES == 2 ? total[i] & (BASE - 1) : total[i], total[i] >> SHIFT};
    for (size_t o = 0; o < PLANES_BLOCK; o += WIDE) {
      float32x4_t half[HALVES];
      for (int h = 0; h < HALVES; ++h) {
        const int32x4_t sum = vmlsq_n_s32(vld1q_s32(sums + static_cast<size_t>(h) * PLANES_BLOCK + o), vld1q_s32(plus + o), zero_point[h]);
        half[h] = vcvtq_f32_s32(vsubq_s32(vshlq_n_s32(sum, 1), vdupq_n_s32(static_cast<int32_t>(less[h]))));
      }
      const float32x4_t all = HALVES == 2 ? vfmaq_n_f32(half[0], half[HALVES - 1], static_cast<float>(BASE)) : half[0];
      vst1q_f32(values + o, vmulq_n_f32(all, unit.value));
    }
  }
}

void build(const Cut& cut, const int32_t* q, ptrdiff_t channel, ptrdiff_t item, size_t count, uint8_t* to, size_t step) {
  portable::with(cut, [&](auto planes, auto bits) { build_tables<planes(), bits()>(q, channel, item, count, to, step); });
}

void sum(const Cut& cut, const uint8_t* const* at, size_t count, const ptrdiff_t* taps, size_t tap_count, size_t tables,
         const uint8_t* index, const uint8_t* second, bool add, int32_t* sums) {
  portable::with(cut, [&](auto planes, auto bits) {
    sum_pixels<planes(), bits()>(at, count, taps, tap_count, tables, index, second, add, sums);
  });
}

void combine(const Cut& cut, const int32_t* sums, size_t count, const int32_t* plus, const int64_t* total, const Unit* units,
             size_t unit_step, float* values) {
  portable::with(cut, [&](auto planes, auto bits) {
    combine_halves<bits(), (planes() + 1) / 2>(sums, count, plus, total, units, unit_step, values);
  });
}

}  // namespace

const Planes NEON_PLANES{PLACE, range, quantise, build, sum, combine};

}  // namespace binarize
