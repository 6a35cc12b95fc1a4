// Operands of products in 8 bits: the left side rows without a sign, the right side panels as in dense.hpp, fours of k side by
// side. A scale belongs to a row of the left side and to a column of the product.
#pragma once

#include <array>

#include "dense.hpp"
#include "scan.hpp"

#if defined(S2S_DENSE) && defined(__AVX512VNNI__)
#define S2S_EIGHTS 1
namespace s2s {

constexpr float LARGEST = 127.0f, TINIEST = 1e-38f;
constexpr int OFFSET = 128;  // of a number with a sign on the left side

// The largest of what a scale is for; where one is no number, nor is the scale.
struct Largest {
    vfloat most{}, total{}, none{};
    void see(vfloat x) { most = larger(magnitude(x), most), total += x, none += 0.0f * x; }
    float scale() const { return largest_of<float>(most) / LARGEST + sum_of<float>(none); }
    vfloat scales() const { return most / LARGEST + none; }  // each lane by itself
};
// Of numbers below 1e-36, which become zeros, it would be infinite.
inline float inverse(float scale) { return scale > TINIEST ? 1.0f / scale : 0.0f; }
inline vfloat inverse(vfloat scales) { return scales > TINIEST ? 1.0f / scales : vfloat{}; }

// Multiples of the golden section, less what is before the point: they fill [0, 1) evenly, however many there are.
inline float golden(unsigned i) { return float(uint32_t(i * 2654435769u) >> 8) * (1.0f / float(1 << 24)); }

// Numbers in [0, 1) to be added before what is behind the point is cut off: in a lane each of 64 is 1/64 beyond another, and
// rows are off by less than that, no two alike.
class Dither {
  public:
    static constexpr int COUNT = 64;
    Dither() {
        uint64_t state = 0x9e3779b97f4a7c15u;
        for (int lane = 0; lane < 16; ++lane) {
            for (int i = 0; i < COUNT; ++i) numbers_[size_t(i) * 16 + lane] = float(i) / COUNT;
            for (int i = COUNT - 1; i > 0; --i) {
                state = state * 6364136223846793005u + 1442695040888963407u;
                std::swap(numbers_[size_t(i) * 16 + lane], numbers_[size_t((state >> 33) % uint64_t(i + 1)) * 16 + lane]);
            }
        }
    }
    static const Dither& one() {
        static const Dither dither;
        return dither;
    }
    vfloat at(unsigned row, unsigned vector) const { return load_all(numbers_.data() + size_t((vector + 29 * row) % COUNT) * 16); }
    static float of_row(unsigned row) { return golden(row) / COUNT; }

