#include "stem.h"

#include <algorithm>
#include <cstring>

#include "error.h"
#include "scratch.h"

namespace binarize {

using stem::POINTS;
using stem::TILE;

namespace {

constexpr int64_t ROWS_A_TASK = 13;  // pooled rows: 27 convolved ones, nine rows of tiles without a remainder
constexpr int64_t PADDING = 3;
constexpr size_t PARTS = 4;  // even and odd rows and columns
constexpr double LARGEST = 1u << 31;  // bytes of a row of anything

// Values at the points of a polynomial of four coefficients, over the denominators of its interpolation.
constexpr double G[POINTS][4] = {
    {1, 0, 0, 0},
    {1 / 3.0, 1 / 3.0, 1 / 3.0, 1 / 3.0},
    {-1 / 3.0, 1 / 3.0, -1 / 3.0, 1 / 3.0},
    {-16 / 15.0, -8 / 15.0, -4 / 15.0, -2 / 15.0},
    {1 / 15.0, -2 / 15.0, 4 / 15.0, -8 / 15.0},
    {0, 0, 0, 1},
};

}  // namespace

struct Stem::Image {
  const float* x;
  float* y;
  int64_t in[2], convolved[2], pooled[2];
  size_t tiles, columns;  // in a row
};

Stem::Stem(int64_t outputs, int64_t channels, const float* weight, const float* bias, const Tier& tier)
    : tier_(tier),
      outputs_(outputs),
      channels_(channels),
      wide_(static_cast<size_t>(up(outputs, LANES) * LANES)) {
  require(channels >= 1 && channels <= MAX_CHANNELS, "weight needs 1 to 4 channels");
  const size_t parts = PARTS * static_cast<size_t>(channels);
  weight_.assign(POINTS * POINTS * parts * wide_, 0.0f);
  for (size_t o = 0; o < static_cast<size_t>(outputs); ++o) {
    for (size_t k = 0; k < parts; ++k) {
      const float* w = weight + (o * static_cast<size_t>(channels) + k / PARTS) * KERNEL * KERNEL;
      for (int i = 0; i < POINTS; ++i) {
        for (int j = 0; j < POINTS; ++j) {
          double sum = 0;
          for (size_t a = k / 2 % 2; a < KERNEL; a += 2) {
            for (size_t b = k % 2; b < KERNEL; b += 2) sum += G[i][a / 2] * G[j][b / 2] * static_cast<double>(w[a * KERNEL + b]);
          }
          const size_t at = ((o / LANES * POINTS + static_cast<size_t>(i)) * parts + k) * POINTS + static_cast<size_t>(j);
          weight_[at * LANES + o % LANES] = static_cast<float>(sum);
        }
      }
    }
  }
  bias_.assign(bias, bias + outputs);
  bias_.resize(wide_, 0.0f);
  ones_.assign(wide_, 1.0f);
  zeros_.assign(wide_, 0.0f);
}

void Stem::run(const float* x, int64_t count, int64_t height, int64_t width, float* y, const Parallel& parallel) const {
  Image image{};
  const int64_t in[2] = {height, width};
  for (int axis = 0; axis < 2; ++axis) {
    image.in[axis] = in[axis];
    image.convolved[axis] = convolved(in[axis]);
    image.pooled[axis] = pooled(in[axis]);
  }
  image.tiles = static_cast<size_t>(up(image.convolved[1], TILE));
  image.columns = (image.tiles - 1) * TILE + POINTS;
  require(static_cast<double>(image.columns) * static_cast<double>(wide_) * sizeof(float) < LARGEST, "x is too wide");
  const int64_t shares = up(image.pooled[0], ROWS_A_TASK);
  parallel(static_cast<size_t>(count * shares), [&](size_t task) {
    const int64_t number = static_cast<int64_t>(task) / shares, first = static_cast<int64_t>(task) % shares * ROWS_A_TASK;
    Image own = image;
    own.x = x + number * channels_ * height * width;
    own.y = y + number * outputs_ * image.pooled[0] * image.pooled[1];
    some_rows(own, first, std::min(first + ROWS_A_TASK, image.pooled[0]));
  });
}

// Pooled rows `first` to `last`. Rows of the image and of the convolution are kept as long as a later row of tiles
// or a later pooled row needs them: POINTS of each, in turn.
void Stem::some_rows(const Image& image, int64_t first, int64_t last) const {
  const size_t gathered = image.columns * LANES, convolved = image.tiles * TILE * wide_;
  Scratch memory((POINTS * (2 * gathered + convolved) + static_cast<size_t>(image.pooled[1]) * wide_) * sizeof(float));
  float* const rows = memory.as<float>();
  float* const points = rows + POINTS * gathered;
  float* const outputs = points + POINTS * gathered;
  float* const pooled = outputs + POINTS * convolved;
  const auto row_of = [&](int64_t row) { return rows + static_cast<size_t>((row + POINTS) % POINTS) * gathered; };
  const auto output_of = [&](int64_t row) { return outputs + static_cast<size_t>((row + POINTS) % POINTS) * convolved; };

  const int64_t begin = 2 * first - 1;  // a row of padding, for the first
  for (int64_t i = begin; i < begin + POINTS - TILE; ++i) gather(image, i, row_of(i));
  int64_t next = first;
  for (int64_t row = begin; next < last; row += TILE) {
    const float* six[POINTS];
    for (int i = 0; i < POINTS; ++i) {
      if (i >= POINTS - TILE) gather(image, row + i, row_of(row + i));
      six[i] = row_of(row + i);
    }
    tier_.stem.transform(six, image.columns, points);
    float* const to[TILE] = {output_of(row), output_of(row + 1), output_of(row + 2)};
    tier_.stem.tiles(points, image.tiles, image.columns, weight_.data(), bias_.data(), wide_,
                     PARTS * static_cast<size_t>(channels_), to);
    for (; next < last && (2 * next + 1 < row + TILE || image.convolved[0] <= row + TILE); ++next) {
      const float* three[TILE];
      // outside the image a neighbour is repeated, which changes no maximum
      for (int i = 0; i < TILE; ++i) three[i] = output_of(std::clamp<int64_t>(2 * next - 1 + i, 0, image.convolved[0] - 1));
      tier_.stem.pool(three, static_cast<size_t>(image.convolved[1]), wide_, pooled);
      tier_.transpose(pooled, wide_, static_cast<size_t>(image.pooled[1]), static_cast<size_t>(outputs_), ones_.data(), zeros_.data(),
                 {}, image.y + next * image.pooled[1], static_cast<size_t>(image.pooled[0] * image.pooled[1]));
    }
  }
}

// Two rows of the image and its padding, 2·row - 3 and the next, as columns of LANES values: lane 4c + 2p + q of
// column j is channel c of row p of the two at 2j + q - 3.
void Stem::gather(const Image& image, int64_t row, float* to) const {
  std::memset(to, 0, image.columns * LANES * sizeof(float));
  const int64_t columns = static_cast<int64_t>(image.columns), width = image.in[1];
  for (int64_t c = 0; c < channels_; ++c) {
    for (int64_t p = 0; p < 2; ++p) {
      const int64_t y = 2 * row + p - PADDING;
      if (y < 0 || y >= image.in[0]) continue;
      const float* from = image.x + (c * image.in[0] + y) * width;
      for (int64_t q = 0; q < 2; ++q) {
        float* lane = to + 4 * c + 2 * p + q;
        const int64_t end = std::min(columns, (width + PADDING - q + 1) / 2);
        for (int64_t j = (PADDING - q + 1) / 2; j < end; ++j) lane[j * LANES] = from[2 * j + q - PADDING];
      }
    }
  }
}

}  // namespace binarize
