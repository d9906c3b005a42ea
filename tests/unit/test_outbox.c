/* What this file tests: what is owed to a peer and leaves with the next datagram, and what is under
 * way and not acked. */

#include "base/hash.h"
#include "node/flights.h"
#include "node/node.h"
#include "node/outbox_private.h"
#include "node/pace.h"
#include "node/peers.h"
#include "node/state.h"
#include "store/digest.h"
#include "store/marks.h"
#include "wire/message.h"
#include "wire/writer.h"

#include <string.h>

#include "defaults.h"
#include "unit/test.h"

#define SECOND_US UINT64_C(1000000)

struct fixture {
    struct mem mem;
    struct table *table;
    struct node *node;
    struct peer *peer;
    struct peer *other;
    struct moment now;
    struct random random;
    struct message message;
    uint8_t buffer[WIRE_EXTENDED_BYTES_MAX];
};

static struct address address_of(unsigned number)
{
    return (struct address){ .ip = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)number },
                             .port = 6000 };
}

static struct peer *peer_create(struct fixture *fixture, unsigned number)
{
    const struct address address = address_of(number);
    struct peer *peer =
        peers_obtain(fixture->node->peers, &address, node_peer_id(fixture->node, &address));

    assert_non_null(peer);
    return peer;
}

static int setup(void **state)
{
    static struct fixture fixture;
    const struct table_options table_options = { .mem = &fixture.mem, .digest_mask = UINT64_MAX };
    const struct node_options options = { NODE_DEFAULTS, .self = address_of(1), .seed = 1 };

    memset(&fixture, 0, sizeof fixture);
    fixture.now = (struct moment){ .mono_us = SECOND_US, .unix_s = 1790000000 };
    random_seed(&fixture.random, 1, 4);
    if (table_create(&table_options, &fixture.table) != STATUS_OK
        || node_create(&options, &fixture.mem, fixture.table, fixture.now, &fixture.node)
               != STATUS_OK) {
        return -1;
    }
    node_turn_end(fixture.node);
    fixture.peer = peer_create(&fixture, 2);
    fixture.other = peer_create(&fixture, 3);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    outbox_audit(fixture->node);
    node_free(fixture->node);
    table_free(fixture->table);
    return fixture->mem.used_bytes == 0 ? 0 : -1;
}

/* The next datagram of the outbox, decoded; false: there is none. */
static bool emit(struct fixture *fixture, struct address *to)
{
    const struct space space = { fixture->buffer, sizeof fixture->buffer };
    const size_t size = outbox_emit(fixture->node, fixture->now, space, to);

    outbox_audit(fixture->node);
    if (size == 0) {
        return false;
    }
    assert_int_equal(message_decode((struct bytes){ fixture->buffer, size }, &fixture->message),
                     WIRE_OK);
    assert_true(fixture->message.extended);
    return true;
}

static bool has(const struct fixture *fixture, enum wire_field field)
{
    return (fixture->message.envelope.has & field) != 0;
}

static struct entry *entry_create(struct fixture *fixture, const char *key, unsigned elements)
{
    struct entry *entry = NULL;

    assert_int_equal(table_obtain(fixture->table,
                                  (struct bytes){ (const uint8_t *)key, strlen(key) }, TABLE_DATA,
                                  &entry),
                     STATUS_OK);
    for (unsigned i = 0; i < elements; i++) {
        const uint64_t value = random_next(&fixture->random) | 1;
        const uint8_t offset = (uint8_t)i;
        const struct block block = {
            .number = i >> 8, .values = &value, .offsets = &offset, .count = 1, .width = 8
        };

        assert_int_equal(table_merge(fixture->table, entry, &block, CHANGE_FROM_PEER, NULL),
                         STATUS_OK);
    }
    return entry;
}

static uint32_t fly(struct fixture *fixture, struct peer *peer, enum flight_kind kind,
                    uint8_t tries, uint64_t due_us)
{
    const uint32_t sequence = outbox_sequence(fixture->node, peer);
    const struct flight_plan plan = { .kind = (uint8_t)kind, .tries = tries, .due_us = due_us };

    assert_true(outbox_fly(fixture->node, fixture->now, peer, &plan, NULL));
    return sequence;
}

