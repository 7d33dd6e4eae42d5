// Float inputs: W1A32. Products with ±s are sums of ±x, and there are few of those.
//
// Five neighbouring channels of a pixel have 32 signed sums, ±x0 ±x1 ±x2 ±x3 ±x4 (a table; four channels and 16 sums
// on other tiers). The signs of an output's weights for these channels are 5 bits: the number of its sum in the table.
// So one look-up and one addition stand for five multiply-adds, and tables that are in registers serve 16 outputs at
// once. A table is made once and used by every tap of every output. All sums are float32 additions of exact ±x: no
// rounding but that of the sums.
//
// Tables take several times the memory of their pixels, so images are cut into strips of rows whose tables stay in
// the cache; where one strip is all, threads share its rows, then its outputs.
#include <algorithm>
#include <cstring>

#include "error.h"
#include "product.h"
#include "scratch.h"

namespace binarize {

namespace {

constexpr size_t STRIP = 800 << 10;  // bytes of tables: beside the weights, in a second-level cache of 1 MB
constexpr size_t CHUNK = 48;         // output pixels whose sums wait for their turn round: whole tiles, whole vectors

class Lookup : public Product {
 public:
  Lookup(const Layer& layer, const Tier& tier)
      : tier_(tier), geometry_(layer.geometry), scale_(layer.scale), bias_(layer.bias) {
    const Geometry& g = geometry_;
    entries_ = size_t{1} << tier.bits;
    tables_ = static_cast<size_t>(up(g.channels_per_group(), tier.bits));
    words_ = static_cast<size_t>(up(static_cast<int64_t>(tables_), tier.fields));
    blocks_ = static_cast<size_t>(up(g.outputs_per_group(), tier_.outputs));
    block_ = static_cast<size_t>(g.taps()) * words_ * static_cast<size_t>(tier_.outputs);
    index_.assign(static_cast<size_t>(g.group) * blocks_ * block_ + 1, 0);  // read up to 3 bytes past the end
    const size_t wide = static_cast<size_t>(tier_.outputs), bits = static_cast<size_t>(tier.bits);
    const size_t fields = static_cast<size_t>(tier.fields), apart = static_cast<size_t>(tier.apart);
    for (int64_t o = 0; o < g.outputs; ++o) {
      const size_t group = static_cast<size_t>(o / g.outputs_per_group());
      const size_t local = static_cast<size_t>(o % g.outputs_per_group());
      uint32_t* block = index_.data() + (group * blocks_ + local / wide) * block_ + local % wide;
      for (int64_t t = 0; t < g.taps(); ++t) {
        for (int64_t c = 0; c < g.channels_per_group(); ++c) {
          const size_t table = static_cast<size_t>(c) / bits, bit = static_cast<size_t>(c) % bits;
          block[(table / fields * static_cast<size_t>(g.taps()) + static_cast<size_t>(t)) * wide] |=
              static_cast<uint32_t>(layer.positive(o, c, t)) << (table % fields * apart + bit);
        }
      }
    }
  }

  void convolve(const float* x, int64_t count, int64_t height, int64_t width, float* y,
                const Parallel& parallel) const override {
    const Geometry& g = geometry_;
    const int64_t out[2] = {g.extent(0, height), g.extent(1, width)};
    Frame frame;
    frame.in[0] = height;
    frame.in[1] = width;
    frame.out[0] = out[0];
    frame.out[1] = out[1];
    frame.width = static_cast<size_t>((out[1] - 1) * g.stride[1] + (g.kernel[1] - 1) * g.dilation[1] + 1);
    frame.pixel = tables_ * entries_;
    const double bytes = 4.0 * frame.width * frame.pixel * static_cast<double>(rows_of(1));
    require(bytes < LARGEST, "the image with its padding is too large");
    for (int64_t t = 0; t < g.taps(); ++t) {
      const int64_t dy = t / g.kernel[1] * g.dilation[0], dx = t % g.kernel[1] * g.dilation[1];
      frame.taps.push_back((dy * static_cast<int64_t>(frame.width) + dx) * static_cast<int64_t>(frame.pixel));
    }
    const size_t row = frame.width * frame.pixel * sizeof(float);
    const int64_t fits = std::max<int64_t>(rows_of(1), static_cast<int64_t>(STRIP / row));
    frame.strip = std::clamp<int64_t>((fits - rows_of(0)) / g.stride[0] + 1, 1, out[0]);
    const size_t strips = static_cast<size_t>(up(out[0], frame.strip));
    const size_t images = static_cast<size_t>(count * g.group);
    if (strips * images == 1) return one_strip(frame, x, y, parallel);
    parallel(images * strips, [&](size_t task) {
      Frame own = frame;
      own.image(g, task / strips, x, y);
      own.first = static_cast<int64_t>(task % strips) * frame.strip;
      own.last = std::min(out[0], own.first + frame.strip);
      Scratch memory(static_cast<size_t>(rows_of(own.last - own.first)) * row);
      own.tables = memory.as<float>();
      for (int64_t r = 0; r < rows_of(own.last - own.first); ++r) build_row(own, r);
      for (size_t block = 0; block < blocks_; ++block) outputs(own, block, 0, own.pixels());
    });
  }

