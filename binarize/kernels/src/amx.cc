// The tier of CPUs with AMX: the loops of AVX-512, and products of int8 in matrix tiles.
//
// This file is compiled for any CPU: it runs before the CPU at hand is known.
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "portable_int8.h"
#include "tier.h"

namespace binarize {

namespace {

constexpr unsigned TILE = 1u << 24, INT8 = 1u << 25;               // CPUID 7, EDX
constexpr long REQUEST = 0x1023 /* ARCH_REQ_XCOMP_PERM */, TILE_DATA = 18;  // of arch_prctl

// Linux gives a process the memory for tiles only if it asks.
bool has_tiles() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || (edx & TILE) == 0 || (edx & INT8) == 0) return false;
  return AVX512.supported() && syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}

// Whether tiles give what plain C++ gives, for one product of two steps. They have only been tested in an emulator: on a
// CPU where the results differ, the tier is not used.
bool multiplies_right() {
  constexpr int LINES = 2 * LANES, STEPS = 2, SUMS = 2 * 3 * LANES * LANES;
  constexpr size_t SLICE = (LINES + 1) * LINE;
  alignas(64) int8_t lines[3 * SLICE];
  uint64_t signs[STEPS * LANES], bits = 0x9e3779b97f4a7c15u;
  const auto next = [&] {
    bits = bits * 25214903917u + 11;
    return bits ^ bits >> 29;
  };
  for (int8_t& value : lines) value = static_cast<int8_t>(next());
  for (uint64_t& sign : signs) sign = next();
  const ptrdiff_t offsets[STEPS] = {0, LINE};
  alignas(64) int32_t given[SUMS], expected[SUMS];
  AMX_LOOPS.begin();
  AMX_LOOPS.multiply(lines, 2, 3, SLICE, offsets, STEPS, signs, given);
  AMX_LOOPS.end();
  portable::INT8.multiply(lines, 2, 3, SLICE, offsets, STEPS, signs, expected);
  return std::memcmp(given, expected, sizeof given) == 0;
}

bool supported() {
  static const bool known = has_tiles() && multiplies_right();
  return known;
}

Tier tier_of_amx() {
  Tier tier = AVX512;
  tier.name = "amx";
  tier.supported = supported;
  tier.int8 = &AMX_LOOPS;
  return tier;
}

}  // namespace

const Tier AMX = tier_of_amx();

}  // namespace binarize
