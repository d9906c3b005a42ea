/* What reading and writing datagrams costs, beside bare loops over the same bytes.
 *
 * Prints one line a figure:
 *
 *     name value unit baseline value ratio
 *
 *     decode_1, decode_140, decode_290   a plain message of so many elements: message_decode() and
 *                       the walk by elements_next(); baseline bare: a cursor that expects key,
 *                       vector and ttl in this order, checks bounds and forms, and adds up
 *     pack_sketch       64 blocks of registers, 7.9 KiB packed, into as many datagrams as it takes;
 *                       baseline bare: 16,384 codes of 3 bits put together bit by bit
 *     sketch_bytes      of those datagrams, framing included; baseline six_bits_each: 12,288 bytes;
 *                       with the goal of that ratio behind it
 *     unpack_sketch     the same datagrams: message_decode(), message_next_item(), elements_next();
 *                       baseline bare: 16,384 codes of 3 bits taken apart
 *
 * Medians of ROUNDS rounds, ours and the bare loop in turns. All that is read is added into a sum
 * that goes to standard error, so that no work can be left out. */

#include "base/random.h"
#include "wire/message.h"
#include "wire/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS        101
#define MESSAGES      64 /* of one row, all different */
#define REPEATS       20
#define SKETCH_BLOCKS 64
#define SKETCH_BYTES  (SKETCH_BLOCKS * BLOCK_ELEMENTS)
#define DATAGRAMS_MAX 16
#define CODE_BITS     3
#define CODES_BYTES   (SKETCH_BYTES * CODE_BITS / 8)

struct datagram {
    uint8_t bytes[2048];
    size_t size;
};

struct bench {
    struct random random;
    struct datagram messages[MESSAGES];
    struct datagram packed[DATAGRAMS_MAX];
    unsigned packed_count;
    uint8_t registers[SKETCH_BYTES];
    uint8_t codes[CODES_BYTES];
    double ours_ns[ROUNDS];
    double bare_ns[ROUNDS];
    uint64_t sum;
};

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int double_compare(const void *one, const void *other)
{
    const double a = *(const double *)one;
    const double b = *(const double *)other;

    return (a > b) - (a < b);
}

static double median(double *list)
{
    qsort(list, ROUNDS, sizeof *list, double_compare);
    return list[ROUNDS / 2];
}

/* One row: `ours` and `bare` in turns, `count` units of work a call each. */
static void row(struct bench *bench, const char *name, double count, void (*ours)(struct bench *),
                void (*bare)(struct bench *))
{
    double ours_ns;
    double bare_ns;

    for (unsigned round = 0; round < ROUNDS; round++) {
        const double start = now_ns();
        double middle;

        ours(bench);
        middle = now_ns();
        bare(bench);
        bench->ours_ns[round] = (middle - start) / count;
        bench->bare_ns[round] = (now_ns() - middle) / count;
    }
    ours_ns = median(bench->ours_ns);
    bare_ns = median(bench->bare_ns);
    printf("%s %.1f ns bare %.1f %.2f\n", name, ours_ns, bare_ns, ours_ns / bare_ns);
}

/* Messages whose indices ascend through a few blocks, as a sketch's do. */
static void messages_make(struct bench *bench, unsigned elements)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct datagram *datagram = &bench->messages[i];
        uint8_t *to = datagram->bytes;
        unsigned index = (unsigned)random_below(&bench->random, 16);
        char key[24];
        const int size = snprintf(key, sizeof key, "visitors:%u",
                                  (unsigned)random_below(&bench->random, 10000000));

        memcpy(to, "\x83\xa3key", 5);
        to[5] = (uint8_t)(0xa0 + size);
        memcpy(to + 6, key, (size_t)size);
        to += 6 + size;
        memcpy(to, "\xa6vector\xde", 8);
        to[8] = (uint8_t)(elements >> 8);
        to[9] = (uint8_t)elements;
        to += 10;
        if (elements < 16) {
            to[-3] = (uint8_t)(0x80 + elements);
            to -= 2;
        }
        for (unsigned n = 0; n < elements; n++) {
            if (index < 0x80) {
                *to++ = (uint8_t)index;
            } else if (index <= UINT8_MAX) {
                *to++ = 0xcc;
                *to++ = (uint8_t)index;
            } else {
                *to++ = 0xcd;
                *to++ = (uint8_t)(index >> 8);
                *to++ = (uint8_t)index;
            }
            *to++ = (uint8_t)(1 + random_below(&bench->random, 12));
            index += 1 + (unsigned)random_below(&bench->random, 50);
        }
        memcpy(to, "\xa3ttl\x03", 5);
        datagram->size = (size_t)(to + 5 - datagram->bytes);
    }
}