  void multiply(const float* x, int64_t count, float* y, const Parallel& parallel) const override {
    const size_t in = static_cast<size_t>(geometry_.channels), out = static_cast<size_t>(geometry_.outputs);
    const size_t step = tables_ * entries_, rows = static_cast<size_t>(count);
    const size_t strip = std::clamp<size_t>(STRIP / (step * sizeof(float)), 1, rows);
    const size_t strips = (rows + strip - 1) / strip;
    const auto build = [&](const float* from, size_t high, float* tables) {
      for (size_t g = 0; g < tables_; ++g) {
        const float* values[8];
        gather(from, 1, g, values);
        tier_.build(values, static_cast<ptrdiff_t>(in), high, tables + g * entries_, step);
      }
    };
    const auto rows_of_block = [&](const float* tables, size_t first, size_t high, size_t block) {
      static constexpr ptrdiff_t NO_TAPS[1] = {0};
      const size_t wide = static_cast<size_t>(tier_.outputs), tile = static_cast<size_t>(tier_.pixels);
      alignas(64) float sums[MAX_PIXELS * MAX_OUTPUTS];
      const size_t o = block * wide, here = std::min(wide, out - o);
      const size_t parts = (high + tile - 1) / tile;
      for (size_t part = 0; part < parts; ++part) {
        const size_t m = high * part / parts, some = high * (part + 1) / parts - m;
        const float* at[MAX_PIXELS];
        for (size_t i = 0; i < some; ++i) at[i] = tables + (m + i) * step;
        tier_.lookup(at, static_cast<int>(some), NO_TAPS, 1, tables_, index_.data() + block * block_, sums);
        for (size_t i = 0; i < some; ++i) {
          float* row = y + (first + m + i) * out + o;
          for (size_t n = 0; n < here; ++n) row[n] = sums[i * wide + n] * scale_[o + n] + bias_[o + n];
        }
      }
    };
    if (strips == 1) {
      Scratch memory(rows * step * sizeof(float));
      float* tables = memory.as<float>();
      build(x, rows, tables);
      parallel(blocks_, [&](size_t block) { rows_of_block(tables, 0, rows, block); });
      return;
    }
    parallel(strips, [&](size_t task) {
      const size_t first = task * strip, high = std::min(strip, rows - first);
      Scratch memory(high * step * sizeof(float));
      float* tables = memory.as<float>();
      build(x + first * in, high, tables);
      for (size_t block = 0; block < blocks_; ++block) rows_of_block(tables, first, high, block);
    });
  }

 private:
  static constexpr double LARGEST = 8e9;  // bytes of the tables of one row of outputs

  // An image of one group, and the strip of its output rows, first to last, whose tables are at `tables`.
  struct Frame {
    int64_t in[2], out[2], strip = 0, first = 0, last = 0;
    size_t width = 0, pixel = 0;  // tables: pixels in a row, floats in a pixel
    std::vector<ptrdiff_t> taps;
    const float* x = nullptr;  // of the group
    float* y = nullptr;
    size_t group = 0;
    float* tables = nullptr;

    void image(const Geometry& g, size_t number, const float* all, float* outputs) {
      const int64_t at = static_cast<int64_t>(number);
      group = static_cast<size_t>(at % g.group);
      x = all + at * g.channels_per_group() * in[0] * in[1];
      y = outputs + at * g.outputs_per_group() * out[0] * out[1];
    }
    size_t pixels() const { return static_cast<size_t>((last - first) * out[1]); }
  };

  // Input rows, padding included, that so many output rows need.
  int64_t rows_of(int64_t outputs) const {
    const Geometry& g = geometry_;
    return (outputs - 1) * g.stride[0] + (g.kernel[0] - 1) * g.dilation[0] + 1;
  }

  void one_strip(Frame& frame, const float* x, float* y, const Parallel& parallel) const {
    frame.image(geometry_, 0, x, y);
    frame.last = frame.out[0];
    const size_t rows = static_cast<size_t>(rows_of(frame.last));
    Scratch memory(rows * frame.width * frame.pixel * sizeof(float));
    frame.tables = memory.as<float>();
    parallel(rows, [&](size_t row) { build_row(frame, static_cast<int64_t>(row)); });
    const size_t pixels = frame.pixels(), chunks = (pixels + CHUNK - 1) / CHUNK;
    parallel(blocks_ * chunks, [&](size_t task) {
      const size_t chunk = task % chunks;
      outputs(frame, task / chunks, pixels * chunk / chunks, pixels * (chunk + 1) / chunks);
    });
  }

