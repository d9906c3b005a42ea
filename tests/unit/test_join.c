/* What this file tests: clients' and peers' data: what limits refuse leaves no trace, what rises is
 * told, what is larger here goes back. */

#include "base/deadline.h"
#include "node/join.h"
#include "node/peers.h"
#include "node/plain.h"
#include "node/presence.h"
#include "node/queue.h"
#include "store/marks.h"
#include "wire/writer.h"

#include <stdio.h>
#include <string.h>

#include "unit/world_fixture.h"

#define MANY_BLOCKS 300 /* more than the feed of changes keeps room for without being asked */

static void test_join_the_same_update_again_does_nothing(void **state)
{
    struct world *world = *state;
    struct client_done done;
    uint64_t copies;

    nodes_create(world, 2);
    world_run(world, 5 * WORLD_S);
    assert_int_equal(world_update(world, 0, "foo", 1, 5, &done), STATUS_OK);
    assert_true(done.created);
    world_run(world, WORLD_S);
    copies = node_stats(world->nodes[0].node)->copies;
    assert_true(copies > 0);
    assert_int_equal(world_update(world, 0, "foo", 1, 5, &done), STATUS_OK);
    assert_false(done.created);
    assert_int_equal(done.elements_raised, 0);
    assert_true(mark_empty(&done.last.raised));
    assert_int_equal(world_update(world, 0, "foo", 1, 4, &done), STATUS_OK);
    assert_true(mark_has(&done.last.larger, 1));
    world_run(world, WORLD_S);
    assert_int_equal(node_stats(world->nodes[0].node)->copies, copies);
}

static void test_join_refusals_leave_everything_as_it_was(void **state)
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
        { "hll:a", 65, STATUS_INVALID },
        { "ends~2001-01-01T08:30", 1, STATUS_ENDED },
        { "ends~9999-12-31", 1, STATUS_INVALID },
        { "fourth", 1, STATUS_FULL },
        { "n:host:6000", 1, STATUS_FULL }, /* ordinary data */
        { "hll:a", 64, STATUS_OK },
        { "other", UINT64_MAX, STATUS_OK },
    };
    const struct node_value_rule rule = { .pattern = bytes_of("hll:*"), .value_max = 64 };
    struct node_options options = world_options(0);
    struct world *world = *state;

    options.value_rules = &rule;
    options.value_rules_count = 1;
    world_add(world, &options, 3);
    assert_int_equal(world_update(world, 0, "hll:a", 1, 3, NULL), STATUS_OK);
    assert_int_equal(world_update(world, 0, "other", 1, 3, NULL), STATUS_OK);
    assert_int_equal(world_update(world, 0, "third", 1, 3, NULL), STATUS_OK);
    world_run(world, WORLD_S);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct table_stats before = table_stats(world->nodes[0].table);
        const uint64_t root = table_root(world->nodes[0].table, TABLE_DATA);

        assert_int_equal(world_update(world, 0, rows[i].key, 1, rows[i].value, NULL),
                         rows[i].status);
        if (rows[i].status != STATUS_OK) {
            assert_int_equal(node_changes(world->nodes[0].node).count, 0);
            assert_true(table_root(world->nodes[0].table, TABLE_DATA) == root);
        }
        world_run(world, WORLD_S);
        assert_int_equal(table_stats(world->nodes[0].table).keys[TABLE_DATA],
                         before.keys[TABLE_DATA]);
        table_audit(world->nodes[0].table);
    }
}

/* Deadlines of clients may be as far ahead as max-keep, rounded up to the day, and a key may end
 * between two blocks of its update. */
