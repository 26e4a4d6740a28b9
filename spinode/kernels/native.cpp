// The Python bindings of the compiled kernels. No libtorch: arrays of NumPy and PyTorch arrive as nanobind's ndarray.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings.hpp"
#include "filter.hpp"
#include "job.hpp"

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
    return {int(layout[0]),        int(layout[1]), int(layout[2]), {layout.begin() + 5, layout.end()},
            Activation(layout[3]), layout[4] != 0, ratios};
}

Rollout rollout(const std::vector<int64_t>& layout, const std::vector<double>& ratios, int method,
                const std::array<int64_t, 3>& sizes, double dt, double limit, int threads, const std::array<Address, 5>& views,
                bool initial, int64_t tape) {
    return {field(layout, ratios),
            Method(method),
            sizes[0],
            sizes[1],
            sizes[2],
            dt,
            limit,
            threads,
            view(views[0]),
            view(views[1]),
            view(views[2]),
            view(views[3]),
            view(views[4]),
            initial,
            reinterpret_cast<void*>(tape)};
}

// True if all weights, and the ratios of the chain, are finite.
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

template <class T, int64_t... Shape>
using Strided = nb::ndarray<T, nb::shape<Shape...>, nb::device::cpu>;
using Any = nb::ndarray<nb::c_contig, nb::device::cpu>;  // float32 or float64
using Plane = Array<const double, -1, -1>;               // (reads, recordings) or one row less
using Row = Array<const double, -1>;                     // (recordings)
using Mask = Array<const bool, -1, -1>;

const uint8_t* bytes(const Mask& mask) { return reinterpret_cast<const uint8_t*>(mask.data()); }

bool is_double(const Any& array) {
    if (array.dtype() == nb::dtype<double>()) return true;
    if (array.dtype() == nb::dtype<float>()) return false;
    throw nb::type_error("expected an array of float32 or float64");
}

// The array of the type of the others, or null.
void* typed(const std::optional<Any>& array, bool f64) {
    if (!array) return nullptr;
    if (is_double(*array) != f64) throw nb::type_error("expected arrays of one type, float32 or float64");
    return array->data();
}

void bind_filter(nb::module_& module) {
    module.def(
        "filter",
        [](Plane reads, Plane drift, Plane slope, Plane reference, Plane process, Plane read, Plane decay, Row memory,
           Row depth, Row depth_variance, Mask seen, Mask filled, Array<double, -1> loglik, Array<double, -1, -1> innovation,
           Array<double, -1, -1> variance, Array<double, 3, -1, -1> mean, Array<double, 3, -1, -1> gain) {
            const Filter job{int64_t(reads.shape(0)),
                             int64_t(reads.shape(1)),
                             reads.data(),
                             drift.data(),
                             slope.data(),
                             reference.data(),
                             process.data(),
                             read.data(),
                             decay.data(),
                             memory.data(),
                             depth.data(),
                             depth_variance.data(),
                             bytes(seen),
                             bytes(filled),
                             loglik.data(),
                             innovation.data(),
                             variance.data(),
                             mean.data(),
                             gain.data()};
            const nb::gil_scoped_release free;
            filter(job);
        },
        nb::kw_only(), in("reads"), in("drift"), in("slope"), in("reference"), in("process"), in("read"), in("decay"),
        in("memory"), in("depth"), in("depth_variance"), in("seen"), in("filled"), in("loglik"), in("innovation"),
        in("variance"), in("mean"), in("gain"));
    module.def(
        "filter_gradient",
        [](Plane slope, Plane decay, Mask seen, Mask filled, Plane innovation, Plane variance,
           Array<const double, 3, -1, -1> gain, Array<double, -1, -1> gradient) {
            Filter job{};
            job.count = int64_t(innovation.shape(0)), job.lanes = int64_t(innovation.shape(1));
            job.slope = slope.data(), job.decay = decay.data(), job.seen = bytes(seen), job.filled = bytes(filled);
            // The adjoint only reads these.
            job.innovation = const_cast<double*>(innovation.data()), job.variance = const_cast<double*>(variance.data());
            job.gain = const_cast<double*>(gain.data());
            const nb::gil_scoped_release free;
            filter_gradient(job, gradient.data());
        },
        nb::kw_only(), in("slope"), in("decay"), in("seen"), in("filled"), in("innovation"), in("variance"), in("gain"),
        in("gradient"));
}

