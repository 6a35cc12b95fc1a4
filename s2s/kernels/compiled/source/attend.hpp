// Attention of one query: scores, softmax and the average of the values while they are in the nearest cache.
#pragma once

#include "scan.hpp"

namespace s2s {

template <class F> inline void by_lanes(int64_t width, F f) {
    for (int j = 0; j < width; j += LANES<float>) f(j, std::min(LANES<float>, int(width) - j));
}

inline float dot(const float* a, const float* b, int n) {
    vfloat sum{};
    by_lanes(n, [&](int j, int left) { sum += load(a + j, left) * load(b + j, left); });
    return sum_of<float>(sum);
}

// v . tanh(q + k)
inline float additive(const float* q, const float* k, const float* v, int n) {
    vfloat sum{};
    by_lanes(n, [&](int j, int left) { sum += load(v + j, left) * tanh(load(q + j, left) + load(k + j, left)); });
    return sum_of<float>(sum);
}

constexpr float MASKED = -1e9f;

// What one sentence offers: keys (positions, A), values (positions, E), and v where the score is additive.
struct Offer {
    int positions, A, E;
    const float *keys, *values;
    const uint8_t* mask;
    const float* energy;
};

inline void attend(const Offer& offer, const float* query, float* weights, float* context) {
    float most = -INFINITY;
    for (int s = 0; s < offer.positions; ++s) {
        const float* key = offer.keys + size_t(s) * offer.A;
        weights[s] = !offer.mask[s]  ? MASKED
                     : offer.energy ? additive(query, key, offer.energy, offer.A)
                                    : dot(query, key, offer.A);
        most = weights[s] > most ? weights[s] : most;
    }
    float total = 0;
    for (int s = 0; s < offer.positions; ++s) total += weights[s] = std::exp(weights[s] - most);
    for (int s = 0; s < offer.positions; ++s) weights[s] /= total;
    by_lanes(offer.E, [&](int j, int n) {
        vfloat sum{};
        for (int s = 0; s < offer.positions; ++s)
            if (weights[s] != 0) sum += load(offer.values + size_t(s) * offer.E + j, n) * weights[s];
        store(context + j, sum, n);
    });
}

}  // namespace s2s
