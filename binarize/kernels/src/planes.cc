// Float inputs (W1A32) as integers, whose sums are looked up in tables of bytes.
//
// The values of an image (of one of its groups), or of a row of a linear layer, become integers of 22 bits,
//
//     x = unit·(q - zero_point)    to half a unit, 1.2e-7 of the range of the values and 0: float32's own rounding
//
// Four neighbouring channels of a pixel have 16 sums of some of them, of 24 bits. They are cut into four planes of 6 bits:
// four tables of 16 bytes. An instruction finds, by the signs of 32 outputs' weights, the sums of their positive weights'
// channels in such a table; four of these bytes are added up before anything is widened. From the sum A of the channels with
// positive weights, the number P of such weights and the sum T of all q - zero_point follow the products with ±1:
//
//     sum w·(q - zero_point) = 2·A - 2·zero_point·P - T
//
// All of that is in integers, so neither the order nor threads nor the other images of a batch change a result. An image
// without such a unit (with NaN or infinity in it, or only values below 1e-30) is looked up instead (lookup.cc). On request
// integers have fewer bits: 16 (BINARIZE_DIGITS=2), 10 or 8 (BINARIZE_ACTIVATION_BITS).
//
// Tables take 16 times the memory of their values. An image's rows pass through a ring of them that stays near the cache; where
// a pixel has one tap, those of some pixels are made at a time.
#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>

#include "error.h"
#include "product.h"
#include "scratch.h"
#include "slices.h"

namespace binarize {

namespace {

constexpr size_t VALUES = 4;                // in a table
constexpr size_t RING = 1 << 20;            // bytes of the tables of some rows
constexpr size_t TABLES = 192 << 10;        // bytes of the tables of some pixels with one tap each
constexpr size_t INDEX = 5 << 10;           // bytes of the index that a chunk of channels has for 32 outputs
constexpr size_t PIXELS = 48;               // whose outputs are transposed together
constexpr size_t VECTOR = 8;                // of them
constexpr size_t AHEAD = 3;                 // tables for which values are prefetched
constexpr size_t FEW = 40000;               // nanoseconds of work that no other thread is woken for
constexpr size_t MANY = 4;                  // images
constexpr size_t TASKS = 16;                // enough to keep some threads busy to the end
constexpr int64_t EXACT = 1 << 17;          // products whose sums fit 32 bits
constexpr double LARGEST = 8e9;             // bytes of the tables of the rows that a row of outputs needs

// Rows of pixels with the padding around them, and the outputs' places in them.
struct Image {
  int64_t in[2], out[2];
  size_t width = 0;              // pixels of a row, those of the padding included
  size_t ring = 0;               // rows of which there are tables
  std::vector<int64_t> row, column;  // of each tap, how far it is from the output's first
};

Cut cut_of(const Layer& layer) {
  if (layer.activation_bits == 8) return {2, 5};
  if (layer.activation_bits == 10) return {2, 6};
  return layer.two_slices ? Cut{3, 6} : Cut{4, 6};
}

class PlanesProduct : public Product {
 public:
  PlanesProduct(const Layer& layer, const Tier& tier)
      : tier_(tier), loops_(*tier.planes), cut_(cut_of(layer)), layer_(layer), scale_(layer.scale), bias_(layer.bias) {
    const Geometry& g = geometry();
    const size_t taps = static_cast<size_t>(g.taps()), at_once = cut_.tables_at_once();
    tables_ = static_cast<size_t>(up(g.channels_per_group(), static_cast<int64_t>(VALUES * at_once))) * at_once;
    blocks_ = static_cast<size_t>(up(g.outputs_per_group(), PLANES_BLOCK));
    const size_t most = std::max(at_once, INDEX / PLANES_BLOCK / taps / at_once * at_once);
    const size_t chunks = (tables_ + most - 1) / most, even = (tables_ + chunks - 1) / chunks;
    chunk_ = (even + at_once - 1) / at_once * at_once;
    index_.reset(new (std::align_val_t{64}) uint8_t[static_cast<size_t>(g.group) * blocks_ * index_size()]());
    plus_.assign(static_cast<size_t>(g.group) * blocks_ * PLANES_BLOCK, 0);
    std::vector<uint8_t> signs(static_cast<size_t>(g.channels_per_group()) * taps);
    for (int64_t o = 0; o < g.outputs; ++o) {
      layer.signs(o, signs.data());
      fill(static_cast<size_t>(o), signs);
    }
  }

