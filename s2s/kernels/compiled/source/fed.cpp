// A recurrent decoder that feeds its attention back: the loops over time of s2s/kernels/fused/fed.py.
//
// A group of rows goes through all steps alone. A row's left side holds [c | h | f] where features are fed and [h | c]
// where the context is, so that what the readout, the gates and the query multiply lies side by side.
#include "attention.hpp"
#include "fed_cells.hpp"

namespace s2s {

struct Widths {
    int batch, time, H, gates, A, E, F, positions;
    bool previous;
    int fed() const { return F ? F : E; }
    int state_at() const { return F ? E : 0; }
    int context_at() const { return F ? 0 : H; }
    int fed_at() const { return F ? E + H : H; }
};

// As in fed.py: Kept, and what both loops are given.
template <class S> struct Kept {
    S *gates, *inner, *h, *query, *context, *features;
    typename StateOf<S>::type* weights;
};
template <class S> struct Given {
    typedef typename StateOf<S>::type T;
    const T *h0, *c0;
    const S *joined, *query, *reading;
    const T *bias_n, *energy;
    const S *keys, *values;
    const uint8_t* mask;
};
template <class S> struct Upstream {
    const S *dh, *dcontext, *dfeatures;
    const typename StateOf<S>::type* dweights;
};
template <class S> struct Gradients {
    typedef typename StateOf<S>::type T;
    S *dgates, *dun, *dread, *dquery, *dcontext;
    T *dscores, *dkeys, *denergy, *dh0, *dc0;
};

// How far apart rows of a left side lie: `Packed::spacing` says why.
template <class T> inline int apart_of(int n) { return round_up(n, LANES<T>) + 2 * LANES<T>; }

// All panels: out (rows x columns_padded) = left B.
template <class S, class P, class T>
inline void multiply(const P* left, int apart, int rows, const Packed<S>& matrix, T* out) {
    for (int p = 0; p < matrix.panels(); ++p)
        product(left, apart, rows, matrix, p, out + p * PANEL<T>, matrix.columns_padded());
}
template <class S> inline int padded(const std::unique_ptr<Packed<S>>& matrix) { return matrix ? matrix->columns_padded() : 0; }
template <class S> using Maybe = std::unique_ptr<Packed<S>>;

// What each row of a group attends to.
template <class S> inline std::vector<Offer<S>> offers(const Group& group, const Widths& w, const Given<S>& given) {
    std::vector<Offer<S>> out;
    for (int row : group.row) {
        const size_t at = size_t(row) * w.positions;
        out.push_back({w.positions, w.A, w.E, given.keys + at * w.A, given.values + at * w.E, given.mask + at, given.energy});
    }
    return out;
}

template <class S, class Cell> class Forward {
    typedef typename StateOf<S>::type T;
    typedef Operand<S> P;
    const Widths w;
    const Kept<S> kept;
    const Given<S> given;
    const std::vector<Factor<S>> factors;
    Maybe<S> query, reading;

  public:
    Forward(Widths w, Kept<S> kept, Given<S> given)
        : w(w), kept(kept), given(given), factors(Cell::forward(given.joined, w.H, w.fed())) {
        if (given.query) query.reset(new Packed<S>(given.query, w.H, w.A, 1, w.H));
        if (given.reading) reading.reset(new Packed<S>(given.reading, w.E + w.H, w.F, 1, w.E + w.H));
    }

    void run(const Group& group) const {
        const int rows = group.size(), apart = apart_of<T>(w.fed_at() + w.fed()), wide = factors[0].matrix.columns_padded();
        Buffer<P> now(size_t(rows) * apart), next(size_t(rows) * apart);
        Buffer<T> state(size_t(rows) * wide), sums(size_t(rows) * Cell::PRODUCTS * PANEL<T>);
        Buffer<T> asked(size_t(rows) * padded(query)), read(size_t(rows) * padded(reading));
        Attending<S> attending(offers(group, w, given));
        for (int i = 0; i < rows; ++i) {
            const size_t from = size_t(group.row[i]) * w.H;
            copy(now(size_t(i) * apart + w.state_at()), given.h0 + from, w.H);
            copy(state(size_t(i) * wide), (Cell::CARRIES_H ? given.h0 : given.c0) + from, w.H);
        }
        for (int t = 0; t < w.time; ++t) {
            if (w.previous) look(group, t, attending, now(), apart, asked());
            step(group, t, now(), next(), apart, state(), sums());
            if (!w.previous) look(group, t, attending, next(), apart, asked());
            if (reading) feature(group, t, next(), apart, read());
            now.swap(next);
        }
    }

  private:
    void step(const Group& group, int t, const P* now, P* next, int apart, T* state, T* sums) const {
        const int wide = factors[0].matrix.columns_padded(), stride = Cell::PRODUCTS * PANEL<T>;
        for (int p = 0; p < factors[0].matrix.panels(); ++p) {
            for (int k = 0; k < Cell::PRODUCTS; ++k)
                product(now + w.state_at() + factors[k].from, apart, group.size(), factors[k].matrix, p, sums + k * PANEL<T>,
                        stride);
            const int unit = p * PANEL<T>, end = std::min(unit + PANEL<T>, w.H);
            for (int i = 0; i < group.size(); ++i) {
                const size_t at = (size_t(group.row[i]) * w.time + t) * w.H;
                const T* sum = sums + size_t(i) * stride;
                for (int j = unit; j < end; j += LANES<T>, sum += LANES<T>) {
                    const int n = std::min(LANES<T>, end - j);
                    V<T> h = Cell::step(kept.gates + Cell::GATES * at, kept.inner + at, state + size_t(i) * wide,
                                        given.bias_n, sum, w.H, j, n);
                    store(kept.h + at + j, h, n);
                    store(next + size_t(i) * apart + w.state_at() + j, h, n);
                }
            }
        }
    }

    // The context that each row's state in `left` asks for goes there too.
    void look(const Group& group, int t, Attending<S>& attending, P* left, int apart, T* asked) const {
        if (query) multiply(left + w.state_at(), apart, group.size(), *query, asked);
        for (int i = 0; i < group.size(); ++i) {
            const size_t at = size_t(group.row[i]) * w.time + t;
            S *question = kept.query + at * w.A, *context = kept.context + at * w.E;
            P* row = left + size_t(i) * apart;
            if (query)
                copy(question, asked + size_t(i) * query->columns_padded(), w.A);
            else
                copy(question, row + w.state_at(), w.A);
            attending.look(i, question, kept.weights + at * w.positions, context);
            copy(row + w.context_at(), context, w.E);
        }
    }

    void feature(const Group& group, int t, P* left, int apart, T* read) const {
        multiply(left, apart, group.size(), *reading, read);
        for (int i = 0; i < group.size(); ++i) {
            S* features = kept.features + (size_t(group.row[i]) * w.time + t) * w.F;
            P* fed = left + size_t(i) * apart + w.fed_at();
            const T* sum = read + size_t(i) * reading->columns_padded();
            for (int j = 0; j < w.F; j += LANES<T>) {
                const int n = std::min(LANES<T>, w.F - j);
                V<T> now = tanh(load(features + j, n) + load_all(sum + j));
                store(features + j, now, n);
                store(fed + j, now, n);
            }
        }
    }
};

template <class S, class Cell> class Backward {
    typedef typename StateOf<S>::type T;
    typedef Operand<S> P;
    const Widths w;
    const Kept<S> kept;
    const Given<S> given;
    const Upstream<S> up;
    const Gradients<S> out;
    const Factor<S> to_state, to_fed;
    Maybe<S> query, reading;

    // Of a group: what is carried from step to step, and room.
    struct Carried {
        Buffer<T> dh, dfed, inner, dcontext, dquery, through, dread;
        Buffer<P> left, asking, read;
    };

  public:
    Backward(Widths w, Kept<S> kept, Given<S> given, Upstream<S> up, Gradients<S> out)
        : w(w), kept(kept), given(given), up(up), out(out), to_state(Cell::to_state(given.joined, w.H, w.fed())),
          to_fed(Cell::to_fed(given.joined, w.H, w.fed())) {
        if (given.query) query.reset(new Packed<S>(given.query, w.A, w.H, w.H, 1));
        if (given.reading) reading.reset(new Packed<S>(given.reading, w.F, w.E + w.H, w.E + w.H, 1));
    }

    // energy: sums of the gradient of v.
    void run(const Group& group, double* energy) const {
        const size_t rows = group.size(), wide = wide_state(), lanes = LANES<T>;
        Carried c;
        c.dh.resize(rows * wide), c.inner.resize(rows * wide), c.dfed.resize(rows * wide_fed());
        c.dcontext.resize(round_up(w.E, lanes)), c.dquery.resize(round_up(w.A, lanes));
        c.through.resize(rows * padded(query)), c.dread.resize(rows * padded(reading));
        c.left.resize(rows * apart_of<T>(4 * w.H));
        c.asking.resize(rows * apart_of<T>(w.A)), c.read.resize(rows * apart_of<T>(w.F));
        Attending<S> attending(offers(group, w, given));
        for (int t = w.time - 1; t >= 0; --t) {
            if (!w.previous) looked(group, t, attending, c);
            stepped(group, t, c);
            if (w.previous) looked(group, t, attending, c);
            attending.add_energy(energy);
        }
        for (size_t i = 0; i < rows; ++i) {
            const size_t from = size_t(group.row[i]) * w.H;
            copy(out.dh0 + from, c.dh(i * wide), w.H);
            for (int j = 0; Cell::CARRIES_H && j < w.H; ++j) out.dh0[from + j] += *c.inner(i * wide + j);
            if (!Cell::CARRIES_H) copy(out.dc0 + from, c.inner(i * wide), w.H);
        }
    }

  private:
    int wide_state() const { return to_state.matrix.columns_padded(); }
    int wide_fed() const { return to_fed.matrix.columns_padded(); }

    // The gates' gradients from dh, which becomes that of the state before through them, and dfed what came to u.
    void stepped(const Group& group, int t, Carried& c) const {
        const int apart = apart_of<T>(4 * w.H), wide = wide_state();
        for (int i = 0; i < group.size(); ++i) {
            const size_t at = (size_t(group.row[i]) * w.time + t) * w.H;
            const S* memory = Cell::CARRIES_H ? kept.h : kept.inner;
            const T* first = (Cell::CARRIES_H ? given.h0 : given.c0) + size_t(group.row[i]) * w.H;
            for (int j = 0; j < w.H; j += LANES<T>) {
                const int n = std::min(LANES<T>, w.H - j);
                V<T> d = load_all(c.dh(size_t(i) * wide + j));
                if (up.dh) d += load(up.dh + at + j, n);
                V<T> before = t ? load(memory + at - w.H + j, n) : load(first + j, n);
                ahead(memory + at - w.H + j, -w.H), ahead(kept.inner + at + j, -w.H);
                Cell::back(kept.gates + Cell::GATES * at, kept.inner + at, before, d, c.inner(size_t(i) * wide),
                           out.dgates + Cell::GATES * at, out.dun ? out.dun + at : nullptr, c.left(size_t(i) * apart), w.H, j, n);
            }
        }
        multiply(c.left(to_state.from), apart, group.size(), to_state.matrix, c.dh());
        multiply(c.left(to_fed.from), apart, group.size(), to_fed.matrix, c.dfed());
    }

    // From the context, or the features, back to the state that asked.
    void looked(const Group& group, int t, Attending<S>& attending, Carried& c) const {
        if (reading) unread(group, t, c);
        const int apart = apart_of<T>(w.A);
        for (int i = 0; i < group.size(); ++i) {
            const size_t at = size_t(group.row[i]) * w.time + t;
            const T* came = reading ? c.dread(size_t(i) * reading->columns_padded()) : c.dfed(size_t(i) * wide_fed());
            for (int j = 0; j < w.E; j += LANES<T>) {
                const int n = std::min(LANES<T>, w.E - j);
                V<T> d = load(came + j, n);
                if (up.dcontext) d += load(up.dcontext + at * w.E + j, n);
                store_all(c.dcontext(j), d);
                store(out.dcontext + at * w.E + j, d, n);
            }
            const size_t weights = at * w.positions;
            attending.back(i, kept.query + at * w.A, kept.weights + weights, c.dcontext(),
                           up.dweights ? up.dweights + weights : nullptr, out.dscores + weights, c.dquery(),
                           out.dkeys ? out.dkeys + size_t(group.row[i]) * w.positions * w.A : nullptr);
            copy(out.dquery + at * w.A, c.dquery(), w.A);
            if (query)
                copy(c.asking(size_t(i) * apart), c.dquery(), w.A);
            else
                add_row(c.dh(size_t(i) * wide_state()), c.dquery(), w.H);
        }
        if (!query) return;
        multiply(c.asking(), apart, group.size(), *query, c.through());
        for (int i = 0; i < group.size(); ++i)
            add_row(c.dh(size_t(i) * wide_state()), c.through(size_t(i) * query->columns_padded()), w.H);
    }

    // dread: [dc, dh] of what was read; dh is added to the state's.
    void unread(const Group& group, int t, Carried& c) const {
        const int apart = apart_of<T>(w.F);
        for (int i = 0; i < group.size(); ++i) {
            const size_t at = (size_t(group.row[i]) * w.time + t) * w.F;
            for (int j = 0; j < w.F; j += LANES<T>) {
                const int n = std::min(LANES<T>, w.F - j);
                V<T> d = load_all(c.dfed(size_t(i) * wide_fed() + j)), f = load(kept.features + at + j, n);
                ahead(kept.features + at + j, -w.F);
                if (up.dfeatures) d += load(up.dfeatures + at + j, n), ahead(up.dfeatures + at + j, -w.F);
                d *= T(1) - f * f;
                store(out.dread + at + j, d, n);
                store(c.read(size_t(i) * apart + j), d, n);
            }
        }
        multiply(c.read(), apart, group.size(), *reading, c.dread());
        for (int i = 0; i < group.size(); ++i)
            add_row(c.dh(size_t(i) * wide_state()), c.dread(size_t(i) * reading->columns_padded() + w.E), w.H);
    }

    static void add_row(T* to, const T* from, int width) {
        for (int j = 0; j < width; ++j) to[j] += from[j];
    }
};

template <class S, class Cell> void fed_forward(Widths w, int threads, Kept<S> kept, Given<S> given) {
    Forward<S, Cell> loop(w, kept, given);
    over_groups(groups_of(w.batch, w.time, nullptr, threads), threads, [&](const Group& group, int) { loop.run(group); });
}

template <class S, class Cell>
void fed_backward(Widths w, int threads, Kept<S> kept, Given<S> given, Upstream<S> up, Gradients<S> out) {
    Backward<S, Cell> loop(w, kept, given, up, out);
    with_sums(groups_of(w.batch, w.time, nullptr, threads), threads, out.denergy ? w.A : 0, out.denergy,
              [&](const Group& group, double* energy) { loop.run(group, energy); });
}

}  // namespace s2s

