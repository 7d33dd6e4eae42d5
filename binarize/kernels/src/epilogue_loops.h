// The epilogue in vectors; portable.h defines it. A tier's Simd has what stem_loops.h needs, and min(a, b)
// and div(a, b). Of max and min, b is taken where one of the two is NaN.
#pragma once

#include "portable.h"

namespace binarize {
namespace {

template <class Simd, class V = typename Simd::V>
inline V gelu(V y) {
  const V zero = Simd::all(0.0f);
  const V a = Simd::min(Simd::all(portable::FAR), Simd::max(y, Simd::sub(zero, y)));
  V p = Simd::all(portable::GELU[portable::GELU_DEGREE]);
  for (int i = portable::GELU_DEGREE - 1; i >= 0; --i) p = Simd::fma(p, a, Simd::all(portable::GELU[i]));
  p = Simd::mul(p, p);
  p = Simd::mul(p, p);
  return Simd::sub(Simd::max(zero, y), Simd::div(Simd::mul(Simd::all(0.5f), a), Simd::mul(p, p)));
}

template <class Simd, class V = typename Simd::V>
inline V silu(V y) {
  const V zero = Simd::all(0.0f);
  const V a = Simd::min(Simd::all(portable::FAR), Simd::max(y, Simd::sub(zero, y)));
  V p = Simd::all(portable::SILU[portable::SILU_DEGREE]);
  for (int i = portable::SILU_DEGREE - 1; i >= 0; --i) p = Simd::fma(p, a, Simd::all(portable::SILU[i]));
  p = Simd::mul(p, p);
  p = Simd::mul(p, p);
  return Simd::sub(Simd::max(zero, y), Simd::div(a, Simd::add(Simd::all(1.0f), Simd::mul(p, p))));
}

template <class Simd, class V = typename Simd::V>
inline V hard_sigmoid(V y) {
  const V line = Simd::add(Simd::mul(y, Simd::all(portable::HARD_SLOPE)), Simd::all(portable::HARD_OFFSET));
  return Simd::max(Simd::all(0.0f), Simd::min(Simd::all(1.0f), line));
}

template <class Simd, bool ADD, Act ACT>
void epilogue_each(float* y, const float* residual, size_t n) {
  size_t i = 0;
  for (; i + Simd::WIDTH <= n; i += Simd::WIDTH) {
    typename Simd::V value = Simd::load(y + i);
    if (ADD) value = Simd::add(value, Simd::load(residual + i));
    if (ACT == Act::RELU) value = Simd::max(Simd::all(0.0f), value);
    if (ACT == Act::GELU) value = gelu<Simd>(value);
    if (ACT == Act::HARD_SWISH) value = Simd::mul(value, hard_sigmoid<Simd>(value));
    if (ACT == Act::SILU) value = silu<Simd>(value);
    if (ACT == Act::HARD_SIGMOID) value = hard_sigmoid<Simd>(value);
    Simd::store(y + i, value);
  }
  portable::epilogue(y + i, ADD ? residual + i : nullptr, n - i, ACT);
}

template <class Simd, bool ADD>
constexpr decltype(&epilogue_each<Simd, ADD, Act::NONE>) epilogues_of[ACTS] = {
    epilogue_each<Simd, ADD, Act::NONE>,       epilogue_each<Simd, ADD, Act::RELU>, epilogue_each<Simd, ADD, Act::GELU>,
    epilogue_each<Simd, ADD, Act::HARD_SWISH>, epilogue_each<Simd, ADD, Act::SILU>, epilogue_each<Simd, ADD, Act::HARD_SIGMOID>};

template <class Simd>
void epilogue(float* y, const float* residual, size_t n, Act act) {
  (residual != nullptr ? epilogues_of<Simd, true> : epilogues_of<Simd, false>)[static_cast<int>(act)](y, residual, n);
}

}  // namespace
}  // namespace binarize
