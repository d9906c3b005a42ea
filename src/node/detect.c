#include "node/detect.h"

#include "base/hash.h"
#include "node/bounds.h"
#include "node/claim.h"
#include "node/clock.h"
#include "node/outbox.h"
#include "node/pace.h"
#include "node/peers.h"
#include "node/presence.h"
#include "node/state.h"
#include "node/suspicion.h"
#include "node/sync.h"

#include <assert.h>
#include <string.h>

#define US_PER_S          UINT64_C(1000000)
#define TRY_US_MAX        166000 /* three tries within 500 ms */
#define TRIES             3
#define HELPERS           3 /* asked at once */
#define HELPERS_MAX       6 /* asked in all: others, when not all of the first refused */
#define INDIRECT_GRACE_US 50000
#define FLIGHT_US         (2 * US_PER_S) /* an ack is waited for: a probe may last so long */
#define PROBES_FIRST      4
#define PROBES_OWN_MAX    32 /* own ones under way; places that nobody who asks can take */
#define PROBES_ASKED_MAX  32 /* for others */
#define PROBES_ASKER_MAX  4  /* for one of them: twice what it has under way when all is well */
#define PROBES_MAX        (PROBES_OWN_MAX + PROBES_ASKED_MAX)
#define PROBES_UNIT       4 /* looked at in a unit of work */
#define HOST_CELLS        256
#define PROBES_SOON_MAX   16
#define PROBES_SOON_NEW   8 /* of them, of members that never answered */
#define HISTORY           8 /* last own probes: failed at most hosts, it is us */
#define NODES_LEAST       8 /* few have answered yet: do not take a large cluster for a small one */
#define OTHERS_EACH       2 /* probes, once more than those few answer: one of the others */
#define CONFIRMERS        12
#define CONFIRM_WITHIN_MS 1000
#define LOOK_US           200000 /* how often suspects are looked at, while there are any */
#define SUSPICION_US_MIN  (3 * US_PER_S)
#define DEAD_US           (5 * US_PER_S)
#define JITTER_MS         256

/* A flight's tag: the slot in the low 8 bits, then the probe's number. */
#define TAG_DEAD UINT64_MAX /* of a probe of a dead member: nothing is concluded from it */

enum probe_stage { STAGE_DIRECT, STAGE_INDIRECT };

struct probe {
    struct peer *peer;  /* NULL: the slot is free */
    struct peer *asker; /* whom we probe it for; NULL: ourselves */
    struct peer *asked[HELPERS_MAX];
    uint32_t asked_sequences[HELPERS_MAX];
    uint32_t asker_sequence;
    uint64_t number;
    uint64_t due_us; /* of the next step, once nothing is to be sent */
    uint8_t stage;   /* enum probe_stage */
    uint8_t tries;   /* sent */
    uint8_t to_ask;  /* helpers still to be asked */
    uint8_t helpers; /* asked */
    uint8_t refused; /* of them, could not */
    uint8_t heard;   /* of them, say that it answered */
    uint8_t known;   /* of them, had answered us before */
    bool send;       /* a try is to leave */
    bool asked_all;  /* there is nobody else to ask */
};

/* This round visits (start + i * step) mod count, in id order. */
struct round {
    uint32_t start;
    uint32_t step;
    uint32_t next; /* i */
    uint32_t count;
};

/* What a member's probes have shown: each standing has a round of its own, so that those who answer
 * are slowed by nobody, and who is back after it was silent by none of those who never answered. */
enum standing {
    STANDING_KNOWN,  /* answered, and let none fail since */
    STANDING_LAPSED, /* answered once */
    STANDING_NEW,
    STANDING_COUNT
};

/* How one own probe ended. */
struct outcome {
    uint64_t host;
    bool failed;
};

struct detect {
    struct probe *probes;
    uint32_t probes_room;
    uint32_t probes_count;
    uint64_t number;
    uint64_t probe_due_us;
    uint64_t look_due_us;
    uint64_t dead_due_us;
    struct peer *dead; /* to be probed now */
    struct round rounds[STANDING_COUNT];
    struct outcome history[HISTORY];
    uint32_t known;    /* members that answer, when last counted */
    uint32_t answered; /* that ever did */
    uint8_t others_in; /* intervals, until one of the others is probed */
    uint8_t judged;    /* outcomes in `history`, newest first */
};

