// Products with a matrix that was packed once and stays so: 32 of its rows side by side, so that a sum lies in one lane of a
// vector from beginning to end and none has to be gathered from its lanes. What a row's sums are does not depend on the rows
// beside it. For processors that multiply pairs of bfloat16 and fours of 8 bits; the others do without.
#pragma once

#include "few.hpp"

namespace s2s {

#if defined(__AVX512BF16__) && defined(__AVX512VNNI__) && defined(S2S_AVX512)
constexpr bool PACKS = true;
#else
constexpr bool PACKS = false;
#endif

constexpr int SIDE_BY_SIDE = 32;
constexpr int FOUR = 4;

inline int panels_of(int N_) { return (N_ + SIDE_BY_SIDE - 1) / SIDE_BY_SIDE; }

// Numbers of W (N x K), `together` neighbours of a row in one place: [panel][K / together][32][together], zeros beyond.
template <class E, class F> void pack(int K, int N_, int together, const E* w, E* out, F convert) {
    const int groups = (K + together - 1) / together;
    for (int n = 0; n < N_; ++n) {
        E* panel = out + size_t(n / SIDE_BY_SIDE) * groups * SIDE_BY_SIDE * together + size_t(n % SIDE_BY_SIDE) * together;
        for (int k = 0; k < K; ++k)
            panel[size_t(k / together) * SIDE_BY_SIDE * together + k % together] = convert(w[size_t(n) * K + k]);
    }
}

#if defined(__AVX512BF16__) && defined(__AVX512VNNI__) && defined(S2S_AVX512)
struct Single {
    typedef __m512 sum;
    static sum none() { return _mm512_setzero_ps(); }
    static sum onto(sum s, __m512i x, __m512i w) { return _mm512_fmadd_ps((__m512)x, (__m512)w, s); }
};
struct Half {
    typedef __m512 sum;
    static sum none() { return _mm512_setzero_ps(); }
    static sum onto(sum s, __m512i x, __m512i w) { return _mm512_dpbf16_ps(s, (__m512bh)x, (__m512bh)w); }
};
struct Quarter {
    typedef __m512i sum;
    static sum none() { return _mm512_setzero_si512(); }
    static sum onto(sum s, __m512i x, __m512i w) { return dot_of_fours(s, w, x); }
};

constexpr int NEAR_ROWS = 96;  // rows of x that stay in the near caches while all panels pass

// Sums of so many rows of x with one panel; 4 bytes of x at a time. Kept apart from its callers, as `dense_tile` is.
template <class F, int ROWS>
__attribute__((noinline)) void panel_sums(int groups, const char* x, size_t x_apart, const char* w, typename F::sum sums[][2]) {
    typename F::sum now[ROWS][2];
    constexpr int POINTERS = (ROWS + 2) / 3;  // three rows to a pointer: the addressing reaches them by one stride
    const char* left[POINTERS];
    S2S_SUMS
    for (int r = 0; r < ROWS; ++r) now[r][0] = now[r][1] = F::none();
    S2S_SUMS
    for (int i = 0; i < POINTERS; ++i) left[i] = x + size_t(3 * i) * x_apart;
    for (int k = 0; k < groups; ++k, w += 2 * 64) {
        const __m512i low = _mm512_loadu_si512(w), high = _mm512_loadu_si512(w + 64);
        S2S_SUMS
        for (int r = 0; r < ROWS; ++r) {
            int32_t four;
            std::memcpy(&four, left[r / 3] + size_t(r % 3) * x_apart, 4);
            const __m512i one = _mm512_set1_epi32(four);
            now[r][0] = F::onto(now[r][0], one, low), now[r][1] = F::onto(now[r][1], one, high);
        }
        S2S_SUMS
        for (int i = 0; i < POINTERS; ++i) left[i] += 4;
    }
    S2S_SUMS
    for (int r = 0; r < ROWS; ++r) sums[r][0] = now[r][0], sums[r][1] = now[r][1];
}

template <class F> void tile_sums(int rows, int groups, const char* x, size_t x_apart, const char* w, typename F::sum sums[][2]) {
    switch (rows) {
        case 1: return panel_sums<F, 1>(groups, x, x_apart, w, sums);
        case 2: return panel_sums<F, 2>(groups, x, x_apart, w, sums);
        case 3: return panel_sums<F, 3>(groups, x, x_apart, w, sums);
        case 4: return panel_sums<F, 4>(groups, x, x_apart, w, sums);
        case 5: return panel_sums<F, 5>(groups, x, x_apart, w, sums);
        case 6: return panel_sums<F, 6>(groups, x, x_apart, w, sums);
        case 7: return panel_sums<F, 7>(groups, x, x_apart, w, sums);
        case 8: return panel_sums<F, 8>(groups, x, x_apart, w, sums);
        case 9: return panel_sums<F, 9>(groups, x, x_apart, w, sums);
        case 10: return panel_sums<F, 10>(groups, x, x_apart, w, sums);
        case 11: return panel_sums<F, 11>(groups, x, x_apart, w, sums);
        case 12: return panel_sums<F, 12>(groups, x, x_apart, w, sums);
    }
}

inline void put_vector(const Lines& lines, int row, int n, int N_, vfloat sum) {
    const int left = N_ - n;
    if (left <= 0) return;
    float* to = lines.y + size_t(row) * lines.y_apart + n;
    if (lines.bias) sum += load(lines.bias + n, left);
    if (lines.add) sum += load(to, left);
    store(to, sum, left);
}

// finish(sum, row, n): the sums of a vector of outputs from n on.
template <class F, class Finish>
void packed_product(int rows, int groups, int N_, int threads, const void* x, size_t x_apart, const void* w, Finish finish) {
    const int blocks = (rows + NEAR_ROWS - 1) / NEAR_ROWS, tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    in_parts(panels_of(N_) * 64, threads, [&](int from, int to) {  // a panel is worth as much as 64 rows elsewhere
        for (int block = 0; block < blocks; ++block)
            for (int p = (from + 63) / 64; p < (to + 63) / 64; ++p) {
                const char* panel = static_cast<const char*>(w) + size_t(p) * groups * 2 * 64;
                for (int tile = tiles * block / blocks; tile < tiles * (block + 1) / blocks; ++tile) {
                    const int first = int(long(rows) * tile / tiles), count = int(long(rows) * (tile + 1) / tiles) - first;
                    typename F::sum sums[TILE_ROWS][2];
                    tile_sums<F>(count, groups, static_cast<const char*>(x) + size_t(first) * x_apart, x_apart, panel, sums);
                    for (int r = 0; r < count; ++r)
                        for (int v = 0; v < 2; ++v) finish(sums[r][v], first + r, p * SIDE_BY_SIDE + v * 16);
                }
            }
    });
}

// x and W in float.
inline void packed_single(int rows, int K, int N_, int threads, const void* w, const Lines& lines) {
    packed_product<Single>(rows, K, N_, threads, lines.x, lines.x_apart * sizeof(float), w, [&](__m512 sum, int row, int n) {
        put_vector(lines, row, n, N_, (vfloat)sum);
    });
}

// x is (rows, K) in bfloat16, so far apart, with a zero behind an odd K.
inline void packed_half(int rows, int K, int N_, int threads, const bf16* x, size_t apart, const void* w, const Lines& lines) {
    packed_product<Half>(rows, (K + 1) / 2, N_, threads, x, apart * sizeof(bf16), w, [&](__m512 sum, int row, int n) {
        put_vector(lines, row, n, N_, (vfloat)sum);
    });
}

// x is (rows, K) in 8 bits, with zeros up to a multiple of four; W is kept as w + 128.
inline void packed_eight(int rows, int K, int N_, int threads, const float* scale_R, const int8_t* x, size_t apart, const void* w,
                         const float* scale_N, const Lines& lines) {
    static thread_local std::vector<int32_t> beyond;
    if (beyond.size() < size_t(rows)) beyond.resize(size_t(rows));
    const int32_t* over = beyond.data();  // a thread of `in_parts` would find its own
    for (int r = 0; r < rows; ++r) {
        beyond[r] = 0;
        for (int k = 0; k < K; ++k) beyond[r] += 128 * x[size_t(r) * apart + k];
    }
    packed_product<Quarter>(rows, (K + 3) / 4, N_, threads, x, apart, w, [&](__m512i sum, int row, int n) {
        const __m512 exact = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, _mm512_set1_epi32(over[row])));
        if (n < N_) put_vector(lines, row, n, N_, (vfloat)exact * (load(scale_N + n, N_ - n) * scale_R[row]));
    });
}
#else
inline void packed_single(int, int, int, int, const void*, const Lines&) {}
inline void packed_half(int, int, int, int, const bf16*, size_t, const void*, const Lines&) {}
inline void packed_eight(int, int, int, int, const float*, const int8_t*, size_t, const void*, const float*, const Lines&) {}
#endif

}  // namespace s2s
