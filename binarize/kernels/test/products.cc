// Products in int8 against those of the scalar tier, at random shapes, with tasks in random order and in several
// threads: on a CPU with matrix tiles, real or emulated, and on any CPU with the plain loops of portable_int8.h. And on
// every tier popcounts, and the bit-packed activations of one layer against its values.
//
//     cmake -S binarize/kernels -B build -DBINARIZE_TESTS=ON && cmake --build build && build/binarize_products [ROUNDS]
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "../src/portable.h"
#include "../src/portable_int8.h"
#include "../src/portable_planes.h"
#include "../src/slices.h"
#include "layers.h"

namespace {

double int8_error = 0, scalar_error = 0;

void compare(const Tier& tier, const Case& one) {
  const auto product = int8_product(one.layer, tier);
  const bool floats = one.layer.input == Input::FLOAT;
  const auto other = floats ? lookup_product(one.layer, SCALAR) : popcount_product(one.layer, SCALAR);
  const auto given = one.run(*product, in_any_order, 0, one.count), expected = one.run(*other, in_any_order, 0, one.count);
  if (floats) {
    const auto precise = exact(one);
    const double error = error_of(one, given, precise);
    holds(error <= 1e-5, tier.name, "not the product", one);
    if (!one.disturbed) {
      int8_error = std::max(int8_error, error);
      scalar_error = std::max(scalar_error, error_of(one, expected, precise));
    }
  } else {
    holds(same(given, expected), tier.name, "not the same integers", one);
  }
  if (generator() % 4 == 0) holds(same(one.run(*product, in_threads, 0, one.count), given), tier.name, "threads matter", one);
  const auto residual = ::floats(static_cast<int64_t>(given.size()));
  auto ended = given;
  tier.epilogue(ended.data(), residual.data(), ended.size(), Act::RELU);
  holds(same(one.run(*product, in_any_order, 0, one.count, residual.data(), Act::RELU), ended), tier.name,
        "an addition and ReLU afterwards are something else", one);
  // few rows may be computed in another way
  if (one.layer.linear && one.count < 16) return;
  const int64_t part = one.layer.linear ? one.count / 2 : 1;
  const std::vector<float> last(given.end() - static_cast<ptrdiff_t>(static_cast<size_t>(part) * one.image_out()), given.end());
  holds(same(one.run(*product, in_any_order, one.count - part, part), last), tier.name, "the rest of the batch matters", one);
}

// Each image's values (of a group, or of a row) rounded to the nearest that two slices represent; an image of which a group
// has no unit is looked up.
Case in_two_slices(Case one) {
  const size_t groups = static_cast<size_t>(one.layer.geometry.group), size = one.image_in() / groups;
  for (size_t image = 0; image < static_cast<size_t>(one.count); ++image) {
    float* x = one.x.data() + image * one.image_in();
    std::vector<Unit> units;
    for (size_t group = 0; group < groups; ++group) {
      units.push_back(unit_of(portable::largest(x + group * size, size), portable::smallest(x + group * size, size), 2));
    }
    if (!std::all_of(units.begin(), units.end(), is_finite_range)) continue;
    for (size_t i = 0; i < one.image_in(); ++i) {
      const Unit& unit = units[i / size];
      x[i] = static_cast<float>(std::nearbyint(static_cast<double>(x[i]) * static_cast<double>(unit.inverse)) * static_cast<double>(unit.value));
    }
  }
  return one;
}

double two_slices_error = 0;

// Products in two slices are those of the rounded inputs.
void roughly(const Tier& tier) {
  Case one = any_case();
  if (one.layer.input != Input::FLOAT || (one.layer.linear && one.count < 8)) return;
  if (generator() % 2) {
    for (float& value : one.x) value = value < 0 ? 0 : value;  // as after a ReLU
  }
  one.layer.two_slices = true;
  const auto y = one.run(*int8_product(one.layer, tier), in_any_order, 0, one.count);
  holds(error_of(one, y, exact(in_two_slices(one))) <= 1e-6, tier.name, "not the product of inputs in two slices", one);
  if (!one.disturbed) two_slices_error = std::max(two_slices_error, error_of(one, y, exact(one)));
}

// Which of [images][channels][pixels] are not below their channel's threshold, as words.
std::vector<uint32_t> words_of(const std::vector<float>& values, int64_t images, int64_t channels, const std::vector<float>& threshold) {
  const size_t of_image = static_cast<size_t>(up(channels, WORD)), count = static_cast<size_t>(images * channels);
  const size_t pixels = count == 0 ? 0 : values.size() / count;
  std::vector<uint32_t> words(static_cast<size_t>(images) * of_image * pixels, 0);
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t image = i / pixels / static_cast<size_t>(channels), channel = i / pixels % static_cast<size_t>(channels);
    const bool above = values[i] >= threshold[threshold.size() > 1 ? channel : 0];
    words[(image * of_image + channel / WORD) * pixels + i % pixels] |= static_cast<uint32_t>(above) << channel % WORD;
  }
  return words;
}

