/* What this file tests: addresses that nobody vouches for: who becomes a peer and who does not,
 * what strangers are told, and who keeps a place among them. */

#include "node/claim.h"
#include "node/pace.h"
#include "node/peers.h"
#include "node/strangers_private.h"
#include "wire/writer.h"

#include <stdio.h>
#include <string.h>

#include "unit/world_fixture.h"

#define STRANGER 9 /* no node is there */

static struct node *node_of(const struct world *world, unsigned number)
{
    return world->nodes[number].node;
}

/* A datagram from any address; nothing leaves yet. */
static void hear(struct world *world, const struct address *from, struct bytes datagram)
{
    node_receive(node_of(world, 0), world_moment(world), from, datagram);
    world_wake(world, 0);
}

/* The presence of an extended node at an address, plain. */
static struct bytes presence_write(uint8_t *buffer, const struct address *of)
{
    uint8_t text[NODE_PRESENCE_KEY_MAX];
    char key[NODE_PRESENCE_KEY_MAX + 1] = { 0 };
    const struct bytes bytes = node_presence_key(of, text);

    memcpy(key, bytes.data, bytes.size);
    return plain_write(buffer, key, PRESENCE_LEVEL, WORLD_UNIX_S << 16 | PRESENCE_PROTOCOL_LEVEL);
}

static struct address address_at(unsigned net, unsigned host)
{
    return (struct address){ .ip = { [10] = 0xff,
                                     [11] = 0xff,
                                     [12] = 172,
                                     [13] = (uint8_t)(net >> 8),
                                     [14] = (uint8_t)net,
                                     [15] = (uint8_t)host },
                             .port = 6000 };
}

static uint64_t sent_of(const struct world *world)
{
    const struct node_stats *stats = node_stats(node_of(world, 0));
    uint64_t sent = 0;

    for (unsigned kind = 0; kind < NODE_KIND_COUNT; kind++) {
        sent += stats->sent[kind];
    }
    return sent;
}

static void test_strangers_that_speak_are_no_peers(void **state)
{
    struct world *world = *state;
    uint8_t buffer[WIRE_PLAIN_BYTES_MAX];
    struct node *node;

    nodes_create(world, 1);
    node = node_of(world, 0);
    for (unsigned i = 0; i < 7000; i++) {
        const struct address from = address_at(i / 200, 1 + i % 200);

        hear(world, &from,
             i % 2 == 0 ? plain_write(buffer, "word", 1, 1) : presence_write(buffer, &from));
    }
    world_run(world, 10 * WORLD_S);
    assert_int_equal(peers_count(node->peers), 0);
    assert_int_equal(node->strangers->count, STRANGERS_MAX);
    assert_int_equal(table_stats(world->nodes[0].table).keys[TABLE_MEMBERS], 1);
    assert_int_equal(world_read(world, 0, "word", 1), 1); /* data is anybody's */
    assert_true(world->nodes[0].mem.used_bytes < 400000);
}

static void test_strangers_that_say_they_are_extended_are_challenged(void **state)
{
    struct world *world = *state;
    const struct address from = world_address(STRANGER);
    uint8_t buffer[WIRE_PLAIN_BYTES_MAX];
    uint8_t token[WIRE_TOKEN_BYTES];
    struct message message;

    nodes_create(world, 1);
    hear(world, &from, presence_write(buffer, &from));
    world_run(world, WORLD_S);
    assert_int_equal(world->strays, 1);
    assert_true(world->stray.size <= CREDIT_FLOOR_BYTES);
    assert_int_equal(
        message_decode((struct bytes){ world->stray.data, world->stray.size }, &message), WIRE_OK);
    assert_true(message.extended);
    node_token(node_of(world, 0), world_moment(world), &from, 0, token);
    assert_memory_equal(message.envelope.token, token, sizeof token);
    assert_int_equal(message.envelope.who, (uint32_t)node_peer_id(node_of(world, 0), &from));
}

/* A stranger that always answers and never echoes right is not answered without end. */
static void test_strangers_are_challenged_now_and_then(void **state)
{
    struct world *world = *state;
    const struct address from = world_address(STRANGER);
    uint8_t buffer[WIRE_PLAIN_BYTES_MAX];

    nodes_create(world, 1);
    for (unsigned i = 0; i < 1000; i++) {
        hear(world, &from, presence_write(buffer, &from));
        world_run(world, 1000);
    }
    assert_in_range(sent_of(world), 4, 6);
}

