// The arithmetic of one value of a mask, shared by the C++ and the CUDA kernels. Reference: assemble_masks.py, packed_masks.py.
#pragma once
#include "arithmetic.h"

#define EDGE_ROUNDING 2e-4  // pixels, in double: ROUNDING of packed_masks.py

// For each pixel of one axis of the picture, between which values of a map it lies.
struct Axis {
    const int32_t *first, *second;
    const float* share;  // of the second
};

// Coefficients times values that lie `plane` apart, summed in their order.
HD float weighted_sum(const float* coefficients, const float* values, int64_t count, int64_t plane) {
    float sum = 0.0f;
    for (int64_t m = 0; m < count; m++) sum += coefficients[m] * values[m * plane];
    return sum;
}

// The first pixel, of so many, whose number is not less than an edge.
HD int window_edge(float edge, int pixels) {
    const double whole = ceil((double)edge - EDGE_ROUNDING);
    return whole > 0.0 ? whole < (double)pixels ? (int)whole : pixels : 0;
}
