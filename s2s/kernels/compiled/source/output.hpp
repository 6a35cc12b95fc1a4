// The output layer with its cross-entropy, forward and backward at once: three products and what lies between.
//
// A few rows at a time, so that their logits stay in the nearest caches: z = F W^T + b becomes g = softmax(z) - (1 - e)
// onehot(y) - e / V where it stands, and dF = g W. Beside, g is kept as the left side of the product that comes last,
// dW = g^T F, over as many rows as the shared cache can hold. What the first two products are made in is a `Way`
// (output_pairs.hpp, output_eight.hpp); the last one is in bfloat16.
#pragma once

#include <limits>

#include "dense.hpp"
#include "scan.hpp"

#if defined(S2S_DENSE)
namespace s2s {

constexpr size_t NEAR = 3 << 17;  // bytes of the logits that a thread works on at once
constexpr size_t KEPT = 3 << 23;  // bytes of g^T that are kept for one product
constexpr int TOKENS = 256;       // of a block, whose softmax has a largest number of its own

struct Shape {
    int rows, features, vocabulary, threads;
    int wide() const { return round_up(features, DENSE_COLUMNS); }
    int panels() const { return wide() / DENSE_COLUMNS; }
    int tokens() const { return round_up(vocabulary, 2 * ACROSS); }
    int blocks() const { return (tokens() + TOKENS - 1) / TOKENS; }
    int blocks_there() const { return (vocabulary + TOKENS - 1) / TOKENS; }  // the last may be padding alone
    int tokens_of(int block) const { return std::min(TOKENS, tokens() - block * TOKENS); }
    long at_most(size_t bytes) const { return std::max(long(DENSE_ROWS), long(bytes / (2 * size_t(tokens())))); }
    // Rows whose g^T is kept, and of these, rows that are worked on at once; both even.
    int kept() const { return Blocks(rows, at_most(KEPT), 2).each; }
    int chunk() const { return Blocks(kept(), at_most(NEAR * size_t(threads)), DENSE_ROWS).each; }
};

struct Loss {
    const float* bias;
    const int64_t* target;
    float smoothing;
    float *nll, *spread;
};

// Kept between calls, since new pages cost more than the arithmetic on them.
struct Workspace {
    Buffer<bf16> left, z, across, right;
    Buffer<float> d_left;
    void fit(const Shape& s) {
        const size_t chunk = size_t(s.chunk()), kept = size_t(s.kept());
        at_least(left, kept * s.wide()), at_least(right, kept * s.wide());
        at_least(z, chunk * s.tokens()), at_least(across, kept * s.tokens());
        at_least(d_left, chunk * s.wide());
    }
};

#ifdef _OPENMP
#define S2S_PARALLEL _Pragma("omp parallel for num_threads(s.threads) schedule(static)")
#else
#define S2S_PARALLEL
#endif

// F of the kept rows, both as rows without gaps and as a right side.
inline void take_features(const Shape& s, int rows, const bf16* features, Workspace& w) {
    for (int row = 0; row < rows; ++row) {
        bf16* to = w.left(size_t(row) * s.wide());
        std::memcpy(static_cast<void*>(to), features + size_t(row) * s.features, size_t(s.features) * sizeof(bf16));
        blank(to + s.features, size_t(s.wide() - s.features));
    }
    const Blocks blocks((rows + 1) / 2, DEEP);
    for (int i = 0; i < blocks.count; ++i) {
        const int block = i * blocks.each, deep = std::min(blocks.each, (rows + 1) / 2 - block);
        for (int panel = 0; panel < s.panels(); ++panel)
            pack_by_rows(w.left(size_t(2 * block) * s.wide()), rows - 2 * block, s.wide(), s.wide(), deep, panel,
                         w.right((size_t(block) * s.panels() + size_t(panel) * deep) * 64));
    }
}

// What a row's exponentials were.
struct Sums {
    float scale;   // 1 / sum e^(z - max z)
    float chosen;  // softmax(z)_y
};

inline vfloat lanes_or(vfloat x, int n, float otherwise) {
    return n >= 16 ? x : (vfloat)_mm512_mask_mov_ps((__m512)all(otherwise), lanes_below(n), (__m512)x);
}

// The largest from z[first] to before z[end] but z[y].
inline float largest_beside(const bf16* z, int first, int end, int64_t y) {
    const float infinity = std::numeric_limits<float>::infinity();
    vfloat most = all(-infinity);
    for (int j = first; j < end; j += 16) {
        vfloat now = lanes_or(load(z + j, end - j), end - j, -infinity);
        if (y >= j && y < j + 16) now[y - j] = -infinity;
        most = larger(now, most);
    }
    return largest_of<float>(most);
}

// z <- e^(z - max z); with norm = log sum e^z, nll = norm - z_y and spread = norm - mean z.
//
// block(b, most): before a block's exponentials, none of which is beyond e^most but that of y; seen(j, e): those from j on.
template <class Block, class Seen>
inline Sums exponentials(const Shape& s, bf16* z, int64_t y, float* nll, float* spread, Block block, Seen seen) {
    const float infinity = std::numeric_limits<float>::infinity();
    const int count = s.blocks_there();
    static thread_local std::vector<float> largest;
    largest.resize(size_t(count));
    vfloat total{}, sums{};
    float shift = -infinity;
    for (int b = 0; b < count; ++b) {
        vfloat most = all(-infinity);
        const int end = std::min(s.vocabulary, (b + 1) * TOKENS);
        for (int j = b * TOKENS; j < end; j += 16) {
            const vfloat now = load(z + j, end - j);
            total += now;
            most = larger(lanes_or(now, end - j, -infinity), most);
        }
        largest[size_t(b)] = largest_of<float>(most);
        shift = std::max(shift, largest[size_t(b)]);
    }
    const int64_t own = y / TOKENS * TOKENS;
    largest[size_t(y / TOKENS)] = largest_beside(z, int(own), std::min(s.vocabulary, int(own) + TOKENS), y);
    const float above = widen(z[y]) - shift;
    for (int b = 0; b < count; ++b) {
        block(b, largest[size_t(b)] - shift);
        const int end = std::min(s.vocabulary, (b + 1) * TOKENS), whole = end / 16 * 16;
        for (int j = b * TOKENS; j < whole; j += 16) {
            const vfloat e = exp(load(z + j, 16) - shift);
            sums += e;
            store(z + j, e, 16);
            seen(j, e);
        }
        if (whole < end) {
            const vfloat e = lanes_or(exp(load(z + whole, end - whole) - shift), end - whole, 0.0f);
            sums += e;
            store(z + whole, e, end - whole);
            seen(whole, e);
        }
    }
    const float sum = sum_of<float>(sums), norm = std::log(sum);
    *nll = norm - above;
    *spread = norm + shift - sum_of<float>(total) / float(s.vocabulary);
    return {1.0f / sum, std::exp(above) / sum};
}

// Two neighbouring rows of exponentials as g, side by side as a pair of g^T, which lies panel[pair][48][2]; `at` is the first
// of them among the kept rows. Of the second of an odd number of rows, g is 0.
//
// each(row, j, g): the numbers of row 0 or 1 from j on; target(row, y, g): that of the target, after all.
template <class Each, class Target>
inline void two_rows(const Shape& s, bf16* const z[2], const Sums sums[2], int at, int count, int pairs, const Loss& loss,
                     Workspace& w, Each each, Target target) {
    bf16* across = w.across(size_t(at / 2) * 2 * ACROSS);
    const size_t panel = size_t(pairs) * 2 * ACROSS;
    const float share = loss.smoothing / float(s.vocabulary);
    const vfloat even = all(share);
    for (int first = 0; first < s.tokens(); first += ACROSS, across += panel) {
        // Where the next pair goes: panels lie too far apart for the processor to foresee it.
        for (int line = 0; line < 3; ++line) __builtin_prefetch(across + 2 * ACROSS + 32 * line, 1, 2);
        for (int j = first; j < first + ACROSS; j += 16) {
            vfloat g[2] = {};
            for (int i = 0; i < count; ++i) {
                g[i] = load(z[i] + j, 16) * sums[i].scale - even;
                if (j + 16 > s.vocabulary) g[i] = (vfloat)_mm512_maskz_mov_ps(lanes_below(s.vocabulary - j), (__m512)g[i]);
                each(i, j, g[i]);
            }
            _mm512_store_si512(across + 2 * (j - first), interleaved((__m512)g[0], (__m512)g[1]));
        }
    }
    for (int i = 0; i < count; ++i) {
        const int64_t y = loss.target[at + i];
        const bf16 chosen = narrow(sums[i].chosen - (1.0f - loss.smoothing) - share, bf16{});
        *w.across((size_t(y / ACROSS) * pairs + size_t(at / 2)) * 2 * ACROSS + 2 * (y % ACROSS) + i) = chosen;
        target(i, y, chosen);
    }
}

// Sums over pairs of a panel of g^T, 48 numbers.
inline void to_bias(const bf16* across, int pairs, int n, bool add, float* d_bias) {
    const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
    __m512 sum[3] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    for (int p = 0; p < pairs; ++p)
        for (int i = 0; i < 3; ++i)
            sum[i] = _mm512_dpbf16_ps(sum[i], ones, (__m512bh)_mm512_load_si512(across + size_t(p) * 2 * ACROSS + 32 * i));
    put(d_bias, std::min(n, 32), add, sum[0], sum[1]);
    if (n > 32) put(d_bias + 32, n - 32, add, sum[2], sum[2]);
}

// dW and db = or += g^T F, of the kept rows.
inline void to_weight(const Shape& s, int rows, bool add, Workspace& w, float* d_weight, float* d_bias) {
    const int pairs = (rows + 1) / 2;
    const Blocks blocks(pairs, DEEP);
    S2S_PARALLEL
    for (int across = 0; across < s.tokens() / ACROSS; ++across) {
        const int first = across * ACROSS, last = std::min(s.vocabulary, first + ACROSS);
        if (first >= last) continue;
        const bf16* all_pairs = w.across(size_t(across) * pairs * 2 * ACROSS);
        to_bias(all_pairs, pairs, last - first, add, d_bias + first);
        for (int i = 0; i < blocks.count; ++i) {
            const int block = i * blocks.each, deep = std::min(blocks.each, pairs - block);
            const Left left{all_pairs + size_t(block) * 2 * ACROSS, 2, 2 * ACROSS};
            for (int panel = 0; panel < s.panels(); ++panel) {
                const int column = panel * DENSE_COLUMNS, n = s.features - column;
                dense_panel<Pairs>(first, last, left, w.right((size_t(block) * s.panels() + size_t(panel) * deep) * 64), deep, {},
                                   [&](int token, __m512 low, __m512 high) {
                                       put(d_weight + size_t(token) * s.features + column, n, add || i > 0, low, high);
                                   });
            }
        }
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

// Gradients are written over; nll and spread have a number a row. There is one row at least.
template <class Way>
inline void output_layer(const Shape& s, const bf16* features, const float* weight, const Loss& loss,
                         float* d_features, float* d_weight, float* d_bias) {
    static thread_local Workspace own_workspace;
    static thread_local Way own_way;
    Workspace& w = own_workspace;  // by name, each thread of a team would find its own
    Way& way = own_way;
    w.fit(s);
    way.fit(s);
    way.pack(s, weight);
    const int kept = s.kept(), chunk = s.chunk();
    for (int from = 0; from < s.rows; from += kept) {
        const int some_rows = std::min(kept, s.rows - from), pairs = (some_rows + 1) / 2;
        const Loss here{loss.bias, loss.target + from, loss.smoothing, loss.nll + from, loss.spread + from};
        take_features(s, some_rows, features + size_t(from) * s.features, w);
        for (int first = 0; first < some_rows; first += chunk) {
            const int rows = std::min(chunk, some_rows - first);
            way.logits(s, first, rows, loss.bias, w);
            S2S_PARALLEL
            for (int row = 0; row < rows; row += 2) way.gradient(s, first, row, std::min(2, rows - row), pairs, here, w);
            over_tiles(s, rows, [&](int begin, int end) {
                way.to_features(s, first, begin, end, here, weight, w, d_features + size_t(from + first) * s.features);
            });
        }
        to_weight(s, some_rows, from > 0, w, d_weight, d_bias);
    }
}

}  // namespace s2s
#endif
