// AVX-512 F, BW, VL and VPOPCNTDQ: Ice Lake, Zen 4 and later.
//
// Popcounts: 16 columns a register, a word of a row broadcast to all of them; nothing is added up across lanes.
// Lookups: vpermi2ps is a table of 32 floats in two registers; it finds the signed sum of five activations for 16
// outputs at once.
#include <immintrin.h>

#include <array>
#include <atomic>
#include <utility>

#include "epilogue_loops.h"
#include "portable.h"
#include "stem_loops.h"
#include "transpose.h"

namespace binarize {

namespace {

bool supported() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vpopcntdq");
}

template <int VECTORS>
void pack_block(const float* x, size_t stride, int channels, const float* threshold, int threshold_stride, __mmask16 last,
                uint32_t* words) {
  __m512i word[VECTORS];
  for (int v = 0; v < VECTORS; ++v) word[v] = _mm512_setzero_si512();
  for (int c = 0; c < channels; ++c) {
    const __m512 least = _mm512_set1_ps(threshold[c * threshold_stride]);
    const __m512i bit = _mm512_set1_epi32(static_cast<int>(1u << c));
    for (int v = 0; v < VECTORS; ++v) {
      const __mmask16 lanes = v == VECTORS - 1 ? last : static_cast<__mmask16>(0xffff);
      const __m512 values = _mm512_maskz_loadu_ps(lanes, x + c * stride + v * LANES);
      const __mmask16 above = _mm512_mask_cmp_ps_mask(lanes, values, least, _CMP_GE_OQ);
      word[v] = _mm512_mask_or_epi32(word[v], above, word[v], bit);
    }
  }
  for (int v = 0; v < VECTORS; ++v) {
    const __mmask16 lanes = v == VECTORS - 1 ? last : static_cast<__mmask16>(0xffff);
    _mm512_mask_storeu_epi32(words + v * LANES, lanes, word[v]);
  }
}

void pack_planes(const float* x, size_t stride, int channels, const float* threshold, int threshold_stride, size_t count,
                 uint32_t* words) {
  constexpr size_t BLOCK = 4 * LANES;
  size_t i = 0;
  for (; i + BLOCK <= count; i += BLOCK) {
    pack_block<4>(x + i, stride, channels, threshold, threshold_stride, 0xffff, words + i);
  }
  for (; i < count; i += LANES) {
    const size_t left = count - i;
    const __mmask16 last = left >= LANES ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
    pack_block<1>(x + i, stride, channels, threshold, threshold_stride, last, words + i);
  }
}

void pack_row(const float* x, size_t count, const float* threshold, int threshold_stride, uint32_t* words) {
  for (size_t first = 0; first < count; first += LANES) {
    const size_t left = count - first;
    const __mmask16 lanes = left >= LANES ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
    const __m512 least =
        threshold_stride == 0 ? _mm512_set1_ps(threshold[0]) : _mm512_maskz_loadu_ps(lanes, threshold + first);
    const __m512 values = _mm512_maskz_loadu_ps(lanes, x + first);
    const uint32_t above = _mm512_mask_cmp_ps_mask(lanes, values, least, _CMP_GE_OQ);
    uint32_t& word = words[first / WORD];
    word = first % WORD == 0 ? above : word | above << 16;
  }
}

template <int ROWS, int VECTORS>
void popcount_tile(const uint32_t* rows, size_t row_stride, const uint32_t* columns, const ptrdiff_t* offsets,
                   size_t steps, int32_t* sums) {
  __m512i sum[ROWS][VECTORS];
#pragma GCC unroll 4
  for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 6
    for (int v = 0; v < VECTORS; ++v) sum[i][v] = _mm512_setzero_si512();
  }
  for (size_t s = 0; s < steps; ++s) {
    const uint32_t* column = columns + offsets[s];
    __m512i values[VECTORS];
#pragma GCC unroll 6
    for (int v = 0; v < VECTORS; ++v) values[v] = _mm512_loadu_si512(column + v * LANES);
#pragma GCC unroll 4
    for (int i = 0; i < ROWS; ++i) {
      const __m512i row = _mm512_set1_epi32(static_cast<int>(rows[i * row_stride + s]));
#pragma GCC unroll 6
      for (int v = 0; v < VECTORS; ++v) {
        sum[i][v] = _mm512_add_epi32(sum[i][v], _mm512_popcnt_epi32(_mm512_and_si512(row, values[v])));
      }
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 6
    for (int v = 0; v < VECTORS; ++v) _mm512_storeu_si512(sums + (i * VECTORS + v) * LANES, sum[i][v]);
  }
}

using PopcountTile = decltype(&popcount_tile<1, 1>);

template <int ROWS, size_t... V>
constexpr std::array<PopcountTile, MAX_VECTORS> tiles_of(std::index_sequence<V...>) {
  return {popcount_tile<ROWS, static_cast<int>(V) + 1>...};
}

template <size_t... I>
constexpr std::array<std::array<PopcountTile, MAX_VECTORS>, MAX_ROWS> all_tiles(std::index_sequence<I...>) {
  return {tiles_of<static_cast<int>(I) + 1>(std::make_index_sequence<MAX_VECTORS>())...};
}

void and_popcount(const uint32_t* rows, size_t row_stride, int row_count, const uint32_t* columns,
                  const ptrdiff_t* offsets, size_t steps, int vectors, int32_t* sums) {
  static constexpr auto TILES = all_tiles(std::make_index_sequence<MAX_ROWS>());
  TILES[row_count - 1][vectors - 1](rows, row_stride, columns, offsets, steps, sums);
}

inline __m512 scaled(__m512i sum, __m512 scale, __m512 bias) {
  return _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale), bias);
}

