#ifndef DISK_PEERS_H
#define DISK_PEERS_H

/* Whom a node knew, kept so that it finds its cluster again when no seed answers. The payload of
 * FRAME_PEERS: u64 unix seconds of the last contact with any of them, then 18 bytes each: address
 * (16, IPv4 as ::ffff:a.b.c.d) and port. The newest such frame counts, alone. */

#include "base/address.h"
#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_PEERS_MAX 64 /* any one that still lives there leads to all others */

struct disk_peers {
    uint64_t contact_s; /* unix; 0: there was none */
    size_t count;
    struct address list[DISK_PEERS_MAX];
};

#define DISK_PEERS_BYTES_MAX (8 + 18 * DISK_PEERS_MAX)

/* Returns the size. */
size_t disk_peers_put(uint8_t to[DISK_PEERS_BYTES_MAX], const struct disk_peers *peers);

/* False: not of this form; *peers untouched. */
bool disk_peers_read(struct bytes payload, struct disk_peers *peers);

#endif /* DISK_PEERS_H */
