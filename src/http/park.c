#include "http/park.h"

#include "base/hash.h"

#include <assert.h>
#include <string.h>

/* More than a server has connections by default: lists stay at one or two places. */
#define PARK_BUCKETS 1024

_Static_assert((PARK_BUCKETS & (PARK_BUCKETS - 1)) == 0, "buckets are chosen by a mask");

struct park {
    struct mem *mem;
    uint8_t secret[16];
    size_t keys_count;
    size_t tickets_count;
    struct park_place *tickets; /* ascending by ticket */
    struct park_place *tickets_last;
    struct park_place *buckets[PARK_BUCKETS];
};

static void list_push(struct park_place **first, struct park_place *place)
{
    place->previous = NULL;
    place->next = *first;
    if (place->next != NULL) {
        place->next->previous = place;
    }
    *first = place;
    place->first = first;
}

/* After all whose ticket is not greater: nearly always at the end. */
static void tickets_insert(struct park *park, struct park_place *place)
{
    struct park_place *before = park->tickets_last;

    while (before != NULL && before->ticket > place->ticket) {
        before = before->previous;
    }
    if (before == NULL) {
        list_push(&park->tickets, place);
    } else {
        place->previous = before;
        place->next = before->next;
        if (place->next != NULL) {
            place->next->previous = place;
        }
        before->next = place;
        place->first = &park->tickets;
    }
    if (place->next == NULL) {
        park->tickets_last = place;
    }
}

static void list_remove(struct park *park, struct park_place *place)
{
    if (place->previous != NULL) {
        place->previous->next = place->next;
    } else {
        *place->first = place->next;
    }
    if (place->next != NULL) {
        place->next->previous = place->previous;
    } else if (place->first == &park->tickets) {
        park->tickets_last = place->previous;
    }
}

static bool place_is_for(const struct park_place *place, uint64_t hash, struct bytes key)
{
    return place->hash == hash && place->key_size == key.size
           && memcmp(place->key, key.data, key.size) == 0;
}

struct park *park_create(struct mem *mem, const uint8_t secret[16])
{
    struct park *park = mem_alloc_zeroed(mem, sizeof *park);

    if (park != NULL) {
        park->mem = mem;
        memcpy(park->secret, secret, sizeof park->secret);
    }
    return park;
}

void park_free(struct park *park)
{
    if (park == NULL) {
        return;
    }
    assert(park->keys_count == 0);
    assert(park->tickets_count == 0);
    mem_free(park->mem, park, sizeof *park);
}

bool park_wait_for_key(struct park *park, struct park_place *place, struct bytes key)
{
    uint8_t *copy;

    assert(place->first == NULL);
    assert(key.size > 0);
    copy = mem_alloc(park->mem, key.size);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, key.data, key.size);
    place->key = copy;
    place->key_size = key.size;
    place->hash = hash_sip(park->secret, key);
    list_push(&park->buckets[place->hash & (PARK_BUCKETS - 1)], place);
    park->keys_count++;
    return true;
}

void park_wait_for_ticket(struct park *park, struct park_place *place, uint64_t ticket,
                          uint64_t due_us)
{
    assert(place->first == NULL);
    place->ticket = ticket;
    place->due_us = due_us;
    tickets_insert(park, place);
    park->tickets_count++;
}

void park_leave(struct park *park, struct park_place *place)
{
    if (place->first == NULL) {
        return;
    }
    list_remove(park, place);
    if (place->key != NULL) {
        mem_free(park->mem, place->key, place->key_size);
        park->keys_count--;
    } else {
        park->tickets_count--;
    }
    *place = (struct park_place){ 0 };
}

size_t park_keys_count(const struct park *park)
{
    return park->keys_count;
}

size_t park_tickets_count(const struct park *park)
{
    return park->tickets_count;
}

/* Places that have left, linked by `next`, waiting to be woken in this order. */
struct chain {
    struct park_place *first;
    struct park_place **end;
};

/* Take a place out of its list and put it at the end of the chain. */
static void chain_take(struct chain *chain, struct park *park, struct park_place *place)
{
    park_leave(park, place);
    *chain->end = place;
    chain->end = &place->next;
}

static void chain_wake(const struct chain *chain, park_wake *wake)
{
    struct park_place *place = chain->first;

    while (place != NULL) {
        struct park_place *const next = place->next;

        place->next = NULL;
        wake(place);
        place = next;
    }
}

void park_note_key(struct park *park, struct bytes key, park_wake *wake)
{
    const uint64_t hash = hash_sip(park->secret, key);
    struct park_place *place = park->buckets[hash & (PARK_BUCKETS - 1)];
    struct chain chain = { NULL, &chain.first };

    while (place != NULL) {
        struct park_place *const next = place->next;

        if (place_is_for(place, hash, key)) {
            chain_take(&chain, park, place);
        }
        place = next;
    }
    chain_wake(&chain, wake);
}

void park_note_durable(struct park *park, uint64_t durable, park_wake *wake)
{
    struct chain chain = { NULL, &chain.first };

    while (park->tickets != NULL && park->tickets->ticket <= durable) {
        chain_take(&chain, park, park->tickets);
    }
    chain_wake(&chain, wake);
}

void park_note_time(struct park *park, uint64_t now_us, park_wake *wake)
{
    struct park_place *place = park->tickets;
    struct chain chain = { NULL, &chain.first };

    while (place != NULL) {
        struct park_place *const next = place->next;

        if (place->due_us <= now_us) {
            chain_take(&chain, park, place);
        }
        place = next;
    }
    chain_wake(&chain, wake);
}
