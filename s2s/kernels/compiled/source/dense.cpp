// Products of bfloat16 matrices, each kind as training meets it: x W^T + b, g W, g^T x. Numbers are row-major, rows may lie
// apart. Nothing is compiled for a size or kept between sizes, which vary with every batch. g W also in 8 bits,
// from and to bfloat16.
#include "eights.hpp"
#include "scan.hpp"

#if defined(S2S_DENSE)
namespace s2s {

constexpr int TOGETHER = 96;  // rows whose sums stay in the nearest caches over all of a reduction

// A right side of K pairs in blocks, each with all its panels.
struct Right {
    int columns, pairs;
    Blocks blocks;
    Buffer<bf16>& data;
    Right(int n, int k_pairs, int multiple, Buffer<bf16>& buffer)
        : columns(n), pairs(k_pairs), blocks(k_pairs, DEEP, multiple), data(buffer) {
        const size_t needed = size_t(panels()) * size_t(blocks.count) * size_t(blocks.each) * 64;
        at_least(data, needed);
    }
    int panels() const { return (columns + DENSE_COLUMNS - 1) / DENSE_COLUMNS; }
    // Zero beyond the matrix.
    bf16* at(int block, int panel) { return data((size_t(block) * panels() + size_t(panel)) * blocks.each * 64); }
};

// Pairs of the left side that a block may read.
inline int pairs_of_block(const Right& right, int block) {
    return std::max(0, std::min(right.blocks.each, right.pairs - block * right.blocks.each));
}

inline void finish(const float* sums, int n, const float* bias, bf16* to) {
    for (int j = 0; j < n; j += 16) {
        const int lanes = std::min(16, n - j);
        vfloat x = load_all(sums + j);
        if (bias) x += load(bias + j, lanes);
        store(to + j, x, lanes);
    }
}

// Rows first ... last - 1 of the product; a: its row `first`, pair 0.
inline void rows_of_product(int first, int last, Left a, Right& right, const float* bias, bf16* to, ptrdiff_t apart,
                            float* sums) {
    const int wide = right.panels() * DENSE_COLUMNS;
    for (int block = 0; block < right.blocks.count; ++block) {
        const Left here = a.beyond(ptrdiff_t(block) * right.blocks.each);
        for (int panel = 0; panel < right.panels(); ++panel)
            dense_panel<Pairs>(0, last - first, here, right.at(block, panel), pairs_of_block(right, block), {},
                               [&](int row, __m512 low, __m512 high) {
                                   put(sums + size_t(row) * wide + panel * DENSE_COLUMNS, DENSE_COLUMNS, block > 0, low, high);
                               });
    }
    for (int row = first; row < last; ++row)
        finish(sums + size_t(row - first) * wide, right.columns, bias, to + row * apart);
}

struct Scratch {
    Buffer<bf16> right, left;
    bf16* left_of(size_t n) {
        at_least(left, n);
        return left();
    }
};

template <class Run> inline void over_parts(int parts, int threads, size_t numbers, Run run) {
#ifdef _OPENMP
#pragma omp parallel num_threads(std::max(1, std::min(threads, parts)))
#endif
    {
        Buffer<float> sums(numbers);
#ifdef _OPENMP
#pragma omp for schedule(static)
#endif
        for (int part = 0; part < parts; ++part) run(part, sums());
    }
    (void)threads;
}

// y (M x N) = a (M x K) times the right side. Rows of an odd K are copied: their last pair would reach into the next row.
inline void multiply(int rows, int K, int threads, const bf16* a, Right& right, Scratch& scratch, const float* bias, bf16* y) {
    const int stride = round_up(K, 2);
    if (K % 2) {
        bf16* even = scratch.left_of(size_t(rows) * stride);
        for (int row = 0; row < rows; ++row) {
            copy(even + size_t(row) * stride, a + size_t(row) * K, size_t(K));
            even[size_t(row) * stride + K] = bf16{0};
        }
        a = even;
    }
    const Blocks parts(rows, TOGETHER, DENSE_ROWS);
    over_parts(parts.count, threads, size_t(parts.each) * right.panels() * DENSE_COLUMNS, [&](int part, float* sums) {
        const int first = part * parts.each, last = std::min(rows, first + parts.each);
        if (first < last)
            rows_of_product(first, last, {a + ptrdiff_t(first) * stride, stride, 2}, right, bias, y, right.columns, sums);
    });
}

// y (M x N) = x (M x K) w^T + b, w (N x K).
inline void by_rows(int M, int N, int K, int threads, const bf16* x, const bf16* w, const float* bias, bf16* y) {
    static thread_local Scratch scratch;
    Right right(N, (K + 1) / 2, 16, scratch.right);
    for (int block = 0; block < right.blocks.count; ++block)
        for (int panel = 0; panel < right.panels(); ++panel) {
            const int k = 2 * block * right.blocks.each;
            pack_by_columns(w + k, N, std::max(0, K - k), K, right.blocks.each, panel, right.at(block, panel));
        }
    multiply(M, K, threads, x, right, scratch, bias, y);
}

template <class E> inline void pack_all_rows(const E* from, int K, int N, ptrdiff_t stride, Right& right) {
    for (int block = 0; block < right.blocks.count; ++block)
        for (int panel = 0; panel < right.panels(); ++panel) {
            const int k = 2 * block * right.blocks.each;
            pack_by_rows(from + k * stride, std::max(0, K - k), N, stride, right.blocks.each, panel, right.at(block, panel));
        }
}

// y (M x N) = g (M x K) w, w (K x N).
inline void by_columns(int M, int N, int K, int threads, const bf16* g, const bf16* w, bf16* y) {
    static thread_local Scratch scratch;
    Right right(N, (K + 1) / 2, 1, scratch.right);
    pack_all_rows(w, K, N, N, right);
    multiply(M, K, threads, g, right, scratch, nullptr, y);
}

// y (M x N) = g^T x, g (K x M), x (K x N); rows of g and x lie `apart` numbers apart.
inline void over_rows(int M, int N, int K, int g_apart, int x_apart, int threads, const bf16* g, const bf16* x, bf16* y) {
    static thread_local Scratch scratch;
    const int pairs = (K + 1) / 2, panels = (M + ACROSS - 1) / ACROSS;
    Right right(N, pairs, 1, scratch.right);
    pack_all_rows(x, K, N, x_apart, right);
    bf16* left = scratch.left_of(size_t(panels) * pairs * 2 * ACROSS);
    over_parts(panels, threads, size_t(ACROSS) * right.panels() * DENSE_COLUMNS, [&](int panel, float* sums) {
        bf16* mine = left + size_t(panel) * pairs * 2 * ACROSS;
        pack_across(g, K, M, g_apart, panel, mine);
        const int first = panel * ACROSS;
        rows_of_product(first, std::min(M, first + ACROSS), {mine, 2, 2 * ACROSS}, right, nullptr, y, N, sums);
    });
}

#if defined(S2S_EIGHTS)
// A right side in 8 bits and what belongs to its columns.
struct EightRight {
    int columns, groups;
    Buffer<int8_t> numbers;
    Buffer<float> scale;
    Buffer<int32_t> start;
    int panels() const { return (columns + DENSE_COLUMNS - 1) / DENSE_COLUMNS; }
    void fit(int n, int K) {
        columns = n, groups = deep_of(K) / 4;
        const size_t wide = size_t(panels()) * DENSE_COLUMNS;
        at_least(numbers, wide * groups * 4), at_least(scale, wide), at_least(start, wide);
    }
    int8_t* panel(int i) { return numbers(size_t(i) * groups * GROUP_BYTES); }
    Columns of(int i) { return {scale(size_t(i) * DENSE_COLUMNS), start(size_t(i) * DENSE_COLUMNS)}; }
};

// y (M x N) = g (M x K) w, w (K x N). g is a gradient, whose small numbers are many and count together: they are rounded fairly.
inline void eight_by_columns(int M, int N, int K, int threads, const bf16* g, const bf16* w, bf16* y) {
    static thread_local EightRight own;
    EightRight& right = own;  // by name, each thread of a team would find its own
    right.fit(N, K);
    for (int i = 0; i < right.panels(); ++i)
        pack_eights_by_rows(w + size_t(i) * DENSE_COLUMNS, K, N - i * DENSE_COLUMNS, N, right.groups, right.panel(i), right.of(i));
    const Blocks parts(M, TOGETHER, DENSE_ROWS);
    const int deep = deep_of(K);
    over_parts(parts.count, threads, 0, [&](int part, float*) {
        static thread_local Buffer<uint8_t> numbers;
        float scale[TOGETHER + DENSE_ROWS];
        at_least(numbers, size_t(parts.each) * deep);
        const int first = part * parts.each, count = std::min(M - first, parts.each);
        for (int row = 0; row < count; ++row)
            scale[row] = round_left(g + size_t(first + row) * K, K, numbers(size_t(row) * deep), Fair(unsigned(first + row)));
        for (int i = 0; count > 0 && i < right.panels(); ++i) {
            const Columns columns = right.of(i);
            const int column = i * DENSE_COLUMNS, left = N - column;
            const vfloat scales[2] = {load_all(columns.scale), load_all(columns.scale + 16)};
            const Start<Fours> start{_mm512_load_si512(columns.start), _mm512_load_si512(columns.start + 16)};
            dense_panel<Fours>(0, count, Left{numbers(), deep, 4}, right.panel(i), (K + 3) / 4, start,
                               [&](int row, __m512i low, __m512i high) {
                                   bf16* to = y + size_t(first + row) * N + column;
                                   const vfloat own = all(scale[row]);
                                   store(to, (vfloat)_mm512_cvtepi32_ps(low) * own * scales[0], std::min(16, left));
                                   if (left > 16)
                                       store(to + 16, (vfloat)_mm512_cvtepi32_ps(high) * own * scales[1], std::min(16, left - 16));
                               });
        }
    });
}
#endif

// run(i) for each of many small products, a thread's one after another.
template <class Run> inline void each(int count, int threads, Run run) {
#ifdef _OPENMP
#pragma omp parallel for num_threads(std::max(1, std::min(threads, count))) schedule(static)
#endif
    for (int i = 0; i < count; ++i) run(size_t(i));
    (void)threads;
}

}  // namespace s2s
#endif

