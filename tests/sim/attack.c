#include "sim/attack.h"

#include "base/random.h"
#include "node/claim.h"
#include "node/state.h"
#include "store/digest.h"
#include "wire/writer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/draw.h"
#include "sim/frame.h"
#include "sim/world.h"

#define PURPOSE_ATTACK 601

#define HOSTS        64   /* of which the first few answer probes */
#define HONEST       3    /* so many: they are members like others, and say what they like */
#define FORGED       3000 /* addresses */
#define OWNED        1000
#define FAKES        30
#define OVERHEARD    256
#define PORTS        17 /* that tell a clock */
#define WIDE         "wide"
#define FAR_S        UINT64_C(5990000000) /* in 2159: clocks up to 2160 are believed */
#define BIG_SELDOM   16
#define WANTS_SELDOM 4
#define BIG_ELEMENTS 3600 /* of 18 bytes at most: a datagram of 65 kB */

const char *const attack_names[] = {
    "forged-plain", "forged-hello", "hosts",  "hearsay", "questions", "slander",
    "plain-member", "level",        "clocks", "far",     "instance",  "replayed",
    "reflection",   "acks",         "wants",  "blocks",  "wide",      "stars",
    "elements",     "probes",       "fakes",  NULL
};

/* A host of its own that speaks the extended level. */
struct host {
    struct address address;
    uint64_t start_s;
    uint64_t incarnation;
    uint32_t sequence;
    bool probed; /* it answers */
};

struct overheard {
    struct address from;
    struct address to;
    size_t size;
    uint8_t data[WIRE_EXTENDED_BYTES_MAX];
};

struct attack {
    struct world *world;
    struct random random;
    uint32_t machine;
    struct host hosts[HOSTS + PORTS];
    struct overheard overheard[OVERHEARD];
    size_t overheard_count;
    uint8_t (*tokens)[WIRE_TOKEN_BYTES]; /* host, node */
    bool *has_token;
    unsigned asked; /* a number for the next name */
    uint8_t buffer[WIRE_DATAGRAM_BYTES_MAX];
};

/* Addresses. */

static struct address address_of(unsigned a, unsigned b, uint64_t host, uint64_t port)
{
    return (struct address){
        .ip = { [10] = 0xff,
                [11] = 0xff,
                [12] = (uint8_t)a,
                [13] = (uint8_t)b,
                [14] = (uint8_t)(host >> 8),
                [15] = (uint8_t)host },
        .port = (uint16_t)port,
    };
}

static uint64_t below(struct attack *attack, uint64_t limit)
{
    return random_below(&attack->random, limit);
}

/* Thousands, and each more than once. */
static struct address forged_address(struct attack *attack)
{
    const uint64_t host = below(attack, FORGED);

    return address_of(172, 17, host * 16, 1024 + host);
}

static struct address owned_address(struct attack *attack)
{
    const uint64_t host = below(attack, OWNED);

    return address_of(172, 16, 0x8000 | host * 8, 1024 + host);
}

static struct address bystander_address(struct attack *attack)
{
    return address_of(192, 0, 0x0200 | below(attack, 256), 1024 + below(attack, 60000));
}

static uint32_t some_node(struct attack *attack)
{
    return (uint32_t)below(attack, attack->world->options.nodes);
}

/* One that lives: who speaks for the dead under their own address is beyond any detector. */
static uint32_t some_victim(struct attack *attack)
{
    uint32_t node;

    do {
        node = some_node(attack);
    } while (!attack->world->machines[node].up);
    return node;
}

static const struct address *node_address(const struct attack *attack, uint32_t node)
{
    return &attack->world->machines[node].address;
}

static uint64_t now_s(const struct attack *attack)
{
    return attack->world->options.unix_s + attack->world->now_us / WORLD_S
           + (uint64_t)attack->world->options.unix_shift_s;
}

static uint64_t id_of(const struct attack *attack, const struct address *address)
{
    uint8_t key[NODE_PRESENCE_KEY_MAX];

    return digest_key_hash(attack->world->options.node.cluster_id, node_presence_key(address, key));
}

/* Sending. */

static void send_as(struct attack *attack, const struct address *from, uint32_t node,
                    struct bytes datagram)
{
    if (datagram.size > 0) {
        world_inject(attack->world, attack->machine, from, node_address(attack, node), datagram);
    }
}