static void test_strangers_are_told_of_a_key_as_much_as_they_brought(void **state)
{
    struct world *world = *state;
    const struct address from = world_address(STRANGER);
    uint8_t buffer[WIRE_PLAIN_BYTES_MAX];
    uint64_t came = 0;
    uint64_t bytes = 0;

    nodes_create(world, 1);
    for (unsigned i = 0; i < 2000; i++) {
        assert_int_equal(world_update(world, 0, "key", i, 10, NULL), STATUS_OK);
    }
    for (unsigned i = 0; i < 20; i++) {
        const struct bytes datagram = plain_write(buffer, "key", 1000, i % 2);

        came += datagram.size + NODE_HEADER_BYTES;
        hear(world, &from, datagram);
        world_run(world, 1000);
    }
    world_run(world, 5 * WORLD_S);
    bytes = node_stats(node_of(world, 0))->sent_bytes[NODE_KIND_PLAIN]
            + sent_of(world) * NODE_HEADER_BYTES;
    assert_true(sent_of(world) > 0);
    assert_true(bytes <= came + 6 * (CREDIT_FLOOR_BYTES + NODE_HEADER_BYTES));
}

/* What a stranger says of a key of which we have more is answered with what is larger, and never
 * with a message without elements, which would be a question. */
static void test_strangers_hear_what_is_larger(void **state)
{
    struct world *world = *state;
    const struct address from = world_address(STRANGER);
    uint8_t buffer[WIRE_PLAIN_BYTES_MAX];
    struct message message;
    struct block_room room;
    struct block block;

    nodes_create(world, 1);
    assert_int_equal(world_update(world, 0, "key", 700, 10, NULL), STATUS_OK);
    assert_int_equal(world_update(world, 0, "key", 3, 10, NULL), STATUS_OK);
    hear(world, &from, plain_write(buffer, "key", 700, 4));
    world_run(world, WORLD_S);
    assert_int_equal(world->strays, 1);
    assert_int_equal(
        message_decode((struct bytes){ world->stray.data, world->stray.size }, &message), WIRE_OK);
    assert_true(elements_next(&message.plain.elements, &room, &block));
    assert_int_equal(block.number << 8 | block_offset(&block, 0), 700);
    assert_int_equal(block_value(&block, 0), 10);
    assert_false(elements_next(&message.plain.elements, &room, &block));
}

static void test_strangers_searches_are_not_answered(void **state)
{
    static const char *const patterns[] = { "%", "*", "k%", "n%" };
    struct world *world = *state;
    const struct address from = world_address(STRANGER);
    uint8_t buffer[WIRE_PLAIN_BYTES_MAX];

    nodes_create(world, 1);
    assert_int_equal(world_update(world, 0, "key", 1, 10, NULL), STATUS_OK);
    for (unsigned i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        hear(world, &from, plain_write(buffer, patterns[i], 1, 0));
    }
    world_run(world, 5 * WORLD_S);
    assert_int_equal(sent_of(world), 0);
    assert_int_equal(node_stats(node_of(world, 0))->refused_credit, 4);
    hear(world, &from, plain_write(buffer, "n:%", 1, 0));
    world_run(world, WORLD_S);
    assert_int_equal(sent_of(world), 1); /* with ourselves */
}

/* One network fills the table; who is of another keeps its place, and what it is owed. */
static void test_strangers_of_one_network_do_not_drive_out_others(void **state)
{
    struct world *world = *state;
    const struct address honest = address_at(500, 1);
    uint8_t buffer[WIRE_PLAIN_BYTES_MAX];
    uint64_t sent;

    nodes_create(world, 1);
    assert_int_equal(world_update(world, 0, "key", 1, 10, NULL), STATUS_OK);
    hear(world, &honest, plain_write(buffer, "key", 1, 0));
    for (unsigned i = 0; i < 60000; i++) {
        struct address from = address_at(7, 1 + i % 250);

        from.port = (uint16_t)(1 + i);
        hear(world, &from, plain_write(buffer, "other", 1, 1));
    }
    strangers_audit(node_of(world, 0));
    sent = sent_of(world);
    world_run(world, WORLD_S);
    assert_int_equal(sent_of(world), sent + 1);
    assert_int_equal(world->stray.to.ip[14], honest.ip[14]);
}

/* Answers to strangers take a quarter of the rate, however many want one. */
static void test_strangers_have_a_share_of_the_rate(void **state)
{
    struct world *world = *state;
    struct node_options options;
    uint8_t buffer[WIRE_PLAIN_BYTES_MAX];
    uint64_t bytes;

    nodes_create(world, 1);
    options = node_of(world, 0)->options;
    options.bytes_per_second_max = 1000000;
    assert_int_equal(node_configure(node_of(world, 0), world_moment(world), &options), STATUS_OK);
    for (unsigned i = 0; i < 40000; i++) {
        const struct address from = address_at(i / 250, 1 + i % 250);

        hear(world, &from, presence_write(buffer, &from));
        if (i % 20 == 19) {
            world_run(world, 1000);
        }
    }
    bytes = node_stats(node_of(world, 0))->sent_bytes[NODE_KIND_HELLO]
            + sent_of(world) * NODE_HEADER_BYTES;
    assert_in_range(bytes, 100000, 2 * 1000000 / STRANGERS_SHARE + 2 * PACE_BURST_BYTES);
}

