#include "node/plain.h"

#include "node/agenda.h"
#include "node/bounds.h"
#include "node/claim.h"
#include "node/may.h"
#include "node/pace.h"
#include "node/peers.h"
#include "node/queue.h"
#include "node/search.h"
#include "node/state.h"
#include "node/work.h"
#include "store/marks.h"

#include <assert.h>
#include <string.h>

#define US_PER_S UINT64_C(1000000)

#define TTL_MAX         3 /* of whatever we send */
#define TTL_ASK         2 /* the least that gets an answer */
#define TTL_TELL        1 /* heard, and not passed on */
#define SPREAD_ALL      8 /* live plain peers: up to so many all get it, else a few at random */
#define SPREAD_FEW      4
#define SPREAD_DRAWS    64
#define DRAWS_UNIT      8 /* draws in a unit of work */
#define ASK_PEERS       3
#define ASK_US          (US_PER_S / 5) /* 5 questions a second */
#define ASK_BURST       5
#define ANNOUNCE_PEERS  4
#define ANNOUNCE_LOOKED 256 /* members looked at for them in one round */
#define ANNOUNCE_NO_TTL 10  /* times the interval: each one re-arms that peer's timer */
#define REVIVE_US       (5 * US_PER_S)
#define REVIVE_DRAWS    16
#define IDLE_US         (30 * US_PER_S) /* an empty queue is kept, for its pace */
#define STEPS_MAX       4               /* slices of questions in one tick */
#define ELEMENTS_OWN    8               /* of our presence, element 0 included */
#define MARKS_PUT       128 /* looked at for one datagram, which holds about as many pairs */
#define FULL_BLOCKS     256 /* of a key with more blocks only an answer says `full` */

struct plain {
    struct plain_queue *first; /* every queue there is */
    struct plain_queue *last;
    uint64_t asked_us;     /* of the budget of questions for unseen keys: it is full at ... */
    uint64_t announced_us; /* when our presence last went round */
    uint64_t revived_us;   /* when a silent peer was last contacted */
    uint32_t announced;    /* position among the members of who gets it next */
    struct agenda agenda;  /* of the queues that have something to say */
    uint32_t queues;
};

static const uint8_t peers_pattern[] = { 'n', ':', '%' };

/* Queues. */

static void queue_link(struct plain *plain, struct plain_queue *queue)
{
    queue->previous = plain->last;
    queue->next = NULL;
    if (plain->last == NULL) {
        plain->first = queue;
    } else {
        plain->last->next = queue;
    }
    plain->last = queue;
}

static void queue_unlink(struct plain *plain, struct plain_queue *queue)
{
    if (queue->previous == NULL) {
        plain->first = queue->next;
    } else {
        queue->previous->next = queue->next;
    }
    if (queue->next == NULL) {
        plain->last = queue->previous;
    } else {
        queue->next->previous = queue->previous;
    }
}

/* The queue of a peer, created when there is none; NULL: no memory, counted. */
static struct plain_queue *queue_obtain(struct node *node, struct peer *peer)
{
    struct plain_queue *queue = peer->plain;

    if (queue != NULL) {
        return queue;
    }
    queue = agenda_reserve(&node->plain->agenda, node->mem, node->plain->queues + 1)
                ? mem_alloc_zeroed(node->mem, sizeof *queue)
                : NULL;
    if (queue == NULL) {
        node->stats.memory_refused++;
        return NULL;
    }
    queue->peer = peer;
    peer->plain = queue;
    node->plain->queues++;
    queue_link(node->plain, queue);
    return queue;
}

static void queue_free(struct node *node, struct plain_queue *queue)
{
    search_end(node, queue);
    queue_clear(queue, node->mem);
    agenda_set(&node->plain->agenda, queue, UINT64_MAX);
    queue_unlink(node->plain, queue);
    node->plain->queues--;
    queue->peer->plain = NULL;
    mem_free(node->mem, queue, sizeof *queue);
}

static bool queue_idle(const struct plain_queue *queue)
{
    return queue_empty(queue) && queue->search == NULL;
}

/* Something of a queue has changed that its time depends on. */
static void queue_plan(struct node *node, struct plain_queue *queue)
{
    const bool any = !queue_empty(queue) || search_has_answer(queue);

    agenda_set(&node->plain->agenda, queue, any ? queue_due_us(queue) : UINT64_MAX);
}

