// How the values of an image, or a row, become integers of two or three int8 slices.
#pragma once

#include <cfloat>
#include <cmath>
#include <limits>

#include "tier.h"

namespace binarize {

constexpr double LARGEST_OF_THREE = 4161000;  // and 408 more, for rounding, fit
constexpr double RANGE_OF_TWO = 65270;        // half of it, and 4 more, fit on either side of 0
constexpr float SMALLEST_LARGEST = 1e-30f;    // 1 / inverse is finite

// Of values whose largest size is `largest` and of which none is less than `smallest`. 0 is an integer exactly. With
// two slices the middle of the range maps to 0, so that values of one sign use all of it.
inline Unit unit_of(float largest, float smallest, int slices) {
  Unit unit;
  if (largest == 0.0f || slices == 1) return unit;
  if (!(largest >= SMALLEST_LARGEST && largest <= FLT_MAX)) {
    unit.value = std::numeric_limits<float>::quiet_NaN();
    return unit;
  }
  const double high = largest, low = smallest;
  unit.inverse = static_cast<float>(slices == 3 ? LARGEST_OF_THREE / high : RANGE_OF_TWO / (high - low));
  unit.value = static_cast<float>(1.0 / static_cast<double>(unit.inverse));
  if (slices == 2) unit.zero_point = -static_cast<int32_t>(std::lround((high + low) / 2 * static_cast<double>(unit.inverse)));
  return unit;
}

// Of values from `least` <= 0 to `largest` >= 0, as integers from 0 to 2^bits - 1; `zero_point` is that of 0, a multiple of
// 2^(bits - 10), which makes products with it cheap.
inline Unit unit_of_range(float least, float largest, int bits) {
  Unit unit;
  if (least == 0.0f && largest == 0.0f) return unit;
  const double range = static_cast<double>(largest) - static_cast<double>(least);
  if (!(range >= SMALLEST_LARGEST && range <= FLT_MAX)) {
    unit.value = std::numeric_limits<float>::quiet_NaN();
    return unit;
  }
  // the rest is left to rounding, of values and of the zero point
  const int step = bits > 10 ? 1 << (bits - 10) : 1;
  unit.inverse = static_cast<float>(((1 << bits) - step - 3) / range);
  unit.value = static_cast<float>(1.0 / static_cast<double>(unit.inverse));
  const int below = static_cast<int>(std::lround(-static_cast<double>(least) * static_cast<double>(unit.inverse)));
  unit.zero_point = below == 0 ? 0 : (below + step) / step * step;
  return unit;
}

// Whether there is such a unit: not where NaN or infinity is among the values, or all of them are below 1e-30.
inline bool is_finite_range(const Unit& unit) { return !std::isnan(unit.value); }

}  // namespace binarize
