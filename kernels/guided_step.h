// The arithmetic of one value of guided_step, shared by the C++ and the CUDA kernels. Reference: guided_step.py.
#pragma once
#include "arithmetic.h"

// What each array counts, in the order in which it is added; see Weights of guided_step.py.
struct StepWeights {
    float guidance;
    float from_sample, from_prediction;  // of the denoised value
    float low, high;                     // where it is clipped
    float sample, prediction, denoised, before, earlier, noise;
};

HD float guided(float conditional, float unconditional, float guidance) {
    return unconditional + guidance * (conditional - unconditional);
}

// Clipped; what is no number stays none.
HD float denoised_value(float sample, float prediction, const StepWeights& w) {
    const float value = w.from_sample * sample + w.from_prediction * prediction;
    return at_most(at_least(value, w.low), w.high);
}

// The part of the sum that every step has.
HD float weighted_value(float sample, float prediction, float denoised, const StepWeights& w) {
    return w.sample * sample + w.prediction * prediction + w.denoised * denoised;
}
