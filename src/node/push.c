#include "node/push.h"

#include "base/hash.h"
#include "node/clock.h"
#include "node/outbox.h"
#include "node/pace.h"
#include "node/peers.h"
#include "node/plain.h"
#include "node/recent.h"
#include "node/state.h"
#include "node/work.h"
#include "store/digest.h"
#include "store/marks.h"

#include <assert.h>
#include <string.h>

#define PUSH_TRIES         8
#define HEARD_LATELY_US    2000000 /* a member heard since then lost a datagram, it did not die */
#define AVOID_MS           1000    /* a member that did not ack is avoided for; doubles */
#define AVOID_EXPONENT_MAX 6
#define HANDLED_MS         10000
#define GROUPS             256

/* Subtrees are looked at anew when a member comes; with more members than this, once a moment. */
#define SHAPE_FRESH_MEMBERS 256
#define SHAPE_MEMBERS       16 /* looked at in a unit of work: a byte of each */

#define GROUP_US 10000000

_Static_assert(PUSH_BUCKETS <= 256, "a bucket's index fits into 8 bits of a flight's tag");

/* What waits for one sibling subtree: presence and data apart, since presence goes first. */
struct bucket {
    struct marks waiting[TABLE_SET_COUNT];
    uint64_t due_us;
    uint64_t left_us; /* when it last sent; 0: never */
    uint8_t ttl;
    uint64_t blocked_us; /* when that was last found: not to be looked for twice in a turn */
    uint64_t retries_blocked_us; /* the same, for what was sent before */
    bool blocked;                /* every member's window was full; an ack or a loss will tell */
};

/* The content of a datagram that was not acked. `same`: to that member again. Otherwise to others
 * of the subtree than those avoided, `copies` of them at once. */
struct retry {
    struct retry *next;
    struct marks marks;
    struct peer *same;
    struct peer *avoid[2];
    uint64_t blocked_us; /* as in a bucket */
    uint32_t group;      /* as in a tag; 0: none */
    uint8_t bucket;
    uint8_t tries;
    uint8_t copies;
    bool blocked;
};

/* Copies of the same content under way to several members of a subtree: one ack is enough, and
 * only the last loss is a loss. */
struct group {
    uint64_t begun_us;
    uint16_t generation; /* of the slot's use: late flights of an earlier one do not count */
    uint8_t outstanding;
    bool acked;
};

struct push {
    struct bucket *buckets; /* 3 a level */
    uint32_t levels;
    uint32_t next; /* bucket that is asked first */
    struct retry *retry_first;
    struct retry *retry_last;
    struct group *groups;
    struct recent handled;
    uint64_t shape_us;
    uint32_t shape_members;
    uint32_t shape_levels;
    uint8_t populated[PUSH_LEVELS]; /* bit k: sibling subtree k has members */
    uint8_t speaking[PUSH_LEVELS];  /* bit k: an extended one among them */
    bool speakers;
};

static struct push *state_obtain(struct node *node)
{
    struct push *state = node->push;

    if (state == NULL) {
        state = mem_alloc_zeroed(node->mem, sizeof *state);
        if (state == NULL) {
            node->stats.memory_refused++;
            return NULL;
        }
        state->shape_us = UINT64_MAX;
        state->handled.keep_ms = HANDLED_MS;
        node->push = state;
    }
    return state;
}

/* The trie. Sibling k of level L shares the first L digits of our own id and has another digit
 * there; the three of all levels part everybody else. */

static struct peer_range bucket_range(const struct node *node, unsigned level, unsigned sibling)
{
    const unsigned shift = 62 - 2 * level;
    const uint64_t id = node->self_id;
    const uint64_t digit = ((id >> shift & 3) + 1 + sibling) & 3;
    const uint64_t above = level == 0 ? 0 : id >> (shift + 2) << (shift + 2);

    return peers_under(node->peers, above | digit << shift, level + 1);
}

static struct peer_range own_range(const struct node *node, unsigned level)
{
    const unsigned shift = 64 - 2 * level;

    return peers_under(node->peers, level == 0 ? 0 : node->self_id >> shift << shift, level);
}

