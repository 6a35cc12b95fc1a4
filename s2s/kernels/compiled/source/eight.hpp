// Rows of numbers in 8 bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace s2s {

// scale = max |x| / 127 of the row, out = x / scale rounded to even; a row of zeros has the scale `least`.
inline void round_row(int width, float least, const float* x, int8_t* out, float* scale) {
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

}  // namespace s2s
