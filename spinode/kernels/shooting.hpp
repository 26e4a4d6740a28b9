// Gauss-Newton equations of multiple shooting. The slopes of a window's states in the weights, the feedthrough and its initial
// state run along with it,
//     S_{t+1} = (dPhi/dx)_t S_t + (dPhi/dtheta)_t,
// eight windows side by side; the Jacobians of a step come from the adjoint of each state value. What is compared is written
// out, window by window and step by step, until enough of it is there for a product of matrices.
#pragma once

#include "rollout.hpp"

namespace spinode {
namespace SPINODE_ISA {

template <class T>
class Equations {
  public:
    using Net = LaneNet<T, 1>;
    static constexpr int N = LANES<T>;

    explicit Equations(const Shooting& job)
        : job_(job),
          stepper_(job.run, 0, true),
          state_(job.run.field.state),
          theta_(job.run.field.weights()),
          size_(theta_ + job.feedthrough),
          columns_(size_ + (job.free ? state_ : 0)),
          stages_(scheme(job.run.method).stages),
          slots_(stages_ * stepper_.net().slot()),
          deltas_(size_t(state_) * stages_ * stepper_.net().delta_slot()),
          x_(state_ * N),
          slopes_(size_t(columns_) * state_ * N),
          jacobian_(size_t(state_) * state_ * N),
          row_(size_t(columns_) * N),
          coupling_(job.free ? size_t(state_) * (size_ + 1) * N : 0),
          blocks_(job.free ? size_t(state_) * state_ * N : 0) {
        // The residuals are one more row: their products with the slopes are the gradient.
        width_ = std::max<int64_t>(64, std::min<int64_t>(512, (1 << 17) / (size_ + 1) / 64 * 64));
        rows_.resize(size_t(size_ + 1) * width_);
        matrix_.clear(size_t(size_) * size_);
        gradient_.clear(size_);
    }

    void tile(int64_t tile) {
        const int64_t lane = tile * N;
        const int valid = int(std::min<int64_t>(N, job_.run.lanes - lane));
        Vec<T> exists{};
        for (int i = 0; i < valid; ++i) exists[i] = 1;
        stepper_.begin(tile);
        start(lane, valid);
        const int64_t slot = stepper_.net().slot(), delta = stages_ * stepper_.net().delta_slot();
        for (int64_t t = 0; t < job_.run.steps; ++t) {
            read<T, N>(job_.run.states, at<T>(job_.run.states, 0, lane, t), valid, state_, x_.get());
            stepper_.evaluate(t, x_.get(), slots_.get());
            for (int i = 0; i < state_; ++i) {
                T* seed = jacobian_.get() + i * state_ * N;
                for (int j = 0; j < state_; ++j) store<T>(seed + j * N, splat(T(i == j)));
                stepper_.back(seed, slots_.get(), deltas_.get() + i * delta);
            }
            switch (state_) {
                case 1:
                    carry<1>(slot, delta);
                    break;
                case 2:
                    carry<2>(slot, delta);
                    break;
                case 3:
                    carry<3>(slot, delta);
                    break;
                case 4:
                    carry<4>(slot, delta);
                    break;
                default:
                    carry<0>(slot, delta);
            }
            for (int q = 0; q < state_; ++q)
                if (job_.weights[q] != 0) compare(lane, valid, t, q, exists);
        }
        if (job_.free) finish(lane, valid);
    }

