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

// What a product reads: values or, in a `packed` layer, the words that the op before it wrote.
struct Activations {
  const float* values = nullptr;
  const uint32_t* words = nullptr;

  // The same, that many values or words further on.
  Activations from(size_t skipped_values, size_t skipped_words) const {
    return {values == nullptr ? nullptr : values + skipped_values, words == nullptr ? nullptr : words + skipped_words};
  }
};

// The epilogue: what is fused behind the product and applied to each piece of y while it is still in the cache.
struct Epilogue {
  float* y = nullptr;               // the whole output; null where only words are wanted
  const float* residual = nullptr;  // laid out like y; null: none
  Act act = Act::NONE;
  uint32_t* words = nullptr;        // the outputs as bits for the next layer, where the layer has `next`; null: none

  void operator()(const Tier& tier, float* piece, size_t n) const { (*this)(tier, piece, place(piece), n); }
  // The same for a piece that belongs at `where` in y and may be stored elsewhere.
  void operator()(const Tier& tier, float* piece, size_t where, size_t n) const {
    if (residual == nullptr && act == Act::NONE) return;
    tier.epilogue(piece, at(where), n, act);
  }

  // The epilogue of a layer with float inputs, from that place on.
  Epilogue from(size_t where) const { return {y + where, at(where), act}; }

  // The same in two parts, for outputs that pass through registers: `add_relu` is applied there, `remainder` (other
  // activations) once they are stored.
  AddRelu add_relu(const float* piece) const { return add_relu(place(piece)); }
  AddRelu add_relu(size_t where) const { return {at(where), act == Act::RELU}; }
  void remainder(const Tier& tier, float* piece, size_t n) const {
    if (act != Act::NONE && act != Act::RELU) tier.epilogue(piece, nullptr, n, act);
  }

  // Prefetches the residual of a piece of `n` outputs in each of some channels: the hardware prefetcher does not follow
  // strides from channel to channel.
  void prefetch_residual(const float* piece, size_t channels, size_t plane, size_t n) const {
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
  // Whether what it writes is the sum of all bases; otherwise they are outputs beside each other (`stack`).
  virtual bool adds_bases() const { return false; }
  // x [count, C, height, width] -> epilogue.y [count, O, out height, out width], both row-major; words of x or epilogue.words
  // are [count, words, height, width], with a word for 32 channels.
  virtual void convolve(const Activations& x, int64_t count, int64_t height, int64_t width, const Epilogue& epilogue,
                        const Parallel& parallel) const = 0;
  // x [count, C] -> epilogue.y [count, O]; words are [count, words]
  virtual void multiply(const Activations& x, int64_t count, const Epilogue& epilogue, const Parallel& parallel) const = 0;
};

std::unique_ptr<Product> popcount_product(const Layer& layer, const Tier& tier);  // binary inputs
std::unique_ptr<Product> lookup_product(const Layer& layer, const Tier& tier);    // float inputs, float outputs
std::unique_ptr<Product> planes_product(const Layer& layer, const Tier& tier);    // float inputs, where the tier has planes
std::unique_ptr<Product> int8_product(const Layer& layer, const Tier& tier);      // both, where the tier has int8

// Whether a layer's sums are exact in int8 slices and its sizes fill the matrix tiles well enough to pay off.
bool suits_int8(const Layer& layer);

// Whether a layer's sums fit planes.cc and its sizes fill blocks and tables well enough to pay off.
bool suits_planes(const Layer& layer);

// Whether float inputs are taken as two int8 slices, or 16 bits in planes, instead of three or 22: BINARIZE_DIGITS=2. Throws
// Error where it is set to anything but 2 or 3.
bool two_slices();

// Bits of the integers that planes take float inputs for: BINARIZE_ACTIVATION_BITS, 8 or 10; 0 where it is not set. Throws
// Error where it is anything else.
int activation_bits();

// The fastest of them.
std::unique_ptr<Product> product_of(const Layer& layer, const Tier& tier);

inline int64_t up(int64_t value, int64_t step) { return (value + step - 1) / step; }

}  // namespace binarize