  private:
    alignas(64) std::array<float, 16 * COUNT> numbers_;
};

// How a vector of a row becomes whole numbers: the nearest ones, or those below or above with the probability of what is left
// over, so that many small ones are not lost together.
struct Nearest {
    __m512i operator()(vfloat x, int) const { return _mm512_cvtps_epi32((__m512)x); }
};
struct Fair {
    const Dither& dither;
    unsigned row;
    vfloat offset;
    __m512i most;  // for which there is room: a largest number may be lifted to the next by the rounding of the sum
    explicit Fair(unsigned r, int largest = int(LARGEST))
        : dither(Dither::one()), row(r), offset(all(Dither::of_row(r))), most(_mm512_set1_epi32(largest)) {}
    __m512i operator()(vfloat x, int vector) const {
        const vfloat lifted = (x + offset) + dither.at(row, unsigned(vector));
        return _mm512_min_epi32(_mm512_cvt_roundps_epi32((__m512)lifted, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC), most);
    }
};

inline int deep_of(int k) { return round_up(k, 64); }

template <class E> inline float scale_of_row(const E* from, int n) {
    Largest largest;
    for (int k = 0; k < n; k += 16) largest.see(load(from + k, n - k));
    return largest.scale();
}

// The numbers of a row, `offset` added, zeros beyond its n; returns their sum without that.
template <class E, class Round>
inline int32_t round_row_to(const E* from, int n, float scale, int offset, void* to, Round round) {
    const float factor = inverse(scale);
    __m512i sum = _mm512_setzero_si512();
    for (int k = 0; k < deep_of(n); k += 16) {
        const __mmask16 there = lanes_below(n - k);
        const __m512i numbers = _mm512_maskz_mov_epi32(there, round((there ? load(from + k, n - k) : vfloat{}) * factor, k / 16));
        sum = _mm512_add_epi32(sum, numbers);
        _mm_storeu_si128((__m128i*)(static_cast<char*>(to) + k),
                         _mm512_cvtepi32_epi8(_mm512_add_epi32(numbers, _mm512_set1_epi32(offset))));
    }
    return _mm512_reduce_add_epi32(sum);
}

// A row as one of a left side, deep_of(n) numbers; returns its scale.
template <class E, class Round> inline float round_left(const E* from, int n, uint8_t* to, Round round) {
    const float scale = scale_of_row(from, n);
    round_row_to(from, n, scale, OFFSET, to, round);
    return scale;
}

// What belongs to the 32 columns of a panel.
struct Columns {
    float* scale;
    int32_t* start;  // of the sums: what the left side's offset makes too much
};

// Rows of a row-major matrix, at most 32, as the columns of a panel of deep_of(n) / 4 groups.
template <class E>
void pack_eights_by_columns(const E* from, int rows, int n, ptrdiff_t stride, int8_t* to, Columns columns) {
    static thread_local Buffer<int8_t> rounded;
    const int deep = deep_of(n);
    at_least(rounded, size_t(DENSE_COLUMNS) * deep);
    for (int i = 0; i < DENSE_COLUMNS; ++i) {
        const int there = i < rows ? n : 0;
        columns.scale[i] = there ? scale_of_row(from + i * stride, n) : 0.0f;
        const int32_t sum = round_row_to(from + i * stride, there, columns.scale[i], 0, rounded(size_t(i) * deep), Nearest{});
        columns.start[i] = int32_t(uint32_t(-OFFSET) * uint32_t(sum));  // of a row that is no number it may not fit
        if (!there) blank(rounded(size_t(i) * deep), size_t(deep));
    }
    for (int half = 0; half < 2; ++half)
        for (int k = 0; k < deep; k += 64) {
            __m512i x[16];
            for (int i = 0; i < 16; ++i) x[i] = _mm512_loadu_si512(rounded(size_t(16 * half + i) * deep + k));
            transpose(x);
            for (int i = 0; i < 16; ++i) _mm512_store_si512(to + size_t(k / 4 + i) * GROUP_BYTES + 64 * half, x[i]);
        }
}

// Rows as they are, rounded to the nearest.
struct Plain {
    vfloat value(int, vfloat x) const { return x; }
    __m512i round(int, vfloat x, int) const { return Nearest{}(x, 0); }
};

// Rows of a row-major matrix as k of a panel of so many groups, of which n columns are there; `total`: the sums of columns.
//
// Rows: value(k, x), what stands for x of row k, and round(k, x, first), whole numbers of those from column `first` on.
template <class E, class Rows = Plain>
void pack_eights_by_rows(const E* from, int rows, int n, ptrdiff_t stride, int groups, int8_t* to, Columns columns,
                         float* total = nullptr, Rows how = {}) {
    for (int half = 0; half < 2; ++half) {
        const int first = 16 * half, lanes = n - first, there = lanes > 0 ? rows : 0;
        Largest largest;
        for (int k = 0; k < there; ++k) largest.see(how.value(k, load(from + k * stride + first, lanes)));
        const vfloat scales = largest.scales(), factors = inverse(scales);
        __m512i sum = _mm512_setzero_si512();
        for (int group = 0; group < groups; ++group) {
            __m512i four = _mm512_setzero_si512();
            for (int i = 0; i < 4; ++i) {
                const int k = 4 * group + i;
                if (k >= there) break;
                const __m512i numbers = how.round(k, how.value(k, load(from + k * stride + first, lanes)) * factors, first);
                sum = _mm512_add_epi32(sum, numbers);
                four = _mm512_or_si512(
                    four, _mm512_sllv_epi32(_mm512_and_si512(numbers, _mm512_set1_epi32(0xff)), _mm512_set1_epi32(8 * i)));
            }
            _mm512_store_si512(to + size_t(group) * GROUP_BYTES + 64 * half, four);
        }
        store_all(columns.scale + first, scales);
        if (columns.start)
            _mm512_storeu_si512(columns.start + first, _mm512_mullo_epi32(sum, _mm512_set1_epi32(-OFFSET)));
        if (total) store_all(total + first, largest.total);
    }
}

}  // namespace s2s
#endif