  void convolve(const Activations& activations, int64_t count, int64_t height, int64_t width, const Epilogue& epilogue,
                const Parallel& parallel) const override {
    const Geometry& g = geometry();
    const size_t groups = static_cast<size_t>(g.group), channels = static_cast<size_t>(g.channels_per_group());
    Image image;
    for (int axis = 0; axis < 2; ++axis) {
      image.in[axis] = axis == 0 ? height : width;
      image.out[axis] = g.extent(axis, image.in[axis]);
    }
    const size_t size = channels * static_cast<size_t>(height * width);
    const bool one_tap = g.taps() == 1 && g.begin[0] + g.begin[1] + g.end[0] + g.end[1] == 0;
    if (!one_tap) prepare(image);
    std::vector<Unit> units(static_cast<size_t>(count) * groups);
    const auto each = [&](size_t n, const Parallel& inside) {
      const float* x = activations.values + n * size;
      units[n] = find_unit(x, size, inside);
      if (!is_finite_range(units[n])) return;
      if (one_tap) {
        convolve_one_tap(image, x, n, units[n], epilogue, inside);
      } else {
        convolve_one(image, x, n, units[n], epilogue, inside);
      }
    };
    if (units.size() < MANY) {
      for (size_t n = 0; n < units.size(); ++n) each(n, parallel);
    } else {  // whole images are shared out
      const Parallel serial = [](size_t total, const std::function<void(size_t)>& task) {
        for (size_t i = 0; i < total; ++i) task(i);
      };
      parallel(units.size(), [&](size_t n) { each(n, serial); });
    }
    for (size_t n = 0; n < static_cast<size_t>(count); ++n) {
      const auto first = units.begin() + static_cast<ptrdiff_t>(n * groups);
      if (std::all_of(first, first + static_cast<ptrdiff_t>(groups), is_finite_range)) continue;
      fallback().convolve(activations.from(n * groups * size, 0), 1, height, width,
                          epilogue.from(n * static_cast<size_t>(g.outputs * image.out[0] * image.out[1])), parallel);
    }
  }

  void multiply(const Activations& activations, int64_t count, const Epilogue& epilogue, const Parallel& parallel) const override {
    const size_t rows = static_cast<size_t>(count), in = static_cast<size_t>(geometry().channels);
    const size_t out = static_cast<size_t>(geometry().outputs), some = pixels_at_once(), pieces = (rows + some - 1) / some;
    // few rows are too little for threads: they share the outputs, and each makes the tables again
    const size_t shares = std::clamp<size_t>(TASKS / pieces, 1, std::max<size_t>(1, blocks_ / 8));
    std::vector<Unit> units(rows);
    parallel(pieces * shares, [&](size_t task) {
      const size_t first = rows * (task / shares) / pieces, here = rows * (task / shares + 1) / pieces - first, share = task % shares;
      Run run(*this, here);
      const Scratch quantised(tables_ * VALUES * sizeof(int32_t));
      for (size_t m = 0; m < here; ++m) run.units[m] = make_row(activations.values + (first + m) * in, quantised.as<int32_t>(), m, run);
      if (share == 0) std::copy(run.units.begin(), run.units.end(), units.begin() + static_cast<ptrdiff_t>(first));
      each_block(run, 0, blocks_ * share / shares, blocks_ * (share + 1) / shares, 1, [&](size_t block) {
        const size_t o = block * PLANES_BLOCK, wide = std::min(PLANES_BLOCK, out - o);
        for (size_t m = 0; m < here; ++m) {
          float* row = epilogue.y + (first + m) * out + o;
          tier_.finish_sums(run.values + m * PLANES_BLOCK, scale_.data() + o, bias_.data() + o, wide, row);
          epilogue(tier_, row, wide);
        }
      });
    });
    for (size_t m = 0; m < rows; ++m) {
      if (!is_finite_range(units[m])) fallback().multiply(activations.from(m * in, 0), 1, epilogue.from(m * out), parallel);
    }
  }