static bool range_speaks(const struct node *node, struct peer_range range)
{
    if (node->options.plain_only) {
        return false;
    }
    for (uint32_t i = 0; i < range.count; i++) {
        if (peers_member(node->peers, range.first + i)->level > 0) {
            return true;
        }
    }
    return false;
}

/* Which subtrees have members, found once a moment: a bulk update asks for each of its marks. */
static void shape_find(struct node *node, struct moment now)
{
    struct push *state = node->push;
    unsigned level = 0;

    if (state->shape_us == now.mono_us
        && (state->shape_members == peers_members(node->peers)
            || state->shape_members > SHAPE_FRESH_MEMBERS)) {
        return;
    }
    work_count(node, 1 + peers_members(node->peers) / SHAPE_MEMBERS);
    state->shape_us = now.mono_us;
    state->shape_members = peers_members(node->peers);
    state->speakers = false;
    for (; level < PUSH_LEVELS && own_range(node, level).count > 0; level++) {
        state->populated[level] = 0;
        state->speaking[level] = 0;
        for (unsigned k = 0; k < 3; k++) {
            const struct peer_range range = bucket_range(node, level, k);

            if (range.count > 0) {
                state->populated[level] |= (uint8_t)(1u << k);
            }
            if (range_speaks(node, range)) {
                state->speaking[level] |= (uint8_t)(1u << k);
                state->speakers = true;
            }
        }
    }
    state->shape_levels = level;
}

static bool buckets_grow(struct node *node, uint32_t levels)
{
    struct push *state = node->push;
    struct bucket *buckets;

    if (levels <= state->levels) {
        return true;
    }
    buckets = mem_grow(node->mem, state->buckets, state->levels * 3 * sizeof *buckets,
                       levels * 3 * sizeof *buckets);
    if (buckets == NULL) {
        return false;
    }
    memset(&buckets[state->levels * 3], 0, (levels - state->levels) * 3 * sizeof *buckets);
    state->buckets = buckets;
    state->levels = levels;
    return true;
}

static bool bucket_empty(const struct bucket *bucket)
{
    return marks_empty(&bucket->waiting[TABLE_MEMBERS])
           && marks_empty(&bucket->waiting[TABLE_DATA]);
}

static void bucket_clear(struct bucket *bucket, struct mem *mem)
{
    marks_clear(&bucket->waiting[TABLE_MEMBERS], mem);
    marks_clear(&bucket->waiting[TABLE_DATA], mem);
}

/* A bucket that has been quiet for a batch delay sends at once; a busy one once a delay. */
static void bucket_add(struct node *node, struct moment now, struct bucket *bucket,
                       struct entry *entry, const struct mark *mark, uint8_t ttl)
{
    if (bucket_empty(bucket)) {
        const uint64_t due_us =
            bucket->left_us == 0 ? 0 : bucket->left_us + node->options.batch_delay_us;

        bucket->due_us = due_us > now.mono_us ? due_us : now.mono_us;
        bucket->ttl = 0;
    }
    if (!marks_add(&bucket->waiting[entry_set(entry)], node->mem, entry, mark)) {
        node->stats.memory_refused++;
    }
    bucket->ttl = ttl > bucket->ttl ? ttl : bucket->ttl;
    bucket->blocked = false;
}

static void range_cover_plain(struct node *node, struct moment now, struct peer_range range,
                              const struct marked *marked, uint8_t ttl)
{
    work_count(node, range.count);
    for (uint32_t i = 0; i < range.count; i++) {
        struct peer *peer = peers_member(node->peers, range.first + i);

        plain_queue(node, now, peer, marked->entry, &marked->mark, ttl);
    }
}

/* What was passed on: the block's marked elements with their present values. A value that rises
 * makes another hash, so nothing newer ever counts as handled. */
