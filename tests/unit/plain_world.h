#ifndef UNIT_PLAIN_WORLD_H
#define UNIT_PLAIN_WORLD_H

/* One node under a clock of the test's, and what plain peers send it and get from it: nobody is at
 * the other end, so nothing is carried as in world.h, but noted. Used by the tests of presence,
 * plain and search. Every datagram that leaves is decoded and judged: plain frames have a ttl and
 * are small enough for both prototypes. */

#include "node/peers.h"
#include "node/search.h"
#include "node/state.h"

#include <stdlib.h>
#include <string.h>

#include "defaults.h"
#include "unit/client.h"
#include "unit/test.h"

#define WORLD_SAID_MAX  4096
#define WORLD_PAIRS_MAX 300
#define WORLD_START_S   UINT64_C(1800000000)
#define WORLD_MINUTES   (WORLD_START_S / 60)
#define SECOND          UINT64_C(1000000)

struct pair {
    uint64_t index;
    uint64_t value;
};

/* One datagram that left. */
struct said {
    struct address to;
    uint64_t at_us;
    size_t size;
    size_t key_size;
    size_t count;
    struct pair pairs[WORLD_PAIRS_MAX];
    char key[WIRE_KEY_BYTES_MAX + 1];
    uint8_t ttl;
    bool full;
    bool extended;
};

struct world {
    struct mem mem;
    struct table *table;
    struct node *node;
    struct moment now;
    struct node_options options;
    struct said *said;
    size_t said_count;
};

enum frame_flag { FRAME_FULL = 1, FRAME_NO_TTL = 2, FRAME_NO_VECTOR = 4, FRAME_STR8 = 8 };

/* 10.0.0.0/8: trusted by the world's options; 192.0.2.0/24 is nobody's. */
static inline struct address address_of(const char *text)
{
    struct address address;
    const struct bytes bytes = { (const uint8_t *)text, strlen(text) };

    assert_true(address_from_text(bytes, &address));
    return address;
}

