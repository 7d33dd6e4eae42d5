// What of the scratch memory is kept between runs, and that blocks in use are never shared.
//
//     cmake -S binarize/kernels -B build -DBINARIZE_TESTS=ON && cmake --build build && build/binarize_scratch
#include "../src/scratch.h"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <thread>

using binarize::Scratch;

namespace {

constexpr size_t KIB = 1024, MOST = Scratch::MOST_BYTES;
int checks = 0, failures = 0;

void holds(bool right, const char* what) {
  ++checks;
  if (right) return;
  ++failures;
  std::printf("not so: %s (%zu bytes are kept)\n", what, Scratch::kept_bytes());
}

// Blocks of that size, in use at the same time and then given back.
void use(size_t count, size_t bytes) {
  std::vector<std::unique_ptr<Scratch>> blocks;
  for (size_t i = 0; i < count; ++i) blocks.push_back(std::make_unique<Scratch>(bytes));
}

void reuse() {
  const void* first = nullptr;
  {
    const Scratch block(100 * KIB);
    first = block.as<void>();
    holds(reinterpret_cast<uintptr_t>(first) % 64 == 0, "blocks begin at a cache line");
  }
  holds(Scratch::kept_bytes() == 100 * KIB, "a block is kept");
  const Scratch again(50 * KIB);
  holds(again.as<void>() == first, "a block that is large enough is used again");
  holds(Scratch::kept_bytes() == 0, "blocks in use are not counted");
}

void limits() {
  use(3 * Scratch::MOST_BLOCKS, KIB);
  holds(Scratch::kept_bytes() == 100 * KIB + (Scratch::MOST_BLOCKS - 1) * KIB, "no more blocks than MOST_BLOCKS are kept");
  const size_t before = Scratch::kept_bytes();
  use(2, MOST + 1);
  holds(Scratch::kept_bytes() == before, "a block larger than the limit is freed, and costs no other its place");
  use(Scratch::MOST_BLOCKS, MOST / 3);
  holds(Scratch::kept_bytes() <= MOST, "together they stay below the limit");
  holds(Scratch::kept_bytes() >= MOST / 3, "and as much as fits is kept");
  use(1, MOST);
  use(Scratch::MOST_BLOCKS, MOST);
  use(1, MOST);
  holds(Scratch::kept_bytes() == MOST, "a block of all that is allowed is kept in the end");
}

// Each thread writes its number all over its blocks and finds it again.
void threads() {
  std::vector<std::thread> all;
  bool right[6] = {};
  for (int t = 0; t < 6; ++t) {
    all.emplace_back([t, &right] {
      right[t] = true;
      for (size_t round = 0; round < 300; ++round) {
        const size_t bytes = 1 + round * 7919 % (200 * KIB);
        const Scratch block(bytes);
        std::memset(block.as<char>(), t, bytes);
        std::this_thread::yield();
        for (size_t i = 0; i < bytes; ++i) right[t] = right[t] && block.as<char>()[i] == t;
      }
    });
  }
  for (std::thread& thread : all) thread.join();
  for (const bool thread : right) holds(thread, "a block belongs to one thread at a time");
  holds(Scratch::kept_bytes() <= MOST, "several threads stay below the limit");
}

}  // namespace

int main() {
  reuse();
  limits();
  threads();
  std::printf("%d passed, %d failed\n", checks - failures, failures);
  return failures == 0 ? 0 : 1;
}
