#include "node/sync.h"

#include "base/hash.h"
#include "node/answer.h"
#include "node/audit.h"
#include "node/clock.h"
#include "node/exchange.h"
#include "node/lag.h"
#include "node/offer.h"
#include "node/outbox.h"
#include "node/pace.h"
#include "node/peers.h"
#include "node/recent.h"
#include "node/state.h"
#include "store/digest.h"
#include "store/marks.h"

#include <assert.h>
#include <string.h>

#define FRESH_MS       LAG_FRESH_MS
#define FRESH_MANY     100  /* changed within that: D is exchanged less often with the same peer */
#define RARELY_MS      4000 /* by so much, beside the usual wait */
#define ROUND_US       900000 /* so often at most by us; probes come once a second */
#define TAKING_PART_US 300000 /* after a tree came */
#define WAIT_MS        1000
#define WAIT_MS_MAX    300000
#define WAIT_EXPONENT  9   /* the first at which WAIT_MS doubled is above WAIT_MS_MAX */
#define AGAIN_ITEMS    64  /* repairs in half a second: who sent them is asked again at the end; */
#define TRANSFER_ITEMS 256 /* so many are a transfer, beside which others are not listened to */
#define TRANSFER_US    500000
#define ALONE_US       8000000 /* so long others are not listened to, whoever it is that sends, */
#define OTHERS_US      2000000 /* and then they are for so long */
#define QUIET_US       100000  /* after its last: it has ended, and what is left is looked for */
#define ASKED_MAX      3       /* times that an exchange is begun until somebody answers */
#define STALE_US       3000000
#define BETWEEN_FEW    64 /* keys that ended between two clocks: they are listed, and passed over */
#define BETWEEN_US     300000000 /* without being equal: many are looked through all the same */
#define LOSSES_MAX     16        /* in a row: nobody is there */
#define AUDIT_EVERY    24        /* probes: one of them carries an audit, 81 bytes */

/* Who repairs us. While one peer sends much of a set, others are not asked for the same; and when
 * it has ended, or something of it or the question was lost, that one is asked at once for what may
 * be left. */
struct transfer {
    struct peer *from;
    struct peer *again; /* NULL: nobody is to be asked again */
    uint64_t begun_us;  /* of the half second that is counted in */
    uint64_t last_us;
    uint64_t again_us;
    uint64_t alone_us; /* when it last became one beside which others are not listened to */
    uint32_t items;    /* in it */
    uint32_t before;   /* in the one before */
    uint8_t asked;     /* times in a row, and nothing came */
};

struct sync {
    struct transfer transfers[TABLE_SET_COUNT];
    uint64_t begin_us[TABLE_SET_COUNT];  /* no exchange of the set is begun before */
    uint64_t begun_us[TABLE_SET_COUNT];  /* when we last began one; 0: at once again */
    uint64_t raised_us[TABLE_SET_COUNT]; /* when a repair last raised something here */
    const struct peer *begun_with[TABLE_SET_COUNT];
    uint64_t half_us;        /* when the present half second began */
    uint32_t changed;        /* blocks, in that */
    uint32_t changed_before; /* and in the one before */
    uint32_t audit_left;     /* probes until the next audit */
    uint8_t audit_set;       /* enum table_set, whose turn it is */
    bool greeted;            /* the first member that there was was asked for all */
};

static struct sync *state_obtain(struct node *node)
{
    struct sync *state = node->sync;

    if (state == NULL) {
        state = mem_alloc_zeroed(node->mem, sizeof *state);
        if (state == NULL) {
            node->stats.memory_refused++;
            return NULL;
        }
        node->fresh.keep_ms = FRESH_MS;
        /* Nodes that start together do not audit together. */
        state->audit_left = (uint32_t)random_below(&node->random[RANDOM_SYNC], AUDIT_EVERY);
        node->sync = state;
    }
    return state;
}

