// What the two forms of a network share: where its weights lie in theta, how a range is cut, and the activations.
#pragma once

#include <algorithm>
#include <vector>

#include "job.hpp"
#include "simd.hpp"

namespace spinode {
namespace SPINODE_ISA {

// One affine layer inside theta: matrix (rows, columns), row by row, then the bias.
struct Affine {
    int rows, columns;
    int64_t offset;
    int64_t bias() const { return offset + int64_t(rows) * columns; }
};

struct Layers {
    std::vector<Affine> hidden;
    Affine out, skip;  // skip has no columns where the field has none

    explicit Layers(const Field& field) {
        int64_t at = 0;
        int width = field.inputs();
        const auto next = [&](int rows, int columns) {
            const Affine layer{rows, columns, at};
            at += int64_t(rows) * (columns + 1);
            return layer;
        };
        for (int rows : field.hidden) hidden.push_back(next(rows, width)), width = rows;
        out = next(field.rates, width);
        skip = field.skip ? next(field.rates, field.inputs()) : Affine{field.rates, 0, at};
    }
};

// First elements of the even parts of 0 .. count that are no longer than `most`, and the end.
inline std::vector<int> cut(int count, int most) {
    const int parts = (count + most - 1) / most;
    std::vector<int> firsts;
    for (int i = 0; i <= parts; ++i) firsts.push_back(parts ? int(int64_t(count) * i / parts) : 0);
    return firsts;
}

// values = a(values); SiLU leaves its slopes, which its values do not determine, in `slopes`.
template <class T>
inline void activate(Activation kind, T* values, T* slopes, int64_t count) {
    constexpr int N = LANES<T>;
    switch (kind) {
        case TANH:
            for (int64_t i = 0; i < count; i += N) store<T>(values + i, tanh(load(values + i)));
            break;
        case SILU:
            for (int64_t i = 0; i < count; i += N) {
                const Vec<T> z = load(values + i), s = sigmoid<T>(z);
                store<T>(values + i, z * s);
                store<T>(slopes + i, s * (T(1) + z * (T(1) - s)));
            }
            break;
        case SOFTPLUS:
            for (int64_t i = 0; i < count; i += N) store<T>(values + i, softplus<T>(load(values + i)));
            break;
        case RELU:
            for (int64_t i = 0; i < count; i += N) {
                const Vec<T> z = load(values + i);
                store<T>(values + i, z < T(0) ? Vec<T>{} : z);
            }
            break;
    }
}

// adjoints *= a'(z), from the values a(z), or from the slopes.
template <class T>
inline void differentiate(Activation kind, const T* values, const T* slopes, T* adjoints, int64_t count) {
    constexpr int N = LANES<T>;
    switch (kind) {
        case TANH:
            for (int64_t i = 0; i < count; i += N) {
                const Vec<T> a = load(values + i);
                store<T>(adjoints + i, load(adjoints + i) * (T(1) - a * a));
            }
            break;
        case SILU:
            for (int64_t i = 0; i < count; i += N) store<T>(adjoints + i, load(adjoints + i) * load(slopes + i));
            break;
        case SOFTPLUS:
            for (int64_t i = 0; i < count; i += N) {
                const Vec<T> a = load(values + i), s = T(1) - exponential<T>(-a);
                store<T>(adjoints + i, load(adjoints + i) * (a > T(20) ? splat(T(1)) : s));
            }
            break;
        case RELU:
            for (int64_t i = 0; i < count; i += N) {
                const Vec<T> a = load(values + i);
                store<T>(adjoints + i, a > T(0) ? load(adjoints + i) : Vec<T>{});
            }
            break;
    }
}

}  // namespace SPINODE_ISA
}  // namespace spinode
