// Counts the instructions that qemu emulates, and prints their number when the program ends.
//
//     gcc -shared -fPIC -O2 -o count.so benchmarks/arm_instructions_plugin.c && qemu-aarch64 -plugin ./count.so PROGRAM
//
// The part of qemu's plugin interface (version 1) that it needs is declared here: packages come without its header.
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

int qemu_plugin_version = 1;
struct qemu_plugin_tb;  // a block of instructions that is translated as a whole
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*translated)(uint64_t, struct qemu_plugin_tb*));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb* block);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb* block, int operation, void* counter, uint64_t amount);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*ends)(uint64_t, void*), void* unused);
enum { ADD = 0 };

static uint64_t instructions;

static void translated(uint64_t id, struct qemu_plugin_tb* block) {
  (void)id;
  qemu_plugin_register_vcpu_tb_exec_inline(block, ADD, &instructions, qemu_plugin_tb_n_insns(block));
}

static void ends(uint64_t id, void* unused) {
  (void)id;
  (void)unused;
  fprintf(stderr, "%" PRIu64 " instructions\n", instructions);
}

int qemu_plugin_install(uint64_t id, const void* info, int count, char** arguments) {
  (void)info;
  (void)count;
  (void)arguments;
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, ends, NULL);
  return 0;
}
