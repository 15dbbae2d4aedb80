// heatmap_keypoints.cu: the highest place of each heatmap, enlarged over its box.
// in      heatmaps float32 [N, K, height, width]; rois float32 [N, 4] xyxy pixels
// out     xy float32 [N, K, 2] pixels; logits float32 [N, K]
// work    8 products and 6 sums a pixel of the roi; the map, which all threads of a block read, stays in the nearest cache
// launch  grid (K, N), block 128; a thread a row of the enlarged map, TILE columns at a time
// limits  N <= 65535; a roi's side counts 16,384 pixels at most
// ref     heatmap_keypoints_reference() in heatmap_keypoints.py      source  torchvision roi_heads.py (facts, no code)
#include "common.cuh"
#include "heatmaps.h"

constexpr int THREADS = 128;
constexpr int TILE = 128;

struct Best {
    float value;
    int pixel;  // row by row
};

// The greater one; of equal ones the first.
__device__ __forceinline__ Best better(Best a, Best b) {
    const bool second = b.value > a.value || (b.value == a.value && b.pixel < a.pixel);
    return second ? b : a;
}

__device__ __forceinline__ int clamped(int place, int count) { return min(max(place, 0), count - 1); }

// Four rows of a map and what each counts.
struct Rows {
    const float *a, *b, *c, *d;
    Cubic cubic;
    int width;

    __device__ __forceinline__ Rows(const float* map, int height, int width, Cubic cubic) : cubic(cubic), width(width) {
        a = map + clamped(cubic.first, height) * width;
        b = map + clamped(cubic.first + 1, height) * width;
        c = map + clamped(cubic.first + 2, height) * width;
        d = map + clamped(cubic.first + 3, height) * width;
    }
    __device__ __forceinline__ float at(int column) const {
        const int x = clamped(column, width);
        return weighted(a[x], b[x], c[x], d[x], cubic.weights);
    }
};

// The best of a thread's row in a tile of columns; the four values that count move along with the pixel.
__device__ __forceinline__ Best best_of_row(const Rows& rows, const Cubic* columns, int count, int pixel, Best best) {
    int at = columns[0].first;
    float a = rows.at(at), b = rows.at(at + 1), c = rows.at(at + 2), d = rows.at(at + 3);
    for (int x = 0; x < count; x++, pixel++) {
        for (; at < columns[x].first; at++) a = b, b = c, c = d, d = rows.at(at + 4);
        const float value = weighted(a, b, c, d, columns[x].weights);
        if (value > best.value || (value == best.value && pixel < best.pixel)) best = {value, pixel};
    }
    return best;
}

__device__ __forceinline__ Best best_of_warp(Best mine) {
    for (int by = WARP / 2; by > 0; by /= 2) {
        const Best other = {__shfl_down_sync(FULL_WARP, mine.value, by), __shfl_down_sync(FULL_WARP, mine.pixel, by)};
        mine = better(mine, other);
    }
    return mine;
}

extern "C" __global__ void __launch_bounds__(THREADS, 8) heatmap_keypoints(const float* __restrict__ heatmaps,
                                                                           const float* __restrict__ rois, int height,
                                                                           int width, float* __restrict__ xy,
                                                                           float* __restrict__ logits) {
    __shared__ Cubic columns[TILE];
    __shared__ Best bests[THREADS / WARP];
    const size_t place = (size_t)blockIdx.y * gridDim.x + blockIdx.x;
    const float* map = heatmaps + place * height * width;
    const float* roi = rois + 4 * (size_t)blockIdx.y;
    const float across = roi_side(roi[0], roi[2]), down = roi_side(roi[1], roi[3]);
    const int pixels = roi_pixels(across), rows = roi_pixels(down);
    Best best = {-INFINITY, 0};  // what is no number is never greater
    for (int start = 0; start < pixels; start += TILE) {
        const int count = min(TILE, pixels - start);
        __syncthreads();
        for (int x = threadIdx.x; x < count; x += THREADS) columns[x] = cubic_at(start + x, (float)width / (float)pixels);
        __syncthreads();
        for (int y = threadIdx.x; y < rows; y += THREADS) {
            const Rows four(map, height, width, cubic_at(y, (float)height / (float)rows));
            best = best_of_row(four, columns, count, y * pixels + start, best);
        }
    }
    best = best_of_warp(best);
    if (threadIdx.x % WARP == 0) bests[threadIdx.x / WARP] = best;
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int warp = 1; warp < THREADS / WARP; warp++) best = better(best, bests[warp]);
    xy[2 * place] = roi_place(best.pixel % pixels, across, pixels, roi[0]);
    xy[2 * place + 1] = roi_place(best.pixel / pixels, down, rows, roi[1]);
    logits[place] = best.value;
}
