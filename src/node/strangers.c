#include "node/bounds.h"
#include "node/claim.h"
#include "node/clock.h"
#include "node/credit.h"
#include "node/join.h"
#include "node/may.h"
#include "node/pace.h"
#include "node/peers.h"
#include "node/state.h"
#include "node/strangers_private.h"
#include "store/pattern.h"

#include <assert.h>
#include <string.h>

#define US_PER_S           UINT64_C(1000000)
#define TOKENS_MAX         ((int64_t)PACE_BURST_BYTES * (int64_t)US_PER_S)
#define CHALLENGE_APART_MS 200u /* of one stranger */
#define TTL_MAX            3    /* of whatever we send */
#define TTL_TELL           1    /* heard, and not passed on */
#define MESSAGE_BYTES      27   /* a plain message without its key and elements */
#define ELEMENT_BYTES      20   /* the largest index and value, and what grows with the first one */

static const uint8_t peers_pattern[] = { 'n', ':', '%' };

/* The table. */

static uint32_t cell_of(const struct node *node, const struct address *address)
{
    return (uint32_t)address_hash(address, node->secret) % STRANGERS_CELLS;
}

static uint32_t net_of(const struct node *node, const struct address *address)
{
    return (uint32_t)(credit_net(node, address) >> 32) % STRANGERS_NETS;
}

static struct stranger *find(const struct node *node, const struct address *address)
{
    struct stranger *stranger = LIST_FIRST(&node->strangers->cells[cell_of(node, address)]);

    while (stranger != NULL && address_compare(&stranger->address, address) != 0) {
        stranger = LIST_NEXT(stranger, cell);
    }
    return stranger;
}

static void wishes_clear(struct node *node, struct stranger *stranger, unsigned wishes)
{
    if (stranger->wishes == 0) {
        return;
    }
    stranger->wishes &= (uint8_t)~wishes;
    if (stranger->wishes == 0) {
        TAILQ_REMOVE(&node->strangers->owed, stranger, owed);
    }
}

static void wish(struct node *node, struct stranger *stranger, unsigned wishes)
{
    if (stranger->wishes == 0) {
        TAILQ_INSERT_TAIL(&node->strangers->owed, stranger, owed);
    }
    stranger->wishes |= (uint8_t)wishes;
}

static void unlink_one(struct node *node, struct stranger *stranger)
{
    struct strangers *strangers = node->strangers;
    const uint32_t net = net_of(node, &stranger->address);

    wishes_clear(node, stranger, stranger->wishes);
    LIST_REMOVE(stranger, cell);
    TAILQ_REMOVE(&strangers->nets[net], stranger, net);
    strangers->nets_count[net]--;
    strangers->count--;
}

static void forget(struct node *node, struct stranger *stranger)
{
    unlink_one(node, stranger);
    mem_free(node->mem, stranger, sizeof *stranger);
}

/* Take the oldest record out of the network that has most. NULL: there is none. */
static struct stranger *evict(struct node *node)
{
    struct strangers *strangers = node->strangers;
    struct stranger *stranger;
    uint32_t fullest = 0;

    for (uint32_t i = 1; i < STRANGERS_NETS; i++) {
        fullest = strangers->nets_count[i] > strangers->nets_count[fullest] ? i : fullest;
    }
    stranger = TAILQ_FIRST(&strangers->nets[fullest]);
    if (stranger != NULL) {
        unlink_one(node, stranger);
    }
    return stranger;
}

/* Find or create, in the place of another one where need be. NULL: no memory for the first one. */
static struct stranger *obtain(struct node *node, const struct address *address)
{
    struct strangers *strangers = node->strangers;
    const uint32_t net = net_of(node, address);
    struct stranger *stranger = find(node, address);

