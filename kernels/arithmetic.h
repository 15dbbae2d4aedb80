// The arithmetic of one element, shared by the C++ and the CUDA kernels; the NumPy references do the same operations in the
// same order. float32 throughout, compiled without contraction (-ffp-contract=off, -fmad=false), so that all three agree.
#pragma once
#include <math.h>
#include <stdint.h>

#ifdef __CUDACC__
#define HD __host__ __device__ __forceinline__
#else
#define HD static inline
#endif

struct Box {  // pixels
    float x1, y1, x2, y2;
};

HD float at_most(float a, float b) { return b < a ? b : a; }
HD float at_least(float a, float b) { return a < b ? b : a; }

// Intersection over union; NaN for two boxes without area, which suppress nothing. Boxes turned inside out overlap nothing.
HD float iou(Box a, Box b) {
    const float w = at_least(at_most(a.x2, b.x2) - at_least(a.x1, b.x1), 0.0f);
    const float h = at_least(at_most(a.y2, b.y2) - at_least(a.y1, b.y1), 0.0f);
    const float shared = w * h;
    const float areas = (a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1);
    return shared / (areas - shared);
}

// Bilinear value between four pixels: down first, then across. wx, wy in [0, 1).
HD float bilinear(float p00, float p01, float p10, float p11, float wx, float wy) {
    const float left = p00 + wy * (p10 - p00);
    const float right = p01 + wy * (p11 - p01);
    return left + wx * (right - left);
}

// The same in cv2's fixed point for uint8 INTER_LINEAR: weights of 11 bits, two roundings. Source: OpenCV resize.cpp,
// HResizeLinear and VResizeLinear<uchar, int, short, FixedPtCast<int, uchar, 22>>.
HD uint8_t bilinear_cv2(uint8_t p00, uint8_t p01, uint8_t p10, uint8_t p11, int ax0, int ax1, int ay0, int ay1) {
    const int top = p00 * ax0 + p01 * ax1, bottom = p10 * ax0 + p11 * ax1;
    return (uint8_t)((((ay0 * (top >> 4)) >> 16) + ((ay1 * (bottom >> 4)) >> 16) + 2) >> 2);
}

// One YUV pixel to blue, green, red in 0..255, not rounded. c: {luma offset, luma gain, V->R, U->G, V->G, U->B}, the last four
// with their sign; chroma is centred at 128. BT.601 limited: {16, 255/219, 1.402 * 255/224, …}.
HD void bgr_from_yuv(float y, float u, float v, const float* c, float* bgr) {
    const float luma = (y - c[0]) * c[1];
    const float blue = luma + c[5] * (u - 128.0f);
    const float green = luma + c[3] * (u - 128.0f) + c[4] * (v - 128.0f);
    const float red = luma + c[2] * (v - 128.0f);
    bgr[0] = at_most(at_least(blue, 0.0f), 255.0f);
    bgr[1] = at_most(at_least(green, 0.0f), 255.0f);
    bgr[2] = at_most(at_least(red, 0.0f), 255.0f);
}

// Corners of a box given by centre and size.
HD Box corners(float cx, float cy, float w, float h) {
    const float half_w = w * 0.5f, half_h = h * 0.5f;
    return {cx - half_w, cy - half_h, cx + half_w, cy + half_h};
}

// From network-input pixels to original-image pixels: an offset and a gain an axis. The same two operations as Placement.to_image.
HD Box to_image(Box b, float left, float top, float gain_x, float gain_y) {
    return {(b.x1 - left) / gain_x, (b.y1 - top) / gain_y, (b.x2 - left) / gain_x, (b.y2 - top) / gain_y};
}
