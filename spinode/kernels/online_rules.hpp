// The updates of online learning, on the weights of one register. A rule contains its constants; `at` points to the arrays of a
// row. `gradient` is dC/dm in the mean of a weight, `spread` twice dC/dv in its variance, both times the scale that the rule
// asks for. Each function gives mean and variance of the weights for the next sample. `gate` and `normalised` say what the
// units do. A rule with `scratch` has as many more arrays behind its first, which `read` fills; one that `skips` changes
// nothing in a step without gradients.
#pragma once

#include "simd.hpp"

namespace spinode {
namespace SPINODE_ISA {

template <class T>
struct Row {
    T* at[5];
};

template <class T>
struct Weights {
    Vec<T> mean, variance;
};

// Numbers: rate, penalty, decay of the stream. Arrays: weight, importance, anchor, Fisher information, path; the last two or
// none.
template <class T, int PENALTY>
struct Descent {
    static constexpr bool draws = false, quick = false, gate = false, normalised = false, skips = false;
    static constexpr int scratch = 0;
    T rate, penalty, decay, gradient_scale = 1, spread_scale = 0;

    explicit Descent(const std::array<double, 6>& n) : rate(T(n[0])), penalty(T(n[1])), decay(T(n[2])) {}

    bool idle(T gradient, T) const { return PENALTY == 0 && gradient == 0; }

    SPINODE_INLINE Weights<T> read(const Row<T>& row, int64_t j) const { return {load(row.at[0] + j), Vec<T>{}}; }

    template <bool QUICK>
    SPINODE_INLINE Weights<T> update(const Row<T>& row, int64_t j, Vec<T> gradient, Vec<T>) const {
        const Vec<T> weight = load(row.at[0] + j);
        Vec<T> change = gradient;
        if constexpr (PENALTY != 0) {
            const Vec<T> importance = load(row.at[1] + j);
            change += penalty * importance * (weight - load(row.at[2] + j));
            if constexpr (PENALTY == 2) {
                store(row.at[1] + j, decay * importance + gradient * gradient);
                store(row.at[2] + j, weight);
            }
        }
        change = -rate * change;
        if (row.at[3]) store(row.at[3] + j, load(row.at[3] + j) + gradient * gradient);
        if (row.at[4]) store(row.at[4] + j, load(row.at[4] + j) - gradient * change);
        const Vec<T> moved = weight + change;
        store(row.at[0] + j, moved);
        return {moved, Vec<T>{}};
    }
};

// Numbers: rates of mean and sigma, mean and sigma of the prior, 1 / memory, clamp. Arrays: mean, sigma.
// With dC/dsigma = sigma spread, both updates are sigma^2 times something: no division is needed, nor for gradients that are
// cut to +-clamp / |sigma|, as sigma^2 cut(g) = sigma cut'(sigma g) with the cut' at +-clamp.
template <class T, bool CLAMP>
struct Mesu {
    static constexpr bool draws = true, quick = false, gate = false, normalised = false, skips = false;
    static constexpr int scratch = 0;
    T gradient_scale, spread_scale, pull, target, grow, shrink, most_mean, most_sigma;

    explicit Mesu(const std::array<double, 6>& n) {
        const double forget = n[4] / (n[3] * n[3]), half = n[1] / 2;
        gradient_scale = T(n[0]), spread_scale = T(half);
        pull = T(n[0] * forget), target = T(n[0] * forget * n[2]);
        grow = T(half * n[4]), shrink = T(half * forget);
        most_mean = T(n[0] * n[5]), most_sigma = T(half * n[5]);
    }

    bool idle(T gradient, T spread) const { return gradient == 0 && spread == 0 && pull == 0 && shrink == 0; }

    SPINODE_INLINE Weights<T> read(const Row<T>& row, int64_t j) const {
        const Vec<T> sigma = load(row.at[1] + j);
        return {load(row.at[0] + j), sigma * sigma};
    }

    static SPINODE_INLINE Vec<T> cut(Vec<T> value, T most) {
        value = value > most ? splat(most) : value;
        return value < -most ? splat(-most) : value;
    }

