// Where a convolution's outputs, and the inputs of their taps, lie in planes that are read as one flat row.
//
// A plane has the padding around it, so a tap is the same row a constant further on, whatever the kernel; a stride cuts
// the plane into phases, within which that is true again. Sixteen neighbouring positions are a vector. Positions at the
// end of each row that are no outputs are computed and thrown away.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "layer.h"

namespace binarize {

struct FlatImage {
  int64_t in[2], out[2], pitch[2];  // pitch: rows and columns of a plane of one phase
  size_t plane = 0, phases = 0;     // positions of a phase, and how many of them
  size_t vectors = 0;               // of flat positions
  std::vector<ptrdiff_t> taps;      // [tap] how far an input is from its output's position
  std::vector<uint16_t> valid;      // [vectors] bit l: lane l is an output
  std::vector<int32_t> first;       // [vectors + 1] outputs before the vector
};

// Throws Error where a plane with its padding has 2^31 positions or more.
FlatImage flat_image(const Geometry& geometry, int64_t height, int64_t width);

// What depends on the size of the images, made once for each size that comes.
template <class Plan>
class Plans {
 public:
  template <class Make>
  std::shared_ptr<const Plan> get(int64_t height, int64_t width, const Make& make) const {
    std::lock_guard<std::mutex> guard(lock_);
    const auto found = known_.find({height, width});
    if (found != known_.end()) return found->second;
    const auto made = std::make_shared<const Plan>(make(height, width));
    if (known_.size() >= REMEMBERED) known_.clear();
    known_[{height, width}] = made;
    return made;
  }

 private:
  static constexpr size_t REMEMBERED = 16;
  mutable std::mutex lock_;
  mutable std::map<std::pair<int64_t, int64_t>, std::shared_ptr<const Plan>> known_;
};

}  // namespace binarize
