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

// The network in one of its forms: where things lie in a slot, and the matrices that take part. Matrix packs (rows, columns,
// element(r, k), bias(r)) as the form wants it; `room` is the number of values that a form gives to so many rows.
template <class T, class Matrix>
struct Wired {
    const Field& field;
    Layers layers;
    std::vector<int64_t> values, slopes, deltas;  // of each hidden layer; the last delta is that of the rates
    int64_t slot = 0, delta_slot = 0;             // values that one evaluation, and that its adjoint leaves
    std::vector<Matrix> forward, backward;
    Matrix out, in;

    template <class Room>
    Wired(const Field& field, const T* theta, bool adjoint, const Room& room) : field(field), layers(field) {
        slot = room(field.inputs());
        for (int rows : field.hidden) {
            values.push_back(slot), slot += room(rows);
            slopes.push_back(slot), slot += field.activation == SILU ? room(rows) : 0;
            deltas.push_back(delta_slot), delta_slot += room(rows);
        }
        deltas.push_back(delta_slot), delta_slot += room(field.rates);
        if (!theta) return;
        const auto element = [&](const Affine& layer) {
            return [=](int r, int k) { return theta[layer.offset + int64_t(r) * layer.columns + k]; };
        };
        for (const Affine& layer : layers.hidden)
            forward.emplace_back(layer.rows, layer.columns, element(layer), [&](int r) { return theta[layer.bias() + r]; });
        const Affine &top = layers.out, &skip = layers.skip;
        out = Matrix(
            top.rows, top.columns + skip.columns,
            [&](int r, int k) { return k < top.columns ? element(top)(r, k) : element(skip)(r, k - top.columns); },
            [&](int r) { return theta[top.bias() + r] + (skip.columns ? theta[skip.bias() + r] : T(0)); });
        if (!adjoint) return;
        // Transposed: adjoints of the hidden values from the layer above, and those of the inputs from the first layer and
        // skip.
        const auto none = [](int) { return T(0); };
        for (size_t l = 0; l < layers.hidden.size(); ++l) {
            const Affine& above = l + 1 < layers.hidden.size() ? layers.hidden[l + 1] : top;
            const auto w = element(above);
            backward.emplace_back(above.columns, above.rows, [=](int r, int k) { return w(k, r); }, none);
        }
        const Affine& first = layers.hidden[0];
        in = Matrix(
            field.inputs(), first.rows + (skip.columns ? field.rates : 0),
            [&](int r, int k) { return k < first.rows ? element(first)(k, r) : element(skip)(k - first.rows, r); }, none);
    }

    // take(layer, place of its deltas, place of its inputs' values) for every layer.
    template <class Take>
    void every_layer(const Take& take) const {
        const size_t depth = layers.hidden.size();
        for (size_t l = 0; l < depth; ++l) take(layers.hidden[l], deltas[l], l ? values[l - 1] : 0);
        take(layers.out, deltas[depth], values[depth - 1]);
        if (layers.skip.columns) take(layers.skip, deltas[depth], 0);
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
                const Vec<T> a = load(values + i), s = -exp_less<T>(-a, 1);  // exact where a, and with it the slope, is small
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
