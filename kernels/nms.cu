// nms.cu: which boxes stay, for candidates in any order. Five kernels: keys, rank (the sort), mask, reduce and take; and one
// more, take_columns, for what else a network says of those that stay.
// Grids are sized by what may come, and blocks without work return, so a graph is captured once and replayed.
// in      boxes float32 [B, capacity, 4] xyxy, 16-byte aligned; or, rotated, [B, capacity, 5] cxcywhr
//         scores float32 [B, capacity]
//         class_ids int32 [B, capacity], or null: all boxes are of one class
//         allowed uint8 [classes] by class id, 0 for what is as if it were not there; or null: all classes are
//         counts int32 [B]: candidates of each image; more than `capacity` counts as `capacity`
// out     kept int32 [B, max_det]: indices of candidates by falling score, ties to the lower index, then -1
//         kept_counts int32 [B]
//         from take: taken_boxes float32 [B, max_det, 4], taken_scores, taken_class_ids [B, max_det], of what is kept
//         from take_columns: taken_columns float32 [B, max_det, columns]
// work    keys uint64 [B, capacity], order int32 [B, capacity], mask uint64 [B, rows, 32] with
//         rows = 2048 + 64 ceil(min(max_det, capacity) / 64); n^2 comparisons of keys to sort, at most n * 2048 / 2 IoUs
//         among a chunk of 2048 and n * max_det with what was kept before it; rotated: gaussians float64 [B, capacity, 5]
// launch  nms_keys    grid (ceil(capacity / 256), B), block 256
//         nms_rank    grid (ceil(capacity / 32), B), block 256
//         then, for first = 0, 2048, 4096, … below capacity, with t = ceil(min(capacity - first, 2048) / 64):
//         nms_mask    grid (t, t + ceil(min(max_det, first) / 64), B), block 64
//         nms_reduce  grid B, block 256
//         rotated: nms_keys_rotated and nms_mask_rotated in the same places
//         nms_take    grid (ceil(max_det / 256), B), block 256
//         nms_take_columns  grid (ceil(max_det * columns / 256), B), block 256
// limits  exact for any capacity below 2^24 and any count; max_det >= 1; nothing is dropped silently. The sort is quadratic:
//         meant for up to some 30,000 candidates an image. Rotated is in float64, which small GPUs do at 1/64 of the speed
// ref     nms_reference(), nms_rotated_reference() in nms.py      source  first principles
#include "common.cuh"

constexpr int TILE = 64;         // boxes in a word of the mask
constexpr int CHUNK_TILES = 32;  // words in a row of the mask
constexpr int CHUNK = TILE * CHUNK_TILES;
constexpr int THREADS = 256;
constexpr int SLICES = THREADS / WARP;
constexpr unsigned NEVER_KEPT = 0xffffffffu;  // after the key of every finite score

// Sorts like falling scores: smaller is better.
__device__ __forceinline__ unsigned falling(float score) {
    const unsigned bits = __float_as_uint(score + 0.0f);  // -0 becomes 0, to tie with it
    return bits >> 31 ? bits : ~(bits | 0x80000000u);
}

__device__ __forceinline__ bool all_finite(float4 box) {
    return is_finite(box.x) && is_finite(box.y) && is_finite(box.z) && is_finite(box.w);
}

__device__ __forceinline__ bool all_finite(Gaussian g) {
    return is_finite(g.x) && is_finite(g.y) && is_finite(g.xx) && is_finite(g.yy) && is_finite(g.xy);
}

// The same operations as _gaussians() in nms.py.
__device__ __forceinline__ Gaussian gaussian(const float* cxcywhr) {
    const double width = cxcywhr[2], height = cxcywhr[3], angle = cxcywhr[4];
    const double along = width * width / 12.0, across = height * height / 12.0, c = cos(angle), s = sin(angle);
    return {cxcywhr[0], cxcywhr[1], along * c * c + across * s * s, along * s * s + across * c * c, (along - across) * c * s};
}

__device__ __forceinline__ bool chosen(const int* class_ids, const uint8_t* allowed, int classes, size_t at) {
    return !allowed || ((unsigned)class_ids[at] < (unsigned)classes && allowed[class_ids[at]]);
}

__device__ __forceinline__ int candidates(const int* counts, int capacity) { return min(counts[blockIdx.y], capacity); }

