// Every inner loop of every tier that this CPU has against the portable one, at sizes around those of words and
// vectors, on random data: for CPUs without Python, such as those that qemu emulates.
//
//     cmake -S binarize/kernels -B build -DBINARIZE_TESTS=ON && cmake --build build && build/binarize_tiers
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "../src/portable.h"
#include "../src/portable_int8.h"
#include "../src/portable_planes.h"
#include "../src/slices.h"

using namespace binarize;

namespace {

int failures = 0;
std::mt19937 generator(0);

size_t up_to(size_t largest) { return generator() % (largest + 1); }
size_t odd(size_t largest) {
  static constexpr size_t SIZES[] = {1, 31, 32, 33, 63, 64, 65};
  const size_t size = generator() % 3 ? SIZES[generator() % 7] : 1 + up_to(largest - 1);
  return size < largest ? size : largest;
}
std::vector<float> floats(size_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}
std::vector<uint32_t> words(size_t count) {
  std::vector<uint32_t> values(count);
  for (uint32_t& value : values) value = generator();
  return values;
}

template <class T>
void same(const char* tier, const char* loop, const std::vector<T>& given, const std::vector<T>& expected, double off) {
  for (size_t i = 0; i < expected.size(); ++i) {
    if (!(std::fabs(static_cast<double>(given[i]) - static_cast<double>(expected[i])) <= off)) {
      std::printf("%s %s: %g at %zu of %zu, not %g\n", tier, loop, static_cast<double>(given[i]), i, expected.size(),
                  static_cast<double>(expected[i]));
      ++failures;
      return;
    }
  }
}

void packing(const Tier& tier) {
  const size_t count = odd(200), channels = 1 + up_to(31), stride = count + up_to(9);
  const int step = static_cast<int>(up_to(1));
  const auto x = floats(stride * 32), threshold = floats(200);
  std::vector<uint32_t> given(count), expected(count);
  tier.pack_planes(x.data(), stride, static_cast<int>(channels), threshold.data(), step, count, given.data());
  portable::pack_planes(x.data(), stride, static_cast<int>(channels), threshold.data(), step, count, expected.data());
  same(tier.name, "pack_planes", given, expected, 0);
  std::vector<uint32_t> row((count + 31) / 32), other((count + 31) / 32);
  tier.pack_row(x.data(), count, threshold.data(), step, row.data());
  portable::pack_row(x.data(), count, threshold.data(), step, other.data());
  same(tier.name, "pack_row", row, other, 0);
}

void popcounts(const Tier& tier) {
  const size_t steps = odd(150), stride = steps + up_to(5);
  const int rows = 1 + static_cast<int>(up_to(MAX_ROWS - 1)), vectors = 1 + static_cast<int>(up_to(MAX_VECTORS - 1));
  const auto row = words(stride * MAX_ROWS), column = words(4000 + MAX_VECTORS * LANES);
  std::vector<ptrdiff_t> offsets(steps);
  for (auto& offset : offsets) offset = static_cast<ptrdiff_t>(up_to(4000));
  std::vector<int32_t> given(static_cast<size_t>(rows * vectors * LANES)), expected(given.size());
  tier.and_popcount(row.data(), stride, rows, column.data(), offsets.data(), steps, vectors, given.data());
  portable::and_popcount(row.data(), stride, rows, column.data(), offsets.data(), steps, vectors, expected.data());
  same(tier.name, "and_popcount", given, expected, 0);
  const auto scale = floats(200), bias = floats(200);
  std::vector<int32_t> correction(200);
  for (int32_t& value : correction) value = static_cast<int32_t>(up_to(99)) - 50;
  const size_t count = 1 + up_to(expected.size() < 200 ? expected.size() - 1 : 199);
  std::vector<float> y(count), other(count);
  tier.finish_row(expected.data(), 17, 2, correction.data(), scale.data(), bias.data(), count, y.data());
  portable::finish_row(expected.data(), 17, 2, correction.data(), scale.data(), bias.data(), count, other.data());
  same(tier.name, "finish_row", y, other, 0);
}

// Popcounts of nibbles, where a tier has them.
void nibbles(const Tier& tier) {
  const Nibbles &loops = *tier.nibbles, &plain = portable::NIBBLES;
  const size_t count = odd(200), plane = count + up_to(9);
  const int planes = 1 + static_cast<int>(up_to(7));
  const auto word = words(count);
  std::vector<uint8_t> cut(8 * plane, 7), other(cut);
  loops.split(word.data(), count, planes, cut.data(), plane);
  plain.split(word.data(), count, planes, other.data(), plane);
  same(tier.name, "split", cut, other, 0);
  const size_t steps = odd(150), stride = steps + up_to(5);
  const int rows = 1 + static_cast<int>(up_to(MAX_ROWS - 1)), vectors = 1 + static_cast<int>(up_to(MAX_VECTORS - 1));
  std::vector<uint8_t> row(stride * MAX_ROWS), column(4000 + (MAX_VECTORS + 1) * LANES);
  for (auto& value : row) value = static_cast<uint8_t>(up_to(15) << 4);
  for (auto& value : column) value = static_cast<uint8_t>(generator() % 2 ? 15 : up_to(15));  // 15: the fullest sums
  std::vector<ptrdiff_t> offsets(steps);
  for (auto& offset : offsets) offset = static_cast<ptrdiff_t>(up_to(4000));
  std::vector<int32_t> given(static_cast<size_t>(MAX_ROWS * MAX_VECTORS * LANES), 7), expected(given);
  loops.and_popcount(row.data(), stride, rows, column.data(), offsets.data(), steps, vectors, given.data());
  plain.and_popcount(row.data(), stride, rows, column.data(), offsets.data(), steps, vectors, expected.data());
  same(tier.name, "and_popcount of nibbles", given, expected, 0);
}

void finishing(const Tier& tier) {
  const size_t vectors = 1 + up_to(MAX_VECTORS - 1), pitch = 3 + up_to(20), wide = 1 + up_to(pitch - 1);
  const int kinds = 1 + static_cast<int>(up_to(20));
  std::vector<uint16_t> valid(vectors, 0), kind(vectors * LANES);
  std::vector<int32_t> first(vectors + 1, 0), correction(static_cast<size_t>(kinds)), sums(vectors * LANES), ones(sums.size());
  int32_t outputs = 0;
  for (size_t v = 0; v < vectors; ++v) {
    first[v] = outputs;
    for (size_t l = 0; l < LANES; ++l) {
      if ((v * LANES + l) % pitch >= wide) continue;
      valid[v] = static_cast<uint16_t>(valid[v] | 1u << l);
      ++outputs;
    }
  }
  first[vectors] = outputs;
  for (auto& value : kind) value = static_cast<uint16_t>(up_to(static_cast<size_t>(kinds - 1)));
  for (auto& value : correction) value = static_cast<int32_t>(up_to(99)) - 50;
  for (auto& value : sums) value = static_cast<int32_t>(up_to(4000));
  for (auto& value : ones) value = static_cast<int32_t>(up_to(4000));
  const Im2row im2row{valid.data(), first.data(), kind.data(), kinds};
  const Affine affine{generator() % 2 ? 2 : 1, correction.data(), 0.3f, -0.7f};
  // with what lies behind the outputs, which is somebody else's
  const auto before = floats(static_cast<size_t>(outputs) + LANES), residual = floats(before.size());
  auto given = before, expected = before;
  const bool in_place = generator() % 3 == 0, relu = generator() % 2 == 0, adds = generator() % 2 == 0;
  const auto finish = [&](const auto& loop, std::vector<float>& y) {
    const AddRelu add_relu{in_place ? y.data() : adds ? residual.data() : nullptr, relu};
    loop(sums.data(), ones.data(), im2row, 0, static_cast<int>(vectors), affine, add_relu, y.data());
  };
  finish(tier.finish_im2row, given);
  finish(portable::finish_im2row, expected);
  same(tier.name, "finish_im2row", given, expected, 0);
}

// Signed sums of channels, looked up through tables, against the same sums made one by one.
void lookups(const Tier& tier) {
  const size_t channels = odd(90), taps = 1 + up_to(8), pixels = 1 + up_to(static_cast<size_t>(tier.pixels) - 1);
  const size_t bits = static_cast<size_t>(tier.bits), fields = static_cast<size_t>(tier.fields);
  const size_t tables = (channels + bits - 1) / bits, step = tables << bits, wide = LANES * (1 + up_to(static_cast<size_t>(tier.outputs / LANES - 1)));
  const size_t area = 40;
  const auto x = floats(area * channels);
  std::vector<float> made(area * step);
  tier.build(x.data(), 1, area, static_cast<ptrdiff_t>(area), channels, tables, made.data(), step);
  std::vector<ptrdiff_t> places(taps);
  for (auto& place : places) place = static_cast<ptrdiff_t>(up_to(20));
  const size_t length = (tables + fields - 1) / fields;
  std::vector<uint32_t> index(length * taps * wide + 1, 0);
  std::vector<float> expected(pixels * wide, 0.0f), given(pixels * wide, 0.5f);
  const bool add = generator() % 2;
  std::vector<const float*> at(pixels);
  for (size_t p = 0; p < pixels; ++p) at[p] = made.data() + p * step;
  std::vector<double> sum(pixels * wide, add ? 0.5 : 0.0);
  for (size_t t = 0; t < taps; ++t) {
    for (size_t c = 0; c < channels; ++c) {
      for (size_t o = 0; o < wide; ++o) {
        const bool plus = generator() % 2;
        const size_t table = c / bits;
        index[(table / fields * taps + t) * wide + o] |=
            static_cast<uint32_t>(plus)
            << (static_cast<size_t>(field_shift(static_cast<int>(table % fields), tier.fields, tier.field_stride)) + c % bits);
        for (size_t p = 0; p < pixels; ++p) {
          const double value = x[c * area + p + static_cast<size_t>(places[t])];
          sum[p * wide + o] += plus ? value : -value;
        }
      }
    }
  }
  for (auto& place : places) place *= static_cast<ptrdiff_t>(step);
  tier.lookup(at.data(), static_cast<int>(pixels), places.data(), taps, tables, index.data(), static_cast<int>(wide), add,
              given.data());
  for (size_t i = 0; i < sum.size(); ++i) expected[i] = static_cast<float>(sum[i]);
  same(tier.name, "lookup", given, expected, 1e-4);
  if (bits == 4 && fields == 8) {  // the portable sums, in the same order
    portable::build<4>(x.data(), 1, area, static_cast<ptrdiff_t>(area), channels, tables, made.data(), step);
    expected.assign(pixels * wide, 0.5f);
    portable::lookup<4, 8>(at.data(), static_cast<int>(pixels), places.data(), taps, tables, index.data(), static_cast<int>(wide),
                           add, expected.data());
    same(tier.name, "lookup", given, expected, 0);
  }

  // some tiers add the bias without rounding the product before
  const double fused = bits == 4 ? 0 : 1e-6;
  const auto scale = floats(wide), bias = floats(wide);
  const size_t some = 1 + up_to(47), outputs = 1 + up_to(wide - 1);
  const auto sums = floats(some * wide);
  std::vector<float> y(outputs * 60, 7.0f), other(y);
  const auto residual = floats(y.size());
  const AddRelu add_relu{generator() % 2 ? residual.data() : nullptr, generator() % 2 == 0};
  tier.transpose(sums.data(), wide, some, outputs, scale.data(), bias.data(), add_relu, y.data(), 60);
  portable::transpose(sums.data(), wide, some, outputs, scale.data(), bias.data(), add_relu, other.data(), 60);
  same(tier.name, "transpose", y, other, fused);
  std::vector<float> row(outputs), line(outputs);
  tier.finish_sums(sums.data(), scale.data(), bias.data(), outputs, row.data());
  portable::finish_sums(sums.data(), scale.data(), bias.data(), outputs, line.data());
  same(tier.name, "finish_sums", row, line, fused);
}

// The loops of a float stem against those of the scalar tier; the largest values against ones found one by one.
void stems(const Tier& tier) {
  using stem::POINTS;
  using stem::TILE;
  const size_t count = 1 + up_to(12), columns = (count - 1) * TILE + POINTS, channels = 1 + up_to(LANES - 1);
  const size_t wide = LANES * (1 + up_to(3)), width = count * TILE;
  const auto x = floats(POINTS * columns * LANES), weight = floats(POINTS * POINTS * channels * wide), bias = floats(wide);
  const float* rows[POINTS];
  for (int i = 0; i < POINTS; ++i) rows[i] = x.data() + static_cast<size_t>(i) * columns * LANES;
  std::vector<float> given(POINTS * columns * LANES), expected(given.size());
  tier.stem.transform(rows, columns, given.data());
  SCALAR.stem.transform(rows, columns, expected.data());
  same(tier.name, "stem.transform", given, expected, 1e-4);
  std::vector<float> y(TILE * width * wide), other(y.size());
  const auto three = [&](std::vector<float>& of) {
    return std::vector<float*>{of.data(), of.data() + width * wide, of.data() + 2 * width * wide};
  };
  tier.stem.tiles(expected.data(), count, columns, weight.data(), bias.data(), wide, channels, three(y).data());
  SCALAR.stem.tiles(expected.data(), count, columns, weight.data(), bias.data(), wide, channels, three(other).data());
  float largest = 1;
  for (const float value : other) largest = std::fmax(largest, value);
  same(tier.name, "stem.tiles", y, other, 1e-5 * largest);
  const float* const pooled[TILE] = {other.data(), other.data() + width * wide, other.data() + 2 * width * wide};
  const size_t some = 1 + up_to(width - 1);
  std::vector<float> most((some + 1) / 2 * wide), highest(most.size(), 0.0f);
  tier.stem.pool(pooled, some, wide, most.data());
  for (size_t q = 0; q < some; ++q) {
    for (size_t o = 0; o < wide; ++o) {
      for (const float* row : pooled) {
        for (const size_t at : {q / 2, (q + 1) / 2}) {
          if (at * wide + o < highest.size()) highest[at * wide + o] = std::fmax(highest[at * wide + o], row[q * wide + o]);
        }
      }
    }
  }
  same(tier.name, "stem.pool", most, highest, 0);
}

// Lines and their products, where a tier has tiles for them. Lines lie at places of their own, not one after the other.
void int8(const Tier& tier) {
  const Int8 &loops = *tier.int8, &plain = portable::INT8;
  constexpr size_t PLACES = 80, SLICE = PLACES * LINE;
  struct alignas(64) Lines {
    int8_t values[3 * SLICE];
  } given{}, expected{};
  const auto same_lines = [&](const char* loop) {
    same(tier.name, loop, std::vector<int8_t>(given.values, given.values + 3 * SLICE),
         std::vector<int8_t>(expected.values, expected.values + 3 * SLICE), 0);
  };
  const size_t count = odd(PLACES), stride = count + up_to(9), step = 1 + up_to(2);
  const int channels = static_cast<int>(odd(LINE)), smaller = -static_cast<int>(up_to(1));
  std::vector<int32_t> place(count, -1);
  for (size_t i = 0; i < count; ++i) {
    if (generator() % 8) place[i] = static_cast<int32_t>(PLACES - 1 - i);
  }
  const auto low = words(count * step), high = words(count * step);
  loops.spread(low.data(), high.data(), step, channels, smaller, place.data(), count, given.values);
  plain.spread(low.data(), high.data(), step, channels, smaller, place.data(), count, expected.values);
  same_lines("spread");

  auto x = floats(stride * LINE);
  const int parts = 2 + static_cast<int>(up_to(1));
  const Unit unit = unit_of(plain.largest(x.data(), x.size()), plain.smallest(x.data(), x.size()), parts);
  same<float>(tier.name, "largest", {loops.largest(x.data(), count)}, {plain.largest(x.data(), count)}, 0);
  same<float>(tier.name, "smallest", {loops.smallest(x.data(), count)}, {plain.smallest(x.data(), count)}, 0);
  loops.slice_planes(x.data(), stride, channels, count, unit, parts, place.data(), SLICE, given.values);
  plain.slice_planes(x.data(), stride, channels, count, unit, parts, place.data(), SLICE, expected.values);
  same_lines("slice_planes");
  const size_t wide = odd(4 * LINE < x.size() ? 4 * LINE : x.size());
  loops.slice_row(x.data(), wide, unit, parts, SLICE, 5 * LINE, given.values);
  plain.slice_row(x.data(), wide, unit, parts, SLICE, 5 * LINE, expected.values);
  same_lines("slice_row");
  x[generator() % count] = generator() % 2 ? NAN : INFINITY;
  if (std::isfinite(loops.largest(x.data(), count))) same<float>(tier.name, "largest", {0}, {1}, 0);

  for (size_t i = 0; i < 3 * SLICE; ++i) expected.values[i] = static_cast<int8_t>(generator());
  const int slices = 1 + static_cast<int>(up_to(2)), tiles = 1 + static_cast<int>(up_to(static_cast<size_t>(MAX_TILES / slices - 1)));
  const size_t steps = odd(40);
  std::vector<ptrdiff_t> offsets(steps);
  const size_t places = slices == 1 ? 3 * PLACES : PLACES, last = places - static_cast<size_t>(tiles) * LANES;
  for (auto& offset : offsets) offset = static_cast<ptrdiff_t>(up_to(last)) * LINE;
  std::vector<uint64_t> signs(steps * LANES);
  for (auto& sign : signs) sign = static_cast<uint64_t>(generator()) << 32 | generator();
  alignas(64) int32_t sums[MAX_TILES * LANES * LANES] = {}, others[MAX_TILES * LANES * LANES] = {};
  const size_t size = static_cast<size_t>(tiles * slices * LANES * LANES);
  loops.begin();
  loops.multiply(expected.values, tiles, slices, SLICE, offsets.data(), steps, signs.data(), sums);
  loops.end();
  plain.multiply(expected.values, tiles, slices, SLICE, offsets.data(), steps, signs.data(), others);
  same(tier.name, "multiply", std::vector<int32_t>(sums, sums + size), std::vector<int32_t>(others, others + size), 0);

  const auto scale = floats(LANES), bias = floats(LANES), sizes = floats(MAX_TILES * LANES);
  std::vector<int32_t> ones(LANES);
  for (auto& sum : ones) sum = static_cast<int32_t>(up_to(2000)) - 1000;
  std::vector<Unit> units;
  for (float size : sizes) units.push_back({1, size, static_cast<int32_t>(up_to(60000)) - 30000});
  const Channels constants{scale.data(), bias.data(), ones.data()};
  const int outputs = 1 + static_cast<int>(up_to(LANES - 1));
  std::vector<uint16_t> valid(static_cast<size_t>(tiles));
  for (auto& lanes : valid) lanes = generator() % 3 ? static_cast<uint16_t>(generator()) : 0xffff;
  std::vector<float> y(LANES * 100, 7.0f), other(y);
  loops.finish_planes(others, tiles, slices, units[0], valid.data(), outputs, constants, y.data(), 100);
  plain.finish_planes(others, tiles, slices, units[0], valid.data(), outputs, constants, other.data(), 100);
  same(tier.name, "finish_planes", y, other, 0);
  std::vector<float> rows(MAX_TILES * LANES * 20, 7.0f), lines(rows);
  const size_t high_rows = 1 + up_to(static_cast<size_t>(tiles * LANES) - 1);
  loops.finish_rows(others, high_rows, slices, units.data(), outputs, constants, rows.data(), 20);
  plain.finish_rows(others, high_rows, slices, units.data(), outputs, constants, lines.data(), 20);
  same(tier.name, "finish_rows", rows, lines, 0);
}

// Epilogues, additions and activations, against their definitions in double precision, special values among them; nothing past the
// end changes.
// What a tier makes of integers in planes, bit by bit.
void planes(const Tier& tier) {
  static constexpr Cut CUTS[] = {{4, 6}, {3, 6}, {2, 6}, {2, 5}};
  const Planes& loops = *tier.planes;
  const Cut cut = CUTS[up_to(3)];
  const size_t count = odd(100), at_once = cut.tables_at_once();
  auto x = floats(count);
  if (generator() % 4 == 0) x[up_to(count - 1)] = generator() % 2 ? NAN : -INFINITY;
  std::vector<float> ends(2), expected_ends(2);
  loops.range(x.data(), count, &ends[0], &ends[1]);
  portable::range(x.data(), count, &expected_ends[0], &expected_ends[1]);
  if (std::isnan(expected_ends[0])) {
    if (!std::isnan(ends[0]) || !std::isnan(ends[1])) ends[0] = ends[1] = 1.0f, expected_ends = {0.0f, 0.0f};
    else ends = expected_ends = {0.0f, 0.0f};
    x = floats(count);
  }
  same(tier.name, "range", ends, expected_ends, 0);
  portable::range(x.data(), count, &ends[0], &ends[1]);
  const Unit unit = unit_of_range(ends[0], ends[1], cut.value_bits());
  std::vector<int32_t> q(count + 1, 77), expected_q(count + 1, 77);
  loops.quantise(x.data(), count, unit, q.data());
  portable::quantise(x.data(), count, unit, expected_q.data());
  same(tier.name, "quantise", q, expected_q, 0);
  for (int32_t value : q) {
    if (value != 77 && (value < 0 || value >= 1 << cut.value_bits())) q[0] = -1;
  }
  same(tier.name, "quantise, its range", q, expected_q, 0);

  const size_t tables = (1 + up_to(3)) * at_once, taps = 1 + up_to(8), pixels = 1 + up_to(9), step = tables * cut.table_bytes();
  std::vector<int32_t> values(4 * pixels * tables);
  for (int32_t& value : values) value = static_cast<int32_t>(generator() % (1u << cut.value_bits()));
  struct alignas(64) Line {
    uint8_t bytes[64];
  };
  std::vector<Line> memory((pixels + taps) * step / 64 + 1), expected_memory(memory.size());
  uint8_t *to = memory[0].bytes, *expected_to = expected_memory[0].bytes;
  for (size_t p = 0; p < pixels; ++p) {
    const bool planar = generator() % 2;
    const ptrdiff_t channel = planar ? static_cast<ptrdiff_t>(tables) : 1, item = planar ? 1 : 4;
    loops.build(cut, values.data() + p * 4 * tables, channel, item, tables, to + p * step, cut.table_bytes());
    portable::build(cut, values.data() + p * 4 * tables, channel, item, tables, expected_to + p * step, cut.table_bytes());
  }
  same(tier.name, "build", std::vector<uint8_t>(to, to + pixels * step), std::vector<uint8_t>(expected_to, expected_to + pixels * step), 0);

  std::vector<Line> index_memory(2 * taps * tables);  // of two blocks, the second from the middle on
  std::vector<uint8_t> plain(taps * tables * PLANES_BLOCK), other(plain.size());
  uint8_t* index = index_memory[0].bytes;
  for (size_t i = 0; i < plain.size(); ++i) {
    const size_t place = i / PLANES_BLOCK * PLANES_BLOCK + loops.place[i % PLANES_BLOCK];
    index[place] = plain[i] = static_cast<uint8_t>(generator() % 16);
    index_memory[taps * tables].bytes[place] = other[i] = static_cast<uint8_t>(generator() % 16);
  }
  std::vector<const uint8_t*> at(pixels);
  for (auto& place : at) place = to + up_to(pixels - 1) * step;
  std::vector<ptrdiff_t> offsets(taps);
  for (auto& offset : offsets) offset = static_cast<ptrdiff_t>(up_to(1) * step);
  std::vector<int32_t> sums(pixels * PLANES_SUMS, 5), expected(pixels * PLANES_SUMS, 5);
  const bool add = generator() % 2;
  const bool two = cut.blocks_at_once() == 2 && generator() % 2;
  const uint8_t *second = two ? index_memory[taps * tables].bytes : nullptr, *plain_second = two ? other.data() : nullptr;
  loops.sum(cut, at.data(), pixels, offsets.data(), taps, tables, index, second, add, sums.data());
  portable::sum(cut, at.data(), pixels, offsets.data(), taps, tables, plain.data(), plain_second, add, expected.data());
  same(tier.name, "sum", sums, expected, 0);

  std::vector<int32_t> plus(PLANES_BLOCK);
  for (int32_t& value : plus) value = static_cast<int32_t>(up_to(131072));
  std::vector<int64_t> total(pixels);
  for (int64_t& value : total) value = (static_cast<int64_t>(generator()) - INT64_C(2147483648)) * static_cast<int64_t>(1 + up_to(63));
  std::vector<Unit> units(pixels, unit);
  for (Unit& one : units) one.zero_point = static_cast<int32_t>(generator() % 2 * (generator() % (1u << cut.value_bits())));
  std::vector<float> given(pixels * PLANES_BLOCK), combined(given.size());
  const size_t unit_step = up_to(1);
  if (cut.halves() == 1) {
    for (int64_t& value : total) value >>= 8;
  }
  loops.combine(cut, sums.data(), pixels, plus.data(), total.data(), units.data(), unit_step, given.data());
  portable::combine(cut, sums.data(), pixels, plus.data(), total.data(), units.data(), unit_step, combined.data());
  same(tier.name, "combine", given, combined, 0);
}

void epilogues(const Tier& tier) {
  static constexpr float SPECIAL[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e30f, -1e30f, 1e-30f, -9.5f, 20.0f};
  const size_t count = odd(200);
  const bool add = generator() % 2;
  const Act act = static_cast<Act>(generator() % ACTS);
  auto y = floats(count + 1);
  const auto residual = floats(count);
  for (float& value : y) value = generator() % 4 ? 3 * value : SPECIAL[generator() % 10];
  const std::vector<float> before = y;
  tier.epilogue(y.data(), add ? residual.data() : nullptr, count, act);
  const bool kept = std::memcmp(&y[count], &before[count], sizeof(float)) == 0;
  for (size_t i = 0; i < count; ++i) {
    const float sum = add ? before[i] + residual[i] : before[i];
    double expected = sum;
    if (act == Act::RELU && sum < 0) expected = 0;
    if (act == Act::GELU) expected = sum == -INFINITY ? 0 : sum * std::erfc(-sum / std::sqrt(2.0)) / 2;
    if (act == Act::SILU) expected = sum == -INFINITY ? 0 : sum / (1 + std::exp(-static_cast<double>(sum)));
    const float line = sum * (1.0f / 6.0f);
    const double gate = std::fmin(1, std::fmax(0, line + 0.5f));
    if (act == Act::HARD_SIGMOID) expected = gate;
    if (act == Act::HARD_SWISH) expected = sum * static_cast<float>(gate);  // NaN of minus infinity
    const bool rounds = act == Act::GELU || act == Act::SILU;
    const double off = rounds ? (act == Act::GELU ? 2e-7 : 3e-7) * std::fmax(1, std::fabs(sum)) : 0;
    const bool right = std::isnan(sum) || std::isnan(expected) ? std::isnan(y[i]) : y[i] == expected || std::fabs(y[i] - expected) <= off;
    if (kept && right) continue;
    std::printf("%s epilogue: %.9g of %.9g at %zu of %zu, not %.9g\n", tier.name, static_cast<double>(y[i]),
                static_cast<double>(sum), i, count, expected);
    ++failures;
    return;
  }
}

}  // namespace

int main() {
  static const Tier* const TIERS[] = {
      &SCALAR,
#if defined(BINARIZE_X86)
      &AVX2,   &AVX512,
#endif
#if defined(BINARIZE_AMX)
      &AMX,
#endif
#if defined(BINARIZE_ARM64)
      &NEON,
#endif
  };
  int tried = 0;
  for (const Tier* tier : TIERS) {
    if (!tier->supported()) {
      std::printf("%s: not on this CPU\n", tier->name);
      continue;
    }
    ++tried;
    for (int i = 0; i < 300; ++i) {
      packing(*tier);
      popcounts(*tier);
      finishing(*tier);
      lookups(*tier);
      stems(*tier);
      epilogues(*tier);
      if (tier->int8 != nullptr) int8(*tier);
      if (tier->nibbles != nullptr) nibbles(*tier);
      if (tier->planes != nullptr) planes(*tier);
    }
    std::printf("%s: done\n", tier->name);
    std::fflush(stdout);
  }
  std::printf("%d passed, %d failed\n", tried * 300 * 6 - failures, failures);
  return failures == 0 ? 0 : 1;
}
