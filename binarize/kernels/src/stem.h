// A network's float beginning as one op: y = MaxPool(Relu(Conv(x, weight, bias))), the convolution 7 x 7 with stride 2
// and padding 3, the pooling 3 x 3 with stride 2 and padding 1. ResNets and their relatives begin like this, and beside
// binary layers it is what takes longest.
//
// With stride 2 the even and the odd rows and columns of the image are four images, convolved by 4 x 4, 4 x 3, 3 x 4 and
// 3 x 3 with stride 1. Such convolutions need fewer products in the values of polynomials (Toom and Cook; Winograd): a
// tile of 3 x 3 outputs is a polynomial of 6 x 6 coefficients, given by its values at 6 x 6 points, and there the
// convolution is a product a channel and point: 36 in the place of 9 · 49 / 4 for each of the four, 3.1 times fewer in
// all. The points 0, 1, -1, 1/2, -2 and infinity keep rounding to 3 times that of the direct sum.
//
//     weights   U = G w Gᵀ, made once, in float64        inputs   V = B d Bᵀ
//     sums      M[point] = sum over channels of U V      outputs  y = A M Aᵀ
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "product.h"
#include "tier.h"

namespace binarize {

class Stem {
 public:
  // weight [O, C, 7, 7], bias [O]; C at most MAX_CHANNELS.
  Stem(int64_t outputs, int64_t channels, const float* weight, const float* bias, const Tier& tier);

  static constexpr int64_t KERNEL = 7, MAX_CHANNELS = 4;
  static int64_t convolved(int64_t in) { return (in - 1) / 2 + 1; }  // size along an axis, of in >= 1
  static int64_t pooled(int64_t in) { return convolved(convolved(in)); }

  int64_t outputs() const { return outputs_; }
  int64_t channels() const { return channels_; }

  // x [count, C, height, width] -> y [count, O, pooled height, pooled width]
  void run(const float* x, int64_t count, int64_t height, int64_t width, float* y, const Parallel& parallel) const;

 private:
  struct Image;
  void some_rows(const Image& image, int64_t first, int64_t last) const;
  void gather(const Image& image, int64_t row, float* to) const;

  const Tier& tier_;
  const int64_t outputs_, channels_;
  const size_t wide_;                 // outputs, up to whole vectors
  std::vector<float> weight_, bias_;  // [wide / 16][POINTS][4·C][POINTS][16], [wide]
  std::vector<float> ones_, zeros_;   // [wide]
};

}  // namespace binarize
