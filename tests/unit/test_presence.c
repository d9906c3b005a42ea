/* What this file tests: whose presence is believed, how far it may lie ahead, what a node says of
 * itself when others say otherwise, and when a peer is suspect, dead or forgotten. */

#include "node/bounds.h"
#include "node/claim.h"
#include "node/outbox.h"
#include "node/peers.h"
#include "node/presence.h"
#include "node/suspicion.h"
#include "store/marks.h"

#include <stdio.h>

#include "unit/plain_world.h"
#include "unit/test.h"

#define SELF     "10.0.0.1:6001"
#define A        "10.0.0.2:7000"
#define B        "10.0.0.3:7000"
#define STRANGER "192.0.2.9:7000"
#define DAY      UINT64_C(86400)
#define NOW      WORLD_START_S

static uint64_t word(uint64_t incarnation, enum presence_word word_is)
{
    return incarnation << 2 | (uint64_t)word_is;
}

static enum peer_state state_of(const struct world *world, const char *text)
{
    const struct peer *peer = peer_of(world, text);

    assert_non_null(peer);
    return (enum peer_state)peer->state;
}

/* Keys. */

static void test_presence_keys_are_addresses_a_peer_may_have(void **state)
{
    static const struct {
        const char *key;
        bool is;
    } cases[] = {
        { "n:10.0.0.1:6001", true },
        { "n:127.0.0.1:1", true },
        { "n:[2001:db8::1]:6000", true },
        { "n:255.255.255.255:1", false },
        { "n:", false },
        { "n", false },
        { "", false },
        { "n:10.0.0.1", false },
        { "n:10.0.0.1:0", false },
        { "n:10.0.0.1:65536", false },
        { "n:name:6000", false },
        { "n:0.0.0.0:6000", false },
        { "n:224.0.0.1:6000", false },
        { "n:[fe80::1]:6000", false },
        { "n:[2001:DB8::1]:6000", false },
        { "n: 10.0.0.1:6001", false },
        { "m:10.0.0.1:6001", false },
        { "n:10.0.0.1:6001 ", false },
    };
    struct address address;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(presence_address(bytes_of(cases[i].key), &address), cases[i].is);
    }
}

static void test_presence_stamps_of_any_unit_are_minutes(void **state)
{
    static const struct {
        uint64_t stamp;
        uint64_t minutes;
    } cases[] = {
        { 0, 0 },
        { 5, 0 },
        { 9999999, 0 },
        { NOW / 60, NOW / 60 },
        { NOW, NOW / 60 },
        { NOW * 1000, NOW / 60 },
        { NOW * 1000000, NOW / 60 },
        { NOW * 1000000000, NOW / 60 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(presence_minutes(cases[i].stamp), cases[i].minutes);
    }
}

/* Told as a minute begins, wherever in a second of our own clock that falls: a moment before the
 * next minute it is still that one to who told it. */
static void test_presence_stamps_do_not_reach_a_minute_before_who_told_one(void **state)
{
    (void)state;
    for (uint64_t part_us = 0; part_us < 1000000; part_us += 99999) {
        struct moment now = { .mono_us = 5000000 + part_us, .unix_s = 1790000000 };
        struct peer peer = { .level = 0 };

        presence_stamp_told(now, &peer, 29000000);
        now.mono_us += 59999999;
        assert_int_equal(presence_stamp(now, NULL, &peer), 29000000);
        now.mono_us += 1000000;
        assert_int_equal(presence_stamp(now, NULL, &peer), 29000001);
    }
}

/* Ourselves. */

static void test_presence_starts_with_all_elements_of_its_start(void **state)
{
    struct world *world = *state;

    assert_int_equal(stored(world, "n:" SELF, PRESENCE_STAMP), 0);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_LEVEL), NOW << 16 | 1);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_STATE), word(NOW, WORD_ALIVE));
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_INSTANCE) >> 16, NOW);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_HTTP), NOW << 16 | 8001);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_VERSION),
                     NOW << 16 | NODE_VERSION(0, 63, 5));
    assert_int_equal(entry_set(table_find(world->table, bytes_of("n:" SELF))), TABLE_MEMBERS);
}

static void test_presence_start_is_above_the_last_one(void **state)
{
    struct world *world = *state;

    (void)world_end(world);
    *world =
        (struct world){ .options = { NODE_DEFAULTS, .start_s_min = NOW + 50, .plain_only = true } };
    world_begin(world);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_STATE), word(NOW + 50, WORD_ALIVE));
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_LEVEL), 0); /* plain nodes have no level */
}

static void test_presence_refutes_any_state_it_did_not_write(void **state)
{
    struct world *world = *state;
    const uint64_t words[] = {
        word(NOW, WORD_SUSPECT),   word(NOW + 1, WORD_DEAD),      word(NOW + 2, WORD_LEFT),
        word(NOW + 9, WORD_ALIVE), word(NOW + DAY, WORD_SUSPECT),
    };
    uint64_t incarnation = NOW;

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const struct pair pair = { PRESENCE_STATE, words[i] };

        hear(world, A, "n:" SELF, &pair, 1, 3, 0);
        incarnation = (words[i] >> 2) + 1;
        assert_int_equal(stored(world, "n:" SELF, PRESENCE_STATE), word(incarnation, WORD_ALIVE));
        assert_int_equal(node_stats(world->node)->refutations, i + 1);
        world_run(world, SECOND);
    }
    /* What it knows already changes nothing. */
    hear(world, A, "n:" SELF, &(struct pair){ PRESENCE_STATE, words[0] }, 1, 3, 0);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_STATE), word(incarnation, WORD_ALIVE));
}

static void test_presence_of_itself_is_not_taken_from_strangers(void **state)
{
    struct world *world = *state;
    const struct pair pair = { PRESENCE_STATE, word(NOW, WORD_DEAD) };

    hear(world, STRANGER, "n:" SELF, &pair, 1, 3, 0);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_STATE), word(NOW, WORD_ALIVE));
    assert_int_equal(node_stats(world->node)->refused_presence, 1);
}

