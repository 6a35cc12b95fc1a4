// The product of a step: C (rows x N) = A (rows x K) B (K x N), B packed once a scan and kept in the cache.
//
// B is cut into panels of two vectors' width (the last may be one), each K x width without gaps, so that a panel is read
// in order. A tile is up to 12 rows of A by one panel: its sums stay in registers over all of K. In bfloat16 two
// neighbouring k stand side by side, which is what the dot-product instruction takes.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <new>
#include <type_traits>
#include <vector>

#include "simd.hpp"

namespace s2s {

// What A and packed B hold: bfloat16 only where the CPU multiplies it, else its value as a float.
#if defined(__AVX512BF16__) && defined(S2S_AVX512)
template <class S> struct OperandOf {
    typedef S type;
};
#else
template <class S> struct OperandOf {
    typedef typename StateOf<S>::type type;
};
#endif
template <class S> using Operand = typename OperandOf<S>::type;

// How many k stand side by side.
template <class P> constexpr int DEPTH = 1;
template <> constexpr int DEPTH<bf16> = 2;

template <class T> constexpr int PANEL = 2 * LANES<T>;
constexpr int TILE_ROWS = BYTES == 64 ? 12 : 6;

// Before a loop over the sums of a tile. GCC unrolls such loops by itself, but too late to see that the sums are no array in
// memory, and then loads and stores each of them at each addition: a product takes a third longer.
#if defined(__GNUC__) && !defined(__clang__)
#define S2S_SUMS _Pragma("GCC unroll 16")
#else
#define S2S_SUMS
#endif

#if defined(__AVX512VNNI__) && defined(S2S_AVX512)
// sum + the products of four neighbours, of which those of `a` have no sign. With the compiler's own name for it, GCC moves
// the sums of a tile to memory and back at each instruction, and a product takes twice as long.
inline __m512i dot_of_fours(__m512i sum, __m512i a, __m512i b) {
#if defined(__GNUC__)
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
#else
    return _mm512_dpbusd_epi32(sum, a, b);
#endif
}
#endif

inline int round_up(int n, int to) { return (n + to - 1) / to * to; }

// Memory on a cache line's boundary, zeroed.
template <class E> class Buffer {
  public:
    explicit Buffer(size_t n = 0) { resize(n); }
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        swap(other);
        return *this;
    }
    void swap(Buffer& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { std::free(data_); }
    void resize(size_t n) {
        std::free(data_);
        size_t bytes = (n * sizeof(E) + 63) / 64 * 64;
        data_ = n ? static_cast<E*>(std::aligned_alloc(64, bytes)) : nullptr;
        if (n && !data_) throw std::bad_alloc();
        if (n) std::memset(static_cast<void*>(data_), 0, bytes);
        size_ = n;
    }
    E* operator()(size_t i = 0) { return data_ + i; }
    const E* operator()(size_t i = 0) const { return data_ + i; }
    size_t size() const { return size_; }

  private:
    E* data_ = nullptr;
    size_t size_ = 0;
};

template <class E> inline void at_least(Buffer<E>& buffer, size_t n) {
    if (buffer.size() < n) buffer.resize(n);
}

// One matrix B (K x N) in panels. S is the type of the weights as they come.
template <class S> class Packed {
    typedef typename StateOf<S>::type T;
    typedef Operand<S> P;

  public:
    // B[k][n] = source[k * row + n * column]
    Packed(const S* source, int K, int N, ptrdiff_t row, ptrdiff_t column)
        : K_(round_up(K, DEPTH<P>)), N_(N), data_(size_t(round_up(K, DEPTH<P>)) * round_up(N, LANES<T>)) {
        // A panel fits the nearest cache, so the order that matters is that in which the source is read.
        for (int p = 0; p < panels(); ++p) {
            const S* from = source + ptrdiff_t(p) * PANEL<T> * column;
            int columns = std::min(width(p), N - p * PANEL<T>);
            if (row < column) {
                for (int n = 0; n < columns; n += LANES<T>)
                    pack_columns(from + n * column, row, column, K, std::min(LANES<T>, columns - n), p, n);
            } else {
                for (int k = 0; k < K; ++k)
                    for (int n = 0; n < columns; ++n) at(p, k, n) = narrow(widen(from[k * row + n * column]), P{});
            }
        }
    }
    // Rows of B, and how many numbers of a row of A are read.
    int depth() const { return K_; }
    // The columns and those that fill the last vector: what a row of results needs room for.
    int columns_padded() const { return round_up(N_, PANEL<T>); }
    int panels() const { return (N_ + PANEL<T> - 1) / PANEL<T>; }
    int width(int panel) const { return N_ - panel * PANEL<T> <= LANES<T> ? LANES<T> : PANEL<T>; }
    // How far apart rows of the left side should lie: a multiple of 4 KB would put them all into the same cache sets.
    int spacing() const { return round_up(K_, LANES<T>) + 2 * LANES<T>; }
    const P* panel(int p) const { return data_(size_t(p) * PANEL<T> * K_); }
    P& at(int p, int k, int n) {
        return *data_(size_t(p) * PANEL<T> * K_ + size_t(k / DEPTH<P>) * width(p) * DEPTH<P> + n * DEPTH<P> + k % DEPTH<P>);
    }

  private:
    // So many neighbouring columns, at most a vector's: what lies side by side in the panel lies far apart in the source.
    void pack_columns(const S* from, ptrdiff_t row, ptrdiff_t column, int K, int columns, int p, int n) {
        int k = 0;
#if defined(S2S_AVX512)
        if constexpr (std::is_same<P, S>::value && sizeof(P) * DEPTH<P> == 4) {
            if (row == 1 && column < INT32_MAX / 64) {
                const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
                const __m512i apart = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(int(column)));
                const __mmask16 some = __mmask16((1u << columns) - 1);
                for (; k + DEPTH<P> <= K; k += DEPTH<P>) {
                    __m512i found = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), some, apart, from + k, int(sizeof(S)));
                    _mm512_storeu_si512(&at(p, k, n), found);
                }
            }
        }
