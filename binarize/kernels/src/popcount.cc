// Binary inputs: sums of ±1 or {0, 1} times ±1, by popcounts of 32 channels at a time.
//
// With b the bits of the input (1 is the larger value), w those of the weight, and 0 in both where there is no
// channel or no pixel:
//
//     A = popcount(b & w)    B = popcount(b)    W = popcount(w)    N = the number of products
//     step   sum of b·(2w - 1)          = 2A - B
//     sign   sum of (2b - 1)·(2w - 1)   = 4A - 2B - 2W + N      W and N over what is inside the image
//
// so a padded position contributes 0, and one loop over A serves both. Of several bases, B and the packed input serve all,
// and the outputs of each are added to those before it; nothing else is fused behind them.
//
// A convolution's inputs become planes of words, one per 32 channels, or of nibbles, one per four, in the im2row layout
// (im2row.h). Outputs come out as ONNX lays them, channel by channel.
#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

#include "error.h"
#include "im2row.h"
#include "product.h"
#include "scratch.h"

namespace binarize {

namespace {

struct Plan : Im2rowLayout {
  size_t positions = 0, image = 0;  // of a plane, all its phases; of all planes of a group
  std::vector<ptrdiff_t> offsets;   // [plane][tap]
  std::vector<uint16_t> kind;
  std::vector<int32_t> correction;  // [O][kinds]
  int kinds = 1;

  Im2row im2row() const { return {valid.data(), first.data(), kind.data(), kinds}; }
};

constexpr int NIBBLE = 4, NIBBLES_A_WORD = WORD / NIBBLE;  // binary values in a nibble, nibbles in a word

class Popcount : public Product {
 public:
  bool adds_bases() const override { return true; }

  Popcount(const Layer& layer, const Tier& tier)
      : tier_(tier),
        geometry_(layer.geometry),
        sign_(layer.input == Input::SIGN),
        threshold_stride_(layer.threshold_per_channel ? 1 : 0),
        next_stride_(layer.next.size() > 1 ? 1 : 0),
        packed_(layer.packed),
        threshold_(layer.threshold),
        next_(layer.next),
        bases_(static_cast<size_t>(layer.bases)),
        nibbles_(layer.linear ? nullptr : tier.nibbles),
        scale_(layer.scale),
        bias_(layer.bias) {
    const Geometry& g = geometry_;
    require(g.channels_per_group() * g.taps() <= EXACT, "a sum of more than 2^24 products is not exact in float32");
    words_ = up(g.channels_per_group(), WORD);
    planes_ = nibbles_ == nullptr ? words_ : up(g.channels_per_group(), NIBBLE);
    steps_ = static_cast<size_t>(planes_ * g.taps());
    if (layer.linear) {
      columns(layer);
    } else {
      rows(layer);
      if (g.taps() == 1 && g.group == 1 && g.begin[0] + g.begin[1] + g.end[0] + g.end[1] == 0) {
        Layer row = layer;
        row.linear = true;
        of_a_pixel_ = std::make_unique<Popcount>(row, tier);
      }
    }
  }

  void convolve(const Activations& x, int64_t count, int64_t height, int64_t width, const Epilogue& epilogue,
                const Parallel& parallel) const override {
    if (of_a_pixel_ != nullptr && height == 1 && width == 1) return of_a_pixel_->multiply(x, count, epilogue, parallel);
    const std::shared_ptr<const Plan> plan = plans_.get(height, width, [&](int64_t h, int64_t w) { return make_plan(h, w); });
    const Geometry& g = geometry_;
    const size_t groups = static_cast<size_t>(g.group), images = static_cast<size_t>(count) * groups;
    const size_t image_bytes = plan->image * element();
    Scratch packed(images * image_bytes + SLACK * element());
    uint8_t* bits = packed.as<uint8_t>();
    std::memset(bits + images * image_bytes, 0, SLACK * element());

    const size_t words = static_cast<size_t>(words_);
    parallel(images * words, [&](size_t task) {
      pack(*plan, x, task / words / groups, task / words % groups, task % words, bits + task / words * image_bytes);
    });
    const size_t tiles = static_cast<size_t>(up(static_cast<int64_t>(plan->vectors), MAX_VECTORS));
    // a small image has too few tiles for threads: its outputs are shared out as well, those of a word to one thread
    const size_t outputs = static_cast<size_t>(g.outputs_per_group()) / bases_, unit = epilogue.words == nullptr ? MAX_ROWS : WORD;
    const size_t shares = std::clamp<size_t>(TASKS / (images * tiles), 1, std::max<size_t>(1, outputs / OUTPUTS_A_TASK));
    parallel(images * tiles * shares, [&](size_t task) {
      const size_t image = task / shares / tiles, share = task % shares;
      const size_t from = outputs * share / shares / unit * unit;
      const size_t to = share + 1 == shares ? outputs : outputs * (share + 1) / shares / unit * unit;
      tile(*plan, bits + image * image_bytes, image / groups, image % groups, task / shares % tiles * MAX_VECTORS, from, to,
           epilogue);
    });
  }