static void decode_ours(struct bench *bench)
{
    for (unsigned n = 0; n < REPEATS; n++) {
        for (unsigned i = 0; i < MESSAGES; i++) {
            const struct bytes bytes = { bench->messages[i].bytes, bench->messages[i].size };
            struct message message;
            struct block_room room;
            struct block block;

            if (message_decode(bytes, &message) != WIRE_OK) {
                exit(1);
            }
            while (elements_next(&message.plain.elements, &room, &block)) {
                bench->sum += block.number + block_offset(&block, 0) + block_value(&block, 0);
            }
            bench->sum += message.ttl + message.plain.key.size;
        }
    }
}

/* Bytes of a number as most are, and its value; 0: another form, or cut short. */
static inline unsigned bare_number(const uint8_t *at, const uint8_t *end, uint64_t *number)
{
    if (at < end && at[0] < 0x80) {
        *number = at[0];
        return 1;
    }
    if (end - at >= 3 && at[0] == 0xcd) {
        *number = (uint64_t)at[1] << 8 | at[2];
        return 3;
    }
    if (end - at >= 2 && at[0] == 0xcc) {
        *number = at[1];
        return 2;
    }
    return 0;
}

static uint64_t bare_message(const uint8_t *at, const uint8_t *end)
{
    uint64_t sum = 0;
    uint64_t number = 0;
    unsigned left;
    unsigned size;

    if (end - at < 6 || at[0] != 0x83 || memcmp(at + 1, "\xa3key", 4) != 0) {
        exit(1);
    }
    size = at[5] - 0xa0u;
    if (end - at < 6 + (ptrdiff_t)size + 10 || memcmp(at + 6 + size, "\xa6vector", 7) != 0) {
        exit(1);
    }
    sum += size;
    at += 6 + size + 7;
    left = at[0] == 0xde ? (unsigned)at[1] << 8 | at[2] : at[0] & 0x0fu;
    at += at[0] == 0xde ? 3 : 1;
    for (; left > 0; left--) {
        for (unsigned i = 0; i < 2; i++) {
            size = bare_number(at, end, &number);
            if (size == 0) {
                exit(1);
            }
            sum += number;
            at += size;
        }
    }
    if (end - at != 5 || memcmp(at, "\xa3ttl", 4) != 0) {
        exit(1);
    }
    return sum + at[4];
}

static void decode_bare(struct bench *bench)
{
    for (unsigned n = 0; n < REPEATS; n++) {
        for (unsigned i = 0; i < MESSAGES; i++) {
            const struct datagram *datagram = &bench->messages[i];

            bench->sum += bare_message(datagram->bytes, datagram->bytes + datagram->size);
        }
    }
}

/* A register of a sketch of a million elements: ranks from 1 on, the largest of some 60. */
static uint8_t register_draw(struct random *random)
{
    uint8_t most = 0;

    for (unsigned i = 0; i < 61; i++) {
        const uint8_t rank = (uint8_t)(1 + __builtin_ctzll(random_next(random) | 1ull << 50));

        most = rank > most ? rank : most;
    }
    return most;
}

static void pack_begin(struct bench *bench, struct writer *writer)
{
    static const struct envelope envelope = { .has = WIRE_HAS_SENDER | WIRE_HAS_SEQUENCE,
                                              .sender_id = 0x12345678,
                                              .sequence = 0x9abcdef0 };
    struct datagram *datagram = &bench->packed[bench->packed_count++];
    const struct space space = { datagram->bytes, WIRE_EXTENDED_BYTES_MAX };

    writer_begin_ordinary(writer, space, &envelope);
    if (!writer_begin_item(writer, (struct bytes){ (const uint8_t *)"visitors:1", 10 }, false, 0)) {
        exit(1);
    }
}