/* Blocks that changed in the last half second or so. */
static uint32_t changed_lately(const struct sync *state, struct moment now)
{
    const uint64_t halves = (now.mono_us - state->half_us) / (FRESH_MS * UINT64_C(1000));

    if (halves == 0) {
        return state->changed + state->changed_before;
    }
    return halves == 1 ? state->changed : 0;
}

static void changed_note(struct sync *state, struct moment now)
{
    const uint64_t halves = (now.mono_us - state->half_us) / (FRESH_MS * UINT64_C(1000));

    if (halves > 0) {
        state->changed_before = halves == 1 ? state->changed : 0;
        state->changed = 0;
        state->half_us = now.mono_us;
    }
    state->changed++;
}

void sync_note(struct node *node, struct moment now, struct changes changes)
{
    struct sync *state;

    if (changes.count == 0) {
        return;
    }
    lag_note(node, now);
    /* Where push has nobody to send to, nothing is under way; and a member that comes the moment
     * after was not sent it. */
    if (!node_has_extended(node, now)) {
        return;
    }
    state = state_obtain(node);
    for (size_t i = 0; state != NULL && i < changes.count; i++) {
        const struct change *change = &changes.list[i];

        if (change->dropped || change->ended || change->origin == CHANGE_FROM_DISK
            || change->origin == CHANGE_FROM_REPAIR) {
            continue;
        }
        /* What is forgotten so is sent twice, at worst. */
        (void)recent_put(&node->fresh, node->mem,
                         offer_hash(node, change->entry, change->raised.number), 0,
                         now.mono_us / 1000);
        changed_note(state, now);
    }
}

/* Whether somebody else is sending us much of this set. A peer that never ends, or makes it up, is
 * heeded for a part of the time only, so that others are heard too. */
static bool is_repaired_by_other(const struct sync *state, struct moment now,
                                 const struct peer *peer, enum table_set set)
{
    const struct transfer *transfer = &state->transfers[set];

    return (transfer->items >= TRANSFER_ITEMS || transfer->before >= TRANSFER_ITEMS)
           && transfer->from != peer && now.mono_us - transfer->last_us < TRANSFER_US
           && now.mono_us - transfer->alone_us < ALONE_US;
}

/* Whether anybody is sending us much of this set. */
static bool is_repaired(const struct sync *state, struct moment now, enum table_set set)
{
    return is_repaired_by_other(state, now, NULL, set);
}

/* Beginning. */

/* The wait before the next exchange of this set with this peer doubles until one of them raised
 * something or they are equal: a node that refuses data would exchange for ever. One that was not
 * answered was lost on the way, and does not count; but a full node is not answered. */
static void wait_set(const struct node *node, struct peer *peer, struct moment now,
                     enum table_set set)
{
    const unsigned exponent = peer->sync_wait[set];
    const uint32_t wait_ms =
        exponent >= WAIT_EXPONENT ? WAIT_MS_MAX : (uint32_t)WAIT_MS << exponent;

    peer->sync_due_ms[set] = clock_ms(now) + wait_ms;
    if (exponent < WAIT_EXPONENT && (!peer->sync_asked[set] || sync_is_full(node, now))) {
        peer->sync_wait[set]++;
    }
    peer->sync_asked[set] = true;
}

/* Nothing of the set goes one way or the other: it is worth looking what differs. */
static bool is_quiet(const struct node *node, struct moment now, const struct peer *peer,
                     enum table_set set)
{
    const struct exchange *exchange = peer->exchange;

    return !is_repaired(node->sync, now, set)
           && (exchange == NULL || !exchange_repairs(exchange, set));
}

static bool may_begin(const struct node *node, struct moment now, const struct peer *peer,
                      enum table_set set)
{
    const struct sync *state = node->sync;
    const struct peer *last = state->begun_with[set];
    const bool lost = last != NULL && last->sync_asked[set];
    const bool found = state->raised_us[set] >= state->begun_us[set];
    const bool rarely =
        set == TABLE_DATA && changed_lately(state, now) > FRESH_MANY && !lost && !found;

