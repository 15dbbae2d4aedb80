// The arithmetic of one element of argmax_labels and overlay_labels, shared by the C++ and the CUDA kernels.
#pragma once
#include "arithmetic.h"

// IEEE half precision to single, exactly.
HD float float_from_half(uint16_t half) {
    FloatBits made;
    made.bits = (half & 0x7fff) << 13;  // exponent and fraction, whose exponent counts from -15 instead of -127
    if (made.bits >= 0x0f800000) {      // infinite, or NaN
        made.bits += 0x70000000;
    } else {
        made.value *= 0x1p112f;  // subnormal numbers, too
    }
    made.bits |= (int32_t)((uint32_t)(half & 0x8000) << 16);
    return made.value;
}

// One channel of a pixel, `alpha` of 255 parts of the way to a colour: 0 leaves it, 255 replaces it.
HD uint8_t blended(uint8_t pixel, uint8_t colour, uint8_t alpha) {
    const int share = alpha + (alpha >> 7);  // of 256
    return (uint8_t)((pixel * (256 - share) + colour * share + 128) >> 8);
}
