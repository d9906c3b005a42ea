#include "node/peers.h"

#include "base/search.h"

#include <assert.h>
#include <string.h>

#define ROOM_FIRST      8
#define DIGITS          32 /* base-4 digits of an id */
#define WINDOW_NOT_SAID 255
#define TELLERS         256

/* Every node keeps a record of every node. */
_Static_assert(sizeof(struct peer) <= 320, "a peer's record has grown");

struct peers {
    struct mem *mem;
    uint64_t secret;
    struct peer **by_address; /* sorted by address */
    struct peer **by_id;      /* members only, sorted by id */
    struct peer **hash;       /* open addressing by address */
    uint32_t count;
    uint32_t room;
    uint32_t members;
    uint32_t members_room;
    uint32_t hash_room; /* a power of two, at least twice the count */
    uint64_t states[PEER_STATE_COUNT];
    uint16_t told[TELLERS]; /* addresses told of and not heard, by who told (a hash of it) */
};

static uint32_t slot_first(const struct peers *peers, const struct address *address)
{
    return (uint32_t)address_hash(address, peers->secret) & (peers->hash_room - 1);
}

/* Equal, as fast as it is asked: once a datagram. */
static bool is_at(const struct peer *peer, const struct address *address)
{
    return peer->address.port == address->port
           && memcmp(peer->address.ip, address->ip, sizeof address->ip) == 0;
}

static uint32_t slot_find(const struct peers *peers, const struct address *address)
{
    uint32_t slot = slot_first(peers, address);

    while (peers->hash[slot] != NULL && !is_at(peers->hash[slot], address)) {
        slot = (slot + 1) & (peers->hash_room - 1);
    }
    return slot;
}

/* Empty a slot and move back those behind it that could no longer be found. */
static void slot_clear(struct peers *peers, uint32_t hole)
{
    const uint32_t bits = peers->hash_room - 1;

    peers->hash[hole] = NULL;
    for (uint32_t slot = (hole + 1) & bits; peers->hash[slot] != NULL; slot = (slot + 1) & bits) {
        const uint32_t wanted = slot_first(peers, &peers->hash[slot]->address);

        if (((slot - wanted) & bits) >= ((slot - hole) & bits)) {
            peers->hash[hole] = peers->hash[slot];
            peers->hash[slot] = NULL;
            hole = slot;
        }
    }
}

/* Position of the first peer whose address is not below this one. */
static uint32_t position_of(const struct peers *peers, const struct address *address)
{
    uint32_t low = 0;
    uint32_t high = peers->count;

    SEARCH_FIRST(low, high, at, address_compare(&peers->by_address[at]->address, address) < 0);
    return low;
}

/* Position of the first member whose id is not below this one. Members of equal ids (nobody can
 * make them, chance could) lie side by side in the order of their joining. */
static uint32_t member_position_of(const struct peers *peers, uint64_t id)
{
    uint32_t low = 0;
    uint32_t high = peers->members;

    SEARCH_FIRST(low, high, at, peers->by_id[at]->id < id);
    return low;
}

/* Room for one more record: both arrays are had before either is used. */
static bool room_grow(struct peers *peers)
{
    const uint32_t room = peers->room == 0 ? ROOM_FIRST : peers->room * 2;
    const uint32_t hash_room = room * 2;
    struct peer **by_address;
    struct peer **hash = mem_alloc_zeroed(peers->mem, hash_room * sizeof(struct peer *));

    if (hash == NULL) {
        return false;
    }
    by_address = mem_grow(peers->mem, peers->by_address, peers->room * sizeof(struct peer *),
                          room * sizeof(struct peer *));
    if (by_address == NULL) {
        mem_free(peers->mem, hash, hash_room * sizeof(struct peer *));
        return false;
    }
    mem_free(peers->mem, peers->hash, peers->hash_room * sizeof(struct peer *));
    peers->by_address = by_address;
    peers->room = room;
    peers->hash = hash;
    peers->hash_room = hash_room;
    for (uint32_t i = 0; i < peers->count; i++) {
        hash[slot_find(peers, &by_address[i]->address)] = by_address[i];
    }
    return true;
}

