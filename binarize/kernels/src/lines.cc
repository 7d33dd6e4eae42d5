#include "lines.h"

#include <vector>

#include "error.h"

namespace binarize {

namespace {

constexpr double LARGEST_IMAGE = 8e9;  // bytes of lines

}  // namespace

LinePlan line_plan(const Geometry& g, int64_t height, int64_t width, size_t blocks, size_t slices) {
  LinePlan plan;
  static_cast<Im2rowLayout&>(plan) = im2row_layout(g, height, width);
  const size_t positions = plan.plane * plan.phases;
  const double bytes = static_cast<double>(positions) * LINE * static_cast<double>(slices * blocks);
  require(bytes < LARGEST_IMAGE, "the image with its padding is too large");
  plan.slice = positions * LINE;
  plan.block = plan.slice * slices;
  plan.image = plan.block * blocks;
  for (size_t b = 0; b < blocks; ++b) {
    for (ptrdiff_t tap : plan.taps) plan.offsets.push_back(static_cast<ptrdiff_t>(b * plan.block) + tap * LINE);
  }
  std::vector<bool> seen(plan.phases, false), filled(positions, false);
  for (ptrdiff_t tap : plan.taps) seen[static_cast<size_t>(tap) / plan.plane] = true;
  for (int64_t row = g.begin[0]; row < height + g.begin[0]; ++row) {
    for (int64_t column = g.begin[1]; column < width + g.begin[1]; ++column) {
      const size_t phase = static_cast<size_t>(row % g.stride[0] * g.stride[1] + column % g.stride[1]);
      const int64_t down = row / g.stride[0], right = column / g.stride[1];
      const bool used = down < plan.pitch[0] && right < plan.pitch[1] && seen[phase];
      const size_t at = phase * plan.plane + static_cast<size_t>(down * plan.pitch[1] + right);
      plan.place.push_back(used ? static_cast<int32_t>(at) : -1);
      if (used) filled[at] = true;
    }
  }
  for (size_t i = 0; i < positions; ++i) {
    if (filled[i] || !seen[i / plan.plane]) continue;
    if (plan.gaps.empty() || plan.gaps.back().first + plan.gaps.back().second != i) plan.gaps.push_back({i, 0});
    ++plan.gaps.back().second;
  }
  return plan;
}

}  // namespace binarize
