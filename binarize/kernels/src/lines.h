// Where the lines of an image lie: 64 channels of a pixel, for products of int8, at the positions of the im2row layout (im2row.h).
#pragma once

#include <utility>
#include <vector>

#include "im2row.h"
#include "tier.h"

namespace binarize {

struct LinePlan : Im2rowLayout {
  std::vector<int32_t> place;                   // [pixel] its position, -1 where no tap sees it
  std::vector<std::pair<size_t, size_t>> gaps;  // positions that no pixel has, first and count
  std::vector<ptrdiff_t> offsets;               // [block][tap], bytes
  size_t slice = 0, block = 0, image = 0;       // sizes in bytes
};

// The plan of an image with `blocks` blocks of 64 channels and `slices` slices of each value. Throws Error where it is too large.
LinePlan line_plan(const Geometry& g, int64_t height, int64_t width, size_t blocks, size_t slices);

}  // namespace binarize
