// guided_step: classifier-free guidance and one step of a diffusion sampler. Reference: guided_step_reference in
// ../guided_step.py, which also checks every array before it calls this. A block of values at a time, so that each array goes
// through memory once.
#include <stdint.h>
#include <string.h>

#include <algorithm>

#include "../guided_step.h"

namespace {

const int64_t BLOCK = 512;  // values

struct Step {
    const void *sample, *prediction, *unconditional, *before, *earlier, *noise;  // all but the first two may be null
    StepWeights weights;
    int64_t count;
    void *next, *denoised;
};

// The nearest float16, ties to even, too large to infinity; NaN stays NaN.
inline uint16_t half_from_float(float value) {
    FloatBits made;
    made.value = value;
    const uint32_t bits = (uint32_t)made.bits, sign = (bits >> 16) & 0x8000, size = bits & 0x7fffffff;
    if (size > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (size >= 0x47800000) return (uint16_t)(sign | 0x7c00);  // 65536 and above
    if (size < 0x38800000) {                                   // below 2^-14: whole multiples of 2^-24
        made.bits = (int32_t)size;
        made.value += 0.5f;  // whose last bit is worth 2^-24
        return (uint16_t)(sign | (uint32_t)(made.bits - 0x3f000000));
    }
    return (uint16_t)(sign | ((size - 0x38000000 + 0xfff + ((size >> 13) & 1)) >> 13));
}

}  // namespace

#define OP "guided_step.inc"
#include "levels.h"

// All arrays [count], of float16 with half_precision, else float32; weights are a StepWeights. next may be sample itself.
EXPORT void vedette_guided_step(const void* sample, const void* prediction, const void* unconditional, const void* before,
                                const void* earlier, const void* noise, const float* weights, int64_t count,
                                int64_t half_precision, void* next, void* denoised) {
    Step s = {sample, prediction, unconditional, before, earlier, noise, {}, count, next, denoised};
    memcpy(&s.weights, weights, sizeof s.weights);
    if (half_precision) PICK(guided_step<uint16_t>)(s);
    else PICK(guided_step<float>)(s);
}