double planes_error = 0;

// Each image's values (of a group, or of a row) as the integers that planes take them for.
Case in_integers(Case one, int bits) {
  const size_t groups = static_cast<size_t>(one.layer.geometry.group), size = one.image_in() / groups;
  for (size_t image = 0; image < static_cast<size_t>(one.count); ++image) {
    float* x = one.x.data() + image * one.image_in();
    std::vector<Unit> units(groups);
    for (size_t group = 0; group < groups; ++group) {
      float least, largest;
      portable::range(x + group * size, size, &least, &largest);
      units[group] = unit_of_range(least, largest, bits);
    }
    if (!std::all_of(units.begin(), units.end(), is_finite_range)) continue;
    for (size_t i = 0; i < one.image_in(); ++i) {
      const Unit& unit = units[i / size];
      x[i] = static_cast<float>(std::nearbyint(x[i] * unit.inverse) * static_cast<double>(unit.value));
    }
  }
  return one;
}

// Products from planes: of the values, and with fewer bits of what these are rounded to.
void planes(const Tier& tier) {
  Case one = any_case();
  if (one.layer.input != Input::FLOAT) return;
  static constexpr int BITS[] = {22, 22, 16, 10, 8};
  const int bits = BITS[generator() % 5];
  if (generator() % 2) {
    for (float& value : one.x) value = value < 0 ? 0 : value;  // as after a ReLU
  }
  one.layer.two_slices = bits == 16;
  one.layer.activation_bits = bits < 16 ? bits : 0;
  const auto product = planes_product(one.layer, tier);
  const auto given = one.run(*product, in_any_order, 0, one.count);
  if (bits == 22) {
    const double error = error_of(one, given, exact(one));
    holds(error <= 1e-5, tier.name, "not the product", one);
    if (!one.disturbed && suits_planes(one.layer)) planes_error = std::max(planes_error, error);
  } else {
    holds(error_of(one, given, exact(in_integers(one, bits))) <= 1e-6, tier.name, "not the product of inputs in fewer bits", one);
  }
  holds(same(one.run(*product, in_threads, 0, one.count), given), tier.name, "threads matter to planes", one);
  const auto residual = ::floats(static_cast<int64_t>(given.size()));
  auto ended = given;
  tier.epilogue(ended.data(), residual.data(), ended.size(), Act::RELU);
  holds(same(one.run(*product, in_any_order, 0, one.count, residual.data(), Act::RELU), ended), tier.name,
        "an addition and ReLU after planes are something else", one);
  const int64_t part = one.layer.linear ? (one.count + 1) / 2 : 1;
  const std::vector<float> last(given.end() - static_cast<ptrdiff_t>(static_cast<size_t>(part) * one.image_out()), given.end());
  holds(same(one.run(*product, in_any_order, one.count - part, part), last), tier.name, "the rest of the batch matters to planes", one);
}

// As many products as planes take, all of the largest integer.
void extremes_of_planes(const Tier& tier) {
  for (int bits : {0, 8, 10}) {
    Case one;
    Given given;
    const int64_t channels = int64_t{1} << 17;
    given.shape = {2, channels};
    given.bits = static_cast<size_t>(2 * channels / 8);
    given.scale = given.bias = 2;
    one.layer = check(Input::FLOAT, true, given);
    one.layer.activation_bits = bits;
    one.layer.bits.assign(given.bits, 0xff);
    std::fill(one.layer.bits.begin() + channels / 8, one.layer.bits.end(), uint8_t{0});
    one.layer.scale = {1, 1};
    one.layer.bias = {0, 0};
    one.count = 2;
    one.x.assign(static_cast<size_t>(one.count * channels), 1.0f);
    std::fill(one.x.begin() + channels, one.x.end(), -1.0f);
    one.x[0] = one.x[static_cast<size_t>(channels)] = 0.0f;
    holds(error_of(one, one.run(*planes_product(one.layer, tier), in_any_order, 0, one.count), exact(one)) <= 1e-6, tier.name, "planes overflow", one);
  }
}

