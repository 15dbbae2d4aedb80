// paf.cu: people from joint heatmaps and part affinity fields. Six kernels: begin, peaks, rank, limbs, match and assemble.
// Grids are sized by what may come, and blocks without work return, so a graph is captured once and replayed.
// in      heatmaps float32 [B, joints, h, w], pafs float32 [B, channels, h, w], images heatmap_stride and paf_stride values apart;
//         limbs int32 [pairs, 4]: first and second joint, channel of x, of y
//         rules struct Rules, in device memory: a captured graph follows new values
// out     people_counts int32 [B], may be more than max_people; of the best of those: scores float32 [B, max_people],
//         xy float32 [B, max_people, joints, 2] cells, joint_scores float32 [B, max_people, joints]
// work    found uint64 [B, joints, capacity], found_counts int32 [B, joints], where capacity holds all peaks that maps of this size
//         can have, ceil(h / 2) * ceil(w / 2), for no two are neighbours; peaks float32 [B, joints, 128, 3] x, y, score, peak_counts int32
//         [B, joints]; limb_scores float32 [B, pairs, 128, 128], matched int32 [B, pairs, 128]; owners int32, masks uint64,
//         support float64, keys uint64, candidates int32 [B, joints * 128] each, parts int32 [B, joints * 128, joints]
// launch  paf_begin     grid ceil(B * joints / 256), block 256
//         paf_peaks     grid (ceil(h * w / 256), joints, B), block 256; one thread a cell
//         paf_rank      grid (joints, B), block 256
//         paf_limbs     grid (127, pairs, B), block 128; one thread a limb
//         paf_match     grid (pairs, B), block 128
//         paf_assemble  grid B, block 256
// limits  joints <= 64, no pair twice the same joint; the best 127 peaks of a joint; not Rules.openpose, which is for the host
// ref     paf_reference() in paf.py      source  Cao et al., OpenPose, TPAMI 2021
#include "common.cuh"
#include "affinity.h"

constexpr int THREADS = 256;
constexpr int MAX_PEAKS = 127;
constexpr int STRIDE = 128;  // peaks from joint to joint
constexpr Bits NONE = ~0ull;

struct Rules {
    float peak_threshold;
    int window;
    float cell, sample_threshold, share, near, faint;
    int samples, min_parts;
    float min_score;
};

struct Peak {
    float x, y, score;
};

// Sorts like falling scores: smaller is better.
__device__ __forceinline__ unsigned falling(float score) {
    const unsigned bits = __float_as_uint(score + 0.0f);
    return bits >> 31 ? bits : ~(bits | 0x80000000u);
}

__device__ __forceinline__ float rising(unsigned key) { return __uint_as_float(key >> 31 ? key : ~key & 0x7fffffffu); }

extern "C" __global__ void __launch_bounds__(THREADS) paf_begin(int count, int* __restrict__ found_counts) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i < count) found_counts[i] = 0;
}

// Every peak's score and cell, in any order.
extern "C" __global__ void __launch_bounds__(THREADS) paf_peaks(
    const float* __restrict__ heatmaps, int64_t stride, int height, int width, const Rules* __restrict__ rules, int capacity,
    Bits* __restrict__ found, int* __restrict__ found_counts) {
    const int cell = blockIdx.x * THREADS + threadIdx.x, joint = blockIdx.y;
    if (cell >= height * width) return;
    const Heatmap map = {heatmaps + blockIdx.z * stride + (int64_t)joint * height * width, width, height};
    const float value = clean(map.values[cell]);
    if (!(value > rules->peak_threshold)) return;
    const int x = cell % width, y = cell / width;
    if (!is_peak(map, x, y)) return;
    const size_t list = (size_t)blockIdx.z * gridDim.y + joint;
    const int place = atomicAdd(&found_counts[list], 1);
    if (place < capacity) found[list * capacity + place] = (Bits)falling(value) << 32 | (unsigned)cell;
}

