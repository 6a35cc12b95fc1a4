// Products with few inputs: x W^T + b over all steps, and its two gradients in one pass. With one or two inputs they
// cost what it costs to write and read the gates; general matrix products cost three to nine times that.
#include "scan.hpp"

namespace s2s {

constexpr int BLOCK = 256;  // rows summed in T before they are added to the sums in double

template <class S> class Thin {
    typedef typename StateOf<S>::type T;
    const int inputs, gates, wide;
    Buffer<T> weight;  // W^T, inputs x gates, each row filled to whole vectors

  public:
    Thin(const S* source, int inputs, int gates)
        : inputs(inputs), gates(gates), wide(round_up(gates, LANES<T>)), weight(size_t(inputs) * wide) {
        for (int g = 0; g < gates; ++g)
            for (int i = 0; i < inputs; ++i) *weight(size_t(i) * wide + g) = widen(source[size_t(g) * inputs + i]);
    }

    void project(const S* x, const T* bias, S* out, long rows) const {
        for (long row = 0; row < rows; ++row, x += inputs, out += gates)
            for (int g = 0; g < gates; g += LANES<T>) {
                int n = std::min(LANES<T>, gates - g);
                V<T> sum = load(bias + g, n);
                for (int i = 0; i < inputs; ++i) sum += widen(x[i]) * load_all(weight(size_t(i) * wide + g));
                store(out + g, sum, n);
            }
    }

    // dx may be null. dweight: inputs x gates, added to.
    void backward(const S* d, const S* x, S* dx, double* dweight, long rows) const {
        Buffer<T> sums(size_t(inputs) * wide);
        Buffer<V<T>> parts(inputs);
        for (long row = 0; row < rows; ++row, x += inputs, d += gates) {
            for (int i = 0; i < inputs; ++i) *parts(i) = V<T>{};
            for (int g = 0; g < gates; g += LANES<T>) {
                V<T> gate = load(d + g, std::min(LANES<T>, gates - g));
                for (int i = 0; i < inputs; ++i) {
                    *parts(i) += gate * load_all(weight(size_t(i) * wide + g));
                    T* sum = sums(size_t(i) * wide + g);
                    store_all(sum, load_all(sum) + widen(x[i]) * gate);
                }
            }
            if (dx)
                for (int i = 0; i < inputs; ++i, ++dx) {
                    T total = 0;
                    for (int lane = 0; lane < LANES<T>; ++lane) total += (*parts(i))[lane];
                    *dx = narrow(total, S{});
                }
            if (row % BLOCK == BLOCK - 1 || row + 1 == rows) add_up(dweight, sums);
        }
    }

  private:
    void add_up(double* dweight, Buffer<T>& sums) const {
        for (int i = 0; i < inputs; ++i)
            for (int g = 0; g < gates; ++g) dweight[size_t(i) * gates + g] += *sums(size_t(i) * wide + g);
        blank(sums(), sums.size());
    }
};

template <class F> inline void over_rows(long rows, int threads, F run) {
    int parts = int(std::max(1L, std::min(long(threads), rows / BLOCK)));
#ifdef _OPENMP
#pragma omp parallel for num_threads(parts) schedule(static, 1)
#endif
    for (int part = 0; part < parts; ++part) run(part, rows * part / parts, rows * (part + 1) / parts);
}

template <class S, class T = typename StateOf<S>::type>
int thin_project(int rows, int inputs, int gates, int threads, const S* x, const S* weight, const T* bias, S* out) {
    Thin<S> thin(weight, inputs, gates);
    over_rows(rows, threads, [&](int, long from, long to) {
        thin.project(x + from * inputs, bias, out + from * gates, to - from);
    });
    return 0;
}

template <class S, class T = typename StateOf<S>::type>
int thin_backward(int rows, int inputs, int gates, int threads, const S* d, const S* x, const S* weight, S* dx, T* dweight) {
    Thin<S> thin(weight, inputs, gates);
    std::vector<Buffer<double>> sums(std::max(1, threads));
    for (auto& sum : sums) sum.resize(size_t(inputs) * gates);
    over_rows(rows, threads, [&](int part, long from, long to) {
        thin.backward(d + from * gates, x + from * inputs, dx ? dx + from * inputs : nullptr, sums[part](), to - from);
    });
    for (int g = 0; g < gates; ++g)
        for (int i = 0; i < inputs; ++i) {
            double total = 0;
            for (const auto& sum : sums) total += sum()[size_t(i) * gates + g];
            dweight[size_t(g) * inputs + i] = T(total);
        }
    return 0;
}

}  // namespace s2s

#define S2S_DEFINE(NAME, S, T)                                                                                             \
    extern "C" int thin_project_##NAME(int rows, int inputs, int gates, const int64_t*, int threads, const S* x,          \
                                       const S* weight, const T* bias, S* out) {                                          \
        return s2s::thin_project<S>(rows, inputs, gates, threads, x, weight, bias, out);                                  \
    }                                                                                                                     \
    extern "C" int thin_backward_##NAME(int rows, int inputs, int gates, const int64_t*, int threads, const S* d,         \
                                        const S* x, const S* weight, S* dx, T* dweight) {                                 \
        return s2s::thin_backward<S>(rows, inputs, gates, threads, d, x, weight, dx, dweight);                            \
    }
S2S_DEFINE(float32, float, float)
S2S_DEFINE(float64, double, double)
S2S_DEFINE(bfloat16, s2s::bf16, float)