// NaN stays NaN: of the two it is the second.
inline __m512 not_below_zero(__m512 value) { return _mm512_max_ps(_mm512_setzero_ps(), value); }

void finish_im2row(const int32_t* sums, const int32_t* ones, const Im2row& im2row, size_t from, int vectors,
                 const Affine& to, const AddRelu& add_relu, float* y) {
  if (im2row.kinds > LANES) return portable::finish_im2row(sums, ones, im2row, from, vectors, to, add_relu, y);
  const __m512 scale = _mm512_set1_ps(to.scale), bias = _mm512_set1_ps(to.bias);
  const __m128i shift = _mm_cvtsi32_si128(to.shift);
  const __mmask16 known = static_cast<__mmask16>((1u << im2row.kinds) - 1);
  const __m512i corrections = _mm512_maskz_loadu_epi32(known, to.correction);
  const int32_t* first = im2row.first + from;
  const ptrdiff_t begin = first[0];
  for (int v = 0; v < vectors; ++v) {
    const __mmask16 valid = im2row.valid[from + v];
    __m512i sum = _mm512_sll_epi32(_mm512_loadu_si512(sums + v * LANES), shift);
    sum = _mm512_sub_epi32(sum, _mm512_loadu_si512(ones + v * LANES));
    if (im2row.kinds > 1) {
      const __m256i narrow = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(im2row.kind + (from + v) * LANES));
      sum = _mm512_add_epi32(sum, _mm512_permutexvar_epi32(_mm512_cvtepu16_epi32(narrow), corrections));
    } else {
      sum = _mm512_add_epi32(sum, _mm512_set1_epi32(to.correction[0]));
    }
    // gathered in a register: stores through a mask of scattered lanes take many times longer
    const __m512 all = scaled(sum, scale, bias);
    __m512 values = valid == 0xffff ? all : _mm512_maskz_compress_ps(valid, all);
    const __mmask16 lanes = static_cast<__mmask16>((1u << __builtin_popcount(valid)) - 1);
    const ptrdiff_t place = first[v] - begin;
    if (add_relu.residual != nullptr) values = _mm512_add_ps(values, _mm512_maskz_loadu_ps(lanes, add_relu.residual + place));
    if (add_relu.relu) values = not_below_zero(values);
    if (valid == 0xffff) {
      _mm512_storeu_ps(y + place, values);
    } else {
      _mm512_mask_storeu_ps(y + place, lanes, values);
    }
  }
}