// The smallest number that MAX_PEAKS of n > MAX_PEAKS different keys do not exceed, bit by bit from the highest.
__device__ __forceinline__ Bits last_of_the_best(const Bits* keys, int n, int* count) {
    Bits limit = 0;
    for (int bit = 63; bit >= 0; bit--) {
        if (threadIdx.x == 0) *count = 0;
        __syncthreads();
        int mine = 0;
        for (int i = threadIdx.x; i < n; i += THREADS) mine += keys[i] <= (limit | ((1ull << bit) - 1));
        atomicAdd(count, mine);
        __syncthreads();
        if (*count < MAX_PEAKS) limit |= 1ull << bit;
        __syncthreads();
    }
    return limit;
}

// The best peaks of one joint, sorted, and put to a fraction of a cell.
extern "C" __global__ void __launch_bounds__(THREADS) paf_rank(
    const float* __restrict__ heatmaps, int64_t stride, int height, int width, const Rules* __restrict__ rules, int capacity,
    const Bits* __restrict__ found, const int* __restrict__ found_counts, Peak* __restrict__ peaks, int* __restrict__ peak_counts) {
    __shared__ Bits best[STRIDE];
    __shared__ int count;
    const int joint = blockIdx.x;
    const size_t list = (size_t)blockIdx.y * gridDim.x + joint;
    const int n = min(found_counts[list], capacity);
    const Bits* keys = found + list * capacity;
    const Bits limit = n > MAX_PEAKS ? last_of_the_best(keys, n, &count) : NONE;
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += THREADS)
        if (keys[i] <= limit) best[atomicAdd(&count, 1)] = keys[i];
    __syncthreads();
    if (threadIdx.x == 0) peak_counts[list] = count;
    if ((int)threadIdx.x >= count) return;
    const Bits mine = best[threadIdx.x];
    int place = 0;
    for (int i = 0; i < count; i++) place += best[i] < mine;
    const Heatmap map = {heatmaps + blockIdx.y * stride + (int64_t)joint * height * width, width, height};
    const int cell = (int)(unsigned)mine, x = cell % width, y = cell / width;
    const Place at = rules->window ? centroid_of(map, x, y, rules->window) : vertex_of(map, x, y);
    peaks[list * STRIDE + place] = {at.x, at.y, rising((unsigned)(mine >> 32))};
}

// The score of every limb of a pair, [127, 127] of rows of 128; 0: none.
extern "C" __global__ void __launch_bounds__(STRIDE, 8) paf_limbs(
    const float* __restrict__ pafs, int64_t stride, int height, int width, const Rules* __restrict__ rules,
    const int* __restrict__ limbs, int joints, const Peak* __restrict__ peaks, const int* __restrict__ peak_counts,
    float* __restrict__ limb_scores) {
    const int start = blockIdx.x, end = threadIdx.x, image = blockIdx.z;
    const int* limb = limbs + 4 * blockIdx.y;
    const int* counts = peak_counts + (size_t)image * joints;
    if (start >= counts[limb[0]] || end >= counts[limb[1]]) return;
    const Peak* mine = peaks + (size_t)image * joints * STRIDE;
    const Peak a = mine[limb[0] * STRIDE + start], b = mine[limb[1] * STRIDE + end];
    const int64_t cells = (int64_t)height * width;
    const float* maps = pafs + image * stride;
    const LimbRule rule = {rules->cell, rules->sample_threshold, rules->share, rules->near, rules->faint, rules->samples};
    const float score = limb_score(maps + limb[2] * cells, maps + limb[3] * cells, width, height, {a.x, a.y}, {b.x, b.y}, rule);
    limb_scores[(((size_t)image * gridDim.y + blockIdx.y) * STRIDE + start) * STRIDE + end] = score;
}

__device__ __forceinline__ Bits limb_key(const float* scores, int start, int end) {
    const float score = scores[start * STRIDE + end];
    return score != 0.0f ? (Bits)falling(score) << 32 | (unsigned)(start << 8 | end) : NONE;
}

