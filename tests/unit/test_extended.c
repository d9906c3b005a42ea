/* What this file tests: extended datagrams from a peer that is written by hand, at address 3: who
 * is believed, what is acked, what is answered. */

#include "node/claim.h"
#include "node/extended.h"
#include "wire/writer.h"

#include "unit/world_fixture.h"

enum { HAND = 3 };

/* What the peer says; sent as an ordinary datagram, or as a hello of the key of address `hello`. */
struct words {
    struct envelope envelope;
    unsigned hello; /* 0: ordinary */
    const char *key;
    uint64_t value; /* of element 1 of the key */
};

static uint32_t id_of(const struct world *world, unsigned number)
{
    const struct address address = world_address(number);

    return (uint32_t)node_peer_id(world->nodes[0].node, &address);
}

static struct block block_one(const uint64_t *value, const uint8_t *offset)
{
    return (struct block){ .values = value, .offsets = offset, .count = 1, .width = 8 };
}

static void hello_write(struct writer *writer, struct space space, unsigned number,
                        const struct envelope *envelope)
{
    const struct address address = world_address(number);
    const uint64_t values[] = { WORLD_UNIX_S << 16 | 1, WORLD_UNIX_S << 2 };
    const uint8_t offsets[] = { PRESENCE_LEVEL, PRESENCE_STATE };
    const struct block block = { .values = values, .offsets = offsets, .count = 2, .width = 8 };
    static uint8_t key[NODE_PRESENCE_KEY_MAX]; /* lent to the writer until the datagram ends */

    writer_begin_hello(writer, space, node_presence_key(&address, key));
    assert_int_equal(writer_put_block(writer, &block, NULL), BLOCK_ELEMENTS);
    writer_begin_x(writer, envelope);
}

static struct bytes words_write(struct world *world, const struct words *words, uint8_t *buffer)
{
    const struct space space = { buffer, WIRE_EXTENDED_BYTES_MAX };
    const uint8_t offset = 1;
    const struct block block = block_one(&words->value, &offset);
    struct envelope envelope = words->envelope;
    struct writer writer;

    if ((envelope.has & WIRE_HAS_SENDER) == 0) {
        envelope.has |= WIRE_HAS_SENDER;
        envelope.sender_id = id_of(world, HAND);
    }
    if (words->hello != 0) {
        hello_write(&writer, space, words->hello, &envelope);
    } else {
        writer_begin_ordinary(&writer, space, &envelope);
    }
    if (words->key != NULL) {
        assert_true(writer_begin_item(&writer, bytes_of(words->key), false, 0));
        assert_int_equal(writer_put_block(&writer, &block, NULL), BLOCK_ELEMENTS);
        writer_end_item(&writer);
    }
    return writer_end(&writer);
}

static void say(struct world *world, const struct words *words)
{
    const struct address from = world_address(HAND);
    const struct address to = world_address(0);
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];

    world->strays = 0;
    world_send(world, &from, &to, words_write(world, words, buffer));
    world_run(world, 10000);
}

/* The last answer. */
static struct message heard(const struct world *world)
{
    struct message message;

    assert_true(world->strays > 0);
    assert_int_equal(
        message_decode((struct bytes){ world->stray.data, world->stray.size }, &message), WIRE_OK);
    assert_true(message.extended);
    return message;
}

static bool has(const struct message *message, enum wire_field field)
{
    return (message->envelope.has & field) != 0;
}

/* Say hello with a `q` and echo the token of the answer: valid from then on. */
static void introduce(struct world *world)
{
    struct words words = {
        .envelope = { .has = WIRE_HAS_SEQUENCE, .sequence = 100 },
        .hello = HAND,
    };
    struct message message;

    world_run(world, WORLD_S); /* a stranger is challenged now and then */
    say(world, &words);
    message = heard(world);
    assert_true(has(&message, WIRE_HAS_TOKEN));
    words = (struct words){ .envelope = { .has = WIRE_HAS_ECHO }, .hello = HAND };
    memcpy(words.envelope.echo, message.envelope.token, WIRE_TOKEN_BYTES);
    say(world, &words);
}

