// The network of one device: features in the lanes, so that a single rollout, which is bound by latency, fills the registers.
// Same interface as LaneNet, with one lane; vectors are padded to whole registers, and written beyond their end by up to one.
#pragma once

#include "layers.hpp"

namespace spinode {
namespace SPINODE_ISA {

template <class T>
class RowNet {
  public:
    static constexpr int N = LANES<T>, W = 1;

    RowNet(const Field& field, const T* theta, bool adjoint)
        : w_(field, theta, adjoint, padded), inputs_(padded(field.inputs())) {
        if (!adjoint) return;
        w_.every_layer([&](const Affine& layer, int64_t delta, int64_t values) {
            sums_.push_back(Sums{layer, delta, values, {}});
            sums_.back().total.clear(padded(layer.rows) * (layer.columns + 1));
        });
    }

    static int64_t slot_of(const Field& field) { return Wired<T, Columns>(field, nullptr, false, padded).slot; }

    int64_t slot() const { return w_.slot; }
    int64_t delta_slot() const { return w_.delta_slot; }

    void eval(T* slot, T* rates) const {
        const T* in = slot;
        for (size_t l = 0; l < w_.forward.size(); ++l) {
            T* out = slot + w_.values[l];
            if (w_.field.activation == TANH) {
                w_.forward[l].template apply<true>(in, w_.forward[l].columns, nullptr, 0, out);
            } else {
                w_.forward[l].apply(in, w_.forward[l].columns, nullptr, 0, out);
                activate<T>(w_.field.activation, out, slot + w_.slopes[l], padded(w_.forward[l].rows));
            }
            in = out;
        }
        const int chain = w_.field.state - w_.field.rates;
        w_.out.apply(in, w_.layers.out.columns, slot, w_.layers.skip.columns, rates + chain);
        for (int j = 0; j < chain; ++j) rates[j] = slot[j + w_.field.rates] * T(w_.field.ratios[j]);
    }

    void back(const T* slot, const T* adjoint, T* deltas, T* inputs) const {
        const int depth = int(w_.forward.size()), chain = w_.field.state - w_.field.rates;
        T* top = deltas + w_.deltas[depth];
        std::fill(top, top + padded(w_.field.rates), T(0));
        std::copy(adjoint + chain, adjoint + w_.field.state, top);
        for (int l = depth - 1; l >= 0; --l) {
            T* delta = deltas + w_.deltas[l];
            w_.backward[l].apply(deltas + w_.deltas[l + 1], w_.backward[l].columns, nullptr, 0, delta);
            differentiate<T>(w_.field.activation, slot + w_.values[l], slot + w_.slopes[l], delta, padded(w_.forward[l].rows));
        }
        w_.in.apply(deltas + w_.deltas[0], w_.forward[0].rows, top, w_.layers.skip.columns ? w_.field.rates : 0, inputs_.get());
        for (int j = 0; j < w_.field.inputs(); ++j) inputs[j] = inputs_[j];
        for (int j = 0; j < chain; ++j) inputs[j + w_.field.rates] += adjoint[j] * T(w_.field.ratios[j]);
    }

    void accumulate(const T* slots, const T* deltas, int64_t count) {
        for (Sums& s : sums_) {
            const int64_t rows = padded(s.layer.rows);
            for (int64_t r = 0; r < rows; r += N) {
                const T* d = deltas + s.delta + r;
                int k = 0;
                for (; k + 8 <= s.layer.columns; k += 8)
                    s.template add<8>(d, w_.delta_slot, slots + s.values + k, w_.slot, count, k * rows + r);
                for (; k < s.layer.columns; ++k)
                    s.template add<1>(d, w_.delta_slot, slots + s.values + k, w_.slot, count, k * rows + r);
                T* bias = s.total.get() + int64_t(s.layer.columns) * rows + r;
                Vec<T> sum = load(bias);
                for (int64_t c = 0; c < count; ++c, d += w_.delta_slot) sum += load(d);
                store<T>(bias, sum);
            }
        }
    }

    void collect(double* total) {
        for (Sums& s : sums_) {
            const int64_t rows = padded(s.layer.rows);
            for (int r = 0; r < s.layer.rows; ++r) {
                for (int k = 0; k < s.layer.columns; ++k)
                    total[s.layer.offset + int64_t(r) * s.layer.columns + k] += s.total[k * rows + r];
                total[s.layer.bias() + r] += s.total[int64_t(s.layer.columns) * rows + r];
            }
            std::fill(s.total.get(), s.total.get() + rows * (s.layer.columns + 1), T(0));
        }
    }

