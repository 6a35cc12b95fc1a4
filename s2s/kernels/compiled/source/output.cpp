// The output layer with its cross-entropy in one call, with products in bfloat16 or in 8 bits.
#include "output_eight.hpp"
#include "output_pairs.hpp"

#if defined(S2S_DENSE)
extern "C" void output_layer_bfloat16(int rows, int features, int vocabulary, const int64_t*, int threads,
                                      const s2s::bf16* left, const float* weight, const float* bias, const int64_t* target,
                                      const float* smoothing, float* d_features, float* d_weight, float* d_bias, float* nll,
                                      float* spread) {
    s2s::output_layer<s2s::InPairs>({rows, features, vocabulary, std::max(1, threads)}, left, weight,
                                    {bias, target, *smoothing, nll, spread}, {d_features, d_weight, d_bias});
}
#endif
#if defined(S2S_EIGHTS)
extern "C" void output_layer_eight_bfloat16(int rows, int features, int vocabulary, const int64_t*, int threads,
                                            const s2s::bf16* left, const float* weight, const float* bias,
                                            const int64_t* target, const float* smoothing, float* d_features, float* d_weight,
                                            float* d_bias, float* nll, float* spread) {
    s2s::output_layer<s2s::InEights>({rows, features, vocabulary, std::max(1, threads)}, left, weight,
                                     {bias, target, *smoothing, nll, spread}, {d_features, d_weight, d_bias});
}
#endif
