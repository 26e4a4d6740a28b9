// Free runs of latent modes and their slopes. The equations, and the plain-torch twin, are in
// surrogates/neural_ode/latent/field.py and step.py; the slopes of the state in all weights run along with it,
//     S_{t+1} = (dPhi/dx)_t S_t + (dPhi/dtheta)_t,
// and those of each output sample are written out, a row each.
#pragma once

#include "rollout.hpp"

namespace spinode {
namespace SPINODE_ISA {

class LatentRun {
    using T = double;
    using V = Vec<T>;
    static constexpr int N = LANES<T>;

  public:
    explicit LatentRun(const Latent& job)
        : job_(job),
          k_(job.modes),
          n_(2 * job.modes),
          m_(job.inputs),
          hidden_((job.hidden + N - 1) / N * N),
          pairs_(int64_t(n_) * (n_ + 1) / 2) {
        const T* at = job.theta + 2 * k_;
        const auto take = [&](int64_t count) { return std::exchange(at, at + count); };
        scale_ = take(k_), force_ = take(m_ * n_), coupling_ = take(m_ * pairs_), height_ = take(job.hidden);
        inner_ = take(int64_t(job.hidden) * n_), drive_ = take(job.hidden * m_), bias_ = take(job.hidden);
        read_ = take(job.outputs * n_), bend_ = take(job.outputs * job.readout), look_ = take(job.readout * n_);
        offset_ = take(job.readout), direct_ = take(job.outputs * job.drives), constant_ = take(job.outputs);
        weights_ = at - job.theta;
        columns_ = weights_ + n_;
        e_.resize(k_), sums_.clear(2 * hidden_), rest_.clear(hidden_);
        for (int i = 0; i < k_; ++i) e_[i] = std::exp(scale_[i]);
        for (int h = 0; h < job.hidden; ++h) rest_[h] = bias_[h];
        squash(rest_.get());
        for (Buffer<T>* each : {&zero_, &one_, &x_, &a_, &g_}) each->clear(n_);
        squashed_.clear(std::max(1, job.readout)), resting_.clear(std::max(1, job.readout));
        for (int s = 0; s < job.readout; ++s) resting_[s] = std::tanh(offset_[s]);
        if (!job.slopes) return;
        for (Buffer<T>* each : {&h0_, &h1_, &q_, &r_, &m0_, &n0_, &propagate_}) each->clear(size_t(n_) * n_);
        first_.clear(size_t(job.hidden) * n_), second_.clear(size_t(job.hidden) * n_), bent_.clear(n_);
    }

    int64_t weights() const { return weights_; }

    // False if the state left its limit, in a run that writes slopes; a plain run is clamped there.
    bool run(int64_t lane) {
        const T* start = job_.state + lane * n_;
        std::copy(start, start + n_, x_.get());
        const int64_t stride = (columns_ + PADDING - 1) / PADDING * PADDING;
        const int64_t rows = job_.steps + (job_.slopes ? 0 : 1);
        for (int64_t t = 0; t < rows; ++t) {
            read(lane, t, stride);
            if (t == job_.steps) break;
            const T* u = job_.drive + (lane * job_.steps + t) * 2 * m_;
            for (int part = 0; part < job_.substeps; ++part) {
                step(u, T(part) / job_.substeps, T(part + 1) / job_.substeps, stride);
                for (int i = 0; i < n_; ++i) {
                    if (std::abs(x_[i]) <= job_.limit) continue;
                    if (job_.slopes) return false;
                    x_[i] = x_[i] > 0 ? job_.limit : x_[i] < 0 ? -job_.limit : x_[i];
                }
            }
        }
        if (job_.slopes) std::copy(x_.get(), x_.get() + n_, const_cast<T*>(start));
        return true;
    }

  private:
    void squash(T* values) const {
        for (int h = 0; h < hidden_; h += N) store<T>(values + h, tanh(load(values + h)));
    }

    // Gradient of the potential in the state; `sums` receives tanh(W x + v u + b).
    void gradient(const T* x, const T* u, T* sums, T* g) {
        for (int i = 0; i < n_; ++i) g[i] = 0;
        for (int j = 0; j < m_; ++j) {
            const T* s = coupling_ + j * pairs_;
            for (int i = 0; i < n_; ++i) {
                T total = force_[j * n_ + i] + s[0] * x[i];
                for (int l = i + 1; l < n_; ++l) {
                    total += s[l - i] * x[l];
                    g[l] += u[j] * s[l - i] * x[i];
                }
                g[i] += u[j] * total;
                s += n_ - i;
            }
        }
        for (int h = 0; h < job_.hidden; ++h) {
            T total = bias_[h];
            const T* row = inner_ + int64_t(h) * n_;
            for (int i = 0; i < n_; ++i) total += row[i] * x[i];
            for (int j = 0; j < m_; ++j) total += drive_[h * m_ + j] * u[j];
            sums[h] = total;
        }
        squash(sums);
        for (int h = 0; h < job_.hidden; ++h) {
            const T* row = inner_ + int64_t(h) * n_;
            const T push = height_[h] * (sums[h] - rest_[h]);
            for (int i = 0; i < n_; ++i) g[i] += push * row[i];
        }
    }

