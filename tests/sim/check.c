#include "sim/check.h"

#include "base/hash.h"
#include "node/bounds.h"
#include "node/claim.h"
#include "node/extended.h"
#include "node/state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sim/ended.h"
#include "sim/frame.h"
#include "sim/ledger.h"
#include "sim/limits.h"
#include "sim/red.h"
#include "sim/world.h"

#define AUDIT_TURNS 257 /* a turn in so many is looked at in full */
#define SLICE       64
/* Incarnations of plain peers count from 1, a node's from its start. */
#define VOUCHED_MOST 1000000

/* So long before its deadline a key may be forgotten: clocks differ by a day. */
#define FORGET_MINUTES (2 * 1440)

#define ONCE "once:" /* keys of which every element is written once, as scenarios promise */

struct checks {
    unsigned which;
    struct ledger written;     /* key, generation, index, value: was written */
    struct ledger shadows;     /* machine, key, index: value when last seen */
    struct ledger depths;      /* machine, key, index: 1 + lowest level by which it came */
    struct ledger drops;       /* machine, key: how often it was forgotten */
    struct ledger generations; /* machine, key: generation when last seen */
    uint64_t *lives;           /* of each machine: how often its store began anew */
    struct limits *limits;
    struct ended *ended;
    uint64_t *slandered_us; /* node, member: since when it is held for less; 0: it is not */
    size_t machines;
    uint64_t turns;
};

struct checks *checks_create(const struct world *world)
{
    const size_t machines = world->count;
    struct checks *checks = calloc(1, sizeof *checks);

    assert(checks != NULL);
    checks->which = world->options.checks;
    checks->lives = calloc(machines, sizeof *checks->lives);
    checks->slandered_us = calloc(machines * machines, sizeof *checks->slandered_us);
    assert(checks->lives != NULL && checks->slandered_us != NULL);
    checks->machines = machines;
    checks->limits = limits_create(machines);
    checks->ended = ended_create(world);
    return checks;
}

void checks_free(struct checks *checks)
{
    ledger_clear(&checks->written);
    ledger_clear(&checks->shadows);
    ledger_clear(&checks->depths);
    ledger_clear(&checks->drops);
    ledger_clear(&checks->generations);
    free(checks->lives);
    free(checks->slandered_us);
    limits_free(checks->limits);
    ended_free(checks->ended);
    free(checks);
}

/* Names in the ledgers. */

static uint64_t key_name(struct bytes key)
{
    static const uint8_t secret[16] = { 5 };

    return hash_sip(secret, key);
}

static uint64_t element_name(uint64_t key, uint64_t index)
{
    return hash_mix(key, index);
}

/* A value in one generation of its key: what was deleted justifies nothing that comes later. */
static uint64_t value_name(uint64_t key, uint64_t generation, uint64_t index, uint64_t value)
{
    const uint64_t life = generation == 0 ? key : hash_mix(key, generation);

    return hash_mix(element_name(life, index), value);
}

static uint64_t place_name(const struct checks *checks, uint32_t machine, uint64_t key)
{
    const uint64_t life = hash_mix(checks->lives[machine], machine);
    const uint64_t place = hash_mix(life, key);

    return hash_mix(place, ledger_get(&checks->drops, place));
}

static uint32_t number_of(const struct world *world, const struct machine *machine)
{
    return (uint32_t)(machine - world->machines);
}

void check_written(struct checks *checks, struct bytes key, uint64_t generation, uint64_t index,
                   uint64_t value)
{
    if ((checks->which & CHECK_SOUND) != 0) {
        ledger_set(&checks->written, value_name(key_name(key), generation, index, value), 1);
    }
    if ((checks->which & CHECK_ENDED) != 0) {
        ended_written(checks->ended, key);
    }
}

static void elements_written(struct checks *checks, const struct item *item)
{
    struct elements elements = item->elements;
    struct block_room room;
    struct block block;

    while (elements_next(&elements, &room, &block)) {
        for (unsigned j = 0; j < block.count; j++) {
            check_written(checks, item->key, GENERATION_FIRST,
                          block.number << 8 | block_offset(&block, j), block_value(&block, j));
        }
    }
}

