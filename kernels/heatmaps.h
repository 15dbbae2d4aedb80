// The arithmetic of one element of heatmap_keypoints, shared by the C++ and the CUDA kernels.
#pragma once
#include "arithmetic.h"

// Four values side by side and what each counts; the first may lie before the map, the last behind it: the border repeats.
struct Cubic {
    int first;
    float weights[4];
};

// Keys' cubic convolution with a = -0.75, of a distance up to 1, and from 1 to 2. Source: Keys, Cubic convolution
// interpolation for digital image processing, 1981.
HD float cubic_near(float d) { return (1.25f * d - 2.25f) * d * d + 1.0f; }
HD float cubic_far(float d) { return ((-0.75f * d + 3.75f) * d - 6.0f) * d + 3.0f; }

// Where the centre of a pixel lies between the centres of values that are 1 / step pixels wide.
HD Cubic cubic_at(int pixel, float step) {
    const float at = step * ((float)pixel + 0.5f) - 0.5f;
    const float below = floorf(at), t = at - below;
    return {(int)below - 1, {cubic_far(t + 1.0f), cubic_near(t), cubic_near(1.0f - t), cubic_far(2.0f - t)}};
}

HD float weighted(float a, float b, float c, float d, const float* weights) {
    return a * weights[0] + b * weights[1] + c * weights[2] + d * weights[3];
}

// A side of a region of interest: 1 pixel or more, also where it is no number; and the whole pixels that it is enlarged to.
HD float roi_side(float low, float high) { return at_least(1.0f, high - low); }
HD int roi_pixels(float side) { return (int)at_most(16384.0f, ceilf(side)); }

// The centre of one of those pixels in the picture.
HD float roi_place(int pixel, float side, int pixels, float low) { return ((float)pixel + 0.5f) * (side / (float)pixels) + low; }