static uint64_t handled_hash(const struct node *node, const struct entry *entry,
                             const struct mark *mark)
{
    const struct vector *vector = entry_vector(entry);
    const uint64_t key_hash = entry_hash(node->table, entry);
    const size_t position = vector_seek(vector, mark->number);
    uint64_t hash =
        hash_mix(key_hash, mark->number) + digest_generation(key_hash, entry_generation(entry));
    struct block_room room;
    struct block block;

    if (position == vector_blocks(vector)) {
        return hash;
    }
    block = vector_block(vector, position, &room);
    if (block.number != mark->number) {
        return hash;
    }
    for (unsigned o = mark_next(mark, 0); o < BLOCK_ELEMENTS; o = mark_next(mark, o + 1)) {
        hash += digest_element(key_hash, mark->number << 8 | o, block_get(&block, o));
    }
    return hash;
}

/* The subtree that a datagram came from already has it; where it is nobody but its sender, sending
 * it back would be an echo. */
static bool is_echo(const struct node *node, unsigned level, unsigned sibling,
                    const struct peer *from)
{
    struct peer_range range;

    if (from == NULL || !from->member) {
        return false;
    }
    range = bucket_range(node, level, sibling);
    return range.count == 1 && peers_member(node->peers, range.first) == from;
}

void push_queue(struct node *node, struct moment now, struct entry *entry, const struct mark *mark,
                struct push_route route)
{
    struct push *state;

    if (route.depth == WIRE_DEPTH_STOP || peers_members(node->peers) == 0 || mark_empty(mark)) {
        return;
    }
    state = state_obtain(node);
    if (state == NULL) {
        return;
    }
    work_count(node, 1);
    shape_find(node, now);
    if (!state->speakers) {
        plain_spread(node, now, entry, mark, route.ttl, route.from);
        return;
    }
    if (!buckets_grow(node, state->shape_levels)) {
        node->stats.memory_refused++;
        return;
    }
    /* Data whose hops are used up goes to no plain member from here. Should it come by push too, it
     * has to: that is not handled yet. */
    if (route.ttl > 0 || entry_set(entry) == TABLE_MEMBERS) {
        (void)recent_put(&state->handled, node->mem, handled_hash(node, entry, mark), route.depth,
                         now.mono_us / 1000);
    }
    for (unsigned level = route.depth; level < state->shape_levels; level++) {
        for (unsigned k = 0; k < 3; k++) {
            if ((state->populated[level] >> k & 1) == 0 || is_echo(node, level, k, route.from)) {
                continue;
            }
            if ((state->speaking[level] >> k & 1) != 0) {
                work_count(node, 1);
                bucket_add(node, now, &state->buckets[level * 3 + k], entry, mark, route.ttl);
            } else {
                const struct marked marked = { .entry = entry, .mark = *mark };

                range_cover_plain(node, now, bucket_range(node, level, k), &marked, route.ttl);
            }
        }
    }
}

bool push_handled(struct node *node, struct moment now, const struct entry *entry,
                  const struct mark *mark, uint8_t depth)
{
    const struct push *state = node->push;

    if (state == NULL) {
        return false;
    }
    work_count(node, 1);
    return recent_has(&state->handled, handled_hash(node, entry, mark), depth, now.mono_us / 1000);
}

/* Whom to send to. */

static bool peer_is_avoided(const struct peer *peer, struct moment now)
{
    return peer->avoid_exponent > 0
           && clock_is_ahead(now, peer->avoid_until_ms, AVOID_MS << AVOID_EXPONENT_MAX);
}

static void peer_doubt(struct peer *peer, struct moment now)
{
    peer->avoid_until_ms = clock_ms(now) + ((uint32_t)AVOID_MS << peer->avoid_exponent);
    if (peer->avoid_exponent < AVOID_EXPONENT_MAX) {
        peer->avoid_exponent++;
    }
}

/* A random member of a subtree that may be sent to: one that acked last time, else one that did
 * not. *blocked: there are some, but their windows are full. */
static struct peer *member_choose(struct node *node, struct moment now, struct peer_range range,
                                  /* cppcheck-suppress constParameter ; it is const */
                                  struct peer *const avoid[2], bool *blocked)
{
    struct peer *fallback = NULL;
    uint32_t start;