 private:
  const Geometry& geometry() const { return layer_.geometry; }

  // In parallel, or one after the other where all of it takes no longer, in nanoseconds, than it takes to wake a thread.
  static void shared_out(const Parallel& parallel, size_t total, size_t work, const std::function<void(size_t)>& task) {
    if (work > FEW) return parallel(total, task);
    for (size_t i = 0; i < total; ++i) task(i);
  }

  // --- weights -----------------------------------------------------------------------------------------------

  // Bytes of the index of a block of outputs: [chunk][tap][table of the chunk][output's place].
  size_t index_size() const { return tables_ * static_cast<size_t>(geometry().taps()) * PLANES_BLOCK; }
  const uint8_t* index(size_t group, size_t block, size_t table) const {
    return index_.get() + (group * blocks_ + block) * index_size() + table * static_cast<size_t>(geometry().taps()) * PLANES_BLOCK;
  }
  // That of the block after it, where both are summed in one go and it is below `end`; else null.
  const uint8_t* second(size_t group, size_t block, size_t end, size_t table) const {
    return cut_.blocks_at_once() == 2 && block + 1 < end ? index(group, block + 1, table) : nullptr;
  }
  const int32_t* plus(size_t group, size_t block) const { return plus_.data() + (group * blocks_ + block) * PLANES_BLOCK; }
  size_t tables_of(size_t first) const { return std::min(chunk_, tables_ - first); }

  // The index of one output from its signs [channel][tap].
  void fill(size_t output, const std::vector<uint8_t>& signs) {
    const Geometry& g = geometry();
    const size_t outputs = static_cast<size_t>(g.outputs_per_group()), taps = static_cast<size_t>(g.taps());
    const size_t channels = static_cast<size_t>(g.channels_per_group()), o = output % outputs, group = output / outputs;
    uint8_t* block = index_.get() + (group * blocks_ + o / PLANES_BLOCK) * index_size() + loops_.place[o % PLANES_BLOCK];
    int32_t& plus = plus_[(group * blocks_) * PLANES_BLOCK + o];
    for (size_t c = 0; c < channels; ++c) {
      const size_t table = c / VALUES, first = table / chunk_ * chunk_;
      uint8_t* to = block + (first * taps + table - first) * PLANES_BLOCK;
      for (size_t t = 0; t < taps; ++t) {
        const uint8_t sign = signs[c * taps + t];
        to[t * tables_of(first) * PLANES_BLOCK] = static_cast<uint8_t>(to[t * tables_of(first) * PLANES_BLOCK] | sign << c % VALUES);
        plus += sign;
      }
    }
  }

  // --- values ------------------------------------------------------------------------------------------------

  // The unit of so many values.
  Unit find_unit(const float* x, size_t size, const Parallel& parallel) const {
    float least[TASKS], largest[TASKS], ends[4];
    shared_out(parallel, TASKS, size / 8, [&](size_t task) {
      const size_t from = size * task / TASKS, to = size * (task + 1) / TASKS;
      loops_.range(x + from, to - from, &least[task], &largest[task]);
    });
    loops_.range(least, TASKS, &ends[0], &ends[1]);
    loops_.range(largest, TASKS, &ends[2], &ends[3]);
    return unit_of_range(ends[0], ends[3], cut_.value_bits());
  }

  // --- one tap: the tables of some pixels ----------------------------------------------------------------------

