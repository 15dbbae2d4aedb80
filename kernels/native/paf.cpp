// paf: people from joint heatmaps and part affinity fields. References: ../_paf_reference.py, ../_paf_assembly.py; ../paf.py checks
// every index before it calls this. Peaks are found LANES cells at a time where anything is above the threshold at all. Of the
// limbs of a joint to LANES others up to four samples are read first: most miss two, and only what is left is scored.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "../affinity.h"

namespace {

const int64_t MAX_PEAKS = 127;  // of one joint
const int64_t STRIDE = 128;     // peaks from joint to joint

struct PeakRule {
    float threshold;
    int32_t window;
    bool openpose;
};

struct Candidate {  // for a peak
    float score;
    int32_t at;
};

// By joint, STRIDE places each, best first.
struct Peaks {
    std::vector<float> x, y, scores;
    std::vector<int64_t> counts;

    void clear(int64_t joints) {
        for (auto* values : {&x, &y, &scores}) values->resize(joints * STRIDE);
        counts.assign(joints, 0);
    }
};

struct Limb {
    float score;
    int32_t start, end;  // which of its joint's peaks
};


bool better(Candidate a, Candidate b) { return a.score != b.score ? a.score > b.score : a.at < b.at; }

bool better(Limb a, Limb b) {
    if (a.score != b.score) return a.score > b.score;
    return a.start != b.start ? a.start < b.start : a.end < b.end;
}

// The best candidates of one joint, put to a fraction of a cell.
void keep(std::vector<Candidate>& found, Heatmap map, int64_t joint, PeakRule rule, Peaks& peaks) {
    const int64_t count = std::min<int64_t>(found.size(), MAX_PEAKS);
    std::partial_sort(found.begin(), found.begin() + count, found.end(), [](Candidate a, Candidate b) { return better(a, b); });
    for (int64_t i = 0; i < count; i++) {
        const int x = found[i].at % map.width, y = found[i].at / map.width;
        const Place place = rule.window ? centroid_of(map, x, y, rule.window) : vertex_of(map, x, y);
        const int64_t to = joint * STRIDE + i;
        peaks.x[to] = place.x, peaks.y[to] = place.y, peaks.scores[to] = found[i].score;
    }
    peaks.counts[joint] = count;
}

// Peaks that belong together: a list through them, and what they have in common.
struct Person {
    int32_t last;
    uint64_t joints;
    double support = 0.0;  // sum of limb scores
};

struct People {
    std::vector<int32_t> owners, next;  // by peak
    std::vector<Person> persons;        // by their first peak

    void begin(const Peaks& peaks) {
        const int64_t joints = peaks.counts.size(), n = joints * STRIDE;
        owners.resize(n), next.resize(n), persons.resize(n);
        for (int64_t joint = 0; joint < joints; joint++)
            for (int64_t i = joint * STRIDE; i < joint * STRIDE + peaks.counts[joint]; i++)
                owners[i] = (int32_t)i, next[i] = -1, persons[i] = {(int32_t)i, 1ull << joint};
    }

    void join(int32_t start, int32_t end, float score) {
        const int32_t one = owners[start], other = owners[end];
        Person &first = persons[one], &second = persons[other];
        if (one == other) first.support += score;
        if (first.joints & second.joints) return;
        first.support += second.support + score;
        first.joints |= second.joints;
        next[first.last] = other, first.last = second.last;
        for (int32_t peak = other; peak >= 0; peak = next[peak]) owners[peak] = one;
    }
};

// Limbs of one pair of joints, of which no two share a peak.
struct Chosen {
    int32_t by_start[STRIDE], by_end[STRIDE];  // which limb, or -1

