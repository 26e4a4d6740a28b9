// The network of training/spiking/plain.py, step by step: input neurons, output neurons of which one wins, and its synapses.
#include "spiking.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#ifdef SPINODE_X86
#include <immintrin.h>
#endif

// Counter-based random numbers, built for the baseline instruction set only.
#define SPINODE_ISA spiking_random
#define SPINODE_BYTES 16
#include "normal.hpp"

namespace spinode {

namespace {

// Constants of the network, in the order of the job; times in seconds, the threshold is 1.
struct Network {
    double dt, tau_in, rest_in, tau_out, rest_out, gain, tau_synapse, inhibition, increment, tau_adaptation, gap;

    explicit Network(const std::array<double, 11>& t)
        : dt(t[0]), tau_in(t[1]), rest_in(t[2]), tau_out(t[3]), rest_out(t[4]), gain(t[5]), tau_synapse(t[6]),
          inhibition(t[7]), increment(t[8]), tau_adaptation(t[9]), gap(t[10]) {}
};

// dW = rate (1 - W)^g+ (e^(a+ (s+ v - t+)) - 1) with v = -V > t+ / s+, and likewise with W where V is positive.
struct Law {
    double rate, gamma[2], alpha[2], threshold[2], scale[2], floor, spread, levels, low;

    explicit Law(const std::array<double, 13>& l)
        : rate(l[0]), gamma{l[1], l[2]}, alpha{l[3], l[4]}, threshold{l[5], l[6]}, scale{l[7], l[8]}, floor(l[9]),
          spread(l[10]), levels(l[11]), low(l[12]) {}

    static double power(double x, double exponent) { return exponent == 1 ? x : std::pow(x, exponent); }

    // Positive for a SET pulse, negative for RESET, 0 where the voltage stays below the threshold.
    double step(double weight, double v) const {
        const int side = v > 0;
        const double over = std::abs(v) * scale[side] - threshold[side];
        if (!(over > 0)) return 0;
        const double drive = rate * (std::exp(alpha[side] * over) - 1);
        return side ? (weight > floor ? -power(weight, gamma[1]) : -1) * drive : power(1 - weight, gamma[0]) * drive;
    }
};

// Exact over the part of a step for which a neuron is not refractory.
double approach(double v, double current, double time, double tau) { return v + (current - v) * (1 - std::exp(-time / tau)); }

// Time at which v crossed the threshold, from the start of the step at whose end it was reached.
double crossing(double v, double current, double dt, double tau) {
    if (!(current > v)) return 0;  // it was above the threshold before
    return std::max(dt + tau * std::log1p(-(v - 1) / (current - 1)), 0.0);
}

class Run {
  public:
    explicit Run(const Spiking& job)
        : job_(job), net_(job.time), law_(job.law), share_in_(1 - std::exp(-net_.dt / net_.tau_in)),
          share_out_(1 - std::exp(-net_.dt / net_.tau_out)),
          keep_(net_.tau_synapse > 0 ? std::exp(-net_.dt / net_.tau_synapse) : 0), fired_(size_t(job.inputs)),
          sums_(size_t(job.outputs)), words_(law_.spread > 0 || law_.levels > 0 ? size_t(4 * stretch()) : 0) {
        fired_.clear();
        double* post[] = {job.post, job.post + job.outputs, job.post + 2 * job.outputs, job.post + 3 * job.outputs,
                          job.post + 4 * job.outputs};
        std::copy(post, post + 5, post_);
    }

    int64_t run() {
        const int64_t end = job_.images * job_.steps;
        for (int64_t at = job_.position; at < end;) {
            const int64_t image = at / job_.steps;
            if (at % job_.steps == 0 && net_.gap > 0) rest();
            inputs(job_.currents + image * job_.inputs);
            const int64_t winner = outputs();
            ++at;
            if (winner < 0) continue;
            ++job_.spikes[image * job_.outputs + winner];
            job_.counts[3] = winner;
            if (job_.plasticity == PAUSING) return at;
            if (job_.plasticity == SWITCHING) learn(winner);
        }
        job_.counts[3] = -1;
        return end;
    }

  private:
    // Between two images nothing arrives, and everything decays.
    void rest() {
        const auto decay = [&](double* values, int64_t count, double tau) {
            const double kept = tau > 0 ? std::exp(-net_.gap / tau) : 0;
            for (int64_t i = 0; i < count; ++i) values[i] *= kept;
        };
        decay(job_.pre, job_.inputs, net_.tau_in);
        decay(post_[0], job_.outputs, net_.tau_out);
        decay(post_[3], job_.outputs, net_.tau_adaptation);
        decay(post_[4], job_.outputs, net_.tau_synapse);
        for (int64_t i = 0; i < job_.inputs; ++i) job_.pre[job_.inputs + i] -= net_.gap;
        for (int64_t j = 0; j < job_.outputs; ++j) {
            post_[1][j] -= net_.gap;
            post_[2][j] = std::max(post_[2][j] - net_.gap, 0.0);
        }
    }