    *blocked = false;
    if (range.count == 0 || node->options.plain_only) {
        return NULL;
    }
    start = (uint32_t)random_below(&node->random[RANDOM_PUSH], range.count);
    for (uint32_t i = 0; i < range.count; i++) {
        struct peer *peer = peers_member(node->peers, range.first + (start + i) % range.count);

        work_count(node, 1);
        if (peer->level == 0 || peer == avoid[0] || peer == avoid[1]) {
            continue;
        }
        if (!pace_window_allows(peer)) {
            *blocked = true;
            continue;
        }
        if (!peer_is_avoided(peer, now) && node_speaks_extended(node, peer, now)) {
            return peer;
        }
        if (fallback == NULL) {
            fallback = peer;
        }
    }
    return fallback;
}

/* The tag of a flight: its bucket in the low 8 bits, then 24 bits of group. */

static uint64_t tag_make(uint32_t group, uint8_t bucket)
{
    return (uint64_t)group << 8 | bucket;
}

static uint8_t tag_bucket(uint64_t tag)
{
    return (uint8_t)(tag & 255);
}

static uint32_t tag_group(uint64_t tag)
{
    return (uint32_t)(tag >> 8);
}

/* Groups. */

static struct group *group_find(struct node *node, uint32_t group)
{
    struct group *groups = node->push->groups;
    struct group *found;

    if (group == 0 || groups == NULL) {
        return NULL;
    }
    found = &groups[(group & (GROUPS - 1))];
    return (found->generation & 0x7fff) == (group >> 8 & 0x7fff) ? found : NULL;
}

/* 0: none free; then there is only one copy. */
static uint32_t group_begin(struct node *node, struct moment now)
{
    struct push *state = node->push;

    if (state->groups == NULL) {
        state->groups = mem_alloc_zeroed(node->mem, GROUPS * sizeof state->groups[0]);
    }
    for (uint32_t i = 0; state->groups != NULL && i < GROUPS; i++) {
        struct group *group = &state->groups[i];

        if (group->outstanding == 0 || now.mono_us - group->begun_us > GROUP_US) {
            const uint16_t generation = (uint16_t)((group->generation + 1) & 0x7fff);

            *group = (struct group){ .begun_us = now.mono_us,
                                     .generation = generation == 0 ? 1 : generation };
            return (uint32_t)group->generation << 8 | i;
        }
    }
    return 0;
}

static void group_landed(struct group *group)
{
    if (group->outstanding > 0) {
        group->outstanding--;
    }
}

/* Emission. */

/* Encode a datagram to a peer from one or two sets of marks and let it fly. Returns its size. What
 * has ended to that peer alone goes too: it refuses it, and to leave it out would spare no more
 * than its bytes. Its subtree is left to anti-entropy either way. */
static size_t datagram_send(struct node *node, struct moment now, struct space space,
                            struct peer *peer, struct marks *const sets[2], struct flight_plan plan)
{
    const struct envelope envelope = {
        .has = WIRE_HAS_SEQUENCE | WIRE_HAS_DEPTH,
        .sequence = outbox_sequence(node, peer),
        .depth = (uint8_t)(tag_bucket(plan.tag) / 3 + 1),
    };
    struct marks carried = { 0 };
    struct writer writer;
    size_t items = 0;
    size_t size;

    outbox_begin(node, now, peer, &writer, space, &envelope);
    for (unsigned i = 0; i < 2; i++) {
        if (sets[i] != NULL) {
            items += marks_put_items(sets[i], node->table, node->mem, &writer, &carried);
        }
    }
    size = outbox_end(node, now, peer, &writer, NODE_KIND_PUSH);
    node->stats.copies += items;
    plan.due_us = now.mono_us + pace_rto_us(node, peer);
    (void)outbox_fly(node, now, peer, &plan, &carried);
    return size;
}

/* Members came or went since it was queued: only plain ones are left, or none. What the turn's
 * budget leaves over waits for the next one. */
static void bucket_cover_plain(struct node *node, struct moment now, struct peer_range range,
                               struct bucket *bucket)
{
    for (unsigned set = 0; set < TABLE_SET_COUNT; set++) {
        while (!marks_empty(&bucket->waiting[set])) {
            const struct marked marked = *marks_first(&bucket->waiting[set]);

            if (!work_emit_allows(node)) {
                work_cut(node);
                return;
            }
            range_cover_plain(node, now, range, &marked, bucket->ttl);
            marks_remove(&bucket->waiting[set], node->mem, marked.entry, &marked.mark);
        }
    }
}

