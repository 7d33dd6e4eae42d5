// binarize.Stem, version 1, as onnxruntime's custom op. Its meaning: docs/op-spec.md.
#include <memory>

#include "op.h"
#include "stem.h"

namespace binarize {

namespace {

constexpr const char* NAME = "Stem";

struct Kernel {
  Ort ort;
  Stem stem;
};

OrtStatus* create(const OrtCustomOp*, const OrtApi* api, const OrtKernelInfo* info, void** kernel) {
  const Ort ort(api);
  return guarded(ort, NAME, [&] {
    const Constant<float> weight = copied<float>(ort, info, 1, ORT_FLOAT, "weight", 4);
    const Constant<float> bias = copied<float>(ort, info, 2, ORT_FLOAT, "bias");
    require(weight.dims[0] >= 1 && weight.dims[2] == Stem::KERNEL && weight.dims[3] == Stem::KERNEL,
            "weight has to be [O, C, 7, 7]");
    require(bias.dims[0] == weight.dims[0], "bias needs one value per output");
    *kernel = std::make_unique<Kernel>(
                  Kernel{ort, Stem(weight.dims[0], weight.dims[1], weight.values.data(), bias.values.data(), tier())})
                  .release();
  });
}

OrtStatus* run(void* kernel, OrtKernelContext* context) {
  const Kernel& one = *static_cast<const Kernel*>(kernel);
  return guarded(one.ort, NAME, [&] {
    const Tensor x = one.ort.input(context, 0);
    require(x.type == ORT_FLOAT, "x has to be float32");
    require(x.dims.size() == 4, "x needs 4 dimensions");
    require(x.dims[1] == one.stem.channels(),
            "x has " + std::to_string(x.dims[1]) + " channels where the weight has " + std::to_string(one.stem.channels()));
    std::vector<int64_t> dims = {x.dims[0], one.stem.outputs(), 0, 0};
    double size = static_cast<double>(dims[0]) * static_cast<double>(dims[1]);
    for (size_t axis = 2; axis < 4; ++axis) {
      require(x.dims[axis] >= 1 && x.dims[axis] < int64_t{1} << 31, "x is empty or too large");
      dims[axis] = Stem::pooled(x.dims[axis]);
      size *= static_cast<double>(dims[axis]);
    }
    require(size < LARGEST_OUTPUT, "the output is too large");
    float* y = one.ort.output<float>(context, 0, dims);
    if (dims[0] > 0) one.stem.run(x.as<float>(), dims[0], x.dims[2], x.dims[3], y, threads_of(one.ort, context));
  });
}

}  // namespace

const OrtCustomOp* stem_op() {
  static const OrtCustomOp table = [] {
    OrtCustomOp t = op_table();
    t.GetName = [](const OrtCustomOp*) { return NAME; };
    t.GetInputTypeCount = [](const OrtCustomOp*) { return size_t{3}; };
    t.KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
    t.CreateKernelV2 = create;
    t.KernelComputeV2 = run;
    return t;
  }();
  return &table;
}

}  // namespace binarize
