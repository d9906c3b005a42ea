/* What this file tests: whole nodes, two or three of them, over an exchange in memory: what a
 * client writes at one is read at all, what is refused leaves no trace, equal calls give equal
 * datagrams, and a node without memory is a node that goes on. */

#include "base/hash.h"
#include "node/node.h"
#include "node/state.h"

#include <stdlib.h>
#include <string.h>

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
};

static int setup(void **state)
{
    static struct fixture fixture;

    memset(&fixture, 0, sizeof fixture);
    fixture.now = (struct moment){ .mono_us = SECOND_US, .unix_s = START_S };
    fixture.queue = calloc(QUEUE_MAX, sizeof *fixture.queue);
    *state = &fixture;
    return fixture.queue == NULL ? -1 : 0;
}

static void places_clear(struct fixture *fixture)
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

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    places_clear(fixture);
    free(fixture->queue);
    return 0;
}

static struct address address_of(unsigned number)
{
    return (struct address){
        .ip = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)(1 + number) },
        .port = 6000,
    };
}

static struct bytes bytes_of(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

static struct node_options options_of(unsigned number)
{
    return (struct node_options){
        .self = address_of(number),
        .seed = 100 + number,
        .token_secret = { (uint8_t)(number + 1) },
        .http_port = (uint16_t)(8000 + number),
    };
}

static struct place *place_create(struct fixture *fixture, const struct node_options *options,
                                  uint64_t keys_max)
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
static void node_add(struct fixture *fixture, const struct node_options *options)
{
    const struct address seed = address_of(0);
    const bool is_seed = fixture->count == 0;
    struct place *place = place_create(fixture, options, 0);

    if (!is_seed) {
        node_seeds(place->node, fixture->now, &seed, 1);
    }
}

static void nodes_create(struct fixture *fixture, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct node_options options = options_of(i);

        node_add(fixture, &options);
    }
}

static void datagram_send(struct fixture *fixture, const struct address *from,
                          const struct address *to, struct bytes bytes)
{
    struct datagram *datagram;

    fixture->sent++;
    fixture->trace = hash_mix(fixture->trace ^ fixture->now.mono_us,
                              hash_sip((const uint8_t[16]){ 0 }, bytes) ^ to->ip[15]);
    if (fixture->lossy) {
        return;
    }
    assert_true(fixture->queued < QUEUE_MAX);
    datagram = &fixture->queue[(fixture->first + fixture->queued++) % QUEUE_MAX];
    *datagram = (struct datagram){
        .from = *from, .to = *to, .due_us = fixture->now.mono_us + LATENCY_US, .size = bytes.size
    };
    memcpy(datagram->data, bytes.data, bytes.size);
}

static void place_turn(struct fixture *fixture, struct place *place)
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

static struct place *place_at(struct fixture *fixture, const struct address *address)
{
    for (unsigned i = 0; i < fixture->count; i++) {
        if (fixture->places[i].node != NULL
            && address_compare(&fixture->places[i].node->options.self, address) == 0) {
            return &fixture->places[i];
        }
    }
    return NULL;
}

static void now_set(struct fixture *fixture, uint64_t mono_us)
{
    fixture->now.mono_us = mono_us;
    fixture->now.unix_s = START_S + mono_us / SECOND_US;
}

static uint64_t next_us(const struct fixture *fixture)
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
static void run_us(struct fixture *fixture, uint64_t duration_us)
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
static enum status update(struct fixture *fixture, unsigned number, const char *key, uint64_t index,
                          uint64_t value, struct node_update_result *result)
{
    struct place *place = &fixture->places[number];
    const uint8_t offset = (uint8_t)index;
    const struct block block = {
        .number = index >> 8, .values = &value, .offsets = &offset, .count = 1, .width = 8
    };
    struct mem mem = { 0 };
    struct node_update_result unwanted;
    struct vector vector;
    struct node_update change = { .key = bytes_of(key), .elements = &vector };
    struct fault why;
    enum status status;

    vector_init(&vector);
    assert_int_equal(vector_merge(&vector, &mem, &block, 0, NULL), STATUS_OK);
    status =
        node_update(place->node, fixture->now, &change, result == NULL ? &unwanted : result, &why);
    vector_clear(&vector, &mem);
    place->dirty = true;
    return status;
}

