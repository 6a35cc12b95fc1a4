// Dropout by 16 random bits an element: an element stays where its bits, as a number, are not below a threshold.
#include <algorithm>

#include "simd.hpp"

namespace s2s {

template <class T> inline V<T> kept(V<T> x, const uint16_t* bits, int n, int threshold, T scale) {
    for (int i = 0; i < LANES<T>; ++i) x[i] = i < n && bits[i] >= threshold ? x[i] * scale : T(0);
    return x;
}
#if defined(S2S_AVX512)
template <> inline vfloat kept<float>(vfloat x, const uint16_t* bits, int n, int threshold, float scale) {
    __m256i some = n >= 16 ? _mm256_loadu_si256((const __m256i*)bits)
                           : _mm256_maskz_loadu_epi16(__mmask16((1u << n) - 1), bits);
    __mmask16 stays = _mm512_cmpge_epi32_mask(_mm512_cvtepu16_epi32(some), _mm512_set1_epi32(threshold));
    return (vfloat)_mm512_maskz_mul_ps(stays, (__m512)x, _mm512_set1_ps(scale));
}
#endif

constexpr int BLOCK = 1 << 14;  // elements that a thread takes at a time

template <class S, class T = typename StateOf<S>::type>
void dropout(int size, int threshold, int threads, const S* x, const uint16_t* bits, S* out) {
    const T scale = T(65536.0 / (65536.0 - threshold));
    const int blocks = (size + BLOCK - 1) / BLOCK;
#ifdef _OPENMP
#pragma omp parallel for num_threads(std::max(1, std::min(threads, blocks / 4))) schedule(static)
#endif
    for (int block = 0; block < blocks; ++block)
        for (int j = block * BLOCK, end = std::min(size, j + BLOCK); j < end; j += LANES<T>) {
            const int n = std::min(LANES<T>, end - j);
            store(out + j, kept<T>(load(x + j, n), bits + j, n, threshold, scale), n);
        }
}

}  // namespace s2s

#define S2S_DEFINE(NAME, S)                                                                                        \
    extern "C" void dropout_##NAME(int size, int threshold, const int64_t*, int threads, const S* x,              \
                                   const uint16_t* bits, S* out) {                                                 \
        s2s::dropout<S>(size, threshold, threads, x, bits, out);                                                   \
    }
S2S_DEFINE(float32, float)
S2S_DEFINE(float64, double)
S2S_DEFINE(bfloat16, s2s::bf16)