#endif
        for (int i = 0; i < columns; ++i)
            for (int left = k; left < K; ++left) at(p, left, n + i) = narrow(widen(from[left * row + i * column]), P{});
    }

    int K_, N_;
    Buffer<P> data_;
};

template <int MR, int NV, class T> inline void tile(const T* a, int lda, const T* b, int K, T* c, int ldc) {
    V<T> sum[MR][NV];
    S2S_SUMS
    for (int m = 0; m < MR; ++m)
        S2S_SUMS
        for (int v = 0; v < NV; ++v) sum[m][v] = V<T>{};
    for (int k = 0; k < K; ++k) {
        V<T> right[NV];
        S2S_SUMS
        for (int v = 0; v < NV; ++v) right[v] = load_all(b + (size_t(k) * NV + v) * LANES<T>);
        S2S_SUMS
        for (int m = 0; m < MR; ++m) {
            V<T> left = all(a[m * lda + k]);
            S2S_SUMS
            for (int v = 0; v < NV; ++v) sum[m][v] += left * right[v];
        }
    }
    S2S_SUMS
    for (int m = 0; m < MR; ++m)
        S2S_SUMS
        for (int v = 0; v < NV; ++v) store_all(c + m * ldc + v * LANES<T>, sum[m][v]);
}

#if defined(__AVX512BF16__) && defined(S2S_AVX512)
template <int MR, int NV> inline void tile(const bf16* a, int lda, const bf16* b, int K, float* c, int ldc) {
    __m512 sum[MR][NV];
    S2S_SUMS
    for (int m = 0; m < MR; ++m)
        S2S_SUMS
        for (int v = 0; v < NV; ++v) sum[m][v] = _mm512_setzero_ps();
    for (int k = 0; k < K; k += 2) {
        __m512bh right[NV];
        S2S_SUMS
        for (int v = 0; v < NV; ++v) right[v] = (__m512bh)_mm512_loadu_si512(b + size_t(k) * NV * 16 + v * 32);
        S2S_SUMS
        for (int m = 0; m < MR; ++m) {
            int32_t pair;
            std::memcpy(&pair, a + m * lda + k, 4);
            __m512bh left = (__m512bh)_mm512_set1_epi32(pair);
            S2S_SUMS
            for (int v = 0; v < NV; ++v) sum[m][v] = _mm512_dpbf16_ps(sum[m][v], left, right[v]);
        }
    }
    S2S_SUMS
    for (int m = 0; m < MR; ++m)
        S2S_SUMS
        for (int v = 0; v < NV; ++v) _mm512_storeu_ps(c + m * ldc + v * 16, sum[m][v]);
}
#endif

template <int NV, class P, class T>
inline void tile_of(int rows, const P* a, int lda, const P* b, int K, T* c, int ldc) {
    switch (rows) {
        case 12: return tile<12, NV>(a, lda, b, K, c, ldc);
        case 11: return tile<11, NV>(a, lda, b, K, c, ldc);
        case 10: return tile<10, NV>(a, lda, b, K, c, ldc);
        case 9: return tile<9, NV>(a, lda, b, K, c, ldc);
        case 8: return tile<8, NV>(a, lda, b, K, c, ldc);
        case 7: return tile<7, NV>(a, lda, b, K, c, ldc);
        case 6: return tile<6, NV>(a, lda, b, K, c, ldc);
        case 5: return tile<5, NV>(a, lda, b, K, c, ldc);
        case 4: return tile<4, NV>(a, lda, b, K, c, ldc);
        case 3: return tile<3, NV>(a, lda, b, K, c, ldc);
        case 2: return tile<2, NV>(a, lda, b, K, c, ldc);
        case 1: return tile<1, NV>(a, lda, b, K, c, ldc);
    }
}

// C (rows x width of the panel) = A times one panel; tiles of nearly equal height.
template <class S, class P, class T>
inline void product(const P* a, int lda, int rows, const Packed<S>& b, int panel, T* c, int ldc) {
    int tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    bool wide = b.width(panel) == PANEL<T>;
    for (int i = 0, row = 0; i < tiles; ++i) {
        int height = rows / tiles + (i < rows % tiles);
        if (wide)
            tile_of<2>(height, a + size_t(row) * lda, lda, b.panel(panel), b.depth(), c + size_t(row) * ldc, ldc);
        else
            tile_of<1>(height, a + size_t(row) * lda, lda, b.panel(panel), b.depth(), c + size_t(row) * ldc, ldc);
        row += height;
    }
}

}  // namespace s2s
