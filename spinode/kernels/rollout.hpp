// The time loop inside a tile of lanes, forward and backward, over any form of the network.
#pragma once

#include <atomic>
#include <cmath>
#include <exception>
#include <mutex>
#include <thread>

#include "lanes.hpp"
#include "row.hpp"

namespace spinode {
namespace SPINODE_ISA {

// An explicit method whose stages each start from the slope of the one before.
struct Scheme {
    int stages;
    double reach[4];   // stage i starts from x + reach dt k_{i-1}
    double weight[4];  // x + dt sum weight k
    int node[4];       // which of (start, middle, end) its drive is
    bool noisy;        // whether later stages see the step's increment of the noise
};

inline const Scheme& scheme(Method method) {
    static const Scheme euler{1, {0}, {1}, {0}, false};
    static const Scheme heun{2, {0, 1}, {0.5, 0.5}, {0, 2}, true};
    static const Scheme rk4{4, {0, 0.5, 0.5, 1}, {1. / 6, 1. / 3, 1. / 3, 1. / 6}, {0, 1, 1, 2}, false};
    return method == EULER ? euler : method == HEUN ? heun : rk4;
}

// Calls work(i) for i < count on several threads.
template <class Work>
inline void parallel(int64_t count, int threads, const Work& work) {
    std::atomic<int64_t> next{0};
    std::exception_ptr failure;
    std::mutex guard;
    const auto loop = [&] {
        try {
            for (int64_t i; (i = next++) < count;) work(i);
        } catch (...) {
            const std::lock_guard<std::mutex> lock(guard);
            failure = std::current_exception();
        }
    };
    std::vector<std::thread> others;
    const int64_t wanted = std::min<int64_t>(threads, count) - 1;
    for (int64_t i = 0; i < wanted; ++i) {
        try {
            others.emplace_back(loop);
        } catch (const std::system_error&) {
            break;  // no more threads to be had: the ones there do the work
        }
    }
    loop();
    for (std::thread& other : others) other.join();
    if (failure) std::rethrow_exception(failure);
}

// `count` features of W lanes from `lane` on. Lanes beyond the last repeat it: they stay as finite as it is.
template <class T, int W>
inline void read(const View& view, int64_t member, int64_t lane, int64_t lanes, int64_t time, int64_t stage, int count, T* out) {
    const T* from = static_cast<const T*>(view.data) + member * view.member + lane * view.lane + time * view.time + stage * view.stage;
    const int valid = int(std::min<int64_t>(W, lanes - lane));
    for (int f = 0; f < count; ++f, from += view.feature, out += W) {
        if (valid == W && view.lane == 1) {
            std::copy(from, from + W, out);
        } else {
            for (int i = 0; i < valid; ++i) out[i] = from[i * view.lane];
            std::fill(out + valid, out + W, out[valid - 1]);
        }
    }
}

// As `read`, with zeros beyond the last lane, added to `out`.
template <class T, int W>
inline void add(const View& view, int64_t member, int64_t lane, int64_t lanes, int64_t time, int count, T* out) {
    const T* from = static_cast<const T*>(view.data) + member * view.member + lane * view.lane + time * view.time;
    const int valid = int(std::min<int64_t>(W, lanes - lane));
    for (int f = 0; f < count; ++f, from += view.feature, out += W) {
        if (valid == W && view.lane == 1)
            for (int i = 0; i < W; ++i) out[i] += from[i];
        else
            for (int i = 0; i < valid; ++i) out[i] += from[i * view.lane];
    }
}

template <class T, int W>
inline void write(const View& view, int64_t member, int64_t lane, int64_t lanes, int64_t time, int64_t stage, int count, const T* in) {
    T* to = static_cast<T*>(view.data) + member * view.member + lane * view.lane + time * view.time + stage * view.stage;
    const int valid = int(std::min<int64_t>(W, lanes - lane));
    for (int f = 0; f < count; ++f, to += view.feature, in += W) {
        if (valid == W && view.lane == 1)
            std::copy(in, in + W, to);
        else
            for (int i = 0; i < valid; ++i) to[i * view.lane] = in[i];
    }
}

// One step and its adjoint for W lanes.
template <class T, class Net>
class Stepper {
  public:
    static constexpr int W = Net::W;