/* Have a key wait for a peer; no room or memory is counted. */
static void key_queue(struct node *node, struct moment now, struct peer *peer, struct entry *entry,
                      struct queue_part part)
{
    struct plain_queue *queue = part.ttl == 0 ? NULL : queue_obtain(node, peer);

    work_count(node, 1);
    if (queue == NULL) {
        return;
    }
    if (!queue_add(queue, node->mem, now, entry, part)) {
        node->stats.memory_refused++;
    }
    queue_plan(node, queue);
}

static bool is_live_plain(const struct peer *peer)
{
    return peer->level == 0 && peer->state == PEER_ALIVE;
}

void plain_queue(struct node *node, struct moment now, struct peer *peer, struct entry *entry,
                 const struct mark *mark, uint8_t ttl)
{
    if (ttl == 0 || mark_empty(mark) || !plain_may_get(node, peer, entry)) {
        return;
    }
    if (ttl > TTL_MAX) {
        ttl = TTL_MAX;
    }
    if (entry_set(entry) == TABLE_DATA) {
        key_queue(node, now, peer, entry, (struct queue_part){ .mark = mark, .ttl = ttl });
    } else if (mark_has(mark, PRESENCE_STATE) || mark_has(mark, PRESENCE_LEVEL)) {
        key_queue(node, now, peer, entry, (struct queue_part){ .ttl = ttl, .what = QUEUE_STAMP });
    }
}

void plain_queue_all(struct node *node, struct moment now, struct peer *peer, struct entry *entry,
                     uint8_t ttl)
{
    if (vector_size(entry_vector(entry)) > 0 && plain_may_get(node, peer, entry)) {
        key_queue(node, now, peer, entry, (struct queue_part){ .ttl = ttl, .what = QUEUE_ALL });
    }
}

/* Draw live plain members, each once, not `except`. Returns how many were found, at most `most`. */
static unsigned peers_draw(struct node *node, const struct peer *except, struct peer **chosen,
                           unsigned most)
{
    const uint32_t members = peers_members(node->peers);
    unsigned count = 0;

    for (unsigned draws = 0; members > 0 && count < most && draws < SPREAD_DRAWS; draws++) {
        struct peer *peer =
            peers_member(node->peers, (uint32_t)random_below(&node->random[RANDOM_PLAIN], members));
        bool fresh = peer != except && is_live_plain(peer);

        for (unsigned i = 0; i < count; i++) {
            fresh = fresh && chosen[i] != peer;
        }
        if (fresh) {
            chosen[count++] = peer;
        }
    }
    work_count(node, members > 0 ? 1 + SPREAD_DRAWS / DRAWS_UNIT : 0);
    return count;
}

void plain_spread(struct node *node, struct moment now, struct entry *entry,
                  const struct mark *mark, uint8_t ttl, const struct peer *except)
{
    struct peer *chosen[SPREAD_FEW];
    const uint32_t members = peers_members(node->peers);
    unsigned count;

    if (ttl == 0) {
        return;
    }
    if (members <= SPREAD_ALL) {
        for (uint32_t i = 0; i < members; i++) {
            struct peer *peer = peers_member(node->peers, i);

            if (peer != except && is_live_plain(peer)) {
                plain_queue(node, now, peer, entry, mark, ttl);
            }
        }
        return;
    }
    count = peers_draw(node, except, chosen, SPREAD_FEW);
    for (unsigned i = 0; i < count; i++) {
        plain_queue(node, now, chosen[i], entry, mark, ttl);
    }
}

void plain_introduce(struct node *node, struct moment now, struct peer *peer, bool query)
{
    struct plain_queue *queue = queue_obtain(node, peer);

    if (queue == NULL) {
        return;
    }
    if (address_is_ipv4(&node->options.self) || !address_is_ipv4(&peer->address)) {
        key_queue(node, now, peer, node->self,
                  (struct queue_part){ .ttl = TTL_ASK, .what = QUEUE_HELLO });
    }
    if (query && peer->dialect != DIALECT_NO_TTL) {
        queue->asks_peers = true; /* who sends no ttl answers no questions */
        queue_plan(node, queue);
    }
}

void plain_leave(struct node *node, struct moment now, struct peer *peer)
{
    if (address_is_ipv4(&node->options.self) || !address_is_ipv4(&peer->address)) {
        key_queue(node, now, peer, node->self,
                  (struct queue_part){ .ttl = TTL_ASK, .what = QUEUE_LEAVE });
    }
}

