// The output layer in bfloat16.
#pragma once

#include <limits>

#include "output.hpp"

#if defined(S2S_DENSE)
namespace s2s {

class InPairs {
  public:
    static constexpr int GROUP = 2;  // rows of g side by side

    void fit(const Shape& s) {
        at_least(by_token_, size_t(s.tokens()) * s.wide());
        at_least(by_feature_, size_t(s.tokens()) * s.wide());
        at_least(right_, size_t(s.kept()) * s.wide()), at_least(across_, size_t(s.kept()) * s.tokens());
    }

    void pack(const Shape& s, const float* weight, const float*) {
        const int feature_pairs = s.wide() / 2, token_pairs = s.tokens() / 2;
        S2S_PARALLEL
        for (int panel = 0; panel < s.tokens() / DENSE_COLUMNS; ++panel)
            pack_by_columns(weight, s.vocabulary, s.features, s.features, feature_pairs, panel,
                            by_token_(size_t(panel) * feature_pairs * 64));
        // In blocks of tokens, so that a block's panels lie together.
        S2S_PARALLEL
        for (int block = 0; block < token_pairs; block += DEEP) {
            const int deep = std::min(DEEP, token_pairs - block), left = s.vocabulary - 2 * block;
            for (int panel = 0; panel < s.panels(); ++panel)
                pack_by_rows(weight + size_t(2 * block) * s.features, left, s.features, s.features, deep, panel,
                             by_feature_((size_t(block) * s.panels() + size_t(panel) * deep) * 64));
        }
    }