    Stepper(const Rollout& job, int64_t member, bool adjoint)
        : job_(job), scheme_(scheme(job.method)), member_(member), size_(job.field.state * W),
          net(job.field, static_cast<const T*>(job.theta.data) + member * job.theta.member, adjoint),
          rates_(size_t(4) * size_), noise_(size_), pull_(size_), inputs_(size_t(job.field.inputs()) * W) {}

    int stages() const { return scheme_.stages; }

    // Evaluates the stages of a step from `x` into `slots`; their rates stay in `rates_`.
    void evaluate(int64_t lane, int64_t time, const T* x, T* slots, int64_t slot_step) {
        const Field& field = job_.field;
        if (job_.noise.data) read<T, W>(job_.noise, member_, lane, job_.lanes, time, 0, field.state, noise_.get());
        for (int s = 0; s < scheme_.stages; ++s, slots += slot_step) {
            const T reach = T(scheme_.reach[s] * job_.dt);
            const T* before = rates_.get() + (s - 1) * size_;
            if (s)
                for (int i = 0; i < size_; ++i) slots[i] = x[i] + reach * before[i];
            else
                std::copy(x, x + size_, slots);
            if (s && scheme_.noisy && job_.noise.data)
                for (int i = 0; i < size_; ++i) slots[i] += noise_[i];
            read<T, W>(job_.stages, member_, lane, job_.lanes, time, scheme_.node[s], field.drive, slots + size_);
            net.eval(slots, rates_.get() + s * size_);
        }
    }

    // x after the step whose stages were evaluated.
    void advance(T* x) const {
        for (int s = 0; s < scheme_.stages; ++s) {
            const T weight = T(scheme_.weight[s] * job_.dt);
            const T* k = rates_.get() + s * size_;
            for (int i = 0; i < size_; ++i) x[i] += weight * k[i];
        }
        if (job_.noise.data)
            for (int i = 0; i < size_; ++i) x[i] += noise_.get()[i];
        const T limit = T(job_.limit);
        for (int i = 0; i < size_; ++i) {
            x[i] = x[i] < -limit ? -limit : x[i];
            x[i] = x[i] > limit ? limit : x[i];
        }
    }

    // From the adjoint of the state after a step to that before it; `drives` (3, drive, W) takes that of its stages.
    void back(T* adjoint, const T* slots, int64_t slot_step, T* deltas, int64_t delta_step, T* drives, T* noise) {
        const int drive = job_.field.drive * W;
        std::copy(adjoint, adjoint + size_, rates_.get());  // what every stage's rate weighs
        std::copy(adjoint, adjoint + size_, noise);
        std::fill(drives, drives + 3 * drive, T(0));
        const T* end = rates_.get();
        for (int s = scheme_.stages - 1; s >= 0; --s) {
            const T weight = T(scheme_.weight[s] * job_.dt);
            const T reach = s + 1 < scheme_.stages ? T(scheme_.reach[s + 1] * job_.dt) : T(0);
            for (int i = 0; i < size_; ++i) pull_[i] = weight * end[i];
            if (s + 1 < scheme_.stages)
                for (int i = 0; i < size_; ++i) pull_[i] += reach * inputs_[i];
            net.back(slots + s * slot_step, pull_.get(), deltas + s * delta_step, inputs_.get());
            for (int i = 0; i < size_; ++i) adjoint[i] += inputs_[i];
            if (s && scheme_.noisy)
                for (int i = 0; i < size_; ++i) noise[i] += inputs_[i];
            T* to = drives + scheme_.node[s] * drive;
            for (int i = 0; i < drive; ++i) to[i] += inputs_[size_ + i];
        }
    }