/* Questions. */

/* A key that was unseen came in part: ask a few peers for the rest, within the budget. */
void plain_ask(struct node *node, struct moment now, struct entry *entry)
{
    struct plain *plain = node->plain;
    const uint64_t burst_us = (ASK_BURST - 1) * ASK_US;
    struct peer *chosen[ASK_PEERS];
    unsigned count;
    bool any = false;

    if (plain->asked_us > now.mono_us + burst_us) {
        return;
    }
    count = peers_draw(node, NULL, chosen, ASK_PEERS);
    for (unsigned i = 0; i < count; i++) {
        if (plain_may_get(node, chosen[i], entry)) {
            key_queue(node, now, chosen[i], entry,
                      (struct queue_part){ .ttl = TTL_ASK, .what = QUEUE_ASK });
            any = true;
        }
    }
    if (any) {
        plain->asked_us = (plain->asked_us > now.mono_us ? plain->asked_us : now.mono_us) + ASK_US;
    }
}

/* All we have of a key. */
void plain_answer(struct node *node, struct moment now, struct peer *to, struct bytes key,
                  uint8_t ttl)
{
    struct entry *entry = table_find(node->table, key);

    node->stats.questions++;
    if (ttl == 0 || entry == NULL || !plain_may_get(node, to, entry)) {
        return;
    }
    if (entry_set(entry) == TABLE_MEMBERS) {
        key_queue(node, now, to, entry, (struct queue_part){ .ttl = ttl, .what = QUEUE_STAMP });
        return;
    }
    plain_queue_all(node, now, to, entry, ttl);
}

/* One question a source, the newest. A node of our kind asks when it begins, before it has heard of
 * what kind we are: what it wants to know anti-entropy tells it in a fraction of the bytes. */
void plain_search(struct node *node, struct moment now, struct peer *from, const struct item *item,
                  uint8_t ttl)
{
    struct plain_queue *queue = ttl == 0 || from->level > 0 ? NULL : queue_obtain(node, from);

    node->stats.questions++;
    if (queue != NULL) {
        search_begin(node, now, queue, item, ttl);
    }
}

/* What leaves. */

static void values_put(struct writer *writer, const uint64_t *values)
{
    uint64_t packed[ELEMENTS_OWN];
    uint8_t offsets[ELEMENTS_OWN];
    struct block block = { .values = packed, .offsets = offsets, .width = 8 };

    for (unsigned i = 0; i < ELEMENTS_OWN; i++) {
        if (values[i] != 0) {
            /* cppcheck-suppress unreadVariable ; by way of the block it is */
            packed[block.count] = values[i];
            /* cppcheck-suppress unreadVariable */
            offsets[block.count] = (uint8_t)i;
            block.count++;
        }
    }
    if (block.count > 0) {
        const unsigned end = writer_put_block(writer, &block, NULL);

        assert(end == BLOCK_ELEMENTS); /* the longest key leaves room for so many */
    }
}

/* Encode what is to be said of a presence key. 0: nothing may be said any more. */
static size_t presence_put(struct node *node, struct moment now, struct space space,
                           const struct peer *to, const struct queue_key *key)
{
    const struct vector *vector = entry_vector(key->entry);
    const bool ours = key->entry == node->self;
    const bool whole = ours && (key->what & QUEUE_HELLO) != 0;
    uint64_t values[ELEMENTS_OWN] = { 0 };
    struct address address;
    struct writer writer;
    bool any = false;

    if (!ours && !plain_may_get(node, to, key->entry)) {
        return 0;
    }
    for (unsigned i = PRESENCE_LEVEL; i < ELEMENTS_OWN; i++) {
        const bool parting = i == PRESENCE_STATE || i == PRESENCE_SINCE;

        if (whole || (ours && parting && (key->what & QUEUE_LEAVE) != 0)) {
            values[i] = vector_get(vector, i);
        }
    }
    if (ours) {
        values[PRESENCE_STAMP] = presence_stamp(now, NULL, to);
    } else if (presence_address(entry_key(key->entry), &address)) {
        const struct peer *peer = peers_find(node->peers, &address);

        values[PRESENCE_STAMP] = peer == NULL ? 0 : presence_stamp(now, peer, to);
    }
    for (unsigned i = 0; i < ELEMENTS_OWN; i++) {
        any = any || values[i] != 0;
    }
    if (!any) {
        return 0;
    }
    writer_begin_plain(&writer, space, entry_key(key->entry), key->ttl, whole);
    values_put(&writer, values);
    return writer_end(&writer).size;
}