static bool duplicate_told(struct node *node)
{
    struct node_event event;
    bool told = false;

    while (node_take_event(node, &event)) {
        told = told || event.kind == NODE_EVENT_DUPLICATE_ADDRESS;
    }
    return told;
}

static void test_presence_notices_another_process_at_its_address_once(void **state)
{
    struct world *world = *state;
    const uint64_t ours = stored(world, "n:" SELF, PRESENCE_INSTANCE);
    struct pair pair = { PRESENCE_INSTANCE, ours };

    hear(world, A, "n:" SELF, &pair, 1, 3, 0);
    pair.value = (NOW - 100) << 16 | 0xffff; /* an earlier run of ourselves */
    hear(world, A, "n:" SELF, &pair, 1, 3, 0);
    assert_false(duplicate_told(world->node));
    pair.value = (NOW + 7) << 16 | 3;
    hear(world, A, "n:" SELF, &pair, 1, 3, 0);
    assert_true(duplicate_told(world->node));
    pair.value = (NOW + 8) << 16 | 3;
    hear(world, A, "n:" SELF, &pair, 1, 3, 0);
    assert_false(duplicate_told(world->node));
    assert_int_equal(node_stats(world->node)->duplicate_address, 2);
}

static void test_presence_outbids_what_a_later_start_announced(void **state)
{
    struct world *world = *state;
    const struct pair pair = { PRESENCE_HTTP, (NOW + 500) << 16 | 9999 };
    const struct pair past = { PRESENCE_VERSION, (NOW + 700) << 16 | 1 };

    hear(world, A, "n:" SELF, &pair, 1, 3, 0);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_HTTP), (NOW + 501) << 16 | 8001);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_LEVEL), (NOW + 501) << 16 | 1);
    world->now.mono_us += 61 * SECOND;
    world->now.unix_s = NOW + 1000;
    hear(world, A, "n:" SELF, &past, 1, 3, 0);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_LEVEL), (NOW + 701) << 16 | 1);
}

static void test_presence_that_left_stays_left(void **state)
{
    struct world *world = *state;
    const struct pair pair = { PRESENCE_STATE, word(NOW + 4, WORD_ALIVE) };

    node_leave(world->node, world->now);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_STATE), word(NOW, WORD_LEFT));
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_SINCE), NOW);
    hear(world, A, "n:" SELF, &pair, 1, 3, 0);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_STATE), word(NOW + 5, WORD_LEFT));
}

/* Others. */

static void test_presence_bounds_keep_what_an_owner_could_not_outbid_out(void **state)
{
    struct world *world = *state;
    static const struct {
        uint64_t index;
        uint64_t value;
        bool taken;
    } cases[] = {
        { PRESENCE_LEVEL, (NOW + 2 * DAY) << 16 | 1, true },
        { PRESENCE_LEVEL, (NOW + 2 * DAY + 1) << 16 | 1, false },
        { PRESENCE_LEVEL, UINT64_MAX, false },
        { PRESENCE_STATE, (NOW + 2 * DAY) << 2 | WORD_ALIVE, true },
        { PRESENCE_STATE, (NOW + 2 * DAY + 1) << 2 | WORD_ALIVE, false },
        { PRESENCE_STATE, (NOW + 2 * DAY) << 2 | WORD_LEFT, true },
        { PRESENCE_STATE, (NOW + 2 * DAY + 1) << 2 | WORD_LEFT, false },
        { PRESENCE_STATE, (NOW + 2 * DAY) << 2 | WORD_SUSPECT, true },
        { PRESENCE_STATE, (NOW + 2 * DAY + 1) << 2 | WORD_SUSPECT, false },
        { PRESENCE_STATE, (NOW + 2 * DAY) << 2 | WORD_DEAD, true },
        { PRESENCE_STATE, (NOW + 2 * DAY + 1) << 2 | WORD_DEAD, false },
        { PRESENCE_STATE, UINT64_MAX, false },
        { PRESENCE_SINCE, NOW, false }, /* of nobody who is dead or left */
        { PRESENCE_INSTANCE, (NOW + 2 * DAY) << 16 | 0xffff, true },
        { PRESENCE_INSTANCE, (NOW + 2 * DAY + 1) << 16, false },
        { PRESENCE_HTTP, (NOW + 2 * DAY) << 16 | 80, true },
        { PRESENCE_HTTP, (NOW + 2 * DAY + 1) << 16 | 80, false },
        { PRESENCE_CONFIRM, 1, false }, /* of an incarnation that is not known */
        { PRESENCE_VERSION, (NOW + 2 * DAY) << 16 | 80, true },
        { PRESENCE_VERSION, (NOW + 2 * DAY + 1) << 16 | 80, false },
        { 7, 1, false },
        { 15, 1, false },
        { 24, 1, false },
        { 256 + PRESENCE_STATE, 4, false },
        { UINT64_MAX, 1, false },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct pair pair = { cases[i].index, cases[i].value };
        char about[] = "n:10.0.3.00:7000";
        uint64_t refused;

        about[9] = (char)('1' + i / 10);
        about[10] = (char)('0' + i % 10);
        refused = node_stats(world->node)->refused_presence;
        hear(world, A, about, &pair, 1, 3, 0);
        assert_int_equal(stored(world, about, pair.index), cases[i].taken ? pair.value : 0);
        assert_int_equal(node_stats(world->node)->refused_presence - refused,
                         cases[i].taken ? 0 : 1);
    }
}

