#include "im2row.h"

#include "error.h"
#include "product.h"

namespace binarize {

namespace {

constexpr double LARGEST = 1u << 31;  // positions of one image

}  // namespace

Im2rowLayout im2row_layout(const Geometry& g, int64_t height, int64_t width) {
  Im2rowLayout layout;
  const int64_t in[2] = {height, width};
  for (int axis = 0; axis < 2; ++axis) {
    layout.in[axis] = in[axis];
    layout.out[axis] = g.extent(axis, in[axis]);
    layout.pitch[axis] = layout.out[axis] + g.dilation[axis] * (g.kernel[axis] - 1) / g.stride[axis];
  }
  const double size = 1.0 * layout.pitch[0] * layout.pitch[1] * g.stride[0] * g.stride[1];
  require(size < LARGEST, "the image with its padding is too large");
  layout.plane = static_cast<size_t>(layout.pitch[0] * layout.pitch[1]);
  layout.phases = static_cast<size_t>(g.stride[0] * g.stride[1]);
  for (int64_t t = 0; t < g.taps(); ++t) {
    const int64_t dy = t / g.kernel[1] * g.dilation[0], dx = t % g.kernel[1] * g.dilation[1];
    const int64_t phase = dy % g.stride[0] * g.stride[1] + dx % g.stride[1];
    layout.taps.push_back(static_cast<ptrdiff_t>(phase * static_cast<int64_t>(layout.plane) +
                                               dy / g.stride[0] * layout.pitch[1] + dx / g.stride[1]));
  }
  layout.vectors = static_cast<size_t>(up((layout.out[0] - 1) * layout.pitch[1] + layout.out[1], LANES));
  layout.valid.assign(layout.vectors, 0);
  layout.first.assign(layout.vectors + 1, 0);
  for (size_t v = 0; v < layout.vectors; ++v) {
    layout.first[v + 1] = layout.first[v];
    for (int l = 0; l < LANES; ++l) {
      const int64_t at = static_cast<int64_t>(v) * LANES + l;
      if (at / layout.pitch[1] >= layout.out[0] || at % layout.pitch[1] >= layout.out[1]) continue;
      layout.valid[v] = static_cast<uint16_t>(layout.valid[v] | 1u << l);
      ++layout.first[v + 1];
    }
  }
  return layout;
}

}  // namespace binarize