    // Adds the accumulated products to the totals. Lower triangle.
    void flush() {
        if (!filled_) return;
        for (int64_t r = 0; r < size_ + 1; ++r)
            for (int64_t i = filled_; i < (filled_ + N - 1) / N * N; ++i) rows_[r * width_ + i] = 0;
        const std::vector<int> cuts = cut(int(size_ + 1), SQUARE);
        Buffer<T> sums(SQUARE * SQUARE * N);
        for (size_t i = 0; i + 1 < cuts.size(); ++i)
            for (size_t j = 0; j <= i; ++j) {
                const int a = cuts[i + 1] - cuts[i], b = cuts[j + 1] - cuts[j];
                for (int k = 0; k < a * b * N; k += N) store<T>(sums.get() + k, Vec<T>{});
                strided_products(a, b, rows_.get() + cuts[i] * width_, rows_.get() + cuts[j] * width_, sums.get());
                for (int r = 0; r < a; ++r)
                    for (int c = 0; c < b; ++c) {
                        const int64_t row = cuts[i] + r, column = cuts[j] + c;
                        if (column > row || column == size_) continue;
                        (row == size_ ? gradient_[column] : matrix_[row * size_ + column]) +=
                            sum<T>(load(sums.get() + (r * b + c) * N));
                    }
            }
        filled_ = 0;
    }

    Buffer<double> matrix_, gradient_;

  private:
    void strided_products(int a, int b, const T* left, const T* right, T* sums) const {
        products_of<T>(a, b)(int((filled_ + N - 1) / N * N), int(width_), left, 0, right, 0, 1, sums);
    }

    // Slopes of the initial states: none in the weights, the Jacobian in the feedthrough, one in themselves.
    void start(int64_t lane, int valid) {
        std::fill(slopes_.get(), slopes_.get() + int64_t(columns_) * state_ * N, T(0));
        for (int64_t f = 0; f < job_.feedthrough; ++f)
            read<T, N>(job_.jacobian, at<T>(job_.jacobian, 0, lane, 0, f), valid, state_,
                       slopes_.get() + (theta_ + f) * state_ * N);
        if (!job_.free) return;
        for (int j = 0; j < state_; ++j) store<T>(slopes_.get() + ((size_ + j) * state_ + j) * N, splat(T(1)));
        std::fill(coupling_.get(), coupling_.get() + int64_t(state_) * (size_ + 1) * N, T(0));
        std::fill(blocks_.get(), blocks_.get() + int64_t(state_) * state_ * N, T(0));
    }

    // S = J S + dPhi/dtheta for all columns; STATE is the number of state values, 0 where it is not known here.
    template <int STATE>
    void carry(int64_t slot, int64_t delta) {
        const int state = STATE ? STATE : state_;
        const int64_t delta_slot = stepper_.net().delta_slot();
        T* jacobian = jacobian_.get();
        const auto advance = [&](T* column, const auto& push) SPINODE_INLINE {
            Vec<T> before[STATE ? STATE : MOST_STATE];
            for (int j = 0; j < state; ++j) before[j] = load(column + j * N);
            for (int i = 0; i < state; ++i) {
                Vec<T> after = push(i);
                for (int j = 0; j < state; ++j) after += load(jacobian + (i * state + j) * N) * before[j];
                store<T>(column + i * N, after);
            }
        };
        for (const auto& s : stepper_.net().sums()) {
            for (int r = 0; r < s.layer.rows; ++r) {
                const T* d = deltas_.get() + s.delta + r * N;
                for (int k = 0; k < s.layer.columns; ++k) {
                    const T* x = slots_.get() + s.values + k * N;
                    advance(slopes_.get() + (s.layer.offset + int64_t(r) * s.layer.columns + k) * state * N,
                            [&](int i) SPINODE_INLINE {
                                Vec<T> sum{};
                                for (int stage = 0; stage < stages_; ++stage)
                                    sum += load(d + i * delta + stage * delta_slot) * load(x + stage * slot);
                                return sum;
                            });
                }
                advance(slopes_.get() + (s.layer.bias() + r) * state * N, [&](int i) SPINODE_INLINE {
                    Vec<T> sum{};
                    for (int stage = 0; stage < stages_; ++stage) sum += load(d + i * delta + stage * delta_slot);
                    return sum;
                });
            }
        }
        for (int64_t c = theta_; c < columns_; ++c)
            advance(slopes_.get() + c * state * N, [](int) SPINODE_INLINE { return Vec<T>{}; });
    }

