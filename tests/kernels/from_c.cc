// Runs a model of one input and one output through onnxruntime's C interface, as a program without Python does:
//
//     from_c ONNXRUNTIME_LIBRARY KERNELS MODEL INPUT OUTPUT DIM...  < floats of x  > floats of y
//
// KERNELS may be "", for stock onnxruntime. Slots of OrtApi by number: no package carries the headers.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

struct ApiBase {
  void* const* (*get_api)(uint32_t version);
};

void* const* slots;

template <class... Arguments>
void call(int slot, Arguments... arguments) {
  void* status = reinterpret_cast<void* (*)(Arguments...)>(slots[slot])(arguments...);
  if (status == nullptr) return;
  std::fprintf(stderr, "%s\n", reinterpret_cast<const char* (*)(void*)>(slots[2])(status));
  std::exit(1);
}

}  // namespace

int main(int count, char** words) {
  if (count < 7) return 2;
  void* library = dlopen(words[1], RTLD_NOW);
  if (library == nullptr) return std::fprintf(stderr, "%s\n", dlerror()), 1;
  const auto base = reinterpret_cast<const ApiBase* (*)()>(dlsym(library, "OrtGetApiBase"));
  slots = base()->get_api(17);
  if (slots == nullptr) return std::fprintf(stderr, "onnxruntime is too old\n"), 1;

  void *environment = nullptr, *options = nullptr, *session = nullptr, *memory = nullptr, *kernels = nullptr;
  call(3, /*level=*/3, "from_c", &environment);
  call(10, &options);
  call(24, options, /*threads=*/1);
  if (*words[2] != '\0') call(29, options, static_cast<const char*>(words[2]), &kernels);
  call(7, environment, static_cast<const char*>(words[3]), options, &session);

  std::vector<int64_t> dims;
  size_t values = 1;
  for (int i = 6; i < count; ++i) {
    dims.push_back(std::atoll(words[i]));
    values *= static_cast<size_t>(dims.back());
  }
  std::vector<float> x(values);
  if (std::fread(x.data(), sizeof(float), values, stdin) != values) return 2;
  call(69, /*arena=*/0, /*default=*/0, &memory);
  void *input = nullptr, *output = nullptr, *shape = nullptr, *data = nullptr;
  call(49, memory, static_cast<void*>(x.data()), values * sizeof(float), dims.data(), dims.size(), /*float=*/1, &input);
  const char *in = words[4], *out = words[5];
  call(9, session, static_cast<void*>(nullptr), &in, &input, size_t{1}, &out, size_t{1}, &output);
  call(65, output, &shape);
  size_t outputs = 0;
  call(64, shape, &outputs);
  call(51, output, &data);
  return std::fwrite(data, sizeof(float), outputs, stdout) == outputs ? 0 : 1;
}