static uint64_t value_at(const struct fixture *fixture, unsigned number, const char *key,
                         uint64_t index)
{
    const struct entry *entry = table_find(fixture->places[number].table, bytes_of(key));

    return entry == NULL ? 0 : vector_get(entry_vector(entry), index);
}

static enum peer_state state_at(const struct fixture *fixture, unsigned number, unsigned of)
{
    const struct address address = address_of(of);
    struct peer_view view;

    if (!node_peer(fixture->places[number].node, &address, &view)) {
        return PEER_STATE_COUNT;
    }
    return (enum peer_state)view.state;
}

/* A plain message from an address that is no node of ours. */
static void plain_send(struct fixture *fixture, unsigned from, unsigned to, const char *key,
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

static void test_node_an_update_at_one_is_read_at_the_other(void **state)
{
    struct fixture *fixture = *state;
    struct node_update_result result;

    nodes_create(fixture, 2);
    run_us(fixture, 5 * SECOND_US);
    assert_int_equal(state_at(fixture, 0, 1), PEER_ALIVE);
    assert_int_equal(state_at(fixture, 1, 0), PEER_ALIVE);
    assert_int_equal(update(fixture, 0, "foo", 3, 7, &result), STATUS_OK);
    assert_int_equal(result.elements_raised, 1);
    assert_int_equal(result.blocks_count, 1);
    assert_true(mark_has(&result.blocks[0].raised, 3));
    run_us(fixture, SECOND_US / 5);
    assert_int_equal(value_at(fixture, 1, "foo", 3), 7);
    assert_int_equal(update(fixture, 1, "foo", 300, 9, NULL), STATUS_OK);
    run_us(fixture, SECOND_US / 5);
    assert_int_equal(value_at(fixture, 0, "foo", 300), 9);
    assert_true(table_root(fixture->places[0].table, TABLE_D)
                == table_root(fixture->places[1].table, TABLE_D));
}

static void test_node_an_update_reaches_all_of_three(void **state)
{
    struct fixture *fixture = *state;

    nodes_create(fixture, 3);
    run_us(fixture, 5 * SECOND_US);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned j = 0; j < 3; j++) {
            assert_int_equal(state_at(fixture, i, j), i == j ? PEER_STATE_COUNT : PEER_ALIVE);
        }
        assert_int_equal(update(fixture, i, "all", i, 1 + i, NULL), STATUS_OK);
    }
    run_us(fixture, SECOND_US / 2);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned j = 0; j < 3; j++) {
            assert_int_equal(value_at(fixture, i, "all", j), 1 + j);
        }
    }
}

static void test_node_what_was_written_before_they_met_is_exchanged(void **state)
{
    struct fixture *fixture = *state;

    nodes_create(fixture, 2);
    for (unsigned i = 0; i < 200; i++) {
        char key[16] = "key ";

        key[4] = (char)('a' + i % 20);
        key[5] = (char)('a' + i / 20);
        assert_int_equal(update(fixture, i % 2, key, i, 1 + i, NULL), STATUS_OK);
    }
    run_us(fixture, 20 * SECOND_US);
    assert_int_equal(table_stats(fixture->places[0].table).keys[TABLE_D], 200);
    assert_true(table_root(fixture->places[0].table, TABLE_D)
                == table_root(fixture->places[1].table, TABLE_D));
}

static void test_node_the_same_update_again_does_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct node_update_result result;
    uint64_t copies;

    nodes_create(fixture, 2);
    run_us(fixture, 5 * SECOND_US);
    assert_int_equal(update(fixture, 0, "foo", 1, 5, &result), STATUS_OK);
    assert_true(result.created);
    run_us(fixture, SECOND_US);
    copies = node_stats(fixture->places[0].node)->copies;
    assert_true(copies > 0);
    assert_int_equal(update(fixture, 0, "foo", 1, 5, &result), STATUS_OK);
    assert_false(result.created);
    assert_int_equal(result.elements_raised, 0);
    assert_true(mark_empty(&result.blocks[0].raised));
    assert_int_equal(update(fixture, 0, "foo", 1, 4, &result), STATUS_OK);
    assert_true(mark_has(&result.blocks[0].larger, 1));
    run_us(fixture, SECOND_US);
    assert_int_equal(node_stats(fixture->places[0].node)->copies, copies);
}

