// A layer of leaky integrate-and-fire neurons that compete, and its plasticity, see spiking.cpp. Arrays are row by row.
#pragma once

#include <array>
#include <cstdint>

namespace spinode {

enum Plasticity { FROZEN, SWITCHING, PAUSING };

struct Spiking {
    int64_t images, inputs, outputs, steps;
    Plasticity plasticity;         // weights constant; changed by the law; or constant, with a return after each output spike
    std::array<double, 11> time;   // see the members of Network
    std::array<double, 13> law;    // see the members of Law
    const double* currents;        // (images, inputs)
    const double* strength;        // (inputs, outputs): factor of each device's steps, or null
    double* pre;                   // (2, inputs): potential, time until released
    double* post;                  // (5, outputs): potential, time until released, time inhibited, adaptation, current
    double* weights;               // (inputs, outputs), 0 to 1
    int64_t* spikes;               // (images, outputs), counted up
    int64_t* counts;               // updates, SET and RESET pulses, counted up; neuron that fired last
    uint64_t key;                  // of the random numbers
    int64_t position;              // step at which to begin, image * steps + step
};

// The step after the last one; images * steps at the end.
int64_t run_spiking(const Spiking& job);

}  // namespace spinode