/* One that names a later incarnation would shut the slot until the owner is there. */
static void test_presence_slots_of_suspectors_name_no_incarnation_beyond_the_state(void **state)
{
    struct world *world = *state;
    const struct pair suspect[] = { { PRESENCE_STATE, word(NOW, WORD_SUSPECT) },
                                    { PRESENCE_CONFIRM, NOW },
                                    { PRESENCE_CONFIRM + 7, NOW + 1 } };
    const struct pair confirmed = { PRESENCE_CONFIRM + 7, NOW };

    hear(world, A, "n:" B, suspect, 3, 3, 0);
    assert_int_equal(stored(world, "n:" B, PRESENCE_CONFIRM), NOW);
    assert_int_equal(stored(world, "n:" B, PRESENCE_CONFIRM + 7), 0);
    hear(world, A, "n:" B, &confirmed, 1, 3, 0);
    assert_int_equal(stored(world, "n:" B, PRESENCE_CONFIRM + 7), NOW);
    assert_int_equal(suspicion_confirmations(peer_of(world, B)), 2);
}

static void test_presence_of_others_is_not_taken_from_strangers(void **state)
{
    struct world *world = *state;
    const struct pair pair = { PRESENCE_STATE, word(NOW, WORD_ALIVE) };

    hear(world, STRANGER, "n:" B, &pair, 1, 3, FRAME_FULL);
    assert_int_equal(stored(world, "n:" B, PRESENCE_STATE), 0);
    hear(world, STRANGER, "n:" STRANGER, &pair, 1, 3, FRAME_FULL);
    assert_int_equal(stored(world, "n:" STRANGER, PRESENCE_STATE), 0);
    hear(world, A, "n:" B, &pair, 1, 3, FRAME_FULL);
    assert_int_equal(stored(world, "n:" B, PRESENCE_STATE), pair.value);
}

static void test_presence_with_a_level_is_answered_by_a_hello(void **state)
{
    struct world *world = *state;
    const struct pair pairs[] = { { PRESENCE_LEVEL, NOW << 16 | 1 },
                                  { PRESENCE_STATE, word(NOW, WORD_ALIVE) } };
    const struct said *said;

    hear(world, A, "n:" A, pairs, 2, 2, FRAME_FULL);
    world_run(world, SECOND / 10);
    said = said_find(world, A, "n:" SELF, 0);
    assert_non_null(said);
    assert_true(said->extended);
    assert_int_equal(state_of(world, A), PEER_NEW); /* until it echoes */
    assert_false(peer_of(world, A)->member);
    /* Its word is its own: nobody vouches for it. */
    assert_int_equal(stored(world, "n:" A, PRESENCE_STATE), word(NOW, WORD_ALIVE));
}

/* Plain peers. */

static void test_presence_of_plain_peers_is_vouched_for_by_whoever_hears_them(void **state)
{
    struct world *world = *state;
    const uint64_t words[] = { word(1, WORD_SUSPECT), word(2, WORD_DEAD), word(7, WORD_LEFT) };

    hear(world, A, "greeting", NULL, 0, 3, 0);
    assert_int_equal(stored(world, "n:" A, PRESENCE_STATE), word(1, WORD_ALIVE));
    assert_int_equal(state_of(world, A), PEER_ALIVE);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const struct pair pair = { PRESENCE_STATE, words[i] };

        hear(world, B, "n:" A, &pair, 1, 3, 0);
        assert_int_not_equal(state_of(world, A), PEER_ALIVE);
        world_run(world, 11 * SECOND);
        hear(world, A, "greeting", NULL, 0, 3, 0);
        assert_int_equal(stored(world, "n:" A, PRESENCE_STATE),
                         word((words[i] >> 2) + 1, WORD_ALIVE));
        assert_int_equal(state_of(world, A), PEER_ALIVE);
    }
    hear(world, A, "greeting", NULL, 0, 3, 0);
    assert_int_equal(stored(world, "n:" A, PRESENCE_STATE), word(8, WORD_ALIVE));
}

/* A forged state came first, without the level, and then a forged plain message. An extended
 * datagram alone may be forged too: what is in truth a plain peer is vouched for all the same. */
static void test_presence_of_who_speaks_extended_is_not_vouched_for(void **state)
{
    struct world *world = *state;
    const struct pair dead = { PRESENCE_STATE, word(NOW, WORD_DEAD) };

    hear(world, B, "n:" A, &dead, 1, 3, 0);
    peer_of(world, A)->extended_us = world->now.mono_us;
    peer_of(world, A)->validated_us = world->now.mono_us;
    hear(world, A, "greeting", NULL, 0, 3, 0);
    assert_int_equal(stored(world, "n:" A, PRESENCE_STATE), dead.value);
    peer_of(world, A)->validated_us = 0;
    hear(world, A, "greeting", NULL, 0, 3, 0);
    assert_int_equal(stored(world, "n:" A, PRESENCE_STATE), word(NOW + 1, WORD_ALIVE));
}

static void test_presence_of_strangers_is_not_vouched_for(void **state)
{
    struct world *world = *state;

    hear(world, STRANGER, "greeting", NULL, 0, 3, 0);
    assert_null(table_find(world->table, bytes_of("n:" STRANGER)));
    assert_null(peer_of(world, STRANGER));
    assert_int_equal(peers_members(world->node->peers), 0);
}

static void test_presence_a_silent_plain_peer_is_suspected_then_dead_then_forgotten(void **state)
{
    struct world *world = *state;

    hear(world, A, "greeting", NULL, 0, 3, 0);
    world_run(world, 149 * SECOND);
    assert_int_equal(stored(world, "n:" A, PRESENCE_STATE), word(1, WORD_ALIVE));
    world_run(world, 2 * SECOND);
    assert_int_equal(stored(world, "n:" A, PRESENCE_STATE), word(1, WORD_SUSPECT));
    assert_int_equal(state_of(world, A), PEER_SILENT);
    assert_int_equal(node_stats(world->node)->suspicions, 1);
    world_run(world, 30 * SECOND);
    assert_int_equal(stored(world, "n:" A, PRESENCE_STATE), word(1, WORD_DEAD));
    assert_true(stored(world, "n:" A, PRESENCE_SINCE) >= NOW + 150);
    assert_int_equal(node_stats(world->node)->deaths, 1);
    world->now.mono_us += 24 * 3600 * SECOND;
    world->now.unix_s += DAY;
    world->said_count = 0;
    world_run(world, 60 * SECOND);
    assert_null(table_find(world->table, bytes_of("n:" A)));
}

