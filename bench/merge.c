/* How long joining vectors takes, beside memcpy() of as many bytes in the same run.
 *
 * Prints one line a row, fields separated by tabs:
 *
 *     name    ours_ns    memcpy_ns    ratio
 *
 * ours_ns is one join of two sketches of 16,384 byte registers (64 dense blocks, in cache): pure by
 * vector_join(), block by block by vector_merge() without a result, with marks and digest by
 * vector_merge() as the daemon calls it; or, where the name says "element" or "block", one merge
 * of so much; memcpy_ns is one memcpy() of 16 KiB; ratio is the first by the second. "bare max
 * loop" is the least that a join can take: two loads, a maximum and a store for each byte, where
 * memcpy() has a load and a store. Medians of ROUNDS rounds, the two taken in turns. Vectors are
 * made anew before each round, outside of the time taken. "worst" rows are the longest of all calls
 * instead.
 *
 * Everything computed is added into a sum that is printed to standard error, so that no work can
 * be left out. */

#include "base/mem.h"
#include "base/random.h"
#include "store/vector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS         201
#define COPIES         8
#define SKETCH_BLOCKS  64
#define SKETCH_BYTES   ((size_t)SKETCH_BLOCKS * BLOCK_ELEMENTS)
#define MILLION_BLOCKS 1000000

/* Whole vectors, blocks without a result, and blocks as the daemon calls for them. */
enum how { PURE, PURE_BLOCKS, MARKS };

struct bench {
    struct mem mem;
    struct random random;
    struct vector ours[COPIES];
    struct vector theirs;
    struct block blocks[SKETCH_BLOCKS]; /* of theirs, as a decoder gives them */
    uint8_t registers_ours[SKETCH_BYTES];
    uint8_t registers_theirs[SKETCH_BYTES];
    uint8_t copies[COPIES][SKETCH_BYTES];
    double ours_ns[ROUNDS];
    double memcpy_ns[ROUNDS];
    uint64_t sum;
};

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int double_compare(const void *one, const void *other)
{
    const double a = *(const double *)one;
    const double b = *(const double *)other;

    return (a > b) - (a < b);
}

static double median(double *list, size_t count)
{
    qsort(list, count, sizeof *list, double_compare);
    return list[count / 2];
}

static void row_print(const char *name, double ours_ns, double memcpy_ns)
{
    printf("%s\t%.1f\t%.1f\t%.2f\n", name, ours_ns, memcpy_ns, ours_ns / memcpy_ns);
}

static void merge_or_die(struct bench *bench, struct vector *vector, const struct block *block,
                         struct merge_result *result)
{
    if (vector_merge(vector, &bench->mem, block, 7, result) != STATUS_OK) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
}

static void vector_set(struct bench *bench, struct vector *vector, const uint8_t *registers)
{
    vector_clear(vector, &bench->mem);
    for (unsigned i = 0; i < SKETCH_BLOCKS; i++) {
        const struct block block = {
            .number = i,
            .values = registers + i * BLOCK_ELEMENTS,
            .count = BLOCK_ELEMENTS,
            .width = 1,
        };

        merge_or_die(bench, vector, &block, NULL);
    }
}

/* A register of a sketch of many elements: geometric, around 6. */
static uint8_t register_draw(struct random *random)
{
    uint64_t bits = random_next(random);
    uint8_t value = 5;

    while ((bits & 1) != 0) {
        bits >>= 1;
        value++;
    }
    return value;
}

/* Theirs is larger than ours at `raised` random places; -1: two unrelated sketches. */
static void registers_draw(struct bench *bench, int raised)
{
    for (size_t i = 0; i < SKETCH_BYTES; i++) {
        bench->registers_ours[i] = register_draw(&bench->random);
        bench->registers_theirs[i] =
            raised < 0 ? register_draw(&bench->random) : bench->registers_ours[i];
    }
    for (int i = 0; i < raised; i++) {
        bench->registers_theirs[random_below(&bench->random, SKETCH_BYTES)]++;
    }
}

