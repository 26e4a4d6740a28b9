// One pass of online learning through the samples, for one rule.
//
// The first layer contains nearly all weights. Its rows pass through the caches once per step: a row takes the update of this
// step and immediately gives its sums for the next sample. Everything else works on arrays that fit into the first-level cache,
// whose rows are padded with zeros to full registers: no loop has a remainder.
#pragma once

#include "normal.hpp"
#include "online_layer.hpp"

namespace spinode {
namespace SPINODE_ISA {

template <class T, class Rule>
class Learner {
    using V = Vec<T>;
    static constexpr int L = LANES<T>;
    static constexpr bool draws = Rule::draws;

  public:
    explicit Learner(const Online& job)
        : job_(job),
          rule_(job.numbers),
          features_(job.features),
          hidden_(job.hidden),
          classes_(job.classes),
          samples_(draws ? job.samples : 1),
          width_(padded<T>(features_)),
          units_(padded<T>(hidden_)),
          outs_(padded<T>(classes_)),
          first_(job.state[0], hidden_, features_, Rule::scratch),
          second_(job.state[1], classes_, hidden_, Rule::scratch) {
        for (int side = 0; side < 2; ++side) x_[side].clear(size_t(width_)), squares_[side].clear(size_t(width_));
        for (Buffer<T>* b : {&mean_, &variance_, &deviation_, &inverse_, &pull_, &gradient_, &most_}) b->clear(size_t(units_));
        for (Buffer<T>* b : {&a_, &h_, &powers_, &back_}) b->clear(size_t(samples_ * units_));
        for (Buffer<T>* b : {&delta_, &spread_}) b->clear(size_t(samples_ * outs_));
        for (Buffer<T>* b : {&means_, &variances_}) b->clear(size_t(classes_ * units_));
        for (Buffer<T>* b : {&means_across_, &variances_across_}) b->clear(size_t(units_ * outs_));
        for (auto [mask, padded, count] : {std::tuple{&real_, outs_, classes_}, std::tuple{&real_units_, units_, hidden_}}) {
            mask->clear(size_t(padded));
            std::fill_n(mask->get(), count, T(1));
        }
        if (Rule::normalised) scales_.clear(size_t(samples_)), logits_.clear(size_t(outs_));
        if (draws)
            noise_.clear(size_t(normal_space(samples_ * (hidden_ + classes_)) + units_ + outs_)), drawn_.clear(size_t(space()));
    }

    int64_t run() {
        for (int64_t c = 0; c < classes_; ++c)
            for (int64_t j = 0; j < units_; j += L) keep(c, j, rule_.read(second_.row(c), j));
        turn();
        if (job_.steps) take(0);
        for (int64_t i = 0; i < hidden_ && job_.steps; ++i) sums<false, true>(i);
        int64_t step = 0;
        for (; step < job_.steps; ++step) {
            now_ = step & 1;
            draw(step);
            hide();
            const T loss = classify(job_.labels[step]);
            static_cast<T*>(job_.losses)[step] = loss;
            if (!std::isfinite(loss)) break;
            descend();
            const bool learns = !Rule::skips || alive();
            if (learns) learn_second(), turn();
            const bool more = step + 1 < job_.steps;
            if (more) take(step + 1);
            // Down and up in turn: the rows used last are still in the first-level cache.
            for (int64_t n = 0; n < hidden_; ++n) {
                const int64_t i = now_ ? n : hidden_ - 1 - n;
                if (learns) {
                    more ? learn_first<true>(i) : learn_first<false>(i);
                } else if (more) {
                    sums<false, true>(i);
                }
            }
        }
        first_.write_back();
        second_.write_back();
        return step;
    }

  private:
    static T largest(V v) {
        T result = v[0];
        for (int i = 1; i < L; ++i) result = std::max(result, v[i]);
        return result;
    }

    int64_t space() const { return normal_space(samples_ * (hidden_ + classes_)); }