void check_said(struct checks *checks, struct bytes datagram)
{
    struct message message;
    struct item item;

    if ((checks->which & CHECK_SOUND) == 0 || message_decode(datagram, &message) != WIRE_OK) {
        return;
    }
    elements_written(checks, &message.plain);
    while (message_next_item(&message.items, &item)) {
        elements_written(checks, &item);
    }
}

void check_forget(struct checks *checks, const struct world *world, const struct machine *machine)
{
    checks->lives[number_of(world, machine)]++;
    limits_forget(checks->limits, number_of(world, machine));
    ended_forget(checks->ended, number_of(world, machine));
}

/* Sound. */

/* The state words and what goes with them that anybody may write of a peer. Who has said nothing
 * of itself yet looks plain, and is vouched for in incarnations far below every node's own. */
static bool anybody_writes(uint64_t index, uint64_t value)
{
    return (index == PRESENCE_STATE && value / 4 < VOUCHED_MOST)
           || (index == PRESENCE_STATE && (value & 3) != WORD_ALIVE) || index == PRESENCE_SINCE
           || (index >= PRESENCE_CONFIRM && index < PRESENCE_CONFIRM + PRESENCE_CONFIRM_COUNT);
}

/* Under attack, alive is vouched for above a state that somebody forged: a node of which no more is
 * known yet, and in whose name a plain message is forged, looks like a plain peer. */
static bool is_vouched(const struct world *world, uint64_t key, uint64_t index, uint64_t value)
{
    bool above = false;

    for (uint64_t word = WORD_SUSPECT; word <= WORD_LEFT; word++) {
        const uint64_t below = ((value >> 2) - 1) << 2 | word;

        above =
            above
            || ledger_get(&world->checks->written, value_name(key, GENERATION_FIRST, index, below))
                   != 0;
    }
    return world->options.strangers > 0 && index == PRESENCE_STATE && (value & 3) == WORD_ALIVE
           && above;
}

static bool is_own(const struct machine *machine, struct bytes key)
{
    uint8_t text[NODE_PRESENCE_KEY_MAX];
    const struct bytes own = node_presence_key(&machine->address, text);

    return own.size == key.size && memcmp(own.data, key.data, key.size) == 0;
}

static bool is_plain(const struct world *world, struct bytes key)
{
    struct address address;
    uint32_t machine;

    if (!presence_address(key, &address)) {
        return false;
    }
    machine = world_machine_of(world, &address);
    return machine == WORLD_NOBODY || world->machines[machine].kind != MACHINE_NODE;
}

/* Of who died with words beyond all clocks, others keep a level that begins where its end does. */
static bool is_ended(const struct world *world, uint64_t key, uint64_t index, uint64_t value)
{
    return index == PRESENCE_LEVEL && (value & 0xffff) == PRESENCE_PROTOCOL_LEVEL
           && ledger_get(&world->checks->written,
                         value_name(key, GENERATION_FIRST, PRESENCE_SINCE, value >> 16))
                  != 0;
}

/* In one turn a peer's word and our own may fall into one change; so presence is judged by whose
 * it is and what it says, not by where the change came from. */
static void element_sound(struct world *world, struct machine *machine, const struct entry *entry,
                          uint64_t index, uint64_t value)
{
    struct checks *checks = world->checks;
    const struct bytes key = entry_key(entry);
    const uint32_t generation = entry_generation(entry);
    const uint64_t name = value_name(key_name(key), generation, index, value);

    if ((checks->which & CHECK_SOUND) == 0 || world->options.faults.corrupt_permille != 0) {
        return;
    }
    if (entry_set(entry) == TABLE_MEMBERS
        && (is_own(machine, key) || anybody_writes(index, value) || is_plain(world, key)
            || is_vouched(world, key_name(key), index, value)
            || is_ended(world, key_name(key), index, value))) {
        ledger_set(&checks->written, name, 1);
    } else if (ledger_get(&checks->written, name) == 0) {
        red("sound", "machine %u stores %.*s[%llu] = %llu of generation %u, which nobody wrote",
            number_of(world, machine), (int)key.size, (const char *)key.data,
            (unsigned long long)index, (unsigned long long)value, generation);
    }
}

/* Turns. */

