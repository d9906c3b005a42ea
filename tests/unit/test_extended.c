/* What this file tests: extended datagrams from a peer that is written by hand, at address 3: who
 * is believed, what is acked, what is answered. */

#include "node/claim.h"
#include "node/extended.h"
#include "wire/writer.h"

#include "unit/node_exchange.h"

enum { HAND = 3 };

/* What the peer says; sent as an ordinary datagram, or as a hello of the key of address `hello`. */
struct words {
    struct envelope envelope;
    unsigned hello; /* 0: ordinary */
    const char *key;
    uint64_t value; /* of element 1 of the key */
};

static uint32_t id_of(const struct fixture *fixture, unsigned number)
{
    const struct address address = address_of(number);

    return (uint32_t)node_peer_id(fixture->places[0].node, &address);
}

static struct block block_one(const uint64_t *value, const uint8_t *offset)
{
    return (struct block){ .values = value, .offsets = offset, .count = 1, .width = 8 };
}

static void hello_write(struct writer *writer, struct space space, unsigned number,
                        const struct envelope *envelope)
{
    const struct address address = address_of(number);
    const uint64_t values[] = { START_S << 16 | 1, START_S << 2 };
    const uint8_t offsets[] = { PRESENCE_LEVEL, PRESENCE_STATE };
    const struct block block = { .values = values, .offsets = offsets, .count = 2, .width = 8 };
    static uint8_t key[NODE_PRESENCE_KEY_MAX]; /* lent to the writer until the datagram ends */

    writer_begin_hello(writer, space, node_presence_key(&address, key));
    assert_int_equal(writer_put_block(writer, &block, NULL), BLOCK_ELEMENTS);
    writer_begin_x(writer, envelope);
}

static struct bytes words_write(struct fixture *fixture, const struct words *words, uint8_t *buffer)
{
    const struct space space = { buffer, WIRE_EXTENDED_BYTES_MAX };
    const uint8_t offset = 1;
    const struct block block = block_one(&words->value, &offset);
    struct envelope envelope = words->envelope;
    struct writer writer;

    if ((envelope.has & WIRE_HAS_SENDER) == 0) {
        envelope.has |= WIRE_HAS_SENDER;
        envelope.sender_id = id_of(fixture, HAND);
    }
    if (words->hello != 0) {
        hello_write(&writer, space, words->hello, &envelope);
    } else {
        writer_begin_ordinary(&writer, space, &envelope);
    }
    if (words->key != NULL) {
        assert_true(writer_begin_item(&writer, bytes_of(words->key), false));
        assert_int_equal(writer_put_block(&writer, &block, NULL), BLOCK_ELEMENTS);
        writer_end_item(&writer);
    }
    return writer_end(&writer);
}

static void say(struct fixture *fixture, const struct words *words)
{
    const struct address from = address_of(HAND);
    const struct address to = address_of(0);
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];

    fixture->strays = 0;
    datagram_send(fixture, &from, &to, words_write(fixture, words, buffer));
    run_us(fixture, 10000);
}

/* The last answer. */
static struct message heard(const struct fixture *fixture)
{
    struct message message;

    assert_true(fixture->strays > 0);
    assert_int_equal(
        message_decode((struct bytes){ fixture->stray.data, fixture->stray.size }, &message),
        WIRE_OK);
    assert_true(message.extended);
    return message;
}

static bool has(const struct message *message, enum wire_field field)
{
    return (message->envelope.has & field) != 0;
}

/* Say hello with a `q` and echo the token of the answer: valid from then on. */
static void introduce(struct fixture *fixture)
{
    struct words words = {
        .envelope = { .has = WIRE_HAS_SEQUENCE, .sequence = 100 },
        .hello = HAND,
    };
    struct message message;

    run_us(fixture, SECOND_US); /* a stranger is challenged now and then */
    say(fixture, &words);
    message = heard(fixture);
    assert_true(has(&message, WIRE_HAS_TOKEN));
    words = (struct words){ .envelope = { .has = WIRE_HAS_ECHO }, .hello = HAND };
    memcpy(words.envelope.echo, message.envelope.token, WIRE_TOKEN_BYTES);
    say(fixture, &words);
}

static void test_extended_a_hello_is_acked_and_believed_once_echoed(void **state)
{
    struct fixture *fixture = *state;
    const struct words hello = {
        .envelope = { .has = WIRE_HAS_SEQUENCE | WIRE_HAS_TOKEN,
                      .sequence = 9,
                      .token = { 6, 5, 4, 3, 2, 1 } },
        .hello = HAND,
    };
    struct message message;
    uint32_t sequence = 0;

    nodes_create(fixture, 1);
    say(fixture, &hello);
    assert_int_equal(state_at(fixture, 0, HAND), PEER_STATE_COUNT); /* it is no peer */
    message = heard(fixture);
    assert_true(message_next_ack(&message.acks, &sequence));
    assert_int_equal(sequence, 9);
    assert_true(has(&message, WIRE_HAS_ECHO));
    assert_memory_equal(message.envelope.echo, hello.envelope.token, WIRE_TOKEN_BYTES);
    introduce(fixture);
    assert_int_equal(state_at(fixture, 0, HAND), PEER_ALIVE);
}