static void test_presence_a_node_that_slept_accuses_nobody(void **state)
{
    struct world *world = *state;

    hear(world, A, "greeting", NULL, 0, 3, 0);
    world_run(world, 10 * SECOND);
    world->now.mono_us += 3600 * SECOND;
    world->now.unix_s += 3600;
    world_run(world, 140 * SECOND);
    assert_int_equal(stored(world, "n:" A, PRESENCE_STATE), word(1, WORD_ALIVE));
    world_run(world, 12 * SECOND);
    assert_int_equal(stored(world, "n:" A, PRESENCE_STATE), word(1, WORD_SUSPECT));
}

static void test_presence_a_plain_peer_that_says_it_left_has_left(void **state)
{
    struct world *world = *state;
    const struct pair pairs[] = { { PRESENCE_STATE, word(4, WORD_LEFT) }, { PRESENCE_SINCE, NOW } };

    hear(world, A, "n:" A, pairs, 2, 3, 0);
    hear(world, A, "its last answer", NULL, 0, 3, 0);
    assert_int_equal(stored(world, "n:" A, PRESENCE_STATE), word(4, WORD_LEFT));
    assert_int_equal(state_of(world, A), PEER_LEFT);
    world_run(world, 11 * SECOND);
    hear(world, A, "greeting", NULL, 0, 3, 0);
    assert_int_equal(stored(world, "n:" A, PRESENCE_STATE), word(5, WORD_ALIVE));
    hear(world, A, "n:" A, pairs, 2, 3, 0); /* it does not know of the 5 */
    assert_int_equal(stored(world, "n:" A, PRESENCE_STATE), word(5, WORD_LEFT));
}

static void test_presence_anothers_newer_alive_counts_as_hearing(void **state)
{
    struct world *world = *state;

    hear(world, A, "greeting", NULL, 0, 3, 0);
    world_run(world, 140 * SECOND);
    hear(world, B, "n:" A, &(struct pair){ PRESENCE_STATE, word(2, WORD_ALIVE) }, 1, 3, 0);
    world_run(world, 140 * SECOND);
    assert_int_equal(stored(world, "n:" A, PRESENCE_STATE), word(2, WORD_ALIVE));
    hear(world, B, "n:" A, &(struct pair){ PRESENCE_STAMP, world->now.unix_s / 60 }, 1, 3, 0);
    world_run(world, 140 * SECOND);
    assert_int_equal(stored(world, "n:" A, PRESENCE_STATE), word(2, WORD_ALIVE));
    world_run(world, 12 * SECOND);
    assert_int_equal(stored(world, "n:" A, PRESENCE_STATE), word(2, WORD_SUSPECT));
}

static void test_presence_a_forgotten_peer_is_not_taken_again(void **state)
{
    struct world *world = *state;
    const struct pair dead[] = { { PRESENCE_STATE, word(9, WORD_DEAD) },
                                 { PRESENCE_SINCE, NOW - DAY - 1 } };
    const struct pair fresh[] = { { PRESENCE_STATE, word(9, WORD_DEAD) },
                                  { PRESENCE_SINCE, NOW - DAY + 5 } };

    hear(world, A, "n:" B, dead, 2, 3, 0);
    assert_int_equal(stored(world, "n:" B, PRESENCE_STATE), 0);
    hear(world, A, "n:" B, fresh, 2, 3, 0);
    assert_int_equal(stored(world, "n:" B, PRESENCE_STATE), word(9, WORD_DEAD));
    /* Ours is forgotten by now: what somebody says who forgot earlier is not lost in it. */
    world->now.unix_s += 10;
    hear(world, A, "n:" B, &(struct pair){ PRESENCE_STATE, word(1, WORD_ALIVE) }, 1, 3, 0);
    assert_int_equal(stored(world, "n:" B, PRESENCE_STATE), word(1, WORD_ALIVE));
    assert_int_equal(stored(world, "n:" B, PRESENCE_SINCE), 0);
}

static void test_presence_counts_independent_suspectors_of_this_incarnation(void **state)
{
    struct world *world = *state;
    const struct pair pairs[] = {
        { PRESENCE_STATE, word(5, WORD_SUSPECT) },
        { PRESENCE_CONFIRM, 5 },
        { PRESENCE_CONFIRM + 2, 5 },
        { PRESENCE_CONFIRM + 5, 4 },
    };

    hear(world, A, "n:" B, pairs, 1, 3, 0);
    assert_int_equal(suspicion_confirmations(peer_of(world, B)), 1);
    hear(world, A, "n:" B, pairs, 4, 3, 0);
    assert_int_equal(suspicion_confirmations(peer_of(world, B)), 2);
}

static void test_presence_suspicion_shrinks_with_suspectors_and_grows_with_members(void **state)
{
    struct world *world = *state;
    struct node *node = world->node;
    const struct pair pair = { PRESENCE_STATE, word(5, WORD_SUSPECT) };
    struct peer *peer;
    uint64_t last_us = UINT64_MAX;

    hear(world, A, "n:" B, &pair, 1, 3, 0);
    peer = peer_of(world, B);
    assert_int_equal(suspicion_us(peer, peers_members(node->peers) + 1),
                     3 * SECOND); /* two nodes: k is 0 */
    for (unsigned i = 0; i < 8; i++) {
        char from[] = "10.0.5.1:7000";

        from[7] = (char)('1' + i);
        hear(world, from, "greeting", NULL, 0, 3, 0);
    }
    assert_int_equal(peers_members(node->peers) + 1, 10);
    for (unsigned i = 0; i < 4; i++) {
        const struct pair slot = { PRESENCE_CONFIRM + i, 5 };
        const uint64_t us = (hear(world, A, "n:" B, &slot, 1, 3, 0),
                             suspicion_us(peer, peers_members(node->peers) + 1));

        assert_true(us < last_us);
        assert_true(i > 0 || us == 18 * SECOND);
        assert_true(i < 3 || us == 3 * SECOND);
        last_us = us;
    }
}

