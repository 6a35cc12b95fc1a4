// The output layer in 8 bits.
//
// With q the rest of the softmax, all tokens but the target, and p the target's probability:
// dF = q W + (p - 1 + e) W_y - e mean W, and dW = q^T F + onehot(y)^T (p - 1 + e) F - e / V 1^T F.
// The target's part and the smoothing's are exact: where p is nearly 1, they are what is left of one another. The products
// with q are in 8 bits. A row of q has a scale and no sign, and is rounded up or down with the probability of what is left
// over, or small numbers, which are most of it, would vanish. That adds less than a hundredth to the variance that the
// gradient has anyway from the target, which is one token and not its distribution: q (1 - q) of a number in the one, at most
// q times a step of 1/255 in the other. F has a scale a row in the logits; in dW, where rows are summed over, the scales of q
// go into its rows before these are rounded in the same way. W has a scale a token in the logits, and one a feature and block
// of tokens in dF.
#pragma once

#include "output_eight_weight.hpp"

#if defined(S2S_EIGHTS)
namespace s2s {

constexpr float STEPS = 255.0f;     // of the largest of a row of q
constexpr float NO_LOGIT = -1e30f;  // of what has no probability

// n: a multiple of 32.
inline float largest_logit(const bf16* z, int n) {
    vfloat even = all(NO_LOGIT), odd = even;
    for (int j = 0; j < n; j += 32) {
        const __m512i two = _mm512_loadu_si512(z + j);
        even = larger((vfloat)_mm512_slli_epi32(two, 16), even);
        odd = larger((vfloat)_mm512_and_si512(two, _mm512_set1_epi32(int(0xffff0000u))), odd);
    }
    return largest_of<float>(larger(even, odd));
}

// Rows whose numbers are multiplied by one of their own, and rounded fairly.
struct Weighted {
    const float* weight;
    int column;
    vfloat value(int row, vfloat x) const { return x * weight[row]; }
    // Not by the pattern of q, with which it would go together.
    __m512i round(int row, vfloat x, int first) const { return Fair{unsigned(17 * row + 5)}(x, (column + first) / 16); }
};

class InEights {
  public:
    static constexpr int GROUP = 4;  // rows of q side by side

    void fit(const Shape& s) {
        const size_t tokens = size_t(s.tokens()), wide = size_t(s.wide()), chunk = size_t(s.chunk()), kept = size_t(s.kept());
        weight_.fit(s);
        at_least(left_, chunk * deep_of(s.features)), at_least(left_scale_, chunk), at_least(q_, chunk * tokens);
        at_least(across_, kept * tokens), at_least(step_, kept), at_least(small_step_, kept), at_least(pull_, kept);
        at_least(right_, kept * wide), at_least(right_scale_, (kept / DEEP + 1) * wide), at_least(even_, wide);
    }

    void pack(const Shape& s, const float* weight, const float* bias) { weight_.pack(s, weight, bias); }

    void start(int rows) { rows_ = rows; }

    // z of the kept rows from `first` on.
    void logits(const Shape& s, int first, int rows, const float* bias, Workspace& w) {
        const int deep = deep_of(s.features);
        for (int row = 0; row < rows; ++row)
            *left_scale_(row) = round_left(w.left(size_t(first + row) * s.wide()), s.features, left_(size_t(row) * deep), Nearest{});
        const Left left{left_(), deep, 4};
        S2S_PARALLEL
        for (int panel = 0; panel < s.tokens() / DENSE_COLUMNS; ++panel) {
            const int column = panel * DENSE_COLUMNS;
            const Columns columns = weight_.columns(column);
            const Start<Fours> start{_mm512_load_si512(columns.start), _mm512_load_si512(columns.start + 16)};
            const vfloat scale[2] = {load_all(columns.scale), load_all(columns.scale + 16)};
            const vfloat b[2] = {bias_from(bias, column, s.vocabulary), bias_from(bias, column + 16, s.vocabulary)};
            dense_panel<Fours>(0, rows, left, weight_.by_token(column), deep / 4, start,
                               [&](int row, __m512i low, __m512i high) {
                                   const vfloat own = all(left_scale_()[row]);
                                   const vfloat z[2] = {(vfloat)_mm512_cvtepi32_ps(low) * own * scale[0] + b[0],
                                                        (vfloat)_mm512_cvtepi32_ps(high) * own * scale[1] + b[1]};
                                   _mm512_store_si512(w.z(size_t(row) * s.tokens() + column),
                                                      (__m512i)_mm512_cvtne2ps_pbh((__m512)z[1], (__m512)z[0]));
                               });
        }
    }