/* Whether the marks are all there is of the key; once so, it stays so while it is being said. */
static void key_judge_full(struct node *node, struct queue_key *key)
{
    const struct vector *vector = entry_vector(key->entry);
    const struct marks *marks = &key->marks;

    if ((key->what & QUEUE_ALL) != 0 && key->at == 0 && key->offset == 0) {
        key->what |= QUEUE_FULL;
        return;
    }
    if (marks->count != vector_blocks(vector) || marks->count > FULL_BLOCKS) {
        return;
    }
    work_count(node, marks->count);
    if (marks_elements(marks) == vector_size(vector)) {
        key->what |= QUEUE_FULL;
    }
}

/* Put as many of a key's marks as fit; those leave it. Returns whether any were put. */
static bool marks_put(struct node *node, struct writer *writer, struct queue_key *key)
{
    const struct vector *vector = entry_vector(key->entry);
    struct mark window[MARKS_PUT];
    const size_t count = marks_window(&key->marks, window, MARKS_PUT);
    bool more = true;
    bool any = false;

    for (size_t i = 0; i < count && more; i++) {
        const size_t position = vector_seek(vector, window[i].number);
        struct block_room room;
        unsigned end = BLOCK_ELEMENTS;
        struct block block;
        struct mark put;

        work_count(node, 1);
        if (position < vector_blocks(vector)) {
            block = vector_block(vector, position, &room);
            if (block.number == window[i].number) {
                end = writer_put_block(writer, &block, &window[i]);
                any = any || end > mark_next(&window[i], 0);
            }
        }
        more = end == BLOCK_ELEMENTS;
        put = marks_below(&window[i], end);
        marks_remove(&key->marks, node->mem, key->entry, &put);
    }
    return any;
}

/* Put the next part of a whole key. Returns whether any was put. */
static bool all_put(struct node *node, struct writer *writer, struct queue_key *key)
{
    const struct vector *vector = entry_vector(key->entry);
    const size_t blocks = vector_blocks(vector);
    bool any = false;

    for (size_t position = vector_seek(vector, key->at); position < blocks; position++) {
        struct block_room room;
        const struct block block = vector_block(vector, position, &room);
        struct mark mark = block_mark(&block);
        unsigned end;

        work_count(node, 1);
        if (block.number == key->at) {
            const struct mark said = marks_below(&mark, key->offset);

            mark_and_not(&mark, &said);
        }
        if (mark_empty(&mark)) {
            continue;
        }
        end = writer_put_block(writer, &block, &mark);
        any = any || end > mark_next(&mark, 0);
        key->at = block.number;
        key->offset = (uint16_t)end;
        if (end < BLOCK_ELEMENTS) {
            return any;
        }
    }
    key->what &= (uint8_t) ~(unsigned)QUEUE_ALL;
    return any;
}

/* Encode the next part of a key's elements: marks, or where there are none, all of it. 0: there
 * turned out to be none. */
static size_t elements_put(struct node *node, struct space space, struct queue_key *key)
{
    struct writer writer;
    bool any;

    key_judge_full(node, key);
    writer_begin_plain(&writer, space, entry_key(key->entry), key->ttl,
                       (key->what & QUEUE_FULL) != 0);
    any = marks_empty(&key->marks) ? all_put(node, &writer, key) : marks_put(node, &writer, key);
    return any ? writer_end(&writer).size : 0;
}

static size_t question_put(struct space space, struct bytes key)
{
    struct writer writer;

    writer_begin_plain(&writer, space, key, TTL_ASK, false);
    return writer_end(&writer).size;
}

/* Encode one datagram of the key whose turn it is. 0: it turned out to need none, and is gone. */
static size_t key_put(struct node *node, struct moment now, struct plain_queue *queue,
                      struct space space)
{
    struct queue_key *key = queue_next(queue, now);
    size_t size = 0;

