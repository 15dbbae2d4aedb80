// decode_boxes: from a detector's raw output to candidate boxes. Reference: decode_boxes_reference in ../decode_boxes.py, which
// says what a candidate is; ../box_layouts.py checks every shape that a Plan describes.
#include <float.h>
#include <math.h>
#include <stdint.h>

#include <algorithm>
#include <vector>

#include "boxes.h"

struct Plan {  // as in box_layouts.py
    int64_t family, anchors, classes, row, bins, background, softmax, levels;
    int64_t level_end[8], level_columns[8];
    float level_stride[8], anchor_sizes[32][2];
    int64_t rows;
    float input_size[2], powers[2], variances[4];
};

struct Found {
    float score;
    int32_t anchor, cls;
};

struct Mapping {  // of network-input pixels to another picture's
    float left, top, gain_x, gain_y;
};

struct Decoded {  // room for `most` of each
    Box* boxes;
    float* scores;
    int64_t* classes;
    int64_t* anchors;
};

#define OP "decode_boxes.inc"
#include "levels.h"

// first, second, third: the outputs in the order of box_layouts.py, then the priors; unused ones are not read. Returns how many
// candidates were written, at most `most`.
EXPORT int64_t vedette_decode_boxes(const Plan* plan, const float* first, const float* second, const float* third, float conf,
                                    int64_t multi_label, int64_t most, float left, float top, float gain_x, float gain_y,
                                    Box* boxes, float* scores, int64_t* classes, int64_t* anchors) {
    return PICK(decode)(*plan, first, second, third, conf, multi_label != 0, most, Mapping{left, top, gain_x, gain_y},
                        Decoded{boxes, scores, classes, anchors});
}

EXPORT int64_t vedette_decode_boxes_plan_bytes() { return sizeof(Plan); }