/* Two that trust nobody: first contact is short, and each then is the other's member. */
static void test_strangers_that_echo_become_members(void **state)
{
    struct world *world = *state;

    nodes_create(world, 2);
    world_run(world, 20 * WORLD_DELAY_US);
    assert_int_equal(world_state(world, 0, 1), PEER_ALIVE);
    assert_int_equal(world_state(world, 1, 0), PEER_ALIVE);
    assert_int_equal(node_of(world, 0)->strangers->count, 0);
    assert_int_equal(node_of(world, 0)->stats.refused_credit, 0);
    assert_int_equal(node_of(world, 1)->stats.refused_credit, 0);
}

/* A member tells of an address: level 1, or plain and vouched for. */
static void presence_tell(struct world *world, unsigned at, const struct address *about,
                          unsigned level)
{
    const struct address from = world_address(at == 0 ? 1 : 0);
    struct node *node = node_of(world, at);
    struct peer *peer = peers_find(node->peers, &from);
    uint8_t key[NODE_PRESENCE_KEY_MAX];
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    const struct envelope envelope = { .has = WIRE_HAS_SENDER | WIRE_HAS_DEPTH,
                                       .sender_id = (uint32_t)node_peer_id(node, &from),
                                       .depth = WIRE_DEPTH_STOP };
    const uint64_t values[] = { level == 0 ? 0 : WORLD_UNIX_S << 16 | level, WORLD_UNIX_S << 2 };
    const uint8_t offsets[] = { PRESENCE_LEVEL, PRESENCE_STATE };
    const struct block block = { .values = values, .offsets = offsets, .count = 2, .width = 8 };
    struct writer writer;

    assert_non_null(peer);
    writer_begin_ordinary(&writer, (struct space){ buffer, sizeof buffer }, &envelope);
    assert_true(writer_begin_item(&writer, node_presence_key(about, key), false, 0));
    assert_int_equal(writer_put_block(&writer, &block, NULL), BLOCK_ELEMENTS);
    writer_end_item(&writer);
    node_receive(node, world_moment(world), &from, writer_end(&writer));
    world_wake(world, at);
}

/* Four members that know each other for long hear of an address where nobody is. One speaks to it
 * at once; then they take turns, and together send a datagram a second at most. */
static void told_of_check(struct world *world, const char *trusted)
{
    const struct address nobody = address_at(3, 3);
    struct address_range range;

    assert_true(address_range_from_text(bytes_of(trusted), &range));
    nodes_create(world, 4);
    for (unsigned i = 0; i < 4; i++) {
        struct node_options options = world_options(i);

        options.trust = &range;
        options.trust_count = 1;
        assert_int_equal(node_configure(node_of(world, i), world_moment(world), &options),
                         STATUS_OK);
    }
    world_run(world, 100 * WORLD_S);
    world->strays = 0;
    for (unsigned i = 0; i < 4; i++) {
        presence_tell(world, i, &nobody, 1);
    }
    world_run(world, 25 * WORLD_S);
    assert_int_equal(world->strays, 1);
    world_run(world, 35 * WORLD_S);
    assert_in_range(world->strays, 3, 10);
}

static void test_strangers_that_are_told_of_hear_from_one_member(void **state)
{
    struct world *world = *state;

    told_of_check(world, "127.0.0.0/8");
    assert_true(world->stray.size <= CREDIT_FLOOR_BYTES);
}

/* The same holds where the address is a trusted one: it may have been made up there too. */
static void test_strangers_that_are_told_of_and_trusted_hear_from_one_member(void **state)
{
    told_of_check(*state, "172.0.0.0/8");
}

/* Whoever vouches for it: a plain peer outside of the trusted ranges gets no updates here. */
static void test_strangers_that_are_plain_are_no_members(void **state)
{
    struct world *world = *state;
    const struct address plain = address_at(3, 3);

    nodes_create(world, 2);
    world_run(world, 5 * WORLD_S);
    presence_tell(world, 0, &plain, 0);
    world_run(world, WORLD_S);
    assert_non_null(peers_find(node_of(world, 0)->peers, &plain));
    assert_int_equal(peers_members(node_of(world, 0)->peers), 1);
    assert_int_equal(world_update(world, 0, "key", 1, 1, NULL), STATUS_OK);
    world_run(world, 10 * WORLD_S);
    assert_int_equal(world->strays, 0);
}

