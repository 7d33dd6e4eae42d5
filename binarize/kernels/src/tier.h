// What an instruction set provides: the inner loops of all ops, each with one meaning on every tier.
//
// Everything around them (padding, strides, groups, threads, the order of loops) is in popcount.cc, lookup.cc and
// int8.cc and the same everywhere.
#pragma once

#include <cstddef>
#include <cstdint>

#include "layer.h"

namespace binarize {

constexpr int LANES = 16;        // columns in a vector of sums, on every tier
constexpr int MAX_ROWS = 4;      // of a tile of sums
constexpr int MAX_VECTORS = 6;   // of a tile of sums
constexpr int MAX_PIXELS = 6;    // of a tile of lookups
constexpr int MAX_OUTPUTS = 64;  // of a tile of lookups
constexpr int LINE = 64;         // channels in a line of int8
constexpr int MAX_TILES = 6;     // of sums of int8 products

// How the positions of the im2row layout (im2row.h), 16 a vector, become outputs: rows of outputs lie in wider rows of inputs.
struct Im2row {
  const uint16_t* valid;  // [vectors] bit l: lane l is an output
  const int32_t* first;   // [vectors] the dense position of the first valid lane
  const uint16_t* kind;   // [vectors][16] which taps are inside the image, as a number below `kinds`
  int kinds;
};

// Integer sums to outputs: y = float(sum·2^shift - ones + correction[kind])·scale + bias
struct Affine {
  int shift;
  const int32_t* correction;
  float scale, bias;
};

// The part of an epilogue that is fused while outputs are still in registers: a residual, laid out like them and beginning
// with the same one (null: none), then ReLU, which keeps NaN.
struct AddRelu {
  const float* residual = nullptr;
  bool relu = false;
};

// A float stem, see stem.h: tiles of TILE x TILE outputs by their values at POINTS x POINTS points.
namespace stem {

constexpr int TILE = 3, POINTS = 6;

struct Loops {
  // to[(i·columns + j)·16 + l]: the values at point i of six rows, rows[0..5][j·16 + l].
  void (*transform)(const float* const rows[POINTS], size_t columns, float* to);
  // Three rows of outputs, to[r][(3t + c)·wide + o], o < wide, not below 0, for `count` tiles t from such values,
  // weights [wide / 16][POINTS][channels][POINTS][16] and biases [wide]; columns of `rows` hold `channels` <= 16 values.
  void (*tiles)(const float* rows, size_t count, size_t columns, const float* weight, const float* bias, size_t wide,
                size_t channels, float* const to[TILE]);
  // y[q·wide + o]: the largest of columns 2q - 1 to 2q + 1, where they are below `columns`, of three rows.
  void (*pool)(const float* const rows[TILE], size_t columns, size_t wide, float* y);
};

}  // namespace stem

// How floats become integers, of two or three int8 slices in radix 256, and their sums floats again:
//
//     q = x·inverse + zero_point, rounded once to an integer: at most 4161000 in size with three slices, 32639 with two
//     x = (q - zero_point)·value
struct Unit {
  float inverse = 0.0f, value = 0.0f;
  int32_t zero_point = 0;  // 0 with three slices
};

// What the outputs from one on have: ones, the sums of their signs.
struct Channels {
  const float *scale, *bias;
  const int32_t* ones;
};

// Products of int8 by ±1, for CPUs with matrix tiles. The inputs of a pixel are a line of 64 channels; sums come in
// tiles of 16 pixels by 16 outputs.
struct Int8 {
  // Before and after a thread's calls of `multiply`.
  void (*begin)();
  void (*end)();

  // lines[place[i]·64 + c] = (bit c of high[i·step]:low[i·step] ? 1 : smaller), or 0 from c = channels on;
  // i < count, but not where place[i] < 0; c < 64
  void (*spread)(const uint32_t* low, const uint32_t* high, size_t step, int channels, int smaller, const int32_t* place,
                 size_t count, int8_t* lines);
  // The largest |x|; NaN where there is one.
  float (*largest)(const float* x, size_t count);
  // The smallest x, or 0 where that is less; NaN is ignored.
  float (*smallest)(const float* x, size_t count);
  // lines[d·slice + place[i]·64 + c] = slice d < slices, 0 the lowest, of x[c·stride + i], or of 0 from c = channels on; i
  // and c as above
  void (*slice_planes)(const float* x, size_t stride, int channels, size_t count, const Unit& unit, int slices,
                       const int32_t* place, size_t slice, int8_t* lines);
  // lines[d·slice + (c / 64)·block + c % 64] = slice d of x[c], or of 0 from c = channels on, to the end of the block
  void (*slice_row)(const float* x, size_t channels, const Unit& unit, int slices, size_t slice, size_t block, int8_t* lines);

  // sums[((p·slices + d)·16 + i)·16 + o] = sum over s < steps and c < 64 of
  //     lines[d·slice + offsets[s] + (16·p + i)·64 + c] · (bit 4·o + c % 4 of signs[16·s + c / 4] ? 1 : -1)
  // p < tiles, d < slices, tiles·slices <= MAX_TILES; lines and offsets are multiples of 64
  void (*multiply)(const int8_t* lines, int tiles, int slices, size_t slice, const ptrdiff_t* offsets, size_t steps,
                   const uint64_t* signs, int32_t* sums);