    void inputs(const double* current) {
        double *v = job_.pre, *wait = job_.pre + job_.inputs;
        fired_.clear();
        for (int64_t i = 0; i < job_.inputs; ++i) {  // a loop without branches, which becomes vectors
            wait[i] -= net_.dt;
            v[i] += wait[i] > 0 ? 0.0 : share_in_ * (current[i] - v[i]);
        }
        for (int64_t i = 0; i < job_.inputs; ++i) {
            if (wait[i] > 0 && wait[i] < net_.dt) v[i] = approach(v[i], current[i], net_.dt - wait[i], net_.tau_in);
            if (v[i] <= 1) continue;
            wait[i] = net_.rest_in + crossing(v[i], current[i], net_.dt, net_.tau_in);
            v[i] = -1;
            fired_.push_back(i);
        }
    }

    // The neuron that fires, or -1.
    int64_t outputs() {
        const int64_t count = job_.outputs;
        double *v = post_[0], *wait = post_[1], *inhibited = post_[2], *adaptation = post_[3], *current = post_[4];
        std::fill(sums_.begin(), sums_.end(), 0.0);
        for (const int64_t i : fired_) {
            const double* row = job_.weights + i * count;
            for (int64_t j = 0; j < count; ++j) sums_[size_t(j)] += row[j];
        }
        const double base = law_.low * double(fired_.size());
        int64_t winner = 0;
        for (int64_t j = 0; j < count; ++j) {
            current[j] = keep_ * current[j] + (1 - keep_) * (base + (1 - law_.low) * sums_[size_t(j)]);
            const double drive = net_.gain * current[j] - adaptation[j];
            wait[j] -= net_.dt;
            if (wait[j] <= 0)
                v[j] += share_out_ * (drive - v[j]);
            else if (wait[j] < net_.dt)
                v[j] = approach(v[j], drive, net_.dt - wait[j], net_.tau_out);
            if (v[j] > v[winner]) winner = j;
        }
        const bool fires = v[winner] > 1;
        if (fires) {
            const double drive = net_.gain * current[winner] - adaptation[winner];
            wait[winner] = net_.rest_out + crossing(v[winner], drive, net_.dt, net_.tau_out);
            v[winner] = 0;
        }
        const double decay = net_.dt / net_.tau_adaptation, half = net_.dt / 2;
        for (int64_t j = 0; j < count; ++j) {
            if (fires && j != winner && inhibited[j] <= half) inhibited[j] = net_.inhibition;
            if (inhibited[j] > half) {
                v[j] = 0;
                inhibited[j] -= net_.dt;
            }
            v[j] = std::max(v[j], -1.0);
            adaptation[j] -= decay * adaptation[j];
        }
        if (!fires) return -1;
        adaptation[winner] += net_.increment;
        return winner;
    }

    // Changes the synapses of a neuron by the potentials of their inputs.
    void learn(int64_t winner) {
        const double *v = job_.pre, levels = law_.levels - 1;
        const bool random = !words_.empty();
        if (random) draw(uint64_t(job_.counts[0]));
        ++job_.counts[0];
        for (int64_t i = 0; i < job_.inputs; ++i) {
            double& weight = job_.weights[i * job_.outputs + winner];
            double step = law_.step(weight, v[i]);
            const int side = v[i] > 0;
            if (std::abs(v[i]) * law_.scale[side] > law_.threshold[side]) ++job_.counts[1 + side];
            if (job_.strength) step *= job_.strength[i * job_.outputs + winner];
            if (random) step *= 1 + law_.spread * (2 * uniform(i) - 1);
            if (step == 0) continue;
            const double moved = std::min(std::max(weight + step, 0.0), 1.0);
            if (levels < 1) {
                weight = moved;
                continue;
            }
            const double place = moved * levels, below = std::floor(place);
            weight = (below + (uniform(job_.inputs + i) < place - below ? 1 : 0)) / levels;
        }
    }

    // Two uniform numbers for each input, by their place: the words of a counter, one stretch after the other.
    void draw(uint64_t update) {
        constexpr int N = 4 * spiking_random::WIDE;
        const int64_t length = stretch();
        uint32_t words[4][N];
        for (int64_t first = 0; first < length; first += N) {
            spiking_random::philox(job_.key, uint64_t(first), update, words);
            const int64_t count = std::min(int64_t(N), length - first);
            for (int word = 0; word < 4; ++word) std::copy(words[word], words[word] + count, &words_[word * length + first]);
        }
    }
    double uniform(int64_t i) const { return (words_[size_t(i)] + 0.5) * 0x1p-32; }
    int64_t stretch() const { return (2 * job_.inputs + 3) / 4; }

    const Spiking& job_;
    const Network net_;
    const Law law_;
    const double share_in_, share_out_, keep_;
    std::vector<int64_t> fired_;
    std::vector<double> sums_;
    std::vector<uint32_t> words_;
    double* post_[5];
};

}  // namespace

int64_t run_spiking(const Spiking& job) { return Run(job).run(); }

}  // namespace spinode