static void element_check(struct world *world, struct machine *machine, const struct change *change,
                          uint64_t index, uint64_t value)
{
    struct checks *checks = world->checks;
    const struct bytes key = entry_key(change->entry);
    const uint64_t place = place_name(checks, number_of(world, machine), key_name(key));
    const uint64_t name = element_name(place, index);

    element_sound(world, machine, change->entry, index, value);
    if ((checks->which & CHECK_MONOTONE) != 0) {
        if (value < ledger_get(&checks->shadows, name)) {
            red("monotone", "machine %u: %.*s[%llu] fell to %llu", number_of(world, machine),
                (int)key.size, (const char *)key.data, (unsigned long long)index,
                (unsigned long long)value);
        }
        ledger_set(&checks->shadows, name, value);
    }
    if ((checks->which & CHECK_DEPTH) != 0 && change->origin == CHANGE_FROM_CLIENT) {
        ledger_set(&checks->depths, name, 1);
    }
}

/* What has ended or soon will is forgotten with its generation: clocks differ by a day. */
static void generation_check(struct world *world, const struct machine *machine,
                             const struct entry *entry)
{
    const uint32_t number = number_of(world, machine);
    const uint64_t hash = entry_hash(machine->table, entry);
    const uint64_t name = hash_mix(hash_mix(world->checks->lives[number], number), hash);
    const uint64_t known = ledger_get(&world->checks->generations, name);
    const uint64_t minute = (world->options.unix_s + world->now_us / WORLD_S) / 60;

    if (entry_generation(entry) < known && entry_deadline(entry) > minute + FORGET_MINUTES) {
        red("deleted", "machine %u: a key of generation %llu is of %u again", number,
            (unsigned long long)known, entry_generation(entry));
    }
    if (entry_generation(entry) > known) {
        ledger_set(&world->checks->generations, name, entry_generation(entry));
    }
}

static void generations_check(struct world *world, const struct machine *machine)
{
    const struct prefix all = { .set = TABLE_DATA };
    struct entry *entries[SLICE];
    uint64_t hash = 0;
    size_t count;

    while ((count = table_slice_hash(machine->table, all, hash, entries, SLICE)) > 0) {
        for (size_t i = 0; i < count; i++) {
            generation_check(world, machine, entries[i]);
            hash = entry_hash(machine->table, entries[i]);
        }
        if (hash++ == UINT64_MAX) {
            return;
        }
    }
}

static void change_check(struct world *world, struct machine *machine, const struct change *change)
{
    const bool is_said = !change->dropped && entry_set(change->entry) == TABLE_DATA;
    const struct vector *vector = entry_vector(change->entry);
    const struct mark *raised = &change->raised;
    struct block_room room;
    struct block block;

    if ((world->checks->which & CHECK_DELETED) != 0 && is_said && !entry_dropped(change->entry)) {
        generation_check(world, machine, change->entry);
    }
    if (entry_deleted(change->entry)) {
        return;
    }
    if (change->dropped) {
        const uint64_t life =
            hash_mix(world->checks->lives[number_of(world, machine)], number_of(world, machine));
        const uint64_t place = hash_mix(life, key_name(entry_key(change->entry)));

        ledger_set(&world->checks->drops, place, ledger_get(&world->checks->drops, place) + 1);
        return;
    }
    if ((world->checks->which & CHECK_ENDED) != 0 && !mark_empty(raised)) {
        ended_raised(world, world->checks->ended, machine, entry_key(change->entry));
    }
    block = vector_block(vector, vector_seek(vector, raised->number), &room);
    for (unsigned o = mark_next(raised, 0); o < BLOCK_ELEMENTS; o = mark_next(raised, o + 1)) {
        element_check(world, machine, change, raised->number << 8 | o, block_get(&block, o));
    }
}

/* Whether every element of an entry was written by somebody, and is what it was when it last was in
 * the feed. `learn`: it is what it is from now on. */
