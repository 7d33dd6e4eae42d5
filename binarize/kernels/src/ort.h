// onnxruntime's C interface as C++: every status checked and released, errors thrown.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "error.h"
#include "ort_abi.h"

namespace binarize {

struct Tensor {
  int type = 0;
  std::vector<int64_t> dims;
  void* data = nullptr;

  template <class T>
  const T* as() const {
    return static_cast<const T*>(data);
  }
  size_t count() const {
    size_t n = 1;
    for (int64_t dim : dims) n *= static_cast<size_t>(dim);
    return n;
  }
};

class Ort {
 public:
  explicit Ort(const OrtApi* api) : slots_(reinterpret_cast<void* const*>(api)) {}

  OrtStatus* status(int code, const char* message) const {
    return slot<OrtStatus*(int, const char*)>(0)(code, message);
  }

  void check(OrtStatus* status) const {
    if (status == nullptr) return;
    std::string message = slot<const char*(const OrtStatus*)>(2)(status);
    slot<void(OrtStatus*)>(93)(status);
    throw Error(message);
  }

  OrtCustomOpDomain* domain(const char* name) const {
    OrtCustomOpDomain* made = nullptr;
    check(slot<OrtStatus*(const char*, OrtCustomOpDomain**)>(26)(name, &made));
    return made;
  }
  void add(OrtCustomOpDomain* domain, const OrtCustomOp* op) const {
    check(slot<OrtStatus*(OrtCustomOpDomain*, const OrtCustomOp*)>(27)(domain, op));
  }
  void add(OrtSessionOptions* options, OrtCustomOpDomain* domain) const {
    check(slot<OrtStatus*(OrtSessionOptions*, OrtCustomOpDomain*)>(28)(options, domain));
  }

  int64_t integer(const OrtKernelInfo* info, const char* name) const {
    int64_t value = 0;
    check(slot<OrtStatus*(const OrtKernelInfo*, const char*, int64_t*)>(86)(info, name, &value));
    return value;
  }
  std::vector<int64_t> integers(const OrtKernelInfo* info, const char* name) const {
    using Get = OrtStatus*(const OrtKernelInfo*, const char*, int64_t*, size_t*);
    size_t size = 0;
    check(slot<Get>(163)(info, name, nullptr, &size));
    std::vector<int64_t> values(size);
    if (size > 0) check(slot<Get>(163)(info, name, values.data(), &size));
    return values;
  }

  // An input that is known when the session is made.
  Tensor constant(const OrtKernelInfo* info, size_t index, const char* name) const {
    using Get = OrtStatus*(const OrtKernelInfo*, size_t, int*, const OrtValue**);
    int is_constant = 0;
    const OrtValue* value = nullptr;
    check(slot<Get>(249)(info, index, &is_constant, &value));
    require(is_constant != 0 && value != nullptr, std::string(name) + " has to be a constant");
    return tensor(value);
  }

  Tensor input(const OrtKernelContext* context, size_t index) const {
    const OrtValue* value = nullptr;
    check(slot<OrtStatus*(const OrtKernelContext*, size_t, const OrtValue**)>(90)(context, index, &value));
    require(value != nullptr, "an input is missing");
    return tensor(value);
  }
  size_t outputs(const OrtKernelContext* context) const {
    size_t count = 0;
    check(slot<OrtStatus*(const OrtKernelContext*, size_t*)>(89)(context, &count));
    return count;
  }
  // Null where nobody reads it: an optional output without a name.
  template <class T>
  T* output(OrtKernelContext* context, size_t index, const std::vector<int64_t>& dims) const {
    using Get = OrtStatus*(OrtKernelContext*, size_t, const int64_t*, size_t, OrtValue**);
    OrtValue* value = nullptr;
    check(slot<Get>(91)(context, index, dims.data(), dims.size(), &value));
    return value == nullptr ? nullptr : static_cast<T*>(data(value));
  }

  // task(user, i) for i < total, in the session's own threads.
  void parallel(const OrtKernelContext* context, void (*task)(void*, size_t), size_t total, void* user) const {
    using For = OrtStatus*(const OrtKernelContext*, void (*)(void*, size_t), size_t, size_t, void*);
    if (total == 1) return task(user, 0);
    check(slot<For>(274)(context, task, total, 0, user));
  }

 private:
  template <class Signature>
  Signature* slot(size_t number) const {
    return reinterpret_cast<Signature*>(slots_[number]);
  }

  void* data(const OrtValue* value) const {
    void* pointer = nullptr;
    check(slot<OrtStatus*(const OrtValue*, void**)>(51)(value, &pointer));
    return pointer;
  }

  Tensor tensor(const OrtValue* value) const {
    using Info = OrtTensorTypeAndShapeInfo;
    Info* info = nullptr;
    check(slot<OrtStatus*(const OrtValue*, Info**)>(65)(value, &info));
    Tensor result;
    try {
      size_t rank = 0;
      check(slot<OrtStatus*(const Info*, int*)>(60)(info, &result.type));
      check(slot<OrtStatus*(const Info*, size_t*)>(61)(info, &rank));
      result.dims.resize(rank);
      check(slot<OrtStatus*(const Info*, int64_t*, size_t)>(62)(info, result.dims.data(), rank));
    } catch (...) {
      slot<void(Info*)>(99)(info);
      throw;
    }
    slot<void(Info*)>(99)(info);
    result.data = data(value);
    return result;
  }

  void* const* slots_;
};

}  // namespace binarize
