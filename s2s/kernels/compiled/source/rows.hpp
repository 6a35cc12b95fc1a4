// The rows of a batch, longest first: at every step the rows still running are the first ones, so padding costs nothing.
//
// Rows do not see each other. They are dealt to the threads, and each thread's in groups small enough that states and
// packed weights stay in the cache together; a group runs through all its steps alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

namespace s2s {

constexpr int GROUP_ROWS = 60;

struct Group {
    std::vector<int> row;     // its rows in the batch, longest first
    std::vector<int> length;  // their lengths
    int size() const { return int(row.size()); }
    int steps() const { return length.empty() ? 0 : length[0]; }
    // How many of its rows have a step t.
    int running(int t, int from) const {
        int n = from;
        while (n > 0 && length[n - 1] <= t) --n;
        while (n < size() && length[n] > t) ++n;
        return n;
    }
};

inline std::vector<Group> groups_of(int batch, int time, const int64_t* lengths, int threads) {
    std::vector<int> order(batch);
    std::iota(order.begin(), order.end(), 0);
    auto length = [&](int b) { return lengths ? int(lengths[b]) : time; };
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return length(a) > length(b); });
    int workers = std::max(1, std::min(threads, batch));
    int each = (batch + workers - 1) / workers;
    int parts = std::max(1, (each + GROUP_ROWS - 1) / GROUP_ROWS);
    std::vector<Group> groups(size_t(workers) * parts);
    for (int worker = 0; worker < workers; ++worker) {
        std::vector<int> mine;
        for (int i = worker; i < batch; i += workers) mine.push_back(order[i]);
        for (int part = 0; part < parts; ++part) {
            Group& group = groups[size_t(part) * workers + worker];
            for (size_t i = mine.size() * part / parts; i < mine.size() * (part + 1) / parts; ++i) {
                group.row.push_back(mine[i]);
                group.length.push_back(length(mine[i]));
            }
        }
    }
    return groups;
}

// run(group, index) for every group, on so many threads.
template <class F> inline void over_groups(const std::vector<Group>& groups, int threads, F run) {
    int n = int(groups.size());
#ifdef _OPENMP
#pragma omp parallel for num_threads(std::max(1, std::min(threads, n))) schedule(static, 1)
#endif
    for (int i = 0; i < n; ++i) run(groups[i], i);
    (void)threads;
}

}  // namespace s2s
