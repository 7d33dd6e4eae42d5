// The loops of planes.cc for AVX2: vpshufb looks 32 bytes up at once, those of 32 outputs in the same table.
#include <immintrin.h>

#include <limits>

#include "portable_planes.h"

namespace binarize {

namespace {

constexpr size_t WIDE = 8;  // floats or words in a register

inline __m256i load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
inline __m256i table_of(const uint8_t* from) {
  return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(from)));
}
inline void store(void* to, __m256i value) { _mm256_storeu_si256(static_cast<__m256i*>(to), value); }

// Bytes that are widened to words and interleaved with others within halves of a register come out in this order.
constexpr uint8_t PLACE[PLANES_BLOCK] = {0, 2, 4, 6, 16, 18, 20, 22, 8, 10, 12, 14, 24, 26, 28, 30,
                                         1, 3, 5, 7, 17, 19, 21, 23, 9, 11, 13, 15, 25, 27, 29, 31};

void range(const float* x, size_t count, float* least, float* largest) {
  constexpr size_t STEP = 2 * WIDE;
  __m256 low[2], high[2], odd = _mm256_setzero_ps();
  low[0] = low[1] = high[0] = high[1] = odd;
  size_t i = 0;
  for (; i + STEP <= count; i += STEP) {
    for (size_t k = 0; k < 2; ++k) {
      const __m256 value = _mm256_loadu_ps(x + i + k * WIDE);
      low[k] = _mm256_min_ps(low[k], value);
      high[k] = _mm256_max_ps(high[k], value);
      odd = _mm256_fmadd_ps(value, _mm256_setzero_ps(), odd);  // NaN from NaN and infinities on
    }
  }
  float part[3][WIDE];
  _mm256_storeu_ps(part[0], _mm256_min_ps(low[0], low[1]));
  _mm256_storeu_ps(part[1], _mm256_max_ps(high[0], high[1]));
  _mm256_storeu_ps(part[2], odd);
  portable::range(x + i, count - i, least, largest);
  for (size_t k = 0; k < WIDE; ++k) {
    if (part[2][k] != 0.0f) *least = *largest = std::numeric_limits<float>::quiet_NaN();
    *least = part[0][k] < *least ? part[0][k] : *least;
    *largest = part[1][k] > *largest ? part[1][k] : *largest;
  }
}

void quantise(const float* x, size_t count, const Unit& unit, int32_t* q) {
  const __m256 inverse = _mm256_set1_ps(unit.inverse);
  const __m256i zero = _mm256_set1_epi32(unit.zero_point);
  size_t i = 0;
  const auto integers = [&](__m256 value) { return _mm256_add_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(value, inverse)), zero); };
  for (; i + WIDE <= count; i += WIDE) store(q + i, integers(_mm256_loadu_ps(x + i)));
  if (i == count) return;
  const __m256i rest = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count - i)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  _mm256_maskstore_epi32(q + i, rest, integers(_mm256_maskload_ps(x + i, rest)));
}

// The parts of eight sums, each in a byte of its word.
template <int PLANES, int BITS>
inline __m256i parts(__m256i sum) {
  constexpr int PART = (1 << BITS) - 1, PAIR = (1 << 2 * BITS) - 1;
  if (PLANES > 2) {
    const __m256i upper = _mm256_slli_epi32(sum, 16 - 2 * BITS);
    sum = _mm256_or_si256(_mm256_and_si256(sum, _mm256_set1_epi32(PAIR)), _mm256_and_si256(upper, _mm256_set1_epi32(PAIR << 16)));
  }
  const __m256i upper = _mm256_slli_epi32(sum, 8 - BITS);
  return _mm256_or_si256(_mm256_and_si256(sum, _mm256_set1_epi32(PART << 16 | PART)),
                         _mm256_and_si256(upper, _mm256_set1_epi32(PART << 24 | PART << 8)));
}

template <int PLANES, int BITS>
void build_tables(const int32_t* q, ptrdiff_t channel, ptrdiff_t item, size_t count, uint8_t* to, size_t step) {
  const __m256i with0 = _mm256_setr_epi32(0, -1, 0, -1, 0, -1, 0, -1), with1 = _mm256_setr_epi32(0, 0, -1, -1, 0, 0, -1, -1);
  const __m256i with3 = _mm256_setr_epi32(0, 0, 0, 0, -1, -1, -1, -1);
  const __m256i by_plane = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  const int32_t *q0 = q, *q1 = q + channel, *q2 = q + 2 * channel, *q3 = q + 3 * channel;
  for (size_t i = 0; i < count; ++i, q0 += item, q1 += item, q2 += item, q3 += item, to += step) {
    // entries 0 to 3 and 8 to 11, then, with the third value, those four after each
    __m256i sum = _mm256_add_epi32(_mm256_and_si256(_mm256_set1_epi32(*q0), with0), _mm256_and_si256(_mm256_set1_epi32(*q1), with1));
    sum = _mm256_add_epi32(sum, _mm256_and_si256(_mm256_set1_epi32(*q3), with3));
    const __m256i other = _mm256_add_epi32(sum, _mm256_set1_epi32(*q2));
    const __m256i first = _mm256_shuffle_epi8(parts<PLANES, BITS>(sum), by_plane);
    const __m256i second = _mm256_shuffle_epi8(parts<PLANES, BITS>(other), by_plane);
    store(to, _mm256_permute4x64_epi64(_mm256_unpacklo_epi32(first, second), 0xd8));
    if (PLANES == 2) continue;
    const __m256i above = _mm256_permute4x64_epi64(_mm256_unpackhi_epi32(first, second), 0xd8);
    if (PLANES == 4) {
      store(to + 32, above);
    } else {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 32), _mm256_castsi256_si128(above));
    }
  }
}

