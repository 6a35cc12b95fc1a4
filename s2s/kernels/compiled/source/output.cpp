// The output layer with its cross-entropy, forward and backward at once, in bfloat16: three products and what lies between.
//
// A few rows at a time, so that their logits stay in the nearest caches: z = F W^T + b becomes g = softmax(z) - (1 - e)
// onehot(y) - e / V where it stands, and dF = g W. Beside, g is kept as the left side of the product that comes last,
// dW = g^T F, over as many rows as the shared cache can hold.
#include <limits>

#include "dense.hpp"
#include "scan.hpp"

#if defined(S2S_DENSE)
namespace s2s {

constexpr size_t NEAR = 3 << 19;  // bytes of the logits that are worked on at once
constexpr size_t KEPT = 3 << 23;  // bytes of g^T that are kept for one product

struct Shape {
    int rows, features, vocabulary;
    int wide() const { return round_up(features, DENSE_COLUMNS); }
    int panels() const { return wide() / DENSE_COLUMNS; }
    int tokens() const { return round_up(vocabulary, 2 * ACROSS); }
    long at_most(size_t bytes) const { return std::max(long(DENSE_ROWS), long(bytes / (2 * size_t(tokens())))); }
    // Rows whose g^T is kept, and of these, rows that are worked on at once; both even.
    int kept() const { return Blocks(rows, at_most(KEPT), 2).each; }
    int chunk() const { return Blocks(kept(), at_most(NEAR), DENSE_ROWS).each; }
};

struct Loss {
    const float* bias;
    const int64_t* target;
    float smoothing;
    float *nll, *spread;
};

// Kept between calls, since new pages cost more than the arithmetic on them.
struct Workspace {
    Buffer<bf16> by_token, by_feature;  // W: columns of the product are tokens, are features
    Buffer<bf16> left, z, across, right;
    Buffer<float> d_left;
    template <class E> static void at_least(Buffer<E>& buffer, size_t n) {
        if (buffer.size() < n) buffer.resize(n);
    }
    void fit(const Shape& s) {
        const size_t weight = size_t(s.tokens()) * s.wide(), chunk = size_t(s.chunk()), kept = size_t(s.kept());
        at_least(by_token, weight), at_least(by_feature, weight);
        at_least(left, kept * s.wide()), at_least(right, kept * s.wide());
        at_least(z, chunk * s.tokens()), at_least(across, kept * s.tokens());
        at_least(d_left, chunk * s.wide());
    }
};

#ifdef _OPENMP
#define S2S_PARALLEL _Pragma("omp parallel for num_threads(threads) schedule(static)")
#else
#define S2S_PARALLEL
#endif

inline void pack_weight(const Shape& s, int threads, const float* weight, Workspace& w) {
    const int pairs = s.wide() / 2, token_pairs = s.tokens() / 2;
    S2S_PARALLEL
    for (int panel = 0; panel < s.tokens() / DENSE_COLUMNS; ++panel)
        pack_by_columns(weight, s.vocabulary, s.features, s.features, pairs, panel, w.by_token(size_t(panel) * pairs * 64));
    // In blocks of tokens, so that a block's panels lie together.
    S2S_PARALLEL
    for (int block = 0; block < token_pairs; block += DEEP) {
        const int deep = std::min(DEEP, token_pairs - block), left = s.vocabulary - 2 * block;
        for (int panel = 0; panel < s.panels(); ++panel)
            pack_by_rows(weight + size_t(2 * block) * s.features, left, s.features, s.features, deep, panel,
                         w.by_feature((size_t(block) * s.panels() + size_t(panel) * deep) * 64));
    }
}

// F of the kept rows, both as a left side (rows without gaps) and as a right side.
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

// z of the rows from `first` on.
inline void logits(const Shape& s, int first, int rows, int threads, const float* bias, Workspace& w) {
    const Left left{w.left(size_t(first) * s.wide()), s.wide(), 2};
    S2S_PARALLEL
    for (int panel = 0; panel < s.tokens() / DENSE_COLUMNS; ++panel) {
        const int column = panel * DENSE_COLUMNS;
        const Start start{some(bias + column, s.vocabulary - column), some(bias + column + 16, s.vocabulary - column - 16)};
        dense_panel(0, rows, left, w.by_token(size_t(panel) * s.wide() * 32), s.wide() / 2, start,
                    [&](int row, __m512 low, __m512 high) {
                        _mm512_store_si512(w.z(size_t(row) * s.tokens() + column), (__m512i)_mm512_cvtne2ps_pbh(high, low));
                    });
    }
}

// What a row's exponentials were.
struct Sums {
    float scale;   // 1 / sum e^(z - max z)
    float chosen;  // softmax(z)_y
};

// z <- e^(z - max z); with norm = log sum e^z, nll = norm - z_y and spread = norm - mean z.
inline Sums exponentials(int vocabulary, bf16* z, int64_t y, float* nll, float* spread) {
    const float infinity = std::numeric_limits<float>::infinity();
    const int whole = vocabulary / 16 * 16, rest = vocabulary - whole;
    const __mmask16 last = lanes_below(rest);
    vfloat most = all(-infinity), total{}, sums{};
    for (int j = 0; j < whole; j += 16) {
        vfloat now = load(z + j, 16);
        total += now, most = larger(now, most);
    }
    if (rest) {
        vfloat now = load(z + whole, rest);
        total += now, most = larger((vfloat)_mm512_mask_mov_ps((__m512)all(-infinity), last, (__m512)now), most);
    }
    const float shift = largest_of<float>(most);
    const float above = widen(z[y]) - shift;
    for (int j = 0; j < whole; j += 16) {
        vfloat e = exp(load(z + j, 16) - shift);
        sums += e;
        store(z + j, e, 16);
    }
    if (rest) {
        vfloat e = (vfloat)_mm512_maskz_mov_ps(last, (__m512)exp(load(z + whole, rest) - shift));
        sums += e;
        store(z + whole, e, rest);
    }
    const float sum = sum_of<float>(sums), norm = std::log(sum);
    *nll = norm - above;
    *spread = norm + shift - sum_of<float>(total) / float(vocabulary);
    return {1.0f / sum, std::exp(above) / sum};
}

// Two neighbouring rows of z into g, and side by side as a pair of g^T, which lies panel[pair][48][2]; `at` is the first of
// them among the kept rows, `row` among those of z. Of the second of an odd number of rows, g is 0.
inline void two_rows(const Shape& s, int at, int row, int count, int pairs, const Loss& loss, Workspace& w) {
    bf16* z[2] = {w.z(size_t(row) * s.tokens()), count > 1 ? w.z(size_t(row + 1) * s.tokens()) : nullptr};
    float scale[2], chosen[2];
    for (int i = 0; i < count; ++i) {
        const int64_t y = loss.target[at + i];
        const Sums sums = exponentials(s.vocabulary, z[i], y, loss.nll + at + i, loss.spread + at + i);
        scale[i] = sums.scale;
        chosen[i] = sums.chosen - (1.0f - loss.smoothing) - loss.smoothing / float(s.vocabulary);
    }
    bf16* across = w.across(size_t(at / 2) * 2 * ACROSS);
    const size_t panel = size_t(pairs) * 2 * ACROSS;
    const vfloat even = all(loss.smoothing / float(s.vocabulary));
    for (int first = 0; first < s.tokens(); first += ACROSS, across += panel)
        for (int j = first; j < first + ACROSS; j += 16) {
            vfloat g[2] = {};
            for (int i = 0; i < count; ++i) {
                g[i] = load(z[i] + j, 16) * scale[i] - even;
                if (j + 16 > s.vocabulary) g[i] = (vfloat)_mm512_maskz_mov_ps(lanes_below(s.vocabulary - j), (__m512)g[i]);
                store(z[i] + j, g[i], 16);
            }
            _mm512_store_si512(across + 2 * (j - first), interleaved((__m512)g[0], (__m512)g[1]));
        }
    for (int i = 0; i < count; ++i) {
        const int64_t y = loss.target[at + i];
        z[i][y] = *w.across((size_t(y / ACROSS) * pairs + size_t(at / 2)) * 2 * ACROSS + 2 * (y % ACROSS) + i) =
            narrow(chosen[i], bf16{});
    }
}

inline void gradients(const Shape& s, int first, int rows, int pairs, int threads, const Loss& loss, Workspace& w) {
    S2S_PARALLEL
    for (int row = 0; row < rows; row += 2) two_rows(s, first + row, row, std::min(2, rows - row), pairs, loss, w);
}

// dF = g W, of the rows of z.
inline void to_features(const Shape& s, int rows, int threads, Workspace& w, float* d_features) {
    const int token_pairs = s.tokens() / 2, tiles = (rows + DENSE_ROWS - 1) / DENSE_ROWS, wide = s.wide();
    const int parts = std::max(1, std::min(threads, tiles));
    S2S_PARALLEL
    for (int part = 0; part < parts; ++part) {
        const int first = int(long(tiles) * part / parts) * DENSE_ROWS;
        const int last = std::min(rows, int(long(tiles) * (part + 1) / parts) * DENSE_ROWS);
        for (int block = 0; block < token_pairs; block += DEEP) {
            const int deep = std::min(DEEP, token_pairs - block);
            const Left left{w.z(size_t(first) * s.tokens() + 2 * block), s.tokens(), 2};
            for (int panel = 0; panel < s.panels(); ++panel)
                dense_panel(first, last, left, w.by_feature((size_t(block) * s.panels() + size_t(panel) * deep) * 64), deep,
                            Start{}, [&](int row, __m512 low, __m512 high) {
                                put(w.d_left(size_t(row) * wide + panel * DENSE_COLUMNS), DENSE_COLUMNS, block > 0, low, high);
                            });
        }
        for (int row = first; row < last; ++row)
            copy(d_features + size_t(row) * s.features, w.d_left(size_t(row) * wide), size_t(s.features));
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
inline void to_weight(const Shape& s, int rows, int threads, bool add, Workspace& w, float* d_weight, float* d_bias) {
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
                dense_panel(first, last, left, w.right((size_t(block) * s.panels() + size_t(panel) * deep) * 64), deep,
                            Start{}, [&](int token, __m512 low, __m512 high) {
                                put(d_weight + size_t(token) * s.features + column, n, add || i > 0, low, high);
                            });
            }
        }
    }
}