static void test_join_of_a_key_that_ends(void **state)
{
    struct node_options options = world_options(0);
    struct world *world = *state;
    const uint64_t one = 1;
    const struct block block = {
        .values = &one, .offsets = &(const uint8_t){ 0 }, .count = 1, .width = 8
    };
    struct merge_result merged;
    struct node_update begun;
    struct world_node *place;
    struct fault why;
    uint32_t last;
    char key[1 + DEADLINE_BYTES_MAX] = "k";
    struct bytes bytes = { (const uint8_t *)key, 0 };

    options.keep_max_s = UINT64_C(30) * 86400;
    place = world_add(world, &options, 3);
    world_run(world, WORLD_S);
    last = deadline_after(place->node->now.unix_s, options.keep_max_s);
    bytes.size = 1 + deadline_put(key + 1, last + 1);
    assert_int_equal(node_update_begin(place->node, bytes, &begun, &why), STATUS_INVALID);
    assert_non_null(strstr(why.text, "max-keep"));
    bytes.size = 1 + deadline_put(key + 1, last);
    assert_int_equal(node_update_begin(place->node, bytes, &begun, &why), STATUS_OK);
    assert_int_equal(node_update_join(place->node, place->node->now, &begun, &block, &merged, &why),
                     STATUS_OK);
    table_set_minute(place->table, last);
    assert_int_equal(node_update_join(place->node, place->node->now, &begun, &block, &merged, &why),
                     STATUS_ENDED);
    assert_non_null(strstr(why.text, "ended at"));
    assert_false(node_is_full(place->node, place->node->now));
}

/* A vector of many blocks of so many elements. */
static void vector_fill(struct vector *vector, struct mem *mem, unsigned blocks, uint16_t elements,
                        uint64_t value)
{
    static const uint8_t offsets[] = { 0 };

    for (unsigned i = 0; i < blocks; i++) {
        uint64_t values[BLOCK_ELEMENTS];
        const struct block block = {
            .number = i,
            .values = values,
            .offsets = elements == BLOCK_ELEMENTS ? NULL : offsets,
            .count = elements,
            .width = 8,
        };

        for (unsigned o = 0; o < BLOCK_ELEMENTS; o++) {
            values[o] = value + o + i;
        }
        assert_int_equal(vector_merge(vector, mem, &block, 0, NULL), STATUS_OK);
    }
}

/* Every element of the first blocks, and none of the others. */
static void prefix_assert(const struct world_node *place, const char *key,
                          const struct vector *vector, size_t joined)
{
    const struct entry *entry = table_find(place->table, bytes_of(key));
    struct block_room room;
    uint64_t size = 0;

    for (size_t i = 0; i < joined; i++) {
        const struct block block = vector_block(vector, i, &room);

        for (unsigned j = 0; j < block.count; j++) {
            const uint64_t index = block.number << 8 | block_offset(&block, j);

            assert_int_equal(vector_get(entry_vector(entry), index), block_value(&block, j));
        }
        size += block.count;
    }
    assert_int_equal(entry == NULL ? 0 : vector_size(entry_vector(entry)), size);
}

/* An update of as many blocks, while one allocation after another fails: what was joined before is
 * there, whole and counted, nothing of what comes after is, and repeating it completes it. */
static void update_without_memory(struct world *world, uint16_t elements)
{
    struct mem mem = { 0 };
    struct vector vector;
    struct client_done done;
    enum status status;
    unsigned refused = 0;

    vector_init(&vector);
    vector_fill(&vector, &mem, MANY_BLOCKS, elements, 1000);
    nodes_create(world, 1);
    for (uint64_t countdown = 1;; countdown++) {
        struct world_node *place = &world->nodes[0];
        char key[16];

        (void)snprintf(key, sizeof key, "key %u", (unsigned)countdown);
        world_run(world, WORLD_S);
        place->mem.fail_countdown = countdown;
        status = client_write(place->node, world_moment(world), bytes_of(key), &vector, &done);
        if (place->mem.fail_countdown > 0) { /* it was never refused */
            place->mem.fail_countdown = 0;
            assert_int_equal(status, STATUS_OK);
            assert_int_equal(done.elements_raised, MANY_BLOCKS * elements);
            assert_true(done.created);
            break;
        }
        if (status != STATUS_OK) { /* otherwise what failed could do without */
            assert_int_equal(status, STATUS_MEMORY);
            prefix_assert(place, key, &vector, done.joined);
            refused++;
        }
        node_turn_end(place->node);
        table_audit(place->table);
        node_audit(place->node);
        status = client_write(place->node, world_moment(world), bytes_of(key), &vector, &done);
        assert_int_equal(status, STATUS_OK);
        prefix_assert(place, key, &vector, MANY_BLOCKS);
    }
    assert_true(refused > 10);
    vector_clear(&vector, &mem);
}