    // The next sample, in addition to the one being learned.
    void take(int64_t step) {
        const T* from = static_cast<const T*>(job_.inputs) + step * features_;
        coming_ = step & 1;
        T *x = x_[coming_].get(), *squares = squares_[coming_].get();
        V most{};
        const auto keep = [&](V value, int64_t j) SPINODE_INLINE {
            const V square = value * value;
            store(x + j, value);
            store(squares + j, square);
            if constexpr (Rule::quick) most = square > most ? square : most;
        };
        int64_t j = 0;
        for (; j + L <= features_; j += L) {
            __builtin_prefetch(from + features_ + j);
            keep(load(from + j), j);
        }
        if (j < width_) {
            T rest[L] = {};
            std::copy(from + j, from + features_, rest);
            keep(load(rest), j);
        }
        largest_[coming_] = largest(most);
    }

    void draw(int64_t step) {
        if constexpr (draws) {
            const int64_t count = samples_ * (hidden_ + classes_);
            if (job_.noise) {
                std::copy_n(static_cast<const T*>(job_.noise) + step * count, count, noise_.get());
            } else if constexpr (std::is_same_v<T, float>) {
                normal(job_.key, uint64_t(step), count, noise_.get());
            } else {
                normal(job_.key, uint64_t(step), count, drawn_.get());
                std::copy_n(drawn_.get(), count, noise_.get());
            }
        }
    }
    // Numbers of a sample; beyond them those of the next, which meet weights of zero.
    const T* noise(int64_t s) { return noise_.get() + s * (hidden_ + classes_); }

    // Pre-activations and activations of the hidden layer.
    void hide() {
        for (int64_t k = 0; k < units_; k += L) {
            const V mean = load(mean_.get() + k);
            if constexpr (draws) {
                const V deviation = root(load(variance_.get() + k));
                store(deviation_.get() + k, deviation);
                store(inverse_.get() + k, deviation > T(0) ? T(1) / deviation : V{});
            }
            for (int64_t s = 0; s < samples_; ++s) {
                V a = mean;
                if constexpr (draws) a += load(deviation_.get() + k) * load(noise(s) + k);
                store(a_.get() + s * units_ + k, a);
                if constexpr (!Rule::normalised) activate(s, k);
            }
        }
        if constexpr (Rule::normalised)
            for (int64_t s = 0; s < samples_; ++s) {
                scales_[size_t(s)] = normalise(a_.get() + s * units_, units_, hidden_, real_units_.get());
                for (int64_t k = 0; k < units_; k += L) activate(s, k);
            }
    }

    SPINODE_INLINE void activate(int64_t s, int64_t k) {
        const V a = load(a_.get() + s * units_ + k);
        V h;
        if constexpr (Rule::gate) {
            h = (a > T(1)) | (a < T(-1)) ? splat(T(1)) : V{};
            h = a == a ? h : a;
        } else {
            h = a < T(0) ? V{} : a;  // NaN stays NaN
        }
        store(h_.get() + s * units_ + k, h);
        if constexpr (draws) store(powers_.get() + s * units_ + k, h * h);
    }

    // What activate() multiplies a gradient with.
    static SPINODE_INLINE V slope(V a, V back) {
        if constexpr (Rule::gate) {
            const V size = a < T(0) ? -a : a;
            return (size > T(0.5)) & (size < T(1.5)) ? (a < T(0) ? -back : back) : V{};
        } else {
            return a > T(0) ? back : V{};
        }
    }

    // Layer normalisation in place; returns its scale. Padding stays zero.
    static T normalise(T* values, int64_t padded, int64_t count, const T* real) {
        V sums{}, squares{};
        for (int64_t j = 0; j < padded; j += L) sums += load(values + j) * load(real + j);
        const T mean = total<T>(sums) / T(count);
        for (int64_t j = 0; j < padded; j += L) {
            const V off = (load(values + j) - mean) * load(real + j);
            store(values + j, off);
            squares += off * off;
        }
        const T scale = T(1) / std::sqrt(total<T>(squares) / T(count) + T(1e-5));
        for (int64_t j = 0; j < padded; j += L) store(values + j, load(values + j) * scale);
        return scale;
    }
    // Its adjoint: a gradient in normalised `values` as one in those before. Padding of the gradient is zero, and stays so.
    static void through(T* back, const T* values, int64_t padded, int64_t count, const T* real, T scale) {
        V sums{}, products{};
        for (int64_t j = 0; j < padded; j += L) sums += load(back + j), products += load(back + j) * load(values + j);
        const T mean = total<T>(sums) / T(count), along = total<T>(products) / T(count);
        for (int64_t j = 0; j < padded; j += L)
            store(back + j, scale * (load(back + j) - mean - load(values + j) * along) * load(real + j));
    }

