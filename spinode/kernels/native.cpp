// The native half of spinode.kernels. No libtorch: arrays cross the border as plain buffers.
#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "filter.hpp"
#include "job.hpp"

namespace nb = nanobind;

namespace spinode {

namespace {

std::string compiler() {
#if defined(__clang__)
    return "Clang " __clang_version__;
#elif defined(__GNUC__)
    return "GCC " __VERSION__;
#elif defined(_MSC_VER)
    return "MSVC " + std::to_string(_MSC_FULL_VER);
#else
    return "unknown";
#endif
}

struct Isa {
    const char* name;
    const Kernels* f32;
    const Kernels* f64;
    bool offered;
};

// Best last.
std::vector<Isa> built() {
    std::vector<Isa> sets{{"portable", &portable::f32, &portable::f64, true}};
#ifdef SPINODE_X86
    __builtin_cpu_init();
    const bool two = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool five = two && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    sets.push_back({"avx2", &avx2::f32, &avx2::f64, two});
    sets.push_back({"avx512", &avx512::f32, &avx512::f64, five});
#endif
    return sets;
}

std::vector<std::string> offered() {
    std::vector<std::string> names;
    for (const Isa& isa : built())
        if (isa.offered) names.push_back(isa.name);
    return names;
}

const Kernels& kernels(const std::string& simd, bool f64) {
    for (const Isa& isa : built())
        if (isa.offered && simd == isa.name) return f64 ? *isa.f64 : *isa.f32;
    throw std::invalid_argument("instruction set " + simd + " is not built or not offered by this machine");
}

// Address, then strides over (member, lane, time, stage, feature); address 0 for none. Shapes are checked where they come from.
using Address = std::array<int64_t, 6>;

View view(const Address& a) { return {reinterpret_cast<void*>(a[0]), a[1], a[2], a[3], a[4], a[5]}; }

// Layout: state, drive, rates, activation, skip, widths of the hidden layers.
Field field(const std::vector<int64_t>& layout, const std::vector<double>& ratios) {
    return {int(layout[0]), int(layout[1]), int(layout[2]), {layout.begin() + 5, layout.end()}, Activation(layout[3]), layout[4] != 0,
            ratios};
}

Rollout rollout(const std::vector<int64_t>& layout, const std::vector<double>& ratios, int method, const std::array<int64_t, 3>& sizes,
                double dt, double limit, int threads, const std::array<Address, 5>& views, bool initial, int64_t tape) {
    return {field(layout, ratios), Method(method), sizes[0], sizes[1], sizes[2], dt, limit, threads,
            view(views[0]), view(views[1]), view(views[2]), view(views[3]), view(views[4]), initial, reinterpret_cast<void*>(tape)};
}

// Whether all weights, and the ratios of the chain, are finite numbers.
template <class T>
bool finite(const Rollout& job) {
    for (double ratio : job.field.ratios)
        if (!std::isfinite(ratio)) return false;
    for (int64_t member = 0; member < job.members; ++member) {
        const T* theta = static_cast<const T*>(job.theta.data) + member * job.theta.member;
        for (int64_t i = 0; i < job.field.weights(); ++i)
            if (!std::isfinite(theta[i])) return false;
    }
    return true;
}

}  // namespace
}  // namespace spinode

using namespace spinode;

namespace {

// Pointers in the order of the fields of Filter.
Filter filter_job(const std::array<int64_t, 2>& sizes, const std::array<int64_t, 17>& at) {
    Filter job{};
    job.count = sizes[0], job.lanes = sizes[1];
    const double** in[] = {&job.reads, &job.drift, &job.slope, &job.reference, &job.process, &job.read,
                           &job.decay, &job.memory, &job.depth, &job.depth_variance};
    for (int i = 0; i < 10; ++i) *in[i] = reinterpret_cast<const double*>(at[i]);
    job.seen = reinterpret_cast<const uint8_t*>(at[10]);
    job.filled = reinterpret_cast<const uint8_t*>(at[11]);
    double** out[] = {&job.loglik, &job.innovation, &job.variance, &job.mean, &job.gain};
    for (int i = 0; i < 5; ++i) *out[i] = reinterpret_cast<double*>(at[12 + i]);
    return job;
}

}  // namespace

