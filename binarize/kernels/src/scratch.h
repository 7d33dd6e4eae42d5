// Memory that a kernel needs while it runs, kept between runs: fresh pages cost more than what is computed in them.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

namespace binarize {

class Scratch {
 public:
  // At least `bytes`, aligned to a cache line; the contents are those of an earlier use.
  explicit Scratch(size_t bytes) : block_(take(bytes)) {}
  ~Scratch() { give_back(std::move(block_)); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  template <class T>
  T* as() const {
    return static_cast<T*>(block_.data);
  }

  // What is kept at most, by the whole process. A network with images of 224 x 224 needs one block of packed inputs, at
  // most 16 MB (AT_ONCE in int8.cc), and one of tables per thread, about 1 MB (STRIP in lookup.cc): eight threads fit
  // twice. Larger blocks belong to large images or batches, where the computation outweighs the fresh pages.
  static constexpr size_t MOST_BLOCKS = 8;
  static constexpr size_t MOST_BYTES = size_t{64} << 20;

  // Bytes of the blocks that are kept and not in use.
  static size_t kept_bytes() {
    std::lock_guard<std::mutex> guard(pool().lock);
    return pool().bytes;
  }

 private:
  struct Block {
    void* data = nullptr;
    size_t bytes = 0;
    Block() = default;
    Block(Block&& other) noexcept : data(other.data), bytes(other.bytes) { other.data = nullptr; }
    Block& operator=(Block&& other) noexcept {
      std::swap(data, other.data);
      std::swap(bytes, other.bytes);
      return *this;
    }
    ~Block() { release(data); }
  };
  struct Pool {
    std::mutex lock;
    std::vector<Block> blocks;
    size_t bytes = 0;  // of all blocks

    // The block at that place, which is no longer kept.
    Block remove(size_t i) {
      std::swap(blocks[i], blocks.back());
      Block removed = std::move(blocks.back());
      blocks.pop_back();
      bytes -= removed.bytes;
      return removed;
    }
  };

  static constexpr size_t LINE = 64;

  static void release(void* data) {
    if (data != nullptr) ::operator delete(data, std::align_val_t{LINE});
  }
  static Pool& pool() {
    static Pool kept;
    return kept;
  }

  static Block take(size_t bytes) {
    {
      std::lock_guard<std::mutex> guard(pool().lock);
      auto& blocks = pool().blocks;
      for (size_t i = 0; i < blocks.size(); ++i) {
        if (blocks[i].bytes >= bytes) return pool().remove(i);
      }
      // all are too small: a larger one takes the place of the last, unless it is too large to be kept itself
      if (!blocks.empty() && bytes <= MOST_BYTES) pool().remove(blocks.size() - 1);
    }
    Block made;
    made.data = ::operator new(bytes, std::align_val_t{LINE});
    made.bytes = bytes;
    return made;
  }

  // Keeps the block if it fits; otherwise its memory returns to the system.
  static void give_back(Block block) {
    std::lock_guard<std::mutex> guard(pool().lock);
    const bool fits = pool().blocks.size() < MOST_BLOCKS && block.bytes <= MOST_BYTES - pool().bytes;
    if (block.data == nullptr || !fits) return;
    pool().bytes += block.bytes;
    pool().blocks.push_back(std::move(block));
  }

  Block block_;
};

}  // namespace binarize