void finish_row(const int32_t* sums, int32_t ones, int shift, const int32_t* correction, const float* scale,
                const float* bias, size_t count, float* y) {
  const __m512i less = _mm512_set1_epi32(ones);
  const __m128i by = _mm_cvtsi32_si128(shift);
  for (size_t o = 0; o < count; o += LANES) {
    const size_t left = count - o;
    const __mmask16 lanes = left >= LANES ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
    __m512i sum = _mm512_sll_epi32(_mm512_maskz_loadu_epi32(lanes, sums + o), by);
    sum = _mm512_add_epi32(_mm512_sub_epi32(sum, less), _mm512_maskz_loadu_epi32(lanes, correction + o));
    const __m512 values =
        scaled(sum, _mm512_maskz_loadu_ps(lanes, scale + o), _mm512_maskz_loadu_ps(lanes, bias + o));
    _mm512_mask_storeu_ps(y + o, lanes, values);
  }
}

constexpr int BITS = 5, FIELDS = 6, PIXELS = 6, OUTPUTS = 4 * LANES;

void build(const float* x, ptrdiff_t pixel, size_t pixel_count, ptrdiff_t channel, size_t channels, size_t count,
           float* tables, size_t step) {
  const __m512i entry = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  __m512 sign[BITS - 1];
  for (int b = 0; b < BITS - 1; ++b) {
    const __mmask16 plus = _mm512_test_epi32_mask(entry, _mm512_set1_epi32(1 << b));
    sign[b] = _mm512_mask_blend_ps(plus, _mm512_set1_ps(-1.0f), _mm512_set1_ps(1.0f));
  }
  const size_t whole = count < channels / BITS ? count : channels / BITS;
  for (size_t g = 0; g < whole; ++g) {
    const float* values = x + static_cast<ptrdiff_t>(g * BITS) * channel;
    float* table = tables + (g << BITS);
    for (size_t i = 0; i < pixel_count; ++i, values += pixel, table += step) {
      // products with ±1 are exact, and so a fused multiply-add is an addition
      const __m512 low = _mm512_fmadd_ps(_mm512_set1_ps(values[channel]), sign[1],
                                         _mm512_mul_ps(_mm512_set1_ps(values[0]), sign[0]));
      const __m512 high = _mm512_fmadd_ps(_mm512_set1_ps(values[3 * channel]), sign[3],
                                          _mm512_mul_ps(_mm512_set1_ps(values[2 * channel]), sign[2]));
      const __m512 four = _mm512_add_ps(low, high), last = _mm512_set1_ps(values[4 * channel]);
      _mm512_storeu_ps(table, _mm512_sub_ps(four, last));
      _mm512_storeu_ps(table + LANES, _mm512_add_ps(four, last));
    }
  }
  if (whole == count) return;
  const size_t done = whole * BITS;
  portable::build<BITS>(x + static_cast<ptrdiff_t>(done) * channel, pixel, pixel_count, channel, channels - done,
                        count - whole, tables + (whole << BITS), step);
}

// What the numbers of 16 bits are multiplied by, the upper half of the product being the result: a shift to the right,
// in other ports than look-ups and real shifts.
inline __m512i shift_of(int field) { return _mm512_set1_epi16(static_cast<short>(1 << (16 - field % (FIELDS / 2) * BITS))); }

// 16 words of signs with a field where vpermi2ps, which uses only the lowest bits, finds it.
inline __m512i field_of(const uint32_t* words, int field) {
  const char* half = reinterpret_cast<const char*>(words) + field / (FIELDS / 2) * 2;
  const __m512i signs = _mm512_loadu_si512(half);
  return field % (FIELDS / 2) == 0 ? signs : _mm512_mulhi_epu16(signs, shift_of(field));
}

