#define SPINODE_ISA avx512
#define SPINODE_BYTES 64
#define SPINODE_REGISTERS 32
#define SPINODE_TARGET "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512"
#include "isa.hpp"