    template <bool QUICK>
    SPINODE_INLINE Weights<T> update(const Row<T>& row, int64_t j, Vec<T> gradient, Vec<T> spread) const {
        Vec<T> mean = load(row.at[0] + j), sigma = load(row.at[1] + j);
        const Vec<T> square = sigma * sigma;
        if constexpr (CLAMP) {
            mean -= sigma * cut(sigma * gradient, most_mean) + square * (pull * mean - target);
            sigma += sigma * (grow - square * shrink - cut(square * spread, most_sigma));
        } else {
            mean -= square * (gradient - target + pull * mean);
            sigma += sigma * (grow - square * (spread + shrink));
        }
        store(row.at[0] + j, mean);
        store(row.at[1] + j, sigma);
        return {mean, sigma * sigma};
    }
};

// Numbers: rate of the mean. Arrays: mean, sigma. With u = sigma^2 spread / 2; QUICK: |u| <= 1 / 8, where a root is not needed.
template <class T, bool PUBLISHED>
struct Bgd {
    static constexpr bool draws = true, quick = std::is_same_v<T, float>, gate = false, normalised = false, skips = false;
    static constexpr int scratch = 0;
    T gradient_scale, spread_scale = T(0.5);

    explicit Bgd(const std::array<double, 6>& n) : gradient_scale(T(n[0])) {}

    bool idle(T gradient, T spread) const { return gradient == 0 && spread == 0; }

    SPINODE_INLINE Weights<T> read(const Row<T>& row, int64_t j) const {
        const Vec<T> sigma = load(row.at[1] + j);
        return {load(row.at[0] + j), sigma * sigma};
    }

    template <bool QUICK>
    SPINODE_INLINE Weights<T> update(const Row<T>& row, int64_t j, Vec<T> gradient, Vec<T> spread) const {
        Vec<T> sigma = load(row.at[1] + j);
        const Vec<T> square = sigma * sigma, mean = load(row.at[0] + j) - square * gradient;
        const Vec<T> u = square * spread, q = u * u;
        if constexpr (QUICK && quick) {
            const Vec<T> more = q * (q * (q * T(0.0625) - T(0.125)) + T(0.5));  // sqrt(1 + q) - 1, next term q^4 / 26 < 3e-9
            sigma = PUBLISHED ? sigma - sigma * (u + more) : sigma + sigma * (more - u);
        } else {
            const Vec<T> length = root(q + T(1)), most = length + (u < T(0) ? -u : u);
            sigma *= PUBLISHED ? T(2) - u - length : (u > T(0) ? T(1) / most : most);
        }
        store(row.at[0] + j, mean);
        store(row.at[1] + j, sigma);
        return {mean, sigma * sigma};
    }
};

// The relaxed weight w = tanh(l + xi) with 2 xi the logit of a uniform number, of which tanh(xi) = y is uniform on -1 .. 1, so
// that w = (t + y) / (1 + t y) with t = tanh(l). With q = 1 - t^2 and
//     E = (l / t - 1) / t^2 = sum_k t^2k / (2k + 3),    H = (E - 1/3) / t^2 = sum_k t^2k / (2k + 5)
// its mean is t (1 - q E), of derivative 2 q E in l; its variance q (1 - (2 + t^2 E) q E), of derivative 2 q t (3 (H - E) + 2 q
// E^2). None of them loses digits as |t| approaches 1. H takes its series where dividing by t^4 would cost digits.
template <class T>
struct Relaxed {
    static constexpr bool single = std::is_same_v<T, float>;
    static constexpr T from = single ? T(0.5) : T(0.25);  // of t^2: here the closed form begins
    static constexpr int terms = 24;
    static constexpr T most = std::is_same_v<T, float> ? T(8) : T(20);  // where tanh() ends
    Vec<T> t, square, q, e, h, shrink;                                  // shrink: q E

