#ifndef UNIT_NODE_EXCHANGE_H
#define UNIT_NODE_EXCHANGE_H

/* Up to four nodes over an exchange in memory, under a clock that is made up: what the tests of the
 * node's own files share. The network is one fixed latency; it can lose everything and can send
 * back what goes to one address. Equal calls give an equal trace. */

#include "base/hash.h"
#include "node/node.h"
#include "node/queue.h"
#include "node/state.h"
#include "wire/writer.h"

#include <stdlib.h>
#include <string.h>

#include "defaults.h"
#include "unit/client.h"
#include "unit/test.h"

enum { NODES_MAX = 4, QUEUE_MAX = 4096 };

#define LATENCY_US UINT64_C(500)
#define SECOND_US  UINT64_C(1000000)
#define START_S    UINT64_C(1790000000)

struct datagram {
    struct address from;
    struct address to;
    uint64_t due_us;
    size_t size;
    uint8_t data[WIRE_EXTENDED_BYTES_MAX];
};

struct place {
    struct mem mem;
    struct table *table;
    struct node *node;
    bool dirty; /* something came: a turn is due */
};

struct fixture {
    struct place places[NODES_MAX];
    unsigned count;
    struct moment now;
    struct datagram *queue; /* a ring; latency is one for all, so it is in order */
    size_t first;
    size_t queued;
    uint64_t sent;               /* datagrams */
    uint64_t turns;              /* of all nodes */
    uint64_t trace;              /* hash of all datagrams, in order */
    bool lossy;                  /* drop every datagram */
    const struct address *alias; /* what goes there comes back from there */
    uint64_t lose;               /* this datagram is lost, counted from 1; 0: none */
    struct datagram stray;       /* the last one to an address that is no node's */
    uint64_t strays;
};

static inline int setup(void **state)
{
    static struct fixture fixture;

    memset(&fixture, 0, sizeof fixture);
    fixture.now = (struct moment){ .mono_us = SECOND_US, .unix_s = START_S };
    fixture.queue = calloc(QUEUE_MAX, sizeof *fixture.queue);
    *state = &fixture;
    return fixture.queue == NULL ? -1 : 0;
}

static inline void places_clear(struct fixture *fixture)
{
    for (unsigned i = 0; i < fixture->count; i++) {
        struct place *place = &fixture->places[i];

        if (place->node != NULL) {
            node_audit(place->node);
            table_audit(place->table);
        }
        node_free(place->node);
        table_free(place->table);
        assert_int_equal(place->mem.used_bytes, 0);
        *place = (struct place){ .node = NULL };
    }
    fixture->count = 0;
    fixture->queued = 0;
}

static inline int teardown(void **state)
{
    struct fixture *fixture = *state;

    places_clear(fixture);
    free(fixture->queue);
    return 0;
}

static inline struct address address_of(unsigned number)
{
    return (struct address){
        .ip = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)(1 + number) },
        .port = 6000,
    };
}

static inline struct bytes bytes_of(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

static inline struct node_options options_of(unsigned number)
{
    return (struct node_options){
        NODE_DEFAULTS,
        .self = address_of(number),
        .seed = 100 + number,
        .token_secret = { (uint8_t)(number + 1) },
        .http_port = (uint16_t)(8000 + number),
    };
}

static inline struct place *place_create(struct fixture *fixture,
                                         const struct node_options *options, uint64_t keys_max)
{
    struct place *place = &fixture->places[fixture->count++];
    const struct table_options table_options = {
        .mem = &place->mem,
        .hash_secret = { (uint8_t)fixture->count },
        .cluster_id = options->cluster_id,
        .keys_max = keys_max,
        .digest_mask = UINT64_MAX,
    };

    assert_int_equal(table_create(&table_options, &place->table), STATUS_OK);
    assert_int_equal(node_create(options, &place->mem, place->table, fixture->now, &place->node),
                     STATUS_OK);
    place->dirty = true;
    return place;
}

/* The next node; the first one is the seed of all others. */
static inline void node_add(struct fixture *fixture, const struct node_options *options)
{
    const struct address seed = address_of(0);
    const bool is_seed = fixture->count == 0;
    struct place *place = place_create(fixture, options, 0);

    if (!is_seed) {
        node_seeds(place->node, fixture->now, &seed, 1);
    }
}

static inline void nodes_create(struct fixture *fixture, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct node_options options = options_of(i);

        node_add(fixture, &options);
    }
}

static inline void datagram_send(struct fixture *fixture, const struct address *from,
                                 const struct address *to, struct bytes bytes)
{
    struct datagram *datagram;

    fixture->sent++;
    fixture->trace = hash_mix(fixture->trace ^ fixture->now.mono_us,
                              hash_sip((const uint8_t[16]){ 0 }, bytes) ^ to->ip[15]);
    if (fixture->lossy || fixture->sent == fixture->lose) {
        return;
    }
    assert_true(fixture->queued < QUEUE_MAX);
    datagram = &fixture->queue[(fixture->first + fixture->queued++) % QUEUE_MAX];
    *datagram = (struct datagram){
        .from = *from, .to = *to, .due_us = fixture->now.mono_us + LATENCY_US, .size = bytes.size
    };
    memcpy(datagram->data, bytes.data, bytes.size);
}

