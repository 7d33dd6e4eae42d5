#include "op.h"

#include <climits>
#include <mutex>

namespace binarize {

Parallel threads_of(const Ort& ort, OrtKernelContext* context) {
  return [&ort, context](size_t total, const std::function<void(size_t)>& task) {
    if (total == 0) return;
    struct Shared {
      const std::function<void(size_t)>& task;
      std::mutex lock;
      std::exception_ptr error;
    } shared{task, {}, nullptr};
    ort.parallel(
        context,
        [](void* user, size_t i) {
          Shared& all = *static_cast<Shared*>(user);
          try {
            all.task(i);
          } catch (...) {
            std::lock_guard<std::mutex> guard(all.lock);
            all.error = std::current_exception();
          }
        },
        total, &shared);
    if (shared.error) std::rethrow_exception(shared.error);
  };
}

OrtCustomOp op_table() {
  OrtCustomOp t{};
  t.version = ORT_API_VERSION;
  t.GetExecutionProviderType = [](const OrtCustomOp*) -> const char* { return "CPUExecutionProvider"; };
  t.GetInputType = [](const OrtCustomOp*, size_t) { return ORT_FLOAT; };
  t.GetOutputType = [](const OrtCustomOp*, size_t) { return ORT_FLOAT; };
  t.GetOutputTypeCount = [](const OrtCustomOp*) { return size_t{1}; };
  t.GetInputCharacteristic = [](const OrtCustomOp*, size_t) { return 0; };   // required
  t.GetOutputCharacteristic = [](const OrtCustomOp*, size_t) { return 0; };  // required
  t.GetInputMemoryType = [](const OrtCustomOp*, size_t) { return 0; };
  t.GetVariadicInputMinArity = [](const OrtCustomOp*) { return 0; };
  t.GetVariadicInputHomogeneity = [](const OrtCustomOp*) { return 0; };
  t.GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 0; };
  t.GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 0; };
  t.GetStartVersion = [](const OrtCustomOp*) { return 1; };
  t.GetEndVersion = [](const OrtCustomOp*) { return INT_MAX; };
  t.GetMayInplace = [](int**, int**) { return size_t{0}; };
  t.ReleaseMayInplace = [](int*, int*) {};
  t.GetAliasMap = [](int**, int**) { return size_t{0}; };
  t.ReleaseAliasMap = [](int*, int*) {};
  return t;
}

}  // namespace binarize