    // Up to four rows of z, from `row` on: q, by itself and side by side, and what else of their softmax is needed.
    void gradient(const Shape& s, int first, int row, int count, const Loss& loss, Workspace& w) {
        bf16* z[GROUP];
        float largest[GROUP] = {}, chosen[GROUP] = {}, sums[GROUP];
        for (int i = 0; i < GROUP; ++i) {
            z[i] = w.z(size_t(row + i) * s.tokens());
            if (i < count) {
                bf16& own = z[i][loss.target[first + row + i]];
                chosen[i] = widen(own), own = narrow(NO_LOGIT, bf16{});
                largest[i] = largest_logit(z[i], s.tokens());
            } else {
                std::fill(z[i], z[i] + s.tokens(), narrow(NO_LOGIT, bf16{}));
            }
        }
        round_softmax(s, z, largest, first + row, q_(size_t(row) * s.tokens()), sums);
        for (int i = 0; i < count; ++i) {
            const int at = first + row + i;
            finish(sums[i], chosen[i] - largest[i], loss.smoothing, at, loss.nll[at]);
            loss.spread[at] = loss.nll[at] + chosen[i] - weight_.mean_logit(w.left(size_t(at) * s.wide()), s.wide());
        }
    }

    // dF, of the rows from `begin` to before `end`.
    void to_features(const Shape& s, int first, int begin, int end, const Loss& loss, const float* weight, Workspace& w,
                     float* d_features) {
        const int wide = s.wide();
        for (int first_token = 0; first_token < s.tokens(); first_token += TOKENS) {
            const int tokens = std::min(TOKENS, s.tokens() - first_token);
            const Left left{q_(size_t(begin) * s.tokens() + first_token), s.tokens(), 4};
            for (int column = 0; column < wide; column += DENSE_COLUMNS) {
                const float* scale = weight_.feature_scale(s, first_token, column);
                const vfloat scales[2] = {load_all(scale), load_all(scale + 16)};
                dense_panel<Fours>(begin, end, left, weight_.by_feature(s, first_token, column), tokens / 4, {},
                                   [&](int row, __m512i low, __m512i high) {
                                       put(w.d_left(size_t(row) * wide + column), DENSE_COLUMNS, first_token > 0,
                                           (__m512)((vfloat)_mm512_cvtepi32_ps(low) * scales[0]),
                                           (__m512)((vfloat)_mm512_cvtepi32_ps(high) * scales[1]));
                                   });
            }
        }
        for (int row = begin; row < end; ++row) {
            const float* chosen = weight + size_t(loss.target[first + row]) * s.features;
            const float step = step_()[first + row], pull = pull_()[first + row];
            for (int f = 0; f < s.features; f += 16) {
                const int n = s.features - f;
                const vfloat g = load(w.d_left(size_t(row) * wide + f), n) * step + load(chosen + f, n) * pull -
                                 load(weight_.mean() + f, n) * loss.smoothing;
                store(d_features + size_t(row) * s.features + f, g, n);
            }
        }
    }

    // dW and db = or +=, of the kept rows.
    void to_weight(const Shape& s, const Loss& loss, bool add, Workspace& w, const Gradients& to) {
        const Blocks blocks(groups(), DEEP);
        pack_features(s, blocks, w);
        const float share = loss.smoothing / float(s.vocabulary);
        sum_features(s, share, w);
        const float bias_scale = scale_of_row(step_(), rows_);
        round_steps(bias_scale);
        over_tokens(s, [&](int across, int first, int last) {
            const uint8_t* q = across_(size_t(across) * groups() * GROUP * ACROSS);
            to_bias(q, last - first, bias_scale, share * float(rows_), add, to.bias + first);
            for (int i = 0; i < blocks.count; ++i) add_rows(s, q, blocks, i, first, last, add || i > 0, to.weight);
        });
        add_targets(s, loss, w, to);
    }

