// Layers of random shapes, what they are of in float64, and how tests run and compare them.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "../src/product.h"

using namespace binarize;

namespace {

constexpr int64_t WORK = 1500000;  // multiplications of a layer: emulated CPUs are slow
constexpr int64_t SIZES[] = {1, 31, 32, 33, 63, 64, 65};

int checks = 0, failures = 0;
std::mt19937 generator(0);

int64_t between(int64_t least, int64_t most) { return least + static_cast<int64_t>(generator() % static_cast<uint64_t>(most - least + 1)); }
int64_t odd() { return generator() % 3 ? SIZES[generator() % 7] : between(1, 130); }
std::vector<float> floats(int64_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(generator);
  return values;
}

void in_any_order(size_t total, const std::function<void(size_t)>& task) {
  std::vector<size_t> order(total);
  std::iota(order.begin(), order.end(), size_t{0});
  std::shuffle(order.begin(), order.end(), generator);
  for (size_t i : order) task(i);
}

void in_threads(size_t total, const std::function<void(size_t)>& task) {
  std::atomic<size_t> next{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (size_t i = next++; i < total; i = next++) task(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

struct Case {
  Layer layer;
  int64_t count = 1, in[2] = {1, 1};  // images and their size; rows of a linear layer
  std::vector<float> x;
  bool disturbed = false;

  int64_t out(int axis) const { return layer.linear ? 1 : layer.geometry.extent(axis, in[axis]); }
  size_t image_in() const { return static_cast<size_t>(layer.geometry.channels * in[0] * in[1]); }
  size_t image_out() const { return static_cast<size_t>(layer.geometry.outputs * out(0) * out(1)); }

  std::vector<float> run(const Product& product, const Parallel& parallel, int64_t first, int64_t images,
                         const float* residual = nullptr, Act act = Act::NONE) const {
    std::vector<float> y(image_out() * static_cast<size_t>(images), 7.0f);
    run(product, parallel, {x.data() + static_cast<size_t>(first) * image_in(), nullptr}, images, {y.data(), residual, act});
    return y;
  }
  void run(const Product& product, const Parallel& parallel, const Activations& from, int64_t images, const Epilogue& epilogue) const {
    if (layer.linear) {
      product.multiply(from, images, epilogue, parallel);
    } else {
      product.convolve(from, images, in[0], in[1], epilogue, parallel);
    }
  }
};

// Now and then an image gets values that slices cannot represent, or only roughly.
void disturb(Case& one) {
  const size_t image = static_cast<size_t>(between(0, one.count - 1)), size = one.image_in();
  float* values = one.x.data() + image * size;
  const uint64_t kind = generator() % 12;
  if (size == 0 || kind > 6) return;
  one.disturbed = true;
  if (kind == 0) std::fill(values, values + size, 0.0f);
  if (kind == 1) values[generator() % size] = std::numeric_limits<float>::quiet_NaN();
  if (kind == 2) values[generator() % size] = -std::numeric_limits<float>::infinity();
  const float factor = kind == 3 ? 1e-37f : kind == 4 ? 1e-29f : kind == 5 ? 1e30f : 1.0f;
  for (size_t i = 0; i < size; ++i) values[i] *= factor;
  if (kind == 6) values[generator() % size] = 30.0f;
}

Case any_case() {
  while (true) {
    Case one;
    one.layer.input = static_cast<Input>(generator() % 3);
    Given given;
    const bool linear = one.layer.linear = generator() % 3 == 0;
    if (linear) {
      given.shape = {odd(), odd()};
      one.count = between(1, 70);
    } else {
      given.group = generator() % 4 ? 1 : between(2, 3);
      given.shape = {odd() * given.group, odd(), between(1, 7), between(1, 7)};
      if (generator() % 2) given.shape[2] = given.shape[3] = generator() % 2 ? 1 : 3;
      given.strides = {between(1, 3), between(1, 3)};
      given.dilations = {between(1, 3), between(1, 3)};
      given.pads = {between(0, 4), between(0, 4), between(0, 4), between(0, 4)};
      const bool pixel = generator() % 10 == 0;  // 1 x 1 on an image of one pixel
      if (pixel) {
        given.shape[2] = given.shape[3] = 1;
        given.pads.assign(4, 0);
      }
      for (size_t axis = 0; axis < 2; ++axis) {
        const int64_t span = given.dilations[axis] * (given.shape[axis + 2] - 1) + 1;
        one.in[axis] = std::max<int64_t>(0, span - given.pads[axis] - given.pads[axis + 2]) + (pixel ? 0 : between(0, 14));
      }
      one.count = between(1, 3);
    }
    const int64_t signs = std::accumulate(given.shape.begin(), given.shape.end(), int64_t{1}, std::multiplies<int64_t>());
    given.bits = static_cast<size_t>((signs + 7) / 8);
    given.scale = given.bias = static_cast<size_t>(given.shape[0]);
    const int64_t channels = given.shape[1] * given.group;
    given.threshold = one.layer.input == Input::SIGN ? static_cast<size_t>(channels) : 1;
    one.layer = check(one.layer.input, linear, given);
    if (signs * one.count * one.out(0) * one.out(1) > WORK) continue;
    one.layer.bits.resize(given.bits);
    for (uint8_t& byte : one.layer.bits) byte = static_cast<uint8_t>(generator());
    one.layer.scale = floats(given.shape[0]);
    one.layer.bias = floats(given.shape[0]);
    one.layer.threshold = floats(static_cast<int64_t>(given.threshold));
    one.x = floats(static_cast<int64_t>(one.image_in()) * one.count);
    if (one.layer.input == Input::FLOAT) disturb(one);
    return one;
  }
}

// What y is in float64, and the typical size of an output of such inputs.
struct Exact {
  std::vector<double> y, typical;
};

Exact exact(const Case& one) {
  const Geometry& g = one.layer.geometry;
  const int64_t rows = one.out(0), columns = one.out(1), channels = g.channels_per_group();
  Exact result;
  std::vector<uint8_t> signs(static_cast<size_t>(channels * g.taps()));
  for (int64_t at = 0; at < one.count * g.outputs; ++at) {
    const int64_t image = at / g.outputs, o = at % g.outputs, group = o / g.outputs_per_group();
    one.layer.signs(o, signs.data());
    for (int64_t position = 0; position < rows * columns; ++position) {
      double sum = 0, squares = 0;
      for (int64_t t = 0; t < g.taps(); ++t) {
        const int64_t r = position / columns * g.stride[0] + t / g.kernel[1] * g.dilation[0] - g.begin[0];
        const int64_t s = position % columns * g.stride[1] + t % g.kernel[1] * g.dilation[1] - g.begin[1];
        if (r < 0 || r >= one.in[0] || s < 0 || s >= one.in[1]) continue;
        for (int64_t c = 0; c < channels; ++c) {
          const double x = one.x[static_cast<size_t>(((image * g.channels + group * channels + c) * one.in[0] + r) * one.in[1] + s)];
          sum += signs[static_cast<size_t>(c * g.taps() + t)] ? x : -x;
          squares += x * x;
        }
      }
      const double scale = one.layer.scale[static_cast<size_t>(o)];
      result.y.push_back(sum * scale + static_cast<double>(one.layer.bias[static_cast<size_t>(o)]));
      result.typical.push_back(std::sqrt(squares) * std::fabs(scale));
    }
  }
  return result;
}

void holds(bool right, const char* tier, const char* what, const Case& one) {
  ++checks;
  if (right) return;
  ++failures;
  const Geometry& g = one.layer.geometry;
  std::printf("%s: %s: input %d linear %d O %lld C %lld group %lld kernel %lldx%lld stride %lld,%lld dilation %lld,%lld in %lldx%lldx%lld\n",
              tier, what, static_cast<int>(one.layer.input), one.layer.linear, static_cast<long long>(g.outputs),
              static_cast<long long>(g.channels), static_cast<long long>(g.group), static_cast<long long>(g.kernel[0]),
              static_cast<long long>(g.kernel[1]), static_cast<long long>(g.stride[0]), static_cast<long long>(g.stride[1]),
              static_cast<long long>(g.dilation[0]), static_cast<long long>(g.dilation[1]), static_cast<long long>(one.count),
              static_cast<long long>(one.in[0]), static_cast<long long>(one.in[1]));
}

bool same(const std::vector<float>& given, const std::vector<float>& expected) {
  return given.size() == expected.size() && std::memcmp(given.data(), expected.data(), given.size() * sizeof(float)) == 0;
}

// The largest error of an image's outputs over their size; infinite where one is finite and should not be.
double error_of(const Case& one, const std::vector<float>& y, const Exact& expected) {
  double worst = 0;
  for (size_t image = 0; image < static_cast<size_t>(one.count); ++image) {
    double largest = 0, off = 0;
    for (size_t i = image * one.image_out(); i < (image + 1) * one.image_out(); ++i) {
      if (std::isfinite(expected.y[i]) != std::isfinite(static_cast<double>(y[i]))) return HUGE_VAL;
      if (!std::isfinite(expected.y[i])) continue;
      largest = std::max({largest, std::fabs(expected.y[i]), expected.typical[i]});
      off = std::max(off, std::fabs(static_cast<double>(y[i]) - expected.y[i]));
    }
    if (largest > 0) worst = std::max(worst, off / largest);
  }
  return worst;
}

}  // namespace