// Tables of a few channels after the other, and all taps of each: neighbouring pixels share most of them, which
// the first-level cache then holds.
template <int COLUMNS, int COUNT>
void lookup_tile(const float* const* tables_of, const ptrdiff_t* taps, size_t tap_count, size_t tables,
                 const uint32_t* index, bool add, float* y) {
  __m512 sum[COUNT][COLUMNS];
#pragma GCC unroll 6
  for (int p = 0; p < COUNT; ++p) {
#pragma GCC unroll 4
    for (int q = 0; q < COLUMNS; ++q) {
      sum[p][q] = add ? _mm512_loadu_ps(y + (p * COLUMNS + q) * LANES) : _mm512_setzero_ps();
    }
  }
  for (size_t g = 0; g < tables; g += FIELDS) {
    const ptrdiff_t begin = static_cast<ptrdiff_t>(g) << BITS;
    const int here = static_cast<int>(tables - g < FIELDS ? tables - g : FIELDS);
    for (size_t t = 0; t < tap_count; ++t, index += COLUMNS * LANES) {
      const float* at[COUNT];
#pragma GCC unroll 6
      for (int p = 0; p < COUNT; ++p) at[p] = tables_of[p] + taps[t] + begin;
#pragma GCC unroll 6
      for (int f = 0; f < FIELDS; ++f) {
        if (f >= here) break;
        // read again for each field: all registers are taken
        std::atomic_signal_fence(std::memory_order_seq_cst);
        __m512i signs[COLUMNS];
#pragma GCC unroll 4
        for (int q = 0; q < COLUMNS; ++q) signs[q] = field_of(index + q * LANES, f);
#pragma GCC unroll 6
        for (int p = 0; p < COUNT; ++p) {
          const float* table = at[p] + (f << BITS);
          const __m512 low = _mm512_loadu_ps(table), high = _mm512_loadu_ps(table + LANES);
#pragma GCC unroll 4
          for (int q = 0; q < COLUMNS; ++q) {
            sum[p][q] = _mm512_add_ps(sum[p][q], _mm512_permutex2var_ps(low, signs[q], high));
          }
        }
      }
    }
  }
#pragma GCC unroll 6
  for (int p = 0; p < COUNT; ++p) {
#pragma GCC unroll 4
    for (int q = 0; q < COLUMNS; ++q) _mm512_storeu_ps(y + (p * COLUMNS + q) * LANES, sum[p][q]);
  }
}