  private:
    int groups() const { return (rows_ + GROUP - 1) / GROUP; }

    static vfloat bias_from(const float* bias, int first, int vocabulary) {
        const __m512 none = _mm512_set1_ps(NO_LOGIT);
        return (vfloat)_mm512_mask_loadu_ps(none, lanes_below(vocabulary - first), bias + first);
    }

    static Fair fair_of(int row) { return Fair(unsigned(row), int(STEPS)); }

    // e^(z - largest) of four rows, of which `at` is the first: their sums, and their numbers in steps as rows of q and in q^T,
    // which lies panel[group][48][4].
    void round_softmax(const Shape& s, bf16* const z[GROUP], const float largest[GROUP], int at, uint8_t* q, float sums[GROUP]) {
        uint8_t* across = across_(size_t(at) * ACROSS);
        const size_t panel = size_t(groups()) * GROUP * ACROSS;
        const Fair fair[GROUP] = {fair_of(at), fair_of(at + 1), fair_of(at + 2), fair_of(at + 3)};
        vfloat sum[GROUP] = {}, shift[GROUP];
        for (int i = 0; i < GROUP; ++i) shift[i] = all(largest[i]);
        for (int first = 0; first < s.tokens(); first += ACROSS, across += panel) {
            // Where the next group goes: panels lie too far apart for the processor to foresee it.
            for (int line = 0; line < 3; ++line) __builtin_prefetch(across + GROUP * ACROSS + 64 * line, 1, 2);
            for (int j = first; j < first + ACROSS; j += 16) {
                __m512i four = _mm512_setzero_si512();
                S2S_SUMS
                for (int i = 0; i < GROUP; ++i) {
                    const vfloat e = exp(load(z[i] + j, 16) - shift[i]);
                    sum[i] += e;
                    const __m512i steps = fair[i](e * STEPS, j / 16);
                    _mm_storeu_si128((__m128i*)(q + size_t(i) * s.tokens() + j), _mm512_cvtepi32_epi8(steps));
                    four = _mm512_or_si512(four, _mm512_slli_epi32(steps, 8 * i));
                }
                _mm512_store_si512(across + GROUP * (j - first), four);
            }
        }
        for (int i = 0; i < GROUP; ++i) sums[i] = sum_of<float>(sum[i]);
    }

    // With S the sum of all e^(z - largest) but the target's, e^above: what a step of q is, the target's part, and
    // log sum e^z - z_y.
    void finish(float sum, float above, float smoothing, int at, float& nll) {
        float chosen, rest;
        if (above > 0) {  // where e^above may not be a number
            const float part = std::exp(-above);
            nll = std::log1p(sum * part) + 0.0f * above;
            chosen = 1.0f / (1.0f + sum * part) + 0.0f * above, rest = part * chosen;
        } else {
            const float part = std::exp(above);
            nll = std::log(sum + part) - above;
            rest = 1.0f / (sum + part), chosen = part * rest;
        }
        *step_(at) = rest / STEPS;
        *pull_(at) = chosen - (1.0f - smoothing);
    }

    // F of the kept rows as a right side, in steps of q.
    void pack_features(const Shape& s, const Blocks& blocks, Workspace& w) {
        for (int i = 0; i < blocks.count; ++i) {
            const int first = i * blocks.each * GROUP, rows = std::min(blocks.each * GROUP, rows_ - first), deep = (rows + 3) / 4;
            for (int column = 0; column < s.wide(); column += DENSE_COLUMNS)
                pack_eights_by_rows(w.left(size_t(first) * s.wide() + column), rows, DENSE_COLUMNS, s.wide(), deep,
                                    right_(size_t(first) * s.wide() + size_t(column) * deep * GROUP),
                                    {right_scale_(size_t(i) * s.wide() + column), nullptr}, nullptr,
                                    Weighted{step_(first), column});
        }
    }

