// The network with the batch in the lanes: features x lanes, the lanes innermost, REGS registers wide. Every weight is
// broadcast to a block of rows whose sums stay in registers.
#pragma once

#include <array>

#include "layers.hpp"

namespace spinode {
namespace SPINODE_ISA {

// Rows whose sums are kept in registers at once: as many as fit next to the inputs and one weight.
constexpr int most_rows(int regs) { return std::min(16, (SPINODE_REGISTERS - regs - (SPINODE_REGISTERS > 16 ? 4 : 2)) / regs); }

// Sides of the square of weights whose gradients are summed at once.
constexpr int SQUARE = SPINODE_REGISTERS > 16 ? 5 : 3;

// sum over slots and lanes of d[a] x[b], for A rows of d and B rows of x, `apart` from each other, of which `width` lanes
// count, onto A * B registers at `total`.
template <class T, int A, int B>
void add_products(int width, int apart, const T* d, int64_t d_step, const T* x, int64_t x_step, int64_t count, T* total) {
    constexpr int N = LANES<T>;
    Vec<T> sums[A][B];
    each<A>([&](auto a)
                SPINODE_INLINE { each<B>([&](auto b) SPINODE_INLINE { sums[a][b] = load(total + (a * B + b) * N); }); });
    for (int64_t i = 0; i < count; ++i, d += d_step, x += x_step) {
        for (int v = 0; v < width; v += N) {
            Vec<T> left[A];
            each<A>([&](auto a) SPINODE_INLINE { left[a] = load(d + a * apart + v); });
            each<B>([&](auto b) SPINODE_INLINE {
                const Vec<T> right = load(x + b * apart + v);
                each<A>([&](auto a) SPINODE_INLINE { sums[a][b] += left[a] * right; });
            });
        }
    }
    each<A>([&](auto a)
                SPINODE_INLINE { each<B>([&](auto b) SPINODE_INLINE { store<T>(total + (a * B + b) * N, sums[a][b]); }); });
}

template <class T>
using Products = void (*)(int, int, const T*, int64_t, const T*, int64_t, int64_t, T*);

template <class T, int... I>
constexpr std::array<Products<T>, sizeof...(I)> products_table(std::integer_sequence<int, I...>) {
    return {&add_products<T, I / SQUARE + 1, I % SQUARE + 1>...};
}

template <class T>
inline Products<T> products_of(int a, int b) {
    static constexpr auto table = products_table<T>(std::make_integer_sequence<int, SQUARE * SQUARE>{});
    return table[(a - 1) * SQUARE + b - 1];
}

template <class T, int REGS>
class LaneNet {
  public:
    static constexpr int N = LANES<T>, W = N * REGS;

    LaneNet(const Field& field, const T* theta, bool adjoint) : w_(field, theta, adjoint, room) {
        if (!adjoint) return;
        w_.every_layer([&](const Affine& layer, int64_t delta, int64_t values) {
            sums_.push_back(Sums{layer, delta, values, cut(layer.rows, SQUARE), cut(layer.columns, SQUARE), {}, {}});
            sums_.back().matrix.clear(size_t(layer.rows) * layer.columns * N);
            sums_.back().bias.clear(size_t(layer.rows) * N);
        });
    }

    static int64_t slot_of(const Field& field) { return Wired<T, Packed>(field, nullptr, false, room).slot; }

    // Values that one evaluation leaves for its adjoint, and that its adjoint leaves for the weights' gradients.
    int64_t slot() const { return w_.slot; }
    int64_t delta_slot() const { return w_.delta_slot; }

    // f(z) of the inputs z = (x, u) at the start of the slot.
    void eval(T* slot, T* rates) const {
        const T* in = slot;
        for (size_t l = 0; l < w_.forward.size(); ++l) {
            T* out = slot + w_.values[l];
            w_.forward[l].apply(in, w_.forward[l].columns, nullptr, 0, out);
            activate<T>(w_.field.activation, out, slot + w_.slopes[l], int64_t(w_.forward[l].rows) * W);
            in = out;
        }
        const int chain = w_.field.state - w_.field.rates;
        w_.out.apply(in, w_.layers.out.columns, slot, w_.layers.skip.columns, rates + int64_t(chain) * W);
        for (int j = 0; j < chain; ++j)
            for (int i = 0; i < W; i += N)
                store<T>(rates + j * W + i, load(slot + (j + w_.field.rates) * W + i) * T(w_.field.ratios[j]));
    }

    // Adjoint of the inputs for the adjoint of the rates; the part that the weights need goes to `deltas`.
    void back(const T* slot, const T* adjoint, T* deltas, T* inputs) const {
        const int depth = int(w_.forward.size()), chain = w_.field.state - w_.field.rates;
        T* top = deltas + w_.deltas[depth];
        std::copy(adjoint + int64_t(chain) * W, adjoint + int64_t(w_.field.state) * W, top);
        for (int l = depth - 1; l >= 0; --l) {
            T* delta = deltas + w_.deltas[l];
            w_.backward[l].apply(deltas + w_.deltas[l + 1], w_.backward[l].columns, nullptr, 0, delta);
            differentiate<T>(w_.field.activation, slot + w_.values[l], slot + w_.slopes[l], delta,
                             int64_t(w_.forward[l].rows) * W);
        }
        w_.in.apply(deltas + w_.deltas[0], w_.forward[0].rows, top, w_.layers.skip.columns ? w_.field.rates : 0, inputs);
        for (int j = 0; j < chain; ++j)
            for (int i = 0; i < W; i += N) {
                T* p = inputs + (j + w_.field.rates) * W + i;
                store<T>(p, load(p) + load(adjoint + j * W + i) * T(w_.field.ratios[j]));
            }
    }

