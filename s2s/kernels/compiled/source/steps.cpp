// What Python calls of the decoder's programs: one step, a greedy search from its beginning to its end, and the packing of
// matrices.
#include "greedy.hpp"
#include "steps.hpp"

extern "C" void decode_step_float32(int rows, int beams, int positions, int state_size, int width, int count, int vocabulary,
                                    int context_size, const int64_t*, int threads, const float* before, const int64_t* tokens,
                                    const s2s::Instruction* program, const float* keys, const float* values,
                                    const uint8_t* mask, const float* context, const int64_t* place, float* after,
                                    float* logits) {
    s2s::step(rows, threads, {beams, positions, keys, values, mask, context, context_size, place},
              {size_t(state_size), size_t(width), count, program, vocabulary}, before, tokens, after, logits);
}

extern "C" void decode_greedily_float32(int rows, int positions, int state_size, int width, int count, int vocabulary,
                                        int context_size, int bos, int eos, int longest, int forbidden_count, const int64_t*,
                                        int threads, const float* first, const s2s::Instruction* program, const float* keys,
                                        const float* values, const uint8_t* mask, const float* context, const int64_t* room,
                                        const int64_t* forbidden, const int64_t* meaning, int64_t* tokens, float* gains) {
    s2s::greedily(rows, threads, {1, positions, keys, values, mask, context, context_size, nullptr},
                  {size_t(state_size), size_t(width), count, program, vocabulary}, first,
                  {bos, eos, longest, room, forbidden, forbidden_count, meaning}, tokens, gains);
}

extern "C" int steps_packs() { return s2s::PACKS; }

extern "C" void pack_float32(int N, int K, const int64_t*, int, const float* w, float* out) {
    s2s::pack(K, N, 1, w, out, [](float x) { return x; });
}

extern "C" void pack_bfloat16(int N, int K, const int64_t*, int, const s2s::bf16* w, s2s::bf16* out) {
    s2s::pack(K, N, 2, w, out, [](s2s::bf16 x) { return x; });
}

extern "C" void pack_int8(int N, int K, const int64_t*, int, const int8_t* w, int8_t* out) {
    s2s::pack(K, N, s2s::FOUR, w, out, [](int8_t x) { return int8_t(x ^ 0x80); });
}
