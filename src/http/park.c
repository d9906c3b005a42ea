#include "http/park.h"

#include "base/hash.h"

#include <assert.h>
#include <string.h>

/* More than the connections of a server by default, so that the list of a bucket has one or two. */
#define PARK_BUCKETS 1024

_Static_assert((PARK_BUCKETS & (PARK_BUCKETS - 1)) == 0, "buckets are chosen by a mask");

LIST_HEAD(park_list, park_place);

struct park {
    struct mem *mem;
    uint8_t secret[16];
    size_t count;
    struct park_list buckets[PARK_BUCKETS];
};

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
    assert(park->count == 0);
    mem_free(park->mem, park, sizeof *park);
}

void park_wait(struct park *park, struct park_place *place, struct bytes key)
{
    assert(place->key.data == NULL);
    assert(key.data != NULL);
    place->key = key;
    place->hash = hash_sip(park->secret, key);
    LIST_INSERT_HEAD(&park->buckets[place->hash & (PARK_BUCKETS - 1)], place, list);
    park->count++;
}

void park_leave(struct park *park, struct park_place *place)
{
    if (place->key.data != NULL) {
        LIST_REMOVE(place, list);
        place->key = (struct bytes){ NULL, 0 };
        park->count--;
    }
}

size_t park_count(const struct park *park)
{
    return park->count;
}

static bool place_is_for(const struct park_place *place, uint64_t hash, struct bytes key)
{
    return place->hash == hash && place->key.size == key.size
           && memcmp(place->key.data, key.data, key.size) == 0;
}

void park_note(struct park *park, struct bytes key, park_wake *wake)
{
    const uint64_t hash = hash_sip(park->secret, key);
    struct park_place *place = LIST_FIRST(&park->buckets[hash & (PARK_BUCKETS - 1)]);
    struct park_list woken = LIST_HEAD_INITIALIZER(woken);

    /* All are taken out before one is called: it may wait again. The newest comes first here, and
     * last there. */
    while (place != NULL) {
        struct park_place *const next = LIST_NEXT(place, list);

        if (place_is_for(place, hash, key)) {
            park_leave(park, place);
            LIST_INSERT_HEAD(&woken, place, list);
        }
        place = next;
    }
    while ((place = LIST_FIRST(&woken)) != NULL) {
        LIST_REMOVE(place, list);
        wake(place);
    }
}
