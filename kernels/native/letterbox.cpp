// letterbox: a uint8 picture to one image of a network's input. Reference: letterbox_reference in ../letterbox.py, which also
// checks every size and address before it calls this. Output rows are independent; each block of a row reads the taps of its
// pixels, interpolates, normalises and stores three channels, so that nothing between camera and engine is written twice.
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <vector>
#if defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "../arithmetic.h"

namespace {  // other ops have plans, too

enum Format { BGR24, YUV420P, NV12, STAGED };  // STAGED: rows of another format, converted to four bytes a pixel
enum Rule {
    LINEAR,  // bilinear() of arithmetic.h
    FIXED,   // bilinear_cv2() of arithmetic.h, on YUV taps rounded to whole levels
    HALF,    // cv2 at exactly half the size: the rounded mean of 2 x 2
    NEAREST  // every position is that of a pixel: identity, and odd whole ratios such as 1080 -> 360
};

// What does not change from picture to picture. The same as class _Plan of ../letterbox.py. The tables of columns go on to a
// multiple of 64 bytes, so that the last block of a row reads them whole.
struct Plan {
    int64_t width, height;             // of the picture
    int64_t scaled_width, scaled_height;
    int64_t left, top;                 // where the scaled picture lies
    int64_t out_width, out_height;
    int64_t format, rule, whole, half_precision;  // whole: round YUV pixels to whole levels; half_precision: write float16
    int64_t contiguous;                // column x of the output is column x of the picture
    int64_t padded;                    // what surrounds the scaled picture is there already
    const int32_t* columns;            // [scaled_width…] the left tap: its first byte in bgr24, its number in YUV
    const int32_t* rows;               // [scaled_height, 2] the upper and the lower tap
    const void* across;                // [scaled_width…] LINEAR: float, the right tap's weight; FIXED: two int16 of 1/2048
    const void* down;                  // [scaled_height] the same for the lower tap
    int64_t plane_of[3];               // where the first, second and third channel of the picture go
    float gain[3], bias[3], pad[3];    // of the planes; pad is ready to be stored
    float yuv[6];                      // see bgr_from_yuv
};

const int64_t SLACK = 64;  // bytes that the last block of a row may read or write behind its end

// Room for that many bytes and the slack.
uint8_t* room_for(int64_t bytes, std::vector<uint8_t>& room) {
    if (room.size() < (size_t)(bytes + SLACK)) room.resize(bytes + SLACK);
    return room.data();
}

// The rows of one plane. Blocks read up to SLACK bytes behind what they need: harmless where rows follow, so the last rows
// are read from a copy with room behind it.
struct Plane {
    const uint8_t *data, *tail;
    int64_t stride, safe;

    Plane() = default;
    Plane(const uint8_t* data, int64_t stride, int64_t rows, int64_t row_bytes, std::vector<uint8_t>& room)
        : data(data), stride(stride), safe(std::max<int64_t>(0, rows - (SLACK + stride - 1) / stride)) {
        const int64_t bytes = (rows - 1 - safe) * stride + row_bytes;
        tail = room_for(bytes, room);
        memcpy(room.data(), data + safe * stride, bytes);
    }
    const uint8_t* row(int64_t y) const { return y < safe ? data + y * stride : tail + (y - safe) * stride; }
};

// One picture: its planes, three of yuv420p, two of nv12, one of bgr24, and room for rows on their way.
struct Picture {
    Plane planes[3];
    uint8_t* rows[3];    // of the output, by channel of the picture
    uint8_t* staged[2];  // even and odd rows, blue, green, red, 0 by pixel
    int64_t staged_row[2] = {-1, -1};

    Picture(const Plan& plan, const uint8_t* const* first_bytes, const int64_t* strides) {
        static thread_local std::vector<uint8_t> room[3], made[3], stage[2];
        const int64_t blocks = (plan.width + 1) / 2, block_rows = (plan.height + 1) / 2;
        const int64_t row_bytes[3] = {plan.format == BGR24 ? 3 * plan.width : plan.width,
                                      plan.format == NV12 ? 2 * blocks : blocks, blocks};
        const int count = plan.format == BGR24 ? 1 : plan.format == NV12 ? 2 : 3;
        for (int i = 0; i < count; i++)
            planes[i] = Plane(first_bytes[i], strides[i], i ? block_rows : plan.height, row_bytes[i], room[i]);
        for (int i = 0; i < 3; i++) rows[i] = room_for(4 * plan.scaled_width, made[i]);
        for (int i = 0; i < 2 && plan.format != BGR24; i++) staged[i] = room_for(4 * plan.width, stage[i]);
    }
};

}  // namespace

#define OP "letterbox.inc"
#include "levels.h"

// a, b, c: the planes, as many as the format has, each with the bytes from row to row. out: [3, out_height, out_width].
EXPORT void vedette_letterbox(const Plan* plan, const uint8_t* a, int64_t a_stride, const uint8_t* b, int64_t b_stride,
                              const uint8_t* c, int64_t c_stride, void* out) {
    const uint8_t* const planes[3] = {a, b, c};
    const int64_t strides[3] = {a_stride, b_stride, c_stride};
    Picture from(*plan, planes, strides);
    PICK(letterbox)(*plan, from, out);
}

// YUV planes of the plan's size to bgr [height, width, 3], whatever else the plan says.
EXPORT void vedette_bgr(const Plan* plan, const uint8_t* a, int64_t a_stride, const uint8_t* b, int64_t b_stride,
                        const uint8_t* c, int64_t c_stride, uint8_t* bgr) {
    const uint8_t* const planes[3] = {a, b, c};
    const int64_t strides[3] = {a_stride, b_stride, c_stride};
    Picture from(*plan, planes, strides);
    PICK(interleave)(*plan, from, bgr);
}
