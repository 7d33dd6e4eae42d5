// Products of int8 in plain C++: the readable reference of each loop. No tier runs them all; the tests hold those of
// the matrix tiles to them, and int8.cc with them on CPUs that have no tiles.
#pragma once

#include <cmath>
#include <cstring>

#include "tier.h"

namespace binarize::portable {
namespace {

inline void nothing() {}

inline void spread(const uint32_t* low, const uint32_t* high, size_t step, int channels, int smaller,
                   const int32_t* place, size_t count, int8_t* lines) {
  for (size_t i = 0; i < count; ++i) {
    if (place[i] < 0) continue;
    int8_t* line = lines + static_cast<ptrdiff_t>(place[i]) * LINE;
    for (int c = 0; c < LINE; ++c) {
      const uint32_t word = c < WORD ? low[i * step] : high[i * step];
      const int value = word >> c % WORD & 1 ? 1 : smaller;
      line[c] = static_cast<int8_t>(c < channels ? value : 0);
    }
  }
}

// Numbers of the same sign are in the order of their bits, and NaN comes after infinity.
inline float largest(const float* x, size_t count) {
  uint32_t most = 0;
  for (size_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, x + i, sizeof(bits));
    bits &= 0x7fffffffu;
    most = bits > most ? bits : most;
  }
  float value;
  std::memcpy(&value, &most, sizeof(value));
  return value;
}

inline float smallest(const float* x, size_t count) {
  float least = 0.0f;
  for (size_t i = 0; i < count; ++i) least = x[i] < least ? x[i] : least;
  return least;
}

// The sum with this constant is rounded to an integer q, and its mantissa is q + 2^22 + 0x8080: three bytes that are
// the slices of q but for 0x80 in the two lower ones and 0x40 in the upper one.
inline float rounder(const Unit& unit) { return 8388608.0f + 4194304.0f + 0x8080 + static_cast<float>(unit.zero_point); }

inline void slice_value(float x, const Unit& unit, int slices, size_t slice, int8_t* to) {
  const float sum = std::fma(x, unit.inverse, rounder(unit));
  uint32_t bits;
  std::memcpy(&bits, &sum, sizeof(bits));
  to[0] = static_cast<int8_t>((bits & 0xff) ^ 0x80);
  to[slice] = static_cast<int8_t>((bits >> 8 & 0xff) ^ 0x80);
  if (slices == 3) to[2 * slice] = static_cast<int8_t>((bits >> 16 & 0xff) - 0x40);
}

inline void slice_planes(const float* x, size_t stride, int channels, size_t count, const Unit& unit, int slices,
                         const int32_t* place, size_t slice, int8_t* lines) {
  for (size_t i = 0; i < count; ++i) {
    if (place[i] < 0) continue;
    for (int c = 0; c < LINE; ++c) {
      const float value = c < channels ? x[static_cast<size_t>(c) * stride + i] : 0.0f;
      slice_value(value, unit, slices, slice, lines + static_cast<ptrdiff_t>(place[i]) * LINE + c);
    }
  }
}

inline void slice_row(const float* x, size_t channels, const Unit& unit, int slices, size_t slice, size_t block, int8_t* lines) {
  for (size_t c = 0; c < (channels + LINE - 1) / LINE * LINE; ++c) {
    slice_value(c < channels ? x[c] : 0.0f, unit, slices, slice, lines + c / LINE * block + c % LINE);
  }
}

inline void multiply(const int8_t* lines, int tiles, int slices, size_t slice, const ptrdiff_t* offsets, size_t steps,
                     const uint64_t* signs, int32_t* sums) {
  std::memset(sums, 0, static_cast<size_t>(tiles * slices * LANES * LANES) * sizeof(int32_t));
  for (size_t s = 0; s < steps; ++s) {
    for (int d = 0; d < slices; ++d) {
      for (int pixel = 0; pixel < tiles * LANES; ++pixel) {
        const int8_t* line = lines + static_cast<size_t>(d) * slice + offsets[s] + pixel * LINE;
        int32_t* sum = sums + ((pixel / LANES * slices + d) * LANES + pixel % LANES) * LANES;
        for (int c = 0; c < LINE; ++c) {
          const uint64_t word = signs[s * LANES + static_cast<size_t>(c / 4)];
          for (int o = 0; o < LANES; ++o) sum[o] += word >> (4 * o + c % 4) & 1 ? line[c] : -line[c];
        }
      }
    }
  }
}

// The value of sums of one pixel and one output, those of the next slice a tile further on. Two slices are added up as
// unsigned: intermediate sums may overflow, the result does not.
inline float value(const int32_t* sum, int slices, const Unit& unit, int32_t ones) {
  constexpr int TILE = LANES * LANES;
  if (slices == 1) return static_cast<float>(sum[0]);
  if (slices == 3) return (65536.0f * static_cast<float>(sum[2 * TILE]) + static_cast<float>(256 * sum[TILE] + sum[0])) * unit.value;
  const uint32_t shifted = static_cast<uint32_t>(unit.zero_point) * static_cast<uint32_t>(ones);
  return static_cast<float>(static_cast<int32_t>(256 * static_cast<uint32_t>(sum[TILE]) + static_cast<uint32_t>(sum[0]) - shifted)) * unit.value;
}

// The value of one output, scaled.
inline float finished(const int32_t* sum, int slices, const Unit& unit, const Channels& channels, int o) {
  const float product = value(sum + o, slices, unit, channels.ones[o]) * channels.scale[o];
  return product + channels.bias[o];
}

inline void finish_planes(const int32_t* sums, int tiles, int slices, const Unit& unit, const uint16_t* valid, int outputs,
                          const Channels& channels, float* y, size_t plane) {
  for (int o = 0; o < outputs; ++o) {
    float* to = y + static_cast<size_t>(o) * plane;
    for (int pixel = 0; pixel < tiles * LANES; ++pixel) {
      if (!(valid[pixel / LANES] >> pixel % LANES & 1)) continue;
      const int32_t* sum = sums + (pixel / LANES * slices * LANES + pixel % LANES) * LANES;
      *to++ = finished(sum, slices, unit, channels, o);
    }
  }
}

inline void finish_rows(const int32_t* sums, size_t count, int slices, const Unit* units, int outputs,
                        const Channels& channels, float* y, size_t row) {
  for (size_t i = 0; i < count; ++i) {
    const int32_t* sum = sums + (i / LANES * static_cast<size_t>(slices) * LANES + i % LANES) * LANES;
    for (int o = 0; o < outputs; ++o) y[i * row + static_cast<size_t>(o)] = finished(sum, slices, units[i], channels, o);
  }
}

constexpr Int8 INT8 = {nothing,   nothing,  spread,        largest,    smallest, slice_planes,
                       slice_row, multiply, finish_planes, finish_rows};

}  // namespace
}  // namespace binarize::portable
