// The loops over time that all cores with one product a step share; a core gives what happens to a row's units in a step.
//
// A step is done panel by panel of units: the product for all recurrent gates of these units, then everything that
// follows for them, so that preactivations never leave the nearest cache. Since all units read the old h (backward: all
// the gates' gradients of the step after), the new ones are written to a second buffer.
#pragma once

#include <array>

#include "gemm.hpp"
#include "rows.hpp"

namespace s2s {

template <class To, class From> inline void copy(To* to, const From* from, size_t n) {
    for (size_t i = 0; i < n; ++i) to[i] = narrow(widen(from[i]), To{});
}
template <class E> inline void blank(E* p, size_t n) { std::memset(static_cast<void*>(p), 0, n * sizeof(E)); }

// A row's next step lies a stride further in memory: too far for the hardware to see it coming.
template <class E> inline void ahead(const E* p, ptrdiff_t stride) {
    __builtin_prefetch(reinterpret_cast<const char*>(p) + stride * ptrdiff_t(sizeof(E)), 0, 2);
}
// Likewise where it is going to be written.
template <class E> inline void claim(E* p, ptrdiff_t stride) {
    __builtin_prefetch(reinterpret_cast<const char*>(p) + stride * ptrdiff_t(sizeof(E)), 1, 2);
}

// bias[...] += x, for the sums of one step.
template <class T> inline void add(T* p, V<T> x) { store_all(p, load_all(p) + x); }

// A step's sums are of few rows; those of all steps are kept in double. `partial` starts the next step at zero.
template <class T> inline void add_step(double* total, Buffer<T>& partial, int wide, int units, int parts) {
    for (int part = 0; part < parts; ++part)
        for (int j = 0; j < units; ++j) total[size_t(part) * units + j] += *partial(size_t(part) * wide + j);
    blank(partial(), partial.size());
}

// The sizes of a scan; rows of tensors (batch, time, ...) are counted flat: row * time + t.
struct Sizes {
    int batch, time, hidden;
};

// Which units of which row a step is about.
struct Place {
    size_t at;      // row of the flattened batch and time
    int unit, end;  // from here, to before there
};

// forward: NG recurrent gates, NS state tensors besides h. `first` and `final` are (batch, hidden) each, h before the
// others. step(place, sums, states, next, last): sums holds each gate's product of these units, PANEL apart; states are
// this row's; the new h goes to next + unit..., and to last + unit... where last is not null (the row's last step).
template <class S, int NG, int NS, class Step>
void forward_loop(const Group& group, Sizes sizes, const std::array<const Packed<S>*, NG>& weights,
                  const std::array<const typename StateOf<S>::type*, NS + 1>& first,
                  const std::array<typename StateOf<S>::type*, NS + 1>& final, S* h, Step step) {
    typedef typename StateOf<S>::type T;
    typedef Operand<S> P;
    const int H = sizes.hidden, wide = weights[0]->columns_padded(), apart = weights[0]->spacing();
    const int stride = NG * PANEL<T>;
    Buffer<P> now(size_t(group.size()) * apart), next(size_t(group.size()) * apart);
    Buffer<T> states(size_t(group.size()) * NS * wide), sums(size_t(group.size()) * stride);
    for (int i = 0; i < group.size(); ++i) {
        size_t from = size_t(group.row[i]) * H;
        copy(now(size_t(i) * apart), first[0] + from, H);
        copy(final[0] + from, first[0] + from, H);
        for (int s = 0; s < NS; ++s) copy(states((size_t(i) * NS + s) * wide), first[s + 1] + from, H);
    }
    int rows = group.size();
    for (int t = 0; t < group.steps(); ++t) {
        rows = group.running(t, rows);
        for (int p = 0; p < weights[0]->panels(); ++p) {
            for (int gate = 0; gate < NG; ++gate)
                product(now(), apart, rows, *weights[gate], p, sums(gate * PANEL<T>), stride);
            const int unit = p * PANEL<T>, end = std::min(unit + PANEL<T>, H);
            for (int i = 0; i < rows; ++i) {
                std::array<T*, NS> state;
                for (int s = 0; s < NS; ++s) state[s] = states((size_t(i) * NS + s) * wide);
                T* last = t + 1 == group.length[i] ? final[0] + size_t(group.row[i]) * H : nullptr;
                step(Place{size_t(group.row[i]) * sizes.time + t, unit, end}, sums(size_t(i) * stride), state,
                     next(size_t(i) * apart), last);
            }
        }
        now.swap(next);
    }
    for (int i = 0; i < group.size(); ++i) {
        size_t b = size_t(group.row[i]), steps = group.length[i];
        for (int s = 0; s < NS; ++s) copy(final[s + 1] + b * H, states((size_t(i) * NS + s) * wide), H);
        blank(h + (b * sizes.time + steps) * H, (sizes.time - steps) * H);
    }
}

// backward: the product's left side holds `recurrent.depth()` gate gradients, NS state gradients are carried, NB sums of
// `hidden` numbers go to bias. step(place, sums, states, now, bias, last): sums is what came to h through the recurrent
// weights; now takes the gate gradients; last is the gradient of the final h where this is the row's last step.
template <class S, int NS, int NB, class Step>
void backward_loop(const Group& group, Sizes sizes, const Packed<S>& recurrent,
                   const std::array<const typename StateOf<S>::type*, NS + 1>& dfinal,
                   const std::array<typename StateOf<S>::type*, NS + 1>& dfirst, S* dgates, int gates, double* bias,
                   Step step) {
    typedef typename StateOf<S>::type T;
    typedef Operand<S> P;
    const int H = sizes.hidden, wide = recurrent.columns_padded(), apart = recurrent.spacing();
    Buffer<P> now(size_t(group.size()) * apart), later(size_t(group.size()) * apart);
    Buffer<T> states(size_t(group.size()) * NS * wide), sums(size_t(group.size()) * PANEL<T>);
    Buffer<T> partial(NB * size_t(wide));
    for (int i = 0; i < group.size(); ++i) {
        size_t b = size_t(group.row[i]), steps = group.length[i];
        for (int s = 0; s < NS; ++s) copy(states((size_t(i) * NS + s) * wide), dfinal[s + 1] + b * H, H);
        blank(dgates + (b * sizes.time + steps) * gates * H, (sizes.time - steps) * gates * H);
    }
    int rows = 0;
    for (int t = group.steps() - 1; t >= 0; --t) {
        rows = group.running(t, rows);
        for (int p = 0; p < recurrent.panels(); ++p) {
            product(later(), apart, rows, recurrent, p, sums(), PANEL<T>);
            const int unit = p * PANEL<T>, end = std::min(unit + PANEL<T>, H);
            for (int i = 0; i < rows; ++i) {
                std::array<T*, NS> state;
                for (int s = 0; s < NS; ++s) state[s] = states((size_t(i) * NS + s) * wide);
                const T* last = t + 1 == group.length[i] ? dfinal[0] + size_t(group.row[i]) * H : nullptr;
                step(Place{size_t(group.row[i]) * sizes.time + t, unit, end}, sums(size_t(i) * PANEL<T>), state,
                     now(size_t(i) * apart), partial(), last);
            }
        }
        add_step(bias, partial, wide, H, NB);
        now.swap(later);
    }
    for (int p = 0; p < recurrent.panels(); ++p) {
        product(later(), apart, group.size(), recurrent, p, sums(), PANEL<T>);
        const int unit = p * PANEL<T>, end = std::min(unit + PANEL<T>, H);
        for (int i = 0; i < group.size(); ++i) {
            size_t from = size_t(group.row[i]) * H + unit;
            copy(dfirst[0] + from, group.length[i] ? sums(size_t(i) * PANEL<T>) : dfinal[0] + from, end - unit);
        }
    }
    for (int i = 0; i < group.size(); ++i)
        for (int s = 0; s < NS; ++s)
            copy(dfirst[s + 1] + size_t(group.row[i]) * H, states((size_t(i) * NS + s) * wide), H);
}

// Runs scan(group, sums) over all groups and adds the sums of all, `size` numbers, into dbias.
template <class T, class Scan>
inline void with_sums(const std::vector<Group>& groups, int threads, int size, T* total, const Scan& scan) {
    std::vector<Buffer<double>> sums(groups.size());
    for (auto& sum : sums) sum.resize(size);
    over_groups(groups, threads, [&](const Group& group, int index) { scan(group, sums[index]()); });
    for (int j = 0; j < size; ++j) {
        double all = 0;
        for (const auto& sum : sums) all += sum()[j];
        total[j] = T(all);
    }
}

}  // namespace s2s
