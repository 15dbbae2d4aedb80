// heatmap_keypoints: the highest place of each heatmap, enlarged over its box. Reference: heatmap_keypoints_reference in
// ../heatmap_keypoints.py, which also checks every shape. No enlarged map is ever held: rows are made one by one, and of those
// only the pixels that can be the highest. Four weights add up to 1, those above 0 to 1.1875 at most, so that between values of
// which the least is m and the greatest M no pixel exceeds m + 1.1875 (M - m), nor between rows and columns of them
// m + 1.4453125 (M - m); what stays below the best so far by more than rounding is passed over.
#include <math.h>
#include <stdint.h>

#include <algorithm>
#include <vector>

#include "../heatmaps.h"

namespace {

const int64_t SPARE = 32;  // floats that a block may read behind the last
const float ONE_WAY = 1.1875f, BOTH_WAYS = 1.4453125f;
const float ROUNDING = 1e-5f;  // of the greatest value

// Nothing between these values is greater; NaN where they do not tell.
inline float ceiling(float least, float greatest, float overshoot) {
    return least + (greatest - least) * overshoot + (fabsf(least) + fabsf(greatest)) * ROUNDING;
}

// One axis of a region. Cell c has the pixels that lie between the values c - 2 … c + 1, from starts[c] to starts[c + 1].
struct Axis {
    int64_t values = 0;
    int pixels = 0;
    float side = 0;
    std::vector<int32_t> starts, cells;  // [values + 2], [pixels]
    std::vector<float> weights[4];       // [pixels + SPARE]

    void set(int64_t count, float low, float high) {
        values = count, side = roi_side(low, high), pixels = roi_pixels(side);
        starts.assign(values + 2, pixels), cells.resize(pixels);
        for (auto& row : weights) row.resize(pixels + SPARE);
        for (int pixel = pixels; pixel-- > 0;) {
            const Cubic cubic = cubic_at(pixel, (float)values / (float)pixels);
            for (int tap = 0; tap < 4; tap++) weights[tap][pixel] = cubic.weights[tap];
            cells[pixel] = std::min<int32_t>(std::max(cubic.first + 2, 0), (int32_t)values);
            starts[cells[pixel]] = pixel;
        }
        for (int64_t cell = values; cell >= 0; cell--) starts[cell] = std::min(starts[cell], starts[cell + 1]);
    }
};

struct Best {
    float value = -INFINITY;
    int x = 0, y = 0;
};

}  // namespace

#define OP "heatmap_keypoints.inc"
#include "levels.h"

// Cells have few pixels: 8 side by side were faster than 16 on the processors measured.
#if defined(__x86_64__)
#define PICK_NARROW(f) (vedette::level ? avx2::f : base::f)
#else
#define PICK_NARROW(f) base::f
#endif

// heatmaps [objects, joints, height, width], rois [objects, 4] xyxy; xy [objects, joints, 2], logits [objects, joints].
EXPORT void vedette_heatmap_keypoints(const float* heatmaps, int64_t objects, int64_t joints, int64_t height, int64_t width,
                                      const float* rois, float* xy, float* logits) {
    static thread_local Axis across, down;
    for (int64_t object = 0; object < objects; object++, rois += 4) {
        across.set(width, rois[0], rois[2]);
        down.set(height, rois[1], rois[3]);
        for (int64_t joint = 0; joint < joints; joint++, heatmaps += height * width) {
            const Best best = PICK_NARROW(highest)(heatmaps, across, down);
            *xy++ = roi_place(best.x, across.side, across.pixels, rois[0]);
            *xy++ = roi_place(best.y, down.side, down.pixels, rois[1]);
            *logits++ = best.value;
        }
    }
}
