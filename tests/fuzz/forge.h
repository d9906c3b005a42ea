#ifndef FUZZ_FORGE_H
#define FUZZ_FORGE_H

/* Datagrams that a stranger writes, every field as an input says: valid in form nearly always, and
 * in content as often as not, with tokens that were really heard and keys that really exist. */

#include "base/bytes.h"

#include "fuzz/input.h"
#include "fuzz/members.h"

/* Who writes to whom, and by what the datagram can be made to fit. */
struct forge {
    struct members *members;
    unsigned stranger;
    unsigned member;
};

#define FORGE_BYTES_MAX 65507

/* A key: of a few common ones, of presence, a pattern. Lives until the next call. */
struct bytes forge_key(struct input *input, uint8_t room[64]);

/* A plain datagram into FORGE_BYTES_MAX bytes; its size. */
size_t forge_plain(const struct forge *forge, struct input *input, uint8_t *to);

/* An extended one. */
size_t forge_extended(const struct forge *forge, struct input *input, uint8_t *to);

/* The stranger's hello, valid and true but for what the input changes: what makes it a member. */
size_t forge_hello(const struct forge *forge, struct input *input, uint8_t *to);

#endif /* FUZZ_FORGE_H */