/* Probes under way. */

static bool probes_grow(struct node *node)
{
    struct detect *state = node->detect;
    const uint32_t room = state->probes_room == 0 ? PROBES_FIRST : state->probes_room * 2;
    struct probe *probes;

    if (room > PROBES_MAX) {
        return false;
    }
    probes = mem_grow(node->mem, state->probes, state->probes_room * sizeof *probes,
                      room * sizeof *probes);
    if (probes == NULL) {
        node->stats.memory_refused++;
        return false;
    }
    memset(&probes[state->probes_room], 0, (room - state->probes_room) * sizeof *probes);
    state->probes = probes;
    state->probes_room = room;
    return true;
}

static void probe_end(struct detect *state, struct probe *probe)
{
    if (probe->asker != NULL) {
        probe->asker->probes_asked--;
    }
    probe->peer = NULL;
    state->probes_count--;
}

/* Whether there is a place for one probe more of our own. */
static bool own_place(const struct detect *state)
{
    uint32_t own = 0;

    for (uint32_t i = 0; i < state->probes_room; i++) {
        own += state->probes[i].peer != NULL && state->probes[i].asker == NULL;
    }
    return own < PROBES_OWN_MAX;
}

/* Hosts that have asked are told apart by a hash. */
static uint8_t host_cell(const struct node *node, const struct peer *asker)
{
    const struct address host = address_host(&asker->address);

    return (uint8_t)(address_hash(&host, node->secret) % HOST_CELLS);
}

/* How many probes each host has asked for that are under way. Returns how many all have. */
static uint32_t hosts_count(const struct node *node, uint8_t counts[HOST_CELLS])
{
    const struct detect *state = node->detect;
    uint32_t asked = 0;

    memset(counts, 0, HOST_CELLS);
    for (uint32_t i = 0; i < state->probes_room; i++) {
        const struct probe *probe = &state->probes[i];

        if (probe->peer != NULL && probe->asker != NULL) {
            counts[host_cell(node, probe->asker)]++;
            asked++;
        }
    }
    return asked;
}

/* Make a place for one probe more for an asker: where all are taken, the oldest of whoever has most
 * goes: of hosts, and of askers there. False: this asker has as many as anybody. */
static bool asked_place(struct node *node, const struct peer *asker)
{
    struct detect *state = node->detect;
    uint8_t counts[HOST_CELLS];
    const uint32_t asked = hosts_count(node, counts);
    const uint32_t has = (uint32_t)counts[host_cell(node, asker)] << 8 | asker->probes_asked;
    struct probe *oldest = NULL;
    uint32_t most = 0;

    work_count(node, 1 + state->probes_room / PROBES_UNIT);
    if (asker->probes_asked >= PROBES_ASKER_MAX || asked < PROBES_ASKED_MAX) {
        return asker->probes_asked < PROBES_ASKER_MAX;
    }
    for (uint32_t i = 0; i < state->probes_room; i++) {
        struct probe *probe = &state->probes[i];
        uint32_t count;

        if (probe->peer == NULL || probe->asker == NULL) {
            continue;
        }
        count = (uint32_t)counts[host_cell(node, probe->asker)] << 8 | probe->asker->probes_asked;
        if (count > most || (count == most && probe->number < oldest->number)) {
            most = count;
            oldest = probe;
        }
    }
    if (has >= most) {
        return false;
    }
    outbox_owe_refused(node, oldest->asker, oldest->asker_sequence);
    probe_end(state, oldest);
    return true;
}

/* NULL: too many are under way. */
static struct probe *probe_begin(struct node *node, struct peer *peer, struct peer *asker)
{
    struct detect *state = node->detect;
    struct probe *probe = NULL;

