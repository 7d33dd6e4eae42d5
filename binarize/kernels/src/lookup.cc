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
constexpr size_t TABLES = 28 << 10;  // bytes of tables that the first-level cache holds beside all else
constexpr size_t CHUNK = 48;         // output pixels whose sums are transposed together: whole tiles, whole vectors

class Lookup : public Product {
 public:
  Lookup(const Layer& layer, const Tier& tier)
      : tier_(tier), geometry_(layer.geometry), scale_(layer.scale), bias_(layer.bias) {
    const Geometry& g = geometry_;
    entries_ = size_t{1} << tier.bits;
    tables_ = static_cast<size_t>(up(g.channels_per_group(), tier.bits));
    words_ = static_cast<size_t>(up(static_cast<int64_t>(tables_), tier.fields));
    // a layer of few outputs has one block of no more than it needs
    wide_ = static_cast<size_t>(std::min<int64_t>(tier.outputs, up(g.outputs_per_group(), LANES) * LANES));
    blocks_ = static_cast<size_t>(up(g.outputs_per_group(), static_cast<int64_t>(wide_)));
    const size_t at_a_time = TABLES / (static_cast<size_t>(tier.pixels) * entries_ * sizeof(float)) / tier.fields;
    piece_ = one_tap() ? std::min(words_, at_a_time) : words_;
    pieces_ = (words_ + piece_ - 1) / piece_;
    index_.assign(static_cast<size_t>(g.group) * pieces_ * blocks_ * piece_ * row() + 1, 0);  // bytes are read past the end
    const size_t group_outputs = static_cast<size_t>(g.outputs_per_group()), wide = wide_;
    const size_t taps = static_cast<size_t>(g.taps()), channels = static_cast<size_t>(g.channels_per_group());
    std::vector<uint8_t> signs(wide * channels * taps);
    for (size_t number = 0; number < static_cast<size_t>(g.group) * blocks_; ++number) {
      const size_t first = number % blocks_ * wide, here = std::min(wide, group_outputs - first);
      for (size_t o = 0; o < here; ++o) {
        layer.signs(static_cast<int64_t>(number / blocks_ * group_outputs + first + o), signs.data() + o * channels * taps);
      }
      fill(number / blocks_, number % blocks_, signs.data(), here, channels, taps);
    }
  }

  void convolve(const Activations& activations, int64_t count, int64_t height, int64_t width, const Epilogue& epilogue,
                const Parallel& parallel) const override {
    const float* x = activations.values;
    float* y = epilogue.y;
    const Geometry& g = geometry_;
    const int64_t in[2] = {height, width}, out[2] = {g.extent(0, height), g.extent(1, width)};
    if (one_tap()) {
      return convolve_one_tap(x, count, in, out, y, epilogue, parallel);
    }
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
    if (strips * images == 1) return one_strip(frame, x, y, epilogue, parallel);
    parallel(images * strips, [&](size_t task) {
      Frame own = frame;
      own.image(g, task / strips, x, y);
      own.first = static_cast<int64_t>(task % strips) * frame.strip;
      own.last = std::min(out[0], own.first + frame.strip);
      Scratch memory(static_cast<size_t>(rows_of(own.last - own.first)) * row);
      own.tables = memory.as<float>();
      for (int64_t r = 0; r < rows_of(own.last - own.first); ++r) build_row(own, r);
      for (size_t block = 0; block < blocks_; ++block) outputs(own, block, 0, own.pixels(), epilogue);
    });
  }

