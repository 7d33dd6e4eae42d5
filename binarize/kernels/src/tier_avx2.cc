// AVX2 and FMA: Haswell, Zen and later.
//
// Popcounts: of bytes, by a table of nibbles in a register (vpshufb), summed as bytes as long as they cannot overflow.
// Lookups: vpermps is a table of 8 floats; it finds the signed sum of three activations for 8 outputs at once.
#include <immintrin.h>

#include "epilogue_loops.h"
#include "portable.h"
#include "stem_loops.h"

namespace binarize {

namespace {

constexpr int HALF = LANES / 2;  // floats or words in a register

bool supported() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

template <int VECTORS>
void pack_block(const float* x, size_t stride, int channels, const float* threshold, int threshold_stride, uint32_t* words) {
  __m256i word[VECTORS];
  for (int v = 0; v < VECTORS; ++v) word[v] = _mm256_setzero_si256();
  for (int c = 0; c < channels; ++c) {
    const __m256 least = _mm256_set1_ps(threshold[c * threshold_stride]);
    const __m256i bit = _mm256_set1_epi32(static_cast<int>(1u << c));
    for (int v = 0; v < VECTORS; ++v) {
      const __m256 above = _mm256_cmp_ps(_mm256_loadu_ps(x + c * stride + v * HALF), least, _CMP_GE_OQ);
      word[v] = _mm256_or_si256(word[v], _mm256_and_si256(_mm256_castps_si256(above), bit));
    }
  }
  for (int v = 0; v < VECTORS; ++v) _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + v * HALF), word[v]);
}

void pack_planes(const float* x, size_t stride, int channels, const float* threshold, int threshold_stride, size_t count,
                 uint32_t* words) {
  constexpr size_t BLOCK = 4 * HALF;
  size_t i = 0;
  for (; i + BLOCK <= count; i += BLOCK) pack_block<4>(x + i, stride, channels, threshold, threshold_stride, words + i);
  for (; i + HALF <= count; i += HALF) pack_block<1>(x + i, stride, channels, threshold, threshold_stride, words + i);
  portable::pack_planes(x + i, stride, channels, threshold, threshold_stride, count - i, words + i);
}

void pack_row(const float* x, size_t count, const float* threshold, int threshold_stride, uint32_t* words) {
  size_t first = 0;
  for (; first + WORD <= count; first += WORD) {
    uint32_t word = 0;
    for (int part = 0; part < WORD / HALF; ++part) {
      const size_t at = first + static_cast<size_t>(part) * HALF;
      const __m256 least = threshold_stride == 0 ? _mm256_set1_ps(threshold[0]) : _mm256_loadu_ps(threshold + at);
      const __m256 above = _mm256_cmp_ps(_mm256_loadu_ps(x + at), least, _CMP_GE_OQ);
      word |= static_cast<uint32_t>(_mm256_movemask_ps(above)) << (part * HALF);
    }
    words[first / WORD] = word;
  }
  portable::pack_row(x + first, count - first, threshold + (threshold_stride == 0 ? 0 : first), threshold_stride, words + first / WORD);
}

// Sums of bytes hold 31 popcounts of at most 8 each.
constexpr size_t UNTIL_FULL = 31;