static void test_node_an_update_without_elements_only_looks(void **state)
{
    struct fixture *fixture = *state;
    struct vector vector;
    const struct node_update change = { .key = bytes_of("foo"), .elements = &vector };
    struct node_update_result result;
    struct fault why;

    nodes_create(fixture, 1);
    vector_init(&vector);
    assert_int_equal(node_update(fixture->places[0].node, fixture->now, &change, &result, &why),
                     STATUS_OK);
    assert_null(result.entry);
    assert_int_equal(update(fixture, 0, "foo", 1, 5, NULL), STATUS_OK);
    assert_int_equal(node_update(fixture->places[0].node, fixture->now, &change, &result, &why),
                     STATUS_OK);
    assert_non_null(result.entry);
    assert_false(result.created);
}

static void test_node_refusals_leave_everything_as_it_was(void **state)
{
    static const struct {
        const char *key;
        uint64_t value;
        enum status status;
    } rows[] = {
        { "n:10.0.0.9:6000", 1, STATUS_CONFLICT },
        { "n:[2001:db8::1]:6000", 1, STATUS_CONFLICT },
        { "fo%", 1, STATUS_CONFLICT },
        { "*", 1, STATUS_CONFLICT },
        { "", 1, STATUS_INVALID },
        { "\xff", 1, STATUS_INVALID },
        { "hll:a", 65, STATUS_INVALID },
        { "fourth", 1, STATUS_FULL },
        { "n:host:6000", 1, STATUS_FULL }, /* ordinary data */
        { "hll:a", 64, STATUS_OK },
        { "other", UINT64_MAX, STATUS_OK },
    };
    const struct node_value_rule rule = { .pattern = bytes_of("hll:*"), .value_max = 64 };
    struct node_options options = options_of(0);
    struct fixture *fixture = *state;

    options.value_rules = &rule;
    options.value_rules_count = 1;
    place_create(fixture, &options, 4); /* our own presence is one */
    assert_int_equal(update(fixture, 0, "hll:a", 1, 3, NULL), STATUS_OK);
    assert_int_equal(update(fixture, 0, "other", 1, 3, NULL), STATUS_OK);
    assert_int_equal(update(fixture, 0, "third", 1, 3, NULL), STATUS_OK);
    run_us(fixture, SECOND_US);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct table_stats before = table_stats(fixture->places[0].table);
        const uint64_t root = table_root(fixture->places[0].table, TABLE_D);

        assert_int_equal(update(fixture, 0, rows[i].key, 1, rows[i].value, NULL), rows[i].status);
        if (rows[i].status != STATUS_OK) {
            assert_int_equal(node_changes(fixture->places[0].node).count, 0);
            assert_true(table_root(fixture->places[0].table, TABLE_D) == root);
        }
        run_us(fixture, SECOND_US);
        assert_int_equal(table_stats(fixture->places[0].table).keys[TABLE_D], before.keys[TABLE_D]);
        table_audit(fixture->places[0].table);
    }
}

/* A vector of many blocks. */
static void vector_fill(struct vector *vector, struct mem *mem, unsigned blocks, uint64_t value)
{
    for (unsigned i = 0; i < blocks; i++) {
        uint64_t values[BLOCK_ELEMENTS];
        const struct block block = {
            .number = i, .values = values, .count = BLOCK_ELEMENTS, .width = 8
        };

        for (unsigned o = 0; o < BLOCK_ELEMENTS; o++) {
            values[o] = value + o + i;
        }
        assert_int_equal(vector_merge(vector, mem, &block, 0, NULL), STATUS_OK);
    }
}

