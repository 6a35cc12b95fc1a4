// An allocator for torch's tensors on the CPU that keeps the memory of freed tensors for the next ones.
//
// A training step frees and asks for hundreds of large tensors whose sizes vary with the batch. The C library's heap
// fragments under them, and each piece that it takes anew costs a page fault for every 4 KB: on virtual machines more than
// the arithmetic on them. Here sizes are rounded up to four a doubling, and a freed block waits for the next tensor of
// nearly its size. What waits is bounded by a share of the most that was ever in use; what has waited longest goes first.
#include <cstdlib>
#include <list>
#include <mutex>
#include <vector>

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

namespace {

constexpr size_t ALIGNED = 64, SMALL = 32 << 10;
constexpr int CLASSES = 4 * 40, NEAREST = 2;

// Before each block: an aligned line of its own.
struct Header {
    size_t bytes;  // with the header; 0: not kept when freed
    int kind;
    std::list<Header*>::iterator waiting;
};
static_assert(sizeof(Header) <= ALIGNED, "the header has one line");

struct Size {
    int kind;
    size_t bytes;
};

// The next of 4, 5, 6, 7 times a power of two.
Size size_of(size_t wanted) {
    int shift = 0;
    while ((wanted >> shift) >= 8) ++shift;
    size_t quarter = (wanted + (size_t(1) << shift) - 1) >> shift;  // 4 ... 8
    if (quarter == 8) quarter = 4, ++shift;
    return {4 * shift + int(quarter) - 4, quarter << shift};
}

class Keeper {
  public:
    void* take(size_t n) {
        if (n < SMALL) return fresh(0, n + ALIGNED, 0);
        const Size size = size_of(n + ALIGNED);
        std::lock_guard<std::mutex> lock(mutex_);
        for (int kind = size.kind; kind <= size.kind + NEAREST && kind < CLASSES; ++kind)
            if (!free_[kind].empty()) {
                Header* block = free_[kind].back();
                forget(block);
                used(block->bytes);
                return data_of(block);
            }
        void* data = fresh(size.bytes, size.bytes, size.kind);
        used(size.bytes);
        return data;
    }
    void give(void* data) {
        if (!data) return;
        Header* block = reinterpret_cast<Header*>(static_cast<char*>(data) - ALIGNED);
        if (!block->bytes) return std::free(block);
        std::lock_guard<std::mutex> lock(mutex_);
        used_ -= block->bytes, waiting_ += block->bytes;
        free_[block->kind].push_back(block);
        block->waiting = waiting_list_.insert(waiting_list_.end(), block);
        drop(most_ / 2 * 3 > used_ ? most_ / 2 * 3 - used_ : 0);
    }
    // Frees all that waits; the most in use counts from now.
    void give_back() {
        std::lock_guard<std::mutex> lock(mutex_);
        drop(0);
        most_ = used_;
    }

  private:
    static void* data_of(Header* block) { return reinterpret_cast<char*>(block) + ALIGNED; }
    void* fresh(size_t kept, size_t bytes, int kind) {
        bytes = (bytes + ALIGNED - 1) / ALIGNED * ALIGNED;
        void* memory = std::aligned_alloc(ALIGNED, bytes);
        if (!memory) {
            drop(0);
            memory = std::aligned_alloc(ALIGNED, bytes);
        }
        TORCH_CHECK(memory, "can't allocate memory: you tried to allocate ", bytes, " bytes");
        Header* block = new (memory) Header{kept, kind, {}};
        return data_of(block);
    }
    void used(size_t bytes) {
        used_ += bytes;
        if (used_ > most_) most_ = used_;
    }
    void forget(Header* block) {
        auto& same = free_[block->kind];
        for (size_t i = same.size(); i-- > 0;)
            if (same[i] == block) {
                same.erase(same.begin() + long(i));
                break;
            }
        waiting_list_.erase(block->waiting);
        waiting_ -= block->bytes;
    }
    // Until no more than so many bytes wait.
    void drop(size_t bytes) {
        while (waiting_ > bytes) {
            Header* block = waiting_list_.front();
            forget(block);
            std::free(block);
        }
    }

    std::mutex mutex_;
    std::vector<Header*> free_[CLASSES];
    std::list<Header*> waiting_list_;  // the longest first
    size_t used_ = 0, waiting_ = 0, most_ = 0;
};

// Never destroyed: tensors may outlive everything.
Keeper& keeper() {
    static Keeper* one = new Keeper;
    return *one;
}

void give(void* data) { keeper().give(data); }

struct Pages final : c10::Allocator {
    c10::DataPtr allocate(size_t n) override {
        void* data = n ? keeper().take(n) : nullptr;
        return {data, data, &give, c10::Device(c10::DeviceType::CPU)};
    }
    c10::DeleterFnPtr raw_deleter() const override { return &give; }
    void copy_data(void* to, const void* from, std::size_t count) const override { default_copy_data(to, from, count); }
};

}  // namespace

extern "C" void pages_keep() {
    static Pages* pages = new Pages;
    c10::SetCPUAllocator(pages, 1);
}

extern "C" void pages_give_back() { keeper().give_back(); }
