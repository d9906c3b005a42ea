#include "sim/ended.h"

#include "node/state.h"
#include "store/digest.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/ledger.h"
#include "sim/red.h"
#include "sim/world.h"

#define SLICE   64
#define INSTANT "%Y-%m-%dT%H:%M"

/* Of one machine. */
struct hour {
    uint64_t since_us; /* when its minute last changed */
    uint32_t minute;
    uint32_t begun; /* minute as this turn began */
};

struct ended {
    struct ledger deadlines; /* hash of a key: 1 + the minute at which it ends */
    struct hour *hours;
    uint32_t cluster_id;
};

/* Names. */

uint32_t ended_deadline(struct bytes key)
{
    char text[] = "0000-00-00T00:00";
    char again[sizeof text];
    const uint8_t *tilde = memrchr(key.data, '~', key.size);
    const size_t size = tilde == NULL ? 0 : (size_t)(key.data + key.size - tilde) - 1;
    struct tm tm = { .tm_sec = 0 };
    time_t unix_s;

    if (size != 10 && size != 13 && size != 16) {
        return ENDED_NEVER;
    }
    memcpy(text, tilde + 1, size);
    if (strptime(text, INSTANT, &tm) == NULL || tm.tm_year < 100) {
        return ENDED_NEVER;
    }
    unix_s = timegm(&tm);
    gmtime_r(&unix_s, &tm);
    strftime(again, sizeof again, INSTANT, &tm);
    if (strcmp(text, again) != 0 || (size == 16 && strcmp(text + 13, ":00") == 0)
        || (size == 13 && strcmp(text + 10, "T00:00") == 0)) {
        return ENDED_NEVER; /* no such day, or it can be written shorter */
    }
    return (uint32_t)(unix_s / 60);
}

void ended_name(char key[ENDED_KEY_MAX], const char *stem, uint32_t minute)
{
    const time_t unix_s = (time_t)minute * 60;
    char text[] = "0000-00-00T00:00";
    struct tm tm;
    int size;

    gmtime_r(&unix_s, &tm);
    strftime(text, sizeof text, INSTANT, &tm);
    size = tm.tm_min != 0 ? 16 : tm.tm_hour != 0 ? 13 : 10;
    snprintf(key, ENDED_KEY_MAX, "%s~%.*s", stem, size, text);
}

struct ended *ended_create(const struct world *world)
{
    struct ended *ended = calloc(1, sizeof *ended);

    assert(ended != NULL);
    ended->hours = calloc(world->count, sizeof *ended->hours);
    assert(ended->hours != NULL);
    ended->cluster_id = world->options.node.cluster_id;
    return ended;
}

void ended_free(struct ended *ended)
{
    ledger_clear(&ended->deadlines);
    free(ended->hours);
    free(ended);
}

void ended_written(struct ended *ended, struct bytes key)
{
    const uint32_t deadline = ended_deadline(key);

    if (deadline != ENDED_NEVER) {
        ledger_set(&ended->deadlines, digest_key_hash(ended->cluster_id, key),
                   UINT64_C(1) + deadline);
    }
}

void ended_forget(struct ended *ended, uint32_t machine)
{
    ended->hours[machine] = (struct hour){ .since_us = 0 };
}

/* Nodes. */

/* The guarded clock's, as the node's parts are told it. */
static uint32_t minute_of(const struct machine *machine)
{
    return machine->node->expiry.minute;
}

static uint32_t number_of(const struct world *world, const struct machine *machine)
{
    return (uint32_t)(machine - world->machines);
}

void ended_begin(struct world *world, struct ended *ended, struct machine *machine)
{
    ended->hours[number_of(world, machine)].begun = minute_of(machine);
}

void ended_turn(struct world *world, struct ended *ended, struct machine *machine)
{
    struct hour *hour = &ended->hours[number_of(world, machine)];
    const uint32_t minute = minute_of(machine);

    if (minute != hour->minute) {
        hour->since_us = world->now_us;
        hour->minute = minute;
    }
}

static void key_live(const struct world *world, const struct machine *machine, struct bytes key,
                     const char *does)
{
    if (key.size > 0 && ended_deadline(key) <= minute_of(machine)) {
        red("ended", "machine %u %s %.*s at minute %u", number_of(world, machine), does,
            (int)key.size, (const char *)key.data, minute_of(machine));
    }
}

