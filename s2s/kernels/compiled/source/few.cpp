// Products of a few rows with a large matrix, which cost what it costs to read the matrix: y = x W^T + b, W in bfloat16 or
// in 8 bits. Each row of W is read once for all rows of x.
#include "scan.hpp"

namespace s2s {

// Rows of W at a time: enough sums in flight for one row of x, not too many for several.
template <int ROWS> constexpr int ABREAST = ROWS <= 2 ? 4 : ROWS <= 4 ? 2 : 1;

template <int ROWS, int N> void half_block(int K, int N_, int n, const float* x, const bf16* w, const float* bias, float* y) {
    vfloat sums[N][ROWS] = {};
    for (int k = 0; k < K; k += LANES<float>) {
        const int left = K - k;
        vfloat in[ROWS];
        for (int r = 0; r < ROWS; ++r) in[r] = load(x + size_t(r) * K + k, left);
        for (int i = 0; i < N; ++i) {
            const vfloat now = load(w + size_t(n + i) * K + k, left);
            for (int r = 0; r < ROWS; ++r) sums[i][r] += now * in[r];
        }
    }
    for (int i = 0; i < N; ++i)
        for (int r = 0; r < ROWS; ++r) y[size_t(r) * N_ + n + i] = sum_of<float>(sums[i][r]) + (bias ? bias[n + i] : 0.0f);
}

template <int ROWS> void half_rows(int K, int N_, int from, int to, const float* x, const bf16* w, const float* bias, float* y) {
    constexpr int N = ABREAST<ROWS>;
    int n = from;
    for (; n + N <= to; n += N) half_block<ROWS, N>(K, N_, n, x, w, bias, y);
    for (; n < to; ++n) half_block<ROWS, 1>(K, N_, n, x, w, bias, y);
}

// sum of a b over K numbers of 8 bits.
inline int32_t dot(int K, const int8_t* a, const int8_t* b) {
    int32_t sum = 0;
    for (int k = 0; k < K; ++k) sum += int32_t(a[k]) * int32_t(b[k]);
    return sum;
}

// 128 times the sum of a row of x: `eight_row` multiplies with w + 128, since one factor of its instructions is unsigned.
inline int32_t excess(int K, const int8_t* x) {
    int32_t sum = 0;
#if defined(S2S_AVX512) && defined(__AVX512VNNI__)
    for (int k = 0; k < K / 64 * 64; ++k) sum += x[k];
#else
    (void)K, (void)x;
#endif
    return 128 * sum;
}

template <int ROWS> void eight_row(int K, const int8_t* x, const int8_t* w, int32_t* sums) {
    int k = 0;
#if defined(S2S_AVX512) && defined(__AVX512VNNI__)
    const __m512i flip = _mm512_set1_epi8(char(0x80));
    __m512i both[ROWS];
    for (int r = 0; r < ROWS; ++r) both[r] = _mm512_setzero_si512();
    for (; k + 64 <= K; k += 64) {
        const __m512i now = _mm512_xor_si512(_mm512_loadu_si512(w + k), flip);
        for (int r = 0; r < ROWS; ++r) both[r] = _mm512_dpbusd_epi32(both[r], now, _mm512_loadu_si512(x + size_t(r) * K + k));
    }
    for (int r = 0; r < ROWS; ++r) sums[r] = _mm512_reduce_add_epi32(both[r]);
#else
    for (int r = 0; r < ROWS; ++r) sums[r] = 0;
#endif
    if (k < K)
        for (int r = 0; r < ROWS; ++r) sums[r] += dot(K - k, x + size_t(r) * K + k, w + k);
}

template <int ROWS>
void eight_rows(int K, int N_, int from, int to, const float* scale_R, const int8_t* x, const int8_t* w, const float* scale_N,
                const float* bias, float* y) {
    int32_t sums[ROWS], beyond[ROWS];
    for (int r = 0; r < ROWS; ++r) beyond[r] = excess(K, x + size_t(r) * K);
    for (int n = from; n < to; ++n) {
        eight_row<ROWS>(K, x, w + size_t(n) * K, sums);
        for (int r = 0; r < ROWS; ++r)
            y[size_t(r) * N_ + n] = float(sums[r] - beyond[r]) * (scale_R[r] * scale_N[n]) + (bias ? bias[n] : 0.0f);
    }
}

// run<ROWS>(from, to) for parts of the N rows of W.
template <class F> void by_rows(int rows, int N_, int threads, F run) {
    const int parts = std::max(1, std::min(threads, N_ / 64));
#ifdef _OPENMP
#pragma omp parallel for num_threads(parts) schedule(static, 1)
#endif
    for (int part = 0; part < parts; ++part) {
        const int from = int(long(N_) * part / parts), to = int(long(N_) * (part + 1) / parts);
        switch (rows) {
            case 1: run(std::integral_constant<int, 1>{}, from, to); break;
            case 2: run(std::integral_constant<int, 2>{}, from, to); break;
            case 3: run(std::integral_constant<int, 3>{}, from, to); break;
            case 4: run(std::integral_constant<int, 4>{}, from, to); break;
            case 5: run(std::integral_constant<int, 5>{}, from, to); break;
            case 6: run(std::integral_constant<int, 6>{}, from, to); break;
            case 7: run(std::integral_constant<int, 7>{}, from, to); break;
            case 8: run(std::integral_constant<int, 8>{}, from, to); break;
        }
    }
}

}  // namespace s2s

extern "C" void few_half_float32(int rows, int K, int N, const int64_t*, int threads, const float* x, const s2s::bf16* w,
                                 const float* bias, float* y) {
    s2s::by_rows(rows, N, threads, [&](auto count, int from, int to) {
        s2s::half_rows<decltype(count)::value>(K, N, from, to, x, w, bias, y);
    });
}

extern "C" void few_eight_float32(int rows, int K, int N, const int64_t*, int threads, const float* scale_R, const int8_t* x,
                                  const int8_t* w, const float* scale_N, const float* bias, float* y) {
    s2s::by_rows(rows, N, threads, [&](auto count, int from, int to) {
        s2s::eight_rows<decltype(count)::value>(K, N, from, to, scale_R, x, w, scale_N, bias, y);
    });
}