static void test_outbox_sends_what_is_owed_oldest_first(void **state)
{
    struct fixture *fixture = *state;
    struct address to;
    uint32_t sequence;

    outbox_owe_ack(fixture->node, fixture->other, 7, false);
    outbox_owe_ack(fixture->node, fixture->peer, 8, false);
    outbox_owe_ack(fixture->node, fixture->other, 9, false);
    assert_true(emit(fixture, &to));
    assert_int_equal(address_compare(&to, &fixture->other->address), 0);
    assert_int_equal(fixture->message.acks.left, 2);
    assert_true(message_next_ack(&fixture->message.acks, &sequence));
    assert_int_equal(sequence, 7);
    assert_true(emit(fixture, &to));
    assert_int_equal(address_compare(&to, &fixture->peer->address), 0);
    assert_false(emit(fixture, &to));
    assert_null(fixture->peer->owed);
    assert_null(fixture->other->owed);
    assert_int_equal(fixture->node->stats.sent[NODE_KIND_ACK], 2);
}

static void test_outbox_drops_acks_that_find_no_room(void **state)
{
    struct fixture *fixture = *state;
    struct address to;

    for (uint32_t i = 0; i < 2 * OUTBOX_ACKS_MAX; i++) {
        outbox_owe_ack(fixture->node, fixture->peer, i, i % 2 == 0);
    }
    assert_true(emit(fixture, &to));
    assert_int_equal(fixture->message.acks.left, OUTBOX_ACKS_MAX);
    assert_false(emit(fixture, &to));
}

static void test_outbox_salts_roots_with_the_first_ack(void **state)
{
    struct fixture *fixture = *state;
    struct address to;
    uint32_t sequence;
    uint32_t roots[2];

    outbox_owe_ack(fixture->node, fixture->peer, 7, false);
    outbox_owe_ack(fixture->node, fixture->peer, 8, true);
    assert_true(emit(fixture, &to));
    assert_true(has(fixture, WIRE_HAS_ROOTS));
    assert_true(message_next_ack(&fixture->message.acks, &sequence));
    assert_int_equal(sequence, 8);
    outbox_roots(fixture->node, 8, table_root_minute(fixture->node->table), roots);
    assert_memory_equal(fixture->message.envelope.roots, roots, sizeof roots);
}

/* A producer's datagram has a `q`, which is what roots in it would be salted with. */
static void test_outbox_lets_acks_ride_unless_roots_go_with_them(void **state)
{
    struct fixture *fixture = *state;
    const struct envelope envelope = { .has = WIRE_HAS_SEQUENCE, .sequence = 5 };
    struct writer writer;
    struct address to;
    size_t size;

    for (unsigned roots = 0; roots < 2; roots++) {
        outbox_owe_ack(fixture->node, fixture->peer, 7, roots != 0);
        outbox_begin(fixture->node, fixture->now, fixture->peer, &writer,
                     (struct space){ fixture->buffer, sizeof fixture->buffer }, &envelope);
        size = outbox_end(fixture->node, fixture->now, fixture->peer, &writer, NODE_KIND_PROBE);
        assert_int_equal(message_decode((struct bytes){ fixture->buffer, size }, &fixture->message),
                         WIRE_OK);
        assert_int_equal(fixture->message.envelope.sequence, 5);
        assert_int_equal(fixture->message.acks.left, roots == 0);
        assert_int_equal(emit(fixture, &to), roots != 0);
        assert_null(fixture->peer->owed);
    }
}

static void test_outbox_says_hello_and_asks_until_it_was_echoed(void **state)
{
    struct fixture *fixture = *state;
    const struct bytes key = entry_key(fixture->node->self);
    struct address to;

    for (unsigned validated = 0; validated < 2; validated++) {
        const struct address_range anybody = { .bits = 0 };

        fixture->node->options.trust = &anybody;
        fixture->node->options.trust_count = 1;
        fixture->peer->validated_us = validated == 0 ? 0 : fixture->now.mono_us;
        outbox_owe(fixture->node, fixture->peer)->hello = true;
        assert_true(emit(fixture, &to));
        assert_int_equal(fixture->message.plain.key.size, key.size);
        assert_memory_equal(fixture->message.plain.key.data, key.data, key.size);
        assert_true(fixture->message.plain.full);
        assert_int_equal(fixture->message.ttl, 0);
        assert_true(has(fixture, WIRE_HAS_SENDER));
        assert_int_equal(fixture->message.envelope.sender_id, (uint32_t)fixture->node->self_id);
        assert_int_equal(has(fixture, WIRE_HAS_SEQUENCE), validated == 0);
        assert_int_equal(has(fixture, WIRE_HAS_TOKEN), validated == 0);
        assert_int_equal(fixture->node->outbox->flights_count, 1);
    }
    assert_int_equal(fixture->node->stats.sent[NODE_KIND_HELLO], 2);
}

