#ifndef FUZZ_MEMBERS_H
#define FUZZ_MEMBERS_H

/* A few whole nodes that know each other, a network in memory between them, and addresses of
 * strangers that only listen: what reaches these is remembered, so that it can be answered, sent
 * again and forged. Everything follows from the calls; no time passes by itself. */

#include "base/mem.h"
#include "node/node.h"
#include "store/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMBERS          3
#define STRANGERS        4 /* the last two outside of the trusted range */
#define MEMBERS_QUEUE    128
#define MEMBERS_RECORDED 16
#define MEMBERS_UNIX_S   UINT64_C(1790000000)

struct sent {
    struct address from;
    struct address to;
    size_t size;
    uint8_t data[WIRE_EXTENDED_BYTES_MAX];
};

struct member {
    struct mem store_mem;
    struct mem node_mem;
    struct table *table;
    struct node *node;
};

/* What a stranger heard of a member. */
struct heard {
    uint8_t token[WIRE_TOKEN_BYTES];
    uint32_t sequence;
    uint32_t sender_id;
};

struct members {
    struct member list[MEMBERS];
    struct moment now;
    struct sent queue[MEMBERS_QUEUE]; /* a ring; when it is full, the oldest is lost */
    size_t first;
    size_t queued;
    struct sent recorded[MEMBERS_RECORDED]; /* the last ones that left, a ring */
    size_t recorded_count;
    struct heard heard[STRANGERS][MEMBERS];
};

struct address member_address(unsigned member);
struct address stranger_address(unsigned stranger);

/* Start all of them; the first is the others' seed. */
void members_create(struct members *members);

/* Free all; aborts where memory is left. */
void members_free(struct members *members);

/* End one as kill -9 does, and start it with an empty store. */
void members_restart(struct members *members, unsigned member);

/* Options as they all begin with, for members_create() and node_configure(). */
struct node_options members_options(unsigned member);

/* A datagram comes to a member, and the turn that follows. */
void members_receive(struct members *members, unsigned member, const struct address *from,
                     struct bytes datagram);

/* The rest of a turn of a member, after something was done to it. */
void members_turn(struct members *members, unsigned member);

/* Let so much time pass, all that is due being done at its end, and deliver what is under way. */
void members_pass(struct members *members, uint64_t us);

/* Deliver up to so many datagrams. */
void members_deliver(struct members *members, unsigned most);

/* Abort unless all that nodes and tables promise holds. */
void members_audit(const struct members *members);

#endif /* FUZZ_MEMBERS_H */
