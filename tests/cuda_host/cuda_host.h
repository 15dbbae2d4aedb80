// The part of CUDA C++ that the kernels use, for g++: `-include cuda_host.h` turns a .cu into a library that runs on the CPU.
// Every thread of a block is a fiber. Fibers take turns only at barriers and warp collectives, in an order that the caller
// chooses, so that a race which one order hides shows in another. Blocks run one after the other, in that order too.
//
// An error, where a GPU would hang or give something undefined:
//   a barrier that not every thread of the block reaches, or that threads reach at different lines;
//   a collective that a lane of its mask has left (returned), waits elsewhere, or joins with another mask or at another line.
// Shared memory is filled with 0xCD before each block. Out-of-bounds and misaligned accesses are for ASan and UBSan.
// Not here: dynamic shared memory, textures, streams, __activemask.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#define CUDA_HOST 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __constant__ static const
#define __shared__ static __attribute__((section("cuda_shared")))  // one block at a time: static is per block

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};
struct alignas(4) short2 { short x, y; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(2) uchar2 { unsigned char x, y; };
struct alignas(4) uchar4 { unsigned char x, y, z, w; };
struct alignas(8) ushort4 { unsigned short x, y, z, w; };
inline int2 make_int2(int x, int y) { return {x, y}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline ushort4 make_ushort4(unsigned short x, unsigned short y, unsigned short z, unsigned short w) { return {x, y, z, w}; }

namespace cuda_host {

constexpr unsigned WARP = 32;
constexpr size_t STACK = 64 * 1024;
enum class Order { forward, reversed, shuffled };
enum class State { ready, at_barrier, in_collective, done };

struct Fiber {
    ucontext_t context;
    std::vector<char> stack;
    dim3 thread;
    unsigned index;  // within the block
    State state;
    int line;            // where it waits
    unsigned mask;       // of the collective it waits in
    uint64_t given;      // to that collective
    uint64_t seen[WARP];  // what every lane gave
    void* fake_stack;    // ASan's
};

struct Block {
    dim3 grid, size, index;
    std::vector<Fiber> fibers;
    Fiber* current;
    ucontext_t scheduler;
    std::function<void()> body;
    std::string error;
    void* fake_stack;
    const void* bottom;
    size_t bytes;
};

inline Block block;

// ---- fibers

inline void before_switch(void** fake_stack, const void* bottom, size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(fake_stack, bottom, bytes);
#else
    (void)fake_stack, (void)bottom, (void)bytes;
#endif
}

inline void after_switch(void* fake_stack, const void** bottom, size_t* bytes) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fake_stack, bottom, bytes);
#else
    (void)fake_stack, (void)bottom, (void)bytes;
#endif
}

inline void wait(State state) {  // from a fiber to the scheduler, and back when released
    Fiber* fiber = block.current;
    fiber->state = state;
    before_switch(state == State::done ? nullptr : &fiber->fake_stack, block.bottom, block.bytes);
    swapcontext(&fiber->context, &block.scheduler);
    after_switch(fiber->fake_stack, &block.bottom, &block.bytes);
}

inline void run_thread() {
    after_switch(nullptr, &block.bottom, &block.bytes);
    block.body();
    wait(State::done);
}

inline void resume(Fiber& fiber) {
    block.current = &fiber;
    before_switch(&block.fake_stack, fiber.stack.data(), fiber.stack.size());
    swapcontext(&block.scheduler, &fiber.context);
    after_switch(block.fake_stack, nullptr, nullptr);
}

inline void start(Fiber& fiber, unsigned index) {
    const dim3 size = block.size;
    fiber.stack.resize(STACK);
    fiber.thread = {index % size.x, index / size.x % size.y, index / size.x / size.y};
    fiber.index = index;
    fiber.state = State::ready;
    fiber.fake_stack = nullptr;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = fiber.stack.size();
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, run_thread, 0);
}

// ---- what fibers wait for

inline void barrier(int line) {
    block.current->line = line;
    wait(State::at_barrier);
}

// Gives `value` to the lanes of `mask`; afterwards seen[] holds what each of them gave.
inline const uint64_t* exchange(unsigned mask, uint64_t value, int line) {
    Fiber* fiber = block.current;
    fiber->line = line, fiber->mask = mask, fiber->given = value;
    wait(State::in_collective);
    return fiber->seen;
}

