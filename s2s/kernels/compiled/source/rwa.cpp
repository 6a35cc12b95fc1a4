// Recurrent weighted average: the loops over time of s2s/kernels/fused/rwa.py, whose docstring has the equations.
// Gates u, g, a; states v (the average) and l (the logarithm of the sum of weights).
#include "scan.hpp"

namespace s2s {

template <class S, class T = typename StateOf<S>::type>
void rwa_forward(Sizes sizes, const int64_t* lengths, int threads, S* gates, const S* weight, S* h, S* delta, const T* h0,
                 const T* v0, const T* l0, T* h1, T* v1, T* l1) {
    const int H = sizes.hidden;
    Packed<S> u_g(weight, H, H, 1, H), u_a(weight + size_t(H) * H, H, H, 1, H);
    auto step = [=](Place place, const T* sum, std::array<T*, 2> state, Operand<S>* next, T* last) {
        S *u = gates + place.at * 3 * H, *g = u + H, *a = g + H, *out = h + place.at * H;
        T *v = state[0], *l = state[1];
        for (int j = place.unit; j < place.end; j += LANES<T>, sum += LANES<T>) {
            const int n = std::min(LANES<T>, place.end - j);
            ahead(u + j, 3 * H), ahead(g + j, 3 * H), ahead(a + j, 3 * H), claim(out + j, H);
            if (delta) claim(delta + place.at * H + j, H);
            V<T> tanh_g = tanh(load(g + j, n) + load_all(sum));
            V<T> weight_a = load(a + j, n) + load_all(sum + PANEL<T>), before = load_all(l + j);
            V<T> distance = weight_a - before;
            V<T> e = exp(-magnitude(distance)), less = T(1) / (T(1) + e);
            V<T> share = distance < 0 ? e * less : less;
            V<T> rest = load(u + j, n) * tanh_g - load_all(v + j);
            V<T> average = load_all(v + j) + share * rest;
            V<T> now = tanh(average);
            store_all(v + j, average);
            store_all(l + j, larger(before, weight_a) + log1p_unit(e));
            store(out + j, now, n);
            store(next + j, now, n);
            if (last) store(last + j, now, n);
            if (!delta) continue;
            store(g + j, tanh_g, n);
            store(a + j, share, n);
            store(delta + place.at * H + j, rest, n);
        }
    };
    over_groups(groups_of(sizes.batch, sizes.time, lengths, threads), threads, [&](const Group& group, int) {
        forward_loop<S, 2, 2>(group, sizes, {&u_g, &u_a}, {h0, v0, l0}, {h1, v1, l1}, h, step);
    });
}

template <class S, class T = typename StateOf<S>::type>
void rwa_backward(Sizes sizes, const int64_t* lengths, int threads, const S* gates, const S* delta, const S* h,
                  const S* weight, const S* dh, const T* dh1, const T* dv1, const T* dl1, S* dgates, T* dh0, T* dv0, T* dl0,
                  T* dbias) {
    const int H = sizes.hidden;
    Packed<S> recurrent(weight, 2 * H, H, H, 1);
    const int wide = recurrent.columns_padded();
    auto step = [=](Place place, const T* sum, std::array<T*, 2> state, Operand<S>* now, T* bias, const T* last) {
        const size_t at = place.at * H;
        const S *u = gates + 3 * at, *g = u + H, *a = g + H;
        S *du = dgates + 3 * at, *dg = du + H, *da = dg + H;
        T *dv = state[0], *dl = state[1];
        for (int j = place.unit; j < place.end; j += LANES<T>, sum += LANES<T>) {
            const int n = std::min(LANES<T>, place.end - j);
            ahead(u + j, -3 * H), ahead(g + j, -3 * H), ahead(a + j, -3 * H);
            ahead(delta + at + j, -H), ahead(h + at + j, -H);
            claim(du + j, -3 * H), claim(dg + j, -3 * H), claim(da + j, -3 * H);
            V<T> d = load_all(sum), out = load(h + at + j, n);
            if (dh) {
                ahead(dh + at + j, -H);
                d += load(dh + at + j, n);
            }
            if (last) d += load(last + j, n);
            V<T> share = load(a + j, n), tanh_g = load(g + j, n);
            V<T> average = load_all(dv + j) + d * (T(1) - out * out), z = average * share;
            V<T> d_u = z * tanh_g, d_g = z * load(u + j, n) * (T(1) - tanh_g * tanh_g);
            V<T> d_a = share * (average * load(delta + at + j, n) * (T(1) - share) + load_all(dl + j));
            store_all(dv + j, average - z);
            store_all(dl + j, load_all(dl + j) - d_a);
            store(du + j, d_u, n), store(dg + j, d_g, n), store(da + j, d_a, n);
            store(now + j, d_g, n), store(now + H + j, d_a, n);
            add(bias + j, d_u), add(bias + wide + j, d_g), add(bias + 2 * wide + j, d_a);
        }
    };
    auto run = [&](const Group& group, double* bias) {
        backward_loop<S, 2, 3>(group, sizes, recurrent, {dh1, dv1, dl1}, {dh0, dv0, dl0}, dgates, 3, bias, step);
    };
    with_sums(groups_of(sizes.batch, sizes.time, lengths, threads), threads, 3 * H, dbias, run);
}

}  // namespace s2s

#define S2S_DEFINE(NAME, S, T)                                                                                            \
    extern "C" void rwa_forward_##NAME(int batch, int time, int hidden, const int64_t* lengths, int threads, S* gates,   \
                                       const S* weight, S* h, S* delta, const T* h0, const T* v0, const T* l0, T* h1,    \
                                       T* v1, T* l1) {                                                                   \
        s2s::rwa_forward<S>({batch, time, hidden}, lengths, threads, gates, weight, h, delta, h0, v0, l0, h1, v1, l1);   \
    }                                                                                                                    \
    extern "C" void rwa_backward_##NAME(int batch, int time, int hidden, const int64_t* lengths, int threads,            \
                                        const S* gates, const S* delta, const S* h, const S* weight, const S* dh,        \
                                        const T* dh1, const T* dv1, const T* dl1, S* dgates, T* dh0, T* dv0, T* dl0,     \
                                        T* dbias) {                                                                      \
        s2s::rwa_backward<S>({batch, time, hidden}, lengths, threads, gates, delta, h, weight, dh, dh1, dv1, dl1,        \
                             dgates, dh0, dv0, dl0, dbias);                                                              \
    }
S2S_DEFINE(float32, float, float)
S2S_DEFINE(float64, double, double)
S2S_DEFINE(bfloat16, s2s::bf16, float)
