// The simple recurrent network: the loops over time of s2s/kernels/fused/elman.py. The gates become h.
#include "scan.hpp"

namespace s2s {

enum Activation { TANH = 0, RELU = 1, SIGMOID = 2 };

template <class W> inline W activate(int activation, W x) {
    return activation == TANH ? tanh(x) : activation == RELU ? relu(x) : sigmoid(x);
}
// The slope, from the value.
template <class T> inline V<T> slope(int activation, V<T> y) {
    if (activation == TANH) return T(1) - y * y;
    if (activation == SIGMOID) return y * (T(1) - y);
    return y > 0 ? all(T(1)) : V<T>{};
}

template <class S, class T = typename StateOf<S>::type>
void elman_forward(Sizes sizes, int activation, const int64_t* lengths, int threads, S* gates, const S* weight,
                   const T* h0, T* h1) {
    const int H = sizes.hidden;
    Packed<S> packed(weight, H, H, 1, H);
    auto step = [=](Place place, const T* sum, std::array<T*, 0>, Operand<S>* next, T* last) {
        S* h = gates + place.at * H;
        for (int j = place.unit; j < place.end; j += LANES<T>, sum += LANES<T>) {
            const int n = std::min(LANES<T>, place.end - j);
            ahead(h + j, H);
            V<T> now = activate(activation, load(h + j, n) + load_all(sum));
            store(h + j, now, n);
            store(next + j, now, n);
            if (last) store(last + j, now, n);
        }
    };
    over_groups(groups_of(sizes.batch, sizes.time, lengths, threads), threads, [&](const Group& group, int) {
        forward_loop<S, 1, 0>(group, sizes, {&packed}, {h0}, {h1}, gates, step);
    });
}

template <class S, class T = typename StateOf<S>::type>
void elman_backward(Sizes sizes, int activation, const int64_t* lengths, int threads, const S* h, const S* weight,
                    const S* dh, const T* dh1, S* dgates, T* dh0, T* dbias) {
    const int H = sizes.hidden;
    Packed<S> recurrent(weight, H, H, H, 1);
    auto step = [=](Place place, const T* sum, std::array<T*, 0>, Operand<S>* now, T* bias, const T* last) {
        const size_t at = place.at * H;
        for (int j = place.unit; j < place.end; j += LANES<T>, sum += LANES<T>) {
            const int n = std::min(LANES<T>, place.end - j);
            ahead(h + at + j, -H);
            V<T> d = load_all(sum);
            if (dh) {
                ahead(dh + at + j, -H);
                d += load(dh + at + j, n);
            }
            if (last) d += load(last + j, n);
            d *= slope<T>(activation, load(h + at + j, n));
            store(dgates + at + j, d, n);
            store(now + j, d, n);
            add(bias + j, d);
        }
    };
    auto run = [&](const Group& group, double* bias) {
        backward_loop<S, 0, 1>(group, sizes, recurrent, {dh1}, {dh0}, dgates, 1, bias, step);
    };
    with_sums(groups_of(sizes.batch, sizes.time, lengths, threads), threads, H, dbias, run);
}

}  // namespace s2s

#define S2S_DEFINE(NAME, S, T)                                                                                            \
    extern "C" void elman_forward_##NAME(int batch, int time, int hidden, int activation, const int64_t* lengths,        \
                                         int threads, S* gates, const S* weight, const T* h0, T* h1) {                   \
        s2s::elman_forward<S>({batch, time, hidden}, activation, lengths, threads, gates, weight, h0, h1);               \
    }                                                                                                                    \
    extern "C" void elman_backward_##NAME(int batch, int time, int hidden, int activation, const int64_t* lengths,       \
                                          int threads, const S* h, const S* weight, const S* dh, const T* dh1,           \
                                          S* dgates, T* dh0, T* dbias) {                                                 \
        s2s::elman_backward<S>({batch, time, hidden}, activation, lengths, threads, h, weight, dh, dh1, dgates, dh0,     \
                               dbias);                                                                                   \
    }
S2S_DEFINE(float32, float, float)
S2S_DEFINE(float64, double, double)
S2S_DEFINE(bfloat16, s2s::bf16, float)
