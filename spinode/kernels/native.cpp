// The native half of spinode.kernels. No libtorch: arrays cross the border as plain buffers.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <vector>

namespace nb = nanobind;

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

// What the compiler was allowed to use, which is the least that the machine must offer.
std::vector<std::string> simd_built() {
    std::vector<std::string> sets;
#if defined(__SSE2__) || defined(_M_X64)
    sets.push_back("sse2");
#endif
#if defined(__AVX2__)
    sets.push_back("avx2");
#endif
#if defined(__FMA__)
    sets.push_back("fma");
#endif
#if defined(__AVX512F__)
    sets.push_back("avx512f");
#endif
#if defined(__ARM_NEON) || defined(_M_ARM64)
    sets.push_back("neon");
#endif
    return sets;
}

// What the machine offers now; a kernel may choose its path by it.
std::vector<std::string> simd_offered() {
    std::vector<std::string> sets;
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
    __builtin_cpu_init();
    if (__builtin_cpu_supports("sse2")) sets.push_back("sse2");
    if (__builtin_cpu_supports("avx2")) sets.push_back("avx2");
    if (__builtin_cpu_supports("fma")) sets.push_back("fma");
    if (__builtin_cpu_supports("avx512f")) sets.push_back("avx512f");
#else
    sets = simd_built();
#endif
    return sets;
}

}  // namespace

NB_MODULE(_native, module) {
    module.def("info", [] {
        nb::dict result;
        result["compiler"] = compiler();
        result["standard"] = static_cast<long>(__cplusplus);
        result["simd_built"] = simd_built();
        result["simd_offered"] = simd_offered();
        return result;
    });
}
