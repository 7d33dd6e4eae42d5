// Any CPU.
#include "portable.h"

namespace binarize {

namespace {
bool always() { return true; }
}  // namespace

const Tier SCALAR = {
    "scalar",
    always,
    portable::pack_planes,
    portable::pack_row,
    portable::and_popcount,
    portable::finish_flat,
    portable::finish_row,
    /*bits=*/4,
    /*fields=*/8,
    /*apart=*/4,
    /*pixels=*/4,
    /*outputs=*/16,
    portable::build<4>,
    portable::lookup<4, 8>,
    portable::finish_sums,
    portable::turn,
};

}  // namespace binarize
