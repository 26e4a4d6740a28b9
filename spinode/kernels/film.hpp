// A film of one layer of cells: Landau-Lifshitz-Gilbert steps between two evaluations of its stray field. Its plain-torch twin
// is in datasets/film/terms.py, with the equations.
#pragma once

#include "normal.hpp"

namespace spinode {
namespace SPINODE_ISA {

// Cells lie row by row in a frame of empty ones, whose bonds and moments are zero: no loop asks where it is.
template <class T>
struct FilmRun {
    using V = Vec<T>;
    // Constants of the cells, in the order of the job.
    enum { EAST, NORTH, DMI_EAST, DMI_NORTH, DMI, OPEN_X, OPEN_Y, AXIS, EASY_X, EASY_Y, EASY_Z, CONSTANTS };

    const Film& job;
    const int64_t size, stride;
    Buffer<T> work;
    Buffer<float> draws;
    const T* cell[CONSTANTS];
    T *m[3], *sum[3], *one[3], *two[3], *thermal[3];
    const T *stray[3], *slope[3];

    explicit FilmRun(const Film& film) : job(film), size((film.rows + 2) * film.stride), stride(film.stride) {
        work.clear(size_t(12 * size));
        if (job.numbers[12] != 0) draws.resize(size_t(normal_space(3 * (size - 2 * stride))));
        for (int a = 0; a < CONSTANTS; ++a) cell[a] = static_cast<const T*>(job.cells) + a * size;
        for (int a = 0; a < 3; ++a) {
            m[a] = static_cast<T*>(job.m) + a * size;
            stray[a] = static_cast<const T*>(job.stray) + a * size;
            slope[a] = static_cast<const T*>(job.stray) + (3 + a) * size;
            sum[a] = work.get() + a * size;
            one[a] = work.get() + (3 + a) * size;
            two[a] = work.get() + (6 + a) * size;
            thermal[a] = work.get() + (9 + a) * size;
        }
    }

    struct Three {
        V x, y, z;
    };
    static SPINODE_INLINE Three at(T* const* v, int64_t i) { return {load(v[0] + i), load(v[1] + i), load(v[2] + i)}; }
    static SPINODE_INLINE Three cross(const Three& a, const Three& b) {
        return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
    }

    // The drives at a time, in steps from the start of the job.
    struct Now {
        T anisotropy, dmi, field[3], spin, flow[2], step;
    };
    Now now(double step) const {
        const double share = step / double(job.steps);
        const auto value = [&](int i) { return T(job.begin[i] + share * (job.end[i] - job.begin[i])); };
        return {value(0), value(1), {value(2), value(3), value(4)}, value(5), {value(6), value(7)}, T(step)};
    }

    // dm/d(gamma0 t) of the cells i, i + 1, ... of a register.
    template <bool SPIN, bool FLOW, bool HEAT>
    SPINODE_INLINE Three rate(T* const* from, int64_t i, const Now& t) const {
        const auto& n = job.numbers;
        const Three here = at(from, i);
        const Three east = at(from, i + 1), west = at(from, i - 1), north = at(from, i + stride), south = at(from, i - stride);
        const V be = load(cell[EAST] + i), bw = load(cell[EAST] + i - 1), bn = load(cell[NORTH] + i),
                bs = load(cell[NORTH] + i - stride);
        const T exchange = T(n[1]), per_dmi = T(n[2]);
        // A component parallel to m exerts no torque, so neighbours may replace differences.
        Three h{exchange * (be * east.x + bw * west.x + bn * north.x + bs * south.x),
                exchange * (be * east.y + bw * west.y + bn * north.y + bs * south.y),
                exchange * (be * east.z + bw * west.z + bn * north.z + bs * south.z)};
        const V de = per_dmi * (load(cell[DMI_EAST] + i) + t.dmi * be),
                dw = per_dmi * (load(cell[DMI_EAST] + i - 1) + t.dmi * bw);
        const V dn = per_dmi * (load(cell[DMI_NORTH] + i) + t.dmi * bn),
                ds = per_dmi * (load(cell[DMI_NORTH] + i - stride) + t.dmi * bs);
        h.x += de * east.z - dw * west.z;
        h.y += dn * north.z - ds * south.z;
        h.z += dw * west.x - de * east.x + ds * south.y - dn * north.y;
        // The boundary condition of the DMI, see there.
        const V own = load(cell[DMI] + i) + t.dmi, edge = T(n[3]) * own * own;
        const V ox = edge * load(cell[OPEN_X] + i), oy = edge * load(cell[OPEN_Y] + i);
        h.x += ox * here.x;
        h.y += oy * here.y;
        h.z += (ox + oy) * here.z;
        const V ex = load(cell[EASY_X] + i), ey = load(cell[EASY_Y] + i), ez = load(cell[EASY_Z] + i);
        const V along = (load(cell[AXIS] + i) + t.anisotropy) * (ex * here.x + ey * here.y + ez * here.z);
        h.x += along * ex + load(stray[0] + i) + t.step * load(slope[0] + i) + t.field[0];
        h.y += along * ey + load(stray[1] + i) + t.step * load(slope[1] + i) + t.field[1];
        h.z += along * ez + load(stray[2] + i) + t.step * load(slope[2] + i) + t.field[2] - T(n[4]) * here.z;
        if constexpr (HEAT) {
            h.x += load(thermal[0] + i);
            h.y += load(thermal[1] + i);
            h.z += load(thermal[2] + i);
        }
        if constexpr (SPIN) {
            const Three p{splat(T(n[5])), splat(T(n[6])), splat(T(n[7]))};
            const T square = T(n[9] * n[9]);
            const V damping_like =
                t.spin * T(n[8]) * square / (square + T(1) + (square - T(1)) * (p.x * here.x + p.y * here.y + p.z * here.z));
            const Three turn = cross(here, p);
            h.x += damping_like * (turn.x + T(n[10]) * p.x);
            h.y += damping_like * (turn.y + T(n[10]) * p.y);
            h.z += damping_like * (turn.z + T(n[10]) * p.z);
        }
        Three torque = cross(h, here);
        if constexpr (FLOW) {
            const T fx = t.flow[0], fy = t.flow[1];
            const Three along_flow{fx * (be * (east.x - here.x) - bw * (west.x - here.x)) +
                                       fy * (bn * (north.x - here.x) - bs * (south.x - here.x)),
                                   fx * (be * (east.y - here.y) - bw * (west.y - here.y)) +
                                       fy * (bn * (north.y - here.y) - bs * (south.y - here.y)),
                                   fx * (be * (east.z - here.z) - bw * (west.z - here.z)) +
                                       fy * (bn * (north.z - here.z) - bs * (south.z - here.z))};
            const Three across = cross(here, along_flow);
            torque.x += T(n[11]) * across.x - along_flow.x;
            torque.y += T(n[11]) * across.y - along_flow.y;
            torque.z += T(n[11]) * across.z - along_flow.z;
        }
        const T alpha = T(n[0]), scale = T(1 / (1 + n[0] * n[0]));
        const Three damping = cross(here, torque);
        return {scale * (torque.x + alpha * damping.x), scale * (torque.y + alpha * damping.y),
                scale * (torque.z + alpha * damping.z)};
    }