inline std::string where(const char* what, const Fiber& fiber) {
    return std::string(what) + " at line " + std::to_string(fiber.line) + ", thread " + std::to_string(fiber.index);
}

// Releases the collective that `fiber` waits in if all its lanes are there. Finds lanes that can never come.
inline bool release_collective(const Fiber& fiber) {
    const unsigned first = fiber.index / WARP * WARP;
    const unsigned mask = fiber.mask;
    const int line = fiber.line;
    uint64_t given[WARP] = {};
    if (!(mask >> (fiber.index - first) & 1)) block.error = where("lane not in its own mask", fiber);
    for (unsigned lane = 0; lane < WARP && block.error.empty(); lane++) {
        if (!(mask >> lane & 1)) continue;
        if (first + lane >= block.fibers.size()) return block.error = where("collective with absent lanes", fiber), false;
        const Fiber& other = block.fibers[first + lane];
        if (other.state == State::done) return block.error = where("collective with an exited lane", fiber), false;
        if (other.state != State::in_collective || other.mask != mask || other.line != line) return false;
        given[lane] = other.given;
    }
    if (!block.error.empty()) return false;
    for (unsigned lane = 0; lane < WARP; lane++) {
        if (!(mask >> lane & 1)) continue;
        std::copy(given, given + WARP, block.fibers[first + lane].seen);
        block.fibers[first + lane].state = State::ready;
    }
    return true;
}

inline bool release_barrier() {
    const Fiber* first = nullptr;
    for (const Fiber& fiber : block.fibers) {
        if (fiber.state == State::in_collective) return block.error = where("divergent collective", fiber), false;
        if (fiber.state == State::at_barrier && !first) first = &fiber;
    }
    for (Fiber& fiber : block.fibers) {
        if (fiber.state != State::at_barrier) return block.error = where("barrier that an exited thread misses", *first), false;
        if (fiber.line != first->line) return block.error = where("divergent barrier", fiber), false;
    }
    for (Fiber& fiber : block.fibers) fiber.state = State::ready;
    return true;
}

// ---- the scheduler

struct Sequence {  // 0 .. n-1 in the order asked for; shuffled anew each time
    Order order;
    std::mt19937 random;
    std::vector<unsigned> operator()(unsigned n) {
        std::vector<unsigned> all(n);
        std::iota(all.begin(), all.end(), 0u);
        if (order == Order::reversed) std::reverse(all.begin(), all.end());
        if (order == Order::shuffled) std::shuffle(all.begin(), all.end(), random);
        return all;
    }
};

extern "C" char __start_cuda_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_cuda_shared[] __attribute__((weak, visibility("hidden")));

__attribute__((no_sanitize("address"))) inline void poison_shared() {
    for (volatile char* byte = __start_cuda_shared; byte < __stop_cuda_shared; byte++) *byte = (char)0xCD;
}

inline void run_block(Sequence& sequence) {
    std::vector<Fiber>& fibers = block.fibers;
    poison_shared();
    for (unsigned i = 0; i < fibers.size(); i++) start(fibers[i], i);
    for (size_t done = 0; done < fibers.size() && block.error.empty();) {
        bool moved = false;
        for (unsigned i : sequence(fibers.size())) {
            if (fibers[i].state != State::ready) continue;
            resume(fibers[i]);
            done += fibers[i].state == State::done;
            moved = true;
        }
        for (const Fiber& fiber : fibers)
            if (block.error.empty() && fiber.state == State::in_collective) moved |= release_collective(fiber);
        if (block.error.empty() && !moved) release_barrier();
    }
}

template <class... Parameters, size_t... I>
std::function<void()> call(void (*kernel)(Parameters...), void** arguments, std::index_sequence<I...>) {
    return [=] { kernel(*static_cast<std::remove_reference_t<Parameters>*>(arguments[I])...); };
}