static inline struct bytes bytes_of(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

static inline void world_begin(struct world *world)
{
    static struct address_range trust;
    struct table_options table_options = { .mem = &world->mem, .digest_mask = UINT64_MAX };

    assert_true(address_range_from_text(bytes_of("10.0.0.0/8"), &trust));
    table_options.cluster_id = world->options.cluster_id;
    world->now = (struct moment){ .mono_us = 100 * SECOND, .unix_s = WORLD_START_S };
    world->options.self = address_of("10.0.0.1:6001");
    world->options.seed = 7;
    world->options.http_port = 8001;
    world->options.version = NODE_VERSION(0, 63, 5);
    world->options.trust = &trust;
    world->options.trust_count = 1;
    world->said = calloc(WORLD_SAID_MAX, sizeof *world->said);
    assert_non_null(world->said);
    assert_int_equal(table_create(&table_options, &world->table), STATUS_OK);
    assert_int_equal(
        node_create(&world->options, &world->mem, world->table, world->now, &world->node),
        STATUS_OK);
}

/* The account must be back at nothing. */
static inline int world_end(struct world *world)
{
    node_free(world->node);
    table_free(world->table);
    free(world->said);
    return world->mem.used_bytes == 0 ? 0 : -1;
}

static inline int setup(void **state)
{
    static struct world world; /* a test program has one; cmocka runs tests in sequence */

    world = (struct world){ .options = { NODE_DEFAULTS } };
    world_begin(&world);
    *state = &world;
    return 0;
}

static inline int teardown(void **state)
{
    return world_end(*state);
}

static inline void said_note(struct world *world, const struct address *to, struct bytes datagram)
{
    struct said *said = &world->said[world->said_count];
    struct message message;
    struct block_room room;
    struct block block;

    assert_true(world->said_count < WORLD_SAID_MAX);
    world->said_count++;
    assert_int_equal(message_decode(datagram, &message), WIRE_OK);
    *said = (struct said){ .to = *to, .at_us = world->now.mono_us, .size = datagram.size };
    said->extended = message.extended;
    said->ttl = message.ttl;
    said->full = message.plain.full;
    said->key_size = message.plain.key.size;
    memcpy(said->key, message.plain.key.data, message.plain.key.size);
    while (elements_next(&message.plain.elements, &room, &block)) {
        for (unsigned i = 0; i < block.count; i++) {
            if (block_value(&block, i) != 0) {
                assert_true(said->count < WORLD_PAIRS_MAX);
                said->pairs[said->count].index = block.number << 8 | block_offset(&block, i);
                said->pairs[said->count].value = block_value(&block, i);
                said->count++;
            }
        }
    }
    if (!message.extended) {
        assert_true(message.has_ttl);
        assert_true(message.ttl <= 3);
        assert_true(datagram.size <= WIRE_PLAIN_BYTES_MAX);
    }
}

/* Everything that may leave at this moment, then the end of the turn. */
static inline void world_emit(struct world *world)
{
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    const struct space space = { buffer, sizeof buffer };
    struct address to;
    size_t size;

    while ((size = node_emit(world->node, world->now, space, &to)) > 0) {
        said_note(world, &to, (struct bytes){ buffer, size });
    }
    node_audit(world->node);
    node_turn_end(world->node);
}

/* Let time pass, turn by turn as things are due. */
static inline void world_run(struct world *world, uint64_t us)
{
    const uint64_t end_us = world->now.mono_us + us;
    const uint64_t begin_us = world->now.mono_us;
    const uint64_t begin_s = world->now.unix_s;

    world_emit(world);
    while (world->now.mono_us < end_us) {
        const uint64_t due_us = node_due_us(world->node);

        world->now.mono_us = due_us > world->now.mono_us ? due_us : world->now.mono_us + 1000;
        if (world->now.mono_us > end_us) {
            world->now.mono_us = end_us;
        }
        world->now.unix_s = begin_s + (world->now.mono_us - begin_us) / SECOND;
        node_tick(world->node, world->now);
        world_emit(world);
    }
}

static inline size_t put_uint(uint8_t *to, uint64_t value)
{
    to[0] = 0xcf;
    for (unsigned i = 0; i < 8; i++) {
        to[1 + i] = (uint8_t)(value >> (56 - 8 * i));
    }
    return 9;
}

static inline size_t put_string(uint8_t *to, struct bytes text)
{
    to[0] = 0xda;
    to[1] = (uint8_t)(text.size >> 8);
    to[2] = (uint8_t)text.size;
    memcpy(to + 3, text.data, text.size);
    return 3 + text.size;
}

/* A plain frame as a prototype might send it; `ttl` is left out with FRAME_NO_TTL. */
static inline size_t frame_make(uint8_t *to, struct bytes key, const struct pair *pairs,
                                size_t count, uint8_t ttl, unsigned flags)
{
    unsigned fields = 1;
    size_t size = 1;

    size += put_string(to + size, bytes_of("key"));
    size += put_string(to + size, key);
    if ((flags & FRAME_NO_VECTOR) == 0) {
        fields++;
        size += put_string(to + size, bytes_of("vector"));
        to[size++] = 0xde;
        to[size++] = (uint8_t)(count >> 8);
        to[size++] = (uint8_t)count;
        for (size_t i = 0; i < count; i++) {
            size += put_uint(to + size, pairs[i].index);
            size += put_uint(to + size, pairs[i].value);
        }
    }
    if ((flags & FRAME_NO_TTL) == 0) {
        fields++;
        size += put_string(to + size, bytes_of("ttl"));
        to[size++] = ttl;
    }
    if ((flags & FRAME_FULL) != 0) {
        fields++;
        size += put_string(to + size, bytes_of("full"));
        to[size++] = 0xc3;
    }
    to[0] = (uint8_t)(0x80 | fields);
    return size;
}

/* A plain peer says something. Nothing is emitted yet. */
static inline void hear(struct world *world, const char *from, const char *key,
                        const struct pair *pairs, size_t count, uint8_t ttl, unsigned flags)
{
    static uint8_t frame[65507];
    const struct address address = address_of(from);
    const size_t size = frame_make(frame, bytes_of(key), pairs, count, ttl, flags);

    node_receive(world->node, world->now, &address, (struct bytes){ frame, size });
}

/* Plain peers that are known and live, with nothing to say to them left over. */
static inline void world_meet(struct world *world, const char *const *peers, size_t count,
                              unsigned flags)
{
    for (size_t i = 0; i < count; i++) {
        hear(world, peers[i], "greeting", NULL, 0, 1, flags);
    }
    world_run(world, 10 * SECOND);
    world->said_count = 0;
}

/* The datagrams about a key to a peer, from the nth on; NULL: none. NULL for any key or peer. */
static inline const struct said *said_find(const struct world *world, const char *to,
                                           const char *key, size_t nth)
{
    for (size_t i = 0; i < world->said_count; i++) {
        const struct said *said = &world->said[i];
        struct address address;

        if (to != NULL) {
            address = address_of(to);
        }
        if ((to == NULL || address_compare(&said->to, &address) == 0)
            && (key == NULL || strcmp(said->key, key) == 0) && nth-- == 0) {
            return said;
        }
    }
    return NULL;
}

static inline size_t said_count_of(const struct world *world, const char *to, const char *key)
{
    size_t count = 0;

    while (said_find(world, to, key, count) != NULL) {
        count++;
    }
    return count;
}

static inline uint64_t said_value(const struct said *said, uint64_t index)
{
    for (size_t i = 0; i < said->count; i++) {
        if (said->pairs[i].index == index) {
            return said->pairs[i].value;
        }
    }
    return 0;
}

/* What is stored; 0: nothing. */
static inline uint64_t stored(const struct world *world, const char *key, uint64_t index)
{
    const struct entry *entry = table_find(world->table, bytes_of(key));

    return entry == NULL ? 0 : vector_get(entry_vector(entry), index);
}

/* A client's update of one element. */
static inline void write_one(struct world *world, const char *key, uint64_t index, uint64_t value)
{
    assert_int_equal(client_write_one(world->node, world->now, bytes_of(key), index, value, NULL),
                     STATUS_OK);
}

static inline struct peer *peer_of(const struct world *world, const char *text)
{
    const struct address address = address_of(text);

    return peers_find(world->node->peers, &address);
}

#endif /* UNIT_PLAIN_WORLD_H */