static size_t bucket_emit(struct node *node, struct moment now, struct space space,
                          struct address *to, unsigned index, bool urgent)
{
    struct bucket *bucket = &node->push->buckets[index];
    const struct peer_range range = bucket_range(node, index / 3, index % 3);
    struct peer *const nobody[2] = { NULL, NULL };
    struct marks *const sets[2] = { &bucket->waiting[TABLE_MEMBERS],
                                    urgent ? NULL : &bucket->waiting[TABLE_DATA] };
    struct peer *peer = member_choose(node, now, range, nobody, &bucket->blocked);
    const struct flight_plan plan = { .kind = FLIGHT_PUSH,
                                      .tag = tag_make(0, (uint8_t)index),
                                      .tries = 1 };

    if (peer == NULL) {
        bucket->blocked_us = now.mono_us;
        if (!bucket->blocked) {
            bucket_cover_plain(node, now, range, bucket);
        }
        return 0;
    }
    bucket->blocked = false;
    bucket->left_us = now.mono_us;
    *to = peer->address;
    return datagram_send(node, now, space, peer, sets, plan);
}

static bool bucket_ready(const struct bucket *bucket, struct moment now, bool urgent)
{
    return bucket->due_us <= now.mono_us && !(bucket->blocked && bucket->blocked_us == now.mono_us)
           && (urgent ? !marks_empty(&bucket->waiting[TABLE_MEMBERS]) : !bucket_empty(bucket));
}

static void retry_free(struct node *node, struct retry *retry)
{
    marks_clear(&retry->marks, node->mem);
    mem_free(node->mem, retry, sizeof *retry);
}

static void retry_unlink(struct push *state, struct retry *before, struct retry *retry)
{
    if (before == NULL) {
        state->retry_first = retry->next;
    } else {
        before->next = retry->next;
    }
    if (state->retry_last == retry) {
        state->retry_last = before;
    }
}

static struct peer *retry_choose(struct node *node, struct moment now, struct retry *retry)
{
    struct peer *const nobody[2] = { NULL, NULL };
    const struct peer_range range = bucket_range(node, retry->bucket / 3, retry->bucket % 3);
    struct bucket *bucket = &node->push->buckets[retry->bucket];
    struct peer *peer;

    if (retry->same != NULL && retry->same->member && retry->same->level > 0) {
        retry->blocked = !pace_window_allows(retry->same);
        return retry->blocked ? NULL : retry->same;
    }
    if (bucket->retries_blocked_us == now.mono_us) {
        retry->blocked = true; /* as one before was: members are looked at once for all of them */
        return NULL;
    }
    peer = member_choose(node, now, range, retry->avoid, &retry->blocked);
    if (peer == NULL && !retry->blocked && retry->group == 0) {
        /* Nobody else is there: the same member once more. */
        peer = member_choose(node, now, range, nobody, &retry->blocked);
    }
    if (retry->blocked && peer == NULL) {
        bucket->retries_blocked_us = now.mono_us;
    }
    return peer;
}

/* What did not fit any more, since values have risen: to the bucket, as if it were new. */
static void bucket_return(struct node *node, struct moment now, struct bucket *bucket,
                          struct marks *marks)
{
    while (!marks_empty(marks)) {
        const struct marked marked = *marks_first(marks);

        bucket_add(node, now, bucket, marked.entry, &marked.mark, PUSH_TTL);
        marks_remove(marks, node->mem, marked.entry, &marked.mark);
    }
    marks_clear(marks, node->mem);
}

/* The marks of the next copy: the last one takes them, those before are made from them. */
static struct marks retry_take(struct node *node, struct retry *retry)
{
    struct marks marks = { 0 };

    if (retry->copies > 1 && marks_add_all(&marks, node->mem, &retry->marks)) {
        retry->copies--;
        return marks;
    }
    marks_clear(&marks, node->mem);
    marks = retry->marks;
    retry->marks = (struct marks){ 0 };
    retry->copies = 0;
    return marks;
}