    if (peer->sync_wait[set] > 0 && clock_is_ahead(now, peer->sync_due_ms[set], WAIT_MS_MAX)) {
        return false;
    }
    if (now.mono_us < state->begin_us[set]
        || (state->begun_us[set] != 0 && now.mono_us - state->begun_us[set] < ROUND_US)) {
        return false;
    }
    /* Each exchange tells one of the two how far they are apart, mostly who was asked (node/lag.h):
     * so both ask, whatever else they ask of others. */
    if (rarely && clock_is_ahead(now, peer->sync_due_ms[set] + RARELY_MS, WAIT_MS + RARELY_MS)) {
        return false;
    }
    return is_quiet(node, now, peer, set);
}

/* Ask this peer at that time, unless it is equal before. */
static void ask_again(struct transfer *transfer, struct peer *peer, uint64_t at_us)
{
    transfer->again = peer;
    transfer->again_us = at_us;
}

static void begin(struct node *node, struct moment now, struct peer *peer, enum table_set set)
{
    const struct order order = { .prefix = { .set = (uint8_t)set }, .kind = ORDER_TREE };
    struct exchange *exchange = exchange_obtain(node, now, peer);
    struct transfer *transfer = &node->sync->transfers[set];

    if (exchange == NULL) {
        return;
    }
    exchange->salted = peer->sync_wait[set] > 0;
    exchange_order(node, exchange, order);
    node->sync->begun_us[set] = now.mono_us;
    node->sync->begun_with[set] = peer;
    transfer->again = NULL;
    transfer->asked = peer->sync_asked[set] ? transfer->asked + 1 : 1;
    if (transfer->asked < ASKED_MAX && !sync_is_full(node, now)) {
        ask_again(transfer, peer, now.mono_us + pace_rto_us(node, peer));
    }
    wait_set(node, peer, now, set);
    node->stats.sync_rounds++;
    trace_tell(node, TRACE_ROUND, .peer = peer->address,
               .about = set == TABLE_MEMBERS ? "members" : "data");
}

/* Nothing is left to be exchanged: what still waits to leave the peer got from others. */
static void set_equal(struct node *node, struct peer *peer, enum table_set set)
{
    struct exchange *exchange = peer->exchange;

    peer->sync_wait[set] = 0;
    if (node->sync != NULL && node->sync->transfers[set].again == peer) {
        node->sync->transfers[set].again = NULL;
    }
    if (exchange == NULL) {
        return;
    }
    exchange_cancel(node, exchange, set);
    if (exchange_done(exchange)) {
        exchange_free(node, exchange);
    }
}

/* Whether it is worth looking what differs while the two clocks do: where many keys ended in
 * between, every prefix differs by them, and what else does is found once both have ended them.
 * Clocks that stay apart do not put that off for ever. */
static bool clocks_allow(const struct node *node, struct moment now, const struct peer *peer)
{
    const uint32_t ours = table_root_minute(node->table);
    const uint32_t apart = peer->minute > ours ? peer->minute - ours : ours - peer->minute;

    return apart > TABLE_MINUTES_KEPT
           || table_keys_between(node->table, peer->minute) <= BETWEEN_FEW || peer->equal_us == 0
           || now.mono_us - peer->equal_us > BETWEEN_US;
}