static inline void place_turn(struct fixture *fixture, struct place *place)
{
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    const struct space space = { buffer, sizeof buffer };
    struct address to;
    size_t size;

    fixture->turns++;
    place->dirty = false;
    if (fixture->now.mono_us >= node_due_us(place->node)) {
        node_tick(place->node, fixture->now);
    }
    while ((size = node_emit(place->node, fixture->now, space, &to)) > 0) {
        datagram_send(fixture, &place->node->options.self, &to, (struct bytes){ buffer, size });
    }
    node_turn_end(place->node);
}

static inline struct place *place_at(struct fixture *fixture, const struct address *address)
{
    for (unsigned i = 0; i < fixture->count; i++) {
        if (fixture->places[i].node != NULL
            && address_compare(&fixture->places[i].node->options.self, address) == 0) {
            return &fixture->places[i];
        }
    }
    return NULL;
}

static inline void now_set(struct fixture *fixture, uint64_t mono_us)
{
    fixture->now.mono_us = mono_us;
    fixture->now.unix_s = START_S + mono_us / SECOND_US;
}

static inline uint64_t next_us(const struct fixture *fixture)
{
    uint64_t due_us = UINT64_MAX;

    if (fixture->queued > 0) {
        due_us = fixture->queue[fixture->first].due_us;
    }
    for (unsigned i = 0; i < fixture->count; i++) {
        const struct place *place = &fixture->places[i];
        const uint64_t node_us = place->node == NULL ? UINT64_MAX : node_due_us(place->node);

        if (place->dirty) {
            return fixture->now.mono_us;
        }
        due_us = node_us < due_us ? node_us : due_us;
    }
    return due_us;
}

/* Let everything happen that is due until so many microseconds have passed. */
static inline void run_us(struct fixture *fixture, uint64_t duration_us)
{
    const uint64_t end_us = fixture->now.mono_us + duration_us;
    uint64_t due_us;

    while ((due_us = next_us(fixture)) <= end_us) {
        if (due_us > fixture->now.mono_us) {
            now_set(fixture, due_us);
        }
        while (fixture->queued > 0
               && fixture->queue[fixture->first].due_us <= fixture->now.mono_us) {
            const struct datagram *datagram = &fixture->queue[fixture->first];
            const bool mirrored =
                fixture->alias != NULL && address_compare(&datagram->to, fixture->alias) == 0;
            struct place *place = place_at(fixture, mirrored ? &datagram->from : &datagram->to);

            if (place != NULL) {
                node_receive(place->node, fixture->now, mirrored ? &datagram->to : &datagram->from,
                             (struct bytes){ datagram->data, datagram->size });
                place->dirty = true;
            } else {
                fixture->stray = *datagram;
                fixture->strays++;
            }
            fixture->first = (fixture->first + 1) % QUEUE_MAX;
            fixture->queued--;
        }
        for (unsigned i = 0; i < fixture->count; i++) {
            struct place *place = &fixture->places[i];

            if (place->node != NULL
                && (place->dirty || node_due_us(place->node) <= fixture->now.mono_us)) {
                place_turn(fixture, place);
            }
        }
    }
    now_set(fixture, end_us);
}

/* A client's update of one element. */
static inline enum status update(struct fixture *fixture, unsigned number, const char *key,
                                 uint64_t index, uint64_t value, struct client_done *done)
{
    struct place *place = &fixture->places[number];

    place->dirty = true;
    return client_write_one(place->node, fixture->now, bytes_of(key), index, value, done);
}

static inline uint64_t value_at(const struct fixture *fixture, unsigned number, const char *key,
                                uint64_t index)
{
    const struct entry *entry = table_find(fixture->places[number].table, bytes_of(key));

    return entry == NULL ? 0 : vector_get(entry_vector(entry), index);
}

static inline enum peer_state state_at(const struct fixture *fixture, unsigned number, unsigned of)
{
    const struct address address = address_of(of);
    struct peer_view view;

    if (!node_peer(fixture->places[number].node, &address, &view)) {
        return PEER_STATE_COUNT;
    }
    return (enum peer_state)view.state;
}

/* A plain message from an address that is no node of ours. */
static inline void plain_send(struct fixture *fixture, unsigned from, unsigned to, const char *key,
                              uint64_t index, uint64_t value, uint8_t ttl)
{
    const struct address source = address_of(from);
    const struct address target = address_of(to);
    const uint8_t offset = (uint8_t)index;
    const struct block block = {
        .number = index >> 8, .values = &value, .offsets = &offset, .count = 1, .width = 8
    };
    uint8_t buffer[WIRE_PLAIN_BYTES_MAX];
    struct writer writer;

    writer_begin_plain(&writer, (struct space){ buffer, sizeof buffer }, bytes_of(key), ttl, false);
    assert_int_equal(writer_put_block(&writer, &block, NULL), BLOCK_ELEMENTS);
    datagram_send(fixture, &source, &target, writer_end(&writer));
}

#endif /* UNIT_NODE_EXCHANGE_H */