#define S2S_DEFINE(NAME, S, T)                                                                                            \
    extern "C" void fed_forward_##NAME(int batch, int time, int H, int gates, int A, int E, int F, int positions,        \
                                       int previous, const int64_t*, int threads, S* g, S* inner, S* h, S* q, S* c,      \
                                       S* f, T* a, const T* h0, const T* c0, const S* joined, const S* query,            \
                                       const S* reading, const T* bias_n, const T* energy, const S* keys,                \
                                       const S* values, const uint8_t* mask) {                                           \
        auto run = gates == 3 ? s2s::fed_forward<S, s2s::Gru<S>> : s2s::fed_forward<S, s2s::Lstm<S>>;                    \
        run({batch, time, H, gates, A, E, F, positions, previous != 0}, threads, {g, inner, h, q, c, f, a},              \
            {h0, c0, joined, query, reading, bias_n, energy, keys, values, mask});                                       \
    }                                                                                                                    \
    extern "C" void fed_backward_##NAME(int batch, int time, int H, int gates, int A, int E, int F, int positions,       \
                                        int previous, const int64_t*, int threads, S* g, S* inner, S* h, S* q, S* c,     \
                                        S* f, T* a, const T* h0, const T* c0, const S* joined, const S* query,           \
                                        const S* reading, const T* bias_n, const T* energy, const S* keys,               \
                                        const S* values, const uint8_t* mask, const S* dh, const S* dc, const S* df,     \
                                        const T* da, S* dgates, S* dun, S* dread, S* dquery, S* dcontext, T* dscores,    \
                                        T* dkeys, T* denergy, T* dh0, T* dc0) {                                          \
        auto run = gates == 3 ? s2s::fed_backward<S, s2s::Gru<S>> : s2s::fed_backward<S, s2s::Lstm<S>>;                  \
        run({batch, time, H, gates, A, E, F, positions, previous != 0}, threads, {g, inner, h, q, c, f, a},              \
            {h0, c0, joined, query, reading, bias_n, energy, keys, values, mask}, {dh, dc, df, da},                      \
            {dgates, dun, dread, dquery, dcontext, dscores, dkeys, denergy, dh0, dc0});                                  \
    }
S2S_DEFINE(float32, float, float)
S2S_DEFINE(float64, double, double)
S2S_DEFINE(bfloat16, s2s::bf16, float)
