/* A QEMU plugin (API version 1: QEMU 7.2) that counts the instructions a user-mode guest executes.
 *
 * Whenever the guest calls close(-424242), which no program does by itself, the count so far goes to stderr:
 *
 *     instructions 123456789
 *
 * Every block of translated code adds its length to one counter as it starts, so the count is exact for any number of
 * threads. Declared here is the little of qemu-plugin.h that is used, as Debian ships no such header.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#define PUBLIC __attribute__((visibility("default")))

enum { ARM64_CLOSE = 57, MARK = -424242, NO_REGISTERS = 0 };

typedef uint64_t plugin_id;
struct block;

size_t qemu_plugin_tb_n_insns(const struct block *block);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*translated)(plugin_id, struct block *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct block *block, void (*starts)(unsigned, void *), int registers,
                                          void *data);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id id,
                                          void (*called)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t,
                                                         uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));

PUBLIC int qemu_plugin_version = 1;

static uint64_t executed;

static void block_starts(unsigned cpu, void *length)
{
    (void)cpu;
    __atomic_fetch_add(&executed, (uintptr_t)length, __ATOMIC_RELAXED);
}

static void block_translated(plugin_id id, struct block *block)
{
    void *length = (void *)(uintptr_t)qemu_plugin_tb_n_insns(block);

    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(block, block_starts, NO_REGISTERS, length);
}

static void system_called(plugin_id id, unsigned cpu, int64_t number, uint64_t first, uint64_t b, uint64_t c,
                          uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    (void)id, (void)cpu, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number == ARM64_CLOSE && (int32_t)first == MARK)
        fprintf(stderr, "instructions %" PRIu64 "\n", __atomic_load_n(&executed, __ATOMIC_RELAXED));
}

PUBLIC int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, block_translated);
    qemu_plugin_register_vcpu_syscall_cb(id, system_called);
    return 0;
}