  // Where the values of a table lie: channels g·bits and on, `step` apart; nullptr past the last channel.
  void gather(const float* x, int64_t step, size_t g, const float** values) const {
    for (int b = 0; b < tier_.bits; ++b) {
      const int64_t c = static_cast<int64_t>(g) * tier_.bits + b;
      values[b] = c < geometry_.channels_per_group() ? x + c * step : nullptr;
    }
  }

  // The tables of a row of the frame's strip: row 0 is the first that it needs. Padding has tables of zeros.
  void build_row(const Frame& frame, int64_t r) const {
    const Geometry& g = geometry_;
    float* row = frame.tables + static_cast<size_t>(r) * frame.width * frame.pixel;
    if (g.kernel[0] == 1 && r % g.stride[0] != 0) return;  // between the rows that are used
    const int64_t y = frame.first * g.stride[0] + r - g.begin[0];
    const int64_t width = static_cast<int64_t>(frame.width);
    // a single tap uses every stride-th column alone
    const int64_t step = g.kernel[1] == 1 ? g.stride[1] : 1;
    int64_t from = std::min(g.begin[1], width), to = std::clamp<int64_t>(frame.in[1] + g.begin[1], 0, width);
    from = up(from, step) * step;
    if (y < 0 || y >= frame.in[0] || from >= to) from = to = width;
    const size_t used = static_cast<size_t>(up(to - from, step));
    zero(row, 0, std::min(from, width), frame.pixel);
    zero(row, to, width, frame.pixel);
    if (used == 0) return;
    const int64_t plane = frame.in[0] * frame.in[1];
    const float* pixels = frame.x + y * frame.in[1] + from - g.begin[1];
    for (size_t table = 0; table < tables_; ++table) {
      const float* values[8];
      gather(pixels, plane, table, values);
      tier_.build(values, step, used, row + static_cast<size_t>(from) * frame.pixel + table * entries_,
                  static_cast<size_t>(step) * frame.pixel);
    }
  }

  static void zero(float* row, int64_t from, int64_t to, size_t pixel) {
    if (to > from) std::memset(row + static_cast<size_t>(from) * pixel, 0, static_cast<size_t>(to - from) * pixel * sizeof(float));
  }

  // The outputs of a block at the strip's pixels `from` to `to`.
  void outputs(const Frame& frame, size_t block, size_t from, size_t to) const {
    const Geometry& g = geometry_;
    const size_t wide = static_cast<size_t>(tier_.outputs), tile = static_cast<size_t>(tier_.pixels);
    const size_t plane = static_cast<size_t>(frame.out[0] * frame.out[1]);
    const size_t o = block * wide, here = std::min(wide, static_cast<size_t>(g.outputs_per_group()) - o);
    const size_t channel = frame.group * static_cast<size_t>(g.outputs_per_group()) + o;
    const uint32_t* index = index_.data() + (frame.group * blocks_ + block) * block_;
    const size_t columns = static_cast<size_t>(frame.out[1]);
    alignas(64) float sums[CHUNK * MAX_OUTPUTS];
    // shared out evenly: a last chunk or tile of one pixel would cost as much as a whole one
    const size_t chunks = (to - from + CHUNK - 1) / CHUNK;
    for (size_t number = 0; number < chunks; ++number) {
      const size_t chunk = from + (to - from) * number / chunks;
      const size_t count = from + (to - from) * (number + 1) / chunks - chunk;
      const size_t parts = (count + tile - 1) / tile;
      for (size_t part = 0; part < parts; ++part) {
        const size_t i = count * part / parts, some = count * (part + 1) / parts - i;
        const float* at[MAX_PIXELS];
        for (size_t p = 0; p < some; ++p) {
          const size_t pixel = chunk + i + p, row = pixel / columns, column = pixel % columns;
          at[p] = frame.tables + (row * static_cast<size_t>(g.stride[0]) * frame.width +
                                  column * static_cast<size_t>(g.stride[1])) * frame.pixel;
        }
        tier_.lookup(at, static_cast<int>(some), frame.taps.data(), frame.taps.size(), tables_, index, sums + i * wide);
      }
      float* y = frame.y + o * plane + static_cast<size_t>(frame.first) * columns + chunk;
      tier_.turn(sums, wide, count, here, scale_.data() + channel, bias_.data() + channel, y, plane);
    }
  }

  const Tier& tier_;
  const Geometry geometry_;
  const std::vector<float> scale_, bias_;
  size_t entries_ = 0, tables_ = 0, words_ = 0, blocks_ = 0, block_ = 0;
  std::vector<uint32_t> index_;  // [group][block of outputs][word][tap][output]
};

}  // namespace

std::unique_ptr<Product> lookup_product(const Layer& layer, const Tier& tier) {
  return std::make_unique<Lookup>(layer, tier);
}

}  // namespace binarize