// Like cuLaunchKernel: `arguments` points to each argument. Null, or what went wrong.
template <class... Parameters>
const char* launch(void (*kernel)(Parameters...), const unsigned* grid, const unsigned* size, void** arguments, int order,
                   unsigned seed) {
    static std::string error;
    const unsigned threads = size[0] * size[1] * size[2];
    if (threads == 0 || threads > 1024 || grid[0] == 0 || grid[1] == 0 || grid[2] == 0 || grid[1] > 65535 || grid[2] > 65535)
        return "launch configuration that a GPU refuses";
    block.grid = {grid[0], grid[1], grid[2]};
    block.size = {size[0], size[1], size[2]};
    block.body = call(kernel, arguments, std::index_sequence_for<Parameters...>());
    block.fibers.resize(threads);
    block.error.clear();
    Sequence sequence{static_cast<Order>(order), std::mt19937(seed)};
    for (unsigned i : sequence(grid[0] * grid[1] * grid[2])) {
        block.index = {i % grid[0], i / grid[0] % grid[1], i / grid[0] / grid[1]};
        run_block(sequence);
        if (block.error.empty()) continue;
        block.fibers.clear();  // abandoned in mid-flight: their stacks must not be reused
        error = block.error;
        return error.c_str();
    }
    return nullptr;
}

template <class T>
uint64_t packed(T value) {
    static_assert(sizeof(T) <= 8, "a collective takes up to 8 bytes");
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    return bits;
}

template <class T>
T unpacked(uint64_t bits) {
    T value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline unsigned lane() { return block.current->index % WARP; }

inline unsigned ballot(unsigned mask, bool predicate, int line) {
    const uint64_t* seen = exchange(mask, predicate, line);
    unsigned bits = 0;
    for (unsigned i = 0; i < WARP; i++) bits |= (mask >> i & 1 && seen[i]) ? 1u << i : 0;
    return bits;
}

template <class T>
T shuffle(unsigned mask, T value, unsigned source, int line) {
    const unsigned from = source < WARP ? source : lane();  // past the end: one's own
    const uint64_t* seen = exchange(mask, packed(value), line);
    if (!(mask >> from & 1)) block.error = where("shuffle from a lane outside the mask", *block.current);
    return unpacked<T>(seen[from]);
}

template <class T, class Change>
T update(T* at, Change change) {
    const T before = *at;
    *at = change(before);
    return before;
}

}  // namespace cuda_host

#define threadIdx (cuda_host::block.current->thread)
#define blockIdx (cuda_host::block.index)
#define blockDim (cuda_host::block.size)
#define gridDim (cuda_host::block.grid)

#define __syncthreads() cuda_host::barrier(__LINE__)
#define __syncwarp() ((void)cuda_host::exchange(~0u, 0, __LINE__))
#define __ballot_sync(mask, predicate) cuda_host::ballot(mask, predicate, __LINE__)
#define __any_sync(mask, predicate) (cuda_host::ballot(mask, predicate, __LINE__) != 0)
#define __all_sync(mask, predicate) (cuda_host::ballot(mask, predicate, __LINE__) == (mask))
#define __shfl_sync(mask, value, source) cuda_host::shuffle(mask, value, (source) % cuda_host::WARP, __LINE__)
#define __shfl_up_sync(mask, value, by) cuda_host::shuffle(mask, value, cuda_host::lane() - (by), __LINE__)
#define __shfl_down_sync(mask, value, by) cuda_host::shuffle(mask, value, cuda_host::lane() + (by), __LINE__)
#define __shfl_xor_sync(mask, value, bits) cuda_host::shuffle(mask, value, cuda_host::lane() ^ (bits), __LINE__)

template <class T> T atomicAdd(T* at, T by) { return cuda_host::update(at, [=](T now) { return T(now + by); }); }
template <class T> T atomicMax(T* at, T by) { return cuda_host::update(at, [=](T now) { return std::max(now, by); }); }
template <class T> T atomicMin(T* at, T by) { return cuda_host::update(at, [=](T now) { return std::min(now, by); }); }
template <class T> T atomicOr(T* at, T by) { return cuda_host::update(at, [=](T now) { return T(now | by); }); }
template <class T> T atomicAnd(T* at, T by) { return cuda_host::update(at, [=](T now) { return T(now & by); }); }
template <class T> T atomicExch(T* at, T by) { return cuda_host::update(at, [=](T) { return by; }); }
template <class T> T __ldg(const T* at) { return *at; }
inline void __threadfence() {}
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __popcll(unsigned long long bits) { return __builtin_popcountll(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __ffsll(long long bits) { return __builtin_ffsll(bits); }
inline unsigned __float_as_uint(float value) { return cuda_host::unpacked<unsigned>(cuda_host::packed(value)); }
inline float __uint_as_float(unsigned bits) { return cuda_host::unpacked<float>(bits); }
inline unsigned short __float2half_bits(float value) { return (unsigned short)cuda_host::packed((_Float16)value); }
using std::max;
using std::min;