  // Outputs from the sums: v·scale[o] + bias[o], each rounded once, where v = float(sum) of one slice,
  // float(256·sum1 + sum0 - zero_point·ones[o])·value of two, or (65536·sum2 + float(256·sum1 + sum0))·value of three;
  // o < outputs <= 16.
  // To y[o·plane + n], n counting the lanes that are valid, over all tiles.
  void (*finish_planes)(const int32_t* sums, int tiles, int slices, const Unit& unit, const uint16_t* valid, int outputs,
                        const Channels& channels, float* y, size_t plane);
  // To y[i·row + o] with units[i], i < count <= 16·tiles.
  void (*finish_rows)(const int32_t* sums, size_t count, int slices, const Unit* units, int outputs, const Channels& channels,
                      float* y, size_t row);
};

// How sums of four integers are cut: `planes` parts of `bits` bits, the lowest first. The integers have two bits less.
// 6 bits in 2 to 4 planes, or 5 bits in 2.
struct Cut {
  int planes = 4, bits = 6;

  int value_bits() const { return planes * bits - 2; }
  // Tables whose parts are added up in a byte.
  size_t tables_at_once() const { return bits == 5 ? 8 : 4; }
  // Sums in 32 bits: one of two planes, the second of those above them.
  int halves() const { return (planes + 1) / 2; }
  // Blocks of outputs that are summed in one go.
  size_t blocks_at_once() const { return halves() == 1 ? 2 : 1; }
  size_t table_bytes() const { return static_cast<size_t>(planes) * 16; }
};

constexpr size_t PLANES_BLOCK = 32;  // outputs that are summed together
constexpr size_t PLANES_SUMS = 2 * PLANES_BLOCK;  // of a pixel: those of the lower half, then of the upper one or of a second block
constexpr size_t PLANES_ADDITIONS = 130;          // of bytes that fit 15 bits

// Products of integers of up to 22 bits by ±1, from tables of bytes (planes.cc).
struct Planes {
  // In which byte of 32 the index of output o < 32 lies.
  const uint8_t* place;
  // The least and the largest of x and 0; NaN, both, where x holds NaN or infinity.
  void (*range)(const float* x, size_t count, float* least, float* largest);
  // q[i] = x[i]·inverse, rounded to float32 and then to an integer, + zero_point
  void (*quantise)(const float* x, size_t count, const Unit& unit, int32_t* q);
  // Byte e of plane p of table i, to[i·step + 16·p + e] = part p of the sum over bit b of e of q[i·item + b·channel],
  // e < 16, i < count; the sums have planes·bits bits.
  void (*build)(const Cut& cut, const int32_t* q, ptrdiff_t channel, ptrdiff_t item, size_t count, uint8_t* to, size_t step);
  // sums[i·PLANES_SUMS + 32·h + o] = (add ? the same : 0) + sum over t < tap_count, g < tables, planes p = 2·h + k of
  //     2^(bits·k)·at[i][taps[t] + g·table_bytes + 16·p + e], where e = index[(t·tables + g)·32 + place[o]] < 16
  // i < count, h < halves; tables are a multiple of tables_at_once, tap_count·tables / tables_at_once at most PLANES_ADDITIONS.
  // Where `second` is not null, which takes one half, the same by that index to sums[i·PLANES_SUMS + 32 + o].
  void (*sum)(const Cut& cut, const uint8_t* const* at, size_t count, const ptrdiff_t* taps, size_t tap_count, size_t tables,
              const uint8_t* index, const uint8_t* second, bool add, int32_t* sums);
  // values[i·32 + o] = (2·sum - 2·zero_point·plus[o] - total[i])·value, where sum is that of pixel i and output o from
  // both halves of PLANES_SUMS, and the integer is rounded to float32 once; the unit of pixel i is units[i·unit_step]
  void (*combine)(const Cut& cut, const int32_t* sums, size_t count, const int32_t* plus, const int64_t* total, const Unit* units,
                  size_t unit_step, float* values);
};

// Popcounts of four channels at a time, for CPUs that look bytes up faster than they count bits: inputs are planes of nibbles,
// one for four channels, each nibble in a byte.
struct Nibbles {
  // to[n·plane + i] = bits 4n to 4n + 3 of words[i]; n < planes <= 8, i < count
  void (*split)(const uint32_t* words, size_t count, int planes, uint8_t* to, size_t plane);
  // sums[(i·vectors + v)·16 + l] = sum over s of popcount(rows[i·row_stride + s] / 16 & columns[offsets[s] + 16·v + l])
  void (*and_popcount)(const uint8_t* rows, size_t row_stride, int row_count, const uint8_t* columns, const ptrdiff_t* offsets,
                       size_t steps, int vectors, int32_t* sums);
};

// The activation of an epilogue; exact Gelu, y·(1 + erf(y/√2))/2. NaN stays NaN.
enum class Act { NONE, RELU, GELU, HARD_SWISH, SILU, HARD_SIGMOID };
constexpr int ACTS = 6;

struct Tier {
  const char* name;
  bool (*supported)();