void sync_roots_received(struct node *node, struct moment now, struct peer *from,
                         const struct envelope *envelope, uint32_t salt, bool answering)
{
    const uint32_t *roots = envelope->roots;
    const uint32_t now_min = table_root_minute(node->table);
    const uint32_t minute = (envelope->has & WIRE_HAS_MINUTE) != 0 ? envelope->minute : now_min;
    const struct lag_said said = { roots[TABLE_DATA], salt, minute };
    bool differs[TABLE_SET_COUNT];
    uint32_t ours[TABLE_SET_COUNT];

    outbox_roots(node, salt, minute, ours);
    for (unsigned set = 0; set < TABLE_SET_COUNT; set++) {
        differs[set] = ours[set] != roots[set];
    }
    if (minute > now_min) {
        differs[TABLE_DATA] = false; /* not known; its answers to us are as of our minute */
    } else {
        /* That no old difference was listed lately is good enough for a lag, not to be ready by. */
        if (lag_check(node, now, from, said)) {
            node->was_equal = true;
        }
        if (!differs[TABLE_DATA]) {
            set_equal(node, from, TABLE_DATA);
        }
    }
    if (!differs[TABLE_MEMBERS]) {
        set_equal(node, from, TABLE_MEMBERS);
    }
    if (!answering || (!differs[TABLE_MEMBERS] && !differs[TABLE_DATA])
        || state_obtain(node) == NULL) {
        return;
    }
    differs[TABLE_DATA] = differs[TABLE_DATA] && clocks_allow(node, now, from);
    /* Both at once where both differ, as after a partition; membership is ordered first. */
    for (unsigned set = 0; set < TABLE_SET_COUNT; set++) {
        if (differs[set] && may_begin(node, now, from, (enum table_set)set)) {
            begin(node, now, from, (enum table_set)set);
        }
    }
}

void sync_raised(struct node *node, struct moment now, struct peer *from, enum table_set set)
{
    struct sync *state = node->sync;
    struct transfer *transfer;

    if (from == NULL) {
        for (uint32_t i = 0; i < peers_count(node->peers); i++) {
            peers_at(node->peers, i)->sync_wait[set] = 0;
        }
        return;
    }
    from->sync_wait[set] = 0;
    from->sync_asked[set] = false;
    if (state == NULL) {
        return;
    }
    transfer = &state->transfers[set];
    if (transfer->from != from || now.mono_us - transfer->last_us >= TRANSFER_US) {
        transfer->from = from;
        transfer->items = 0;
        transfer->before = 0;
        transfer->begun_us = now.mono_us;
    }
    if (now.mono_us - transfer->begun_us >= TRANSFER_US) {
        transfer->before = transfer->items;
        transfer->items = 0;
        transfer->begun_us = now.mono_us;
    }
    transfer->last_us = now.mono_us;
    transfer->items++;
    state->raised_us[set] = now.mono_us;
    if (transfer->items == TRANSFER_ITEMS
        && (transfer->alone_us == 0 || now.mono_us - transfer->alone_us >= ALONE_US + OTHERS_US)) {
        transfer->alone_us = now.mono_us;
    }
    if (transfer->items >= AGAIN_ITEMS) {
        ask_again(transfer, from, now.mono_us + QUIET_US);
    }
}

/* The audit. */

void sync_audit_put(struct node *node, struct moment now, struct writer *writer, uint32_t salt)
{
    struct sync *state = state_obtain(node);
    struct wire_tree tree;

    if (state == NULL || state->audit_left-- > 0) {
        return;
    }
    state->audit_left = AUDIT_EVERY - 1;
    tree.prefix = audit_choose(node, (enum table_set)state->audit_set);
    state->audit_set = state->audit_set == TABLE_MEMBERS ? TABLE_DATA : TABLE_MEMBERS;
    if (audit_add_up(node, now, &tree, salt)) {
        (void)writer_put_tree(writer, &tree);
    }
}

/* While we take part in somebody's exchange of a set, we do not begin one: of two with the same
 * peer at the same time, each would find all that the other finds. */
static void begin_wait(struct sync *state, struct moment now, enum table_set set)
{
    if (state->begin_us[set] < now.mono_us + TAKING_PART_US) {
        state->begin_us[set] = now.mono_us + TAKING_PART_US;
    }
}

/* What we asked of this peer was answered. */
static void heard_of(struct sync *state, struct peer *from, enum table_set set)
{
    struct transfer *transfer = &state->transfers[set];

    if (from->sync_asked[set] && transfer->again == from) {
        transfer->again = NULL;
    }
    from->sync_asked[set] = false;
}

