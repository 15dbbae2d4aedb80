// Which of an op's compiled levels this processor runs: 0 baseline (NEON on ARM), 1 AVX2, 2 AVX-512. See levels.h.
#pragma once
#define EXPORT extern "C" __attribute__((visibility("default")))

namespace vedette {
extern const int level;
}