/* A claim of one or two elements by a peer, as it comes in an extended datagram that does or does
 * not echo our token. */
static void claim_hear_proved(struct world *world, const char *from, const char *key,
                              const struct pair *pairs, size_t count, uint8_t depth, bool proved)
{
    const struct address source = address_of(from);
    struct peer *peer = presence_heard(world->node, world->now,
                                       peers_find(world->node->peers, &source), &source, true);
    struct presence_report report = { .depth = depth };
    struct message message;
    uint8_t frame[256];
    const size_t size = frame_make(frame, bytes_of(key), pairs, count, 2, 0);

    assert_true(presence_address(bytes_of(key), &report.about));
    assert_int_equal(message_decode((struct bytes){ frame, size }, &message), WIRE_OK);
    report.elements = message.plain.elements;
    report.source = (uint8_t)presence_source_of(peer, &report.about, true, proved);
    report.proved = proved;
    presence_receive(world->node, world->now, peer, &report);
}

static void claim_hear(struct world *world, const char *from, const char *key,
                       const struct pair *pairs, size_t count, uint8_t depth)
{
    claim_hear_proved(world, from, key, pairs, count, depth, false);
}

/* A peer has echoed our token. */
static void peer_echo(struct world *world, const char *text)
{
    struct peer *peer = peer_of(world, text);

    peer->validated_us = world->now.mono_us;
    presence_update_peer(world->node, world->now, peer);
}

/* What a peer says of itself, proved. */
static void owner_hear(struct world *world, const char *text, struct pair pair)
{
    char key[64];

    (void)snprintf(key, sizeof key, "n:%s", text);
    claim_hear_proved(world, text, key, &pair, 1, WIRE_DEPTH_STOP, true);
}

/* What a peer says of its clock, proved. */
static void clock_hear(struct world *world, const char *text, uint64_t clock_s)
{
    const struct address address = address_of(text);

    guard_vote(&world->node->guard, world->now, &address, clock_s);
}

static void test_presence_a_clock_far_behind_learns_from_three_trusted_hosts(void **state)
{
    struct world *world = *state;
    const struct pair alive = { PRESENCE_STATE, word(NOW, WORD_ALIVE) };

    world->now.unix_s = 5000;
    world->node->guard.wall_at_start_s = 5000;
    clock_hear(world, A, NOW);
    clock_hear(world, B, NOW);
    clock_hear(world, "10.0.0.3:7001", NOW); /* another port of the same host */
    hear(world, A, "n:10.0.0.9:7000", &alive, 1, 3, 0);
    assert_int_equal(stored(world, "n:10.0.0.9:7000", PRESENCE_STATE), 0);
    clock_hear(world, "10.0.0.4:7000", NOW);
    hear(world, A, "n:10.0.0.9:7000", &alive, 1, 3, 0);
    assert_int_equal(stored(world, "n:10.0.0.9:7000", PRESENCE_STATE), alive.value);
}

/* A host that told its clock is trusted no more: neither is its clock. */
static void test_presence_clocks_of_who_is_trusted_no_more_do_not_count(void **state)
{
    struct world *world = *state;
    struct node_options options = world->node->options;

    clock_hear(world, A, NOW + 1000);
    clock_hear(world, B, NOW + 1000);
    clock_hear(world, "10.0.0.4:7000", NOW + 1000);
    assert_int_equal(presence_now_s(world->node, world->now), NOW + 1000);
    options.trust = NULL;
    options.trust_count = 0;
    assert_int_equal(node_configure(world->node, world->now, &options), STATUS_OK);
    assert_int_equal(presence_now_s(world->node, world->now), world->now.unix_s);
}

/* Ports of one host, and forged sources, that say it is the year 2159: then "left" in that year. */
static void test_presence_one_host_cannot_move_the_clock(void **state)
{
    struct world *world = *state;
    const uint64_t far_s = UINT64_C(5980000000);
    const struct pair level = { PRESENCE_LEVEL, far_s << 16 | 1 };
    const struct pair left = { PRESENCE_STATE, word(far_s, WORD_LEFT) };

    for (unsigned i = 0; i < 17; i++) {
        char one_host[] = "10.0.0.7:7000";
        char forged[] = "10.0.1.00:7000";
        char key[32];

        one_host[11] = (char)('0' + i / 10);
        one_host[12] = (char)('0' + i % 10);
        owner_hear(world, one_host, level);
        clock_hear(world, one_host, far_s);
        forged[7] = (char)('1' + i / 10);
        forged[8] = (char)('0' + i % 10);
        (void)snprintf(key, sizeof key, "n:%s", forged);
        hear(world, forged, key, &level, 1, 3, FRAME_FULL);
    }
    hear(world, A, "n:" B, &left, 1, 3, 0);
    assert_int_equal(stored(world, "n:" B, PRESENCE_STATE), 0);
}

static void test_presence_an_owner_outbids_what_a_wrong_clock_let_in(void **state)
{
    struct world *world = *state;
    const uint64_t far_s = UINT64_C(5980000000);
    const struct pair level = { PRESENCE_LEVEL, NOW << 16 | 1 };
    const struct pair left = { PRESENCE_STATE, word(far_s, WORD_LEFT) };
    struct pair alive = { PRESENCE_STATE, word(far_s + 1, WORD_ALIVE) };
    struct pair accused = { PRESENCE_STATE, word(far_s + 1, WORD_DEAD) };

    /* The owner: told by a trusted peer that proves itself, and by nobody else. */
    owner_hear(world, A, level);
    claim_hear_proved(world, STRANGER, "n:" SELF, &left, 1, WIRE_DEPTH_STOP, true);
    claim_hear(world, A, "n:" SELF, &left, 1, WIRE_DEPTH_STOP);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_STATE), word(NOW, WORD_ALIVE));
    claim_hear_proved(world, A, "n:" SELF, &left, 1, WIRE_DEPTH_STOP, true);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_STATE), alive.value);
    /* The others: by itself alone, then by relay in small steps, and it can be accused. */
    owner_hear(world, B, level);
    claim_hear(world, A, "n:" B, &alive, 1, WIRE_DEPTH_STOP);
    claim_hear(world, B, "n:" B, &alive, 1, WIRE_DEPTH_STOP);
    assert_int_equal(stored(world, "n:" B, PRESENCE_STATE), 0);
    owner_hear(world, B, alive);
    assert_int_equal(stored(world, "n:" B, PRESENCE_STATE), alive.value);
    claim_hear(world, A, "n:" B, &accused, 1, WIRE_DEPTH_STOP);
    assert_int_equal(stored(world, "n:" B, PRESENCE_STATE), accused.value);
    alive.value = word(far_s + 2, WORD_ALIVE);
    accused.value = word(far_s + 3, WORD_DEAD);
    claim_hear(world, A, "n:" B, &alive, 1, WIRE_DEPTH_STOP);
    claim_hear(world, A, "n:" B, &accused, 1, WIRE_DEPTH_STOP); /* an incarnation nobody wrote */
    assert_int_equal(stored(world, "n:" B, PRESENCE_STATE), alive.value);
}