  void multiply(const Activations& activations, int64_t count, const Epilogue& epilogue, const Parallel& parallel) const override {
    const float* x = activations.values;
    float* y = epilogue.y;
    const size_t in = static_cast<size_t>(geometry_.channels), out = static_cast<size_t>(geometry_.outputs);
    const size_t rows = static_cast<size_t>(count), wide = wide_, piece = piece_size();
    const size_t pieces = (rows + piece - 1) / piece;
    // few rows are too little for threads: they share the outputs, and each makes the tables again
    const size_t shares = pieces == 1 ? std::max<size_t>(1, blocks_ / 16) : 1;
    parallel(pieces * shares, [&](size_t task) {
      const size_t share = task % shares, from = blocks_ * share / shares, to = blocks_ * (share + 1) / shares;
      const size_t first = cut(rows, task / shares, pieces), high = cut(rows, task / shares + 1, pieces) - first;
      Scratch memory((to - from) * high * wide * sizeof(float));
      float* sums = memory.as<float>();
      const Pixels pixels{x + first * in, static_cast<ptrdiff_t>(in), 1};
      sum_one_tap(pixels, high, 0, from, to, sums);
      for (size_t block = from; block < to; ++block) {
        const size_t o = block * wide, here = std::min(wide, out - o);
        for (size_t m = 0; m < high; ++m) {
          const float* sum = sums + ((block - from) * high + m) * wide;
          float* row = y + (first + m) * out + o;
          tier_.finish_sums(sum, scale_.data() + o, bias_.data() + o, here, row);
          epilogue(tier_, row, here);
        }
      }
    });
  }

 private:
  // Whether each output pixel depends on a single input pixel: 1 x 1, without padding.
  bool one_tap() const {
    const Geometry& g = geometry_;
    return g.taps() == 1 && g.begin[0] + g.begin[1] + g.end[0] + g.end[1] == 0;
  }

  // Words of signs of one table of each tap, for all outputs of a block.
  size_t row() const { return static_cast<size_t>(geometry_.taps()) * wide_; }

  // Where the signs of some tables for a block of outputs begin in `index_`, `piece_` words of them.
  size_t place(size_t group, size_t piece, size_t block) const {
    return ((group * pieces_ + piece) * blocks_ + block) * piece_ * row();
  }
  const uint32_t* index(size_t group, size_t piece, size_t block) const {
    return index_.data() + place(group, piece, block);
  }

  // The index of a block of outputs from their signs [output][channel][tap].
  void fill(size_t group, size_t block, const uint8_t* signs, size_t outputs, size_t channels, size_t taps) {
    const size_t wide = wide_, bits = static_cast<size_t>(tier_.bits), fields = static_cast<size_t>(tier_.fields);
    for (size_t table = 0; table < tables_; ++table) {
      const size_t from = table * bits, to = std::min(channels, from + bits), number = table / fields;
      const int lowest = field_shift(static_cast<int>(table % fields), tier_.fields, tier_.field_stride);
      uint32_t* words = index_.data() + place(group, number / piece_, block) + number % piece_ * row();
      for (size_t t = 0; t < taps; ++t) {
        for (size_t o = 0; o < outputs; ++o) {
          uint32_t entry = 0;
          for (size_t c = from; c < to; ++c) entry |= static_cast<uint32_t>(signs[(o * channels + c) * taps + t]) << (c - from);
          words[t * wide + o] |= entry << lowest;
        }
      }
    }
  }

  // Where the values of pixels lie: channel c of pixel p at x[p·pixel + c·channel].
  struct Pixels {
    const float* x;
    ptrdiff_t pixel, channel;
  };

  // Pixels whose sums, for all outputs, stay in the second-level cache; whole tiles.
  size_t piece_size() const {
    const size_t tile = static_cast<size_t>(tier_.pixels), bytes = blocks_ * wide_ * sizeof(float);
    return std::clamp<size_t>((256 << 10) / (bytes * tile), 1, CHUNK / tile) * tile;
  }

  // Where part number `part` of `parts` begins: after whole tiles.
  size_t cut(size_t count, size_t part, size_t parts) const {
    const size_t tile = static_cast<size_t>(tier_.pixels), tiles = (count + tile - 1) / tile;
    return std::min(count, tiles * part / parts * tile);
  }