  // Pixels with a single tap each, or rows: their tables, [chunk][pixel][table], and what becomes of them.
  struct Run {
    Run(const PlanesProduct& product, size_t count)
        : count(count),
          units(count),
          totals(count, 0),
          memory(count * product.tables_ * product.cut_.table_bytes()),
          tables(memory.as<uint8_t>()),
          sums_memory(count * (PLANES_SUMS + PLANES_BLOCK) * sizeof(int32_t)),
          sums(sums_memory.as<int32_t>()),
          values(sums_memory.as<float>() + count * PLANES_SUMS) {}

    size_t count;
    std::vector<Unit> units;
    std::vector<int64_t> totals;
    Scratch memory;
    uint8_t* tables;
    Scratch sums_memory;
    int32_t* sums;
    float* values;  // [pixel][output of the block]
  };

  // Pixels whose tables stay in the cache, in whole vectors.
  size_t pixels_at_once() const { return std::clamp<size_t>(TABLES / (tables_ * cut_.table_bytes()) / VECTOR, 1, PIXELS / VECTOR) * VECTOR; }

  // Where part number `part` of `parts` begins: after whole vectors.
  static size_t cut(size_t count, size_t part, size_t parts) {
    return std::min(count, (count + VECTOR - 1) / VECTOR * part / parts * VECTOR);
  }

  // The tables of row m of a linear layer.
  Unit make_row(const float* x, int32_t* quantised, size_t m, Run& run) const {
    const size_t channels = static_cast<size_t>(geometry().channels), bytes = cut_.table_bytes();
    float least, largest;
    loops_.range(x, channels, &least, &largest);
    Unit unit = unit_of_range(least, largest, cut_.value_bits());
    if (!is_finite_range(unit)) return unit;
    loops_.quantise(x, channels, unit, quantised);
    int64_t total = -static_cast<int64_t>(channels) * unit.zero_point;
    for (size_t c = 0; c < channels; ++c) total += quantised[c];
    run.totals[m] = total;
    std::memset(quantised + channels, 0, (tables_ * VALUES - channels) * sizeof(int32_t));
    for (size_t first = 0; first < tables_; first += chunk_) {
      const size_t here = tables_of(first);
      loops_.build(cut_, quantised + first * VALUES, 1, VALUES, here, run.tables + (first * run.count + m * here) * bytes, bytes);
    }
    return unit;
  }

  // Calls done(block) for blocks `from` to `to`, each time with the values of that block's outputs at all pixels of the run.
  template <class Done>
  void each_block(Run& run, size_t group, size_t from, size_t to, size_t unit_step, const Done& done) const {
    static constexpr ptrdiff_t NO_TAPS[1] = {0};
    const size_t bytes = cut_.table_bytes();
    const uint8_t* at[PIXELS];
    for (size_t block = from; block < to; block += cut_.blocks_at_once()) {
      for (size_t first = 0; first < tables_; first += chunk_) {
        const size_t here = tables_of(first);
        for (size_t i = 0; i < run.count; ++i) at[i] = run.tables + (first * run.count + i * here) * bytes;
        loops_.sum(cut_, at, run.count, NO_TAPS, 1, here, index(group, block, first), second(group, block, to, first), first > 0, run.sums);
      }
      for (size_t b = block; b < std::min(to, block + cut_.blocks_at_once()); ++b) {
        loops_.combine(cut_, run.sums + (b - block) * PLANES_BLOCK, run.count, plus(group, b), run.totals.data(), run.units.data(),
                       unit_step, run.values);
        done(b);
      }
    }
  }