template <int ROWS, int HALVES>
void popcount_tile(const uint32_t* rows, size_t row_stride, const uint32_t* columns, const ptrdiff_t* offsets,
                   size_t steps, int32_t* sums, size_t sum_stride) {
  const __m256i table = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  const __m256i nibble = _mm256_set1_epi8(15);
  for (size_t begin = 0; begin < steps; begin += UNTIL_FULL) {
    const size_t end = steps - begin < UNTIL_FULL ? steps : begin + UNTIL_FULL;
    __m256i bytes[ROWS][HALVES];
    for (int i = 0; i < ROWS; ++i) {
      for (int v = 0; v < HALVES; ++v) bytes[i][v] = _mm256_setzero_si256();
    }
    for (size_t s = begin; s < end; ++s) {
      // cut into nibbles once for all rows
      __m256i low[HALVES], high[HALVES];
#pragma GCC unroll 4
      for (int v = 0; v < HALVES; ++v) {
        const __m256i column = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(columns + offsets[s] + v * HALF));
        low[v] = _mm256_and_si256(column, nibble);
        high[v] = _mm256_and_si256(_mm256_srli_epi16(column, 4), nibble);
      }
#pragma GCC unroll 4
      for (int i = 0; i < ROWS; ++i) {
        const __m256i row = _mm256_set1_epi32(static_cast<int>(rows[i * row_stride + s])), shifted = _mm256_srli_epi32(row, 4);
#pragma GCC unroll 4
        for (int v = 0; v < HALVES; ++v) {
          const __m256i count = _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(row, low[v])),
                                                _mm256_shuffle_epi8(table, _mm256_and_si256(shifted, high[v])));
          bytes[i][v] = _mm256_add_epi8(bytes[i][v], count);
        }
      }
    }
    for (int i = 0; i < ROWS; ++i) {
      for (int v = 0; v < HALVES; ++v) {
        __m256i* sum = reinterpret_cast<__m256i*>(sums + i * sum_stride + v * HALF);
        const __m256i pairs = _mm256_maddubs_epi16(bytes[i][v], _mm256_set1_epi8(1));
        const __m256i words = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
        _mm256_storeu_si256(sum, begin == 0 ? words : _mm256_add_epi32(_mm256_loadu_si256(sum), words));
      }
    }
  }
}

template <int ROWS>
void popcount_rows(const uint32_t* rows, size_t row_stride, const uint32_t* columns, const ptrdiff_t* offsets,
                   size_t steps, int vectors, int32_t* sums) {
  constexpr int HALVES = 2;
  const size_t width = static_cast<size_t>(vectors) * LANES;
  for (int v = 0; v < vectors; ++v) {
    popcount_tile<ROWS, HALVES>(rows, row_stride, columns + v * LANES, offsets, steps, sums + v * LANES, width);
  }
}

void and_popcount(const uint32_t* rows, size_t row_stride, int row_count, const uint32_t* columns,
                  const ptrdiff_t* offsets, size_t steps, int vectors, int32_t* sums) {
  static constexpr decltype(&popcount_rows<1>) TILES[MAX_ROWS] = {popcount_rows<1>, popcount_rows<2>, popcount_rows<3>,
                                                                  popcount_rows<4>};
  TILES[row_count - 1](rows, row_stride, columns, offsets, steps, vectors, sums);
}

// --- popcounts of nibbles

// [16·n + m]: how many bits n and m have in common, so that a register is the table of a nibble n.
struct InCommon {
  alignas(64) uint8_t of[256] = {};
  constexpr InCommon() {
    for (int i = 0; i < 256; ++i) {
      for (int bit = 0; bit < 4; ++bit) of[i] = static_cast<uint8_t>(of[i] + (i >> bit & i >> (bit + 4) & 1));
    }
  }
};
constexpr InCommon IN_COMMON;