    // A few draws, or classes, at a time: shared values are read once for all of them.
    template <class F>
    static SPINODE_INLINE void groups(int64_t count, F&& f) {
        int64_t s = 0;
        for (; s + 5 <= count; s += 5) f(s, std::integral_constant<int, 5>{});
        for (; s < count; ++s) f(s, std::integral_constant<int, 1>{});
    }

    // Mean loss; and `delta` = dC/dlogits, `spread` = 2 dC/dvariances of the logits, of each draw.
    T classify(int64_t label) {
        for (int64_t j = 0; j < outs_; j += L) groups(samples_, [&](int64_t s, auto size) { logits<size()>(s, j); });
        T loss = 0;
        const T share = T(1) / T(samples_);
        for (int64_t s = 0; s < samples_; ++s) {
            T* z = delta_.get() + s * outs_;
            T shrunk = 1;
            if constexpr (Rule::normalised) {
                shrunk = normalise(z, outs_, classes_, real_.get());
                std::copy_n(z, outs_, logits_.get());
            }
            T most = z[0];
            for (int64_t c = 1; c < classes_; ++c) most = z[c] > most ? z[c] : most;
            const T logit = z[label];
            V sums{};
            for (int64_t j = 0; j < outs_; j += L) {
                const V e = exponential<T>(load(z + j) - most) * load(real_.get() + j);
                store(z + j, e);
                sums += e;
            }
            const T sum = total<T>(sums), scale = share / sum;
            loss += std::log(sum) + (most - logit);
            for (int64_t j = 0; j < outs_; j += L) store(z + j, load(z + j) * scale);
            z[label] -= share;
            if constexpr (Rule::normalised) through(z, logits_.get(), outs_, classes_, real_.get(), shrunk);
            if constexpr (draws)
                for (int64_t j = 0; j < outs_; j += L) {
                    T* spread = spread_.get() + s * outs_ + j;
                    const V deviation = load(spread);
                    store(spread, deviation > T(0) ? load(z + j) * load(noise(s) + hidden_ + j) / deviation : V{});
                }
        }
        return loss * share;
    }

    // Logits into `delta`, their standard deviations into `spread`, with the classes in the lanes.
    template <int N>
    SPINODE_INLINE void logits(int64_t s, int64_t j) {
        V mean[N] = {}, variance[N] = {};
        const T *h = h_.get() + s * units_, *powers = powers_.get() + s * units_;
        for (int64_t k = 0; k < hidden_; ++k) {
            const V weights = load(means_across_.get() + k * outs_ + j);
            V variances{};
            if constexpr (draws) variances = load(variances_across_.get() + k * outs_ + j);
            each<N>([&](auto n) {
                mean[n] += weights * h[n * units_ + k];
                if constexpr (draws) variance[n] += variances * powers[n * units_ + k];
            });
        }
        each<N>([&](auto n) {
            if constexpr (draws) {
                const V deviation = root(variance[n]);
                store(spread_.get() + (s + n) * outs_ + j, deviation);
                mean[n] += deviation * load(noise(s + n) + hidden_ + j);
            }
            store(delta_.get() + (s + n) * outs_ + j, mean[n]);
        });
    }