  // One group of one image, number n of all, by 1 x 1 without padding, a run of neighbouring outputs at a time.
  void convolve_one_tap(const Image& image, const float* x, size_t n, const Unit& unit, const Epilogue& epilogue,
                        const Parallel& parallel) const {
    const Geometry& g = geometry();
    const bool whole = g.stride[0] == 1 && g.stride[1] == 1;  // rows follow each other without a gap
    const size_t length = static_cast<size_t>(whole ? image.out[0] * image.out[1] : image.out[1]);
    const size_t lines = whole ? 1 : static_cast<size_t>(image.out[0]), some = pixels_at_once();
    const size_t pieces = (length + some - 1) / some, plane = static_cast<size_t>(image.out[0] * image.out[1]);
    const size_t outputs = static_cast<size_t>(g.outputs_per_group()), group = n % static_cast<size_t>(g.group);
    const size_t shares = std::clamp<size_t>(TASKS / (lines * pieces), 1, std::max<size_t>(1, blocks_ / 8));
    shared_out(parallel, lines * pieces * shares, plane * tables_ * (blocks_ + 4), [&](size_t task) {
      const size_t share = task % shares, piece = task / shares % pieces, line = task / shares / pieces;
      const size_t first = cut(length, piece, pieces), here = cut(length, piece + 1, pieces) - first;
      const float* from = x + line * static_cast<size_t>(g.stride[0] * image.in[1]) + first * static_cast<size_t>(g.stride[1]);
      Run run(*this, here);
      run.units[0] = unit;
      make_pixels(from, static_cast<size_t>(g.stride[1]), static_cast<size_t>(image.in[0] * image.in[1]), run);
      each_block(run, group, blocks_ * share / shares, blocks_ * (share + 1) / shares, 0, [&](size_t block) {
        const size_t o = block * PLANES_BLOCK, wide = std::min(PLANES_BLOCK, outputs - o), channel = group * outputs + o;
        finish(run.values, here, wide, channel, epilogue, epilogue.y + (n * outputs + o) * plane + line * length + first, plane);
      });
    });
  }

  // Adds up q - zero_point of pixels, table by table, in 32 bits as long as they suffice.
  class Totals {
   public:
    Totals(int64_t* to, size_t count, const Unit& unit) : to_(to), count_(count), zero_(unit.zero_point), some_(count, 0) {}
    ~Totals() { flush(); }
    Totals(const Totals&) = delete;
    Totals& operator=(const Totals&) = delete;

    // The values of one table, those of its channels `channel` apart.
    void add(const int32_t* q, size_t channel) {
      const int32_t *q1 = q + channel, *q2 = q1 + channel, *q3 = q2 + channel;
      for (size_t i = 0; i < count_; ++i) some_[i] += q[i] + q1[i] + q2[i] + q3[i] - 4 * zero_;
      if (++tables_ == FULL) flush();
    }

   private:
    static constexpr size_t FULL = 127;  // tables of four values below 2^22
    void flush() {
      for (size_t i = 0; i < count_; ++i) {
        to_[i] += some_[i];
        some_[i] = 0;
      }
      tables_ = 0;
    }

    int64_t* to_;
    const size_t count_;
    const int32_t zero_;
    std::vector<int32_t> some_;
    size_t tables_ = 0;
  };

  // The tables of pixels `step` apart, whose channels are `plane` apart.
  void make_pixels(const float* x, size_t step, size_t plane, Run& run) const {
    const size_t channels = static_cast<size_t>(geometry().channels_per_group()), bytes = cut_.table_bytes(), count = run.count;
    alignas(64) int32_t quantised[VALUES * PIXELS];
    float gathered[PIXELS];
    Totals totals(run.totals.data(), count, run.units[0]);
    for (size_t table = 0; table < tables_; ++table) {
      prefetch(x, step, plane, (table + AHEAD) * VALUES, count);
      for (size_t c = 0; c < VALUES; ++c) {
        int32_t* q = quantised + c * PIXELS;
        const size_t channel = table * VALUES + c;
        if (channel >= channels) {
          std::fill(q, q + count, run.units[0].zero_point);
          continue;
        }
        const float* values = x + channel * plane;
        if (step > 1) {
          for (size_t i = 0; i < count; ++i) gathered[i] = values[i * step];
          values = gathered;
        }
        loops_.quantise(values, count, run.units[0], q);
      }
      totals.add(quantised, PIXELS);
      const size_t first = table / chunk_ * chunk_, here = tables_of(first);
      loops_.build(cut_, quantised, PIXELS, 1, count, run.tables + (first * count + table - first) * bytes, here * bytes);
    }
  }