void split_nibbles(const uint32_t* words, size_t count, int planes, uint8_t* to, size_t plane) {
  constexpr size_t BLOCK = 4 * HALF;
  const __m256i bytes = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m256i lanes = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7), nibble = _mm256_set1_epi8(0xf);
  size_t i = 0;
  for (; i + BLOCK <= count; i += BLOCK) {
    // byte k of 8 words are 8 bytes of row[j], then byte k of 16 words and of 32 come together
    __m256i row[4], byte[4];
    for (int j = 0; j < 4; ++j) {
      const __m256i word = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words + i + j * HALF));
      row[j] = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(word, bytes), lanes);
    }
    for (int j = 0; j < 4; j += 2) {
      byte[j] = _mm256_unpacklo_epi64(row[j], row[j + 1]);
      byte[j + 1] = _mm256_unpackhi_epi64(row[j], row[j + 1]);
    }
    const __m256i of_word[] = {_mm256_permute2x128_si256(byte[0], byte[2], 0x20), _mm256_permute2x128_si256(byte[1], byte[3], 0x20),
                               _mm256_permute2x128_si256(byte[0], byte[2], 0x31), _mm256_permute2x128_si256(byte[1], byte[3], 0x31)};
    for (int n = 0; n < planes; ++n) {
      const __m256i shifted = n % 2 == 0 ? of_word[n / 2] : _mm256_srli_epi16(of_word[n / 2], 4);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + static_cast<size_t>(n) * plane + i), _mm256_and_si256(shifted, nibble));
    }
  }
  portable::split_nibbles(words + i, count - i, planes, to + i, plane);
}

// Sums of bytes hold 63 popcounts of at most 4 each.
constexpr size_t UNTIL_FULL_OF_NIBBLES = 63;

template <int ROWS, int BYTES>
void nibble_tile(const uint8_t* rows, size_t row_stride, const uint8_t* columns, const ptrdiff_t* offsets, size_t steps,
                 int32_t* sums, size_t sum_stride, int vectors) {
  for (size_t begin = 0; begin < steps; begin += UNTIL_FULL_OF_NIBBLES) {
    const size_t end = steps - begin < UNTIL_FULL_OF_NIBBLES ? steps : begin + UNTIL_FULL_OF_NIBBLES;
    __m256i bytes[ROWS][BYTES];
#pragma GCC unroll 4
    for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 3
      for (int v = 0; v < BYTES; ++v) bytes[i][v] = _mm256_setzero_si256();
    }
    for (size_t s = begin; s < end; ++s) {
      __m256i column[BYTES];
#pragma GCC unroll 3
      for (int v = 0; v < BYTES; ++v) column[v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(columns + offsets[s] + v * 2 * LANES));
#pragma GCC unroll 4
      for (int i = 0; i < ROWS; ++i) {
        const __m128i* counts = reinterpret_cast<const __m128i*>(IN_COMMON.of + rows[i * row_stride + s]);
        const __m256i table = _mm256_broadcastsi128_si256(_mm_load_si128(counts));
#pragma GCC unroll 3
        for (int v = 0; v < BYTES; ++v) {
          bytes[i][v] = _mm256_add_epi8(bytes[i][v], _mm256_shuffle_epi8(table, column[v]));
          asm("" : "+x"(bytes[i][v]));  // gcc would rather keep the look-ups, and have too few registers
        }
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 3
      for (int v = 0; v < BYTES; ++v) {
        const __m128i halves[] = {_mm256_castsi256_si128(bytes[i][v]), _mm256_extracti128_si256(bytes[i][v], 1)};
        for (int half = 0; half < 2 && 2 * v + half < vectors; ++half) {
          int32_t* sum = sums + i * sum_stride + (2 * v + half) * LANES;
          const __m256i words[] = {_mm256_cvtepu8_epi32(halves[half]), _mm256_cvtepu8_epi32(_mm_srli_si128(halves[half], HALF))};
          for (int part = 0; part < 2; ++part) {
            __m256i* to = reinterpret_cast<__m256i*>(sum + part * HALF);
            _mm256_storeu_si256(to, begin == 0 ? words[part] : _mm256_add_epi32(_mm256_loadu_si256(to), words[part]));
          }
        }
      }
    }
  }
}

template <int ROWS>
void nibble_rows(const uint8_t* rows, size_t row_stride, const uint8_t* columns, const ptrdiff_t* offsets, size_t steps,
                 int vectors, int32_t* sums) {
  static constexpr decltype(&nibble_tile<ROWS, 1>) TILES[] = {nibble_tile<ROWS, 1>, nibble_tile<ROWS, 2>, nibble_tile<ROWS, 3>};
  TILES[(vectors - 1) / 2](rows, row_stride, columns, offsets, steps, sums, static_cast<size_t>(vectors) * LANES, vectors);
}