static void test_node_an_update_without_memory_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct place *place;
    struct mem mem = { 0 };
    struct vector vector;
    struct node_update change = { .key = bytes_of("big"), .elements = &vector };
    struct node_update_result result;
    struct fault why;
    enum status status;

    nodes_create(fixture, 1);
    place = &fixture->places[0];
    run_us(fixture, SECOND_US);
    vector_init(&vector);
    vector_fill(&vector, &mem, 20, 1000);
    for (uint64_t countdown = 1; countdown < 60; countdown++) {
        const uint64_t root = table_root(place->table, TABLE_D);

        place->mem.fail_countdown = countdown;
        status = node_update(place->node, fixture->now, &change, &result, &why);
        place->mem.fail_countdown = 0;
        if (status == STATUS_OK) {
            break;
        }
        assert_int_equal(status, STATUS_MEMORY);
        assert_true(table_root(place->table, TABLE_D) == root);
        assert_int_equal(node_changes(place->node).count, 0);
        node_turn_end(place->node);
        table_audit(place->table);
    }
    assert_int_equal(status, STATUS_OK);
    assert_int_equal(result.elements_raised, 20 * BLOCK_ELEMENTS);
    assert_true(vector_digest(entry_vector(result.entry), entry_hash(place->table, result.entry))
                == entry_digest(result.entry));
    vector_clear(&vector, &mem);
}

static void test_node_apply_cannot_fail_after_its_room_was_promised(void **state)
{
    struct fixture *fixture = *state;
    struct place *place;
    struct mem mem = { 0 };
    struct vector vector;
    struct node_update change = { .key = bytes_of("bulk"), .elements = &vector };
    struct node_update_result result;
    struct reservation reservation = { 0 };
    struct fault why;

    nodes_create(fixture, 1);
    place = &fixture->places[0];
    vector_init(&vector);
    vector_fill(&vector, &mem, 9, 1);
    assert_int_equal(node_check(place->node, &change, &why), STATUS_OK);
    assert_int_equal(
        table_reserve(place->table, 1, vector_merge_bytes_max(NULL, &vector), &reservation),
        STATUS_OK);
    place->mem.fail_countdown = 1;
    assert_int_equal(node_apply(place->node, fixture->now, &change, &reservation, &result),
                     STATUS_OK);
    place->mem.fail_countdown = 0;
    assert_int_equal(result.elements_raised, 9 * BLOCK_ELEMENTS);
    assert_true(result.created);
    table_release(place->table, &reservation);
    vector_clear(&vector, &mem);
}

static uint64_t trace_of_a_run(struct fixture *fixture)
{
    uint64_t trace;

    fixture->trace = 0;
    now_set(fixture, SECOND_US);
    nodes_create(fixture, 3);
    for (unsigned i = 0; i < 60; i++) {
        char key[] = "key a";

        key[4] = (char)('a' + i % 26);
        assert_int_equal(update(fixture, i % 3, key, i, i + 1, NULL), STATUS_OK);
        run_us(fixture, SECOND_US / 7);
    }
    trace = fixture->trace;
    places_clear(fixture);
    return trace;
}

static void test_node_the_same_calls_give_the_same_datagrams(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t trace = trace_of_a_run(fixture);

    assert_true(fixture->sent > 100);
    assert_true(trace_of_a_run(fixture) == trace);
}

static void test_node_bad_datagrams_are_counted_by_reason(void **state)
{
    static const struct {
        const char *datagram;
        enum wire_drop drop;
    } rows[] = {
        { "\xc0", WIRE_NOT_A_MAP },
        { "\x81", WIRE_TRUNCATED },
        { "\x80", WIRE_NO_KEY },
        { "\x81\xa3key\xa1k\xc0", WIRE_TRAILING },
        { "\x81\xa3key\x01", WIRE_BAD_TYPE },
    };
    struct fixture *fixture = *state;
    const struct address from = address_of(3);

    nodes_create(fixture, 1);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        node_receive(fixture->places[0].node, fixture->now, &from, bytes_of(rows[i].datagram));
        assert_int_equal(node_stats(fixture->places[0].node)->dropped[rows[i].drop], 1);
    }
    assert_int_equal(node_peers(fixture->places[0].node, NULL, &(struct peer_view){ 0 }, 1), 0);
}