static void test_join_without_memory_keeps_exactly_the_blocks_before(void **state)
{
    update_without_memory(*state, BLOCK_ELEMENTS);
}

static void test_join_without_memory_keeps_exactly_the_small_blocks_before(void **state)
{
    update_without_memory(*state, 1);
}

/* Elements in wire form, as they would come from a peer: index i of the row has value values[i]. */
static struct elements elements_write(const uint64_t *values, unsigned count, uint8_t *buffer)
{
    uint8_t offsets[BLOCK_ELEMENTS];
    struct block block = { .values = values, .offsets = offsets, .width = 8 };
    struct message message;
    struct writer writer;

    for (unsigned i = 0; i < count; i++) {
        offsets[i] = (uint8_t)i;
    }
    block.count = (uint16_t)count;
    writer_begin_plain(&writer, (struct space){ buffer, WIRE_PLAIN_BYTES_MAX }, bytes_of("k"), 3,
                       false);
    assert_int_equal(writer_put_block(&writer, &block, NULL), BLOCK_ELEMENTS);
    assert_int_equal(message_decode(writer_end(&writer), &message), WIRE_OK);
    return message.plain.elements;
}

static struct item item_of(const char *key, const uint64_t *values, unsigned count, bool full,
                           uint8_t *buffer)
{
    return (struct item){ .key = bytes_of(key),
                          .elements = elements_write(values, count, buffer),
                          .full = full };
}

/* A plain peer tells the first node something. */
static struct entry *plain_join(struct world *world, struct item item)
{
    const struct address address = world_address(9);
    struct node *node = world->nodes[0].node;
    struct peer *peer = presence_heard(node, world_moment(world), peers_find(node->peers, &address),
                                       &address, false);

    assert_non_null(peer);
    return join_plain(node, world_moment(world), peer, &item, 3);
}

/* What rose in this turn; what waits for the plain peer. */
static uint64_t bits_raised(const struct world_node *place)
{
    const struct changes changes = table_changes(place->table);

    return changes.count == 0 ? 0 : changes.list[changes.count - 1].raised.bits[0];
}

static uint64_t bits_waiting(const struct world_node *place)
{
    const struct address address = world_address(9);
    const struct plain_queue *queue = peers_find(place->node->peers, &address)->plain;

    if (queue == NULL || queue->count == 0) {
        return 0;
    }
    return marks_first(&queue->keys[queue->first].marks)->mark.bits[0];
}

