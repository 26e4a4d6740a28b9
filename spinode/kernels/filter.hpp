// A Kalman filter over recordings of memory devices, see filter.cpp; arrays of (count, lanes), row by row.
#pragma once

#include <cstdint>

namespace spinode {

struct Filter {
    int64_t count, lanes;                             // reads and recordings
    const double *reads, *drift, *slope, *reference;  // (count) or (count - 1), each of lanes
    const double *process, *read, *decay;
    const double *memory, *depth, *depth_variance;  // (lanes)
    const uint8_t *seen, *filled;                   // (count, lanes)
    double* loglik;                                 // (lanes)
    double *innovation, *variance, *mean, *gain;    // (count, lanes), the last two three times; null if only loglik is needed
};

void filter(const Filter& job);

// d loglik / d drift at constant gains; reads innovation, variance and gain. Result (count - 1, lanes).
void filter_gradient(const Filter& job, double* gradient);

}  // namespace spinode
