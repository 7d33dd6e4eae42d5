// The ops of domain `binarize`, version 1, as onnxruntime's custom ops. Their meaning: docs/op-spec.md.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>

#include "op.h"
#include "product.h"
#include "scratch.h"

namespace binarize {

namespace {

// An op is onnxruntime's table of functions, and behind it what these need to know.
struct Op {
  OrtCustomOp table;
  char name[48];
  Input input;
  bool packed, linear, add;
  Act act;
  bool words, bases;

  // x, bits, scale, bias, the shift or threshold, the residual, `next`
  size_t thresholds() const { return input == Input::FLOAT || packed ? 0 : 1; }
  size_t inputs() const { return size_t{4} + thresholds() + (add ? 1 : 0) + (words ? 1 : 0); }
};

const Op& op_of(const OrtCustomOp* table) { return *reinterpret_cast<const Op*>(table); }

struct Kernel {
  const Op& op;
  Ort ort;
  Layer layer;
  std::unique_ptr<Product> product;
};

Layer layer_of(const Op& op, const Ort& ort, const OrtKernelInfo* info) {
  Given given;
  given.shape = ort.integers(info, "shape");
  if (!op.linear) {
    given.strides = ort.integers(info, "strides");
    given.pads = ort.integers(info, "pads");
    given.dilations = ort.integers(info, "dilations");
    given.group = ort.integer(info, "group");
  }
  std::vector<uint8_t> bits = copied<uint8_t>(ort, info, 1, ORT_UINT8, "bits").values;
  const Constant<float> scales = copied<float>(ort, info, 2, ORT_FLOAT, "scale", op.bases ? 2 : 1);
  const int64_t bases = op.bases ? scales.dims[0] : 1;
  require(bases >= 1 && bases <= MOST_BASES, "scale has too few or too many bases");
  std::vector<float> bias = copied<float>(ort, info, 3, ORT_FLOAT, "bias").values;
  std::vector<float> threshold;
  if (op.thresholds() != 0) threshold = copied<float>(ort, info, 4, ORT_FLOAT, op.input == Input::SIGN ? "shift" : "threshold").values;
  std::vector<float> next;
  if (op.words) next = copied<float>(ort, info, op.inputs() - 1, ORT_FLOAT, "next").values;
  given.bits = bits.size();
  given.scale = scales.values.size() / static_cast<size_t>(bases);
  given.bias = bias.size();
  given.threshold = threshold.size();
  given.next = next.size();
  given.packed = op.packed;
  given.words = op.words;
  Layer layer = check(op.input, op.linear, given);
  layer.bits = std::move(bits);
  layer.scale = scales.values;
  layer.bias = std::move(bias);
  // x + shift >= 0 just where x >= -shift: a sum is rounded to 0 only if it is 0
  if (op.input == Input::SIGN) {
    for (float& value : threshold) value = -value;
  }
  layer.threshold = std::move(threshold);
  layer.next = std::move(next);
  layer.two_slices = two_slices();
  layer.activation_bits = activation_bits();
  if (op.bases) stack(layer, bases);
  return layer;
}

// What x is, of that many channels along an axis, in words where the op takes those.
Activations activations_of(const Kernel& kernel, const Tensor& x, size_t axis) {
  const bool packed = kernel.op.packed;
  const int64_t channels = kernel.layer.geometry.channels, expected = packed ? up(channels, WORD) : channels;
  require(x.type == (packed ? ORT_UINT32 : ORT_FLOAT), packed ? "x has to be uint32" : "x has to be float32");
  require(x.dims[axis] == expected, "x has " + std::to_string(x.dims[axis]) + (packed ? " words" : " channels") +
                                        " where the layer has " + std::to_string(expected));
  return packed ? Activations{nullptr, x.as<uint32_t>()} : Activations{x.as<float>(), nullptr};
}

// The outputs, y of those sizes, and what follows the product in them. Nothing may have been computed yet.
Epilogue outputs_of(const Kernel& kernel, OrtKernelContext* context, std::vector<int64_t> dims, size_t axis) {
  const Op& op = kernel.op;
  const Ort& ort = kernel.ort;
  Epilogue epilogue;
  epilogue.act = op.act;
  if (op.add) {
    const Tensor residual = ort.input(context, 4 + op.thresholds());
    require(residual.type == ORT_FLOAT, "residual has to be float32");
    require(residual.dims == dims, "residual has to have the shape of the output");
    epilogue.residual = residual.as<float>();
  }
  if (!op.words || ort.outputs(context) > 1) epilogue.y = ort.output<float>(context, op.words ? 1 : 0, dims);
  if (op.words) {
    dims[axis] = up(dims[axis], WORD);
    epilogue.words = ort.output<uint32_t>(context, 0, dims);
  }
  return epilogue;
}

// y [count, group, outputs of a group, plane] from the outputs of all bases, [count, group, base, outputs of a group, plane]:
// those of the first base, then of each of the others in turn.
void add_bases(const Layer& layer, const float* bases, size_t count, size_t plane, float* y, const Parallel& parallel) {
  constexpr size_t PIECE = 8192;  // values, of every base: they fit the first level of the cache
  const size_t number = static_cast<size_t>(layer.bases);
  const size_t run = static_cast<size_t>(layer.geometry.outputs_per_group()) / number * plane;
  const size_t pieces = (run + PIECE - 1) / PIECE;
  parallel(count * static_cast<size_t>(layer.geometry.group) * pieces, [&](size_t task) {
    const size_t block = task / pieces, begin = task % pieces * PIECE, n = std::min(PIECE, run - begin);
    const float* from = bases + block * number * run + begin;
    float* to = y + block * run + begin;
    for (size_t i = 0; i < n; ++i) to[i] = from[i] + from[run + i];
    for (size_t base = 2; base < number; ++base) {
      for (size_t i = 0; i < n; ++i) to[i] += from[base * run + i];
    }
  });
}

// Calls `product` with the epilogue; of several bases that it does not add up itself, with one that takes the outputs
// of them all, which are then added up.
template <class Body>
void multiply(const Kernel& kernel, size_t count, size_t plane, const Epilogue& epilogue, const Parallel& parallel,
              const Body& product) {
  const Layer& layer = kernel.layer;
  if (layer.bases == 1 || kernel.product->adds_bases()) return product(epilogue);
  const Scratch outputs(count * static_cast<size_t>(layer.geometry.outputs) * plane * sizeof(float));
  Epilogue all;
  all.y = outputs.as<float>();
  product(all);
  add_bases(layer, all.y, count, plane, epilogue.y, parallel);
}

void compute(const Kernel& kernel, OrtKernelContext* context) {
  const Layer& layer = kernel.layer;
  const Geometry& g = layer.geometry;
  const Tensor x = kernel.ort.input(context, 0);
  const Parallel parallel = threads_of(kernel.ort, context);
  std::vector<int64_t> dims = x.dims;
  if (layer.linear) {
    require(!dims.empty(), "x needs a dimension");
    const size_t last = dims.size() - 1;
    const Activations activations = activations_of(kernel, x, last);
    const int64_t rows = static_cast<int64_t>(x.count()) / x.dims[last];
    dims[last] = g.outputs / layer.bases;
    require(static_cast<double>(rows) * static_cast<double>(g.outputs) < LARGEST_OUTPUT, "the output is too large");
    const Epilogue epilogue = outputs_of(kernel, context, dims, last);
    if (rows == 0) return;
    return multiply(kernel, static_cast<size_t>(rows), 1, epilogue, parallel,
                    [&](const Epilogue& each) { kernel.product->multiply(activations, rows, each, parallel); });
  }
  const size_t rank = static_cast<size_t>(layer.rank);
  require(dims.size() == rank + 2, "x needs " + std::to_string(rank + 2) + " dimensions");
  const Activations activations = activations_of(kernel, x, 1);
  const int64_t in[2] = {rank == 2 ? dims[2] : 1, dims[rank + 1]};
  int64_t out[2];
  for (int axis = 0; axis < 2; ++axis) {
    require(in[axis] >= 0 && in[axis] < (int64_t{1} << 31), "x is too large");
    out[axis] = g.extent(axis, in[axis]);
    require(out[axis] >= 1, "x is smaller than the kernel");
  }
  // an allocation of this size may be refused in ways that end the process
  require(static_cast<double>(out[0]) * static_cast<double>(out[1]) * static_cast<double>(g.outputs) *
                  static_cast<double>(dims[0]) < LARGEST_OUTPUT, "the output is too large");
  dims[1] = g.outputs / layer.bases;
  for (size_t i = 0; i < rank; ++i) dims[i + 2] = out[i + 2 - rank];
  const Epilogue epilogue = outputs_of(kernel, context, dims, 1);
  if (dims[0] == 0) return;
  multiply(kernel, static_cast<size_t>(dims[0]), static_cast<size_t>(out[0] * out[1]), epilogue, parallel, [&](const Epilogue& each) {
    kernel.product->convolve(activations, dims[0], in[0], in[1], each, parallel);
  });
}

OrtStatus* create(const OrtCustomOp* table, const OrtApi* api, const OrtKernelInfo* info, void** kernel) {
  const Ort ort(api);
  const Op& op = op_of(table);
  return guarded(ort, op.name, [&] {
    auto made = std::make_unique<Kernel>(Kernel{op, ort, layer_of(op, ort, info), nullptr});
    made->product = product_of(made->layer, tier());
    made->layer.bits = {};  // packed by the product
    *kernel = made.release();
  });
}

OrtStatus* run(void* kernel, OrtKernelContext* context) {
  const Kernel& one = *static_cast<const Kernel*>(kernel);
  return guarded(one.ort, one.op.name, [&] { compute(one, context); });
}

Op make_op(Input input, bool packed, bool linear, bool add, Act act, bool words, bool bases = false) {
  static constexpr const char* INPUTS[] = {"", "Sign", "Step"};
  static constexpr const char* NAMES[ACTS] = {"", "Relu", "Gelu", "HardSwish", "Silu", "HardSigmoid"};
  Op op{op_table(), {}, input, packed, linear, add, act, words, bases};
  std::snprintf(op.name, sizeof op.name, "%s%sBinary%s%s%s%s%s", packed ? "Packed" : "", INPUTS[static_cast<int>(input)],
                bases ? "Bases" : "", linear ? "Linear" : "Conv", add ? "Add" : "", NAMES[static_cast<int>(act)], words ? "Pack" : "");
  OrtCustomOp& t = op.table;
  t.GetName = [](const OrtCustomOp* self) { return static_cast<const char*>(op_of(self).name); };
  t.GetInputType = [](const OrtCustomOp* self, size_t i) {
    return i == 1 ? ORT_UINT8 : i == 0 && op_of(self).packed ? ORT_UINT32 : ORT_FLOAT;
  };
  t.GetInputTypeCount = [](const OrtCustomOp* self) { return op_of(self).inputs(); };
  if (words) {  // they come first, and y only where it is read
    t.GetOutputType = [](const OrtCustomOp*, size_t i) { return i == 0 ? ORT_UINT32 : ORT_FLOAT; };
    t.GetOutputTypeCount = [](const OrtCustomOp*) { return size_t{2}; };
    t.GetOutputCharacteristic = [](const OrtCustomOp*, size_t i) { return i == 0 ? ORT_REQUIRED : ORT_OPTIONAL; };
  }
  t.KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
  t.CreateKernelV2 = create;
  t.KernelComputeV2 = run;
  return op;
}

// [[Packed]Sign|[Packed]Step]Binary{Conv|Linear}, then [Add][Relu|Gelu] or [HardSwish|Silu|HardSigmoid], and of binary
// inputs [Pack] as well;
// [Sign|Step]BinaryBases{Conv|Linear}
const std::vector<Op>& family() {
  static const std::vector<Op> ops = [] {
    std::vector<Op> all;
    for (bool linear : {false, true}) {
      for (Input input : {Input::FLOAT, Input::SIGN, Input::STEP}) {
        all.push_back(make_op(input, false, linear, false, Act::NONE, false, true));
      }
      for (bool add : {false, true}) {
        for (Act act : {Act::NONE, Act::RELU, Act::GELU, Act::HARD_SWISH, Act::SILU, Act::HARD_SIGMOID}) {
          if (add && act > Act::GELU) continue;  // no network has these behind an addition
          all.push_back(make_op(Input::FLOAT, false, linear, add, act, false));
          for (Input input : {Input::SIGN, Input::STEP}) {
            for (bool packed : {false, true}) {
              for (bool words : {false, true}) all.push_back(make_op(input, packed, linear, add, act, words));
            }
          }
        }
      }
    }
    return all;
  }();
  return ops;
}

}  // namespace

}  // namespace binarize

