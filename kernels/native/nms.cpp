// nms: of the boxes of one class that overlap, the best scored one stays. Reference: nms_reference in ../nms.py.
// Each box is compared with the kept boxes of its class only, and the walk ends at max_det: worst case n * max_det IoUs.
#include <math.h>
#include <stdint.h>

#include <unordered_map>
#include <vector>

#include "../arithmetic.h"
#define OP "nms.inc"
#include "levels.h"

// boxes [n, 4], classes [n], order: indices best first, keep: room for max_det. Returns how many were kept, best first.
EXPORT int64_t vedette_nms(const Box* boxes, const int64_t* classes, const int64_t* order, int64_t n, float threshold,
                           int64_t max_det, int64_t* keep) {
    return PICK(nms)(boxes, classes, order, n, threshold, max_det, keep);
}
