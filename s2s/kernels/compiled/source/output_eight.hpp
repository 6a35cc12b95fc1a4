// The output layer's logits and its gradient of the features in 8 bits (the gradient of the weight, whose sums are the
// longest, stays in bfloat16: Wortsman et al. 2023, SwitchBack).
//
// F has a scale a row, W one a token for the logits, and one a feature and block of tokens for dF. The target's part of dF
// and the smoothing's are exact: where the target has nearly all probability, they are what is left of one another. The rest
// of the softmax has a scale a row and block, without a sign; its numbers are rounded up or down with the probability of
// what is left over, or small ones, which are most of it, would vanish:
// dF = sum_v!=y softmax(z)_v W_v + (softmax(z)_y - 1 + e) W_y - e mean W.
#pragma once

#include "eights.hpp"
#include "output.hpp"

#if defined(S2S_EIGHTS)
namespace s2s {

constexpr float LARGEST_UNSIGNED = 255.0f;

class InEights {
  public:
    void fit(const Shape& s) {
        const size_t tokens = size_t(s.tokens()), wide = size_t(s.wide()), chunk = size_t(s.chunk()), blocks = size_t(s.blocks());
        const size_t deep = size_t(deep_of(s.features));
        at_least(by_token_, tokens * deep), at_least(token_scale_, tokens), at_least(start_, tokens);
        at_least(by_feature_, tokens * wide), at_least(feature_scale_, blocks * wide);
        at_least(feature_sum_, blocks * wide), at_least(mean_, wide);
        at_least(left_, chunk * deep), at_least(left_scale_, chunk);
        at_least(softmax_, chunk * tokens), at_least(softmax_scale_, chunk * blocks), at_least(pull_, chunk);
    }

    void pack(const Shape& s, const float* weight) {
        S2S_PARALLEL
        for (int block = 0; block < s.blocks(); ++block) {
            const int first = block * TOKENS, groups = s.tokens_of(block) / 4;
            const float* from = weight + size_t(first) * s.features;
            for (int t = 0; t < s.tokens_of(block); t += DENSE_COLUMNS)
                pack_eights_by_columns(from + size_t(t) * s.features, tokens_in(s, block) - t, s.features, s.features,
                                       by_token_(size_t(first + t) * deep_of(s.features)),
                                       {token_scale_(first + t), start_(first + t)});
            for (int f = 0; f < s.wide(); f += DENSE_COLUMNS) {
                const size_t at = size_t(block) * s.wide() + f;
                pack_eights_by_rows(from + f, tokens_in(s, block), s.features - f, s.features, groups,
                                    by_feature_(size_t(first) * s.wide() + size_t(f) * groups * 4),
                                    {feature_scale_(at), nullptr}, feature_sum_(at));
            }
        }
        blank(mean_(), size_t(s.wide()));
        for (int block = 0; block < s.blocks(); ++block)
            for (int f = 0; f < s.wide(); ++f) mean_()[f] += feature_sum_()[size_t(block) * s.wide() + f] / float(s.vocabulary);
    }

    // z of the kept rows from `first` on.
    void logits(const Shape& s, int first, int rows, const float* bias, Workspace& w) {
        const int deep = deep_of(s.features);
        for (int row = 0; row < rows; ++row)
            *left_scale_(row) = round_left(w.left(size_t(first + row) * s.wide()), s.features, left_(size_t(row) * deep), Nearest{});
        const Left left{left_(), deep, 4};
        S2S_PARALLEL
        for (int panel = 0; panel < s.tokens() / DENSE_COLUMNS; ++panel) {
            const int column = panel * DENSE_COLUMNS;
            const Start<Fours> start{_mm512_load_si512(start_(column)), _mm512_load_si512(start_(column + 16))};
            const vfloat scale[2] = {load_all(token_scale_(column)), load_all(token_scale_(column + 16))};
            const vfloat b[2] = {(vfloat)some(bias + column, s.vocabulary - column),
                                 (vfloat)some(bias + column + 16, s.vocabulary - column - 16)};
            dense_panel<Fours>(0, rows, left, by_token_(size_t(panel) * deep * 32), deep / 4, start,
                               [&](int row, __m512i low, __m512i high) {
                                   const vfloat own = all(left_scale_()[row]);
                                   const vfloat z[2] = {(vfloat)_mm512_cvtepi32_ps(low) * own * scale[0] + b[0],
                                                        (vfloat)_mm512_cvtepi32_ps(high) * own * scale[1] + b[1]};
                                   _mm512_store_si512(w.z(size_t(row) * s.tokens() + column),
                                                      (__m512i)_mm512_cvtne2ps_pbh((__m512)z[1], (__m512)z[0]));
                               });
        }
    }

