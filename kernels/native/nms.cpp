// nms: of the boxes of one class that overlap, the best scored one stays. References: nms_reference and nms_rotated_reference in
// ../nms.py. Each box is compared with the kept boxes of its class only, and the walk ends at max_det: at worst n * max_det IoUs.
#include <float.h>
#include <math.h>
#include <stdint.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>
#include <vector>

#include "boxes.h"

struct Ranked {
    uint32_t key;  // rises as the score falls
    uint32_t index;
};

// Best score first, ties to the lower index: a stable sort by four bytes.
static void sort_by_key(std::vector<Ranked>& items) {
    if (items.size() < 64) {
        std::sort(items.begin(), items.end(),
                  [](Ranked a, Ranked b) { return a.key != b.key ? a.key < b.key : a.index < b.index; });
        return;
    }
    static thread_local std::vector<Ranked> other;
    uint32_t starts[4][256] = {};
    other.resize(items.size());
    for (const Ranked& item : items)
        for (int byte = 0; byte < 4; byte++) starts[byte][item.key >> 8 * byte & 255]++;
    for (auto& byte : starts) {
        uint32_t sum = 0;
        for (uint32_t& start : byte) sum += start, start = sum - start;
    }
    for (int byte = 0; byte < 4; byte++) {
        for (const Ranked& item : items) other[starts[byte][item.key >> 8 * byte & 255]++] = item;
        items.swap(other);
    }
}

// The finite scores of finite boxes, SIDES numbers each, ranked.
template <int SIDES, class Number>
static void rank(const Number* boxes, const float* scores, int64_t n, std::vector<Ranked>& to) {
    to.resize(n);
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        bool finite = fabsf(scores[i]) <= FLT_MAX;
        for (int side = 0; side < SIDES; side++) finite &= std::abs(boxes[i * SIDES + side]) <= std::numeric_limits<Number>::max();
        FloatBits score;
        score.value = scores[i] + 0.0f;  // -0 and 0 are equal
        const uint32_t bits = (uint32_t)score.bits;
        to[count] = {bits >> 31 ? bits : 0x7FFFFFFF - bits, (uint32_t)i};
        count += finite;
    }
    to.resize(count);
    sort_by_key(to);
}

// Dense numbers for class ids, which may be any integer.
struct Slots {
    std::vector<int32_t> small;
    std::unordered_map<int64_t, int32_t> large;
    int32_t count = 0;

    void clear() { small.assign(1024, -1), large.clear(), count = 0; }
    int32_t operator()(int64_t id) {
        int32_t& slot = (uint64_t)id < small.size() ? small[id] : large.try_emplace(id, -1).first->second;
        if (slot < 0) slot = count++;
        return slot;
    }
};

#define OP "nms.inc"
#include "levels.h"

// boxes [n, 4], scores [n], classes [n], n < 2^32, keep: room for min(n, max_det). Returns how many were kept, best first.
EXPORT int64_t vedette_nms(const Box* boxes, const float* scores, const int64_t* classes, int64_t n, float threshold,
                           int64_t max_det, int64_t* keep) {
    static thread_local std::vector<Ranked> ranked;
    rank<4>(&boxes->x1, scores, n, ranked);
    return PICK(nms)(boxes, classes, ranked, threshold, max_det, keep);
}

// The same for boxes [n] as Gaussians, whose probIoU must exceed the threshold.
EXPORT int64_t vedette_nms_rotated(const Gaussian* boxes, const float* scores, const int64_t* classes, int64_t n,
                                   double threshold, int64_t max_det, int64_t* keep) {
    static thread_local std::vector<Ranked> ranked;
    static thread_local std::vector<int64_t> kept, last;  // by kept box, the one of its class before it; by class, the newest
    static thread_local Slots slots;
    rank<5>(&boxes->x, scores, n, ranked);
    slots.clear(), kept.clear(), last.clear();
    const double far = -log(1.0 - (1.0 - threshold) * (1.0 - threshold)) + 1e-6;  // centres this distant: no need for the shapes
    int64_t count = 0;
    for (const Ranked& item : ranked) {
        if (count >= max_det) break;
        const Gaussian box = boxes[item.index];
        const int32_t slot = slots(classes[item.index]);
        if (slot == (int32_t)last.size()) last.push_back(-1);
        bool alive = true;
        for (int64_t rival = last[slot]; rival >= 0 && alive; rival = kept[rival]) {
            const Gaussian better = boxes[keep[rival]];
            alive = centre_distance(better, box) > far || !(prob_iou(better, box) > threshold);
        }
        if (!alive) continue;
        kept.push_back(last[slot]), last[slot] = count, keep[count++] = item.index;
    }
    return count;
}