  void multiply(const Activations& x, int64_t count, const Epilogue& epilogue, const Parallel& parallel) const override {
    const Geometry& g = geometry_;
    const size_t in = static_cast<size_t>(g.channels), out = static_cast<size_t>(g.outputs) / bases_;
    const size_t words = static_cast<size_t>(words_), words_out = static_cast<size_t>(up(g.outputs, WORD));
    const size_t column = vectors_ * LANES;  // of all outputs of one base
    const size_t blocks = static_cast<size_t>(up(count, ROWS_A_TASK));
    // one row has too few blocks of rows for threads: its outputs are shared out instead
    const size_t shares = blocks == 1 ? std::max<size_t>(1, vectors_ / (4 * MAX_VECTORS)) : 1;
    std::optional<Scratch> own;
    if (!packed_) own.emplace(static_cast<size_t>(count) * words * sizeof(uint32_t));
    const uint32_t* bits = packed_ ? x.words : own->as<uint32_t>();
    std::vector<int32_t> ones(static_cast<size_t>(count));
    parallel(blocks, [&](size_t block) {
      const size_t last = std::min<size_t>(static_cast<size_t>(count), (block + 1) * ROWS_A_TASK);
      for (size_t m = block * ROWS_A_TASK; m < last; ++m) {
        if (!packed_) tier_.pack_row(x.values + m * in, in, threshold_.data(), threshold_stride_, own->as<uint32_t>() + m * words);
        const uint32_t* row = bits + m * words;
        int32_t sum = 0;
        for (size_t w = 0; w < words; ++w) sum += __builtin_popcount(row[w]);
        ones[m] = sign_ ? 2 * sum : sum;
      }
    });
    parallel(blocks * shares, [&](size_t task) {
      const size_t block = task / shares, share = task % shares;
      const size_t last = std::min<size_t>(static_cast<size_t>(count), (block + 1) * ROWS_A_TASK);
      const size_t unit = WORD / LANES, to = share + 1 == shares ? vectors_ : vectors_ * (share + 1) / shares / unit * unit;
      alignas(64) int32_t sums[MAX_ROWS * MAX_VECTORS * LANES];
      alignas(64) float elsewhere[MAX_VECTORS * LANES];
      for (size_t v = vectors_ * share / shares / unit * unit; v < to; v += MAX_VECTORS) {
        const size_t width = std::min<size_t>(MAX_VECTORS, to - v);
        const size_t o = v * LANES, wide = std::min(out - o, width * LANES);
        for (size_t m = block * ROWS_A_TASK; m < last; m += MAX_ROWS) {
          const size_t high = std::min<size_t>(MAX_ROWS, last - m);
          for (size_t base = 0, at = o; base < bases_; ++base, at += column) {
            tier_.and_popcount(bits + m * words, words, static_cast<int>(high), weight_.data() + at, offsets_.data(),
                               words, static_cast<int>(width), sums);
            for (size_t i = 0; i < high; ++i) {
              const size_t place = (m + i) * out + o;
              float* row = epilogue.y == nullptr ? elsewhere : epilogue.y + place;
              float* each = base == 0 ? row : elsewhere;
              tier_.finish_row(sums + i * width * LANES, ones[m + i], shift(), correction_.data() + at, scale_.data() + at,
                               bias_.data() + at, wide, each);
              if (base > 0) tier_.epilogue(row, each, wide, Act::NONE);
              epilogue(tier_, row, place, wide);
              if (epilogue.words == nullptr) continue;
              const float* next = next_.data() + o * static_cast<size_t>(next_stride_);
              tier_.pack_row(row, wide, next, next_stride_, epilogue.words + (m + i) * words_out + o / WORD);
            }
          }
        }
      }
    });
  }

