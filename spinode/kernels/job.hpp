// The arguments of the kernels: plain numbers and strided views, the same for every instruction set.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace spinode {

enum Activation { TANH, SILU, SOFTPLUS, RELU };
enum Method { EULER, HEUN, RK4 };

// f(x, u): rates of the chain, then W_out a(... a(W_1 z + b_1) ...) + b_out [+ S z + s], with z = (x, u).
struct Field {
    int state, drive, rates;
    std::vector<int> hidden;
    Activation activation;
    bool skip;                   // the linear path S z + s parallel to the hidden layers
    std::vector<double> ratios;  // dx_j/dt = ratios[j] x_{j + rates}, for the state - rates values above the learned ones

    int inputs() const { return state + drive; }

    // Length of theta: per layer a matrix, row by row, then its bias; hidden layers, output, skip.
    int64_t weights() const {
        int64_t total = 0;
        int width = inputs();
        for (int next : hidden) total += int64_t(next) * (width + 1), width = next;
        total += int64_t(rates) * (width + 1);
        return skip ? total + int64_t(rates) * (inputs() + 1) : total;
    }
};

// A tensor of shape (member, lane, time, stage, feature) by its strides in elements; unused dimensions have stride 0.
struct View {
    void* data = nullptr;
    int64_t member = 0, lane = 0, time = 0, stage = 0, feature = 0;
};

struct Rollout {
    Field field;
    Method method;
    int64_t members, lanes, steps;
    double dt, limit;
    int threads;
    View theta;    // (member, , , , weights); weights contiguous
    View state;    // (member, lane, , , state)
    View stages;   // (member, lane, time, 3, drive)
    View noise;    // (member, lane, time, , state); no data for none
    View states;   // (member, lane, time + 1, , state): written forward, read backward
    bool initial;  // true if `states`, and their gradient, include the initial state
    void* tape;    // intermediate results of every step for the adjoint, or null: then it evaluates the stages again
};

struct Adjoint {
    View grad;   // (member, lane, time + 1, , state)
    View theta;  // gradients out; no data if not requested
    View state;
    View stages;
    View noise;
};

// Gauss-Newton equations of free runs through windows, see shooting.hpp. The windows are the lanes of `run`, one step a sample.
struct Shooting {
    Rollout run;                  // one member; its states are those of the free runs
    int64_t feedthrough;          // number of unknowns in addition to the weights
    View jacobian;                // (, window, time + 1, feedthrough, state): d measured state / d feedthrough
    View residuals;               // (, window, time, , state): weighted, of compared values
    std::vector<double> weights;  // (state): of each state value in the residual, 0 where it is not compared
    bool free;                    // true if the initial states are unknowns, to be eliminated by the caller
    double* matrix;               // (size, size) with size = weights + feedthrough; its lower triangle is written
    double* gradient;             // (size)
    double* blocks;               // (window, state, state): initial' initial
    double* coupling;             // (window, state, size): initial' slopes
    double* pull;                 // (window, state): initial' residuals
};

enum OnlineRule {
    SGD,
    SGD_PENALTY,
    SGD_STREAM,
    MESU,
    MESU_CLAMP,
    BGD,
    BGD_PUBLISHED,
    BIMU_RELU,
    BIMU_GATE,
    BIMU_RELU_NORMALISED,
    BIMU_GATE_NORMALISED,
    BIMU_RELU_RELAXED,
    BIMU_GATE_RELAXED,
    BIMU_RELU_NORMALISED_RELAXED,
    BIMU_GATE_NORMALISED_RELAXED
};

// Online learning of a two-layer perceptron, see online.hpp. Arrays are contiguous; their type is that of the kernel.
struct Online {
    OnlineRule rule;
    int64_t steps, features, hidden, classes, samples;  // no samples: weights are not drawn
    std::array<double, 6> numbers;                      // of the rule, see there
    const void* inputs;                                 // (steps, features)
    const int64_t* labels;                              // (steps)
    const void* noise;                                  // (steps, samples, hidden + classes), or null: drawn with the key
    uint64_t key;                                       // of noise that is drawn here, see normal.hpp
    std::array<void*, 5> state[2];                      // arrays of each layer, as the rule names them
    void* losses;                                       // (steps), out
};

// One step of Adam with metaplastic weights, see metaplastic.hpp.
struct Metaplastic {
    int64_t count, levels;  // levels of the quantiser, 0 for a sign
    int threads;
    double beta1, beta2, rate, root_scale, eps, decay, m,
        spacing;  // rate / (1 - beta1^t), 1 / sqrt(1 - beta2^t); of the levels
    std::array<void*, 5>
        data;  // weight, gradient, averages of it and of its square; quantised weight that the network uses, or null
};

// Steps of a magnetic film between two evaluations of its stray field, see film.hpp. Arrays are contiguous, (rows + 2, stride)
// a cell value: a frame of empty cells around the film. Their type is that of the kernel.
struct Film {
    int64_t rows, stride, steps;
    double dt;  // gamma0 times the step [m/A]
    std::array<double, 13>
        numbers;  // alpha, exchange, per DMI, per DMI^2, demagnetising; p (3), P, asymmetry, field-like; beta; thermal
    std::array<double, 8> begin, end;  // anisotropy, DMI, field (3), spin, flow (2) at the start and at the end, linear between
    const void* cells;                 // (11) constants of the cells
    const void* stray;                 // (6): stray field at the start, and its change in a step
    void* m;                           // (3), in place
    int64_t first;                     // number of the first step, for the noise
    uint64_t key;                      // of the noise
};

// Free runs of latent modes, see latent.hpp. Arrays are contiguous.
struct Latent {
    int modes, inputs, outputs, drives, hidden, readout, substeps;
    int64_t lanes, steps;
    int threads;
    double limit;
    const double* theta;    // weights, in the order of surrogates/neural_ode/latent/layout.py
    const double* core;     // (mode, 3, 3, 2): value, slope in log g, slope in w; of E, gamma, beta; real and imaginary part
    const double* state;    // (lane, state): initial states; with slopes, the last state is written there
    const double* drive;    // (lane, step, 2, input): at the start and at the end of each step
    const double* settled;  // (lane, sample, drive)
    double* states;         // (lane, sample, state), or null
    double* result;         // (lane, sample, output)
    double* slopes;         // (state, weights + state, padded), in and out, or null; then there is one lane, and no last sample
    double* jacobian;       // (sample, output, weights + state)
};

// One entry for each instruction set and precision.
struct Kernels {
    int64_t (*tape)(const Rollout&);  // length of the tape, in elements
    void (*forward)(const Rollout&);
    void (*backward)(const Rollout&, const Adjoint&);
    void (*shooting)(const Shooting&);
    int64_t (*learn)(const Online&);  // the step whose loss was not finite, or the number of steps
    void (*metaplastic)(const Metaplastic&);
    void (*noise)(uint64_t key, int64_t first, int64_t steps, int64_t count, void* out);  // (steps, count) normal numbers
    void (*film)(const Film&);
    bool (*latent)(const Latent&);  // false if a run with slopes left its limit
};

namespace portable {
extern const Kernels f32, f64;
}
namespace avx2 {
extern const Kernels f32, f64;
}
namespace avx512 {
extern const Kernels f32, f64;
}

}  // namespace spinode