static void test_outbox_echoes_a_token_once(void **state)
{
    struct fixture *fixture = *state;
    const uint8_t token[WIRE_TOKEN_BYTES] = { 1, 2, 3, 4, 5, 6 };
    struct address to;

    memcpy(fixture->peer->token, token, sizeof token);
    fixture->peer->has_token = true;
    outbox_owe_ack(fixture->node, fixture->peer, 1, false);
    assert_true(emit(fixture, &to));
    assert_true(has(fixture, WIRE_HAS_ECHO));
    assert_memory_equal(fixture->message.envelope.echo, token, sizeof token);
    outbox_owe_ack(fixture->node, fixture->peer, 2, false);
    assert_true(emit(fixture, &to));
    assert_false(has(fixture, WIRE_HAS_ECHO));
}

/* It proves who says it: what leaves before does not use it up. */
static void test_outbox_keeps_a_token_for_the_hello_that_was_asked_for(void **state)
{
    struct fixture *fixture = *state;
    struct moment later = fixture->now;
    struct address to;

    fixture->peer->heard_us = fixture->now.mono_us;
    fixture->peer->validated_us = fixture->now.mono_us;
    outbox_owe_hello(fixture->node, fixture->now, fixture->peer, true);
    assert_true(emit(fixture, &to));
    fixture->peer->has_token = true;
    outbox_owe_hello(fixture->node, fixture->now, fixture->peer, true); /* too soon */
    outbox_owe_ack(fixture->node, fixture->peer, 1, false);
    assert_true(emit(fixture, &to));
    assert_true(has(fixture, WIRE_HAS_ECHO));
    later.mono_us += 1000000;
    outbox_owe_hello(fixture->node, later, fixture->peer, true);
    assert_true(emit(fixture, &to));
    assert_true(fixture->message.plain.key.size > 0);
    assert_true(has(fixture, WIRE_HAS_ECHO));
    outbox_owe_ack(fixture->node, fixture->peer, 2, false);
    assert_true(emit(fixture, &to));
    assert_false(has(fixture, WIRE_HAS_ECHO));
}

static void test_outbox_says_who_and_refused(void **state)
{
    struct fixture *fixture = *state;
    struct owed *owed = outbox_owe(fixture->node, fixture->peer);
    struct address to;
    uint32_t refused;

    owed->has_who = true;
    owed->who = 77;
    for (uint32_t i = 0; i < OUTBOX_REFUSED_MAX + 1; i++) {
        outbox_owe_refused(fixture->node, fixture->peer, 78 + i);
    }
    assert_true(emit(fixture, &to));
    assert_int_equal(fixture->message.envelope.who, 77);
    refused = fixture->message.envelope.refused;
    for (uint32_t i = 1; i < OUTBOX_REFUSED_MAX; i++) { /* each in a datagram of its own */
        assert_true(emit(fixture, &to));
        assert_int_equal(fixture->message.envelope.has & WIRE_HAS_WHO, 0);
        refused += fixture->message.envelope.refused;
    }
    assert_int_equal(refused, (78 + 77 + OUTBOX_REFUSED_MAX) * OUTBOX_REFUSED_MAX / 2);
    assert_false(emit(fixture, &to));
}

static void test_outbox_a_bare_record_is_an_answer_and_an_empty_one_is_not(void **state)
{
    struct fixture *fixture = *state;
    struct address to;

    assert_non_null(outbox_owe(fixture->node, fixture->peer));
    outbox_owe(fixture->node, fixture->other)->bare = true;
    assert_true(emit(fixture, &to));
    assert_int_equal(address_compare(&to, &fixture->other->address), 0);
    assert_true(has(fixture, WIRE_HAS_TOKEN));
    assert_null(fixture->peer->owed);
    assert_false(emit(fixture, &to));
}

