// Which tier runs: the best one of this CPU and operating system, or the one that BINARIZE_TIER names; which of its
// products a layer takes; and how many slices a float input becomes.
#include <cstdlib>
#include <string>

#include "error.h"
#include "product.h"
#include "tier.h"

namespace binarize {

namespace {

// Best first.
const Tier* const TIERS[] = {
#if defined(BINARIZE_AMX)
    &AMX,
#endif
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

bool two_slices() {
  const char* wanted = std::getenv("BINARIZE_DIGITS");
  const std::string slices = wanted == nullptr || *wanted == '\0' ? "3" : wanted;
  require(slices == "2" || slices == "3", "BINARIZE_DIGITS is \"" + slices + "\", and has to be 2 or 3");
  return slices == "2";
}

int activation_bits() {
  const char* wanted = std::getenv("BINARIZE_ACTIVATION_BITS");
  if (wanted == nullptr || *wanted == '\0') return 0;
  const std::string bits = wanted;
  require(bits == "8" || bits == "10", "BINARIZE_ACTIVATION_BITS is \"" + bits + "\", and has to be 8 or 10");
  return bits == "8" ? 8 : 10;
}

std::unique_ptr<Product> product_of(const Layer& layer, const Tier& tier) {
  if (tier.int8 != nullptr && suits_int8(layer)) return int8_product(layer, tier);
  if (tier.planes != nullptr && layer.input == Input::FLOAT && suits_planes(layer)) return planes_product(layer, tier);
  return layer.input == Input::FLOAT ? lookup_product(layer, tier) : popcount_product(layer, tier);
}

}  // namespace binarize