/* The clock was wrong when they came, and is right now. */
static void test_presence_beyond_a_right_clock_does_not_exist(void **state)
{
    struct world *world = *state;
    const uint64_t far_s = UINT64_C(5980000000);
    const struct pair level = { PRESENCE_LEVEL, NOW << 16 | 1 };
    const struct pair pairs[] = { { PRESENCE_STATE, word(far_s, WORD_LEFT) },
                                  { PRESENCE_SINCE, far_s } };

    claim_hear(world, A, "n:" B, &level, 1, WIRE_DEPTH_STOP);
    world->now.unix_s = far_s;
    claim_hear(world, A, "n:" B, pairs, 2, WIRE_DEPTH_STOP);
    assert_int_equal(stored(world, "n:" B, PRESENCE_STATE), pairs[0].value);
    world->now.unix_s = NOW;
    world_run(world, 3 * SECOND);
    assert_int_equal(stored(world, "n:" B, PRESENCE_STATE), 0);
    assert_int_equal(stored(world, "n:" B, PRESENCE_SINCE), 0);
    assert_int_equal(stored(world, "n:" B, PRESENCE_LEVEL), level.value);
}

/* Of a member less is taken, so that it can outbid whatever its clock is; it hears all of it. */
static void test_presence_a_member_hears_more_of_itself_than_is_believed_of_it(void **state)
{
    struct world *world = *state;
    const struct pair near = { PRESENCE_STATE, word(NOW + DAY, WORD_DEAD) };
    const struct pair dead = { PRESENCE_STATE, word(NOW + DAY + 100, WORD_DEAD) };

    world_meet(world, (const char *const[]){ A, B }, 2, 0);
    claim_hear(world, A, "n:" B, &dead, 1, WIRE_DEPTH_STOP);
    assert_int_not_equal(stored(world, "n:" B, PRESENCE_STATE), dead.value);
    claim_hear(world, A, "n:" B, &near, 1, WIRE_DEPTH_STOP);
    assert_int_equal(stored(world, "n:" B, PRESENCE_STATE), near.value);
    claim_hear(world, A, "n:" SELF, &dead, 1, WIRE_DEPTH_STOP);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_STATE), word(NOW + DAY + 101, WORD_ALIVE));
}

/* Nobody else would take what we refuted it by. Where some are trusted we are told of it again. */
static void test_presence_begins_anew_when_its_own_lies_beyond_a_right_clock(void **state)
{
    struct world *world = *state;
    const uint64_t far_s = NOW + 100 * DAY;
    const struct pair slander[] = { { PRESENCE_LEVEL, far_s << 16 | 1 },
                                    { PRESENCE_STATE, word(far_s, WORD_DEAD) },
                                    { PRESENCE_SINCE, far_s } };

    world->now.unix_s = far_s;
    claim_hear(world, A, "n:" SELF, slander, 3, WIRE_DEPTH_STOP);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_STATE), word(far_s + 1, WORD_ALIVE));
    assert_true(stored(world, "n:" SELF, PRESENCE_LEVEL) > slander[0].value);
    world->now.unix_s = NOW;
    world_run(world, 3 * SECOND);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_STATE), word(NOW, WORD_ALIVE));
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_SINCE), 0);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_LEVEL), NOW << 16 | 1);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_HTTP), NOW << 16 | 8001);
}

/* What it said itself stays as long as it lives: the others get it from itself. Then only its end
 * does, which they take from anybody. */
static void test_presence_far_words_of_a_dead_owner_do_not_exist(void **state)
{
    struct world *world = *state;
    const struct pair dead[] = { { PRESENCE_STATE, word(NOW + 9 * DAY, WORD_DEAD) },
                                 { PRESENCE_SINCE, NOW + 7 } };
    const struct pair level = { PRESENCE_LEVEL, (NOW + 9 * DAY) << 16 | 1 };
    const struct pair alive = { PRESENCE_STATE, word(NOW + 9 * DAY, WORD_ALIVE) };

    world_meet(world, (const char *const[]){ A, B }, 2, 0);
    peer_echo(world, A);
    owner_hear(world, A, level);
    owner_hear(world, A, alive);
    assert_int_equal(stored(world, "n:" A, PRESENCE_STATE), alive.value);
    world_run(world, 2 * SECOND);
    assert_int_equal(stored(world, "n:" A, PRESENCE_LEVEL), level.value);
    claim_hear(world, B, "n:" A, dead, 2, WIRE_DEPTH_STOP);
    world_run(world, 2 * SECOND);
    assert_int_equal(stored(world, "n:" A, PRESENCE_LEVEL), (NOW + 7) << 16 | 1);
    assert_int_equal(stored(world, "n:" A, PRESENCE_STATE), word(NOW + 7, WORD_DEAD));
    assert_int_equal(state_of(world, A), PEER_DEAD);
}

