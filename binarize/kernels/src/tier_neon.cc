// NEON, which every 64-bit Arm has.
//
// Popcounts: of bytes by an instruction (cnt), summed as bytes as long as they cannot overflow, then in pairs.
// Lookups: four channels a table, whose sixteen sums are made and found one output at a time by the compiler's means.
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

// Sums of bytes hold 31 popcounts of at most 8 each.
constexpr size_t UNTIL_FULL = 31;

template <int ROWS>
void popcount_tile(const uint32_t* rows, size_t row_stride, const uint32_t* columns, const ptrdiff_t* offsets,
                   size_t steps, int32_t* sums, size_t sum_stride) {
  int32x4_t sum[ROWS][4];
  for (int i = 0; i < ROWS; ++i) {
    for (int v = 0; v < 4; ++v) sum[i][v] = vdupq_n_s32(0);
  }
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
        const uint32x4_t words = vpaddlq_u16(vpaddlq_u8(bytes[i][v]));
        sum[i][v] = vaddq_s32(sum[i][v], vreinterpretq_s32_u32(words));
      }
    }
  }
  for (int i = 0; i < ROWS; ++i) {
    for (int v = 0; v < 4; ++v) vst1q_s32(sums + i * sum_stride + v * QUARTER, sum[i][v]);
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
    portable::pack_row,
    and_popcount,
    portable::finish_im2row,
    portable::finish_row,
    /*bits=*/4,
    /*fields=*/8,
    /*field_stride=*/4,
    /*pixels=*/4,
    /*outputs=*/16,
    portable::build<4>,
    portable::lookup<4, 8>,
    portable::finish_sums,
    portable::transpose,
    epilogue<Vector>,
    stem::loops<Vector, 4>(),
};

}  // namespace binarize