static void entry_check(struct world *world, struct machine *machine, const struct entry *entry,
                        bool learn)
{
    const struct vector *vector = entry_vector(entry);
    const struct bytes key = entry_key(entry);
    const uint64_t place = place_name(world->checks, number_of(world, machine), key_name(key));

    for (size_t i = 0; i < vector_blocks(vector); i++) {
        struct block_room room;
        const struct block block = vector_block(vector, i, &room);

        for (unsigned j = 0; j < block.count; j++) {
            const uint64_t index = block.number << 8 | block_offset(&block, j);
            const uint64_t name = element_name(place, index);
            const uint64_t shadow = ledger_get(&world->checks->shadows, name);

            if (block_value(&block, j) != 0) { /* 0 is no element */
                element_sound(world, machine, entry, index, block_value(&block, j));
            }
            if (learn) {
                ledger_set(&world->checks->shadows, name, block_value(&block, j));
            } else if (block_value(&block, j) != shadow) {
                red("monotone", "machine %u: %.*s[%llu] is %llu, was %llu, and no feed says so",
                    number_of(world, machine), (int)key.size, (const char *)key.data,
                    (unsigned long long)index, (unsigned long long)block_value(&block, j),
                    (unsigned long long)shadow);
            }
        }
    }
}

static void store_check(struct world *world, struct machine *machine, bool learn)
{
    struct entry *entries[SLICE];
    struct bytes after = { NULL, 0 };
    size_t count;

    do {
        count = table_slice(machine->table, (struct bytes){ NULL, 0 }, after, entries, SLICE);
        for (size_t i = 0; i < count; i++) {
            entry_check(world, machine, entries[i], learn);
            after = entry_key(entries[i]);
        }
    } while (count == SLICE);
}

/* Members. */

/* It refutes what others say of it as soon as it hears of it: at the latest when it probes, or is
 * probed by, who believes that. */
#define SLANDER_MOST_US (6 * WORLD_S)

/* A suspicion is no slander: it is refuted, or ends in a death, which is. */
static void member_check(struct world *world, uint32_t node, uint32_t member)
{
    struct checks *checks = world->checks;
    uint64_t *since_us = &checks->slandered_us[node * checks->machines + member];
    struct peer_view view = { .state = PEER_STATE_COUNT };
    const bool known =
        node_peer(world->machines[node].node, &world->machines[member].address, &view);

    if (known && view.level > 0 && (view.state == PEER_ALIVE || view.state == PEER_SUSPECT)) {
        *since_us = 0;
    } else if (*since_us == 0) {
        *since_us = world->now_us;
    } else if (world->now_us - *since_us > SLANDER_MOST_US) {
        red("members", "machine %u, which lives, is of level %u and in state %u to %u for %llu s",
            member, view.level, view.state, node, (unsigned long long)(SLANDER_MOST_US / WORLD_S));
    }
}

static void members_check(struct world *world, const struct machine *machine)
{
    const uint32_t node = number_of(world, machine);

    for (uint32_t i = 0; i < world->options.nodes; i++) {
        if (i != node && world->machines[i].is_steady) {
            member_check(world, node, i);
        } else {
            world->checks->slandered_us[node * world->checks->machines + i] = 0;
        }
    }
}

/* All of a node. */
static void node_look(struct world *world, struct machine *machine)
{
    struct checks *checks = world->checks;

    if ((checks->which & CHECK_AUDIT) != 0) {
        table_audit(machine->table);
        node_audit(machine->node);
    }
    if ((checks->which & CHECK_MONOTONE) != 0) {
        store_check(world, machine, false);
    }
    if ((checks->which & CHECK_ENDED) != 0) {
        ended_listed(world, checks->ended, machine);
    }
    if ((checks->which & CHECK_DELETED) != 0) {
        generations_check(world, machine);
    }
}

void check_turn(struct world *world, struct machine *machine)
{
    struct checks *checks = world->checks;
    const struct changes changes = table_changes(machine->table);

    if ((checks->which & CHECK_MEMBERS) != 0 && machine->is_steady) {
        members_check(world, machine);
    }

    if ((checks->which & (CHECK_MONOTONE | CHECK_SOUND | CHECK_DEPTH | CHECK_ENDED | CHECK_DELETED))
        != 0) {
        for (size_t i = 0; i < changes.count; i++) {
            change_check(world, machine, &changes.list[i]);
        }
    }
    if ((checks->which & CHECK_ENDED) != 0) {
        ended_turn(world, checks->ended, machine);
    }
    if (checks->turns++ % AUDIT_TURNS == 0 && machine->node != NULL) {
        node_look(world, machine);
    }
}