 private:
  static constexpr size_t SLACK = (MAX_VECTORS + 1) * LANES;  // the last vectors read past the last row
  static constexpr size_t ROWS_A_TASK = 32;
  static constexpr size_t TASKS = 8;  // enough to keep a few threads busy to the end
  static constexpr size_t OUTPUTS_A_TASK = 32;  // fewer are not worth adding up `ones` again

  // Sums are 4A - 2B or 2A - B plus a term that depends only on the output.
  int shift() const { return sign_ ? 2 : 1; }

  // Bytes of an element of a plane.
  size_t element() const { return nibbles_ == nullptr ? sizeof(uint32_t) : 1; }

  // Signs of a linear layer as columns, [word][base][O up to a vector], its corrections, scales and bias.
  void columns(const Layer& layer) {
    const Geometry& g = geometry_;
    const size_t outputs = static_cast<size_t>(g.outputs) / bases_;
    vectors_ = static_cast<size_t>(up(static_cast<int64_t>(outputs), LANES));
    const size_t column = vectors_ * LANES, wide = bases_ * column;
    weight_.assign(static_cast<size_t>(words_) * wide + SLACK, 0);
    correction_.assign(wide, 0);
    scale_.assign(wide, 0.0f);
    bias_.assign(wide, 0.0f);
    std::vector<uint32_t> row(static_cast<size_t>(words_));
    std::vector<uint8_t> spare;
    for (size_t o = 0; o < static_cast<size_t>(g.outputs); ++o) {
      const size_t at = o / outputs * column + o % outputs;
      layer.words(static_cast<int64_t>(o), row.data(), spare);
      int32_t plus = 0;
      for (size_t w = 0; w < row.size(); ++w) {
        weight_[w * wide + at] = row[w];
        plus += __builtin_popcount(row[w]);
      }
      if (sign_) correction_[at] = static_cast<int32_t>(g.channels) - 2 * plus;
      scale_[at] = layer.scale[o];
      bias_[at] = layer.bias[o];
    }
    for (int64_t w = 0; w < words_; ++w) offsets_.push_back(static_cast<ptrdiff_t>(w) * static_cast<ptrdiff_t>(wide));
  }

  // What is counted in common with the planes of an input: [row][plane][tap], as words or as nibbles times 16.
  struct Rows {
    std::vector<uint32_t> words;
    std::vector<uint8_t> nibbles;
  };

  // Signs of a convolution as rows, and W per tap.
  void rows(const Layer& layer) {
    const Geometry& g = geometry_;
    const size_t outputs = static_cast<size_t>(g.outputs), taps = static_cast<size_t>(g.taps());
    std::vector<uint32_t> row(static_cast<size_t>(words_) * taps);
    std::vector<uint8_t> spare;
    signs_ = make_rows(outputs);
    plus_.assign(outputs * taps, 0);
    for (size_t o = 0; o < outputs; ++o) {
      layer.words(static_cast<int64_t>(o), row.data(), spare);
      for (size_t s = 0; s < row.size(); ++s) plus_[o * taps + s % taps] += __builtin_popcount(row[s]);
      put(row, o, signs_);
    }
    ones_ = make_rows(1);
    put(std::vector<uint32_t>(row.size(), ~0u), 0, ones_);
  }

  Rows make_rows(size_t count) const {
    Rows rows;
    if (nibbles_ == nullptr) {
      rows.words.resize(count * steps_);
    } else {
      rows.nibbles.resize(count * steps_);
    }
    return rows;
  }

  // A row of words, [word][tap], as number `number` of `rows`.
  void put(const std::vector<uint32_t>& row, size_t number, Rows& rows) const {
    if (nibbles_ == nullptr) {
      std::copy(row.begin(), row.end(), rows.words.begin() + static_cast<ptrdiff_t>(number * steps_));
      return;
    }
    const size_t taps = static_cast<size_t>(geometry_.taps());
    for (size_t s = 0; s < steps_; ++s) {
      const size_t plane = s / taps, word = plane / NIBBLES_A_WORD * taps + s % taps;
      rows.nibbles[number * steps_ + s] = static_cast<uint8_t>((row[word] >> plane % NIBBLES_A_WORD * NIBBLE & 0xf) << 4);
    }
  }