// Unique: the score, then the index.
__device__ __forceinline__ Bits key(bool usable, float score, int i) {
    return (Bits)(usable && is_finite(score) ? falling(score) : NEVER_KEPT) << 32 | (unsigned)i;
}

__device__ __forceinline__ void empty_output(int i, int max_det, int* kept, int* kept_counts) {
    if (i == 0) kept_counts[blockIdx.y] = 0;
    for (int place = i; place < max_det; place += gridDim.x * THREADS) kept[(size_t)blockIdx.y * max_det + place] = -1;
}

// Keys to sort by. Also empties the output.
extern "C" __global__ void __launch_bounds__(THREADS) nms_keys(
    const float4* __restrict__ boxes, const float* __restrict__ scores, const int* __restrict__ class_ids,
    const uint8_t* __restrict__ allowed, int classes, const int* __restrict__ counts, int capacity, int max_det,
    Bits* __restrict__ keys, int* __restrict__ kept, int* __restrict__ kept_counts) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    const size_t at = (size_t)blockIdx.y * capacity + i;
    const bool usable = i < candidates(counts, capacity) && all_finite(boxes[at]) && chosen(class_ids, allowed, classes, at);
    if (i < candidates(counts, capacity)) keys[at] = key(usable, scores[at], i);
    empty_output(i, max_det, kept, kept_counts);
}

// The same, and what the overlap of rotated boxes is computed from.
extern "C" __global__ void __launch_bounds__(THREADS) nms_keys_rotated(
    const float* __restrict__ boxes, const float* __restrict__ scores, const int* __restrict__ class_ids,
    const uint8_t* __restrict__ allowed, int classes, const int* __restrict__ counts, int capacity, int max_det,
    Bits* __restrict__ keys, int* __restrict__ kept, int* __restrict__ kept_counts, Gaussian* __restrict__ gaussians) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    const size_t at = (size_t)blockIdx.y * capacity + i;
    if (i < candidates(counts, capacity)) {
        const Gaussian g = gaussian(boxes + 5 * at);
        gaussians[at] = g;
        keys[at] = key(all_finite(g) && chosen(class_ids, allowed, classes, at), scores[at], i);
    }
    empty_output(i, max_det, kept, kept_counts);
}

// A candidate's place is how many keys are smaller. 32 candidates a block, one a lane; each warp counts in its slice of a tile.
extern "C" __global__ void __launch_bounds__(THREADS) nms_rank(
    const Bits* __restrict__ keys, const int* __restrict__ counts, int capacity, int* __restrict__ order) {
    __shared__ Bits tile[THREADS];
    __shared__ int smaller[SLICES][WARP];
    const int n = candidates(counts, capacity), lane = threadIdx.x % WARP, slice = threadIdx.x / WARP;
    const int i = blockIdx.x * WARP + lane;
    if ((int)blockIdx.x * WARP >= n) return;  // the whole block
    keys += (size_t)blockIdx.y * capacity;
    const Bits mine = i < n ? keys[i] : 0;
    int count = 0;
    for (int first = 0; first < n; first += THREADS) {
        const int j = first + threadIdx.x;
        tile[threadIdx.x] = j < n ? keys[j] : ~0ull;
        __syncthreads();
        for (int k = slice * WARP; k < (slice + 1) * WARP; k++) count += tile[k] < mine;
        __syncthreads();
    }
    smaller[slice][lane] = count;
    __syncthreads();
    if (slice > 0 || i >= n) return;
    int place = 0;
    for (int s = 0; s < SLICES; s++) place += smaller[s][lane];
    order[(size_t)blockIdx.y * capacity + place] = mine >> 32 == NEVER_KEPT ? -1 : i;
}

// The candidate in a row of the mask: first those kept before this chunk, then the chunk's. -1: none.
__device__ __forceinline__ int row_candidate(
    int row, int kept_rows, const int* kept, int kept_count, const int* order, int first, int n) {
    if (row < kept_rows) return row < kept_count ? kept[row] : -1;
    const int place = first + row - kept_rows;
    return place < n ? order[place] : -1;
}

__device__ __forceinline__ bool overlap(float4 a, float4 b, float threshold) {
    return iou(Box{a.x, a.y, a.z, a.w}, Box{b.x, b.y, b.z, b.w}) > threshold;
}