static void join(struct bench *bench, struct vector *ours, enum how how)
{
    struct merge_result result;

    if (how == PURE) {
        if (vector_join(ours, &bench->mem, &bench->theirs) != STATUS_OK) {
            exit(1);
        }
        bench->sum += vector_size(ours);
        return;
    }
    for (size_t i = 0; i < SKETCH_BLOCKS; i++) {
        if (how == PURE_BLOCKS) {
            merge_or_die(bench, ours, &bench->blocks[i], NULL);
        } else {
            merge_or_die(bench, ours, &bench->blocks[i], &result);
            bench->sum += result.digest_delta + result.raised.bits[0];
        }
    }
}

static void copy(struct bench *bench, unsigned i)
{
    memcpy(bench->copies[i], bench->registers_theirs, SKETCH_BYTES);
    /* The copy is read by somebody, for all the compiler knows. */
    __asm__ volatile("" : : "r"(bench->copies[i]) : "memory");
}

static void row_sketch(struct bench *bench, const char *name, int raised, enum how how)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        double start;

        registers_draw(bench, raised);
        vector_set(bench, &bench->theirs, bench->registers_theirs);
        for (size_t i = 0; i < SKETCH_BLOCKS; i++) {
            struct block_room room;

            bench->blocks[i] = vector_block(&bench->theirs, i, &room);
        }
        for (unsigned i = 0; i < COPIES; i++) {
            vector_set(bench, &bench->ours[i], bench->registers_ours);
        }
        start = now_ns();
        for (unsigned i = 0; i < COPIES; i++) {
            join(bench, &bench->ours[i], how);
        }
        bench->ours_ns[round] = (now_ns() - start) / COPIES;
        for (unsigned i = 0; i < COPIES; i++) {
            copy(bench, i); /* into cache, as ours are */
        }
        start = now_ns();
        for (unsigned i = 0; i < COPIES; i++) {
            copy(bench, i);
        }
        bench->memcpy_ns[round] = (now_ns() - start) / COPIES;
        bench->sum += bench->copies[round % COPIES][round];
    }
    row_print(name, median(bench->ours_ns, ROUNDS), median(bench->memcpy_ns, ROUNDS));
}

/* In a second version for what most processors can, as in store/merge. */
#ifdef __x86_64__
__attribute__((target("avx2"))) static void max_wide(uint8_t *restrict ours,
                                                     const uint8_t *restrict theirs)
{
    for (size_t i = 0; i < SKETCH_BYTES; i++) {
        ours[i] = theirs[i] > ours[i] ? theirs[i] : ours[i];
    }
}
#endif

static void max_bare(uint8_t *restrict ours, const uint8_t *restrict theirs)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) {
        max_wide(ours, theirs);
        return;
    }
#endif
    for (size_t i = 0; i < SKETCH_BYTES; i++) {
        ours[i] = theirs[i] > ours[i] ? theirs[i] : ours[i];
    }
}

static void row_bare(struct bench *bench)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        double start;

        for (unsigned i = 0; i < COPIES; i++) {
            memcpy(bench->copies[i], bench->registers_ours, SKETCH_BYTES);
        }
        start = now_ns();
        for (unsigned i = 0; i < COPIES; i++) {
            max_bare(bench->copies[i], bench->registers_theirs);
            __asm__ volatile("" : : "r"(bench->copies[i]) : "memory");
        }
        bench->ours_ns[round] = (now_ns() - start) / COPIES;
        start = now_ns();
        for (unsigned i = 0; i < COPIES; i++) {
            copy(bench, i);
        }
        bench->memcpy_ns[round] = (now_ns() - start) / COPIES;
        bench->sum += bench->copies[round % COPIES][round];
    }
    row_print("bare max loop", median(bench->ours_ns, ROUNDS), median(bench->memcpy_ns, ROUNDS));
}

/* A new vector filled by a pure join: what a union begins with. */
static void row_first_join(struct bench *bench, double memcpy_ns)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        const double start = now_ns();

        for (unsigned i = 0; i < COPIES; i++) {
            vector_clear(&bench->ours[i], &bench->mem);
            join(bench, &bench->ours[i], PURE);
        }
        bench->ours_ns[round] = (now_ns() - start) / COPIES;
    }
    row_print("pure, into an empty vector", median(bench->ours_ns, ROUNDS), memcpy_ns);
}

