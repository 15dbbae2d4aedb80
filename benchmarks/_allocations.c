// Counts what a process allocates in large pieces and what it copies; for bench_memory.py, which compiles it and loads it
// before glibc (LD_PRELOAD). Nothing is counted until watch(1); watch(2) also tells where each allocation comes from.
#define _GNU_SOURCE
#include <errno.h>
#include <execinfo.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { LARGE = 16384, SMALL_COPY = 256, KINDS = 64 };

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static atomic_int watching;
static atomic_ullong copied_bytes;
static _Atomic uint64_t sizes[KINDS], counts[KINDS];
static _Thread_local int telling;

static void count(size_t size) {
    if (size < LARGE || !atomic_load_explicit(&watching, memory_order_relaxed)) return;
    for (int kind = 0; kind < KINDS; kind++) {
        uint64_t empty = 0;
        if (atomic_load(&sizes[kind]) == size || atomic_compare_exchange_strong(&sizes[kind], &empty, size) ||
            empty == size) {
            atomic_fetch_add(&counts[kind], 1);
            break;
        }
    }
    if (atomic_load(&watching) == 2 && !telling) {
        telling = 1;
        void *frames[24];
        backtrace_symbols_fd(frames, backtrace(frames, 24), 2);
        telling = 0;
    }
}

void *malloc(size_t size) { count(size); return __libc_malloc(size); }
void *calloc(size_t number, size_t size) { count(number * size); return __libc_calloc(number, size); }
void *realloc(void *old, size_t size) { count(size); return __libc_realloc(old, size); }
void *memalign(size_t alignment, size_t size) { count(size); return __libc_memalign(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { count(size); return __libc_memalign(alignment, size); }
int posix_memalign(void **out, size_t alignment, size_t size) {
    count(size);
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}

void *memmove(void *to, const void *from, size_t size) {
    if (size >= SMALL_COPY && atomic_load_explicit(&watching, memory_order_relaxed))
        atomic_fetch_add(&copied_bytes, size);
    char *target = to;
    const char *source = from;
    if (target <= source || target >= source + size) {
#if defined(__x86_64__)
        void *d = target;
        const void *s = source;
        size_t n = size;
        __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
#else
        for (size_t i = 0; i < size; i++) target[i] = source[i];
#endif
    } else {
        for (size_t i = size; i-- > 0;) target[i] = source[i];
    }
    return to;
}
void *memcpy(void *to, const void *from, size_t size) { return memmove(to, from, size); }

void watch(int how) { atomic_store(&watching, how); }
uint64_t copied(void) { return copied_bytes; }
uint64_t size_of(int kind) { return sizes[kind]; }
uint64_t count_of(int kind) { return counts[kind]; }
int kinds(void) { return KINDS; }
void forget(void) {
    copied_bytes = 0;
    for (int kind = 0; kind < KINDS; kind++) sizes[kind] = counts[kind] = 0;
}