__device__ __forceinline__ bool overlap(Gaussian a, Gaussian b, double threshold) { return prob_iou(a, b) > threshold; }

struct Suppression {  // what nms_mask is told, of all images
    const int *class_ids, *counts, *order, *kept, *kept_counts;
    int capacity, max_det, first, rows;
    Bits* mask;
};

// Bit j of word `column` of a row: the row's box suppresses box 64 * column + j of the chunk. One thread a row.
template <class Shape, class Number>
__device__ __forceinline__ void write_mask(
    const Shape* boxes, const Suppression& s, Number threshold, Shape* tile, int* tile_class) {
    const int image = blockIdx.z, n = min(s.counts[image], s.capacity), kept_count = s.kept_counts[image];
    const int kept_tiles = gridDim.y - gridDim.x, column = blockIdx.x;
    const int width = min(n - s.first - column * TILE, TILE);
    if (width <= 0 || kept_count >= s.max_det) return;
    if ((int)blockIdx.y < kept_tiles ? (int)blockIdx.y * TILE >= kept_count : (int)blockIdx.y - kept_tiles > column) return;

    boxes += (size_t)image * s.capacity;
    const int* order = s.order + (size_t)image * s.capacity;
    const int* class_ids = s.class_ids ? s.class_ids + (size_t)image * s.capacity : nullptr;
    const int other = (int)threadIdx.x < width ? order[s.first + column * TILE + threadIdx.x] : -1;
    tile[threadIdx.x] = other >= 0 ? boxes[other] : Shape{};
    tile_class[threadIdx.x] = other >= 0 && class_ids ? class_ids[other] : 0;
    __syncthreads();

    const int row = blockIdx.y * TILE + threadIdx.x;
    const int* kept = s.kept + (size_t)image * s.max_det;
    const int mine = row_candidate(row, kept_tiles * TILE, kept, kept_count, order, s.first, n);
    if (mine < 0) return;
    const Shape box = boxes[mine];
    const int mine_class = class_ids ? class_ids[mine] : 0;
    Bits bits = 0;
    for (int j = 0; j < width; j++)
        if (tile_class[j] == mine_class && overlap(box, tile[j], threshold)) bits |= 1ull << j;
    s.mask[((size_t)image * s.rows + row) * CHUNK_TILES + column] = bits;
}

extern "C" __global__ void __launch_bounds__(TILE) nms_mask(
    const float4* __restrict__ boxes, const int* __restrict__ class_ids, const int* __restrict__ counts, int capacity,
    const int* __restrict__ order, const int* __restrict__ kept, const int* __restrict__ kept_counts, int max_det, int first,
    int rows, float iou_threshold, Bits* __restrict__ mask) {
    __shared__ float4 tile[TILE];
    __shared__ int tile_class[TILE];
    const Suppression s = {class_ids, counts, order, kept, kept_counts, capacity, max_det, first, rows, mask};
    write_mask(boxes, s, iou_threshold, tile, tile_class);
}

extern "C" __global__ void __launch_bounds__(TILE) nms_mask_rotated(
    const Gaussian* __restrict__ gaussians, const int* __restrict__ class_ids, const int* __restrict__ counts, int capacity,
    const int* __restrict__ order, const int* __restrict__ kept, const int* __restrict__ kept_counts, int max_det, int first,
    int rows, double iou_threshold, Bits* __restrict__ mask) {
    __shared__ Gaussian tile[TILE];
    __shared__ int tile_class[TILE];
    const Suppression s = {class_ids, counts, order, kept, kept_counts, capacity, max_det, first, rows, mask};
    write_mask(gaussians, s, iou_threshold, tile, tile_class);
}

// What stays of 64 boxes: each that is still alive removes those that its word names. At most `room`.
__device__ __forceinline__ Bits survivors(Bits removed, const Bits* suppressed, int room) {
    Bits alive = ~removed, stay = 0;
    for (; alive && room > 0; room--) {
        const int best = __ffsll(alive) - 1;
        stay |= 1ull << best;
        alive &= ~(suppressed[best] | 1ull << best);
    }
    return stay;
}

