// For the tiers with AVX-512.
#pragma once

#include <immintrin.h>

#include "tier.h"

namespace binarize {
namespace {

// 16 x 16 in registers: pairs of 4-byte, then 8-byte, then 16-byte parts change places.
inline void transpose_registers(__m512 row[LANES]) {
  __m512 other[LANES];
  for (int i = 0; i < LANES; i += 2) {
    other[i] = _mm512_unpacklo_ps(row[i], row[i + 1]);
    other[i + 1] = _mm512_unpackhi_ps(row[i], row[i + 1]);
  }
  for (int i = 0; i < LANES; i += 4) {
    for (int k = 0; k < 2; ++k) {
      const __m512d a = _mm512_castps_pd(other[i + k]), b = _mm512_castps_pd(other[i + k + 2]);
      row[i + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
      row[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
  }
  for (int i = 0; i < LANES; i += 8) {
    for (int k = 0; k < 4; ++k) {
      other[i + k] = _mm512_shuffle_f32x4(row[i + k], row[i + k + 4], 0x88);
      other[i + k + 4] = _mm512_shuffle_f32x4(row[i + k], row[i + k + 4], 0xdd);
    }
  }
  for (int k = 0; k < 8; ++k) {
    row[k] = _mm512_shuffle_f32x4(other[k], other[k + 8], 0x88);
    row[k + 8] = _mm512_shuffle_f32x4(other[k], other[k + 8], 0xdd);
  }
}

}  // namespace
}  // namespace binarize