  private:
    static int64_t padded(int64_t rows) { return (rows + N - 1) / N * N; }

    // A matrix column by column, each padded to whole registers.
    struct Columns {
        int rows = 0, columns = 0;
        Buffer<T> weights, biases;

        Columns() = default;
        template <class Matrix, class Bias>
        Columns(int rows, int columns, const Matrix& matrix, const Bias& bias) : rows(rows), columns(columns) {
            const int64_t height = padded(rows);
            weights.clear(height * columns), biases.clear(height);
            for (int k = 0; k < columns; ++k)
                for (int r = 0; r < rows; ++r) weights[k * height + r] = matrix(r, k);
            for (int r = 0; r < rows; ++r) biases[r] = bias(r);
        }

        template <bool TANHED = false>
        void apply(const T* a, int ka, const T* b, int kb, T* out) const {
            const int64_t height = padded(rows);
            int64_t r = 0;
            for (; r + 4 * N <= height; r += 4 * N) part<4, 2, TANHED>(r, height, a, ka, b, kb, out);
            switch ((height - r) / N) {
                case 3:
                    part<3, 3, TANHED>(r, height, a, ka, b, kb, out);
                    break;
                case 2:
                    part<2, 4, TANHED>(r, height, a, ka, b, kb, out);
                    break;
                case 1:
                    part<1, 8, TANHED>(r, height, a, ka, b, kb, out);
                    break;
            }
        }

        // `REGS` registers of rows. The sum over the inputs goes through CHAINS independent sums: an addition waits for the one
        // before it, and eight must be under way.
        template <int REGS, int CHAINS, bool TANHED>
        void part(int64_t r, int64_t height, const T* a, int ka, const T* b, int kb, T* out) const {
            Vec<T> sums[CHAINS][REGS];
            each<REGS>([&](auto v) SPINODE_INLINE {
                sums[0][v] = load(biases.get() + r + v * N);
                each<CHAINS - 1>([&](auto c) SPINODE_INLINE { sums[c + 1][v] = Vec<T>{}; });
            });
            const T* w = weights.get() + r;
            const auto segment = [&](const T* x, int count) SPINODE_INLINE {
                int k = 0;
                for (; k + CHAINS <= count; k += CHAINS)
                    each<CHAINS>([&](auto c) SPINODE_INLINE {
                        const Vec<T> in = splat(x[k + c]);
                        each<REGS>([&](auto v) SPINODE_INLINE { sums[c][v] += in * load(w + v * N); });
                        w += height;
                    });
                for (; k < count; ++k, w += height)
                    each<REGS>([&](auto v) SPINODE_INLINE { sums[0][v] += x[k] * load(w + v * N); });
            };
            segment(a, ka);
            if (kb) segment(b, kb);
            each<REGS>([&](auto v) SPINODE_INLINE {
                Vec<T> total = sums[0][v];
                if constexpr (CHAINS == 2) total += sums[1][v];
                if constexpr (CHAINS == 3) total += sums[1][v] + sums[2][v];
                if constexpr (CHAINS == 4) total = (total + sums[1][v]) + (sums[2][v] + sums[3][v]);
                if constexpr (CHAINS == 8)
                    total = ((total + sums[1][v]) + (sums[2][v] + sums[3][v])) +
                            ((sums[4][v] + sums[5][v]) + (sums[6][v] + sums[7][v]));
                store<T>(out + r + v * N, TANHED ? tanh(total) : total);
            });
        }
    };

    struct Sums {
        Affine layer;
        int64_t delta, values;
        Buffer<T> total;

        template <int B>
        void add(const T* d, int64_t d_step, const T* x, int64_t x_step, int64_t count, int64_t at) {
            const int64_t rows = padded(layer.rows);
            Vec<T> sums[B];
            for (int b = 0; b < B; ++b) sums[b] = load(total.get() + at + b * rows);
            for (int64_t i = 0; i < count; ++i, d += d_step, x += x_step) {
                const Vec<T> left = load(d);
                for (int b = 0; b < B; ++b) sums[b] += x[b] * left;
            }
            for (int b = 0; b < B; ++b) store<T>(total.get() + at + b * rows, sums[b]);
        }
    };

    Wired<T, Columns> w_;
    std::vector<Sums> sums_;
    mutable Buffer<T> inputs_;
};

}  // namespace SPINODE_ISA
}  // namespace spinode
