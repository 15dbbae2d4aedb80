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

// ---- decode_boxes: a detector's raw numbers to boxes in network-input pixels. Reference: decode_boxes.py ----

union FloatBits {
    float value;
    int32_t bits;
};

HD float two_to_the(int32_t power) {  // power in -126..127
    FloatBits made;
    made.bits = (power + 127) * 8388608;
    return made.value;
}

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

// e^x from float32 products and sums only, so that every processor gives the same bits: x = n ln 2 + r, then a Taylor series in
// r, |r| < 0.35, whose ninth term is below half a unit in the last place. Within 2 units of the exact value; NaN stays NaN.
HD float exponential(float x) {
    const float bounded = at_most(at_least(x, -104.0f), 89.0f);  // beyond: 0 and infinity
    FloatBits nearest;
    nearest.value = bounded * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: the sum has no room for a fraction
    const float n = nearest.value - 12582912.0f;
    const float r = (bounded - n * 0.693145751953125f) - n * 1.42860682e-6f;  // ln 2 in two parts; n times the first is exact
    float sum = r * (1.0f / 5040) + (1.0f / 720);
    sum = sum * r + (1.0f / 120);
    sum = sum * r + (1.0f / 24);
    sum = sum * r + (1.0f / 6);
    sum = sum * r + 0.5f;
    sum = sum * r + 1.0f;
    sum = sum * r + 1.0f;
    const int32_t power = x == x ? nearest.bits - 0x4B400000 : 0;  // the bits of 1.5 * 2^23
    const int32_t half = power >> 1;
    return sum * two_to_the(half) * two_to_the(power - half);  // 2^128 and 2^-150 are no float32; their roots are
}

HD float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }
HD float hyperbolic_tangent(float x) { return 1.0f - 2.0f / (1.0f + exponential(2.0f * x)); }

// FastestDet's score; the exponents are its author's 0.6 and 0.4.
HD float weighted_score(float objectness, float probability, float object_power, float class_power) {
    return powf(at_least(objectness, 0.0f), object_power) * powf(at_least(probability, 0.0f), class_power);
}

// YOLOv2: t are the raw x, y, w, h of one anchor at one cell; the anchor's size counts cells, a cell's size pixels.
HD Box region_box(float x, float y, float w, float h, float column, float row, float anchor_w, float anchor_h, float cell_w,
                  float cell_h) {
    return corners((column + sigmoid(x)) * cell_w, (row + sigmoid(y)) * cell_h, exponential(w) * anchor_w * cell_w,
                   exponential(h) * anchor_h * cell_h);
}

// YOLOX: raw x, y, w, h of one cell of a square stride.
HD Box yolox_box(float x, float y, float w, float h, float column, float row, float stride) {
    return corners((x + column) * stride, (y + row) * stride, exponential(w) * stride, exponential(h) * stride);
}

// FastestDet: raw x, y, w, h of one cell of a grid of columns x rows over an input of width x height pixels.
HD Box fastestdet_box(float x, float y, float w, float h, float column, float row, float columns, float rows, float width,
                      float height) {
    return corners((column + hyperbolic_tangent(x)) / columns * width, (row + hyperbolic_tangent(y)) / rows * height,
                   sigmoid(w) * width, sigmoid(h) * height);
}

// The mean of a distribution over bins 0, 1, 2 … given by its logits (GFL). NaN of infinite logits.
HD float mean_bin(const float* logits, int64_t bins) {
    float most = logits[0], mean = 0.0f, sum = 0.0f;
    for (int64_t bin = 1; bin < bins; bin++) most = at_least(most, logits[bin]);
    for (int64_t bin = 0; bin < bins; bin++) {
        const float weight = exponential(logits[bin] - most);
        mean += weight * (float)bin;
        sum += weight;
    }
    return mean / sum;
}

// NanoDet: the logits [4, bins] of left, top, right and bottom of one cell, in strides from its centre.
HD Box nanodet_box(const float* logits, int64_t bins, float column, float row, float stride) {
    const float x = (column + 0.5f) * stride, y = (row + 0.5f) * stride;
    return {x - mean_bin(logits, bins) * stride, y - mean_bin(logits + bins, bins) * stride,
            x + mean_bin(logits + 2 * bins, bins) * stride, y + mean_bin(logits + 3 * bins, bins) * stride};
}

// SSD: offsets and prior are [4] cx cy w h, the prior in pixels; variances [4] scale the offsets.
HD Box prior_box(const float* offsets, const float* prior, const float* variances) {
    return corners(prior[0] + offsets[0] * variances[0] * prior[2], prior[1] + offsets[1] * variances[1] * prior[3],
                   prior[2] * exponential(offsets[2] * variances[2]), prior[3] * exponential(offsets[3] * variances[3]));
}

// ---- nms_rotated: boxes as Gaussians. Reference: nms_rotated_reference in nms.py ----

struct Gaussian {  // centre, and variances along x, along y and mixed; pixels and their squares
    double x, y, xx, yy, xy;
};

#define PROB_IOU_EPSILON 1e-7  // keeps boxes without area from dividing by zero

// The part of the Bhattacharyya distance that the distance of the centres makes; never negative.
HD double centre_distance(Gaussian a, Gaussian b) {
    const double xx = a.xx + b.xx, yy = a.yy + b.yy, xy = a.xy + b.xy, dx = a.x - b.x, dy = a.y - b.y;
    const double det = fmax(xx * yy - xy * xy, 0.0);
    const double form = yy * dx * dx + xx * dy * dy - 2.0 * xy * dx * dy;
    return 0.25 * fmax(form, 0.0) / (det + PROB_IOU_EPSILON);
}

// The part that the difference of the shapes makes; never negative.
HD double shape_distance(Gaussian a, Gaussian b) {
    const double xx = a.xx + b.xx, yy = a.yy + b.yy, xy = a.xy + b.xy;
    const double det = fmax(xx * yy - xy * xy, 0.0);
    const double det_a = fmax(a.xx * a.yy - a.xy * a.xy, 0.0), det_b = fmax(b.xx * b.yy - b.xy * b.xy, 0.0);
    const double ratio = (det + PROB_IOU_EPSILON) / (4.0 * sqrt(det_a * det_b) + PROB_IOU_EPSILON);
    return fmax(0.5 * log(ratio), 0.0);
}

// 1 minus the Hellinger distance: 1 for equal Gaussians, towards 0 for distant ones.
HD double prob_iou(Gaussian a, Gaussian b) { return 1.0 - sqrt(1.0 - exp(-(centre_distance(a, b) + shape_distance(a, b)))); }
