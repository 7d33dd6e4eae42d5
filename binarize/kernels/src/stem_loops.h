// The inner loops of stem.cc. A tier defines its vectors: `Simd` has a type V of WIDTH floats, a divisor of LANES,
// and load, store, all (one value in all lanes), add, sub, max and fma(a, b, c) = a·b + c.
#pragma once

#include "tier.h"

namespace binarize::stem {
namespace {

// r = B d, with the rows of B for the points 0, 1, -1, 1/2, -2 and infinity.
template <class Simd, class V = typename Simd::V>
inline void to_points(const V d[POINTS], V r[POINTS]) {
  const V e = Simd::sub(d[3], d[1]), f = Simd::sub(d[4], d[2]);
  const V half = Simd::all(0.5f), more = Simd::all(1.5f), most = Simd::all(2.5f);
  r[0] = Simd::fma(more, e, Simd::fma(Simd::all(-2.0f), d[2], Simd::add(d[0], d[4])));
  r[1] = Simd::fma(most, d[3], Simd::fma(half, d[2], Simd::sub(d[4], d[1])));
  r[2] = Simd::fma(Simd::all(-2.5f), d[2], Simd::fma(half, d[3], Simd::add(d[4], d[1])));
  r[3] = Simd::fma(Simd::all(2.0f), e, f);
  r[4] = Simd::fma(Simd::all(-0.5f), e, f);
  r[5] = Simd::fma(more, f, Simd::fma(Simd::all(-2.0f), d[3], Simd::add(d[1], d[5])));
}

// y = A m, from the values at those points.
template <class Simd, class V = typename Simd::V>
inline void from_points(const V m[POINTS], V y[TILE]) {
  const V sum = Simd::add(m[1], m[2]), difference = Simd::sub(m[1], m[2]);
  y[0] = Simd::add(Simd::add(m[0], sum), Simd::add(m[3], m[4]));
  y[1] = Simd::fma(Simd::all(-2.0f), m[4], Simd::fma(Simd::all(0.5f), m[3], difference));
  y[2] = Simd::fma(Simd::all(4.0f), m[4], Simd::fma(Simd::all(0.25f), m[3], Simd::add(sum, m[5])));
}

template <class Simd>
void transform(const float* const rows[POINTS], size_t columns, float* to) {
  using V = typename Simd::V;
  for (size_t l = 0; l < columns * LANES; l += Simd::WIDTH) {
    V d[POINTS], r[POINTS];
    for (int i = 0; i < POINTS; ++i) d[i] = Simd::load(rows[i] + l);
    to_points<Simd>(d, r);
    for (int i = 0; i < POINTS; ++i) Simd::store(to + i * columns * LANES + l, r[i]);
  }
}

// A few neighbouring tiles: from the rows at their points to three rows of outputs.
template <class Simd, int TILES>
void some_tiles(const float* rows, size_t columns, const float* weight, const float* bias, size_t wide, size_t channels,
                float* const to[TILE]) {
  using V = typename Simd::V;
  alignas(64) float values[POINTS][POINTS][TILES][LANES];
  for (int i = 0; i < POINTS; ++i) {
    for (int t = 0; t < TILES; ++t) {
      for (int l = 0; l < LANES; l += Simd::WIDTH) {
        V d[POINTS], r[POINTS];
        for (int j = 0; j < POINTS; ++j) d[j] = Simd::load(rows + (i * columns + t * TILE + j) * LANES + l);
        to_points<Simd>(d, r);
        for (int j = 0; j < POINTS; ++j) Simd::store(values[i][j][t] + l, r[j]);
      }
    }
  }
  alignas(64) float across[POINTS][TILE][TILES][Simd::WIDTH];
  const size_t row = channels * POINTS * LANES;  // of weights
  for (size_t o = 0; o < wide; o += Simd::WIDTH) {
    const float* at = weight + o / LANES * POINTS * row + o % LANES;
    for (int i = 0; i < POINTS; ++i) {
      V sum[TILES][POINTS];
#pragma GCC unroll 6
      for (int j = 0; j < POINTS; ++j) {
#pragma GCC unroll 4
        for (int t = 0; t < TILES; ++t) sum[t][j] = Simd::all(0.0f);
      }
      for (size_t c = 0; c < channels; ++c, at += POINTS * LANES) {
#pragma GCC unroll 6
        for (int j = 0; j < POINTS; ++j) {
          const V of = Simd::load(at + j * LANES);
#pragma GCC unroll 4
          for (int t = 0; t < TILES; ++t) sum[t][j] = Simd::fma(Simd::all(values[i][j][t][c]), of, sum[t][j]);
        }
      }
#pragma GCC unroll 4
      for (int t = 0; t < TILES; ++t) {
        V y[TILE];
        from_points<Simd>(sum[t], y);
        for (int c = 0; c < TILE; ++c) Simd::store(across[i][c][t], y[c]);
      }
    }
    const V term = Simd::load(bias + o), zero = Simd::all(0.0f);
    for (int t = 0; t < TILES; ++t) {
      for (int c = 0; c < TILE; ++c) {
        V m[POINTS], y[TILE];
        for (int i = 0; i < POINTS; ++i) m[i] = Simd::load(across[i][c][t]);
        from_points<Simd>(m, y);
        const size_t place = static_cast<size_t>(t * TILE + c) * wide + o;
        for (int r = 0; r < TILE; ++r) Simd::store(to[r] + place, Simd::max(Simd::add(y[r], term), zero));
      }
    }
  }
}

template <class Simd, int TILES>
void tiles(const float* rows, size_t count, size_t columns, const float* weight, const float* bias, size_t wide,
           size_t channels, float* const to[TILE]) {
  size_t t = 0;
  float* at[TILE] = {to[0], to[1], to[2]};
  const auto forward = [&](size_t by) {
    t += by;
    rows += by * TILE * LANES;
    for (float*& row : at) row += by * TILE * wide;
  };
  for (; t + TILES <= count; forward(TILES)) some_tiles<Simd, TILES>(rows, columns, weight, bias, wide, channels, at);
  for (; t < count; forward(1)) some_tiles<Simd, 1>(rows, columns, weight, bias, wide, channels, at);
}

template <class Simd>
void pool(const float* const rows[TILE], size_t columns, size_t wide, float* y) {
  using V = typename Simd::V;
  for (size_t o = 0; o < wide; o += Simd::WIDTH) {
    const auto highest = [&](size_t column) {
      const size_t at = column * wide + o;
      return Simd::max(Simd::max(Simd::load(rows[0] + at), Simd::load(rows[1] + at)), Simd::load(rows[2] + at));
    };
    V before = highest(0);
    for (size_t column = 0; column < columns; column += 2) {
      const V here = Simd::max(before, highest(column));
      before = column + 1 < columns ? highest(column + 1) : here;
      Simd::store(y + column / 2 * wide + o, Simd::max(here, before));
    }
  }
}

// The loops of a tier, for that many tiles at a time.
template <class Simd, int TILES>
constexpr Loops loops() {
  return {transform<Simd>, tiles<Simd, TILES>, pool<Simd>};
}

}  // namespace
}  // namespace binarize::stem
