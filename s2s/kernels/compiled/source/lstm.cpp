// Long short-term memory: the loops over time of s2s/kernels/fused/lstm.py, with and without forget gate and peepholes.
// Gates i, f, g, o or i, g, o; state c; peepholes p_i, (p_f,) p_o.
#include "scan.hpp"

namespace s2s {

template <class S, int NG, class T = typename StateOf<S>::type>
void lstm_forward(Sizes sizes, const int64_t* lengths, int threads, S* gates, const S* weight, const T* peephole, S* h,
                  S* saved_c, const T* h0, const T* c0, T* h1, T* c1) {
    constexpr bool FORGETS = NG == 4;
    const int H = sizes.hidden;
    std::vector<Packed<S>> packed;
    for (int gate = 0; gate < NG; ++gate) packed.emplace_back(weight + size_t(gate) * H * H, H, H, 1, H);
    std::array<const Packed<S>*, NG> weights;
    for (int gate = 0; gate < NG; ++gate) weights[gate] = &packed[gate];
    auto step = [=](Place place, const T* sum, std::array<T*, 1> state, Operand<S>* next, T* last) {
        S *i = gates + place.at * NG * H, *f = i + H, *g = i + (NG - 2) * H, *o = g + H;
        for (int j = place.unit; j < place.end; j += LANES<T>, sum += LANES<T>) {
            const int n = std::min(LANES<T>, place.end - j);
            for (int gate = 0; gate < NG; ++gate) ahead(i + gate * H + j, NG * H);
            claim(h + place.at * H + j, H);
            if (saved_c) claim(saved_c + place.at * H + j, H);
            V<T> c = load_all(state[0] + j), kept = c;
            V<T> in = load(i + j, n) + load_all(sum), out = load(o + j, n) + load_all(sum + (NG - 1) * PANEL<T>);
            if (peephole) in += load(peephole + j, n) * c;
            in = sigmoid(in);
            V<T> fresh = tanh(load(g + j, n) + load_all(sum + (NG - 2) * PANEL<T>));
            if (FORGETS) {
                V<T> forget = load(f + j, n) + load_all(sum + PANEL<T>);
                if (peephole) forget += load(peephole + H + j, n) * c;
                forget = sigmoid(forget);
                kept = forget * c;
                if (saved_c) store(f + j, forget, n);
            }
            c = kept + in * fresh;
            if (peephole) out += load(peephole + (NG - 2) * H + j, n) * c;
            out = sigmoid(out);
            V<T> now = out * tanh(c);
            store_all(state[0] + j, c);
            store(h + place.at * H + j, now, n);
            store(next + j, now, n);
            if (last) store(last + j, now, n);
            if (!saved_c) continue;
            store(i + j, in, n), store(g + j, fresh, n), store(o + j, out, n);
            store(saved_c + place.at * H + j, c, n);
        }
    };
    over_groups(groups_of(sizes.batch, sizes.time, lengths, threads), threads, [&](const Group& group, int) {
        forward_loop<S, NG, 1>(group, sizes, weights, {h0, c0}, {h1, c1}, h, step);
    });
}

// sums: the gates' biases, then the peepholes.
template <class S, int NG, class T = typename StateOf<S>::type>
void lstm_backward(Sizes sizes, const int64_t* lengths, int threads, const S* gates, const S* saved_c, const T* c0,
                   const S* weight, const T* peephole, const S* dh, const T* dh1, const T* dc1, S* dgates, T* dh0, T* dc0,
                   T* sums) {
    constexpr bool FORGETS = NG == 4;
    constexpr int NB = 2 * NG - 1;
    const int H = sizes.hidden, time = sizes.time;
    Packed<S> recurrent(weight, NG * H, H, H, 1);
    const int wide = recurrent.columns_padded();
    auto step = [=](Place place, const T* sum, std::array<T*, 1> state, Operand<S>* now, T* bias, const T* last) {
        const size_t at = place.at * H;
        const S *i = gates + NG * at, *f = i + H, *g = i + (NG - 2) * H, *o = g + H;
        const bool begins = place.at % time == 0;
        const T* before = c0 + place.at / time * H;
        for (int j = place.unit; j < place.end; j += LANES<T>, sum += LANES<T>) {
            const int n = std::min(LANES<T>, place.end - j);
            for (int gate = 0; gate < NG; ++gate) ahead(i + gate * H + j, -NG * H);
            ahead(saved_c + at + j, -2 * H);
            for (int gate = 0; gate < NG; ++gate) claim(dgates + (NG * at) + gate * H + j, -NG * H);
            V<T> d = load_all(sum), c = load(saved_c + at + j, n);
            V<T> c_before = begins ? load(before + j, n) : load(saved_c + at - H + j, n);
            if (dh) {
                ahead(dh + at + j, -H);
                d += load(dh + at + j, n);
            }
            if (last) d += load(last + j, n);
            V<T> in = load(i + j, n), fresh = load(g + j, n), out = load(o + j, n), tanh_c = tanh(c);
            V<T> d_o = d * tanh_c * out * (T(1) - out);
            V<T> d_c = load_all(state[0] + j) + d * out * (T(1) - tanh_c * tanh_c);
            if (peephole) d_c += d_o * load(peephole + (NG - 2) * H + j, n);
            V<T> d_i = d_c * fresh * in * (T(1) - in), d_g = d_c * in * (T(1) - fresh * fresh), d_f{};
            V<T> d_before = d_c;
            if (FORGETS) {
                V<T> forget = load(f + j, n);
                d_f = d_c * c_before * forget * (T(1) - forget);
                d_before = d_c * forget;
            }
            if (peephole) {
                d_before += d_i * load(peephole + j, n);
                if (FORGETS) d_before += d_f * load(peephole + H + j, n);
                add(bias + NG * wide + j, d_i * c_before);
                if (FORGETS) add(bias + (NG + 1) * wide + j, d_f * c_before);
                add(bias + (NB - 1) * wide + j, d_o * c);
            }
            store_all(state[0] + j, d_before);
            auto give = [&](int gate, V<T> x) {
                store(dgates + NG * at + gate * H + j, x, n);
                store(now + gate * H + j, x, n);
                add(bias + gate * wide + j, x);
            };
            give(0, d_i);
            if (FORGETS) give(1, d_f);
            give(NG - 2, d_g);
            give(NG - 1, d_o);
        }
    };
    auto run = [&](const Group& group, double* bias) {
        backward_loop<S, 1, NB>(group, sizes, recurrent, {dh1, dc1}, {dh0, dc0}, dgates, NG, bias, step);
    };
    with_sums(groups_of(sizes.batch, time, lengths, threads), threads, NB * H, sums, run);
}

}  // namespace s2s

