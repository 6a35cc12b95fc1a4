// Gated recurrent unit, reset before the product: the loops over time of s2s/kernels/fused/gru_before.py.
// Gates r, z, n. A step has two products, since r h must be known for all units before the one for n.
#include "scan.hpp"

namespace s2s {

template <class S, class T = typename StateOf<S>::type>
void gru_before_forward(Sizes sizes, const int64_t* lengths, int threads, S* gates, const S* weight, S* h, S* rh,
                        const T* h0, T* h1) {
    typedef Operand<S> P;
    const int H = sizes.hidden, time = sizes.time;
    const size_t block = size_t(H) * H;
    Packed<S> u_r(weight, H, H, 1, H), u_z(weight + block, H, H, 1, H), u_n(weight + 2 * block, H, H, 1, H);
    const int wide = u_r.columns_padded(), apart = u_r.spacing();
    over_groups(groups_of(sizes.batch, time, lengths, threads), threads, [&](const Group& group, int) {
        Buffer<P> left_h(size_t(group.size()) * apart), left_rh(size_t(group.size()) * apart);
        Buffer<T> state(size_t(group.size()) * wide), keep(size_t(group.size()) * wide);
        Buffer<T> sums(size_t(group.size()) * 2 * PANEL<T>);
        for (int i = 0; i < group.size(); ++i) {
            copy(left_h(size_t(i) * apart), h0 + size_t(group.row[i]) * H, H);
            copy(state(size_t(i) * wide), h0 + size_t(group.row[i]) * H, H);
        }
        int rows = group.size();
        for (int t = 0; t < group.steps(); ++t) {
            rows = group.running(t, rows);
            for (int p = 0; p < u_r.panels(); ++p) {
                product(left_h(), apart, rows, u_r, p, sums(), 2 * PANEL<T>);
                product(left_h(), apart, rows, u_z, p, sums(PANEL<T>), 2 * PANEL<T>);
                const int unit = p * PANEL<T>, end = std::min(unit + PANEL<T>, H);
                for (int i = 0; i < rows; ++i) {
                    const size_t at = size_t(group.row[i]) * time + t;
                    const T* sum = sums(size_t(i) * 2 * PANEL<T>);
                    S *r = gates + at * 3 * H, *z = r + H;
                    for (int j = unit; j < end; j += LANES<T>, sum += LANES<T>) {
                        const int n = std::min(LANES<T>, end - j);
                        ahead(r + j, 3 * H), ahead(z + j, 3 * H), ahead(z + H + j, 3 * H);
                        V<T> reset = sigmoid(load(r + j, n) + load_all(sum));
                        V<T> kept = sigmoid(load(z + j, n) + load_all(sum + PANEL<T>));
                        V<T> reset_h = reset * load_all(state(size_t(i) * wide + j));
                        store_all(keep(size_t(i) * wide + j), kept);
                        store(left_rh(size_t(i) * apart) + j, reset_h, n);
                        if (!rh) continue;
                        store(r + j, reset, n), store(z + j, kept, n), store(rh + at * H + j, reset_h, n);
                    }
                }
            }
            for (int p = 0; p < u_n.panels(); ++p) {
                product(left_rh(), apart, rows, u_n, p, sums(), 2 * PANEL<T>);
                const int unit = p * PANEL<T>, end = std::min(unit + PANEL<T>, H);
                for (int i = 0; i < rows; ++i) {
                    const size_t at = size_t(group.row[i]) * time + t;
                    const T* sum = sums(size_t(i) * 2 * PANEL<T>);
                    S* fresh = gates + at * 3 * H + 2 * H;
                    for (int j = unit; j < end; j += LANES<T>, sum += LANES<T>) {
                        const int n = std::min(LANES<T>, end - j);
                        T* carried = state(size_t(i) * wide + j);
                        V<T> new_h = tanh(load(fresh + j, n) + load_all(sum));
                        V<T> now = new_h + load_all(keep(size_t(i) * wide + j)) * (load_all(carried) - new_h);
                        store_all(carried, now);
                        store(h + at * H + j, now, n);
                        store(left_h(size_t(i) * apart) + j, now, n);
                        if (rh) store(fresh + j, new_h, n);
                    }
                }
            }
        }
        for (int i = 0; i < group.size(); ++i) {
            const size_t b = size_t(group.row[i]), steps = group.length[i];
            copy(h1 + b * H, state(size_t(i) * wide), H);
            blank(h + (b * time + steps) * H, (time - steps) * H);
            if (rh) blank(rh + (b * time + steps) * H, (time - steps) * H);
        }
    });
}

template <class S, class T = typename StateOf<S>::type>
void gru_before_backward(Sizes sizes, const int64_t* lengths, int threads, const S* gates, const S* h, const T* h0,
                         const S* weight, const S* dh, const T* dh1, S* dgates, T* dh0, T* dbias) {
    typedef Operand<S> P;
    const int H = sizes.hidden, time = sizes.time;
    Packed<S> back_rz(weight, 2 * H, H, H, 1), back_n(weight + 2 * size_t(H) * H, H, H, H, 1);
    const int wide = back_rz.columns_padded(), apart_rz = back_rz.spacing(), apart_n = back_n.spacing();
    auto run = [&](const Group& group, double* bias) {
        Buffer<P> later(size_t(group.size()) * apart_rz), now(size_t(group.size()) * apart_rz);
        Buffer<P> left_n(size_t(group.size()) * apart_n);
        // The gradient of h past the weights of r and z: what came through them is in the product.
        Buffer<T> carried(size_t(group.size()) * wide), sums(size_t(group.size()) * PANEL<T>), partial(3 * size_t(wide));
        for (int i = 0; i < group.size(); ++i) {
            const size_t b = size_t(group.row[i]), steps = group.length[i];
            copy(carried(size_t(i) * wide), dh1 + b * H, H);
            blank(dgates + (b * time + steps) * 3 * H, (time - steps) * 3 * H);
        }
        int rows = 0;
        for (int t = group.steps() - 1; t >= 0; --t) {
            rows = group.running(t, rows);
            for (int p = 0; p < back_rz.panels(); ++p) {
                product(later(), apart_rz, rows, back_rz, p, sums(), PANEL<T>);
                const int unit = p * PANEL<T>, end = std::min(unit + PANEL<T>, H);
                for (int i = 0; i < rows; ++i) {
                    const size_t row = size_t(group.row[i]), at = (row * time + t) * H;
                    const T* sum = sums(size_t(i) * PANEL<T>);
                    const S *z = gates + 3 * at + H, *fresh = z + H;
                    for (int j = unit; j < end; j += LANES<T>, sum += LANES<T>) {
                        const int n = std::min(LANES<T>, end - j);
                        ahead(z - H + j, -3 * H), ahead(z + j, -3 * H), ahead(fresh + j, -3 * H), ahead(h + at + j, -2 * H);
                        T* past = carried(size_t(i) * wide + j);
                        V<T> d = load_all(sum) + load_all(past);
                        if (dh) d += load(dh + at + j, n);
                        V<T> before = t ? load(h + at - H + j, n) : load(h0 + row * H + j, n);
                        V<T> kept = load(z + j, n), new_h = load(fresh + j, n);
                        V<T> d_n = d * (T(1) - kept) * (T(1) - new_h * new_h);
                        V<T> d_z = d * (before - new_h) * kept * (T(1) - kept);
                        store_all(past, d * kept);
                        store(dgates + 3 * at + H + j, d_z, n), store(dgates + 3 * at + 2 * H + j, d_n, n);
                        store(now(size_t(i) * apart_rz) + H + j, d_z, n), store(left_n(size_t(i) * apart_n) + j, d_n, n);
                        add(partial(wide + j), d_z), add(partial(2 * size_t(wide) + j), d_n);
                    }
                }
            }
            for (int p = 0; p < back_n.panels(); ++p) {
                product(left_n(), apart_n, rows, back_n, p, sums(), PANEL<T>);
                const int unit = p * PANEL<T>, end = std::min(unit + PANEL<T>, H);
                for (int i = 0; i < rows; ++i) {
                    const size_t row = size_t(group.row[i]), at = (row * time + t) * H;
                    const T* sum = sums(size_t(i) * PANEL<T>);
                    for (int j = unit; j < end; j += LANES<T>, sum += LANES<T>) {
                        const int n = std::min(LANES<T>, end - j);
                        V<T> before = t ? load(h + at - H + j, n) : load(h0 + row * H + j, n);
                        V<T> reset = load(gates + 3 * at + j, n), d_rh = load_all(sum);
                        V<T> d_r = d_rh * before * reset * (T(1) - reset);
                        add(carried(size_t(i) * wide + j), d_rh * reset);
                        store(dgates + 3 * at + j, d_r, n);
                        store(now(size_t(i) * apart_rz) + j, d_r, n);
                        add(partial(j), d_r);
                    }
                }
            }
            add_step(bias, partial, wide, H, 3);
            now.swap(later);
        }
        for (int p = 0; p < back_rz.panels(); ++p) {
            product(later(), apart_rz, group.size(), back_rz, p, sums(), PANEL<T>);
            const int unit = p * PANEL<T>, end = std::min(unit + PANEL<T>, H);
            for (int i = 0; i < group.size(); ++i)
                for (int j = unit; j < end; ++j)
                    dh0[size_t(group.row[i]) * H + j] =
                        *sums(size_t(i) * PANEL<T> + j - unit) + *carried(size_t(i) * wide + j);
        }
    };
    with_sums(groups_of(sizes.batch, time, lengths, threads), threads, 3 * H, dbias, run);
}

}  // namespace s2s

#define S2S_DEFINE(NAME, S, T)                                                                                            \
    extern "C" void gru_before_forward_##NAME(int batch, int time, int hidden, const int64_t* lengths, int threads,      \
                                              S* gates, const S* weight, S* h, S* rh, const T* h0, T* h1) {              \
        s2s::gru_before_forward<S>({batch, time, hidden}, lengths, threads, gates, weight, h, rh, h0, h1);               \
    }                                                                                                                    \
    extern "C" void gru_before_backward_##NAME(int batch, int time, int hidden, const int64_t* lengths, int threads,     \
                                               const S* gates, const S* h, const T* h0, const S* weight, const S* dh,    \
                                               const T* dh1, S* dgates, T* dh0, T* dbias) {                              \
        s2s::gru_before_backward<S>({batch, time, hidden}, lengths, threads, gates, h, h0, weight, dh, dh1, dgates, dh0, \
                                    dbias);                                                                              \
    }
S2S_DEFINE(float32, float, float)
S2S_DEFINE(float64, double, double)
S2S_DEFINE(bfloat16, s2s::bf16, float)
