// The ops of domain `binarize`, version 1, as onnxruntime's custom ops. Their meaning: docs/op-spec.md.
#include <climits>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <string>

#include "ort.h"
#include "product.h"

namespace binarize {

namespace {

// An op is onnxruntime's table of functions, and behind it what these need to know.
struct Op {
  OrtCustomOp table;
  const char* name;
  Input input;
  bool linear;
};

const Op& op_of(const OrtCustomOp* table) { return *reinterpret_cast<const Op*>(table); }

constexpr double LARGEST_OUTPUT = 2147483648.0;  // values

struct Kernel {
  Ort ort;
  Layer layer;
  std::unique_ptr<Product> product;
};

// Calls `body`; what it throws becomes a status, for nothing may be thrown into onnxruntime.
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
const T* typed(const Tensor& tensor, int type, const char* name) {
  require(tensor.type == type, std::string(name) + " has the wrong type");
  require(tensor.dims.size() == 1, std::string(name) + " needs one dimension");
  require(tensor.data != nullptr || tensor.count() == 0, std::string(name) + " has no data");
  return tensor.as<T>();
}

template <class T>
std::vector<T> copied(const Tensor& tensor, int type, const char* name) {
  const T* data = typed<T>(tensor, type, name);
  return std::vector<T>(data, data + tensor.count());
}

Layer layer_of(const Op& op, const Ort& ort, const OrtKernelInfo* info) {
  Given given;
  given.shape = ort.integers(info, "shape");
  if (!op.linear) {
    given.strides = ort.integers(info, "strides");
    given.pads = ort.integers(info, "pads");
    given.dilations = ort.integers(info, "dilations");
    given.group = ort.integer(info, "group");
  }
  std::vector<uint8_t> bits = copied<uint8_t>(ort.constant(info, 1, "bits"), ORT_UINT8, "bits");
  std::vector<float> scale = copied<float>(ort.constant(info, 2, "scale"), ORT_FLOAT, "scale");
  std::vector<float> bias = copied<float>(ort.constant(info, 3, "bias"), ORT_FLOAT, "bias");
  std::vector<float> split;
  if (op.input != Input::FLOAT) split = copied<float>(ort.constant(info, 4, "split"), ORT_FLOAT, "split");
  given.bits = bits.size();
  given.scale = scale.size();
  given.bias = bias.size();
  given.split = split.size();
  Layer layer = check(op.input, op.linear, given);
  layer.bits = std::move(bits);
  layer.scale = std::move(scale);
  layer.bias = std::move(bias);
  // x + shift >= 0 just where x >= -shift: a sum is rounded to 0 only if it is 0
  if (op.input == Input::SIGN) {
    for (float& value : split) value = -value;
  }
  layer.split = std::move(split);
  return layer;
}

void compute(const Kernel& kernel, OrtKernelContext* context) {
  const Layer& layer = kernel.layer;
  const Geometry& g = layer.geometry;
  const Tensor x = kernel.ort.input(context, 0);
  require(x.type == ORT_FLOAT, "x has to be float32");
  const Parallel parallel = [&](size_t total, const std::function<void(size_t)>& task) {
    if (total == 0) return;
    struct Shared {
      const std::function<void(size_t)>& task;
      std::mutex lock;
      std::exception_ptr error;
    } shared{task, {}, nullptr};
    kernel.ort.parallel(
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
  std::vector<int64_t> dims = x.dims;
  if (layer.linear) {
    require(!dims.empty() && dims.back() == g.channels,
            "the last dimension of x has to be " + std::to_string(g.channels));
    dims.back() = g.outputs;
    float* y = kernel.ort.output(context, 0, dims);
    const int64_t rows = static_cast<int64_t>(x.count()) / g.channels;
    if (rows > 0) kernel.product->multiply(x.as<float>(), rows, y, parallel);
    return;
  }
  const size_t rank = static_cast<size_t>(layer.rank);
  require(dims.size() == rank + 2, "x needs " + std::to_string(rank + 2) + " dimensions");
  require(dims[1] == g.channels, "x has " + std::to_string(dims[1]) + " channels where the layer has " +
                                     std::to_string(g.channels));
  const int64_t in[2] = {rank == 2 ? dims[2] : 1, dims[rank + 1]};
  int64_t out[2];
  for (int axis = 0; axis < 2; ++axis) {
    require(in[axis] >= 0 && in[axis] < (int64_t{1} << 31), "x is too large");
    out[axis] = g.extent(axis, in[axis]);
    require(out[axis] >= 1, "x is smaller than the kernel");
  }
  // asked of the system, memory for this may be refused in ways that end the process
  require(static_cast<double>(out[0]) * static_cast<double>(out[1]) * static_cast<double>(g.outputs) *
                  static_cast<double>(dims[0]) < LARGEST_OUTPUT, "the output is too large");
  dims[1] = g.outputs;
  for (size_t i = 0; i < rank; ++i) dims[i + 2] = out[i + 2 - rank];
  float* y = kernel.ort.output(context, 0, dims);
  if (dims[0] > 0) kernel.product->convolve(x.as<float>(), dims[0], in[0], in[1], y, parallel);
}

OrtStatus* create(const OrtCustomOp* table, const OrtApi* api, const OrtKernelInfo* info, void** kernel) {
  const Ort ort(api);
  const Op& op = op_of(table);
  return guarded(ort, op.name, [&] {
    auto made = std::make_unique<Kernel>(Kernel{ort, layer_of(op, ort, info), nullptr});
    made->product = op.input == Input::FLOAT ? lookup_product(made->layer, tier()) : popcount_product(made->layer, tier());
    made->layer.bits = {};  // packed in the product's own way now
    *kernel = made.release();
  });
}

OrtStatus* run(void* kernel, OrtKernelContext* context) {
  const Kernel& one = *static_cast<const Kernel*>(kernel);
  return guarded(one.ort, "node", [&] { compute(one, context); });
}

Op make_op(const char* name, Input input, bool linear) {
  Op op{};
  OrtCustomOp& t = op.table;
  t.version = ORT_API_VERSION;
  t.GetName = [](const OrtCustomOp* self) { return op_of(self).name; };
  t.GetExecutionProviderType = [](const OrtCustomOp*) -> const char* { return "CPUExecutionProvider"; };
  t.GetInputType = [](const OrtCustomOp*, size_t i) { return i == 1 ? ORT_UINT8 : ORT_FLOAT; };
  t.GetInputTypeCount = [](const OrtCustomOp* self) { return size_t{op_of(self).input == Input::FLOAT ? 4u : 5u}; };
  t.GetOutputType = [](const OrtCustomOp*, size_t) { return ORT_FLOAT; };
  t.GetOutputTypeCount = [](const OrtCustomOp*) { return size_t{1}; };
  t.KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
  t.GetInputCharacteristic = [](const OrtCustomOp*, size_t) { return 0; };   // required
  t.GetOutputCharacteristic = [](const OrtCustomOp*, size_t) { return 0; };  // required
  t.GetInputMemoryType = [](const OrtCustomOp*, size_t) { return 0; };
  t.GetVariadicInputMinArity = [](const OrtCustomOp*) { return 0; };
  t.GetVariadicInputHomogeneity = [](const OrtCustomOp*) { return 0; };
  t.GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 0; };
  t.GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 0; };
  t.CreateKernelV2 = create;
  t.KernelComputeV2 = run;
  t.GetStartVersion = [](const OrtCustomOp*) { return 1; };
  t.GetEndVersion = [](const OrtCustomOp*) { return INT_MAX; };
  t.GetMayInplace = [](int**, int**) { return size_t{0}; };
  t.ReleaseMayInplace = [](int*, int*) {};
  t.GetAliasMap = [](int**, int**) { return size_t{0}; };
  t.ReleaseAliasMap = [](int*, int*) {};
  op.name = name;
  op.input = input;
  op.linear = linear;
  return op;
}

// One place to add an op.
const Op OPS[] = {
    make_op("BinaryConv", Input::FLOAT, false),    make_op("BinaryLinear", Input::FLOAT, true),
    make_op("SignBinaryConv", Input::SIGN, false), make_op("SignBinaryLinear", Input::SIGN, true),
    make_op("StepBinaryConv", Input::STEP, false), make_op("StepBinaryLinear", Input::STEP, true),
};

}  // namespace

}  // namespace binarize