    if (stranger != NULL) {
        TAILQ_REMOVE(&strangers->nets[net], stranger, net);
        TAILQ_INSERT_TAIL(&strangers->nets[net], stranger, net);
        return stranger;
    }
    if (strangers->count < STRANGERS_MAX) {
        stranger = mem_alloc(node->mem, sizeof *stranger);
    }
    if (stranger == NULL) {
        stranger = evict(node);
    }
    if (stranger == NULL) {
        node->stats.memory_refused++;
        return NULL;
    }
    *stranger = (struct stranger){ .address = *address };
    LIST_INSERT_HEAD(&strangers->cells[cell_of(node, address)], stranger, cell);
    TAILQ_INSERT_TAIL(&strangers->nets[net], stranger, net);
    strangers->nets_count[net]++;
    strangers->count++;
    return stranger;
}

bool strangers_create(struct node *node, struct moment now)
{
    struct strangers *strangers = mem_alloc_zeroed(node->mem, sizeof *strangers);

    node->strangers = strangers;
    if (strangers == NULL) {
        return false;
    }
    strangers->tokens = TOKENS_MAX;
    strangers->filled_us = now.mono_us;
    for (uint32_t i = 0; i < STRANGERS_CELLS; i++) {
        LIST_INIT(&strangers->cells[i]);
    }
    for (uint32_t i = 0; i < STRANGERS_NETS; i++) {
        TAILQ_INIT(&strangers->nets[i]);
    }
    TAILQ_INIT(&strangers->owed);
    return true;
}

void strangers_free(struct node *node)
{
    for (uint32_t i = 0; node->strangers != NULL && i < STRANGERS_NETS; i++) {
        struct stranger *stranger;

        while ((stranger = TAILQ_FIRST(&node->strangers->nets[i])) != NULL) {
            forget(node, stranger);
        }
    }
    part_free(node, node->strangers, sizeof *node->strangers);
}

/* What comes. */

static bool has(const struct envelope *envelope, enum wire_field field)
{
    return (envelope->has & field) != 0;
}

/* Who does not name the id of its address does not know where it sends from. */
static bool names_itself(const struct node *node, const struct address *from,
                         const struct envelope *envelope)
{
    return has(envelope, WIRE_HAS_SENDER)
           && envelope->sender_id == (uint32_t)node_peer_id(node, from);
}

bool strangers_echoes(struct node *node, struct moment now, const struct address *from,
                      const struct message *message)
{
    struct stranger *stranger;

    if (!message->extended || !has(&message->envelope, WIRE_HAS_ECHO)
        || !names_itself(node, from, &message->envelope)
        || !node_is_token(node, now, from, message->envelope.echo)) {
        return false;
    }
    stranger = find(node, from);
    if (stranger != NULL) {
        forget(node, stranger);
    }
    return true;
}

/* Two who answer each other's challenges and never echo right would do so for ever. */
static void challenge_owe(struct node *node, struct moment now, struct stranger *stranger)
{
    stranger->extended = true;
    if (stranger->challenged_ms == 0
        || clock_since_ms(now, stranger->challenged_ms) >= CHALLENGE_APART_MS) {
        wish(node, stranger, WISH_CHALLENGE);
    }
}

/* Whatever it wants, it first has to show that it receives what we send. What it says now it will
 * have to say again; that it said something is acked, unless it was something to be stored. */
static void extended_hear(struct node *node, struct moment now, struct stranger *stranger,
                          const struct message *message)
{
    const struct envelope *envelope = &message->envelope;
    struct address about;

    if (!names_itself(node, &stranger->address, envelope)) {
        refused_count(node, presence, &stranger->address, 1);
        return;
    }
    if (message->plain.key.size > 0
        && (!presence_address(message->plain.key, &about)
            || address_compare(&about, &stranger->address) != 0)) {
        refused_count(node, presence, &stranger->address, 1);
    }
    if (has(envelope, WIRE_HAS_TOKEN)) {
        memcpy(stranger->token, envelope->token, sizeof stranger->token);
        stranger->has_token = true;
    }
    if (has(envelope, WIRE_HAS_SEQUENCE) && message->items.left == 0
        && message->probe_target.size == 0) {
        stranger->sequence = envelope->sequence;
        stranger->has_sequence = true;
    }
    challenge_owe(node, now, stranger);
}