    work_count(node, queue_next_work(queue));
    if (entry_ended(node->table, key->entry) || entry_dropped(key->entry)) {
        queue_remove(queue, node->mem, key);
        return 0;
    }
    if (entry_set(key->entry) == TABLE_MEMBERS && (key->what & ~(unsigned)QUEUE_ASK) != 0) {
        size = presence_put(node, now, space, queue->peer, key);
        key->what &= QUEUE_ASK;
    } else if (!marks_empty(&key->marks) || (key->what & QUEUE_ALL) != 0) {
        size = elements_put(node, space, key);
    } else if ((key->what & QUEUE_ASK) != 0) {
        size = question_put(space, entry_key(key->entry));
        key->what &= (uint8_t) ~(unsigned)QUEUE_ASK;
    }
    if (marks_empty(&key->marks) && (key->what & (QUEUE_ASK | QUEUE_ALL)) == 0) {
        queue_remove(queue, node->mem, key);
    }
    return size;
}

/* Encode one datagram for a peer: our presence before the question that depends on it. */
static size_t datagram_put(struct node *node, struct moment now, struct plain_queue *queue,
                           struct space space)
{
    size_t size = 0;

    while (size == 0 && queue->count > 0) {
        size = key_put(node, now, queue, space);
    }
    if (size == 0 && queue->asks_peers) {
        queue->asks_peers = false;
        size = question_put(space, (struct bytes){ peers_pattern, sizeof peers_pattern });
    }
    if (size == 0 && search_has_answer(queue)) {
        size = search_put(node, now, queue, space);
    }
    return size;
}

/* What the next datagram may be as large as: first words are small. */
static size_t size_most(const struct node *node, struct plain_queue *queue, struct moment now)
{
    const bool first_words =
        queue->count == 0 ? queue->asks_peers : queue_next(queue, now)->entry == node->self;

    return first_words ? CREDIT_FLOOR_BYTES : WIRE_PLAIN_BYTES_MAX;
}

/* There is no credit for what is next: it is forgotten, so that it keeps no first words back. */
static void next_refuse(struct node *node, struct plain_queue *queue, struct moment now)
{
    if (queue->count > 0) {
        queue_remove(queue, node->mem, queue_next(queue, now));
    } else if (queue->asks_peers) {
        queue->asks_peers = false;
    } else {
        search_end(node, queue);
    }
}

size_t plain_emit(struct node *node, struct moment now, struct space space, struct address *to)
{
    struct agenda *agenda = &node->plain->agenda;
    struct plain_queue *queue;

    while ((queue = agenda_first(agenda)) != NULL && queue->due_us <= now.mono_us) {
        struct peer *peer = queue->peer;
        size_t size;

        if (!work_emit_allows(node)) {
            work_cut(node);
            return 0;
        }
        work_count(node, queue_next_work(queue));
        if (queue_due_us(queue) > now.mono_us) {
            queue_plan(node, queue); /* its peer's dialect has changed */
            continue;
        }
        if (!pace_credit_allows(node, peer, size_most(node, queue, now))) {
            next_refuse(node, queue, now);
            queue_plan(node, queue);
            continue;
        }
        size = datagram_put(node, now, queue, space);
        if (size == 0) {
            agenda_set(agenda, queue, UINT64_MAX);
            continue;
        }
        queue_sent(queue, now);
        queue_plan(node, queue);
        pace_sent(node, now, peer, size);
        sent_count(node, &peer->address, NODE_KIND_PLAIN, size);
        *to = peer->address;
        return size;
    }
    return 0;
}

/* Time. */

/* Our presence to some plain peers, each in turn. */
static void announce(struct node *node, struct moment now)
{
    struct plain *plain = node->plain;
    const uint64_t interval_us = node->options.announce_interval_us;
    const uint32_t members = peers_members(node->peers);
    unsigned told = 0;

    for (uint32_t i = 0; i < members && i < ANNOUNCE_LOOKED && told < ANNOUNCE_PEERS; i++) {
        struct plain_queue *queue;
        struct peer *peer;
        uint64_t due_us;

        plain->announced = plain->announced + 1 < members ? plain->announced + 1 : 0;
        peer = peers_member(node->peers, plain->announced);
        if (!is_live_plain(peer) || !plain_may_get(node, peer, node->self)) {
            continue;
        }
        queue = queue_obtain(node, peer);
        if (queue == NULL) {
            return;
        }
        due_us = queue->announced_us
                 + interval_us * (peer->dialect == DIALECT_NO_TTL ? ANNOUNCE_NO_TTL : 1);
        if (queue->announced_us == 0 || now.mono_us >= due_us) {
            queue->announced_us = now.mono_us;
            key_queue(node, now, peer, node->self,
                      (struct queue_part){ .ttl = TTL_TELL, .what = QUEUE_STAMP });
            told++;
        }
    }
}

