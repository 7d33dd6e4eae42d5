// One binary layer of random bits and inputs, computed a number of times: what arm_instructions.py counts.
//
//     arm_instructions float|step OUTPUTS CHANNELS KERNEL SIZE ROUNDS      SIZE: of the image, or - rows of a linear layer
#include <cstdlib>
#include <cstring>
#include <random>

#include "product.h"

using namespace binarize;

int main(int, char** argument) {
  const auto number = [&](int i) { return static_cast<int64_t>(std::atoll(argument[i])); };
  const int64_t outputs = number(2), channels = number(3), kernel = number(4), size = number(5);
  const bool linear = size < 0;
  Given given;
  given.shape = linear ? std::vector<int64_t>{outputs, channels} : std::vector<int64_t>{outputs, channels, kernel, kernel};
  if (!linear) {
    given.strides = given.dilations = {1, 1};
    given.pads.assign(4, kernel / 2);
  }
  given.bits = static_cast<size_t>((outputs * channels * kernel * kernel + 7) / 8);
  given.scale = given.bias = static_cast<size_t>(outputs);
  given.threshold = 1;
  Layer layer = check(std::strcmp(argument[1], "float") == 0 ? Input::FLOAT : Input::STEP, linear, given);
  std::mt19937 generator(0);
  for (size_t i = 0; i < given.bits; ++i) layer.bits.push_back(static_cast<uint8_t>(generator()));
  layer.scale.assign(given.scale, 0.5f);
  layer.bias.assign(given.bias, 0.25f);
  layer.threshold = {0.0f};
  const auto product = product_of(layer, tier());
  const int64_t pixels = linear ? -size : size * size;
  std::vector<float> x(static_cast<size_t>(channels * pixels)), y(static_cast<size_t>(outputs * pixels));
  for (float& value : x) value = static_cast<float>(static_cast<int32_t>(generator())) * 1e-9f;
  const Parallel in_turn = [](size_t total, const std::function<void(size_t)>& task) {
    for (size_t i = 0; i < total; ++i) task(i);
  };
  for (int64_t round = 0; round < number(6); ++round) {
    if (linear) {
      product->multiply({x.data(), nullptr}, -size, {y.data()}, in_turn);
    } else {
      product->convolve({x.data(), nullptr}, 1, size, size, {y.data()}, in_turn);
    }
  }
}
