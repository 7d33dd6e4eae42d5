// What all ops of the domain share: copies of constants, threads, errors as onnxruntime statuses, and the part of an op's
// table that is always the same.
#pragma once

#include <exception>
#include <functional>
#include <new>
#include <string>
#include <vector>

#include "ort.h"
#include "product.h"

namespace binarize {

constexpr double LARGEST_OUTPUT = 2147483648.0;  // values

// Calls `body`; what it throws becomes a status: exceptions must not reach onnxruntime.
template <class Body>
OrtStatus* guarded(const Ort& ort, const char* name, const Body& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const Error& error) {
    return ort.status(ORT_INVALID_ARGUMENT, (std::string("binarize.") + name + ": " + error.what()).c_str());
  } catch (const std::bad_alloc&) {
    return ort.status(ORT_FAIL, "binarize: out of memory");
  } catch (const std::exception& error) {
    return ort.status(ORT_FAIL, error.what());
  }
}

template <class T>
struct Constant {
  std::vector<int64_t> dims;
  std::vector<T> values;
};

// Input `index`, which has to be known when the session is made and of that type and number of dimensions.
template <class T>
Constant<T> copied(const Ort& ort, const OrtKernelInfo* info, size_t index, int type, const char* name, size_t rank = 1) {
  const Tensor tensor = ort.constant(info, index, name);
  require(tensor.type == type, std::string(name) + " has the wrong type");
  require(tensor.dims.size() == rank,
          std::string(name) + (rank == 1 ? " needs one dimension" : " needs " + std::to_string(rank) + " dimensions"));
  require(tensor.data != nullptr || tensor.count() == 0, std::string(name) + " has no data");
  const T* data = tensor.as<T>();
  return {tensor.dims, std::vector<T>(data, data + tensor.count())};
}

// The session's own threads.
Parallel threads_of(const Ort& ort, OrtKernelContext* context);

// A table with the defaults: required float inputs, one float output.
OrtCustomOp op_table();

// The float stem (stem.h).
const OrtCustomOp* stem_op();

}  // namespace binarize