/* Acks leave whatever the rate says; what would ride in them waits for it. */
static void test_outbox_holds_back_all_but_acks_at_the_rate(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entry = entry_create(fixture, "big", 2000);
    struct owed *owed = outbox_owe(fixture->node, fixture->peer);
    unsigned datagrams = 1;
    struct address to;

    assert_true(marks_add_entry(&owed->larger, &fixture->mem, entry));
    outbox_owe_ack(fixture->node, fixture->peer, 1, false);
    pace_sent(fixture->node, fixture->now, fixture->other,
              pace_burst_bytes(fixture->node->options.bytes_per_second_max));
    assert_false(pace_rate_allows(fixture->node, fixture->now));
    assert_true(emit(fixture, &to));
    assert_int_equal(fixture->message.acks.left, 1);
    assert_int_equal(fixture->message.items.left, 0);
    assert_false(emit(fixture, &to));
    assert_true(outbox_due_us(fixture->node) > fixture->now.mono_us);
    fixture->now.mono_us = outbox_due_us(fixture->node);
    assert_true(pace_rate_allows(fixture->node, fixture->now));
    fixture->now.mono_us += SECOND_US;
    while (emit(fixture, &to)) {
        assert_int_equal(fixture->message.acks.left, 0);
        assert_int_equal(fixture->message.envelope.depth, WIRE_DEPTH_STOP);
        datagrams++;
    }
    assert_in_range(datagrams, 2000 * 9 / WIRE_EXTENDED_BYTES_MAX, 40);
    assert_null(fixture->peer->owed);
}

/* However many hellos wait for the rate, an ack that comes after them leaves before them, and what
 * waits leaves in the order in which it came. */
static void test_outbox_sends_an_ack_before_all_that_waits(void **state)
{
    enum { WAITING = 500 };
    struct fixture *fixture = *state;
    struct peer *peers[WAITING];
    struct address to;

    for (unsigned i = 0; i < WAITING; i++) {
        const struct address address = { .ip = { [10] = 0xff,
                                                 [11] = 0xff,
                                                 [12] = 10,
                                                 [13] = 1,
                                                 [14] = (uint8_t)(i >> 8),
                                                 [15] = (uint8_t)i },
                                         .port = 6000 };

        peers[i] =
            peers_obtain(fixture->node->peers, &address, node_peer_id(fixture->node, &address));
        assert_non_null(peers[i]);
        outbox_owe(fixture->node, peers[i])->hello = true;
    }
    while (pace_rate_allows(fixture->node, fixture->now)) {
        pace_charge(fixture->node, fixture->now, 1000);
    }
    assert_false(emit(fixture, &to));
    outbox_owe_ack(fixture->node, peers[WAITING - 1], 7, false);
    outbox_owe_ack(fixture->node, fixture->other, 8, false);
    assert_true(emit(fixture, &to));
    assert_int_equal(address_compare(&to, &peers[WAITING - 1]->address), 0);
    assert_true(emit(fixture, &to));
    assert_int_equal(address_compare(&to, &fixture->other->address), 0);
    assert_false(emit(fixture, &to));
    outbox_audit(fixture->node);
    for (unsigned i = 0; i < WAITING; i++) {
        fixture->now.mono_us = pace_due_us(fixture->node, fixture->now);
        assert_true(emit(fixture, &to));
        assert_int_equal(address_compare(&to, &peers[i]->address), 0);
    }
    assert_true(TAILQ_EMPTY(&fixture->node->outbox->owed_new));
    assert_true(TAILQ_EMPTY(&fixture->node->outbox->owed_waits));
}

static void test_outbox_an_ack_of_the_right_peer_ends_a_flight(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t sequence =
        fly(fixture, fixture->peer, FLIGHT_SYNC, 1, fixture->now.mono_us + SECOND_US);

    fixture->now.mono_us += 40000;
    flights_acked(fixture->node, fixture->now, fixture->other, sequence);
    flights_acked(fixture->node, fixture->now, fixture->peer, sequence + 1);
    flights_acked(fixture->node, fixture->now, fixture->peer, sequence + 16);
    assert_int_equal(fixture->peer->in_flight, 1);
    flights_acked(fixture->node, fixture->now, fixture->peer, sequence);
    assert_int_equal(fixture->peer->in_flight, 0);
    assert_int_equal(fixture->peer->srtt_us, 40000);
    flights_acked(fixture->node, fixture->now, fixture->peer, sequence);
    assert_int_equal(fixture->peer->in_flight, 0);
    assert_true(outbox_due_us(fixture->node) == UINT64_MAX);
}

