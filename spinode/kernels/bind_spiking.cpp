// The Python binding of the loop of a spiking network.
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>

#include "bindings.hpp"
#include "spiking.hpp"

namespace spinode {

void bind_spiking(nb::module_& module) {
    module.def(
        "spiking",
        [](int64_t steps, int plasticity, const std::array<double, 11>& time, const std::array<double, 13>& law,
           Array<const double, -1, -1> currents, std::optional<Array<const double, -1, -1>> strength,
           Array<double, 2, -1> pre, Array<double, 5, -1> post, Array<double, -1, -1> weights, Array<int64_t, -1, -1> spikes,
           Array<int64_t, 4> counts, int64_t key, int64_t position) {
            const Spiking job{int64_t(currents.shape(0)),
                              int64_t(weights.shape(0)),
                              int64_t(weights.shape(1)),
                              steps,
                              Plasticity(plasticity),
                              time,
                              law,
                              currents.data(),
                              pointer(strength),
                              pre.data(),
                              post.data(),
                              weights.data(),
                              spikes.data(),
                              counts.data(),
                              uint64_t(key),
                              position};
            const nb::gil_scoped_release free;
            return run_spiking(job);
        },
        nb::kw_only(), "steps"_a, "plasticity"_a, "time"_a, "law"_a, in("currents"), in("strength").none(), in("pre"),
        in("post"), in("weights"), in("spikes"), in("counts"), "key"_a, "position"_a);
}

}  // namespace spinode
