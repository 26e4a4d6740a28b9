// The metaplastic update of Adam in one pass; its plain-torch twin is in training/rules/.
#pragma once

#include "normal.hpp"
#include "rollout.hpp"

namespace spinode {
namespace SPINODE_ISA {

// Numbers that a part of the tensor works on, and the least for which another thread is worth its start.
constexpr int64_t PART = 1 << 15, WORTH_A_PART = 1 << 18;

template <class T>
struct MetaAdam {
    using V = Vec<T>;
    T first, second, rate, root_scale, eps, decay, slope, density, offset, top, spacing;

    explicit MetaAdam(const Metaplastic& job)
        : first(T(1 - job.beta1)),
          second(T(job.beta2)),
          rate(T(job.rate)),
          root_scale(T(job.root_scale)),
          eps(T(job.eps)),
          decay(T(job.decay)),
          slope(T(-2 * job.m)),
          density(T(1 / job.spacing)),
          offset(T(job.levels - 2) / 2),
          top(T(job.levels - 2)),
          spacing(T(job.spacing)) {}

    static SPINODE_INLINE V whole(V x) { return (x + Simd<T>::magic) - Simd<T>::magic; }  // ties to even, as torch rounds

    SPINODE_INLINE V nearest(V weight, T shift, T most) const {
        V index = weight * density + shift;
        index = index < T(0) ? V{} : index;
        return whole(index > most ? splat(most) : index);
    }

    template <bool META, bool INTERVAL>
    SPINODE_INLINE void update(T* weights, const T* gradients, T* averages, T* squares, T* seen) const {
        V weight = load(weights);
        const V gradient = load(gradients) + decay * weight;
        V average = load(averages), square = load(squares);
        average += first * (gradient - average);
        square = second * square + (T(1) - second) * (gradient * gradient);
        store(averages, average);
        store(squares, square);
        V push = average, resist = root(square) * root_scale + eps;
        if constexpr (META) {
            // 1 - tanh(m x)^2 = 4 e / (1 + e)^2 with e = exp(-2 m |x|), which keeps its precision where it is small.
            V x = weight;
            if constexpr (INTERVAL) x -= spacing * (nearest(weight, offset, top) - offset);
            const V e = exponential<T>(slope * (x < T(0) ? -x : x)), sum = e + T(1);
            const auto towards = x * average > T(0);
            push = towards ? T(4) * e * average : average;
            resist = towards ? sum * sum * resist : resist;
        }
        weight -= rate * (push / resist);
        store(weights, weight);
        if (!seen) return;
        if constexpr (INTERVAL) {
            store(seen, spacing * (nearest(weight, offset + T(0.5), top + T(1)) - (offset + T(0.5))));
        } else {
            store(seen, weight < T(0) ? splat(T(-1)) : splat(T(1)));
        }
    }

    template <bool META, bool INTERVAL>
    void run(const Metaplastic& job, int64_t start, int64_t end) const {
        const MetaAdam here = *this;
        T* at[5];
        for (int a = 0; a < 5; ++a) at[a] = static_cast<T*>(job.data[a]);
        int64_t j = start;
        for (; j + LANES<T> <= end; j += LANES<T>)
            here.update<META, INTERVAL>(at[0] + j, at[1] + j, at[2] + j, at[3] + j, at[4] ? at[4] + j : nullptr);
        if (j == end) return;
        T rest[5][LANES<T>] = {};
        for (int a = 0; a < 4; ++a) std::copy(at[a] + j, at[a] + end, rest[a]);
        here.update<META, INTERVAL>(rest[0], rest[1], rest[2], rest[3], rest[4]);
        for (int a : {0, 2, 3, 4})
            if (at[a]) std::copy_n(rest[a], end - j, at[a] + j);
    }
};

template <class T>
void metaplastic(const Metaplastic& job) {
    const MetaAdam<T> rule(job);
    const int threads = job.count < WORTH_A_PART ? 1 : job.threads;
    parallel((job.count + PART - 1) / PART, threads, [&](int64_t part) {
        const int64_t start = part * PART, end = std::min(start + PART, job.count);
        if (job.levels > 0 && job.m != 0) return rule.template run<true, true>(job, start, end);
        if (job.levels > 0) return rule.template run<false, true>(job, start, end);
        job.m != 0 ? rule.template run<true, false>(job, start, end) : rule.template run<false, false>(job, start, end);
    });
}

}  // namespace SPINODE_ISA
}  // namespace spinode