#if defined(_WIN32)
#define BINARIZE_EXPORT __declspec(dllexport)
#else
#define BINARIZE_EXPORT __attribute__((visibility("default")))
#endif

// What `register_custom_ops_library` of every language looks for.
extern "C" BINARIZE_EXPORT OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  const OrtApi* api = base == nullptr ? nullptr : base->GetApi(ORT_API_VERSION);
  // Without the interface there is no way to make a status; an onnxruntime that is too old runs the functions
  // in the file instead of kernels.
  if (api == nullptr) return nullptr;
  using namespace binarize;
  const Ort ort(api);
  return guarded(ort, "RegisterCustomOps", [&] {
    (void)tier();  // says now, not in the middle of a run, that the tier asked for is none
    static std::mutex lock;
    static OrtCustomOpDomain* domain = nullptr;  // sessions refer to it for as long as they live
    std::lock_guard<std::mutex> guard(lock);
    if (domain == nullptr) {
      OrtCustomOpDomain* made = ort.domain("binarize");
      for (const Op& op : OPS) ort.add(made, &op.table);
      domain = made;
    }
    ort.add(options, domain);
  });
}

// The name of the tier that runs, or of what is wrong with BINARIZE_TIER; for `binarize checks`.
extern "C" BINARIZE_EXPORT const char* binarize_tier() {
  static thread_local std::string name;
  try {
    name = binarize::tier().name;
  } catch (const std::exception& error) {
    name = error.what();
  }
  return name.c_str();
}
