// Products of whole matrices in bfloat16, for processors with AVX-512's dot product of pairs: near its rate, where the
// operands lie as the instruction takes them.
//
// The right side is packed in panels of 32 columns, pairs of neighbouring k side by side: panel[pair][32][2]. The left side
// is read pair by pair with any two strides, so that neither a row-major matrix nor a packed transpose must be copied. A
// tile of 12 rows by a panel keeps its sums in registers; what becomes of them is the caller's.
#pragma once

#include "gemm.hpp"

#if defined(__AVX512BF16__) && defined(S2S_AVX512)
#define S2S_DENSE 1

namespace s2s {

constexpr int DENSE_ROWS = 12, DENSE_COLUMNS = 32;

// What is multiplied: two neighbouring k in bfloat16, or four in 8 bits, of which those of the left side have no sign.
struct Pairs {
    typedef __m512 sum;
    static sum none() { return _mm512_setzero_ps(); }
    static sum onto(sum s, __m512i left, __m512i right) { return _mm512_dpbf16_ps(s, (__m512bh)left, (__m512bh)right); }
};
#if defined(__AVX512VNNI__)
struct Fours {
    typedef __m512i sum;
    static sum none() { return _mm512_setzero_si512(); }
    static sum onto(sum s, __m512i left, __m512i right) { return dot_of_fours(s, left, right); }
};
#endif

// A left side: four bytes of row m, a pair or a four of k, are at data + m row + i group. Strides are given in numbers.
struct Left {
    const char* data;
    ptrdiff_t row, group;
    template <class E>
    Left(const E* from, ptrdiff_t row_stride, ptrdiff_t group_stride)
        : data(reinterpret_cast<const char*>(from)), row(row_stride * ptrdiff_t(sizeof(E))),
          group(group_stride * ptrdiff_t(sizeof(E))) {}
    Left below(ptrdiff_t rows) const { return {data + rows * row, row, group}; }
    Left beyond(ptrdiff_t groups) const { return {data + groups * group, row, group}; }
};

// What the sums of all rows begin with.
template <class F> struct Start {
    typename F::sum low = F::none(), high = F::none();
};

constexpr int GROUP_BYTES = 2 * 64;  // of a panel of the right side, for each pair or four of k

// out(m, low, high): the 32 sums of row m.
// Kept apart from its callers: inlined into a large loop, its sums have been seen to leave the registers.
template <class F, int MR, class Out>
__attribute__((noinline)) void dense_tile(Left a, const void* right, int groups, Start<F> start, Out out) {
    typename F::sum sum[MR][2];
    S2S_SUMS
    for (int m = 0; m < MR; ++m) sum[m][0] = start.low, sum[m][1] = start.high;
    // Three rows to a pointer: that many the addressing of the machine reaches from one register and a stride.
    constexpr int POINTERS = (MR + 2) / 3;
    const char* left[POINTERS];
    const char* b = static_cast<const char*>(right);
    S2S_SUMS
    for (int i = 0; i < POINTERS; ++i) left[i] = a.data + 3 * i * a.row;
    for (int p = 0; p < groups; ++p) {
        const __m512i low = _mm512_load_si512(b + size_t(p) * GROUP_BYTES);
        const __m512i high = _mm512_load_si512(b + size_t(p) * GROUP_BYTES + 64);
        S2S_SUMS
        for (int m = 0; m < MR; ++m) {
            int32_t bits;
            std::memcpy(&bits, left[m / 3] + m % 3 * a.row, 4);
            const __m512i all = _mm512_set1_epi32(bits);
            sum[m][0] = F::onto(sum[m][0], all, low);
            sum[m][1] = F::onto(sum[m][1], all, high);
        }
        S2S_SUMS
        for (int i = 0; i < POINTERS; ++i) left[i] += a.group;
    }
    S2S_SUMS
    for (int m = 0; m < MR; ++m) out(m, sum[m][0], sum[m][1]);
}

// A few rows, at most DENSE_ROWS.
template <class F, class Out> inline void dense_rows(int rows, Left a, const void* b, int groups, Start<F> start, Out out) {
    switch (rows) {
        case 12: return dense_tile<F, 12>(a, b, groups, start, out);
        case 11: return dense_tile<F, 11>(a, b, groups, start, out);
        case 10: return dense_tile<F, 10>(a, b, groups, start, out);
        case 9: return dense_tile<F, 9>(a, b, groups, start, out);
        case 8: return dense_tile<F, 8>(a, b, groups, start, out);
        case 7: return dense_tile<F, 7>(a, b, groups, start, out);
        case 6: return dense_tile<F, 6>(a, b, groups, start, out);
        case 5: return dense_tile<F, 5>(a, b, groups, start, out);
        case 4: return dense_tile<F, 4>(a, b, groups, start, out);
        case 3: return dense_tile<F, 3>(a, b, groups, start, out);
        case 2: return dense_tile<F, 2>(a, b, groups, start, out);
        case 1: return dense_tile<F, 1>(a, b, groups, start, out);
    }
}

// All rows from `first` to before `last` by one panel: out(row, low, high).
template <class F, class Out>
inline void dense_panel(int first, int last, Left a, const void* b, int groups, Start<F> start, Out out) {
    for (int row = first; row < last; row += DENSE_ROWS)
        dense_rows<F>(std::min(DENSE_ROWS, last - row), a.below(row - first), b, groups, start,
                      [&](int m, typename F::sum low, typename F::sum high) { out(row + m, low, high); });
}

inline __mmask16 lanes_below(int n) { return n >= 16 ? __mmask16(0xffff) : n <= 0 ? __mmask16(0) : __mmask16((1u << n) - 1); }

// to[0 ... n) = or += the first n of 32 sums.
inline void put(float* to, int n, bool add, __m512 low, __m512 high) {
    if (n >= DENSE_COLUMNS) {
        if (add) low = _mm512_add_ps(low, _mm512_loadu_ps(to)), high = _mm512_add_ps(high, _mm512_loadu_ps(to + 16));
        _mm512_storeu_ps(to, low), _mm512_storeu_ps(to + 16, high);
        return;
    }
    const __mmask16 first = lanes_below(n), second = lanes_below(n - 16);
    if (add) {
        low = _mm512_add_ps(low, _mm512_maskz_loadu_ps(first, to));
        high = _mm512_add_ps(high, _mm512_maskz_loadu_ps(second, to + 16));
    }
    _mm512_mask_storeu_ps(to, first, low), _mm512_mask_storeu_ps(to + 16, second, high);
}

inline __m512 some(const float* p, int n) { return _mm512_maskz_loadu_ps(lanes_below(n), p); }
inline __m512 some(const bf16* p, int n) { return (__m512)load(p, std::max(0, std::min(n, 16))); }

// [a0, b0, a1, b1, ...] of two vectors of 16 numbers, rounded.
inline __m512i interleaved(__m512 a, __m512 b) {
    const __m512i a_then_b = (__m512i)_mm512_cvtne2ps_pbh(b, a);
    alignas(64) static const uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                   8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return _mm512_permutexvar_epi16(_mm512_load_si512(order), a_then_b);
}

// Rows of a row-major matrix as k of a right side: panel by panel of its columns, `pairs` pairs each; what is missing is 0.
// E: float or bf16.
template <class E> void pack_by_rows(const E* from, int rows, int columns, ptrdiff_t stride, int pairs, int panel, bf16* to) {
    const int column = panel * DENSE_COLUMNS, n = std::min(DENSE_COLUMNS, columns - column);
    for (int p = 0; p < pairs; ++p) {
        const E *a = from + 2 * p * stride + column, *b = a + stride;
        const int na = 2 * p < rows ? n : 0, nb = 2 * p + 1 < rows ? n : 0;
        for (int half = 0; half < 2; ++half) {
            const int done = 16 * half;
            _mm512_store_si512(to + size_t(p) * 64 + 32 * half,
                               interleaved(some(a + done, na - done), some(b + done, nb - done)));
        }
    }
}

// Rows of a row-major matrix as pairs of a left side whose rows are its columns: panel[pair][48][2] of 48 columns, a whole
// number of tiles and of vectors.
constexpr int ACROSS = 48;

inline void pack_across(const bf16* from, int rows, int columns, ptrdiff_t stride, int panel, bf16* to) {
    const int column = panel * ACROSS, pairs = (rows + 1) / 2;
    for (int p = 0; p < pairs; ++p) {
        const bf16 *a = from + 2 * p * stride + column, *b = a + stride;
        for (int done = 0; done < ACROSS; done += 16) {
            const int n = columns - column - done;
            _mm512_store_si512(to + size_t(p) * 2 * ACROSS + 2 * done,
                               interleaved(some(a + done, n), some(b + done, 2 * p + 1 < rows ? n : 0)));
        }
    }
}

// So many equal blocks, and what one has, that none is larger than `most`.
struct Blocks {
    int count, each;
    Blocks(long all, long most, int multiple = 1)
        : count(int(std::max(1L, (all + most - 1) / most))), each(round_up(int((all + count - 1) / count), multiple)) {}
};

constexpr int DEEP = 128;  // pairs of a block of a reduction, at most: its panel of the right side is 16 KB

// 16 rows of 16 32-bit numbers, turned over.
inline void transpose(__m512i x[16]) {
    __m512i y[16];
    for (int i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
        x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
        x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
        x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        y[i] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0x88), y[i + 4] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0xdd);
        y[i + 8] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0x88), y[i + 12] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; ++i) {
        x[i] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0x88), x[i + 8] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0xdd);
        x[i + 4] = _mm512_shuffle_i32x4(y[i + 4], y[i + 12], 0x88), x[i + 12] = _mm512_shuffle_i32x4(y[i + 4], y[i + 12], 0xdd);
    }
}

