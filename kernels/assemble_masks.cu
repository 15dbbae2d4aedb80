// assemble_masks.cu: masks of objects, a bit a pixel: sums of maps, enlarged, thresholded, cropped. Two kernels: windows, which
// prepares what a detector's kept boxes need, and assemble, which any struct Mask will do for.
// in      pictures struct MaskPicture [B], in device memory with all that it points to: a captured graph follows new values;
//         boxes float32 [B, max_det, 4] xyxy, 16-byte aligned, counts int32 [B], coefficients float32 [B, max_det, columns],
//         of which the first MaskPicture.count are used
// out     windows int32 [B, max_det, 4]: left, top, width, height in the picture, as windows_of(); totals int64 [B], in words;
//         words uint64 [room] a picture, bits as packed_masks.py has them, an object's from starts int64 [B, max_det] on.
//         Where totals is more than room, the objects that found none are not written
// work    masks struct Mask [B, max_det], between the two; a tile of 32 columns by 64 rows sums the values under it once where
//         they fit into shared memory, as they do unless the picture is smaller than its maps; else 4 sums a pixel
// launch  mask_windows    grid B, block 256
//         assemble_masks  grid (tiles at once of an object, objects, B), block 256; a tile is a turn of a block
// limits  axes do not fall; a picture of at most 2^31 pixels
// ref     assemble_masks_reference() in assemble_masks.py, windows_of() in packed_masks.py      source  first principles
#include "common.cuh"
#include "masks.h"

constexpr int THREADS = 256;
constexpr int WARPS = THREADS / WARP;
constexpr int COLUMNS = 32, ROWS = 64;             // of a tile; ROWS is a word
constexpr int CELLS = (COLUMNS + 1) * (ROWS + 1);  // values between which a tile lies that is not smaller than they

struct Mask {
    const float* coefficients;  // [count]
    const float* maps;          // [count, map_height, map_width]
    Axis across, down;          // of the whole picture
    Bits* words;                // [width, ceil(height / 64)]
    int count, map_height, map_width;
    int left, top, width, height;  // the window; nothing is written where it is empty
    float threshold;
};

struct MaskPicture {
    const float* maps;
    Axis across, down;
    Bits* words;
    int count, map_height, map_width;
    int width, height;           // of the picture
    float unit_x, unit_y;        // input pixels of one unit of boxes
    float left, top;             // of the picture in the network's input
    float gain_x, gain_y;        // input pixels of one of the picture's
};

struct Window {
    int left, top, width, height;
};

__device__ __forceinline__ int words_down(int height) { return (height + ROWS - 1) / ROWS; }

// Of a box as it comes from the network; empty where the box lies outside the picture.
__device__ __forceinline__ Window window_of(float4 box, const MaskPicture& p) {
    const Box pixels = {box.x * p.unit_x, box.y * p.unit_y, box.z * p.unit_x, box.w * p.unit_y};
    const Box b = to_image(pixels, p.left, p.top, p.gain_x, p.gain_y);
    const float width = (float)p.width, height = (float)p.height;
    const float x1 = at_most(at_least(b.x1, 0.0f), width), x2 = at_most(at_least(b.x2, 0.0f), width);
    const float y1 = at_most(at_least(b.y1, 0.0f), height), y2 = at_most(at_least(b.y2, 0.0f), height);
    if (!(x2 > x1 && y2 > y1)) return {0, 0, 0, 0};
    const int left = window_edge(x1, p.width), top = window_edge(y1, p.height);
    return {left, top, max(window_edge(x2, p.width) - left, 0), max(window_edge(y2, p.height) - top, 0)};
}

// What all threads up to and with this one give together; the last thread's is the sum of all.
__device__ __forceinline__ int64_t running_sum(int64_t mine, int64_t* sums) {
    sums[threadIdx.x] = mine;
    __syncthreads();
    for (int by = 1; by < THREADS; by *= 2) {
        const int64_t before = (int)threadIdx.x >= by ? sums[threadIdx.x - by] : 0;
        __syncthreads();
        sums[threadIdx.x] += before;
        __syncthreads();
    }
    return sums[threadIdx.x];
}

// Windows of kept boxes, where the words of each begin, and a Mask each.
extern "C" __global__ void __launch_bounds__(THREADS, 1) mask_windows(
    const MaskPicture* __restrict__ pictures, const float4* __restrict__ boxes, const int* __restrict__ counts,
    const float* __restrict__ coefficients, int columns, int max_det, int64_t room, int4* __restrict__ windows,
    int64_t* __restrict__ starts, int64_t* __restrict__ totals, Mask* __restrict__ masks) {
    __shared__ int64_t sums[THREADS];
    const MaskPicture& p = pictures[blockIdx.x];
    int64_t before = 0;
    for (int first = 0; first < max_det; first += THREADS) {
        const int i = first + threadIdx.x;
        const size_t at = (size_t)blockIdx.x * max_det + i;
        const Window window = i < min(counts[blockIdx.x], max_det) ? window_of(boxes[at], p) : Window{0, 0, 0, 0};
        const int64_t size = (int64_t)window.width * words_down(window.height);
        const int64_t end = before + running_sum(size, sums), start = end - size;
        before += sums[THREADS - 1];
        __syncthreads();
        if (i >= max_det) continue;
        const int4 its = {window.left, window.top, window.width, window.height};
        windows[at] = its, starts[at] = start;
        masks[at] = {coefficients + at * columns, p.maps, p.across, p.down, p.words + start, p.count, p.map_height, p.map_width,
                     window.left, window.top, end <= room ? window.width : 0, window.height, 0.0f};
    }
    if (threadIdx.x == 0) totals[blockIdx.x] = before;
}