static void test_node_takes_plain_messages_and_answers_what_is_larger(void **state)
{
    const struct address_range trust = { .ip = { 0 }, .bits = 0 };
    struct node_options options = options_of(0);
    struct fixture *fixture = *state;
    uint64_t sent;

    options.trust = &trust;
    options.trust_count = 1;
    place_create(fixture, &options, 0);
    plain_send(fixture, 3, 0, "foo", 1, 5, 3);
    run_us(fixture, SECOND_US);
    assert_int_equal(value_at(fixture, 0, "foo", 1), 5);
    assert_int_equal(node_stats(fixture->places[0].node)->elements_raised, 1);
    sent = node_stats(fixture->places[0].node)->sent[NODE_KIND_PLAIN];
    plain_send(fixture, 3, 0, "foo", 1, 4, 3);
    run_us(fixture, SECOND_US / 2);
    assert_int_equal(value_at(fixture, 0, "foo", 1), 5);
    assert_true(node_stats(fixture->places[0].node)->sent[NODE_KIND_PLAIN] > sent);
}

static void test_node_named_clusters_form_and_do_not_merge(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < 3; i++) {
        struct node_options options = options_of(i);

        options.cluster_id = i == 2 ? 22 : 11;
        node_add(fixture, &options);
    }
    run_us(fixture, 10 * SECOND_US);
    assert_int_equal(state_at(fixture, 0, 1), PEER_ALIVE);
    assert_int_equal(state_at(fixture, 1, 0), PEER_ALIVE);
    assert_int_equal(state_at(fixture, 0, 2), PEER_STATE_COUNT);
    assert_true(node_stats(fixture->places[0].node)->refused_cluster > 0);
    assert_int_equal(update(fixture, 0, "foo", 1, 1, NULL), STATUS_OK);
    run_us(fixture, SECOND_US);
    assert_int_equal(value_at(fixture, 1, "foo", 1), 1);
    assert_int_equal(value_at(fixture, 2, "foo", 1), 0);
    plain_send(fixture, 3, 0, "foo", 1, 5, 3);
    run_us(fixture, SECOND_US);
    assert_int_equal(value_at(fixture, 0, "foo", 1), 1);
}

static void test_node_plain_only_never_speaks_extended(void **state)
{
    struct fixture *fixture = *state;
    const struct node_stats *stats;
    struct peer_view view;

    for (unsigned i = 0; i < 3; i++) {
        struct node_options options = options_of(i);

        options.plain_only = i == 2;
        node_add(fixture, &options);
    }
    run_us(fixture, 10 * SECOND_US);
    assert_true(node_peer(fixture->places[0].node, &(struct address){ 0 }, &view) == false);
    assert_int_equal(state_at(fixture, 0, 2), PEER_ALIVE);
    assert_int_equal(update(fixture, 1, "foo", 1, 1, NULL), STATUS_OK);
    run_us(fixture, 2 * SECOND_US);
    assert_int_equal(value_at(fixture, 2, "foo", 1), 1);
    assert_int_equal(update(fixture, 2, "bar", 1, 1, NULL), STATUS_OK);
    run_us(fixture, 2 * SECOND_US);
    assert_int_equal(value_at(fixture, 0, "bar", 1), 1);
    assert_int_equal(value_at(fixture, 1, "bar", 1), 1);
    stats = node_stats(fixture->places[2].node);
    for (unsigned kind = 0; kind < NODE_KIND_COUNT; kind++) {
        if (kind != NODE_KIND_PLAIN) {
            assert_int_equal(stats->sent[kind], 0);
            assert_int_equal(stats->received[kind], 0);
        }
    }
}

static void test_node_that_leaves_is_seen_to_have_left(void **state)
{
    struct fixture *fixture = *state;

    nodes_create(fixture, 3);
    run_us(fixture, 5 * SECOND_US);
    assert_false(node_has_left(fixture->places[2].node));
    node_leave(fixture->places[2].node, fixture->now);
    assert_false(node_has_left(fixture->places[2].node));
    fixture->places[2].dirty = true;
    run_us(fixture, SECOND_US / 10);
    assert_true(node_has_left(fixture->places[2].node));
    assert_int_equal(state_at(fixture, 0, 2), PEER_LEFT);
    assert_int_equal(state_at(fixture, 1, 2), PEER_LEFT);
}

