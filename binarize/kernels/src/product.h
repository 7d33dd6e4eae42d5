// The product of an input with a binary weight, prepared when the session is made.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>

#include "layer.h"
#include "tier.h"

namespace binarize {

// task(i) for each i < total, in any order, perhaps at the same time.
using Parallel = std::function<void(size_t total, const std::function<void(size_t)>& task)>;

// What follows the product, for each piece of y as soon as it is written and still in the cache.
struct After {
  const float* y = nullptr;         // all of it
  const float* residual = nullptr;  // laid out like y; null: none
  Act act = Act::NONE;

  void operator()(const Tier& tier, float* piece, size_t n) const {
    if (residual == nullptr && act == Act::NONE) return;
    tier.after(piece, at(piece), n, act);
  }

  // The same in two steps, for outputs that pass through registers: `then` there, and `rest` when they are stored.
  Then then(const float* piece) const { return {at(piece), act == Act::RELU}; }
  void rest(const Tier& tier, float* piece, size_t n) const {
    if (act == Act::GELU) tier.after(piece, nullptr, n, act);
  }

  // Asks for the residual of a piece of `n` outputs in each of some channels before it is needed: channel by channel, a
  // CPU does not see by itself what comes next.
  void expect(const float* piece, size_t channels, size_t plane, size_t n) const {
    constexpr size_t LINE_OF_CACHE = 64 / sizeof(float);
    if (residual == nullptr) return;
    for (size_t o = 0; o < channels; ++o) {
      for (size_t i = 0; i < n + LINE_OF_CACHE - 1; i += LINE_OF_CACHE) {
        __builtin_prefetch(at(piece) + o * plane + std::min(i, n - 1));
      }
    }
  }

  const float* at(const float* piece) const { return residual == nullptr ? nullptr : residual + (piece - y); }
};

class Product {
 public:
  virtual ~Product() = default;
  // x [count, C, height, width] -> y [count, O, out height, out width], both row-major.
  virtual void convolve(const float* x, int64_t count, int64_t height, int64_t width, float* y, const After& after,
                        const Parallel& parallel) const = 0;
  // x [count, C] -> y [count, O]
  virtual void multiply(const float* x, int64_t count, float* y, const After& after, const Parallel& parallel) const = 0;
};

std::unique_ptr<Product> popcount_product(const Layer& layer, const Tier& tier);  // binary inputs
std::unique_ptr<Product> lookup_product(const Layer& layer, const Tier& tier);    // float inputs
std::unique_ptr<Product> int8_product(const Layer& layer, const Tier& tier);      // both, where the tier has int8

// Whether a layer's sums are exact in int8 digits, and its sizes fill their tiles well enough to be worth it.
bool suits_int8(const Layer& layer);

// The fastest of them.
std::unique_ptr<Product> product_of(const Layer& layer, const Tier& tier);

inline int64_t up(int64_t value, int64_t step) { return (value + step - 1) / step; }

}  // namespace binarize