static void test_extended_a_wrong_echo_proves_nothing(void **state)
{
    struct fixture *fixture = *state;
    const struct words hello = { .hello = HAND };
    const struct words echo = { .envelope = { .has = WIRE_HAS_ECHO, .echo = { 1 } } };

    nodes_create(fixture, 1);
    say(fixture, &hello);
    say(fixture, &echo);
    assert_int_equal(state_at(fixture, 0, HAND), PEER_STATE_COUNT);
}

/* The token of the last epoch is taken, the one before it is not. */
static void test_extended_an_echo_is_good_for_two_epochs(void **state)
{
    static const struct {
        uint64_t age_us;
        enum peer_state state;
    } rows[] = {
        { 1200 * SECOND_US, PEER_ALIVE },
        { 2400 * SECOND_US, PEER_STATE_COUNT },
    };
    struct fixture *fixture = *state;
    const struct words hello = { .hello = HAND };
    const struct address address = address_of(HAND);

    for (unsigned i = 0; i < 2; i++) {
        struct words echo = { .envelope = { .has = WIRE_HAS_ECHO }, .hello = HAND };

        now_set(fixture, 10000 * SECOND_US);
        nodes_create(fixture, 1);
        node_token(fixture->places[0].node,
                   (struct moment){ .mono_us = fixture->now.mono_us - rows[i].age_us }, &address, 0,
                   echo.envelope.echo);
        say(fixture, &hello);
        say(fixture, &echo);
        assert_int_equal(state_at(fixture, 0, HAND), rows[i].state);
        places_clear(fixture);
    }
}

static void test_extended_a_hello_for_another_address_is_not_taken(void **state)
{
    struct fixture *fixture = *state;
    const struct words hello = { .hello = 2 };

    nodes_create(fixture, 1);
    say(fixture, &hello);
    assert_int_equal(state_at(fixture, 0, 2), PEER_STATE_COUNT);
    assert_true(node_stats(fixture->places[0].node)->refused_presence > 0);
}

static void test_extended_who_is_not_known_is_asked(void **state)
{
    struct fixture *fixture = *state;
    const struct words words = { .envelope = { .has = 0 } };
    struct message message;

    nodes_create(fixture, 1);
    say(fixture, &words);
    message = heard(fixture);
    assert_true(has(&message, WIRE_HAS_WHO));
    assert_int_equal(message.envelope.who, id_of(fixture, HAND));
}

static void test_extended_who_gives_a_wrong_id_is_not_answered(void **state)
{
    struct fixture *fixture = *state;
    const struct words words = {
        .envelope = { .has = WIRE_HAS_SENDER | WIRE_HAS_SEQUENCE, .sender_id = 1, .sequence = 2 }
    };

    nodes_create(fixture, 1);
    say(fixture, &words);
    assert_int_equal(fixture->strays, 0);
    assert_int_equal(node_stats(fixture->places[0].node)->refused_presence, 1);
}

static void test_extended_data_of_strangers_is_neither_taken_nor_acked(void **state)
{
    struct fixture *fixture = *state;
    const struct words hello = { .hello = HAND };
    const struct words data = {
        .envelope = { .has = WIRE_HAS_SEQUENCE | WIRE_HAS_DEPTH, .sequence = 4, .depth = 1 },
        .key = "foo",
        .value = 7,
    };
    struct message message;

    nodes_create(fixture, 1);
    say(fixture, &hello);
    run_us(fixture, SECOND_US);
    say(fixture, &data);
    assert_int_equal(value_at(fixture, 0, "foo", 1), 0);
    message = heard(fixture);
    assert_int_equal(message.acks.left, 0);
    assert_true(has(&message, WIRE_HAS_TOKEN));
    introduce(fixture);
    say(fixture, &data);
    assert_int_equal(value_at(fixture, 0, "foo", 1), 7);
    message = heard(fixture);
    assert_int_equal(message.acks.left, 1);
}

static void test_extended_counts_copies_and_sends_back_what_is_larger(void **state)
{
    struct fixture *fixture = *state;
    struct words data = {
        .envelope = { .has = WIRE_HAS_SEQUENCE | WIRE_HAS_DEPTH, .sequence = 4, .depth = 1 },
        .key = "foo",
        .value = 7,
    };
    struct message message;
    struct item item;

    nodes_create(fixture, 1);
    introduce(fixture);
    say(fixture, &data);
    say(fixture, &data);
    assert_int_equal(node_stats(fixture->places[0].node)->copies_received, 2);
    assert_int_equal(node_stats(fixture->places[0].node)->copies_duplicate, 1);
    data.value = 6;
    say(fixture, &data);
    message = heard(fixture);
    assert_int_equal(message.acks.left, 1);
    assert_int_equal(message.envelope.depth, WIRE_DEPTH_STOP);
    assert_true(message_next_item(&message.items, &item));
    assert_int_equal(item.key.size, 3);
}