    void start(int rows) { rows_ = rows; }

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
    void gradient(const Shape& s, int first, int row, int count, const Loss& loss, Workspace& w) {
        bf16* z[2] = {w.z(size_t(row) * s.tokens()), count > 1 ? w.z(size_t(row + 1) * s.tokens()) : nullptr};
        Sums sums[2];
        for (int i = 0; i < count; ++i) {
            const int at = first + row + i;
            sums[i] = exponentials(s, z[i], loss.target[at], loss.nll + at, loss.spread + at);
        }
        side_by_side(s, z, sums, first + row, count, loss);
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

    // dW and db = or += g^T F and g^T 1, of the kept rows.
    void to_weight(const Shape& s, const Loss&, bool add, Workspace& w, const Gradients& to) {
        const Blocks blocks(pairs(), DEEP);
        for (int i = 0; i < blocks.count; ++i) {
            const int block = i * blocks.each, deep = of_block(blocks, i);
            for (int panel = 0; panel < s.panels(); ++panel)
                pack_by_rows(w.left(size_t(2 * block) * s.wide()), rows_ - 2 * block, s.wide(), s.wide(), deep, panel,
                             right_((size_t(block) * s.panels() + size_t(panel) * deep) * 64));
        }
        over_tokens(s, [&](int across, int first, int last) {
            const bf16* g = across_(size_t(across) * pairs() * 2 * ACROSS);
            to_bias(g, last - first, add, to.bias + first);
            for (int i = 0; i < blocks.count; ++i) {
                const int block = i * blocks.each, deep = of_block(blocks, i);
                const Left left{g + size_t(block) * 2 * ACROSS, 2, 2 * ACROSS};
                for (int panel = 0; panel < s.panels(); ++panel) {
                    const int column = panel * DENSE_COLUMNS, n = s.features - column;
                    dense_panel<Pairs>(first, last, left, right_((size_t(block) * s.panels() + size_t(panel) * deep) * 64), deep,
                                       {}, [&](int token, __m512 low, __m512 high) {
                                           put(to.weight + size_t(token) * s.features + column, n, add || i > 0, low, high);
                                       });
                }
            }
        });
    }

  private:
    int pairs() const { return (rows_ + 1) / 2; }

    // What a row's exponentials were.
    struct Sums {
        float scale;   // 1 / sum e^(z - max z)
        float chosen;  // softmax(z)_y
    };

    static vfloat lanes_or(vfloat x, int n, float otherwise) {
        return n >= 16 ? x : (vfloat)_mm512_mask_mov_ps((__m512)all(otherwise), lanes_below(n), (__m512)x);
    }

    // z <- e^(z - max z); with norm = log sum e^z, nll = norm - z_y and spread = norm - mean z.
    static Sums exponentials(const Shape& s, bf16* z, int64_t y, float* nll, float* spread) {
        const float infinity = std::numeric_limits<float>::infinity();
        vfloat most = all(-infinity), total{}, sums{};
        for (int j = 0; j < s.vocabulary; j += 16) {
            const vfloat now = load(z + j, s.vocabulary - j);
            total += now;
            most = larger(lanes_or(now, s.vocabulary - j, -infinity), most);
        }
        const float shift = largest_of<float>(most), above = widen(z[y]) - shift;
        const int whole = s.vocabulary / 16 * 16, left = s.vocabulary - whole;
        for (int j = 0; j < whole; j += 16) {
            const vfloat e = exp(load(z + j, 16) - shift);
            sums += e;
            store(z + j, e, 16);
        }
        if (left) {
            const vfloat e = lanes_or(exp(load(z + whole, left) - shift), left, 0.0f);
            sums += e;
            store(z + whole, e, left);
        }
        const float sum = sum_of<float>(sums), norm = std::log(sum);
        *nll = norm - above;
        *spread = norm + shift - sum_of<float>(total) / float(s.vocabulary);
        return {1.0f / sum, std::exp(above) / sum};
    }

    // Two neighbouring rows of exponentials as g, in place and side by side as a pair of g^T, which lies panel[pair][48][2];
    // `at` is the first of them among the kept rows. Of the second of an odd number of rows, g is 0.
    void side_by_side(const Shape& s, bf16* const z[2], const Sums sums[2], int at, int count, const Loss& loss) {
        bf16* across = across_(size_t(at / 2) * 2 * ACROSS);
        const size_t panel = size_t(pairs()) * 2 * ACROSS;
        const float share = loss.smoothing / float(s.vocabulary);
        const vfloat even = all(share);
        for (int first = 0; first < s.tokens(); first += ACROSS, across += panel) {
            // Where the next pair goes: panels lie too far apart for the processor to foresee it.
            for (int line = 0; line < 3; ++line) __builtin_prefetch(across + 2 * ACROSS + 32 * line, 1, 2);
            for (int j = first; j < first + ACROSS; j += 16) {
                vfloat g[2] = {};
                for (int i = 0; i < count; ++i) {
                    g[i] = load(z[i] + j, 16) * sums[i].scale - even;
                    if (j + 16 > s.vocabulary)
                        g[i] = (vfloat)_mm512_maskz_mov_ps(lanes_below(s.vocabulary - j), (__m512)g[i]);
                    store(z[i] + j, g[i], 16);
                }
                _mm512_store_si512(across + 2 * (j - first), interleaved((__m512)g[0], (__m512)g[1]));
            }
        }
        for (int i = 0; i < count; ++i) {
            const int64_t y = loss.target[at + i];
            z[i][y] = narrow(sums[i].chosen - (1.0f - loss.smoothing) - share, bf16{});
            *across_((size_t(y / ACROSS) * pairs() + size_t(at / 2)) * 2 * ACROSS + 2 * (y % ACROSS) + i) = z[i][y];
        }
    }

    // Sums over pairs of a panel of g^T, 48 numbers.
    void to_bias(const bf16* across, int n, bool add, float* d_bias) const {
        const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
        __m512 sum[3] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
        for (int p = 0, count = pairs(); p < count; ++p)
            for (int i = 0; i < 3; ++i)
                sum[i] = _mm512_dpbf16_ps(sum[i], ones, (__m512bh)_mm512_load_si512(across + size_t(p) * 2 * ACROSS + 32 * i));
        put(d_bias, std::min(n, 32), add, sum[0], sum[1]);
        if (n > 32) put(d_bias + 32, n - 32, add, sum[2], sum[2]);
    }

    int of_block(const Blocks& blocks, int i) const { return std::min(blocks.each, pairs() - i * blocks.each); }

    Buffer<bf16> by_token_, by_feature_;  // W: columns of the product are tokens, are features
    Buffer<bf16> across_, right_;         // g^T and F of the kept rows
    int rows_ = 0;                        // that are kept
};

}  // namespace s2s
#endif
