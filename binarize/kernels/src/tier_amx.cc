// AMX-INT8 beside AVX-512 F, BW and VL: Sapphire Rapids and later.
//
// Lines of int8 are the rows of one matrix, 16 pixels of 64 channels. The signs are the other, 64 channels of 16
// outputs, and stay bits in memory: as int8 they would fall out of the second-level cache. They are spread to a tile a few steps
// before it is used.
#include <immintrin.h>

#include <atomic>

#include "portable_int8.h"
#include "transpose.h"

namespace binarize {

namespace {

constexpr int TILE = LANES * LANES;  // sums

// Sixteen rows of 64 bytes in all eight tiles.
struct alignas(64) Shape {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
constexpr Shape SHAPE;

void begin() { _tile_loadconfig(&SHAPE); }
void end() { _tile_release(); }

inline __mmask16 first_lanes(size_t count) {
  return count >= LANES ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << count) - 1);
}

void spread(const uint32_t* low, const uint32_t* high, size_t step, int channels, int smaller, const int32_t* place,
            size_t count, int8_t* lines) {
  const __mmask64 known = channels >= LINE ? ~__mmask64{0} : (__mmask64{1} << channels) - 1;
  const __m512i one = _mm512_set1_epi8(1);
  const __m512i other = _mm512_maskz_set1_epi8(known, static_cast<char>(smaller));
  for (size_t i = 0; i < count; ++i) {
    if (place[i] < 0) continue;
    const __mmask64 bits = (static_cast<__mmask64>(high[i * step]) << WORD | low[i * step]) & known;
    _mm512_store_si512(lines + static_cast<ptrdiff_t>(place[i]) * LINE, _mm512_mask_blend_epi8(bits, other, one));
  }
}

float largest(const float* x, size_t count) {
  const __m512i size = _mm512_set1_epi32(0x7fffffff);
  __m512i most = _mm512_setzero_si512();
  for (size_t i = 0; i < count; i += LANES) {
    const __m512i bits = _mm512_castps_si512(_mm512_maskz_loadu_ps(first_lanes(count - i), x + i));
    most = _mm512_max_epi32(most, _mm512_and_si512(bits, size));
  }
  alignas(64) float lanes[LANES];
  _mm512_store_si512(lanes, most);
  return portable::largest(lanes, LANES);
}

float smallest(const float* x, size_t count) {
  __m512 least = _mm512_setzero_ps();
  for (size_t i = 0; i < count; i += LANES) {
    // of NaN and a number, the second
    least = _mm512_min_ps(_mm512_maskz_loadu_ps(first_lanes(count - i), x + i), least);
  }
  alignas(64) float lanes[LANES];
  _mm512_store_ps(lanes, least);
  return portable::smallest(lanes, LANES);
}

inline __m512i rounded(__m512 x, __m512 inverse, __m512 rounder) {
  return _mm512_castps_si512(_mm512_fmadd_ps(x, inverse, rounder));
}

void slice_planes(const float* x, size_t stride, int channels, size_t count, const Unit& unit, int slices,
                  const int32_t* place, size_t slice, int8_t* lines) {
  constexpr __mmask32 ODD_WORDS = 0xaaaaaaaa;
  constexpr __mmask64 ODD_BYTES = 0xaaaaaaaaaaaaaaaa;
  const __m512 factor = _mm512_set1_ps(unit.inverse), rounder = _mm512_set1_ps(portable::rounder(unit));
  const __m512i lower = _mm512_set1_epi8(static_cast<char>(0x80)), upper = _mm512_set1_epi8(0x40);
  for (size_t i = 0; i < count; i += LANES) {
    const __mmask16 lanes = first_lanes(count - i);
    __m512 row[3][LANES];  // [slice][four channels], 16 pixels
    for (int k = 0; k < LANES; ++k) {
      __m512i q[4];
      for (int c = 0; c < 4; ++c) {
        const int channel = 4 * k + c;
        const __mmask16 known = channel < channels ? lanes : static_cast<__mmask16>(0);
        q[c] = rounded(_mm512_maskz_loadu_ps(known, x + static_cast<size_t>(channel < channels ? channel : 0) * stride + i), factor, rounder);
      }
      // words of channels 0 and 2, and of 1 and 3: their lower two bytes, then the upper one; then every other byte
      const __m512i even = _mm512_mask_blend_epi16(ODD_WORDS, q[0], _mm512_slli_epi32(q[2], 16));
      const __m512i odd = _mm512_mask_blend_epi16(ODD_WORDS, q[1], _mm512_slli_epi32(q[3], 16));
      const __m512i even_top = _mm512_mask_blend_epi16(ODD_WORDS, _mm512_srli_epi32(q[0], 16), q[2]);
      const __m512i odd_top = _mm512_mask_blend_epi16(ODD_WORDS, _mm512_srli_epi32(q[1], 16), q[3]);
      const __m512i low = _mm512_mask_blend_epi8(ODD_BYTES, even, _mm512_slli_epi16(odd, 8));
      const __m512i middle = _mm512_mask_blend_epi8(ODD_BYTES, _mm512_srli_epi16(even, 8), odd);
      const __m512i top = _mm512_mask_blend_epi8(ODD_BYTES, even_top, _mm512_slli_epi16(odd_top, 8));
      row[0][k] = _mm512_castsi512_ps(_mm512_xor_si512(low, lower));
      row[1][k] = _mm512_castsi512_ps(_mm512_xor_si512(middle, lower));
      row[2][k] = _mm512_castsi512_ps(_mm512_sub_epi8(top, upper));
    }
    const size_t here = count - i < LANES ? count - i : LANES;
    for (size_t d = 0; d < static_cast<size_t>(slices); ++d) {
      transpose_registers(row[d]);
      for (size_t l = 0; l < here; ++l) {
        if (place[i + l] < 0) continue;
        _mm512_store_ps(lines + d * slice + static_cast<ptrdiff_t>(place[i + l]) * LINE, row[d][l]);
      }
    }
  }
}

void slice_row(const float* x, size_t channels, const Unit& unit, int slices, size_t slice, size_t block, int8_t* lines) {
  const __m512 factor = _mm512_set1_ps(unit.inverse), rounder = _mm512_set1_ps(portable::rounder(unit));
  const __m128i lower = _mm_set1_epi8(static_cast<char>(0x80)), upper = _mm_set1_epi8(0x40);
  for (size_t first = 0; first < channels; first += LINE, lines += block) {
    for (size_t c = 0; c < LINE; c += LANES) {
      const size_t done = first + c < channels ? first + c : channels;
      const __m512i q = rounded(_mm512_maskz_loadu_ps(first_lanes(channels - done), x + done), factor, rounder);
      auto* to = reinterpret_cast<__m128i*>(lines + c);
      _mm_store_si128(to, _mm_xor_si128(_mm512_cvtepi32_epi8(q), lower));
      to = reinterpret_cast<__m128i*>(lines + slice + c);
      _mm_store_si128(to, _mm_xor_si128(_mm512_cvtepi32_epi8(_mm512_srli_epi32(q, 8)), lower));
      if (slices < 3) continue;
      to = reinterpret_cast<__m128i*>(lines + 2 * slice + c);
      _mm_store_si128(to, _mm_sub_epi8(_mm512_cvtepi32_epi8(_mm512_srli_epi32(q, 16)), upper));
    }
  }
}

// gcc does not know that tiles are loaded from memory and stored to it.
inline void memory_is_used() { std::atomic_signal_fence(std::memory_order_seq_cst); }

// The sums of up to six tiles of lines stay in registers 0 to 5; 6 takes the lines, 7 the signs.
template <int COUNT>
void products(const int8_t* const* lines, const ptrdiff_t* offsets, size_t steps, const uint64_t* signs, int32_t* sums) {
  constexpr size_t EARLY = 4, RING = 8;
  alignas(64) int8_t ring[RING][LANES * LINE];
  const __m512i plus = _mm512_set1_epi8(1), minus = _mm512_set1_epi8(-1);
  const auto spread_signs = [&](size_t s) {
    for (int i = 0; i < LANES; ++i) {
      _mm512_store_si512(ring[s % RING] + i * LINE, _mm512_mask_blend_epi8(signs[s * LANES + static_cast<size_t>(i)], minus, plus));
    }
  };
  for (size_t s = 0; s < EARLY && s < steps; ++s) spread_signs(s);
  memory_is_used();
  if constexpr (COUNT > 0) _tile_zero(0);
  if constexpr (COUNT > 1) _tile_zero(1);
  if constexpr (COUNT > 2) _tile_zero(2);
  if constexpr (COUNT > 3) _tile_zero(3);
  if constexpr (COUNT > 4) _tile_zero(4);
  if constexpr (COUNT > 5) _tile_zero(5);
#define BINARIZE_MULTIPLY(number)                     \
  if constexpr (COUNT > number) {                     \
    _tile_loadd(6, lines[number] + offsets[s], LINE); \
    _tile_dpbssd(number, 6, 7);                       \
  }
#define BINARIZE_STORE(number) \
  if constexpr (COUNT > number) _tile_stored(number, sums + (number) * TILE, LINE);
  for (size_t s = 0; s < steps; ++s) {
    if (s + EARLY < steps) spread_signs(s + EARLY);
    memory_is_used();
    _tile_loadd(7, ring[s % RING], LINE);
    BINARIZE_MULTIPLY(0)
    BINARIZE_MULTIPLY(1)
    BINARIZE_MULTIPLY(2)
    BINARIZE_MULTIPLY(3)
    BINARIZE_MULTIPLY(4)
    BINARIZE_MULTIPLY(5)
    memory_is_used();
  }
  BINARIZE_STORE(0)
  BINARIZE_STORE(1)
  BINARIZE_STORE(2)
  BINARIZE_STORE(3)
  BINARIZE_STORE(4)
  BINARIZE_STORE(5)
#undef BINARIZE_MULTIPLY
#undef BINARIZE_STORE
  memory_is_used();
}

void multiply(const int8_t* lines, int tiles, int slices, size_t slice, const ptrdiff_t* offsets, size_t steps,
              const uint64_t* signs, int32_t* sums) {
  static constexpr decltype(&products<1>) PRODUCTS[MAX_TILES] = {products<1>, products<2>, products<3>,
                                                                 products<4>, products<5>, products<6>};
  const int8_t* of_tile[MAX_TILES];
  for (int t = 0; t < tiles * slices; ++t) {
    of_tile[t] = lines + static_cast<size_t>(t % slices) * slice + t / slices * LANES * LINE;
  }
  PRODUCTS[tiles * slices - 1](of_tile, offsets, steps, signs, sums);
}

// The constants of 16 outputs, and the values of one pixel for them, scaled: each product and sum is rounded, as the
// op's specification has it.
template <int SLICES>
struct Sixteen {
  __m512 scale, bias;
  __m512i ones;

