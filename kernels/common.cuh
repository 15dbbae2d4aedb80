// common.cuh: what every .cu includes. No header of the CUDA toolkit, so that NVRTC needs none; the same text compiles with
// g++ under tests/cuda_host/cuda_host.h.
#pragma once
#include "arithmetic.h"

using Bits = unsigned long long;  // 64 flags

constexpr int WARP = 32;
constexpr unsigned FULL_WARP = 0xffffffffu;

__device__ __forceinline__ bool is_finite(float value) { return value - value == 0.0f; }
__device__ __forceinline__ bool is_finite(double value) { return value - value == 0.0; }

// IEEE half precision, to nearest even.
__device__ __forceinline__ unsigned short half_bits(float value) {
#ifdef __CUDACC__
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
#else
    return __float2half_bits(value);
#endif
}
