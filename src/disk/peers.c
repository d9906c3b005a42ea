#include "disk/peers.h"

#include "wire/little.h"

#include <assert.h>
#include <string.h>

#define CONTACT_BYTES 8
#define ADDRESS_BYTES 18 /* ip 16, port 2 */

_Static_assert(DISK_PEERS_BYTES_MAX == CONTACT_BYTES + ADDRESS_BYTES * DISK_PEERS_MAX,
               "the header says so");

size_t disk_peers_put(uint8_t to[DISK_PEERS_BYTES_MAX], const struct disk_peers *peers)
{
    uint8_t *at = to + CONTACT_BYTES;

    assert(peers->count <= DISK_PEERS_MAX);
    little_put64(to, peers->contact_s);
    for (size_t i = 0; i < peers->count; i++) {
        memcpy(at, peers->list[i].ip, 16);
        at[16] = (uint8_t)peers->list[i].port;
        at[17] = (uint8_t)(peers->list[i].port >> 8);
        at += ADDRESS_BYTES;
    }
    return (size_t)(at - to);
}

bool disk_peers_read(struct bytes payload, struct disk_peers *peers)
{
    const uint8_t *at = payload.data + CONTACT_BYTES;

    if (payload.size < CONTACT_BYTES || payload.size > DISK_PEERS_BYTES_MAX
        || (payload.size - CONTACT_BYTES) % ADDRESS_BYTES != 0) {
        return false;
    }
    peers->contact_s = little_get64(payload.data);
    peers->count = (payload.size - CONTACT_BYTES) / ADDRESS_BYTES;
    for (size_t i = 0; i < peers->count; i++) {
        memcpy(peers->list[i].ip, at, 16);
        peers->list[i].port = (uint16_t)(at[16] | at[17] << 8);
        at += ADDRESS_BYTES;
    }
    return true;
}