void and_popcount_nibbles(const uint8_t* rows, size_t row_stride, int row_count, const uint8_t* columns, const ptrdiff_t* offsets,
                          size_t steps, int vectors, int32_t* sums) {
  static constexpr decltype(&nibble_rows<1>) TILES[MAX_ROWS] = {nibble_rows<1>, nibble_rows<2>, nibble_rows<3>, nibble_rows<4>};
  TILES[row_count - 1](rows, row_stride, columns, offsets, steps, vectors, sums);
}

constexpr Nibbles NIBBLES = {split_nibbles, and_popcount_nibbles};

// [m]: the numbers of the bits that are set in m, lowest first; what is behind them is not used.
struct SetBits {
  alignas(64) uint8_t of[256][HALF] = {};
  constexpr SetBits() {
    for (int m = 0; m < 256; ++m) {
      for (int bit = 0, found = 0; bit < HALF; ++bit) {
        if (m >> bit & 1) of[m][found++] = static_cast<uint8_t>(bit);
      }
    }
  }
};
constexpr SetBits SET_BITS;

// The first `count` lanes.
inline __m256i first_lanes(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

inline __m256i load(const int32_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }

inline __m256 scaled(__m256i sum, __m256 scale, __m256 bias) {
  return _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale), bias);
}

// What each of 8 positions adds to its sums: by its kind, of which there are at most 16.
struct Corrections {
  explicit Corrections(const Im2row& im2row, const int32_t* of) {
    alignas(32) int32_t values[LANES] = {};
    for (int kind = 0; kind < im2row.kinds; ++kind) values[kind] = of[kind];
    lower = load(values);
    upper = load(values + HALF);
  }
  __m256i operator()(const uint16_t* kinds) const {
    const __m256i kind = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(kinds)));
    const __m256i in_upper = _mm256_cmpgt_epi32(kind, _mm256_set1_epi32(HALF - 1));
    return _mm256_blendv_epi8(_mm256_permutevar8x32_epi32(lower, kind), _mm256_permutevar8x32_epi32(upper, kind), in_upper);
  }
  __m256i lower, upper;
};

// The same where all positions are of one kind.
struct Correction {
  explicit Correction(const Im2row&, const int32_t* of) : only(_mm256_set1_epi32(of[0])) {}
  __m256i operator()(const uint16_t*) const { return only; }
  __m256i only;
};

