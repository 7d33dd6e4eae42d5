#include "layer.h"

#include "error.h"

namespace binarize {

namespace {

constexpr int64_t LARGEST = int64_t{1} << 31;  // of any attribute, and of any product of them

int64_t product(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (int64_t dim : shape) {
    require(dim >= 1 && dim < LARGEST, "shape has a dimension that is not positive, or is too large");
    n *= dim;
    require(n < LARGEST, "shape has too many elements");
  }
  return n;
}

void along(const std::vector<int64_t>& values, size_t count, int64_t least, const char* name) {
  require(values.size() == count, std::string(name) + " needs " + std::to_string(count) + " values");
  for (int64_t value : values) {
    require(value >= least && value < LARGEST, std::string(name) + " has a value that is too small or too large");
  }
}

}  // namespace

Layer check(Input input, bool linear, const Given& given) {
  Layer layer;
  layer.input = input;
  layer.linear = linear;
  const size_t dims = given.shape.size();
  require(linear ? dims == 2 : dims == 3 || dims == 4,
          linear ? "shape needs 2 dimensions" : "shape needs 3 or 4 dimensions");
  const int64_t signs = product(given.shape);
  Geometry& g = layer.geometry;
  g.outputs = given.shape[0];
  if (!linear) {
    const size_t rank = dims - 2;
    layer.rank = static_cast<int>(rank);
    along(given.strides, rank, 1, "strides");
    along(given.dilations, rank, 1, "dilations");
    along(given.pads, 2 * rank, 0, "pads");
    require(given.group >= 1 && given.group < LARGEST, "group has to be positive");
    require(g.outputs % given.group == 0, "the outputs cannot be shared out among the groups");
    g.group = given.group;
    for (size_t i = 0; i < rank; ++i) {
      const size_t axis = i + 2 - rank;
      g.kernel[axis] = given.shape[i + 2];
      g.stride[axis] = given.strides[i];
      g.dilation[axis] = given.dilations[i];
      g.begin[axis] = given.pads[i];
      g.end[axis] = given.pads[i + rank];
      require(g.dilation[axis] * g.kernel[axis] < LARGEST, "the kernel is too large");
    }
  }
  g.channels = given.shape[1] * g.group;
  require(g.channels < LARGEST, "too many channels");
  const size_t outputs = static_cast<size_t>(g.outputs);
  require(given.bits >= (static_cast<size_t>(signs) + 7) / 8, "bits is too short for shape");
  require(given.scale == outputs, "scale needs one value per output");
  require(given.bias == outputs, "bias needs one value per output");
  layer.packed = given.packed;
  if (given.packed) {
    require(g.group == 1 || g.channels_per_group() % WORD == 0, "the channels of a group have to fill words");
  } else if (input == Input::STEP) {
    require(given.threshold == 1, "threshold needs one value");
  } else if (input == Input::SIGN) {
    require(given.threshold == static_cast<size_t>(g.channels), "shift needs one value per channel");
  }
  if (given.words) {
    require(given.next == 1 || given.next == outputs, "next needs one value, or one per output");
    require(g.group == 1 || g.outputs_per_group() % WORD == 0, "the outputs of a group have to fill words");
  }
  layer.threshold_per_channel = input == Input::SIGN;
  return layer;
}

void stack(Layer& layer, int64_t bases) {
  Geometry& g = layer.geometry;
  const int64_t outputs = g.outputs, share = g.outputs_per_group();
  const size_t count = static_cast<size_t>(g.channels_per_group() * g.taps());
  require(outputs * bases * g.channels_per_group() * g.taps() < LARGEST, "shape has too many elements");
  require(layer.bits.size() >= (static_cast<size_t>(outputs * bases) * count + 7) / 8, "bits is too short for shape");
  std::vector<float> scale, bias;
  std::vector<uint8_t> bits((static_cast<size_t>(outputs * bases) * count + 7) / 8);
  size_t to = 0;
  for (int64_t group = 0; group < g.group; ++group) {
    for (int64_t base = 0; base < bases; ++base) {
      for (int64_t output = group * share; output < (group + 1) * share; ++output) {
        const size_t from = static_cast<size_t>(base * outputs + output);
        scale.push_back(layer.scale[from]);
        bias.push_back(base == 0 ? layer.bias[static_cast<size_t>(output)] : 0.0f);
        for (size_t i = from * count; i < (from + 1) * count; ++i, ++to) {
          bits[to / 8] = static_cast<uint8_t>(bits[to / 8] | (layer.bits[i / 8] >> i % 8 & 1) << to % 8);
        }
      }
    }
  }
  layer.bases = bases;
  layer.scale = std::move(scale);
  layer.bias = std::move(bias);
  layer.bits = std::move(bits);
  g.outputs *= bases;
}

}  // namespace binarize