static void pack_end(struct bench *bench, struct writer *writer)
{
    writer_end_item(writer);
    bench->packed[bench->packed_count - 1].size = writer_end(writer).size;
}

static void pack_ours(struct bench *bench)
{
    struct writer writer;

    bench->packed_count = 0;
    pack_begin(bench, &writer);
    for (unsigned i = 0; i < SKETCH_BLOCKS; i++) {
        const struct block block = { .number = i,
                                     .values = bench->registers + i * BLOCK_ELEMENTS,
                                     .count = BLOCK_ELEMENTS,
                                     .width = 1 };
        struct mark mark = { i, { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX } };
        unsigned end;

        while ((end = writer_put_block(&writer, &block, &mark)) < BLOCK_ELEMENTS) {
            for (unsigned o = 0; o < end; o++) {
                mark.bits[o >> 6] &= ~(UINT64_C(1) << (o & 63));
            }
            pack_end(bench, &writer);
            pack_begin(bench, &writer);
        }
    }
    pack_end(bench, &writer);
    bench->sum += bench->packed[0].bytes[100];
}

static void pack_bare(struct bench *bench)
{
    uint8_t *to = bench->codes;
    unsigned held = 0;
    unsigned held_bits = 0;

    for (unsigned i = 0; i < SKETCH_BYTES; i++) {
        held |= (bench->registers[i] & 7u) << held_bits;
        held_bits += CODE_BITS;
        if (held_bits >= 8) {
            *to++ = (uint8_t)held;
            held >>= 8;
            held_bits -= 8;
        }
    }
    bench->sum += bench->codes[100];
}

static void unpack_ours(struct bench *bench)
{
    for (unsigned i = 0; i < bench->packed_count; i++) {
        const struct bytes bytes = { bench->packed[i].bytes, bench->packed[i].size };
        struct message message;
        struct item item;

        if (message_decode(bytes, &message) != WIRE_OK) {
            exit(1);
        }
        while (message_next_item(&message.items, &item)) {
            struct block_room room;
            struct block block;

            while (elements_next(&item.elements, &room, &block)) {
                bench->sum += block.count + block_value(&block, 0);
            }
        }
    }
}

static void unpack_bare(struct bench *bench)
{
    const uint8_t *at = bench->codes;
    uint8_t values[BLOCK_ELEMENTS];
    unsigned held = 0;
    unsigned held_bits = 0;

    for (unsigned i = 0; i < SKETCH_BYTES; i++) {
        if (held_bits < CODE_BITS) {
            held |= (unsigned)*at++ << held_bits;
            held_bits += 8;
        }
        values[i % BLOCK_ELEMENTS] = (uint8_t)(4 + (held & 7));
        held >>= CODE_BITS;
        held_bits -= CODE_BITS;
        if (i % BLOCK_ELEMENTS == 0) {
            bench->sum += values[i / BLOCK_ELEMENTS];
        }
    }
}

int main(void)
{
    static struct bench bench;
    const double decodes = MESSAGES * REPEATS;
    double packed_bytes = 0;

    random_seed(&bench.random, 1, 0);
    messages_make(&bench, 1);
    row(&bench, "decode_1", decodes, decode_ours, decode_bare);
    messages_make(&bench, 140);
    row(&bench, "decode_140", decodes, decode_ours, decode_bare);
    messages_make(&bench, 290);
    row(&bench, "decode_290", decodes, decode_ours, decode_bare);
    for (unsigned i = 0; i < SKETCH_BYTES; i++) {
        bench.registers[i] = register_draw(&bench.random);
    }
    row(&bench, "pack_sketch", 1, pack_ours, pack_bare);
    for (unsigned i = 0; i < bench.packed_count; i++) {
        packed_bytes += (double)bench.packed[i].size;
    }
    printf("sketch_bytes %.0f bytes six_bits_each %d %.2f 0.70\n", packed_bytes,
           SKETCH_BYTES * 6 / 8, packed_bytes / (SKETCH_BYTES * 6.0 / 8));
    row(&bench, "unpack_sketch", 1, unpack_ours, unpack_bare);
    fprintf(stderr, "sum %llu\n", (unsigned long long)bench.sum);
    return 0;
}