  // sums[(i·vectors + v)·16 + l] = A of row `number` + i and position 16·(first + v) + l
  void and_popcount(const Plan& plan, const Rows& rows, size_t number, int count, const uint8_t* image, size_t first, int vectors,
                    int32_t* sums) const {
    const size_t from = number * steps_;
    if (nibbles_ == nullptr) {
      tier_.and_popcount(rows.words.data() + from, steps_, count, reinterpret_cast<const uint32_t*>(image) + first * LANES,
                         plan.offsets.data(), steps_, vectors, sums);
    } else {
      nibbles_->and_popcount(rows.nibbles.data() + from, steps_, count, image + first * LANES, plan.offsets.data(), steps_,
                             vectors, sums);
    }
  }

  Plan make_plan(int64_t height, int64_t width) const {
    Plan plan;
    static_cast<Im2rowLayout&>(plan) = im2row_layout(geometry_, height, width);
    plan.positions = plan.plane * plan.phases;
    require(1.0 * static_cast<double>(plan.positions) * static_cast<double>(words_) < LARGEST, "the image with its padding is too large");
    plan.image = plan.positions * static_cast<size_t>(planes_);
    for (int64_t p = 0; p < planes_; ++p) {
      for (ptrdiff_t tap : plan.taps) plan.offsets.push_back(static_cast<ptrdiff_t>(p) * static_cast<ptrdiff_t>(plan.positions) + tap);
    }
    kinds(plan);
    return plan;
  }

  // Which taps of each im2row position are inside the image, and what that adds to its sums.
  void kinds(Plan& plan) const {
    const Geometry& g = geometry_;
    plan.kind.assign(plan.vectors * LANES, 0);
    std::vector<uint16_t> of_rows, of_columns;
    std::vector<std::vector<bool>> rows, columns;
    inside(plan, 0, of_rows, rows);
    inside(plan, 1, of_columns, columns);
    plan.kinds = sign_ ? static_cast<int>(rows.size() * columns.size()) : 1;
    require(plan.kinds < 1 << 16, "padding cuts the kernel in too many ways");
    const size_t taps = static_cast<size_t>(g.taps());
    plan.correction.assign(static_cast<size_t>(g.outputs) * static_cast<size_t>(plan.kinds), 0);
    if (!sign_) return;
    for (int64_t row = 0; row < plan.out[0]; ++row) {
      for (int64_t column = 0; column < plan.out[1]; ++column) {
        plan.kind[static_cast<size_t>(row * plan.pitch[1] + column)] = static_cast<uint16_t>(
            of_rows[static_cast<size_t>(row)] * columns.size() + of_columns[static_cast<size_t>(column)]);
      }
    }
    for (int64_t o = 0; o < g.outputs; ++o) {
      int32_t* correction = plan.correction.data() + static_cast<size_t>(o) * static_cast<size_t>(plan.kinds);
      for (size_t r = 0; r < rows.size(); ++r) {
        for (size_t c = 0; c < columns.size(); ++c, ++correction) {
          for (size_t t = 0; t < taps; ++t) {
            const size_t kernel = static_cast<size_t>(g.kernel[1]);
            if (!rows[r][t / kernel] || !columns[c][t % kernel]) continue;
            *correction += static_cast<int32_t>(g.channels_per_group()) - 2 * plus_[static_cast<size_t>(o) * taps + t];
          }
        }
      }
    }
  }

  // For each output along an axis the number of its set of taps that are inside the image, and those sets.
  void inside(const Plan& plan, int axis, std::vector<uint16_t>& of, std::vector<std::vector<bool>>& sets) const {
    const Geometry& g = geometry_;
    std::map<std::vector<bool>, uint16_t> known;
    for (int64_t i = 0; i < plan.out[axis]; ++i) {
      std::vector<bool> set;
      for (int64_t k = 0; k < g.kernel[axis]; ++k) {
        const int64_t at = i * g.stride[axis] + k * g.dilation[axis] - g.begin[axis];
        set.push_back(at >= 0 && at < plan.in[axis]);
      }
      const auto found = known.emplace(set, static_cast<uint16_t>(sets.size()));
      if (found.second) sets.push_back(set);
      of.push_back(found.first->second);
    }
  }