// Popcounts, of words or nibbles, are those of the scalar tier.
void popcounts(const Tier& tier) {
  const Case one = any_case();
  if (one.layer.input == Input::FLOAT) return;
  const auto given = one.run(*popcount_product(one.layer, tier), in_any_order, 0, one.count);
  const auto expected = one.run(*popcount_product(one.layer, SCALAR), in_any_order, 0, one.count);
  holds(same(given, expected), tier.name, "not the same popcounts", one);
}

using Maker = std::unique_ptr<Product> (*)(const Layer&, const Tier&);

// Words in, out, or both, beside the values and alone, against the layer that has values on both sides.
void edges(const Tier& tier, Maker make) {
  Case one = any_case();
  const Geometry& g = one.layer.geometry;
  const auto fills = [&](int64_t channels) { return g.group == 1 || channels % WORD == 0; };
  if (one.layer.input == Input::FLOAT || !fills(g.channels_per_group()) || !fills(g.outputs_per_group())) return;
  const auto residual = floats(static_cast<int64_t>(one.image_out()) * one.count);
  const float* added = generator() % 2 ? residual.data() : nullptr;
  const Act act = static_cast<Act>(generator() % 3);
  const auto expected = one.run(*make(one.layer, tier), in_any_order, 0, one.count, added, act);
  const auto next = floats(generator() % 2 ? g.outputs : 1);
  const auto above = words_of(expected, one.count, g.outputs, next), given = words_of(one.x, one.count, g.channels, one.layer.threshold);
  for (const bool packed : {false, true}) {
    Layer layer = one.layer;
    layer.packed = packed;
    const Activations x = packed ? Activations{nullptr, given.data()} : Activations{one.x.data(), nullptr};
    std::vector<float> y(expected.size(), 7.0f);
    one.run(*make(layer, tier), in_any_order, x, one.count, {y.data(), added, act});
    holds(same(y, expected), tier.name, "words are another input", one);
    layer.next = next;
    const auto product = make(layer, tier);
    for (const bool alone : {false, true}) {
      std::vector<uint32_t> words(above.size(), 7);
      std::fill(y.begin(), y.end(), 7.0f);
      one.run(*product, in_any_order, x, one.count, {alone ? nullptr : y.data(), added, act, words.data()});
      holds(words == above && (alone || same(y, expected)), tier.name, "words of outputs", one);
    }
  }
}

// The largest sums that are exact: every slice at its smallest, but for the value that says how large a unit is.
void extremes(const Tier& tier) {
  Case one;
  Given given;
  const int64_t channels = INT32_MAX / (257 * 128), outputs = 3;
  given.shape = {outputs, channels};
  given.bits = static_cast<size_t>((outputs * channels + 7) / 8);
  given.scale = given.bias = static_cast<size_t>(outputs);
  one.layer = check(Input::FLOAT, true, given);
  one.layer.bits.assign(given.bits, 0xff);
  one.layer.scale = {1, 1, 1};
  one.layer.bias = {0, 0, 0};
  one.count = 16;
  one.x.assign(static_cast<size_t>(one.count * channels), -62.0f * 65536 - 32768 - 128);
  for (int64_t m = 0; m < one.count; ++m) one.x[static_cast<size_t>(m * channels)] = 4161000;
  holds(error_of(one, one.run(*int8_product(one.layer, tier), in_any_order, 0, one.count), exact(one)) <= 1e-6, tier.name, "overflows", one);
}