struct peers *peers_create(struct mem *mem, uint64_t secret)
{
    struct peers *peers = mem_alloc_zeroed(mem, sizeof *peers);

    if (peers != NULL) {
        peers->mem = mem;
        peers->secret = secret;
    }
    return peers;
}

void peers_free(struct peers *peers)
{
    if (peers == NULL) {
        return;
    }
    for (uint32_t i = 0; i < peers->count; i++) {
        assert(peers->by_address[i]->owed == NULL && peers->by_address[i]->plain == NULL);
        mem_free(peers->mem, peers->by_address[i], sizeof(struct peer));
    }
    mem_free(peers->mem, peers->by_address, peers->room * sizeof(struct peer *));
    mem_free(peers->mem, peers->by_id, peers->members_room * sizeof(struct peer *));
    mem_free(peers->mem, peers->hash, peers->hash_room * sizeof(struct peer *));
    mem_free(peers->mem, peers, sizeof *peers);
}

struct peer *peers_at(const struct peers *peers, uint32_t position)
{
    return peers->by_address[position];
}

struct peer *peers_member(const struct peers *peers, uint32_t position)
{
    return peers->by_id[position];
}

uint32_t peers_count(const struct peers *peers)
{
    return peers->count;
}

uint32_t peers_members(const struct peers *peers)
{
    return peers->members;
}

uint64_t peers_in_state(const struct peers *peers, enum peer_state state)
{
    return peers->states[state];
}

struct peer *peers_find(const struct peers *peers, const struct address *address)
{
    return peers->count == 0 ? NULL : peers->hash[slot_find(peers, address)];
}

uint32_t peers_after(const struct peers *peers, const struct address *address)
{
    const uint32_t position = position_of(peers, address);
    const bool is_there = position < peers->count
                          && address_compare(&peers->by_address[position]->address, address) == 0;

    return is_there ? position + 1 : position;
}

struct peer *peers_obtain(struct peers *peers, const struct address *address, uint64_t id)
{
    struct peer *peer = peers_find(peers, address);
    uint32_t position;

    if (peer != NULL) {
        return peer;
    }
    if (peers->count == NODE_PEERS_MAX || (peers->count == peers->room && !room_grow(peers))) {
        return NULL;
    }
    peer = mem_alloc(peers->mem, sizeof *peer);
    if (peer == NULL) {
        return NULL;
    }
    *peer = (struct peer){
        .address = *address,
        .id = id,
        .window = PEER_WINDOW_START,
        .window_theirs = WINDOW_NOT_SAID,
        .state = PEER_NEW,
    };
    position = position_of(peers, address);
    memmove(&peers->by_address[position + 1], &peers->by_address[position],
            (peers->count - position) * sizeof(struct peer *));
    peers->by_address[position] = peer;
    peers->count++;
    peers->hash[slot_find(peers, address)] = peer;
    peers->states[PEER_NEW]++;
    return peer;
}

static uint8_t teller_cell(const struct peers *peers, const struct address *teller)
{
    const struct address host = address_host(teller);

    return (uint8_t)(address_hash(&host, peers->secret) % TELLERS);
}

bool peers_may_tell(const struct peers *peers, const struct address *teller)
{
    return peers->count < PEERS_TOLD_MAX
           && peers->told[teller_cell(peers, teller)] < PEERS_TOLD_MAX - peers->count;
}

struct peer *peers_tell(struct peers *peers, const struct address *address, uint64_t id,
                        const struct address *teller)
{
    struct peer *peer = peers_obtain(peers, address, id);

    assert(peer == NULL || !peer->is_told);
    if (peer != NULL) {
        peer->is_told = true;
        peer->told_by = teller_cell(peers, teller);
        peers->told[peer->told_by]++;
    }
    return peer;
}

void peers_heard(struct peers *peers, struct peer *peer)
{
    if (peer->is_told) {
        peer->is_told = false;
        peers->told[peer->told_by]--;
    }
}

