// What the files of Python bindings share.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <optional>

namespace nb = nanobind;
using namespace nb::literals;

namespace spinode {

// Arrays as the bindings take them: row by row without gaps, on the CPU, never converted. nanobind checks type, rank and
// layout, and names the argument that does not fit; how the sizes of several arrays belong together is checked in Python.
template <class T, int64_t... Shape>
using Array = nb::ndarray<T, nb::shape<Shape...>, nb::c_contig, nb::device::cpu>;

inline auto in(const char* name) { return nb::arg(name).noconvert(); }

template <class A>
auto pointer(const std::optional<A>& array) -> decltype(array->data()) {
    return array ? array->data() : nullptr;
}

void bind_spiking(nb::module_& module);

}  // namespace spinode