static void test_node_that_cannot_be_heard_gives_up_leaving(void **state)
{
    struct fixture *fixture = *state;

    nodes_create(fixture, 2);
    run_us(fixture, 5 * SECOND_US);
    fixture->lossy = true;
    node_leave(fixture->places[1].node, fixture->now);
    fixture->places[1].dirty = true;
    run_us(fixture, 2 * SECOND_US);
    assert_true(node_has_left(fixture->places[1].node));
}

static void test_node_forgotten_while_alive_comes_back(void **state)
{
    struct fixture *fixture = *state;
    const struct address stranger = address_of(3);
    const struct address address = address_of(1);
    struct fault why;

    nodes_create(fixture, 2);
    run_us(fixture, 5 * SECOND_US);
    assert_int_equal(node_forget(fixture->places[0].node, fixture->now, &stranger, &why),
                     STATUS_INVALID);
    assert_int_equal(node_forget(fixture->places[0].node, fixture->now, &address, &why), STATUS_OK);
    assert_int_equal(state_at(fixture, 0, 1), PEER_LEFT);
    fixture->places[0].dirty = true;
    run_us(fixture, 10 * SECOND_US);
    assert_int_equal(state_at(fixture, 0, 1), PEER_ALIVE);
    assert_true(node_stats(fixture->places[1].node)->refutations > 0);
}

static void test_node_introduced_to_another_finds_it(void **state)
{
    struct fixture *fixture = *state;
    struct address address = address_of(1);
    struct fault why;

    nodes_create(fixture, 1);
    address.port = 0;
    assert_int_equal(node_introduce(fixture->places[0].node, fixture->now, &address, &why),
                     STATUS_INVALID);
    address = address_of(0);
    assert_int_equal(node_introduce(fixture->places[0].node, fixture->now, &address, &why),
                     STATUS_INVALID);
    address = address_of(1);
    assert_int_equal(node_introduce(fixture->places[0].node, fixture->now, &address, &why),
                     STATUS_OK);
    run_us(fixture, 5 * SECOND_US);
    {
        const struct node_options options = options_of(1);

        place_create(fixture, &options, 0);
    }
    run_us(fixture, 5 * SECOND_US);
    assert_int_equal(state_at(fixture, 0, 1), PEER_ALIVE);
    assert_int_equal(state_at(fixture, 1, 0), PEER_ALIVE);
}

static void test_node_is_ready_alone_joined_or_after_ten_seconds(void **state)
{
    struct fixture *fixture = *state;
    const struct address nobody = address_of(3);

    nodes_create(fixture, 2);
    assert_true(node_is_ready(fixture->places[0].node, fixture->now));
    assert_false(node_is_ready(fixture->places[1].node, fixture->now));
    run_us(fixture, 2 * SECOND_US);
    assert_true(node_is_ready(fixture->places[1].node, fixture->now));
    {
        const struct node_options options = options_of(2);
        struct place *place = place_create(fixture, &options, 0);

        node_seeds(place->node, fixture->now, &nobody, 1);
    }
    run_us(fixture, 9 * SECOND_US);
    assert_false(node_is_ready(fixture->places[2].node, fixture->now));
    run_us(fixture, SECOND_US);
    assert_true(node_is_ready(fixture->places[2].node, fixture->now));
}

static void test_node_lists_peers_in_address_order(void **state)
{
    struct fixture *fixture = *state;
    struct peer_view views[4];
    const struct address second = address_of(2);

    nodes_create(fixture, 4);
    run_us(fixture, 5 * SECOND_US);
    assert_int_equal(node_peers(fixture->places[1].node, NULL, views, 2), 2);
    assert_int_equal(views[0].address.ip[15], 1);
    assert_int_equal(views[0].http_port, 8000);
    assert_int_equal(views[0].level, 1);
    assert_true(views[0].is_seed);
    assert_int_equal(views[1].address.ip[15], 3);
    assert_int_equal(node_peers(fixture->places[1].node, &second, views, 4), 1);
    assert_int_equal(views[0].address.ip[15], 4);
    assert_false(views[0].is_seed);
}