static struct space room_of(struct attack *attack)
{
    return (struct space){ attack->buffer, WIRE_EXTENDED_BYTES_MAX };
}

struct words {
    uint64_t values[16];
    uint8_t offsets[16];
    unsigned count;
};

static void word_add(struct words *words, uint8_t offset, uint64_t value)
{
    assert(words->count < 16);
    words->offsets[words->count] = offset;
    words->values[words->count++] = value;
}

/* Words ascend by offset. */
static struct block words_block(const struct words *words)
{
    return (struct block){ .values = words->values,
                           .offsets = words->offsets,
                           .count = (uint16_t)words->count,
                           .width = 8 };
}

static struct bytes named(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

static void say_plain(struct attack *attack, const struct address *from, uint32_t to,
                      struct bytes key, const struct words *words)
{
    struct writer writer;
    struct block block;

    writer_begin_plain(&writer, (struct space){ attack->buffer, WIRE_PLAIN_BYTES_MAX }, key,
                       (uint8_t)below(attack, 51), below(attack, 2) == 0);
    if (words != NULL && words->count > 0) {
        block = words_block(words);
        (void)writer_put_block(&writer, &block, NULL);
    }
    send_as(attack, from, to, writer_end(&writer));
}

static uint8_t *token_of(const struct attack *attack, const struct host *host, uint32_t node,
                         bool **has)
{
    const size_t at = (size_t)(host - attack->hosts) * attack->world->options.nodes + node;

    *has = &attack->has_token[at];
    return attack->tokens[at];
}

/* Who a host is, and that it receives where it sends from. */
static struct envelope host_envelope(const struct attack *attack, struct host *host, uint32_t node)
{
    struct envelope envelope = { .has = WIRE_HAS_SENDER | WIRE_HAS_TOKEN,
                                 .sender_id = (uint32_t)id_of(attack, &host->address),
                                 .token = { 1, 2, 3, 4, 5, 6 } };
    bool *has;
    const uint8_t *token = token_of(attack, host, node, &has);

    if (*has) {
        envelope.has |= WIRE_HAS_ECHO;
        memcpy(envelope.echo, token, sizeof envelope.echo);
        envelope.has |= WIRE_HAS_CLOCK;
        envelope.clock_s = host->probed ? (uint32_t)now_s(attack) : UINT32_MAX;
    }
    return envelope;
}

static struct words host_words(const struct host *host)
{
    struct words words = { .count = 0 };

    word_add(&words, PRESENCE_LEVEL, host->start_s << 16 | PRESENCE_PROTOCOL_LEVEL);
    word_add(&words, PRESENCE_STATE, host->incarnation << 2 | WORD_ALIVE);
    word_add(&words, PRESENCE_INSTANCE, host->start_s << 16 | 7);
    return words;
}

static void say_hello(struct attack *attack, struct host *host, uint32_t to)
{
    struct envelope envelope = host_envelope(attack, host, to);
    const struct words words = host_words(host);
    const struct block block = words_block(&words);
    uint8_t key[NODE_PRESENCE_KEY_MAX];
    struct writer writer;

    writer_begin_hello(&writer, room_of(attack), node_presence_key(&host->address, key));
    (void)writer_put_block(&writer, &block, NULL);
    writer_begin_x(&writer, &envelope);
    send_as(attack, &host->address, to, writer_end(&writer));
}

static void host_begin(struct attack *attack, struct host *host, uint32_t to, bool acked,
                       struct writer *writer)
{
    struct envelope envelope = host_envelope(attack, host, to);

    if (acked) {
        envelope.has |= WIRE_HAS_SEQUENCE;
        envelope.sequence = ++host->sequence;
    }
    envelope.has |= WIRE_HAS_DEPTH;
    envelope.depth = (uint8_t)below(attack, 4);
    writer_begin_ordinary(writer, room_of(attack), &envelope);
}

static void item_put(struct writer *writer, struct bytes key, const struct words *words)
{
    const struct block block = words_block(words);

    if (writer_begin_item(writer, key, false, 0)) {
        (void)writer_put_block(writer, &block, NULL);
        writer_end_item(writer);
    }
}

/* A host says something of a presence. */
static void host_tells(struct attack *attack, struct host *host, uint32_t to,
                       const struct address *about, const struct words *words)
{
    uint8_t key[NODE_PRESENCE_KEY_MAX];
    struct writer writer;

    host_begin(attack, host, to, false, &writer);
    item_put(&writer, node_presence_key(about, key), words);
    send_as(attack, &host->address, to, writer_end(&writer));
}

/* Hearing. */

static struct host *host_at(struct attack *attack, const struct address *address)
{
    for (unsigned i = 0; i < HOSTS + PORTS; i++) {
        if (address_compare(&attack->hosts[i].address, address) == 0) {
            return &attack->hosts[i];
        }
    }
    return NULL;
}

/* Take the token, and show that it came; answer what is to be acked, where it is so minded. */
static void hear(void *context, struct world *world, const struct datagram *datagram)
{
    struct attack *attack = context;
    struct host *host = host_at(attack, &datagram->to);
    const uint32_t node = world_machine_of(world, &datagram->from);
    struct message message;
    struct writer writer;
    struct envelope envelope;
    bool *has;
    uint8_t *token;

    if (host == NULL || node >= world->options.nodes
        || message_decode((struct bytes){ datagram->data, datagram->size }, &message) != WIRE_OK
        || !message.extended) {
        return;
    }
    token = token_of(attack, host, node, &has);
    if ((message.envelope.has & WIRE_HAS_TOKEN) != 0) {
        memcpy(token, message.envelope.token, WIRE_TOKEN_BYTES);
        if (!*has) {
            *has = true;
            say_hello(attack, host, node);
        }
    }
    if (host->probed && (message.envelope.has & WIRE_HAS_SEQUENCE) != 0) {
        envelope = host_envelope(attack, host, node);
        if (message.probe_target.size > 0) { /* an ack would say that it is alive */
            envelope.has |= WIRE_HAS_REFUSED;
            envelope.refused = message.envelope.sequence;
        }
        writer_begin_ordinary(&writer, room_of(attack), &envelope);
        if (message.probe_target.size > 0) {
            send_as(attack, &host->address, node, writer_end(&writer));
            return;
        }
        (void)writer_put_acks(&writer, &message.envelope.sequence, 1);
        send_as(attack, &host->address, node, writer_end(&writer));
    }
}

static void overhear(void *context, const struct world *world, uint32_t sender,
                     const struct address *to, struct bytes datagram)
{
    struct attack *attack = context;
    struct overheard *overheard = &attack->overheard[attack->overheard_count++ % OVERHEARD];

    overheard->from = world->machines[sender].address;
    overheard->to = *to;
    overheard->size = datagram.size;
    memcpy(overheard->data, datagram.data, datagram.size);
}

/* Acts of strangers. */

static struct bytes some_name(struct attack *attack, char *text, size_t size)
{
    static const char *const known[] = { "n:%", "%", "*", "key%", "dense*", WIDE, "key1", "hll" };
    const uint64_t at = below(attack, 16);

    if (at < 8) {
        return named(known[at]);
    }
    snprintf(text, size, "made:%llu", (unsigned long long)below(attack, 64));
    return named(text);
}

static struct words some_words(struct attack *attack)
{
    struct words words = { .count = 0 };

    for (uint64_t i = below(attack, 4); i > 0; i--) {
        const uint64_t value = draw_number(&attack->random);

        word_add(&words, (uint8_t)(words.count * 60 + below(attack, 60)), value);
    }
    return words;
}

static void act_forged_plain(struct attack *attack)
{
    for (uint64_t i = 1 + below(attack, 40); i > 0; i--) {
        const struct address from =
            below(attack, 4) == 0 ? owned_address(attack) : forged_address(attack);
        const struct words words = some_words(attack);
        const uint32_t to = some_node(attack);
        uint8_t presence[NODE_PRESENCE_KEY_MAX];
        struct words stamp = { .count = 0 };
        char text[32];

        if (below(attack, 3) != 0) {
            say_plain(attack, &from, to, some_name(attack, text, sizeof text), &words);
            continue;
        }
        word_add(&stamp, PRESENCE_STAMP, now_s(attack) / 60);
        say_plain(attack, &from, to, node_presence_key(&from, presence), &stamp);
    }
}

static void act_forged_hello(struct attack *attack)
{
    for (uint64_t i = 1 + below(attack, 20); i > 0; i--) {
        struct host nobody = attack->hosts[0];
        struct envelope envelope = { .has = WIRE_HAS_SENDER | WIRE_HAS_TOKEN };
        const struct words words = host_words(&nobody);
        const struct block block = words_block(&words);
        uint8_t key[NODE_PRESENCE_KEY_MAX];
        struct writer writer;

        nobody.address = forged_address(attack);
        envelope.sender_id = (uint32_t)id_of(attack, &nobody.address);
        writer_begin_hello(&writer, room_of(attack), node_presence_key(&nobody.address, key));
        (void)writer_put_block(&writer, &block, NULL);
        writer_begin_x(&writer, &envelope);
        send_as(attack, &nobody.address, some_node(attack), writer_end(&writer));
    }
}

static struct host *some_host(struct attack *attack)
{
    return &attack->hosts[below(attack, HONEST)];
}

static void act_hosts(struct attack *attack)
{
    struct host *host = some_host(attack);
    const uint32_t to = some_node(attack);
    const struct words words = some_words(attack);
    struct writer writer;
    char text[32];

    say_hello(attack, host, to);
    host_begin(attack, host, to, true, &writer);
    if (words.count > 0) {
        snprintf(text, sizeof text, "host:%llu", (unsigned long long)below(attack, 64));
        item_put(&writer, named(text), &words);
    }
    send_as(attack, &host->address, to, writer_end(&writer));
}

static void act_hearsay(struct attack *attack)
{
    struct host *host = some_host(attack);
    const uint32_t to = some_node(attack);

    say_hello(attack, host, to);
    for (uint64_t i = 1 + below(attack, 4); i > 0; i--) {
        const struct address about = forged_address(attack);
        const struct words words = host_words(host);

        host_tells(attack, host, to, &about, &words);
    }
}

static void act_questions(struct attack *attack)
{
    static const char *const questions[] = { "%", "*", "n:%", "key%", "dense%", "dense0", WIDE };
    const struct address from =
        below(attack, 2) == 0 ? owned_address(attack) : forged_address(attack);

    for (uint64_t i = 1 + below(attack, 4); i > 0; i--) {
        say_plain(attack, &from, some_node(attack), named(questions[below(attack, 7)]), NULL);
    }
}

/* Acts of forgers. */

/* Incarnations and starts near and far, as far as bounds go, and beyond. */
static uint64_t some_start(struct attack *attack)
{
    static const uint64_t ahead_s[] = { 0, 1, 1000, 80000, 90000, 170000, 1000000, 1u << 31 };
    const uint64_t at = below(attack, 10);

    if (at == 8) {
        return FAR_S;
    }
    return at == 9 ? draw_edge(&attack->random) >> 16 : now_s(attack) + ahead_s[at];
}

/* Under a member's address and id, to anybody, of anybody. */
static void act_slander(struct attack *attack)
{
    for (uint64_t i = 1 + below(attack, 4); i > 0; i--) {
        const uint32_t from = some_victim(attack);
        const uint32_t victim = some_victim(attack);
        struct words words = { .count = 0 };
        struct envelope envelope = { .has = WIRE_HAS_SENDER | WIRE_HAS_DEPTH,
                                     .depth = (uint8_t)below(attack, 3) };
        uint8_t key[NODE_PRESENCE_KEY_MAX];
        struct writer writer;

        envelope.sender_id = (uint32_t)id_of(attack, node_address(attack, from));
        word_add(&words, PRESENCE_STATE, some_start(attack) << 2 | below(attack, 4));
        if (below(attack, 2) == 0) {
            word_add(&words, PRESENCE_SINCE, some_start(attack));
        }
        for (uint8_t slot = 0; slot < PRESENCE_CONFIRM_COUNT && below(attack, 2) == 0; slot++) {
            word_add(&words, (uint8_t)(PRESENCE_CONFIRM + slot), words.values[0] >> 2);
        }
        writer_begin_ordinary(&writer, room_of(attack), &envelope);
        item_put(&writer, node_presence_key(node_address(attack, victim), key), &words);
        send_as(attack, node_address(attack, from), some_node(attack), writer_end(&writer));
    }
}

static void act_plain_member(struct attack *attack)
{
    const uint32_t victim = some_victim(attack);
    uint8_t key[NODE_PRESENCE_KEY_MAX];
    const struct address *address = node_address(attack, victim);
    struct words words = { .count = 0 };

    if (below(attack, 2) == 0) {
        word_add(&words, PRESENCE_STAMP, now_s(attack) / 60);
    }
    if (below(attack, 2) == 0) {
        word_add(&words, PRESENCE_LEVEL, some_start(attack) << 16);
    }
    word_add(&words, PRESENCE_STATE, some_start(attack) << 2 | below(attack, 4));
    say_plain(attack, address, some_node(attack), node_presence_key(address, key), &words);
    if (below(attack, 2) == 0) {
        say_plain(attack, address, some_node(attack), named("key1"), NULL);
    }
}

static void act_level(struct attack *attack)
{
    struct host *host = some_host(attack);
    const uint32_t to = some_node(attack);
    struct words words = { .count = 0 };

    say_hello(attack, host, to);
    word_add(&words, PRESENCE_LEVEL, (now_s(attack) + 1 + below(attack, 100000)) << 16);
    host_tells(attack, host, to, node_address(attack, some_victim(attack)), &words);
}

static struct host *clock_host(struct attack *attack)
{
    return &attack->hosts[HOSTS + below(attack, PORTS)];
}

/* A clock is told by a stamp, and beside an echo. */
static void act_clocks(struct attack *attack)
{
    const uint32_t to = some_node(attack);

    for (unsigned i = 0; i < PORTS; i++) {
        struct host *host = &attack->hosts[HOSTS + i];
        uint8_t key[NODE_PRESENCE_KEY_MAX];
        struct words words = { .count = 0 };
        struct words far = { .count = 0 };

        word_add(&words, PRESENCE_STAMP, FAR_S / 60);
        word_add(&far, PRESENCE_STAMP, FAR_S);
        word_add(&far, PRESENCE_LEVEL, FAR_S << 16 | PRESENCE_PROTOCOL_LEVEL);
        say_hello(attack, host, to);
        host_tells(attack, host, to, &host->address, &far);
        say_plain(attack, &host->address, to, node_presence_key(&host->address, key), &words);
    }
}

static void act_far_words(struct attack *attack)
{
    const uint32_t to = some_node(attack);
    struct words words = { .count = 0 };

    if (below(attack, 4) == 0) {
        word_add(&words, PRESENCE_LEVEL, FAR_S << 16 | below(attack, 2));
    }
    word_add(&words, PRESENCE_STATE, FAR_S << 2 | (1 + below(attack, 3)));
    if (below(attack, 2) == 0) {
        word_add(&words, PRESENCE_SINCE, FAR_S);
    }
    host_tells(attack, clock_host(attack), to, node_address(attack, some_victim(attack)), &words);
}

static void act_instance(struct attack *attack)
{
    const uint32_t victim = some_victim(attack);
    struct words words = { .count = 0 };
    const uint64_t start_s = some_start(attack);

    word_add(&words, PRESENCE_INSTANCE, start_s << 16 | below(attack, 65536));
    word_add(&words, PRESENCE_HTTP, start_s << 16 | below(attack, 65536));
    host_tells(attack, some_host(attack), some_node(attack), node_address(attack, victim), &words);
}

static void act_replay(struct attack *attack)
{
    for (uint64_t i = 1 + below(attack, 8); i > 0 && attack->overheard_count > 0; i--) {
        const size_t heard =
            attack->overheard_count < OVERHEARD ? attack->overheard_count : OVERHEARD;
        const struct overheard *again = &attack->overheard[below(attack, heard)];
        const uint32_t to = world_machine_of(attack->world, &again->to);
        const struct address elsewhere = owned_address(attack);
        const uint32_t from = world_machine_of(attack->world, &again->from);
        const bool moved =
            below(attack, 4) == 0 || (from != WORLD_NOBODY && !attack->world->machines[from].up);

        send_as(attack, moved ? &elsewhere : &again->from,
                to >= attack->world->options.nodes || below(attack, 2) == 0 ? some_node(attack)
                                                                            : to,
                (struct bytes){ again->data, again->size });
    }
}

static void act_reflection(struct attack *attack)
{
    struct host *host = some_host(attack);
    const struct address about = bystander_address(attack);
    const struct words words = host_words(host);
    uint8_t key[NODE_PRESENCE_KEY_MAX];

    say_plain(attack, &about, some_node(attack), node_presence_key(&about, key), &words);
    host_tells(attack, host, some_node(attack), &about, &words);
}

/* Floods. */

static void act_acks(struct attack *attack)
{
    const uint32_t to = some_node(attack);

    for (unsigned i = 0; i < 60; i++) {
        struct envelope envelope = { .has = WIRE_HAS_SENDER | WIRE_HAS_SEQUENCE, .sequence = i };
        const struct address from = i % 2 == 0 ? owned_address(attack) : forged_address(attack);
        struct writer writer;

        envelope.sender_id = (uint32_t)id_of(attack, &from);
        writer_begin_ordinary(&writer, room_of(attack), &envelope);
        send_as(attack, &from, to, writer_end(&writer));
    }
}

static uint64_t wide_hash(const struct attack *attack)
{
    return digest_key_hash(attack->world->options.node.cluster_id, named(WIDE));
}

static void act_wants(struct attack *attack)
{
    struct host *host = some_host(attack);
    const uint32_t to = some_node(attack);
    uint64_t hashes[135];

    if (below(attack, WANTS_SELDOM) != 0) {
        return;
    }
    say_hello(attack, host, to);
    for (size_t i = 0; i < 135; i++) {
        hashes[i] = wide_hash(attack);
    }
    for (unsigned i = 0; i < 4; i++) {
        struct writer writer;

        host_begin(attack, host, to, i % 2 == 0, &writer);
        (void)writer_put_wanted(&writer, hashes, 135);
        send_as(attack, &host->address, to, writer_end(&writer));
    }
}

static void act_blocks(struct attack *attack)
{
    struct host *host = some_host(attack);
    const uint32_t to = some_node(attack);
    struct writer writer;

    say_hello(attack, host, to);
    host_begin(attack, host, to, true, &writer);
    for (unsigned i = 0; i < 50 && writer_begin_blocks(&writer, TABLE_DATA, wide_hash(attack), 0);
         i++) {
        (void)writer_put_block_digest(&writer, below(attack, 3), (uint32_t)i);
        writer_end_blocks(&writer, false);
    }
    send_as(attack, &host->address, to, writer_end(&writer));
}

static void act_wide(struct attack *attack)
{
    for (unsigned i = 0; i < 10; i++) {
        const struct address from =
            below(attack, 2) == 0 ? owned_address(attack) : attack->hosts[0].address;

        say_plain(attack, &from, some_node(attack), named(WIDE), NULL);
    }
}

static void act_stars(struct attack *attack)
{
    static const char *const patterns[] = { "*a*a*a*a*a*a*a*a*a*a*a*b", "%1%2%3%4%5%6%7%8%9%0%",
                                            "%%%%%%%%%%%%%%%%%%%%x", "*:*:*:*:*:*", "*e*e*e*" };

    for (unsigned i = 0; i < 12; i++) {
        const struct address from = owned_address(attack);

        say_plain(attack, &from, some_node(attack), named(patterns[below(attack, 5)]), NULL);
    }
}

/* The indices fall, most of them into blocks of their own, and end at one of the edges. */
static void act_elements(struct attack *attack)
{
    struct frame *frame;
    const struct address from =
        below(attack, 2) == 0 ? owned_address(attack) : forged_address(attack);
    uint64_t index = draw_edge(&attack->random);
    const uint64_t gap = UINT64_C(1) << below(attack, 12);
    size_t size;
    char text[32];

    if (below(attack, BIG_SELDOM) != 0) {
        return; /* three a second are a megabit, and all that a test has time for */
    }
    frame = calloc(1, sizeof *frame);
    assert(frame != NULL);
    snprintf(text, sizeof text, "blocks%u", attack->asked++ % 4);
    frame->key = below(attack, 2) == 0 ? named(WIDE) : named(text);
    frame->has_ttl = true;
    frame->ttl = 3;
    for (size_t i = 0; i < BIG_ELEMENTS; i++) {
        frame->elements[i].index = index;
        frame->elements[i].value = draw_number(&attack->random);
        frame->count++;
        index -= 1 + below(attack, gap);
    }
    size = frame_write(frame, false, (struct space){ attack->buffer, sizeof attack->buffer });
    send_as(attack, &from, some_node(attack), (struct bytes){ attack->buffer, size });
    free(frame);
}

/* 300 a second, when struck 50 times in one. */
static void act_probes(struct attack *attack)
{
    struct host *host = some_host(attack);
    const uint32_t to = some_node(attack);

    say_hello(attack, host, to);
    for (unsigned i = 0; i < 6; i++) {
        const struct address nobody = forged_address(attack);
        const struct address *about =
            below(attack, 2) == 0 ? &nobody : node_address(attack, some_node(attack));
        uint8_t key[NODE_PRESENCE_KEY_MAX];
        struct writer writer;

        host_begin(attack, host, to, true, &writer);
        (void)writer_put_probe(&writer, node_presence_key(about, key));
        send_as(attack, &host->address, to, writer_end(&writer));
    }
}

/* They say that they are alive again whenever they were found dead. */
static void act_fakes(struct attack *attack)
{
    for (unsigned i = HONEST; i < HONEST + FAKES; i++) {
        if (below(attack, 8) == 0) {
            attack->hosts[i].incarnation++;
        }
        say_hello(attack, &attack->hosts[i], some_node(attack));
    }
}

static void (*const acts[])(struct attack *attack) = {
    act_forged_plain, act_forged_hello, act_hosts,  act_hearsay,   act_questions, act_slander,
    act_plain_member, act_level,        act_clocks, act_far_words, act_instance,  act_replay,
    act_reflection,   act_acks,         act_wants,  act_blocks,    act_wide,      act_stars,
    act_elements,     act_probes,       act_fakes,
};
#define ACTS (sizeof acts / sizeof acts[0])

_Static_assert(BIG_ELEMENTS <= FRAME_ELEMENTS_MAX, "they fit into a frame");
_Static_assert(ACTS == sizeof attack_names / sizeof attack_names[0] - 1, "a name each");
_Static_assert(ATTACK_EVERY == (1u << ACTS) - 1, "a bit each");

struct attack *attack_begin(struct world *world)
{
    struct attack *attack = calloc(1, sizeof *attack);
    const size_t tokens = (HOSTS + PORTS) * world->options.nodes;

    assert(attack != NULL && world->options.strangers > 0);
    attack->world = world;
    attack->machine = (uint32_t)(world->count - world->options.strangers);
    attack->tokens = calloc(tokens, sizeof *attack->tokens);
    attack->has_token = calloc(tokens, sizeof *attack->has_token);
    assert(attack->tokens != NULL && attack->has_token != NULL);
    random_seed(&attack->random, world->options.seed, PURPOSE_ATTACK);
    for (unsigned i = 0; i < HOSTS + PORTS; i++) {
        struct host *host = &attack->hosts[i];

        /* Fakes are of one host, and so are those that tell clocks. */
        host->address = i < HONEST  ? address_of(172, 16, 256 + i, 6000)
                        : i < HOSTS ? address_of(172, 16, 1, 7000 + i)
                                    : address_of(172, 16, 2, 8000 + i);
        host->start_s = now_s(attack);
        host->incarnation = host->start_s;
        host->probed = i < HONEST;
    }
    world->machines[attack->machine].up = true;
    world->look = overhear;
    world->context = attack;
    world->hear = hear;
    world->hear_context = attack;
    return attack;
}

void attack_end(struct attack *attack)
{
    struct world *world = attack->world;

    world->look = NULL;
    world->hear = NULL;
    world->machines[attack->machine].up = false;
    free(attack->tokens);
    free(attack->has_token);
    free(attack);
}

void attack_strike(struct attack *attack, unsigned kinds, unsigned count)
{
    assert((kinds & ATTACK_EVERY) != 0);
    while (count > 0) {
        const unsigned at = (unsigned)below(attack, ACTS);

        if ((kinds >> at & 1) != 0) {
            acts[at](attack);
            count--;
        }
    }
}
