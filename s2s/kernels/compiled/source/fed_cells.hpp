// A step of the recurrence inside a decoder's loop (fed.cpp), forward and backward, for one vector of units.
//
// Gates read [h; u], what is fed beside the state: joined is (gates x H, H + U) row by row.
#pragma once

#include <memory>

#include "scan.hpp"

namespace s2s {

// A matrix, and where in the row of a left side its inputs begin.
template <class S> struct Factor {
    Packed<S> matrix;
    int from;
};

// Reset after the product. Gates r, z, n; inside is U_n h + b'_n; carried from step to step is h.
template <class S> struct Gru {
    typedef typename StateOf<S>::type T;
    static constexpr int GATES = 3, PRODUCTS = 4;
    static constexpr bool CARRIES_H = true;

    // r and z of [h; u]; n of h, which the reset scales, and of u apart.
    static std::vector<Factor<S>> forward(const S* joined, int H, int U) {
        const int K = H + U;
        const size_t block = size_t(H) * K;
        std::vector<Factor<S>> out;
        out.push_back({Packed<S>(joined, K, H, 1, K), 0});
        out.push_back({Packed<S>(joined + block, K, H, 1, K), 0});
        out.push_back({Packed<S>(joined + 2 * block, H, H, 1, K), 0});
        out.push_back({Packed<S>(joined + 2 * block + H, U, H, 1, K), H});
        return out;
    }
    // The left side of the backward is [dun | dr | dz | dn]: h had the first three, u the last three.
    static Factor<S> to_state(const S* joined, int H, int U) {
        std::vector<S> turned(size_t(3) * H * H);
        for (int k = 0; k < 3 * H; ++k)
            std::memcpy(&turned[size_t(k) * H], joined + size_t((k + 2 * H) % (3 * H)) * (H + U), H * sizeof(S));
        return {Packed<S>(turned.data(), 3 * H, H, H, 1), 0};
    }
    static Factor<S> to_fed(const S* joined, int H, int U) { return {Packed<S>(joined + H, 3 * H, U, H + U, 1), H}; }

    static V<T> step(S* gates, S* inner, T* state, const T* bias_n, const T* sum, int H, int j, int n) {
        S *r = gates + j, *z = r + H, *n_ = z + H;
        ahead(r, 3 * H), ahead(z, 3 * H), ahead(n_, 3 * H);
        V<T> before = load_all(state + j), un = load_all(sum + 2 * PANEL<T>) + load(bias_n + j, n);
        V<T> reset = sigmoid(load(r, n) + load_all(sum));
        V<T> keep = sigmoid(load(z, n) + load_all(sum + PANEL<T>));
        V<T> fresh = tanh(load(n_, n) + load_all(sum + 3 * PANEL<T>) + reset * un);
        V<T> now = fresh + keep * (before - fresh);
        store_all(state + j, now);
        store(r, reset, n), store(z, keep, n), store(n_, fresh, n), store(inner + j, un, n);
        return now;
    }

    // d: of h but for what was carried past the gates.
    template <class P>
    static void back(const S* gates, const S* inner, V<T> before, V<T> d, T* carried, S* dgates, S* dun, P* left, int H,
                     int j, int n) {
        const S *r = gates + j, *z = r + H, *n_ = z + H;
        ahead(r, -3 * H), ahead(z, -3 * H), ahead(n_, -3 * H);
        d += load_all(carried + j);
        V<T> reset = load(r, n), keep = load(z, n), fresh = load(n_, n);
        V<T> d_n = d * (T(1) - keep) * (T(1) - fresh * fresh);
        V<T> d_z = d * (before - fresh) * keep * (T(1) - keep);
        V<T> d_r = d_n * load(inner + j, n) * reset * (T(1) - reset), d_un = d_n * reset;
        store_all(carried + j, d * keep);
        store(dgates + j, d_r, n), store(dgates + H + j, d_z, n), store(dgates + 2 * H + j, d_n, n);
        store(dun + j, d_un, n);
        store(left + j, d_un, n), store(left + H + j, d_r, n), store(left + 2 * H + j, d_z, n);
        store(left + 3 * H + j, d_n, n);
    }
};

// Gates i, f, g, o; inside and carried is c.
template <class S> struct Lstm {
    typedef typename StateOf<S>::type T;
    static constexpr int GATES = 4, PRODUCTS = 4;
    static constexpr bool CARRIES_H = false;

    static std::vector<Factor<S>> forward(const S* joined, int H, int U) {
        std::vector<Factor<S>> out;
        for (int gate = 0; gate < 4; ++gate)
            out.push_back({Packed<S>(joined + size_t(gate) * H * (H + U), H + U, H, 1, H + U), 0});
        return out;
    }
    static Factor<S> to_state(const S* joined, int H, int U) { return {Packed<S>(joined, 4 * H, H, H + U, 1), 0}; }
    static Factor<S> to_fed(const S* joined, int H, int U) { return {Packed<S>(joined + H, 4 * H, U, H + U, 1), 0}; }

    static V<T> step(S* gates, S* inner, T* state, const T*, const T* sum, int H, int j, int n) {
        S *i = gates + j, *f = i + H, *g = f + H, *o = g + H;
        ahead(i, 4 * H), ahead(f, 4 * H), ahead(g, 4 * H), ahead(o, 4 * H);
        V<T> in = sigmoid(load(i, n) + load_all(sum)), forget = sigmoid(load(f, n) + load_all(sum + PANEL<T>));
        V<T> fresh = tanh(load(g, n) + load_all(sum + 2 * PANEL<T>));
        V<T> out = sigmoid(load(o, n) + load_all(sum + 3 * PANEL<T>));
        V<T> c = forget * load_all(state + j) + in * fresh;
        store_all(state + j, c);
        store(i, in, n), store(f, forget, n), store(g, fresh, n), store(o, out, n), store(inner + j, c, n);
        return out * tanh(c);
    }

    template <class P>
    static void back(const S* gates, const S* inner, V<T> before, V<T> d, T* carried, S* dgates, S*, P* left, int H, int j,
                     int n) {
        const S *i = gates + j, *f = i + H, *g = f + H, *o = g + H;
        ahead(i, -4 * H), ahead(f, -4 * H), ahead(g, -4 * H), ahead(o, -4 * H);
        V<T> in = load(i, n), forget = load(f, n), fresh = load(g, n), out = load(o, n), tanh_c = tanh(load(inner + j, n));
        V<T> d_c = load_all(carried + j) + d * out * (T(1) - tanh_c * tanh_c);
        store_all(carried + j, d_c * forget);
        const V<T> all_four[4] = {d_c * fresh * in * (T(1) - in), d_c * before * forget * (T(1) - forget),
                                  d_c * in * (T(1) - fresh * fresh), d * tanh_c * out * (T(1) - out)};
        for (int gate = 0; gate < 4; ++gate) {
            store(dgates + gate * H + j, all_four[gate], n);
            store(left + gate * H + j, all_four[gate], n);
        }
    }
};

}  // namespace s2s