    // Forward run of W lanes.
    void run(int64_t lane) {
        const int state = job_.field.state;
        Buffer<T> x(size_), slot(net.slot());
        read<T, W>(job_.state, member_, lane, job_.lanes, 0, 0, state, x.get());
        write<T, W>(job_.states, member_, lane, job_.lanes, 0, 0, state, x.get());
        for (int64_t t = 0; t < job_.steps; ++t) {
            evaluate(lane, t, x.get(), slot.get(), 0);
            advance(x.get());
            write<T, W>(job_.states, member_, lane, job_.lanes, t + 1, 0, state, x.get());
        }
    }

    // Adjoint of `run`, from the states that it wrote. Steps are taken in chunks: their stages are evaluated anew, then
    // walked backward, then the weights' gradients of all of them are summed at once.
    void run_back(const Adjoint& out, int64_t lane, double* total) {
        const Field& field = job_.field;
        const int count = scheme_.stages, state = field.state, drive = field.drive;
        const int64_t slot = net.slot(), delta = net.delta_slot();
        const int64_t chunk = std::max<int64_t>(1, std::min<int64_t>(16, CHUNK_BYTES / ((slot + delta) * count * int64_t(sizeof(T)))));
        Buffer<T> slots(size_t(chunk) * count * slot), deltas(size_t(chunk) * count * delta), x(size_), adjoint(size_), noise(size_),
            drives(size_t(3) * drive * W);
        std::fill(adjoint.get(), adjoint.get() + size_, T(0));
        const T limit = T(job_.limit);
        int64_t since = 0;
        for (int64_t end = job_.steps; end > 0; end -= std::min(chunk, end)) {
            const int64_t first = end - std::min(chunk, end);
            for (int64_t t = end - 1; t >= first; --t) {
                T* here = slots.get() + (t - first) * count * slot;
                add<T, W>(out.grad, member_, lane, job_.lanes, t + 1, state, adjoint.get());
                read<T, W>(job_.states, member_, lane, job_.lanes, t + 1, 0, state, x.get());
                for (int i = 0; i < size_; ++i) adjoint[i] = x[i] > -limit && x[i] < limit ? adjoint[i] : T(0);
                read<T, W>(job_.states, member_, lane, job_.lanes, t, 0, state, x.get());
                evaluate(lane, t, x.get(), here, slot);
                back(adjoint.get(), here, slot, deltas.get() + (t - first) * count * delta, delta, drives.get(), noise.get());
                if (out.stages.data)
                    for (int s = 0; s < 3; ++s)
                        write<T, W>(out.stages, member_, lane, job_.lanes, t, s, drive, drives.get() + s * drive * W);
                if (out.noise.data) write<T, W>(out.noise, member_, lane, job_.lanes, t, 0, state, noise.get());
            }
            if (total) {
                net.accumulate(slots.get(), deltas.get(), (end - first) * count);
                // Long sums are carried on in double precision.
                if ((since += (end - first) * count) > 4096) net.collect(total), since = 0;
            }
        }
        if (out.state.data) {
            add<T, W>(out.grad, member_, lane, job_.lanes, 0, state, adjoint.get());
            write<T, W>(out.state, member_, lane, job_.lanes, 0, 0, state, adjoint.get());
        }
    }

  private:
    // What a chunk may take of the second-level cache.
    static constexpr int64_t CHUNK_BYTES = 512 * 1024;

    const Rollout& job_;
    const Scheme& scheme_;
    const int64_t member_;
    const int size_;

  public:
    Net net;