  // Sums of a layer with a single tap: [block][pixel][output]. Pixels share no tables, so those of a tile are made a few
  // at a time in the first-level cache, and used by all outputs there.
  void sum_one_tap(const Pixels& pixels, size_t count, size_t group, size_t from, size_t to, float* sums) const {
    static constexpr ptrdiff_t NO_TAPS[1] = {0};
    alignas(64) float tables[TABLES / sizeof(float)];
    const size_t tile = static_cast<size_t>(tier_.pixels), wide = wide_;
    const size_t channels = static_cast<size_t>(geometry_.channels_per_group());
    const size_t some = piece_ * static_cast<size_t>(tier_.fields), step = some * entries_;
    const size_t parts = (count + tile - 1) / tile;
    for (size_t part = 0; part < parts; ++part) {
      const size_t first = part * tile, high = std::min(tile, count - first);
      const float* at[MAX_PIXELS];
      for (size_t p = 0; p < high; ++p) at[p] = tables + p * step;
      for (size_t piece = 0; piece < pieces_; ++piece) {
        const size_t g = piece * some, here = std::min(some, tables_ - g), done = g * static_cast<size_t>(tier_.bits);
        const float* x = pixels.x + static_cast<ptrdiff_t>(first) * pixels.pixel + static_cast<ptrdiff_t>(done) * pixels.channel;
        tier_.build(x, pixels.pixel, high, pixels.channel, channels - done, here, tables, step);
        for (size_t block = from; block < to; ++block) {
          tier_.lookup(at, static_cast<int>(high), NO_TAPS, 1, here, index(group, piece, block), static_cast<int>(wide_), piece > 0,
                       sums + ((block - from) * count + first) * wide);
        }
      }
    }
  }

  // Outputs of a convolution by 1 x 1 without padding, a run of neighbouring outputs at a time.
  void convolve_one_tap(const float* x, int64_t count, const int64_t* in, const int64_t* out, float* y,
                        const Epilogue& epilogue, const Parallel& parallel) const {
    const Geometry& g = geometry_;
    const bool whole = g.stride[0] == 1 && g.stride[1] == 1;  // rows follow each other without a gap
    const size_t run = static_cast<size_t>(whole ? out[0] * out[1] : out[1]), runs = whole ? 1 : static_cast<size_t>(out[0]);
    const size_t piece = piece_size(), pieces = (run + piece - 1) / piece, groups = static_cast<size_t>(g.group);
    const size_t wide = wide_, plane = static_cast<size_t>(out[0] * out[1]);
    const size_t outputs = static_cast<size_t>(g.outputs_per_group());
    parallel(static_cast<size_t>(count) * groups * runs * pieces, [&](size_t task) {
      const size_t part = task % pieces, row = task / pieces % runs, image = task / pieces / runs;
      const size_t first = cut(run, part, pieces), high = cut(run, part + 1, pieces) - first, group = image % groups;
      Scratch memory(blocks_ * high * wide * sizeof(float));
      float* sums = memory.as<float>();
      const float* from = x + static_cast<int64_t>(image) * g.channels_per_group() * in[0] * in[1] +
                          static_cast<int64_t>(row) * g.stride[0] * in[1] + static_cast<int64_t>(first) * g.stride[1];
      epilogue.prefetch_residual(y + image * outputs * plane + row * run + first, outputs, plane, high);
      sum_one_tap({from, static_cast<ptrdiff_t>(g.stride[1]), static_cast<ptrdiff_t>(in[0] * in[1])}, high, group, 0, blocks_,
              sums);
      for (size_t block = 0; block < blocks_; ++block) {
        const size_t o = block * wide, channel = group * outputs + o, here = std::min(wide, outputs - o);
        float* piece = y + (image * outputs + o) * plane + row * run + first;
        tier_.transpose(sums + block * high * wide, wide, high, here, scale_.data() + channel, bias_.data() + channel,
                   epilogue.add_relu(piece), piece, plane);
        for (size_t i = 0; i < here; ++i) epilogue.remainder(tier_, piece + i * plane, high);
      }
    });
  }

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

