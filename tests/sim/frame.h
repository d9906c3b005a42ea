#ifndef SIM_FRAME_H
#define SIM_FRAME_H

/* A plain message, read by other code than the node's own: what the models of the prototypes see,
 * and what the checks judge. Everything odd about it is a bit of `odd`; what a prototype makes of
 * that is the model's business. */

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_ELEMENTS_MAX 4096

enum frame_odd {
    FRAME_BROKEN = 1 << 0,   /* no msgpack, or its end is missing */
    FRAME_TRAILING = 1 << 1, /* bytes after it */
    FRAME_NOT_MAP = 1 << 2,
    FRAME_NO_KEY = 1 << 3,    /* none, or it is no string */
    FRAME_NO_VECTOR = 1 << 4, /* none, or it is no map */
    FRAME_BAD_VALUE = 1 << 5, /* an index or a value that is no whole number from 0 on */
    FRAME_BAD_TTL = 1 << 6,   /* it is no whole number from 0 on */
    FRAME_UNKNOWN = 1 << 7,   /* a field besides key, vector, ttl, full */
    FRAME_STR8 = 1 << 8,      /* somewhere */
    FRAME_BIN = 1 << 9,       /* somewhere */
    FRAME_EXT = 1 << 10,      /* somewhere */
    FRAME_NOT_UTF8 = 1 << 11, /* a string somewhere */
    FRAME_TOO_MANY = 1 << 12  /* elements for this reader */
};

struct frame {
    uint32_t odd; /* enum frame_odd bits */
    struct bytes key;
    uint64_t ttl;
    bool has_ttl;
    bool full;
    size_t count;
    struct {
        uint64_t index;
        uint64_t value;
    } elements[FRAME_ELEMENTS_MAX];
};

/* Read a datagram. The key points into it. */
void frame_read(struct bytes datagram, struct frame *frame);

/* Write one: map of key, vector, and ttl and full where they are there, each key of 32 bytes and
 * more as raw16, or as str8. Returns its size; 0: no room. */
size_t frame_write(const struct frame *frame, bool str8, struct space space);

#endif /* SIM_FRAME_H */