template <class Correcting>
void finish_each(const int32_t* sums, const int32_t* ones, const Im2row& im2row, size_t from, int vectors, const Affine& to,
                 const AddRelu& add_relu, float* y) {
  const __m256 scale = _mm256_set1_ps(to.scale), bias = _mm256_set1_ps(to.bias);
  const __m128i shift = _mm_cvtsi32_si128(to.shift);
  const Correcting correction(im2row, to.correction);
  const uint16_t *lanes_of = im2row.valid + from, *kinds = im2row.kind + from * LANES;
  const bool relu = add_relu.relu;
  const float* residual = add_relu.residual;
  const size_t end = static_cast<size_t>(im2row.first[from + static_cast<size_t>(vectors)] - im2row.first[from]);
  const auto outputs = [&](size_t at) {
    const __m256i sum = _mm256_sub_epi32(_mm256_sll_epi32(load(sums + at), shift), load(ones + at));
    return scaled(_mm256_add_epi32(sum, correction(kinds + at)), scale, bias);
  };
  const auto store = [&](__m256 values, size_t place) {
    if (residual != nullptr) values = _mm256_add_ps(values, _mm256_loadu_ps(residual + place));
    if (relu) values = _mm256_max_ps(_mm256_setzero_ps(), values);
    _mm256_storeu_ps(y + place, values);
  };
  const auto store_first = [&](__m256 values, size_t place, int count) {
    const __m256i lanes = first_lanes(count);
    if (residual != nullptr) values = _mm256_add_ps(values, _mm256_maskload_ps(residual + place, lanes));
    if (relu) values = _mm256_max_ps(_mm256_setzero_ps(), values);
    _mm256_maskstore_ps(y + place, lanes, values);
  };
  size_t place = 0;
  for (size_t at = 0; at < static_cast<size_t>(vectors) * LANES; at += LANES) {
    const unsigned both = lanes_of[at / LANES];
    if (both == 0xffff) {
      for (size_t half = 0; half < LANES; half += HALF) store(outputs(at + half), place + half);
      place += LANES;
      continue;
    }
    for (size_t half = 0; half < LANES; half += HALF) {
      const unsigned valid = both >> half & 0xff;
      if (valid == 0) continue;
      // gathered in a register: stores lane by lane take many times longer
      const __m256i places = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(SET_BITS.of[valid])));
      const __m256 values = _mm256_permutevar8x32_ps(outputs(at + half), places);
      const int count = __builtin_popcount(valid);
      // The lanes behind the last belong to the outputs that are stored next, unless there are none or what is there is
      // still to be added to.
      if (place + HALF <= end && residual != y) {
        store(values, place);
      } else {
        store_first(values, place, count);
      }
      place += static_cast<size_t>(count);
    }
  }
}

void finish_im2row(const int32_t* sums, const int32_t* ones, const Im2row& im2row, size_t from, int vectors,
                   const Affine& to, const AddRelu& add_relu, float* y) {
  const auto finish = im2row.kinds == 1       ? finish_each<Correction>
                      : im2row.kinds <= LANES ? finish_each<Corrections>
                                              : portable::finish_im2row;
  finish(sums, ones, im2row, from, vectors, to, add_relu, y);
}

void finish_row(const int32_t* sums, int32_t ones, int shift, const int32_t* correction, const float* scale,
                const float* bias, size_t count, float* y) {
  const __m256i less = _mm256_set1_epi32(ones);
  const __m128i by = _mm_cvtsi32_si128(shift);
  size_t o = 0;
  for (; o + HALF <= count; o += HALF) {
    const __m256i sum = _mm256_sub_epi32(_mm256_sll_epi32(load(sums + o), by), less);
    _mm256_storeu_ps(y + o, scaled(_mm256_add_epi32(sum, load(correction + o)), _mm256_loadu_ps(scale + o), _mm256_loadu_ps(bias + o)));
  }
  portable::finish_row(sums + o, ones, shift, correction + o, scale + o, bias + o, count - o, y + o);
}

constexpr int BITS = 3, FIELDS = 4, PIXELS = 2, OUTPUTS = 2 * LANES;

void build(const float* x, ptrdiff_t pixel, size_t pixel_count, ptrdiff_t channel, size_t channels, size_t count,
           float* tables, size_t step) {
  const __m256 sign0 = _mm256_setr_ps(-1, 1, -1, 1, -1, 1, -1, 1), sign1 = _mm256_setr_ps(-1, -1, 1, 1, -1, -1, 1, 1);
  const __m256 sign2 = _mm256_setr_ps(-1, -1, -1, -1, 1, 1, 1, 1);
  const size_t whole = count < channels / BITS ? count : channels / BITS;
  for (size_t g = 0; g < whole; ++g) {
    const float* values = x + static_cast<ptrdiff_t>(g * BITS) * channel;
    float* table = tables + (g << BITS);
    for (size_t i = 0; i < pixel_count; ++i, values += pixel, table += step) {
      // products with ±1 are exact, and so a fused multiply-add is an addition
      __m256 sum = _mm256_mul_ps(_mm256_set1_ps(values[0]), sign0);
      sum = _mm256_fmadd_ps(_mm256_set1_ps(values[channel]), sign1, sum);
      sum = _mm256_fmadd_ps(_mm256_set1_ps(values[2 * channel]), sign2, sum);
      _mm256_storeu_ps(table, sum);
    }
  }
  if (whole == count) return;
  const size_t done = whole * BITS;
  portable::build<BITS>(x + static_cast<ptrdiff_t>(done) * channel, pixel, pixel_count, channel, channels - done,
                        count - whole, tables + (whole << BITS), step);
}