  Sixteen(const Channels& channels, __mmask16 known)
      : scale(_mm512_maskz_loadu_ps(known, channels.scale)),
        bias(_mm512_maskz_loadu_ps(known, channels.bias)),
        ones(_mm512_maskz_loadu_epi32(known, channels.ones)) {}

  __m512 finished(const int32_t* sums, const Unit& unit) const {
    const __m512i low = _mm512_load_si512(sums);
    __m512 value;
    if constexpr (SLICES == 1) {
      value = _mm512_cvtepi32_ps(low);
    } else {
      __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(_mm512_load_si512(sums + TILE), 8), low);
      if constexpr (SLICES == 2) sum = _mm512_sub_epi32(sum, _mm512_mullo_epi32(_mm512_set1_epi32(unit.zero_point), ones));
      value = _mm512_cvtepi32_ps(sum);
      if constexpr (SLICES == 3) {
        const __m512 top = _mm512_cvtepi32_ps(_mm512_load_si512(sums + 2 * TILE));
        value = _mm512_fmadd_ps(top, _mm512_set1_ps(65536.0f), value);
      }
      value = _mm512_mul_ps(value, _mm512_set1_ps(unit.value));
    }
    return _mm512_add_ps(_mm512_mul_ps(value, scale), bias);
  }
};