/* Who is in the presence that a node begins with. */
static void told_check(struct world *world, struct machine *machine)
{
    const struct bytes prefix = { (const uint8_t *)"n:", 2 };
    struct bytes after = { NULL, 0 };
    struct entry *entry;
    struct address about;

    while (table_slice(machine->table, prefix, after, &entry, 1) == 1) {
        after = entry_key(entry);
        if (presence_address(after, &about)) {
            limits_credit_told(world->checks->limits, number_of(world, machine), &about);
        }
    }
}

void check_loaded(struct world *world, struct machine *machine)
{
    if ((world->checks->which & CHECK_CREDIT) != 0) {
        told_check(world, machine);
    }
    if ((world->checks->which & CHECK_MONOTONE) != 0) {
        store_check(world, machine, true);
    }
    if ((world->checks->which & CHECK_DELETED) != 0) {
        generations_check(world, machine);
    }
}

void check_end(struct world *world)
{
    for (size_t i = 0; i < world->count; i++) {
        struct machine *machine = &world->machines[i];

        if (machine->node != NULL && machine->up) {
            node_look(world, machine);
        }
    }
}

/* Depth. */

static bool is_once(struct bytes key)
{
    return key.size > strlen(ONCE) && memcmp(key.data, ONCE, strlen(ONCE)) == 0;
}

/* Ask or tell about every element of every item of a push. */
static void push_walk(struct world *world, uint32_t machine, const struct message *message,
                      void (*tell)(struct checks *checks, uint64_t name, uint8_t depth))
{
    struct run items = message->items;
    struct item item;

    if ((message->envelope.has & WIRE_HAS_DEPTH) == 0) {
        return;
    }
    while (message_next_item(&items, &item)) {
        uint64_t place;
        struct block_room room;
        struct block block;

        if (!is_once(item.key)) {
            continue;
        }
        place = place_name(world->checks, machine, key_name(item.key));
        while (elements_next(&item.elements, &room, &block)) {
            for (unsigned j = 0; j < block.count; j++) {
                tell(world->checks,
                     element_name(place, block.number << 8 | block_offset(&block, j)),
                     message->envelope.depth);
            }
        }
    }
}

static void depth_taken(struct checks *checks, uint64_t name, uint8_t depth)
{
    const uint64_t known = ledger_get(&checks->depths, name);

    if (known == 0 || known > (uint64_t)depth + 1) {
        ledger_set(&checks->depths, name, (uint64_t)depth + 1);
    }
}

static void depth_sent(struct checks *checks, uint64_t name, uint8_t depth)
{
    const uint64_t known = ledger_get(&checks->depths, name);

    if (depth != WIRE_DEPTH_STOP && known > depth) {
        red("depth", "passed on at level %u what came at level %llu", depth,
            (unsigned long long)known - 1);
    }
}

/* Wire. */

static bool was_deleted(const struct table *table, struct bytes key)
{
    const struct entry *entry = table_find(table, key);

    return table_tombstone(table, key) != NULL || (entry != NULL && entry_generation(entry) > 0);
}

static void plain_check(const struct world *world, const struct machine *machine,
                        const struct address *to, struct bytes datagram)
{
    struct frame *frame = calloc(1, sizeof *frame);
    const uint32_t receiver = world_machine_of(world, to);
    const bool to_prototype =
        receiver != WORLD_NOBODY && world->machines[receiver].kind != MACHINE_NODE;
    const uint64_t now_min = world_moment(world, machine).unix_s / 60;
    struct address address;

    assert(frame != NULL);
    frame_read(datagram, frame);
    if (frame->odd != 0 || datagram.size > WIRE_PLAIN_BYTES_MAX || !frame->has_ttl
        || frame->ttl > 3) {
        red("wire", "a plain frame of %zu bytes, ttl %llu, odd 0x%x", datagram.size,
            (unsigned long long)frame->ttl, frame->odd);
    }
    if (to_prototype && frame->count > 0 && was_deleted(machine->table, frame->key)) {
        red("wire", "a plain peer is told of %.*s, which was deleted once", (int)frame->key.size,
            (const char *)frame->key.data);
    }
    if (frame->key.size >= 2 && memcmp(frame->key.data, "n:", 2) == 0
        && !(frame->key.size == 3 && frame->key.data[2] == '%')) {
        if (to_prototype
            && (!presence_address(frame->key, &address) || !address_is_ipv4(&address))) {
            red("wire", "a plain peer is sent the key %.*s", (int)frame->key.size,
                (const char *)frame->key.data);
        }
        for (size_t i = 0; i < frame->count; i++) {
            if (frame->elements[i].index == 0 && frame->elements[i].value > now_min) {
                red("wire", "a stamp of %llu at minute %llu",
                    (unsigned long long)frame->elements[i].value, (unsigned long long)now_min);
            }
        }
    }
    free(frame);
}