    Chosen() { std::fill(by_start, by_start + STRIDE, -1), std::fill(by_end, by_end + STRIDE, -1); }
    bool free(const Limb& limb) const { return by_start[limb.start] < 0 && by_end[limb.end] < 0; }
    bool has(const Limb& limb, int32_t at) const { return by_start[limb.start] == at && by_end[limb.end] == at; }
    void take(const Limb& limb, int32_t at) { by_start[limb.start] = by_end[limb.end] = at; }
};

// A limb gives way to two that it kept out, if their far ends are alone and they score more together. See _giving_way().
void give_way(const std::vector<Limb>& limbs, Chosen& chosen) {
    Chosen other;  // the best from a start to an end that is alone, and the best to an end from a start that is
    static thread_local std::vector<int32_t> kept;
    kept.clear();
    for (int32_t i = 0; i < (int32_t)limbs.size(); i++) {
        const Limb limb = limbs[i];
        if (chosen.has(limb, i)) kept.push_back(i);
        else if (chosen.by_end[limb.end] < 0) { if (other.by_start[limb.start] < 0) other.by_start[limb.start] = i; }
        else if (chosen.by_start[limb.start] < 0) { if (other.by_end[limb.end] < 0) other.by_end[limb.end] = i; }
    }
    for (const int32_t i : kept) {
        const int32_t from = other.by_start[limbs[i].start], to = other.by_end[limbs[i].end];
        if (from < 0 || to < 0 || chosen.by_end[limbs[from].end] >= 0 || chosen.by_start[limbs[to].start] >= 0) continue;
        if (limbs[from].score + limbs[to].score > limbs[i].score) chosen.take(limbs[from], from), chosen.take(limbs[to], to);
    }
}

// Best first, and each peak once.
void join(std::vector<Limb>& limbs, const int32_t* joints, People& people) {
    Chosen chosen;
    std::sort(limbs.begin(), limbs.end(), [](Limb a, Limb b) { return better(a, b); });
    size_t count = 0;
    for (int32_t i = 0; i < (int32_t)limbs.size(); i++)
        if (chosen.free(limbs[i])) chosen.take(limbs[i], i), count++;
    if (count < limbs.size()) give_way(limbs, chosen);
    for (int32_t i = 0; i < (int32_t)limbs.size(); i++)
        if (chosen.has(limbs[i], i))
            people.join((int32_t)(joints[0] * STRIDE) + limbs[i].start, (int32_t)(joints[1] * STRIDE) + limbs[i].end,
                        limbs[i].score);
}

// A limb in OpenPose's order, that of all pairs: by its score and a tenth of its joints'.
struct Ranked {
    float total, score;
    int32_t place;  // in the order of pairs, starts and ends
    int32_t start, end;
};

void rank(const std::vector<Limb>& limbs, const int32_t* joints, const Peaks& peaks, std::vector<Ranked>& to) {
    for (const Limb& limb : limbs) {
        const int32_t start = (int32_t)(joints[0] * STRIDE) + limb.start, end = (int32_t)(joints[1] * STRIDE) + limb.end;
        const float total = limb.score + 0.1f * peaks.scores[start] + 0.1f * peaks.scores[end];
        to.push_back({total, limb.score, (int32_t)to.size(), start, end});
    }
}

void join(std::vector<Ranked>& limbs, People& people) {
    std::sort(limbs.begin(), limbs.end(),
              [](const Ranked& a, const Ranked& b) { return a.total != b.total ? a.total > b.total : a.place < b.place; });
    for (const Ranked& limb : limbs) people.join(limb.start, limb.end, limb.score);
}

struct Output {
    float *xy, *joint_scores, *scores;  // [n, joints, 2], [n, joints], [n]
};

// One person's row, and its score.
float write(const People& people, const Peaks& peaks, int32_t first, int64_t joints, float* xy, float* joint_scores) {
    std::fill(xy, xy + 2 * joints, 0.0f), std::fill(joint_scores, joint_scores + joints, 0.0f);
    for (int32_t peak = first; peak >= 0; peak = people.next[peak]) {
        const int64_t joint = peak / STRIDE;
        xy[2 * joint] = peaks.x[peak], xy[2 * joint + 1] = peaks.y[peak], joint_scores[joint] = peaks.scores[peak];
    }
    const double total = std::accumulate(joint_scores, joint_scores + joints, 0.0);
    const Person& person = people.persons[first];
    return (float)((total + person.support) / __builtin_popcountll(person.joints));
}

struct Row {
    float score;
    int32_t first;  // peak
};

// People of enough parts who score enough, best first, ties to the lower of their first peaks.
int64_t write(const People& people, const Peaks& peaks, int64_t min_parts, float min_score, const Output& to) {
    static thread_local std::vector<Row> rows;
    static thread_local std::vector<uint8_t> seen;
    const int64_t joints = peaks.counts.size();
    rows.clear(), seen.assign(people.persons.size(), 0);
    for (int64_t joint = 0; joint < joints; joint++)
        for (int64_t i = joint * STRIDE; i < joint * STRIDE + peaks.counts[joint]; i++) {
            const int32_t owner = people.owners[i];
            if (seen[owner] || __builtin_popcountll(people.persons[owner].joints) < min_parts) continue;
            seen[owner] = 1;
            const float score = write(people, peaks, owner, joints, to.xy, to.joint_scores);  // overwritten below
            if (score >= min_score) rows.push_back({score, owner});
        }
    std::stable_sort(rows.begin(), rows.end(), [](Row a, Row b) { return a.score > b.score; });
    for (size_t i = 0; i < rows.size(); i++)
        to.scores[i] = write(people, peaks, rows[i].first, joints, to.xy + 2 * i * joints, to.joint_scores + i * joints);
    return rows.size();
}

}  // namespace

#define OP "paf.inc"
#include "levels.h"

// heatmaps [joints, height, width], joints at most 64; pafs [channels, height, width]; limbs [pairs, 4]: first and second joint,
// channel of x, of y. near and faint: see LimbRule. xy, joint_scores, scores: room for joints * 127 / min_parts people, and at
// least for one. Returns how many there are.
EXPORT int64_t vedette_paf(const float* heatmaps, const float* pafs, int64_t joints, int64_t height, int64_t width,
                           const int32_t* limbs, int64_t pairs, int64_t window, int64_t openpose, int64_t samples,
                           int64_t min_parts, float peak_threshold, float cell, float sample_threshold, float share, float near,
                           float faint, float min_score, float* xy, float* joint_scores, float* scores) {
    static thread_local Peaks peaks;
    static thread_local People people;
    static thread_local std::vector<Limb> found;
    static thread_local std::vector<Ranked> ranked;
    const PeakRule peak_rule = {peak_threshold, (int32_t)window, openpose != 0};
    const LimbRule limb_rule = {cell, sample_threshold, share, near, faint, (int32_t)samples};
    peaks.clear(joints);
    for (int64_t joint = 0; joint < joints; joint++) {
        const Heatmap map = {heatmaps + joint * height * width, (int)width, (int)height};
        if (openpose) PICK(find_peaks<true>)(map, joint, peak_rule, peaks);
        else PICK(find_peaks<false>)(map, joint, peak_rule, peaks);
    }
    people.begin(peaks), ranked.clear();
    for (int64_t pair = 0; pair < pairs; pair++) {
        const int32_t* limb = limbs + 4 * pair;
        found.clear();
        PICK(score_limbs)(pafs, height, width, limb, peaks, limb_rule, found);
        if (openpose) rank(found, limb, peaks, ranked);
        else join(found, limb, people);
    }
    join(ranked, people);
    return write(people, peaks, min_parts, min_score, {xy, joint_scores, scores});
}
