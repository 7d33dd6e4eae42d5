// Any CPU.
#include "portable.h"
#include "stem_loops.h"

namespace binarize {

namespace {
bool always() { return true; }

struct Vector {
  using V = float;
  static constexpr int WIDTH = 1;
  static V load(const float* from) { return *from; }
  static void store(float* to, V a) { *to = a; }
  static V all(float value) { return value; }
  static V add(V a, V b) { return a + b; }
  static V sub(V a, V b) { return a - b; }
  static V max(V a, V b) { return a > b ? a : b; }
  static V fma(V a, V b, V c) { return a * b + c; }
};
}  // namespace

const Tier SCALAR = {
    "scalar",
    always,
    portable::pack_planes,
    portable::pack_row,
    portable::and_popcount,
    portable::finish_im2row,
    portable::finish_row,
    /*bits=*/4,
    /*fields=*/8,
    /*field_stride=*/4,
    /*pixels=*/4,
    /*outputs=*/16,
    portable::build<4>,
    portable::lookup<4, 8>,
    portable::finish_sums,
    portable::transpose,
    portable::epilogue,
    stem::loops<Vector, 1>(),
};

}  // namespace binarize