static void test_presence_of_level_0_is_nobodys_word(void **state)
{
    struct world *world = *state;
    const struct pair level = { PRESENCE_LEVEL, NOW << 16 | 1 };
    const struct pair plain = { PRESENCE_LEVEL, (NOW + DAY) << 16 };

    owner_hear(world, A, level);
    hear(world, A, "n:" A, &plain, 1, 3, FRAME_FULL);
    claim_hear(world, B, "n:" A, &plain, 1, 0);
    owner_hear(world, A, plain);
    assert_int_equal(stored(world, "n:" A, PRESENCE_LEVEL), level.value);
    assert_int_equal(peer_of(world, A)->level, 1);
    hear(world, A, "n:" SELF, &plain, 1, 3, 0);
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_LEVEL), level.value);
}

/* A word too far ahead to be a forger's is answered by a question that only its owner gets. */
static void test_presence_asks_for_proof_of_what_lies_far_ahead(void **state)
{
    struct world *world = *state;
    const struct pair far = { PRESENCE_LEVEL, (NOW + 9 * DAY) << 16 | 1 };

    claim_hear(world, A, "n:" A, &far, 1, WIRE_DEPTH_STOP);
    assert_int_equal(stored(world, "n:" A, PRESENCE_LEVEL), 0);
    assert_non_null(peer_of(world, A)->owed);
    assert_true(peer_of(world, A)->owed->has_who);
    assert_false(peer_of(world, A)->owed->asks_echo);
    owner_hear(world, A, far);
    assert_int_equal(stored(world, "n:" A, PRESENCE_LEVEL), far.value);
    /* Told so of us it gets our own words: a question alone its hello would answer. */
    claim_hear(world, A, "n:" SELF, &far, 1, WIRE_DEPTH_STOP);
    assert_true(peer_of(world, A)->owed->asks_echo);
    assert_false(marks_empty(&peer_of(world, A)->owed->larger));
}

/* Nor does who takes it from the owner alone wait until that speaks. */
static void test_presence_asks_an_owner_for_what_a_trusted_peer_tells_of_it(void **state)
{
    static const struct {
        const char *teller;
        const char *about;
        uint64_t level;
        bool asked;
    } cases[] = {
        { A, "10.0.0.5:7000", (NOW + 9 * DAY) << 16 | 1, true },
        { A, "10.0.0.6:7000", NOW << 16 | 1, false },              /* taken as it is */
        { A, "192.0.2.7:7000", (NOW + 9 * DAY) << 16 | 1, false }, /* nobody would take it */
        { STRANGER, "10.0.0.8:7000", (NOW + 9 * DAY) << 16 | 1, false },
        { A, "10.0.0.9:7000", (NOW + 9 * DAY) << 16, false }, /* a slanderer's */
    };
    struct world *world = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct pair pairs[] = { { PRESENCE_LEVEL, cases[i].level },
                                      { PRESENCE_STATE, word(NOW, WORD_ALIVE) } };
        char key[64];

        (void)snprintf(key, sizeof key, "n:%s", cases[i].about);
        claim_hear(world, cases[i].teller, key, pairs, 2, WIRE_DEPTH_STOP);
        assert_int_equal(peer_of(world, cases[i].about) != NULL
                             && peer_of(world, cases[i].about)->hello_asked,
                         cases[i].asked);
    }
    world_run(world, 2 * SECOND);
    assert_int_equal(said_count_of(world, cases[0].about, "n:" SELF), 1);
    world_run(world, 60 * SECOND);
    assert_true(said_count_of(world, cases[0].about, "n:" SELF) <= 1); /* unless told again */
    assert_int_equal(said_count_of(world, cases[2].about, NULL), 0);
}

/* Others would refuse it from anybody else, for ever. */
static void test_presence_of_an_owner_that_is_not_trusted_stays_within_bounds(void **state)
{
    struct world *world = *state;
    const struct pair far = { PRESENCE_LEVEL, (NOW + 9 * DAY) << 16 | 1 };

    owner_hear(world, STRANGER, far);
    assert_int_equal(stored(world, "n:" STRANGER, PRESENCE_LEVEL), 0);
}

static void test_presence_that_a_repair_raised_ends_the_wait_for_the_next_exchange(void **state)
{
    static const struct {
        uint64_t incarnation;
        uint8_t depth;
        uint8_t wait;
    } rows[] = {
        { WORLD_START_S, WIRE_DEPTH_STOP, 0 },
        { WORLD_START_S, WIRE_DEPTH_STOP, 5 }, /* raises nothing */
        { WORLD_START_S + 1, 0, 5 },           /* not by a repair */
    };
    struct world *world = *state;

    world_meet(world, (const char *const[]){ A }, 1, 0);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct pair pair = { PRESENCE_STATE, rows[i].incarnation << 2 };

        peer_of(world, A)->sync_wait[TABLE_MEMBERS] = 5;
        claim_hear(world, A, "n:10.0.0.9:7000", &pair, 1, rows[i].depth);
        assert_int_equal(peer_of(world, A)->sync_wait[TABLE_MEMBERS], rows[i].wait);
    }
}

/* Who has it already may be asked to cover a subtree for somebody who died half-way. */
static void test_presence_that_raised_nothing_by_push_is_passed_on_once(void **state)
{
    static const uint8_t depths[] = { WIRE_DEPTH_STOP, 0, 1, 1, 2 };
    static const bool passed_on[] = { false, false, true, false, false };
    const struct pair level[] = {
        { PRESENCE_LEVEL, WORLD_START_S << 16 | 1 },
        { PRESENCE_STATE, WORLD_START_S << 2 },
    };
    struct world *world = *state;
    char key[32];

    for (unsigned i = 0; i < 32; i++) {
        (void)snprintf(key, sizeof key, "n:10.0.1.%u:7000", i + 1);
        claim_hear(world, key + 2, key, level, 2, WIRE_DEPTH_STOP);
        assert_false(peer_of(world, key + 2)->member); /* in `trust`, but who knows */
        peer_echo(world, key + 2);
    }
    assert_int_equal(peers_members(world->node->peers), 32);
    world_emit(world);
    for (unsigned i = 0; i < sizeof depths; i++) {
        const uint64_t sent = node_stats(world->node)->sent[NODE_KIND_PUSH];

        claim_hear(world, "10.0.1.1:7000", "n:10.0.2.1:7000", level, 2, depths[i]);
        world_emit(world);
        assert_int_equal(node_stats(world->node)->sent[NODE_KIND_PUSH] > sent, passed_on[i]);
    }
}

