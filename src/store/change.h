#ifndef STORE_CHANGE_H
#define STORE_CHANGE_H

/* The changes of a turn: what of which entry rose, or that it goes (store/table.h, "The change
 * feed"). */

#include "wire/block.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct entry;

enum change_origin {
    CHANGE_FROM_PEER,
    CHANGE_FROM_REPAIR, /* a peer's too, that is told to no other by this node */
    CHANGE_FROM_CLIENT,
    CHANGE_FROM_SELF, /* presence, view headers */
    CHANGE_FROM_DISK  /* start-up: nobody needs telling */
};

struct change {
    struct entry *entry;
    struct mark raised;
    uint8_t origin;   /* enum change_origin, of the first that raised the block in this turn */
    bool created : 1; /* first change of a key unseen before */
    bool ended : 1;   /* the key is past its deadline, and was taken out; raised is empty */
    bool dropped : 1; /* the key goes; raised is empty */
    bool deleted : 1; /* dropped: for good, by a deletion or what was written after one */
    uint32_t before;  /* store/feed.c alone: an earlier change in the same bucket */
};

struct changes {
    const struct change *list; /* valid until the table is next written */
    size_t count;
};

#endif /* STORE_CHANGE_H */