    // Gradients of the weights from `count` evaluations.
    void accumulate(const T* slots, const T* deltas, int64_t count) {
        for (Sums& s : sums_) {
            T* total = s.matrix.get();
            for (size_t i = 0; i + 1 < s.rows.size(); ++i)
                for (size_t j = 0; j + 1 < s.columns.size(); ++j) {
                    const int a = s.rows[i + 1] - s.rows[i], b = s.columns[j + 1] - s.columns[j];
                    products_of<T>(a, b)(W, W, deltas + s.delta + s.rows[i] * W, w_.delta_slot,
                                         slots + s.values + s.columns[j] * W, w_.slot, count, total);
                    total += a * b * N;
                }
            for (int r = 0; r < s.layer.rows; ++r) {
                // As many sums as registers of a row: one alone would wait for itself.
                Vec<T> sums[REGS] = {load(s.bias.get() + r * N)};
                const T* d = deltas + s.delta + r * W;
                for (int64_t c = 0; c < count; ++c, d += w_.delta_slot)
                    each<REGS>([&](auto v) SPINODE_INLINE { sums[v] += load(d + v * N); });
                Vec<T> sum = sums[0];
                for (int v = 1; v < REGS; ++v) sum += sums[v];
                store<T>(s.bias.get() + r * N, sum);
            }
        }
    }

    // Adds the gradients to a total laid out like theta, and resets them.
    void collect(double* total) {
        for (Sums& s : sums_) {
            T* part = s.matrix.get();
            const auto take = [&](double& where) {
                for (int i = 0; i < N; ++i) where += part[i], part[i] = 0;
                part += N;
            };
            for (size_t i = 0; i + 1 < s.rows.size(); ++i)
                for (size_t j = 0; j + 1 < s.columns.size(); ++j)
                    for (int r = s.rows[i]; r < s.rows[i + 1]; ++r)
                        for (int k = s.columns[j]; k < s.columns[j + 1]; ++k)
                            take(total[s.layer.offset + int64_t(r) * s.layer.columns + k]);
            part = s.bias.get();
            for (int r = 0; r < s.layer.rows; ++r) take(total[s.layer.bias() + r]);
        }
    }

    // A layer of the network: its place in theta, in the deltas, and of its inputs in a slot; and its gradients so far.
    struct Sums {
        Affine layer;
        int64_t delta, values;
        std::vector<int> rows, columns;
        Buffer<T> matrix, bias;
    };
    const std::vector<Sums>& sums() const { return sums_; }

  private:
    static constexpr int MOST = most_rows(REGS);

    static int64_t room(int64_t rows) { return rows * W; }

    // out[r] = bias[r] + sum over the columns of two segments of inputs, for R rows.
    template <int R>
    static void rows_of(const T* w, const T* bias, const T* a, int ka, const T* b, int kb, T* out) {
        Vec<T> sums[R][REGS];
        each<R>([&](auto r) SPINODE_INLINE { each<REGS>([&](auto v) SPINODE_INLINE { sums[r][v] = splat(bias[r]); }); });
        const auto segment = [&](const T* x, int count) SPINODE_INLINE {
            for (int k = 0; k < count; ++k, w += R, x += W) {
                Vec<T> in[REGS];
                each<REGS>([&](auto v) SPINODE_INLINE { in[v] = load(x + v * N); });
                each<R>([&](auto r) SPINODE_INLINE {
                    const Vec<T> weight = splat(w[r]);
                    each<REGS>([&](auto v) SPINODE_INLINE { sums[r][v] += weight * in[v]; });
                });
            }
        };
        segment(a, ka);
        if (kb) segment(b, kb);
        each<R>([&](auto r)
                    SPINODE_INLINE { each<REGS>([&](auto v) SPINODE_INLINE { store<T>(out + r * W + v * N, sums[r][v]); }); });
    }

    using Rows = void (*)(const T*, const T*, const T*, int, const T*, int, T*);

    template <int... I>
    static constexpr std::array<Rows, sizeof...(I)> rows_table(std::integer_sequence<int, I...>) {
        return {&rows_of<I + 1>...};
    }

    // A matrix in blocks of rows, each column by column.
    struct Packed {
        int rows = 0, columns = 0;
        std::vector<int> firsts;
        Buffer<T> weights, biases;

        Packed() = default;
        template <class Matrix, class Bias>
        Packed(int rows, int columns, const Matrix& matrix, const Bias& bias)
            : rows(rows), columns(columns), firsts(cut(rows, MOST)), weights(size_t(rows) * columns), biases(rows) {
            T* w = weights.get();
            for (size_t i = 0; i + 1 < firsts.size(); ++i)
                for (int k = 0; k < columns; ++k)
                    for (int r = firsts[i]; r < firsts[i + 1]; ++r) *w++ = matrix(r, k);
            for (int r = 0; r < rows; ++r) biases[r] = bias(r);
        }

        void apply(const T* a, int ka, const T* b, int kb, T* out) const {
            static constexpr auto table = rows_table(std::make_integer_sequence<int, MOST>{});
            for (size_t i = 0; i + 1 < firsts.size(); ++i) {
                const int first = firsts[i], count = firsts[i + 1] - first;
                table[count - 1](weights.get() + int64_t(first) * columns, biases.get() + first, a, ka, b, kb,
                                 out + int64_t(first) * W);
            }
        }
    };

    Wired<T, Packed> w_;
    std::vector<Sums> sums_;
};

}  // namespace SPINODE_ISA
}  // namespace spinode