// Gradients are written over; nll and spread have a number a row. There is one row at least.
inline void output_layer(const Shape& s, int threads, const bf16* features, const float* weight, const Loss& loss,
                         float* d_features, float* d_weight, float* d_bias) {
    static thread_local Workspace w;
    w.fit(s);
    pack_weight(s, threads, weight, w);
    const int kept = s.kept(), chunk = s.chunk();
    for (int from = 0; from < s.rows; from += kept) {
        const int some_rows = std::min(kept, s.rows - from), pairs = (some_rows + 1) / 2;
        const Loss here{loss.bias, loss.target + from, loss.smoothing, loss.nll + from, loss.spread + from};
        take_features(s, some_rows, features + size_t(from) * s.features, w);
        for (int row = 0; row < some_rows; row += chunk) {
            const int rows = std::min(chunk, some_rows - row);
            logits(s, row, rows, threads, loss.bias, w);
            gradients(s, row, rows, pairs, threads, here, w);
            to_features(s, rows, threads, w, d_features + size_t(from + row) * s.features);
        }
        to_weight(s, some_rows, threads, from > 0, w, d_weight, d_bias);
    }
}

}  // namespace s2s
#endif

#if defined(S2S_DENSE)
extern "C" void output_layer_bfloat16(int rows, int features, int vocabulary, const int64_t*, int threads,
                                      const s2s::bf16* left, const float* weight, const float* bias, const int64_t* target,
                                      const float* smoothing, float* d_features, float* d_weight, float* d_bias, float* nll,
                                      float* spread) {
    s2s::output_layer({rows, features, vocabulary}, std::max(1, threads), left, weight, {bias, target, *smoothing, nll, spread},
                      d_features, d_weight, d_bias);
}
#endif