/* Presence in a plain message is that of its sender or nothing; one that says it speaks extended is
 * challenged, so that it does. */
static void presence_hear(struct node *node, struct moment now, struct stranger *stranger,
                          const struct address *about, struct elements elements)
{
    struct claim claim;

    (void)claim_read(&claim, elements);
    if (address_compare(about, &stranger->address) != 0) {
        refused_count(node, presence, &stranger->address, 1);
    } else if ((uint8_t)claim.values[PRESENCE_LEVEL] > 0 && !node->options.plain_only) {
        challenge_owe(node, now, stranger);
    }
}

static bool elements_any(struct elements elements)
{
    struct block_room room;
    struct block block;

    return elements_next(&elements, &room, &block);
}

/* Have elements of a key told, all or those of a mark. */
static void answer_owe(struct node *node, struct stranger *stranger, const struct entry *entry,
                       const struct mark *mark)
{
    const struct peer to = { .address = stranger->address };

    if (entry == NULL || entry_set(entry) != TABLE_DATA || !plain_may_get(node, &to, entry)) {
        return;
    }
    stranger->answer_hash = entry_hash(node->table, entry);
    stranger->answer_all = mark == NULL;
    if (mark != NULL) {
        stranger->answer_mark = *mark;
    }
    wish(node, stranger, WISH_ANSWER);
}

/* A search costs much to answer and tells more than came: only the first thing that a prototype
 * asks is answered, with ourselves. */
static void pattern_hear(struct node *node, struct stranger *stranger, struct bytes key)
{
    node->stats.questions++;
    if (key.size == sizeof peers_pattern && memcmp(key.data, peers_pattern, key.size) == 0) {
        if (!stranger->extended) { /* a hello tells that one more */
            wish(node, stranger, WISH_SELF);
        }
    } else {
        refused_count(node, credit, &stranger->address, 1);
    }
}

static void plain_hear(struct node *node, struct moment now, struct stranger *stranger,
                       const struct message *message)
{
    const struct item *item = &message->plain;
    const uint8_t less = message->ttl > 0 ? (uint8_t)(message->ttl - 1) : 0;
    const uint8_t ttl = less < TTL_MAX ? less : TTL_MAX;
    struct address about;

    if (ttl > 0) {
        stranger->ttl = ttl;
    }
    if (pattern_is(item->key)) {
        if (ttl > 0) {
            pattern_hear(node, stranger, item->key);
        }
    } else if (!elements_any(item->elements)) {
        node->stats.questions++;
        if (ttl > 0) {
            answer_owe(node, stranger, table_find(node->table, item->key), NULL);
        }
    } else if (presence_address(item->key, &about)) {
        presence_hear(node, now, stranger, &about, item->elements);
    } else {
        struct mark larger = { .number = 0 };
        const struct entry *entry = join_stranger(node, now, item, ttl, &larger);

        if (ttl > 0 && !mark_empty(&larger)) {
            answer_owe(node, stranger, entry, &larger);
        }
    }
}

void strangers_receive(struct node *node, struct moment now, const struct address *from,
                       const struct message *message, size_t size)
{
    struct stranger *stranger = obtain(node, from);

    if (stranger == NULL) {
        return;
    }
    credit_received(&stranger->credit, size);
    if (message->extended) {
        extended_hear(node, now, stranger, message);
    } else if (message->plain.key.size > 0) {
        plain_hear(node, now, stranger, message);
    }
}

/* What leaves. Each encodes one datagram of at most `room` bytes; 0: it would be larger, or there
 * is nothing to say any more. */

