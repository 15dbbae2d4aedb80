// LANES floats or ints side by side, by the compiler's vector extensions. Included once per level; no include guard.
typedef float Floats __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t Ints __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static inline Floats load(const float* from) { return *(const Floats*)from; }
static inline Ints load(const int32_t* from) { return *(const Ints*)from; }
static inline void store(float* to, Floats values) { *(Floats*)to = values; }
static inline void store(int32_t* to, Ints values) { *(Ints*)to = values; }
static inline Floats all(float value) { return Floats{} + value; }

// Whether any lane of a comparison holds.
static inline bool any(Ints mask) {
#if LANES == 16
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif LANES == 8
    return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#else
    return (mask[0] | mask[1] | mask[2] | mask[3]) != 0;
#endif
}