void bind_learning(nb::module_& module) {
    module.def(
        "learn",
        [](const std::string& simd, int rule, const std::array<double, 6>& numbers, Any inputs, Array<const int64_t, -1> labels,
           std::optional<Any> noise, int64_t samples, int64_t key, const std::vector<std::optional<Any>>& first,
           const std::vector<std::optional<Any>>& second, Any losses) {
            const bool f64 = is_double(inputs);
            const Any &hidden = first.at(0).value(), &classes = second.at(0).value();
            if (first.size() > 5 || second.size() > 5) throw std::invalid_argument("a layer has at most five arrays");
            Online job{OnlineRule(rule),
                       int64_t(inputs.shape(0)),
                       int64_t(inputs.shape(1)),
                       int64_t(hidden.shape(0)),
                       int64_t(classes.shape(0)),
                       samples,
                       numbers,
                       inputs.data(),
                       labels.data(),
                       typed(noise, f64),
                       uint64_t(key),
                       {},
                       typed(losses, f64)};
            for (size_t a = 0; a < first.size(); ++a) job.state[0][a] = typed(first[a], f64);
            for (size_t a = 0; a < second.size(); ++a) job.state[1][a] = typed(second[a], f64);
            const Kernels& set = kernels(simd, f64);
            const nb::gil_scoped_release free;
            return set.learn(job);
        },
        "simd"_a, nb::kw_only(), "rule"_a, "numbers"_a, in("inputs"), in("labels"), in("noise").none(), "samples"_a, "key"_a,
        "first"_a, "second"_a, in("losses"));
    module.def(
        "noise",
        [](const std::string& simd, Any out, int64_t key, int64_t first) {
            const Kernels& set = kernels(simd, is_double(out));
            const nb::gil_scoped_release free;
            set.noise(uint64_t(key), first, int64_t(out.shape(0)), int64_t(out.shape(1)), out.data());
        },
        "simd"_a, in("out"), nb::kw_only(), "key"_a, "first"_a);
    module.def(
        "metaplastic",
        [](const std::string& simd, Any weight, Any gradient, Any average, Any square, std::optional<Any> quantised,
           std::array<double, 2> betas, double rate, double root_scale, double eps, double decay, double m, double spacing,
           int64_t levels, int threads) {
            const bool f64 = is_double(weight);
            const Metaplastic job{
                int64_t(weight.size()),
                levels,
                threads,
                betas[0],
                betas[1],
                rate,
                root_scale,
                eps,
                decay,
                m,
                spacing,
                {typed(weight, f64), typed(gradient, f64), typed(average, f64), typed(square, f64), typed(quantised, f64)}};
            const Kernels& set = kernels(simd, f64);
            const nb::gil_scoped_release free;
            set.metaplastic(job);
        },
        "simd"_a, nb::kw_only(), in("weight"), in("gradient"), in("average"), in("square"), in("quantised").none(), "betas"_a,
        "rate"_a, "root_scale"_a, "eps"_a, "decay"_a, "m"_a, "spacing"_a, "levels"_a, "threads"_a);
}

void bind_film(nb::module_& module) {
    module.def(
        "film",
        [](const std::string& simd, Array<double, 3, -1, -1> m, Array<const double, 11, -1, -1> cells,
           Array<const double, 6, -1, -1> stray, int64_t steps, double dt, const std::array<double, 13>& numbers,
           const std::array<double, 8>& start, const std::array<double, 8>& stop, int64_t first, int64_t key) {
            const Film job{int64_t(m.shape(1)) - 2,
                           int64_t(m.shape(2)),
                           steps,
                           dt,
                           numbers,
                           start,
                           stop,
                           cells.data(),
                           stray.data(),
                           m.data(),
                           first,
                           uint64_t(key)};
            const Kernels& set = kernels(simd, true);
            const nb::gil_scoped_release free;
            set.film(job);
        },
        "simd"_a, nb::kw_only(), in("m"), in("cells"), in("stray"), "steps"_a, "dt"_a, "numbers"_a, "start"_a, "stop"_a,
        "first"_a, "key"_a);
}

void bind_latent(nb::module_& module) {
    using Values = Array<double, -1>;
    module.def(
        "latent",
        [](const std::string& simd, const std::array<int, 7>& sizes, int64_t lanes, int64_t steps, int threads, double limit,
           Array<const double, -1> theta, Array<const double, -1> core, Values state, Array<const double, -1> drive,
           Array<const double, -1> settled, std::optional<Values> states, Values result, std::optional<Values> slopes,
           std::optional<Values> jacobian) {
            const Latent job{sizes[0],      sizes[1],         sizes[2],          sizes[3],     sizes[4],
                             sizes[5],      sizes[6],         lanes,             steps,        threads,
                             limit,         theta.data(),     core.data(),       state.data(), drive.data(),
                             settled.data(), pointer(states), result.data(),     pointer(slopes), pointer(jacobian)};
            const Kernels& set = kernels(simd, true);
            const nb::gil_scoped_release free;
            return set.latent(job);
        },
        "simd"_a, nb::kw_only(), "sizes"_a, "lanes"_a, "steps"_a, "threads"_a, "limit"_a, in("theta"), in("core"), in("state"),
        in("drive"), in("settled"), in("states").none(), in("result"), in("slopes").none(), in("jacobian").none());
}

// Strided arrays of windows as views over (member, lane, time, stage, feature).
View lanes(const Strided<const double, -1, -1, -1>& a) {
    return {const_cast<double*>(a.data()), 0, a.stride(0), a.stride(1), 0, a.stride(2)};
}

