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

// What a product reads: values or, of a layer that is `packed`, the words that the op before it wrote.
struct Source {
  const float* values = nullptr;
  const uint32_t* words = nullptr;

  // That many values, or words, further on.
  Source from(size_t skipped_values, size_t skipped_words) const {
    return {values == nullptr ? nullptr : values + skipped_values, words == nullptr ? nullptr : words + skipped_words};
  }
};

// What follows the product, for each piece of y as soon as it is written and still in the cache.
struct After {
  float* y = nullptr;               // all of it; null where words are wanted alone
  const float* residual = nullptr;  // laid out like y; null: none
  Act act = Act::NONE;
  uint32_t* words = nullptr;        // where the values that the next layer tells apart go, of a layer that has `next`

  void operator()(const Tier& tier, float* piece, size_t n) const { (*this)(tier, piece, place(piece), n); }
  // Of a piece that belongs there in y, and may be elsewhere.
  void operator()(const Tier& tier, float* piece, size_t where, size_t n) const {
    if (residual == nullptr && act == Act::NONE) return;
    tier.after(piece, at(where), n, act);
  }

  // What follows a layer of float inputs, from that place on.
  After from(size_t where) const { return {y + where, at(where), act}; }

  // The same in two steps, for outputs that pass through registers: `then` there, and `rest` when they are stored.
  Then then(const float* piece) const { return then(place(piece)); }
  Then then(size_t where) const { return {at(where), act == Act::RELU}; }
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
        __builtin_prefetch(at(place(piece)) + o * plane + std::min(i, n - 1));
      }
    }
  }

 private:
  size_t place(const float* piece) const { return static_cast<size_t>(piece - y); }
  const float* at(size_t where) const { return residual == nullptr ? nullptr : residual + where; }
};

class Product {
 public:
  virtual ~Product() = default;
  // x [count, C, height, width] -> after.y [count, O, out height, out width], both row-major; words of x or after.words
  // are [count, words, height, width], with a word for 32 channels.
  virtual void convolve(const Source& x, int64_t count, int64_t height, int64_t width, const After& after,
                        const Parallel& parallel) const = 0;
  // x [count, C] -> after.y [count, O]; words are [count, words]
  virtual void multiply(const Source& x, int64_t count, const After& after, const Parallel& parallel) const = 0;
};

std::unique_ptr<Product> popcount_product(const Layer& layer, const Tier& tier);  // binary inputs
std::unique_ptr<Product> lookup_product(const Layer& layer, const Tier& tier);    // float inputs, float outputs
std::unique_ptr<Product> int8_product(const Layer& layer, const Tier& tier);      // both, where the tier has int8

// Whether a layer's sums are exact in int8 digits, and its sizes fill their tiles well enough to be worth it.
bool suits_int8(const Layer& layer);

// Whether two digits are asked for, by BINARIZE_DIGITS. Throws Error where that is not 2 or 3.
bool two_digits();

// The fastest of them.
std::unique_ptr<Product> product_of(const Layer& layer, const Tier& tier);

inline int64_t up(int64_t value, int64_t step) { return (value + step - 1) / step; }

}  // namespace binarize