static size_t challenge_put(const struct node *node, struct moment now,
                            const struct stranger *stranger, struct space space, size_t room)
{
    struct envelope envelope = {
        .has = WIRE_HAS_SENDER | WIRE_HAS_TOKEN,
        .sender_id = (uint32_t)node->self_id,
    };
    struct writer writer;
    struct bytes datagram;

    node_token(node, now, &stranger->address, 0, envelope.token);
    if (stranger->has_token) {
        envelope.has |= WIRE_HAS_ECHO;
        memcpy(envelope.echo, stranger->token, sizeof envelope.echo);
    } else {
        /* As large as the answer to it, so that its credit allows that. */
        envelope.has |= WIRE_HAS_WHO | WIRE_HAS_WINDOW;
        envelope.who = (uint32_t)node_peer_id(node, &stranger->address);
        envelope.window = PACE_WINDOW_MAX;
    }
    if (node->options.cluster_id != 0) {
        envelope.has |= WIRE_HAS_CLUSTER;
        envelope.cluster = node->options.cluster_id;
    }
    writer_begin_ordinary(&writer, space, &envelope);
    if (stranger->has_sequence) {
        (void)writer_put_acks(&writer, &stranger->sequence, 1);
    }
    datagram = writer_end(&writer);
    return datagram.size <= room ? datagram.size : 0;
}

/* All marks of one block, or whole blocks as far as they fit. An answer without any element would
 * be a question. */
static size_t answer_put(struct node *node, const struct stranger *stranger, struct space space,
                         size_t room)
{
    const struct entry *entry = table_find_hash(node->table, TABLE_DATA, stranger->answer_hash);
    const struct mark *mark = stranger->answer_all ? NULL : &stranger->answer_mark;
    const struct vector *vector;
    struct block_room unpacked;
    struct writer writer;
    size_t position;
    bool any = false;

    if (entry == NULL || entry_generation(entry) > 0
        || room < MESSAGE_BYTES + entry_key(entry).size + ELEMENT_BYTES) {
        return 0;
    }
    space.size = room < WIRE_PLAIN_BYTES_MAX ? room : WIRE_PLAIN_BYTES_MAX;
    vector = entry_vector(entry);
    position = mark == NULL ? 0 : vector_seek(vector, mark->number);
    writer_begin_plain(&writer, space, entry_key(entry), stranger->ttl, false);
    for (unsigned end = BLOCK_ELEMENTS; end == BLOCK_ELEMENTS && position < vector_blocks(vector);
         position++) {
        const struct block block = vector_block(vector, position, &unpacked);

        if (mark != NULL && block.number != mark->number) {
            break;
        }
        end = writer_put_block(&writer, &block, mark);
        any = any || end > (mark == NULL ? block_offset(&block, 0) : mark_next(mark, 0));
        work_count(node, 1);
    }
    return any ? writer_end(&writer).size : 0;
}

static size_t self_put(const struct node *node, struct moment now, const struct stranger *stranger,
                       struct space space, size_t room)
{
    const struct peer to = { .address = stranger->address }; /* what its clock says is not kept */
    const uint64_t stamp = presence_stamp(now, NULL, &to);
    const uint8_t offset = PRESENCE_STAMP;
    const struct block block = { .values = &stamp, .offsets = &offset, .count = 1, .width = 8 };
    const struct bytes key = entry_key(node->self);
    struct writer writer;

    if (room < MESSAGE_BYTES + key.size + ELEMENT_BYTES || stamp == 0
        || (address_is_ipv4(&stranger->address) && !address_is_ipv4(&node->options.self))) {
        return 0;
    }
    writer_begin_plain(&writer, space, key, TTL_TELL, false);
    (void)writer_put_block(&writer, &block, NULL);
    return writer_end(&writer).size;
}

/* Encode the most urgent of what a stranger is to be told, and take it off. */
static size_t wish_put(struct node *node, struct moment now, struct stranger *stranger,
                       struct space space, enum node_kind *kind)
{
    const struct peer *peer = peers_find(node->peers, &stranger->address);
    size_t room = credit_room(node, now, &stranger->address, &stranger->credit);
    size_t size;

    if (peer != NULL && peer->is_seed && room < CREDIT_FLOOR_BYTES) {
        room = CREDIT_FLOOR_BYTES; /* a person named it: see pace_credit_allows() */
    }

