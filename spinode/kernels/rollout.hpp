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
    bool noisy;        // true if later stages include the step's noise increment
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

// A row of W lanes onto another.
template <class T, int W>
inline void copy(const T* from, T* to) {
    if constexpr (W == 1)
        *to = *from;
    else
        for (int i = 0; i < W; i += LANES<T>) store<T>(to + i, load(from + i));
}

// Where a view has `lane` of `member` at `time`, for stages and features from 0.
template <class T>
inline T* at(const View& view, int64_t member, int64_t lane, int64_t time, int64_t stage = 0) {
    return static_cast<T*>(view.data) + member * view.member + lane * view.lane + time * view.time + stage * view.stage;
}

// `count` features of W lanes, of which `valid` exist. The others repeat the last: they stay as finite as it is.
template <class T, int W>
inline void read(const View& view, const T* from, int valid, int count, T* out) {
    for (int f = 0; f < count; ++f, from += view.feature, out += W) {
        if (valid == W && view.lane == 1) {
            copy<T, W>(from, out);
        } else {
            for (int i = 0; i < valid; ++i) out[i] = from[i * view.lane];
            for (int i = valid; i < W; ++i) out[i] = out[valid - 1];
        }
    }
}

// Adds features to `out`, nothing beyond the last lane.
template <class T, int W>
inline void add(const View& view, const T* from, int valid, int count, T* out) {
    for (int f = 0; f < count; ++f, from += view.feature, out += W) {
        if (valid == W && view.lane == 1)
            for (int i = 0; i < W; ++i) out[i] += from[i];
        else
            for (int i = 0; i < valid; ++i) out[i] += from[i * view.lane];
    }
}

template <class T, int W>
inline void write(const View& view, T* to, int valid, int count, const T* in) {
    for (int f = 0; f < count; ++f, to += view.feature, in += W) {
        if (valid == W && view.lane == 1)
            copy<T, W>(in, to);
        else
            for (int i = 0; i < valid; ++i) to[i * view.lane] = in[i];
    }
}

// The run of W lanes and its adjoint, tile after tile.
template <class T, class Net>
class Stepper {
  public:
    static constexpr int W = Net::W, N = LANES<T>;

    Stepper(const Rollout& job, int64_t member, bool adjoint)
        : job_(job),
          scheme_(scheme(job.method)),
          member_(member),
          size_((job.field.state * W + N - 1) / N * N),
          net_(job.field, static_cast<const T*>(job.theta.data) + member * job.theta.member, adjoint),
          slots_(scheme_.stages * net_.slot()),
          deltas_(scheme_.stages * net_.delta_slot()),
          scratch_(scheme_.stages * net_.slot()) {
        const size_t inputs = size_ + size_t(job.field.drive) * W;
        x_.clear(size_), rates_.clear(size_t(4) * size_ + N), noise_.clear(size_);
        if (!adjoint) return;
        capacity_ = std::max<int64_t>(4 / scheme_.stages,
                                      std::min<int64_t>(16, KEPT_BYTES / ((slots_ + deltas_) * int64_t(sizeof(T)))));
        if (!job.tape) scratch_.resize(capacity_ * slots_);
        kept_.resize(capacity_ * deltas_);
        adjoint_.clear(size_), noise_adjoint_.clear(size_), pull_.clear(size_), inputs_.clear(inputs);
        drives_.resize(size_t(3) * job.field.drive * W);
    }

    // Forward run of one tile.
    void run(int64_t tile) {
        const int state = job_.field.state;
        begin(tile);
        T* x = x_.get();
        read<T, W>(job_.state, at<T>(job_.state, member_, lane_, 0), valid_, state, x);
        if (job_.initial) write<T, W>(job_.states, at<T>(job_.states, member_, lane_, 0), valid_, state, x);
        for (int64_t t = 0; t < job_.steps; ++t) {
            evaluate(t, x, tape_ ? tape_ + t * slots_ : scratch_.get());
            advance(x);
            write<T, W>(job_.states, at<T>(job_.states, member_, lane_, t + 1), valid_, state, x);
        }
    }