#define S2S_DEFINE(NAME, S, T)                                                                                            \
    extern "C" void lstm_forward_##NAME(int batch, int time, int hidden, int gates_count, const int64_t* lengths,        \
                                        int threads, S* gates, const S* weight, const T* peephole, S* h, S* c,           \
                                        const T* h0, const T* c0, T* h1, T* c1) {                                        \
        auto run = gates_count == 4 ? s2s::lstm_forward<S, 4> : s2s::lstm_forward<S, 3>;                                 \
        run({batch, time, hidden}, lengths, threads, gates, weight, peephole, h, c, h0, c0, h1, c1);                     \
    }                                                                                                                    \
    extern "C" void lstm_backward_##NAME(int batch, int time, int hidden, int gates_count, const int64_t* lengths,       \
                                         int threads, const S* gates, const S* c, const T* c0, const S* weight,          \
                                         const T* peephole, const S* dh, const T* dh1, const T* dc1, S* dgates, T* dh0,  \
                                         T* dc0, T* sums) {                                                              \
        auto run = gates_count == 4 ? s2s::lstm_backward<S, 4> : s2s::lstm_backward<S, 3>;                               \
        run({batch, time, hidden}, lengths, threads, gates, c, c0, weight, peephole, dh, dh1, dc1, dgates, dh0, dc0,     \
            sums);                                                                                                       \
    }
S2S_DEFINE(float32, float, float)
S2S_DEFINE(float64, double, double)
S2S_DEFINE(bfloat16, s2s::bf16, float)