/* Limits. */

static bool is_ack(const struct message *message)
{
    return message->extended && message->items.left == 0
           && (message->acks.left > 0 || extended_kind(message) == NODE_KIND_ACK);
}

void check_sent(struct world *world, struct machine *machine, const struct address *to,
                struct bytes datagram)
{
    struct checks *checks = world->checks;
    const uint32_t receiver = world_machine_of(world, to);
    struct message message;

    if ((checks->which & CHECK_CREDIT) != 0) {
        limits_credit_sent(world, checks->limits, number_of(world, machine), to, datagram.size);
    }
    if ((checks->which & (CHECK_WIRE | CHECK_DEPTH | CHECK_RATE | CHECK_WINDOW | CHECK_ENDED))
        == 0) {
        return;
    }
    if (message_decode(datagram, &message) != WIRE_OK) {
        red("wire", "machine %u sends what is no message", number_of(world, machine));
    }
    if ((checks->which & CHECK_WIRE) != 0) {
        if (!message.extended) {
            plain_check(world, machine, to, datagram);
        } else if (datagram.size > WIRE_EXTENDED_BYTES_MAX) {
            red("wire", "an extended datagram of %zu bytes", datagram.size);
        } else if (receiver != WORLD_NOBODY && world->machines[receiver].kind != MACHINE_NODE
                   && world->machines[receiver].kind != MACHINE_STRANGER) {
            red("wire", "a plain peer is sent `x`");
        }
    }
    if ((checks->which & CHECK_ENDED) != 0) {
        ended_sent(world, checks->ended, machine, &message);
    }
    if ((checks->which & CHECK_DEPTH) != 0 && message.extended) {
        push_walk(world, number_of(world, machine), &message, depth_sent);
    }
    if ((checks->which & CHECK_WINDOW) != 0 && message.extended) {
        limits_window_sent(world, checks->limits, number_of(world, machine), to, &message);
    }
    if ((checks->which & CHECK_RATE) != 0 && !is_ack(&message)) {
        limits_rate(world, checks->limits, number_of(world, machine),
                    message.extended ? node_kind_label(extended_kind(&message)) : "plain",
                    datagram.size);
    }
}

void check_taken(struct world *world, struct machine *machine, const struct address *from,
                 struct bytes datagram)
{
    struct checks *checks = world->checks;
    const uint32_t number = number_of(world, machine);
    struct message message;

    if ((checks->which & CHECK_CREDIT) != 0) {
        limits_credit_taken(world, checks->limits, number, from, datagram);
    }
    if ((checks->which & (CHECK_DEPTH | CHECK_WINDOW)) == 0
        || message_decode(datagram, &message) != WIRE_OK || !message.extended) {
        return;
    }
    if ((checks->which & CHECK_DEPTH) != 0) {
        push_walk(world, number, &message, depth_taken);
    }
    if ((checks->which & CHECK_WINDOW) != 0) {
        limits_window_taken(world, checks->limits, number, from, &message);
    }
}

void check_worked(struct world *world, struct machine *machine, size_t size, uint64_t work)
{
    if ((world->checks->which & CHECK_WORK) != 0) {
        limits_work_datagram(world->checks->limits, number_of(world, machine), size, work);
    }
}

void check_turn_begin(struct world *world, struct machine *machine)
{
    if ((world->checks->which & CHECK_WORK) != 0) {
        limits_work_begin(world, world->checks->limits, number_of(world, machine));
    }
    if ((world->checks->which & CHECK_ENDED) != 0) {
        ended_begin(world, world->checks->ended, machine);
    }
}

void check_turn_end(struct world *world, struct machine *machine)
{
    if ((world->checks->which & CHECK_WORK) != 0) {
        limits_work_end(world, world->checks->limits, number_of(world, machine));
    }
}