/* What rose early in a turn may have ended in it. */
void ended_raised(struct world *world, struct ended *ended, struct machine *machine,
                  struct bytes key)
{
    if (ended_deadline(key) <= ended->hours[number_of(world, machine)].begun) {
        key_live(world, machine, key, "takes");
    }
}

/* While it sleeps a node does not get on. */
static bool has_had_time(const struct world *world, const struct ended *ended,
                         const struct machine *machine)
{
    const uint64_t since_us = ended->hours[number_of(world, machine)].since_us;
    const uint64_t awake_us = machine->paused_us > since_us ? machine->paused_us : since_us;

    return world->now_us > awake_us + ENDED_CALENDAR;
}

/* What is told of a key by its hash alone. */
static void hash_live(const struct world *world, const struct ended *ended,
                      const struct machine *machine, uint64_t hash)
{
    const uint64_t deadline = ledger_get(&ended->deadlines, hash);

    if (deadline != 0 && deadline - 1 <= minute_of(machine)) {
        red("ended", "machine %u tells of a key that ended at minute %llu, at minute %u",
            number_of(world, machine), (unsigned long long)deadline - 1, minute_of(machine));
    }
}

/* The sum of what tombstones are to the digest; those that have ended have left it. */
static uint64_t tombstones_listed(const struct world *world, const struct ended *ended,
                                  const struct machine *machine)
{
    const struct prefix all = { .set = TABLE_DATA };
    struct entry *entries[SLICE];
    uint64_t hash = 0;
    uint64_t sum = 0;
    size_t count;

    while ((count = table_slice_hash(machine->table, all, hash, entries, SLICE)) > 0) {
        for (size_t i = 0; i < count; i++) {
            hash = entry_hash(machine->table, entries[i]);
            if (!entry_deleted(entries[i])) {
                continue;
            }
            if (has_had_time(world, ended, machine)) {
                hash_live(world, ended, machine, hash);
            }
            sum += digest_contribution(hash, entry_digest(entries[i]));
        }
        if (hash++ == UINT64_MAX) {
            break;
        }
    }
    return sum;
}

void ended_listed(struct world *world, struct ended *ended, struct machine *machine)
{
    struct entry *entries[SLICE];
    struct bytes after = { NULL, 0 };
    uint64_t sum = 0;
    size_t count;

    do {
        count = table_slice(machine->table, (struct bytes){ NULL, 0 }, after, entries, SLICE);
        for (size_t i = 0; i < count; i++) {
            after = entry_key(entries[i]);
            if (!entry_ended(machine->table, entries[i]) || has_had_time(world, ended, machine)) {
                key_live(world, machine, after, "lists");
            }
            if (entry_set(entries[i]) == TABLE_DATA) {
                sum += digest_contribution(entry_hash(machine->table, entries[i]),
                                           entry_digest(entries[i]));
            }
        }
    } while (count == SLICE);
    sum += tombstones_listed(world, ended, machine);
    if (has_had_time(world, ended, machine)
        && (sum & world->options.digest_mask) != table_root(machine->table, TABLE_DATA)) {
        red("ended", "the digest of machine %u is not that of what it lists",
            number_of(world, machine));
    }
}

void ended_sent(struct world *world, struct ended *ended, struct machine *machine,
                const struct message *message)
{
    struct run items = message->items;
    struct run leaves = message->leaves;
    struct run lists = message->block_digests;
    struct wire_leaf leaf;
    struct wire_blocks blocks;
    struct item item;

    key_live(world, machine, message->plain.key, "sends");
    while (message_next_item(&items, &item)) {
        if (item.by_hash) {
            hash_live(world, ended, machine, item.hash);
        }
        key_live(world, machine, item.key, "sends");
    }
    if (!has_had_time(world, ended, machine)) {
        return;
    }
    while (message_next_leaf(&leaves, &leaf)) {
        for (size_t i = 0; i < leaf.pairs.size / WIRE_LEAF_PAIR_BYTES; i++) {
            hash_live(world, ended, machine, wire_leaf_at(&leaf, i).hash);
        }
    }
    while (message_next_blocks(&lists, &blocks)) {
        hash_live(world, ended, machine, blocks.hash);
    }
}