    // Gradients in the pre-activations of the hidden layer; their sums over the draws, also times the noise.
    void descend() {
        for (int64_t k = 0; k < units_; k += L) groups(samples_, [&](int64_t s, auto size) { backs<size()>(s, k); });
        if constexpr (Rule::normalised)
            for (int64_t s = 0; s < samples_; ++s) {
                const int64_t at = s * units_;
                through(back_.get() + at, a_.get() + at, units_, hidden_, real_units_.get(), scales_[size_t(s)]);
            }
        active_ = false;
        for (int64_t k = 0; k < units_; k += L) {
            V gradient{}, pull{};
            for (int64_t s = 0; s < samples_; ++s) {
                const V back = load(back_.get() + s * units_ + k);
                gradient += back;
                if constexpr (draws) pull += back * load(noise(s) + k);
            }
            if constexpr (draws) pull *= load(inverse_.get() + k);
            if constexpr (Rule::skips) active_ = active_ || nonzero(gradient) || nonzero(pull);
            store(gradient_.get() + k, gradient * rule_.gradient_scale);
            if constexpr (draws) store(pull_.get() + k, pull * rule_.spread_scale);
        }
    }

    template <int N>
    SPINODE_INLINE void backs(int64_t s, int64_t k) {
        V direct[N] = {}, spread[N] = {};
        for (int64_t c = 0; c < classes_; ++c) {
            const V weights = load(means_.get() + c * units_ + k);
            V variances{};
            if constexpr (draws) variances = load(variances_.get() + c * units_ + k);
            each<N>([&](auto n) {
                direct[n] += weights * delta_[size_t((s + n) * outs_ + c)];
                if constexpr (draws) spread[n] += variances * spread_[size_t((s + n) * outs_ + c)];
            });
        }
        each<N>([&](auto n) {
            const int64_t at = (s + n) * units_ + k;
            const V a = load(a_.get() + at), h = load(h_.get() + at);
            store(back_.get() + at, slope(a, direct[n] + h * spread[n]));
        });
    }

    static bool nonzero(V v) {
        for (int i = 0; i < L; ++i)
            if (v[i] != T(0)) return true;
        return false;
    }

    // True if any weight of either layer has a gradient.
    bool alive() const {
        const T* x = x_[now_].get();
        if (active_ && std::any_of(x, x + features_, [](T value) { return value != T(0); })) return true;
        for (int64_t k = 0; k < hidden_; ++k)
            for (int64_t c = 0; c < classes_; ++c) {
                T gradient = 0, spread = 0;
                for (int64_t s = 0; s < samples_; ++s) {
                    const int64_t unit = s * units_ + k, out = s * outs_ + c;
                    gradient += h_.get()[unit] * delta_.get()[out], spread += powers_.get()[unit] * spread_.get()[out];
                }
                if (gradient != T(0) || spread != T(0)) return true;
            }
        return false;
    }

    void learn_second() {
        for (int64_t k = 0; k < units_; k += L) groups(classes_, [&](int64_t c, auto size) { learn_second<size()>(c, k); });
    }
    template <int N>
    SPINODE_INLINE void learn_second(int64_t c, int64_t k) {
        V gradient[N] = {}, spread[N] = {};
        for (int64_t s = 0; s < samples_; ++s) {
            const V h = load(h_.get() + s * units_ + k);
            V powers{};
            if constexpr (draws) powers = load(powers_.get() + s * units_ + k);
            each<N>([&](auto n) {
                gradient[n] += h * delta_[size_t(s * outs_ + c + n)];
                if constexpr (draws) spread[n] += powers * spread_[size_t(s * outs_ + c + n)];
            });
        }
        each<N>([&](auto n) {
            const V g = gradient[n] * rule_.gradient_scale, r = spread[n] * rule_.spread_scale;
            keep(c + n, k, rule_.template update<false>(second_.row(c + n), k, g, r));
        });
    }

    void keep(int64_t c, int64_t k, Weights<T> weights) {
        store(means_.get() + c * units_ + k, weights.mean);
        if constexpr (draws) store(variances_.get() + c * units_ + k, weights.variance);
    }