void sync_receive(struct node *node, struct moment now, struct peer *from,
                  const struct message *message, uint32_t salt)
{
    struct sync *state = state_obtain(node);
    struct exchange *exchange = state == NULL ? NULL : exchange_obtain(node, now, from);
    bool listens[TABLE_SET_COUNT];
    struct answered answered;

    if (exchange == NULL) {
        return;
    }
    exchange->salted = salt != 0;
    exchange->heard_us = now.mono_us;
    for (unsigned set = 0; set < TABLE_SET_COUNT; set++) {
        listens[set] = !is_repaired_by_other(state, now, from, (enum table_set)set);
    }
    answered = answer_fields(node, now, exchange, message, salt, listens);
    if (answered.differs) {
        lag_differs(now, from, answered.old);
        /* What is on its way is no reason to wait longer, once nothing was left out as being so. */
        if (!answered.old && from->sync_wait[TABLE_DATA] > PATIENT_ROUNDS) {
            from->sync_wait[TABLE_DATA] = 0;
        }
    }
    for (unsigned set = 0; set < TABLE_SET_COUNT; set++) {
        if (answered.any[set]) {
            heard_of(state, from, (enum table_set)set);
        }
        if (answered.tree[set]) {
            begin_wait(state, now, (enum table_set)set);
        }
    }
    if (exchange_done(exchange)) {
        exchange_free(node, exchange);
    }
}

/* Sending. */

void sync_acked(struct moment now, const struct flight *flight)
{
    struct exchange *exchange = flight->peer->exchange;

    if (!marks_empty(&flight->carried)) {
        flight->peer->sync_losses = 0;
    }
    if (exchange != NULL) {
        exchange->heard_us = now.mono_us;
        exchange->blocked = false;
    }
}

/* Repairs are sent again; digests are not: they are many, mostly of data, and it is looked anew
 * what differs. Losses are the peer's, not the exchange's, which ends with the last datagram that
 * leaves. */
void sync_lost(struct node *node, struct moment now, struct flight *flight)
{
    struct sync *state = node->sync;
    struct peer *peer = flight->peer;
    struct exchange *exchange;

    if (marks_empty(&flight->carried)) {
        if (state != NULL && state->transfers[TABLE_DATA].again == NULL
            && state->transfers[TABLE_DATA].asked < ASKED_MAX) {
            ask_again(&state->transfers[TABLE_DATA], flight->peer, now.mono_us + QUIET_US);
        }
        return;
    }
    exchange = exchange_obtain(node, now, peer);
    if (exchange == NULL) {
        return;
    }
    peer->sync_losses++;
    exchange->blocked = false;
    if (peer->sync_losses > LOSSES_MAX || !peer->member) {
        node->stats.abandoned++;
        trace_tell(node, TRACE_ABANDONED, .peer = peer->address, .about = "sync",
                   .number = peer->sync_losses);
        peer->sync_losses = 0;
        exchange_free(node, exchange);
        return;
    }
    node->stats.retries++;
    trace_tell(node, TRACE_RETRY, .peer = peer->address, .about = "sync",
               .number = peer->sync_losses);
    exchange_repair_again(node, exchange, &flight->carried);
}

/* Whether the peer still waits for it. One that has not taken part for a while, since others were
 * served before it, has had other probes meanwhile. */
static bool exchange_fresh(const struct node *node, struct moment now,
                           const struct exchange *exchange)
{
    return exchange->peer->level > 0 && node_speaks_extended(node, exchange->peer, now)
           && now.mono_us - exchange->heard_us < STALE_US;
}

size_t sync_emit(struct node *node, struct moment now, struct space space, struct address *to)
{
    struct exchange *exchange = exchanges_first(node);
    size_t size = 0;

    while (exchange != NULL && size == 0) {
        struct exchange *next = exchange->next;
        struct peer *peer = exchange->peer;

        work_count(node, 1);
        if (exchange_fresh(node, now, exchange)) {
            size = exchange_emit(node, now, space, exchange);
        }
        if (size > 0) {
            *to = peer->address;
            exchange_last(node, exchange);
        }
        if (exchange_done(exchange) || !exchange_fresh(node, now, exchange)) {
            exchange_free(node, exchange);
        }
        exchange = next;
    }
    return size;
}