template <int COLUMNS, int COUNT>
void lookup_tile(const float* const* tables_of, const ptrdiff_t* taps, size_t tap_count, size_t tables,
                 const uint32_t* index, bool add, float* y) {
  __m256 sum[COUNT][COLUMNS];
  for (int p = 0; p < COUNT; ++p) {
    for (int q = 0; q < COLUMNS; ++q) {
      sum[p][q] = add ? _mm256_loadu_ps(y + (p * COLUMNS + q) * HALF) : _mm256_setzero_ps();
    }
  }
  for (size_t g = 0; g < tables; g += FIELDS) {
    const ptrdiff_t begin = static_cast<ptrdiff_t>(g) << BITS;
    const int here = static_cast<int>(tables - g < FIELDS ? tables - g : FIELDS);
    for (size_t t = 0; t < tap_count; ++t, index += COLUMNS * HALF) {
      const float* at[COUNT];
      for (int p = 0; p < COUNT; ++p) at[p] = tables_of[p] + taps[t] + begin;
      // vpermps uses only the lowest bits: a load that begins f bytes later is a shift that costs nothing
      const char* bytes = reinterpret_cast<const char*>(index);
      for (int f = 0; f < here; ++f, ++bytes) {
        __m256 table[COUNT];
#pragma GCC unroll 2
        for (int p = 0; p < COUNT; ++p) {
          table[p] = _mm256_loadu_ps(at[p]);
          at[p] += 1 << BITS;
        }
#pragma GCC unroll 4
        for (int q = 0; q < COLUMNS; ++q) {
          const __m256i signs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes + q * sizeof(__m256i)));
#pragma GCC unroll 2
          for (int p = 0; p < COUNT; ++p) {
            sum[p][q] = _mm256_add_ps(sum[p][q], _mm256_permutevar8x32_ps(table[p], signs));
          }
        }
      }
    }
  }
  for (int p = 0; p < COUNT; ++p) {
    for (int q = 0; q < COLUMNS; ++q) _mm256_storeu_ps(y + (p * COLUMNS + q) * HALF, sum[p][q]);
  }
}

void lookup(const float* const* tables_of, int pixel_count, const ptrdiff_t* taps, size_t tap_count, size_t tables,
            const uint32_t* index, int outputs, bool add, float* y) {
  static constexpr decltype(&lookup_tile<2, 1>) TILES[][PIXELS] = {{lookup_tile<2, 1>, lookup_tile<2, 2>},
                                                                  {lookup_tile<4, 1>, lookup_tile<4, 2>}};
  TILES[outputs / LANES - 1][pixel_count - 1](tables_of, taps, tap_count, tables, index, add, y);
}

// 8 x 8 in registers: pairs of 4-byte, then 8-byte, then 16-byte parts change places.
inline void transpose_registers(__m256 row[HALF]) {
  __m256 other[HALF];
  for (int i = 0; i < HALF; i += 2) {
    other[i] = _mm256_unpacklo_ps(row[i], row[i + 1]);
    other[i + 1] = _mm256_unpackhi_ps(row[i], row[i + 1]);
  }
  for (int i = 0; i < HALF; i += 4) {
    for (int k = 0; k < 2; ++k) {
      row[i + 2 * k] = _mm256_shuffle_ps(other[i + k], other[i + k + 2], 0x44);
      row[i + 2 * k + 1] = _mm256_shuffle_ps(other[i + k], other[i + k + 2], 0xee);
    }
  }
  for (int k = 0; k < 4; ++k) {
    other[k] = _mm256_permute2f128_ps(row[k], row[k + 4], 0x20);
    other[k + 4] = _mm256_permute2f128_ps(row[k], row[k + 4], 0x31);
  }
  for (int k = 0; k < HALF; ++k) row[k] = other[k];
}