    if (!(asker == NULL ? own_place(state) : asked_place(node, asker))
        || (state->probes_count == state->probes_room && !probes_grow(node))) {
        return NULL;
    }
    for (uint32_t i = 0; i < state->probes_room && probe == NULL; i++) {
        probe = state->probes[i].peer == NULL ? &state->probes[i] : NULL;
    }
    assert(probe != NULL);
    *probe = (struct probe){
        .peer = peer, .asker = asker, .number = ++state->number, .due_us = UINT64_MAX, .send = true
    };
    state->probes_count++;
    if (asker != NULL) {
        asker->probes_asked++;
    }
    return probe;
}

static uint64_t probe_tag(const struct detect *state, const struct probe *probe)
{
    return probe->number << 8 | (uint64_t)(probe - state->probes);
}

static struct probe *probe_find(struct detect *state, uint64_t tag)
{
    const uint64_t slot = tag & 255;

    if (state == NULL || tag == TAG_DEAD || slot >= state->probes_room
        || state->probes[slot].peer == NULL || state->probes[slot].number != tag >> 8) {
        return NULL;
    }
    return &state->probes[slot];
}

/* The probe of a peer for an asker, NULL for ourselves. */
static struct probe *probe_of(struct detect *state, const struct peer *peer,
                              const struct peer *asker)
{
    for (uint32_t i = 0; i < state->probes_room; i++) {
        if (state->probes[i].peer == peer && state->probes[i].asker == asker) {
            return &state->probes[i];
        }
    }
    return NULL;
}

static uint64_t try_us(const struct node *node, const struct peer *peer)
{
    const uint64_t rto_us = pace_rto_us(node, peer);

    return rto_us < TRY_US_MAX ? rto_us : TRY_US_MAX;
}

static bool probeable(const struct peer *peer)
{
    return peer->member && peer->level > 0;
}

/* A member that echoed a `q` of ours and has let no probe fail since. Whatever others say of
 * themselves, these are the ones by whom we judge our own line, and the ones whose death we must
 * see in time: whoever does not answer cannot come between. */
static bool is_known(const struct peer *peer)
{
    return peer->answered && !peer->mute;
}

static enum standing standing_of(const struct peer *peer)
{
    if (!peer->answered) {
        return STANDING_NEW;
    }
    return peer->mute ? STANDING_LAPSED : STANDING_KNOWN;
}

/* Once a second: there are many members and few changes. */
static void known_count(struct node *node)
{
    struct detect *state = node->detect;

    work_count(node, peers_members(node->peers));
    state->known = 0;
    state->answered = 0;
    for (uint32_t i = 0; i < peers_members(node->peers); i++) {
        const struct peer *peer = peers_member(node->peers, i);

        state->known += probeable(peer) && is_known(peer);
        state->answered += probeable(peer) && peer->answered;
    }
}

/* How large the cluster is to the time a suspect has: ourselves and those who ever answered. */
static uint64_t nodes_count(const struct node *node)
{
    const uint64_t answered = (uint64_t)node->detect->answered + 1;
    const uint64_t members = (uint64_t)peers_members(node->peers) + 1;
    const uint64_t least = members < NODES_LEAST ? members : NODES_LEAST;

    return answered > least ? answered : least;
}

/* Judgement. */

static uint64_t host_of(const struct peer *peer)
{
    uint64_t halves[2];

    memcpy(halves, peer->address.ip, sizeof halves);
    return hash_mix(halves[0], halves[1]);
}

static void history_add(struct detect *state, const struct peer *peer, bool failed)
{
    memmove(&state->history[1], &state->history[0],
            sizeof state->history - sizeof state->history[0]);
    state->history[0] = (struct outcome){ .host = host_of(peer), .failed = failed };
    state->judged = state->judged < HISTORY ? (uint8_t)(state->judged + 1) : HISTORY;
}

/* Whether the last probe of this outcome's host is a later one. */
static bool outcome_is_old(const struct detect *state, unsigned at)
{
    for (unsigned i = 0; i < at; i++) {
        if (state->history[i].host == state->history[at].host) {
            return true;
        }
    }
    return false;
}

/* Our own line is more likely dead than most of the others: of the hosts probed last more fail
 * than answer; or all helpers are silent, who would say at least that they could not. Both are
 * judged by those who answered before, while there are any: others could be silent to hide a
 * death behind it. One host, however many peers it has, says nothing of our line. */