// Sums of words, of two planes or of one alone, to sums of 32 bits, of 16 outputs: eight by the lower halves of the words' registers.
template <int BITS>
inline void widen(__m256i plane, __m256i upper, bool add, int32_t* sums) {
  const __m256i weights = _mm256_set1_epi32(1 << (16 + BITS) | 1);
  __m256i low = _mm256_madd_epi16(_mm256_unpacklo_epi16(plane, upper), weights);
  __m256i high = _mm256_madd_epi16(_mm256_unpackhi_epi16(plane, upper), weights);
  if (add) {
    low = _mm256_add_epi32(low, load(sums));
    high = _mm256_add_epi32(high, load(sums + WIDE));
  }
  store(sums, low);
  store(sums + WIDE, high);
}

// Of one pixel and one or two blocks. Parts of `AT_ONCE` tables are added in bytes, and their sums in words: `all` of the
// whole word, `odd` of its upper byte, so that all - 256·odd is the sum of the lower one. The barriers keep gcc from moving
// sums to memory.
template <int PLANES, int BITS, int BLOCKS>
__attribute__((noinline)) void sum_pixel(const uint8_t* at, const ptrdiff_t* taps, size_t tap_count, size_t tables,
                                         const uint8_t* const* indices, bool add, int32_t* sums) {
  constexpr int AT_ONCE = BITS == 5 ? 8 : 4, PARTS = PLANES * BLOCKS;
  __m256i all[PARTS], odd[PARTS];
  const uint8_t* index[BLOCKS];
  for (int b = 0; b < BLOCKS; ++b) index[b] = indices[b];
#pragma GCC unroll 4
  for (int p = 0; p < PARTS; ++p) all[p] = odd[p] = _mm256_setzero_si256();
  for (size_t t = 0; t < tap_count; ++t) {
    const uint8_t* table = at + taps[t];
    for (size_t g = 0; g < tables; g += AT_ONCE) {
      __m256i bytes[PARTS];
#pragma GCC unroll 8
      for (int u = 0; u < AT_ONCE; ++u) {
        __m256i entries[BLOCKS];
#pragma GCC unroll 2
        for (int b = 0; b < BLOCKS; ++b) entries[b] = load(index[b] + u * 32);
#pragma GCC unroll 4
        for (int p = 0; p < PLANES; ++p) {
          const __m256i part = table_of(table + (u * PLANES + p) * 16);
#pragma GCC unroll 2
          for (int b = 0; b < BLOCKS; ++b) {
            __m256i& sum = bytes[b * PLANES + p];
            const __m256i found = _mm256_shuffle_epi8(part, entries[b]);
            sum = u == 0 ? found : _mm256_add_epi8(sum, found);
            asm("" : "+x"(sum));
          }
        }
      }
#pragma GCC unroll 4
      for (int p = 0; p < PARTS; ++p) {
        all[p] = _mm256_add_epi16(all[p], bytes[p]);
        odd[p] = _mm256_add_epi16(odd[p], _mm256_srli_epi16(bytes[p], 8));
        asm("" : "+x"(all[p]), "+x"(odd[p]));
      }
      table += AT_ONCE * PLANES * 16;
      for (int b = 0; b < BLOCKS; ++b) index[b] += AT_ONCE * 32;
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < PARTS; ++p) all[p] = _mm256_sub_epi16(all[p], _mm256_slli_epi16(odd[p], 8));
#pragma GCC unroll 2
  for (int p = 0; p < PARTS; p += 2, sums += PLANES_BLOCK) {
    const bool pair = p + 1 < PARTS;
    widen<BITS>(all[p], pair ? all[p + 1] : _mm256_setzero_si256(), add, sums);
    widen<BITS>(odd[p], pair ? odd[p + 1] : _mm256_setzero_si256(), add, sums + 16);
  }
}

template <int PLANES, int BITS>
void sum_pixels(const uint8_t* const* at, size_t count, const ptrdiff_t* taps, size_t tap_count, size_t tables,
                const uint8_t* index, const uint8_t* second, bool add, int32_t* sums) {
  const uint8_t* const indices[2] = {index, second};
  for (size_t i = 0; i < count; ++i, sums += PLANES_SUMS) {
    if (PLANES == 2 && second != nullptr) {
      sum_pixel<PLANES, BITS, PLANES == 2 ? 2 : 1>(at[i], taps, tap_count, tables, indices, add, sums);
    } else {
      sum_pixel<PLANES, BITS, 1>(at[i], taps, tap_count, tables, indices, add, sums);
    }
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
    const __m256 value = _mm256_set1_ps(unit.value);
    for (size_t o = 0; o < PLANES_BLOCK; o += WIDE) {
      __m256 half[HALVES];
      for (int h = 0; h < HALVES; ++h) {
        __m256i sum = load(sums + static_cast<size_t>(h) * PLANES_BLOCK + o);
        if (zero_point[h] != 0) sum = _mm256_sub_epi32(sum, _mm256_mullo_epi32(_mm256_set1_epi32(zero_point[h]), load(plus + o)));
        half[h] = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_slli_epi32(sum, 1), _mm256_set1_epi32(static_cast<int>(less[h]))));
      }
      const __m256 all = HALVES == 2 ? _mm256_fmadd_ps(half[HALVES - 1], _mm256_set1_ps(BASE), half[0]) : half[0];
      _mm256_storeu_ps(values + o, _mm256_mul_ps(all, value));
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

const Planes AVX2_PLANES{PLACE, range, quantise, build, sum, combine};

}  // namespace binarize
