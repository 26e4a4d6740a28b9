#define SPINODE_ISA avx2
#define SPINODE_BYTES 32
#define SPINODE_REGISTERS 16
#define SPINODE_TARGET "avx2,fma"
#include "isa.hpp"