    *kind = NODE_KIND_PLAIN;
    if ((stranger->wishes & WISH_CHALLENGE) != 0) {
        *kind = NODE_KIND_HELLO;
        size = challenge_put(node, now, stranger, space, room);
        stranger->has_token = stranger->has_token && size == 0;
        stranger->challenged_ms = clock_ms(now) == 0 ? 1 : clock_ms(now);
        stranger->has_sequence = false;
        wishes_clear(node, stranger, WISH_CHALLENGE);
    } else if ((stranger->wishes & WISH_ANSWER) != 0) {
        size = answer_put(node, stranger, space, room);
        wishes_clear(node, stranger, WISH_ANSWER);
    } else {
        size = self_put(node, now, stranger, space, room);
        wishes_clear(node, stranger, stranger->wishes);
    }
    refused_count(node, credit, &stranger->address, size == 0);
    return size;
}

/* Their share of the rate. */

static uint64_t share_rate(const struct node *node)
{
    return node->options.bytes_per_second_max / STRANGERS_SHARE + 1;
}

static void share_fill(struct node *node, struct moment now)
{
    struct strangers *strangers = node->strangers;
    const uint64_t rate = share_rate(node);
    uint64_t elapsed_us;

    if (now.mono_us <= strangers->filled_us) {
        return;
    }
    elapsed_us = now.mono_us - strangers->filled_us;
    strangers->filled_us = now.mono_us;
    if (elapsed_us > (uint64_t)(TOKENS_MAX - strangers->tokens) / rate) {
        strangers->tokens = TOKENS_MAX;
    } else {
        strangers->tokens += (int64_t)(elapsed_us * rate);
    }
}

size_t strangers_emit(struct node *node, struct moment now, struct space space, struct address *to)
{
    struct strangers *strangers = node->strangers;
    struct stranger *stranger;

    share_fill(node, now);
    while ((stranger = TAILQ_FIRST(&strangers->owed)) != NULL && strangers->tokens > 0) {
        enum node_kind kind;
        const size_t size = wish_put(node, now, stranger, space, &kind);

        work_count(node, 1);
        if (size > 0) {
            *to = stranger->address;
            credit_spend(node, now, to, &stranger->credit, size);
            strangers->tokens -= (int64_t)(size + NODE_HEADER_BYTES) * (int64_t)US_PER_S;
            pace_charge(node, now, size);
            sent_count(node, to, kind, size);
            return size;
        }
    }
    return 0;
}

uint64_t strangers_due_us(const struct node *node, struct moment now)
{
    const struct strangers *strangers = node->strangers;
    uint64_t due_us = strangers->filled_us;

    if (TAILQ_EMPTY(&strangers->owed)) {
        return UINT64_MAX;
    }
    if (strangers->tokens <= 0) {
        due_us += (uint64_t)-strangers->tokens / share_rate(node) + 1;
    }
    return due_us > now.mono_us ? due_us : now.mono_us;
}

void strangers_audit(const struct node *node)
{
    const struct strangers *strangers = node->strangers;
    const struct stranger *stranger;
    uint32_t count = 0;
    uint32_t wishing = 0;
    uint32_t owed = 0;

    for (uint32_t i = 0; i < STRANGERS_NETS; i++) {
        uint32_t in_net = 0;

        for (stranger = TAILQ_FIRST(&strangers->nets[i]); stranger != NULL;
             stranger = TAILQ_NEXT(stranger, net)) {
            assert(net_of(node, &stranger->address) == i);
            assert(find(node, &stranger->address) == stranger);
            wishing += stranger->wishes != 0;
            in_net++;
        }
        assert(in_net == strangers->nets_count[i]);
        count += in_net;
    }
    for (stranger = TAILQ_FIRST(&strangers->owed); stranger != NULL;
         stranger = TAILQ_NEXT(stranger, owed)) {
        assert(stranger->wishes != 0);
        owed++;
    }
    assert(count == strangers->count && count <= STRANGERS_MAX);
    assert(owed == wishing);
}