// Pixels of a window, and the part of the maps between whose values they lie.
struct Tile {
    int left, right, top, bottom;  // pixels, the last two of each pair beyond the end
    int map_left, map_top, map_width, map_height;
};

__device__ __forceinline__ Tile tile_of(const Mask& mask, int column, int row) {
    const int left = mask.left + column * COLUMNS, top = mask.top + row * ROWS;
    const int right = min(left + COLUMNS, mask.left + mask.width), bottom = min(top + ROWS, mask.top + mask.height);
    const int map_left = mask.across.first[left], map_top = mask.down.first[top];
    return {left, right, top, bottom, map_left, map_top,
            mask.across.second[right - 1] - map_left + 1, mask.down.second[bottom - 1] - map_top + 1};
}

// All sums under a tile, column by column.
__device__ __forceinline__ void sum_maps(const Mask& mask, const Tile& tile, float* sums) {
    const int64_t plane = (int64_t)mask.map_height * mask.map_width;
    for (int i = threadIdx.x; i < tile.map_width * tile.map_height; i += THREADS) {
        const int row = i / tile.map_width, column = i % tile.map_width;
        const float* values = mask.maps + (int64_t)(tile.map_top + row) * mask.map_width + tile.map_left + column;
        sums[column * tile.map_height + row] = weighted_sum(mask.coefficients, values, mask.count, plane);
    }
}

// The sums of the maps at the four values around a pixel.
struct Corners {
    float p00, p01, p10, p11;
};

// As sum_maps() left them.
__device__ __forceinline__ Corners read_corners(const Tile& tile, const float* sums, int left, int right, int upper, int lower) {
    const float* before = sums + (left - tile.map_left) * tile.map_height;
    const float* after = sums + (right - tile.map_left) * tile.map_height;
    const int first = upper - tile.map_top, second = lower - tile.map_top;
    return {before[first], after[first], before[second], after[second]};
}

// Summed now, by the operations of weighted_sum() in its order.
__device__ __forceinline__ Corners sum_corners(const Mask& mask, int left, int right, int upper, int lower) {
    const float *above = mask.maps + (int64_t)upper * mask.map_width, *below = mask.maps + (int64_t)lower * mask.map_width;
    const int64_t plane = (int64_t)mask.map_height * mask.map_width;
    Corners c = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll 1
    for (int m = 0; m < mask.count; m++, above += plane, below += plane) {
        const float coefficient = mask.coefficients[m];
        c.p00 += coefficient * above[left], c.p01 += coefficient * above[right];
        c.p10 += coefficient * below[left], c.p11 += coefficient * below[right];
    }
    return c;
}

template <bool SUMMED>
__device__ __forceinline__ bool is_set(const Mask& mask, const Tile& tile, const float* sums, int x, int y) {
    if (y >= tile.bottom) return false;
    const int left = mask.across.first[x], right = mask.across.second[x];
    const int upper = mask.down.first[y], lower = mask.down.second[y];
    const Corners c = SUMMED ? read_corners(tile, sums, left, right, upper, lower)
                             : sum_corners(mask, left, right, upper, lower);
    return bilinear(c.p00, c.p01, c.p10, c.p11, mask.across.share[x], mask.down.share[y]) > mask.threshold;  // NaN is not
}

// A warp makes a word of 64 rows: a lane is a row.
template <bool SUMMED>
__device__ __forceinline__ void write_words(const Mask& mask, const Tile& tile, const float* sums) {
    const int lane = threadIdx.x % WARP;
    const size_t stride = words_down(mask.height), row = (tile.top - mask.top) / ROWS;
    for (int x = tile.left + threadIdx.x / WARP; x < tile.right; x += WARPS) {
        const unsigned upper = __ballot_sync(FULL_WARP, is_set<SUMMED>(mask, tile, sums, x, tile.top + lane));
        const unsigned lower = __ballot_sync(FULL_WARP, is_set<SUMMED>(mask, tile, sums, x, tile.top + WARP + lane));
        if (lane == 0) mask.words[(x - mask.left) * stride + row] = (Bits)lower << 32 | upper;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) assemble_masks(const Mask* __restrict__ masks) {
    __shared__ float sums[CELLS];
    const Mask& mask = masks[(size_t)blockIdx.z * gridDim.y + blockIdx.y];
    if (mask.width <= 0 || mask.height <= 0) return;
    const int down = words_down(mask.height), tiles = (mask.width + COLUMNS - 1) / COLUMNS * down;
    for (int i = blockIdx.x; i < tiles; i += gridDim.x) {
        const Tile tile = tile_of(mask, i / down, i % down);
        if ((int64_t)tile.map_width * tile.map_height > CELLS) {
            write_words<false>(mask, tile, sums);
            continue;
        }
        sum_maps(mask, tile, sums);
        __syncthreads();
        write_words<true>(mask, tile, sums);
        __syncthreads();
    }
}
