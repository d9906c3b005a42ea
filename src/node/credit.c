#include "node/credit.h"

#include "base/hash.h"
#include "node/clock.h"
#include "node/state.h"

#include <string.h>

#define US_PER_S   UINT64_C(1000000)
#define MS_PER_S   1000u
#define NET_IPV6   7  /* bytes of a /56 */
#define NET_IPV4   15 /* of a /24, in its mapped form */
#define WAS_SENT_0 1  /* 0 says that nothing was */

_Static_assert((CREDIT_FLOOR_NETS & (CREDIT_FLOOR_NETS - 1)) == 0, "a power of two");

/* Of all networks: /24 of IPv4, /56 of IPv6. */
struct credit_floor {
    uint64_t filled_us;
    uint32_t bytes;                      /* that may leave now */
    uint32_t sent_ms[CREDIT_FLOOR_NETS]; /* mono, wrapping: the last datagram; 0: none */
};

bool credit_create(struct node *node, struct moment now)
{
    node->floor = mem_alloc_zeroed(node->mem, sizeof *node->floor);
    if (node->floor == NULL) {
        return false;
    }
    node->floor->filled_us = now.mono_us;
    node->floor->bytes = CREDIT_FLOOR_RATE;
    return true;
}

void credit_free(struct node *node)
{
    part_free(node, node->floor, sizeof *node->floor);
}

uint64_t credit_net(const struct node *node, const struct address *address)
{
    uint8_t net[16] = { 0 };
    uint64_t high;
    uint64_t low;

    memcpy(net, address->ip, address_is_ipv4(address) ? NET_IPV4 : NET_IPV6);
    memcpy(&high, net, sizeof high);
    memcpy(&low, net + sizeof high, sizeof low);
    return hash_mix(node->secret ^ high, low);
}

static int32_t clamped(int64_t bytes)
{
    if (bytes > CREDIT_BYTES_MAX) {
        return CREDIT_BYTES_MAX;
    }
    return bytes < -CREDIT_BYTES_MAX ? -CREDIT_BYTES_MAX : (int32_t)bytes;
}

void credit_received(struct credit *credit, size_t size)
{
    credit->bytes = clamped(credit->bytes + (int64_t)size + NODE_HEADER_BYTES);
    if (credit->datagrams < UINT16_MAX) {
        credit->datagrams++;
    }
}

void credit_told(struct credit *credit)
{
    credit_received(credit, CREDIT_FLOOR_BYTES);
}

/* What came there and was not answered. */
static size_t own_room(const struct credit *credit)
{
    return credit->datagrams == 0 || credit->bytes <= NODE_HEADER_BYTES
               ? 0
               : (size_t)credit->bytes - NODE_HEADER_BYTES;
}

static void floor_fill(struct credit_floor *floor, struct moment now)
{
    uint64_t bytes;

    if (now.mono_us <= floor->filled_us) {
        return;
    }
    bytes = now.mono_us - floor->filled_us >= US_PER_S
                ? CREDIT_FLOOR_RATE
                : (now.mono_us - floor->filled_us) * CREDIT_FLOOR_RATE / US_PER_S;
    if (bytes > 0) {
        floor->filled_us = now.mono_us;
        floor->bytes = floor->bytes + bytes > CREDIT_FLOOR_RATE ? CREDIT_FLOOR_RATE
                                                                : floor->bytes + (uint32_t)bytes;
    }
}

static uint32_t *floor_place(struct node *node, const struct address *address)
{
    return &node->floor->sent_ms[credit_net(node, address) & (CREDIT_FLOOR_NETS - 1)];
}

static bool floor_allows(struct node *node, struct moment now, const struct address *address)
{
    const uint32_t sent_ms = *floor_place(node, address);

    floor_fill(node->floor, now);
    return (sent_ms == 0 || clock_since_ms(now, sent_ms) >= MS_PER_S)
           && node->floor->bytes >= CREDIT_FLOOR_BYTES + NODE_HEADER_BYTES;
}

size_t credit_room(struct node *node, struct moment now, const struct address *address,
                   const struct credit *credit)
{
    const size_t room = own_room(credit);

    return room < CREDIT_FLOOR_BYTES && floor_allows(node, now, address) ? CREDIT_FLOOR_BYTES
                                                                         : room;
}

void credit_spend(struct node *node, struct moment now, const struct address *address,
                  struct credit *credit, size_t size)
{
    const uint32_t bytes = (uint32_t)size + NODE_HEADER_BYTES;
    struct credit_floor *floor = node->floor;

    if (size <= own_room(credit)) {
        credit->datagrams--;
        credit->bytes = clamped(credit->bytes - (int64_t)bytes);
        return;
    }
    floor_fill(floor, now);
    floor->bytes = floor->bytes > bytes ? floor->bytes - bytes : 0;
    *floor_place(node, address) = clock_ms(now) == 0 ? WAS_SENT_0 : clock_ms(now);
}
