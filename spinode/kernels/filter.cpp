// The Kalman filter of surrogates/synapses/kalman.py and its adjoint, many recordings side by side. Double precision; lanes are
// walked in blocks that stay in the nearest cache, whose inner loops the compiler turns into vectors.
#include "filter.hpp"

#include <algorithm>
#include <cmath>

namespace spinode {

namespace {

constexpr int64_t BLOCK = 64;
constexpr double LOG_TWO_PI = 1.8378770664093454836;

struct Block {
    double x[BLOCK], a[BLOCK], h[BLOCK];
    double xx[BLOCK], xa[BLOCK], xh[BLOCK], aa[BLOCK], ah[BLOCK], hh[BLOCK];
    double total[BLOCK];
};

void begin(const Filter& job, Block& s, int64_t first, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        const int64_t lane = first + i;
        const double depth = job.filled[lane] ? job.depth[lane] : 0.0;
        const double spread = job.filled[lane] ? job.depth_variance[lane] : 0.0;
        const double memory = job.memory[lane];
        s.x[i] = job.reads[lane] - depth, s.a[i] = 0, s.h[i] = depth;
        s.xx[i] = memory + spread + job.read[lane], s.xa[i] = -memory, s.xh[i] = -spread;
        s.aa[i] = memory, s.ah[i] = 0, s.hh[i] = spread, s.total[i] = 0;
    }
}

// One step and one read of the lanes of a block; `at` is the index of the first lane's step.
void advance(const Filter& job, Block& s, int64_t k, int64_t first, int64_t count) {
    const int64_t step = k * job.lanes + first, next = step + job.lanes, plane = job.count * job.lanes;
    for (int64_t i = 0; i < count; ++i) {
        const int64_t now = step + i, then = next + i;
        const double b = job.slope[now], rho = job.decay[now];
        const double stays = job.filled[now] && job.filled[then] ? 1.0 : 0.0;
        const double fills = !job.filled[now] && job.filled[then] ? 1.0 : 0.0;
        double x = s.x[i] + job.drift[now] + (b - 1) * (s.x[i] - job.reference[now]);
        double a = rho * s.a[i];
        double h = stays * s.h[i] + fills * job.depth[first + i];
        double xx = b * b * s.xx[i] + job.process[now], xa = b * rho * s.xa[i], xh = b * stays * s.xh[i];
        double aa = rho * rho * s.aa[i] + job.memory[first + i] * (1 - rho * rho), ah = rho * stays * s.ah[i];
        double hh = stays * s.hh[i] + fills * job.depth_variance[first + i];
        const double gx = xx + xa + xh, ga = xa + aa + ah, gh = xh + ah + hh;
        const double variance = gx + ga + gh + job.read[then], seen = job.seen[then] ? 1.0 : 0.0;
        const double kx = seen * gx / variance, ka = seen * ga / variance, kh = seen * gh / variance;
        const double e = seen * (job.reads[then] - (x + a + h));
        x += kx * e, a += ka * e, h += kh * e;
        xx -= kx * kx * variance, xa -= kx * ka * variance, xh -= kx * kh * variance;
        aa -= ka * ka * variance, ah -= ka * kh * variance, hh -= kh * kh * variance;
        s.total[i] -= 0.5 * seen * (LOG_TWO_PI + std::log(variance) + e * e / variance);
        s.x[i] = x, s.a[i] = a, s.h[i] = h;
        s.xx[i] = xx, s.xa[i] = xa, s.xh[i] = xh, s.aa[i] = aa, s.ah[i] = ah, s.hh[i] = hh;
        if (!job.innovation) continue;
        job.innovation[then] = e, job.variance[then] = variance;
        job.mean[then] = x, job.mean[plane + then] = a, job.mean[2 * plane + then] = h;
        job.gain[then] = kx, job.gain[plane + then] = ka, job.gain[2 * plane + then] = kh;
    }
}

}  // namespace

void filter(const Filter& job) {
    const int64_t plane = job.count * job.lanes;
    Block s;
    for (int64_t first = 0; first < job.lanes; first += BLOCK) {
        const int64_t count = std::min(BLOCK, job.lanes - first);
        begin(job, s, first, count);
        if (job.innovation)
            for (int64_t i = 0; i < count; ++i) {
                const int64_t lane = first + i;
                job.innovation[lane] = 0, job.variance[lane] = 1;
                job.mean[lane] = s.x[i], job.mean[plane + lane] = s.a[i], job.mean[2 * plane + lane] = s.h[i];
                job.gain[lane] = job.gain[plane + lane] = job.gain[2 * plane + lane] = 0;
            }
        for (int64_t k = 0; k + 1 < job.count; ++k) advance(job, s, k, first, count);
        for (int64_t i = 0; i < count; ++i) job.loglik[first + i] = s.total[i];
    }
}

void filter_gradient(const Filter& job, double* gradient) {
    const int64_t plane = job.count * job.lanes;
    double x[BLOCK], a[BLOCK], h[BLOCK];
    for (int64_t first = 0; first < job.lanes; first += BLOCK) {
        const int64_t count = std::min(BLOCK, job.lanes - first);
        std::fill_n(x, count, 0.0), std::fill_n(a, count, 0.0), std::fill_n(h, count, 0.0);
        for (int64_t k = job.count - 2; k >= 0; --k)
            for (int64_t i = 0; i < count; ++i) {
                const int64_t now = k * job.lanes + first + i, then = now + job.lanes;
                const double pulled = job.gain[then] * x[i] + job.gain[plane + then] * a[i] + job.gain[2 * plane + then] * h[i];
                const double change = job.seen[then] ? pulled - job.innovation[then] / job.variance[then] : 0.0;
                gradient[now] = x[i] - change;
                x[i] = job.slope[now] * (x[i] - change);
                a[i] = job.decay[now] * (a[i] - change);
                h[i] = job.filled[now] && job.filled[then] ? h[i] - change : 0.0;
            }
    }
}

}  // namespace spinode
