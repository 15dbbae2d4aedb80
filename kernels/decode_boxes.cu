// decode_boxes.cu: from detectors' raw outputs to candidate boxes, for nms.cu: find, then write.
// in      plan struct Plan, images struct Image [B]: in device memory, so a captured graph follows new values
//         first float32 [B, first_stride], second float32 [B, second_stride], priors: as box_layouts.py has them; null if unused
// out     boxes float32 [B, capacity, 4] xyxy, scores float32 [B, capacity], class_ids and anchors int32 [B, capacity]: by
//         rising anchor, then class, whatever the scheduling; counts int32 [B], which may exceed capacity: the rest is lost.
//         With before int32 [B], of a network's level before this one, they follow its candidates and are counted with them
// work    found int32 [B, anchors], found_scores float32 [B, anchors], groups int32 [B, ceil(anchors / 32)]; reads the class
//         values once, and once more those of anchors with candidates where every class counts (multi_label)
// launch  decode_find   grid (ceil(anchors / 32), B), block 256
//         decode_write  grid (ceil(anchors / 256), B), block 256; at least one block an image, also for no anchors
// limits  anchors * (5 + classes) < 2^31; a capacity of anchors (times classes if multi_label) never overflows
// ref     decode_boxes_reference() in decode_boxes.py      source  the families' in box_layouts.py
#include "common.cuh"

enum Family { V8, V5, END_TO_END, YOLOX, REGION, FASTESTDET, NANODET, PRIORS };  // positions in LAYOUTS of box_layouts.py

struct Plan {  // as in box_layouts.py
    int64_t family, anchors, classes, row, bins, background, softmax, levels;
    int64_t level_end[8], level_columns[8];
    float level_stride[8], anchor_sizes[32][2];
    int64_t rows;
    float input_size[2], powers[2], variances[4];
};

struct Image {
    float conf;
    float left, top, gain_x, gain_y;  // of the original picture in the network's input
};

constexpr int THREADS = 256;
constexpr int SLICES = THREADS / WARP;

// What the scores of one anchor have in common.
struct Gate {
    bool open;         // may have candidates
    float objectness;  // 1 where the family has none
    float most, sum;   // of the softmax: score = e^(value - most) / sum
};

__device__ __forceinline__ const float* region_group(const Plan& p, const float* first, int anchor) {
    const int cells = (int)p.row;
    return first + anchor / cells * (5 + (int)p.classes) * cells + anchor % cells;
}

// The values of an anchor's classes, step() apart.
__device__ __forceinline__ const float* class_values(const Plan& p, const float* first, int anchor) {
    switch (p.family) {
        case V8: return first + 4 * p.row + anchor;
        case V5:
        case YOLOX: return first + anchor * p.row + 5;
        case END_TO_END: return first + anchor * p.row + 4;
        case REGION: return region_group(p, first, anchor) + 5 * p.row;
        case FASTESTDET: return first + 5 * p.row + anchor;
        case NANODET: return first + anchor * p.row;
        default: return first + anchor * p.row + p.background;
    }
}

__device__ __forceinline__ int step(const Plan& p) {
    return p.family == V8 || p.family == REGION || p.family == FASTESTDET ? (int)p.row : 1;
}

__device__ __forceinline__ void softmax(const float* logits, int count, int step, Gate& gate) {
    gate.most = -INFINITY, gate.sum = 0.0f;
#pragma unroll 1
    for (int c = 0; c < count; c++) gate.most = at_least(gate.most, logits[c * step]);
#pragma unroll 1
    for (int c = 0; c < count; c++) gate.sum += exponential(logits[c * step] - gate.most);
}

__device__ __forceinline__ Gate gate_of(const Plan& p, const float* first, int anchor, float conf) {
    Gate gate = {true, 1.0f, 0.0f, 1.0f};
    const float* values = class_values(p, first, anchor);
    if (p.family == V5 || p.family == YOLOX) gate.objectness = values[-1];
    if (p.family == REGION) gate.objectness = sigmoid(values[-p.row]);
    if (p.family == FASTESTDET) gate.objectness = powf(at_least(first[anchor], 0.0f), p.powers[0]);
    if (p.family == V5 || p.family == YOLOX || p.family == REGION) gate.open = gate.objectness > conf;
    if (p.family == END_TO_END) gate.open = values[1] >= 0.0f && values[1] <= 16777216.0f && values[1] == floorf(values[1]);
    if (gate.open && p.family == REGION) softmax(values, (int)p.classes, (int)p.row, gate);
    if (gate.open && p.family == PRIORS && p.softmax) softmax(values - p.background, (int)p.row, 1, gate);
    return gate;
}

