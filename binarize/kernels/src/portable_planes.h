// The loops of planes.cc in plain C++: the readable reference of each.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "tier.h"

namespace binarize::portable {
namespace {

constexpr uint8_t IN_ORDER[PLANES_BLOCK] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                            16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

inline void range(const float* x, size_t count, float* least, float* largest) {
  *least = *largest = 0.0f;
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(x[i])) *least = *largest = std::numeric_limits<float>::quiet_NaN();
    if (std::isnan(*least)) return;
    *least = x[i] < *least ? x[i] : *least;
    *largest = x[i] > *largest ? x[i] : *largest;
  }
}

inline void quantise(const float* x, size_t count, const Unit& unit, int32_t* q) {
  for (size_t i = 0; i < count; ++i) q[i] = static_cast<int32_t>(std::nearbyint(x[i] * unit.inverse)) + unit.zero_point;
}

inline void build(const Cut& cut, const int32_t* q, ptrdiff_t channel, ptrdiff_t item, size_t count, uint8_t* to, size_t step) {
  for (size_t i = 0; i < count; ++i) {
    for (uint32_t e = 0; e < 16; ++e) {
      int32_t sum = 0;
      for (ptrdiff_t b = 0; b < 4; ++b) sum += e >> b & 1 ? q[static_cast<ptrdiff_t>(i) * item + b * channel] : 0;
      for (int p = 0; p < cut.planes; ++p) {
        to[i * step + static_cast<size_t>(p) * 16 + e] = static_cast<uint8_t>(sum >> (p * cut.bits) & ((1 << cut.bits) - 1));
      }
    }
  }
}

inline void sum(const Cut& cut, const uint8_t* const* at, size_t count, const ptrdiff_t* taps, size_t tap_count, size_t tables,
                const uint8_t* index, const uint8_t* second, bool add, int32_t* sums) {
  if (second != nullptr) sum(cut, at, count, taps, tap_count, tables, second, nullptr, add, sums + PLANES_BLOCK);
  for (size_t i = 0; i < count; ++i, sums += PLANES_SUMS) {
    for (size_t o = 0; o < PLANES_BLOCK; ++o) {
      int32_t half[2] = {add ? sums[o] : 0, add && cut.halves() == 2 ? sums[PLANES_BLOCK + o] : 0};
      for (size_t t = 0; t < tap_count; ++t) {
        for (size_t g = 0; g < tables; ++g) {
          const uint8_t* table = at[i] + taps[t] + g * cut.table_bytes();
          const uint8_t entry = index[(t * tables + g) * PLANES_BLOCK + o];
          for (int p = 0; p < cut.planes; ++p) half[p / 2] += table[p * 16 + entry] << (p % 2 * cut.bits);
        }
      }
      for (int h = 0; h < cut.halves(); ++h) sums[static_cast<size_t>(h) * PLANES_BLOCK + o] = half[h];
    }
  }
}

inline void combine(const Cut& cut, const int32_t* sums, size_t count, const int32_t* plus, const int64_t* total,
                    const Unit* units, size_t unit_step, float* values) {
  const int32_t base = 1 << (2 * cut.bits);
  for (size_t i = 0; i < count; ++i, sums += PLANES_SUMS, values += PLANES_BLOCK) {
    const Unit& unit = units[i * unit_step];
    const auto part = [&](size_t h, size_t o, int32_t zero_point, int64_t less) {
      return static_cast<float>(2 * (sums[h * PLANES_BLOCK + o] - zero_point * plus[o]) - static_cast<int32_t>(less));
    };
    for (size_t o = 0; o < PLANES_BLOCK; ++o) {
      if (cut.halves() == 1) {
        values[o] = part(0, o, unit.zero_point, total[i]) * unit.value;
        continue;
      }
      // each fits 32 bits, whatever their sum takes
      const float lower = part(0, o, unit.zero_point % base, total[i] & (base - 1));
      const float upper = part(1, o, unit.zero_point / base, total[i] >> (2 * cut.bits));
      values[o] = std::fma(upper, static_cast<float>(base), lower) * unit.value;
    }
  }
}

// Calls `loop` with the planes and bits of the cut as constants.
template <class Loop>
void with(const Cut& cut, const Loop& loop) {
  using std::integral_constant;
  if (cut.bits == 5) return loop(integral_constant<int, 2>(), integral_constant<int, 5>());
  if (cut.planes == 2) return loop(integral_constant<int, 2>(), integral_constant<int, 6>());
  if (cut.planes == 3) return loop(integral_constant<int, 3>(), integral_constant<int, 6>());
  loop(integral_constant<int, 4>(), integral_constant<int, 6>());
}

[[maybe_unused]] constexpr Planes PLANES{IN_ORDER, range, quantise, build, sum, combine};

}  // namespace
}  // namespace binarize::portable