    SPINODE_INLINE Relaxed(Vec<T> t, Vec<T> h, int) : t(t), square(t * t), h(h) { derive(); }
    SPINODE_INLINE Relaxed(Vec<T> l, Vec<T> t) : t(t), square(t * t) {
        l = l > most ? splat(most) : l;
        l = l < -most ? splat(-most) : l;
        Vec<T> series;
        if constexpr (single) {  // least largest error of this degree on 0 .. 1/2: 1e-7, made by Chebyshev's points
            constexpr T c[8] = {T(0.199999934),   T(0.142873476), T(0.110455177),  T(0.100813951),
                                T(0.00494934098), T(0.341058243), T(-0.482790171), T(0.519570769)};
            series = splat(c[7]);
#pragma GCC unroll 7
            for (int k = 6; k >= 0; --k) series = series * square + c[k];
        } else {
            series = splat(T(1) / T(2 * terms + 3));
#pragma GCC unroll 24
            for (int k = terms - 2; k >= 0; --k) series = series * square + T(1) / T(2 * k + 5);
        }
        const Vec<T> inverse = T(1) / (square < from ? splat(T(1)) : t), twice = inverse * inverse;
        const Vec<T> closed = ((l * inverse - T(1)) * twice - T(1) / T(3)) * twice;
        h = square < from ? series : closed;
        derive();
    }
    SPINODE_INLINE void derive() {
        q = T(1) - square;
        q = q < T(0) ? Vec<T>{} : q;
        e = square * h + T(1) / T(3);
        shrink = q * e;
    }
    SPINODE_INLINE Weights<T> weights() const {
        const Vec<T> variance = q * (T(1) - (T(2) + square * e) * shrink);
        return {t * (T(1) - shrink), variance < T(0) ? Vec<T>{} : variance};
    }
    // dC/dl from dC/dm and 2 dC/dv.
    SPINODE_INLINE Vec<T> slope(Vec<T> gradient, Vec<T> spread) const {
        return T(2) * shrink * gradient + q * t * (T(3) * (h - e) + T(2) * shrink * e) * spread;
    }
};

// Numbers: rate, greatest rate, weights of evidence and prior, 1 / memory. Arrays: lambda; and its hyperbolic tangent, and of
// relaxed weights H, kept from one step to the next. RELAXED: mean and variance of the pre-activations are those of relaxed
// weights, else of binary ones.
template <class T, bool GATE, bool NORMALISED, bool RELAXED>
struct Bimu {
    static constexpr bool draws = true, quick = false, gate = GATE, normalised = NORMALISED, skips = true;
    static constexpr int scratch = RELAXED ? 2 : 1;
    T gradient_scale, spread_scale, rate, kl, forget, least;

    explicit Bimu(const std::array<double, 6>& n)
        : gradient_scale(T(n[2])), spread_scale(T(n[2])), rate(T(n[0])), kl(T(n[3])), forget(T(n[4])), least(T(1 / n[1])) {}

    bool idle(T, T) const { return false; }

    static SPINODE_INLINE Weights<T> keep(const Row<T>& row, int64_t j, Vec<T> value) {
        const Vec<T> mean = tanh(value);
        store(row.at[1] + j, mean);
        if constexpr (RELAXED) {
            const Relaxed<T> relaxed(value, mean);
            store(row.at[2] + j, relaxed.h);
            return relaxed.weights();
        }
        return {mean, T(1) - mean * mean};
    }

    SPINODE_INLINE Weights<T> read(const Row<T>& row, int64_t j) const { return keep(row, j, load(row.at[0] + j)); }

    template <bool QUICK>
    SPINODE_INLINE Weights<T> update(const Row<T>& row, int64_t j, Vec<T> gradient, Vec<T> spread) const {
        Vec<T> value = load(row.at[0] + j);
        const Vec<T> mean = load(row.at[1] + j), variance = T(1) - mean * mean, s = kl * variance;
        Vec<T> g;
        if constexpr (RELAXED) {
            g = Relaxed<T>(mean, load(row.at[2] + j), 0).slope(gradient, spread);
        } else {
            g = variance * (gradient - mean * spread);
        }
        value -= (rate * g + forget * s * value) / (s + T(2) * (g * mean + (g < T(0) ? -g : g)) + least);
        store(row.at[0] + j, value);
        return keep(row, j, value);
    }
};

}  // namespace SPINODE_ISA
}  // namespace spinode
