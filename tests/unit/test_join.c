/* What this file tests: clients' and peers' data: what limits refuse leaves no trace, what rises is
 * told, what is larger here goes back. */

#include "node/join.h"
#include "node/queue.h"

#include "unit/node_exchange.h"

#define MANY_BLOCKS 300 /* more than the feed of changes keeps room for without being asked */

static void test_join_the_same_update_again_does_nothing(void **state)
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

static void test_join_keeps_no_results_of_a_large_update(void **state)
{
    struct fixture *fixture = *state;
    struct mem mem = { 0 };
    struct vector vector;
    const struct node_update change = { .key = bytes_of("foo"), .elements = &vector };
    struct node_update_result result;
    struct node *node;
    struct fault why;

    nodes_create(fixture, 1);
    node = fixture->places[0].node;
    vector_init(&vector);
    for (uint64_t i = 0; i < MANY_BLOCKS; i++) {
        const uint64_t value = 1;
        const uint8_t offset = 0;
        const struct block block = {
            .number = i, .values = &value, .offsets = &offset, .count = 1, .width = 8
        };

        assert_int_equal(vector_merge(&vector, &mem, &block, 0, NULL), STATUS_OK);
    }
    assert_int_equal(node_update(node, fixture->now, &change, &result, &why), STATUS_OK);
    assert_int_equal(result.blocks_count, MANY_BLOCKS);
    node_turn_end(node);
    assert_int_equal(node->results_room, 0);
    vector_clear(&vector, &mem);
}

static void test_join_an_update_without_elements_only_looks(void **state)
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
    place_create(fixture, &options, 3);
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

/* An update of as many blocks, while one allocation after another fails. */
static void update_without_memory(struct fixture *fixture, uint16_t elements)
{
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
    vector_fill(&vector, &mem, MANY_BLOCKS, elements, 1000);
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
    assert_int_equal(result.elements_raised, MANY_BLOCKS * elements);
    assert_true(vector_digest(entry_vector(result.entry), entry_hash(place->table, result.entry))
                == entry_digest(result.entry));
    vector_clear(&vector, &mem);
}

static void test_join_an_update_without_memory_changes_nothing(void **state)
{
    update_without_memory(*state, BLOCK_ELEMENTS);
}

static void test_join_an_update_of_many_small_blocks_is_all_or_nothing(void **state)
{
    update_without_memory(*state, 1);
}

static void test_join_apply_cannot_fail_after_its_room_was_promised(void **state)
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
    vector_fill(&vector, &mem, 9, BLOCK_ELEMENTS, 1);
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

/* What an update of many blocks to a new key draws on its promise. */
static uint64_t promise_drawn(struct fixture *fixture, const char *key)
{
    struct place *place = &fixture->places[0];
    struct mem mem = { 0 };
    struct vector vector;
    struct node_update change = { .key = bytes_of(key), .elements = &vector };
    struct node_update_result result;
    struct reservation reservation = { 0 };
    uint64_t drawn;

    run_us(fixture, 5 * SECOND_US);
    vector_init(&vector);
    vector_fill(&vector, &mem, MANY_BLOCKS, 1, 1);
    assert_int_equal(
        table_reserve(place->table, 1, table_merge_bytes_max(NULL, &vector), &reservation),
        STATUS_OK);
    drawn = reservation.mem.bytes;
    assert_int_equal(node_apply(place->node, fixture->now, &change, &reservation, &result),
                     STATUS_OK);
    drawn -= reservation.mem.bytes;
    table_release(place->table, &reservation);
    vector_clear(&vector, &mem);
    return drawn;
}