/* Send one copy of what was not acked. Afterwards the retry is done when it has no copies left. */
static size_t retry_emit(struct node *node, struct moment now, struct space space,
                         struct address *to, struct retry *retry)
{
    struct group *group = group_find(node, retry->group);
    struct marks marks;
    struct marks *const sets[2] = { &marks, NULL };
    struct flight_plan plan = { .kind = FLIGHT_PUSH, .tries = (uint8_t)(retry->tries + 1) };
    struct peer *peer;
    size_t size;

    if (group != NULL && group->acked) {
        retry->copies = 0;
        return 0;
    }
    if (retry->blocked && retry->blocked_us == now.mono_us) {
        return 0;
    }
    peer = retry_choose(node, now, retry);
    if (peer == NULL) {
        retry->blocked_us = now.mono_us;
        retry->copies = retry->blocked ? retry->copies : 0;
        return 0;
    }
    if (retry->copies > 1 && retry->group == 0) {
        retry->group = group_begin(node, now);
        group = group_find(node, retry->group);
        retry->copies = group == NULL ? 1 : retry->copies;
    }
    if (group != NULL) {
        group->outstanding++;
    }
    marks = retry_take(node, retry);
    retry->avoid[1] = peer;
    node->stats.retries++;
    trace_tell(node, TRACE_RETRY, .peer = peer->address, .about = "push", .number = retry->tries);
    *to = peer->address;
    plan.tag = tag_make(retry->group, retry->bucket);
    size = datagram_send(node, now, space, peer, sets, plan);
    bucket_return(node, now, &node->push->buckets[retry->bucket], &marks);
    return size;
}

static bool retry_urgent(const struct retry *retry)
{
    return entry_set(marks_first(&retry->marks)->entry) == TABLE_MEMBERS;
}

static size_t retries_emit(struct node *node, struct moment now, struct space space,
                           struct address *to, bool urgent)
{
    struct push *state = node->push;
    struct retry *before = NULL;
    struct retry *retry = state->retry_first;
    size_t size = 0;

    while (retry != NULL && size == 0) {
        struct retry *next = retry->next;

        work_count(node, 1);
        if (!marks_empty(&retry->marks) && (!urgent || retry_urgent(retry))) {
            size = retry_emit(node, now, space, to, retry);
        }
        if (retry->copies == 0 || marks_empty(&retry->marks)) {
            retry_unlink(state, before, retry);
            retry_free(node, retry);
        } else {
            before = retry;
        }
        retry = next;
    }
    return size;
}

static bool anything_ready(const struct push *state, struct moment now, bool urgent)
{
    if (state->retry_first != NULL) {
        return true;
    }
    for (uint32_t i = 0; i < state->levels * 3; i++) {
        if (bucket_ready(&state->buckets[i], now, urgent)) {
            return true;
        }
    }
    return false;
}

size_t push_emit(struct node *node, struct moment now, struct space space, struct address *to,
                 bool urgent)
{
    struct push *state = node->push;
    size_t size;

    if (state == NULL || !anything_ready(state, now, urgent)) {
        return 0;
    }
    size = retries_emit(node, now, space, to, urgent);
    for (uint32_t i = 0; i < state->levels * 3 && size == 0; i++) {
        const uint32_t index = (state->next + i) % (state->levels * 3);

        if (bucket_ready(&state->buckets[index], now, urgent)) {
            size = bucket_emit(node, now, space, to, index, urgent);
            state->next = index + 1;
        }
    }
    return size;
}

void push_acked(struct node *node, struct moment now, const struct flight *flight)
{
    struct group *group = group_find(node, tag_group(flight->tag));

    (void)now;
    flight->peer->avoid_exponent = 0;
    if (group != NULL) {
        group->acked = true;
        group_landed(group);
    }
}

/* Whether a loss leaves the content without any copy that is acked or may still be. */
static bool group_lost(struct node *node, const struct flight *flight)
{
    struct group *group = group_find(node, tag_group(flight->tag));

    if (group == NULL) {
        return true;
    }
    group_landed(group);
    return !group->acked && group->outstanding == 0;
}

/* A member heard lately lost a datagram: once more to the same, which will know it if it was the
 * ack that was lost. Any other may be dead: to another of the subtree, later to two at once, so
 * that a chain of dead ones costs little time. */
