// argmax_labels: the likeliest class of every pixel; overlay_labels: their colours over a picture. References in
// ../argmax_labels.py, which also checks every size before it calls this. Equal sizes: one pass over the maps, a block of pixels
// at a time, so that the running maximum stays in the nearest cache. Else every row of labels is made of two rows of each map.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <vector>

#include "../labels.h"

namespace {

// The picture's part of float maps [classes, h, w], and what the best value must exceed, if not by which class it has.
struct Maps {
    const void* first;   // value of the first class
    int64_t plane, row;  // values from class to class, from row to row
    int64_t classes;
    float above;
    int32_t none;  // the label where no value is above
};

// Where labels [height, width] lie between the values of the maps. The tables of columns go on to a multiple of 64 bytes.
struct Grid {
    int64_t width, height, columns_of_map;
    const int32_t *columns, *rows;  // [width…] the value at or before; [height, 2] above and below
    const float *across, *down;     // what the next one counts
};

const int64_t BLOCK = 1024;  // pixels
const int64_t GROUP = 3;     // classes

}  // namespace

#define OP "argmax_labels.inc"
#include "levels.h"

// Where every value comes from memory once, 32 bytes at a time were faster than 64 on the processors measured.
#if defined(__x86_64__)
#define PICK_NARROW(f) (vedette::level ? avx2::f : base::f)
#else
#define PICK_NARROW(f) base::f
#endif

template <typename T>
static void label(const Maps& maps, const Grid& grid, uint8_t* labels) {
    if (grid.columns) PICK(label_resized<T>)(maps, grid, labels);
    else PICK_NARROW(label_plain<T>)(maps, grid, labels);
}

// map: the value at `start` is the first of the picture. half_precision: of the map, else float32. labels [height, width].
// Without the four tables the picture is as large as its part of the maps.
EXPORT void vedette_argmax_labels(const void* map, int64_t start, int64_t plane, int64_t row, int64_t classes,
                                  int64_t half_precision, int64_t none, uint8_t* labels, int64_t width, int64_t height,
                                  int64_t columns_of_map, const int32_t* columns, const int32_t* rows, const float* across,
                                  const float* down, float above) {
    const void* first = half_precision ? (const void*)((const uint16_t*)map + start) : (const float*)map + start;
    const Maps maps = {first, plane, row, classes, above, (int32_t)none};
    const Grid grid = {width, height, columns_of_map, columns, rows, across, down};
    if (half_precision) label<uint16_t>(maps, grid, labels);
    else label<float>(maps, grid, labels);
}

// image [count, 3], changed in place; labels [count]; palette [256, 4]: blue, green, red, alpha by label.
EXPORT void vedette_overlay_labels(uint8_t* image, const uint8_t* labels, int64_t count, const uint8_t* palette) {
    PICK(overlay)(image, labels, count, palette);
}
