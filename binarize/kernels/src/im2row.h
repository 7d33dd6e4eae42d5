// The im2row layout, without copies: each tap of a convolution reads all outputs' inputs as one contiguous row.
//
// A plane of the input has the padding around it and is one row of positions. A tap is that row at a constant offset,
// whatever the kernel; a stride splits the plane into phases, within which the same holds. Sixteen neighbouring positions
// are a vector. Positions at the end of each row of the image that are not outputs are computed and discarded.
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

struct Im2rowLayout {
  int64_t in[2], out[2], pitch[2];  // pitch: rows and columns of a plane of one phase
  size_t plane = 0, phases = 0;     // positions of a phase, and how many of them
  size_t vectors = 0;               // of positions
  std::vector<ptrdiff_t> taps;      // [tap] how far an input is from its output's position
  std::vector<uint16_t> valid;      // [vectors] bit l: lane l is an output
  std::vector<int32_t> first;       // [vectors + 1] outputs before the vector
};

// Throws Error where a plane with its padding has 2^31 positions or more.
Im2rowLayout im2row_layout(const Geometry& geometry, int64_t height, int64_t width);

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