__device__ __forceinline__ float score_of(const Plan& p, const Gate& gate, float value) {
    if (p.family == FASTESTDET) return gate.objectness * powf(at_least(value, 0.0f), p.powers[1]);
    if (p.family == REGION || (p.family == PRIORS && p.softmax)) value = exponential(value - gate.most) / gate.sum;
    return gate.objectness * value;
}

__device__ __forceinline__ bool is_candidate(float score, float conf) { return score > conf && is_finite(score); }

__device__ __forceinline__ Box raw_box(const Plan& p, const float* first, const float* second, const float* priors, int anchor) {
    const float* row = first + anchor * p.row;
    const int columns = (int)p.level_columns[0];
    switch (p.family) {
        case V8: return corners(first[anchor], first[p.row + anchor], first[2 * p.row + anchor], first[3 * p.row + anchor]);
        case V5: return corners(row[0], row[1], row[2], row[3]);
        case END_TO_END: return {row[0], row[1], row[2], row[3]};
        case YOLOX: {
            int level = 0;
            while (anchor >= p.level_end[level]) level++;
            const int cell = level ? anchor - (int)p.level_end[level - 1] : anchor, wide = (int)p.level_columns[level];
            return yolox_box(row[0], row[1], row[2], row[3], (float)(cell % wide), (float)(cell / wide), p.level_stride[level]);
        }
        case REGION: {
            const float *at = region_group(p, first, anchor), *size = p.anchor_sizes[anchor / p.row];
            const int cell = anchor % (int)p.row;
            return region_box(at[0], at[p.row], at[2 * p.row], at[3 * p.row], (float)(cell % columns), (float)(cell / columns),
                              size[0], size[1], p.input_size[0] / (float)columns, p.input_size[1] / (float)p.rows);
        }
        case FASTESTDET: {
            const float* at = first + anchor + p.row;
            return fastestdet_box(at[0], at[p.row], at[2 * p.row], at[3 * p.row], (float)(anchor % columns),
                                  (float)(anchor / columns), (float)columns, (float)p.rows, p.input_size[0], p.input_size[1]);
        }
        case NANODET: {  // nanodet_box() side by side, which is a third of the code
            const float stride = p.level_stride[0], *logits = second + anchor * 4 * p.bins;
            const float x = ((float)(anchor % columns) + 0.5f) * stride, y = ((float)(anchor / columns) + 0.5f) * stride;
            float left = 0, top = 0, right = 0, bottom = 0;
#pragma unroll 1
            for (int side = 0; side < 4; side++) {
                left = top, top = right, right = bottom;
                bottom = mean_bin(logits + side * p.bins, p.bins) * stride;
            }
            return {x - left, y - top, x + right, y + bottom};
        }
        default: return prior_box(second + 4 * anchor, priors + 4 * anchor, p.variances);
    }
}

__device__ __forceinline__ int warp_sum(int value) {
    for (int by = WARP / 2; by > 0; by /= 2) value += __shfl_xor_sync(FULL_WARP, value, by);
    return value;
}

