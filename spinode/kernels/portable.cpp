// What every machine runs: SSE2 on x86, NEON on Arm.
#define SPINODE_ISA portable
#define SPINODE_BYTES 16
#if defined(__aarch64__)
#define SPINODE_REGISTERS 32
#else
#define SPINODE_REGISTERS 16
#endif
#include "isa.hpp"