    void sum_features(const Shape& s, float share, Workspace& w) {
        blank(even_(), size_t(s.wide()));
        for (int row = 0; row < rows_; ++row)
            for (int f = 0; f < s.wide(); f += 16) add(even_(f), load(w.left(size_t(row) * s.wide() + f), 16));
        for (int f = 0; f < s.wide(); ++f) *even_(f) *= share;
    }

    // dW of the tokens from `first` to before `last` = or += what a block of rows gives; the smoothing's part with the first.
    void add_rows(const Shape& s, const uint8_t* q, const Blocks& blocks, int i, int first, int last, bool add, float* d_weight) {
        const int block = i * blocks.each, deep = std::min(blocks.each, groups() - block);
        const Left left{q + size_t(block) * GROUP * ACROSS, GROUP, GROUP * ACROSS};
        for (int column = 0; column < s.wide(); column += DENSE_COLUMNS) {
            const float* scale = right_scale_(size_t(i) * s.wide() + column);
            const vfloat scales[2] = {load_all(scale), load_all(scale + 16)};
            const vfloat even[2] = {i ? vfloat{} : load_all(even_(column)), i ? vfloat{} : load_all(even_(column + 16))};
            const int8_t* right = right_(size_t(block) * GROUP * s.wide() + size_t(column) * deep * GROUP);
            dense_panel<Fours>(first, last, left, right, deep, {}, [&](int token, __m512i low, __m512i high) {
                put(d_weight + size_t(token) * s.features + column, s.features - column, add,
                    (__m512)((vfloat)_mm512_cvtepi32_ps(low) * scales[0] - even[0]),
                    (__m512)((vfloat)_mm512_cvtepi32_ps(high) * scales[1] - even[1]));
            });
        }
    }

    void add_targets(const Shape& s, const Loss& loss, Workspace& w, const Gradients& to) {
        for (int row = 0; row < rows_; ++row) {
            const int64_t y = loss.target[row];
            float* own = to.weight + size_t(y) * s.features;
            const bf16* features = w.left(size_t(row) * s.wide());
            for (int f = 0; f < s.features; f += 16) {
                const int n = s.features - f;
                store(own + f, load(own + f, n) + load(features + f, n) * pull_()[row], n);
            }
            to.bias[y] += pull_()[row];
        }
    }

    // What a step of q is, of the kept rows, in 127 steps: fairly over rows.
    void round_steps(float scale) {
        const float factor = inverse(scale);
        for (int row = 0; row < groups() * GROUP; ++row) {
            const float steps = row < rows_ ? std::floor(*step_(row) * factor + golden(unsigned(row))) : 0.0f;
            *small_step_(row) = int8_t(std::min(LARGEST, steps));  // of a NaN the largest: the scale is one, too
        }
    }

    // Sums over rows of a panel of q^T, 48 numbers, but `even`.
    void to_bias(const uint8_t* q, int n, float scale, float even, bool add, float* d_bias) const {
        __m512i sum[3] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
        for (int group = 0, count = groups(); group < count; ++group) {
            int32_t steps;
            std::memcpy(&steps, small_step_(size_t(group) * GROUP), sizeof steps);
            for (int i = 0; i < 3; ++i)
                sum[i] = dot_of_fours(sum[i], _mm512_load_si512(q + (size_t(group) * 3 + i) * 64), _mm512_set1_epi32(steps));
        }
        __m512 g[3];
        for (int i = 0; i < 3; ++i) g[i] = (__m512)((vfloat)_mm512_cvtepi32_ps(sum[i]) * scale - even);
        put(d_bias, std::min(n, 32), add, g[0], g[1]);
        if (n > 32) put(d_bias + 32, n - 32, add, g[2], g[2]);
    }

    EightWeight weight_;
    Buffer<uint8_t> left_, q_;  // F and q of a chunk, rows
    Buffer<float> left_scale_;
    Buffer<uint8_t> across_;    // q^T of the kept rows, and their F
    Buffer<int8_t> right_;
    Buffer<float> right_scale_, even_;  // the smoothing's part of dW
    Buffer<float> step_, pull_;  // of a kept row: what a step of q is, and the target's part
    Buffer<int8_t> small_step_;
    int rows_ = 0;  // that are kept
};

}  // namespace s2s
#endif