  // A word's 32 channels of an image into their planes.
  void pack(const Plan& plan, const Activations& x, size_t image, size_t group, size_t word, uint8_t* bits) const {
    if (nibbles_ == nullptr) return pack_words(plan, x, image, group, word, reinterpret_cast<uint32_t*>(bits) + word * plan.positions);
    Scratch words(plan.positions * sizeof(uint32_t));
    pack_words(plan, x, image, group, word, words.as<uint32_t>());
    const size_t before = word * NIBBLES_A_WORD, planes = std::min<size_t>(NIBBLES_A_WORD, static_cast<size_t>(planes_) - before);
    nibbles_->split(words.as<uint32_t>(), plan.positions, static_cast<int>(planes), bits + before * plan.positions, plan.positions);
  }

  // The same as words, in one plane.
  void pack_words(const Plan& plan, const Activations& x, size_t image, size_t group, size_t word, uint32_t* plane) const {
    const Geometry& g = geometry_;
    const int64_t per_group = g.channels_per_group(), pixels = plan.in[0] * plan.in[1];
    const int64_t channel = static_cast<int64_t>(word) * WORD;
    const int channels = static_cast<int>(std::min<int64_t>(WORD, per_group - channel));
    const int64_t first = static_cast<int64_t>(group) * per_group + channel;
    const float* threshold = threshold_.data() + first * threshold_stride_;
    const size_t count = static_cast<size_t>(pixels), channels_before = image * static_cast<size_t>(g.channels) + static_cast<size_t>(first);
    const size_t words_before = (image * static_cast<size_t>(g.group) + group) * static_cast<size_t>(words_) + word;
    const Activations from = x.from(channels_before * count, words_before * count);
    const bool as_it_is = plan.positions == count && g.begin[0] == 0 && g.begin[1] == 0 && g.stride[0] == 1 && g.stride[1] == 1;
    if (as_it_is && packed_) {
      std::memcpy(plane, from.words, count * sizeof(uint32_t));
    } else if (as_it_is) {
      tier_.pack_planes(from.values, count, channels, threshold, threshold_stride_, count, plane);
    } else if (packed_) {
      spread_rows(plan, from.words, plane);
    } else {
      Scratch dense(count * sizeof(uint32_t));
      tier_.pack_planes(from.values, count, channels, threshold, threshold_stride_, count, dense.as<uint32_t>());
      spread_rows(plan, dense.as<uint32_t>(), plane);
    }
  }

  // The words of an image into the planes of its phases, with padding around them.
  void spread_rows(const Plan& plan, const uint32_t* from, uint32_t* planes) const {
    const Geometry& g = geometry_;
    std::memset(planes, 0, plan.positions * sizeof(uint32_t));
    for (int64_t y = 0; y < plan.in[0]; ++y) {
      const int64_t row = (y + g.begin[0]) / g.stride[0];
      if (row >= plan.pitch[0]) continue;
      uint32_t* phases = planes + (y + g.begin[0]) % g.stride[0] * g.stride[1] * static_cast<int64_t>(plan.plane);
      spread(plan, from + y * plan.in[1], phases + row * plan.pitch[1]);
    }
  }

  void spread(const Plan& plan, const uint32_t* from, uint32_t* row) const {
    const Geometry& g = geometry_;
    if (g.stride[1] == 1) {
      const int64_t room = std::min(plan.in[1], plan.pitch[1] - g.begin[1]);
      if (room > 0) std::memcpy(row + g.begin[1], from, static_cast<size_t>(room) * sizeof(uint32_t));
      return;
    }
    for (int64_t x = 0; x < plan.in[1]; ++x) {
      const int64_t column = (x + g.begin[1]) / g.stride[1], phase = (x + g.begin[1]) % g.stride[1];
      if (column < plan.pitch[1]) row[phase * static_cast<int64_t>(plan.plane) + column] = from[x];
    }
  }

