// Rows of numbers in 8 bits, and products of such numbers back in float.
#include <algorithm>
#include <cmath>
#include <cstdint>

namespace s2s {

template <class F> inline void over(int rows, int threads, F run) {
    const int parts = std::max(1, std::min(threads, rows));
#ifdef _OPENMP
#pragma omp parallel for num_threads(parts) schedule(static, 1)
#endif
    for (int part = 0; part < parts; ++part)
        for (int row = int(long(rows) * part / parts); row < int(long(rows) * (part + 1) / parts); ++row) run(row);
}

// scale = max |x| / 127 of the row, out = x / scale rounded to even; a row of zeros has the scale `least`.
void round_row(int width, float least, const float* x, int8_t* out, float* scale) {
    float most = 0;
    bool number = true;
#pragma omp simd reduction(max : most) reduction(&& : number)
    for (int i = 0; i < width; ++i) {
        const float size = std::fabs(x[i]);
        number = number && size == size;
        most = std::max(most, size);
    }
    *scale = number ? std::max(most, least) / 127 : NAN;
#pragma omp simd
    for (int i = 0; i < width; ++i) out[i] = number ? int8_t(std::nearbyint(x[i] / *scale)) : int8_t(0);
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
