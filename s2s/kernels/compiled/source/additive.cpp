// Additive attention of all queries of each sentence, and its gradients (s2s/kernels/additive.py). What lies between a query
// and a key, A numbers for each pair of positions, is never kept: an update of 80 pairs would write and read 20 MB of it.
#include "attention.hpp"

namespace s2s {

struct Extent {
    int batch, queries, positions, A, E;
};

template <class S> struct Asked {
    typedef typename StateOf<S>::type T;
    const S *query, *keys, *values;
    const uint8_t* mask;
    const T* energy;

    Attending<S> of(int b, const Extent& x) const {
        const size_t at = size_t(b) * x.positions;
        return Attending<S>({{x.positions, x.A, x.E, keys + at * x.A, values + at * x.E, mask + at, energy}});
    }
};

template <class S, class T = typename StateOf<S>::type>
void additive_forward(Extent x, int threads, const Asked<S>& asked, S* context, T* weights) {
    over_groups(groups_of(x.batch, 1, nullptr, threads), threads, [&](const Group& group, int) {
        for (int b : group.row) {
            Attending<S> one = asked.of(b, x);
            for (int t = 0; t < x.queries; ++t) {
                const size_t at = size_t(b) * x.queries + t;
                one.look(0, asked.query + at * x.A, weights + at * x.positions, context + at * x.E);
            }
        }
    });
}

// dweights may be null.
template <class S, class T = typename StateOf<S>::type>
void additive_backward(Extent x, int threads, const Asked<S>& asked, const T* weights, const S* dcontext, const T* dweights,
                       S* dquery, S* dkeys, T* denergy) {
    auto run = [&](const Group& group, double* energy) {
        const size_t keys = size_t(x.positions) * x.A;
        Buffer<T> came(round_up(x.E, LANES<T>)), to_query(round_up(x.A, LANES<T>)), scores(x.positions), to_keys(keys);
        for (int b : group.row) {
            Attending<S> one = asked.of(b, x);
            blank(to_keys(), keys);
            for (int t = 0; t < x.queries; ++t) {
                const size_t at = size_t(b) * x.queries + t, row = at * x.positions;
                copy(came(), dcontext + at * x.E, x.E);
                one.back(0, asked.query + at * x.A, weights + row, came(), dweights ? dweights + row : nullptr, scores(), to_query(),
                         to_keys());
                copy(dquery + at * x.A, to_query(), x.A);
            }
            copy(dkeys + b * keys, to_keys(), keys);
            one.add_energy(energy);
        }
    };
    with_sums(groups_of(x.batch, 1, nullptr, threads), threads, x.A, denergy, run);
}

}  // namespace s2s

#define S2S_DEFINE(NAME, S, T)                                                                                            \
    extern "C" void additive_forward_##NAME(int batch, int queries, int positions, int A, int E, const int64_t*,         \
                                            int threads, const S* query, const S* keys, const S* values,                 \
                                            const uint8_t* mask, const T* energy, S* context, T* weights) {              \
        s2s::additive_forward<S>({batch, queries, positions, A, E}, threads, {query, keys, values, mask, energy},        \
                                 context, weights);                                                                      \
    }                                                                                                                    \
    extern "C" void additive_backward_##NAME(int batch, int queries, int positions, int A, int E, const int64_t*,        \
                                             int threads, const S* query, const S* keys, const S* values,                \
                                             const uint8_t* mask, const T* energy, const T* weights, const S* dcontext,  \
                                             const T* dweights, S* dquery, S* dkeys, T* denergy) {                       \
        s2s::additive_backward<S>({batch, queries, positions, A, E}, threads, {query, keys, values, mask, energy},       \
                                  weights, dcontext, dweights, dquery, dkeys, denergy);                                  \
    }
S2S_DEFINE(float32, float, float)
S2S_DEFINE(float64, double, double)
S2S_DEFINE(bfloat16, s2s::bf16, float)