    // One row of the residuals' slopes, for each window of the tile.
    void compare(int64_t lane, int valid, int64_t t, int q, Vec<T> exists) {
        if (filled_ + N > width_) flush();
        const Vec<T> weight = exists * T(job_.weights[q]);
        T* row = row_.get();
        for (int64_t c = 0; c < columns_; ++c) store<T>(row + c * N, load(slopes_.get() + (c * state_ + q) * N) * weight);
        T jet[N];
        View one = job_.jacobian;
        for (int64_t f = 0; f < job_.feedthrough; ++f) {
            read<T, N>(one, at<T>(one, 0, lane, t + 1, f) + q * one.feature, valid, 1, jet);
            T* to = row + (theta_ + f) * N;
            store<T>(to, load(to) - load(jet) * weight);
        }
        T residual[N];
        read<T, N>(job_.residuals, at<T>(job_.residuals, 0, lane, t) + q * job_.residuals.feature, valid, 1, residual);
        store<T>(residual, load(residual) * exists);
        for (int64_t c = 0; c < size_; ++c) store<T>(rows_.get() + c * width_ + filled_, load(row + c * N));
        store<T>(rows_.get() + size_ * width_ + filled_, load(residual));
        filled_ += N;
        if (!job_.free) return;
        const T* initial = row + size_ * N;
        for (int j = 0; j < state_; ++j) {
            const Vec<T> left = load(initial + j * N);
            T* to = coupling_.get() + j * (size_ + 1) * N;
            for (int64_t c = 0; c < size_; ++c, to += N) store<T>(to, load(to) + left * load(row + c * N));
            store<T>(to, load(to) + left * load(residual));
            for (int k = 0; k < state_; ++k) {
                T* block = blocks_.get() + (j * state_ + k) * N;
                store<T>(block, load(block) + left * load(initial + k * N));
            }
        }
    }

    void finish(int64_t lane, int valid) {
        for (int i = 0; i < valid; ++i)
            for (int j = 0; j < state_; ++j) {
                const int64_t at = (lane + i) * state_ + j;
                const T* from = coupling_.get() + j * (size_ + 1) * N + i;
                for (int64_t c = 0; c < size_; ++c) job_.coupling[at * size_ + c] = from[c * N];
                job_.pull[at] = from[size_ * N];
                for (int k = 0; k < state_; ++k) job_.blocks[at * state_ + k] = blocks_[(j * state_ + k) * N + i];
            }
    }

    static constexpr int MOST_STATE = 64;

    const Shooting& job_;
    Stepper<T, Net> stepper_;
    const int state_;
    const int64_t theta_, size_, columns_;
    const int stages_;
    Buffer<T> slots_, deltas_, x_, slopes_, jacobian_, row_, coupling_, blocks_, rows_;
    int64_t width_ = 0, filled_ = 0;
};

// The windows are cut into parts that do not depend on the number of threads, and neither does the result.
inline void equations(const Shooting& job) {
    const int64_t tiles = (job.run.lanes + LANES<double> - 1) / LANES<double>, size = job.run.field.weights() + job.feedthrough;
    const int64_t parts = size > 1500 ? 1 : std::min<int64_t>(tiles, 4);
    std::vector<Equations<double>> found;
    found.reserve(parts);
    for (int64_t part = 0; part < parts; ++part) found.emplace_back(job);
    parallel(parts, job.run.threads, [&](int64_t part) {
        for (int64_t tile = tiles * part / parts; tile < tiles * (part + 1) / parts; ++tile) found[part].tile(tile);
        found[part].flush();
    });
    for (int64_t i = 0; i < size * size; ++i) {
        job.matrix[i] = 0;
        for (auto& part : found) job.matrix[i] += part.matrix_[i];
    }
    for (int64_t i = 0; i < size; ++i) {
        job.gradient[i] = 0;
        for (auto& part : found) job.gradient[i] += part.gradient_[i];
    }
}

}  // namespace SPINODE_ISA
}  // namespace spinode