static void test_node_skips_a_seed_that_is_itself(void **state)
{
    struct fixture *fixture = *state;
    const struct address self = address_of(0);
    struct peer_view view;

    nodes_create(fixture, 1);
    node_seeds(fixture->places[0].node, fixture->now, &self, 1);
    run_us(fixture, 5 * SECOND_US);
    assert_int_equal(node_peers(fixture->places[0].node, NULL, &view, 1), 0);
    assert_int_equal(fixture->sent, 0);
}

/* Its own first contact comes back from a seed: the seed is an alias of its own address. */
static void test_node_knows_its_own_address_by_another_name(void **state)
{
    struct fixture *fixture = *state;
    const struct address alias = address_of(3);
    struct peer_view view;

    nodes_create(fixture, 1);
    node_seeds(fixture->places[0].node, fixture->now, &alias, 1);
    fixture->alias = &alias;
    run_us(fixture, 10 * SECOND_US);
    assert_in_range(fixture->sent, 1, 4);
    assert_int_equal(node_peers(fixture->places[0].node, NULL, &view, 1), 0);
    assert_int_equal(table_stats(fixture->places[0].table).keys[TABLE_M], 1);
}

static void test_node_idle_nodes_take_few_turns(void **state)
{
    struct fixture *fixture = *state;
    uint64_t turns;

    nodes_create(fixture, 3);
    run_us(fixture, 10 * SECOND_US);
    turns = fixture->turns;
    run_us(fixture, 60 * SECOND_US);
    assert_in_range(fixture->turns - turns, 60, 60 * 3 * 30);
}

static void test_node_that_nobody_answers_takes_few_turns(void **state)
{
    struct fixture *fixture = *state;
    uint64_t turns;

    nodes_create(fixture, 3);
    run_us(fixture, 10 * SECOND_US);
    fixture->lossy = true;
    turns = fixture->turns;
    for (unsigned i = 0; i < 500; i++) {
        char key[] = "key aa";

        key[4] = (char)('a' + i % 26);
        key[5] = (char)('a' + i / 26);
        assert_int_equal(update(fixture, 0, key, i, 1, NULL), STATUS_OK);
    }
    run_us(fixture, 60 * SECOND_US);
    assert_in_range(fixture->turns - turns, 60, 60 * 3 * 220);
    assert_int_equal(state_at(fixture, 0, 1), PEER_DEAD);
}

/* The nth allocation of a node fails, for every n that a run has: it goes on, and all agree in the
 * end. */
static void test_node_survives_every_failed_allocation(void **state)
{
    struct fixture *fixture = *state;
    uint64_t countdown;
    bool failed = true;

    for (countdown = 1; failed; countdown++) {
        struct mem *mem = &fixture->places[0].mem;

        now_set(fixture, SECOND_US);
        nodes_create(fixture, 3);
        mem->fail_countdown = countdown;
        for (unsigned i = 0; i < 30; i++) {
            char key[] = "key a";

            key[4] = (char)('a' + i % 26);
            (void)update(fixture, i % 3, key, i, i + 1, NULL);
            run_us(fixture, SECOND_US / 10);
            node_audit(fixture->places[0].node);
        }
        failed = mem->fail_countdown == 0;
        run_us(fixture, 15 * SECOND_US);
        for (unsigned i = 1; i < 3; i++) {
            assert_true(table_root(fixture->places[0].table, TABLE_D)
                        == table_root(fixture->places[i].table, TABLE_D));
        }
        places_clear(fixture);
    }
    assert_true(countdown > 50);
}

static void test_node_create_says_when_there_is_no_memory(void **state)
{
    struct fixture *fixture = *state;
    struct place *place = &fixture->places[fixture->count++];
    const struct table_options table_options = { .mem = &place->mem, .digest_mask = UINT64_MAX };
    const struct address_range trust = { .bits = 128 };
    struct node_options options = options_of(0);
    struct node *node = NULL;
    uint64_t used;
    enum status status = STATUS_MEMORY;

    options.trust = &trust;
    options.trust_count = 1;
    for (uint64_t countdown = 1; status != STATUS_OK; countdown++) {
        assert_int_equal(table_create(&table_options, &place->table), STATUS_OK);
        used = place->mem.used_bytes;
        place->mem.fail_countdown = countdown;
        status = node_create(&options, &place->mem, place->table, fixture->now, &node);
        place->mem.fail_countdown = 0;
        if (status != STATUS_OK) {
            assert_int_equal(status, STATUS_MEMORY);
            assert_null(node);
            assert_true(place->mem.used_bytes >= used);
            table_free(place->table);
            assert_int_equal(place->mem.used_bytes, 0);
        }
        assert_true(countdown < 50);
    }
    place->node = node;
}