static bool isolated(const struct detect *state, const struct probe *probe)
{
    unsigned failing = 0;
    unsigned answering = 0;

    for (unsigned i = 0; i < state->judged; i++) {
        if (!outcome_is_old(state, i)) {
            failing += state->history[i].failed;
            answering += !state->history[i].failed;
        }
    }
    if (failing > 1 && failing > answering) {
        return true;
    }
    return (state->known > 0 ? probe->known : probe->helpers) > 1 && probe->refused == 0;
}

static void probe_failed(struct node *node, struct moment now, struct probe *probe)
{
    struct detect *state = node->detect;
    struct peer *peer = probe->peer;
    const bool accuse =
        probeable(peer) && (peer->state == PEER_ALIVE || peer->state == PEER_SUSPECT);

    if (is_known(peer) || state->known == 0) {
        history_add(state, peer, true);
    }
    peer->mute = true;
    if (accuse && !isolated(state, probe)) {
        presence_declare(node, now, peer, WORD_SUSPECT);
    }
    probe_end(state, probe);
}

/* The peer answered, us or more helpers than could not reach it. */
static void probe_answered(struct node *node, struct probe *probe)
{
    probe->peer->avoid_exponent = 0;
    if (probe->asker != NULL) {
        outbox_owe_ack(node, probe->asker, probe->asker_sequence, false);
    }
    probe_end(node->detect, probe);
}

/* The peer itself was not heard by the time that the last try or the helpers had. One helper's word
 * proves nothing against that of others, or one that lies would hide a death for ever. Helpers who
 * all say that they could not are believed; where some say nothing, others are asked. */
static void probe_step(struct node *node, struct moment now, struct probe *probe)
{
    if (probe->stage == STAGE_DIRECT && probe->tries < TRIES) {
        probe->send = true;
    } else if (probe->asker != NULL) {
        outbox_owe_refused(node, probe->asker, probe->asker_sequence);
        probe_end(node->detect, probe);
    } else if (probe->heard > probe->refused) {
        probe_answered(node, probe);
    } else if (probe->stage == STAGE_DIRECT
               || (probe->refused < probe->helpers && probe->helpers < HELPERS_MAX
                   && !probe->asked_all)) {
        probe->stage = STAGE_INDIRECT;
        probe->to_ask = HELPERS;
        probe->due_us = now.mono_us + TRIES * try_us(node, probe->peer) + INDIRECT_GRACE_US;
    } else {
        probe_failed(node, now, probe);
    }
}

/* The round. */

static uint32_t divisor(uint32_t one, uint32_t other)
{
    while (other != 0) {
        const uint32_t rest = one % other;

        one = other;
        other = rest;
    }
    return one;
}

/* A new order of all members: a random start, and a random step that visits each once. Costs no
 * memory; a member that comes or goes shifts the order by one place at most. */
static void round_begin(struct node *node, struct round *round)
{
    const uint32_t count = peers_members(node->peers);

    round->count = count;
    round->next = 0;
    round->start = (uint32_t)random_below(&node->random[RANDOM_DETECT], count);
    round->step = 1 + (uint32_t)random_below(&node->random[RANDOM_DETECT], count);
    while (divisor(round->step, count) != 1) {
        round->step = round->step == count ? 1 : round->step + 1;
    }
}

/* Next member of a standing to be probed; NULL: there is none. */
static struct peer *round_take(struct node *node, enum standing standing)
{
    struct round *round = &node->detect->rounds[standing];
    const uint32_t count = peers_members(node->peers);

    for (uint32_t tried = 0; tried < count; tried++) {
        struct peer *peer;
        uint64_t position;

        work_count(node, 1);
        if (round->next >= count || (round->count != count && divisor(round->step, count) != 1)) {
            round_begin(node, round);
        }
        round->count = count;
        position = round->start + (uint64_t)round->next * round->step;
        round->next++;
        peer = peers_member(node->peers, (uint32_t)(position % count));
        if (probeable(peer) && standing_of(peer) == standing
            && probe_of(node->detect, peer, NULL) == NULL) {
            return peer;
        }
    }
    return NULL;
}