    // Rows `row` and, if there are two, row + 1 of z: their softmax, and g for the weight.
    void gradient(const Shape& s, int first, int row, int count, int pairs, const Loss& loss, Workspace& w) {
        bf16* z[2] = {w.z(size_t(row) * s.tokens()), count > 1 ? w.z(size_t(row + 1) * s.tokens()) : nullptr};
        Sums sums[2];
        for (int i = 0; i < count; ++i) {
            const int at = first + row + i;
            uint8_t* p = softmax_(size_t(row + i) * s.tokens());
            float* scale = softmax_scale_(size_t(row + i) * s.blocks());
            vfloat factor{};
            const Fair fair{unsigned(at)};
            sums[i] = exponentials(
                s, z[i], loss.target[at], loss.nll + at, loss.spread + at,
                [&](int block, float most) {
                    factor = LARGEST_UNSIGNED * exp(all(std::min(-most, FARTHEST)));
                    scale[block] = 1.0f / factor[0];
                },
                [&](int j, vfloat e) {
                    _mm_storeu_si128((__m128i*)(p + j), _mm512_cvtusepi32_epi8(fair(e * factor, j / 16)));
                });
            for (int block = 0; block < s.blocks_there(); ++block) scale[block] *= sums[i].scale;
            p[loss.target[at]] = 0;
            *pull_(row + i) = sums[i].chosen - (1.0f - loss.smoothing);
        }
        two_rows(s, z, sums, first + row, count, pairs, loss, w, [](int, int, vfloat) {}, [](int, int64_t, bf16) {});
    }

    // dF, of the rows from `begin` to before `end`.
    void to_features(const Shape& s, int first, int begin, int end, const Loss& loss, const float* weight, Workspace& w,
                     float* d_features) {
        const int wide = s.wide();
        for (int block = 0; block < s.blocks_there(); ++block) {
            const int fours = s.tokens_of(block) / 4;
            const Left left{softmax_(size_t(begin) * s.tokens() + size_t(block) * TOKENS), s.tokens(), 4};
            for (int panel = 0; panel < s.panels(); ++panel) {
                const int column = panel * DENSE_COLUMNS;
                const float* scale = feature_scale_(size_t(block) * wide + column);
                const vfloat scales[2] = {load_all(scale), load_all(scale + 16)};
                dense_panel<Fours>(begin, end, left, by_feature_(size_t(block) * TOKENS * wide + size_t(column) * fours * 4),
                                   fours, {}, [&](int row, __m512i low, __m512i high) {
                                       const vfloat own = all(softmax_scale_()[size_t(row) * s.blocks() + block]);
                                       put(w.d_left(size_t(row) * wide + column), DENSE_COLUMNS, block > 0,
                                           (__m512)((vfloat)_mm512_cvtepi32_ps(low) * own * scales[0]),
                                           (__m512)((vfloat)_mm512_cvtepi32_ps(high) * own * scales[1]));
                                   });
            }
        }
        for (int row = begin; row < end; ++row) {
            const float* chosen = weight + size_t(loss.target[first + row]) * s.features;
            for (int f = 0; f < s.features; f += 16) {
                const int n = s.features - f;
                const vfloat g = load(w.d_left(size_t(row) * wide + f), n) + load(chosen + f, n) * pull_()[row] -
                                 load(mean_(f), n) * loss.smoothing;
                store(d_features + size_t(row) * s.features + f, g, n);
            }
        }
    }

  private:
    static constexpr float FARTHEST = 60;  // below the row's largest logit: what is so small can be rounded to nothing

    static int tokens_in(const Shape& s, int block) { return std::max(0, std::min(TOKENS, s.vocabulary - block * TOKENS)); }

    Buffer<int8_t> by_token_, by_feature_;  // W: columns of the product are tokens, are features
    Buffer<float> token_scale_, feature_scale_, feature_sum_, mean_;
    Buffer<int32_t> start_;  // what is too much by the left side's offset
    Buffer<uint8_t> left_, softmax_;
    Buffer<float> left_scale_, softmax_scale_;
    Buffer<float> pull_;  // the target's part of g
};

}  // namespace s2s
#endif