  // Prefetches pixels of the channels of a table: the hardware prefetcher does not follow strides from channel to channel.
  void prefetch(const float* x, size_t step, size_t plane, size_t channel, size_t count) const {
    constexpr size_t LINE_OF_CACHE = 64 / sizeof(float);
    const size_t last = std::min(channel + VALUES, static_cast<size_t>(geometry().channels_per_group()));
    for (; channel < last; ++channel) {
      for (size_t i = 0; i < count * step; i += LINE_OF_CACHE) __builtin_prefetch(x + channel * plane + i);
    }
  }

  // --- several taps: a ring of rows --------------------------------------------------------------------------

  // Rows that so many rows of outputs need.
  int64_t rows_of(int64_t outputs) const {
    const Geometry& g = geometry();
    return (outputs - 1) * g.stride[0] + (g.kernel[0] - 1) * g.dilation[0] + 1;
  }

  void prepare(Image& image) const {
    const Geometry& g = geometry();
    image.width = static_cast<size_t>((image.out[1] - 1) * g.stride[1] + (g.kernel[1] - 1) * g.dilation[1] + 1);
    const double row = static_cast<double>(image.width) * static_cast<double>(tables_ * cut_.table_bytes());
    require(row * static_cast<double>(rows_of(1)) < LARGEST, "the image with its padding is too large");
    const int64_t fit = static_cast<int64_t>(RING / row);
    const int64_t strip = std::clamp<int64_t>((fit - rows_of(1)) / g.stride[0] + 1, 1, image.out[0]);
    image.ring = static_cast<size_t>(rows_of(up(image.out[0], up(image.out[0], strip))));  // shared out evenly
    for (int64_t t = 0; t < g.taps(); ++t) {
      image.row.push_back(t / g.kernel[1] * g.dilation[0]);
      image.column.push_back(t % g.kernel[1] * g.dilation[1]);
    }
  }

  // One group of one image, number n of all.
  void convolve_one(const Image& image, const float* x, size_t n, const Unit& unit, const Epilogue& epilogue, const Parallel& parallel) const {
    const Geometry& g = geometry();
    const Scratch table_memory(image.ring * image.width * tables_ * cut_.table_bytes()), total_memory(image.ring * image.width * sizeof(int64_t));
    uint8_t* tables = table_memory.as<uint8_t>();
    int64_t* totals = total_memory.as<int64_t>();
    const int64_t strip = (static_cast<int64_t>(image.ring) - rows_of(1)) / g.stride[0] + 1;
    int64_t built = 0;
    for (int64_t first = 0; first < image.out[0]; first += strip) {
      const int64_t last = std::min(image.out[0], first + strip), from = std::max(built, first * g.stride[0]);
      built = first * g.stride[0] + rows_of(last - first);
      const size_t rows = static_cast<size_t>(built - from);
      shared_out(parallel, rows, rows * image.width * tables_ * 4, [&](size_t row) { make_line(image, x, from + static_cast<int64_t>(row), unit, tables, totals); });
      const size_t pixels = static_cast<size_t>((last - first) * image.out[1]), pieces = (pixels + PIXELS - 1) / PIXELS;
      const size_t shares = std::clamp<size_t>(TASKS / pieces, 1, blocks_);
      const size_t work = pixels * blocks_ * tables_ * image.row.size();
      shared_out(parallel, pieces * shares, work, [&](size_t task) {
        const size_t piece = task / shares, share = task % shares, skipped = static_cast<size_t>(first * image.out[1]);
        const size_t begin = skipped + cut(pixels, piece, pieces), end = skipped + cut(pixels, piece + 1, pieces);
        sum_piece(image, n, unit, tables, totals, begin, end - begin, blocks_ * share / shares, blocks_ * (share + 1) / shares, epilogue);
      });
    }
  }