    // One stage for all cells: k = rate(from), sum (+)= weight k, to = m + ahead k; the last one ends the step.
    template <int STAGE, bool SPIN, bool FLOW, bool HEAT>
    void stage(T* const* from, T* const* to, double step) const {
        const Now t = now(step + (STAGE == 0 ? 0.0 : STAGE == 3 ? 1.0 : 0.5));
        const T dt = T(job.dt), weight = STAGE == 0 || STAGE == 3 ? T(1) : T(2), ahead = STAGE == 2 ? dt : dt / 2;
        for (int64_t i = stride; i < size - stride; i += LANES<T>) {
            const Three k = rate<SPIN, FLOW, HEAT>(from, i, t);
            const V* parts[] = {&k.x, &k.y, &k.z};
            if constexpr (STAGE < 3) {
                for (int a = 0; a < 3; ++a) {
                    store(sum[a] + i, STAGE == 0 ? *parts[a] : load(sum[a] + i) + weight * *parts[a]);
                    store(to[a] + i, load(m[a] + i) + ahead * *parts[a]);
                }
            } else {
                V moved[3], square{};
                for (int a = 0; a < 3; ++a) {
                    moved[a] = load(m[a] + i) + dt / 6 * (load(sum[a] + i) + *parts[a]);
                    square += moved[a] * moved[a];
                }
                const V length = root(square), inverse = T(1) / (length > T(0) ? length : splat(T(1)));
                for (int a = 0; a < 3; ++a) store(to[a] + i, moved[a] * inverse);
            }
        }
    }

    template <bool SPIN, bool FLOW, bool HEAT>
    void run() {
        for (int64_t step = 0; step < job.steps; ++step) {
            if constexpr (HEAT) heat(uint64_t(job.first + step));
            stage<0, SPIN, FLOW, HEAT>(m, one, double(step));
            stage<1, SPIN, FLOW, HEAT>(one, two, double(step));
            stage<2, SPIN, FLOW, HEAT>(two, one, double(step));
            // The last stage reads neighbours in `one` and writes m, which no stage reads there any more.
            stage<3, SPIN, FLOW, HEAT>(one, m, double(step));
        }
    }

    // The thermal field of a step, the same in its four stages.
    void heat(uint64_t step) {
        const int64_t inner = size - 2 * stride;
        normal(job.key, step, 3 * inner, draws.get());
        for (int a = 0; a < 3; ++a)
            for (int64_t i = 0; i < inner; ++i) thermal[a][stride + i] = T(job.numbers[12]) * T(draws[size_t(a * inner + i)]);
    }
};

template <class T>
void film(const Film& job) {
    FilmRun<T> run(job);
    const bool spin = job.begin[5] != 0 || job.end[5] != 0, heat = job.numbers[12] != 0;
    const bool flow = job.begin[6] != 0 || job.end[6] != 0 || job.begin[7] != 0 || job.end[7] != 0;
    if (heat) return spin || flow ? run.template run<true, true, true>() : run.template run<false, false, true>();
    if (spin || flow) return run.template run<true, true, false>();
    run.template run<false, false, false>();
}

}  // namespace SPINODE_ISA
}  // namespace spinode
