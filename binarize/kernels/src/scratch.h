// Memory that a kernel needs while it runs, kept between runs: fresh pages cost more than what is done on them.
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
  // At least `bytes`, aligned to a cache line, with what is left of an earlier use in it.
  explicit Scratch(size_t bytes) : block_(take(bytes)) {}
  ~Scratch() { give(std::move(block_)); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  template <class T>
  T* as() const {
    return static_cast<T*>(block_.data);
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

  static constexpr size_t LINE = 64;
  static constexpr size_t KEPT = 8;  // blocks; more than threads run at once are given back to the system

  static void release(void* data) {
    if (data != nullptr) ::operator delete(data, std::align_val_t{LINE});
  }
  static std::mutex& lock() {
    static std::mutex mutex;
    return mutex;
  }
  static std::vector<Block>& kept() {
    static std::vector<Block> blocks;
    return blocks;
  }

  static Block take(size_t bytes) {
    {
      std::lock_guard<std::mutex> guard(lock());
      auto& blocks = kept();
      for (size_t i = 0; i < blocks.size(); ++i) {
        if (blocks[i].bytes >= bytes) {
          Block found = std::move(blocks[i]);
          blocks[i] = std::move(blocks.back());
          blocks.pop_back();
          return found;
        }
      }
      if (!blocks.empty()) blocks.pop_back();  // too small: a larger one takes its place
    }
    Block made;
    made.data = ::operator new(bytes, std::align_val_t{LINE});
    made.bytes = bytes;
    return made;
  }

  static void give(Block block) {
    std::lock_guard<std::mutex> guard(lock());
    if (block.data != nullptr && kept().size() < KEPT) kept().push_back(std::move(block));
  }

  Block block_;
};

}  // namespace binarize