bool push_lost(struct node *node, struct moment now, struct flight *flight)
{
    struct push *state = node->push;
    const bool heard_lately = now.mono_us - flight->peer->heard_us < HEARD_LATELY_US;
    struct retry *retry;

    peer_doubt(flight->peer, now);
    if (!group_lost(node, flight) || marks_empty(&flight->carried)) {
        return !heard_lately;
    }
    retry = flight->tries >= PUSH_TRIES ? NULL : mem_alloc_zeroed(node->mem, sizeof *retry);
    if (retry == NULL) {
        node->stats.abandoned++;
        trace_tell(node, TRACE_ABANDONED, .peer = flight->peer->address, .about = "push",
                   .number = flight->tries);
        return !heard_lately;
    }
    retry->marks = flight->carried;
    flight->carried = (struct marks){ 0 };
    retry->same = heard_lately && flight->tries == 1 ? flight->peer : NULL;
    retry->avoid[0] = flight->peer;
    retry->bucket = tag_bucket(flight->tag);
    retry->tries = flight->tries;
    retry->copies = flight->tries > 1 ? 2 : 1;
    if (state->retry_last == NULL) {
        state->retry_first = retry;
    } else {
        state->retry_last->next = retry;
    }
    state->retry_last = retry;
    return !heard_lately;
}

void push_tick(struct node *node, struct moment now)
{
    struct push *state = node->push;

    if (state != NULL) {
        recent_tick(&state->handled, node->mem, now.mono_us / 1000);
    }
}

/* What is blocked by windows has no time of its own: an ack or a loss brings the next turn. */
uint64_t push_due_us(const struct node *node)
{
    const struct push *state = node->push;
    uint64_t due_us = UINT64_MAX;

    if (state == NULL) {
        return due_us;
    }
    for (uint32_t i = 0; i < state->levels * 3; i++) {
        const struct bucket *bucket = &state->buckets[i];

        if (!bucket_empty(bucket) && !bucket->blocked && bucket->due_us < due_us) {
            due_us = bucket->due_us;
        }
    }
    for (const struct retry *retry = state->retry_first; retry != NULL; retry = retry->next) {
        due_us = retry->blocked ? due_us : 0;
    }
    return due_us;
}

void push_drop_peer(struct node *node, const struct peer *peer)
{
    struct push *state = node->push;

    if (state == NULL) {
        return;
    }
    state->shape_us = UINT64_MAX;
    for (struct retry *retry = state->retry_first; retry != NULL; retry = retry->next) {
        retry->same = retry->same == peer ? NULL : retry->same;
        for (unsigned i = 0; i < 2; i++) {
            retry->avoid[i] = retry->avoid[i] == peer ? NULL : retry->avoid[i];
        }
    }
}

void push_drop_entries(struct node *node, struct drops drops)
{
    struct push *state = node->push;

    if (state == NULL) {
        return;
    }
    for (uint32_t i = 0; i < state->levels * 3; i++) {
        for (unsigned set = 0; set < TABLE_SET_COUNT; set++) {
            work_count(node, 1 + marks_drop(&state->buckets[i].waiting[set], node->mem, drops));
        }
    }
    for (struct retry *retry = state->retry_first; retry != NULL; retry = retry->next) {
        work_count(node, 1 + marks_drop(&retry->marks, node->mem, drops));
    }
}

void push_free(struct node *node)
{
    struct push *state = node->push;

    if (state == NULL) {
        return;
    }
    while (state->retry_first != NULL) {
        struct retry *retry = state->retry_first;

        state->retry_first = retry->next;
        retry_free(node, retry);
    }
    for (uint32_t i = 0; i < state->levels * 3; i++) {
        bucket_clear(&state->buckets[i], node->mem);
    }
    mem_free(node->mem, state->buckets, state->levels * 3 * sizeof state->buckets[0]);
    if (state->groups != NULL) {
        mem_free(node->mem, state->groups, GROUPS * sizeof state->groups[0]);
    }
    recent_clear(&state->handled, node->mem);
    mem_free(node->mem, state, sizeof *state);
}