static void test_join_a_promise_is_not_drawn_on_to_tell_others(void **state)
{
    struct node_options options = options_of(1);
    struct fixture *fixture = *state;
    uint64_t drawn_alone;

    nodes_create(fixture, 1);
    (void)promise_drawn(fixture, "a"); /* begins a slab */
    drawn_alone = promise_drawn(fixture, "b");
    node_add(fixture, &options);
    assert_true(promise_drawn(fixture, "c") == drawn_alone);
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
static struct entry *plain_join(struct fixture *fixture, struct item item)
{
    const struct address address = address_of(9);
    struct node *node = fixture->places[0].node;
    struct peer *peer =
        presence_heard(node, fixture->now, peers_find(&node->peers, &address), &address, false);

    assert_non_null(peer);
    return join_plain(node, fixture->now, peer, &item, 3);
}

/* What rose in this turn; what waits for the plain peer. */
static uint64_t bits_raised(const struct place *place)
{
    const struct changes changes = table_changes(place->table);

    return changes.count == 0 ? 0 : changes.list[changes.count - 1].raised.bits[0];
}

static uint64_t bits_waiting(const struct place *place)
{
    const struct address address = address_of(9);
    const struct plain_queue *queue = peers_find(&place->node->peers, &address)->plain;

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
    struct fixture *fixture = *state;
    uint8_t buffer[WIRE_PLAIN_BYTES_MAX];

    nodes_create(fixture, 1);
    for (unsigned i = 0; i < 2 * (sizeof rows / sizeof rows[0]); i++) {
        const unsigned row = i / 2;
        const char text[] = { 'k', (char)('0' + i), 0 };
        struct place *place = &fixture->places[0];
        struct marks reply = { 0 };
        struct item item;
        uint64_t replied;

        assert_non_null(plain_join(fixture, item_of(text, fives, 4, true, buffer)));
        node_turn_end(place->node);
        item = item_of(text, rows[row].values, 4, rows[row].full, buffer);
        if (i % 2 == 0) {
            assert_null(plain_join(fixture, item)); /* not unseen any more */
            replied = bits_waiting(place);
        } else {
            join_item(place->node, fixture->now, NULL, &item, 0, &reply);
            replied = marks_empty(&reply) ? 0 : marks_first(&reply)->mark.bits[0];
        }
        assert_int_equal(bits_raised(place), rows[row].raised);
        assert_int_equal(replied, rows[row].reply);
        marks_clear(&reply, &place->mem);
        plain_clear(place->node);
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
    struct node_options options = options_of(0);
    struct fixture *fixture = *state;
    struct place *place;
    struct entry *entry;
    uint8_t buffer[WIRE_PLAIN_BYTES_MAX];

    options.value_rules = rules;
    options.value_rules_count = 2;
    place = place_create(fixture, &options, 0);
    entry = plain_join(fixture, item_of("h1", values, 4, false, buffer));
    assert_int_equal(vector_size(entry_vector(entry)), 3);
    assert_int_equal(node_stats(place->node)->refused_values, 1);
    entry = plain_join(fixture, item_of("hh", values, 4, false, buffer));
    assert_int_equal(vector_size(entry_vector(entry)), 1);
    assert_null(plain_join(fixture, item_of("hhh", values + 1, 3, false, buffer)));
    assert_null(table_find(place->table, bytes_of("hhh")));
}

static void test_join_refuses_new_keys_at_the_limit_and_raises_known_ones(void **state)
{
    const struct node_options options = options_of(0);
    const uint64_t one[] = { 1 };
    const uint64_t two[] = { 2 };
    struct fixture *fixture = *state;
    struct place *place = place_create(fixture, &options, 1);
    uint8_t buffer[WIRE_PLAIN_BYTES_MAX];

    assert_non_null(plain_join(fixture, item_of("a", one, 1, false, buffer)));
    assert_null(plain_join(fixture, item_of("b", one, 1, false, buffer)));
    assert_int_equal(node_stats(place->node)->refused_keys, 1);
    assert_null(plain_join(fixture, item_of("a", two, 1, false, buffer)));
    assert_int_equal(value_at(fixture, 0, "a", 0), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_join_the_same_update_again_does_nothing),
        TEST(test_join_keeps_no_results_of_a_large_update),
        TEST(test_join_an_update_without_elements_only_looks),
        TEST(test_join_refusals_leave_everything_as_it_was),
        TEST(test_join_an_update_without_memory_changes_nothing),
        TEST(test_join_an_update_of_many_small_blocks_is_all_or_nothing),
        TEST(test_join_apply_cannot_fail_after_its_room_was_promised),
        TEST(test_join_a_promise_is_not_drawn_on_to_tell_others),
        TEST(test_join_says_what_rose_and_what_goes_back),
        TEST(test_join_takes_what_a_rule_allows_and_refuses_the_rest),
        TEST(test_join_refuses_new_keys_at_the_limit_and_raises_known_ones),
    };

    return cmocka_run_group_tests_name("join", tests, NULL, NULL);
}
