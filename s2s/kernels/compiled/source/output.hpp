// The output layer with its cross-entropy, forward and backward at once: three products and what lies between.
//
// A few rows at a time, so that their logits stay in the nearest caches: z = F W^T + b becomes g = softmax(z) - (1 - e)
// onehot(y) - e / V, and dF = g W. Beside, g is kept as the left side of the product that comes last, dW = g^T F, over as
// many rows as the shared cache can hold. What the products are made in is a `Way` (output_pairs.hpp, output_eight.hpp).
#pragma once

#include "dense.hpp"
#include "scan.hpp"

#if defined(S2S_DENSE)
namespace s2s {

constexpr size_t NEAR = 3 << 17;  // bytes of the logits that a thread works on at once
constexpr size_t KEPT = 3 << 23;      // bytes of g^T that are kept for one product, in bfloat16
constexpr long MOST_KEPT = 1 << 16;  // rows: so many products in 8 bits have a sum in 32

struct Shape {
    int rows, features, vocabulary, threads;
    int wide() const { return round_up(features, DENSE_COLUMNS); }
    int panels() const { return wide() / DENSE_COLUMNS; }
    int tokens() const { return round_up(vocabulary, 2 * ACROSS); }
    long at_most(size_t bytes) const { return std::max(long(DENSE_ROWS), long(bytes / (2 * size_t(tokens())))); }
    // Rows whose g^T is kept, and of these, rows that are worked on at once: whole groups of a product over rows.
    int kept() const { return Blocks(rows, std::min(at_most(KEPT), MOST_KEPT), 4).each; }
    int chunk() const { return Blocks(kept(), at_most(NEAR * size_t(threads)), DENSE_ROWS).each; }
};

struct Loss {
    const float* bias;
    const int64_t* target;
    float smoothing;
    float *nll, *spread;
    Loss from(int row) const { return {bias, target + row, smoothing, nll + row, spread + row}; }
};

struct Gradients {
    float *features, *weight, *bias;
};

// Kept between calls, since new pages cost more than the arithmetic on them.
struct Workspace {
    Buffer<bf16> left, z;  // F of the kept rows, without gaps; the logits of a chunk
    Buffer<float> d_left;
    void fit(const Shape& s) {
        const size_t chunk = size_t(s.chunk());
        at_least(left, size_t(s.kept()) * s.wide()), at_least(z, chunk * s.tokens()), at_least(d_left, chunk * s.wide());
    }
};

#ifdef _OPENMP
#define S2S_PARALLEL _Pragma("omp parallel for num_threads(s.threads) schedule(static)")
#else
#define S2S_PARALLEL
#endif

// F of the kept rows as rows without gaps, which a product can read.
inline void take_features(const Shape& s, int rows, const bf16* features, Workspace& w) {
    for (int row = 0; row < rows; ++row) {
        bf16* to = w.left(size_t(row) * s.wide());
        std::memcpy(static_cast<void*>(to), features + size_t(row) * s.features, size_t(s.features) * sizeof(bf16));
        blank(to + s.features, size_t(s.wide() - s.features));
    }
}

// run(first, last) for parts of the rows, whole tiles each.
template <class Run> inline void over_tiles(const Shape& s, int rows, Run run) {
    const int tiles = (rows + DENSE_ROWS - 1) / DENSE_ROWS, parts = std::max(1, std::min(s.threads, tiles));
    S2S_PARALLEL
    for (int part = 0; part < parts; ++part)
        run(int(long(tiles) * part / parts) * DENSE_ROWS,
            std::min(rows, int(long(tiles) * (part + 1) / parts) * DENSE_ROWS));
}

// dW = or += g^T F of the kept rows, in panels of tokens: panel(across, first, last) for those that are there.
template <class Panel> inline void over_tokens(const Shape& s, Panel panel) {
    S2S_PARALLEL
    for (int across = 0; across < s.tokens() / ACROSS; ++across) {
        const int first = across * ACROSS, last = std::min(s.vocabulary, first + ACROSS);
        if (first < last) panel(across, first, last);
    }
}

// Gradients are written over; nll and spread have a number a row. There is one row at least.
template <class Way>
inline void output_layer(const Shape& s, const bf16* features, const float* weight, const Loss& loss, const Gradients& to) {
    static thread_local Workspace own_workspace;
    static thread_local Way own_way;
    Workspace& w = own_workspace;  // by name, each thread of a team would find its own
    Way& way = own_way;
    w.fit(s);
    way.fit(s);
    way.pack(s, weight, loss.bias);
    const int kept = s.kept(), chunk = s.chunk(), group = Way::GROUP;
    for (int from = 0; from < s.rows; from += kept) {
        const int some_rows = std::min(kept, s.rows - from);
        const Loss here = loss.from(from);
        take_features(s, some_rows, features + size_t(from) * s.features, w);
        way.start(some_rows);
        for (int first = 0; first < some_rows; first += chunk) {
            const int rows = std::min(chunk, some_rows - first);
            way.logits(s, first, rows, loss.bias, w);
            S2S_PARALLEL
            for (int row = 0; row < rows; row += group) way.gradient(s, first, row, std::min(group, rows - row), here, w);
            over_tiles(s, rows, [&](int begin, int end) {
                way.to_features(s, first, begin, end, here, weight, w, to.features + size_t(from + first) * s.features);
            });
        }
        way.to_weight(s, here, from > 0, w, to);
    }
}

}  // namespace s2s
#endif
