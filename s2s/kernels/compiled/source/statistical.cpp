// Statistical recurrent unit: the loops over time of s2s/kernels/fused/statistical.py, in its form with a small state,
// and the moving averages of s2s/kernels/fused/averages.py. P statistics, R recurrent ones, A decays, Q = A * R.
#include "scan.hpp"

namespace s2s {

struct Widths {
    int batch, time, statistics, recurrent, decays;
    int small() const { return decays * recurrent; }
};

template <class T> inline Buffer<T> per_column(const T* alpha, int decays, int size) {
    Buffer<T> columns(round_up(decays * size, PANEL<T>));
    for (int c = 0; c < decays * size; ++c) *columns(c) = alpha[c / size];
    return columns;
}

// a x + (1 - a) y
template <class W> inline W mix(W a, W x, W y) { return y + a * (x - y); }

template <class S, class T = typename StateOf<S>::type>
void statistical_forward(Widths w, const int64_t* lengths, int threads, S* gates, const T* q0, const T* alpha,
                         const S* weight_q, const T* bias_r, const S* weight_phi, S* r) {
    typedef Operand<S> P;
    const int N = w.statistics, R = w.recurrent, Q = w.small();
    Packed<S> to_phi(weight_phi, R, N, 1, R), to_q(weight_q, N, Q, 1, N);
    const Buffer<T> decay = per_column(alpha, w.decays, R);
    const int r_apart = to_phi.spacing(), phi_apart = to_q.spacing(), wide = to_q.columns_padded();
    over_groups(groups_of(w.batch, w.time, lengths, threads), threads, [&](const Group& group, int) {
        Buffer<P> left_r(size_t(group.size()) * r_apart), left_phi(size_t(group.size()) * phi_apart);
        Buffer<T> q(size_t(group.size()) * wide), sums(size_t(group.size()) * PANEL<T>);
        for (int i = 0; i < group.size(); ++i) copy(q(size_t(i) * wide), q0 + size_t(group.row[i]) * Q, Q);
        int rows = group.size();
        for (int t = 0; t < group.steps(); ++t) {
            rows = group.running(t, rows);
            for (int i = 0; i < rows; ++i) {
                const size_t at = size_t(group.row[i]) * w.time + t;
                for (int j = 0; j < R; j += LANES<T>) {
                    const int n = std::min(LANES<T>, R - j);
                    V<T> sum = load(bias_r + j, n);
                    for (int a = 0; a < w.decays; ++a) sum += load(q(size_t(i) * wide + a * R + j), n);
                    store(r + at * R + j, relu(sum), n);
                    store(left_r(size_t(i) * r_apart) + j, relu(sum), n);
                }
            }
            for (int p = 0; p < to_phi.panels(); ++p) {
                product(left_r(), r_apart, rows, to_phi, p, sums(), PANEL<T>);
                const int unit = p * PANEL<T>, end = std::min(unit + PANEL<T>, N);
                for (int i = 0; i < rows; ++i) {
                    S* phi = gates + (size_t(group.row[i]) * w.time + t) * N;
                    for (int j = unit; j < end; j += LANES<T>) {
                        const int n = std::min(LANES<T>, end - j);
                        ahead(phi + j, N);
                        V<T> now = relu(load(phi + j, n) + load_all(sums(size_t(i) * PANEL<T> + j - unit)));
                        store(phi + j, now, n);
                        store(left_phi(size_t(i) * phi_apart) + j, now, n);
                    }
                }
            }
            for (int p = 0; p < to_q.panels(); ++p) {
                product(left_phi(), phi_apart, rows, to_q, p, sums(), PANEL<T>);
                for (int i = 0; i < rows; ++i)
                    for (int j = 0; j < to_q.width(p); j += LANES<T>) {
                        T* carried = q(size_t(i) * wide + p * PANEL<T> + j);
                        V<T> fresh = load_all(sums(size_t(i) * PANEL<T> + j));
                        store_all(carried, mix(load_all(decay(p * PANEL<T> + j)), load_all(carried), fresh));
                    }
            }
        }
        for (int i = 0; i < group.size(); ++i) {
            const size_t b = size_t(group.row[i]), steps = group.length[i];
            blank(gates + (b * w.time + steps) * N, (w.time - steps) * N);
            blank(r + (b * w.time + steps) * R, (w.time - steps) * R);
        }
    });
}

template <class S, class T = typename StateOf<S>::type>
void statistical_backward(Widths w, const int64_t* lengths, int threads, const S* phi, const S* r, const T* alpha,
                          const S* weight_q, const S* weight_phi, const S* dphi, S* dgates, S* dr, T* dq) {
    typedef Operand<S> P;
    const int N = w.statistics, R = w.recurrent, Q = w.small();
    Packed<S> from_q(weight_q, Q, N, N, 1), from_phi(weight_phi, N, R, R, 1);
    const int q_apart = from_q.spacing(), phi_apart = from_phi.spacing(), wide = round_up(Q, PANEL<T>);
    over_groups(groups_of(w.batch, w.time, lengths, threads), threads, [&](const Group& group, int) {
        Buffer<P> left_q(size_t(group.size()) * q_apart), left_phi(size_t(group.size()) * phi_apart);
        // (1 - alpha) dq, and the gradients of r of one step.
        Buffer<T> shared(size_t(group.size()) * wide), sums(size_t(group.size()) * PANEL<T>);
        for (int i = 0; i < group.size(); ++i) {
            const size_t b = size_t(group.row[i]), steps = group.length[i];
            blank(dgates + (b * w.time + steps) * N, (w.time - steps) * N);
            blank(dr + (b * w.time + steps) * R, (w.time - steps) * R);
        }
        int rows = 0;
        for (int t = group.steps() - 1; t >= 0; --t) {
            rows = group.running(t, rows);
            for (int p = 0; p < from_q.panels(); ++p) {
                product(left_q(), q_apart, rows, from_q, p, sums(), PANEL<T>);
                const int unit = p * PANEL<T>, end = std::min(unit + PANEL<T>, N);
                for (int i = 0; i < rows; ++i) {
                    const size_t at = (size_t(group.row[i]) * w.time + t) * N;
                    for (int j = unit; j < end; j += LANES<T>) {
                        const int n = std::min(LANES<T>, end - j);
                        ahead(phi + at + j, -N), ahead(dphi + at + j, -N);
                        V<T> d = load(dphi + at + j, n) + load_all(sums(size_t(i) * PANEL<T> + j - unit));
                        d = load(phi + at + j, n) > 0 ? d : V<T>{};
                        store(dgates + at + j, d, n);
                        store(left_phi(size_t(i) * phi_apart) + j, d, n);
                    }
                }
            }
            for (int p = 0; p < from_phi.panels(); ++p) {
                product(left_phi(), phi_apart, rows, from_phi, p, sums(), PANEL<T>);
                const int unit = p * PANEL<T>, end = std::min(unit + PANEL<T>, R);
                for (int i = 0; i < rows; ++i) {
                    const size_t at = (size_t(group.row[i]) * w.time + t) * R;
                    for (int j = unit; j < end; j += LANES<T>) {
                        const int n = std::min(LANES<T>, end - j);
                        V<T> d = load_all(sums(size_t(i) * PANEL<T> + j - unit));
                        d = load(r + at + j, n) > 0 ? d : V<T>{};
                        store(dr + at + j, d, n);
                        for (int a = 0; a < w.decays; ++a) {
                            T* carried = shared(size_t(i) * wide + a * R + j);
                            V<T> now = mix(all(alpha[a]), load(carried, n), d);
                            store(carried, now, n);
                            store(left_q(size_t(i) * q_apart) + a * R + j, now, n);
                        }
                    }
                }
            }
        }
        for (int i = 0; i < group.size(); ++i)
            for (int c = 0; c < Q; ++c)
                dq[size_t(group.row[i]) * Q + c] = *shared(size_t(i) * wide + c) / (1 - alpha[c / R]);
    });
}

// mu_t = alpha mu_{t-1} + (1 - alpha) phi_t for each decay, (batch, time, decays, size); back: from the end.
template <class S, class T = typename StateOf<S>::type>
void averages_forward(int batch, int time, int size, int decays, bool back, int threads, const S* phi, const T* mu0,
                      const T* alpha, S* mu) {
#ifdef _OPENMP
#pragma omp parallel for num_threads(std::max(1, std::min(threads, batch))) schedule(static)
#endif
    for (int b = 0; b < batch; ++b) {
        Buffer<T> carried(size_t(decays) * round_up(size, LANES<T>));
        const int wide = round_up(size, LANES<T>);
        for (int a = 0; a < decays; ++a) copy(carried(size_t(a) * wide), mu0 + (size_t(b) * decays + a) * size, size);
        for (int step = 0; step < time; ++step) {
            const int t = back ? time - 1 - step : step;
            const S* now = phi + (size_t(b) * time + t) * size;
            S* out = mu + (size_t(b) * time + t) * decays * size;
            for (int a = 0; a < decays; ++a)  // in the order in which the averages lie, since writing them is the work
                for (int j = 0; j < size; j += LANES<T>) {
                    const int n = std::min(LANES<T>, size - j);
                    T* average = carried(size_t(a) * wide + j);
                    store_all(average, mix(all(alpha[a]), load_all(average), load(now + j, n)));
                    store(out + size_t(a) * size + j, load_all(average), n);
                }
        }
    }
    (void)threads;
}

template <class S, class T = typename StateOf<S>::type>
void averages_backward(int batch, int time, int size, int decays, int threads, const S* dmu, const T* alpha, S* dphi,
                       T* dmu0) {
#ifdef _OPENMP
#pragma omp parallel for num_threads(std::max(1, std::min(threads, batch))) schedule(static)
#endif
    for (int b = 0; b < batch; ++b) {
        const int wide = round_up(size, LANES<T>);
        Buffer<T> shared(size_t(decays) * wide);  // (1 - alpha) times the gradient of the average
        for (int t = time - 1; t >= 0; --t) {
            const S* now = dmu + (size_t(b) * time + t) * decays * size;
            S* out = dphi + (size_t(b) * time + t) * size;
            for (int j = 0; j < size; j += LANES<T>) {
                const int n = std::min(LANES<T>, size - j);
                V<T> sum{};
                for (int a = 0; a < decays; ++a) {
                    V<T> fresh = load(now + size_t(a) * size + j, n);
                    V<T> average = mix(all(alpha[a]), load_all(shared(size_t(a) * wide + j)), fresh);
                    store_all(shared(size_t(a) * wide + j), average);
                    sum += average;
                }
                store(out + j, sum, n);
            }
        }
        for (int a = 0; a < decays; ++a)
            for (int j = 0; j < size; ++j)
                dmu0[(size_t(b) * decays + a) * size + j] = *shared(size_t(a) * wide + j) * alpha[a] / (1 - alpha[a]);
    }
    (void)threads;
}

}  // namespace s2s