// How many classes of each anchor are candidates or, where only the best counts, which: 1 + class, 0 for none. 32 anchors a
// block, one a lane; each warp looks at every eighth class.
extern "C" __global__ void __launch_bounds__(THREADS, 4) decode_find(
    const Plan* __restrict__ plan, const Image* __restrict__ images, const float* __restrict__ first, int64_t first_stride,
    int multi_label, int* __restrict__ found, float* __restrict__ found_scores, int* __restrict__ groups) {
    __shared__ Gate gates[WARP];
    __shared__ float tops[SLICES][WARP];
    __shared__ int results[SLICES][WARP];
    const Plan& p = *plan;
    const int lane = threadIdx.x % WARP, slice = threadIdx.x / WARP, anchor = blockIdx.x * WARP + lane;
    const int anchors = (int)p.anchors, classes = (int)p.classes, image = blockIdx.y;
    const float conf = images[image].conf;
    first += image * first_stride;
    if (slice == 0) gates[lane] = anchor < anchors ? gate_of(p, first, anchor, conf) : Gate{false, 0, 0, 0};
    __syncthreads();

    const Gate gate = gates[lane];
    const float* values = class_values(p, first, anchor);
    const int apart = step(p);
    float top = -INFINITY;
    int result = multi_label ? 0 : classes;  // candidates, or the best class
    if (gate.open) {
        for (int c = slice; c < classes; c += SLICES) {
            const float value = values[c * apart];
            if (multi_label) {
                result += is_candidate(score_of(p, gate, value), conf);
            } else if (value > top) {
                top = value, result = c;
            }
        }
    }
    tops[slice][lane] = top, results[slice][lane] = result;
    __syncthreads();
    if (slice > 0) return;

    for (int s = 1; s < SLICES; s++) {
        const float other = tops[s][lane];
        const int its = results[s][lane];
        if (multi_label) {
            result += its;
        } else if (other > top || (other == top && its < result)) {
            top = other, result = its;
        }
    }
    float score = 0.0f;
    if (!multi_label) {
        const int best = result < classes ? result : 0;
        if (gate.open) score = score_of(p, gate, values[best * apart]);
        result = gate.open && is_candidate(score, conf) ? best + 1 : 0;
    }
    const int total = warp_sum(multi_label ? result : result > 0);
    if (lane == 0) groups[(size_t)image * gridDim.x + blockIdx.x] = total;
    if (anchor >= anchors) return;
    found[(size_t)image * anchors + anchor] = result;
    found_scores[(size_t)image * anchors + anchor] = score;
}

// Each warp has 32 anchors, and counts what the groups before it found.
extern "C" __global__ void __launch_bounds__(THREADS, 4) decode_write(
    const Plan* __restrict__ plan, const Image* __restrict__ images, const float* __restrict__ first, int64_t first_stride,
    const float* __restrict__ second, int64_t second_stride, const float* __restrict__ priors, int multi_label,
    const int* __restrict__ found, const float* __restrict__ found_scores, const int* __restrict__ groups,
    const int* __restrict__ before, int capacity, float4* __restrict__ boxes, float* __restrict__ scores, int* __restrict__ class_ids,
    int* __restrict__ anchor_ids, int* __restrict__ counts) {
    const Plan& p = *plan;
    const int image = blockIdx.y, anchor = blockIdx.x * THREADS + threadIdx.x, lane = anchor % WARP, group = anchor / WARP;
    const int anchors = (int)p.anchors, last = max(anchors - 1, 0) / WARP;
    const size_t at = (size_t)image * anchors + anchor;
    const int result = anchor < anchors ? found[at] : 0;
    if (!__ballot_sync(FULL_WARP, result > 0) && group != last) return;

    const int hits = multi_label ? result : result > 0;
    int earlier = 0;
    for (int g = lane; g < group; g += WARP) earlier += groups[(size_t)image * (last + 1) + g];
    earlier = warp_sum(earlier) + (before ? before[image] : 0);
    int through = hits;  // of this lane and those below it
    for (int by = 1; by < WARP; by *= 2) {
        const int below = __shfl_up_sync(FULL_WARP, through, by);
        if (lane >= by) through += below;
    }
    int place = earlier + through - hits;
    if (group == last && lane == WARP - 1) counts[image] = earlier + through;
    if (hits == 0) return;

    const Image map = images[image];
    first += image * first_stride;
    const Box mapped = to_image(raw_box(p, first, second + image * second_stride, priors, anchor), map.left, map.top, map.gain_x,
                                map.gain_y);
    const float4 box = make_float4(mapped.x1, mapped.y1, mapped.x2, mapped.y2);
    const auto write = [&](float score, int class_id) {
        if (place >= capacity) return;
        const size_t to = (size_t)image * capacity + place++;
        boxes[to] = box, scores[to] = score, class_ids[to] = class_id, anchor_ids[to] = anchor;
    };
    const float* values = class_values(p, first, anchor);
    if (!multi_label || p.family == END_TO_END) {
        write(multi_label ? values[0] : found_scores[at], p.family == END_TO_END ? (int)values[1] : result - 1);
        return;
    }
    const Gate gate = gate_of(p, first, anchor, map.conf);
#pragma unroll 1
    for (int c = 0; c < (int)p.classes; c++) {
        const float score = score_of(p, gate, values[c * step(p)]);
        if (is_candidate(score, map.conf)) write(score, c);
    }
}