static void test_extended_a_hello_is_acked_and_believed_once_echoed(void **state)
{
    struct world *world = *state;
    const struct words hello = {
        .envelope = { .has = WIRE_HAS_SEQUENCE | WIRE_HAS_TOKEN,
                      .sequence = 9,
                      .token = { 6, 5, 4, 3, 2, 1 } },
        .hello = HAND,
    };
    struct message message;
    uint32_t sequence = 0;

    nodes_create(world, 1);
    say(world, &hello);
    assert_int_equal(world_state(world, 0, HAND), PEER_STATE_COUNT); /* it is no peer */
    message = heard(world);
    assert_true(message_next_ack(&message.acks, &sequence));
    assert_int_equal(sequence, 9);
    assert_true(has(&message, WIRE_HAS_ECHO));
    assert_memory_equal(message.envelope.echo, hello.envelope.token, WIRE_TOKEN_BYTES);
    introduce(world);
    assert_int_equal(world_state(world, 0, HAND), PEER_ALIVE);
}

/* And in a trusted range. The other way round a clock is told wherever it may count. */
static void test_extended_a_clock_counts_of_who_echoes(void **state)
{
    struct world *world = *state;
    const struct address address = world_address(HAND);
    const struct address_range trust = { .bits = 0 };
    struct words words = { .envelope = { .has = WIRE_HAS_CLOCK, .clock_s = 99 }, .hello = HAND };
    struct node_options options;
    struct message message;
    struct node *node;

    nodes_create(world, 1);
    node = world->nodes[0].node;
    introduce(world);
    options = node->options;
    for (unsigned trusted = 0; trusted < 2; trusted++) {
        say(world, &words);
        assert_int_equal(node->guard.count, 0);
        words.envelope.has |= WIRE_HAS_ECHO;
        node_token(node, world_moment(world), &address, 0, words.envelope.echo);
        say(world, &words);
        assert_int_equal(node->guard.count, trusted);
        words.envelope.has = WIRE_HAS_CLOCK;
        options.trust = &trust;
        options.trust_count = 1;
        assert_int_equal(node_configure(node, world_moment(world), &options), STATUS_OK);
    }
    assert_int_equal(node->guard.votes[0].clock_s, 99);
    words.envelope = (struct envelope){ .has = WIRE_HAS_TOKEN | WIRE_HAS_SEQUENCE, .sequence = 7 };
    say(world, &words);
    message = heard(world);
    assert_true(has(&message, WIRE_HAS_ECHO));
    assert_true(has(&message, WIRE_HAS_CLOCK));
    assert_int_equal(message.envelope.clock_s, world_moment(world).unix_s);
}

static void test_extended_a_wrong_echo_proves_nothing(void **state)
{
    struct world *world = *state;
    const struct words hello = { .hello = HAND };
    const struct words echo = { .envelope = { .has = WIRE_HAS_ECHO, .echo = { 1 } } };

    nodes_create(world, 1);
    say(world, &hello);
    say(world, &echo);
    assert_int_equal(world_state(world, 0, HAND), PEER_STATE_COUNT);
}

/* The token of the last epoch is taken, the one before it is not. */
static void test_extended_an_echo_is_good_for_two_epochs(void **state)
{
    static const struct {
        uint64_t age_us;
        enum peer_state state;
    } rows[] = {
        { 1200 * WORLD_S, PEER_ALIVE },
        { 2400 * WORLD_S, PEER_STATE_COUNT },
    };
    struct world *world = *state;
    const struct words hello = { .hello = HAND };
    const struct address address = world_address(HAND);

    for (unsigned i = 0; i < 2; i++) {
        struct words echo = { .envelope = { .has = WIRE_HAS_ECHO }, .hello = HAND };

        world->now_us = 10000 * WORLD_S;
        nodes_create(world, 1);
        node_token(world->nodes[0].node,
                   (struct moment){ .mono_us = world->now_us - rows[i].age_us }, &address, 0,
                   echo.envelope.echo);
        say(world, &hello);
        say(world, &echo);
        assert_int_equal(world_state(world, 0, HAND), rows[i].state);
        assert_true(world_free(world));
    }
}

static void test_extended_a_hello_for_another_address_is_not_taken(void **state)
{
    struct world *world = *state;
    const struct words hello = { .hello = 2 };

    nodes_create(world, 1);
    say(world, &hello);
    assert_int_equal(world_state(world, 0, 2), PEER_STATE_COUNT);
    assert_true(node_stats(world->nodes[0].node)->refused_presence > 0);
}

static void test_extended_who_is_not_known_is_asked(void **state)
{
    struct world *world = *state;
    const struct words words = { .envelope = { .has = 0 } };
    struct message message;

    nodes_create(world, 1);
    say(world, &words);
    message = heard(world);
    assert_true(has(&message, WIRE_HAS_WHO));
    assert_int_equal(message.envelope.who, id_of(world, HAND));
}