/* Contact one silent peer: a partition that heals is noticed by somebody. */
static void revive(struct node *node, struct moment now)
{
    for (unsigned i = 0; i < REVIVE_DRAWS && peers_in_state(node->peers, PEER_SILENT) > 0; i++) {
        struct peer *peer =
            peers_at(node->peers,
                     (uint32_t)random_below(&node->random[RANDOM_PLAIN], peers_count(node->peers)));

        if (peer->state == PEER_SILENT) {
            plain_introduce(node, now, peer, true);
            return;
        }
    }
}

/* Free queues that have nothing and whose pace is history. */
static void queues_sweep(struct node *node, struct moment now)
{
    struct plain_queue *next;

    for (struct plain_queue *queue = node->plain->first; queue != NULL; queue = next) {
        next = queue->next;
        work_count(node, 1);
        if (queue_idle(queue) && now.mono_us > queue->sent_us + IDLE_US
            && now.mono_us
                   > queue->announced_us + ANNOUNCE_NO_TTL * node->options.announce_interval_us) {
            queue_free(node, queue);
        }
    }
}

/* The next slices of some questions; who had one goes to the end. */
static void searches_step(struct node *node, struct moment now)
{
    unsigned steps = 0;
    uint32_t left = searches_count(node);

    for (uint32_t i = 0; left > 0 && i < searches_count(node) && steps < STEPS_MAX
                         && (steps == 0 || work_allows(node));
         left--) {
        struct plain_queue *queue = searches_at(node, i);

        work_count(node, 1);
        if (search_is_over(queue, now)) {
            search_end(node, queue);
            queue_plan(node, queue);
            continue;
        }
        if (search_due_us(queue) > now.mono_us) {
            i++;
            continue;
        }
        search_step(node, now, queue);
        queue_plan(node, queue);
        steps++;
        if (queue->search != NULL) {
            search_last(node, queue);
        }
    }
}

void plain_tick(struct node *node, struct moment now)
{
    struct plain *plain = node->plain;

    searches_step(node, now);
    if (node->leaving) {
        return;
    }
    if (now.mono_us >= plain->announced_us + node->options.announce_interval_us) {
        plain->announced_us = now.mono_us;
        announce(node, now);
        queues_sweep(node, now);
    }
    if (now.mono_us >= plain->revived_us + REVIVE_US) {
        plain->revived_us = now.mono_us;
        revive(node, now);
    }
}

uint64_t plain_due_us(const struct node *node)
{
    const struct plain *plain = node->plain;
    const struct plain_queue *first = agenda_first(&plain->agenda);
    uint64_t due_us = UINT64_MAX;

    if (peers_count(node->peers) > 0 && !node->leaving) {
        due_us = plain->announced_us + node->options.announce_interval_us;
        if (peers_in_state(node->peers, PEER_SILENT) > 0
            && plain->revived_us + REVIVE_US < due_us) {
            due_us = plain->revived_us + REVIVE_US;
        }
    }
    for (uint32_t i = 0; i < searches_count(node); i++) {
        const uint64_t search_us = search_due_us(searches_at(node, i));

        due_us = search_us < due_us ? search_us : due_us;
    }
    if (first != NULL && first->due_us < due_us) {
        due_us = first->due_us;
    }
    return due_us;
}

void plain_drop_peer(struct node *node, struct peer *peer)
{
    if (peer->plain != NULL) {
        queue_free(node, peer->plain);
    }
}

void plain_drop_entries(struct node *node, struct drops drops)
{
    for (struct plain_queue *queue = node->plain->first; queue != NULL; queue = queue->next) {
        const uint32_t count = queue->count;

        work_count(node, 1 + queue_drop(queue, node->mem, drops));
        if (queue->count < count) {
            queue_plan(node, queue);
        }
    }
}

uint32_t plain_queues(const struct node *node)
{
    return node->plain->queues;
}

bool plain_create(struct node *node)
{
    node->plain = mem_alloc_zeroed(node->mem, sizeof *node->plain);
    return node->plain != NULL && searches_create(node);
}

void plain_free(struct node *node)
{
    if (node->plain == NULL) {
        return;
    }
    while (node->plain->first != NULL) {
        queue_free(node, node->plain->first);
    }
    agenda_clear(&node->plain->agenda, node->mem);
    searches_free(node);
    part_free(node, node->plain, sizeof *node->plain);
}