// One block an image walks the chunk in order, 64 boxes at a time: one thread decides, all gather what the survivors remove.
extern "C" __global__ void __launch_bounds__(THREADS, 1) nms_reduce(
    const int* __restrict__ counts, int capacity, const int* __restrict__ order, const Bits* __restrict__ mask, int max_det,
    int first, int rows, int* __restrict__ kept, int* __restrict__ kept_counts) {
    __shared__ Bits removed[CHUNK_TILES];
    __shared__ Bits diagonal[CHUNK];  // what each box suppresses in its own tile
    __shared__ Bits stay;
    const int image = blockIdx.x, n = min(min(counts[image], capacity) - first, CHUNK), before = kept_counts[image];
    if (n <= 0 || before >= max_det) return;
    const int tiles = (n + TILE - 1) / TILE, lane = threadIdx.x % WARP, slice = threadIdx.x / WARP;
    const int kept_rows = (min(max_det, first) + TILE - 1) / TILE * TILE;
    order += (size_t)image * capacity + first;
    kept += (size_t)image * max_det;
    const Bits* kept_mask = mask + (size_t)image * rows * CHUNK_TILES;
    const Bits* chunk_mask = kept_mask + (size_t)kept_rows * CHUNK_TILES;

    if (threadIdx.x < CHUNK_TILES) removed[threadIdx.x] = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < tiles * TILE; i += THREADS) {
        const bool usable = i < n && order[i] >= 0;
        diagonal[i] = usable ? chunk_mask[(size_t)i * CHUNK_TILES + i / TILE] : 0;
        if (!usable) atomicOr(&removed[i / TILE], 1ull << i % TILE);
    }
    if (lane < tiles) {
        Bits bits = 0;
        for (int row = slice; row < before; row += SLICES) bits |= kept_mask[(size_t)row * CHUNK_TILES + lane];
        atomicOr(&removed[lane], bits);
    }
    __syncthreads();

    int count = before;
    for (int tile = 0; tile < tiles && count < max_det; tile++) {
        if (threadIdx.x == 0) stay = survivors(removed[tile], diagonal + tile * TILE, max_det - count);
        __syncthreads();
        const Bits these = stay;
        const int i = threadIdx.x;
        if (i < TILE && these >> i & 1) kept[count + __popcll(these & ((1ull << i) - 1))] = order[tile * TILE + i];
        if (lane > tile && lane < tiles) {
            Bits bits = 0;
            for (int row = slice; row < TILE; row += SLICES)
                if (these >> row & 1) bits |= chunk_mask[(size_t)(tile * TILE + row) * CHUNK_TILES + lane];
            if (bits) atomicOr(&removed[lane], bits);
        }
        count += __popcll(these);
        __syncthreads();
    }
    if (threadIdx.x == 0) kept_counts[image] = count;
}

// What is kept, side by side: all that need leave the device.
extern "C" __global__ void __launch_bounds__(THREADS) nms_take(
    const float4* __restrict__ boxes, const float* __restrict__ scores, const int* __restrict__ class_ids,
    const int* __restrict__ kept, const int* __restrict__ kept_counts, int capacity, int max_det, float4* __restrict__ taken_boxes,
    float* __restrict__ taken_scores, int* __restrict__ taken_class_ids) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= kept_counts[blockIdx.y]) return;
    const size_t to = (size_t)blockIdx.y * max_det + i, from = (size_t)blockIdx.y * capacity + kept[to];
    taken_boxes[to] = boxes[from], taken_scores[to] = scores[from], taken_class_ids[to] = class_ids[from];
}

// Of what is kept, some columns of the network's output: that of anchor a and column c is output[a * anchor_step + c * column_step],
// `stride` values from image to image.
extern "C" __global__ void __launch_bounds__(THREADS) nms_take_columns(
    const float* __restrict__ output, int64_t stride, int64_t anchor_step, int64_t column_step, const int* __restrict__ anchor_ids,
    const int* __restrict__ kept, const int* __restrict__ kept_counts, int capacity, int max_det, int columns,
    float* __restrict__ taken_columns) {
    const int64_t place = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    const int64_t i = place / columns, column = place % columns;
    if (i >= kept_counts[blockIdx.y]) return;
    const int64_t to = (int64_t)blockIdx.y * max_det + i;
    const int64_t anchor = anchor_ids[(int64_t)blockIdx.y * capacity + kept[to]];
    taken_columns[to * columns + column] = output[blockIdx.y * stride + anchor * anchor_step + column * column_step];
}
