// Products of a few rows with a large matrix, which cost what it costs to read the matrix: y = x W^T + b, W in float, in
// bfloat16 or in 8 bits. Each row of W is fetched once for all rows of x.
#pragma once

#include "scan.hpp"

namespace s2s {

constexpr int FEW_ROWS = 8;
constexpr int ABREAST = 4;  // rows of W, and of x, that are multiplied with each other at a time

// Where a product reads and writes: rows of x and of y lie so far apart; `add`: onto what stands there.
struct Lines {
    const float* x;
    size_t x_apart;
    float* y;
    size_t y_apart;
    const float* bias;
    bool add;

    void put(int row, int n, float sum) const {
        float* to = y + size_t(row) * y_apart + n;
        *to = sum + (bias ? bias[n] : 0.0f) + (add ? *to : 0.0f);
    }
};

// The sum of each of four vectors.
#if defined(S2S_AVX512)
inline __m128 sums_of(__m512 a, __m512 b, __m512 c, __m512 d) {
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const __m512 lanes = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))),
                                       _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))));
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}
inline __m128i sums_of(__m512i a, __m512i b, __m512i c, __m512i d) {
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const __m512i lanes = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(lanes), _mm512_extracti64x4_epi64(lanes, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}
inline void put_four(const Lines& lines, int row, int n, __m128 sum) {
    float* to = lines.y + size_t(row) * lines.y_apart + n;
    if (lines.bias) sum = _mm_add_ps(sum, _mm_loadu_ps(lines.bias + n));
    if (lines.add) sum = _mm_add_ps(sum, _mm_loadu_ps(to));
    _mm_storeu_ps(to, sum);
}
#endif

// One vector of W and of x: floats, whatever W is kept in, or pairs of bfloat16 where the CPU multiplies these.
template <class S, class P> struct Factor {
    static constexpr int STEP = LANES<float>;
    typedef vfloat type;
    template <class E> static type fetch(const E* p, int left) { return load(p, left); }
    static vfloat onto(vfloat sum, type w, type x) { return sum + w * x; }
};
#if defined(__AVX512BF16__) && defined(S2S_AVX512)
template <> struct Factor<bf16, bf16> {
    static constexpr int STEP = 32;
    typedef __m512i type;
    static type fetch(const bf16* p, int left) {
        return left >= 32 ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi16(__mmask32((1u << left) - 1), p);
    }
    static vfloat onto(vfloat sum, type w, type x) {
        return (vfloat)_mm512_dpbf16_ps((__m512)sum, (__m512bh)w, (__m512bh)x);
    }
};
#endif

template <class S, int ROWS, int N>
void few_block(int K, int first, int n, const S* w, const Operand<S>* x, size_t x_apart, const Lines& lines) {
    typedef Factor<S, Operand<S>> F;
    vfloat sums[N][ROWS] = {};
    for (int k = 0; k < K; k += F::STEP) {
        typename F::type in[ROWS];
        for (int r = 0; r < ROWS; ++r) in[r] = F::fetch(x + size_t(first + r) * x_apart + k, K - k);
        for (int i = 0; i < N; ++i) {
            const typename F::type now = F::fetch(w + size_t(n + i) * K + k, K - k);
            for (int r = 0; r < ROWS; ++r) sums[i][r] = F::onto(sums[i][r], now, in[r]);
        }
    }
    for (int r = 0; r < ROWS; ++r) {
#if defined(S2S_AVX512)
        if constexpr (N == 4) {
            put_four(lines, first + r, n, sums_of((__m512)sums[0][r], (__m512)sums[1][r], (__m512)sums[2][r], (__m512)sums[3][r]));
            continue;
        }
#endif
        for (int i = 0; i < N; ++i) lines.put(first + r, n + i, sum_of<float>(sums[i][r]));
    }
}

// block(rows as a constant, first) for all rows, a few at a time; what is read of W stays in the nearest cache meanwhile.
template <class F> inline void some_rows(int rows, F block) {
    for (int first = 0; first < rows; first += ABREAST) switch (std::min(ABREAST, rows - first)) {
            case 1: block(std::integral_constant<int, 1>{}, first); break;
            case 2: block(std::integral_constant<int, 2>{}, first); break;
            case 3: block(std::integral_constant<int, 3>{}, first); break;
            case ABREAST: block(std::integral_constant<int, ABREAST>{}, first); break;
        }
}

// run(from, to) for parts of the N rows of W.
template <class F> void in_parts(int N_, int threads, F run) {
    const int parts = std::max(1, std::min(threads, N_ / 64));
    if (parts == 1) return run(0, N_);
#ifdef _OPENMP
#pragma omp parallel for num_threads(parts) schedule(static, 1)
#endif
    for (int part = 0; part < parts; ++part) run(int(long(N_) * part / parts), int(long(N_) * (part + 1) / parts));
}

template <class S>
void few_part(int rows, int K, int from, int to, const S* w, const Operand<S>* x, size_t x_apart, const Lines& lines) {
    int n = from;
    for (; n + ABREAST <= to; n += ABREAST)
        some_rows(rows, [&](auto count, int first) {
            few_block<S, decltype(count)::value, ABREAST>(K, first, n, w, x, x_apart, lines);
        });
    for (; n < to; ++n)
        some_rows(rows, [&](auto count, int first) {
            few_block<S, decltype(count)::value, 1>(K, first, n, w, x, x_apart, lines);
        });
}

// x in bfloat16, with zeros up to a multiple of a vector.
inline const bf16* rounded_rows(const Lines& lines, int rows, int K, size_t& apart) {
    static thread_local std::vector<bf16> narrow_x;
    apart = size_t(round_up(K, LANES<float>));
    if (narrow_x.size() < apart * rows) narrow_x.resize(apart * rows);
    for (int r = 0; r < rows; ++r)
        for (int k = 0; k < K; k += LANES<float>)
            store(narrow_x.data() + size_t(r) * apart + k, load(lines.x + size_t(r) * lines.x_apart + k, K - k), LANES<float>);
    return narrow_x.data();
}

inline const float* as_operand(const Lines& lines, int, int, size_t& apart, float) {
    apart = lines.x_apart;
    return lines.x;
}
// Rounded, as it is where there are many rows.
inline const bf16* as_operand(const Lines& lines, int rows, int K, size_t& apart, bf16) {
    return rounded_rows(lines, rows, K, apart);
}

template <class S> void few_product(int rows, int K, int N, int threads, const S* w, const Lines& lines) {
    size_t apart;
    const Operand<S>* x = as_operand(lines, rows, K, apart, Operand<S>{});
    in_parts(N, threads, [&](int from, int to) { few_part<S>(rows, K, from, to, w, x, apart, lines); });
}

// sum of a b over K numbers of 8 bits.
inline int32_t dot(int K, const int8_t* a, const int8_t* b) {
    int32_t sum = 0;
    for (int k = 0; k < K; ++k) sum += int32_t(a[k]) * int32_t(b[k]);
    return sum;
}

// x in 8 bits, a scale a row of x and of W.
struct Eight {
    const float* scale_R;
    const int8_t* x;
    const int8_t* w;
    const float* scale_N;
};

inline void put_eight(const Eight& eight, const Lines& lines, int row, int n, int32_t sum) {
    lines.put(row, n, float(sum) * (eight.scale_R[row] * eight.scale_N[n]));
}

#if defined(S2S_AVX512) && defined(__AVX512VNNI__)
// One factor of these instructions is unsigned, so they multiply with w + 128; `beyond` is 128 times the sum of each x.
template <int ROWS, int N>
void eight_block(int K, int first, int n, const Eight& eight, const int32_t* beyond, const Lines& lines) {
    const __m512i flip = _mm512_set1_epi8(char(0x80));
    __m512i sums[N][ROWS];
    for (int i = 0; i < N; ++i)
        for (int r = 0; r < ROWS; ++r) sums[i][r] = _mm512_setzero_si512();
    for (int k = 0; k < K; k += 64) {
        const __mmask64 some = K - k >= 64 ? ~__mmask64(0) : (__mmask64(1) << (K - k)) - 1;
        __m512i in[ROWS];
        for (int r = 0; r < ROWS; ++r) in[r] = _mm512_maskz_loadu_epi8(some, eight.x + size_t(first + r) * K + k);
        for (int i = 0; i < N; ++i) {
            const __m512i now = _mm512_xor_si512(_mm512_maskz_loadu_epi8(some, eight.w + size_t(n + i) * K + k), flip);
            for (int r = 0; r < ROWS; ++r) sums[i][r] = dot_of_fours(sums[i][r], now, in[r]);
        }
    }
    for (int r = 0; r < ROWS; ++r) {
        const int row = first + r;
        if constexpr (N == 4) {
            const __m128i sum = sums_of(sums[0][r], sums[1][r], sums[2][r], sums[3][r]);
            const __m128 exact = _mm_cvtepi32_ps(_mm_sub_epi32(sum, _mm_set1_epi32(beyond[row])));
            const __m128 scale = _mm_mul_ps(_mm_set1_ps(eight.scale_R[row]), _mm_loadu_ps(eight.scale_N + n));
            put_four(lines, row, n, _mm_mul_ps(exact, scale));
        } else {
            for (int i = 0; i < N; ++i)
                put_eight(eight, lines, row, n + i, _mm512_reduce_add_epi32(sums[i][r]) - beyond[row]);
        }
    }
}

inline void eight_part(int rows, int K, int from, int to, const Eight& eight, const Lines& lines) {
    int32_t beyond[FEW_ROWS];
    for (int r = 0; r < rows; ++r) {
        beyond[r] = 0;
        for (int k = 0; k < K; ++k) beyond[r] += 128 * eight.x[size_t(r) * K + k];
    }
    int n = from;
    for (; n + ABREAST <= to; n += ABREAST)
        some_rows(rows, [&](auto count, int first) {
            eight_block<decltype(count)::value, ABREAST>(K, first, n, eight, beyond, lines);
        });
    for (; n < to; ++n)
        some_rows(rows, [&](auto count, int first) {
            eight_block<decltype(count)::value, 1>(K, first, n, eight, beyond, lines);
        });
}
#else
inline void eight_part(int rows, int K, int from, int to, const Eight& eight, const Lines& lines) {
    for (int n = from; n < to; ++n)
        for (int r = 0; r < rows; ++r)
            put_eight(eight, lines, r, n, dot(K, eight.x + size_t(r) * K, eight.w + size_t(n) * K));
}
#endif

// `lines.x` is not read.
inline void few_eight_product(int rows, int K, int N, int threads, const Eight& eight, const Lines& lines) {
    in_parts(N, threads, [&](int from, int to) { eight_part(rows, K, from, to, eight, lines); });
}

}  // namespace s2s
