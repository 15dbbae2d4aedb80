// The arithmetic of one element of argmax_labels and overlay_labels, shared by the C++ and the CUDA kernels.
#pragma once
#include "arithmetic.h"

// One channel of a pixel, `alpha` of 255 parts of the way to a colour: 0 leaves it, 255 replaces it.
HD uint8_t blended(uint8_t pixel, uint8_t colour, uint8_t alpha) {
    const int share = alpha + (alpha >> 7);  // of 256
    return (uint8_t)((pixel * (256 - share) + colour * share + 128) >> 8);
}
