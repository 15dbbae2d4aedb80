// The arithmetic of one peak and of one limb of paf, shared by the C++ and the CUDA kernels. Reference: paf.py.
#pragma once
#include "arithmetic.h"

#define LEAST_SAMPLES 5
#define MOST_SAMPLES 25
#define SHORTEST_LIMB 1e-6f  // cells; below, a limb has no direction
#define LARGEST_VALUE 1e18f  // of a map; what is not smaller, and NaN, counts as 0

HD float clean(float value) { return value < LARGEST_VALUE && value > -LARGEST_VALUE ? value : 0.0f; }

// Offset, -0.5 to 0.5, of the top of the parabola through three values; 0 where they do not bend.
HD float vertex(float before, float here, float after) {
    const float bend = 2.0f * here - before - after;
    return bend > 0.0f ? 0.5f * (after - before) / bend : 0.0f;
}

// A joint's map. Whether (x, y) is a maximum, and where it lies to a fraction of a cell.
struct Heatmap {
    const float* values;
    int width, height;
};

HD float map_value(Heatmap map, int x, int y) { return clean(map.values[(int64_t)y * map.width + x]); }
HD bool inside(Heatmap map, int x, int y) { return x >= 0 && y >= 0 && x < map.width && y < map.height; }

// Greater than the neighbours before it in reading order and not less than those after it, of those that there are.
HD bool is_peak(Heatmap map, int x, int y) {
    const float here = map_value(map, x, y);
    for (int i = 0; i < 9; i++) {
        const int column = x + i % 3 - 1, row = y + i / 3 - 1;
        if (i == 4 || !inside(map, column, row)) continue;
        const float other = map_value(map, column, row);
        if (i < 4 ? !(here > other) : !(here >= other)) return false;
    }
    return true;
}

// OpenPose's: greater than all neighbours; beside the outermost cells not less than any; of those themselves only the eight
// that are second in an outermost row or column. (nmsBase.cpp of CMU OpenPose: the rule, not its code.)
HD bool is_openpose_peak(Heatmap map, int x, int y) {
    const bool inner = x > 1 && x < map.width - 2 && y > 1 && y < map.height - 2;
    if (!inner && x != 1 && x != map.width - 2 && y != 1 && y != map.height - 2) return false;
    const float here = map_value(map, x, y);
    for (int i = 0; i < 9; i++) {
        const int column = x + i % 3 - 1, row = y + i / 3 - 1;
        if (i == 4 || !inside(map, column, row)) continue;
        const float other = map_value(map, column, row);
        if (inner ? !(here > other) : !(here >= other)) return false;
    }
    return true;
}

struct Place {  // cells
    float x, y;
};

HD Place vertex_of(Heatmap map, int x, int y) {
    const float here = map_value(map, x, y);
    const bool across = x > 0 && x < map.width - 1, down = y > 0 && y < map.height - 1;
    return {(float)x + (across ? vertex(map_value(map, x - 1, y), here, map_value(map, x + 1, y)) : 0.0f),
            (float)y + (down ? vertex(map_value(map, x, y - 1), here, map_value(map, x, y + 1)) : 0.0f)};
}

// The mean place of the positive values of a window of this side, weighted by them.
HD Place centroid_of(Heatmap map, int x, int y, int side) {
    float sum_x = 0.0f, sum_y = 0.0f, sum = 0.0f;
    const int reach = side / 2;
    for (int row = -reach; row <= reach; row++)
        for (int column = -reach; column <= reach; column++) {
            if (!inside(map, x + column, y + row)) continue;
            const float value = map_value(map, x + column, y + row);
            if (!(value > 0.0f)) continue;
            sum_x += (float)column * value, sum_y += (float)row * value, sum += value;
        }
    return {(float)x + sum_x / sum, (float)y + sum_y / sum};
}

// What a limb must show.
struct LimbRule {
    float cell;       // side of a cell, pixels
    float threshold;  // least component along the limb that counts
    float share;      // of the samples that must count
    float near;       // cells; a limb below this length scores `faint` without the samples
    float faint;
    int samples;  // 0: by length; else so many, of which all count
};

HD int sample_count(float longer, float cell) {
    const int number = (int)(sqrtf(5.0f * cell * longer) + 0.5f);
    return number < LEAST_SAMPLES ? LEAST_SAMPLES : number > MOST_SAMPLES ? MOST_SAMPLES : number;
}

// The fewest of `number` samples that are more than this share of them.
HD int least_count(int number, float share) {
    int count = number;
    while (count >= 0 && (float)count / (float)number > share) count--;
    return count + 1;
}

HD int nearest_cell(float place, int cells) {
    const int cell = (int)(place + 0.5f);
    return cell < 0 ? 0 : cell >= cells ? cells - 1 : cell;
}

// How well a [2, height, width] field supports the limb from a to b; 0: not at all.
HD float limb_score(const float* across, const float* down, int width, int height, Place a, Place b, LimbRule rule) {
    const float dx = b.x - a.x, dy = b.y - a.y, length = sqrtf(dx * dx + dy * dy);
    if (!(length > SHORTEST_LIMB)) return 0.0f;
    const float unit_x = dx / length, unit_y = dy / length;
    const int number = rule.samples ? rule.samples : sample_count(at_least(fabsf(dx), fabsf(dy)), rule.cell);
    const int need = rule.samples ? 0 : least_count(number, rule.share);
    const float step_x = dx / (float)number, step_y = dy / (float)number;
    float sum = 0.0f;
    int counted = 0;
    for (int k = 0; k < number && counted + number - k >= need; k++) {
        const int column = nearest_cell(a.x + (float)k * step_x, width), row = nearest_cell(a.y + (float)k * step_y, height);
        const int64_t at = (int64_t)row * width + column;
        const float along = clean(across[at]) * unit_x + clean(down[at]) * unit_y;
        if (rule.samples || along > rule.threshold) sum += along, counted++;
    }
    if (rule.samples) return sum / (float)number > rule.threshold ? sum / (float)number : 0.0f;
    if (counted >= need && counted > 0) return sum / (float)counted;
    return length < rule.near ? rule.faint : 0.0f;
}