  void one_strip(Frame& frame, const float* x, float* y, const Epilogue& epilogue, const Parallel& parallel) const {
    frame.image(geometry_, 0, x, y);
    frame.last = frame.out[0];
    const size_t rows = static_cast<size_t>(rows_of(frame.last));
    Scratch memory(rows * frame.width * frame.pixel * sizeof(float));
    frame.tables = memory.as<float>();
    parallel(rows, [&](size_t row) { build_row(frame, static_cast<int64_t>(row)); });
    const size_t pixels = frame.pixels(), chunks = (pixels + CHUNK - 1) / CHUNK;
    parallel(blocks_ * chunks, [&](size_t task) {
      const size_t chunk = task % chunks;
      outputs(frame, task / chunks, pixels * chunk / chunks, pixels * (chunk + 1) / chunks, epilogue);
    });
  }

  // The tables of a row of the frame's strip: row 0 is the first that it needs. Padding has tables of zeros.
  void build_row(const Frame& frame, int64_t r) const {
    const Geometry& g = geometry_;
    float* row = frame.tables + static_cast<size_t>(r) * frame.width * frame.pixel;
    if (g.kernel[0] == 1 && r % g.stride[0] != 0) return;  // between the rows that are used
    const int64_t y = frame.first * g.stride[0] + r - g.begin[0];
    const int64_t width = static_cast<int64_t>(frame.width);
    // a single tap uses only every stride-th column
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
    tier_.build(pixels, step, used, plane, static_cast<size_t>(g.channels_per_group()), tables_,
                row + static_cast<size_t>(from) * frame.pixel, static_cast<size_t>(step) * frame.pixel);
  }

  static void zero(float* row, int64_t from, int64_t to, size_t pixel) {
    if (to > from) std::memset(row + static_cast<size_t>(from) * pixel, 0, static_cast<size_t>(to - from) * pixel * sizeof(float));
  }

  // The outputs of a block at the strip's pixels `from` to `to`.
  void outputs(const Frame& frame, size_t block, size_t from, size_t to, const Epilogue& epilogue) const {
    const Geometry& g = geometry_;
    const size_t wide = wide_, tile = static_cast<size_t>(tier_.pixels);
    const size_t plane = static_cast<size_t>(frame.out[0] * frame.out[1]);
    const size_t o = block * wide, here = std::min(wide, static_cast<size_t>(g.outputs_per_group()) - o);
    const size_t channel = frame.group * static_cast<size_t>(g.outputs_per_group()) + o;
    const uint32_t* signs = index(frame.group, 0, block);
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
        tier_.lookup(at, static_cast<int>(some), frame.taps.data(), frame.taps.size(), tables_, signs, static_cast<int>(wide_), false, sums + i * wide);
      }
      float* y = frame.y + o * plane + static_cast<size_t>(frame.first) * columns + chunk;
      tier_.transpose(sums, wide, count, here, scale_.data() + channel, bias_.data() + channel, epilogue.add_relu(y), y, plane);
      for (size_t i = 0; i < here; ++i) epilogue.remainder(tier_, y + i * plane, count);
    }
  }

  const Tier& tier_;
  const Geometry geometry_;
  const std::vector<float> scale_, bias_;
  size_t entries_ = 0, tables_ = 0, words_ = 0, wide_ = 0, blocks_ = 0, piece_ = 0, pieces_ = 0;
  std::vector<uint32_t> index_;  // [group][piece of the channels][block of outputs][word of a piece][tap][output]
};

}  // namespace

std::unique_ptr<Product> lookup_product(const Layer& layer, const Tier& tier) {
  return std::make_unique<Lookup>(layer, tier);
}

}  // namespace binarize