static void test_join_says_what_rose_and_what_goes_back(void **state)
{
    static const struct {
        uint64_t values[4]; /* over { 5, 5, 5, 5 } */
        bool full;
        uint64_t raised;
        uint64_t reply;
    } rows[] = {
        { { 5, 5, 5, 5 }, false, 0, 0 },        { { 6, 4, 0, 5 }, false, 1, 2 },
        { { 6, 4, 0, 5 }, true, 1, 2 | 4 },     { { 0, 0, 0, 6 }, true, 8, 1 | 2 | 4 },
        { { 0, 0, 0, 5 }, true, 0, 1 | 2 | 4 }, { { 9, 9, 9, 9 }, true, 15, 0 },
    };
    static const uint64_t fives[] = { 5, 5, 5, 5 };
    struct world *world = *state;
    const struct address plain = world_address(9);
    uint8_t buffer[WIRE_PLAIN_BYTES_MAX];

    nodes_create(world, 1);
    for (unsigned i = 0; i < 2 * (sizeof rows / sizeof rows[0]); i++) {
        const unsigned row = i / 2;
        const char text[] = { 'k', (char)('0' + i), 0 };
        struct world_node *place = &world->nodes[0];
        struct marks reply = { 0 };
        struct item item;
        uint64_t replied;

        assert_non_null(plain_join(world, item_of(text, fives, 4, true, buffer)));
        node_turn_end(place->node);
        item = item_of(text, rows[row].values, 4, rows[row].full, buffer);
        if (i % 2 == 0) {
            assert_null(plain_join(world, item)); /* not unseen any more */
            replied = bits_waiting(place);
        } else {
            join_item(place->node, world_moment(world), NULL, &item, 0, &reply);
            replied = marks_empty(&reply) ? 0 : marks_first(&reply)->mark.bits[0];
        }
        assert_int_equal(bits_raised(place), rows[row].raised);
        assert_int_equal(replied, rows[row].reply);
        marks_clear(&reply, &place->mem);
        plain_drop_peer(place->node, peers_find(place->node->peers, &plain));
        node_turn_end(place->node);
    }
}

static void test_join_takes_what_a_rule_allows_and_refuses_the_rest(void **state)
{
    const struct node_value_rule rules[] = {
        { .pattern = bytes_of("h%"), .value_max = 64 },
        { .pattern = bytes_of("hh*"), .value_max = 9 },
    };
    const uint64_t values[] = { 8, 10, 64, 65 };
    struct node_options options = world_options(0);
    struct world *world = *state;
    struct world_node *place;
    struct entry *entry;
    uint8_t buffer[WIRE_PLAIN_BYTES_MAX];

    options.value_rules = rules;
    options.value_rules_count = 2;
    place = world_add(world, &options, 0);
    entry = plain_join(world, item_of("h1", values, 4, false, buffer));
    assert_int_equal(vector_size(entry_vector(entry)), 3);
    assert_int_equal(node_stats(place->node)->refused_values, 1);
    entry = plain_join(world, item_of("hh", values, 4, false, buffer));
    assert_int_equal(vector_size(entry_vector(entry)), 1);
    assert_null(plain_join(world, item_of("hhh", values + 1, 3, false, buffer)));
    assert_null(table_find(place->table, bytes_of("hhh")));
}

static void test_join_refuses_new_keys_at_the_limit_and_raises_known_ones(void **state)
{
    const struct node_options options = world_options(0);
    const uint64_t one[] = { 1 };
    const uint64_t two[] = { 2 };
    struct world *world = *state;
    struct world_node *place = world_add(world, &options, 1);
    uint8_t buffer[WIRE_PLAIN_BYTES_MAX];

    assert_non_null(plain_join(world, item_of("a", one, 1, false, buffer)));
    assert_null(plain_join(world, item_of("b", one, 1, false, buffer)));
    assert_int_equal(node_stats(place->node)->refused_keys, 1);
    assert_null(plain_join(world, item_of("a", two, 1, false, buffer)));
    assert_int_equal(world_read(world, 0, "a", 0), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_join_the_same_update_again_does_nothing),
        TEST(test_join_refusals_leave_everything_as_it_was),
        TEST(test_join_of_a_key_that_ends),
        TEST(test_join_without_memory_keeps_exactly_the_blocks_before),
        TEST(test_join_without_memory_keeps_exactly_the_small_blocks_before),
        TEST(test_join_says_what_rose_and_what_goes_back),
        TEST(test_join_takes_what_a_rule_allows_and_refuses_the_rest),
        TEST(test_join_refuses_new_keys_at_the_limit_and_raises_known_ones),
    };

    return cmocka_run_group_tests_name("join", tests, NULL, NULL);
}
