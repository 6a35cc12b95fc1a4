// The likeliest next tokens of a beam: log softmax and the choice among all its hypotheses in one reading of the logits.
#pragma once

#include <limits>

#include "scan.hpp"

namespace s2s {

template <class T> constexpr T NOTHING = -std::numeric_limits<T>::infinity();

// The best so far, in falling order; of equals the one that came first stays in front.
template <class T> struct Best {
    const int count;
    T* score;
    int64_t* place;

    void offer(T value, int64_t where) {
        if (!(value > score[count - 1])) return;
        int at = count - 1;
        for (; at > 0 && value > score[at - 1]; --at) score[at] = score[at - 1], place[at] = place[at - 1];
        score[at] = value, place[at] = where;
    }
    void nothing_is_a_number(int64_t where) {
        for (int i = 0; i < count; ++i) score[i] = std::numeric_limits<T>::quiet_NaN(), place[i] = where;
    }
};

// log sum e^x of a row, which is copied to x, filled up to whole vectors; x of the forbidden is -inf afterwards.
template <class S, class T = typename StateOf<S>::type>
T read_row(int V_, const S* z, const int64_t* forbidden, int forbidden_count, T* x) {
    V<T> most = all(NOTHING<T>);
    for (int j = 0; j < V_; j += LANES<T>) {
        const int n = std::min(LANES<T>, V_ - j);
        V<T> now = load(z + j, n);
        for (int i = n; i < LANES<T>; ++i) now[i] = NOTHING<T>;
        store_all(x + j, now);
        most = larger(now, most);
    }
    const T shift = largest_of<T>(most);
    V<T> sums{};
    for (int j = 0; j < V_; j += LANES<T>) sums += exp(load_all(x + j) - shift);
    for (int i = 0; i < forbidden_count; ++i) x[forbidden[i]] = NOTHING<T>;
    return std::log(sum_of<T>(sums)) + shift;
}

template <class T> bool any_above(V<T> x, T least) {
    bool found = false;
    for (int i = 0; i < LANES<T>; ++i) found |= x[i] > least;
    return found;
}
#if defined(S2S_AVX512)
template <> inline bool any_above<float>(vfloat x, float least) {
    return _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(least), _CMP_GT_OQ) != 0;
}
#endif

// One beam of `width` rows: score + log softmax(z), the best `best.count` of all its rows; a place is row * V + token.
template <class S, class T = typename StateOf<S>::type>
void likeliest_of(int width, int V_, const S* z, const T* score, const int64_t* forbidden, int forbidden_count, Best<T> best,
                  T* x) {
    for (int i = 0; i < best.count; ++i) best.score[i] = NOTHING<T>, best.place[i] = 0;
    for (int row = 0; row < width; ++row, z += V_) {
        if (score[row] == NOTHING<T>) continue;
        const T shift = score[row] - read_row<S>(V_, z, forbidden, forbidden_count, x);
        if (shift != shift) return best.nothing_is_a_number(int64_t(row) * V_);
        for (int j = 0; j < V_; j += LANES<T>) {
            V<T> now = load_all(x + j) + shift;
            if (!any_above<T>(now, best.score[best.count - 1])) continue;
            for (int i = 0; i < LANES<T>; ++i) best.offer(now[i], int64_t(row) * V_ + j + i);
        }
    }
}

}  // namespace s2s