/* Whoever may choose the address that a datagram comes from must not ack for others. */
static void test_outbox_numbers_of_one_peer_tell_nothing_of_another(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t due_us = fixture->now.mono_us + SECOND_US;
    const uint32_t seen = fly(fixture, fixture->peer, FLIGHT_SYNC, 1, due_us);
    const uint32_t hidden = fly(fixture, fixture->other, FLIGHT_SYNC, 1, due_us);
    const uint32_t next = fly(fixture, fixture->peer, FLIGHT_SYNC, 1, due_us);

    assert_int_equal(next - seen, 2);
    for (uint32_t i = 0; i < OUTBOX_FLIGHTS_MAX; i++) {
        flights_acked(fixture->node, fixture->now, fixture->other, seen + i);
    }
    assert_int_equal(fixture->other->in_flight, 1);
    flights_acked(fixture->node, fixture->now, fixture->other, hidden);
    assert_int_equal(fixture->other->in_flight, 0);
    assert_int_equal(fixture->node->outbox->flights_count, 2);
}

static void test_outbox_probes_and_hellos_take_no_place_in_a_window(void **state)
{
    static const enum flight_kind kinds[] = { FLIGHT_PROBE, FLIGHT_HELLO };
    struct fixture *fixture = *state;

    fixture->peer->window = PACE_WINDOW_MIN;
    for (unsigned i = 0; i < 20; i++) {
        const uint32_t sequence =
            fly(fixture, fixture->peer, kinds[i % 2], 1, fixture->now.mono_us + SECOND_US);

        assert_true(pace_window_allows(fixture->peer));
        if (i < 10) {
            flights_acked(fixture->node, fixture->now, fixture->peer, sequence);
        }
    }
    assert_int_equal(fixture->peer->window, PACE_WINDOW_MIN);
    for (unsigned i = 0; i < PACE_WINDOW_MIN; i++) {
        assert_true(pace_window_allows(fixture->peer));
        fly(fixture, fixture->peer, FLIGHT_SYNC, 1, fixture->now.mono_us + SECOND_US);
    }
    assert_false(pace_window_allows(fixture->peer));
    outbox_audit(fixture->node);
}

static void test_outbox_measures_no_round_trip_of_what_was_sent_twice(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t sequence =
        fly(fixture, fixture->peer, FLIGHT_HELLO, 2, fixture->now.mono_us + SECOND_US);

    fixture->now.mono_us += 40000;
    flights_acked(fixture->node, fixture->now, fixture->peer, sequence);
    assert_int_equal(fixture->peer->srtt_us, 0);
}

static void test_outbox_round_trip_follows_the_measurements(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < 100; i++) {
        const uint32_t sequence =
            fly(fixture, fixture->peer, FLIGHT_HELLO, 1, fixture->now.mono_us + SECOND_US);

        fixture->now.mono_us += i < 50 ? 1000 : 80000;
        flights_acked(fixture->node, fixture->now, fixture->peer, sequence);
        if (i == 49) {
            assert_in_range(fixture->peer->srtt_us, 900, 1000);
        }
    }
    assert_in_range(fixture->peer->srtt_us, 79000, 80000);
}

/* Flies, acks and time at random, against an array of everything that ever flew. */
static void test_outbox_flights_agree_with_an_array(void **state)
{
    enum { FLIGHTS = 4000 };
    static struct {
        uint32_t sequence;
        uint64_t due_us;
        bool under_way;
    } model[FLIGHTS];
    struct fixture *fixture = *state;
    unsigned under_way = 0;
    unsigned first = 0;

    fixture->node->outbox->sequence = UINT32_MAX - FLIGHTS / 2;
    for (unsigned i = 0; i < FLIGHTS;) {
        const uint64_t what = random_below(&fixture->random, 10);

        if (what < 6 && under_way < 200) {
            model[i].due_us = fixture->now.mono_us + 1 + random_below(&fixture->random, 5000);
            model[i].sequence = fly(fixture, fixture->peer, FLIGHT_SYNC, 1, model[i].due_us);
            model[i].under_way = true;
            under_way++;
            i++;
        } else if (what < 8 && i > 0) {
            const unsigned at = first + (unsigned)random_below(&fixture->random, i - first);

            flights_acked(fixture->node, fixture->now, fixture->peer, model[at].sequence);
            under_way -= model[at].under_way;
            model[at].under_way = false;
        } else {
            fixture->now.mono_us += random_below(&fixture->random, 500);
            flights_tick(fixture->node, fixture->now);
            for (unsigned at = first; at < i; at++) {
                if (model[at].under_way && model[at].due_us <= fixture->now.mono_us) {
                    model[at].under_way = false;
                    under_way--;
                }
            }
        }
        while (first < i && i - first > 300) {
            first += !model[first].under_way;
            if (model[first].under_way) {
                break;
            }
        }
        assert_int_equal(fixture->peer->in_flight, under_way);
        assert_int_equal(fixture->node->outbox->flights_count, under_way);
        outbox_audit(fixture->node);
    }
}

