// A binary layer: its attributes, checked, and its constants as the file has them.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace binarize {

constexpr int WORD = 32;  // binary values in a word

enum class Input { FLOAT, SIGN, STEP };

// Sizes of a two-dimensional convolution. One of one dimension has height 1; a linear layer is one of 1 x 1
// on images of 1 x 1.
struct Geometry {
  int64_t outputs = 0, channels = 0, group = 1;  // O, C in all, groups
  int64_t kernel[2] = {1, 1}, stride[2] = {1, 1}, dilation[2] = {1, 1}, begin[2] = {0, 0}, end[2] = {0, 0};

  int64_t channels_per_group() const { return channels / group; }
  int64_t outputs_per_group() const { return outputs / group; }
  int64_t taps() const { return kernel[0] * kernel[1]; }
  // Outputs along an axis for that many inputs; 0 or less where the kernel does not fit.
  int64_t extent(int axis, int64_t in) const {
    const int64_t span = dilation[axis] * (kernel[axis] - 1) + 1;
    const int64_t room = in + begin[axis] + end[axis] - span;
    return room < 0 ? 0 : room / stride[axis] + 1;
  }
};

struct Layer {
  Input input = Input::FLOAT;
  bool linear = false;
  int rank = 2;  // spatial dimensions of a convolution
  Geometry geometry;
  std::vector<uint8_t> bits;  // signs, row-major [O, C/group, kernel], least significant bit first
  std::vector<float> scale, bias;
  std::vector<float> threshold;  // x >= threshold is the larger value: [1], or one per channel
  bool threshold_per_channel = false;
  bool packed = false;      // x comes as words of bits, and there is no threshold
  bool two_slices = false;  // instead of three for float inputs, in the tier that slices them
  int activation_bits = 0;  // of the integers that float inputs are taken as, 8 or 10; 0: as many as they need
  int64_t bases = 1;        // a weight is the sum of so many: the outputs are those of all of them, [group][base][output]
  std::vector<float> next;  // the threshold for y, where it is wanted as words: [1], or one per output; else empty

  // Signs of an output, 1 for +1 and 0 for -1: [channel within its group][tap].
  void signs(int64_t output, uint8_t* to) const {
    const uint64_t count = static_cast<uint64_t>(geometry.channels_per_group() * geometry.taps());
    uint64_t i = static_cast<uint64_t>(output) * count;
    const uint64_t end = i + count;
    for (; i < end && i % 8 != 0; ++i) *to++ = bits[i / 8] >> i % 8 & 1;
    for (; i + 8 <= end; i += 8, to += 8) {
      // bit b of the octet, alone in byte b, then moved to the lowest place by a carry into the highest
      const uint64_t alone = bits[i / 8] * 0x0101010101010101u & 0x8040201008040201u;
      const uint64_t ones = (alone + 0x7f7f7f7f7f7f7f7fu) >> 7 & 0x0101010101010101u;
      std::memcpy(to, &ones, sizeof ones);
    }
    for (; i < end; ++i) *to++ = bits[i / 8] >> i % 8 & 1;
  }

  // The same as words: bit c of words[w·taps + t] is the sign of channel 32·w + c at tap t, and 0 where there is no
  // such channel. `spare` keeps its memory from one output to the next.
  void words(int64_t output, uint32_t* words, std::vector<uint8_t>& spare) const {
    const size_t taps = static_cast<size_t>(geometry.taps());
    const size_t channels = static_cast<size_t>(geometry.channels_per_group()), count = (channels + 31) / 32;
    if (taps == 1 && channels % 8 == 0) {  // words already
      words[count - 1] = 0;
      std::memcpy(words, bits.data() + static_cast<size_t>(output) * channels / 8, channels / 8);
      return;
    }
    spare.resize(count * 32 * taps, 0);
    signs(output, spare.data());
    for (size_t w = 0; w < count; ++w) {
      const uint8_t* sign = spare.data() + w * 32 * taps;
      for (size_t t = 0; t < taps; ++t, ++sign) {
        uint32_t word = 0;
        for (size_t c = 0; c < 32; ++c) word |= static_cast<uint32_t>(sign[c * taps]) << c;
        words[w * taps + t] = word;
      }
    }
  }
};

// Attributes and constants as they are in the file, not yet checked.
struct Given {
  std::vector<int64_t> shape, strides, pads, dilations;
  int64_t group = 1;
  size_t bits = 0, scale = 0, bias = 0, threshold = 0, next = 0;  // elements of each
  bool packed = false, words = false;                         // of inputs; of outputs
};

// The layer's sizes. Throws Error, saying what is wrong, where they do not fit together.
Layer check(Input input, bool linear, const Given& given);

constexpr int64_t MOST_BASES = 4;

// Makes one layer with the outputs of all bases of a layer whose bits and scales are those of several, base by base, as the
// file has them. What comes out of its product is to be added up: `add_bases`.
void stack(Layer& layer, int64_t bases);

}  // namespace binarize