// The same of two slices: as many products as they are used for, all at the top of the range and of one sign.
void extremes_of_two(const Tier& tier) {
  for (int64_t channels : {int64_t{32704}, int64_t{32705}}) {
    Case one;
    Given given;
    given.shape = {1, channels};
    given.bits = static_cast<size_t>((channels + 7) / 8);
    given.scale = given.bias = 1;
    one.layer = check(Input::FLOAT, true, given);
    one.layer.two_slices = true;
    one.layer.bits.assign(given.bits, 0xff);
    one.layer.scale = {1};
    one.layer.bias = {0};
    one.count = 16;
    one.x.assign(static_cast<size_t>(one.count * channels), 65270);
    holds(error_of(one, one.run(*int8_product(one.layer, tier), in_any_order, 0, one.count), exact(one)) <= 1e-6, tier.name, "two slices overflow", one);
  }
}

// Which layers are worth it.
void choice() {
  const auto suits = [](Input input, std::vector<int64_t> shape, int64_t group) {
    Given given;
    given.shape = shape;
    given.strides = given.dilations = {1, 1};
    given.pads = {0, 0, 0, 0};
    given.group = group;
    given.bits = size_t{1} << 26;
    given.scale = given.bias = static_cast<size_t>(shape[0]);
    given.threshold = input == Input::SIGN ? static_cast<size_t>(shape[1] * group) : 1;
    return suits_int8(check(input, false, given));
  };
  const Case none;
  holds(suits(Input::FLOAT, {64, 64, 3, 3}, 1) && suits(Input::SIGN, {64, 64, 3, 3}, 1), "choice", "whole tiles", none);
  holds(!suits(Input::FLOAT, {64, 1, 3, 3}, 64) && !suits(Input::STEP, {64, 1, 3, 3}, 64), "choice", "one channel a group", none);
  holds(!suits(Input::FLOAT, {16, 65281, 1, 1}, 1) && suits(Input::FLOAT, {16, 65280, 1, 1}, 1), "choice", "sums that fit", none);
}

}  // namespace

int main(int count, char** arguments) {
  const int rounds = count > 1 ? std::atoi(arguments[1]) : 300;
  Tier plain = SCALAR;
  plain.name = "portable";
  plain.int8 = &portable::INT8;
  std::vector<const Tier*> tiers;
#if defined(BINARIZE_AMX)
  if (AMX.supported()) {
    tiers.push_back(&AMX);
  } else {
    std::printf("amx: not on this CPU\n");
  }
#endif
  tiers.push_back(&plain);
  choice();
  for (const Tier* tier : tiers) {
    int8_error = scalar_error = two_slices_error = 0;
    for (int i = 0; i < rounds; ++i) compare(*tier, any_case());
    for (int i = 0; i < rounds; ++i) edges(*tier, int8_product);
    for (int i = 0; i < rounds; ++i) roughly(*tier);
    extremes(*tier);
    extremes_of_two(*tier);
    std::printf("%s: done, largest error of W1A32 %.2g in int8, %.2g in float32, over the size of the outputs; %.2g in two slices\n",
                tier->name, int8_error, scalar_error, two_slices_error);
    holds(int8_error <= std::max(1e-6, 2 * scalar_error), tier->name, "less exact than float32", Case());
    std::fflush(stdout);
  }
  std::vector<const Tier*> all = {&SCALAR};
#if defined(BINARIZE_X86)
  all.insert(all.end(), {&AVX2, &AVX512});
#endif
#if defined(BINARIZE_ARM64)
  all.push_back(&NEON);
#endif
  Tier readable = SCALAR;
  readable.name = "portable";
  readable.planes = &portable::PLANES;
  readable.nibbles = &portable::NIBBLES;
  for (const Tier* tier : {static_cast<const Tier*>(&readable), all[all.size() > 1 ? 1 : 0]}) {
    if (tier->planes == nullptr || !tier->supported()) continue;
    planes_error = 0;
    for (int i = 0; i < 2 * rounds; ++i) planes(*tier);
    extremes_of_planes(*tier);
    std::printf("%s: done, largest error of W1A32 %.2g in planes\n", tier->name, planes_error);
    // of the smallest layers that suit; whole networks are as exact as with float32
    holds(planes_error <= 1.5e-6, tier->name, "planes are less exact than float32", Case());
  }
  all.push_back(&readable);
  for (const Tier* tier : all) {
    for (int i = 0; i < rounds && tier->supported(); ++i) {
      popcounts(*tier);
      edges(*tier, popcount_product);
    }
  }
  std::printf("%d passed, %d failed\n", checks - failures, failures);
  return failures == 0 ? 0 : 1;
}