void peers_drop(struct peers *peers, struct peer *peer)
{
    const uint32_t position = position_of(peers, &peer->address);

    assert(position < peers->count && peers->by_address[position] == peer);
    assert(peer->owed == NULL && peer->plain == NULL);
    if (peer->member) {
        const bool left = peers_set_member(peers, peer, false);

        assert(left);
    }
    peers_heard(peers, peer);
    slot_clear(peers, slot_find(peers, &peer->address));
    peers->count--;
    memmove(&peers->by_address[position], &peers->by_address[position + 1],
            (peers->count - position) * sizeof(struct peer *));
    peers->states[peer->state]--;
    mem_free(peers->mem, peer, sizeof *peer);
}

void peers_set_state(struct peers *peers, struct peer *peer, enum peer_state state)
{
    assert(state < PEER_STATE_COUNT);
    assert(peers->states[peer->state] > 0);
    peers->states[peer->state]--;
    peers->states[state]++;
    peer->state = (uint8_t)state;
}

/* Into the trie: by id, behind those of the same id. */
static bool member_add(struct peers *peers, struct peer *peer)
{
    uint32_t position = member_position_of(peers, peer->id);

    if (peers->members == peers->members_room) {
        const uint32_t room = peers->members_room == 0 ? ROOM_FIRST : peers->members_room * 2;
        struct peer **by_id =
            mem_grow(peers->mem, peers->by_id, peers->members_room * sizeof(struct peer *),
                     room * sizeof(struct peer *));

        if (by_id == NULL) {
            return false;
        }
        peers->by_id = by_id;
        peers->members_room = room;
    }
    while (position < peers->members && peers->by_id[position]->id == peer->id) {
        position++;
    }
    memmove(&peers->by_id[position + 1], &peers->by_id[position],
            (peers->members - position) * sizeof(struct peer *));
    peers->by_id[position] = peer;
    peers->members++;
    peer->member = true;
    return true;
}

bool peers_set_member(struct peers *peers, struct peer *peer, bool member)
{
    uint32_t position;

    if (peer->member == member) {
        return true;
    }
    if (member) {
        return member_add(peers, peer);
    }
    position = member_position_of(peers, peer->id);
    while (peers->by_id[position] != peer) {
        position++;
        assert(position < peers->members);
    }
    peers->members--;
    memmove(&peers->by_id[position], &peers->by_id[position + 1],
            (peers->members - position) * sizeof(struct peer *));
    peer->member = false;
    return true;
}

struct peer_range peers_under(const struct peers *peers, uint64_t prefix, unsigned digits)
{
    struct peer_range range = { 0, peers->members };
    uint64_t last;

    assert(digits <= DIGITS);
    if (digits == 0) {
        return range;
    }
    last = digits == DIGITS ? prefix : prefix | UINT64_MAX >> (2 * digits);
    range.first = member_position_of(peers, prefix);
    range.count =
        (last == UINT64_MAX ? peers->members : member_position_of(peers, last + 1)) - range.first;
    return range;
}

void peers_audit(const struct peers *peers)
{
    uint64_t states[PEER_STATE_COUNT] = { 0 };
    uint16_t told[TELLERS] = { 0 };
    uint32_t hashed = 0;
    uint32_t members = 0;

    assert(peers->count <= peers->room && peers->count <= NODE_PEERS_MAX);
    for (uint32_t i = 0; i < peers->count; i++) {
        const struct peer *peer = peers->by_address[i];

        assert(i == 0 || address_compare(&peers->by_address[i - 1]->address, &peer->address) < 0);
        assert(peers->hash[slot_find(peers, &peer->address)] == peer);
        assert(peer->state < PEER_STATE_COUNT);
        states[peer->state]++;
        members += peer->member;
        told[peer->told_by] += peer->is_told;
    }
    assert(memcmp(told, peers->told, sizeof told) == 0);
    for (uint32_t i = 0; i < peers->hash_room; i++) {
        hashed += peers->hash[i] != NULL;
    }
    assert(hashed == peers->count);
    assert(members == peers->members);
    for (uint32_t i = 0; i < peers->members; i++) {
        assert(peers->by_id[i]->member);
        assert(i == 0 || peers->by_id[i - 1]->id <= peers->by_id[i]->id);
    }
    for (unsigned i = 0; i < PEER_STATE_COUNT; i++) {
        assert(states[i] == peers->states[i]);
    }
}