void bind_shooting(nb::module_& module) {
    using Matrix = Array<double, -1, -1>;
    module.def(
        "shooting",
        [](const std::string& simd, const std::vector<int64_t>& layout, int method, const std::vector<double>& ratios, int threads,
           Array<const double, -1> theta, Strided<const double, -1, -1, 3, -1> stages, Strided<const double, -1, -1, -1> states,
           Strided<const double, -1, -1, -1, -1> jacobian, Strided<const double, -1, -1, -1> residuals,
           const std::vector<double>& weights, Matrix matrix, Array<double, -1> gradient,
           std::optional<Array<double, -1, -1, -1>> blocks, std::optional<Array<double, -1, -1, -1>> coupling,
           std::optional<Matrix> pull) {
            Shooting job{};
            const View unknowns{const_cast<double*>(theta.data()), 0, 0, 0, 0, 1};
            const View drive{
                const_cast<double*>(stages.data()), 0, stages.stride(0), stages.stride(1), stages.stride(2), stages.stride(3)};
            job.run = {field(layout, ratios),
                       Method(method),
                       1,
                       int64_t(stages.shape(0)),
                       int64_t(stages.shape(1)),
                       1,
                       0,
                       threads,
                       unknowns,
                       {},
                       drive,
                       {},
                       lanes(states),
                       true,
                       nullptr};
            job.feedthrough = int64_t(jacobian.shape(3));
            job.jacobian = {const_cast<double*>(jacobian.data()),
                            0,
                            jacobian.stride(0),
                            jacobian.stride(1),
                            jacobian.stride(3),
                            jacobian.stride(2)};
            job.residuals = lanes(residuals);
            job.weights = weights;
            job.matrix = matrix.data(), job.gradient = gradient.data();
            job.blocks = pointer(blocks), job.coupling = pointer(coupling), job.pull = pointer(pull);
            job.free = job.blocks != nullptr;
            const Kernels& set = kernels(simd, true);
            const nb::gil_scoped_release free;
            set.shooting(job);
        },
        "simd"_a, nb::kw_only(), "layout"_a, "method"_a, "ratios"_a, "threads"_a, in("theta"), in("stages"), in("states"),
        in("jacobian"),
        in("residuals"), "weights"_a, in("matrix"), in("gradient"), in("blocks").none(), in("coupling").none(),
        in("pull").none());
}

// The addresses of a rollout are passed as numbers: this call is made for every rollout, however short, and its arrays may be
// expanded, which exchange protocols for arrays make costly.
void bind_rollout(nb::module_& module) {
    module.def(
        "tape",
        [](const std::string& simd, bool f64, const std::vector<int64_t>& layout, int method,
           const std::array<int64_t, 3>& sizes) {
            return kernels(simd, f64).tape(rollout(layout, {}, method, sizes, 0, 0, 1, {}, true, 0));
        },
        "simd"_a, "f64"_a, "layout"_a, "method"_a, "sizes"_a);
    module.def(
        "forward",
        [](const std::string& simd, bool f64, const std::vector<int64_t>& layout, const std::vector<double>& ratios, int method,
           const std::array<int64_t, 3>& sizes, double dt, double limit, int threads, const std::array<Address, 5>& views,
           bool initial, int64_t tape) {
            const Rollout job = rollout(layout, ratios, method, sizes, dt, limit, threads, views, initial, tape);
            const Kernels& set = kernels(simd, f64);
            const nb::gil_scoped_release free;
            if (!(f64 ? finite<double>(job) : finite<float>(job))) return false;
            set.forward(job);
            return true;
        },
        "simd"_a, "f64"_a, "layout"_a, "ratios"_a, "method"_a, "sizes"_a, "dt"_a, "limit"_a, "threads"_a, "views"_a,
        "initial"_a, "tape"_a);
    module.def(
        "backward",
        [](const std::string& simd, bool f64, const std::vector<int64_t>& layout, const std::vector<double>& ratios, int method,
           const std::array<int64_t, 3>& sizes, double dt, double limit, int threads, const std::array<Address, 5>& views,
           bool initial, int64_t tape, const std::array<Address, 5>& gradients) {
            const Rollout job = rollout(layout, ratios, method, sizes, dt, limit, threads, views, initial, tape);
            const Adjoint out{view(gradients[0]), view(gradients[1]), view(gradients[2]), view(gradients[3]),
                              view(gradients[4])};
            const Kernels& set = kernels(simd, f64);
            const nb::gil_scoped_release free;
            set.backward(job, out);
        },
        "simd"_a, "f64"_a, "layout"_a, "ratios"_a, "method"_a, "sizes"_a, "dt"_a, "limit"_a, "threads"_a, "views"_a,
        "initial"_a, "tape"_a, "gradients"_a);
}

}  // namespace

NB_MODULE(_native, module) {
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
    bind_rollout(module);
    bind_shooting(module);
    bind_filter(module);
    bind_learning(module);
    bind_film(module);
    bind_latent(module);
    bind_spiking(module);
}
