// Both kinds of input as int8 times ±1, summed in matrix tiles: AMX.
//
// Binary inputs are ±1 or {0, 1}, and 0 where there is no channel or no pixel. Float inputs (W1A32) become three int8 slices:
// with the largest value of an image at 4161000, each is an integer of 23 bits,
//
//     x = unit·(65536·d2 + 256·d1 + d0)    to half a unit, 1.2e-7 of the largest value: float32's own rounding
//
// and the sums of each slice's products with ±1 are exact. The unit is one of an image (of one of its groups), or of a
// row of a linear layer, so no result depends on the other images of a batch. An image that has no such unit (with NaN or
// infinity in it, or only values below 1e-30) is looked up instead (lookup.cc). Two slices are used on request:
//
//     x = unit·(256·d1 + d0 - zero_point)  to half a unit, 7.7e-6 of the range of an image's values
//
// where the zero point is subtracted from the sums as the sum of the signs times `zero_point`; padding, and channels up
// to a whole line, are the zero point itself, so that they add 0.
//
// Inputs lie as lines of 64 channels, one after the other at the positions of the im2row layout (im2row.h): sixteen lines are a tile,
// whatever the tap, and every tile begins at a line.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>

#include "lines.h"
#include "portable_int8.h"
#include "product.h"
#include "scratch.h"
#include "slices.h"