    // Adjoint of `run`, from the states that it wrote. The stages of each step come from the tape, or are evaluated again. The
    // weights' gradients of several steps are summed at once; `total` receives them, if requested.
    void run_back(const Adjoint& out, int64_t tile, double* total) {
        const Field& field = job_.field;
        const int state = field.state, drive = field.drive;
        begin(tile);
        T *adjoint = adjoint_.get(), *x = x_.get();
        std::fill(adjoint, adjoint + size_, T(0));
        const T limit = T(job_.limit);
        for (int64_t t = job_.steps - 1; t >= 0; --t) {
            add<T, W>(out.grad, at<T>(out.grad, member_, lane_, t + 1), valid_, state, adjoint);
            read<T, W>(job_.states, at<T>(job_.states, member_, lane_, t + 1), valid_, state, x);
            for (int i = 0; i < size_; ++i) adjoint[i] = x[i] > -limit && x[i] < limit ? adjoint[i] : T(0);
            // From the end of the buffers on: in the order of the tape.
            ++held_;
            T* deltas = kept_.get() + (capacity_ - held_) * deltas_;
            T* slots = tape_ ? tape_ + t * slots_ : scratch_.get() + (capacity_ - held_) * slots_;
            if (!tape_) {
                const View& from = t ? job_.states : job_.state;
                read<T, W>(from, at<T>(from, member_, lane_, t), valid_, state, x);
                evaluate(t, x, slots);
            }
            back(adjoint, slots, deltas);
            if (out.stages.data)
                for (int s = 0; s < 3; ++s)
                    write<T, W>(out.stages, at<T>(out.stages, member_, lane_, t, s), valid_, drive,
                                drives_.get() + s * drive * W);
            if (out.noise.data)
                write<T, W>(out.noise, at<T>(out.noise, member_, lane_, t), valid_, state, noise_adjoint_.get());
            if (held_ == capacity_ || (tape_ && t == 0)) sum(total, slots);
        }
        if (out.state.data) {
            if (job_.initial) add<T, W>(out.grad, at<T>(out.grad, member_, lane_, 0), valid_, state, adjoint);
            write<T, W>(out.state, at<T>(out.state, member_, lane_, 0), valid_, state, adjoint);
        }
    }

    // The part of the weights' gradients that `run_back` has not added yet.
    void finish(double* total) {
        sum(total, scratch_.get() + (capacity_ - held_) * slots_);
        if (total) net_.collect(total);
    }

    // The parts, for those who walk by themselves: from a tile on, evaluate a step and go back through it.
    void begin(int64_t tile) {
        lane_ = tile * W;
        valid_ = int(std::min<int64_t>(W, job_.lanes - lane_));
        const int64_t tiles = (job_.lanes + W - 1) / W;
        tape_ = job_.tape ? static_cast<T*>(job_.tape) + (member_ * tiles + tile) * job_.steps * slots_ : nullptr;
    }
    const Net& net() const { return net_; }

    // Evaluates the stages of a step from `x` into `slots`; their rates stay in `rates_`.
    void evaluate(int64_t time, const T* x, T* slots) {
        const Field& field = job_.field;
        if (job_.noise.data) read<T, W>(job_.noise, at<T>(job_.noise, member_, lane_, time), valid_, field.state, noise_.get());
        for (int s = 0; s < scheme_.stages; ++s, slots += net_.slot()) {
            const T reach = T(scheme_.reach[s] * job_.dt);
            const T* before = rates_.get() + (s - 1) * size_;
            if (s)
                for (int i = 0; i < size_; i += N) store<T>(slots + i, load(x + i) + reach * load(before + i));
            else
                for (int i = 0; i < size_; i += N) store<T>(slots + i, load(x + i));
            if (s && scheme_.noisy && job_.noise.data) add_to(slots, noise_.get(), T(1));
            // After the state, over what it was padded with.
            read<T, W>(job_.stages, at<T>(job_.stages, member_, lane_, time, scheme_.node[s]), valid_, field.drive,
                       slots + field.state * W);
            net_.eval(slots, rates_.get() + s * size_);
        }
    }

    // From the adjoint of the state after a step to that before it; those of its drives and noise are left in the buffers.
    void back(T* adjoint, const T* slots, T* deltas) {
        const int drive = job_.field.drive * W;
        T *end = rates_.get(), *noise = noise_adjoint_.get(), *drives = drives_.get(), *pull = pull_.get(),
          *inputs = inputs_.get();
        for (int i = 0; i < size_; i += N) store<T>(end + i, load(adjoint + i)), store<T>(noise + i, load(adjoint + i));
        for (int i = 0; i < 3 * drive; ++i) drives[i] = T(0);
        for (int s = scheme_.stages - 1; s >= 0; --s) {
            const T weight = T(scheme_.weight[s] * job_.dt);
            for (int i = 0; i < size_; i += N) store<T>(pull + i, weight * load(end + i));
            if (s + 1 < scheme_.stages) add_to(pull, inputs, T(scheme_.reach[s + 1] * job_.dt));
            net_.back(slots + s * net_.slot(), pull, deltas + s * net_.delta_slot(), inputs);
            add_to(adjoint, inputs, T(1));
            if (s && scheme_.noisy) add_to(noise, inputs, T(1));
            T *to = drives + scheme_.node[s] * drive, *from = inputs + job_.field.state * W;
            for (int i = 0; i < drive; ++i) to[i] += from[i];
        }
    }