static void test_presence_of_strangers_leaves_places_for_others(void **state)
{
    struct world *world = *state;
    char text[32];

    for (unsigned i = 0; i < NODE_PEERS_MAX + 100; i++) {
        (void)snprintf(text, sizeof text, "192.0.%u.%u:%u", i / 250, 1 + i % 250, 7000 + i % 7);
        hear(world, text, "greeting", NULL, 0, 0, FRAME_NO_VECTOR);
    }
    assert_int_equal(peers_count(world->node->peers), 0);
    hear(world, "10.0.0.2:7000", "greeting", NULL, 0, 0, FRAME_NO_VECTOR);
    assert_non_null(peer_of(world, "10.0.0.2:7000"));
}

static void test_presence_is_looked_at_again_when_time_has_passed(void **state)
{
    struct world *world = *state;
    struct peer *peer;

    world_meet(world, (const char *const[]){ "10.0.0.2:7000" }, 1, 0);
    peer = peer_of(world, "10.0.0.2:7000");
    assert_true(peer->member);
    /* As where there was no memory for one member more. */
    assert_true(peers_set_member(world->node->peers, peer, false));
    world_run(world, 2 * SECOND);
    assert_true(peer->member);
}

static void test_presence_survives_every_failing_allocation(void **state)
{
    struct world *world = *state;
    const struct pair pairs[] = { { PRESENCE_STATE, word(NOW, WORD_DEAD) },
                                  { PRESENCE_LEVEL, NOW << 16 | 1 } };

    for (uint64_t n = 1; n < 60; n++) {
        char about[] = "n:10.0.4.00:7000";

        about[9] = (char)('1' + n / 10);
        about[10] = (char)('0' + n % 10);
        world->said_count = 0;
        world->mem.fail_countdown = n % 12 + 1;
        hear(world, A, about, pairs, 2, 3, 0);
        hear(world, A, "n:" SELF, pairs, 1, 3, 0);
        hear(world, about + 2, about, pairs, 2, 3, 0);
        world->mem.fail_countdown = 0;
        world_run(world, SECOND);
        table_audit(world->table);
    }
    assert_int_equal(stored(world, "n:" SELF, PRESENCE_STATE), word(NOW + 1, WORD_ALIVE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_presence_keys_are_addresses_a_peer_may_have),
        TEST(test_presence_stamps_of_any_unit_are_minutes),
        TEST(test_presence_stamps_do_not_reach_a_minute_before_who_told_one),
        TEST(test_presence_starts_with_all_elements_of_its_start),
        TEST(test_presence_start_is_above_the_last_one),
        TEST(test_presence_refutes_any_state_it_did_not_write),
        TEST(test_presence_of_itself_is_not_taken_from_strangers),
        TEST(test_presence_notices_another_process_at_its_address_once),
        TEST(test_presence_outbids_what_a_later_start_announced),
        TEST(test_presence_that_left_stays_left),
        TEST(test_presence_bounds_keep_what_an_owner_could_not_outbid_out),
        TEST(test_presence_slots_of_suspectors_name_no_incarnation_beyond_the_state),
        TEST(test_presence_of_others_is_not_taken_from_strangers),
        TEST(test_presence_a_clock_far_behind_learns_from_three_trusted_hosts),
        TEST(test_presence_clocks_of_who_is_trusted_no_more_do_not_count),
        TEST(test_presence_one_host_cannot_move_the_clock),
        TEST(test_presence_an_owner_outbids_what_a_wrong_clock_let_in),
        TEST(test_presence_beyond_a_right_clock_does_not_exist),
        TEST(test_presence_a_member_hears_more_of_itself_than_is_believed_of_it),
        TEST(test_presence_begins_anew_when_its_own_lies_beyond_a_right_clock),
        TEST(test_presence_far_words_of_a_dead_owner_do_not_exist),
        TEST(test_presence_of_level_0_is_nobodys_word),
        TEST(test_presence_asks_for_proof_of_what_lies_far_ahead),
        TEST(test_presence_asks_an_owner_for_what_a_trusted_peer_tells_of_it),
        TEST(test_presence_of_an_owner_that_is_not_trusted_stays_within_bounds),
        TEST(test_presence_with_a_level_is_answered_by_a_hello),
        TEST(test_presence_of_plain_peers_is_vouched_for_by_whoever_hears_them),
        TEST(test_presence_of_who_speaks_extended_is_not_vouched_for),
        TEST(test_presence_of_strangers_is_not_vouched_for),
        TEST(test_presence_a_silent_plain_peer_is_suspected_then_dead_then_forgotten),
        TEST(test_presence_a_node_that_slept_accuses_nobody),
        TEST(test_presence_a_plain_peer_that_says_it_left_has_left),
        TEST(test_presence_anothers_newer_alive_counts_as_hearing),
        TEST(test_presence_a_forgotten_peer_is_not_taken_again),
        TEST(test_presence_counts_independent_suspectors_of_this_incarnation),
        TEST(test_presence_suspicion_shrinks_with_suspectors_and_grows_with_members),
        TEST(test_presence_that_a_repair_raised_ends_the_wait_for_the_next_exchange),
        TEST(test_presence_that_raised_nothing_by_push_is_passed_on_once),
        TEST(test_presence_of_strangers_leaves_places_for_others),
        TEST(test_presence_is_looked_at_again_when_time_has_passed),
        TEST(test_presence_survives_every_failing_allocation),
    };

    return cmocka_run_group_tests_name("presence", tests, NULL, NULL);
}