// With a single pixel the signs are read once and used as fast as memory delivers them, so they are prefetched.
template <int COLUMNS>
void lookup_pixel(const float* const* tables_of, const ptrdiff_t* taps, size_t tap_count, size_t tables,
                  const uint32_t* index, bool add, float* y) {
  constexpr size_t EARLY = 2048 / sizeof(uint32_t);
  __m512 sum[COLUMNS];  // added up in the order of the other tiles: a row's result does not depend on its neighbours
#pragma GCC unroll 4
  for (int q = 0; q < COLUMNS; ++q) sum[q] = add ? _mm512_loadu_ps(y + q * LANES) : _mm512_setzero_ps();
  for (size_t g = 0; g < tables; g += FIELDS) {
    const int here = static_cast<int>(tables - g < FIELDS ? tables - g : FIELDS);
    for (size_t t = 0; t < tap_count; ++t, index += COLUMNS * LANES) {
      const float* at = tables_of[0] + taps[t] + (g << BITS);
#pragma GCC unroll 4
      for (int q = 0; q < COLUMNS; ++q) _mm_prefetch(reinterpret_cast<const char*>(index + EARLY + q * LANES), _MM_HINT_T0);
#pragma GCC unroll 6
      for (int f = 0; f < FIELDS; ++f) {
        if (f >= here) break;
        const __m512 low = _mm512_loadu_ps(at + (f << BITS)), high = _mm512_loadu_ps(at + (f << BITS) + LANES);
#pragma GCC unroll 4
        for (int q = 0; q < COLUMNS; ++q) {
          sum[q] = _mm512_add_ps(sum[q], _mm512_permutex2var_ps(low, field_of(index + q * LANES, f), high));
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int q = 0; q < COLUMNS; ++q) _mm512_storeu_ps(y + q * LANES, sum[q]);
}

template <int COLUMNS>
void lookup_columns(const float* const* tables_of, int pixel_count, const ptrdiff_t* taps, size_t tap_count,
                    size_t tables, const uint32_t* index, bool add, float* y) {
  static constexpr decltype(&lookup_pixel<COLUMNS>) TILES[PIXELS] = {
      lookup_pixel<COLUMNS>,   lookup_tile<COLUMNS, 2>, lookup_tile<COLUMNS, 3>,
      lookup_tile<COLUMNS, 4>, lookup_tile<COLUMNS, 5>, lookup_tile<COLUMNS, 6>};
  TILES[pixel_count - 1](tables_of, taps, tap_count, tables, index, add, y);
}

void lookup(const float* const* tables_of, int pixel_count, const ptrdiff_t* taps, size_t tap_count, size_t tables,
            const uint32_t* index, int outputs, bool add, float* y) {
  static constexpr decltype(&lookup_columns<1>) COLUMNS[] = {lookup_columns<1>, lookup_columns<2>, lookup_columns<3>,
                                                            lookup_columns<4>};
  COLUMNS[outputs / LANES - 1](tables_of, pixel_count, taps, tap_count, tables, index, add, y);
}

void transpose(const float* sums, size_t step, size_t pixels, size_t outputs, const float* scale, const float* bias,
          const AddRelu& add_relu, float* y, size_t plane) {
  for (size_t o = 0; o < outputs; o += LANES) {
    const size_t high = outputs - o < LANES ? outputs - o : LANES;
    const __mmask16 known = static_cast<__mmask16>((1u << high) - 1);
    const __m512 factor = _mm512_maskz_loadu_ps(known, scale + o), term = _mm512_maskz_loadu_ps(known, bias + o);
    for (size_t p = 0; p < pixels; p += LANES) {
      const size_t wide = pixels - p < LANES ? pixels - p : LANES;
      const __mmask16 lanes = static_cast<__mmask16>((1u << wide) - 1);
      __m512 row[LANES];
#pragma GCC unroll 16
      for (size_t i = 0; i < LANES; ++i) {
        row[i] = i < wide ? _mm512_fmadd_ps(_mm512_loadu_ps(sums + (p + i) * step + o), factor, term)
                          : _mm512_setzero_ps();
      }
      transpose_registers(row);
#pragma GCC unroll 16
      for (size_t i = 0; i < LANES; ++i) {
        if (i >= high) break;
        const size_t place = (o + i) * plane + p;
        if (add_relu.residual != nullptr) row[i] = _mm512_add_ps(row[i], _mm512_maskz_loadu_ps(lanes, add_relu.residual + place));
        if (add_relu.relu) row[i] = not_below_zero(row[i]);
        _mm512_mask_storeu_ps(y + place, lanes, row[i]);
      }
    }
  }
}

struct Vector {
  using V = __m512;
  static constexpr int WIDTH = LANES;
  static V load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, V a) { _mm512_storeu_ps(to, a); }
  static V all(float value) { return _mm512_set1_ps(value); }
  static V add(V a, V b) { return _mm512_add_ps(a, b); }
  static V sub(V a, V b) { return _mm512_sub_ps(a, b); }
  static V max(V a, V b) { return _mm512_max_ps(a, b); }
  static V min(V a, V b) { return _mm512_min_ps(a, b); }
  static V mul(V a, V b) { return _mm512_mul_ps(a, b); }
  static V div(V a, V b) { return _mm512_div_ps(a, b); }
  static V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
};

}  // namespace

const Tier AVX512 = {
    "avx512",
    supported,
    pack_planes,
    pack_row,
    and_popcount,
    finish_im2row,
    finish_row,
    BITS,
    FIELDS,
    /*field_stride=*/BITS,
    PIXELS,
    OUTPUTS,
    build,
    lookup,
    portable::finish_sums,
    transpose,
    epilogue<Vector>,
    stem::loops<Vector, 4>(),
};

}  // namespace binarize