__device__ __forceinline__ int start_of(Bits key) { return (int)(key >> 8 & 255); }
__device__ __forceinline__ int end_of(Bits key) { return (int)(key & 255); }
__device__ __forceinline__ float score_of(Bits key) { return rising((unsigned)(key >> 32)); }

// The best limb from a start to an end that is alone, and to an end from a start that is.
__device__ __forceinline__ Bits best_from(const float* scores, int start, int ends, const int* by_end) {
    Bits best = NONE;
    for (int end = 0; end < ends; end++)
        if (by_end[end] < 0) best = min(best, limb_key(scores, start, end));
    return best;
}

__device__ __forceinline__ Bits best_to(const float* scores, int end, int starts, const int* by_start) {
    Bits best = NONE;
    for (int start = 0; start < starts; start++)
        if (by_start[start] < 0) best = min(best, limb_key(scores, start, end));
    return best;
}

// Limbs of one pair, best first and each peak once; then some give way: _giving_way() of the reference, in the same order.
extern "C" __global__ void __launch_bounds__(STRIDE) paf_match(
    const int* __restrict__ limbs, int joints, const int* __restrict__ peak_counts, const float* __restrict__ limb_scores,
    int* __restrict__ matched) {
    __shared__ Bits from[STRIDE], to[STRIDE], kept[STRIDE];
    __shared__ int by_start[STRIDE], by_end[STRIDE];
    const int* counts = peak_counts + (size_t)blockIdx.y * joints;
    const int starts = counts[limbs[4 * blockIdx.x]], ends = counts[limbs[4 * blockIdx.x + 1]], i = threadIdx.x;
    const size_t pair = (size_t)blockIdx.y * gridDim.x + blockIdx.x;
    const float* scores = limb_scores + pair * STRIDE * STRIDE;
    by_start[i] = by_end[i] = -1;
    __syncthreads();
    from[i] = i < starts ? best_from(scores, i, ends, by_end) : NONE;
    __syncthreads();
    int count = 0;
    while (true) {  // every thread finds the same limb
        Bits best = NONE;
        for (int start = 0; start < starts; start++) best = min(best, from[start]);
        __syncthreads();
        if (best == NONE) break;
        if (i == start_of(best)) kept[count] = best, by_start[i] = end_of(best), by_end[end_of(best)] = i, from[i] = NONE;
        count++;
        __syncthreads();
        if (from[i] != NONE && end_of(from[i]) == end_of(best)) from[i] = best_from(scores, i, ends, by_end);
        __syncthreads();
    }
    from[i] = by_start[i] >= 0 ? best_from(scores, i, ends, by_end) : NONE;
    to[i] = by_end[i] >= 0 ? best_to(scores, i, starts, by_start) : NONE;
    __syncthreads();
    for (int k = 0; i == 0 && k < count; k++) {
        const int start = start_of(kept[k]), end = end_of(kept[k]);
        const Bits one = from[start], other = to[end];
        if (one == NONE || other == NONE || by_end[end_of(one)] >= 0 || by_start[start_of(other)] >= 0) continue;
        if (!(score_of(one) + score_of(other) > score_of(kept[k]))) continue;
        by_start[start] = end_of(one), by_end[end_of(one)] = start;
        by_start[start_of(other)] = end, by_end[end] = start_of(other);
    }
    __syncthreads();
    matched[pair * STRIDE + i] = by_start[i];
}

struct People {  // of one image, in scratch memory
    int* owners;  // by peak, the first of its person; -1: no peak
    Bits* masks;  // by person, the joints it has
    double* support;
    int* parts;  // by person and joint, the peak
    int joints;
};

__device__ __forceinline__ void begin(const People& p, const int* counts) {
    for (int i = threadIdx.x; i < p.joints * STRIDE; i += THREADS) {
        const int joint = i / STRIDE;
        p.owners[i] = i % STRIDE < counts[joint] ? i : -1;
        p.masks[i] = 1ull << joint, p.support[i] = 0.0;
        for (int k = 0; k < p.joints; k++) p.parts[i * p.joints + k] = k == joint ? i : -1;
    }
    __syncthreads();
}

