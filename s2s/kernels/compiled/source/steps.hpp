// One step of a decoder as a program that s2s/kernels/steps.py writes: a list of instructions over registers of floats, one
// set of registers a row. What torch would do in some forty calls is one call, so that an answer to one sentence costs what it
// costs to read the weights, and one to a batch what its products cost. Rows are independent, so threads share them.
#pragma once

#include <vector>

#include "attend.hpp"
#include "eight.hpp"
#include "packed.hpp"

namespace s2s {

// As written by `Program`: the order of `Do` and of the fields is part of the agreement.
enum Do : int64_t {
    EMBED, CONTEXT, PRODUCT, EMIT, COPY, ADD, MULTIPLY, TANH, RELU, SIGMOID, GRU, FINISH, LSTM, RWA, AVERAGE, ATTEND
};

struct Instruction {
    int64_t kind;
    int64_t from, in, to, out;  // registers, with the widths of what is read and written
    int64_t extra, more;
    const void *a, *b, *c;
};

struct Source {
    int beams, positions;
    const float *keys, *values;
    const uint8_t* mask;
    const float* context;
    int context_size;
    const int64_t* place;  // of each sentence that is left among all of them; null where all are

    size_t sentence(int row) const { return place ? size_t(place[row / beams]) : size_t(row / beams); }
};

template <class F> inline void each(float* x, int64_t width, F f) {
    by_lanes(width, [&](int j, int n) { store(x + j, f(load(x + j, n)), n); });
}

// From the query's registers to those of the context.
inline void look(const Instruction& now, const Source& source, int row, float* registers, float* weights) {
    const int S_ = source.positions, A = int(now.in), E = int(now.out);
    const size_t sentence = source.sentence(row);
    attend({S_, A, E, source.keys + sentence * S_ * A, source.values + sentence * S_ * E, source.mask + sentence * S_,
            static_cast<const float*>(now.a)},
           registers + now.from, weights, registers + now.to);
}

// g holds r, z and n's first part, u the products of h with U and its biases.
inline void gru(const float* g, const float* u, float* h, int H) {
    by_lanes(H, [&](int j, int n) {
        vfloat reset = sigmoid(load(g + j, n) + load(u + j, n)), keep = sigmoid(load(g + H + j, n) + load(u + H + j, n));
        vfloat fresh = tanh(load(g + 2 * H + j, n) + reset * load(u + 2 * H + j, n));
        store(h + j, fresh + keep * (load(h + j, n) - fresh), n);
    });
}

// Gates i, f, g, o, or i, g, o without a forget gate; peepholes p_i, p_f, p_o.
inline void lstm(const float* g, float* h, float* c, const float* peephole, bool forgets, int H) {
    const float *i_ = g, *f_ = g + H, *g_ = g + (1 + forgets) * H, *o_ = g_ + H;
    by_lanes(H, [&](int j, int n) {
        vfloat old = load(c + j, n), in = load(i_ + j, n), out = load(o_ + j, n), forget = load(f_ + j, n);
        if (peephole) in += load(peephole + j, n) * old;
        if (peephole && forgets) forget += load(peephole + H + j, n) * old;
        vfloat kept = forgets ? sigmoid(forget) * old : old;
        vfloat next = kept + sigmoid(in) * tanh(load(g_ + j, n));
        if (peephole) out += load(peephole + (1 + forgets) * H + j, n) * next;
        store(c + j, next, n);
        store(h + j, sigmoid(out) * tanh(next), n);
    });
}

// u, g, a; the state is h, v, l one behind the other.
inline void rwa(const float* g, float* h, int H) {
    float *v = h + H, *l = v + H;
    by_lanes(H, [&](int j, int n) {
        vfloat a = load(g + 2 * H + j, n), old = load(l + j, n), mean = load(v + j, n);
        vfloat z = load(g + j, n) * tanh(load(g + H + j, n));
        mean += sigmoid(a - old) * (z - mean);
        store(v + j, mean, n);
        store(h + j, tanh(mean), n);
        store(l + j, larger(a, old) + log1p_unit(exp(-magnitude(a - old))), n);
    });
}

// mu <- alpha mu + (1 - alpha) phi for each of the decays.
inline void average(const float* phi, float* mu, const float* decay, int decays, int P) {
    for (int d = 0; d < decays; ++d, mu += P)
        by_lanes(P, [&](int j, int n) {
            store(mu + j, decay[d] * load(mu + j, n) + (1 - decay[d]) * load(phi + j, n), n);
        });
}

struct Scratch {
    std::vector<float> registers, weights, scales;
    std::vector<int8_t> numbers;
    template <class E> static E* of(std::vector<E>& v, size_t n) {
        if (v.size() < n) v.resize(n);
        return v.data();
    }
};

// Matrices, as `Program` numbers them: in 8 bits there is a scale a row, and packed is `packed.hpp`.
enum Kept : int64_t { FLOAT, HALF, EIGHT, PACKED_HALF, PACKED_EIGHT, PACKED_FLOAT };

inline void multiply(const Instruction& now, int rows, int threads, const float* x, size_t x_apart, float* y, size_t y_apart, bool add,
              Scratch& scratch) {
    const int K = int(now.in), N = int(now.out);
    const Lines lines{x, x_apart, y, y_apart, static_cast<const float*>(now.c), add};
    const int alone = size_t(K) * N < (1 << 18) ? 1 : threads;  // what a second thread costs is not worth it for less
    if (now.more == FLOAT) return few_product(rows, K, N, alone, static_cast<const float*>(now.a), lines);
    if (now.more == HALF) return few_product(rows, K, N, alone, static_cast<const bf16*>(now.a), lines);
    if (now.more == PACKED_FLOAT) return packed_single(rows, K, N, alone, now.a, lines);
    if (now.more == PACKED_HALF) {
        size_t apart;
        const bf16* narrow_x = rounded_rows(lines, rows, K, apart);
        return packed_half(rows, K, N, alone, narrow_x, apart, now.a, lines);
    }
    const size_t apart = now.more == EIGHT ? size_t(K) : size_t(round_up(K, FOUR));
    int8_t* numbers = Scratch::of(scratch.numbers, size_t(rows) * apart);
    float* scales = Scratch::of(scratch.scales, size_t(rows));
    for (int r = 0; r < rows; ++r) {
        int8_t* row = numbers + size_t(r) * apart;
        round_row(K, std::numeric_limits<float>::min(), x + size_t(r) * x_apart, row, scales + r);
        blank(row + K, apart - K);
    }
    const float* scale_N = static_cast<const float*>(now.b);
    if (now.more == EIGHT)
        few_eight_product(rows, K, N, alone, {scales, numbers, static_cast<const int8_t*>(now.a), scale_N}, lines);
    else
        packed_eight(rows, K, N, alone, scales, numbers, apart, now.a, scale_N, lines);
}

inline void embed(const Instruction& now, int64_t token, float* to) {
    const size_t at = size_t(token) * size_t(now.out);
    if (now.more == 0)
        std::memcpy(to, static_cast<const float*>(now.a) + at, size_t(now.out) * sizeof(float));
    else
        copy(to, static_cast<const bf16*>(now.a) + at, size_t(now.out));
}

// What an instruction does to one row.
inline void one_row(const Instruction& now, const Source& source, int row, int64_t token, float* r, Scratch& scratch) {
    const int64_t from = now.from, to = now.to, out = now.out;
    switch (now.kind) {
        case EMBED: return embed(now, token, r + to);
        case CONTEXT: return copy(r + to, source.context + source.sentence(row) * source.context_size, size_t(out));
        case COPY: return copy(r + to, r + from, size_t(out));
        case ADD: return by_lanes(out, [&](int j, int n) { store(r + to + j, load(r + to + j, n) + load(r + from + j, n), n); });
        case TANH: return each(r + to, out, [](vfloat x) { return tanh(x); });
        case RELU: return each(r + to, out, [](vfloat x) { return relu(x); });
        case SIGMOID: return each(r + to, out, [](vfloat x) { return sigmoid(x); });
        case GRU: return gru(r + from, r + now.extra, r + to, int(out));
        case MULTIPLY: return by_lanes(out, [&](int j, int n) { store(r + to + j, load(r + to + j, n) * load(r + from + j, n), n); });
        case FINISH:  // z, n, h
            return by_lanes(out, [&](int j, int n) {
                vfloat fresh = tanh(load(r + now.extra + j, n)), keep = load(r + from + j, n);
                store(r + to + j, fresh + keep * (load(r + to + j, n) - fresh), n);
            });
        case LSTM:
            return lstm(r + from, r + to, r + now.extra, static_cast<const float*>(now.a), now.more != 0, int(out));
        case RWA: return rwa(r + from, r + to, int(out));
        case AVERAGE: return average(r + from, r + to, static_cast<const float*>(now.a), int(now.extra), int(out));
        case ATTEND: return look(now, source, row, r, Scratch::of(scratch.weights, size_t(source.positions)));
    }
}

struct Program {
    size_t state_size, width;
    int count;
    const Instruction* first;
    int vocabulary;
};

// The rows from `begin` to before `end`.
inline void some_steps(int begin, int end, int threads, const Source& source, const Program& program, const float* before,
                const int64_t* tokens, float* after, float* logits) {
    static thread_local Scratch scratch;
    const int rows = end - begin;
    const size_t width = program.width, size = program.state_size * sizeof(float);
    float* registers = Scratch::of(scratch.registers, size_t(rows) * width);
    for (int r = 0; r < rows; ++r) std::memcpy(registers + size_t(r) * width, before + size_t(begin + r) * program.state_size, size);
    for (const Instruction* now = program.first; now < program.first + program.count; ++now) {
        if (now->kind == PRODUCT)
            multiply(*now, rows, threads, registers + now->from, width, registers + now->to, width, now->extra != 0, scratch);
        else if (now->kind == EMIT)
            multiply(*now, rows, threads, registers + now->from, width, logits + size_t(begin) * size_t(program.vocabulary),
                     size_t(program.vocabulary), false, scratch);
        else
            for (int r = 0; r < rows; ++r) one_row(*now, source, begin + r, tokens[begin + r], registers + size_t(r) * width, scratch);
    }
    for (int r = 0; r < rows; ++r) std::memcpy(after + size_t(begin + r) * program.state_size, registers + size_t(r) * width, size);
}

// A few rows share each product among the threads, many are shared out.
inline void step(int rows, int threads, const Source& source, const Program& program, const float* before, const int64_t* tokens,
          float* after, float* logits) {
    const int parts = rows > FEW_ROWS ? std::max(1, std::min(threads, rows / FEW_ROWS)) : 1;
    if (parts == 1) return some_steps(0, rows, rows > FEW_ROWS ? 1 : threads, source, program, before, tokens, after, logits);
#ifdef _OPENMP
#pragma omp parallel for num_threads(parts) schedule(static, 1)
#endif
    for (int part = 0; part < parts; ++part)
        some_steps(int(long(rows) * part / parts), int(long(rows) * (part + 1) / parts), 1, source, program, before, tokens, after,
                   logits);
}

}  // namespace s2s