/* Whether one of the others is due. While few answer, each interval: in a cluster that begins the
 * others are nearly all, and the few that are known are not the same few to everybody. Then each
 * second: however many they are, the known ones have the rest, and all of a large cluster have
 * answered before what they echoed is forgotten. */
static bool others_due(struct detect *state)
{
    if (state->known >= NODES_LEAST && state->others_in > 0) {
        state->others_in--;
        return false;
    }
    state->others_in = OTHERS_EACH - 1;
    return true;
}

static bool round_probe(struct node *node, enum standing standing)
{
    struct peer *peer = round_take(node, standing);

    if (peer != NULL) {
        (void)probe_begin(node, peer, NULL);
    }
    return peer != NULL;
}

/* Probe the next member that answers. When the others are due, one of each of their standings is
 * probed instead, and as well while few answer. */
static void routine_probe(struct node *node, struct moment now)
{
    struct detect *state = node->detect;
    const uint64_t interval_us = node->options.probe_interval_us;
    bool others = false;

    if (now.mono_us < state->probe_due_us || peers_members(node->peers) == 0) {
        return;
    }
    state->probe_due_us += interval_us;
    if (state->probe_due_us <= now.mono_us) {
        state->probe_due_us = now.mono_us + interval_us;
    }
    known_count(node);
    if (others_due(state)) {
        others = round_probe(node, STANDING_LAPSED);
        others = round_probe(node, STANDING_NEW) || others;
    }
    if (!others || state->known < NODES_LEAST) {
        (void)round_probe(node, STANDING_KNOWN);
    }
}

/* Suspects. */

/* Some members, drawn by a hash that differs from suspect to suspect, probe a new suspect at once:
 * with their word a real death is known at the least time, without it a mistake lives on for six
 * times as long as it needs to be refuted. */
static bool confirmer(const struct node *node, const struct peer *peer)
{
    const uint64_t draw = hash_mix(node->self_id ^ peer->id, peer->incarnation);

    return draw % nodes_count(node) < CONFIRMERS;
}

/* The time of vignette(7), halved but never under 3 s: a refutation needs two pushes, well under a
 * second each, and no single suspector can shorten it to that. Nodes do not declare all at once:
 * the first one's word reaches the others in that time. */
static bool suspicion_over(const struct node *node, const struct peer *peer, struct moment now)
{
    const uint64_t half_us = suspicion_us(peer, nodes_count(node)) / 2;
    const uint64_t limit_us = half_us < SUSPICION_US_MIN ? SUSPICION_US_MIN : half_us;
    const uint64_t jitter_ms = hash_mix(node->self_id, peer->id) % JITTER_MS;

    return clock_since_ms(now, peer->suspect_ms) >= limit_us / 1000 + jitter_ms;
}

static void suspects_look(struct node *node, struct moment now)
{
    struct detect *state = node->detect;
    uint64_t left = peers_in_state(node->peers, PEER_SUSPECT);

    if (left == 0 || now.mono_us < state->look_due_us) {
        return;
    }
    state->look_due_us = now.mono_us + LOOK_US;
    for (uint32_t i = 0; i < peers_count(node->peers) && left > 0; i++) {
        struct peer *peer = peers_at(node->peers, i);

        work_count(node, 1);
        if (peer->state != PEER_SUSPECT) {
            continue;
        }
        left--;
        if (suspicion_over(node, peer, now)) {
            presence_declare(node, now, peer, WORD_DEAD);
        } else if (clock_since_ms(now, peer->suspect_ms) < CONFIRM_WITHIN_MS
                   && confirmer(node, peer)) {
            detect_soon(node, now, peer);
        }
    }
}

/* One random dead member every 5 s at the latest, for ever: a healed partition joins by itself. At
 * random times, since all nodes learn of a death at once: together they try every moment. */