static void test_extended_who_gives_a_wrong_id_is_not_answered(void **state)
{
    struct world *world = *state;
    const struct words words = {
        .envelope = { .has = WIRE_HAS_SENDER | WIRE_HAS_SEQUENCE, .sender_id = 1, .sequence = 2 }
    };

    nodes_create(world, 1);
    say(world, &words);
    assert_int_equal(world->strays, 0);
    assert_int_equal(node_stats(world->nodes[0].node)->refused_presence, 1);
}

static void test_extended_data_of_strangers_is_neither_taken_nor_acked(void **state)
{
    struct world *world = *state;
    const struct words hello = { .hello = HAND };
    const struct words data = {
        .envelope = { .has = WIRE_HAS_SEQUENCE | WIRE_HAS_DEPTH, .sequence = 4, .depth = 1 },
        .key = "foo",
        .value = 7,
    };
    struct message message;

    nodes_create(world, 1);
    say(world, &hello);
    world_run(world, WORLD_S);
    say(world, &data);
    assert_int_equal(world_read(world, 0, "foo", 1), 0);
    message = heard(world);
    assert_int_equal(message.acks.left, 0);
    assert_true(has(&message, WIRE_HAS_TOKEN));
    introduce(world);
    say(world, &data);
    assert_int_equal(world_read(world, 0, "foo", 1), 7);
    message = heard(world);
    assert_int_equal(message.acks.left, 1);
}

static void test_extended_counts_copies_and_sends_back_what_is_larger(void **state)
{
    struct world *world = *state;
    struct words data = {
        .envelope = { .has = WIRE_HAS_SEQUENCE | WIRE_HAS_DEPTH, .sequence = 4, .depth = 1 },
        .key = "foo",
        .value = 7,
    };
    struct message message;
    struct item item;

    nodes_create(world, 1);
    introduce(world);
    say(world, &data);
    say(world, &data);
    assert_int_equal(node_stats(world->nodes[0].node)->copies_received, 2);
    assert_int_equal(node_stats(world->nodes[0].node)->copies_duplicate, 1);
    data.value = 6;
    say(world, &data);
    message = heard(world);
    assert_int_equal(message.acks.left, 1);
    assert_int_equal(message.envelope.depth, WIRE_DEPTH_STOP);
    assert_true(message_next_item(&message.items, &item));
    assert_int_equal(item.key.size, 3);
}

/* Whoever slanders a member does not tell it. */
static void test_extended_a_hello_is_answered_with_what_is_larger(void **state)
{
    struct world *world = *state;
    const struct address about = world_address(HAND);
    const struct words hello = { .hello = HAND };
    uint8_t text[NODE_PRESENCE_KEY_MAX + 1] = { 0 };
    struct words slander = { .envelope = { .has = WIRE_HAS_DEPTH, .depth = 1 },
                             .key = (const char *)text,
                             .value = (WORLD_UNIX_S + 50) << 16 | 1 };
    struct message message;
    struct block_room room;
    struct block block;
    struct item item;

    nodes_create(world, 1);
    introduce(world);
    (void)node_presence_key(&about, text);
    say(world, &slander);
    say(world, &hello);
    message = heard(world);
    assert_true(message_next_item(&message.items, &item));
    assert_true(elements_next(&item.elements, &room, &block));
    assert_int_equal(block_offset(&block, 0), PRESENCE_LEVEL);
    assert_true(block_value(&block, 0) == slander.value);
}

static void test_extended_keys_that_are_patterns_are_not_stored(void **state)
{
    struct world *world = *state;
    struct words data = {
        .envelope = { .has = WIRE_HAS_SEQUENCE | WIRE_HAS_DEPTH, .sequence = 4, .depth = 1 },
        .key = "fo%",
        .value = 7,
    };

    nodes_create(world, 1);
    introduce(world);
    say(world, &data);
    data.key = "f*o";
    say(world, &data);
    assert_null(table_find(world->nodes[0].table, bytes_of("fo%")));
    assert_null(table_find(world->nodes[0].table, bytes_of("f*o")));
    assert_int_equal(node_stats(world->nodes[0].node)->refused_keys, 2);
}

/* A node that has said no hello for two seconds, and how many it said before. */
static uint64_t hellos_before(struct world *world)
{
    nodes_create(world, 1);
    introduce(world);
    world_run(world, 2 * WORLD_S);
    return node_stats(world->nodes[0].node)->sent[NODE_KIND_HELLO];
}

