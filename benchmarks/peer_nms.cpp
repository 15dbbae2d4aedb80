// A peer of bench_kernels.py: greedy NMS of boxes [n, 4] in the given order, the way torchvision's CPU operator works: every kept
// box marks all later ones that overlap it, one class, no early end. Returns how many were kept.
#include <stdint.h>

#include <algorithm>
#include <vector>

extern "C" int64_t peer_nms(const float* boxes, const int64_t* order, int64_t* keep, int64_t n, float threshold) {
    std::vector<float> areas(n);
    for (int64_t i = 0; i < n; i++) areas[i] = (boxes[4 * i + 2] - boxes[4 * i]) * (boxes[4 * i + 3] - boxes[4 * i + 1]);
    std::vector<uint8_t> suppressed(n);
    int64_t count = 0;
    for (int64_t rank = 0; rank < n; rank++) {
        const int64_t i = order[rank];
        if (suppressed[i]) continue;
        keep[count++] = i;
        for (int64_t later = rank + 1; later < n; later++) {
            const int64_t j = order[later];
            if (suppressed[j]) continue;
            const float w = std::min(boxes[4 * i + 2], boxes[4 * j + 2]) - std::max(boxes[4 * i], boxes[4 * j]);
            const float h = std::min(boxes[4 * i + 3], boxes[4 * j + 3]) - std::max(boxes[4 * i + 1], boxes[4 * j + 1]);
            const float shared = std::max(w, 0.0f) * std::max(h, 0.0f);
            if (shared / (areas[i] + areas[j] - shared) > threshold) suppressed[j] = 1;
        }
    }
    return count;
}
