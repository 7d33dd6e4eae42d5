// The tier of CPUs with AMX: the loops of AVX-512, and products of int8 in matrix tiles.
//
// This file is compiled for any CPU: what it does runs before anything is known of the one at hand.
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tier.h"

namespace binarize {

namespace {

constexpr unsigned TILE = 1u << 24, INT8 = 1u << 25;               // CPUID 7, EDX
constexpr long REQUEST = 0x1023 /* ARCH_REQ_XCOMP_PERM */, TILE_DATA = 18;  // of arch_prctl

// Linux gives a process the memory for tiles only if it asks.
bool supported() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || (edx & TILE) == 0 || (edx & INT8) == 0) return false;
  return AVX512.supported() && syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
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