inline __m512i pairs_of(const float* p, int n) {
    return (__m512i)_mm512_cvtne2ps_pbh(some(p + 16, n - 16), some(p, n));
}
inline __m512i pairs_of(const bf16* p, int n) {
    return _mm512_maskz_loadu_epi16(n >= 32 ? ~__mmask32(0) : n <= 0 ? __mmask32(0) : (__mmask32(1) << n) - 1, p);
}

// Columns of a row-major matrix as k of a right side: its rows are the columns of the product. `pairs`: a multiple of 16.
template <class E>
void pack_by_columns(const E* from, int rows, int columns, ptrdiff_t stride, int pairs, int panel, bf16* to) {
    for (int half = 0; half < 2; ++half) {
        const int row = panel * DENSE_COLUMNS + 16 * half;
        for (int p = 0; p < pairs; p += 16) {
            __m512i x[16];
            for (int i = 0; i < 16; ++i)
                x[i] = row + i < rows ? pairs_of(from + (row + i) * stride + 2 * p, columns - 2 * p) : _mm512_setzero_si512();
            transpose(x);
            for (int i = 0; i < 16; ++i) _mm512_store_si512(to + size_t(p + i) * 64 + 32 * half, x[i]);
        }
    }
}

}  // namespace s2s
#endif
