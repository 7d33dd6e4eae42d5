// The inner loops in plain C++: the readable reference of each, and the fallback of tiers that have nothing faster.
#pragma once

#include <cstring>

#include "tier.h"

// Without linkage: each tier compiles its own, for its own instructions, and a linker must not take one for another.
namespace binarize::portable {
namespace {

inline void pack_planes(const float* x, size_t stride, int channels, const float* threshold, int threshold_stride,
                        size_t count, uint32_t* words) {
  std::memset(words, 0, count * sizeof(uint32_t));
  for (int c = 0; c < channels; ++c) {
    const float* plane = x + c * stride;
    const float least = threshold[c * threshold_stride];
    for (size_t i = 0; i < count; ++i) words[i] |= static_cast<uint32_t>(plane[i] >= least) << c;
  }
}

inline void pack_row(const float* x, size_t count, const float* threshold, int threshold_stride, uint32_t* words) {
  for (size_t first = 0; first < count; first += WORD) {
    uint32_t word = 0;
    for (size_t c = 0; c < WORD && first + c < count; ++c) {
      word |= static_cast<uint32_t>(x[first + c] >= threshold[(first + c) * threshold_stride]) << c;
    }
    words[first / WORD] = word;
  }
}

inline int32_t popcount(uint32_t word) {
  word -= (word >> 1) & 0x55555555u;
  word = (word & 0x33333333u) + ((word >> 2) & 0x33333333u);
  word = (word + (word >> 4)) & 0x0f0f0f0fu;
  return static_cast<int32_t>((word * 0x01010101u) >> 24);
}

inline void and_popcount(const uint32_t* rows, size_t row_stride, int row_count, const uint32_t* columns,
                         const ptrdiff_t* offsets, size_t steps, int vectors, int32_t* sums) {
  const int width = vectors * LANES;
  std::memset(sums, 0, static_cast<size_t>(row_count) * width * sizeof(int32_t));
  for (size_t s = 0; s < steps; ++s) {
    const uint32_t* column = columns + offsets[s];
    for (int i = 0; i < row_count; ++i) {
      const uint32_t row = rows[i * row_stride + s];
      for (int l = 0; l < width; ++l) sums[i * width + l] += popcount(row & column[l]);
    }
  }
}

inline void split_nibbles(const uint32_t* words, size_t count, int planes, uint8_t* to, size_t plane) {
  for (size_t n = 0; n < static_cast<size_t>(planes); ++n) {
    for (size_t i = 0; i < count; ++i) to[n * plane + i] = words[i] >> (4 * n) & 0xf;
  }
}

inline void and_popcount_nibbles(const uint8_t* rows, size_t row_stride, int row_count, const uint8_t* columns,
                                 const ptrdiff_t* offsets, size_t steps, int vectors, int32_t* sums) {
  const int width = vectors * LANES;
  std::memset(sums, 0, static_cast<size_t>(row_count) * width * sizeof(int32_t));
  for (size_t s = 0; s < steps; ++s) {
    for (int i = 0; i < row_count; ++i) {
      const uint32_t row = rows[i * row_stride + s] >> 4;
      for (int l = 0; l < width; ++l) sums[i * width + l] += popcount(row & columns[offsets[s] + l]);
    }
  }
}

constexpr Nibbles NIBBLES = {split_nibbles, and_popcount_nibbles};

// The product is rounded before the bias is added, as the op's specification has it: no fused multiply-add.
inline float affine(int32_t sum, float scale, float bias) {
  const float product = static_cast<float>(sum) * scale;
  return product + bias;
}

// An output with its fused residual and ReLU; `place` is its index in y.
inline float finished(float value, const AddRelu& add_relu, size_t place) {
  if (add_relu.residual != nullptr) value += add_relu.residual[place];
  return add_relu.relu && value < 0.0f ? 0.0f : value;
}

inline void finish_im2row(const int32_t* sums, const int32_t* ones, const Im2row& im2row, size_t from, int vectors,
                        const Affine& to, const AddRelu& add_relu, float* y) {
  for (int v = 0; v < vectors; ++v) {
    const uint16_t* kind = im2row.kind + (from + v) * LANES;
    size_t out = static_cast<size_t>(im2row.first[from + v] - im2row.first[from]);
    for (int l = 0; l < LANES; ++l) {
      if (!(im2row.valid[from + v] >> l & 1)) continue;
      const int at = v * LANES + l;
      y[out] = finished(affine((sums[at] << to.shift) - ones[at] + to.correction[kind[l]], to.scale, to.bias), add_relu, out);
      ++out;
    }
  }
}

inline void finish_row(const int32_t* sums, int32_t ones, int shift, const int32_t* correction,
                       const float* scale, const float* bias, size_t count, float* y) {
  for (size_t o = 0; o < count; ++o) y[o] = affine((sums[o] << shift) - ones + correction[o], scale[o], bias[o]);
}

template <int BITS>
void build(const float* x, ptrdiff_t pixel, size_t pixel_count, ptrdiff_t channel, size_t channels, size_t count,
           float* tables, size_t step) {
  constexpr size_t ENTRIES = size_t{1} << BITS;
  for (size_t g = 0; g < count; ++g) {
    for (size_t i = 0; i < pixel_count; ++i) {
      float* entry = tables + i * step + g * ENTRIES;
      for (size_t e = 0; e < ENTRIES; ++e) entry[e] = 0.0f;
      for (size_t c = g * BITS; c < (g + 1) * BITS && c < channels; ++c) {
        const float value = x[static_cast<ptrdiff_t>(i) * pixel + static_cast<ptrdiff_t>(c) * channel];
        for (size_t e = 0; e < ENTRIES; ++e) entry[e] += e >> (c - g * BITS) & 1 ? value : -value;
      }
    }
  }
}

template <int BITS, int FIELDS>
void lookup(const float* const* tables_of, int pixel_count, const ptrdiff_t* taps, size_t tap_count,
            size_t tables, const uint32_t* index, int outputs, bool add, float* y) {
  constexpr int ENTRIES = 1 << BITS;
  for (int p = 0; p < pixel_count; ++p) {
    float* sum = y + p * outputs;
    for (int o = 0; o < outputs && !add; ++o) sum[o] = 0.0f;
    for (size_t g = 0; g < tables; ++g) {
      const int shift = field_shift(static_cast<int>(g % FIELDS), FIELDS, BITS);
      for (size_t t = 0; t < tap_count; ++t) {
        const float* table = tables_of[p] + taps[t] + g * ENTRIES;
        const uint32_t* word = index + (g / FIELDS * tap_count + t) * static_cast<size_t>(outputs);
        for (int o = 0; o < outputs; ++o) sum[o] += table[word[o] >> shift & (ENTRIES - 1)];
      }
    }
  }
}

inline void finish_sums(const float* sums, const float* scale, const float* bias, size_t count, float* y) {
  for (size_t o = 0; o < count; ++o) y[o] = sums[o] * scale[o] + bias[o];
}

inline void transpose(const float* sums, size_t step, size_t pixels, size_t outputs, const float* scale,
                 const float* bias, const AddRelu& add_relu, float* y, size_t plane) {
  for (size_t o = 0; o < outputs; ++o) {
    for (size_t p = 0; p < pixels; ++p) {
      y[o * plane + p] = finished(sums[p * step + o] * scale[o] + bias[o], add_relu, o * plane + p);
    }
  }
}

// gelu(y) = max(y, 0) - |y|·Q(|y|), where Q(a) = (1 - erf(a/√2))/2 is taken as 1/(2·p(a)^8): what is subtracted is never
// above 0.17, so that its rounding matters little. Off by less than 2e-7·max(1, |y|).
constexpr float GELU[] = {1.0f,           0.0997363644f,   0.0447541984f,  0.00870688508f,   0.000787893742f,
                          0.000292323819f, -1.61819853e-06f, 1.4628271e-05f, -2.35130962e-06f, 3.65437423e-07f};
constexpr int GELU_DEGREE = 9;
constexpr float FAR = 1e4f;  // p(FAR)^8 overflows, so 0 is subtracted, from infinities too

inline float gelu(float y) {
  const float size = y < 0.0f ? -y : y, a = size > FAR ? FAR : size;
  float p = GELU[GELU_DEGREE];
  for (int i = GELU_DEGREE - 1; i >= 0; --i) p = p * a + GELU[i];
  const float p2 = p * p, p4 = p2 * p2;
  return (y < 0.0f ? 0.0f : y) - 0.5f * a / (p4 * p4);
}

// silu(y) = y/(1 + e^-y) = max(y, 0) - |y|/(1 + e^|y|), where e^a is taken as p(a)^8: what is subtracted is never above 0.28.
// Off by less than 3e-7·max(1, |y|). FAR serves here too.
constexpr float SILU[] = {1.0f, 0.12499977f, 0.007813074f, 0.00032501752f, 1.0374199e-05f, 2.1501354e-07f, 8.781336e-09f};
constexpr int SILU_DEGREE = 6;

inline float silu(float y) {
  const float size = y < 0.0f ? -y : y, a = size > FAR ? FAR : size;
  float p = SILU[SILU_DEGREE];
  for (int i = SILU_DEGREE - 1; i >= 0; --i) p = p * a + SILU[i];
  const float p2 = p * p, p4 = p2 * p2;
  return (y < 0.0f ? 0.0f : y) - a / (1.0f + p4 * p4);
}

// ONNX's HardSigmoid with torch's constants; each operation is rounded by itself, as there.
constexpr float HARD_SLOPE = 1.0f / 6.0f, HARD_OFFSET = 0.5f;

inline float hard_sigmoid(float y) {
  const float product = y * HARD_SLOPE, line = product + HARD_OFFSET;
  return line > 1.0f ? 1.0f : line < 0.0f ? 0.0f : line;
}

inline float activation(float y, Act act) {
  switch (act) {
    case Act::RELU: return y < 0.0f ? 0.0f : y;
    case Act::GELU: return gelu(y);
    case Act::HARD_SWISH: return y * hard_sigmoid(y);
    case Act::SILU: return silu(y);
    case Act::HARD_SIGMOID: return hard_sigmoid(y);
    default: return y;
  }
}

inline void epilogue(float* y, const float* residual, size_t n, Act act) {
  for (size_t i = 0; i < n && residual != nullptr; ++i) y[i] += residual[i];
  for (size_t i = 0; i < n && act != Act::NONE; ++i) y[i] = activation(y[i], act);
}

}  // namespace
}  // namespace binarize::portable