static void test_node_kind_labels_are_words(void **state)
{
    (void)state;
    assert_string_equal(node_kind_label(NODE_KIND_PLAIN), "plain");
    assert_string_equal(node_kind_label(NODE_KIND_SYNC), "sync");
}

static void test_node_stamp_is_of_presence_keys_only(void **state)
{
    struct fixture *fixture = *state;

    nodes_create(fixture, 1);
    run_us(fixture, SECOND_US);
    assert_int_equal(node_stamp(fixture->places[0].node, bytes_of("foo")), 0);
    assert_int_equal(node_stamp(fixture->places[0].node, bytes_of("n:10.0.0.9:6000")), 0);
    assert_int_equal(node_stamp(fixture->places[0].node, bytes_of("n:10.0.0.1:6000")),
                     (START_S + 2) / 60);
}

static void test_node_configure_takes_new_rules_and_keeps_who_it_is(void **state)
{
    const struct node_value_rule rule = { .pattern = bytes_of("*"), .value_max = 9 };
    struct node_options options = options_of(2);
    struct fixture *fixture = *state;

    nodes_create(fixture, 1);
    assert_int_equal(update(fixture, 0, "foo", 1, 10, NULL), STATUS_OK);
    options.value_rules = &rule;
    options.value_rules_count = 1;
    node_configure(fixture->places[0].node, fixture->now, &options);
    assert_int_equal(update(fixture, 0, "foo", 1, 11, NULL), STATUS_INVALID);
    assert_int_equal(update(fixture, 0, "foo", 1, 9, NULL), STATUS_OK);
    assert_int_equal(fixture->places[0].node->options.self.ip[15], 1);
    options.value_rules_count = 0;
    node_configure(fixture->places[0].node, fixture->now, &options);
    assert_int_equal(update(fixture, 0, "foo", 1, 11, NULL), STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_node_an_update_at_one_is_read_at_the_other),
        TEST(test_node_an_update_reaches_all_of_three),
        TEST(test_node_what_was_written_before_they_met_is_exchanged),
        TEST(test_node_the_same_update_again_does_nothing),
        TEST(test_node_an_update_without_elements_only_looks),
        TEST(test_node_refusals_leave_everything_as_it_was),
        TEST(test_node_an_update_without_memory_changes_nothing),
        TEST(test_node_apply_cannot_fail_after_its_room_was_promised),
        TEST(test_node_the_same_calls_give_the_same_datagrams),
        TEST(test_node_bad_datagrams_are_counted_by_reason),
        TEST(test_node_takes_plain_messages_and_answers_what_is_larger),
        TEST(test_node_named_clusters_form_and_do_not_merge),
        TEST(test_node_plain_only_never_speaks_extended),
        TEST(test_node_that_leaves_is_seen_to_have_left),
        TEST(test_node_that_cannot_be_heard_gives_up_leaving),
        TEST(test_node_forgotten_while_alive_comes_back),
        TEST(test_node_introduced_to_another_finds_it),
        TEST(test_node_is_ready_alone_joined_or_after_ten_seconds),
        TEST(test_node_lists_peers_in_address_order),
        TEST(test_node_skips_a_seed_that_is_itself),
        TEST(test_node_knows_its_own_address_by_another_name),
        TEST(test_node_idle_nodes_take_few_turns),
        TEST(test_node_that_nobody_answers_takes_few_turns),
        TEST(test_node_survives_every_failed_allocation),
        TEST(test_node_create_says_when_there_is_no_memory),
        TEST(test_node_kind_labels_are_words),
        TEST(test_node_stamp_is_of_presence_keys_only),
        TEST(test_node_configure_takes_new_rules_and_keeps_who_it_is),
    };

    return cmocka_run_group_tests_name("node", tests, NULL, NULL);
}
