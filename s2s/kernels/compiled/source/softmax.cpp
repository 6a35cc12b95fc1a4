// Rows of logits into their cross-entropies and, where they stand, the gradient of these.
#include <limits>

#include "scan.hpp"

namespace s2s {

// One row: z + bias = x; nll = log sum e^x - x_y, spread = log sum e^x - mean x;
// z <- softmax(x) - (1 - e) onehot(y) - e / V, which is added to d_bias before it is rounded.
template <class S, class T = typename StateOf<S>::type>
void softmax_row(int V_, S* z, const T* bias, int64_t y, T smoothing, T* x, T* d_bias, T* nll, T* spread) {
    V<T> most = all(-std::numeric_limits<T>::infinity()), total{};
    for (int j = 0; j < V_; j += LANES<T>) {
        const int n = std::min(LANES<T>, V_ - j);
        V<T> now = load(z + j, n) + load(bias + j, n);
        total += now;
        for (int i = n; i < LANES<T>; ++i) now[i] = -std::numeric_limits<T>::infinity();
        store_all(x + j, now);
        most = larger(now, most);
    }
    const T shift = largest_of<T>(most), chosen = x[y];
    V<T> sums{};
    for (int j = 0; j < V_; j += LANES<T>) {
        V<T> e = exp(load_all(x + j) - shift);
        store_all(x + j, e);
        sums += e;
    }
    const T sum = sum_of<T>(sums), norm = std::log(sum) + shift, scale = T(1) / sum, even = smoothing / T(V_);
    *nll = norm - chosen;
    *spread = norm - sum_of<T>(total) / T(V_);
    x[y] -= (T(1) - smoothing) * sum;
    for (int j = 0; j < V_; j += LANES<T>) {
        const int n = std::min(LANES<T>, V_ - j);
        V<T> g = load_all(x + j) * scale - even;
        store(z + j, g, n);
        store(d_bias + j, load(d_bias + j, n) + g, n);
    }
}

// d_bias is added to; nll and spread have a number a row.
template <class S, class T = typename StateOf<S>::type>
void softmax_rows(int rows, int V_, int threads, S* z, const T* bias, const int64_t* target, const T* smoothing, T* d_bias,
                  T* nll, T* spread) {
    const int parts = std::max(1, std::min(threads, rows));
    std::vector<std::vector<T>> sums(parts);
#ifdef _OPENMP
#pragma omp parallel for num_threads(parts) schedule(static, 1)
#endif
    for (int part = 0; part < parts; ++part) {
        std::vector<T> x(size_t(round_up(V_, LANES<T>)));
        sums[part].assign(size_t(V_), T(0));
        for (int row = int(long(rows) * part / parts); row < int(long(rows) * (part + 1) / parts); ++row)
            softmax_row<S>(V_, z + size_t(row) * V_, bias, target[row], *smoothing, x.data(), sums[part].data(), nll + row,
                           spread + row);
    }
    for (int part = 0; part < parts; ++part)
        for (int j = 0; j < V_; ++j) d_bias[j] += sums[part][j];
}

}  // namespace s2s

#define S2S_DEFINE(NAME, S, T)                                                                                            \
    extern "C" void softmax_rows_##NAME(int rows, int vocabulary, const int64_t*, int threads, S* z, const T* bias,      \
                                        const int64_t* target, const T* smoothing, T* d_bias, T* nll, T* spread) {       \
        s2s::softmax_rows<S>(rows, vocabulary, threads, z, bias, target, smoothing, d_bias, nll, spread);                 \
    }
S2S_DEFINE(float32, float, float)
S2S_DEFINE(float64, double, double)
S2S_DEFINE(bfloat16, s2s::bf16, float)
