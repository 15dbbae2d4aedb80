// guided_step.cu: classifier-free guidance and one step of a diffusion sampler, in one pass over memory.
// in      sample, prediction, and where not null unconditional, before, earlier, noise: float32 or, with half_precision, float16
//         [count]; weights struct StepWeights in device memory: a captured graph follows new values
// out     next, and where not null denoised, [count] of the same type; next may be sample itself
// work    each array is read or written once; 4 values side by side a thread
// launch  grid ceil(count / 1024), block 256
// limits  count < 2^31 * 1024; arrays aligned to 16 bytes
// ref     guided_step_reference() in guided_step.py      source  Ho and Salimans, Classifier-free diffusion guidance, 2022
#include "common.cuh"
#include "guided_step.h"

constexpr int THREADS = 256;
constexpr int VALUES = 4;  // a thread

__device__ __forceinline__ void load(const float* from, float* to) {
    const float4 four = *(const float4*)from;
    to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w;
}

__device__ __forceinline__ void load(const uint16_t* from, float* to) {
    const ushort4 four = *(const ushort4*)from;
    to[0] = float_from_half(four.x), to[1] = float_from_half(four.y);
    to[2] = float_from_half(four.z), to[3] = float_from_half(four.w);
}

__device__ __forceinline__ void store(float* to, const float* v) { *(float4*)to = make_float4(v[0], v[1], v[2], v[3]); }

__device__ __forceinline__ void store(uint16_t* to, const float* v) {
    *(ushort4*)to = make_ushort4(half_bits(v[0]), half_bits(v[1]), half_bits(v[2]), half_bits(v[3]));
}

__device__ __forceinline__ float one(const float* from) { return *from; }
__device__ __forceinline__ float one(const uint16_t* from) { return float_from_half(*from); }
__device__ __forceinline__ void store_one(float* to, float value) { *to = value; }
__device__ __forceinline__ void store_one(uint16_t* to, float value) { *to = half_bits(value); }

// Up to VALUES of an array from `at` on.
template <typename T>
__device__ __forceinline__ void load_some(const T* from, size_t at, int count, float* to) {
    if (count == VALUES) return load(from + at, to);
    for (int i = 0; i < VALUES; i++) to[i] = i < count ? one(from + at + i) : 0.0f;  // VALUES times, so that all is in registers
}

template <typename T>
__device__ __forceinline__ void store_some(T* to, size_t at, int count, const float* values) {
    if (count == VALUES) return store(to + at, values);
    for (int i = 0; i < VALUES; i++)
        if (i < count) store_one(to + at + i, values[i]);
}

template <typename T>
__device__ __forceinline__ void add_some(const T* from, size_t at, int count, float weight, float* sums) {
    if (!from) return;
    float values[VALUES];
    load_some(from, at, count, values);
    for (int i = 0; i < VALUES; i++) sums[i] += weight * values[i];
}

template <typename T>
__device__ __forceinline__ void step(const T* sample, const T* prediction, const T* unconditional, const T* before,
                                     const T* earlier, const T* noise, const StepWeights& w, size_t at, int count, T* next,
                                     T* denoised) {
    float x[VALUES], p[VALUES], clean[VALUES], sums[VALUES];
    load_some(sample, at, count, x);
    load_some(prediction, at, count, p);
    if (unconditional) {
        float base[VALUES];
        load_some(unconditional, at, count, base);
        for (int i = 0; i < VALUES; i++) p[i] = guided(p[i], base[i], w.guidance);
    }
    for (int i = 0; i < VALUES; i++) {
        clean[i] = denoised_value(x[i], p[i], w);
        sums[i] = weighted_value(x[i], p[i], clean[i], w);
    }
    add_some(before, at, count, w.before, sums);
    add_some(earlier, at, count, w.earlier, sums);
    add_some(noise, at, count, w.noise, sums);
    store_some(next, at, count, sums);
    if (denoised) store_some(denoised, at, count, clean);
}

extern "C" __global__ void __launch_bounds__(THREADS, 4) guided_step(
    const void* sample, const void* prediction, const void* unconditional, const void* before, const void* earlier,
    const void* noise, const StepWeights* __restrict__ weights, int64_t count, int half_precision, void* next, void* denoised) {
    const size_t at = ((size_t)blockIdx.x * THREADS + threadIdx.x) * VALUES;
    if ((int64_t)at >= count) return;
    const int some = (int64_t)(count - at) < VALUES ? (int)(count - at) : VALUES;
    const StepWeights w = *weights;
    if (half_precision) {
        using T = uint16_t;
        step((const T*)sample, (const T*)prediction, (const T*)unconditional, (const T*)before, (const T*)earlier,
             (const T*)noise, w, at, some, (T*)next, (T*)denoised);
    } else {
        using T = float;
        step((const T*)sample, (const T*)prediction, (const T*)unconditional, (const T*)before, (const T*)earlier,
             (const T*)noise, w, at, some, (T*)next, (T*)denoised);
    }
}
