// letterbox.cu: pictures of any size become images of one network input: resized, padded, reordered, normalised.
// in      pictures struct Picture [B], in device memory with all that it points to: a captured graph follows new values
// out     out float32 or, with half_precision, float16 [B, 3, height, width], 16-byte aligned, written whole
// work    4 pixels a thread, stored as one vector where 4 divides the width; one pass: reads what the picture has, writes out
// launch  letterbox: grid (ceil(width / 128), ceil(height / 8), B), block 256
// limits  height <= 524,280; the scaled picture may lie partly outside; a picture has at least one pixel
// ref     letterbox_reference() in letterbox.py      source  first principles; positions are cv2's INTER_LINEAR
#include "common.cuh"

enum Format { INTERLEAVED = 0, YUV420 = 1, NV12 = 2 };  // 3 bytes a pixel; planes Y, U, V; planes Y, UV

enum Rule { LINEAR = 0, FIXED = 1, HALF = 2 };  // exact_cv2 in letterbox.py is FIXED, or HALF at exactly half the size

struct Picture {
    const uint8_t* planes[3];
    const int* x_first;     // resize_tables() for LINEAR: the pixel at or before each of scaled_width positions,
    const float* x_weight;  // and the weight of the next one
    const int *y_first, *y_second;
    const float* y_weight;
    const short2 *x_shares, *y_shares;  // fixed_tables() for FIXED, in place of the weights
    int pitches[3];  // bytes from row to row
    int format, rule;
    int width, height;
    int left, top, scaled_width, scaled_height;  // where it goes
    int channel[3];  // what each output channel takes: the place in an interleaved pixel, or in blue, green, red
    float gain[3], bias[3];  // out = value * gain + bias
    float pad;  // the value around the picture
    float yuv[6];  // as bgr_from_yuv() wants
};

constexpr int THREADS = 256;
constexpr int PIXELS = 4;  // of one row, a thread

// The three values of one source pixel.
__device__ __forceinline__ void pixel(const Picture& p, int x, int y, float* value) {
    const uint8_t* row = p.planes[0] + (size_t)y * p.pitches[0];
    if (p.format == INTERLEAVED) {
        for (int c = 0; c < 3; c++) value[c] = row[3 * x + c];
        return;
    }
    const uint8_t* chroma = p.planes[1] + (size_t)(y / 2) * p.pitches[1];
    if (p.format == NV12) {
        bgr_from_yuv(row[x], chroma[x / 2 * 2], chroma[x / 2 * 2 + 1], p.yuv, value);
    } else {
        bgr_from_yuv(row[x], chroma[x / 2], p.planes[2][(size_t)(y / 2) * p.pitches[2] + x / 2], p.yuv, value);
    }
}

__device__ __forceinline__ int level(float value) { return (int)rintf(value); }

// One value between four pixels, by the picture's rule. x and y are the position in the scaled picture.
__device__ __forceinline__ float between(const Picture& p, int x, int y, float p00, float p01, float p10, float p11) {
    if (p.rule == LINEAR) return bilinear(p00, p01, p10, p11, p.x_weight[x], p.y_weight[y]);
    if (p.rule == HALF) return (float)((level(p00) + level(p01) + level(p10) + level(p11) + 2) >> 2);
    const short2 across = p.x_shares[x], down = p.y_shares[y];
    return bilinear_cv2(level(p00), level(p01), level(p10), level(p11), across.x, across.y, down.x, down.y);
}

// The three values at one position of the scaled picture.
__device__ __forceinline__ void sample(const Picture& p, int x, int y, float* value) {
    const bool half = p.rule == HALF;
    const int x0 = half ? 2 * x : p.x_first[x], x1 = min(x0 + 1, p.width - 1);
    const int y0 = half ? 2 * y : p.y_first[y], y1 = half ? y0 + 1 : p.y_second[y];
    float p00[3], p01[3], p10[3], p11[3];
    pixel(p, x0, y0, p00);
    pixel(p, x1, y0, p01);
    pixel(p, x0, y1, p10);
    pixel(p, x1, y1, p11);
    for (int c = 0; c < 3; c++) value[c] = between(p, x, y, p00[c], p01[c], p10[c], p11[c]);
}

__device__ __forceinline__ void store(float* to, const float* v) { *(float4*)to = make_float4(v[0], v[1], v[2], v[3]); }

__device__ __forceinline__ void store(unsigned short* to, const float* v) {
    *(ushort4*)to = make_ushort4(half_bits(v[0]), half_bits(v[1]), half_bits(v[2]), half_bits(v[3]));
}

__device__ __forceinline__ void store_one(float* to, float value) { *to = value; }
__device__ __forceinline__ void store_one(unsigned short* to, float value) { *to = half_bits(value); }

// Up to 4 pixels of one row; all of them as one vector where every row starts at a multiple of 4.
template <class T>
__device__ __forceinline__ void store_row(T* to, const float* values, int x, int width) {
    if (width % PIXELS == 0) return store(to, values);
#pragma unroll
    for (int i = 0; i < PIXELS; i++)
        if (x + i < width) store_one(to + i, values[i]);
}

extern "C" __global__ void __launch_bounds__(THREADS, 4) letterbox(
    const Picture* __restrict__ pictures, int width, int height, int half_precision, void* __restrict__ out) {
    const int x = (blockIdx.x * WARP + threadIdx.x % WARP) * PIXELS, y = blockIdx.y * (THREADS / WARP) + threadIdx.x / WARP;
    if (x >= width || y >= height) return;
    const Picture& p = pictures[blockIdx.z];
    float values[3][PIXELS];
#pragma unroll
    for (int i = 0; i < PIXELS; i++) {
        float value[3] = {p.pad, p.pad, p.pad};
        const int px = x + i - p.left, py = y - p.top;
        if (px >= 0 && px < p.scaled_width && py >= 0 && py < p.scaled_height) sample(p, px, py, value);
#pragma unroll
        for (int c = 0; c < 3; c++) {
            const int from = p.channel[c];
            values[c][i] = (from == 0 ? value[0] : from == 1 ? value[1] : value[2]) * p.gain[c] + p.bias[c];
        }
    }
#pragma unroll
    for (int c = 0; c < 3; c++) {
        const size_t to = (((size_t)blockIdx.z * 3 + c) * height + y) * width + x;
        if (half_precision) {
            store_row((unsigned short*)out + to, values[c], x, width);
        } else {
            store_row((float*)out + to, values[c], x, width);
        }
    }
}
