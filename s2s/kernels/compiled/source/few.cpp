// Products of a few rows, as functions of their own.
#include "few.hpp"

extern "C" void few_half_float32(int rows, int K, int N, const int64_t*, int threads, const float* x, const s2s::bf16* w,
                                 const float* bias, float* y) {
    s2s::few_product(rows, K, N, threads, w, {x, size_t(K), y, size_t(N), bias, false});
}

extern "C" void few_eight_float32(int rows, int K, int N, const int64_t*, int threads, const float* scale_R, const int8_t* x,
                                  const int8_t* w, const float* scale_N, const float* bias, float* y) {
    s2s::few_eight_product(rows, K, N, threads, {scale_R, x, w, scale_N}, {nullptr, 0, y, size_t(N), bias, false});
}
