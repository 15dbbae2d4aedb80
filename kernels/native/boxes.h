// What the ops of boxes give each other. Each is described where it is defined.
#pragma once
#include <stdint.h>

#include "../arithmetic.h"
#include "cpu.h"

struct Plan;

EXPORT int64_t vedette_decode_boxes(const Plan* plan, const float* first, const float* second, const float* third, float conf,
                                    int64_t multi_label, int64_t most, float left, float top, float gain_x, float gain_y,
                                    Box* boxes, float* scores, int64_t* classes, int64_t* anchors);
EXPORT int64_t vedette_nms(const Box* boxes, const float* scores, const int64_t* classes, int64_t n, float threshold,
                           int64_t max_det, int64_t* keep);
