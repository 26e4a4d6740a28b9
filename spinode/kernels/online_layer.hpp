// The arrays of one layer of online learning, padded to full registers.
#pragma once

#include "online_rules.hpp"

namespace spinode {
namespace SPINODE_ISA {

// Sum of the numbers of a register, by halves.
template <class T>
SPINODE_INLINE inline T total(Vec<T> v) {
#ifdef __clang__
    T part[LANES<T>];
    store(part, v);
    for (int half = LANES<T> / 2; half; half /= 2)
        for (int i = 0; i < half; ++i) part[i] += part[i + half];
    return part[0];
#else
    each<LANES<T> == 16  ? 4
         : LANES<T> == 8 ? 3
         : LANES<T> == 4 ? 2
                         : 1>([&](auto level) {
        typename Simd<T>::I order;
        for (int i = 0; i < LANES<T>; ++i) order[i] = i ^ (LANES<T> >> (level + 1));
        v += __builtin_shuffle(v, order);
    });
    return v[0];
#endif
}

template <class T>
inline int64_t padded(int64_t count) {
    return (count + LANES<T> - 1) / LANES<T> * LANES<T>;
}

// The arrays of a layer: the rows of all of them side by side, padded with zeros.
template <class T>
class Layer {
  public:
    Layer(const std::array<void*, 5>& given, int64_t rows, int64_t columns, int scratch)
        : given_(given), rows_(rows), columns_(columns), stride_(padded<T>(columns)) {
        for (int a = 0; a < 5; ++a) place_[a] = given[a] || (a > 0 && a <= scratch) ? count_++ : -1;
        kept_.clear(size_t(rows * count_ * stride_));
        for (int a = 0; a < 5; ++a)
            for (int64_t i = 0; given[a] && i < rows; ++i) std::copy_n(from(a) + i * columns, columns, row(i).at[a]);
    }
    void write_back() {
        for (int a = 0; a < 5; ++a)
            for (int64_t i = 0; given_[a] && i < rows_; ++i) std::copy_n(row(i).at[a], columns_, from(a) + i * columns_);
    }
    Row<T> row(int64_t i) {
        Row<T> result;
        for (int a = 0; a < 5; ++a) result.at[a] = place_[a] < 0 ? nullptr : kept_.get() + (i * count_ + place_[a]) * stride_;
        return result;
    }

  private:
    T* from(int a) { return static_cast<T*>(given_[a]); }

    std::array<void*, 5> given_;
    int64_t rows_, columns_, stride_;
    int count_ = 0, place_[5];
    Buffer<T> kept_;
};

}  // namespace SPINODE_ISA
}  // namespace spinode