static void test_outbox_stops_flying_at_its_limit(void **state)
{
    struct fixture *fixture = *state;
    const struct flight_plan plan = { .kind = FLIGHT_HELLO,
                                      .tries = 1,
                                      .due_us = fixture->now.mono_us + SECOND_US };
    unsigned flown = 0;

    for (unsigned i = 0; i < 60; i++) {
        struct peer *peer = peer_create(fixture, 10 + i);

        for (unsigned j = 0; j < 200; j++) {
            flown += outbox_fly(fixture->node, fixture->now, peer, &plan, NULL);
        }
    }
    assert_int_equal(flown, OUTBOX_FLIGHTS_MAX);
    fixture->now.mono_us += 2 * SECOND_US;
    flights_tick(fixture->node, fixture->now);
    assert_int_equal(fixture->node->outbox->flights_count, 0);
}

/* Thousands leave and are acked while probes are waited for: none of them falls on those. */
static void test_outbox_waits_for_each_beside_what_is_long_under_way(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t late_us = fixture->now.mono_us + 3600 * SECOND_US;

    (void)fly(fixture, fixture->other, FLIGHT_PROBE, 1, late_us);
    (void)fly(fixture, fixture->other, FLIGHT_PROBE, 1, late_us);
    for (unsigned i = 0; i < 3 * OUTBOX_FLIGHTS_MAX; i++) {
        const uint32_t sequence = fly(fixture, fixture->peer, FLIGHT_SYNC, 1, late_us);

        assert_int_equal(fixture->peer->in_flight, 1);
        assert_true(flights_acked(fixture->node, fixture->now, fixture->peer, sequence));
    }
    assert_int_equal(fixture->node->stats.memory_refused, 0);
    assert_int_equal(fixture->node->outbox->flights_count, 2);
    assert_true(fixture->node->outbox->flights_room <= 16); /* nor does the table grow for it */
}

static void test_outbox_takes_over_what_a_flight_carries(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entry = entry_create(fixture, "foo", 3);
    const uint32_t sequence = outbox_sequence(fixture->node, fixture->peer);
    const struct flight_plan plan = { .kind = FLIGHT_HELLO,
                                      .tries = 1,
                                      .due_us = fixture->now.mono_us + SECOND_US };
    struct marks carried = { 0 };

    assert_true(marks_add_entry(&carried, &fixture->mem, entry));
    assert_true(outbox_fly(fixture->node, fixture->now, fixture->peer, &plan, &carried));
    assert_true(marks_empty(&carried));
    assert_null(carried.list);
    table_drop(fixture->node->table, entry);
    outbox_drop_entries(fixture->node, (struct drops){ &entry, 1 });
    outbox_audit(fixture->node);
    flights_acked(fixture->node, fixture->now, fixture->peer, sequence);
    node_turn_end(fixture->node);
}

/* All flights are looked at for what is dropped, and for what is lost: that is work like any. */
static void test_outbox_counts_the_flights_that_it_looks_at(void **state)
{
    enum { FLIGHTS = 1024 };
    struct fixture *fixture = *state;
    struct node *node = fixture->node;
    struct entry *entry = entry_create(fixture, "foo", 3);
    const struct flight_plan plan = { .kind = FLIGHT_HELLO,
                                      .tries = 1,
                                      .due_us = fixture->now.mono_us + SECOND_US };
    uint64_t before;

    for (unsigned i = 0; i < FLIGHTS; i++) {
        struct marks carried = { 0 };

        assert_true(marks_add_entry(&carried, &fixture->mem, entry));
        assert_true(outbox_fly(node, fixture->now, fixture->peer, &plan, &carried));
    }
    table_drop(node->table, entry);
    before = node_work(node);
    node_turn_end(node); /* the next turn has that much less */
    assert_in_range(node_work(node) - before, FLIGHTS, 2 * FLIGHTS);
    assert_true(node_work_allows(node));
    for (unsigned i = 0; i < 8; i++) {
        entry = entry_create(fixture, "foo", 3);
        table_drop(node->table, entry);
        node_turn_end(node);
    }
    before = node_work(node);
    fixture->now.mono_us += 2 * SECOND_US;
    flights_tick(node, fixture->now);
    assert_in_range(node_work(node) - before, FLIGHTS, 2 * FLIGHTS);
    assert_int_equal(node->outbox->flights_count, 0);
}

