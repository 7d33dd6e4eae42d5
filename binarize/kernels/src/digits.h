// How the values of an image, or a row, become integers of some digits.
#pragma once

#include <cfloat>
#include <cmath>
#include <limits>

#include "tier.h"

namespace binarize {

constexpr double LARGEST_OF_THREE = 4161000;  // and 408 more, for rounding, fit
constexpr double RANGE_OF_TWO = 65270;        // half of it, and 4 more, fit on either side of the middle
constexpr float SMALLEST_LARGEST = 1e-30f;    // 1 / inverse is finite

// Of values whose largest size is `largest` and of which none is less than `smallest`. 0 is an integer exactly. Two
// digits make the most of values of one sign by counting from their middle.
inline Unit unit_of(float largest, float smallest, int digits) {
  Unit unit;
  if (largest == 0.0f || digits == 1) return unit;
  if (!(largest >= SMALLEST_LARGEST && largest <= FLT_MAX)) {
    unit.value = std::numeric_limits<float>::quiet_NaN();
    return unit;
  }
  const double high = largest, low = smallest;
  unit.inverse = static_cast<float>(digits == 3 ? LARGEST_OF_THREE / high : RANGE_OF_TWO / (high - low));
  unit.value = static_cast<float>(1.0 / static_cast<double>(unit.inverse));
  if (digits == 2) unit.middle = static_cast<int32_t>(std::lround((high + low) / 2 * static_cast<double>(unit.inverse)));
  return unit;
}

// Whether there is such a unit: not with NaN or infinity among the values, or where they are less than 1e-30 alone.
inline bool is_usual(const Unit& unit) { return !std::isnan(unit.value); }

}  // namespace binarize
