// assemble_masks: coefficients times prototypes, enlarged to the picture, then cropped: a bit a pixel; and COCO's run lengths
// of such bits. References: assemble_masks_reference in ../assemble_masks.py, which also checks every size, and encode in
// ../../runtime/rle.py. Only the part of the prototypes under a window is summed; it is enlarged down, column by column, and
// then across, so that bits of a column, which is what RLE runs along, come LANES at a time.
#include <math.h>
#include <stdint.h>

#include <algorithm>
#include <vector>

#include "../masks.h"

namespace {

struct Prototypes {  // [count, height, width]
    const float* values;
    int64_t count, height, width;
};

struct Window {
    int64_t left, top, width, height;
};

const int64_t WORD = 64;

// Run lengths as COCO writes them: each the difference to the one two before it, 5 bits a letter. What finds no room is counted.
struct Writer {
    uint8_t* text;
    int64_t room, length = 0, runs = 0, before[2] = {};

    void run(int64_t count) {
        int64_t value = runs > 2 ? count - before[runs & 1] : count;
        before[runs++ & 1] = count;
        for (bool more = true; more;) {
            const int64_t low = value & 31;
            value >>= 5;
            more = value != (low & 16 ? -1 : 0);
            if (length < room) text[length] = (uint8_t)(48 + (more ? low | 32 : low));
            length++;
        }
    }
};

}  // namespace

#define OP "assemble_masks.inc"
#include "levels.h"

// coefficients [objects, count], windows [objects, 4]: left, top, width, height. words: of each object in turn [width,
// ceil(height / 64)]; bit i of word j is row 64 * j + i.
EXPORT void vedette_assemble_masks(const float* coefficients, const float* prototypes, int64_t objects, int64_t count,
                                   int64_t height, int64_t width, const int64_t* windows, const int32_t* x_first,
                                   const int32_t* x_second, const float* x_share, const int32_t* y_first, const int32_t* y_second,
                                   const float* y_share, float threshold, uint64_t* words) {
    const Prototypes from = {prototypes, count, height, width};
    const Axis across = {x_first, x_second, x_share}, down = {y_first, y_second, y_share};
    for (int64_t object = 0; object < objects; object++) {
        const Window window = {windows[4 * object], windows[4 * object + 1], windows[4 * object + 2], windows[4 * object + 3]};
        if (window.width == 0 || window.height == 0) continue;
        PICK(assemble)(coefficients + object * count, from, window, across, down, threshold, words);
        words += window.width * ((window.height + WORD - 1) / WORD);
    }
}

// The run lengths of one mask of a picture; text has room for so many letters. Returns how many there are.
EXPORT int64_t vedette_mask_rle(const uint64_t* words, int64_t left, int64_t top, int64_t width, int64_t height,
                                int64_t picture_width, int64_t picture_height, uint8_t* text, int64_t room) {
    Writer writer = {text, room};
    const int64_t total = picture_width * picture_height, rows = (height + WORD - 1) / WORD;
    int64_t start = 0, end = 0;  // of the run, of the columns so far
    bool set = false;
    const auto flip = [&](int64_t at) { writer.run(at - start), start = at, set = !set; };
    for (int64_t x = 0; x < width; x++) {
        const int64_t base = (left + x) * picture_height + top;
        if (set && base != end) flip(end);
        for (int64_t row = 0; row < rows; row++) {
            const uint64_t bits = words[x * rows + row];
            const int64_t here = std::min(WORD, height - row * WORD);
            for (int64_t at = 0; at < here;) {
                const uint64_t rest = (set ? ~bits : bits) >> at;
                if (rest == 0) break;
                at += __builtin_ctzll(rest);
                if (at < here) flip(base + row * WORD + at);
            }
        }
        end = base + height;
    }
    if (set && end != total) flip(end);
    writer.run(total - start);
    return writer.length;
}