static void test_outbox_forgets_a_peer_that_goes(void **state)
{
    struct fixture *fixture = *state;
    struct address to;

    fly(fixture, fixture->peer, FLIGHT_PROBE, 1, fixture->now.mono_us + SECOND_US);
    fly(fixture, fixture->peer, FLIGHT_SYNC, 1, fixture->now.mono_us + SECOND_US);
    fly(fixture, fixture->other, FLIGHT_SYNC, 1, fixture->now.mono_us + SECOND_US);
    outbox_owe_ack(fixture->node, fixture->peer, 1, false);
    outbox_owe_ack(fixture->node, fixture->other, 1, false);
    outbox_drop_peer(fixture->node, fixture->peer);
    outbox_audit(fixture->node);
    assert_int_equal(fixture->peer->in_flight, 0);
    assert_int_equal(fixture->other->in_flight, 1);
    assert_int_equal(fixture->node->outbox->flights_count, 1);
    assert_null(fixture->peer->owed);
    assert_true(emit(fixture, &to));
    assert_int_equal(address_compare(&to, &fixture->other->address), 0);
}

static void test_outbox_without_memory_owes_and_flies_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entry = entry_create(fixture, "foo", 3);
    const struct flight_plan plan = { .kind = FLIGHT_HELLO,
                                      .tries = 1,
                                      .due_us = fixture->now.mono_us + SECOND_US };
    struct marks carried = { 0 };

    assert_true(marks_add_entry(&carried, &fixture->mem, entry));
    fixture->mem.fail_countdown = 1;
    assert_null(outbox_owe(fixture->node, fixture->peer));
    fixture->mem.fail_countdown = 1;
    assert_false(outbox_fly(fixture->node, fixture->now, fixture->peer, &plan, &carried));
    assert_null(carried.list);
    assert_int_equal(fixture->peer->in_flight, 0);
    assert_int_equal(fixture->node->stats.memory_refused, 2);
}

static void test_outbox_of_a_plain_node_owes_nobody(void **state)
{
    struct fixture *fixture = *state;
    struct address to;

    fixture->node->options.plain_only = true;
    assert_null(outbox_owe(fixture->node, fixture->peer));
    outbox_owe_ack(fixture->node, fixture->peer, 1, true);
    assert_false(emit(fixture, &to));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_outbox_sends_what_is_owed_oldest_first),
        TEST(test_outbox_drops_acks_that_find_no_room),
        TEST(test_outbox_salts_roots_with_the_first_ack),
        TEST(test_outbox_lets_acks_ride_unless_roots_go_with_them),
        TEST(test_outbox_says_hello_and_asks_until_it_was_echoed),
        TEST(test_outbox_echoes_a_token_once),
        TEST(test_outbox_keeps_a_token_for_the_hello_that_was_asked_for),
        TEST(test_outbox_says_who_and_refused),
        TEST(test_outbox_a_bare_record_is_an_answer_and_an_empty_one_is_not),
        TEST(test_outbox_holds_back_all_but_acks_at_the_rate),
        TEST(test_outbox_sends_an_ack_before_all_that_waits),
        TEST(test_outbox_an_ack_of_the_right_peer_ends_a_flight),
        TEST(test_outbox_numbers_of_one_peer_tell_nothing_of_another),
        TEST(test_outbox_probes_and_hellos_take_no_place_in_a_window),
        TEST(test_outbox_measures_no_round_trip_of_what_was_sent_twice),
        TEST(test_outbox_round_trip_follows_the_measurements),
        TEST(test_outbox_flights_agree_with_an_array),
        TEST(test_outbox_stops_flying_at_its_limit),
        TEST(test_outbox_waits_for_each_beside_what_is_long_under_way),
        TEST(test_outbox_takes_over_what_a_flight_carries),
        TEST(test_outbox_counts_the_flights_that_it_looks_at),
        TEST(test_outbox_forgets_a_peer_that_goes),
        TEST(test_outbox_without_memory_owes_and_flies_nothing),
        TEST(test_outbox_of_a_plain_node_owes_nobody),
    };

    return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
