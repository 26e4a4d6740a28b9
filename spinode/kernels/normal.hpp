// Standard normal numbers by their place: Philox4x32-10 of a counter, then Box and Muller's transform. Any of them can be had
// without those before it. Its plain-torch twin is in spinode/random.py.
//
// Sources: Salmon et al., SC11 (2011); Box and Muller, Ann. Math. Stat. 29, 610 (1958).
#pragma once

#include "simd.hpp"

namespace spinode {
namespace SPINODE_ISA {

typedef uint64_t Wide __attribute__((vector_size(SPINODE_BYTES)));
typedef uint32_t Narrow __attribute__((vector_size(SPINODE_BYTES / 2)));
constexpr int WIDE = SPINODE_BYTES / 8;

// Product of the lower halves of each number: one instruction, which a compiler does not find by itself.
SPINODE_INLINE inline Wide halves(Wide a, Wide b) {
#if defined(SPINODE_X86) && SPINODE_BYTES == 64
    return (Wide)_mm512_maskz_mul_epu32(0xFF, (__m512i)a, (__m512i)b);  // without a mask, GCC 12 warns in its own header
#elif defined(SPINODE_X86) && SPINODE_BYTES == 32
    return (Wide)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(SPINODE_X86)
    return (Wide)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
    return (a & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu);
#endif
}

// The four words of N counters (first, first + 1, ...; step, in two words; 0). In between, the upper halves hold what nobody
// reads.
template <int N>
inline void philox(uint64_t key, uint64_t first, uint64_t step, uint32_t (&words)[4][N]) {
    Wide count;
    for (int i = 0; i < WIDE; ++i) count[i] = first + uint64_t(i);
    const Wide m0 = Wide{} + 0xD2511F53u, m1 = Wide{} + 0xCD9E8D57u;
    for (int j = 0; j < N; j += WIDE, count += WIDE) {
        Wide a = count, b = Wide{} + step, c = Wide{} + (step >> 32), d{};
        uint32_t k0 = uint32_t(key), k1 = uint32_t(key >> 32);
        for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
            const Wide p = halves(a, m0), q = halves(c, m1);
            a = (q >> 32) ^ b ^ uint64_t(k0);
            c = (p >> 32) ^ d ^ uint64_t(k1);
            b = q, d = p;
        }
        const Wide four[] = {a, b, c, d};
        for (int word = 0; word < 4; ++word) {
            const Narrow low = __builtin_convertvector(four[word], Narrow);
            __builtin_memcpy(&words[word][j], &low, sizeof low);
        }
    }
}

using F = Simd<float>;

// log of a positive normal number: exponent, and the series of 2 artanh((m - 1) / (m + 1)) for m in [sqrt(1/2), sqrt(2)).
SPINODE_INLINE inline Vec<float> logarithm(Vec<float> x) {
    const F::I bits = (F::I)x - 0x3F3504F3;
    const F::I exponent = bits >> 23;
    const Vec<float> m = (Vec<float>)((bits & 0x7FFFFF) + 0x3F3504F3);
    const Vec<float> s = (m - 1.0f) / (m + 1.0f), q = s * s;
    const Vec<float> series = (((q * (2.0f / 9) + 2.0f / 7) * q + 2.0f / 5) * q + 2.0f / 3) * q + 2.0f;
    return __builtin_convertvector(exponent, Vec<float>) * 0.69314718f + series * s;
}

template <class V>
SPINODE_INLINE inline V root(V x) {
    for (size_t i = 0; i < sizeof(V) / sizeof(x[0]); ++i) x[i] = std::sqrt(x[i]);
    return x;
}

// Two normal numbers of two words: radius of the first; angle of the second, whose lowest two bits turn it by quarters.
SPINODE_INLINE inline void box_muller(const uint32_t* words, const uint32_t* turns, float* one, float* two) {
    F::I first, second;
    __builtin_memcpy(&first, words, sizeof first);
    __builtin_memcpy(&second, turns, sizeof second);
    first = (first >> 1) & 0x7FFFFFFF;
    const Vec<float> u = __builtin_convertvector(first, Vec<float>) * 0x1p-31f + 0x1p-32f;
    const Vec<float> radius = root(-2.0f * logarithm(u));
    const F::I quarter = second & 3;
    const Vec<float> t = __builtin_convertvector(second >> 2, Vec<float>) * (0.78539816f * 0x1p-29f), q = t * t;
    const Vec<float> sine = t * ((((q * 2.7557319e-6f - 1.9841270e-4f) * q + 8.3333333e-3f) * q - 0.16666667f) * q + 1.0f);
    const Vec<float> cosine = (((q * 2.4801587e-5f - 1.3888889e-3f) * q + 4.1666667e-2f) * q - 0.5f) * q + 1.0f;
    const Vec<float> x = (quarter & 1) != 0 ? sine : cosine, y = (quarter & 1) != 0 ? cosine : sine;
    const F::I minus = (quarter & 2) << 30;  // the sign bit
    store(one, radius * (Vec<float>)((F::I)x ^ minus));
    store(two, radius * (Vec<float>)((F::I)y ^ minus));
}

// Normal numbers of a step fall on four stretches of this length, to fill `count` together.
inline int64_t stretch(int64_t count) { return (count + 3) / 4; }
constexpr int COUNTERS = 32;
inline int64_t normal_space(int64_t count) { return 4 * stretch(count) + 2 * COUNTERS; }

// `out` has room for normal_space(count) numbers. Registers that reach beyond their stretch are written before what they
// disturb.
inline void normal(uint64_t key, uint64_t step, int64_t count, float* out) {
    const int64_t length = stretch(count);
    uint32_t words[4][COUNTERS];
    for (int64_t j = (length - 1) / COUNTERS * COUNTERS; j >= 0; j -= COUNTERS) {
        philox(key, uint64_t(j), step, words);
        for (int i = COUNTERS - LANES<float>; i >= 0; i -= LANES<float>)
            for (int pair = 0; pair < 4; pair += 2)
                box_muller(&words[pair][i], &words[pair + 1][i], out + pair * length + j + i,
                           out + (pair + 1) * length + j + i);
    }
}

}  // namespace SPINODE_ISA
}  // namespace spinode
