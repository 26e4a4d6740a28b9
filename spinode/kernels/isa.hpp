// The kernels for one instruction set. A file that includes this has defined SPINODE_ISA (a namespace), SPINODE_BYTES (the
// width of a register), SPINODE_REGISTERS (their number) and, unless it is the portable one, SPINODE_TARGET (what the compiler
// may use).
//
// The target is set here and not on the compiler's command line: everything of the standard library is defined before it, for
// the least of machines. Else the linker could merge its functions into the copy that an older machine cannot run.
#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#ifdef SPINODE_X86
#include <immintrin.h>
#endif

#include "job.hpp"

#ifdef SPINODE_TARGET
#define SPINODE_PRAGMA(text) _Pragma(#text)
#ifdef __clang__
#define SPINODE_APPLY(sets) SPINODE_PRAGMA(clang attribute push(__attribute__((target(sets))), apply_to = function))
#else
#define SPINODE_APPLY(sets) SPINODE_PRAGMA(GCC target(sets))
#endif
SPINODE_APPLY(SPINODE_TARGET)
#endif

#include "film.hpp"
#include "latent.hpp"
#include "metaplastic.hpp"
#include "online.hpp"
#include "shooting.hpp"

namespace spinode {
namespace SPINODE_ISA {

const Kernels f32{&tape<float>,  &forward<float>,     &backward<float>, nullptr,
                  &learn<float>, &metaplastic<float>, &noise<float>,    nullptr,
                  nullptr};
const Kernels f64{&tape<double>,  &forward<double>,     &backward<double>, &equations,
                  &learn<double>, &metaplastic<double>, &noise<double>,    &film<double>,
                  &latent};

}  // namespace SPINODE_ISA
}  // namespace spinode

#if defined(SPINODE_TARGET) && defined(__clang__)
#pragma clang attribute pop
#endif