NB_MODULE(_native, module) {
    module.def("filter", [](const std::array<int64_t, 2>& sizes, const std::array<int64_t, 17>& at) {
        const Filter job = filter_job(sizes, at);
        const nb::gil_scoped_release free;
        filter(job);
    });
    module.def("filter_gradient", [](const std::array<int64_t, 2>& sizes, const std::array<int64_t, 17>& at, int64_t gradient) {
        const Filter job = filter_job(sizes, at);
        const nb::gil_scoped_release free;
        filter_gradient(job, reinterpret_cast<double*>(gradient));
    });
    module.def("learn", [](const std::string& simd, bool f64, int rule, const std::array<int64_t, 5>& sizes,
                           const std::array<double, 6>& numbers, const std::array<int64_t, 4>& data, int64_t key,
                           const std::array<int64_t, 5>& first, const std::array<int64_t, 5>& second) {
        Online job{OnlineRule(rule), sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], numbers, reinterpret_cast<void*>(data[0]),
                   reinterpret_cast<const int64_t*>(data[1]), reinterpret_cast<void*>(data[2]), uint64_t(key), {},
                   reinterpret_cast<void*>(data[3])};
        for (int a = 0; a < 5; ++a) {
            job.state[0][a] = reinterpret_cast<void*>(first[a]);
            job.state[1][a] = reinterpret_cast<void*>(second[a]);
        }
        const Kernels& set = kernels(simd, f64);
        const nb::gil_scoped_release free;
        return set.learn(job);
    });
    module.def("noise", [](const std::string& simd, bool f64, int64_t key, const std::array<int64_t, 3>& sizes, int64_t out) {
        const Kernels& set = kernels(simd, f64);
        const nb::gil_scoped_release free;
        set.noise(uint64_t(key), sizes[0], sizes[1], sizes[2], reinterpret_cast<void*>(out));
    });
    module.def("metaplastic", [](const std::string& simd, bool f64, const std::array<int64_t, 3>& sizes,
                                 const std::array<double, 8>& n, const std::array<int64_t, 5>& data) {
        Metaplastic job{sizes[0], sizes[1], int(sizes[2]), n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], {}};
        for (int a = 0; a < 5; ++a) job.data[a] = reinterpret_cast<void*>(data[a]);
        const Kernels& set = kernels(simd, f64);
        const nb::gil_scoped_release free;
        set.metaplastic(job);
    });
    module.def("film", [](const std::string& simd, const std::array<int64_t, 3>& sizes, double dt, const std::array<double, 13>& numbers,
                          const std::array<double, 8>& begin, const std::array<double, 8>& end, const std::array<int64_t, 3>& data,
                          int64_t first, int64_t key) {
        const Film job{sizes[0], sizes[1], sizes[2], dt, numbers, begin, end, reinterpret_cast<const void*>(data[0]),
                       reinterpret_cast<const void*>(data[1]), reinterpret_cast<void*>(data[2]), first, uint64_t(key)};
        const Kernels& set = kernels(simd, true);
        const nb::gil_scoped_release free;
        set.film(job);
    });
    module.def("info", [] {
        nb::dict result;
        std::vector<std::string> names;
        for (const Isa& isa : built()) names.push_back(isa.name);
        result["compiler"] = compiler();
        result["standard"] = static_cast<long>(__cplusplus);
        result["simd_built"] = names;
        result["simd_offered"] = offered();
        return result;
    });
    module.def("tape", [](const std::string& simd, bool f64, const std::vector<int64_t>& layout, int method,
                          const std::array<int64_t, 3>& sizes) {
        return kernels(simd, f64).tape(rollout(layout, {}, method, sizes, 0, 0, 1, {}, true, 0));
    });
    module.def("forward", [](const std::string& simd, bool f64, const std::vector<int64_t>& layout, const std::vector<double>& ratios,
                             int method, const std::array<int64_t, 3>& sizes, double dt, double limit, int threads,
                             const std::array<Address, 5>& views, bool initial, int64_t tape) {
        const Rollout job = rollout(layout, ratios, method, sizes, dt, limit, threads, views, initial, tape);
        const Kernels& set = kernels(simd, f64);
        const nb::gil_scoped_release free;
        if (!(f64 ? finite<double>(job) : finite<float>(job))) return false;
        set.forward(job);
        return true;
    });
    module.def("backward", [](const std::string& simd, bool f64, const std::vector<int64_t>& layout, const std::vector<double>& ratios,
                              int method, const std::array<int64_t, 3>& sizes, double dt, double limit, int threads,
                              const std::array<Address, 5>& views, bool initial, int64_t tape, const std::array<Address, 5>& gradients) {
        const Rollout job = rollout(layout, ratios, method, sizes, dt, limit, threads, views, initial, tape);
        const Adjoint out{view(gradients[0]), view(gradients[1]), view(gradients[2]), view(gradients[3]), view(gradients[4])};
        const Kernels& set = kernels(simd, f64);
        const nb::gil_scoped_release free;
        set.backward(job, out);
    });
    module.def("shooting", [](const std::string& simd, const std::vector<int64_t>& layout, const std::vector<double>& ratios,
                              const std::array<int64_t, 2>& sizes, int threads, const std::array<Address, 3>& views,
                              int64_t feedthrough, const Address& jets, const Address& residuals, const std::vector<double>& weights,
                              const std::array<int64_t, 5>& results) {
        Shooting job{};
        job.run = {field(layout, ratios), RK4, 1, sizes[0], sizes[1], 1, 0, threads, view(views[0]), {}, view(views[1]), {}, view(views[2]),
                   true, nullptr};
        job.feedthrough = feedthrough;
        job.jets = view(jets), job.residuals = view(residuals);
        job.weights = weights;
        double** to[] = {&job.matrix, &job.gradient, &job.blocks, &job.coupling, &job.pull};
        for (int i = 0; i < 5; ++i) *to[i] = reinterpret_cast<double*>(results[i]);
        job.free = job.blocks != nullptr;
        const Kernels& set = kernels(simd, true);
        const nb::gil_scoped_release free;
        set.shooting(job);
    });
}