/* One element into a vector that has it: raised each time, or never. */
static void row_element(struct bench *bench, const char *name, unsigned elements, bool rises,
                        double memcpy_ns)
{
    enum { MERGES = 1000 };
    struct vector *vector = &bench->ours[0];
    struct merge_result result;
    uint32_t value = 1 << 24; /* four bytes from the first on */
    uint8_t offset = 0;
    struct block block = { .values = &value, .offsets = &offset, .count = 1, .width = 4 };

    vector_clear(vector, &bench->mem);
    for (unsigned i = 0; i < elements; i++) {
        offset = (uint8_t)i;
        merge_or_die(bench, vector, &block, NULL);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        const double start = now_ns();

        for (unsigned i = 0; i < MERGES; i++) {
            value += rises;
            merge_or_die(bench, vector, &block, &result);
            bench->sum += result.digest_delta;
        }
        bench->ours_ns[round] = (now_ns() - start) / MERGES;
    }
    row_print(name, median(bench->ours_ns, ROUNDS), memcpy_ns);
}

/* Processor time of this thread: what else runs on the machine is not in it. */
static double thread_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* A million new blocks at random, from an empty vector on. Returns the longest that one took, or,
 * not asked to watch each, what they took together. */
static double million_ns(struct bench *bench, bool each)
{
    struct vector *vector = &bench->ours[0];
    const uint8_t value = 5;
    const uint8_t offset = 9;
    struct block block = { .values = &value, .offsets = &offset, .count = 1, .width = 1 };
    struct merge_result result;
    double start = thread_ns();
    double worst = 0;

    vector_clear(vector, &bench->mem);
    for (unsigned i = 0; i < MILLION_BLOCKS; i++) {
        block.number = random_next(&bench->random) >> 8;
        merge_or_die(bench, vector, &block, &result);
        bench->sum += result.digest_delta;
        if (each) {
            const double end = thread_ns();

            worst = end - start > worst ? end - start : worst;
            start = end;
        }
    }
    return each ? worst : thread_ns() - start;
}

static void row_million(struct bench *bench, double memcpy_ns)
{
    row_print("a new block, while a million come", million_ns(bench, false) / MILLION_BLOCKS,
              memcpy_ns);
    row_print("the same, worst", million_ns(bench, true), memcpy_ns);
}

int main(void)
{
    static struct bench bench;
    double memcpy_ns;

    random_seed(&bench.random, 1, 0);
    row_sketch(&bench, "pure, nothing rises", 0, PURE);
    row_sketch(&bench, "pure, 100 rise", 100, PURE);
    row_sketch(&bench, "pure, two unrelated", -1, PURE);
    row_bare(&bench);
    row_sketch(&bench, "pure, block by block, 100 rise", 100, PURE_BLOCKS);
    row_sketch(&bench, "with marks and digest, nothing rises", 0, MARKS);
    row_sketch(&bench, "with marks and digest, 100 rise", 100, MARKS);
    row_sketch(&bench, "with marks and digest, two unrelated", -1, MARKS);
    memcpy_ns = median(bench.memcpy_ns, ROUNDS);
    row_first_join(&bench, memcpy_ns);
    row_element(&bench, "an element, inlined, known", 1, false, memcpy_ns);
    row_element(&bench, "an element, inlined, rises", 1, true, memcpy_ns);
    row_element(&bench, "an element, sparse block, known", 60, false, memcpy_ns);
    row_element(&bench, "an element, sparse block, rises", 60, true, memcpy_ns);
    row_element(&bench, "an element, dense block, known", 256, false, memcpy_ns);
    row_element(&bench, "an element, dense block, rises", 256, true, memcpy_ns);
    row_million(&bench, memcpy_ns);
    for (unsigned i = 0; i < COPIES; i++) {
        vector_clear(&bench.ours[i], &bench.mem);
    }
    vector_clear(&bench.theirs, &bench.mem);
    fprintf(stderr, "sum %llu\n", (unsigned long long)bench.sum);
    return bench.mem.used_bytes == 0 ? 0 : 1;
}