#define S2S_DEFINE(NAME, S, T)                                                                                            \
    extern "C" void statistical_forward_##NAME(int batch, int time, int statistics, int recurrent, int decays,           \
                                               const int64_t* lengths, int threads, S* gates, const T* q,                \
                                               const T* alpha, const S* weight_q, const T* bias_r, const S* weight_phi,  \
                                               S* r) {                                                                   \
        s2s::statistical_forward<S>({batch, time, statistics, recurrent, decays}, lengths, threads, gates, q, alpha,     \
                                    weight_q, bias_r, weight_phi, r);                                                    \
    }                                                                                                                    \
    extern "C" void statistical_backward_##NAME(int batch, int time, int statistics, int recurrent, int decays,          \
                                                const int64_t* lengths, int threads, const S* phi, const S* r,           \
                                                const T* alpha, const S* weight_q, const S* weight_phi, const S* dphi,   \
                                                S* dgates, S* dr, T* dq) {                                               \
        s2s::statistical_backward<S>({batch, time, statistics, recurrent, decays}, lengths, threads, phi, r, alpha,      \
                                     weight_q, weight_phi, dphi, dgates, dr, dq);                                        \
    }                                                                                                                    \
    extern "C" void averages_forward_##NAME(int batch, int time, int size, int decays, int back, const int64_t*,        \
                                            int threads, const S* phi, const T* mu, const T* alpha, S* out) {            \
        s2s::averages_forward<S>(batch, time, size, decays, back != 0, threads, phi, mu, alpha, out);                    \
    }                                                                                                                    \
    extern "C" void averages_backward_##NAME(int batch, int time, int size, int decays, const int64_t*, int threads,     \
                                             const S* dmu, const T* alpha, S* dphi, T* dmu0) {                           \
        s2s::averages_backward<S>(batch, time, size, decays, threads, dmu, alpha, dphi, dmu0);                           \
    }
S2S_DEFINE(float32, float, float)
S2S_DEFINE(float64, double, double)
S2S_DEFINE(bfloat16, s2s::bf16, float)
