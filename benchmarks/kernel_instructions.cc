// How long do the instructions take that products with ±1 can be made of, on this CPU?
//
//     mkdir -p build && g++ -O2 -std=c++17 -mavx512f -mavx512bw -mavx512vnni -mavx512vbmi -mavx512vpopcntdq \
//       -o build/instructions benchmarks/kernel_instructions.cc && build/instructions
//
// Each line: nanoseconds of one (or of one group), in a loop of 24 on registers of their own, the best of five.
#include <algorithm>
#include <chrono>
#include <cstdio>

namespace {

constexpr int LOOPS = 1000000, UNROLLED = 24;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

template <class Body>
void measure(const char* name, const Body& body) {
  double best = 1e9;
  for (int i = 0; i < 5; ++i) {
    const double began = now();
    for (int n = 0; n < LOOPS; ++n) body();
    best = std::min(best, now() - began);
  }
  std::printf("%-28s %.3f ns\n", name, best * 1e9 / LOOPS / UNROLLED);
}

}  // namespace

// k: a register that the instruction adds to.
#define TIMES_24(X) \
  X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) \
  X(21) X(22) X(23)
#define ADD(k) "vaddps %%zmm29, %%zmm" #k ", %%zmm" #k "\n"
#define FMA(k) asm volatile("vfmadd231ps %%zmm31, %%zmm30, %%zmm" #k "\n" ::: "xmm0");
#define VNNI(k) asm volatile("vpdpbusd %%zmm31, %%zmm30, %%zmm" #k "\n" ::: "xmm0");
#define TABLE_16(k) asm volatile("vpermps %%zmm31, %%zmm30, %%zmm29\n" ADD(k)::: "xmm0");
#define TABLE_32(k) \
  asm volatile("vmovdqa64 %%zmm28, %%zmm29\n vpermi2ps %%zmm31, %%zmm30, %%zmm29\n" ADD(k)::: "xmm0");
#define BYTES_128(k) \
  asm volatile("vmovdqa64 %%zmm28, %%zmm29\n vpermi2b %%zmm31, %%zmm30, %%zmm29\n vpdpbusd %%zmm27, %%zmm29, %%zmm" #k \
               "\n" ::: "xmm0");
#define BYTES_64(k) \
  asm volatile("vpermb %%zmm31, %%zmm30, %%zmm29\n vpdpbusd %%zmm27, %%zmm29, %%zmm" #k "\n" ::: "xmm0");
#define POPCOUNT(k) \
  asm volatile("vpandd %%zmm31, %%zmm30, %%zmm29\n vpopcntd %%zmm29, %%zmm29\n vpaddd %%zmm29, %%zmm" #k ", %%zmm" #k \
               "\n" ::: "xmm0");
// Look-ups whose signs come from one word: the next ones by shifts, or by the upper halves of products of 16 bits.
#define LOOK_UP(k) \
  "vmovdqa64 %%zmm28, %%zmm29\n vpermi2ps %%zmm31, %%zmm30, %%zmm29\n vaddps %%zmm29, %%zmm" #k ", %%zmm" #k "\n"
#define SHIFT "vpsrld $8, %%zmm28, %%zmm28\n"
#define HIGH_HALF "vpmulhuw %%zmm27, %%zmm26, %%zmm28\n"
#define SHIFTED(a, b, c, d) asm volatile(LOOK_UP(a) SHIFT LOOK_UP(b) SHIFT LOOK_UP(c) SHIFT LOOK_UP(d)::: "xmm0");
#define MULTIPLIED(a, b, c) asm volatile(LOOK_UP(a) HIGH_HALF LOOK_UP(b) HIGH_HALF LOOK_UP(c)::: "xmm0");

int main() {
  measure("vfmadd231ps", [] { TIMES_24(FMA) });
  measure("vpdpbusd", [] { TIMES_24(VNNI) });
  measure("vpermps + vaddps", [] { TIMES_24(TABLE_16) });
  measure("vpermi2ps + vaddps", [] { TIMES_24(TABLE_32) });
  measure("... three of four by vpsrld", [] {
    SHIFTED(0, 1, 2, 3) SHIFTED(4, 5, 6, 7) SHIFTED(8, 9, 10, 11) SHIFTED(12, 13, 14, 15) SHIFTED(16, 17, 18, 19)
    SHIFTED(20, 21, 22, 23)
  });
  measure("... two of three by vpmulhuw", [] {
    MULTIPLIED(0, 1, 2) MULTIPLIED(3, 4, 5) MULTIPLIED(6, 7, 8) MULTIPLIED(9, 10, 11) MULTIPLIED(12, 13, 14)
    MULTIPLIED(15, 16, 17) MULTIPLIED(18, 19, 20) MULTIPLIED(21, 22, 23)
  });
  measure("vpermb + vpdpbusd", [] { TIMES_24(BYTES_64) });
  measure("vpermi2b + vpdpbusd", [] { TIMES_24(BYTES_128) });
  measure("vpandd + vpopcntd + vpaddd", [] { TIMES_24(POPCOUNT) });
}