    // e (dV/dp - i dV/dq)
    void force(const T* g, T* f) {
        for (int i = 0; i < k_; ++i) f[i] = e_[i] * g[k_ + i], f[k_ + i] = -e_[i] * g[i];
    }

    // Coefficient `which` (0: E, 1: gamma, 2: beta) of a mode, or its slope (1: log g, 2: w) times a complex number, added.
    void multiply(int slope, int which, int mode, T re, T im, T& to_re, T& to_im) const {
        const T* c = job_.core + ((int64_t(mode) * 3 + slope) * 3 + which) * 2;
        to_re += c[0] * re - c[1] * im;
        to_im += c[0] * im + c[1] * re;
    }

    void step(const T* u, double from, double to, int64_t stride) {
        T begin[MAX_INPUTS], end[MAX_INPUTS];
        for (int j = 0; j < m_; ++j) {
            begin[j] = u[j] + from * (u[m_ + j] - u[j]);
            end[j] = u[j] + to * (u[m_ + j] - u[j]);
        }
        T *f0 = zero_.get(), *f1 = one_.get(), *sums = sums_.get();
        gradient(x_.get(), begin, sums, g_.get());
        force(g_.get(), f0);
        for (int i = 0; i < k_; ++i) {
            T re = 0, im = 0;
            multiply(0, 0, i, x_[i], x_[k_ + i], re, im);
            multiply(0, 1, i, f0[i], f0[k_ + i], re, im);
            a_[i] = re, a_[k_ + i] = im;
        }
        gradient(a_.get(), end, sums + hidden_, g_.get());
        force(g_.get(), f1);
        if (job_.slopes) carry(begin, end, stride);
        for (int i = 0; i < k_; ++i) {
            T re = a_[i], im = a_[k_ + i];
            multiply(0, 2, i, f1[i] - f0[i], f1[k_ + i] - f0[k_ + i], re, im);
            x_[i] = re, x_[k_ + i] = im;
        }
    }

    // Hessian of the potential.
    void hessian(const T* u, const T* sums, T* matrix) {
        for (int64_t i = 0; i < int64_t(n_) * n_; ++i) matrix[i] = 0;
        for (int j = 0; j < m_; ++j) {
            const T* s = coupling_ + j * pairs_;
            for (int i = 0; i < n_; ++i)
                for (int l = i; l < n_; ++l) matrix[i * n_ + l] += u[j] * *s++;
        }
        for (int h = 0; h < job_.hidden; ++h) {
            const T* row = inner_ + int64_t(h) * n_;
            const T slope = height_[h] * (1 - sums[h] * sums[h]);
            for (int i = 0; i < n_; ++i)
                for (int l = i; l < n_; ++l) matrix[i * n_ + l] += slope * row[i] * row[l];
        }
        for (int i = 0; i < n_; ++i)
            for (int l = 0; l < i; ++l) matrix[i * n_ + l] = matrix[l * n_ + i];
    }

    // matrix = coefficient . (e J), with J (q, p) = (p, -q) per mode.
    void forces(int which, T* matrix) {
        for (int i = 0; i < k_; ++i) {
            const T* c = job_.core + (int64_t(i) * 9 + which) * 2;
            const T re = e_[i] * c[0], im = e_[i] * c[1];
            matrix[i * n_ + i] = im, matrix[i * n_ + k_ + i] = re;
            matrix[(k_ + i) * n_ + i] = -re, matrix[(k_ + i) * n_ + k_ + i] = im;
        }
    }

    // out += sign * left right, all of size n x n
    void product(const T* left, const T* right, T sign, T* out) const {
        for (int i = 0; i < n_; ++i)
            for (int j = 0; j < n_; ++j) {
                const T factor = sign * left[i * n_ + j];
                if (factor == 0) continue;
                for (int l = 0; l < n_; ++l) out[i * n_ + l] += factor * right[j * n_ + l];
            }
    }