// Whether this processor has the instruction for it.
extern "C" int dense_there() {
#if defined(S2S_DENSE)
    return 1;
#else
    return 0;
#endif
}

// And that for 8 bits.
extern "C" int dense_eight_there() {
#if defined(S2S_EIGHTS)
    return 1;
#else
    return 0;
#endif
}

#if defined(S2S_DENSE)
extern "C" void dense_by_rows_bfloat16(int M, int N, int K, const int64_t*, int threads, const s2s::bf16* x,
                                       const s2s::bf16* w, const float* bias, s2s::bf16* y) {
    s2s::by_rows(M, N, K, threads, x, w, bias, y);
}
extern "C" void dense_by_columns_bfloat16(int M, int N, int K, const int64_t*, int threads, const s2s::bf16* g,
                                          const s2s::bf16* w, s2s::bf16* y) {
    s2s::by_columns(M, N, K, threads, g, w, y);
}
extern "C" void dense_over_rows_bfloat16(int M, int N, int K, int g_apart, int x_apart, const int64_t*, int threads,
                                         const s2s::bf16* g, const s2s::bf16* x, s2s::bf16* y) {
    s2s::over_rows(M, N, K, g_apart, x_apart, threads, g, x, y);
}
#if defined(S2S_EIGHTS)
extern "C" void dense_eight_by_columns_bfloat16(int M, int N, int K, const int64_t*, int threads, const s2s::bf16* g,
                                                const s2s::bf16* w, s2s::bf16* y) {
    s2s::eight_by_columns(M, N, K, threads, g, w, y);
}
#endif
// Likewise, of many matrices that lie one behind the other.
extern "C" void dense_each_by_rows_bfloat16(int count, int M, int N, int K, const int64_t*, int threads, const s2s::bf16* x,
                                            const s2s::bf16* w, s2s::bf16* y) {
    const size_t X = size_t(M) * K, W = size_t(N) * K, Y = size_t(M) * N;
    s2s::each(count, threads, [=](size_t i) { s2s::by_rows(M, N, K, 1, x + i * X, w + i * W, nullptr, y + i * Y); });
}
extern "C" void dense_each_by_columns_bfloat16(int count, int M, int N, int K, const int64_t*, int threads,
                                               const s2s::bf16* g, const s2s::bf16* w, s2s::bf16* y) {
    const size_t G = size_t(M) * K, W = size_t(K) * N, Y = size_t(M) * N;
    s2s::each(count, threads, [=](size_t i) { s2s::by_columns(M, N, K, 1, g + i * G, w + i * W, y + i * Y); });
}
extern "C" void dense_each_over_rows_bfloat16(int count, int M, int N, int K, const int64_t*, int threads,
                                              const s2s::bf16* g, const s2s::bf16* x, s2s::bf16* y) {
    const size_t G = size_t(K) * M, X = size_t(K) * N, Y = size_t(M) * N;
    s2s::each(count, threads, [=](size_t i) { s2s::over_rows(M, N, K, M, N, 1, g + i * G, x + i * X, y + i * Y); });
}
#endif