/* The first member that there is gets asked at once: a node that was away does not wait for its
 * first probe. */
static void greet(struct node *node, struct moment now)
{
    struct sync *state = state_obtain(node);

    for (uint32_t i = 0; state != NULL && !state->greeted && i < peers_members(node->peers); i++) {
        struct peer *peer = peers_member(node->peers, i);

        if (peer->level > 0 && node_speaks_extended(node, peer, now)) {
            state->greeted = true;
            begin(node, now, peer, TABLE_DATA);
        }
    }
}

/* A transfer to us that found much has ended: look for what is left at once, and where that is much
 * again, go on until it is not. */
static void transfers_tick(struct node *node, struct moment now, enum table_set set)
{
    struct sync *state = node->sync;
    struct transfer *transfer = &state->transfers[set];
    struct peer *peer = transfer->again;

    if (peer == NULL || now.mono_us < transfer->again_us) {
        return;
    }
    transfer->items = 0;
    transfer->before = 0;
    transfer->again_us = now.mono_us + QUIET_US;
    state->begun_us[set] = 0;
    if (!node_speaks_extended(node, peer, now) || !peer->member) {
        transfer->again = NULL;
    } else if (is_quiet(node, now, peer, set)) { /* whatever others ask of us meanwhile */
        begin(node, now, peer, set);
    }
}

void sync_tick(struct node *node, struct moment now)
{
    if ((node->sync == NULL || !node->sync->greeted) && node_has_extended(node, now)) {
        greet(node, now);
    }
    if (node->sync == NULL) {
        return;
    }
    recent_tick(&node->fresh, node->mem, now.mono_us / 1000);
    lag_tick(node, now);
    for (unsigned set = 0; set < TABLE_SET_COUNT; set++) {
        transfers_tick(node, now, (enum table_set)set);
    }
}

/* Exchanges begin with a probe's ack and go on with answers: nothing here has a time of its own
 * but what may leave at once, and the end of a transfer. */
uint64_t sync_due_us(const struct node *node)
{
    const struct sync *state = node->sync;
    uint64_t due_us = UINT64_MAX;

    for (const struct exchange *e = exchanges_first(node); e != NULL; e = e->next) {
        if (!e->blocked) {
            return 0;
        }
    }
    for (unsigned set = 0; state != NULL && set < TABLE_SET_COUNT; set++) {
        const struct transfer *transfer = &state->transfers[set];

        if (transfer->again != NULL && transfer->again_us < due_us) {
            due_us = transfer->again_us;
        }
    }
    return due_us;
}

void sync_drop_peer(struct node *node, struct peer *peer)
{
    struct exchange *exchange = peer->exchange;

    if (exchange != NULL) {
        exchange_free(node, exchange);
    }
    for (unsigned set = 0; node->sync != NULL && set < TABLE_SET_COUNT; set++) {
        struct transfer *transfer = &node->sync->transfers[set];

        transfer->from = transfer->from == peer ? NULL : transfer->from;
        transfer->again = transfer->again == peer ? NULL : transfer->again;
        if (node->sync->begun_with[set] == peer) {
            node->sync->begun_with[set] = NULL;
        }
    }
}

void sync_drop_entries(struct node *node, struct drops drops)
{
    for (struct exchange *e = exchanges_first(node); e != NULL; e = e->next) {
        for (unsigned set = 0; set < TABLE_SET_COUNT; set++) {
            work_count(node, 1 + marks_drop(&e->repairs[set], node->mem, drops));
        }
    }
}

void sync_free(struct node *node)
{
    recent_clear(&node->fresh, node->mem);
    part_free(node, node->sync, sizeof *node->sync);
}