  // The tables of a row, [chunk][row of the ring][pixel][table], and of each of its pixels the sum of q - zero_point.
  void make_line(const Image& image, const float* x, int64_t row, const Unit& unit, uint8_t* tables, int64_t* totals) const {
    const Geometry& g = geometry();
    const size_t channels = static_cast<size_t>(g.channels_per_group()), bytes = cut_.table_bytes(), width = image.width;
    const size_t line = static_cast<size_t>(row) % image.ring, plane = static_cast<size_t>(image.in[0] * image.in[1]);
    const int64_t y = row - g.begin[0];
    const bool inside = y >= 0 && y < image.in[0];
    const size_t from = inside ? std::min(static_cast<size_t>(g.begin[1]), width) : width;
    const size_t to = inside ? std::clamp<size_t>(static_cast<size_t>(g.begin[1] + image.in[1]), from, width) : width;
    const Scratch memory(VALUES * (to - from + 1) * sizeof(int32_t));
    int32_t* quantised = memory.as<int32_t>();
    int64_t* total = totals + line * width;
    std::fill(total, total + width, int64_t{0});
    Totals sums(total + from, to - from, unit);
    const int32_t none[VALUES] = {unit.zero_point, unit.zero_point, unit.zero_point, unit.zero_point};
    for (size_t table = 0; table < tables_; ++table) {
      const size_t first = table / chunk_ * chunk_, step = tables_of(first) * bytes;
      uint8_t* at = tables + first * image.ring * width * bytes + line * width * step + (table - first) * bytes;
      pad(none, at, step, 0, from);
      pad(none, at, step, to, width);
      if (to == from) continue;
      for (size_t c = 0; c < VALUES; ++c) {
        int32_t* q = quantised + c * (to - from);
        const size_t channel = table * VALUES + c;
        if (channel >= channels) {
          std::fill(q, q + to - from, unit.zero_point);
          continue;
        }
        loops_.quantise(x + channel * plane + static_cast<size_t>(y * image.in[1]), to - from, unit, q);
      }
      sums.add(quantised, to - from);
      loops_.build(cut_, quantised, static_cast<ptrdiff_t>(to - from), 1, to - from, at + from * step, step);
    }
  }

  // A table of zeros at the pixels of a row's padding.
  void pad(const int32_t* none, uint8_t* at, size_t step, size_t from, size_t to) const {
    if (from < to) loops_.build(cut_, none, 1, 0, to - from, at + from * step, step);
  }

