// Gated recurrent unit, reset after the product: the loops over time of s2s/kernels/fused/gru.py.
// Gates r, z, n; h itself is the state, kept in full precision.
#include "scan.hpp"

namespace s2s {

template <class S, class T = typename StateOf<S>::type>
void gru_forward(Sizes sizes, const int64_t* lengths, int threads, S* gates, const S* weight, const T* bias_n, S* h,
                 S* saved_un, const T* h0, T* h1) {
    const int H = sizes.hidden;
    const size_t block = size_t(H) * H;
    Packed<S> u_r(weight, H, H, 1, H), u_z(weight + block, H, H, 1, H), u_n(weight + 2 * block, H, H, 1, H);
    auto step = [=](Place place, const T* sum, std::array<T*, 1> state, Operand<S>* next, T*) {
        S *r = gates + place.at * 3 * H, *z = r + H, *n_ = z + H;
        for (int j = place.unit; j < place.end; j += LANES<T>, sum += LANES<T>) {
            const int n = std::min(LANES<T>, place.end - j);
            ahead(r + j, 3 * H), ahead(z + j, 3 * H), ahead(n_ + j, 3 * H);
            V<T> before = load_all(state[0] + j), un = load_all(sum + 2 * PANEL<T>) + load(bias_n + j, n);
            V<T> reset = sigmoid(load(r + j, n) + load_all(sum));
            V<T> keep = sigmoid(load(z + j, n) + load_all(sum + PANEL<T>));
            V<T> fresh = tanh(load(n_ + j, n) + reset * un);
            V<T> now = fresh + keep * (before - fresh);
            store_all(state[0] + j, now);
            store(h + place.at * H + j, now, n);
            store(next + j, now, n);
            if (!saved_un) continue;
            store(r + j, reset, n), store(z + j, keep, n), store(n_ + j, fresh, n);
            store(saved_un + place.at * H + j, un, n);
        }
    };
    // h stands twice: rounded, as the product's left side, and as the state that is carried on, whose end is the final h.
    over_groups(groups_of(sizes.batch, sizes.time, lengths, threads), threads, [&](const Group& group, int) {
        forward_loop<S, 3, 1>(group, sizes, {&u_r, &u_z, &u_n}, {h0, h0}, {h1, h1}, h, step);
    });
}

// sums: the gates' biases, then b'_n.
template <class S, class T = typename StateOf<S>::type>
void gru_backward(Sizes sizes, const int64_t* lengths, int threads, const S* gates, const S* saved_un, const S* h,
                  const T* h0, const S* weight, const S* dh, const T* dh1, S* dgates, S* dun, T* dh0, T* sums) {
    const int H = sizes.hidden, time = sizes.time;
    Packed<S> recurrent(weight, 3 * H, H, H, 1);
    const int wide = recurrent.columns_padded();
    auto step = [=](Place place, const T* sum, std::array<T*, 1> state, Operand<S>* now, T* bias, const T*) {
        const size_t at = place.at * H;
        const S *r = gates + 3 * at, *z = r + H, *n_ = z + H;
        const bool begins = place.at % time == 0;
        for (int j = place.unit; j < place.end; j += LANES<T>, sum += LANES<T>) {
            const int n = std::min(LANES<T>, place.end - j);
            ahead(r + j, -3 * H), ahead(z + j, -3 * H), ahead(n_ + j, -3 * H);
            ahead(saved_un + at + j, -H), ahead(h + at + j, -2 * H);
            // What came to h past the recurrent weights is carried beside what came through them.
            V<T> d = load_all(sum) + load_all(state[0] + j);
            if (dh) {
                ahead(dh + at + j, -H);
                d += load(dh + at + j, n);
            }
            V<T> before = begins ? load(h0 + place.at / time * H + j, n) : load(h + at - H + j, n);
            V<T> reset = load(r + j, n), keep = load(z + j, n), fresh = load(n_ + j, n);
            V<T> d_n = d * (T(1) - keep) * (T(1) - fresh * fresh);
            V<T> d_z = d * (before - fresh) * keep * (T(1) - keep);
            V<T> d_r = d_n * load(saved_un + at + j, n) * reset * (T(1) - reset), d_un = d_n * reset;
            store_all(state[0] + j, d * keep);
            store(dgates + 3 * at + j, d_r, n), store(dgates + 3 * at + H + j, d_z, n);
            store(dgates + 3 * at + 2 * H + j, d_n, n), store(dun + at + j, d_un, n);
            store(now + j, d_r, n), store(now + H + j, d_z, n), store(now + 2 * H + j, d_un, n);
            add(bias + j, d_r), add(bias + wide + j, d_z), add(bias + 2 * wide + j, d_n), add(bias + 3 * wide + j, d_un);
        }
    };
    // Both ways to the first h: through the weights, and past them.
    std::vector<T> zeros(size_t(sizes.batch) * H), through(size_t(sizes.batch) * H);
    auto run = [&](const Group& group, double* bias) {
        backward_loop<S, 1, 4>(group, sizes, recurrent, {zeros.data(), dh1}, {through.data(), dh0}, dgates, 3, bias, step);
        for (int i = 0; i < group.size(); ++i) {
            size_t b = size_t(group.row[i]), steps = group.length[i];
            for (int j = 0; j < H; ++j) dh0[b * H + j] += through[b * H + j];
            blank(dun + (b * time + steps) * H, (time - steps) * H);
        }
    };
    with_sums(groups_of(sizes.batch, time, lengths, threads), threads, 4 * H, sums, run);
}

}  // namespace s2s

#define S2S_DEFINE(NAME, S, T)                                                                                            \
    extern "C" void gru_forward_##NAME(int batch, int time, int hidden, const int64_t* lengths, int threads, S* gates,   \
                                       const S* weight, const T* bias_n, S* h, S* un, const T* h0, T* h1) {              \
        s2s::gru_forward<S>({batch, time, hidden}, lengths, threads, gates, weight, bias_n, h, un, h0, h1);              \
    }                                                                                                                    \
    extern "C" void gru_backward_##NAME(int batch, int time, int hidden, const int64_t* lengths, int threads,            \
                                        const S* gates, const S* un, const S* h, const T* h0, const S* weight,           \
                                        const S* dh, const T* dh1, S* dgates, S* dun, T* dh0, T* sums) {                 \
        s2s::gru_backward<S>({batch, time, hidden}, lengths, threads, gates, un, h, h0, weight, dh, dh1, dgates, dun,    \
                             dh0, sums);                                                                                 \
    }
S2S_DEFINE(float32, float, float)
S2S_DEFINE(float64, double, double)
S2S_DEFINE(bfloat16, s2s::bf16, float)
