// Vectors of the machine's width: loads, stores and the few functions that gates need.
//
// State and arithmetic are float or double (T); what lies in memory per step is T or bfloat16 (S). The functions of float
// are polynomials of one to two units in the last place; those of double call libm lane by lane, since double is there
// for checking, not for speed.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
#define S2S_AVX512 1
#include <immintrin.h>
#endif

namespace s2s {

using std::ptrdiff_t;
using std::size_t;

#if defined(S2S_AVX512)
constexpr int BYTES = 64;
#elif defined(__AVX2__)
constexpr int BYTES = 32;
#else
constexpr int BYTES = 16;
#endif

typedef float vfloat __attribute__((vector_size(BYTES)));
typedef double vdouble __attribute__((vector_size(BYTES)));
typedef int32_t vint __attribute__((vector_size(BYTES)));

struct bf16 {
    uint16_t bits;
};

template <class T> struct Vector;
template <> struct Vector<float> {
    typedef vfloat type;
};
template <> struct Vector<double> {
    typedef vdouble type;
};
template <class T> using V = typename Vector<T>::type;
template <class T> constexpr int LANES = BYTES / int(sizeof(T));

// The type of state and arithmetic that goes with a storage type.
template <class S> struct StateOf {
    typedef S type;
};
template <> struct StateOf<bf16> {
    typedef float type;
};

inline float widen(bf16 x) {
    uint32_t bits = uint32_t(x.bits) << 16;
    float out;
    std::memcpy(&out, &bits, 4);
    return out;
}
inline float widen(float x) { return x; }
inline double widen(double x) { return x; }

// Round to nearest, ties to even; a NaN stays one.
inline bf16 narrow(float x, bf16) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    if (x != x) return bf16{uint16_t((bits >> 16) | 0x40)};
    return bf16{uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}
inline float narrow(float x, float) { return x; }
inline double narrow(double x, double) { return x; }

template <class T> inline V<T> all(T x) { return V<T>{} + x; }

// The first n lanes; the others are zero.
template <class S> inline V<typename StateOf<S>::type> load(const S* p, int n) {
    typedef typename StateOf<S>::type T;
    V<T> out{};
    for (int i = 0; i < n; ++i) out[i] = widen(p[i]);
    return out;
}
template <class S> inline void store(S* p, V<typename StateOf<S>::type> x, int n) {
    for (int i = 0; i < n; ++i) p[i] = narrow(x[i], S{});
}
template <class T> inline V<T> load_all(const T* p) {
    V<T> out;
    std::memcpy(&out, p, sizeof out);
    return out;
}
template <class T> inline void store_all(T* p, V<T> x) { std::memcpy(p, &x, sizeof x); }

template <> inline vfloat load<float>(const float* p, int n) {
    if (n >= LANES<float>) return load_all(p);
#if defined(S2S_AVX512)
    return (vfloat)_mm512_maskz_loadu_ps(__mmask16((1u << n) - 1), p);
#else
    vfloat out{};
    std::memcpy(&out, p, size_t(n) * sizeof(float));
    return out;
#endif
}
template <> inline void store<float>(float* p, vfloat x, int n) {
    if (n >= LANES<float>) return store_all(p, x);
#if defined(S2S_AVX512)
    _mm512_mask_storeu_ps(p, __mmask16((1u << n) - 1), (__m512)x);
#else
    std::memcpy(p, &x, size_t(n) * sizeof(float));
#endif
}
#if defined(S2S_AVX512)
template <> inline vfloat load<bf16>(const bf16* p, int n) {
    __m256i half = n >= 16 ? _mm256_loadu_si256((const __m256i*)p)
                           : _mm256_maskz_loadu_epi16(__mmask16((1u << n) - 1), p);
    return (vfloat)_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16);
}
inline __m256i rounded(vfloat x) {
#if defined(__AVX512BF16__)
    return (__m256i)_mm512_cvtneps_pbh((__m512)x);
#else
    __m512i bits = (__m512i)x;
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    __mmask16 nan = _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_UNORD_Q);
    return _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(_mm512_srli_epi32(up, 16), nan, _mm512_set1_epi32(0x7fc0)));
#endif
}
template <> inline void store<bf16>(bf16* p, vfloat x, int n) {
    if (n >= 16)
        _mm256_storeu_si256((__m256i*)p, rounded(x));
    else
        _mm256_mask_storeu_epi16(p, __mmask16((1u << n) - 1), rounded(x));
}
#endif