    // With Q = beta e J, G = gamma e J, R = 1 + Q H1: dx' = (R (E + G H0) - Q H0) dx + (R G - Q) dgrad0 + Q dgrad1.
    void matrices(const T* begin, const T* end) {
        const size_t all = size_t(n_) * n_;
        T* gamma = propagate_.get();
        hessian(begin, sums_.get(), h0_.get());
        hessian(end, sums_.get() + hidden_, h1_.get());
        for (Buffer<T>* each : {&q_, &r_, &m0_, &n0_, &propagate_}) std::fill(each->get(), each->get() + all, T(0));
        forces(2, q_.get());
        forces(1, gamma);
        for (int i = 0; i < n_; ++i) r_[i * n_ + i] = 1;
        product(q_.get(), h1_.get(), 1, r_.get());
        product(gamma, h0_.get(), 1, m0_.get());
        for (int i = 0; i < k_; ++i) {
            const T* c = job_.core + int64_t(i) * 18;
            m0_[i * n_ + i] += c[0], m0_[i * n_ + k_ + i] -= c[1];
            m0_[(k_ + i) * n_ + i] += c[1], m0_[(k_ + i) * n_ + k_ + i] += c[0];
        }
        product(r_.get(), gamma, 1, n0_.get());
        for (size_t i = 0; i < all; ++i) n0_[i] -= q_[i];
        std::fill(gamma, gamma + all, T(0));
        product(r_.get(), m0_.get(), 1, propagate_.get());
        product(q_.get(), h0_.get(), -1, propagate_.get());
    }

    void carry(const T* begin, const T* end, int64_t stride) {
        matrices(begin, end);
        T* s = job_.slopes;
        for (int64_t c = 0; c < columns_; c += N) {
            V before[MAX_STATE];
            for (int j = 0; j < n_; ++j) before[j] = load(s + j * stride + c);
            for (int i = 0; i < n_; ++i) {
                const T* row = propagate_.get() + i * n_;
                V after{}, other{};
                int j = 0;
                for (; j + 1 < n_; j += 2) after += row[j] * before[j], other += row[j + 1] * before[j + 1];
                store<T>(s + i * stride + c, after + other);
            }
        }
        for (int h = 0; h < job_.hidden; ++h) {
            const T* row = inner_ + int64_t(h) * n_;
            for (int i = 0; i < n_; ++i) {
                T one = 0, two = 0;
                for (int l = 0; l < n_; ++l) one += n0_[i * n_ + l] * row[l], two += q_[i * n_ + l] * row[l];
                first_[h * n_ + i] = one, second_[h * n_ + i] = two;
            }
        }
        core(stride);
        for (int r = 0; r < n_; ++r) inject(r, s + r * stride, begin, end);
    }

    void core(int64_t stride) {
        const T *f0 = zero_.get(), *f1 = one_.get();
        for (int i = 0; i < k_; ++i)
            for (int kind = 0; kind < 3; ++kind) {  // log g, w, log e
                T re = 0, im = 0, plus_re = 0, plus_im = 0;
                if (kind < 2) {
                    multiply(kind + 1, 0, i, x_[i], x_[k_ + i], re, im);
                    multiply(kind + 1, 1, i, f0[i], f0[k_ + i], re, im);
                    multiply(kind + 1, 2, i, f1[i] - f0[i], f1[k_ + i] - f0[k_ + i], plus_re, plus_im);
                } else {
                    multiply(0, 1, i, f0[i], f0[k_ + i], re, im);
                    multiply(0, 2, i, f1[i] - f0[i], f1[k_ + i] - f0[k_ + i], plus_re, plus_im);
                }
                T* to = job_.slopes + kind * k_ + i;
                for (int r = 0; r < n_; ++r) to[r * stride] += r_[r * n_ + i] * re + r_[r * n_ + k_ + i] * im;
                to[i * stride] += plus_re;
                to[(k_ + i) * stride] += plus_im;
            }
    }

    // What the step adds to row r of the slopes in B, S, a, W, v, b.
    void inject(int r, T* s, const T* begin, const T* end) {
        const T *n0 = n0_.get() + r * n_, *q = q_.get() + r * n_, *x = x_.get(), *a = a_.get();
        const T *t0 = sums_.get(), *t1 = t0 + hidden_;
        T* to = s + 3 * k_;
        for (int j = 0; j < m_; ++j, to += n_)
            for (int i = 0; i < n_; ++i) to[i] += begin[j] * n0[i] + end[j] * q[i];
        for (int j = 0; j < m_; ++j)
            for (int i = 0; i < n_; ++i) {
                const T p = begin[j] * n0[i], px = begin[j] * x[i], o = end[j] * q[i], oa = end[j] * a[i];
                for (int l = i; l < n_; ++l) to[l - i] += p * x[l] + px * n0[l] + o * a[l] + oa * q[l];
                to[0] -= p * x[i] + o * a[i];
                to += n_ - i;
            }
        const int hidden = job_.hidden;
        T *height = to, *inner = height + hidden, *drive = inner + hidden * n_, *bias = drive + hidden * m_;
        for (int h = 0; h < hidden; ++h) {
            const T c0 = t0[h], c1 = t1[h], b = rest_[h], one = first_[h * n_ + r], two = second_[h * n_ + r];
            const T s0 = height_[h] * (1 - c0 * c0) * one, s1 = height_[h] * (1 - c1 * c1) * two;
            const T p = height_[h] * (c0 - b), o = height_[h] * (c1 - b);
            height[h] += (c0 - b) * one + (c1 - b) * two;
            T* w = inner + h * n_;
            for (int i = 0; i < n_; ++i) w[i] += s0 * x[i] + p * n0[i] + s1 * a[i] + o * q[i];
            for (int j = 0; j < m_; ++j) drive[h * m_ + j] += s0 * begin[j] + s1 * end[j];
            bias[h] += s0 + s1 - height_[h] * (1 - b * b) * (one + two);
        }
    }