  // Some outputs of a group, `from` to `to`, at a tile of im2row positions.
  void tile(const Plan& plan, const uint8_t* bits, size_t image, size_t group, size_t first, size_t from, size_t to,
            const Epilogue& epilogue) const {
    const int vectors = static_cast<int>(std::min<size_t>(MAX_VECTORS, plan.vectors - first));
    const Geometry& g = geometry_;
    const size_t outputs = static_cast<size_t>(g.outputs_per_group()) / bases_, kinds = static_cast<size_t>(plan.kinds);
    const size_t words_out = static_cast<size_t>(up(g.outputs, WORD)), channels = static_cast<size_t>(g.outputs) / bases_;
    const size_t pixels = static_cast<size_t>(plan.out[0] * plan.out[1]), width = static_cast<size_t>(vectors) * LANES;
    alignas(64) int32_t ones[MAX_VECTORS * LANES], sums[MAX_ROWS * MAX_VECTORS * LANES];
    alignas(64) float elsewhere[WORD * MAX_VECTORS * LANES];
    const Im2row im2row = plan.im2row();
    const size_t begin = static_cast<size_t>(plan.first[first]);
    const size_t count = static_cast<size_t>(plan.first[first + static_cast<size_t>(vectors)]) - begin;
    and_popcount(plan, ones_, 0, 1, bits, first, vectors, ones);
    for (size_t i = 0; i < width; ++i) ones[i] <<= shift() - 1;
    for (size_t i = from; i < to; i += MAX_ROWS) {
      const size_t high = std::min<size_t>(MAX_ROWS, to - i);
      for (size_t base = 0; base < bases_; ++base) {
        const size_t o = (group * bases_ + base) * outputs + i;
        and_popcount(plan, signs_, o, static_cast<int>(high), bits, first, vectors, sums);
        for (size_t r = 0; r < high; ++r) {
          const Affine affine{shift(), plan.correction.data() + (o + r) * kinds, scale_[o + r], bias_[o + r]};
          const size_t place = (image * channels + group * outputs + i + r) * pixels + begin;
          float* piece = epilogue.y == nullptr ? elsewhere + (i + r) % WORD * width : epilogue.y + place;
          // what the bases before it left there is added as a residual is
          const AddRelu add_relu = base == 0 ? epilogue.add_relu(place) : AddRelu{piece, false};
          tier_.finish_im2row(sums + r * width, ones, im2row, first, vectors, affine, add_relu, piece);
          epilogue.remainder(tier_, piece, count);
        }
      }
      const size_t done = i + high;
      if (epilogue.words == nullptr || (done % WORD != 0 && done != to)) continue;
      const size_t word = i / WORD, channel = group * outputs + word * WORD;
      const float* values = epilogue.y == nullptr ? elsewhere : epilogue.y + (image * channels + channel) * pixels + begin;
      tier_.pack_planes(values, epilogue.y == nullptr ? width : pixels, static_cast<int>(done - word * WORD),
                        next_.data() + channel * static_cast<size_t>(next_stride_), next_stride_, count,
                        epilogue.words + (image * words_out + channel / WORD) * pixels + begin);
    }
  }

  static constexpr int64_t EXACT = int64_t{1} << 24;
  static constexpr double LARGEST = 1u << 31;  // words of one image

  const Tier& tier_;
  const Geometry geometry_;
  const bool sign_;
  const int threshold_stride_, next_stride_;
  const bool packed_;
  const std::vector<float> threshold_, next_;
  const size_t bases_;
  const Nibbles* const nibbles_;  // null: planes are of words
  std::vector<float> scale_, bias_;
  int64_t words_ = 0, planes_ = 0;
  size_t steps_ = 0, vectors_ = 0;
  std::vector<uint32_t> weight_;  // of a linear layer
  Rows signs_, ones_;             // of a convolution
  // A convolution of 1 x 1 as the linear layer that it is for images of one pixel: behind a global pooling.
  std::unique_ptr<const Popcount> of_a_pixel_;
  std::vector<ptrdiff_t> offsets_;
  std::vector<int32_t> correction_, plus_;
  Plans<Plan> plans_;
};

}  // namespace

std::unique_ptr<Product> popcount_product(const Layer& layer, const Tier& tier) {
  return std::make_unique<Popcount>(layer, tier);
}

}  // namespace binarize
