// W of the output layer in 8 bits: with tokens as columns of the product, and with features, in blocks of tokens.
#pragma once

#include "eights.hpp"
#include "output.hpp"

#if defined(S2S_EIGHTS)
namespace s2s {

constexpr int TOKENS = 4 * DEEP;  // of a block, whose features have scales of their own

class EightWeight {
  public:
    void fit(const Shape& s) {
        const size_t tokens = size_t(s.tokens()), wide = size_t(s.wide()), blocks = size_t(blocks_of(s));
        at_least(by_token_, tokens * deep_of(s.features)), at_least(token_scale_, tokens), at_least(token_start_, tokens);
        at_least(by_feature_, tokens * wide), at_least(feature_scale_, blocks * wide), at_least(feature_sum_, blocks * wide);
        at_least(mean_, wide);
    }

    void pack(const Shape& s, const float* weight, const float* bias) {
        deep_ = deep_of(s.features);
        S2S_PARALLEL
        for (int block = 0; block < blocks_of(s); ++block) pack_block(s, block, weight);
        blank(mean_(), size_t(s.wide()));
        for (int block = 0; block < blocks_of(s); ++block)
            for (int f = 0; f < s.wide(); ++f) mean_()[f] += feature_sum_()[size_t(block) * s.wide() + f] / float(s.vocabulary);
        double sum = 0;
        for (int token = 0; token < s.vocabulary; ++token) sum += bias[token];
        mean_bias_ = float(sum / s.vocabulary);
    }

    // The panel that begins with a token, and what belongs to its columns.
    const int8_t* by_token(int first) const { return by_token_(size_t(first) * deep_); }
    Columns columns(int first) { return {token_scale_(first), token_start_(first)}; }
    // The panel of a block of tokens that begins with a feature, and the scales of its columns.
    const int8_t* by_feature(const Shape& s, int first_token, int first) const {
        return by_feature_(size_t(first_token) * s.wide() + size_t(first) * tokens_of(s, first_token));
    }
    const float* feature_scale(const Shape& s, int first_token, int first) const {
        return feature_scale_(size_t(first_token / TOKENS) * s.wide() + first);
    }
    const float* mean() const { return mean_(); }  // over tokens
    float mean_logit(const bf16* features, int wide) const {
        vfloat sum{};
        for (int f = 0; f < wide; f += 16) sum += load(features + f, 16) * load_all(mean_(f));
        return sum_of<float>(sum) + mean_bias_;
    }

  private:
    static int blocks_of(const Shape& s) { return (s.tokens() + TOKENS - 1) / TOKENS; }
    static int tokens_of(const Shape& s, int first) { return std::min(TOKENS, s.tokens() - first); }

    void pack_block(const Shape& s, int block, const float* weight) {
        const int first = block * TOKENS, tokens = tokens_of(s, first), there = std::max(0, std::min(tokens, s.vocabulary - first));
        const float* from = weight + size_t(first) * s.features;
        for (int t = 0; t < tokens; t += DENSE_COLUMNS)
            pack_eights_by_columns(from + size_t(t) * s.features, there - t, s.features, s.features,
                                   by_token_(size_t(first + t) * deep_), columns(first + t));
        for (int f = 0; f < s.wide(); f += DENSE_COLUMNS) {
            const size_t at = size_t(block) * s.wide() + f;
            pack_eights_by_rows(from + f, there, s.features - f, s.features, tokens / 4,
                                by_feature_(size_t(first) * s.wide() + size_t(f) * tokens), {feature_scale_(at), nullptr},
                                feature_sum_(at));
        }
    }

    int deep_ = 0;  // numbers of a token's column
    Buffer<int8_t> by_token_, by_feature_;
    Buffer<float> token_scale_, feature_scale_, feature_sum_, mean_;
    Buffer<int32_t> token_start_;  // what is too much by the left side's offset
    float mean_bias_ = 0;
};

}  // namespace s2s
#endif
