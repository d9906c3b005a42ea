#ifndef NODE_STRANGERS_PRIVATE_H
#define NODE_STRANGERS_PRIVATE_H

/* The table of strangers, for node/strangers.c and the test that looks into it. */

#include "node/credit.h"
#include "node/strangers.h"
#include "wire/block.h"

#include <sys/queue.h>

/* What a stranger is to be told. */
enum stranger_wish {
    WISH_CHALLENGE = 1,
    WISH_ANSWER = 2, /* elements of a key */
    WISH_SELF = 4    /* our presence, as plain peers tell theirs */
};

struct stranger {
    LIST_ENTRY(stranger) cell;
    TAILQ_ENTRY(stranger) net; /* oldest first */
    TAILQ_ENTRY(stranger) owed;
    struct mark answer_mark; /* the elements of the answer, when not all of the key */
    uint64_t answer_hash;    /* of the key */
    uint32_t sequence;       /* to be acked with the challenge */
    uint32_t challenged_ms;  /* mono, wrapping; 0: never */
    struct credit credit;
    struct address address;
    uint8_t token[WIRE_TOKEN_BYTES]; /* its token for us, to echo */
    uint8_t ttl;                     /* of the answer */
    uint8_t wishes;                  /* enum stranger_wish bits; it is in the list of owed */
    bool has_token;
    bool has_sequence;
    bool extended; /* it said that it speaks so */
    bool answer_all;
};

LIST_HEAD(stranger_cell, stranger);
TAILQ_HEAD(stranger_list, stranger);

struct strangers {
    struct stranger_cell cells[STRANGERS_CELLS];
    struct stranger_list nets[STRANGERS_NETS];
    uint16_t nets_count[STRANGERS_NETS];
    struct stranger_list owed; /* FIFO */
    uint32_t count;
    int64_t tokens; /* of their share, in byte-microseconds */
    uint64_t filled_us;
};

#endif /* NODE_STRANGERS_PRIVATE_H */
