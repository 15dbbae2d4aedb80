// detect_boxes: from a detector's raw outputs to the boxes on a picture in one call: decode_boxes grid by grid, nms, and where they
// lie on the picture. Reference: detect_boxes_reference in ../detect_boxes.py. One call, since a small network's inference leaves
// the caches cold, and each step of an interpreter between three calls is read from memory again.
#include <stdint.h>

#include <algorithm>
#include <vector>

#include "boxes.h"

namespace {

struct Grid {  // as in detect_boxes.py
    const Plan* plan;
    const float* priors;
    int64_t most;  // candidates
};

struct Detector {
    const Grid* grids;
    const uint8_t* allowed;  // by class id, `classes` of them; null: every class
    int64_t count, classes, multi_label, max_det, clip;
    float conf, iou, unit_x, unit_y, left, top, gain_x, gain_y, width, height;
};

struct Candidates {
    std::vector<Box> boxes;
    std::vector<float> scores;
    std::vector<int64_t> classes, anchors;

    void grow(size_t rows) {  // never smaller: what was touched once stays mapped
        if (rows > boxes.size()) boxes.resize(rows), scores.resize(rows), classes.resize(rows), anchors.resize(rows);
    }
};

int64_t decoded(const Detector& detector, const float* const* outputs, Candidates& to) {
    int64_t count = 0;
    for (int64_t grid = 0; grid < detector.count; grid++) {
        const Grid& one = detector.grids[grid];
        to.grow(count + one.most);
        count += vedette_decode_boxes(one.plan, outputs[2 * grid], outputs[2 * grid + 1], one.priors, detector.conf,
                                      detector.multi_label, one.most, 0, 0, 1, 1, &to.boxes[count], &to.scores[count],
                                      &to.classes[count], &to.anchors[count]);
    }
    return count;
}

// Of `count` candidates those of the classes that are wanted, in pixels of the input.
int64_t wanted(const Detector& detector, int64_t count, Candidates& of) {
    int64_t left = 0;
    for (int64_t i = 0; i < count; i++) {
        const int64_t id = of.classes[i];
        if (detector.allowed && !(id < detector.classes && detector.allowed[id])) continue;
        const Box box = of.boxes[i];
        of.boxes[left] = {box.x1 * detector.unit_x, box.y1 * detector.unit_y, box.x2 * detector.unit_x, box.y2 * detector.unit_y};
        of.scores[left] = of.scores[i], of.classes[left] = id, left++;
    }
    return left;
}

float within(float value, float end) { return at_most(at_least(value, 0.0f), end); }

}  // namespace

// outputs: first and second of each grid in turn. boxes, scores, classes: room for max_det, or for all candidates if fewer.
// Returns how many were written, best first.
EXPORT int64_t vedette_detect_boxes(const Detector* detector, const float* const* outputs, Box* boxes, float* scores,
                                    int64_t* classes) {
    static thread_local Candidates found;
    static thread_local std::vector<int64_t> keep;
    const Detector& d = *detector;
    const int64_t count = wanted(d, decoded(d, outputs, found), found);
    keep.resize(std::max<size_t>(keep.size(), std::min(count, d.max_det)));
    const int64_t kept =
        vedette_nms(found.boxes.data(), found.scores.data(), found.classes.data(), count, d.iou, d.max_det, keep.data());
    int64_t written = 0;
    for (int64_t i = 0; i < kept; i++) {
        const Box whole = to_image(found.boxes[keep[i]], d.left, d.top, d.gain_x, d.gain_y);
        const Box cut = {within(whole.x1, d.width), within(whole.y1, d.height), within(whole.x2, d.width),
                         within(whole.y2, d.height)};
        if (!(cut.x2 > cut.x1 && cut.y2 > cut.y1)) continue;  // beside the picture
        boxes[written] = d.clip ? cut : whole;
        scores[written] = found.scores[keep[i]], classes[written] = found.classes[keep[i]], written++;
    }
    return written;
}