  // The outputs of some blocks at pixels `begin` and on.
  void sum_piece(const Image& image, size_t n, const Unit& unit, const uint8_t* tables, const int64_t* totals, size_t begin, size_t count,
                 size_t from, size_t to, const Epilogue& epilogue) const {
    const Geometry& g = geometry();
    const size_t taps = image.row.size(), columns = static_cast<size_t>(image.out[1]), plane = static_cast<size_t>(image.out[0]) * columns;
    const size_t outputs = static_cast<size_t>(g.outputs_per_group()), group = n % static_cast<size_t>(g.group), bytes = cut_.table_bytes();
    alignas(64) int32_t sums[PIXELS * PLANES_SUMS];
    alignas(64) float values[PIXELS * PLANES_BLOCK];
    int64_t total[PIXELS];
    std::vector<ptrdiff_t> places(taps);  // of taps, in pixels of the ring
    const auto pixels_of = [&](size_t pixel) {  // outputs of the same row that follow, the places of their taps
      const int64_t row = static_cast<int64_t>(pixel / columns) * g.stride[0];
      for (size_t t = 0; t < taps; ++t) {
        places[t] = (row + image.row[t]) % static_cast<int64_t>(image.ring) * static_cast<int64_t>(image.width) + image.column[t];
      }
      return std::min(columns - pixel % columns, begin + count - pixel);
    };
    for (size_t i = 0, here; i < count; i += here) {
      here = pixels_of(begin + i);
      const size_t column = (begin + i) % columns;
      for (size_t k = 0; k < here; ++k) {
        const int64_t* first = totals + (column + k) * static_cast<size_t>(g.stride[1]);
        total[i + k] = 0;
        for (size_t t = 0; t < taps; ++t) total[i + k] += first[places[t]];
      }
    }
    std::vector<ptrdiff_t> offsets(taps);
    for (size_t block = from; block < to; block += cut_.blocks_at_once()) {
      for (size_t first = 0; first < tables_; first += chunk_) {
        const size_t tables_here = tables_of(first), step = tables_here * bytes;
        const uint8_t* chunk = tables + first * image.ring * image.width * bytes;
        for (size_t i = 0, here; i < count; i += here) {
          here = pixels_of(begin + i);
          const uint8_t* at[PIXELS];
          const uint8_t* begin_of_row = chunk + (begin + i) % columns * static_cast<size_t>(g.stride[1]) * step;
          for (size_t k = 0; k < here; ++k) at[k] = begin_of_row + k * static_cast<size_t>(g.stride[1]) * step;
          for (size_t t = 0; t < taps; ++t) offsets[t] = places[t] * static_cast<ptrdiff_t>(step);
          loops_.sum(cut_, at, here, offsets.data(), taps, tables_here, index(group, block, first), second(group, block, to, first),
                     first > 0, sums + i * PLANES_SUMS);
        }
      }
      for (size_t b = block; b < std::min(to, block + cut_.blocks_at_once()); ++b) {
        loops_.combine(cut_, sums + (b - block) * PLANES_BLOCK, count, plus(group, b), total, &unit, 0, values);
        const size_t o = b * PLANES_BLOCK, wide = std::min(PLANES_BLOCK, outputs - o);
        finish(values, count, wide, group * outputs + o, epilogue, epilogue.y + (n * outputs + o) * plane + begin, plane);
      }
    }
  }

  // --- outputs -----------------------------------------------------------------------------------------------

  // values [pixel][output of a block] to y, whose channels are `plane` apart.
  void finish(const float* values, size_t pixels, size_t outputs, size_t channel, const Epilogue& epilogue, float* y, size_t plane) const {
    tier_.transpose(values, PLANES_BLOCK, pixels, outputs, scale_.data() + channel, bias_.data() + channel, epilogue.add_relu(y), y, plane);
    for (size_t o = 0; o < outputs; ++o) epilogue.remainder(tier_, y + o * plane, pixels);
  }

  // For values without a unit, which few networks ever see: made when the first comes.
  const Product& fallback() const {
    std::call_once(once_, [&] { fallback_ = lookup_product(layer_, tier_); });
    return *fallback_;
  }

  struct Aligned {
    void operator()(uint8_t* data) const { ::operator delete[](data, std::align_val_t{64}); }
  };

  const Tier& tier_;
  const Planes& loops_;
  const Cut cut_;
  const Layer layer_;
  const std::vector<float> scale_, bias_;
  size_t tables_ = 0, chunk_ = 0, blocks_ = 0;  // tables of a pixel, of a chunk; blocks of outputs
  std::unique_ptr<uint8_t[], Aligned> index_;   // [group][block][chunk][tap][table of the chunk][output's place]
  std::vector<int32_t> plus_;                   // [group][block][output]: positive weights
  mutable std::once_flag once_;
  mutable std::unique_ptr<Product> fallback_;
};

}  // namespace

bool suits_planes(const Layer& layer) {
  const Geometry& g = layer.geometry;
  if (g.taps() > static_cast<int64_t>(PLANES_ADDITIONS) || up(g.channels_per_group(), 32) * 32 * g.taps() > EXACT) return false;
  const auto full = [](int64_t used, int64_t step) { return static_cast<double>(used) / static_cast<double>(up(used, step) * step); };
  return full(g.channels_per_group(), 16) * full(g.outputs_per_group(), PLANES_BLOCK) >= 0.5;
}

std::unique_ptr<Product> planes_product(const Layer& layer, const Tier& tier) {
  return std::make_unique<PlanesProduct>(layer, tier);
}

}  // namespace binarize
