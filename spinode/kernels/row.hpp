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

    RowNet(const Field& field, const T* theta, bool adjoint) : field_(field), layers_(field) {
        const int depth = int(layers_.hidden.size()), inputs = field.inputs();
        int64_t at = padded(inputs), delta = 0;
        for (const Affine& layer : layers_.hidden) {
            values_.push_back(at), at += padded(layer.rows);
            slopes_.push_back(at), at += field.activation == SILU ? padded(layer.rows) : 0;
            deltas_.push_back(delta), delta += padded(layer.rows);
        }
        slot_ = at;
        deltas_.push_back(delta), delta += padded(field.rates);
        delta_slot_ = delta;
        rates_.clear(padded(std::max(field.rates, inputs)));

        const auto matrix = [&](const Affine& layer) {
            return [=](int r, int k) { return theta[layer.offset + int64_t(r) * layer.columns + k]; };
        };
        const auto none = [](int) { return T(0); };
        for (const Affine& layer : layers_.hidden)
            forward_.emplace_back(layer.rows, layer.columns, matrix(layer), [&](int r) { return theta[layer.bias() + r]; });
        const Affine &out = layers_.out, &skip = layers_.skip;
        out_ = Columns(
            out.rows, out.columns + skip.columns,
            [&](int r, int k) { return k < out.columns ? matrix(out)(r, k) : matrix(skip)(r, k - out.columns); },
            [&](int r) { return theta[out.bias() + r] + (skip.columns ? theta[skip.bias() + r] : T(0)); });
        if (!adjoint) return;
        for (int l = 0; l < depth; ++l) {
            const Affine& above = l + 1 < depth ? layers_.hidden[l + 1] : out;
            const auto w = matrix(above);
            backward_.emplace_back(above.columns, above.rows, [=](int r, int k) { return w(k, r); }, none);
        }
        const Affine& first = layers_.hidden[0];
        in_ = Columns(
            inputs, first.rows + (skip.columns ? field.rates : 0),
            [&](int r, int k) { return k < first.rows ? matrix(first)(k, r) : matrix(skip)(k - first.rows, r); }, none);
        const auto sums = [&](const Affine& layer, int delta, int64_t values) {
            sums_.push_back(Sums{layer, deltas_[delta], values, {}});
            sums_.back().total.clear(padded(layer.rows) * (layer.columns + 1));
        };
        for (int l = 0; l < depth; ++l) sums(layers_.hidden[l], l, l ? values_[l - 1] : 0);
        sums(out, depth, values_[depth - 1]);
        if (skip.columns) sums(skip, depth, 0);
    }

    static int64_t slot_of(const Field& field) {
        int64_t rows = padded(field.inputs());
        for (int width : field.hidden) rows += padded(width) * (field.activation == SILU ? 2 : 1);
        return rows;
    }

    int64_t slot() const { return slot_; }
    int64_t delta_slot() const { return delta_slot_; }

    void eval(T* slot, T* rates) const {
        const T* in = slot;
        for (size_t l = 0; l < forward_.size(); ++l) {
            T* out = slot + values_[l];
            if (field_.activation == TANH) {
                forward_[l].template apply<true>(in, forward_[l].columns, nullptr, 0, out);
            } else {
                forward_[l].apply(in, forward_[l].columns, nullptr, 0, out);
                activate<T>(field_.activation, out, slot + slopes_[l], padded(forward_[l].rows));
            }
            in = out;
        }
        const int chain = field_.state - field_.rates;
        out_.apply(in, layers_.out.columns, slot, layers_.skip.columns, rates + chain);
        for (int j = 0; j < chain; ++j) rates[j] = slot[j + field_.rates] * T(field_.ratios[j]);
    }

    void back(const T* slot, const T* adjoint, T* deltas, T* inputs) const {
        const int depth = int(forward_.size()), chain = field_.state - field_.rates;
        T* top = deltas + deltas_[depth];
        std::fill(top, top + padded(field_.rates), T(0));
        std::copy(adjoint + chain, adjoint + field_.state, top);
        for (int l = depth - 1; l >= 0; --l) {
            T* delta = deltas + deltas_[l];
            backward_[l].apply(deltas + deltas_[l + 1], backward_[l].columns, nullptr, 0, delta);
            differentiate<T>(field_.activation, slot + values_[l], slot + slopes_[l], delta, padded(forward_[l].rows));
        }
        in_.apply(deltas + deltas_[0], forward_[0].rows, top, layers_.skip.columns ? field_.rates : 0, rates_.get());
        for (int j = 0; j < field_.inputs(); ++j) inputs[j] = rates_[j];
        for (int j = 0; j < chain; ++j) inputs[j + field_.rates] += adjoint[j] * T(field_.ratios[j]);
    }

    void accumulate(const T* slots, const T* deltas, int64_t count) {
        for (Sums& s : sums_) {
            const int64_t rows = padded(s.layer.rows);
            for (int64_t r = 0; r < rows; r += N) {
                const T* d = deltas + s.delta + r;
                int k = 0;
                for (; k + 8 <= s.layer.columns; k += 8) s.template add<8>(d, delta_slot_, slots + s.values + k, slot_, count, k * rows + r);
                for (; k < s.layer.columns; ++k) s.template add<1>(d, delta_slot_, slots + s.values + k, slot_, count, k * rows + r);
                T* bias = s.total.get() + int64_t(s.layer.columns) * rows + r;
                Vec<T> sum = load(bias);
                for (int64_t c = 0; c < count; ++c, d += delta_slot_) sum += load(d);
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
                case 3: part<3, 3, TANHED>(r, height, a, ka, b, kb, out); break;
                case 2: part<2, 4, TANHED>(r, height, a, ka, b, kb, out); break;
                case 1: part<1, 8, TANHED>(r, height, a, ka, b, kb, out); break;
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
                    total = ((total + sums[1][v]) + (sums[2][v] + sums[3][v])) + ((sums[4][v] + sums[5][v]) + (sums[6][v] + sums[7][v]));
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

    const Field& field_;
    Layers layers_;
    std::vector<Columns> forward_, backward_;
    Columns out_, in_;
    std::vector<Sums> sums_;
    std::vector<int64_t> values_, slopes_, deltas_;
    mutable Buffer<T> rates_;
    int64_t slot_ = 0, delta_slot_ = 0;
};

}  // namespace SPINODE_ISA
}  // namespace spinode