#if defined(_WIN32)
#define BINARIZE_EXPORT __declspec(dllexport)
#else
#define BINARIZE_EXPORT __attribute__((visibility("default")))
#endif

namespace binarize {
namespace {

// Whether vectors are wide enough for kernels to be faster than onnxruntime's float32 in layers of any shape: with float
// inputs and several bases, whose function sums them to one float weight, and in those of domain `binarize.wide`. A tier
// where they are not leaves these ops to the functions in the file.
bool is_wide(const Tier& tier) { return tier.int8 != nullptr || tier.bits >= 5; }

}  // namespace
}  // namespace binarize

// What `register_custom_ops_library` of every language looks for.
extern "C" BINARIZE_EXPORT OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  const OrtApi* api = base == nullptr ? nullptr : base->GetApi(ORT_API_VERSION);
  // Without the interface there is no way to make a status; an onnxruntime that is too old runs the functions
  // in the file instead of kernels.
  if (api == nullptr) return nullptr;
  using namespace binarize;
  const Ort ort(api);
  return guarded(ort, "RegisterCustomOps", [&] {
    (void)tier();  // an unknown BINARIZE_TIER is an error now, not in the middle of a run
    (void)two_slices();
    (void)activation_bits();
    static std::mutex lock;
    static OrtCustomOpDomain* domains[2] = {nullptr, nullptr};  // sessions refer to them for as long as they live
    static OrtCustomOpDomain* wide_domain = nullptr;
    std::lock_guard<std::mutex> guard(lock);
    const bool wide = is_wide(tier());
    OrtCustomOpDomain*& domain = domains[wide ? 1 : 0];
    if (domain == nullptr) {
      OrtCustomOpDomain* made = ort.domain("binarize");
      for (const Op& op : family()) {
        if (wide || !op.bases || op.input != Input::FLOAT) ort.add(made, &op.table);
      }
      ort.add(made, stem_op());
      domain = made;
    }
    ort.add(options, domain);
    if (!wide) return;
    if (wide_domain == nullptr) {
      OrtCustomOpDomain* made = ort.domain("binarize.wide");
      for (const Op& op : family()) {
        if (!op.packed && !op.words) ort.add(made, &op.table);
      }
      wide_domain = made;
    }
    ort.add(options, wide_domain);
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

// Whether the tier that runs has kernels for domain `binarize.wide`; for `binarize bench` and `eval`.
extern "C" BINARIZE_EXPORT int binarize_computes_wide() {
  try {
    return binarize::is_wide(binarize::tier()) ? 1 : 0;
  } catch (const std::exception&) {
    return 0;  // a session says what is wrong with BINARIZE_TIER
  }
}