/* Whoever slanders a member does not tell it. */
static void test_extended_a_hello_is_answered_with_what_is_larger(void **state)
{
    struct fixture *fixture = *state;
    const struct address about = address_of(HAND);
    const struct words hello = { .hello = HAND };
    uint8_t text[NODE_PRESENCE_KEY_MAX + 1] = { 0 };
    struct words slander = { .envelope = { .has = WIRE_HAS_DEPTH, .depth = 1 },
                             .key = (const char *)text,
                             .value = (START_S + 50) << 16 | 1 };
    struct message message;
    struct block_room room;
    struct block block;
    struct item item;

    nodes_create(fixture, 1);
    introduce(fixture);
    (void)node_presence_key(&about, text);
    say(fixture, &slander);
    say(fixture, &hello);
    message = heard(fixture);
    assert_true(message_next_item(&message.items, &item));
    assert_true(elements_next(&item.elements, &room, &block));
    assert_int_equal(block_offset(&block, 0), PRESENCE_LEVEL);
    assert_true(block_value(&block, 0) == slander.value);
}

static void test_extended_keys_that_are_patterns_are_not_stored(void **state)
{
    struct fixture *fixture = *state;
    struct words data = {
        .envelope = { .has = WIRE_HAS_SEQUENCE | WIRE_HAS_DEPTH, .sequence = 4, .depth = 1 },
        .key = "fo%",
        .value = 7,
    };

    nodes_create(fixture, 1);
    introduce(fixture);
    say(fixture, &data);
    data.key = "f*o";
    say(fixture, &data);
    assert_null(table_find(fixture->places[0].table, bytes_of("fo%")));
    assert_null(table_find(fixture->places[0].table, bytes_of("f*o")));
    assert_int_equal(node_stats(fixture->places[0].node)->refused_keys, 2);
}

/* A node that has said no hello for two seconds, and how many it said before. */
static uint64_t hellos_before(struct fixture *fixture)
{
    nodes_create(fixture, 1);
    introduce(fixture);
    run_us(fixture, 2 * SECOND_US);
    return node_stats(fixture->places[0].node)->sent[NODE_KIND_HELLO];
}

static void test_extended_answers_who_with_a_hello_at_most_once_a_second(void **state)
{
    struct fixture *fixture = *state;
    struct words words = { .envelope = { .has = WIRE_HAS_WHO } };
    uint64_t hellos;

    hellos = hellos_before(fixture);
    words.envelope.who = id_of(fixture, 0) + 1;
    say(fixture, &words);
    assert_int_equal(node_stats(fixture->places[0].node)->sent[NODE_KIND_HELLO], hellos);
    words.envelope.who = id_of(fixture, 0);
    for (unsigned i = 0; i < 20; i++) {
        say(fixture, &words);
    }
    assert_int_equal(node_stats(fixture->places[0].node)->sent[NODE_KIND_HELLO], hellos + 1);
    run_us(fixture, SECOND_US);
    say(fixture, &words);
    assert_int_equal(node_stats(fixture->places[0].node)->sent[NODE_KIND_HELLO], hellos + 2);
}

/* Who asked has then nothing to say, and may never ask again. */
static void test_extended_who_asked_too_soon_gets_the_hello_later(void **state)
{
    struct fixture *fixture = *state;
    struct words words = { .envelope = { .has = WIRE_HAS_WHO } };
    uint64_t hellos;

    hellos = hellos_before(fixture);
    words.envelope.who = id_of(fixture, 0);
    say(fixture, &words);
    say(fixture, &words);
    assert_int_equal(node_stats(fixture->places[0].node)->sent[NODE_KIND_HELLO], hellos + 1);
    run_us(fixture, 3 * SECOND_US);
    assert_int_equal(node_stats(fixture->places[0].node)->sent[NODE_KIND_HELLO], hellos + 2);
}

static void test_extended_of_another_cluster_is_refused_before_all_else(void **state)
{
    struct fixture *fixture = *state;
    const struct words hello = {
        .envelope = { .has = WIRE_HAS_CLUSTER | WIRE_HAS_SEQUENCE, .cluster = 5, .sequence = 1 },
        .hello = HAND,
    };

    nodes_create(fixture, 1);
    say(fixture, &hello);
    assert_int_equal(fixture->strays, 0);
    assert_int_equal(state_at(fixture, 0, HAND), PEER_STATE_COUNT);
    assert_int_equal(node_stats(fixture->places[0].node)->refused_cluster, 1);
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
    struct fixture *fixture = *state;
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    struct message message;

    nodes_create(fixture, 1);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(message_decode(words_write(fixture, &rows[i].words, buffer), &message),
                         WIRE_OK);
        assert_int_equal(extended_kind(&message), rows[i].kind);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_extended_a_hello_is_acked_and_believed_once_echoed),
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