template <int SLICES>
void finish_planes_of(const int32_t* sums, int tiles, const Unit& unit, const uint16_t* valid, int outputs,
                      const Channels& channels, float* y, size_t plane) {
  const Sixteen<SLICES> here(channels, first_lanes(static_cast<size_t>(outputs)));
  for (int p = 0; p < tiles; ++p) {
    __m512 row[LANES];
    for (int i = 0; i < LANES; ++i) row[i] = here.finished(sums + p * SLICES * TILE + i * LANES, unit);
    transpose_registers(row);
    const unsigned count = static_cast<unsigned>(__builtin_popcount(valid[p]));
    for (int o = 0; o < outputs; ++o) {
      // gathered in a register: stores through a mask of scattered lanes take many times longer
      const __m512 values = _mm512_maskz_compress_ps(valid[p], row[o]);
      _mm512_mask_storeu_ps(y + static_cast<size_t>(o) * plane, first_lanes(count), values);
    }
    y += count;
  }
}

void finish_planes(const int32_t* sums, int tiles, int slices, const Unit& unit, const uint16_t* valid, int outputs,
                   const Channels& channels, float* y, size_t plane) {
  static constexpr decltype(&finish_planes_of<1>) OF[] = {finish_planes_of<1>, finish_planes_of<2>, finish_planes_of<3>};
  OF[slices - 1](sums, tiles, unit, valid, outputs, channels, y, plane);
}

template <int SLICES>
void finish_rows_of(const int32_t* sums, size_t count, const Unit* units, int outputs, const Channels& channels, float* y,
                    size_t row) {
  const __mmask16 known = first_lanes(static_cast<size_t>(outputs));
  const Sixteen<SLICES> here(channels, known);
  for (size_t i = 0; i < count; ++i) {
    const int32_t* from = sums + i / LANES * SLICES * TILE + i % LANES * LANES;
    _mm512_mask_storeu_ps(y + i * row, known, here.finished(from, units[i]));
  }
}

void finish_rows(const int32_t* sums, size_t count, int slices, const Unit* units, int outputs, const Channels& channels,
                 float* y, size_t row) {
  static constexpr decltype(&finish_rows_of<1>) OF[] = {finish_rows_of<1>, finish_rows_of<2>, finish_rows_of<3>};
  OF[slices - 1](sums, count, units, outputs, channels, y, row);
}

}  // namespace

const Int8 AMX_LOOPS = {begin,     end,      spread,        largest,    smallest, slice_planes,
                        slice_row, multiply, finish_planes, finish_rows};

}  // namespace binarize
