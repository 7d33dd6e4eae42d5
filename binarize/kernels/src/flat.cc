#include "flat.h"

#include "error.h"
#include "product.h"

namespace binarize {

namespace {

constexpr double LARGEST = 1u << 31;  // positions of one image

}  // namespace

FlatImage flat_image(const Geometry& g, int64_t height, int64_t width) {
  FlatImage flat;
  const int64_t in[2] = {height, width};
  for (int axis = 0; axis < 2; ++axis) {
    flat.in[axis] = in[axis];
    flat.out[axis] = g.extent(axis, in[axis]);
    flat.pitch[axis] = flat.out[axis] + g.dilation[axis] * (g.kernel[axis] - 1) / g.stride[axis];
  }
  const double size = 1.0 * flat.pitch[0] * flat.pitch[1] * g.stride[0] * g.stride[1];
  require(size < LARGEST, "the image with its padding is too large");
  flat.plane = static_cast<size_t>(flat.pitch[0] * flat.pitch[1]);
  flat.phases = static_cast<size_t>(g.stride[0] * g.stride[1]);
  for (int64_t t = 0; t < g.taps(); ++t) {
    const int64_t dy = t / g.kernel[1] * g.dilation[0], dx = t % g.kernel[1] * g.dilation[1];
    const int64_t phase = dy % g.stride[0] * g.stride[1] + dx % g.stride[1];
    flat.taps.push_back(static_cast<ptrdiff_t>(phase * static_cast<int64_t>(flat.plane) +
                                               dy / g.stride[0] * flat.pitch[1] + dx / g.stride[1]));
  }
  flat.vectors = static_cast<size_t>(up((flat.out[0] - 1) * flat.pitch[1] + flat.out[1], LANES));
  flat.valid.assign(flat.vectors, 0);
  flat.first.assign(flat.vectors + 1, 0);
  for (size_t v = 0; v < flat.vectors; ++v) {
    flat.first[v + 1] = flat.first[v];
    for (int l = 0; l < LANES; ++l) {
      const int64_t at = static_cast<int64_t>(v) * LANES + l;
      if (at / flat.pitch[1] >= flat.out[0] || at % flat.pitch[1] >= flat.out[1]) continue;
      flat.valid[v] = static_cast<uint16_t>(flat.valid[v] | 1u << l);
      ++flat.first[v + 1];
    }
  }
  return flat;
}

}  // namespace binarize