    // Outputs at sample t, and a row of the Jacobian for each.
    void read(int64_t lane, int64_t t, int64_t stride) {
        const int64_t rows = job_.steps + (job_.slopes ? 0 : 1), row = lane * rows + t;
        const int p = job_.outputs, y = job_.readout, d = job_.drives;
        const T* u = job_.settled + row * d;
        if (job_.states) std::copy(x_.get(), x_.get() + n_, job_.states + row * n_);
        for (int s = 0; s < y; ++s) {
            T total = offset_[s];
            for (int i = 0; i < n_; ++i) total += look_[s * n_ + i] * x_[i];
            squashed_[s] = std::tanh(total);
        }
        for (int o = 0; o < p; ++o) {
            T total = constant_[o];
            for (int i = 0; i < n_; ++i) total += read_[o * n_ + i] * x_[i];
            for (int s = 0; s < y; ++s) total += bend_[o * y + s] * (squashed_[s] - resting_[s]);
            for (int j = 0; j < d; ++j) total += direct_[o * d + j] * u[j];
            job_.result[row * p + o] = total;
            if (job_.slopes) compare(o, u, job_.jacobian + (t * p + o) * columns_, stride);
        }
    }

    void compare(int o, const T* u, T* row, int64_t stride) {
        const int y = job_.readout, d = job_.drives;
        for (int i = 0; i < n_; ++i) {
            bent_[i] = read_[o * n_ + i];
            for (int s = 0; s < y; ++s) bent_[i] += bend_[o * y + s] * (1 - squashed_[s] * squashed_[s]) * look_[s * n_ + i];
        }
        for (int64_t c = 0; c < columns_; ++c) row[c] = 0;
        for (int i = 0; i < n_; ++i) {
            const T factor = bent_[i];
            const T* from = job_.slopes + i * stride;
            for (int64_t c = 0; c < columns_; ++c) row[c] += factor * from[c];
        }
        T* to = row + (read_ - job_.theta) + o * n_;
        for (int i = 0; i < n_; ++i) to[i] += x_[i];
        for (int s = 0; s < y; ++s) {
            const T slope = 1 - squashed_[s] * squashed_[s], rest = 1 - resting_[s] * resting_[s], factor = bend_[o * y + s];
            row[bend_ - job_.theta + o * y + s] += squashed_[s] - resting_[s];
            for (int i = 0; i < n_; ++i) row[look_ - job_.theta + s * n_ + i] += factor * slope * x_[i];
            row[offset_ - job_.theta + s] += factor * (slope - rest);
        }
        for (int j = 0; j < d; ++j) row[direct_ - job_.theta + o * d + j] += u[j];
        row[constant_ - job_.theta + o] += 1;
    }

    static constexpr int MAX_STATE = 64, MAX_INPUTS = 64, PADDING = 8;  // as in latent.py

    const Latent& job_;
    const int k_, n_, m_, hidden_;
    const int64_t pairs_;
    int64_t weights_ = 0, columns_ = 0;
    const T *scale_, *force_, *coupling_, *height_, *inner_, *drive_, *bias_, *read_, *bend_, *look_, *offset_, *direct_,
        *constant_;
    Buffer<T> e_, sums_, rest_, zero_, one_, x_, a_, g_, squashed_, resting_;
    Buffer<T> h0_, h1_, q_, r_, m0_, n0_, propagate_, first_, second_, bent_;
};

// True if no run left the limit, see LatentRun::run.
inline bool latent(const Latent& job) {
    if (job.slopes) return LatentRun(job).run(0);
    parallel(job.lanes, job.lanes * job.steps > 4000 ? job.threads : 1, [&](int64_t lane) { LatentRun(job).run(lane); });
    return true;
}

}  // namespace SPINODE_ISA
}  // namespace spinode