// Of a NaN and a number, both give the second argument.
template <class W> inline W larger(W a, W b) { return a > b ? a : b; }
template <class W> inline W smaller(W a, W b) { return a < b ? a : b; }
template <class T> inline T largest_of(V<T> x) {
    T out = x[0];
    for (int i = 1; i < LANES<T>; ++i) out = x[i] > out ? x[i] : out;
    return out;
}
template <class T> inline T sum_of(V<T> x) {
    T out = 0;
    for (int i = 0; i < LANES<T>; ++i) out += x[i];
    return out;
}
#if defined(S2S_AVX512)
template <> inline float sum_of<float>(vfloat x) { return _mm512_reduce_add_ps((__m512)x); }
#endif
inline vdouble magnitude(vdouble x) { return x < 0 ? -x : x; }
template <class W> inline W relu(W x) { return x < 0 ? W{} : x; }

inline vfloat magnitude(vfloat x) { return (vfloat)((vint)x & 0x7fffffff); }
inline vfloat with_sign_of(vfloat x, vfloat size) { return (vfloat)((vint)size | ((vint)x & int32_t(0x80000000))); }

// e^x: x = n ln 2 + r, a polynomial in r (Cephes), n into the exponent. A NaN stays one.
inline vfloat exp_polynomial(vfloat r) {
    vfloat p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return p * (r * r) + r + 1.0f;
}
inline vfloat remainder_of_ln2(vfloat x, vfloat n) { return x - n * 0.693359375f + n * 2.12194440e-4f; }
#if defined(S2S_AVX512)
inline vfloat exp(vfloat x) {
    // Of a NaN and a number, these instructions give the second argument.
    x = (vfloat)_mm512_max_ps((__m512)all(-104.0f), _mm512_min_ps((__m512)all(88.7f), (__m512)x));
    vfloat n = (vfloat)_mm512_roundscale_ps((__m512)(x * 1.44269504088896341f), 0);
    return (vfloat)_mm512_scalef_ps((__m512)exp_polynomial(remainder_of_ln2(x, n)), (__m512)n);
}
#else
inline vfloat exp(vfloat x) {
    x = larger(all(-87.0f), smaller(all(88.0f), x));
    const vfloat shift = all(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
    vfloat n = x * 1.44269504088896341f + shift - shift;
    vint exponent = (__builtin_convertvector(n, vint) + 127) << 23;
    return exp_polynomial(remainder_of_ln2(x, n)) * (vfloat)exponent;
}
#endif
inline vfloat sigmoid(vfloat x) { return 1.0f / (1.0f + exp(-x)); }

// Near zero an odd polynomial (Cephes), since 1 - 2 e / (1 + e) would lose its digits there; far out that form rounds
// once, and 1 - tanh^2, which the backward needs, is still right where tanh is all but 1.
inline vfloat tanh(vfloat x) {
    vfloat size = magnitude(x);
    vfloat e = exp(size * -2.0f);
    vfloat far = 1.0f - 2.0f * e / (1.0f + e);
    far = with_sign_of(x, far);
    vfloat s = x * x;
    vfloat p = all(-5.70498872745e-3f);
    p = p * s + 2.06390887954e-2f;
    p = p * s - 5.37397155531e-2f;
    p = p * s + 1.33314422036e-1f;
    p = p * s - 3.33332819422e-1f;
    vfloat near = p * s * x + x;
    return size < 0.625f ? near : far;
}

// ln(1 + x) for 0 <= x <= 1: x times a polynomial fitted to the least relative error (5e-9, so float's rounding decides).
inline vfloat log1p_unit(vfloat x) {
    vfloat p = all(-3.244024468585849e-3f);
    p = p * x + 1.9851459190249443e-2f;
    p = p * x - 5.695952847599983e-2f;
    p = p * x + 1.0603654384613037e-1f;
    p = p * x - 1.5305592119693756e-1f;
    p = p * x + 1.967593878507614e-1f;
    p = p * x - 2.4954134225845337e-1f;
    p = p * x + 3.332996368408203e-1f;
    p = p * x - 4.999990165233612e-1f;
    p = p * x + 1.0f;
    return p * x;
}

template <double (*F)(double)> inline vdouble lanewise(vdouble x) {
    for (int i = 0; i < LANES<double>; ++i) x[i] = F(x[i]);
    return x;
}
inline vdouble exp(vdouble x) { return lanewise<std::exp>(x); }
inline vdouble tanh(vdouble x) { return lanewise<std::tanh>(x); }
inline vdouble sigmoid(vdouble x) { return 1.0 / (1.0 + exp(-x)); }
inline vdouble log1p_unit(vdouble x) { return lanewise<std::log1p>(x); }

}  // namespace s2s
