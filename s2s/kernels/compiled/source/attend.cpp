// Attention of many queries, each to its own sentence.
#include "attend.hpp"

extern "C" void attend_float32(int rows, int sentences, int positions, int A, int E, const int64_t*, int threads, const float* query,
                               const float* keys, const float* values, const uint8_t* mask, const float* energy,
                               float* context, float* weights) {
    const int each = rows / sentences;
    const int parts = std::max(1, std::min(threads, rows));
#ifdef _OPENMP
#pragma omp parallel for num_threads(parts) schedule(static, 1)
#endif
    for (int part = 0; part < parts; ++part)
        for (int row = int(long(rows) * part / parts); row < int(long(rows) * (part + 1) / parts); ++row) {
            const size_t at = size_t(row / each) * positions;
            s2s::attend({positions, A, E, keys + at * A, values + at * E, mask + at, energy}, query + size_t(row) * A,
                        weights + size_t(row) * positions, context + size_t(row) * E);
        }
}