  private:
    Buffer<T> rates_, noise_, pull_, inputs_;
};

// Multiplications and additions below which a second thread costs more than it does.
constexpr double WORTH_A_THREAD = 4e6;

inline int threads_for(const Rollout& job) {
    const double work = double(job.members) * double(job.lanes) * double(job.steps) * scheme(job.method).stages * double(job.field.weights());
    return work < WORTH_A_THREAD ? 1 : job.threads;
}

// Tiles of lanes that one thread takes at a time. Gradients are summed within a group, then group by group in their order: the
// result depends on the shapes alone, not on the number of threads.
inline int64_t groups_of(int64_t members, int64_t tiles) { return std::max<int64_t>(1, std::min(tiles, 64 / members)); }

template <class T, class Net>
void forward_tiles(const Rollout& job) {
    const int64_t tiles = (job.lanes + Net::W - 1) / Net::W, groups = groups_of(job.members, tiles);
    parallel(job.members * groups, threads_for(job), [&](int64_t unit) {
        const int64_t group = unit % groups;
        Stepper<T, Net> stepper(job, unit / groups, false);
        for (int64_t tile = tiles * group / groups; tile < tiles * (group + 1) / groups; ++tile) stepper.run(tile * Net::W);
    });
}

template <class T, class Net>
void backward_tiles(const Rollout& job, const Adjoint& out) {
    const int64_t tiles = (job.lanes + Net::W - 1) / Net::W, groups = groups_of(job.members, tiles), size = job.field.weights();
    const bool wanted = out.theta.data != nullptr;
    Buffer<double> totals;
    totals.clear(wanted ? size_t(job.members) * groups * size : 0);
    parallel(job.members * groups, threads_for(job), [&](int64_t unit) {
        const int64_t group = unit % groups;
        double* total = wanted ? totals.get() + unit * size : nullptr;
        Stepper<T, Net> stepper(job, unit / groups, true);
        int64_t since = 0;
        for (int64_t tile = tiles * group / groups; tile < tiles * (group + 1) / groups; ++tile) {
            stepper.run_back(out, tile * Net::W, total);
            if (wanted && ++since == 1024) stepper.net.collect(total), since = 0;
        }
        if (wanted) stepper.net.collect(total);
    });
    if (!wanted) return;
    for (int64_t member = 0; member < job.members; ++member) {
        T* to = static_cast<T*>(out.theta.data) + member * out.theta.member;
        for (int64_t i = 0; i < size; ++i) {
            double sum = 0;
            for (int64_t group = 0; group < groups; ++group) sum += totals[(member * groups + group) * size + i];
            to[i] = T(sum);
        }
    }
}

// Which form of the network: features in the lanes for a few devices, else tiles as wide as the batch fills twice.
template <class T, class Row, class One, class Two, class Four>
void choose(int64_t lanes, Row row, One one, Two two, Four four) {
    if (lanes * 4 <= LANES<T>)
        row();
    else if (lanes <= LANES<T>)
        one();
    else if (lanes < 8 * LANES<T> || SPINODE_REGISTERS < 32)
        two();
    else
        four();
}

template <class T>
void forward(const Rollout& job) {
    choose<T>(
        job.lanes, [&] { forward_tiles<T, RowNet<T>>(job); }, [&] { forward_tiles<T, LaneNet<T, 1>>(job); },
        [&] { forward_tiles<T, LaneNet<T, 2>>(job); },
        [&] { forward_tiles<T, LaneNet<T, SPINODE_REGISTERS < 32 ? 2 : 4>>(job); });
}

template <class T>
void backward(const Rollout& job, const Adjoint& out) {
    choose<T>(
        job.lanes, [&] { backward_tiles<T, RowNet<T>>(job, out); }, [&] { backward_tiles<T, LaneNet<T, 1>>(job, out); },
        [&] { backward_tiles<T, LaneNet<T, 2>>(job, out); },
        [&] { backward_tiles<T, LaneNet<T, SPINODE_REGISTERS < 32 ? 2 : 4>>(job, out); });
}

}  // namespace SPINODE_ISA
}  // namespace spinode