static void dead_choose(struct node *node, struct moment now)
{
    struct detect *state = node->detect;
    const uint64_t dead = peers_in_state(node->peers, PEER_DEAD);
    uint64_t skip;

    if (dead == 0 || now.mono_us < state->dead_due_us) {
        return;
    }
    state->dead_due_us =
        now.mono_us + DEAD_US / 2 + random_below(&node->random[RANDOM_DETECT], DEAD_US / 2);
    skip = random_below(&node->random[RANDOM_DETECT], dead);
    for (uint32_t i = 0; i < peers_count(node->peers); i++) {
        struct peer *peer = peers_at(node->peers, i);

        work_count(node, 1);
        if (peer->state == PEER_DEAD && skip-- == 0) {
            if (peer->level > 0 && node_speaks_extended(node, peer, now)) {
                state->dead = peer;
            } else {
                outbox_owe_hello(node, now, peer, true);
            }
            return;
        }
    }
}

/* Emission. */

/* An ack counts as long as the probe may last: a way that has become longer is no death. Each try
 * has a number of its own, so its round trip is measured whichever is acked; not that of a helper,
 * who acks late: called a second try, it is left out. */
static void probe_fly(struct node *node, struct moment now, struct peer *peer, uint64_t tag,
                      bool helper)
{
    const struct flight_plan plan = {
        .kind = FLIGHT_PROBE, .tag = tag, .tries = helper ? 2 : 1, .due_us = now.mono_us + FLIGHT_US
    };

    (void)outbox_fly(node, now, peer, &plan, NULL);
}

static size_t probe_send(struct node *node, struct moment now, struct space space,
                         struct peer *peer, uint64_t tag, struct bytes target)
{
    struct envelope envelope = {
        .has = WIRE_HAS_SEQUENCE,
        .sequence = outbox_sequence(node, peer),
    };
    struct writer writer;
    size_t size;

    outbox_put_roots(node, peer, envelope.sequence, &envelope);
    outbox_begin(node, now, peer, &writer, space, &envelope);
    if (target.size > 0) {
        (void)writer_put_probe(&writer, target);
    } else {
        sync_audit_put(node, now, &writer, envelope.sequence);
    }
    size = outbox_end(node, now, peer, &writer, NODE_KIND_PROBE);
    probe_fly(node, now, peer, tag, target.size > 0);
    return size;
}

/* A random member to help, not one that was asked already, one that answers before all others.
 * NULL: none is left. */
static struct peer *helper_choose(struct node *node, struct moment now, const struct probe *probe)
{
    const uint32_t count = peers_members(node->peers);
    struct peer *other = NULL;
    uint32_t start;

    if (count == 0) {
        return NULL;
    }
    start = (uint32_t)random_below(&node->random[RANDOM_DETECT], count);
    for (uint32_t i = 0; i < count; i++) {
        struct peer *peer = peers_member(node->peers, (start + i) % count);
        bool asked = peer == probe->peer;

        work_count(node, 1);
        for (unsigned k = 0; k < probe->helpers; k++) {
            asked = asked || probe->asked[k] == peer;
        }
        if (!asked && peer->level > 0 && peer->state == PEER_ALIVE
            && node_speaks_extended(node, peer, now)) {
            if (is_known(peer)) {
                return peer;
            }
            other = other == NULL ? peer : other;
        }
    }
    return other;
}

static size_t helper_ask(struct node *node, struct moment now, struct space space,
                         struct address *to, struct probe *probe)
{
    const uint64_t tag = probe_tag(node->detect, probe);
    struct peer *helper = helper_choose(node, now, probe);

    if (helper == NULL || probe->peer->presence == NULL) {
        probe->to_ask = 0;
        probe->asked_all = true;
        if (probe->helpers == 0) {
            probe->due_us = now.mono_us + try_us(node, probe->peer);
        }
        return 0;
    }
    probe->to_ask--;
    probe->asked[probe->helpers] = helper;
    probe->asked_sequences[probe->helpers] = outbox_sequence(node, helper);
    probe->helpers++;
    probe->known += is_known(helper);
    *to = helper->address;
    return probe_send(node, now, space, helper, tag, entry_key(probe->peer->presence));
}

static size_t probe_emit(struct node *node, struct moment now, struct space space,
                         struct address *to, struct probe *probe)
{
    const struct bytes no_target = { NULL, 0 };

