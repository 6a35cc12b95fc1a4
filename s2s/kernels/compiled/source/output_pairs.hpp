// The output layer's logits and its gradient of the features in bfloat16.
#pragma once

#include "output.hpp"

#if defined(S2S_DENSE)
namespace s2s {

class InPairs {
  public:
    void fit(const Shape& s) {
        at_least(by_token_, size_t(s.tokens()) * s.wide());
        at_least(by_feature_, size_t(s.tokens()) * s.wide());
    }

    void pack(const Shape& s, const float* weight) {
        const int pairs = s.wide() / 2, token_pairs = s.tokens() / 2;
        S2S_PARALLEL
        for (int panel = 0; panel < s.tokens() / DENSE_COLUMNS; ++panel)
            pack_by_columns(weight, s.vocabulary, s.features, s.features, pairs, panel, by_token_(size_t(panel) * pairs * 64));
        // In blocks of tokens, so that a block's panels lie together.
        S2S_PARALLEL
        for (int block = 0; block < token_pairs; block += DEEP) {
            const int deep = std::min(DEEP, token_pairs - block), left = s.vocabulary - 2 * block;
            for (int panel = 0; panel < s.panels(); ++panel)
                pack_by_rows(weight + size_t(2 * block) * s.features, left, s.features, s.features, deep, panel,
                             by_feature_((size_t(block) * s.panels() + size_t(panel) * deep) * 64));
        }
    }

    // z of the kept rows from `first` on.
    void logits(const Shape& s, int first, int rows, const float* bias, Workspace& w) {
        const Left left{w.left(size_t(first) * s.wide()), s.wide(), 2};
        S2S_PARALLEL
        for (int panel = 0; panel < s.tokens() / DENSE_COLUMNS; ++panel) {
            const int column = panel * DENSE_COLUMNS;
            const Start<Pairs> start{some(bias + column, s.vocabulary - column),
                                     some(bias + column + 16, s.vocabulary - column - 16)};
            dense_panel<Pairs>(0, rows, left, by_token_(size_t(panel) * s.wide() * 32), s.wide() / 2, start,
                               [&](int row, __m512 low, __m512 high) {
                                   _mm512_store_si512(w.z(size_t(row) * s.tokens() + column),
                                                      (__m512i)_mm512_cvtne2ps_pbh(high, low));
                               });
        }
    }

    // Rows `row` and, if there are two, row + 1 of z into g, of which the first is row `first` of those kept.
    void gradient(const Shape& s, int first, int row, int count, int pairs, const Loss& loss, Workspace& w) {
        bf16* z[2] = {w.z(size_t(row) * s.tokens()), count > 1 ? w.z(size_t(row + 1) * s.tokens()) : nullptr};
        Sums sums[2];
        for (int i = 0; i < count; ++i) {
            const int at = first + row + i;
            sums[i] = exponentials(s, z[i], loss.target[at], loss.nll + at, loss.spread + at, [](int, float) {},
                                   [](int, vfloat) {});
        }
        two_rows(s, z, sums, first + row, count, pairs, loss, w, [&](int i, int j, vfloat g) { store(z[i] + j, g, 16); },
                 [&](int i, int64_t y, bf16 g) { z[i][y] = g; });
    }

    // dF = g W, of the rows of z from `begin` to before `end`.
    void to_features(const Shape& s, int, int begin, int end, const Loss&, const float*, Workspace& w, float* d_features) {
        const int token_pairs = s.tokens() / 2, wide = s.wide();
        for (int block = 0; block < token_pairs; block += DEEP) {
            const int deep = std::min(DEEP, token_pairs - block);
            const Left left{w.z(size_t(begin) * s.tokens() + 2 * block), s.tokens(), 2};
            for (int panel = 0; panel < s.panels(); ++panel)
                dense_panel<Pairs>(begin, end, left, by_feature_((size_t(block) * s.panels() + size_t(panel) * deep) * 64), deep,
                                   {}, [&](int row, __m512 low, __m512 high) {
                                       put(w.d_left(size_t(row) * wide + panel * DENSE_COLUMNS), DENSE_COLUMNS, block > 0, low,
                                           high);
                                   });
        }
        for (int row = begin; row < end; ++row)
            copy(d_features + size_t(row) * s.features, w.d_left(size_t(row) * wide), size_t(s.features));
    }

  private:
    Buffer<bf16> by_token_, by_feature_;  // W: columns of the product are tokens, are features
};

}  // namespace s2s
#endif