// Join the people at both ends of a limb. Limbs of one pair can do so side by side: a person who has both of its joints cannot
// be joined to another by it, so no two that succeed share a person.
__device__ __forceinline__ void join(const People& p, int start, int end, float score) {
    const int first = p.owners[start], second = p.owners[end];
    if (first == second) p.support[first] += (double)score;
    if (p.masks[first] & p.masks[second]) return;
    p.support[first] += p.support[second] + (double)score;
    p.masks[first] |= p.masks[second];
    for (int k = 0; k < p.joints; k++) {
        const int peak = p.parts[second * p.joints + k];
        if (peak >= 0) p.parts[first * p.joints + k] = peak, p.owners[peak] = first;
    }
}

__device__ __forceinline__ float person_score(const People& p, const Peak* peaks, int person) {
    double total = 0.0;
    for (int k = 0; k < p.joints; k++) {
        const int peak = p.parts[person * p.joints + k];
        if (peak >= 0) total += (double)peaks[peak].score;
    }
    return (float)((total + p.support[person]) / (double)__popcll(p.masks[person]));
}

extern "C" __global__ void __launch_bounds__(THREADS, 1) paf_assemble(
    const Rules* __restrict__ rules, const int* __restrict__ limbs, int pairs, int joints, const Peak* __restrict__ peaks,
    const int* __restrict__ peak_counts, const float* __restrict__ limb_scores, const int* __restrict__ matched,
    int* __restrict__ owners, Bits* __restrict__ masks, double* __restrict__ support, int* __restrict__ parts,
    Bits* __restrict__ keys, int* __restrict__ candidates, int max_people, float* __restrict__ xy,
    float* __restrict__ joint_scores, float* __restrict__ scores, int* __restrict__ people_counts) {
    __shared__ int count;
    const size_t image = blockIdx.x, most = (size_t)joints * STRIDE, at = image * most;
    const People people = {owners + at, masks + at, support + at, parts + at * joints, joints};
    peaks += at, keys += at, candidates += at, peak_counts += image * joints;
    begin(people, peak_counts);
    for (int pair = 0; pair < pairs; pair++) {
        const size_t row = (image * pairs + pair) * STRIDE + threadIdx.x;
        const int* limb = limbs + 4 * pair;
        if ((int)threadIdx.x < peak_counts[limb[0]] && matched[row] >= 0)
            join(people, limb[0] * STRIDE + threadIdx.x, limb[1] * STRIDE + matched[row], limb_scores[row * STRIDE + matched[row]]);
        __syncthreads();
    }
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < (int)most; i += THREADS) {
        if (people.owners[i] != i || __popcll(people.masks[i]) < rules->min_parts) continue;
        const float score = person_score(people, peaks, i);
        if (!(score >= rules->min_score)) continue;
        const int first = people.parts[i * joints + __ffsll(people.masks[i]) - 1], place = atomicAdd(&count, 1);
        keys[place] = (Bits)falling(score) << 32 | (unsigned)first, candidates[place] = i;
    }
    __syncthreads();
    if (threadIdx.x == 0) people_counts[image] = count;
    for (int i = threadIdx.x; i < count; i += THREADS) {
        int place = 0;
        for (int j = 0; j < count; j++) place += keys[j] < keys[i];
        if (place >= max_people) continue;
        const size_t to = image * max_people + place;
        scores[to] = rising((unsigned)(keys[i] >> 32));
        for (int k = 0; k < joints; k++) {
            const int peak = people.parts[candidates[i] * joints + k];
            const Peak found = peak >= 0 ? peaks[peak] : Peak{0.0f, 0.0f, 0.0f};
            xy[(to * joints + k) * 2] = found.x, xy[(to * joints + k) * 2 + 1] = found.y;
            joint_scores[to * joints + k] = found.score;
        }
    }
}
