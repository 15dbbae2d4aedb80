// The run-time choice of instruction set, and what the library was built from.
#include "cpu.h"

#include <stdint.h>
#include <stdlib.h>

static int detected() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c")) return 0;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                   __builtin_cpu_supports("avx512dq")
               ? 2
               : 1;
#else
    return 0;
#endif
}

static int chosen() {
    const int have = detected();
    const char* want = getenv("VEDETTE_CPU");  // tests force a lower level
    return want && atoi(want) < have ? atoi(want) : have;
}

const int vedette::level = chosen();

EXPORT int32_t vedette_cpu() { return vedette::level; }
EXPORT const char* vedette_digest() { return VEDETTE_DIGEST; }
