// Attention of queries of one row and its gradients, while keys and values are in the cache: for fed.cpp and additive.cpp.
//
// tanh(q + k) is made again in the backward. Where neither is far out it is 1 - 2 / (1 + e^2q e^2k), with e^2k once a
// sentence and e^2q once a step: a pair of positions then costs a division and no exponential.
#pragma once

#include "scan.hpp"

namespace s2s {

// What one sentence offers: keys (positions, A), values (positions, E), and v where the score is additive.
template <class S> struct Offer {
    typedef typename StateOf<S>::type T;
    int positions, A, E;
    const S *keys, *values;
    const uint8_t* mask;
    const T* energy;
};

// |x| up to here: neither e^2x nor its inverse leaves the range, and a product of two that does ends at tanh = +-1.
constexpr float NEAR = 40.0f;

template <class S> class Attending {
    typedef typename StateOf<S>::type T;
    static constexpr int L = LANES<T>;
    std::vector<Offer<S>> offers;
    int A = 0, positions = 0, wide = 0;
    Buffer<T> grown;        // e^2k, (rows, positions, wide)
    std::vector<char> far;  // rows whose keys are not near
    Buffer<T> energy, asked, scores, partial;

  public:
    explicit Attending(std::vector<Offer<S>> given) : offers(std::move(given)), far(offers.size()) {
        if (offers.empty()) return;
        A = offers[0].A, positions = offers[0].positions, wide = round_up(A, L);
        scores.resize(positions);
        if (!offers[0].energy) return;
        energy.resize(wide), asked.resize(wide), partial.resize(wide);
        copy(energy(), offers[0].energy, A);
        grown.resize(offers.size() * positions * wide);
        for (size_t i = 0; i < offers.size(); ++i) grow(i);
    }

    void look(int i, const S* query, T* weights, S* context) {
        const Offer<S>& offer = offers[i];
        if (!offer.energy)
            for (int s = 0; s < positions; ++s) weights[s] = dot(query, offer.keys + size_t(s) * A, A);
        else if (ask(i, query))
            add_scores<true>(i, query, weights);
        else
            add_scores<false>(i, query, weights);
        softmax(offer, weights);
        for (int j = 0; j < offer.E; j += L) {
            const int n = std::min(L, offer.E - j);
            V<T> sum{};
            for (int s = 0; s < positions; ++s) sum += load(offer.values + size_t(s) * offer.E + j, n) * weights[s];
            store(context + j, sum, n);
        }
    }

    // dweights may be null. dkeys is added to; dscores and dquery (whole vectors) are written.
    void back(int i, const S* query, const T* weights, const T* dcontext, const T* dweights, T* dscores, T* dquery, T* dkeys) {
        const Offer<S>& offer = offers[i];
        T mean = 0;
        for (int s = 0; s < positions; ++s) {
            dscores[s] = offer.mask[s] ? dot(dcontext, offer.values + size_t(s) * offer.E, offer.E) : T(0);
            if (dweights && offer.mask[s]) dscores[s] += dweights[s];
            mean += weights[s] * dscores[s];
        }
        // Zero where masked: the weight is, or where all are masked, every gradient and so the mean.
        for (int s = 0; s < positions; ++s) dscores[s] = weights[s] * (dscores[s] - mean);
        if (!offer.energy)
            back_dot(offer, dscores, dquery);
        else if (ask(i, query))
            back_additive<true>(i, query, dscores, dquery, dkeys);
        else
            back_additive<false>(i, query, dscores, dquery, dkeys);
    }

    void add_energy(double* total) {
        if (partial.size()) add_step(total, partial, wide, A, 1);
    }

  private:
    template <class Left> static T dot(const Left* a, const S* b, int n) {
        V<T> sum{};
        for (int j = 0; j < n; j += L) sum += load(a + j, std::min(L, n - j)) * load(b + j, std::min(L, n - j));
        return sum_of<T>(sum);
    }

    void grow(size_t i) {
        V<T> most{};
        for (int s = 0; s < positions; ++s)
            for (int j = 0; j < A && offers[i].mask[s]; j += L) {
                V<T> key = load(offers[i].keys + size_t(s) * A + j, std::min(L, A - j));
                most = larger(magnitude(key), most);
                store_all(grown((i * positions + s) * wide + j), exp(key + key));
            }
        far[i] = largest_of<T>(most) > NEAR;
    }

    // e^2q; whether that will do.
    bool ask(int i, const S* query) {
        V<T> most{};
        for (int j = 0; j < A; j += L) {
            V<T> q = load(query + j, std::min(L, A - j));
            most = larger(magnitude(q), most);
            store_all(asked(j), exp(q + q));
        }
        return !far[i] && largest_of<T>(most) <= NEAR;
    }

    // 1 / (1 + e^2(q + k)), half of 1 - tanh(q + k).
    template <bool CLOSE> V<T> half(int i, int s, int j, V<T> q, V<T> e) const {
        if (CLOSE) return T(1) / (T(1) + e * load_all(grown((size_t(i) * positions + s) * wide + j)));
        return T(0.5) - T(0.5) * tanh(q + load(offers[i].keys + size_t(s) * A + j, std::min(L, A - j)));
    }

    template <bool CLOSE> void add_scores(int i, const S* query, T* weights) const {
        for (int s = 0; s < positions; ++s) {
            if (!offers[i].mask[s]) continue;
            V<T> sum{};
            for (int j = 0; j < A; j += L) {
                V<T> q{}, e = load_all(asked(j));
                if (!CLOSE) q = load(query + j, std::min(L, A - j));
                sum += load_all(energy(j)) * (T(1) - T(2) * half<CLOSE>(i, s, j, q, e));
            }
            weights[s] = sum_of<T>(sum);
        }
    }

    static void softmax(const Offer<S>& offer, T* weights) {
        T most = -INFINITY, total = 0;
        for (int s = 0; s < offer.positions; ++s) {
            if (!offer.mask[s]) weights[s] = T(-1e9);
            most = weights[s] > most ? weights[s] : most;
        }
        for (int s = 0; s < offer.positions; ++s) total += weights[s] = std::exp(weights[s] - most);
        for (int s = 0; s < offer.positions; ++s) weights[s] /= total;
    }

    void back_dot(const Offer<S>& offer, const T* dscores, T* dquery) const {
        for (int j = 0; j < A; j += L) {
            V<T> sum{};
            for (int s = 0; s < positions; ++s) sum += load(offer.keys + size_t(s) * A + j, std::min(L, A - j)) * dscores[s];
            store_all(dquery + j, sum);
        }
    }

    template <bool CLOSE> void back_additive(int i, const S* query, const T* dscores, T* dquery, T* dkeys) {
        for (int j = 0; j < A; j += L) {
            const int n = std::min(L, A - j);
            V<T> v = load_all(energy(j)), q = load(query + j, n), e = load_all(asked(j)), dq{}, dv{};
            for (int s = 0; s < positions; ++s) {
                if (!offers[i].mask[s]) continue;
                V<T> part = half<CLOSE>(i, s, j, q, e);
                V<T> slope = T(4) * part * (T(1) - part);  // 1 - tanh^2
                V<T> d = v * slope * dscores[s];
                T* to = dkeys + size_t(s) * A + j;
                store(to, load(to, n) + d, n);
                dq += d;
                dv += (T(1) - T(2) * part) * dscores[s];
            }
            store_all(dquery + j, dq);
            store_all(partial(j), load_all(partial(j)) + dv);
        }
    }
};

}  // namespace s2s