  // --- binary inputs: XNOR-popcount ---------------------------------------------------------------------

  // words[i] has bit c where x[c·stride + i] >= threshold[c·threshold_stride]; c < channels <= 32, i < count.
  void (*pack_planes)(const float* x, size_t stride, int channels, const float* threshold, int threshold_stride,
                      size_t count, uint32_t* words);
  // words[w] has bit c where x[32·w + c] >= threshold[(32·w + c)·threshold_stride]; bits past count are 0.
  void (*pack_row)(const float* x, size_t count, const float* threshold, int threshold_stride, uint32_t* words);
  // sums[(i·vectors + v)·16 + l] = sum over s of popcount(rows[i·row_stride + s] & columns[offsets[s] + 16·v + l])
  void (*and_popcount)(const uint32_t* rows, size_t row_stride, int row_count, const uint32_t* columns,
                       const ptrdiff_t* offsets, size_t steps, int vectors, int32_t* sums);
  // Outputs of one channel from the sums of im2row positions 16·from and on, whose first is y[0]; ones like sums,
  // add_relu.residual like y, or y itself.
  void (*finish_im2row)(const int32_t* sums, const int32_t* ones, const Im2row& im2row, size_t from, int vectors,
                      const Affine& affine, const AddRelu& add_relu, float* y);
  // Outputs of one row: y[o] = float(sums[o]·2^shift - ones + correction[o])·scale[o] + bias[o], o < count.
  void (*finish_row)(const int32_t* sums, int32_t ones, int shift, const int32_t* correction,
                     const float* scale, const float* bias, size_t count, float* y);

  // --- float inputs: sums of `bits` values looked up by the signs of their weights ----------------------

  int bits;    // values in a table of 1 << bits sums
  int fields;  // tables that one word of signs looks up in, half of them by its lower 16 bits
  int field_stride;   // bits from one field of these to the next
  int pixels;  // of a tile of sums
  int outputs; // of a tile of sums, at most

  // entry e of table g of pixel i, tables[i·step + (g << bits) + e] = sum over b < bits of
  //     (bit b of e ? + : -) x[i·pixel + (g·bits + b)·channel]; channels from `channels` on count as 0
  // g < count, i < pixel_count
  void (*build)(const float* x, ptrdiff_t pixel, size_t pixel_count, ptrdiff_t channel, size_t channels, size_t count,
                float* tables, size_t step);
  // For a multiple of LANES outputs, no more than the tile's:
  // y[p·outputs + o] = (add ? y[p·outputs + o] : 0) + sum over table g < tables and tap t of entry e of
  // (tables_of[p] + taps[t])[g], where e is field g % fields of index[(g / fields·tap_count + t)·outputs + o];
  // p < pixel_count <= pixels
  void (*lookup)(const float* const* tables_of, int pixel_count, const ptrdiff_t* taps, size_t tap_count,
                 size_t tables, const uint32_t* index, int outputs, bool add, float* y);
  // y[o] = sums[o]·scale[o] + bias[o], o < count
  void (*finish_sums)(const float* sums, const float* scale, const float* bias, size_t count, float* y);
  // y[o·plane + p] = sums[p·step + o]·scale[o] + bias[o], p < pixels, o < outputs: from channels last to channels first; add_relu.residual
  // like y.
  void (*transpose)(const float* sums, size_t step, size_t pixels, size_t outputs, const float* scale, const float* bias,
               const AddRelu& add_relu, float* y, size_t plane);

  // --- both: the epilogue ---------------------------------------------------------------------------------

  // y[i] = act(y[i] + residual[i]), i < n; residual may be null, which adds nothing
  void (*epilogue)(float* y, const float* residual, size_t n, Act act);

  stem::Loops stem;

  // --- products of int8, where they are faster than both ------------------------------------------------

  const Int8* int8 = nullptr;

  // --- products of integers from tables of bytes, where they are faster than look-ups of floats ---------------

  const Planes* planes = nullptr;

  // --- popcounts of nibbles, where they are faster for convolutions --------------------------------------

  const Nibbles* nibbles = nullptr;
};

// The lowest bit of a field.
[[maybe_unused]] static constexpr int field_shift(int field, int fields, int field_stride) {
  return field / (fields / 2) * 16 + field % (fields / 2) * field_stride;
}

extern const Tier SCALAR;
#if defined(BINARIZE_X86)
extern const Planes AVX2_PLANES;
extern const Tier AVX2;
extern const Tier AVX512;
#endif
#if defined(BINARIZE_AMX)
extern const Int8 AMX_LOOPS;
extern const Tier AMX;
#endif
#if defined(BINARIZE_ARM64)
extern const Planes NEON_PLANES;
extern const Tier NEON;
#endif

// The best tier of this CPU and operating system, or the one that BINARIZE_TIER names. Throws Error where that
// is none, or one that cannot run here.
const Tier& tier();

}  // namespace binarize