// Eight channels of `count` <= 8 pixels.
template <bool WHOLE>
inline void transpose_some(const float* sums, size_t step, size_t count, __m256 scale, __m256 bias, const float* residual, bool relu,
                           float* y, size_t plane) {
  __m256 row[HALF] = {};
  for (size_t i = 0; i < (WHOLE ? HALF : count); ++i) row[i] = _mm256_fmadd_ps(_mm256_loadu_ps(sums + i * step), scale, bias);
  transpose_registers(row);
  const __m256i lanes = first_lanes(static_cast<int>(count));
  for (size_t i = 0; i < HALF; ++i) {
    const size_t place = i * plane;
    if (residual != nullptr) {
      row[i] = _mm256_add_ps(row[i], WHOLE ? _mm256_loadu_ps(residual + place) : _mm256_maskload_ps(residual + place, lanes));
    }
    if (relu) row[i] = _mm256_max_ps(_mm256_setzero_ps(), row[i]);
    if (WHOLE) {
      _mm256_storeu_ps(y + place, row[i]);
    } else {
      _mm256_maskstore_ps(y + place, lanes, row[i]);
    }
  }
}

void transpose(const float* sums, size_t step, size_t pixels, size_t outputs, const float* scale, const float* bias,
               const AddRelu& add_relu, float* y, size_t plane) {
  const auto residual = [&](size_t place) { return add_relu.residual == nullptr ? nullptr : add_relu.residual + place; };
  const size_t whole = outputs / HALF * HALF;
  for (size_t o = 0; o < whole; o += HALF) {
    const __m256 factor = _mm256_loadu_ps(scale + o), term = _mm256_loadu_ps(bias + o);
    size_t p = 0;
    for (; p + HALF <= pixels; p += HALF) {
      const size_t place = o * plane + p;
      transpose_some<true>(sums + p * step + o, step, HALF, factor, term, residual(place), add_relu.relu, y + place, plane);
    }
    const size_t place = o * plane + p;
    if (p < pixels) {
      transpose_some<false>(sums + p * step + o, step, pixels - p, factor, term, residual(place), add_relu.relu, y + place, plane);
    }
  }
  portable::transpose(sums + whole, step, pixels, outputs - whole, scale + whole, bias + whole,
                      {residual(whole * plane), add_relu.relu}, y + whole * plane, plane);
}

struct Vector {
  using V = __m256;
  static constexpr int WIDTH = HALF;
  static V load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, V a) { _mm256_storeu_ps(to, a); }
  static V all(float value) { return _mm256_set1_ps(value); }
  static V add(V a, V b) { return _mm256_add_ps(a, b); }
  static V sub(V a, V b) { return _mm256_sub_ps(a, b); }
  static V max(V a, V b) { return _mm256_max_ps(a, b); }
  static V min(V a, V b) { return _mm256_min_ps(a, b); }
  static V mul(V a, V b) { return _mm256_mul_ps(a, b); }
  static V div(V a, V b) { return _mm256_div_ps(a, b); }
  static V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
};

}  // namespace

const Tier AVX2 = {
    "avx2",
    supported,
    pack_planes,
    pack_row,
    and_popcount,
    finish_im2row,
    finish_row,
    BITS,
    FIELDS,
    /*field_stride=*/8,
    PIXELS,
    OUTPUTS,
    build,
    lookup,
    portable::finish_sums,
    transpose,
    epilogue<Vector>,
    stem::loops<Vector, 2>(),
    /*int8=*/nullptr,
    &AVX2_PLANES,
    &NIBBLES,
};

}  // namespace binarize
