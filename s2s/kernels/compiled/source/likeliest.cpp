// The choice for all beams of a search.
#include <vector>

#include "likeliest.hpp"

namespace s2s {

template <class S, class T = typename StateOf<S>::type>
void likeliest(int beams, int width, int V_, int count, int forbidden_count, int threads, const S* z, const T* score,
               const int64_t* forbidden, T* out_score, int64_t* out_place) {
    const int parts = std::max(1, std::min(threads, beams));
#ifdef _OPENMP
#pragma omp parallel for num_threads(parts) schedule(static, 1)
#endif
    for (int part = 0; part < parts; ++part) {
        static thread_local std::vector<T> x;  // kept: to fill it with zeros each time costs more than a step of it
        if (x.size() < size_t(round_up(V_, LANES<T>))) x.resize(size_t(round_up(V_, LANES<T>)));
        for (int b = int(long(beams) * part / parts); b < int(long(beams) * (part + 1) / parts); ++b) {
            const size_t row = size_t(b) * width, at = size_t(b) * count;
            Best<T> best{count, out_score + at, out_place + at};
            likeliest_of<S>(width, V_, z + row * V_, score + row, forbidden, forbidden_count, best, x.data());
        }
    }
}

}  // namespace s2s

#define S2S_DEFINE(NAME, S, T)                                                                                             \
    extern "C" void likeliest_##NAME(int beams, int width, int vocabulary, int count, int forbidden_count, const int64_t*, \
                                     int threads, const S* z, const T* score, const int64_t* forbidden, T* out_score,      \
                                     int64_t* out_place) {                                                                 \
        s2s::likeliest<S>(beams, width, vocabulary, count, forbidden_count, threads, z, score, forbidden, out_score,       \
                          out_place);                                                                                      \
    }
S2S_DEFINE(float32, float, float)
S2S_DEFINE(float64, double, double)
S2S_DEFINE(bfloat16, s2s::bf16, float)
