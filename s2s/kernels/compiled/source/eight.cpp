// Rows of floats to numbers in 8 bits, and products of such numbers back in float.
#include "eight.hpp"

namespace s2s {

template <class F> inline void over(int rows, int threads, F run) {
    const int parts = std::max(1, std::min(threads, rows));
#ifdef _OPENMP
#pragma omp parallel for num_threads(parts) schedule(static, 1)
#endif
    for (int part = 0; part < parts; ++part)
        for (int row = int(long(rows) * part / parts); row < int(long(rows) * (part + 1) / parts); ++row) run(row);
}

void scale_row(int width, float scale, const int32_t* numbers, const float* scales, const float* bias, float* out) {
    if (!bias) {
#pragma omp simd
        for (int i = 0; i < width; ++i) out[i] = float(numbers[i]) * (scale * scales[i]);
        return;
    }
#pragma omp simd
    for (int i = 0; i < width; ++i) out[i] = float(numbers[i]) * (scale * scales[i]) + bias[i];
}

}  // namespace s2s

extern "C" void round_rows_float32(int rows, int width, const int64_t*, int threads, const float* x, const float* least,
                                   int8_t* out, float* scale) {
    s2s::over(rows, threads, [&](int row) {
        s2s::round_row(width, *least, x + long(row) * width, out + long(row) * width, scale + row);
    });
}

extern "C" void scale_rows_float32(int rows, int width, const int64_t*, int threads, const float* scale_R,
                                   const int32_t* numbers, const float* scale_V, const float* bias, float* out) {
    s2s::over(rows, threads, [&](int row) {
        s2s::scale_row(width, scale_R[row], numbers + long(row) * width, scale_V, bias, out + long(row) * width);
    });
}