    if (probe->to_ask > 0) {
        return helper_ask(node, now, space, to, probe);
    }
    probe->send = false;
    probe->tries++;
    probe->due_us = now.mono_us + try_us(node, probe->peer);
    *to = probe->peer->address;
    return probe_send(node, now, space, probe->peer, probe_tag(node->detect, probe), no_target);
}

static bool probe_waits(const struct probe *probe)
{
    return probe->peer != NULL && (probe->send || probe->to_ask > 0);
}

static bool anything_waits(const struct detect *state)
{
    bool waits = state->dead != NULL;

    for (uint32_t i = 0; i < state->probes_room; i++) {
        waits = waits || probe_waits(&state->probes[i]);
    }
    return waits;
}

size_t detect_emit(struct node *node, struct moment now, struct space space, struct address *to)
{
    struct detect *state = node->detect;
    const struct bytes no_target = { NULL, 0 };
    size_t size = 0;

    if (state == NULL || !anything_waits(state)) {
        return 0;
    }
    for (uint32_t i = 0; i < state->probes_room && size == 0; i++) {
        if (probe_waits(&state->probes[i])) {
            size = probe_emit(node, now, space, to, &state->probes[i]);
        }
    }
    if (size == 0 && state->dead != NULL) {
        struct peer *peer = state->dead;

        state->dead = NULL;
        *to = peer->address;
        size = probe_send(node, now, space, peer, TAG_DEAD, no_target);
    }
    return size;
}

/* What comes in. */

void detect_requested(struct node *node, struct moment now, struct peer *from, struct bytes target,
                      uint32_t sequence)
{
    struct address address;
    struct peer *peer =
        presence_address(target, &address) ? peers_find(node->peers, &address) : NULL;
    struct probe *probe = NULL;

    /* Who never echoed to us may be anybody, and three tries are more than the request. */
    if (peer != NULL && peer != from && peer->level > 0 && node_trusts(node, peer, now)
        && node->detect != NULL) {
        probe = probe_of(node->detect, peer, from); /* asked again, it is one wish */
        probe = probe == NULL ? probe_begin(node, peer, from) : probe;
    }
    if (probe != NULL) {
        probe->asker_sequence = sequence;
    } else {
        outbox_owe_refused(node, from, sequence);
    }
}

/* All that were asked have answered: nothing more is waited for. */
static void helpers_look(struct probe *probe, struct moment now)
{
    if (probe->peer != NULL && probe->helpers > 0 && probe->to_ask == 0
        && probe->refused + probe->heard >= probe->helpers && probe->due_us > now.mono_us) {
        probe->due_us = now.mono_us;
    }
}

void detect_refused(struct node *node, struct moment now, const struct peer *from,
                    uint32_t sequence)
{
    struct detect *state = node->detect;

    for (uint32_t i = 0; state != NULL && i < state->probes_room; i++) {
        struct probe *probe = &state->probes[i];

        for (unsigned k = 0; probe->peer != NULL && k < probe->helpers; k++) {
            if (probe->asked[k] == from && probe->asked_sequences[k] == sequence) {
                probe->asked_sequences[k]++; /* a second copy of the refusal does not count */
                probe->refused++;
            }
        }
        helpers_look(probe, now);
    }
}

void detect_acked(struct node *node, struct moment now, const struct flight *flight)
{
    struct detect *state = node->detect;
    struct probe *probe = probe_find(state, flight->tag);

    flight->peer->avoid_exponent = 0;
    flight->peer->answered = true;
    flight->peer->mute = false;
    if (probe == NULL) {
        return;
    }
    if (probe->asker == NULL) {
        history_add(state, flight->peer, false);
    }
    if (flight->peer != probe->peer) {
        probe->heard++;
    }
    if (flight->peer == probe->peer || 2 * probe->heard > HELPERS) {
        probe_answered(node, probe);
    } else {
        helpers_look(probe, now);
    }
}

static struct detect *state_obtain(struct node *node, struct moment now)
{
    struct detect *state = node->detect;