namespace binarize {

namespace {

constexpr int64_t SLICES_EXACT = INT32_MAX / (257 * 128);  // products whose sum of two slices fits 32 bits
constexpr int64_t ZERO_POINT_EXACT = INT32_MAX / 65536;    // the same with the correction for the zero point
constexpr int64_t BINARY_EXACT = int64_t{1} << 24;         // products whose sum is exact in float32

constexpr size_t TILE = LANES * LANES;
constexpr size_t FEW_ROWS = 8;           // fewer leave more than half of a tile empty
constexpr size_t AT_ONCE = 16 << 20;     // bytes of lines that are made before they are multiplied
constexpr size_t SHARE = 1 << 20;        // bytes of lines of a task: beside the signs, in a second-level cache of 2 MB
constexpr size_t PIXELS_A_TASK = 1024;   // to make lines of
constexpr size_t TASKS = 16;             // enough to keep some threads busy to the end

// Tile configuration is per thread, and other libraries use tiles in the same threads.
class Tiles {
 public:
  explicit Tiles(const Int8& loops) : loops_(loops) { loops_.begin(); }
  ~Tiles() { loops_.end(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

 private:
  const Int8& loops_;
};

class Int8Product : public Product {
 public:
  Int8Product(const Layer& layer, const Tier& tier)
      : tier_(tier),
        loops_(*tier.int8),
        geometry_(layer.geometry),
        input_(layer.input),
        slices_(slices_of(layer)),
        threshold_stride_(layer.threshold_per_channel ? 1 : 0),
        next_stride_(layer.next.size() > 1 ? 1 : 0),
        packed_(layer.packed),
        threshold_(layer.threshold),
        next_(layer.next),
        scale_(layer.scale),
        bias_(layer.bias) {
    const Geometry& g = geometry_;
    blocks_ = static_cast<size_t>(up(g.channels_per_group(), LINE));
    tiles_ = static_cast<size_t>(up(g.outputs_per_group(), LANES));
    steps_ = blocks_ * static_cast<size_t>(g.taps());
    fill(layer);
    if (input_ == Input::FLOAT) {
      fallback_ = lookup_product(layer, tier);
    } else if (layer.linear) {
      fallback_ = popcount_product(layer, tier);
    }
  }

  void convolve(const Activations& x, int64_t count, int64_t height, int64_t width, const Epilogue& epilogue,
                const Parallel& parallel) const override {
    const auto plan = plans_.get(height, width, [&](int64_t h, int64_t w) { return line_plan(geometry_, h, w, blocks_, static_cast<size_t>(slices_)); });
    const size_t images = static_cast<size_t>(count);
    const size_t some = std::clamp<size_t>(AT_ONCE / (static_cast<size_t>(geometry_.group) * plan->image), 1, images);
    Scratch memory(some * static_cast<size_t>(geometry_.group) * plan->image + SLACK);
    for (size_t first = 0; first < images; first += some) {
      convolve_some(*plan, x, first, std::min(some, images - first), memory.as<int8_t>(), epilogue, parallel);
    }
  }

  void multiply(const Activations& x, int64_t count, const Epilogue& epilogue, const Parallel& parallel) const override {
    const size_t rows = static_cast<size_t>(count);
    if (rows < FEW_ROWS) return fallback_->multiply(x, count, epilogue, parallel);
    const size_t line = blocks_ * static_cast<size_t>(slices_) * LINE;
    const size_t some = std::min(up_to(rows), up_to(std::max<size_t>(1, AT_ONCE / line)));
    Scratch memory(some * line + SLACK);
    for (size_t first = 0; first < rows; first += some) {
      multiply_some(x, first, std::min(some, rows - first), memory.as<int8_t>(), epilogue, parallel);
    }
  }

 private:
  // Sums of very many products have no room for a zero point.
  static int slices_of(const Layer& layer) {
    if (layer.input != Input::FLOAT) return 1;
    const int64_t lines = up(layer.geometry.channels_per_group(), LINE) * layer.geometry.taps();
    return layer.two_slices && lines * LINE <= ZERO_POINT_EXACT ? 2 : 3;
  }

  static constexpr size_t SLACK = LANES * LINE;  // the last tile reads past the last line

  // That many lines, in tiles that are summed together.
  size_t up_to(size_t lines) const {
    const size_t run = together() * LANES;
    return (lines + run - 1) / run * run;
  }
  size_t together() const { return static_cast<size_t>(MAX_TILES / slices_); }

  // Signs as `multiply` takes them: [group][tile of outputs][block][tap][four channels], bit 4·output + channel.
  void fill(const Layer& layer) {
    const Geometry& g = geometry_;
    const size_t outputs = static_cast<size_t>(g.outputs_per_group()), taps = static_cast<size_t>(g.taps());
    const size_t channels = static_cast<size_t>(g.channels_per_group());
    signs_.assign(static_cast<size_t>(g.group) * tiles_ * steps_ * LANES, 0);
    ones_.assign(static_cast<size_t>(g.outputs), -static_cast<int32_t>(steps_ * LINE));
    std::vector<uint8_t> signs(channels * taps);
    for (size_t number = 0; number < static_cast<size_t>(g.outputs); ++number) {
      layer.signs(static_cast<int64_t>(number), signs.data());
      const size_t o = number % outputs;
      uint64_t* tile = signs_.data() + (number / outputs * tiles_ + o / LANES) * steps_ * LANES;
      for (size_t c = 0; c < channels; ++c) {
        for (size_t t = 0; t < taps; ++t) {
          const uint64_t plus = signs[c * taps + t];
          tile[(c / LINE * taps + t) * LANES + c % LINE / 4] |= plus << (o % LANES * 4 + c % 4);
          ones_[number] += plus ? 2 : 0;
        }
      }
    }
  }

  // What the outputs from that one on have.
  Channels constants(size_t output) const { return {scale_.data() + output, bias_.data() + output, ones_.data() + output}; }

  const uint64_t* signs(size_t group, size_t tile) const { return signs_.data() + (group * tiles_ + tile) * steps_ * LANES; }

  // Some images, from `first` on.
  void convolve_some(const LinePlan& plan, const Activations& x, size_t first, size_t images, int8_t* lines, const Epilogue& epilogue,
                     const Parallel& parallel) const {
    const Geometry& g = geometry_;
    const size_t groups = static_cast<size_t>(g.group), pixels = plan.place.size(), all = images * groups, begin = first * groups;
    const size_t channels = static_cast<size_t>(g.channels_per_group()), plane = static_cast<size_t>(plan.out[0] * plan.out[1]);
    const size_t words = static_cast<size_t>(up(g.channels_per_group(), WORD));
    const auto activations = [&](size_t image) { return x.from((begin + image) * channels * pixels, (begin + image) * words * pixels); };
    const std::vector<Unit> units = input_ == Input::FLOAT ? units_of(activations(0).values, all, channels * pixels, parallel)
                                                           : std::vector<Unit>(all);
    const size_t parts = pixels / PIXELS_A_TASK + 1;  // one at least: an image without pixels has padding
    parallel(all * blocks_ * parts, [&](size_t task) {
      const size_t image = task / parts / blocks_, block = task / parts % blocks_, from = task % parts * PIXELS_A_TASK;
      make_lines(plan, activations(image), image % groups, block, from, units[image],
                 lines + image * plan.image + block * plan.block);
    });
    const size_t runs = (plan.vectors + together() - 1) / together();
    const size_t bytes = together() * LANES * LINE * blocks_ * static_cast<size_t>(slices_);
    const size_t pieces = (runs + std::max<size_t>(1, SHARE / bytes) - 1) / std::max<size_t>(1, SHARE / bytes);
    const size_t unit = tiles_at_once(epilogue), units_of_tiles = (tiles_ + unit - 1) / unit;
    const size_t shares = std::clamp<size_t>(TASKS / (all * pieces), 1, units_of_tiles);
    parallel(all * pieces * shares, [&](size_t task) {
      const size_t image = task / shares / pieces, piece = task / shares % pieces, share = task % shares;
      const Tiles configured(loops_);
      for (size_t number = units_of_tiles * share / shares; number < units_of_tiles * (share + 1) / shares; ++number) {
        const Part part{image % groups, number * unit, std::min(tiles_, (number + 1) * unit), runs * piece / pieces, runs * (piece + 1) / pieces};
        sum_planes(plan, lines + image * plan.image, part, units[image], (begin + image) / groups, epilogue);
      }
    });
    for (size_t image = 0; image < images; ++image) {
      const auto one = units.begin() + static_cast<ptrdiff_t>(image * groups);
      if (std::all_of(one, one + static_cast<ptrdiff_t>(groups), is_finite_range)) continue;
      fallback_->convolve(activations(image * groups), 1, plan.in[0], plan.in[1],
                           epilogue.from((first + image) * static_cast<size_t>(g.outputs) * plane), parallel);
    }
  }

  // Tiles of outputs that are made before the next: those of a word, where there are words.
  static size_t tiles_at_once(const Epilogue& epilogue) { return epilogue.words == nullptr ? 1 : WORD / LANES; }

  // The unit of each of `count` stretches of values.
  std::vector<Unit> units_of(const float* x, size_t count, size_t size, const Parallel& parallel) const {
    std::vector<float> largest(count * blocks_), smallest(count * blocks_, 0.0f);
    parallel(count * blocks_, [&](size_t task) {
      const size_t part = task % blocks_, from = size * part / blocks_, to = size * (part + 1) / blocks_;
      const float* values = x + task / blocks_ * size + from;
      largest[task] = loops_.largest(values, to - from);
      if (slices_ == 2) smallest[task] = loops_.smallest(values, to - from);
    });
    std::vector<Unit> units;
    for (size_t i = 0; i < count * blocks_; i += blocks_) {
      units.push_back(unit_of(loops_.largest(&largest[i], blocks_), loops_.smallest(&smallest[i], blocks_), slices_));
    }
    return units;
  }

  // Lines of some pixels of an image, those of a block of channels, and before the first ones its padding.
  void make_lines(const LinePlan& plan, const Activations& x, size_t group, size_t block, size_t from, const Unit& unit,
                  int8_t* lines) const {
    const size_t pixels = plan.place.size(), count = std::min(PIXELS_A_TASK, pixels - from), first = block * LINE;
    const size_t per_group = static_cast<size_t>(geometry_.channels_per_group());
    const int channels = static_cast<int>(std::min<size_t>(LINE, per_group - first));
    int8_t nothing[3] = {};
    if (input_ == Input::FLOAT) portable::slice_value(0.0f, unit, slices_, 1, nothing);
    for (size_t d = 0; d < static_cast<size_t>(slices_) && from == 0; ++d) {
      for (const auto& gap : plan.gaps) std::memset(lines + d * plan.slice + gap.first * LINE, nothing[d], gap.second * LINE);
    }
    const int32_t* place = plan.place.data() + from;
    if (packed_) {
      const uint32_t* low = x.words + first / WORD * pixels + from;
      return loops_.spread(low, channels > WORD ? low + pixels : low, 1, channels, smaller(), place, count, lines);
    }
    const float* values = x.values + first * pixels + from;
    if (input_ == Input::FLOAT) return loops_.slice_planes(values, pixels, channels, count, unit, slices_, place, plan.slice, lines);
    alignas(64) uint32_t words[2][PIXELS_A_TASK];
    const float* threshold = threshold_.data() + (group * per_group + first) * static_cast<size_t>(threshold_stride_);
    const int low = std::min(channels, WORD);
    tier_.pack_planes(values, pixels, low, threshold, threshold_stride_, count, words[0]);
    if (channels > WORD) {
      tier_.pack_planes(values + WORD * pixels, pixels, channels - WORD, threshold + WORD * threshold_stride_, threshold_stride_, count, words[1]);
    }
    loops_.spread(words[0], words[channels > WORD ? 1 : 0], 1, channels, smaller(), place, count, lines);
  }

  // What the smaller value of a binary input is.
  int smaller() const { return input_ == Input::SIGN ? -1 : 0; }

  // Some tiles of outputs of a group, for some runs of neighbouring positions.
  struct Part {
    size_t group, tile, last_tile, run, last_run;
  };

  void sum_planes(const LinePlan& plan, const int8_t* lines, const Part& part, const Unit& unit, size_t image, const Epilogue& epilogue) const {
    const size_t outputs = static_cast<size_t>(geometry_.outputs_per_group()), plane = static_cast<size_t>(plan.out[0] * plan.out[1]);
    const size_t begin = static_cast<size_t>(plan.first[part.run * together()]);
    const size_t count = static_cast<size_t>(plan.first[std::min(plan.vectors, part.last_run * together())]) - begin;
    const size_t channel = part.group * outputs + part.tile * LANES, place = (image * static_cast<size_t>(geometry_.outputs) + channel) * plane + begin;
    std::optional<Scratch> own;
    if (epilogue.y == nullptr) own.emplace(WORD * count * sizeof(float));
    float* values = own ? own->as<float>() : epilogue.y + place;
    const size_t step = own ? count : plane;
    for (size_t tile = part.tile; tile < part.last_tile; ++tile) {
      const size_t skipped = (tile - part.tile) * LANES;
      sum_tile(plan, lines, part, tile, unit, values + skipped * step, step, place + skipped * plane, epilogue);
    }
    if (epilogue.words == nullptr) return;
    const size_t words_out = static_cast<size_t>(up(geometry_.outputs, WORD));
    const int here = static_cast<int>(std::min<size_t>(WORD, outputs - part.tile * LANES));
    tier_.pack_planes(values, step, here, next_.data() + channel * static_cast<size_t>(next_stride_), next_stride_, count,
                      epilogue.words + (image * words_out + channel / WORD) * plane + begin);
  }

  // Of one tile, to `values`, channels `step` apart; `place` is where they belong in y.
  void sum_tile(const LinePlan& plan, const int8_t* lines, const Part& part, size_t tile, const Unit& unit, float* values, size_t step,
                size_t place, const Epilogue& epilogue) const {
    alignas(64) int32_t sums[MAX_TILES * TILE];
    const size_t outputs = static_cast<size_t>(geometry_.outputs_per_group()), plane = static_cast<size_t>(plan.out[0] * plan.out[1]);
    const size_t channel = part.group * outputs + tile * LANES;
    const size_t here = std::min<size_t>(LANES, outputs - tile * LANES), begin = static_cast<size_t>(plan.first[part.run * together()]);
    for (size_t run = part.run; run < part.last_run; ++run) {
      const size_t vector = run * together();
      const int tiles = static_cast<int>(std::min(together(), plan.vectors - vector));
      loops_.multiply(lines + vector * LANES * LINE, tiles, slices_, plan.slice, plan.offsets.data(), steps_,
                      signs(part.group, tile), sums);
      const size_t skipped = static_cast<size_t>(plan.first[vector]) - begin;
      loops_.finish_planes(sums, tiles, slices_, unit, plan.valid.data() + vector, static_cast<int>(here), constants(channel),
                           values + skipped, step);
      const size_t count = static_cast<size_t>(plan.first[vector + static_cast<size_t>(tiles)] - plan.first[vector]);
      for (size_t i = 0; i < here; ++i) epilogue(tier_, values + skipped + i * step, place + skipped + i * plane, count);
    }
  }

  // Some rows, from `first` on.
  void multiply_some(const Activations& x, size_t first, size_t rows, int8_t* lines, const Epilogue& epilogue,
                     const Parallel& parallel) const {
    const size_t in = static_cast<size_t>(geometry_.channels), out = static_cast<size_t>(geometry_.outputs);
    const size_t words = static_cast<size_t>(up(geometry_.channels, WORD)), words_out = static_cast<size_t>(up(geometry_.outputs, WORD));
    const size_t slice = up_to(rows) * LINE, block = slice * static_cast<size_t>(slices_);
    const auto activations = [&](size_t row) { return x.from((first + row) * in, (first + row) * words); };
    std::vector<Unit> units(rows);
    parallel((rows + LANES - 1) / LANES, [&](size_t task) {
      const size_t from = task * LANES, count = std::min<size_t>(LANES, rows - from);
      if (input_ != Input::FLOAT) return make_rows(activations(from), count, block, lines + from * LINE);
      for (size_t m = from; m < from + count; ++m) {
        const float* row = activations(m).values;
        units[m] = unit_of(loops_.largest(row, in), slices_ == 2 ? loops_.smallest(row, in) : 0.0f, slices_);
        loops_.slice_row(row, in, units[m], slices_, slice, block, lines + m * LINE);
      }
    });
    std::vector<ptrdiff_t> offsets;
    for (size_t b = 0; b < blocks_; ++b) offsets.push_back(static_cast<ptrdiff_t>(b * block));
    const size_t run = together() * LANES, runs = (rows + run - 1) / run;
    const size_t fit = std::max<size_t>(1, SHARE / (run * LINE * blocks_ * static_cast<size_t>(slices_)));
    const size_t unit = tiles_at_once(epilogue), units_of_tiles = (tiles_ + unit - 1) / unit;
    const size_t pieces = (runs + fit - 1) / fit, shares = std::clamp<size_t>(TASKS / pieces, 1, units_of_tiles);
    parallel(pieces * shares, [&](size_t task) {
      const size_t piece = task / shares, share = task % shares;
      const Tiles configured(loops_);
      alignas(64) int32_t sums[MAX_TILES * TILE];
      alignas(64) float elsewhere[MAX_TILES * LANES * WORD];
      for (size_t number = units_of_tiles * share / shares; number < units_of_tiles * (share + 1) / shares; ++number) {
        const size_t begin = number * unit * LANES, wide = std::min(out - begin, unit * LANES);
        for (size_t m = runs * piece / pieces * run; m < std::min(rows, runs * (piece + 1) / pieces * run); m += run) {
          const size_t count = std::min(run, rows - m), place = (first + m) * out + begin;
          float* to = epilogue.y == nullptr ? elsewhere : epilogue.y + place;
          const size_t step = epilogue.y == nullptr ? WORD : out;
          for (size_t o = 0; o < wide; o += LANES) {
            loops_.multiply(lines + m * LINE, static_cast<int>((count + LANES - 1) / LANES), slices_, slice, offsets.data(),
                            steps_, signs(0, (begin + o) / LANES), sums);
            loops_.finish_rows(sums, count, slices_, units.data() + m, static_cast<int>(std::min<size_t>(LANES, wide - o)),
                               constants(begin + o), to + o, step);
          }
          for (size_t i = 0; i < count; ++i) {
            epilogue(tier_, to + i * step, place + i * out, wide);
            if (epilogue.words == nullptr) continue;
            const float* next = next_.data() + begin * static_cast<size_t>(next_stride_);
            tier_.pack_row(to + i * step, wide, next, next_stride_, epilogue.words + (first + m + i) * words_out + begin / WORD);
          }
        }
      }
    });
    for (size_t m = 0; m < rows; ++m) {
      if (!is_finite_range(units[m])) fallback_->multiply(activations(m), 1, epilogue.from((first + m) * out), parallel);
    }
  }

  // Lines of at most 16 rows of binary inputs.
  void make_rows(const Activations& x, size_t count, size_t block, int8_t* lines) const {
    const size_t in = static_cast<size_t>(geometry_.channels), words = static_cast<size_t>(up(geometry_.channels, WORD));
    std::optional<Scratch> own;
    if (!packed_) own.emplace(LANES * words * sizeof(uint32_t));
    for (size_t m = 0; m < count && own; ++m) {
      tier_.pack_row(x.values + m * in, in, threshold_.data(), threshold_stride_, own->as<uint32_t>() + m * words);
    }
    const uint32_t* bits = own ? own->as<uint32_t>() : x.words;
    int32_t place[LANES];
    std::iota(place, place + LANES, 0);
    for (size_t b = 0; b < blocks_; ++b) {
      const int channels = static_cast<int>(std::min<size_t>(LINE, in - b * LINE));
      const uint32_t* low = bits + b * LINE / WORD;
      loops_.spread(low, channels > WORD ? low + 1 : low, words, channels, smaller(), place, count, lines + b * block);
    }
  }

  const Tier& tier_;
  const Int8& loops_;
  const Geometry geometry_;
  const Input input_;
  const int slices_, threshold_stride_, next_stride_;
  const bool packed_;
  const std::vector<float> threshold_, next_, scale_, bias_;
  size_t blocks_ = 0, tiles_ = 0, steps_ = 0;
  std::vector<uint64_t> signs_;
  std::vector<int32_t> ones_;  // [O] sum of an output's signs, those of missing channels (-1) included
  std::unique_ptr<Product> fallback_;
  Plans<LinePlan> plans_;
};

}  // namespace

// A tile that is half empty is about as fast as popcounts; one that is three quarters empty, as look-ups.
bool suits_int8(const Layer& layer) {
  const Geometry& g = layer.geometry;
  const bool floats = layer.input == Input::FLOAT;
  if (g.channels_per_group() * g.taps() > (floats ? SLICES_EXACT : BINARY_EXACT)) return false;
  const auto full = [](int64_t used, int64_t step) { return static_cast<double>(used) / static_cast<double>(up(used, step) * step); };
  return full(g.channels_per_group(), LINE) * full(g.outputs_per_group(), LANES) >= (floats ? 0.25 : 0.5);
}

std::unique_ptr<Product> int8_product(const Layer& layer, const Tier& tier) {
  return std::make_unique<Int8Product>(layer, tier);
}

}  // namespace binarize
