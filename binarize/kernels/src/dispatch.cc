// Which tier runs: the best one of this CPU and operating system, or the one that BINARIZE_TIER names.
#include <cstdlib>
#include <string>

#include "error.h"
#include "tier.h"

namespace binarize {

namespace {

// Best first.
const Tier* const TIERS[] = {
#if defined(BINARIZE_X86)
    &AVX512, &AVX2,
#endif
#if defined(BINARIZE_ARM64)
    &NEON,
#endif
    &SCALAR,
};

}  // namespace

const Tier& tier() {
  const char* wanted = std::getenv("BINARIZE_TIER");
  const bool any = wanted == nullptr || *wanted == '\0';
  std::string names;
  for (const Tier* one : TIERS) {
    if (any ? one->supported() : std::string(wanted) == one->name) {
      require(one->supported(), std::string("BINARIZE_TIER is ") + one->name + ", which this CPU cannot run");
      return *one;
    }
    names += (names.empty() ? "" : ", ") + std::string(one->name);
  }
  throw Error(std::string("BINARIZE_TIER is \"") + wanted + "\", and the tiers are " + names);
}

}  // namespace binarize