static void test_extended_answers_who_with_a_hello_at_most_once_a_second(void **state)
{
    struct world *world = *state;
    struct words words = { .envelope = { .has = WIRE_HAS_WHO } };
    uint64_t hellos;

    hellos = hellos_before(world);
    words.envelope.who = id_of(world, 0) + 1;
    say(world, &words);
    assert_int_equal(node_stats(world->nodes[0].node)->sent[NODE_KIND_HELLO], hellos);
    words.envelope.who = id_of(world, 0);
    for (unsigned i = 0; i < 20; i++) {
        say(world, &words);
    }
    assert_int_equal(node_stats(world->nodes[0].node)->sent[NODE_KIND_HELLO], hellos + 1);
    world_run(world, WORLD_S);
    say(world, &words);
    assert_int_equal(node_stats(world->nodes[0].node)->sent[NODE_KIND_HELLO], hellos + 2);
}

/* Who asked has then nothing to say, and may never ask again. */
static void test_extended_who_asked_too_soon_gets_the_hello_later(void **state)
{
    struct world *world = *state;
    struct words words = { .envelope = { .has = WIRE_HAS_WHO } };
    uint64_t hellos;

    hellos = hellos_before(world);
    words.envelope.who = id_of(world, 0);
    say(world, &words);
    say(world, &words);
    assert_int_equal(node_stats(world->nodes[0].node)->sent[NODE_KIND_HELLO], hellos + 1);
    world_run(world, 3 * WORLD_S);
    assert_int_equal(node_stats(world->nodes[0].node)->sent[NODE_KIND_HELLO], hellos + 2);
}

static void test_extended_of_another_cluster_is_refused_before_all_else(void **state)
{
    struct world *world = *state;
    const struct words hello = {
        .envelope = { .has = WIRE_HAS_CLUSTER | WIRE_HAS_SEQUENCE, .cluster = 5, .sequence = 1 },
        .hello = HAND,
    };

    nodes_create(world, 1);
    say(world, &hello);
    assert_int_equal(world->strays, 0);
    assert_int_equal(world_state(world, 0, HAND), PEER_STATE_COUNT);
    assert_int_equal(node_stats(world->nodes[0].node)->refused_cluster, 1);
}

static void test_extended_kind_is_the_first_that_applies(void **state)
{
    static const struct {
        struct words words;
        enum node_kind kind;
    } rows[] = {
        { { .hello = HAND, .envelope = { .has = WIRE_HAS_ROOTS | WIRE_HAS_SEQUENCE } },
          NODE_KIND_HELLO },
        { { .envelope = { .has = WIRE_HAS_ROOTS | WIRE_HAS_SEQUENCE } }, NODE_KIND_PROBE },
        { { .envelope = { .has = WIRE_HAS_REFUSED } }, NODE_KIND_PROBE },
        { { .envelope = { .has = WIRE_HAS_DEPTH, .depth = 2 }, .key = "foo", .value = 1 },
          NODE_KIND_PUSH },
        { { .envelope = { .has = WIRE_HAS_DEPTH, .depth = WIRE_DEPTH_STOP },
            .key = "foo",
            .value = 1 },
          NODE_KIND_SYNC },
        { { .envelope = { .has = WIRE_HAS_ROOTS } }, NODE_KIND_ACK },
        { { .envelope = { .has = 0 } }, NODE_KIND_ACK },
    };
    struct world *world = *state;
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    struct message message;

    nodes_create(world, 1);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(message_decode(words_write(world, &rows[i].words, buffer), &message),
                         WIRE_OK);
        assert_int_equal(extended_kind(&message), rows[i].kind);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_extended_a_hello_is_acked_and_believed_once_echoed),
        TEST(test_extended_a_clock_counts_of_who_echoes),
        TEST(test_extended_a_wrong_echo_proves_nothing),
        TEST(test_extended_an_echo_is_good_for_two_epochs),
        TEST(test_extended_a_hello_for_another_address_is_not_taken),
        TEST(test_extended_who_is_not_known_is_asked),
        TEST(test_extended_who_gives_a_wrong_id_is_not_answered),
        TEST(test_extended_data_of_strangers_is_neither_taken_nor_acked),
        TEST(test_extended_counts_copies_and_sends_back_what_is_larger),
        TEST(test_extended_a_hello_is_answered_with_what_is_larger),
        TEST(test_extended_keys_that_are_patterns_are_not_stored),
        TEST(test_extended_answers_who_with_a_hello_at_most_once_a_second),
        TEST(test_extended_who_asked_too_soon_gets_the_hello_later),
        TEST(test_extended_of_another_cluster_is_refused_before_all_else),
        TEST(test_extended_kind_is_the_first_that_applies),
    };

    return cmocka_run_group_tests_name("extended", tests, NULL, NULL);
}
