// Vectors of one register, and the functions a network needs of them. Compiled once for each instruction set, each time into
// a namespace of its own: see isa.hpp.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

namespace spinode {
namespace SPINODE_ISA {

template <class T>
struct Simd;

template <>
struct Simd<float> {
    typedef float V __attribute__((vector_size(SPINODE_BYTES)));
    typedef float U __attribute__((vector_size(SPINODE_BYTES), aligned(4), may_alias));
    typedef int32_t I __attribute__((vector_size(SPINODE_BYTES)));
    static constexpr float magic = 12582912.0f, log2e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    static constexpr float lowest = -87.0f, highest = 88.0f;
    static constexpr int mantissa = 23, bias = 127, exp_terms = 7, log_terms = 8;
};

template <>
struct Simd<double> {
    typedef double V __attribute__((vector_size(SPINODE_BYTES)));
    typedef double U __attribute__((vector_size(SPINODE_BYTES), aligned(8), may_alias));
    typedef int64_t I __attribute__((vector_size(SPINODE_BYTES)));
    static constexpr double magic = 6755399441055744.0, log2e = 1.4426950408889634;
    static constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
    static constexpr double lowest = -708.0, highest = 709.0;
    static constexpr int mantissa = 52, bias = 1023, exp_terms = 13, log_terms = 17;
};

template <class T>
using Vec = typename Simd<T>::V;

// Values in a register.
template <class T>
constexpr int LANES = SPINODE_BYTES / int(sizeof(T));

template <class T>
inline Vec<T> load(const T* p) {
    return *reinterpret_cast<const typename Simd<T>::U*>(p);
}

template <class T>
inline void store(T* p, Vec<T> v) {
    *reinterpret_cast<typename Simd<T>::U*>(p) = v;
}

template <class T>
inline Vec<T> splat(T value) {
    return value - Vec<T>{};
}

template <class T>
inline T sum(Vec<T> v) {
    T total = 0;
    for (int i = 0; i < LANES<T>; ++i) total += v[i];
    return total;
}

// f(0), f(1), ... f(N - 1), each with its index as a type: unrolled before the compiler decides what lives in registers, which
// a loop is not.
template <class F, int... I>
__attribute__((always_inline)) inline void each(F&& f, std::integer_sequence<int, I...>) {
    (f(std::integral_constant<int, I>{}), ...);
}
template <int N, class F>
__attribute__((always_inline)) inline void each(F&& f) {
    each(f, std::make_integer_sequence<int, N>{});
}
#define SPINODE_INLINE __attribute__((always_inline))

// 2^k - 1 + 2^k (e^r - 1) with x = k ln 2 + r: exact near zero. `less` is 1 for e^x - 1, 0 for e^x.
template <class T>
inline Vec<T> exp_less(Vec<T> x, T less) {
    using S = Simd<T>;
    x = x < S::lowest ? splat<T>(S::lowest) : x;
    x = x > S::highest ? splat<T>(S::highest) : x;
    const Vec<T> shifted = x * S::log2e + S::magic;  // the low bits of the mantissa are now k
    const Vec<T> k = shifted - S::magic;
    const Vec<T> r = (x - k * S::ln2_high) - k * S::ln2_low;
    // Taylor's series of (e^r - 1 - r) / r^2 on |r| <= ln(2) / 2, which ends below the precision of T.
    T inverse = 1;
    for (int i = 2; i <= S::exp_terms; ++i) inverse /= T(i);
    Vec<T> p = splat<T>(inverse);
#pragma GCC unroll 16
    for (int i = S::exp_terms; i > 2; --i) {
        inverse *= T(i);
        p = p * r + inverse;
    }
    p = p * r * r + r;
    const typename S::I bits = ((typename S::I)shifted + S::bias) << S::mantissa;
    const Vec<T> power = (Vec<T>)bits;
    return power * p + (power - less);
}

template <class T>
inline Vec<T> exponential(Vec<T> x) {
    return exp_less<T>(x, 0);
}

// log(1 + t) = 2 artanh(t / (2 + t)) for 0 <= t <= 1, by its series.
template <class T>
inline Vec<T> log_one_plus(Vec<T> t) {
    const Vec<T> s = t / (t + T(2)), q = s * s;
    Vec<T> p = splat<T>(T(1) / T(2 * Simd<T>::log_terms + 1));
#pragma GCC unroll 20
    for (int i = Simd<T>::log_terms - 1; i >= 0; --i) p = p * q + T(1) / T(2 * i + 1);
    return T(2) * s * p;
}

// x P(x^2) / Q(x^2), degrees 11 and 6: our own minimax fit of the relative error on |x| <= 8, 2e-8 in exact arithmetic
// and 3.1e-7 in single precision.
SPINODE_INLINE inline Vec<float> tanh(Vec<float> x) {
    x = x < -8.0f ? splat(-8.0f) : x;
    x = x > 8.0f ? splat(8.0f) : x;
    const Vec<float> s = x * x;
    Vec<float> p = s * 2.350849614e-11f + -1.470417851e-08f;
    p = p * s + 9.878646424e-06f;
    p = p * s + 2.985860440e-03f;
    p = p * s + 1.297922201e-01f;
    p = p * s + 9.999999811e-01f;
    Vec<float> q = s * 2.372030282e-04f + 2.402791846e-02f;
    q = q * s + 4.631253805e-01f;
    q = q * s + 1.0f;
    return x * p / q;
}

SPINODE_INLINE inline Vec<double> tanh(Vec<double> x) {
    Vec<double> a = x < 0.0 ? -x : x;
    a = a > 20.0 ? splat(20.0) : a;
    const Vec<double> e = exp_less<double>(-2.0 * a, 1.0), t = -e / (e + 2.0);
    return x < 0.0 ? -t : t;
}

template <class T>
inline Vec<T> sigmoid(Vec<T> z) {
    return T(1) / (exponential<T>(-z) + T(1));
}

// As torch has it: from 20 on softplus(z) is z.
template <class T>
inline Vec<T> softplus(Vec<T> z) {
    const Vec<T> smooth = (z > T(0) ? z : Vec<T>{}) + log_one_plus<T>(exponential<T>(z < T(0) ? z : -z));
    return z > T(20) ? z : smooth;
}

// Memory on the boundary of a register, uninitialised.
template <class T>
class Buffer {
  public:
    Buffer() { resize(0); }
    explicit Buffer(size_t size) { resize(size); }
    Buffer(const Buffer&) = delete;
    Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(data_, other.data_);
        return *this;
    }
    ~Buffer() { std::free(data_); }

    void resize(size_t size) {
        std::free(data_);
        data_ = nullptr;
        const size_t bytes = (size * sizeof(T) + 127) / 64 * 64;  // never empty
        if (size > SIZE_MAX / sizeof(T) / 2 || posix_memalign(&data_, 64, bytes)) {
            data_ = nullptr;
            throw std::bad_alloc();
        }
    }
    void clear(size_t size) {
        resize(size);
        for (size_t i = 0; i < size; ++i) (*this)[i] = T(0);
    }
    T* get() { return static_cast<T*>(data_); }
    const T* get() const { return static_cast<const T*>(data_); }
    T& operator[](size_t i) { return get()[i]; }

  private:
    void* data_ = nullptr;
};

}  // namespace SPINODE_ISA
}  // namespace spinode
