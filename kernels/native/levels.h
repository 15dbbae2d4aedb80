// Compiles one op once per instruction set. Before including this, an op's .cpp includes every header that the op needs (a
// header that came first inside a target region would be compiled for that target) and defines OP as the op's .inc file,
// written for LANES floats at a time with the types of simd.h. Then PICK(f) is f of the level that this processor runs.
//
//   #include <stdint.h>
//   #define OP "nms.inc"
//   #include "levels.h"
//   EXPORT int64_t vedette_nms(…) { return PICK(nms)(…); }
#include <string.h>

#include "cpu.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace base {
#define LANES 4
#include "simd.h"
#include OP
#undef LANES
}  // namespace base

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
namespace avx2 {
#define LANES 8
#include "simd.h"
#include OP
#undef LANES
}  // namespace avx2
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")
#endif
namespace avx512 {
#define LANES 16
#include "simd.h"
#include OP
#undef LANES
}  // namespace avx512
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#define PICK(f) (vedette::level == 2 ? avx512::f : vedette::level == 1 ? avx2::f : base::f)
#else
#define PICK(f) base::f
#endif