    if (state == NULL) {
        state = mem_alloc_zeroed(node->mem, sizeof *state);
        if (state == NULL) {
            node->stats.memory_refused++;
            return NULL;
        }
        /* Nodes that start together do not probe together. */
        state->probe_due_us =
            now.mono_us
            + random_below(&node->random[RANDOM_DETECT], node->options.probe_interval_us);
        state->dead_due_us = now.mono_us + random_below(&node->random[RANDOM_DETECT], DEAD_US);
        node->detect = state;
    }
    return state;
}

/* Whether there is a place for one probe more out of turn. Members that never answered leave some
 * to those that did, also to one that has stopped: it is the one whose death is to be confirmed. */
static bool soon_place(const struct detect *state, bool answered)
{
    uint32_t own = 0;
    uint32_t others = 0;

    for (uint32_t i = 0; i < state->probes_room; i++) {
        const struct probe *probe = &state->probes[i];

        if (probe->peer != NULL && probe->asker == NULL) {
            own++;
            others += !probe->peer->answered;
        }
    }
    return own < PROBES_SOON_MAX && (answered || others < PROBES_SOON_NEW);
}

void detect_soon(struct node *node, struct moment now, struct peer *peer)
{
    struct detect *state = state_obtain(node, now);

    if (state != NULL && probeable(peer) && soon_place(state, peer->answered)
        && probe_of(state, peer, NULL) == NULL) {
        (void)probe_begin(node, peer, NULL);
    }
}

void detect_tick(struct node *node, struct moment now)
{
    struct detect *state;

    if (node->options.plain_only
        || (peers_members(node->peers) == 0 && peers_in_state(node->peers, PEER_DEAD) == 0
            && node->detect == NULL)) {
        return;
    }
    state = state_obtain(node, now);
    if (state == NULL) {
        return;
    }
    for (uint32_t i = 0; i < state->probes_room; i++) {
        struct probe *probe = &state->probes[i];

        if (probe->peer != NULL && !probe_waits(probe) && probe->due_us <= now.mono_us) {
            probe_step(node, now, probe);
        }
    }
    routine_probe(node, now);
    suspects_look(node, now);
    dead_choose(node, now);
}

static uint64_t earlier(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

uint64_t detect_due_us(const struct node *node)
{
    const struct detect *state = node->detect;
    const bool members = peers_members(node->peers) > 0;
    const bool dead = peers_in_state(node->peers, PEER_DEAD) > 0;
    uint64_t due_us = UINT64_MAX;

    if (node->options.plain_only) {
        return due_us;
    }
    if (state == NULL) {
        return members || dead ? 0 : due_us;
    }
    due_us = members ? earlier(due_us, state->probe_due_us) : due_us;
    due_us = dead ? earlier(due_us, state->dead_due_us) : due_us;
    if (peers_in_state(node->peers, PEER_SUSPECT) > 0) {
        due_us = earlier(due_us, state->look_due_us);
    }
    for (uint32_t i = 0; i < state->probes_room; i++) {
        const struct probe *probe = &state->probes[i];

        if (probe->peer != NULL && !probe_waits(probe)) {
            due_us = earlier(due_us, probe->due_us);
        }
    }
    return anything_waits(state) ? 0 : due_us;
}

void detect_drop_peer(struct node *node, const struct peer *peer)
{
    struct detect *state = node->detect;

    if (state == NULL) {
        return;
    }
    state->dead = state->dead == peer ? NULL : state->dead;
    for (uint32_t i = 0; i < state->probes_room; i++) {
        struct probe *probe = &state->probes[i];

        if (probe->peer != NULL && (probe->peer == peer || probe->asker == peer)) {
            probe_end(state, probe);
        }
        for (unsigned k = 0; probe->peer != NULL && k < probe->helpers; k++) {
            probe->asked[k] = probe->asked[k] == peer ? NULL : probe->asked[k];
        }
    }
}

void detect_free(struct node *node)
{
    struct detect *state = node->detect;

    if (state == NULL) {
        return;
    }
    mem_free(node->mem, state->probes, state->probes_room * sizeof state->probes[0]);
    mem_free(node->mem, state, sizeof *state);
}
