// Online learning, one sample per step, of a two-layer perceptron; its plain-torch twin is training/online/.
#pragma once

#include "normal.hpp"
#include "online_learner.hpp"

namespace spinode {
namespace SPINODE_ISA {

template <class T, class Rule>
int64_t learned(const Online& job) {
    return Learner<T, Rule>(job).run();
}

template <class T>
int64_t learn(const Online& job) {
    switch (job.rule) {
        case SGD:
            return learned<T, Descent<T, 0>>(job);
        case SGD_PENALTY:
            return learned<T, Descent<T, 1>>(job);
        case SGD_STREAM:
            return learned<T, Descent<T, 2>>(job);
        case MESU:
            return learned<T, Mesu<T, false>>(job);
        case MESU_CLAMP:
            return learned<T, Mesu<T, true>>(job);
        case BGD:
            return learned<T, Bgd<T, false>>(job);
        case BGD_PUBLISHED:
            return learned<T, Bgd<T, true>>(job);
        case BIMU_RELU:
            return learned<T, Bimu<T, false, false, false>>(job);
        case BIMU_GATE:
            return learned<T, Bimu<T, true, false, false>>(job);
        case BIMU_RELU_NORMALISED:
            return learned<T, Bimu<T, false, true, false>>(job);
        case BIMU_GATE_NORMALISED:
            return learned<T, Bimu<T, true, true, false>>(job);
        case BIMU_RELU_RELAXED:
            return learned<T, Bimu<T, false, false, true>>(job);
        case BIMU_GATE_RELAXED:
            return learned<T, Bimu<T, true, false, true>>(job);
        case BIMU_RELU_NORMALISED_RELAXED:
            return learned<T, Bimu<T, false, true, true>>(job);
        case BIMU_GATE_NORMALISED_RELAXED:
            return learned<T, Bimu<T, true, true, true>>(job);
    }
    return 0;
}

template <class T>
void noise(uint64_t key, int64_t first, int64_t steps, int64_t count, void* out) {
    Buffer<float> numbers(size_t(normal_space(count)));
    for (int64_t step = 0; step < steps; ++step) {
        normal(key, uint64_t(first + step), count, numbers.get());
        std::copy_n(numbers.get(), count, static_cast<T*>(out) + step * count);
    }
}

}  // namespace SPINODE_ISA
}  // namespace spinode