/* Places in all: those that one peer may take by made-up addresses, the rest echoed. */
static void places_fill(struct world *world)
{
    struct node *node = node_of(world, 0);

    for (unsigned i = 0; i < NODE_PEERS_MAX + 1000; i++) {
        const struct address about = address_at(i / 250, 1 + i % 250);

        presence_tell(world, 0, &about, 1);
        if (i % 64 == 63) {
            world_run(world, 1000);
        }
    }
    assert_in_range(peers_count(node->peers), PEERS_TOLD_MAX / 2, PEERS_TOLD_MAX / 2 + 2);
    assert_int_equal(peers_members(node->peers), 1);
    for (unsigned i = 0; peers_count(node->peers) < NODE_PEERS_MAX; i++) {
        const struct address about = address_at(300 + i / 250, 1 + i % 250);
        struct peer *peer = peers_obtain(node->peers, &about, node_peer_id(node, &about));

        assert_non_null(peer);
        peer->validated_us = world->now_us;
        peer->heard_us = world->now_us;
    }
}

/* A validated peer makes up more addresses than there are places. Who is there finds one. */
static void test_strangers_made_up_by_a_peer_take_no_place_from_who_is_there(void **state)
{
    struct world *world = *state;
    const struct node_options options = world_options(2);

    nodes_create(world, 2);
    world_run(world, 5 * WORLD_S);
    places_fill(world);
    world_join(world, &options);
    world_run(world, 3 * WORLD_S);
    assert_int_equal(world_state(world, 0, 2), PEER_ALIVE);
}

/* Nor where the addresses lie in a trusted range: nobody reached them. */
static void test_strangers_made_up_in_a_trusted_range_take_no_place_either(void **state)
{
    struct world *world = *state;
    struct address_range range;
    struct node_options options = world_options(0);
    const struct node_options third = world_options(2);

    nodes_create(world, 2);
    world_run(world, 5 * WORLD_S);
    assert_true(address_range_from_text(bytes_of("172.0.0.0/8"), &range));
    options.trust = &range;
    options.trust_count = 1;
    assert_int_equal(node_configure(node_of(world, 0), world_moment(world), &options), STATUS_OK);
    places_fill(world);
    world_join(world, &third);
    world_run(world, 3 * WORLD_S);
    assert_int_equal(world_state(world, 0, 2), PEER_ALIVE);
}

/* Echo our token, as somebody who is there does. */
static void echo_hear(struct world *world, const struct address *from)
{
    struct node *node = node_of(world, 0);
    struct envelope envelope = { .has = WIRE_HAS_SENDER | WIRE_HAS_ECHO,
                                 .sender_id = (uint32_t)node_peer_id(node, from) };
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
    struct writer writer;

    node_token(node, world_moment(world), from, 0, envelope.echo);
    writer_begin_ordinary(&writer, (struct space){ buffer, sizeof buffer }, &envelope);
    hear(world, from, writer_end(&writer));
}

/* What made room in this turn may be told of again, and asked for room again, before it ends. */
static void test_strangers_made_up_that_make_room_can_be_told_of_again(void **state)
{
    struct world *world = *state;

    nodes_create(world, 2);
    world_run(world, 5 * WORLD_S);
    places_fill(world);
    for (unsigned i = 0; i < NODE_PEERS_MAX; i++) {
        const struct address from = address_at(400 + i / 250, 1 + i % 250);

        echo_hear(world, &from);
    }
    for (unsigned i = 0; i < 1000; i++) {
        const struct address about = address_at(i / 250, 1 + i % 250);

        presence_tell(world, 0, &about, 1);
    }
    world_run(world, WORLD_S);
    assert_true(peers_count(node_of(world, 0)->peers) <= NODE_PEERS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_strangers_that_speak_are_no_peers),
        TEST(test_strangers_that_say_they_are_extended_are_challenged),
        TEST(test_strangers_are_challenged_now_and_then),
        TEST(test_strangers_are_told_of_a_key_as_much_as_they_brought),
        TEST(test_strangers_hear_what_is_larger),
        TEST(test_strangers_searches_are_not_answered),
        TEST(test_strangers_of_one_network_do_not_drive_out_others),
        TEST(test_strangers_have_a_share_of_the_rate),
        TEST(test_strangers_that_echo_become_members),
        TEST(test_strangers_that_are_told_of_hear_from_one_member),
        TEST(test_strangers_that_are_told_of_and_trusted_hear_from_one_member),
        TEST(test_strangers_that_are_plain_are_no_members),
        TEST(test_strangers_made_up_by_a_peer_take_no_place_from_who_is_there),
        TEST(test_strangers_made_up_in_a_trusted_range_take_no_place_either),
        TEST(test_strangers_made_up_that_make_room_can_be_told_of_again),
    };

    return cmocka_run_group_tests_name("strangers", tests, NULL, NULL);
}
