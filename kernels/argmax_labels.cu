// argmax_labels.cu: the likeliest class of every pixel at the picture's size; and their colours over the picture.
// in      pictures struct Labelling [B], in device memory with all that it points to: a captured graph follows new values;
//         maps float32 or, with half_precision, float16 [classes, map_height, map_width]
// out     labels uint8 [height, width] of each picture; image uint8 [height, width, 3], blended in place
// work    argmax_labels: 1 value a class and pixel, or 4 where sizes differ; a warp reads and writes 32 pixels side by side
// launch  both: grid (ceil(widest / 128), ceil(highest / 2), B), block 64; 4 pixels of a row a thread, a warp apart
// limits  height <= 131,070; classes <= 255; the window lies in the maps
// ref     argmax_labels_reference(), overlay_labels_reference() in argmax_labels.py      source  first principles
#include "common.cuh"
#include "labels.h"

struct Labelling {
    const void* maps;
    uint8_t* labels;
    uint8_t* image;          // for overlay_labels
    const uint8_t* palette;  // [256, 4] blue, green, red, alpha by label; for overlay_labels
    const int* x_first;     // resize_tables(): the value at or before each of `width` pixels, null where sizes are equal,
    const float* x_weight;  // and the weight of the next one
    const int *y_first, *y_second;
    const float* y_weight;
    int classes, half_precision;
    int map_width, map_height;
    int left, top, inside_width;  // the window
    int width, height;            // of the labels
    int none;                     // the label where no value is greater than
    float above;
};

constexpr int THREADS = 64;
constexpr int PIXELS = 4;  // of one row, a thread

__device__ __forceinline__ float value_at(const Labelling& p, size_t place) {
    return p.half_precision ? float_from_half(((const uint16_t*)p.maps)[place]) : ((const float*)p.maps)[place];
}

// Where the four values around a pixel lie in the first class, and what the right and the lower ones count.
struct Around {
    size_t upper, lower;  // of the left ones
    int right;            // from a left one to its right one
    float across, down;
};

__device__ __forceinline__ Around around(const Labelling& p, int x, int y) {
    const int first = p.x_first[x], next = min(first + 1, p.inside_width - 1);
    const size_t column = p.left + first;
    const size_t upper = (size_t)(p.top + p.y_first[y]) * p.map_width + column;
    const size_t lower = (size_t)(p.top + p.y_second[y]) * p.map_width + column;
    return {upper, lower, next - first, p.x_weight[x], p.y_weight[y]};
}

__device__ __forceinline__ float between(const Labelling& p, const Around& a, size_t plane) {
    return bilinear(value_at(p, plane + a.upper), value_at(p, plane + a.upper + a.right), value_at(p, plane + a.lower),
                    value_at(p, plane + a.lower + a.right), a.across, a.down);
}

__device__ __forceinline__ uint8_t label_of(const Labelling& p, int x, int y) {
    const size_t size = (size_t)p.map_width * p.map_height;
    const size_t place = (size_t)(p.top + y) * p.map_width + p.left + x;
    const Around near = p.x_first ? around(p, x, y) : Around{};
    float best = p.above;
    int label = p.none;
    for (int c = 0; c < p.classes; c++) {
        const float value = p.x_first ? between(p, near, c * size) : value_at(p, c * size + place);
        if (value > best) best = value, label = c;  // NaN is never greater
    }
    return (uint8_t)label;
}

extern "C" __global__ void __launch_bounds__(THREADS, 8) argmax_labels(const Labelling* __restrict__ pictures) {
    const Labelling& p = pictures[blockIdx.z];
    const int y = blockIdx.y * (THREADS / WARP) + threadIdx.x / WARP;
    if (y >= p.height) return;
    for (int i = 0; i < PIXELS; i++) {
        const int x = (blockIdx.x * PIXELS + i) * WARP + threadIdx.x % WARP;
        if (x < p.width) p.labels[(size_t)y * p.width + x] = label_of(p, x, y);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 8) overlay_labels(const Labelling* __restrict__ pictures) {
    const Labelling& p = pictures[blockIdx.z];
    const int y = blockIdx.y * (THREADS / WARP) + threadIdx.x / WARP;
    if (y >= p.height) return;
    for (int i = 0; i < PIXELS; i++) {
        const int x = (blockIdx.x * PIXELS + i) * WARP + threadIdx.x % WARP;
        if (x >= p.width) return;
        const size_t place = (size_t)y * p.width + x;
        const uint8_t* entry = p.palette + 4 * p.labels[place];
        uint8_t* pixel = p.image + 3 * place;
        if (entry[3] == 0) continue;
        for (int c = 0; c < 3; c++) pixel[c] = blended(pixel[c], entry[c], entry[3]);
    }
}
