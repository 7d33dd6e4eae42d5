// The exception of the library; ops.cc turns it into an onnxruntime status.
#pragma once

#include <stdexcept>
#include <string>

namespace binarize {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline void require(bool holds, const std::string& message) {
  if (!holds) throw Error(message);
}

}  // namespace binarize