  private:
    // What the steps held may take of the second-level cache, unless they are fewer than four stages.
    static constexpr int64_t KEPT_BYTES = 128 * 1024;

    // x after the step whose stages were evaluated.
    void advance(T* x) const {
        for (int s = 0; s < scheme_.stages; ++s) add_to(x, rates_.get() + s * size_, T(scheme_.weight[s] * job_.dt));
        if (job_.noise.data) add_to(x, noise_.get(), T(1));
        const T limit = T(job_.limit);
        for (int i = 0; i < size_; i += N) {
            Vec<T> v = load(x + i);
            v = v < -limit ? splat(-limit) : v;
            store<T>(x + i, v > limit ? splat(limit) : v);
        }
    }

    // y += a x, over the padding of a single lane as well: it is written but never used.
    void add_to(T* y, const T* x, T a) const {
        for (int i = 0; i < size_; i += N) store<T>(y + i, load(y + i) + a * load(x + i));
    }

    void sum(double* total, const T* slots) {
        if (total && held_) {
            net_.accumulate(slots, kept_.get() + (capacity_ - held_) * deltas_, held_ * scheme_.stages);
            // Long sums are carried on in double precision.
            if ((summed_ += held_ * scheme_.stages) > 4096) net_.collect(total), summed_ = 0;
        }
        held_ = 0;
    }

    const Rollout& job_;
    const Scheme& scheme_;
    const int64_t member_;
    const int size_;
    Net net_;
    const int64_t slots_, deltas_;
    Buffer<T> x_, rates_, noise_, scratch_, kept_, adjoint_, noise_adjoint_, pull_, inputs_, drives_;
    int64_t capacity_ = 1, held_ = 0, summed_ = 0, lane_ = 0;
    int valid_ = 0;
    T* tape_ = nullptr;
};

// Multiplications and additions below which a second thread costs more than it does.
constexpr double WORTH_A_THREAD = 4e6;

inline int threads_for(const Rollout& job) {
    const double work =
        double(job.members) * double(job.lanes) * double(job.steps) * scheme(job.method).stages * double(job.field.weights());
    return work < WORTH_A_THREAD ? 1 : job.threads;
}

// Tiles of lanes that one thread takes at a time. Gradients are summed within a group, then group by group in their order: the
// result depends on the shapes alone, not on the number of threads.
inline int64_t groups_of(int64_t members, int64_t tiles) {
    return std::max<int64_t>(1, std::min(tiles, 16 / std::max<int64_t>(1, members)));
}

template <class T, class Net>
void forward_tiles(const Rollout& job) {
    const int64_t tiles = (job.lanes + Net::W - 1) / Net::W, groups = groups_of(job.members, tiles);
    parallel(job.members * groups, threads_for(job), [&](int64_t unit) {
        const int64_t group = unit % groups;
        Stepper<T, Net> stepper(job, unit / groups, false);
        for (int64_t tile = tiles * group / groups; tile < tiles * (group + 1) / groups; ++tile) stepper.run(tile);
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
        for (int64_t tile = tiles * group / groups; tile < tiles * (group + 1) / groups; ++tile)
            stepper.run_back(out, tile, total);
        stepper.finish(total);
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
        [&] { forward_tiles < T, LaneNet<T, SPINODE_REGISTERS<32 ? 2 : 4>>(job); });
}

// Length of a tape for all stages of a run.
template <class T>
int64_t tape(const Rollout& job) {
    int64_t length = 0;
    const auto measure = [&](auto width, int64_t slot) {
        length = job.members * ((job.lanes + width - 1) / width) * job.steps * scheme(job.method).stages * slot;
    };
    choose<T>(
        job.lanes, [&] { measure(1, RowNet<T>::slot_of(job.field)); },
        [&] { measure(LaneNet<T, 1>::W, LaneNet<T, 1>::slot_of(job.field)); },
        [&] { measure(LaneNet<T, 2>::W, LaneNet<T, 2>::slot_of(job.field)); },
        [&] {
            using Four = LaneNet < T, SPINODE_REGISTERS<32 ? 2 : 4>;
            measure(Four::W, Four::slot_of(job.field));
        });
    return length;
}

template <class T>
void backward(const Rollout& job, const Adjoint& out) {
    choose<T>(
        job.lanes, [&] { backward_tiles<T, RowNet<T>>(job, out); }, [&] { backward_tiles<T, LaneNet<T, 1>>(job, out); },
        [&] { backward_tiles<T, LaneNet<T, 2>>(job, out); },
        [&] { backward_tiles < T, LaneNet<T, SPINODE_REGISTERS<32 ? 2 : 4>>(job, out); });
}

}  // namespace SPINODE_ISA
}  // namespace spinode