    // The second layer once more with the classes in the lanes.
    void turn() {
        turn(means_.get(), means_across_.get());
        if constexpr (draws) turn(variances_.get(), variances_across_.get());
    }
    void turn(const T* from, T* to) {
        const int64_t units = units_, outs = outs_, hidden = hidden_, classes = classes_;
        int64_t c = 0;
        for (; c + 4 <= classes; c += 4)
            for (int64_t k = 0; k < hidden; ++k) each<4>([&](auto n) { to[k * outs + c + n] = from[(c + n) * units + k]; });
        for (; c < classes; ++c)
            for (int64_t k = 0; k < hidden; ++k) to[k * outs + c] = from[c * units + k];
    }

    template <bool SUM>
    void learn_first(int64_t i) {
        const T gradient = gradient_[size_t(i)], pull = draws ? pull_[size_t(i)] : T(0);
        if (rule_.idle(gradient, pull)) {
            if (SUM) sums<false, true>(i);
            return;
        }
        if constexpr (Rule::quick)
            if (most_[size_t(i)] * largest_[now_] * std::abs(pull) <= T(0.125)) return sums<true, SUM, true>(i);
        sums<true, SUM>(i);
    }

    // The update of a row, and the sums of the updated row for the next sample.
    template <bool LEARN, bool SUM, bool QUICK = false>
    void sums(int64_t i) {
        const Rule rule = rule_;  // a copy, in registers: as a member it would be read again after each store
        const Row<T> row = first_.row(i);
        const T *x = x_[now_].get(), *squares = squares_[now_].get();
        const T *towards = x_[coming_].get(), *towards_squares = squares_[coming_].get();
        const T gradient = gradient_[size_t(i)], pull = draws ? pull_[size_t(i)] : T(0);
        V mean[4] = {}, variance[4] = {}, most{};
        const auto at = [&](int64_t j, int n) SPINODE_INLINE {
            Weights<T> w;
            if constexpr (LEARN) {
                w = rule.template update<QUICK>(row, j, load(x + j) * gradient, load(squares + j) * pull);
            } else {
                w = rule.read(row, j);
            }
            if constexpr (SUM) {
                mean[n] += w.mean * load(towards + j);
                if constexpr (draws) variance[n] += w.variance * load(towards_squares + j);
                if constexpr (Rule::quick) most = w.variance > most ? w.variance : most;
            }
        };
        int64_t j = 0;
        for (; j + 4 * L <= width_; j += 4 * L) each<4>([&](auto n) SPINODE_INLINE { at(j + n * L, n); });
        for (; j < width_; j += L) at(j, 0);
        if constexpr (SUM) {
            mean_[size_t(i)] = total<T>((mean[0] + mean[1]) + (mean[2] + mean[3]));
            if constexpr (draws) variance_[size_t(i)] = total<T>((variance[0] + variance[1]) + (variance[2] + variance[3]));
            if constexpr (Rule::quick) {
                most_[size_t(i)] = largest(most);
            }
        }
    }

    const Online& job_;
    const Rule rule_;
    const int64_t features_, hidden_, classes_, samples_, width_, units_, outs_;
    Layer<T> first_, second_;
    Buffer<T> x_[2], squares_[2];                      // this sample, and the next
    Buffer<T> mean_, variance_, deviation_, inverse_;  // (units): of the pre-activations
    Buffer<T> gradient_, pull_, most_;                 // (units): factors of the row's update; its largest variance
    Buffer<T> a_, h_, powers_, back_;                  // (samples, units): `powers`, squares of h
    Buffer<T> delta_, spread_;                         // (samples, outs)
    Buffer<T> means_, variances_;                      // (classes, units): of the second layer's weights
    Buffer<T> means_across_, variances_across_;        // (units, outs)
    Buffer<T> real_, real_units_;                      // (outs), (units): 0 for padding, else 1
    Buffer<T> scales_, logits_;                        // (samples), (outs): of the normalisation
    Buffer<T> noise_;
    Buffer<float> drawn_;
    T largest_[2] = {};  // square of an input
    int now_ = 0, coming_ = 0;
    bool active_ = false;  // true if a hidden unit has a gradient
};

}  // namespace SPINODE_ISA
}  // namespace spinode
