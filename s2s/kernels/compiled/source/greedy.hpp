// Greedy search from the first token of every sentence to its last, without a word to Python in between: the program of a
// step, the choice of the likeliest token, and who goes on. A thread goes all the way with sentences of its own.
#pragma once

#include <numeric>

#include "likeliest.hpp"
#include "steps.hpp"

namespace s2s {

struct Way {
    int64_t bos, eos;
    int longest;             // columns of tokens and gains: the most room, and one
    const int64_t* room;     // tokens that a sentence may have before its end
    const int64_t* forbidden;
    int forbidden_count;
    const int64_t* meaning;  // of what is written, for the embedding; null: itself
};

// Room that a thread keeps from one search to the next, since new pages cost more than what is written to them; of what is
// larger than this it keeps nothing.
constexpr size_t KEPT_FLOATS = size_t(1) << 22;

inline float* kept_room(std::vector<float>& room, size_t n) {
    if (room.size() < n || room.size() > KEPT_FLOATS) std::vector<float>(n).swap(room);
    return room.data();
}

// tokens, gains: (sentences, longest); what stands behind a sentence's end is left as it is.
inline void go(std::vector<int64_t> place, int threads, Source source, const Program& program, const float* first, const Way& way,
               int64_t* tokens, float* gains) {
    const size_t size = program.state_size, V_ = size_t(program.vocabulary);
    std::vector<int64_t> last(place.size(), way.bos);
    static thread_local std::vector<float> kept_state, kept_logits, kept_row;
    float* state = kept_room(kept_state, place.size() * size);
    float* logits = kept_room(kept_logits, place.size() * V_);
    float* scratch = kept_room(kept_row, size_t(round_up(int(V_), LANES<float>)));
    for (size_t r = 0; r < place.size(); ++r) std::memcpy(state + r * size, first + size_t(place[r]) * size, size * sizeof(float));
    for (int position = 0; !place.empty(); ++position) {
        const int rows = int(place.size());
        source.place = place.data();
        some_steps(0, rows, rows > FEW_ROWS ? 1 : threads, source, program, state, last.data(), state, logits);
        size_t left = 0;
        for (int r = 0; r < rows; ++r) {
            const int64_t sentence = place[r];
            const size_t at = size_t(sentence) * size_t(way.longest) + size_t(position);
            const float none = 0;
            likeliest_of<float>(1, int(V_), logits + size_t(r) * V_, &none, way.forbidden, way.forbidden_count,
                                Best<float>{1, gains + at, tokens + at}, scratch);
            const int64_t token = tokens[at];
            if (token == way.eos || position >= way.room[sentence]) continue;
            if (left != size_t(r)) std::memcpy(state + left * size, state + size_t(r) * size, size * sizeof(float));
            place[left] = sentence;
            last[left++] = way.meaning ? way.meaning[token] : token;
        }
        place.resize(left);
    }
}

// Sentences are dealt to the threads in the order of their room, which follows their length, so that all have as much to do.
inline void greedily(int sentences, int threads, const Source& source, const Program& program, const float* first, const Way& way,
                     int64_t* tokens, float* gains) {
    std::vector<int64_t> order(static_cast<size_t>(sentences));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return way.room[a] > way.room[b]; });
    const int parts = sentences > FEW_ROWS ? std::max(1, std::min(threads, sentences / FEW_ROWS)) : 1;
    // Not in a team of one: inside of it, the products of few rows could not share the team that waits, and made a new one each.
    if (parts == 1) return go(std::move(order), threads, source, program, first, way, tokens, gains);
    std::vector<std::vector<int64_t>> dealt(static_cast<size_t>(parts));
    for (size_t i = 0; i < order.size(); ++i) dealt[i % dealt.size()].push_back(order[i]);
#ifdef _OPENMP
#pragma omp parallel for num_threads(parts) schedule(static, 1)
#endif
    for (int part = 0; part < parts; ++part) go(std::move(dealt[size_t(part)]), 1, source, program, first, way, tokens, gains);
}

}  // namespace s2s
